//! The formats: what they are called, and how rows must be read for them.

use super::csv::Csv;
use super::{cells, cells::Cells, cells::Dialect};
use crate::error::Result;
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use starsnap_tablet::{BitmapAs, HllAs, LargeIntAs, ReadOptions, TextAs};

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    Parquet,
    /// The Arrow IPC file format; the stream format where it is written to a pipe.
    Arrow,
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

/// How values are shown that have no single best Arrow type; for Parquet and Arrow alone, as text holds every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Types {
    pub text: TextAs,
    pub large_int: LargeIntAs,
}

impl Format {
    /// The extension of its files' names.
    pub fn extension(&self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
            Format::Csv(_) => "csv",
            Format::JsonLines => "jsonl",
        }
    }

    /// How rows are read for it.
    pub(super) fn read_options(&self, types: Types) -> ReadOptions {
        let types = match self {
            Format::Parquet | Format::Arrow => types,
            Format::Csv(_) | Format::JsonLines => Types { text: TextAs::Binary, large_int: LargeIntAs::Text },
        };
        ReadOptions {
            text: types.text,
            large_int: types.large_int,
            hll: HllAs::Cardinality,
            bitmap: BitmapAs::Values,
            ..ReadOptions::default()
        }
    }

    /// The text format; none for Parquet and Arrow.
    pub(super) fn text(&self) -> Option<Text> {
        match self {
            Format::Parquet | Format::Arrow => None,
            Format::Csv(options) => Some(Text::Csv(Csv::new(options))),
            Format::JsonLines => Some(Text::JsonLines),
        }
    }
}

/// A text format: any number of batches after one header.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Csv(Csv),
    JsonLines,
}

impl Text {
    /// What stands before all rows.
    pub(super) fn header(&self, schema: &Schema) -> Vec<u8> {
        match self {
            Text::Csv(csv) => csv.header(schema),
            Text::JsonLines => Vec::new(),
        }
    }

    /// The lines of a batch.
    pub(super) fn lines(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let columns = cells::columns(batch)?;
        let mut out = Vec::with_capacity(batch.num_rows().saturating_mul(64));
        match self {
            Text::Csv(csv) => csv.lines(&columns, batch.num_rows(), &mut out),
            Text::JsonLines => json_lines(batch, &columns, &mut out),
        }
        Ok(out)
    }
}

fn json_lines(batch: &RecordBatch, columns: &[Cells<'_>], out: &mut Vec<u8>) {
    let schema = batch.schema_ref();
    let names = schema.fields().iter().map(|field| {
        let mut name = Vec::new();
        cells::json_string(field.name(), &mut name);
        name.push(b':');
        name
    });
    let names: Vec<Vec<u8>> = names.collect();
    for row in 0..batch.num_rows() {
        out.push(b'{');
        for (at, (name, cells)) in names.iter().zip(columns).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            cells.write(row, Dialect::Json, out);
        }
        out.extend_from_slice(b"}\n");
    }
}
