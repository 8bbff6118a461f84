//! What snapshots a repository holds, and in which state they are.

use crate::error::Result;
use serde::Serialize;
use starsnap_repository::Repository;
use starsnap_repository::cache::IndexCache;

/// State of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotStatus {
    /// All its tables have all their tablets.
    Ok,
    /// No `__info`: the backup crashed, or still runs.
    Incomplete,
    /// Something is missing, damaged or contradictory.
    Broken,
}

/// One backup under a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SnapshotSummary {
    pub label: String,
    /// None when incomplete.
    pub timestamp: Option<String>,
    pub status: SnapshotStatus,
    /// Why it is not `Ok`, one sentence each.
    pub problems: Vec<String>,
    /// Empty for snapshots of external catalogs, and when unreadable.
    pub database: String,
    /// Milliseconds since the epoch, 0 when unknown.
    pub backup_time: i64,
    pub tables: u64,
    pub materialized_views: u64,
    pub views: u64,
    pub functions: u64,
    pub catalogs: u64,
    pub partitions: u64,
    pub tablets: u64,
    pub files: u64,
    pub bytes: u64,
}

impl SnapshotSummary {
    /// Seconds since the backup; none when its time is unknown.
    pub fn age_seconds(&self, now: std::time::SystemTime) -> Option<u64> {
        let taken = std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(self.backup_time).ok()?);
        (self.backup_time > 0).then(|| now.duration_since(taken).unwrap_or_default().as_secs())
    }
}

/// All snapshots of the repository, by label and timestamp; those that cannot be opened are among them, with why.
pub async fn snapshots(repository: &Repository, cache: Option<&IndexCache>) -> Result<Vec<SnapshotSummary>> {
    let _ = (repository, cache);
    todo!()
}
