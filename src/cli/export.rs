//! Arguments of `starsnap export`.

use super::values::{parse_shard, parse_split};
use clap::{Args, ValueEnum, ValueHint};
use starsnap_restore::export::{Shard, Split};
use std::num::NonZeroUsize;

/// Export rows as Parquet, CSV, JSON lines or Arrow
///
/// What SELECT * would have returned at the moment of the backup. Into a directory, each tablet becomes a file of its own, and a table appears
/// whole or not at all; an export that was killed goes on where it was when it is run again. Into a file or a pipe, all rows follow each
/// other in the table's order.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A table, partition, tablet, database or snapshot directory (of a mount, a warehouse, a BE), or a path into a repository
    /// (a registered name, a directory or a URL): REPOSITORY/LABEL or REPOSITORY/LABEL@TIMESTAMP, and below it /TABLE or /TABLE/PARTITION
    #[arg(value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
    /// What to write
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// A directory, made where missing; or a file for one table, when the name has an extension; or - for a pipe
    #[arg(long, value_name = "DIR|FILE|-", value_hint = ValueHint::AnyPath)]
    pub to: String,
    /// Only these columns, in this order, separated by commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Only rows that meet this condition, as after WHERE: comparisons, IN, BETWEEN, LIKE, IS NULL, with AND, OR, NOT
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,
    /// At most so many rows of each table
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// What becomes a file of its own in a directory: tablet, or of each tablet rows=N or bytes=SIZE (such as 256MiB)
    #[arg(long, value_name = "HOW", default_value = "tablet", value_parser = parse_split)]
    pub split: Split,
    /// The I-th of N parts, from 0: N hosts that write into one directory export everything once
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    pub shard: Option<Shard>,
    /// Every stored row of every segment, in order: not merged by key, deleted ones too, without later column updates
    #[arg(long)]
    pub physical: bool,
    /// Read this rollup or synchronous materialized view instead of the table's base index
    #[arg(long, value_name = "NAME")]
    pub index: Option<String>,
    /// Threads: tablets worked on at once; where there are fewer, several encode one Parquet file [default: the number of processors]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Between CSV fields; \t and \xHH stand for bytes
    #[arg(long, value_name = "TEXT", default_value = ",", help_heading = "CSV")]
    pub csv_separator: String,
    /// NULL in CSV
    #[arg(long, value_name = "TEXT", default_value = "\\N", help_heading = "CSV")]
    pub csv_null: String,
    /// Column names in the first line of each CSV file
    #[arg(long, help_heading = "CSV")]
    pub csv_header: bool,
    /// LARGEINT in Parquet and Arrow: decimal128 is refused where a value has 39 digits
    #[arg(long, value_enum, default_value_t = LargeInt::Decimal128, help_heading = "Parquet and Arrow")]
    pub largeint: LargeInt,
    /// CHAR, VARCHAR and JSON in Parquet and Arrow: utf8 is refused where a value is none, lossy puts U+FFFD there
    #[arg(long, value_enum, default_value_t = Text::Utf8, help_heading = "Parquet and Arrow")]
    pub text: Text,
}

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Parquet,
    Csv,
    Jsonl,
    Arrow,
}

/// What LARGEINT becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LargeInt {
    Decimal128,
    Decimal256,
    Text,
}

/// What CHAR and VARCHAR become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Text {
    Utf8,
    Lossy,
    Binary,
}
