//! Values in the forms that indexes keep them in.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};

use crate::column::stored;
use crate::proto::segment::ColumnMetaPb;
use crate::types::number::{JULIAN_1970, MICROS_PER_DAY};

/// The bytes that a bloom filter hashes for the one value of `value`, as they stand in the column's pages; nothing where that is not known.
pub(super) fn hashed(value: &ArrayRef, meta: &ColumnMetaPb) -> Option<Vec<u8>> {
    match meta.r#type? {
        stored::VARCHAR => Some(text(value)?.to_vec()),
        stored::CHAR => {
            let len = usize::try_from(meta.length?).ok().filter(|len| *len <= 255)?;
            let mut bytes = text(value)?.to_vec();
            // A longer value stands in no page; nothing is to be found out about it.
            (bytes.len() <= len).then(|| {
                bytes.resize(len, 0);
                bytes
            })
        }
        _ => number(value, meta).map(|(number, len)| number.to_le_bytes()[..len].to_vec()),
    }
}

/// The bytes that the short key index has for the one value of `value`: big-endian with the sign turned over, so that bytes are ordered as
/// the numbers are; nothing for text, which is as long as it is.
pub(super) fn ordered(value: &ArrayRef, meta: &ColumnMetaPb) -> Option<Vec<u8>> {
    let (number, len) = number(value, meta)?;
    if meta.r#type == Some(stored::BOOLEAN) {
        return Some(vec![number as u8]);
    }
    let mut bytes = number.to_be_bytes()[16 - len..].to_vec();
    *bytes.first_mut()? ^= 0x80;
    Some(bytes)
}

/// How many bytes the short key index has for a value; nothing where that is not known.
pub(super) fn ordered_len(meta: &ColumnMetaPb) -> Option<usize> {
    Some(match meta.r#type? {
        stored::BOOLEAN | stored::TINYINT => 1,
        stored::SMALLINT => 2,
        stored::INT | stored::DATE | stored::DECIMAL32 => 4,
        stored::BIGINT | stored::DATETIME | stored::DECIMAL64 => 8,
        stored::LARGEINT | stored::DECIMAL128 => 16,
        _ => return None,
    })
}

pub(super) fn text(value: &ArrayRef) -> Option<&[u8]> {
    value.as_binary_opt::<i32>().filter(|v| v.len() == 1 && v.is_valid(0)).map(|v| v.value(0))
}

/// A number as it is stored, and its length in bytes.
fn number(value: &ArrayRef, meta: &ColumnMetaPb) -> Option<(i128, usize)> {
    fn of<T: ArrowPrimitiveType>(value: &ArrayRef) -> Option<i128>
    where
        T::Native: Into<i128>,
    {
        let array = value.as_primitive_opt::<T>().filter(|a| a.len() == 1 && a.is_valid(0))?;
        Some(array.value(0).into())
    }
    let number = match meta.r#type? {
        stored::BOOLEAN => i128::from(value.as_boolean_opt().filter(|a| a.len() == 1 && a.is_valid(0))?.value(0)),
        stored::TINYINT => of::<Int8Type>(value)?,
        stored::SMALLINT => of::<Int16Type>(value)?,
        stored::INT => of::<Int32Type>(value)?,
        stored::BIGINT => of::<Int64Type>(value)?,
        stored::DATE => of::<Date32Type>(value)? + i128::from(JULIAN_1970),
        stored::DATETIME => {
            let micros = i64::try_from(of::<TimestampMicrosecondType>(value)?).ok()?;
            let day = micros.div_euclid(MICROS_PER_DAY) + i64::from(JULIAN_1970);
            i128::from(day << 40 | micros.rem_euclid(MICROS_PER_DAY))
        }
        stored::LARGEINT | stored::DECIMAL32 | stored::DECIMAL64 | stored::DECIMAL128 => of::<Decimal128Type>(value)?,
        _ => return None,
    };
    let len = ordered_len(meta)?;
    // A value that does not fit is none of the column's.
    let unused = 128 - 8 * u32::try_from(len).ok()?;
    (number << unused >> unused == number).then_some((number, len))
}
