//! Stored values to Arrow: which Arrow type each StarRocks type becomes, and how.

pub mod bitmap;
pub(crate) mod cast;
mod datetime;
pub mod hll;
pub mod number;
pub(crate) mod parse;
pub mod percentile;
pub(crate) mod present;
pub mod text;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, TimeUnit};

use crate::error::{Result, TabletError};
use crate::schema::{Column, DecimalKind, LogicalType};

/// What CHAR and VARCHAR become, and the text of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextAs {
    /// Utf8; bytes that are not UTF-8, which StarRocks stores without looking, are an error.
    #[default]
    Utf8,
    /// Utf8, with U+FFFD for what is not UTF-8.
    Utf8Lossy,
    /// Binary, verbatim.
    Binary,
}

/// What LARGEINT becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LargeIntAs {
    /// Decimal128(38, 0); the few values of 39 digits are an error.
    #[default]
    Decimal128,
    /// Decimal256(39, 0), which holds every value.
    Decimal256,
    /// Utf8, the digits.
    Text,
}

/// What HLL becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HllAs {
    /// Int64, the estimated number of distinct values.
    #[default]
    Cardinality,
    /// Binary, as stored.
    Binary,
}

/// What BITMAP becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BitmapAs {
    /// List of UInt64, ascending.
    #[default]
    Values,
    /// Int64, how many values there are.
    Cardinality,
    /// Binary, as stored.
    Binary,
}

/// What MAP becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapAs {
    /// Map; a NULL key, which StarRocks allows and Arrow does not, is an error.
    #[default]
    Map,
    /// List of structs of key and value, which holds every value.
    Entries,
}

/// How rows are read. `Default` suits Parquet and DuckDB users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Rows in a batch, at most.
    pub batch_rows: usize,
    /// Bytes of the batches that a scan holds at a time, more or less: a merge holds at least one of each sorted run.
    pub held_bytes: usize,
    pub text: TextAs,
    pub large_int: LargeIntAs,
    pub hll: HllAs,
    pub bitmap: BitmapAs,
    pub map: MapAs,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions {
            batch_rows: 4096,
            held_bytes: 64 << 20,
            text: TextAs::default(),
            large_int: LargeIntAs::default(),
            hll: HllAs::default(),
            bitmap: BitmapAs::default(),
            map: MapAs::default(),
        }
    }
}

/// Key of the Arrow field metadata that holds the StarRocks type, as SQL spells it.
pub const TYPE_METADATA: &str = "starrocks.type";

/// The Arrow field of a column as rows are handed out.
pub fn arrow_field(column: &Column, options: &ReadOptions) -> Result<Field> {
    let child = |c: &Column| arrow_field(c, options);
    let ty = match &column.ty {
        LogicalType::LargeInt => match options.large_int {
            LargeIntAs::Decimal128 => DataType::Decimal128(38, 0),
            LargeIntAs::Decimal256 => DataType::Decimal256(39, 0),
            LargeIntAs::Text => DataType::Utf8,
        },
        LogicalType::Hll if options.hll == HllAs::Cardinality => DataType::Int64,
        LogicalType::Bitmap => match options.bitmap {
            BitmapAs::Values => DataType::List(Arc::new(Field::new("item", DataType::UInt64, false))),
            BitmapAs::Cardinality => DataType::Int64,
            BitmapAs::Binary => DataType::Binary,
        },
        LogicalType::Char(_) | LogicalType::Varchar(_) | LogicalType::Json if options.text != TextAs::Binary => {
            DataType::Utf8
        }
        LogicalType::Map(key, value) if options.map == MapAs::Map => {
            let entries = vec![child(key)?.with_nullable(false).with_name("key"), child(value)?.with_name("value")];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
        }
        ty => arrow_type(ty, &child)?,
    };
    Ok(named(column, ty))
}

/// The Arrow field of a column as it is decoded and merged: text as bytes, sketches and LARGEINT as they are stored, MAP as a list of its
/// entries.
pub(crate) fn stored_field(column: &Column) -> Result<Field> {
    Ok(named(column, arrow_type(&column.ty, &stored_field)?))
}

fn named(column: &Column, ty: DataType) -> Field {
    let metadata = HashMap::from([(TYPE_METADATA.to_owned(), column.ty.sql())]);
    Field::new(&column.name, ty, column.nullable).with_metadata(metadata)
}

pub(crate) fn arrow_type(ty: &LogicalType, child: &dyn Fn(&Column) -> Result<Field>) -> Result<DataType> {
    Ok(match ty {
        LogicalType::Boolean => DataType::Boolean,
        LogicalType::TinyInt => DataType::Int8,
        LogicalType::SmallInt => DataType::Int16,
        LogicalType::Int => DataType::Int32,
        LogicalType::BigInt => DataType::Int64,
        LogicalType::LargeInt => DataType::Decimal128(38, 0),
        LogicalType::Float => DataType::Float32,
        LogicalType::Double => DataType::Float64,
        LogicalType::Date => DataType::Date32,
        LogicalType::DateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
        LogicalType::Decimal { kind: DecimalKind::D256, precision, scale } => DataType::Decimal256(*precision, *scale),
        LogicalType::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
        LogicalType::Char(_) | LogicalType::Varchar(_) | LogicalType::Varbinary(_) => DataType::Binary,
        // Its text, whose strings StarRocks does not look at: they need not be UTF-8.
        LogicalType::Json => DataType::Binary,
        LogicalType::Hll | LogicalType::Bitmap | LogicalType::Percentile => DataType::Binary,
        LogicalType::Array(element) => DataType::List(Arc::new(child(element)?)),
        LogicalType::Map(key, value) => {
            let entries = Fields::from(vec![child(key)?.with_name("key"), child(value)?.with_name("value")]);
            DataType::List(Arc::new(Field::new("entries", DataType::Struct(entries), false)))
        }
        LogicalType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect::<Result<Vec<_>>>()?.into()),
        LogicalType::Unknown(name) => return Err(TabletError::unsupported(format!("type {name}"))),
    })
}

/// A MAP of type `ty` as it is decoded, of its keys and values and where each row's end.
pub(crate) fn list_of_entries(
    ty: &LogicalType,
    columns: Vec<ArrayRef>,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let arrow = |e: ArrowError| TabletError::damaged(e.to_string());
    let list = arrow_type(ty, &stored_field)?;
    let DataType::List(field) = &list else { return Err(TabletError::damaged(format!("a MAP as {list}"))) };
    let DataType::Struct(fields) = field.data_type() else {
        return Err(TabletError::damaged(format!("a MAP as {list}")));
    };
    let entries = StructArray::try_new(fields.clone(), columns, None).map_err(arrow)?;
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, Arc::new(entries), nulls).map_err(arrow)?))
}
