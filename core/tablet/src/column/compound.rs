//! ARRAY, MAP and STRUCT: columns made of child columns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef, Fields};

use crate::error::{Result, TabletError, Within};
use crate::proto::segment::ColumnMetaPb;
use crate::schema::{Column, LogicalType};
use crate::types::{list_of_entries, stored_field};

use super::{ColumnReader, Context, open, read_null_flags};

type Reader = Box<dyn ColumnReader>;

/// Bytes of the elements of all rows of a batch. Runs and NULLs cost next to nothing where they are stored, but not in memory.
const MAX_ELEMENT_BYTES: usize = 256 << 20;

/// How many elements of these types a batch may have.
fn max_elements<'a>(types: impl IntoIterator<Item = &'a DataType>) -> i32 {
    let width = types.into_iter().filter_map(DataType::primitive_width).max().unwrap_or(0);
    // What is of no fixed width has offsets of four bytes at least.
    i32::try_from(MAX_ELEMENT_BYTES / width.max(4)).unwrap_or(i32::MAX)
}

fn child<'a>(meta: &'a ColumnMetaPb, at: usize, name: &str) -> Result<&'a ColumnMetaPb> {
    meta.children_columns.get(at).ok_or_else(|| TabletError::damaged(format!("no child column for {name}")))
}

fn open_child(context: &Context, meta: &ColumnMetaPb, at: usize, column: &Column) -> Result<Reader> {
    open(context, child(meta, at, &column.name)?, &column.ty).within(|| column.name.clone())
}

/// Elements of an ARRAY, keys or values of a MAP: as many as the sizes say.
fn open_elements(context: &Context, meta: &ColumnMetaPb, at: usize, column: &Column) -> Result<Reader> {
    open_child(&Context { rows: None, ..context.clone() }, meta, at, column)
}

/// A helper column (null flags, sizes), which is a plain scalar column.
fn open_helper(context: &Context, meta: &ColumnMetaPb, at: usize, name: &str) -> Result<Reader> {
    let meta = child(meta, at, name)?;
    let ty = super::stored_type(meta, &LogicalType::Int)?;
    let out = super::out::for_type(meta, &ty)?;
    Ok(Box::new(super::scalar::ScalarReader::open(context, meta, out).within(|| name)?))
}

fn null_flags(context: &Context, meta: &ColumnMetaPb, at: usize) -> Result<Option<Reader>> {
    let nullable = meta.is_nullable == Some(true);
    nullable.then(|| open_helper(context, meta, at, "null flags")).transpose()
}

/// Opens an ARRAY: elements, null flags if it is nullable, sizes.
pub(super) fn array(context: &Context, meta: &ColumnMetaPb, element: &Column) -> Result<Reader> {
    let nulls = null_flags(context, meta, 1)?;
    let sizes = open_helper(context, meta, 1 + usize::from(nulls.is_some()), "sizes")?;
    let field = Arc::new(stored_field(element)?);
    let max_elements = max_elements([field.data_type()]);
    Ok(Box::new(ArrayReader {
        element: open_elements(context, meta, 0, element)?,
        rows: Repeated { nulls, sizes, max_elements },
        field,
    }))
}

/// Opens a MAP: keys, values, null flags if it is nullable, sizes.
pub(super) fn map(context: &Context, meta: &ColumnMetaPb, key: &Column, value: &Column) -> Result<Reader> {
    let nulls = null_flags(context, meta, 2)?;
    let sizes = open_helper(context, meta, 2 + usize::from(nulls.is_some()), "sizes")?;
    let fields = [stored_field(key)?, stored_field(value)?];
    let max_elements = max_elements(fields.iter().map(|field| field.data_type()));
    Ok(Box::new(MapReader {
        key: open_elements(context, meta, 0, key)?,
        value: open_elements(context, meta, 1, value)?,
        rows: Repeated { nulls, sizes, max_elements },
        ty: LogicalType::Map(key.clone().into(), value.clone().into()),
    }))
}

/// Opens a STRUCT: its fields, then null flags if it is nullable.
pub(super) fn structure(context: &Context, meta: &ColumnMetaPb, fields: &[Column]) -> Result<Reader> {
    let last = meta.children_columns.len().checked_sub(1);
    let nulls = null_flags(context, meta, last.unwrap_or(0))?;
    let stored = super::stored_fields(meta).len();
    let places: Vec<_> = fields.iter().enumerate().filter_map(|(at, f)| super::struct_child(meta, f, at)).collect();
    let by_id = fields.iter().any(|field| super::has_field_ids(meta, field));
    // Without ids, a field that only one side has cannot be told from the others.
    if places.len() != fields.len() || !by_id && stored != fields.len() {
        return Err(TabletError::unsupported(format!("{stored} stored fields, where the schema has {}", fields.len())));
    }
    let readers = fields.iter().zip(places).map(|(f, at)| open_child(context, meta, at, f)).collect::<Result<_>>()?;
    let fields = fields.iter().map(stored_field).collect::<Result<Vec<_>>>()?.into();
    Ok(Box::new(StructReader { readers, nulls, fields }))
}

