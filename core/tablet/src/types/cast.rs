//! Casts for columns whose type has changed since a segment was written.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, BinaryArray, ListArray, PrimitiveArray, StructArray, new_null_array};
use arrow_buffer::i256;
use arrow_schema::DataType;

use crate::error::{Result, TabletError, Within};
use crate::schema::{Column, DecimalKind, LogicalType};

use super::number::{MICROS_PER_DAY, ZERO_DATE};
use super::{list_of_entries, parse, stored_field, text};

/// Whether values of one type are those of the other without any change.
pub(crate) fn same(from: &LogicalType, to: &LogicalType) -> bool {
    use LogicalType::*;
    match (from, to) {
        (Char(_) | Varchar(_), Char(_) | Varchar(_)) | (Varbinary(_), Varbinary(_)) => true,
        (Array(a), Array(b)) => same_child(a, b),
        (Map(ak, av), Map(bk, bv)) => same_child(ak, bk) && same_child(av, bv),
        (Struct(a), Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && same_field(a, b) && same_child(a, b))
        }
        (Decimal { scale: a, precision: p, kind: k }, Decimal { scale: b, precision: q, kind: l }) => {
            a == b && p == q && (*k == DecimalKind::D256) == (*l == DecimalKind::D256)
        }
        _ => from == to,
    }
}

/// Whether two fields of a STRUCT are one: since 3.3 they have ids, so that a field can be dropped and another of its name be added.
fn same_field(a: &Column, b: &Column) -> bool {
    let known = a.unique_id >= 0 && b.unique_id >= 0;
    a.name.eq_ignore_ascii_case(&b.name) && (!known || a.unique_id == b.unique_id)
}

fn same_child(a: &Column, b: &Column) -> bool {
    a.nullable == b.nullable && same(&a.ty, &b.ty)
}

/// Casts values as StarRocks' CAST does; a value that has no counterpart becomes NULL.
pub(crate) fn cast(array: &ArrayRef, from: &LogicalType, to: &LogicalType) -> Result<ArrayRef> {
    use LogicalType::*;
    if same(from, to) {
        return Ok(array.clone());
    }
    let unsupported = || TabletError::unsupported(format!("a cast from {} to {}", from.sql(), to.sql()));
    match (from, to) {
        (Array(a), Array(b)) => cast_list(array, a, b),
        (Map(ak, av), Map(bk, bv)) => cast_map(array, (ak, av), (bk, bv)),
        (Struct(a), Struct(b)) => cast_struct(array, a, b),
        (Date, DateTime) => {
            let days = array.as_primitive_opt::<Date32Type>().ok_or_else(unsupported)?;
            // What no calendar has may be too far away to be counted in microseconds.
            let micros = |d: i32| i64::from(d).checked_mul(MICROS_PER_DAY);
            Ok(Arc::new(days.unary_opt::<_, TimestampMicrosecondType>(micros)))
        }
        (DateTime, Date) => {
            let micros = array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(unsupported)?;
            let day = |m: i64| i32::try_from(m.div_euclid(MICROS_PER_DAY)).unwrap_or(ZERO_DATE);
            Ok(Arc::new(micros.unary::<_, Date32Type>(day)))
        }
        (Float, Double) => {
            let values = array.as_primitive_opt::<Float32Type>().ok_or_else(unsupported)?;
            Ok(Arc::new(values.unary::<_, Float64Type>(f64::from)))
        }
        // JSON is kept as its text.
        (Json, Char(_) | Varchar(_)) => Ok(array.clone()),
        (_, Char(_) | Varchar(_)) => {
            let texts = texts(array, from).ok_or_else(unsupported)?;
            Ok(Arc::new(BinaryArray::from_iter(texts)))
        }
        (Char(_) | Varchar(_), _) => from_text(array, to),
        (_, Decimal { .. } | Boolean | TinyInt | SmallInt | Int | BigInt | LargeInt | Float | Double) => {
            from_number(array, from, to).ok_or_else(unsupported)
        }
        _ => Err(unsupported()),
    }
}

