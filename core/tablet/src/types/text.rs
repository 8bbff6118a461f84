//! Text of values, as StarRocks prints them.

use std::io::Write as _;

use super::number::{MICROS_PER_DAY, ZERO_DATE, civil_from_days};

/// `YYYY-MM-DD` of days since 1970.
pub fn date(days: i32) -> String {
    string(|out| write_date(days, out))
}

/// `YYYY-MM-DD hh:mm:ss`, and `.ffffff` where there are microseconds, of microseconds since 1970.
pub fn datetime(micros: i64) -> String {
    string(|out| write_datetime(micros, out))
}

/// The digits of an unscaled decimal (with its sign, if any) with the point put in.
pub fn decimal(unscaled: &str, scale: usize) -> String {
    string(|out| write_decimal(unscaled, scale, out))
}

/// A FLOAT: the fewest digits that read back as the same.
pub(crate) fn float(value: f32) -> String {
    string(|out| write_float(value, out))
}

/// A DOUBLE, likewise.
pub(crate) fn double(value: f64) -> String {
    string(|out| write_double(value, out))
}

fn string(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    // Digits and signs are UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends what [`date`] says.
pub(crate) fn write_date(days: i32, out: &mut Vec<u8>) {
    if days == ZERO_DATE {
        out.extend_from_slice(b"0000-00-00");
        return;
    }
    let (year, month, day) = civil_from_days(days);
    match u32::try_from(year) {
        Ok(year) if year < 10_000 => out.extend_from_slice(&digits::<4>(year)),
        // A vector takes everything.
        _ => drop(write!(out, "{year:04}")),
    }
    let ([m, n], [d, e]) = (digits(month.unsigned_abs()), digits(day.unsigned_abs()));
    out.extend_from_slice(&[b'-', m, n, b'-', d, e]);
}

/// Appends what [`datetime`] says.
pub(crate) fn write_datetime(micros: i64, out: &mut Vec<u8>) {
    let days = micros.div_euclid(MICROS_PER_DAY);
    // Less than the 86 400 000 000 of a day.
    let rest = micros.rem_euclid(MICROS_PER_DAY).unsigned_abs();
    let (seconds, micros) = ((rest / 1_000_000) as u32, (rest % 1_000_000) as u32);
    match i32::try_from(days) {
        Ok(days) => write_date(days, out),
        Err(_) => drop(write!(out, "{days}")),
    }
    let ([h, i], [m, n], [s, t]) = (digits(seconds / 3600), digits(seconds / 60 % 60), digits(seconds % 60));
    out.extend_from_slice(&[b' ', h, i, b':', m, n, b':', s, t]);
    if micros != 0 {
        out.push(b'.');
        out.extend_from_slice(&digits::<6>(micros));
    }
}

/// Appends what [`decimal`] says.
pub(crate) fn write_decimal(unscaled: &str, scale: usize, out: &mut Vec<u8>) {
    let digits = match unscaled.strip_prefix('-') {
        Some(digits) => {
            out.push(b'-');
            digits.as_bytes()
        }
        None => unscaled.as_bytes(),
    };
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale - fraction.len(), b'0');
        out.extend_from_slice(fraction);
    }
}

/// Appends what [`float`] says.
pub(crate) fn write_float(value: f32, out: &mut Vec<u8>) {
    match value {
        value if value.is_finite() => write_finite(value, out),
        value => out.extend_from_slice(not_finite(f64::from(value))),
    }
}

/// Appends what [`double`] says.
pub(crate) fn write_double(value: f64, out: &mut Vec<u8>) {
    match value {
        value if value.is_finite() => write_finite(value, out),
        value => out.extend_from_slice(not_finite(value)),
    }
}

/// Appends a number: the shortest text that reads back as the same.
fn number(value: impl serde::Serialize, out: &mut Vec<u8>) {
    // A number always has a text, and a vector takes it.
    let _ = serde_json::to_writer(out, &value);
}

/// Appends a finite FLOAT or DOUBLE: the fewest digits that read back as the same, whole numbers without a point, an exponent of at least
/// two digits from 1e16 on and below 0.0001.
fn write_finite(value: impl serde::Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    number(value, out);
    let text = out.get(start..).unwrap_or_default();
    let digits = start + usize::from(text.starts_with(b"-"));
    if text.ends_with(b".0") {
        out.truncate(out.len() - 2);
    } else if let Some(fraction) = out.get(digits..).and_then(|text| text.strip_prefix(b"0.0000")) {
        let zeros = fraction.iter().take_while(|digit| **digit == b'0').count();
        let fraction = fraction.get(zeros..).unwrap_or_default().to_vec();
        let (first, rest) = fraction.split_at(1.min(fraction.len()));
        out.truncate(digits);
        out.extend_from_slice(first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(b"e-");
        if zeros < 5 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(zeros + 5).as_bytes());
    } else if let [.., b'e', b'+' | b'-', _] = text {
        out.insert(out.len() - 1, b'0');
    }
}

fn not_finite(value: f64) -> &'static [u8] {
    if value.is_nan() {
        b"NaN"
    } else if value > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    }
}

/// The lowest `N` decimal digits.
fn digits<const N: usize>(mut value: u32) -> [u8; N] {
    let mut out = [b'0'; N];
    for digit in out.iter_mut().rev() {
        *digit += (value % 10) as u8;
        value /= 10;
    }
    out
}

/// A decimal without the zeros that say nothing behind its point, as StarRocks prints DECIMALV2.
pub fn without_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    /// The same by the standard library's formatting.
    fn formatted(micros: i64) -> String {
        let (days, rest) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
        let (year, month, day) = civil_from_days(days as i32);
        let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
        let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let date =
            if days == i64::from(ZERO_DATE) { "0000-00-00".into() } else { format!("{year:04}-{month:02}-{day:02}") };
        if micros == 0 { format!("{date} {time}") } else { format!("{date} {time}.{micros:06}") }
    }

    proptest! {
        #[test]
        fn dates_and_times_are_padded(days in prop_oneof![-800_000i32..3_000_000, -100_000_000i32..100_000_000, Just(ZERO_DATE)], rest in 0..MICROS_PER_DAY, whole: bool) {
            let micros = i64::from(days) * MICROS_PER_DAY + if whole { rest / 1_000_000 * 1_000_000 } else { rest };
            let text = datetime(micros);
            prop_assert_eq!(&text, &formatted(micros));
            prop_assert_eq!(date(days), text.split(' ').next().unwrap_or_default());
        }

        #[test]
        fn the_point_stands_before_the_last_digits(value: i64, scale in 0usize..25) {
            let (sign, value) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
            let padded = format!("{value:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            let wanted = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            prop_assert_eq!(decimal(&format!("{sign}{value}"), scale), wanted);
        }
    }
}
