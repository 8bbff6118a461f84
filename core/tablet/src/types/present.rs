//! The last step: from arrays as they are decoded and merged to arrays as they are handed out.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Int64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field};

use crate::error::{Result, TabletError, Within};
use crate::schema::{Column, LogicalType};

use super::hll::Hll;
use super::{BitmapAs, HllAs, LargeIntAs, MapAs, ReadOptions, TextAs, arrow_field, bitmap};

/// Whether a column is handed out exactly as it is decoded.
fn unchanged(ty: &LogicalType, options: &ReadOptions) -> bool {
    match ty {
        LogicalType::LargeInt => false,
        LogicalType::Char(_) | LogicalType::Varchar(_) | LogicalType::Json => options.text == TextAs::Binary,
        LogicalType::Hll => options.hll == HllAs::Binary,
        LogicalType::Bitmap => options.bitmap == BitmapAs::Binary,
        LogicalType::Array(element) => unchanged(&element.ty, options),
        LogicalType::Map(key, value) => {
            options.map == MapAs::Entries && unchanged(&key.ty, options) && unchanged(&value.ty, options)
        }
        LogicalType::Struct(fields) => fields.iter().all(|f| unchanged(&f.ty, options)),
        _ => true,
    }
}

fn arrow(e: arrow_schema::ArrowError) -> TabletError {
    TabletError::damaged(e.to_string())
}

/// Turns an array of a column into what the options ask for.
pub(crate) fn present(array: &ArrayRef, column: &Column, options: &ReadOptions) -> Result<ArrayRef> {
    if unchanged(&column.ty, options) {
        return Ok(array.clone());
    }
    let other = || TabletError::damaged(format!("an array of {} for {}", array.data_type(), column.ty.sql()));
    match &column.ty {
        LogicalType::LargeInt => large_int(array.as_primitive_opt().ok_or_else(other)?, options.large_int),
        LogicalType::Char(_) | LogicalType::Varchar(_) | LogicalType::Json => {
            text(array.as_binary_opt().ok_or_else(other)?, options.text)
        }
        LogicalType::Hll => {
            let values = array.as_binary_opt::<i32>().ok_or_else(other)?.iter();
            let cardinality = |v: Option<&[u8]>| v.map(|v| Ok(Hll::parse(v)?.cardinality())).transpose();
            let values = values.map(cardinality).collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(PrimitiveArray::<Int64Type>::from(values)))
        }
        LogicalType::Bitmap => bitmaps(array.as_binary_opt().ok_or_else(other)?, options.bitmap),
        LogicalType::Array(element) => {
            let list = array.as_list_opt::<i32>().ok_or_else(other)?;
            let values = present(list.values(), element, options)?;
            let field = Arc::new(arrow_field(element, options)?);
            let list = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned());
            Ok(Arc::new(list.map_err(arrow)?))
        }
        LogicalType::Map(key, value) => {
            let list = array.as_list_opt::<i32>().ok_or_else(other)?;
            let [keys, values] = list.values().as_struct_opt().ok_or_else(other)?.columns() else {
                return Err(other());
            };
            let columns = vec![present(keys, key, options)?, present(values, value, options)?];
            entries(list, columns, arrow_field(column, options)?.data_type(), keys.null_count())
        }
        LogicalType::Struct(fields) => {
            let structure = array.as_struct_opt().ok_or_else(other)?;
            let columns = structure.columns().iter().zip(fields);
            let columns =
                columns.map(|(a, f)| present(a, f, options).within(|| f.name.clone())).collect::<Result<_>>()?;
            let fields = fields.iter().map(|f| arrow_field(f, options)).collect::<Result<Vec<_>>>()?;
            let nulls = structure.nulls().cloned();
            let structure = StructArray::try_new_with_length(fields.into(), columns, nulls, array.len());
            Ok(Arc::new(structure.map_err(arrow)?))
        }
        _ => Ok(array.clone()),
    }
}

