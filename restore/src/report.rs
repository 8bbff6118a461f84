//! What jobs report when they end.

use crate::error::exit;
use serde::Serialize;
use std::path::PathBuf;

/// How a job ended as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    Done,
    /// Some tables are done, others failed.
    Partial,
    Failed,
    /// Stopped by the user; running the same job again goes on where it stopped.
    Interrupted,
}

impl JobStatus {
    /// The process' exit code, see [`exit`].
    pub fn exit_code(self) -> u8 {
        match self {
            JobStatus::Done => exit::DONE,
            JobStatus::Partial => exit::PARTIAL,
            JobStatus::Failed => exit::FAILED,
            JobStatus::Interrupted => exit::INTERRUPTED,
        }
    }

    /// The whole from its parts.
    pub(crate) fn of(tables: &[TableReport]) -> JobStatus {
        let failed = tables.iter().filter(|table| table.status == TableStatus::Failed).count();
        if tables.iter().any(|table| table.status == TableStatus::Interrupted) {
            JobStatus::Interrupted
        } else if failed == 0 {
            JobStatus::Done
        } else if failed == tables.len() {
            JobStatus::Failed
        } else {
            JobStatus::Partial
        }
    }
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableStatus {
    /// Restored where nothing stood before.
    Restored,
    /// Restored in place of a table that stood there.
    Replaced,
    /// Partitions were added to, or replaced in, a table that stood there.
    Merged,
    /// Written into the new snapshot.
    BackedUp,
    /// Its rows were written.
    Exported,
    Failed,
    /// Stopped by the user; what was finished is kept for the next run.
    Interrupted,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    Table,
    MaterializedView,
    View,
    Function,
    Catalog,
    /// One by itself, with no table around it.
    Tablet,
}

impl ObjectKind {
    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::MaterializedView => "materialized view",
            ObjectKind::View => "view",
            ObjectKind::Function => "function",
            ObjectKind::Catalog => "external catalog",
            ObjectKind::Tablet => "tablet",
        }
    }
}

/// One table, materialized view, view, function, external catalog or tablet of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableReport {
    /// Name in the source.
    pub name: String,
    /// Name in the warehouse, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    pub kind: ObjectKind,
    pub status: TableStatus,
    pub partitions: u64,
    pub files: u64,
    pub bytes: u64,
    /// Of `files`, those that an interrupted run (or, in a backup, another snapshot of the repository) had already.
    pub reused_files: u64,
    /// Written by this run of an export; reused files have more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// What an export with a condition had to read for its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanReport>,
    pub seconds: f64,
    /// Why it failed, one sentence each, each naming its object.
    pub problems: Vec<String>,
    /// Worth knowing though nothing failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What was read for a condition, and what its indexes saved; without files that an interrupted run had finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    pub segments: u64,
    /// Of which indexes say that no row can meet the condition.
    pub segments_skipped: u64,
    /// Of `rows_stored`, those of which indexes say that they cannot meet the condition.
    pub rows_skipped: u64,
    /// In the segments, deleted ones and older versions of rows too.
    pub rows_stored: u64,
    /// Data pages of columns in segments that were not skipped.
    pub pages_read: u64,
    pub pages_skipped: u64,
}

impl From<&starsnap_tablet::ScanStats> for ScanReport {
    fn from(stats: &starsnap_tablet::ScanStats) -> Self {
        ScanReport {
            segments: stats.segments,
            segments_skipped: stats.segments_skipped,
            rows_skipped: stats.rows_skipped,
            rows_stored: stats.rows,
            pages_read: stats.pages_read,
            pages_skipped: stats.pages.saturating_sub(stats.pages_read),
        }
    }
}

impl TableReport {
    pub(crate) fn new(name: &str, alias: Option<&str>, kind: ObjectKind, status: TableStatus) -> TableReport {
        TableReport {
            name: name.into(),
            alias: alias.filter(|alias| *alias != name).map(str::to_owned),
            kind,
            status,
            partitions: 0,
            files: 0,
            bytes: 0,
            reused_files: 0,
            rows: None,
            scan: None,
            seconds: 0.0,
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// How a restore ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestoreReport {
    pub status: JobStatus,
    /// Where from, in words.
    pub source: String,
    pub label: String,
    pub timestamp: String,
    /// The database's directory in the warehouse.
    pub directory: PathBuf,
    pub tables: Vec<TableReport>,
    /// Sums over `tables`.
    pub files: u64,
    pub bytes: u64,
    pub reused_files: u64,
    pub seconds: f64,
    /// Worth knowing though nothing failed.
    pub notes: Vec<String>,
}

impl RestoreReport {
    /// True when some tables are done and others failed.
    pub fn partial(&self) -> bool {
        self.status == JobStatus::Partial
    }

    /// The process' exit code.
    pub fn exit_code(&self) -> u8 {
        self.status.exit_code()
    }
}

/// How a backup ended. There is one only when the snapshot is complete: any failure is an error, and leaves no snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupReport {
    pub repository: String,
    pub label: String,
    pub timestamp: String,
    pub database: String,
    pub tables: Vec<TableReport>,
    /// Sums over `tables`; reused files were there already, or in another snapshot of the repository.
    pub files: u64,
    pub bytes: u64,
    pub reused_files: u64,
    pub seconds: f64,
    /// Worth knowing though nothing failed.
    pub notes: Vec<String>,
}

/// How an export ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportReport {
    pub status: JobStatus,
    pub tables: Vec<TableReport>,
    /// Sums over `tables`; files that were written, or that an interrupted run had finished.
    pub files: u64,
    pub bytes: u64,
    pub reused_files: u64,
    /// Without those of reused files.
    pub rows: u64,
    /// The reader of a pipe went away before all rows were written, as `head` does.
    pub unread: bool,
    /// What is odd about the source as a whole, as that its `__info` is damaged.
    pub notes: Vec<String>,
    pub seconds: f64,
}
