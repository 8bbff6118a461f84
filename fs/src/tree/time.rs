//! Times of the tree.

use starsnap_catalog::time::days_until_month;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A repository's timestamp (`yyyy-MM-dd-HH-mm-ss` and perhaps `-SSS`) read as UTC. It carries no zone, so this is only for what has no
/// better time: directories above a snapshot, which must not open it to tell theirs. `None` when it is not of that form.
pub fn of_timestamp(text: &str) -> Option<SystemTime> {
    let mut numbers = [0u64; 7];
    let mut parts = text.split('-');
    for (at, digits) in [4, 2, 2, 2, 2, 2].into_iter().enumerate() {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *numbers.get_mut(at)? = number(part)?;
    }
    if let Some(millis) = parts.next() {
        numbers[6] = number(millis).filter(|millis| *millis < 1000)?;
    }
    let [year, month, day, hour, minute, second, millis] = numbers;
    let fits = parts.next().is_none()
        && year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !fits {
        return None;
    }
    let first_of_month = days_until_month(i16::try_from(year).ok()?, i8::try_from(month).ok()?)?;
    let days = u64::try_from(first_of_month).ok()? + day - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis))
}

/// Milliseconds since the epoch, as `__info` has them; `None` for what cannot be a backup's time.
pub fn of_millis(millis: i64) -> Option<SystemTime> {
    // Beyond the year 9999 a program's own arithmetic on the time overflows.
    const LATEST: u64 = 253_402_300_799_999;
    let millis = u64::try_from(millis).ok().filter(|millis| (1..=LATEST).contains(millis))?;
    Some(UNIX_EPOCH + Duration::from_millis(millis))
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seconds(text: &str) -> Option<f64> {
        of_timestamp(text).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64())
    }

    #[test]
    fn timestamps_read_as_utc() {
        // As `date -u -d … +%s` says.
        assert_eq!(seconds("1970-01-01-00-00-00-000"), Some(0.0));
        assert_eq!(seconds("2023-02-07-14-45-53-143"), Some(1_675_781_153.143));
        assert_eq!(seconds("2024-02-29-23-59-59-999"), Some(1_709_251_199.999));
        assert_eq!(seconds("2000-03-01-00-00-00"), Some(951_868_800.0));
        assert_eq!(seconds("2100-03-01-00-00-00"), Some(4_107_542_400.0));
    }

    #[test]
    fn other_text_has_no_time() {
        for text in
            ["", "latest", "2023-13-07-14-45-53-143", "2023-00-07-14-45-53", "2023-02-07", "2023-02-07-14-45-53-143-1"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
        for text in ["+023-02-07-14-45-53", "2023-02-07-24-45-53", "1969-12-31-23-59-59", "2023-2-7-14-45-53"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(of_millis(-1), None);
        assert_eq!(of_millis(i64::MAX), None);
    }
}
