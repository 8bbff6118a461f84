//! Rows as text: CSV and JSON lines of record batches.
//!
//! Batches must be read with [`TextFormat::read_options`]: text then holds every value, whatever it is.

mod cells;
mod csv;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::types::{BitmapAs, HllAs, LargeIntAs, MapAs, ReadOptions, TextAs};
use arrow_array::RecordBatch;
use arrow_buffer::NullBuffer;
use arrow_schema::Schema;
use cells::{Cells, Dialect};
use std::ops::Range;

/// A text format: any number of batches after one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextFormat {
    Csv(CsvOptions),
    /// One JSON object per line.
    JsonLines,
}

/// The dialect of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields; at least one byte.
    pub separator: Vec<u8>,
    /// Stands for NULL, without quotes.
    pub null: Vec<u8>,
    /// Column names in the first line.
    pub header: bool,
}

impl Default for CsvOptions {
    /// What Stream Load reads with `column_separator:,` and `enclose:"`.
    fn default() -> Self {
        CsvOptions { separator: b",".into(), null: b"\\N".into(), header: false }
    }
}

impl TextFormat {
    /// How the rows must be read.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            text: TextAs::Binary,
            large_int: LargeIntAs::Text,
            hll: HllAs::Cardinality,
            bitmap: BitmapAs::Values,
            map: MapAs::Entries,
            ..ReadOptions::default()
        }
    }

    /// What stands before all rows.
    pub fn header(&self, schema: &Schema) -> Vec<u8> {
        match self {
            TextFormat::Csv(options) => csv::header(options, schema),
            TextFormat::JsonLines => Vec::new(),
        }
    }

    /// The lines of a batch. An error where the batch holds a type that has no text, as none does that was read for it.
    pub fn lines(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(batch.num_rows().saturating_mul(64));
        self.of(batch)?.write(0..batch.num_rows(), &mut out);
        Ok(out)
    }

    /// The lines of a batch, to be written in parts.
    pub fn of<'a>(&'a self, batch: &'a RecordBatch) -> Result<Lines<'a>> {
        let names = match self {
            TextFormat::Csv(_) => Vec::new(),
            TextFormat::JsonLines => batch.schema_ref().fields().iter().map(|field| member(field.name())).collect(),
        };
        let columns = cells::columns(batch)?;
        let nulls = columns.iter().map(Cells::nulls).collect();
        Ok(Lines { format: self, columns, nulls, names })
    }
}

/// One batch as lines; see [`TextFormat::of`].
pub struct Lines<'a> {
    format: &'a TextFormat,
    columns: Vec<Cells<'a>>,
    nulls: Vec<Option<&'a NullBuffer>>,
    /// `"name":` of each column, for JSON.
    names: Vec<Vec<u8>>,
}

impl Lines<'_> {
    /// Appends the lines of `rows`, which must be rows of the batch.
    pub fn write(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        match self.format {
            TextFormat::Csv(options) => csv::lines(options, &self.columns, &self.nulls, rows, out),
            TextFormat::JsonLines => self.json(rows, out),
        }
    }

    fn json(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        for row in rows {
            out.push(b'{');
            for (at, ((name, cells), nulls)) in self.names.iter().zip(&self.columns).zip(&self.nulls).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    out.extend_from_slice(b"null");
                } else {
                    cells.write_value(row, Dialect::Json, out);
                }
            }
            out.extend_from_slice(b"}\n");
        }
    }
}

/// A name as the beginning of an object's member.
fn member(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    cells::json_string(name, &mut out);
    out.push(b':');
    out
}
