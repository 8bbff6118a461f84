//! Column readers: the rows of one column of a segment, in order, as Arrow arrays.

mod compound;
mod flat_json;
mod out;
mod scalar;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

use crate::error::{Result, TabletError, Within};
use crate::proto::segment::ColumnMetaPb;
use crate::schema::{Column, DecimalKind, LogicalType};
use crate::source::ReadAt;

/// Reads a column forward. After an error a reader is of no more use.
pub(crate) trait ColumnReader: Send {
    /// The next `rows` rows; an error if there are not so many.
    fn read(&mut self, rows: usize) -> Result<ArrayRef>;

    /// Passes over the next `rows` rows.
    fn skip(&mut self, rows: u64) -> Result<()>;
}

/// What a column is read from.
#[derive(Clone)]
pub(crate) struct Context {
    pub file: Arc<dyn ReadAt>,
    pub pages: Arc<PageCounts>,
    /// Whether all its pages were counted when it was opened before.
    pub counted: bool,
    /// Bytes that are fetched ahead for one column, at most.
    pub max_fetch: u64,
    /// How many rows the column must have; not known of elements of ARRAY and MAP.
    pub rows: Option<u64>,
}

/// How many data pages the opened columns of a scan have, and how many of them were read.
#[derive(Debug, Default)]
pub(crate) struct PageCounts {
    pub all: AtomicU64,
    pub read: AtomicU64,
}

/// Numbers of stored types (ColumnMetaPB.type).
pub(crate) mod stored {
    pub const TINYINT: i32 = 1;
    pub const SMALLINT: i32 = 3;
    pub const INT: i32 = 5;
    pub const BIGINT: i32 = 7;
    pub const LARGEINT: i32 = 9;
    pub const FLOAT: i32 = 10;
    pub const DOUBLE: i32 = 11;
    pub const CHAR: i32 = 13;
    pub const DATE_V1: i32 = 14;
    pub const DATETIME_V1: i32 = 15;
    pub const DECIMAL_V1: i32 = 16;
    pub const VARCHAR: i32 = 17;
    pub const STRUCT: i32 = 18;
    pub const ARRAY: i32 = 19;
    pub const MAP: i32 = 20;
    pub const HLL: i32 = 23;
    pub const BOOLEAN: i32 = 24;
    pub const OBJECT: i32 = 25;
    pub const DECIMAL256: i32 = 26;
    pub const VARBINARY: i32 = 46;
    pub const DECIMAL32: i32 = 47;
    pub const DECIMAL64: i32 = 48;
    pub const DECIMAL128: i32 = 49;
    pub const DATE: i32 = 50;
    pub const DATETIME: i32 = 51;
    pub const DECIMALV2: i32 = 52;
    pub const PERCENTILE: i32 = 53;
    pub const JSON: i32 = 54;
}

/// The type that a column's segment holds: the schema's, where the two agree in kind; else what the stored number says. Scales
/// of decimals and fields of structs stand in the schema only.
pub(crate) fn stored_type(meta: &ColumnMetaPb, schema: &LogicalType) -> Result<LogicalType> {
    let number = meta.r#type.unwrap_or(0);
    let length = u32::try_from(meta.length.unwrap_or(0)).unwrap_or(0);
    let plain = match number {
        stored::TINYINT => LogicalType::TinyInt,
        stored::SMALLINT => LogicalType::SmallInt,
        stored::INT => LogicalType::Int,
        stored::BIGINT => LogicalType::BigInt,
        stored::LARGEINT => LogicalType::LargeInt,
        stored::FLOAT => LogicalType::Float,
        stored::DOUBLE => LogicalType::Double,
        stored::BOOLEAN => LogicalType::Boolean,
        stored::DATE | stored::DATE_V1 => LogicalType::Date,
        stored::DATETIME | stored::DATETIME_V1 => LogicalType::DateTime,
        stored::JSON => LogicalType::Json,
        stored::HLL => LogicalType::Hll,
        stored::OBJECT => LogicalType::Bitmap,
        stored::PERCENTILE => LogicalType::Percentile,
        stored::DECIMALV2 | stored::DECIMAL_V1 => {
            LogicalType::Decimal { kind: DecimalKind::V2, precision: 27, scale: 9 }
        }
        _ => return stored_with_schema(number, length, meta, schema),
    };
    Ok(plain)
}

fn stored_with_schema(number: i32, length: u32, meta: &ColumnMetaPb, schema: &LogicalType) -> Result<LogicalType> {
    let decimal = |wanted: DecimalKind| match schema {
        LogicalType::Decimal { kind, .. } if *kind == wanted => Ok(schema.clone()),
        other => {
            let other = other.sql();
            Err(TabletError::unsupported(format!(
                "a {wanted:?} decimal of unknown scale, where the schema has {other}"
            )))
        }
    };
    let children = &meta.children_columns;
    let missing = || TabletError::damaged(format!("a nested column with {} children", children.len()));
    let child = |column: &Column, at: usize| -> Result<Column> {
        let ty = stored_type(children.get(at).ok_or_else(missing)?, &column.ty)?;
        Ok(Column { ty, ..column.clone() })
    };
    match (number, schema) {
        (stored::CHAR, LogicalType::Char(_)) | (stored::VARCHAR, LogicalType::Varchar(_)) => Ok(schema.clone()),
        (stored::CHAR, _) => Ok(LogicalType::Char(length)),
        (stored::VARCHAR, _) => Ok(LogicalType::Varchar(length)),
        (stored::VARBINARY, LogicalType::Varbinary(_)) => Ok(schema.clone()),
        (stored::VARBINARY, _) => Ok(LogicalType::Varbinary(length)),
        (stored::DECIMAL32, _) => decimal(DecimalKind::D32),
        (stored::DECIMAL64, _) => decimal(DecimalKind::D64),
        (stored::DECIMAL128, _) => decimal(DecimalKind::D128),
        (stored::DECIMAL256, _) => decimal(DecimalKind::D256),
        (stored::ARRAY, LogicalType::Array(element)) => Ok(LogicalType::Array(Box::new(child(element, 0)?))),
        (stored::MAP, LogicalType::Map(key, value)) => {
            Ok(LogicalType::Map(Box::new(child(key, 0)?), Box::new(child(value, 1)?)))
        }
        (stored::STRUCT, LogicalType::Struct(fields)) => {
            let stored = fields.iter().enumerate().filter_map(|(at, f)| Some((f, struct_child(meta, f, at)?)));
            Ok(LogicalType::Struct(stored.map(|(f, at)| child(f, at)).collect::<Result<_>>()?))
        }
        (stored::ARRAY | stored::MAP | stored::STRUCT, other) => {
            Err(TabletError::unsupported(format!("a nested column where the schema has {}", other.sql())))
        }
        (other, _) => Err(TabletError::unsupported(format!("stored type {other}"))),
    }
}

