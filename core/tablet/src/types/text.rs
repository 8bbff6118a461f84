//! Text of values, as StarRocks prints them.

use std::fmt::Write as _;

use super::number::{MICROS_PER_DAY, ZERO_DATE, civil_from_days};

/// `YYYY-MM-DD` of days since 1970.
pub fn date(days: i32) -> String {
    if days == ZERO_DATE {
        return "0000-00-00".into();
    }
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `YYYY-MM-DD hh:mm:ss`, and `.ffffff` where there are microseconds, of microseconds since 1970.
pub fn datetime(micros: i64) -> String {
    let days = micros.div_euclid(MICROS_PER_DAY);
    let rest = micros.rem_euclid(MICROS_PER_DAY);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let date = i32::try_from(days).map_or_else(|_| days.to_string(), date);
    let mut text = format!("{date} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if micros != 0 {
        let _ = write!(text, ".{micros:06}");
    }
    text
}

/// The digits of an unscaled decimal (with its sign, if any) with the point put in.
pub fn decimal(unscaled: &str, scale: usize) -> String {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// A decimal without the zeros that say nothing behind its point, as StarRocks prints DECIMALV2.
pub fn without_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}
