//! Fixed-size stored values to the native values of Arrow arrays.

use arrow_array::types::*;
use arrow_buffer::i256;

/// Days from the Julian day 0 to 1970-01-01.
pub const JULIAN_1970: i32 = 2_440_588;
/// Days since 1970 of the special date 0000-00-00 (which no calendar has).
pub const ZERO_DATE: i32 = 1_721_028 - JULIAN_1970;
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A stored type: how many bytes a value has and what it becomes.
pub(crate) trait Stored: 'static + Send {
    type Arrow: ArrowPrimitiveType;
    const SIZE: usize;

    /// The value of exactly `SIZE` bytes; nothing for bytes that stand for no value (such as garbage under a NULL).
    fn value(bytes: &[u8]) -> Option<<Self::Arrow as ArrowPrimitiveType>::Native>;
}

macro_rules! stored {
    ($(#[$doc:meta])* $name:ident, $arrow:ty, $size:literal, |$bytes:ident| $value:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl Stored for $name {
            type Arrow = $arrow;
            const SIZE: usize = $size;

            #[inline(always)]
            fn value(bytes: &[u8]) -> Option<<$arrow as ArrowPrimitiveType>::Native> {
                let $bytes: [u8; $size] = *bytes.first_chunk()?;
                $value
            }
        }
    };
}

stored!(StoredTinyInt, Int8Type, 1, |b| Some(i8::from_le_bytes(b)));
stored!(StoredSmallInt, Int16Type, 2, |b| Some(i16::from_le_bytes(b)));
stored!(StoredInt, Int32Type, 4, |b| Some(i32::from_le_bytes(b)));
stored!(StoredBigInt, Int64Type, 8, |b| Some(i64::from_le_bytes(b)));
stored!(StoredFloat, Float32Type, 4, |b| Some(f32::from_le_bytes(b)));
stored!(StoredDouble, Float64Type, 8, |b| Some(f64::from_le_bytes(b)));
stored!(
    /// LARGEINT, DECIMALV2, DECIMAL128.
    Stored128, Decimal128Type, 16, |b| Some(i128::from_le_bytes(b))
);
stored!(StoredDecimal32, Decimal128Type, 4, |b| Some(i128::from(i32::from_le_bytes(b))));
stored!(StoredDecimal64, Decimal128Type, 8, |b| Some(i128::from(i64::from_le_bytes(b))));
stored!(StoredDecimal256, Decimal256Type, 32, |b| Some(i256::from_le_bytes(b)));
stored!(
    /// Integer part and billionths, both with the sign.
    StoredDecimalV1, Decimal128Type, 12, |b| decimal_v1(b)
);
stored!(
    /// Julian day.
    StoredDate, Date32Type, 4, |b| Some(i32::from_le_bytes(b).wrapping_sub(JULIAN_1970))
);
stored!(
    /// Julian day, then 40 bits of microseconds of the day.
    StoredDateTime, TimestampMicrosecondType, 8, |b| datetime(i64::from_le_bytes(b))
);
stored!(
    /// year << 9 | month << 5 | day.
    StoredDateV1, Date32Type, 3, |b| {
        let packed = i32::from(b[0]) | i32::from(b[1]) << 8 | i32::from(b[2]) << 16;
        date_v1(packed >> 9, packed >> 5 & 15, packed & 31)
    }
);
stored!(
    /// Decimal digits YYYYMMDDhhmmss.
    StoredDateTimeV1, TimestampMicrosecondType, 8, |b| datetime_v1(i64::from_le_bytes(b))
);

fn decimal_v1(bytes: [u8; 12]) -> Option<i128> {
    let (whole, fraction) = bytes.split_first_chunk::<8>()?;
    let (whole, fraction) = (i64::from_le_bytes(*whole), i32::from_le_bytes(*fraction.first_chunk()?));
    Some(i128::from(whole) * 1_000_000_000 + i128::from(fraction))
}

fn datetime(packed: i64) -> Option<i64> {
    let (day, micros) = (packed >> 40, packed & ((1 << 40) - 1));
    // A day has 24 bits here, so the product cannot overflow.
    (micros < MICROS_PER_DAY).then_some((day - i64::from(JULIAN_1970)) * MICROS_PER_DAY + micros)
}

fn date_v1(year: i32, month: i32, day: i32) -> Option<i32> {
    if (year, month, day) == (0, 0, 0) {
        return Some(ZERO_DATE);
    }
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then(|| days_from_civil(year, month, day))
}

fn datetime_v1(digits: i64) -> Option<i64> {
    let (date, time) = (digits / 1_000_000, digits % 1_000_000);
    let (hour, minute, second) = (time / 10_000, time / 100 % 100, time % 100);
    if !(0..=99_991_231).contains(&date) || time < 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = date as i32;
    let days = i64::from(date_v1(date / 10_000, date / 100 % 100, date % 100)?);
    Some(days * MICROS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (with a year 0).
pub fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    // Years that start in March put the leap day last.
    let year = year - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01.
pub fn civil_from_days(days: i32) -> (i32, i32, i32) {
    let days = i64::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as i32, day as i32)
}
