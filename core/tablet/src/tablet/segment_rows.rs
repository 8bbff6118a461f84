//! Rows of one segment, in stored order, with the tablet's newest schema.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};

use crate::column::{self, ColumnReader, Context, PageCounts};
use crate::error::{Result, TabletError, Within};
use crate::schema::{Column, LogicalType, TabletSchema};
use crate::segment::Segment;
use crate::types::{ReadOptions, cast, parse, stored_field};

/// A segment with replacement columns, and the unique ids that are read from it.
pub(super) struct Delta {
    pub column_unique_ids: Vec<u32>,
    pub segment: Segment,
}

/// How large batches may be; the bytes are judged by the average row of a segment, then by that of the batches that were read of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchSize {
    pub rows: usize,
    pub bytes: u64,
}

impl BatchSize {
    const MIN_FETCH: u64 = 64 << 10;
    const MAX_FETCH: u64 = 1 << 20;

    /// The size for a scan that holds `batches` batches at a time, and as many bytes of all of them as the options say.
    pub fn shared(options: &ReadOptions, batches: usize) -> Self {
        let (rows, batches) = (options.batch_rows, batches.max(1));
        BatchSize { rows: rows.min(((1 << 20) / batches).max(16)), bytes: (options.held_bytes / batches) as u64 }
    }

    /// Bytes that each of a segment's columns may fetch ahead.
    fn fetch_of(self, columns: usize) -> u64 {
        (self.bytes / 4 / columns.max(1) as u64).clamp(Self::MIN_FETCH, Self::MAX_FETCH)
    }

    /// Rows of a batch, where each has so many bytes.
    fn rows_of(self, row: u64) -> usize {
        self.rows.min((self.bytes / row.max(1)).max(1) as usize)
    }
}

/// A column of a segment, opened when its first row is wanted.
struct Reader {
    column: Column,
    from: Segment,
    /// From a file that lists the column, so that it must be there.
    delta: bool,
    /// The column as it was written.
    hint: Column,
    source: Option<Source>,
    /// Whether it was open before, so that its pages have been counted.
    counted: bool,
    /// Ordinal of the row that the source stands at.
    at: u64,
    pages: Arc<PageCounts>,
    max_fetch: u64,
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
    columns: Vec<Reader>,
    size: BatchSize,
    rest: Rest,
}

/// Where the reading of a segment is: all that must be kept to go on with it.
#[derive(Default)]
pub(super) struct Rest {
    batch_rows: usize,
    /// Bytes of a row by what is stored.
    row: u64,
    /// Rows of the segment.
    rows: u64,
    /// Rows that are still to be read, ascending.
    ranges: VecDeque<Range<u64>>,
    /// The columns that have been open.
    opened: Vec<bool>,
}

impl Rest {
    /// Whether all rows have been read.
    pub fn is_done(&self) -> bool {
        self.ranges.iter().all(Range::is_empty)
    }
}

/// Which rows of a batch are wanted, told from some of its columns.
pub(super) struct Test<'a> {
    /// Positions in the arrays of the columns that are looked at.
    pub columns: &'a [usize],
    /// Sets what is not wanted to false; gets the ordinal of the first row, and the arrays of the columns that are looked at.
    #[allow(clippy::type_complexity)]
    pub narrow: &'a dyn Fn(u64, &mut [bool], &[Option<ArrayRef>]) -> Result<()>,
}

/// Of how large a batch may be by what is stored, which part the first is.
const FIRST: usize = 4;
/// By so many bytes, a column's buffers may be larger than what is in them.
const ROUNDED: usize = 256;
/// Wanted rows that have no more unwanted ones between them are read in one go.
const GAP: usize = 64;

