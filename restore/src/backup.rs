//! The backup job: from the warehouse into a new snapshot of a repository.

use crate::error::Result;
use crate::progress::{Cancel, Progress};
use crate::report::BackupReport;
use crate::restore::TableChoice;
use starsnap_repository::{Location, Repository};
use std::path::PathBuf;
use std::sync::Arc;

/// Makes an empty repository at `location`.
pub async fn init(location: &Location, name: &str) -> Result<Repository> {
    Ok(starsnap_repository::writer::init(location, name).await?)
}

/// What to back up, where to, how fast.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    pub repository: Repository,
    /// The new snapshot's name.
    pub label: String,
    pub warehouse: PathBuf,
    pub database: String,
    /// Empty: the whole database, with the views and functions that restores brought along. An alias is not allowed here.
    pub tables: Vec<TableChoice>,
    /// Partitions for a choice that names none itself; wants exactly one table.
    pub partitions: Vec<String>,
    /// Files in transfer at once; at least 1.
    pub workers: usize,
    /// For all workers together.
    pub max_speed_bytes_per_second: Option<u64>,
}

/// Backs up. On any error the label does not look complete; the same job run again finishes it.
pub async fn backup(options: BackupOptions, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<BackupReport> {
    let _ = (options, progress, cancel);
    todo!()
}
