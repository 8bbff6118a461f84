//! Values as text: one column of a batch, ready to be written row by row.
//!
//! Which text a value gets follows from the Arrow type and, where that does not say enough (JSON or text? bytes or a sketch?), from the
//! StarRocks type that the reader leaves in the field's metadata.

use crate::error::{Result, TabletError};
use crate::json::text::write_string;
use crate::types::{TYPE_METADATA, text};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{Array, BinaryArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Which of two texts a value gets where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// JSON values: MAP as `[[key, value], …]`, VARBINARY in hex, text that is not UTF-8 as `{"hex": …}`.
    Json,
    /// What Stream Load takes in a CSV field: MAP as `{key:value}`, VARBINARY in base64, BITMAP as `1,2,3`.
    Csv,
}

/// One column of a batch.
pub(super) enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Date(&'a PrimitiveArray<Date32Type>),
    DateTime(&'a PrimitiveArray<TimestampMicrosecondType>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, usize),
    DecimalV2(&'a PrimitiveArray<Decimal128Type>, usize),
    Decimal256(&'a PrimitiveArray<Decimal256Type>, usize),
    /// LARGEINT.
    Digits(&'a StringArray),
    /// The text of JSON values, which need not be UTF-8.
    Json(&'a BinaryArray),
    /// CHAR and VARCHAR, which need not be UTF-8.
    Text(&'a BinaryArray),
    Varbinary(&'a BinaryArray),
    /// Sketches without a text of their own.
    Sketch(&'a BinaryArray),
    Bitmap(&'a ListArray, Box<Cells<'a>>),
    List(&'a ListArray, Box<Cells<'a>>),
    /// A list of entries: keys and values.
    Map(&'a ListArray, Box<[Cells<'a>; 2]>),
    /// Each field with its name as a JSON string.
    Struct(&'a StructArray, Vec<(Vec<u8>, Cells<'a>)>),
}

/// The columns of a batch.
pub(super) fn columns(batch: &RecordBatch) -> Result<Vec<Cells<'_>>> {
    let schema = batch.schema_ref();
    schema.fields().iter().zip(batch.columns()).map(|(field, array)| Cells::of(field, array.as_ref())).collect()
}

impl<'a> Cells<'a> {
    /// The cells of `array`, which the reader made for `field`.
    fn of(field: &Field, array: &'a dyn Array) -> Result<Cells<'a>> {
        let sql = field.metadata().get(TYPE_METADATA).map_or("", String::as_str);
        let found = match array.data_type() {
            DataType::Boolean => array.as_boolean_opt().map(Cells::Boolean),
            DataType::Int8 => array.as_primitive_opt().map(Cells::Int8),
            DataType::Int16 => array.as_primitive_opt().map(Cells::Int16),
            DataType::Int32 => array.as_primitive_opt().map(Cells::Int32),
            DataType::Int64 => array.as_primitive_opt().map(Cells::Int64),
            DataType::UInt64 => array.as_primitive_opt().map(Cells::UInt64),
            DataType::Float32 => array.as_primitive_opt().map(Cells::Float32),
            DataType::Float64 => array.as_primitive_opt().map(Cells::Float64),
            DataType::Date32 => array.as_primitive_opt().map(Cells::Date),
            DataType::Timestamp(TimeUnit::Microsecond, None) => array.as_primitive_opt().map(Cells::DateTime),
            DataType::Decimal128(_, scale) => {
                let cells = if sql.starts_with("DECIMALV2") { Cells::DecimalV2 } else { Cells::Decimal128 };
                array.as_primitive_opt().zip(usize::try_from(*scale).ok()).map(|(a, s)| cells(a, s))
            }
            DataType::Decimal256(_, scale) => {
                array.as_primitive_opt().zip(usize::try_from(*scale).ok()).map(|(a, s)| Cells::Decimal256(a, s))
            }
            DataType::Utf8 if sql == "LARGEINT" => array.as_string_opt().map(Cells::Digits),
            DataType::Binary if sql == "JSON" => array.as_binary_opt().map(Cells::Json),
            DataType::Binary if sql.starts_with("VARBINARY") => array.as_binary_opt().map(Cells::Varbinary),
            DataType::Binary if sql.starts_with("CHAR") || sql.starts_with("VARCHAR") => {
                array.as_binary_opt().map(Cells::Text)
            }
            DataType::Binary => array.as_binary_opt().map(Cells::Sketch),
            DataType::List(item) => match array.as_list_opt::<i32>() {
                Some(list) if sql.starts_with("MAP<") => Cells::map(list)?,
                Some(list) => {
                    let items = Box::new(Cells::of(item, list.values().as_ref())?);
                    Some(if sql == "BITMAP" { Cells::Bitmap(list, items) } else { Cells::List(list, items) })
                }
                None => None,
            },
            DataType::Struct(fields) => match array.as_struct_opt() {
                Some(content) => {
                    let columns = fields.iter().zip(content.columns());
                    let columns = columns.map(|(field, column)| {
                        let mut name = Vec::new();
                        json_string(field.name(), &mut name);
                        Ok((name, Cells::of(field, column.as_ref())?))
                    });
                    Some(Cells::Struct(content, columns.collect::<Result<_>>()?))
                }
                None => None,
            },
            _ => None,
        };
        found.ok_or_else(|| {
            let reason = format!("there is no text for values of {} ({sql})", array.data_type());
            TabletError::unsupported(reason).within(format!("column {}", field.name()))
        })
    }

    fn map(list: &'a ListArray) -> Result<Option<Cells<'a>>> {
        let Some(entries) = list.values().as_struct_opt() else { return Ok(None) };
        let ([key, value], [keys, values]) = (&entries.fields()[..], entries.columns()) else { return Ok(None) };
        let entries = [Cells::of(key, keys.as_ref())?, Cells::of(value, values.as_ref())?];
        Ok(Some(Cells::Map(list, Box::new(entries))))
    }

    fn array(&self) -> &'a dyn Array {
        match self {
            Cells::Boolean(array) => *array,
            Cells::Int8(array) => *array,
            Cells::Int16(array) => *array,
            Cells::Int32(array) => *array,
            Cells::Int64(array) => *array,
            Cells::UInt64(array) => *array,
            Cells::Float32(array) => *array,
            Cells::Float64(array) => *array,
            Cells::Date(array) => *array,
            Cells::DateTime(array) => *array,
            Cells::Decimal128(array, _) | Cells::DecimalV2(array, _) => *array,
            Cells::Decimal256(array, _) => *array,
            Cells::Digits(array) => *array,
            Cells::Json(array) | Cells::Text(array) | Cells::Varbinary(array) | Cells::Sketch(array) => *array,
            Cells::Bitmap(array, _) | Cells::List(array, _) | Cells::Map(array, _) => *array,
            Cells::Struct(array, _) => *array,
        }
    }

    /// Which values are NULL; nothing if none is.
    pub(super) fn nulls(&self) -> Option<&'a NullBuffer> {
        self.array().nulls()
    }

    /// Whether values are of digits, letters and `+-.: ` only, and never empty: numbers, truth values, dates and times.
    pub(super) fn is_number(&self) -> bool {
        !matches!(
            self,
            Cells::Digits(_)
                | Cells::Json(_)
                | Cells::Text(_)
                | Cells::Varbinary(_)
                | Cells::Sketch(_)
                | Cells::Bitmap(..)
                | Cells::List(..)
                | Cells::Map(..)
                | Cells::Struct(..)
        )
    }

    /// Appends the value at `row` as it stands within other text: `null`, a number, a string in quotes, a list, …
    fn write(&self, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
        if self.array().is_null(row) {
            out.extend_from_slice(b"null");
        } else {
            self.write_value(row, dialect, out);
        }
    }

    /// As [`Self::write`], of a value that is not NULL.
    pub(super) fn write_value(&self, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
        match self {
            Cells::Float32(array) if !array.value(row).is_finite() => self.quoted(row, dialect, out),
            Cells::Float64(array) if !array.value(row).is_finite() => self.quoted(row, dialect, out),
            Cells::Date(_) | Cells::DateTime(_) | Cells::Varbinary(_) | Cells::Sketch(_) => {
                self.quoted(row, dialect, out);
            }
            Cells::Decimal128(..) | Cells::DecimalV2(..) | Cells::Decimal256(..) | Cells::Digits(_)
                if dialect == Dialect::Json =>
            {
                self.quoted(row, dialect, out);
            }
            Cells::Text(array) => match std::str::from_utf8(array.value(row)) {
                Ok(text) => json_string(text, out),
                Err(_) if dialect == Dialect::Json => hex_object(array.value(row), out),
                Err(_) => write_string(array.value(row), out),
            },
            // StarRocks can store a JSON value that is nothing, and prints it as nothing.
            Cells::Json(array) if array.value(row).is_empty() => out.extend_from_slice(b"\"\""),
            Cells::Json(array) if dialect == Dialect::Json && std::str::from_utf8(array.value(row)).is_err() => {
                hex_object(array.value(row), out);
            }
            Cells::Bitmap(array, items) => write_items(array, items, row, dialect, out),
            Cells::List(array, items) => write_items(array, items, row, dialect, out),
            Cells::Map(array, entries) => write_map(array, entries, row, dialect, out),
            Cells::Struct(_, fields) => {
                out.push(b'{');
                for (at, (name, cells)) in fields.iter().enumerate() {
                    separate(at, out);
                    out.extend_from_slice(name);
                    out.push(b':');
                    cells.write(row, dialect, out);
                }
                out.push(b'}');
            }
            _ => self.write_plain(row, dialect, out),
        }
    }

    fn quoted(&self, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
        out.push(b'"');
        self.write_plain(row, dialect, out);
        out.push(b'"');
    }

    /// Appends the value at `row`, which is not NULL, as it stands alone: strings without quotes.
    pub(super) fn write_plain(&self, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
        match self {
            Cells::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Cells::Int8(array) => integer(array.value(row), out),
            Cells::Int16(array) => integer(array.value(row), out),
            Cells::Int32(array) => integer(array.value(row), out),
            Cells::Int64(array) => integer(array.value(row), out),
            Cells::UInt64(array) => integer(array.value(row), out),
            Cells::Float32(array) => text::write_float(array.value(row), out),
            Cells::Float64(array) => text::write_double(array.value(row), out),
            Cells::Date(array) => text::write_date(array.value(row), out),
            Cells::DateTime(array) => text::write_datetime(array.value(row), out),
            Cells::Decimal128(array, scale) => {
                text::write_decimal(itoa::Buffer::new().format(array.value(row)), *scale, out);
            }
            Cells::DecimalV2(array, scale) => {
                let digits = text::decimal(&array.value(row).to_string(), *scale);
                out.extend_from_slice(text::without_zeros(&digits).as_bytes());
            }
            Cells::Decimal256(array, scale) => text::write_decimal(&array.value(row).to_string(), *scale, out),
            Cells::Digits(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Cells::Json(array) | Cells::Text(array) => out.extend_from_slice(array.value(row)),
            Cells::Varbinary(array) if dialect == Dialect::Csv => {
                out.extend_from_slice(BASE64.encode(array.value(row)).as_bytes());
            }
            Cells::Varbinary(array) | Cells::Sketch(array) => hex(array.value(row), out),
            Cells::Bitmap(array, items) if dialect == Dialect::Csv => list_items(array, items, row, dialect, out),
            Cells::Bitmap(..) | Cells::List(..) | Cells::Map(..) | Cells::Struct(..) => {
                self.write_value(row, dialect, out);
            }
        }
    }
}

fn write_items(array: &ListArray, items: &Cells<'_>, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
    out.push(b'[');
    list_items(array, items, row, dialect, out);
    out.push(b']');
}

fn list_items(array: &ListArray, items: &Cells<'_>, row: usize, dialect: Dialect, out: &mut Vec<u8>) {
    for (at, item) in range(array.value_offsets(), row).enumerate() {
        separate(at, out);
        items.write(item, dialect, out);
    }
}

fn write_map(array: &ListArray, entries: &[Cells<'_>; 2], row: usize, dialect: Dialect, out: &mut Vec<u8>) {
    let (open, middle, close): (&[u8], u8, &[u8]) = match dialect {
        Dialect::Json => (b"[", b',', b"]"),
        Dialect::Csv => (b"", b':', b""),
    };
    out.push(if dialect == Dialect::Json { b'[' } else { b'{' });
    for (at, entry) in range(array.value_offsets(), row).enumerate() {
        separate(at, out);
        out.extend_from_slice(open);
        entries[0].write(entry, dialect, out);
        out.push(middle);
        entries[1].write(entry, dialect, out);
        out.extend_from_slice(close);
    }
    out.push(if dialect == Dialect::Json { b']' } else { b'}' });
}

/// Positions of the items of list `row`. Arrow promises offsets that ascend from zero.
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| offsets.get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

/// Appends a whole number.
fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a JSON string.
pub(super) fn json_string(text: &str, out: &mut Vec<u8>) {
    write_string(text.as_bytes(), out);
}

/// Appends what stands for text that is not UTF-8, which JSON must be.
fn hex_object(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"hex\":\"");
    hex(bytes, out);
    out.extend_from_slice(b"\"}");
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |value: u8| value + if value < 10 { b'0' } else { b'a' - 10 };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}