/// Which child of a stored STRUCT is field `at` of the schema: the one with its id (since 3.3), or the one in its place where fields have no
/// ids; none where the field was added later.
fn struct_child(meta: &ColumnMetaPb, field: &Column, at: usize) -> Option<usize> {
    if !has_field_ids(meta, field) {
        return Some(at);
    }
    stored_fields(meta).iter().position(|child| child.unique_id == Some(field.unique_id as u32))
}

/// The children of a stored STRUCT that are fields: null flags come last, and may have the id of the STRUCT itself.
fn stored_fields(meta: &ColumnMetaPb) -> &[ColumnMetaPb] {
    match meta.children_columns.split_last() {
        Some((_, fields)) if meta.is_nullable == Some(true) => fields,
        _ => &meta.children_columns,
    }
}

/// Whether the fields of a stored STRUCT and of the schema have ids; those that have none have −1.
fn has_field_ids(meta: &ColumnMetaPb, field: &Column) -> bool {
    let known = |child: &ColumnMetaPb| child.unique_id.is_some_and(|id| id as i32 >= 0);
    field.unique_id >= 0 && stored_fields(meta).iter().any(known)
}

/// Opens the reader of a column whose segment holds `ty` (from [`stored_type`]).
pub(crate) fn open(context: &Context, meta: &ColumnMetaPb, ty: &LogicalType) -> Result<Box<dyn ColumnReader>> {
    match ty {
        LogicalType::Array(element) => compound::array(context, meta, element),
        LogicalType::Map(key, value) => compound::map(context, meta, key, value),
        LogicalType::Struct(fields) => compound::structure(context, meta, fields),
        LogicalType::Json if meta.json_meta.is_some_and(|m| m.is_flat == Some(true)) => {
            flat_json::open(context, meta).within(|| "flat JSON")
        }
        _ => Ok(Box::new(scalar::ScalarReader::open(context, meta, out::for_type(meta, ty)?)?)),
    }
}

/// Null flags, one byte per row and empty if there are none, as Arrow wants them.
fn null_buffer(flags: &[u8]) -> Option<NullBuffer> {
    if !any_set(flags) {
        return None;
    }
    let mut valid = Vec::with_capacity(flags.len().div_ceil(8));
    let (eights, rest) = flags.as_chunks::<8>();
    valid.extend(eights.iter().map(|eight| !set_bits(*eight)));
    if !rest.is_empty() {
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        valid.push(!set_bits(eight));
    }
    Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(valid), 0, flags.len())))
}

/// Whether any byte is not zero. Looks at all of them, which is quicker than to stop at the first.
fn any_set(flags: &[u8]) -> bool {
    flags.iter().fold(0, |all, flag| all | flag) != 0
}

/// A bit for each byte, the first the lowest, set where the byte is not zero.
fn set_bits(bytes: [u8; 8]) -> u8 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let bytes = u64::from_le_bytes(bytes);
    // The highest bit of each byte that is not zero, moved to its lowest, without carries between bytes.
    let set = (((bytes & LOW) + LOW) | bytes) & !LOW;
    // Adds copies so shifted that the bit of byte n comes to stand at 56 + n, and no two at the same place.
    ((set >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// Reads a helper column of flags (1 means NULL), stored as TINYINT or, up to 3.1.0, as BOOLEAN.
fn read_null_flags(reader: &mut dyn ColumnReader, rows: usize) -> Result<Option<NullBuffer>> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int8Type;
    let array = reader.read(rows)?;
    if array.null_count() > 0 {
        return Err(TabletError::damaged("NULL among null flags"));
    }
    let valid = match (array.as_primitive_opt::<Int8Type>(), array.as_boolean_opt()) {
        (Some(flags), _) => BooleanBuffer::collect_bool(rows, |at| flags.value(at) == 0),
        (_, Some(flags)) => !flags.values(),
        _ => return Err(TabletError::damaged("null flags that are neither TINYINT nor BOOLEAN")),
    };
    Ok(Some(NullBuffer::new(valid)).filter(|n| n.null_count() > 0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_flag_has_its_bit(flags in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(128), any::<u8>()], 0..300)) {
            let nulls = null_buffer(&flags);
            prop_assert_eq!(nulls.as_ref().map_or(0, NullBuffer::null_count), flags.iter().filter(|&&f| f != 0).count());
            for (at, &flag) in flags.iter().enumerate() {
                prop_assert_eq!(nulls.as_ref().is_none_or(|n| n.is_valid(at)), flag == 0);
            }
        }
    }
}