/// Whole numbers and decimals as (unscaled value, scale).
fn numbers(array: &ArrayRef, from: &LogicalType) -> Option<(Vec<Option<i256>>, u32)> {
    fn ints<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<Vec<Option<i256>>>
    where
        T::Native: Into<i128>,
    {
        Some(array.as_primitive_opt::<T>()?.iter().map(|v| v.map(|v| i256::from_i128(v.into()))).collect())
    }
    let scale = match from {
        LogicalType::Decimal { scale, .. } => u32::from(scale.unsigned_abs()),
        _ => 0,
    };
    let values = match array.data_type() {
        DataType::Boolean => array.as_boolean().iter().map(|v| v.map(|v| i256::from(i32::from(v)))).collect(),
        DataType::Int8 => ints::<Int8Type>(array)?,
        DataType::Int16 => ints::<Int16Type>(array)?,
        DataType::Int32 => ints::<Int32Type>(array)?,
        DataType::Int64 => ints::<Int64Type>(array)?,
        DataType::Decimal128(..) => ints::<Decimal128Type>(array)?,
        DataType::Decimal256(..) => array.as_primitive_opt::<Decimal256Type>()?.iter().collect(),
        _ => return None,
    };
    Some((values, scale))
}

/// Changes the scale of an unscaled value, rounding half away from zero.
fn rescale(value: i256, from: u32, to: u32) -> Option<i256> {
    let ten = i256::from(10);
    if to >= from {
        return value.checked_mul(ten.checked_pow(to - from)?);
    }
    let divisor = ten.checked_pow(from - to)?;
    let (quotient, rest) = (value.checked_div(divisor)?, value.checked_rem(divisor)?);
    let twice = rest.checked_mul(i256::from(2))?;
    let away = if twice >= divisor { 1 } else { -i32::from(-twice >= divisor) };
    quotient.checked_add(i256::from(away))
}

fn from_number(array: &ArrayRef, from: &LogicalType, to: &LogicalType) -> Option<ArrayRef> {
    let (values, scale) = numbers(array, from)?;
    fn narrow<T: ArrowPrimitiveType>(values: &[Option<i256>], scale: u32) -> ArrayRef
    where
        T::Native: TryFrom<i128>,
    {
        let narrow = |v: i256| T::Native::try_from(rescale(v, scale, 0)?.to_i128()?).ok();
        Arc::new(values.iter().map(|v| v.and_then(narrow)).collect::<PrimitiveArray<T>>())
    }
    let float = |v: i256| v.to_string().parse::<f64>().ok().map(|f| f / 10f64.powi(scale as i32));
    Some(match to {
        LogicalType::TinyInt => narrow::<Int8Type>(&values, scale),
        LogicalType::SmallInt => narrow::<Int16Type>(&values, scale),
        LogicalType::Int => narrow::<Int32Type>(&values, scale),
        LogicalType::BigInt => narrow::<Int64Type>(&values, scale),
        LogicalType::Boolean => {
            Arc::new(values.iter().map(|v| v.map(|v| v != i256::ZERO)).collect::<arrow_array::BooleanArray>())
        }
        LogicalType::Float => {
            let floats = values.iter().map(|v| v.and_then(float).map(|f| f as f32));
            Arc::new(floats.collect::<PrimitiveArray<Float32Type>>())
        }
        LogicalType::Double => {
            Arc::new(values.iter().map(|v| v.and_then(float)).collect::<PrimitiveArray<Float64Type>>())
        }
        LogicalType::LargeInt => {
            let values = values.iter().map(|v| v.and_then(|v| rescale(v, scale, 0)?.to_i128()));
            Arc::new(values.collect::<PrimitiveArray<Decimal128Type>>().with_precision_and_scale(38, 0).ok()?)
        }
        LogicalType::Decimal { kind, precision, scale: to } => {
            let bound = i256::from(10).checked_pow(u32::from(*precision));
            let fits = |v: &i256| bound.is_none_or(|b| *v < b && *v > -b);
            let values =
                values.iter().map(|v| v.and_then(|v| rescale(v, scale, u32::from(to.unsigned_abs()))).filter(fits));
            if *kind == DecimalKind::D256 {
                let array: PrimitiveArray<Decimal256Type> = values.collect();
                Arc::new(array.with_precision_and_scale(*precision, *to).ok()?)
            } else {
                let array: PrimitiveArray<Decimal128Type> = values.map(|v| v.and_then(i256::to_i128)).collect();
                Arc::new(array.with_precision_and_scale(*precision, *to).ok()?)
            }
        }
        _ => return None,
    })
}