impl SegmentRows {
    /// The columns at `positions` of `schema` in a segment whose rowset was written with `written`. Of several deltas that have a
    /// column, the first is taken.
    pub fn open(
        segment: &Segment,
        deltas: &[Delta],
        schema: &TabletSchema,
        written: &TabletSchema,
        positions: &[usize],
        size: BatchSize,
        pages: &Arc<PageCounts>,
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
            columns.push(Reader {
                column: column.clone(),
                from: from.clone(),
                delta: delta.is_some(),
                hint: hint.clone(),
                source: None,
                counted: false,
                at: 0,
                pages: pages.clone(),
                max_fetch: size.fetch_of(positions.len()),
            });
        }
        let ranges = std::iter::once(0..segment.num_rows()).collect();
        // Columns that were added later have their default in every row.
        let added = columns.iter().filter(|reader| reader.from.column(reader.column.unique_id).is_none());
        let added =
            added.filter_map(|reader| reader.column.default_value.as_ref()).map(|value| value.len() as u64).sum();
        let bytes = segment.footer().raw_data_footprint.unwrap_or(0).max(segment.file.len());
        let row = (bytes / segment.num_rows().max(1)).saturating_add(added).max(1);
        let batch_rows = match size.rows_of(row) {
            // How large rows are in memory is told by the first batch, which therefore is small where that matters.
            few if few < size.rows => few.div_ceil(FIRST),
            rows => rows,
        };
        let rest = Rest { batch_rows, row, rows: segment.num_rows(), ranges, opened: Vec::new() };
        Ok(SegmentRows { columns, size, rest })
    }

    /// Reads only these rows; to be called before any is read.
    pub fn keep(&mut self, ranges: Vec<Range<u64>>) {
        self.rest.ranges = ranges.into();
    }

    /// Learns from a batch that was read how large batches may be.
    pub fn learn(&mut self, arrays: &[ArrayRef], rows: usize) {
        if rows == 0 {
            return;
        }
        let bytes: usize = arrays.iter().map(|array| array.get_buffer_memory_size()).sum();
        // Every buffer is rounded up, which of a few rows says nothing.
        let bytes = bytes.saturating_sub(ROUNDED * arrays.len());
        self.rest.batch_rows = self.size.rows_of(self.rest.row.max((bytes / rows) as u64));
    }

    /// Closes the segment, to be opened and [resumed](Self::resume) later.
    pub fn close(self) -> Rest {
        let opened = self.columns.iter().map(|column| column.counted || column.source.is_some()).collect();
        Rest { opened, ..self.rest }
    }

    /// Goes on, as soon as it is opened, with what it was closed at.
    pub fn resume(&mut self, rest: Rest) -> Result<()> {
        if self.rest.rows != rest.rows {
            let (was, is) = (rest.rows, self.rest.rows);
            return Err(TabletError::damaged(format!("{is} rows, where there were {was} before")));
        }
        for (column, &opened) in self.columns.iter_mut().zip(&rest.opened) {
            column.counted = opened;
        }
        self.rest = rest;
        Ok(())
    }

    /// Passes over up to `rows` rows without decoding whole pages of them; returns how many are still to be passed over.
    pub fn skip(&mut self, mut rows: u64) -> u64 {
        while let Some(range) = self.rest.ranges.front_mut() {
            let len = range.end - range.start;
            if rows < len {
                range.start += rows;
                return 0;
            }
            rows -= len;
            self.rest.ranges.pop_front();
        }
        rows
    }

    /// Rows of the next batch: the ordinal of the first, and how many; nothing at the end.
    fn next_rows(&mut self) -> Option<(u64, usize)> {
        while self.rest.ranges.front().is_some_and(Range::is_empty) {
            self.rest.ranges.pop_front();
        }
        let range = self.rest.ranges.front_mut()?;
        let start = range.start;
        let rows = (range.end - start).min(self.rest.batch_rows as u64) as usize;
        range.start += rows as u64;
        Some((start, rows))
    }

    /// The next rows as one array per column, the ordinal of the first, and how many; nothing at the end.
    pub fn next_arrays(&mut self) -> Result<Option<(Vec<ArrayRef>, u64, usize)>> {
        let Some((start, rows)) = self.next_rows() else { return Ok(None) };
        let arrays = self.columns.iter_mut().map(|column| column.read(start, rows)).collect::<Result<_>>()?;
        Ok(Some((arrays, start, rows)))
    }

    /// The wanted ones of the next rows as one array per column, and how many, which may be none; nothing at the end. Of columns that
    /// are not looked at, only the pages of wanted rows are read.
    pub fn next_wanted(&mut self, test: &Test<'_>) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let Some((start, rows)) = self.next_rows() else { return Ok(None) };
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; self.columns.len()];
        let mut keep = vec![true; rows];
        for &at in test.columns {
            if let (Some(column), Some(array)) = (self.columns.get_mut(at), arrays.get_mut(at)) {
                *array = Some(column.read(start, rows)?);
            }
        }
        (test.narrow)(start, &mut keep, &arrays)?;
        let kept = keep.iter().filter(|&&k| k).count();
        if kept == 0 {
            return Ok(Some((Vec::new(), 0)));
        }
        let runs = runs(&keep);
        let wanted = BooleanArray::from(keep);
        let filter = |array: &ArrayRef, wanted: &BooleanArray| {
            let filtered = arrow_select::filter::filter(array, wanted);
            filtered.map_err(|e| TabletError::damaged(e.to_string()))
        };
        let among: Vec<BooleanArray> = runs.iter().map(|r| wanted.slice(r.start, r.len())).collect();
        let mut out = Vec::with_capacity(arrays.len());
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            out.push(match array {
                Some(array) if kept == rows => array,
                Some(array) => filter(&array, &wanted)?,
                None => {
                    let mut parts = Vec::with_capacity(runs.len());
                    for (run, among) in runs.iter().zip(&among) {
                        let part = column.read(start + run.start as u64, run.len())?;
                        parts.push(if among.true_count() == run.len() { part } else { filter(&part, among)? });
                    }
                    concat(parts)?
                }
            });
        }
        Ok(Some((out, kept)))
    }
}

