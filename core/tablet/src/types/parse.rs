//! Values from their text: defaults of added columns, operands of delete predicates, casts from strings.

use std::sync::Arc;

use arrow_array::types::*;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Decimal256Array, ListArray, PrimitiveArray,
    StructArray, new_empty_array, new_null_array,
};
use arrow_buffer::{OffsetBuffer, i256};
use arrow_schema::{ArrowError, DataType};

use crate::error::{Result, TabletError};
use crate::json;
use crate::schema::{DecimalKind, LogicalType};

use super::number::MICROS_PER_DAY;
use super::{arrow_type, datetime, list_of_entries, stored_field};

/// An array of one value, which `text` stands for in a column of type `ty`.
pub(crate) fn one(text: &[u8], ty: &LogicalType) -> Result<ArrayRef> {
    one_or_none(text, ty)?.ok_or_else(|| {
        TabletError::damaged(format!("{:?} is no value of type {}", String::from_utf8_lossy(text), ty.sql()))
    })
}

fn one_or_none(text: &[u8], ty: &LogicalType) -> Result<Option<ArrayRef>> {
    fn array<T: ArrowPrimitiveType>(value: Option<T::Native>) -> Option<ArrayRef> {
        value.map(|value| Arc::new(PrimitiveArray::<T>::from_value(value, 1)) as ArrayRef)
    }
    let string = std::str::from_utf8(text).unwrap_or("").trim();
    Ok(match ty {
        LogicalType::Boolean => match string.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
            "false" | "0" => Some(Arc::new(BooleanArray::from(vec![false])) as ArrayRef),
            _ => None,
        },
        LogicalType::TinyInt => array::<Int8Type>(string.parse().ok()),
        LogicalType::SmallInt => array::<Int16Type>(string.parse().ok()),
        LogicalType::Int => array::<Int32Type>(string.parse().ok()),
        LogicalType::BigInt => array::<Int64Type>(string.parse().ok()),
        LogicalType::LargeInt => string.parse::<i128>().ok().map(|v| decimal128(v, 38, 0)).transpose()?,
        LogicalType::Float => array::<Float32Type>(string.parse().ok()),
        LogicalType::Double => array::<Float64Type>(string.parse().ok()),
        LogicalType::Date => array::<Date32Type>(datetime::parse(string).map(|m| m.div_euclid(MICROS_PER_DAY) as i32)),
        LogicalType::DateTime => array::<TimestampMicrosecondType>(datetime::parse(string)),
        LogicalType::Decimal { kind, precision, scale } => {
            let value = decimal(string, u32::from(scale.unsigned_abs()));
            match (value, kind) {
                (Some(value), DecimalKind::D256) => {
                    let array = Decimal256Array::from(vec![value]).with_precision_and_scale(*precision, *scale);
                    Some(Arc::new(array.map_err(|e| TabletError::damaged(e.to_string()))?) as ArrayRef)
                }
                (Some(value), _) => value.to_i128().map(|v| decimal128(v, *precision, *scale)).transpose()?,
                (None, _) => None,
            }
        }
        // The text of a sketch is its stored form.
        LogicalType::Varbinary(_) | LogicalType::Hll | LogicalType::Bitmap | LogicalType::Percentile => {
            Some(binary(text))
        }
        LogicalType::Char(_) | LogicalType::Varchar(_) => Some(binary(text)),
        LogicalType::Json => {
            let value = serde_json::from_str::<serde_json::Value>(string).ok();
            value.map(|value| binary(json::text::of(&value).as_bytes()))
        }
        LogicalType::Array(_) | LogicalType::Map(..) | LogicalType::Struct(_) => {
            let value = serde_json::from_str::<serde_json::Value>(string).ok();
            value.filter(|value| !value.is_null()).map(|value| nested(&value, ty)).transpose()?
        }
        LogicalType::Unknown(_) => {
            return Err(TabletError::unsupported(format!("the text of a value of type {}", ty.sql())));
        }
    })
}

/// A value inside of a nested one, whose text is JSON: arrays are lists, objects maps or structs, anything else has the text that it would
/// have alone.
fn nested(value: &serde_json::Value, ty: &LogicalType) -> Result<ArrayRef> {
    use serde_json::Value;
    let arrow = |e: ArrowError| TabletError::damaged(e.to_string());
    let wrong = || TabletError::damaged(format!("{value} is no value of type {}", ty.sql()));
    let data_type = arrow_type(ty, &stored_field)?;
    let one_list = |len: usize| OffsetBuffer::from_lengths([len]);
    match (ty, value) {
        (_, Value::Null) => Ok(new_null_array(&data_type, 1)),
        (LogicalType::Array(element), Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(|item| nested(item, &element.ty)).collect::<Result<_>>()?;
            let field = Arc::new(stored_field(element)?);
            let values = joined(&items, field.data_type())?;
            Ok(Arc::new(ListArray::try_new(field, one_list(items.len()), values, None).map_err(arrow)?))
        }
        (LogicalType::Map(key, item), Value::Object(members)) => {
            let keys: Vec<_> = members.keys().map(|name| one(name.as_bytes(), &key.ty)).collect::<Result<_>>()?;
            let items: Vec<_> = members.values().map(|v| nested(v, &item.ty)).collect::<Result<_>>()?;
            let types = [stored_field(key)?, stored_field(item)?];
            let columns = types.iter().zip([&keys, &items]).map(|(field, values)| joined(values, field.data_type()));
            list_of_entries(ty, columns.collect::<Result<_>>()?, one_list(members.len()), None)
        }
        (LogicalType::Struct(columns), Value::Object(members)) => {
            let find = |name: &str| members.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
            let values = columns.iter().map(|c| nested(find(&c.name).unwrap_or(&Value::Null), &c.ty));
            let fields = columns.iter().map(stored_field).collect::<Result<Vec<_>>>()?;
            let content = StructArray::try_new_with_length(fields.into(), values.collect::<Result<_>>()?, None, 1);
            Ok(Arc::new(content.map_err(arrow)?))
        }
        (LogicalType::Array(_) | LogicalType::Map(..) | LogicalType::Struct(_), _) => Err(wrong()),
        (LogicalType::Json, value) => one(value.to_string().as_bytes(), ty),
        (_, Value::String(text)) => one(text.as_bytes(), ty),
        (_, Value::Array(_) | Value::Object(_)) => Err(wrong()),
        (_, value) => one(value.to_string().as_bytes(), ty),
    }
}

