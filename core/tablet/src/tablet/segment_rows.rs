//! Rows of one segment, in stored order, with the tablet's newest schema.

use std::collections::VecDeque;
use std::ops::Range;

use arrow_array::{Array, ArrayRef, UInt32Array, new_null_array};

use crate::column::{self, ColumnReader, Context};
use crate::error::{Result, TabletError, Within};
use crate::schema::{Column, LogicalType, TabletSchema};
use crate::segment::Segment;
use crate::types::{cast, parse, stored_field};

/// A segment with replacement columns, and the unique ids that are read from it.
pub(super) struct Delta {
    pub column_unique_ids: Vec<u32>,
    pub segment: Segment,
}

/// How large batches may be; the bytes are judged by the average row of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchSize {
    pub rows: usize,
    pub bytes: u64,
}

impl BatchSize {
    /// Bytes of all the batches that a scan holds at a time.
    const ALL_BYTES: u64 = 64 << 20;

    /// The size for a scan that holds `batches` batches at a time.
    pub fn shared(rows: usize, batches: usize) -> Self {
        let batches = batches.max(1);
        BatchSize { rows: rows.min(((1 << 20) / batches).max(16)), bytes: Self::ALL_BYTES / batches as u64 }
    }

    fn rows_of(self, segment: &Segment) -> usize {
        let bytes = segment.footer().raw_data_footprint.unwrap_or(0).max(segment.file.len());
        let row = (bytes / segment.num_rows().max(1)).max(1);
        self.rows.min((self.bytes / row).max(1) as usize)
    }
}

/// Where the values of one column come from.
enum Source {
    Stored {
        reader: Box<dyn ColumnReader>,
        stored: LogicalType,
    },
    /// An array of one value, for a column that was added after the segment was written.
    Constant(ArrayRef),
}

pub(super) struct SegmentRows {
    columns: Vec<(Column, Source)>,
    batch_rows: usize,
    /// Rows that are still to be read, ascending.
    ranges: VecDeque<Range<u64>>,
    /// Ordinal of the row that the readers stand at.
    at: u64,
}

impl SegmentRows {
    /// Opens the columns at `positions` of `schema` in a segment whose rowset was written with `written`. Of several deltas that
    /// have a column, the first is taken.
    pub fn open(
        segment: &Segment,
        deltas: &[Delta],
        schema: &TabletSchema,
        written: &TabletSchema,
        positions: &[usize],
        size: BatchSize,
    ) -> Result<Self> {
        let mut columns = Vec::with_capacity(positions.len());
        for column in positions.iter().filter_map(|&at| schema.columns.get(at)) {
            let id = column.unique_id as u32;
            let delta = deltas.iter().find(|d| d.column_unique_ids.contains(&id));
            let from = delta.map_or(segment, |d| &d.segment);
            if from.num_rows() != segment.num_rows() {
                let (is, wanted) = (from.num_rows(), segment.num_rows());
                return Err(TabletError::damaged(format!("delta columns of {is} rows for a segment of {wanted}")));
            }
            // Which schema a delta file was written with is not recorded; the tablet's is the likelier one.
            let hint = written.by_unique_id(column.unique_id).filter(|_| delta.is_none()).unwrap_or(column);
            let source = open_source(from, delta.is_some(), column, hint);
            columns.push((column.clone(), source.within(|| format!("column {}", column.name))?));
        }
        let ranges = std::iter::once(0..segment.num_rows()).collect();
        Ok(SegmentRows { columns, batch_rows: size.rows_of(segment), ranges, at: 0 })
    }

    /// Reads only these rows; to be called before any is read.
    pub fn keep(&mut self, ranges: Vec<Range<u64>>) {
        self.ranges = ranges.into();
    }

    /// Passes over up to `rows` rows without decoding whole pages of them; returns how many are still to be passed over.
    pub fn skip(&mut self, mut rows: u64) -> u64 {
        while let Some(range) = self.ranges.front_mut() {
            let len = range.end - range.start;
            if rows < len {
                range.start += rows;
                return 0;
            }
            rows -= len;
            self.ranges.pop_front();
        }
        rows
    }

    /// The next rows as one array per column, the ordinal of the first, and how many; nothing at the end.
    pub fn next_arrays(&mut self) -> Result<Option<(Vec<ArrayRef>, u64, usize)>> {
        while self.ranges.front().is_some_and(Range::is_empty) {
            self.ranges.pop_front();
        }
        let Some(range) = self.ranges.front_mut() else { return Ok(None) };
        let start = range.start;
        let rows = (range.end - start).min(self.batch_rows as u64) as usize;
        range.start += rows as u64;
        let pass = start.saturating_sub(self.at);
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, source) in &mut self.columns {
            arrays.push(source.read(column, pass, rows).within(|| format!("column {}", column.name))?);
        }
        self.at = start + rows as u64;
        Ok(Some((arrays, start, rows)))
    }
}

fn open_source(from: &Segment, delta: bool, column: &Column, hint: &Column) -> Result<Source> {
    let Some(meta) = from.column(column.unique_id) else {
        if delta {
            return Err(TabletError::damaged("not in the delta file that lists it"));
        }
        return Ok(Source::Constant(default_value(column)?));
    };
    let stored = column::stored_type(meta, &hint.ty)?;
    let context = Context { file: from.file.clone() };
    Ok(Source::Stored { reader: column::open(&context, meta, &stored)?, stored })
}

/// What rows hold that were written before the column was added.
fn default_value(column: &Column) -> Result<ArrayRef> {
    match column.default_value.as_deref() {
        Some(b"NULL") => {}
        Some(value) => return parse::one(value, &column.ty).within(|| "default value"),
        None if column.nullable => {}
        None => return Err(TabletError::damaged("not in the segment, not nullable, and without a default value")),
    }
    Ok(new_null_array(stored_field(column)?.data_type(), 1))
}

impl Source {
    /// Passes over `pass` rows, then reads `rows`.
    fn read(&mut self, column: &Column, pass: u64, rows: usize) -> Result<ArrayRef> {
        match self {
            Source::Stored { reader, stored } => {
                if pass > 0 {
                    reader.skip(pass)?;
                }
                cast::cast(&reader.read(rows)?, stored, &column.ty)
            }
            Source::Constant(value) if value.is_null(0) => Ok(new_null_array(value.data_type(), rows)),
            Source::Constant(value) => {
                let zeros = UInt32Array::from(vec![0; rows]);
                let array = arrow_select::take::take(value, &zeros, None);
                array.map_err(|e| TabletError::damaged(e.to_string()))
            }
        }
    }
}
