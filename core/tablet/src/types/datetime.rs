//! Dates and times from text, in the forms that StarRocks reads.

use super::number::{MICROS_PER_DAY, days_from_civil};

/// How many digits the parts of a text without separators have, behind the year: month, day, hour, minute, second, fraction.
const LENGTHS: [usize; 6] = [2, 2, 2, 2, 2, 6];
/// Positions among the parts.
const DAY: usize = 2;
const SECOND: usize = 5;
const FRACTION: usize = 6;

/// Microseconds since 1970 of a date, or of a date and a time: `2024-01-31`, `2024/1/31 12:00:00.5`, `20240131`, `20240131120000`. Any
/// punctuation separates; a year of two digits is one from 1970 to 2069; nothing for what no calendar has.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let joined = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'T').count();
    let rest = text.as_bytes().get(joined);
    // Without separators the length tells how long the year is.
    let year_len = match rest {
        None | Some(b'.') if joined == 4 || joined == 8 || joined >= 14 => Some(4),
        None | Some(b'.') => Some(2),
        Some(_) => None,
    };
    let [year, month, day, hour, minute, second, micros] = parts(text.as_bytes(), year_len)?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if year > 9999 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from((hour * 60 + minute) * 60 + second);
    let days = days_from_civil(year as i32, month as i32, day as i32);
    Some(i64::from(days) * MICROS_PER_DAY + seconds * 1_000_000 + i64::from(micros))
}

/// Year, month, day, hour, minute, second, microseconds; those that are not there are 0.
fn parts(mut text: &[u8], year_len: Option<usize>) -> Option<[u32; 7]> {
    let mut parts = [0; 7];
    for at in 0..parts.len() {
        let longest = match (at, year_len) {
            (0, Some(len)) => len,
            (FRACTION, _) | (_, Some(_)) => *LENGTHS.get(at.checked_sub(1)?)?,
            _ => 6,
        };
        let len = text.iter().take(longest).take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = text.split_at_checked(len)?;
        let mut value = std::str::from_utf8(digits).ok()?.parse::<u32>().ok()?;
        if at == 0 && len == 2 {
            value += if value < 70 { 2000 } else { 1900 };
        }
        if at == FRACTION {
            value *= 10u32.pow(6 - len as u32);
        }
        *parts.get_mut(at)? = value;
        text = match rest {
            [] => return (at >= DAY).then_some(parts),
            _ if at == FRACTION => return None,
            [b'T', rest @ ..] if at == DAY => rest,
            [b'.', rest @ ..] if at == SECOND => rest,
            _ if at == SECOND => return None,
            _ if year_len.is_some() => separated(rest, at == DAY).unwrap_or(rest),
            _ => separated(rest, at == DAY)?,
        };
    }
    None
}

/// What is behind separators: punctuation, and between date and time also spaces.
fn separated(text: &[u8], spaces: bool) -> Option<&[u8]> {
    let separates = |b: &u8| b.is_ascii_punctuation() || spaces && b.is_ascii_whitespace();
    let len = text.iter().take_while(|b| separates(b)).count();
    (len > 0).then(|| &text[len..])
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::text;

    #[test]
    fn dates_are_read_in_all_forms() {
        for (written, read) in [
            ("2024-01-31", "2024-01-31 00:00:00"),
            (" 2024-1-3 ", "2024-01-03 00:00:00"),
            ("2024/1/3 4:5:6", "2024-01-03 04:05:06"),
            ("2024-01-31 23:59:59.999999", "2024-01-31 23:59:59.999999"),
            ("2024-01-31T12:30:00.5", "2024-01-31 12:30:00.500000"),
            ("2024-01-31  12:30", "2024-01-31 12:30:00"),
            ("20240131", "2024-01-31 00:00:00"),
            ("20240131123456", "2024-01-31 12:34:56"),
            ("20240131T123456", "2024-01-31 12:34:56"),
            ("20240131123456.25", "2024-01-31 12:34:56.250000"),
            ("240131", "2024-01-31 00:00:00"),
            ("70-1-1", "1970-01-01 00:00:00"),
            ("69.12.31", "2069-12-31 00:00:00"),
            ("0001-01-01", "0001-01-01 00:00:00"),
            ("9999-12-31", "9999-12-31 00:00:00"),
            ("2024-02-29", "2024-02-29 00:00:00"),
        ] {
            assert_eq!(parse(written).map(text::datetime).as_deref(), Some(read), "{written}");
        }
        for written in [
            "",
            "2024",
            "2024-01",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "2023-02-29",
            "2024-04-31",
            "1900-02-29",
            "2024-01-31 24:00:00",
            "2024-01-31 12:60:00",
            "2024-01-31 12:00:60",
            "2024-01-31 12:00:00.1234567",
            "2024-01-31x",
            "2024-01-31 12:00:00 x",
            "x2024-01-31",
            "99999-01-01",
            "2024-01 31",
            "-2024-01-31",
        ] {
            assert_eq!(parse(written), None, "{written}");
        }
    }
}