/// Arrays of one value each as one array.
fn joined(values: &[ArrayRef], ty: &DataType) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(new_empty_array(ty));
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    arrow_select::concat::concat(&values).map_err(|e| TabletError::damaged(e.to_string()))
}

fn binary(bytes: &[u8]) -> ArrayRef {
    Arc::new(BinaryArray::from(vec![bytes]))
}

fn decimal128(value: i128, precision: u8, scale: i8) -> Result<ArrayRef> {
    let array = Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale);
    Ok(Arc::new(array.map_err(|e| TabletError::damaged(e.to_string()))?))
}

/// Exponents of decimals, in either direction: no type has as many digits.
const MAX_EXPONENT: i64 = 128;

/// The unscaled value of a decimal number, which may have an exponent; digits that have no place are rounded half away from zero.
pub(crate) fn decimal(text: &str, scale: u32) -> Option<i256> {
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.parse().ok()?),
        None => (text, 0),
    };
    if !(-MAX_EXPONENT..=MAX_EXPONENT).contains(&exponent) {
        return None;
    }
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ten = i256::from(10);
    let mut value = i256::ZERO;
    let digits = || whole.bytes().chain(fraction.bytes());
    // So many digits have a place; one less than none has not even one to be rounded by.
    let places = usize::try_from(whole.len() as i64 + exponent + i64::from(scale)).ok();
    for digit in digits().chain(std::iter::repeat(b'0')).take(places.unwrap_or(0)) {
        value = value.checked_mul(ten)?.checked_add(i256::from(i32::from(digit - b'0')))?;
    }
    if places.and_then(|places| digits().nth(places)).is_some_and(|digit| digit >= b'5') {
        value = value.checked_add(i256::ONE)?;
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::schema::Column;
    use arrow_array::cast::AsArray;

    fn column(name: &str, ty: LogicalType) -> Box<Column> {
        Box::new(Column::child(name.into(), ty))
    }

    #[test]
    fn decimals_have_exponents() {
        for (text, scale, value) in [
            ("1e2", 0, Some(100)),
            ("1E+2", 2, Some(10_000)),
            ("-1.25e1", 1, Some(-125)),
            ("125e-2", 1, Some(13)),
            ("5e-1", 0, Some(1)),
            ("4.9e-1", 0, Some(0)),
            ("9e-2", 0, Some(0)),
            (".5e1", 0, Some(5)),
            ("12.345", 2, Some(1235)),
            ("0e128", 0, Some(0)),
            ("1e128", 0, None),
            ("0e129", 0, None),
            ("1e99999999999999999999", 0, None),
            ("1e", 0, None),
            ("e1", 0, None),
            ("1e1e1", 0, None),
            ("1e1.5", 0, None),
            (".", 0, None),
        ] {
            assert_eq!(decimal(text, scale), value.map(i256::from_i128), "{text} with {scale}");
        }
    }

    #[test]
    fn nested_values_are_json() {
        let list = LogicalType::Array(column("element", LogicalType::Int));
        let array = one(b"[1, null, 3]", &list).unwrap();
        let items = array.as_list::<i32>().value(0);
        assert_eq!(items.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(3)]);
        assert_eq!(one(b"[]", &list).unwrap().as_list::<i32>().value(0).len(), 0);

        let map = LogicalType::Map(column("key", LogicalType::Int), column("value", list.clone()));
        let array = one(br#"{"7": [1], "8": null}"#, &map).unwrap();
        let entries = array.as_list::<i32>().values().as_struct();
        assert_eq!(entries.column(0).as_primitive::<Int32Type>().values(), &[7, 8]);
        assert!(entries.column(1).is_null(1) && entries.column(1).is_valid(0));

        let day = column("day", LogicalType::Date);
        let structure = LogicalType::Struct(vec![*column("t", LogicalType::Varchar(9)), *day, *column("m", map)]);
        let array = one(br#"{"T": "x", "day": "1970-01-03"}"#, &structure).unwrap();
        let content = array.as_struct();
        assert_eq!(content.column(0).as_binary::<i32>().value(0), b"x");
        assert_eq!(content.column(1).as_primitive::<Date32Type>().value(0), 2);
        assert!(content.column(2).is_null(0));

        for (text, ty) in
            [("1", &list), ("[1", &list), ("[\"x\"]", &list), ("{}", &list), ("[]", &structure), ("null", &list)]
        {
            assert!(one(text.as_bytes(), ty).is_err(), "{text}");
        }
    }
}
