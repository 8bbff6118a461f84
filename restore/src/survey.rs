//! What snapshots a repository holds, and in which state they are.

use crate::error::Result;
use crate::source::tablet_of;
use crate::warehouse::is_header;
use serde::Serialize;
use starsnap_catalog::layout::TableLayout;
use starsnap_catalog::snapshot::{TableEntry, TableKind};
use starsnap_repository::cache::IndexCache;
use starsnap_repository::repository::{INCOMPLETE, Label};
use starsnap_repository::{OpenSnapshot, Repository};

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

    fn new(label: &str, timestamp: Option<&str>) -> SnapshotSummary {
        SnapshotSummary {
            label: label.to_owned(),
            timestamp: timestamp.map(str::to_owned),
            status: SnapshotStatus::Ok,
            problems: Vec::new(),
            database: String::new(),
            backup_time: 0,
            tables: 0,
            materialized_views: 0,
            views: 0,
            functions: 0,
            catalogs: 0,
            partitions: 0,
            tablets: 0,
            files: 0,
            bytes: 0,
        }
    }

    /// Counts what is there, and finds what is not.
    fn count(&mut self, snapshot: &OpenSnapshot) {
        let catalog = &snapshot.catalog;
        self.database.clone_from(&catalog.database);
        self.backup_time = catalog.backup_time;
        self.functions = catalog.functions.len() as u64;
        self.catalogs = catalog.catalogs.len() as u64;
        self.problems.extend(snapshot.problems.iter().cloned());
        let disagreements = catalog.disagreements.iter();
        self.problems.extend(disagreements.map(|found| format!("{}: {}", found.object, found.what)));
        for table in &catalog.tables {
            match table.kind {
                TableKind::View => self.views += 1,
                TableKind::MaterializedView => self.materialized_views += 1,
                TableKind::Table | TableKind::Other => self.tables += 1,
            }
            self.partitions += table.partitions.len() as u64;
            self.problems.extend(missing(snapshot, table));
        }
        self.tablets = snapshot.tablets.len() as u64;
        for tablet in &snapshot.tablets {
            self.files += tablet.files.len() as u64;
            self.bytes += tablet.files.iter().map(|file| file.size).sum::<u64>();
            self.problems.extend(tablet.problems.iter().cloned());
        }
    }
}

/// What a table lacks: in words, few of them where many tablets are missing.
fn missing(snapshot: &OpenSnapshot, table: &TableEntry) -> Vec<String> {
    let mut problems = Vec::new();
    if table.catalog.is_none() {
        problems.push(format!("table {}: its catalog object is missing", table.name));
    }
    let places = TableLayout::of(table).tablets;
    let (mut gone, mut first) = (0u64, None);
    for place in &places {
        let Some((key, tablet)) = tablet_of(snapshot.catalog.database_id, table, place) else { continue };
        match snapshot.tablet(&key) {
            None => {
                gone += 1;
                first.get_or_insert_with(|| key.path());
            }
            Some(found) if found.files.is_empty() => {
                problems.push(format!("{}: the tablet's directory is empty", key.path()))
            }
            Some(found) => {
                if !found.files.iter().any(|file| is_header(&file.name)) {
                    problems.push(format!("{}: the tablet's header is missing", key.path()));
                }
                let names: Vec<String> = found.files.iter().map(|file| format!("{}.{}", file.name, file.md5)).collect();
                let lost = tablet.listed_files.iter().filter(|listed| !names.contains(listed));
                problems.extend(lost.map(|listed| format!("{}/{listed}: the file is missing", key.path())));
            }
        }
    }
    if let Some(first) = first {
        problems.push(format!(
            "table {}: {gone} of {} tablets have no directory, the first is {first}",
            table.name,
            places.len()
        ));
    }
    problems
}

/// All snapshots of the repository, by label and timestamp; those that cannot be opened are among them, with why.
pub async fn snapshots(repository: &Repository, cache: Option<&IndexCache>) -> Result<Vec<SnapshotSummary>> {
    let mut summaries = Vec::new();
    for label in repository.labels().await? {
        if label.timestamps.is_empty() {
            summaries.push(summary(repository, &label, None, cache).await);
        }
        for timestamp in &label.timestamps {
            summaries.push(summary(repository, &label, Some(&timestamp.text), cache).await);
        }
    }
    Ok(summaries)
}

async fn summary(
    repository: &Repository,
    label: &Label,
    timestamp: Option<&str>,
    cache: Option<&IndexCache>,
) -> SnapshotSummary {
    let mut summary = SnapshotSummary::new(&label.name, timestamp);
    match repository.snapshot(&label.name, Some(timestamp.unwrap_or(INCOMPLETE)), cache).await {
        Ok(snapshot) => summary.count(&snapshot),
        Err(error) => summary.problems.push(error.to_string()),
    }
    for problem in &label.problems {
        if !summary.problems.contains(problem) {
            summary.problems.push(problem.clone());
        }
    }
    if timestamp.is_none() {
        summary.status = SnapshotStatus::Incomplete;
        summary.problems.insert(0, "there is no __info: the backup crashed, or still runs".into());
    } else if !summary.problems.is_empty() {
        summary.status = SnapshotStatus::Broken;
    }
    summary
}
