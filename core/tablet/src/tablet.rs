//! A whole tablet: its metadata, the files beside it, and its rows.

mod combine;
mod merge;
mod named;
mod prune;
mod rows;
mod run;
mod segment_rows;
mod stats;

use std::io;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};

use crate::error::{Result, TabletError, Within};
use crate::filter::{Bound, Filter};
use crate::meta::TabletMeta;
use crate::rowset::RowsetMeta;
use crate::schema::{Column, TabletSchema};
use crate::segment::Segment;
use crate::source::ReadAt;
use crate::types::{ReadOptions, arrow_field, present};

pub use named::Named;
pub use rows::Rows;
use segment_rows::{BatchSize, SegmentRows, Test};
use stats::Counts;
pub use stats::ScanStats;

/// The files of a tablet, by the names that its metadata gives them.
pub trait TabletFiles: Send + Sync {
    /// Opens a segment or delta column file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadAt>>;
}

impl<F: Fn(&str) -> io::Result<Arc<dyn ReadAt>> + Send + Sync> TabletFiles for F {
    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadAt>> {
        self(name)
    }
}

/// A tablet that can be read.
#[derive(Clone)]
pub struct Tablet {
    meta: Arc<TabletMeta>,
    files: Arc<dyn TabletFiles>,
}

impl Tablet {
    /// Nothing is read yet; a missing file shows when its rows are wanted.
    pub fn new(meta: TabletMeta, files: impl TabletFiles + 'static) -> Self {
        Tablet { meta: Arc::new(meta), files: Arc::new(files) }
    }

    /// The metadata it was made from.
    pub fn meta(&self) -> &TabletMeta {
        &self.meta
    }

    /// Opens segment `n` of a rowset.
    pub fn open_segment(&self, rowset: &RowsetMeta, n: usize) -> Result<Segment> {
        let name = rowset.id.segment_file(n);
        let encrypted = rowset.segments.get(n).is_some_and(|s| s.encrypted);
        if rowset.partial {
            return Err(TabletError::unsupported("a partial update that was never applied").within(name));
        }
        self.open_file(&name, encrypted)
    }

    fn open_file(&self, name: &str, encrypted: bool) -> Result<Segment> {
        if encrypted {
            return Err(
                TabletError::unsupported("the file is encrypted with keys that only its cluster has").within(name)
            );
        }
        let file = self.files.open(name).map_err(|e| TabletError::io("opening the file", e).within(name))?;
        Segment::open(file).within(|| name)
    }

    /// The Arrow schema of the batches that readers of these columns hand out; nothing means all.
    pub fn arrow_schema(schema: &TabletSchema, columns: Option<&[&str]>, options: &ReadOptions) -> Result<SchemaRef> {
        Ok(Output::new(schema, &projection(schema, columns)?, options)?.schema)
    }

    /// Every stored row of every segment, in rowset and segment order: not merged, deleted ones too, without delta columns.
    /// `columns` names the wanted ones, in that order; nothing means all.
    pub fn physical_rows(&self, columns: Option<&[&str]>, options: &ReadOptions) -> Result<PhysicalRows> {
        self.physical_rows_where(columns, None, options)
    }

    /// As [`Self::physical_rows`], but only rows for which `filter` is true; what is read for it is as in [`Self::rows_where`].
    pub fn physical_rows_where(
        &self,
        columns: Option<&[&str]>,
        filter: Option<&Filter>,
        options: &ReadOptions,
    ) -> Result<PhysicalRows> {
        let wanted = projection(&self.meta.schema, columns)?;
        let filter = filter.map(|f| f.bind(&self.meta.schema)).transpose()?;
        let mut columns = wanted.clone();
        let mut looked_at = Vec::new();
        filter.iter().for_each(|f| f.columns(&mut looked_at));
        for at in looked_at {
            if !columns.contains(&at) {
                columns.push(at);
            }
        }
        let counts = Counts::default();
        counts.begin(&self.meta)?;
        let segments = self.meta.rowsets.iter().enumerate();
        let segments = segments.flat_map(|(r, rowset)| (0..rowset.segments.len()).map(move |s| (r, s))).collect();
        Ok(PhysicalRows {
            output: Output::new(&self.meta.schema, &wanted, options)?,
            tablet: self.clone(),
            columns,
            filter,
            segments,
            next: 0,
            skip: 0,
            current: None,
            counts,
        })
    }
}

