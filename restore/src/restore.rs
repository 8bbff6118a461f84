//! The restore job: from a snapshot into the warehouse.

use crate::error::Result;
use crate::progress::{Cancel, Progress};
use crate::report::RestoreReport;
use crate::source::Source;
use std::path::PathBuf;
use std::sync::Arc;

/// A table, and what of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableChoice {
    /// A table, materialized view or view.
    pub name: String,
    /// The name it gets; not for backups.
    pub alias: Option<String>,
    /// Only these partitions; empty: all.
    pub partitions: Vec<String>,
}

/// What to restore, where to, how fast.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    pub source: Source,
    /// Empty: all the source holds, views, functions and external catalogs included.
    pub tables: Vec<TableChoice>,
    /// Partitions for a choice that names none itself; wants exactly one table.
    pub partitions: Vec<String>,
    /// Holds databases; made where missing.
    pub warehouse: PathBuf,
    /// The database's name in the warehouse; the snapshot's by default.
    pub database: Option<String>,
    /// Files in transfer at once; at least 1.
    pub workers: usize,
    /// For all workers together.
    pub max_speed_bytes_per_second: Option<u64>,
    /// Reads what an interrupted run has finished once more, instead of trusting its journal.
    pub recheck: bool,
}

/// Restores. An error when nothing could be begun; what happens to single tables is in the report.
pub async fn restore(options: RestoreOptions, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<RestoreReport> {
    let _ = (options, progress, cancel);
    todo!()
}
