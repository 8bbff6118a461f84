//! Arguments of the subcommands that look into tables and tablets.

use clap::{Args, ValueHint};

/// Show the first rows of a table
///
/// As an aligned table; with --json as JSON lines, one object per row. On a terminal, long values and lines are cut off.
#[derive(Debug, Args)]
pub struct HeadArgs {
    /// A table, partition or tablet directory (of a mount, a warehouse, a BE), or a path into a repository (a registered name, a directory
    /// or a URL): REPOSITORY/LABEL/TABLE or REPOSITORY/LABEL@TIMESTAMP/TABLE/PARTITION
    #[arg(value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
    /// How many rows
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub rows: u64,
    /// Only these columns, in this order, separated by commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Every stored row of every segment, in order: not merged by key, deleted ones too, without later column updates
    #[arg(long)]
    pub physical: bool,
    /// Read this rollup or synchronous materialized view instead of the table's base index
    #[arg(long, value_name = "NAME")]
    pub index: Option<String>,
}

/// Show what tablets are made of
///
/// Of a table or a partition, its tablets with their rowsets, rows and bytes. Of one tablet, its rowsets, their segments, and how each column is
/// stored there: encoding, codec, pages, bytes, the smallest and largest value, indexes.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A table, partition or tablet directory (of a mount, a warehouse, a BE), or a path into a repository (a registered name, a directory
    /// or a URL): REPOSITORY/LABEL/TABLE or REPOSITORY/LABEL@TIMESTAMP/TABLE/PARTITION
    #[arg(value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
    /// Look into this one of the tablets
    #[arg(long, value_name = "ID")]
    pub tablet: Option<i64>,
    /// The rollup or synchronous materialized view instead of the table's base index
    #[arg(long, value_name = "NAME")]
    pub index: Option<String>,
    /// Read and check every page of a tablet, to tell its size before compression too
    #[arg(long)]
    pub pages: bool,
}
