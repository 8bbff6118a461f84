//! A whole tablet: its metadata, the files beside it, and its rows.

mod combine;
mod merge;
mod named;
mod prune;
mod rows;
mod run;
mod segment_rows;

use std::io;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};

use crate::error::{Result, TabletError, Within};
use crate::meta::TabletMeta;
use crate::rowset::RowsetMeta;
use crate::schema::{Column, TabletSchema};
use crate::segment::Segment;
use crate::source::ReadAt;
use crate::types::{ReadOptions, arrow_field, present};

pub use named::Named;
pub use rows::Rows;
use segment_rows::{BatchSize, SegmentRows};

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

    /// Every stored row of every segment, in rowset and segment order: not merged, deleted ones too, without delta columns.
    /// `columns` names the wanted ones, in that order; nothing means all.
    pub fn physical_rows(&self, columns: Option<&[&str]>, options: &ReadOptions) -> Result<PhysicalRows> {
        let columns = projection(&self.meta.schema, columns)?;
        let segments = self.meta.rowsets.iter().enumerate();
        let segments = segments.flat_map(|(r, rowset)| (0..rowset.segments.len()).map(move |s| (r, s))).collect();
        Ok(PhysicalRows {
            output: Output::new(&self.meta.schema, &columns, options)?,
            tablet: self.clone(),
            columns,
            segments,
            next: 0,
            skip: 0,
            current: None,
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
    columns: Vec<usize>,
    output: Output,
    segments: Vec<(usize, usize)>,
    next: usize,
    skip: u64,
    current: Option<(String, SegmentRows)>,
}

impl PhysicalRows {
    /// The Arrow schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.output.schema.clone()
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
                if let Some((arrays, _, count)) = rows.next_arrays().within(|| name.clone())? {
                    return Ok(Some(self.output.batch(&arrays, count).within(|| name.clone())?));
                }
                self.current = None;
            }
            let Some(&(rowset, segment)) = self.segments.get(self.next) else { return Ok(None) };
            self.next += 1;
            let meta = &self.tablet.meta;
            let rowset = &meta.rowsets[rowset];
            let name = rowset.id.segment_file(segment);
            let opened = self.tablet.open_segment(rowset, segment)?;
            let size = BatchSize::shared(self.output.options.batch_rows, 1);
            let written = rowset.schema.as_ref().unwrap_or(&meta.schema);
            let rows = SegmentRows::open(&opened, &[], &meta.schema, written, &self.columns, size);
            self.current = Some((name.clone(), rows.within(|| name)?));
        }
    }
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
