//! Times as StarRocks writes them into names.

/// `yyyy-MM-dd-HH-mm-ss-SSS` in UTC, of milliseconds since the epoch.
pub(crate) fn utc_timestamp(milliseconds: i64) -> String {
    let (days, rest) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    format!(
        "{year:04}-{month:02}-{day:02}-{:02}-{:02}-{:02}-{millis:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// `yyyy-MM-dd HH:mm:ss` in UTC, of milliseconds since the epoch.
pub(crate) fn utc_time(milliseconds: i64) -> String {
    let (days, rest) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    let ((year, month, day), seconds) = (civil(days), rest / 1000);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Milliseconds since the epoch, now.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Year, month and day of days since 1970-01-01, in the Gregorian calendar. Counted in eras of 400 years that begin on 1 March, so that a
/// leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let since = days + 719_468;
    let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_utc() {
        assert_eq!(utc_timestamp(0), "1970-01-01-00-00-00-000");
        assert_eq!(utc_timestamp(1_675_781_153_143), "2023-02-07-14-45-53-143");
        assert_eq!(utc_timestamp(951_782_400_001), "2000-02-29-00-00-00-001");
        assert_eq!(utc_timestamp(4_107_542_399_999), "2100-02-28-23-59-59-999");
        assert_eq!(utc_time(1_675_781_153_143), "2023-02-07 14:45:53");
        assert_eq!(utc_timestamp(-1), "1969-12-31-23-59-59-999");
    }

    #[test]
    fn every_day_of_800_years_follows_the_one_before() {
        let mut last = civil(-1);
        for days in 0..292_194 {
            let (year, month, day) = civil(days);
            let next_day = (year, month, day) == (last.0, last.1, last.2 + 1);
            let next_month = day == 1 && last.2 >= 28 && (year, month) == (last.0, last.1 + 1);
            let next_year = (month, day) == (1, 1) && last == (year - 1, 12, 31);
            assert!(next_day || next_month || next_year, "{last:?} then {:?}", (year, month, day));
            last = (year, month, day);
        }
        assert_eq!(last, (2769, 12, 31));
    }
}
