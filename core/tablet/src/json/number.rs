//! The text of floating-point numbers in JSON.

use std::io::Write as _;

/// Appends a double: plain digits where that is short, else with an exponent (`1e+20`, `1.5e-7`).
pub fn write(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value == 0.0 {
        out.push(b'0');
        return;
    }
    let (digits, exponent) = shortest(value.abs());
    layout(&digits, exponent, value.is_sign_negative(), out);
}

/// Significant digits without zeros at the end, and the power of ten of the last one.
fn shortest(value: f64) -> (Vec<u8>, i32) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let last = exponent.parse::<i32>().unwrap_or(0) - (digits.len() as i32 - 1);
    (digits, last)
}

fn layout(digits: &[u8], last: i32, negative: bool, out: &mut Vec<u8>) {
    let count = digits.len() as i32;
    let first = last + count - 1;
    if last >= 0 && first.abs() < count + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + last as usize, b'0');
    } else if last < 0 && (last > -7 || first.abs() < 4) {
        let whole = count + last;
        if whole <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + whole.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            let (whole, fraction) = digits.split_at(whole as usize);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    } else {
        // At most 18 characters are kept, the sign counted as one.
        let digits = &digits[..digits.len().min(18 - usize::from(negative))];
        let (lead, fraction) = digits.split_at(1);
        out.extend_from_slice(lead);
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        let sign = if first < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{}", first.abs());
    }
}