/// Positions of the wanted columns in the schema.
fn projection(schema: &TabletSchema, columns: Option<&[&str]>) -> Result<Vec<usize>> {
    let Some(names) = columns else { return Ok((0..schema.columns.len()).collect()) };
    let find = |name: &&str| {
        schema.position(name).ok_or_else(|| {
            let all: Vec<_> = schema.columns.iter().map(|c| c.name.as_str()).collect();
            TabletError::request(format!("no column {name}; there are {}", all.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

/// Makes batches for the caller out of decoded arrays.
struct Output {
    columns: Vec<Column>,
    schema: SchemaRef,
    options: ReadOptions,
}

impl Output {
    fn new(schema: &TabletSchema, columns: &[usize], options: &ReadOptions) -> Result<Self> {
        let columns: Vec<Column> = columns.iter().filter_map(|&at| schema.columns.get(at).cloned()).collect();
        let field = |c: &Column| arrow_field(c, options).within(|| format!("column {}", c.name));
        let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
        let options = ReadOptions { batch_rows: options.batch_rows.max(1), ..options.clone() };
        Ok(Output { columns, schema: Arc::new(Schema::new(fields)), options })
    }

    fn batch(&self, arrays: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let present = |(array, column): (&ArrayRef, &Column)| {
            present::present(array, column, &self.options).within(|| format!("column {}", column.name))
        };
        let arrays = arrays.iter().zip(&self.columns).map(present).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|e| TabletError::damaged(e.to_string()))
    }
}

/// Stored rows, batch by batch; see [`Tablet::physical_rows`].
pub struct PhysicalRows {
    tablet: Tablet,
    /// The wanted columns, then those that are only filtered by.
    columns: Vec<usize>,
    filter: Option<Bound>,
    output: Output,
    segments: Vec<(usize, usize)>,
    next: usize,
    skip: u64,
    current: Option<(String, SegmentRows)>,
    counts: Counts,
}

impl PhysicalRows {
    /// The Arrow schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.output.schema.clone()
    }

    /// What has been read so far.
    pub fn stats(&self) -> ScanStats {
        self.counts.stats()
    }

    /// Passes over the next `rows` rows, reading as little of them as the format allows. To be called before rows are read.
    pub fn skip_rows(&mut self, rows: u64) {
        self.skip = self.skip.saturating_add(rows);
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((name, rows)) = &mut self.current {
                if self.skip > 0 {
                    self.skip = rows.skip(self.skip);
                }
                let found = next_physical(rows, self.filter.as_ref(), &self.columns).within(|| name.clone())?;
                match found {
                    Some((_, 0)) => continue,
                    Some((arrays, count)) => {
                        return Ok(Some(self.output.batch(&arrays, count).within(|| name.clone())?));
                    }
                    None => self.current = None,
                }
            }
            let Some(&(rowset, segment)) = self.segments.get(self.next) else { return Ok(None) };
            self.next += 1;
            let meta = &self.tablet.meta;
            let (number, rowset) = (rowset, &meta.rowsets[rowset]);
            let name = rowset.id.segment_file(segment);
            let opened = self.tablet.open_segment(rowset, segment)?;
            self.counts.opened(number, rowset, opened.num_rows())?;
            let size = BatchSize::shared(&self.output.options, 1);
            let written = rowset.schema.as_ref().unwrap_or(&meta.schema);
            let pages = &self.counts.pages;
            let rows = SegmentRows::open(&opened, &[], &meta.schema, written, &self.columns, size, pages);
            let mut rows = rows.within(|| name.clone())?;
            let mut left = opened.num_rows();
            if let Some(filter) = &self.filter {
                let ranges = prune::ranges(&opened, &meta.schema, written, filter, &|_| false);
                let ranges = ranges.within(|| name.clone())?;
                left = ranges.iter().map(|range| range.end - range.start).sum();
                rows.keep(ranges);
            }
            self.counts.segment(opened.num_rows(), left);
            self.current = Some((name, rows));
        }
    }
}

/// The next rows that the filter wants, which may be none; nothing at the end.
fn next_physical(
    rows: &mut SegmentRows,
    filter: Option<&Bound>,
    columns: &[usize],
) -> Result<Option<(Vec<ArrayRef>, usize)>> {
    let Some(filter) = filter else { return Ok(rows.next_arrays()?.map(|(arrays, _, count)| (arrays, count))) };
    let index = |position: usize| columns.iter().position(|&at| at == position);
    let mut looked_at = Vec::new();
    filter.columns(&mut looked_at);
    let mut looked_at: Vec<usize> = looked_at.into_iter().filter_map(index).collect();
    looked_at.sort_unstable();
    looked_at.dedup();
    let narrow = |_, keep: &mut [bool], arrays: &[Option<ArrayRef>]| {
        filter.apply(keep, &|position| arrays.get(index(position)?)?.as_ref())
    };
    rows.next_wanted(&Test { columns: &looked_at, narrow: &narrow })
}

impl Iterator for PhysicalRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            // What follows an error could be wrong rows.
            self.current = None;
            self.next = self.segments.len();
        }
        next.transpose()
    }
}
