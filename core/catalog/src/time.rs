//! Instants as the texts that StarRocks and people use.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, date, datetime};

/// The zone in which StarRocks prints and reads times of the catalog, whatever zone its cluster runs in: +08:00.
const STARROCKS_ZONE: i64 = 8 * 3600;

/// `yyyy-MM-dd HH:mm:ss` in +08:00, of seconds since the epoch.
pub fn starrocks_time(seconds: i64) -> String {
    date_time(at(seconds.saturating_add(STARROCKS_ZONE).saturating_mul(1000)))
}

/// `yyyy-MM-dd HH:mm:ss` in UTC, of milliseconds since the epoch.
pub fn utc_time(milliseconds: i64) -> String {
    date_time(at(milliseconds))
}

/// `yyyy-MM-dd-HH-mm-ss-SSS` in UTC, of milliseconds since the epoch: a backup's timestamp.
pub fn utc_timestamp(milliseconds: i64) -> String {
    let at = at(milliseconds);
    format!(
        "{:04}-{:02}-{:02}-{:02}-{:02}-{:02}-{:03}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

/// Days from the epoch to the first of a month (1 to 12); `None` where there is no such month in the years −9999 to 9999.
pub fn days_until_month(year: i16, month: i8) -> Option<i64> {
    let first = Date::new(year, month, 1).ok()?;
    Some(first.duration_since(date(1970, 1, 1)).as_hours() / 24)
}

/// So many milliseconds after 1970 began. Civil time, as StarRocks means "never" by the last second of the year 9999 in +08:00, which instants do
/// not reach. What lies outside the years 0 to 9999 counts as the nearest that does not.
fn at(milliseconds: i64) -> DateTime {
    const FIRST: i64 = -62_167_219_200_000;
    const LAST: i64 = 253_402_300_799_999;
    let since = SignedDuration::from_millis(milliseconds.clamp(FIRST, LAST));
    datetime(1970, 1, 1, 0, 0, 0, 0).saturating_add(since)
}

fn date_time(at: DateTime) -> String {
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_catalog_are_in_the_zone_of_starrocks() {
        assert_eq!(starrocks_time(1_704_074_400), "2024-01-01 10:00:00");
        assert_eq!(starrocks_time(-8 * 3600), "1970-01-01 00:00:00");
        assert_eq!(starrocks_time(951_782_400), "2000-02-29 08:00:00");
        // No cooldown, as StarRocks stores it.
        assert_eq!(starrocks_time(253_402_271_999), "9999-12-31 23:59:59");
    }

    #[test]
    fn timestamps_are_utc() {
        for (milliseconds, text) in [
            (0, "1970-01-01-00-00-00-000"),
            (1_675_781_153_143, "2023-02-07-14-45-53-143"),
            (951_782_400_001, "2000-02-29-00-00-00-001"),
            (1_709_251_199_000, "2024-02-29-23-59-59-000"),
            (4_107_542_400_000, "2100-03-01-00-00-00-000"),
            (4_107_542_399_999, "2100-02-28-23-59-59-999"),
            (-1, "1969-12-31-23-59-59-999"),
        ] {
            assert_eq!(utc_timestamp(milliseconds), text);
            let (date, time) = (text.get(..10), text.get(11..19).map(|time| time.replace('-', ":")));
            assert_eq!(Some(utc_time(milliseconds)), date.zip(time).map(|(date, time)| format!("{date} {time}")));
        }
    }

    #[test]
    fn no_number_is_too_large() {
        assert_eq!(utc_time(i64::MIN), "0000-01-01 00:00:00");
        assert_eq!(utc_time(i64::MAX), "9999-12-31 23:59:59");
        assert_eq!(starrocks_time(i64::MAX), "9999-12-31 23:59:59");
    }
}