fn arrow(e: ArrowError) -> TabletError {
    TabletError::damaged(e.to_string())
}

/// Null flags and sizes of ARRAY and MAP.
struct Repeated {
    nulls: Option<Reader>,
    sizes: Reader,
    max_elements: i32,
}

impl Repeated {
    /// Offsets of the next `rows` rows, from 0 on, and which of them are NULL.
    fn read(&mut self, rows: usize) -> Result<(OffsetBuffer<i32>, Option<NullBuffer>)> {
        let sizes = self.sizes.read(rows).within(|| "sizes")?;
        let sizes = sizes.as_primitive_opt::<Int32Type>().filter(|s| s.null_count() == 0);
        let sizes = sizes.ok_or_else(|| TabletError::damaged("sizes that are not INT"))?;
        let mut offsets = Vec::with_capacity(rows + 1);
        let mut end = 0i32;
        offsets.push(end);
        for &size in sizes.values() {
            if size < 0 {
                return Err(TabletError::damaged(format!("a collection of {size} elements")));
            }
            end = end.checked_add(size).filter(|&end| end <= self.max_elements).ok_or_else(|| {
                let most = self.max_elements;
                let what = format!("more than {most} elements in one batch; read fewer rows at a time");
                TabletError::unrepresentable(what)
            })?;
            offsets.push(end);
        }
        let nulls = match &mut self.nulls {
            Some(nulls) => read_null_flags(nulls.as_mut(), rows).within(|| "null flags")?,
            None => None,
        };
        Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), nulls))
    }

    /// Passes over `rows` rows and returns how many elements they have.
    fn skip(&mut self, rows: u64) -> Result<u64> {
        let (mut left, mut elements) = (rows, 0u64);
        while left > 0 {
            let take = left.min(1 << 16);
            let sizes = self.sizes.read(take as usize).within(|| "sizes")?;
            let sizes = sizes.as_primitive_opt::<Int32Type>().ok_or_else(|| TabletError::damaged("sizes"))?;
            elements += sizes.values().iter().map(|&s| u64::from(s.max(0).unsigned_abs())).sum::<u64>();
            left -= take;
        }
        if let Some(nulls) = &mut self.nulls {
            nulls.skip(rows)?;
        }
        Ok(elements)
    }
}

fn total(offsets: &OffsetBuffer<i32>) -> usize {
    offsets.inner().last().map_or(0, |&end| end as usize)
}

struct ArrayReader {
    element: Reader,
    rows: Repeated,
    field: FieldRef,
}

impl ColumnReader for ArrayReader {
    fn read(&mut self, rows: usize) -> Result<ArrayRef> {
        let (offsets, nulls) = self.rows.read(rows)?;
        let elements = self.element.read(total(&offsets)).within(|| "element")?;
        Ok(Arc::new(ListArray::try_new(self.field.clone(), offsets, elements, nulls).map_err(arrow)?))
    }

    fn skip(&mut self, rows: u64) -> Result<()> {
        let elements = self.rows.skip(rows)?;
        self.element.skip(elements)
    }
}

struct MapReader {
    key: Reader,
    value: Reader,
    rows: Repeated,
    ty: LogicalType,
}

impl ColumnReader for MapReader {
    fn read(&mut self, rows: usize) -> Result<ArrayRef> {
        let (offsets, nulls) = self.rows.read(rows)?;
        let keys = self.key.read(total(&offsets)).within(|| "key")?;
        let values = self.value.read(total(&offsets)).within(|| "value")?;
        list_of_entries(&self.ty, vec![keys, values], offsets, nulls)
    }

    fn skip(&mut self, rows: u64) -> Result<()> {
        let entries = self.rows.skip(rows)?;
        self.key.skip(entries)?;
        self.value.skip(entries)
    }
}

struct StructReader {
    readers: Vec<Reader>,
    nulls: Option<Reader>,
    fields: Fields,
}

impl ColumnReader for StructReader {
    fn read(&mut self, rows: usize) -> Result<ArrayRef> {
        let mut arrays = Vec::with_capacity(self.readers.len());
        for (reader, field) in self.readers.iter_mut().zip(&self.fields) {
            arrays.push(reader.read(rows).within(|| field.name().clone())?);
        }
        let nulls = match &mut self.nulls {
            Some(nulls) => read_null_flags(nulls.as_mut(), rows).within(|| "null flags")?,
            None => None,
        };
        let array = StructArray::try_new_with_length(self.fields.clone(), arrays, nulls, rows);
        Ok(Arc::new(array.map_err(arrow)?))
    }

    fn skip(&mut self, rows: u64) -> Result<()> {
        self.readers.iter_mut().chain(&mut self.nulls).try_for_each(|r| r.skip(rows))
    }
}
