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
    let (digits, exponent) = digits_of(value.abs());
    layout(&digits, exponent, value.is_sign_negative(), out);
}

/// Significant digits and the power of ten of the last one, by Grisu2 (Florian Loitsch, 2010), as StarRocks' printer finds them.
/// They always read back as the same number, and once in a few hundred numbers are not the closest or not the fewest, which is
/// why no other algorithm will do.
fn digits_of(value: f64) -> (Vec<u8>, i32) {
    let bits = value.to_bits();
    let (fraction, biased) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    let (significand, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
    let exact = Scaled { significand, exponent }.normalized();
    // Halfway to both neighbours; the lower one is closer below a power of two.
    let upper = Scaled { significand: (significand << 1) + 1, exponent: exponent - 1 }.normalized();
    let closer = u32::from(significand == 1 << 52);
    let lower = Scaled { significand: (significand << (1 + closer)) - 1, exponent: exponent - 1 - closer as i32 };
    let lower = Scaled { significand: lower.significand << (lower.exponent - upper.exponent), ..upper };
    let (power, ten) = power_for(upper.exponent);
    let (exact, mut upper, mut lower) = (exact.times(power), upper.times(power), lower.times(power));
    // Products are off by up to one unit: only what is inside for certain counts.
    lower.significand += 1;
    upper.significand -= 1;
    generate(exact, upper, upper.significand - lower.significand, -ten)
}

/// significand · 2^exponent.
#[derive(Clone, Copy)]
struct Scaled {
    significand: u64,
    exponent: i32,
}

impl Scaled {
    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Scaled { significand: self.significand << shift, exponent: self.exponent - shift as i32 }
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Scaled) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand) + (1 << 63);
        Scaled { significand: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// Powers of ten from 10^-348 on, every eighth, as normalized significands.
const POWERS: [u64; 87] = [
    0xfa8fd5a0081c0288,
    0xbaaee17fa23ebf76,
    0x8b16fb203055ac76,
    0xcf42894a5dce35ea,
    0x9a6bb0aa55653b2d,
    0xe61acf033d1a45df,
    0xab70fe17c79ac6ca,
    0xff77b1fcbebcdc4f,
    0xbe5691ef416bd60c,
    0x8dd01fad907ffc3c,
    0xd3515c2831559a83,
    0x9d71ac8fada6c9b5,
    0xea9c227723ee8bcb,
    0xaecc49914078536d,
    0x823c12795db6ce57,
    0xc21094364dfb5637,
    0x9096ea6f3848984f,
    0xd77485cb25823ac7,
    0xa086cfcd97bf97f4,
    0xef340a98172aace5,
    0xb23867fb2a35b28e,
    0x84c8d4dfd2c63f3b,
    0xc5dd44271ad3cdba,
    0x936b9fcebb25c996,
    0xdbac6c247d62a584,
    0xa3ab66580d5fdaf6,
    0xf3e2f893dec3f126,
    0xb5b5ada8aaff80b8,
    0x87625f056c7c4a8b,
    0xc9bcff6034c13053,
    0x964e858c91ba2655,
    0xdff9772470297ebd,
    0xa6dfbd9fb8e5b88f,
    0xf8a95fcf88747d94,
    0xb94470938fa89bcf,
    0x8a08f0f8bf0f156b,
    0xcdb02555653131b6,
    0x993fe2c6d07b7fac,
    0xe45c10c42a2b3b06,
    0xaa242499697392d3,
    0xfd87b5f28300ca0e,
    0xbce5086492111aeb,
    0x8cbccc096f5088cc,
    0xd1b71758e219652c,
    0x9c40000000000000,
    0xe8d4a51000000000,
    0xad78ebc5ac620000,
    0x813f3978f8940984,
    0xc097ce7bc90715b3,
    0x8f7e32ce7bea5c70,
    0xd5d238a4abe98068,
    0x9f4f2726179a2245,
    0xed63a231d4c4fb27,
    0xb0de65388cc8ada8,
    0x83c7088e1aab65db,
    0xc45d1df942711d9a,
    0x924d692ca61be758,
    0xda01ee641a708dea,
    0xa26da3999aef774a,
    0xf209787bb47d6b85,
    0xb454e4a179dd1877,
    0x865b86925b9bc5c2,
    0xc83553c5c8965d3d,
    0x952ab45cfa97a0b3,
    0xde469fbd99a05fe3,
    0xa59bc234db398c25,
    0xf6c69a72a3989f5c,
    0xb7dcbf5354e9bece,
    0x88fcf317f22241e2,
    0xcc20ce9bd35c78a5,
    0x98165af37b2153df,
    0xe2a0b5dc971f303a,
    0xa8d9d1535ce3b396,
    0xfb9b7cd9a4a7443c,
    0xbb764c4ca7a44410,
    0x8bab8eefb6409c1a,
    0xd01fef10a657842c,
    0x9b10a4e5e9913129,
    0xe7109bfba19c0c9d,
    0xac2820d9623bf429,
    0x80444b5e7aa7cf85,
    0xbf21e44003acdd2d,
    0x8e679c2f5e44ff8f,
    0xd433179d9c8cb841,
    0x9e19db92b4e31ba9,
    0xeb96bf6ebadf77d9,
    0xaf87023b9bf0ee6b,
];

/// A power of ten that brings a normalized number of this exponent to between 2^-60 and 2^-32 units, and its own exponent.
fn power_for(exponent: i32) -> (Scaled, i32) {
    let entry = |at: i32| {
        let ten = at * 8 - 348;
        // Floor of the binary logarithm, exact for the whole table.
        let two = ((i64::from(ten) * 217_706) >> 16) as i32 - 63;
        let significand = POWERS.get(at as usize).copied().unwrap_or(1 << 63);
        (Scaled { significand, exponent: two }, ten)
    };
    let mut at = ((-f64::from(exponent + 87) * std::f64::consts::LOG10_2) as i32 + 348) / 8;
    loop {
        let found = entry(at);
        match exponent + found.0.exponent + 64 {
            ..-60 => at += 1,
            -31.. => at -= 1,
            _ => return found,
        }
    }
}

/// Digits of `upper` until what is left is within `delta`, the last one then moved towards `exact`.
fn generate(exact: Scaled, upper: Scaled, mut delta: u64, mut last: i32) -> (Vec<u8>, i32) {
    let point = -upper.exponent as u32;
    let one = 1u64 << point;
    let mut distance = upper.significand - exact.significand;
    let (mut whole, mut fraction) = (upper.significand >> point, upper.significand & (one - 1));
    let mut digits = Vec::with_capacity(18);
    for position in (0..10).rev() {
        let unit = 10u64.pow(position);
        let digit = (whole / unit) as u8;
        whole %= unit;
        if digit > 0 || !digits.is_empty() {
            digits.push(b'0' + digit);
        }
        let rest = (whole << point) + fraction;
        if rest <= delta {
            approach(&mut digits, delta, rest, unit << point, distance);
            return (digits, last + position as i32);
        }
    }
    loop {
        fraction *= 10;
        delta = delta.wrapping_mul(10);
        distance = distance.wrapping_mul(10);
        last -= 1;
        let digit = (fraction >> point) as u8;
        if digit > 0 || !digits.is_empty() {
            digits.push(b'0' + digit);
        }
        fraction &= one - 1;
        if fraction < delta {
            approach(&mut digits, delta, fraction, one, distance);
            return (digits, last);
        }
    }
}

/// Lowers the last digit as long as that brings the number closer to the exact one, which is `distance` below the upper end.
fn approach(digits: &mut [u8], delta: u64, mut rest: u64, unit: u64, distance: u64) {
    let Some(last) = digits.last_mut() else { return };
    while rest < distance
        && delta - rest >= unit
        && (rest + unit < distance || distance - rest > rest + unit - distance)
    {
        *last -= 1;
        rest += unit;
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write(value, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn numbers_print_as_starrocks_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (1e300, "1e+300"),
            (123456789.0, "123456789"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (9007199254740993.0, "9007199254740992"),
        ];
        for (value, wanted) in cases {
            assert_eq!(text(value), wanted);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn every_number_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            // Numbers of 18 digits and a sign lose the last one, as in StarRocks.
            if value.is_finite() && value > 0.0 {
                prop_assert_eq!(text(value).parse::<f64>().map(f64::to_bits), Ok(bits));
            }
        }
    }
}