/// Where wanted rows are, as few stretches as is sensible.
fn runs(keep: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in (0..keep.len()).filter(|&at| keep[at]) {
        match runs.last_mut().filter(|run| at - run.end <= GAP) {
            Some(run) => run.end = at + 1,
            None => runs.push(at..at + 1),
        }
    }
    runs
}

fn concat(parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    match <[ArrayRef; 1]>::try_from(parts) {
        Ok([part]) => Ok(part),
        Err(parts) => {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            arrow_select::concat::concat(&parts).map_err(|e| TabletError::damaged(e.to_string()))
        }
    }
}

impl Reader {
    /// Reads `rows` rows from ordinal `start` on, which must not lie behind what was read.
    fn read(&mut self, start: u64, rows: usize) -> Result<ArrayRef> {
        let array = self.read_source(start, rows);
        array.within(|| format!("column {}", self.column.name))
    }

    fn read_source(&mut self, start: u64, rows: usize) -> Result<ArrayRef> {
        if self.source.is_none() {
            self.source = Some(self.open()?);
        }
        let source = self.source.as_mut().ok_or_else(|| TabletError::damaged("no column"))?;
        let pass = start.checked_sub(self.at).ok_or_else(|| TabletError::damaged("rows out of order"))?;
        let array = source.read(&self.column, pass, rows)?;
        self.at = start + rows as u64;
        Ok(array)
    }

    fn open(&self) -> Result<Source> {
        let Some(meta) = self.from.column(self.column.unique_id) else {
            if self.delta {
                return Err(TabletError::damaged("not in the delta file that lists it"));
            }
            return Ok(Source::Constant(default_value(&self.column)?));
        };
        let stored = column::stored_type(meta, &self.hint.ty)?;
        let context = Context {
            file: self.from.file.clone(),
            pages: self.pages.clone(),
            counted: self.counted,
            max_fetch: self.max_fetch,
            rows: Some(self.from.num_rows()),
        };
        Ok(Source::Stored { reader: column::open(&context, meta, &stored)?, stored })
    }
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
