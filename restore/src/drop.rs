//! Dropping a snapshot from a repository.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::progress::Cancel;
use crate::report::JobStatus;
use serde::Serialize;
use starsnap_repository::Repository;
use starsnap_repository::dropping::Doomed;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// How long StarRocks lets a backup run: one that was not completed and is younger may still be running.
const LONGEST_BACKUP: Duration = Duration::from_secs(24 * 3600);

/// A snapshot that can be dropped.
#[derive(Debug, Clone)]
pub struct DropJob {
    repository: Repository,
    label: String,
    doomed: Doomed,
}

/// What was dropped, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DropReport {
    /// `Partial` where something is left under the label.
    pub status: JobStatus,
    pub repository: String,
    pub label: String,
    /// Empty: the backup was not completed.
    pub timestamps: Vec<String>,
    /// Files and bytes that stood there.
    pub files: u64,
    pub bytes: u64,
    /// Of the files, those that were removed; none in a dry run.
    pub removed: u64,
    pub dry_run: bool,
    /// Paths in the repository that stay: no backup makes such.
    pub left: Vec<String>,
}

impl DropJob {
    /// Looks what stands under `label`. With `timestamp`, it must be the only one there. A backup that was not completed and may still be
    /// running is refused unless `unfinished`.
    pub async fn find(
        repository: &Repository,
        label: &str,
        timestamp: Option<&str>,
        unfinished: bool,
    ) -> Result<DropJob> {
        let doomed = repository.doomed(label).await?;
        let refuse = |kind, reason: String| RestoreError::new(kind, "drop snapshot", label, reason);
        if let Some(timestamp) = timestamp {
            if !doomed.timestamps.iter().any(|there| there == timestamp) {
                let there = doomed.timestamps.join(", ");
                let there =
                    if there.is_empty() { "the backup was not completed".into() } else { format!("there is {there}") };
                return Err(refuse(ErrorKind::NotFound, format!("it has no timestamp {timestamp}")).advise(there));
            }
            if doomed.timestamps.len() > 1 {
                let reason = format!("the label has {} timestamps, which share their files", doomed.timestamps.len());
                return Err(refuse(ErrorKind::Usage, reason).advise("drop the label with all of them: leave @… out"));
            }
        }
        // By the store's clock, which may be ahead of ours: what comes from the future is as young as can be.
        let age = doomed.newest().map(|newest| SystemTime::now().duration_since(newest).unwrap_or_default());
        if doomed.timestamps.is_empty() && !unfinished && age.is_some_and(|age| age < LONGEST_BACKUP) {
            let reason =
                "the backup was not completed, and files were written less than 24 hours ago: it may still be running";
            return Err(refuse(ErrorKind::Busy, reason.into()).advise("with --unfinished it is dropped all the same"));
        }
        Ok(DropJob { repository: repository.clone(), label: label.to_owned(), doomed })
    }

    /// What would be dropped.
    pub fn report(&self) -> DropReport {
        DropReport {
            status: JobStatus::Done,
            repository: self.repository.name().to_owned(),
            label: self.label.clone(),
            timestamps: self.doomed.timestamps.clone(),
            files: self.doomed.files(),
            bytes: self.doomed.bytes(),
            removed: 0,
            dry_run: true,
            left: self.doomed.foreign.clone(),
        }
    }

    /// Drops it: `__info` first, so that what is left if this is stopped never looks complete. Run again, it goes on.
    pub async fn run(self, workers: usize, cancel: Cancel) -> Result<DropReport> {
        let removed = AtomicU64::new(0);
        let told = || {
            removed.fetch_add(1, Ordering::Relaxed);
        };
        let dropped = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                return Err(RestoreError::interrupted(format!("dropping {}", self.label))
                    .advise("what is left counts as a backup that was not completed; run the same command again with --unfinished"));
            }
            dropped = self.repository.drop_files(&self.doomed, workers, &told) => dropped?,
        };
        let status = if dropped.is_empty() { JobStatus::Done } else { JobStatus::Partial };
        let removed = removed.into_inner();
        Ok(DropReport { status, removed, dry_run: false, left: dropped, ..self.report() })
    }
}