fn texts(array: &ArrayRef, from: &LogicalType) -> Option<Vec<Option<String>>> {
    fn map<T: ArrowPrimitiveType>(array: &ArrayRef, f: impl Fn(T::Native) -> String) -> Option<Vec<Option<String>>> {
        Some(array.as_primitive_opt::<T>()?.iter().map(|v| v.map(&f)).collect())
    }
    match from {
        LogicalType::Date => map::<Date32Type>(array, text::date),
        LogicalType::DateTime => map::<TimestampMicrosecondType>(array, text::datetime),
        LogicalType::Float => map::<Float32Type>(array, text::float),
        LogicalType::Double => map::<Float64Type>(array, text::double),
        _ => {
            let (values, scale) = numbers(array, from)?;
            let old = matches!(from, LogicalType::Decimal { kind: DecimalKind::V2, .. });
            let text = |v: i256| {
                let text = text::decimal(&v.to_string(), scale as usize);
                if old { text::without_zeros(&text).to_owned() } else { text }
            };
            Some(values.into_iter().map(|v| v.map(text)).collect())
        }
    }
}

fn from_text(array: &ArrayRef, to: &LogicalType) -> Result<ArrayRef> {
    let to_type = stored_field(&Column::child(String::new(), to.clone()))?.data_type().clone();
    let null = new_null_array(&to_type, 1);
    let mut values = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let bytes = array.as_binary_opt::<i32>().filter(|a| a.is_valid(row)).map(|a| a.value(row));
        // Text that is no value of the type becomes NULL.
        values.push(match bytes.map(|b| parse::one(b, to)) {
            Some(Ok(value)) => value,
            Some(Err(e)) if e.kind() == crate::ErrorKind::Unsupported => return Err(e),
            _ => null.clone(),
        });
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    if values.is_empty() {
        return Ok(new_null_array(&to_type, 0));
    }
    arrow_select::concat::concat(&values).map_err(|e| TabletError::damaged(e.to_string()))
}

fn arrow(e: arrow_schema::ArrowError) -> TabletError {
    TabletError::damaged(e.to_string())
}

fn cast_list(array: &ArrayRef, from: &Column, to: &Column) -> Result<ArrayRef> {
    let list = array.as_list_opt::<i32>().ok_or_else(|| TabletError::damaged("an ARRAY that is none"))?;
    let values = cast(list.values(), &from.ty, &to.ty)?;
    let field = Arc::new(stored_field(to)?);
    Ok(Arc::new(ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned()).map_err(arrow)?))
}

fn cast_map(array: &ArrayRef, from: (&Column, &Column), to: (&Column, &Column)) -> Result<ArrayRef> {
    let none = || TabletError::damaged("a MAP that is none");
    let list = array.as_list_opt::<i32>().ok_or_else(none)?;
    let [keys, values] = list.values().as_struct_opt().ok_or_else(none)?.columns() else { return Err(none()) };
    let columns = vec![cast(keys, &from.0.ty, &to.0.ty)?, cast(values, &from.1.ty, &to.1.ty)?];
    let ty = LogicalType::Map(Box::new(to.0.clone()), Box::new(to.1.clone()));
    list_of_entries(&ty, columns, list.offsets().clone(), list.nulls().cloned())
}

fn cast_struct(array: &ArrayRef, from: &[Column], to: &[Column]) -> Result<ArrayRef> {
    let structure = array.as_struct_opt().ok_or_else(|| TabletError::damaged("a STRUCT that is none"))?;
    let mut columns = Vec::with_capacity(to.len());
    let mut fields = Vec::with_capacity(to.len());
    for column in to {
        let at = from.iter().position(|f| same_field(f, column));
        let field = stored_field(column)?;
        columns.push(match at.and_then(|at| Some((structure.columns().get(at)?, from.get(at)?))) {
            Some((values, from)) => cast(values, &from.ty, &column.ty).within(|| column.name.clone())?,
            None => new_null_array(field.data_type(), array.len()),
        });
        fields.push(field);
    }
    let nulls = structure.nulls().cloned();
    let array = StructArray::try_new_with_length(fields.into(), columns, nulls, array.len());
    Ok(Arc::new(array.map_err(arrow)?))
}
