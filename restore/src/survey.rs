//! What snapshots a repository holds, and in which state they are.

use crate::error::Result;
use crate::source::tablet_of;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use starsnap_catalog::layout::TableLayout;
use starsnap_catalog::snapshot::TableKind;
use starsnap_repository::repository::{INCOMPLETE, Label, names_tablet};
use starsnap_repository::{OpenSnapshot, Repository};

/// Snapshots looked into at once: each holds its catalog and its listing in memory.
const AT_ONCE: usize = 4;

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
    /// None when incomplete or unreadable.
    pub timestamp: Option<String>,
    pub status: SnapshotStatus,
    /// Why it is not `Ok`: one sentence for each cause, with the number of objects that it is about.
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
        let mut causes = Causes::default();
        for problem in snapshot.problems.iter().filter(|problem| !names_tablet(problem)) {
            causes.add(problem, || problem.clone());
        }
        for found in &catalog.disagreements {
            causes.add(&found.what, || format!("{}: {}", found.object, found.what));
        }
        for table in &catalog.tables {
            match table.kind {
                TableKind::View => self.views += 1,
                TableKind::MaterializedView => self.materialized_views += 1,
                TableKind::Table | TableKind::Other => self.tables += 1,
            }
            self.partitions += table.partitions.len() as u64;
            if table.catalog.is_none() {
                let name = &table.name;
                causes.add("its catalog object is missing", || format!("table {name}: its catalog object is missing"));
            }
        }
        self.tablets = snapshot.tablets.len() as u64;
        for tablet in &snapshot.tablets {
            self.files += tablet.files.len() as u64;
            self.bytes += tablet.files.iter().map(|file| file.size).sum::<u64>();
            for problem in &tablet.problems {
                causes.add(problem, || format!("{}: {problem}", tablet.key.path()));
            }
        }
        self.problems.extend(without_files(snapshot));
        self.problems.extend(causes.sentences());
    }
}

/// Tablets without files: counted, the first one named.
fn without_files(snapshot: &OpenSnapshot) -> Option<String> {
    let (mut all, mut gone, mut first) = (0u64, 0u64, None);
    for table in &snapshot.catalog.tables {
        for place in &TableLayout::of(table).tablets {
            let Some((key, _)) = tablet_of(snapshot.catalog.database_id, table, place) else { continue };
            all += 1;
            if snapshot.tablet(&key).is_none_or(|tablet| tablet.files.is_empty()) {
                gone += 1;
                first.get_or_insert_with(|| format!("{} of table {}", key.path(), table.name));
            }
        }
    }
    match first? {
        _ if gone == all => Some(format!("none of its {all} tablets has files")),
        first => Some(format!("{gone} of its {all} tablets have no files, the first is {first}")),
    }
}

/// Problems by their cause: of each the first one's sentence, and how many there are.
#[derive(Default)]
struct Causes {
    found: Vec<(String, String, u64)>,
    /// Of yet other causes.
    more: u64,
}

/// Causes that are told.
const MOST_CAUSES: usize = 20;

impl Causes {
    /// `what` is the problem without the object that has it.
    fn add(&mut self, what: &str, sentence: impl FnOnce() -> String) {
        let cause = cause(what);
        if let Some((_, _, count)) = self.found.iter_mut().find(|(known, _, _)| *known == cause) {
            *count += 1;
        } else if self.found.len() < MOST_CAUSES {
            self.found.push((cause, sentence(), 1));
        } else {
            self.more += 1;
        }
    }

    fn sentences(self) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("{} more problems of other kinds", self.more));
        let told = self.found.into_iter().map(|(_, first, count)| match count {
            1 => first,
            _ => format!("{first} ({} more like this)", count - 1),
        });
        told.chain(more)
    }
}

/// The sentence without what differs from one object to the next: quoted names, numbers, digests.
fn cause(sentence: &str) -> String {
    let unquoted: String = sentence.split('`').step_by(2).collect();
    let is_number = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    unquoted.split_whitespace().map(|word| if is_number(word) { "#" } else { word }).collect::<Vec<_>>().join(" ")
}

/// All snapshots of the repository, by label and timestamp; those that cannot be opened are among them, with why. A store that does not
/// answer is an error: of a snapshot that cannot be reached nobody knows how it is. Everything is read and
/// listed anew: the index cache knows a snapshot as it was when it was last opened, and would not notice what was lost since.
pub async fn snapshots(repository: &Repository) -> Result<Vec<SnapshotSummary>> {
    let labels = repository.labels().await?;
    let mut wanted = Vec::new();
    for label in &labels {
        wanted.extend(label.timestamps.is_empty().then_some((label, None)));
        wanted.extend(label.timestamps.iter().map(|timestamp| (label, Some(timestamp.text.as_str()))));
    }
    let summaries =
        wanted.into_iter().map(|(label, timestamp)| async move { summary(repository, label, timestamp).await });
    futures::stream::iter(summaries).buffered(AT_ONCE).try_collect().await
}

async fn summary(repository: &Repository, label: &Label, timestamp: Option<&str>) -> Result<SnapshotSummary> {
    let mut summary = SnapshotSummary::new(&label.name, timestamp);
    let opened = repository.snapshot(&label.name, Some(timestamp.unwrap_or(INCOMPLETE)), None).await;
    let unreadable = opened.is_err();
    match opened {
        Ok(snapshot) => summary.count(&snapshot),
        Err(error) if error.kind == starsnap_repository::error::ErrorKind::Unavailable => return Err(error.into()),
        Err(error) => summary.problems.push(error.to_string()),
    }
    for problem in &label.problems {
        if !summary.problems.contains(problem) {
            summary.problems.push(problem.clone());
        }
    }
    summary.status = match timestamp {
        // Of a label that cannot be looked into, nobody knows whether it was completed.
        None if !unreadable => SnapshotStatus::Incomplete,
        Some(_) if summary.problems.is_empty() => SnapshotStatus::Ok,
        _ => SnapshotStatus::Broken,
    };
    Ok(summary)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_has_one_cause_is_said_once_with_a_count() {
        let mut causes = Causes::default();
        for tablet in 0..500 {
            let problem = format!("`__{tablet}/x.part` is an unfinished upload");
            causes.add(&problem, || problem.clone());
        }
        causes.add("its header is missing", || "tablet 7: its header is missing".into());
        let told: Vec<String> = causes.sentences().collect();
        assert_eq!(
            told,
            ["`__0/x.part` is an unfinished upload (499 more like this)", "tablet 7: its header is missing"]
        );
    }

    #[test]
    fn causes_are_told_up_to_a_number() {
        let mut causes = Causes::default();
        for kind in 0..MOST_CAUSES + 5 {
            let what = "x".repeat(kind + 1);
            causes.add(&what, || what.clone());
        }
        let told: Vec<String> = causes.sentences().collect();
        assert_eq!(told.len(), MOST_CAUSES + 1);
        assert_eq!(told.last().unwrap(), "5 more problems of other kinds");
    }
}
