//! Flat JSON: a JSON column stored as one column per path, null flags, and what remained.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int8Type, Int64Type};
use arrow_array::{Array, ArrayRef, BinaryArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use crate::error::{Result, TabletError, Within};
use crate::json::flat::{self, Leaf};
use crate::proto::segment::ColumnMetaPb;
use crate::schema::LogicalType;

use super::scalar::ScalarReader;
use super::{ColumnReader, Context, out, read_null_flags, stored, stored_type};

type Reader = Box<dyn ColumnReader>;

struct Path {
    name: Vec<u8>,
    /// Stored type of the values.
    ty: i32,
    reader: Reader,
}

struct FlatJsonReader {
    nulls: Option<Reader>,
    paths: Vec<Path>,
    remain: Option<Reader>,
}

/// Opens a column whose meta says that it is flat: null flags if it is nullable, paths, then what remained, if anything did.
pub(super) fn open(context: &Context, meta: &ColumnMetaPb) -> Result<Reader> {
    let mut children = meta.children_columns.as_slice();
    let short = || TabletError::damaged("fewer child columns than it says");
    let mut nulls = None;
    if meta.is_nullable == Some(true) {
        let (first, rest) = children.split_first().ok_or_else(short)?;
        nulls = Some(open_child(context, first)?.reader);
        children = rest;
    }
    let mut remain = None;
    if meta.json_meta.is_some_and(|m| m.has_remain == Some(true)) {
        let (last, rest) = children.split_last().ok_or_else(short)?;
        remain = Some(open_child(context, last)?.reader);
        children = rest;
    }
    let paths = children.iter().map(|child| open_child(context, child)).collect::<Result<_>>()?;
    Ok(Box::new(FlatJsonReader { nulls, paths, remain }))
}

fn open_child(context: &Context, meta: &ColumnMetaPb) -> Result<Path> {
    let name = meta.name.clone().unwrap_or_default();
    let ty = meta.r#type.unwrap_or(0);
    // Strings become part of JSON text, and JSON values are merged, so both are wanted as they are stored.
    let out = match ty {
        stored::JSON | stored::VARCHAR | stored::CHAR => out::verbatim(),
        stored::TINYINT | stored::BIGINT | stored::LARGEINT | stored::DOUBLE => {
            out::for_type(meta, &stored_type(meta, &LogicalType::Json)?)?
        }
        other => return Err(TabletError::unsupported(format!("flattened type {other}"))),
    };
    let reader = ScalarReader::open(context, meta, out).within(|| String::from_utf8_lossy(&name).into_owned())?;
    Ok(Path { name, ty, reader: Box::new(reader) })
}

/// The value of one path in one row; nothing where it is NULL.
fn leaf(array: &ArrayRef, ty: i32, row: usize) -> Result<Option<Leaf<'_>>> {
    if array.is_null(row) {
        return Ok(None);
    }
    let value = match ty {
        stored::JSON => array.as_binary_opt::<i32>().map(|array| Leaf::Json(array.value(row))),
        stored::VARCHAR | stored::CHAR => array.as_binary_opt::<i32>().map(|array| Leaf::String(array.value(row))),
        stored::BIGINT => array.as_primitive_opt::<Int64Type>().map(|array| Leaf::Int(array.value(row))),
        stored::DOUBLE => array.as_primitive_opt::<Float64Type>().map(|array| Leaf::Double(array.value(row))),
        stored::LARGEINT => {
            array.as_primitive_opt::<Decimal128Type>().map(|array| large(array.value(row))).transpose()?
        }
        // Only NULLs are kept as TINYINT.
        _ => array.as_primitive_opt::<Int8Type>().map(|array| Leaf::Int(i64::from(array.value(row)))),
    };
    // What has no leaf would be taken for a member that is not there.
    value.map(Some).ok_or_else(|| TabletError::damaged(format!("flattened values of {}", array.data_type())))
}

/// JSON has no larger whole numbers than those of 64 bits.
fn large(value: i128) -> Result<Leaf<'static>> {
    let unsigned = u64::try_from(value).map(Leaf::UInt);
    let number = unsigned.or_else(|_| i64::try_from(value).map(Leaf::Int));
    number.map_err(|_| TabletError::damaged(format!("{value} among flattened numbers of JSON")))
}

impl ColumnReader for FlatJsonReader {
    fn read(&mut self, rows: usize) -> Result<ArrayRef> {
        let nulls = match &mut self.nulls {
            Some(nulls) => read_null_flags(nulls.as_mut(), rows).within(|| "null flags")?,
            None => None,
        };
        let mut columns = Vec::with_capacity(self.paths.len());
        for path in &mut self.paths {
            let array = path.reader.read(rows).within(|| String::from_utf8_lossy(&path.name).into_owned())?;
            columns.push(array);
        }
        let remain = self.remain.as_mut().map(|r| r.read(rows).within(|| "remain")).transpose()?;
        let remain = remain.as_ref().and_then(|r| r.as_binary_opt::<i32>());
        let (mut text, mut offsets) = (Vec::new(), vec![0]);
        for row in 0..rows {
            if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
                let rest = remain.filter(|r| r.is_valid(row)).map_or(&[][..], |r| r.value(row));
                let leaves = self.paths.iter().zip(&columns).filter_map(|(path, array)| {
                    let leaf = leaf(array, path.ty, row).within(|| String::from_utf8_lossy(&path.name).into_owned());
                    Some(leaf.transpose()?.map(|leaf| (path.name.as_slice(), leaf)))
                });
                flat::write_row(rest, leaves, &mut text)?;
            }
            offsets.push(i32::try_from(text.len()).map_err(|_| {
                TabletError::unrepresentable("more than 2 GiB of JSON in one batch; read fewer rows at a time")
            })?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = BinaryArray::try_new(offsets, Buffer::from_vec(text), nulls);
        Ok(Arc::new(array.map_err(|e| TabletError::damaged(e.to_string()))?))
    }

    fn skip(&mut self, rows: u64) -> Result<()> {
        self.nulls.iter_mut().chain(&mut self.remain).try_for_each(|r| r.skip(rows))?;
        self.paths.iter_mut().try_for_each(|p| p.reader.skip(rows))
    }
}
