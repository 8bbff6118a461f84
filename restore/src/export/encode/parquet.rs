//! A Parquet file whose columns are encoded side by side: on the thread that brings the rows, and on as many more as it may use.
//!
//! Batches are gathered to stretches. While the rows of the next one are read, the other threads encode the columns of the last, each
//! column by whoever is free; the thread that reads helps with what is left of it before it hands over another. Within a column everything
//! stays in order, so that the file does not depend on how many threads wrote it.

use super::team::{Stretch, Team};
use super::{EncoderOptions, Noted, parquet_error};
use crate::error::Result;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use std::io::Write;
use std::sync::Arc;

/// Rows in a row group, and up to a stretch more: enough for a good dictionary, few enough that readers have several groups to share out.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Of all columns' pages that a file is being written with, and as much of dictionaries.
const PAGES_BYTES: usize = 64 << 20;
/// Different numbers that a dictionary may hold.
const DICTIONARY_NUMBERS: usize = 16 << 10;
/// A stretch is handed over when it has so many rows or bytes.
const STRETCH_ROWS: usize = 16 << 10;
const STRETCH_BYTES: usize = 8 << 20;

pub(in crate::export) struct ParquetFile<W: Write + Send> {
    file: SerializedFileWriter<Noted<W>>,
    groups: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    team: Team,
    /// Encoded bytes of a row group.
    group_bytes: usize,
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    gathered_bytes: usize,
    group: Option<Group>,
}

/// The row group that is being made, and how far.
struct Group {
    columns: Arc<super::team::Columns>,
    /// Rows that were handed over.
    rows: usize,
    /// Encoded bytes, by estimate, of the stretches that are done.
    bytes: usize,
    /// The stretch that the team works on.
    stretch: Option<Arc<Stretch>>,
}

/// Of numbers, a dictionary pays only while it is small: it is found out to be in vain when it is full, and every value until then was
/// looked up in a table that no cache holds.
fn small_dictionaries(
    mut properties: WriterPropertiesBuilder,
    schema: &SchemaRef,
    most: usize,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    for column in ArrowSchemaConverter::new().convert(schema)?.columns() {
        let width = match column.physical_type() {
            Type::BYTE_ARRAY | Type::BOOLEAN => continue,
            Type::INT32 | Type::FLOAT => 4,
            Type::INT64 | Type::DOUBLE => 8,
            Type::INT96 => 12,
            Type::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.type_length()).unwrap_or(16),
        };
        let limit = (DICTIONARY_NUMBERS * width).min(most);
        properties = properties.set_column_dictionary_page_size_limit(column.path().clone(), limit);
    }
    Ok(properties)
}

impl<W: Write + Send> ParquetFile<W> {
    pub(super) fn new(out: W, schema: &SchemaRef, options: &EncoderOptions<'_>) -> Result<Self> {
        // Every column has a page and a dictionary under way.
        let page_bytes = (PAGES_BYTES / schema.fields().len().max(1)).clamp(64 << 10, 1 << 20);
        let properties = WriterProperties::builder()
            .set_data_page_size_limit(page_bytes)
            .set_dictionary_page_size_limit(page_bytes)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_created_by(format!("starsnap {}", env!("CARGO_PKG_VERSION")));
        let made = small_dictionaries(properties, schema, page_bytes)
            .and_then(|properties| ArrowWriter::try_new(Noted::new(out), schema.clone(), Some(properties.build())))
            .and_then(ArrowWriter::into_serialized_writer);
        let (file, groups) = made.map_err(|error| parquet_error(options.shown, error, None))?;
        Ok(ParquetFile {
            file,
            groups,
            schema: schema.clone(),
            team: Team::of(options.threads.min(schema.fields().len())),
            group_bytes: options.group_bytes.max(1),
            gathered: Vec::new(),
            gathered_rows: 0,
            gathered_bytes: 0,
            group: None,
        })
    }

    /// Bytes of the file so far; of what is not written yet, as many as it will have by estimate.
    pub(super) fn size(&self) -> u64 {
        let group = self.group.as_ref().map_or(0, |group| group.bytes);
        (self.file.bytes_written() + group) as u64
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, shown: &str) -> Result<()> {
        self.gathered_rows += batch.num_rows();
        self.gathered_bytes += batch.get_array_memory_size();
        self.gathered.push(batch.clone());
        if self.team.is_alone() || self.is_stretch() {
            let written = self.hand_over();
            return written.map_err(|error| self.failed(error, shown));
        }
        Ok(())
    }

    /// Whether what is gathered is enough to hand over.
    fn is_stretch(&self) -> bool {
        // Before the first batch of a row group, the others have nothing to do. The stretch after it is so much shorter, so that row groups
        // end where they would with one thread.
        let Some(group) = &self.group else { return true };
        let stretches = |rows: usize| rows / STRETCH_ROWS;
        stretches(group.rows + self.gathered_rows) > stretches(group.rows) || self.gathered_bytes >= STRETCH_BYTES
    }

    /// Writes what is left, and gives the output back.
    pub(super) fn finish(mut self, shown: &str) -> Result<W> {
        let finished = self.finish_all();
        finished.map_err(|error| self.failed(error, shown))?;
        let out = self.file.into_inner().map_err(|error| parquet_error(shown, error, None))?;
        Ok(out.into_inner())
    }

    fn finish_all(&mut self) -> Result<(), ParquetError> {
        if !self.gathered.is_empty() {
            self.hand_over()?;
        }
        self.catch_up()?;
        self.close_group()?;
        self.file.flush().map_err(ParquetError::from)
    }

    fn failed(&mut self, error: ParquetError, shown: &str) -> crate::error::RestoreError {
        parquet_error(shown, error, self.file.inner_mut().take_failure())
    }

    /// Has the gathered batches encoded.
    fn hand_over(&mut self) -> Result<(), ParquetError> {
        self.catch_up()?;
        let group = match &mut self.group {
            Some(group) => group,
            none => {
                let writers = self.groups.create_column_writers(self.file.flushed_row_groups().len())?;
                let columns = super::team::Columns::new(&self.schema, writers)?;
                none.insert(Group { columns: Arc::new(columns), rows: 0, bytes: 0, stretch: None })
            }
        };
        group.rows += self.gathered_rows;
        // Of very large rows, there must not be another batch in memory while these are encoded.
        let wait = self.team.is_alone() || self.gathered_bytes > 2 * STRETCH_BYTES;
        let batches = std::mem::take(&mut self.gathered);
        (self.gathered_rows, self.gathered_bytes) = (0, 0);
        group.stretch = Some(self.team.begin(group.columns.clone(), batches, false));
        if wait { self.catch_up() } else { Ok(()) }
    }

    /// Waits for the stretch under way, and writes the row group if that filled it.
    fn catch_up(&mut self) -> Result<(), ParquetError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let Some(stretch) = group.stretch.take() else { return Ok(()) };
        stretch.complete()?;
        group.bytes = group.columns.estimated_bytes();
        if group.rows >= ROW_GROUP_ROWS || group.bytes >= self.group_bytes {
            self.close_group()?;
        }
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), ParquetError> {
        let Some(group) = self.group.take() else { return Ok(()) };
        let mut row_group = self.file.next_row_group()?;
        let closing = self.team.begin(group.columns.clone(), Vec::new(), true);
        // While a column is written, the next ones are finished.
        closing.each(|chunk| chunk.append_to_row_group(&mut row_group))?;
        row_group.close().map(drop)
    }
}
