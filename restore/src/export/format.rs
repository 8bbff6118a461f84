//! The formats: what they are called, and how rows must be read for them.

pub use starsnap_tablet::render::CsvOptions;
use starsnap_tablet::render::TextFormat;
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
        match self.text() {
            Some(text) => text.read_options(),
            None => ReadOptions {
                text: types.text,
                large_int: types.large_int,
                hll: HllAs::Cardinality,
                bitmap: BitmapAs::Values,
                ..ReadOptions::default()
            },
        }
    }

    /// The text format; none for Parquet and Arrow.
    pub(super) fn text(&self) -> Option<TextFormat> {
        match self {
            Format::Parquet | Format::Arrow => None,
            Format::Csv(options) => Some(TextFormat::Csv(options.clone())),
            Format::JsonLines => Some(TextFormat::JsonLines),
        }
    }
}