/// The entries of `list`, keys and values, as `ty`: a map, or a list again.
fn entries(list: &ListArray, columns: Vec<ArrayRef>, ty: &DataType, null_keys: usize) -> Result<ArrayRef> {
    let (DataType::Map(field, _) | DataType::List(field)) = ty else {
        return Err(TabletError::damaged(format!("a MAP as {ty}")));
    };
    let DataType::Struct(fields) = field.data_type() else {
        return Err(TabletError::damaged(format!("a MAP as {ty}")));
    };
    let is_map = matches!(ty, DataType::Map(..));
    if is_map && null_keys > 0 {
        let reason = "a MAP with a NULL key, which Arrow and Parquet do not allow; read MAP as a list of its entries";
        return Err(TabletError::unrepresentable(reason));
    }
    let content = StructArray::try_new(fields.clone(), columns, None).map_err(arrow)?;
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    if is_map {
        return Ok(Arc::new(MapArray::try_new(field.clone(), offsets, content, nulls, false).map_err(arrow)?));
    }
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, Arc::new(content), nulls).map_err(arrow)?))
}

fn text(array: &BinaryArray, wanted: TextAs) -> Result<ArrayRef> {
    // Checks all bytes at once, and copies none.
    match StringArray::try_new(array.offsets().clone(), array.values().clone(), array.nulls().cloned()) {
        Ok(text) => Ok(Arc::new(text)),
        Err(_) if wanted == TextAs::Utf8Lossy => {
            let texts = array.iter().map(|v| v.map(String::from_utf8_lossy));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        Err(e) => {
            Err(TabletError::unrepresentable(format!("text that is not UTF-8; read text as binary, or lossily: {e}")))
        }
    }
}

fn large_int(array: &PrimitiveArray<Decimal128Type>, wanted: LargeIntAs) -> Result<ArrayRef> {
    const BOUND: i128 = 10i128.pow(38);
    match wanted {
        LargeIntAs::Decimal128 => match array.iter().flatten().find(|v| *v >= BOUND || *v <= -BOUND) {
            Some(value) => Err(TabletError::unrepresentable(format!(
                "LARGEINT {value} has 39 digits; read LARGEINT as Decimal256 or as text"
            ))),
            None => Ok(Arc::new(array.clone())),
        },
        LargeIntAs::Decimal256 => {
            let wide = array.unary::<_, Decimal256Type>(i256::from_i128);
            Ok(Arc::new(wide.with_precision_and_scale(39, 0).map_err(arrow)?))
        }
        LargeIntAs::Text => Ok(Arc::new(array.iter().map(|v| v.map(|v| v.to_string())).collect::<StringArray>())),
    }
}

fn bitmaps(array: &BinaryArray, wanted: BitmapAs) -> Result<ArrayRef> {
    if wanted == BitmapAs::Cardinality {
        let count = |v: Option<&[u8]>| v.map(|v| Ok(bitmap::parse(v)?.len() as i64)).transpose();
        let values = array.iter().map(count).collect::<Result<Vec<_>>>()?;
        return Ok(Arc::new(PrimitiveArray::<Int64Type>::from(values)));
    }
    let mut lists =
        ListBuilder::new(UInt64Builder::new()).with_field(Arc::new(Field::new("item", DataType::UInt64, false)));
    let mut total = 0;
    for value in array {
        if let Some(value) = value {
            let set = bitmap::parse(value)?;
            total += set.len();
            // A run of four billion values is eight bytes in a bitmap.
            if total > 1 << 28 {
                return Err(TabletError::unrepresentable(
                    "more than 268 million BITMAP values in one batch; read BITMAP as binary or as its cardinality",
                ));
            }
            set.iter().for_each(|v| lists.values().append_value(v));
        }
        lists.append(value.is_some());
    }
    Ok(Arc::new(lists.finish()))
}
