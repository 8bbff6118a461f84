//! Values of list partitions. They are stored as the user typed them, and printed as StarRocks reads them.

use jiff::civil::{Date, Time};

/// The text that StarRocks prints for a value of the type `primitive`; none where it is what is stored, or not one of these types.
pub fn parsed(primitive: &str, text: &str) -> Option<String> {
    match primitive {
        "BOOLEAN" => match text.to_ascii_lowercase().as_str() {
            "1" | "true" => Some("TRUE".into()),
            "0" | "false" => Some("FALSE".into()),
            _ => None,
        },
        "TINYINT" | "SMALLINT" | "INT" | "BIGINT" => text.parse::<i64>().ok().map(|value| value.to_string()),
        "LARGEINT" => text.parse::<i128>().ok().map(|value| value.to_string()),
        "DATE" => date(text).map(date_text),
        "DATETIME" => date_time(text),
        _ => None,
    }
}

fn date_text(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// `2024-1-2`, `24-1-2`, `20240102`.
fn date(text: &str) -> Option<Date> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Date::new(number(text.get(..4)?, 4)?, number(text.get(4..6)?, 2)?, number(text.get(6..)?, 2)?).ok();
    }
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let year: i16 = match (year.len(), number::<i16>(year, 4)?) {
        (4, year) => year,
        (2, year @ 70..) => 1900 + year,
        (2, year) => 2000 + year,
        _ => return None,
    };
    Date::new(year, number(month, 2)?, number(day, 2)?).ok()
}

/// The same with a time behind it, whose seconds may be missing, or without one.
fn date_time(text: &str) -> Option<String> {
    let (day, time) = match text.split_once([' ', 'T']) {
        Some((day, time)) if day.contains('-') => (date(day)?, time_of_day(time)?),
        Some(_) => return None,
        None => (date(text)?, Time::midnight()),
    };
    let mut out = format!("{} {:02}:{:02}:{:02}", date_text(day), time.hour(), time.minute(), time.second());
    let microseconds = time.subsec_nanosecond() / 1000;
    if microseconds > 0 {
        out.push_str(&format!(".{microseconds:06}"));
    }
    Some(out)
}

fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next());
    let (second, fraction) = match second {
        Some(second) => second.split_once('.').map_or((second, None), |(second, fraction)| (second, Some(fraction))),
        None => ("0", None),
    };
    let microseconds: i32 = match fraction {
        Some(fraction) => number::<i32>(fraction, 6)? * 10i32.pow(6 - u32::try_from(fraction.len()).ok()?),
        None => 0,
    };
    Time::new(number(hour, 2)?, number(minute, 2)?, number(second, 2)?, microseconds * 1000).ok()
}

/// A number of at most so many digits, and nothing else.
fn number<T: std::str::FromStr>(text: &str, most: usize) -> Option<T> {
    let digits = text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_starrocks_reads_them() {
        for (primitive, typed, printed) in [
            ("BOOLEAN", "1", "TRUE"),
            ("INT", "007", "7"),
            ("BIGINT", "+8", "8"),
            ("TINYINT", "-0", "0"),
            ("LARGEINT", "-0170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
            ("DATE", "2024-1-2", "2024-01-02"),
            ("DATE", "20240102", "2024-01-02"),
            ("DATE", "69-1-2", "2069-01-02"),
            ("DATE", "70-1-2", "1970-01-02"),
            ("DATETIME", "2024-01-01", "2024-01-01 00:00:00"),
            ("DATETIME", "2024-1-1T1:2", "2024-01-01 01:02:00"),
            ("DATETIME", "2024-02-29 01:02:03.5", "2024-02-29 01:02:03.500000"),
            ("DATETIME", "2024-02-29 01:02:03.000000", "2024-02-29 01:02:03"),
        ] {
            assert_eq!(parsed(primitive, typed).as_deref(), Some(printed), "{primitive} {typed}");
        }
    }

    #[test]
    fn what_does_not_parse_is_left() {
        for (primitive, typed) in [
            ("VARCHAR", "007"),
            ("INT", "7.0"),
            ("INT", ""),
            ("INT", "99999999999999999999"),
            ("DATE", "2023-02-29"),
            ("DATE", "2024-01-01 10:00:00"),
            ("DATE", "+024-01-01"),
            ("DATE", "2024-01-01-01"),
            ("DATE", "024-1-1"),
            ("DATE", "2024ä01"),
            ("DATETIME", "2024-01-01 "),
            ("DATETIME", "2024-01-01 24:00:00"),
            ("DATETIME", "2024-01-01 01:02:03.1234567"),
            ("DATETIME", "20240101 01:02:03"),
            ("DATETIME", "2024-01-01 1:2:3:4"),
            ("BOOLEAN", "yes"),
        ] {
            assert_eq!(parsed(primitive, typed), None, "{primitive} {typed}");
        }
        assert_eq!(parsed("DATETIME", "2024-01-01 1:2:3."), None);
    }
}
