//! The verification: is what stands in a repository, a mount or a warehouse what StarRocks wrote, and all of it?

mod blocks;
mod buckets;
mod report;
mod sample;
mod tablet;

pub use report::{Finding, FindingKind, Health, Level, Looked, SnapshotVerdict, TableVerdict, VerifyReport};

use crate::error::{ErrorKind, RestoreError, Result};
use crate::progress::{Cancel, Progress};
use crate::report::{JobStatus, ObjectKind};
use crate::source::{Source, Stored, is_tablet};
use blocks::Pace;
use buckets::{Bucket, Distribution};
use futures::StreamExt;
use starsnap_catalog::layout::{TableLayout, TabletPlace};
use starsnap_catalog::model::Table;
use starsnap_catalog::snapshot::{TableEntry, TableKind};
use starsnap_repository::limiter::Limiter;
use starsnap_repository::repository::{INCOMPLETE, Label, names_tablet};
use starsnap_repository::{OpenSnapshot, Repository};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tablet::{Examiner, Found, Wanted};

/// Tablets looked at at once, at most: each takes a thread and some buffers.
const MOST_WORKERS: usize = 64;

/// What to verify.
#[derive(Debug, Clone)]
pub enum Target {
    /// A repository: all that stands in it, or one label, or one timestamp of it (as in [`Repository::snapshot`]).
    Repository { repository: Repository, label: Option<String>, timestamp: Option<String> },
    /// A directory of tables, a table or a partition: see [`Source::directory`].
    Directory(Source),
    /// The directory of one tablet, with no catalog beside it that would say which one it should be: see [`Target::directory`].
    Tablet(PathBuf),
}

impl Target {
    /// A directory: as [`Source::directory`] takes it, or that of a tablet.
    pub fn directory(path: &Path) -> Result<Target> {
        Ok(match is_tablet(path)? {
            true => Target::Tablet(path.to_owned()),
            false => Target::Directory(Source::directory(path)?),
        })
    }
}

/// What to verify, how closely, how fast.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    pub target: Target,
    /// Empty: all.
    pub tables: Vec<String>,
    pub level: Level,
    /// Percent of the tablets of each snapshot whose files are read; none: all. Names are looked at in all of them.
    pub sample: Option<f64>,
    /// Tablets looked at at once; at least 1.
    pub workers: usize,
    /// For all workers together.
    pub max_speed_bytes_per_second: Option<u64>,
}

/// Verifies. Whatever is wrong is in the report; an error only where there is nothing to look at.
pub async fn verify(options: VerifyOptions, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<VerifyReport> {
    let started = Instant::now();
    let limiter = Arc::new(Limiter::new(options.max_speed_bytes_per_second));
    let pace = Pace { limiter, cancel, runtime: tokio::runtime::Handle::current() };
    let mut job = Job { options: &options, progress, pace, findings: Vec::new(), snapshots: Vec::new() };
    let source = match &options.target {
        Target::Directory(source) => {
            job.directory(source).await;
            source.describe()
        }
        Target::Tablet(path) => job.bare(path).await?,
        Target::Repository { repository, label, timestamp } => {
            job.repository(repository, label.as_deref(), timestamp.as_deref()).await?;
            format!("repository {} at {}", repository.name(), repository.storage().describe())
        }
    };
    job.all_tables_were_there(&source)?;
    let mut looked = Looked::default();
    job.snapshots.iter().flat_map(|snapshot| &snapshot.tables).for_each(|table| looked += table.looked);
    let sound = job.findings.is_empty() && job.snapshots.iter().all(|snapshot| snapshot.health == Health::Healthy);
    let status = match (job.pace.cancel.is_cancelled(), sound) {
        (true, _) => JobStatus::Interrupted,
        (false, true) => JobStatus::Done,
        (false, false) => JobStatus::Partial,
    };
    Ok(VerifyReport {
        status,
        source,
        level: options.level,
        sample: options.sample,
        looked,
        snapshots: job.snapshots,
        findings: job.findings,
        seconds: started.elapsed().as_secs_f64(),
    })
}

struct Job<'a> {
    options: &'a VerifyOptions,
    progress: Arc<dyn Progress>,
    pace: Pace,
    findings: Vec<Finding>,
    snapshots: Vec<SnapshotVerdict>,
}

/// One tablet to look at.
struct Unit {
    /// Among the chosen tables.
    table: usize,
    /// What the catalog says, where there is one.
    wanted: Option<Wanted>,
    stored: Stored,
    read: bool,
}

impl Job<'_> {
    async fn repository(
        &mut self,
        repository: &Repository,
        label: Option<&str>,
        timestamp: Option<&str>,
    ) -> Result<()> {
        for problem in repository.problems() {
            self.found(Finding::new(FindingKind::Inconsistent, repository.path("__repo_info"), problem));
        }
        if let Some(name) = label {
            let label = repository.label(name).await?;
            return self.snapshot(repository, &label, timestamp, true).await;
        }
        for label in repository.labels().await? {
            if label.timestamps.is_empty() {
                self.snapshot(repository, &label, Some(INCOMPLETE), false).await?;
            }
            for timestamp in &label.timestamps {
                if !self.pace.cancel.is_cancelled() {
                    self.snapshot(repository, &label, Some(&timestamp.text), false).await?;
                }
            }
        }
        Ok(())
    }

    /// Verifies one snapshot. `named` by the user, it is an error where there is none.
    async fn snapshot(
        &mut self,
        repository: &Repository,
        label: &Label,
        timestamp: Option<&str>,
        named: bool,
    ) -> Result<()> {
        // Not from the cache: what counts is what stands there now.
        let opened = match repository.snapshot(&label.name, timestamp, None).await {
            Ok(opened) => Arc::new(opened),
            Err(error) if named => return Err(error.into()),
            Err(error) => {
                let mut verdict = empty(&label.name, timestamp.unwrap_or_default());
                verdict.findings = vec![Finding::new(FindingKind::Unchecked, "", error.to_string())];
                verdict.health = Health::of(&verdict.findings);
                self.snapshots.push(verdict);
                return Ok(());
            }
        };
        let source = Source::opened(repository, opened.clone());
        let mut verdict = empty(&opened.label, &opened.timestamp);
        verdict.database.clone_from(&opened.catalog.database);
        verdict.findings = self.of_snapshot(&opened);
        let of_label = label.problems.iter().filter(|problem| !opened.problems.contains(problem));
        verdict.findings.extend(of_label.map(|problem| Finding::new(FindingKind::Inconsistent, "", problem)));
        self.source(&source, &mut verdict, opened.timestamp == INCOMPLETE).await;
        self.snapshots.push(verdict);
        Ok(())
    }

    /// What is wrong with the snapshot beyond its tablets.
    fn of_snapshot(&self, opened: &OpenSnapshot) -> Vec<Finding> {
        let whole = opened.problems.iter().filter(|problem| !names_tablet(problem));
        let mut findings: Vec<_> = whole.map(|what| Finding::new(kind_of(what), "", what)).collect();
        let chosen = |object: &str| {
            let tables = &self.options.tables;
            tables.is_empty() || tables.iter().any(|table| object.ends_with(&format!("table {table}")))
        };
        let disagreements = opened.catalog.disagreements.iter().filter(|found| chosen(&found.object));
        findings.extend(
            disagreements
                .map(|found| Finding::new(FindingKind::Inconsistent, "", format!("{}: {}", found.object, found.what))),
        );
        findings
    }

    async fn directory(&mut self, source: &Source) {
        let (label, timestamp) = source.label_and_timestamp();
        let mut verdict = empty(label, timestamp);
        verdict.database = source.database().to_owned();
        self.source(source, &mut verdict, false).await;
        self.snapshots.push(verdict);
    }

    /// A tablet that nothing is known of but what stands in its directory. Returns where that is, in words.
    async fn bare(&mut self, path: &Path) -> Result<String> {
        let mut verdict = empty("", "");
        let (source, stored) = Source::tablet_dir(path)?;
        verdict.tables.push(TableVerdict {
            name: stored.shown.rsplit('/').next().unwrap_or_default().to_owned(),
            kind: ObjectKind::Tablet,
            health: Health::Healthy,
            looked: Looked::default(),
            findings: Vec::new(),
        });
        let mut units = vec![Unit { table: 0, wanted: None, stored, read: true }];
        self.choose(&mut units);
        self.tablets(&source, units, &mut verdict).await;
        verdict.health = verdict.tables.iter().map(|table| table.health).next().unwrap_or(Health::Healthy);
        self.snapshots.push(verdict);
        Ok(source.describe())
    }

    /// Verifies the chosen tables of `source` into `verdict`.
    async fn source(&mut self, source: &Source, verdict: &mut SnapshotVerdict, incomplete: bool) {
        let (only_table, only_partition) = source.limit();
        let mut units = Vec::new();
        for (at, entry) in source.tables().into_iter().enumerate() {
            let wanted = self.options.tables.is_empty() || self.options.tables.contains(&entry.name);
            if !wanted || only_table.is_some_and(|only| only != entry.name) {
                continue;
            }
            let (table, distribution) = of_table(entry);
            verdict.tables.push(table);
            for place in TableLayout::of(entry).tablets {
                let here = entry.partitions.get(place.partition).map(|partition| partition.name.as_str());
                if only_partition.is_none() || here == only_partition {
                    let mut unit = self.unit(source, at, entry, &place, verdict.tables.len() - 1, incomplete).await;
                    if let Some(wanted) = unit.as_mut().and_then(|unit| unit.wanted.as_mut()) {
                        wanted.bucket = bucket(entry, &place, &distribution);
                    }
                    units.extend(unit);
                }
            }
        }
        self.choose(&mut units);
        self.tablets(source, units, verdict).await;
        let tables = verdict.tables.iter().flat_map(|table| &table.findings);
        verdict.health = Health::of(verdict.findings.iter().chain(tables));
        if incomplete {
            verdict.health = Health::Incomplete;
        } else if self.pace.cancel.is_cancelled() {
            verdict.health = Health::Interrupted;
        }
        let name = verdict.name();
        for finding in &verdict.findings {
            self.progress.message(&format!("{name}: {finding}"));
        }
    }

    /// One tablet; none for those that an incomplete backup has not come to.
    async fn unit(
        &self,
        source: &Source,
        at: usize,
        entry: &TableEntry,
        place: &TabletPlace,
        table: usize,
        incomplete: bool,
    ) -> Option<Unit> {
        let physical = entry.partitions.get(place.partition)?.physicals.get(place.physical)?;
        let index = physical.indexes.get(place.index)?;
        let tablet = index.tablets.get(place.tablet)?;
        let stored = source.stored(at, place).await;
        if incomplete && stored.files.is_empty() {
            return None;
        }
        let wanted =
            Wanted { tablet: tablet.id, version: physical.version, schema_hash: index.schema_hash, bucket: None };
        Some(Unit { table, wanted: Some(wanted), stored, read: true })
    }

    /// Marks those that a sample reads.
    fn choose(&self, units: &mut [Unit]) {
        if let Some(percent) = self.options.sample {
            let chosen = sample::choose(units.iter().map(|unit| unit.stored.shown.as_str()), percent);
            units.iter_mut().enumerate().for_each(|(at, unit)| unit.read = chosen.contains(&at));
        }
        let files = || units.iter().filter(|unit| unit.read).flat_map(|unit| &unit.stored.files);
        self.progress.reading(files().count() as u64, files().map(|file| file.size).sum());
    }

    async fn tablets(&self, source: &Source, units: Vec<Unit>, verdict: &mut SnapshotVerdict) {
        let name = verdict.name();
        let mut left = vec![0usize; verdict.tables.len()];
        units.iter().for_each(|unit| left.iter_mut().skip(unit.table).take(1).for_each(|left| *left += 1));
        for (table, _) in verdict.tables.iter().zip(&left).filter(|(_, left)| **left == 0) {
            self.say(&name, table);
        }
        let names: Vec<_> = verdict.tables.iter().map(|table| table.name.clone()).collect();
        let looks = units.into_iter().map(|unit| {
            let table = names.get(unit.table).cloned().unwrap_or_default();
            self.look(source.clone(), table, unit)
        });
        let workers = self.options.workers.clamp(1, MOST_WORKERS);
        // In order, so that tables are told in order and two runs say the same.
        let mut looks = futures::stream::iter(looks).buffered(workers);
        while let Some((at, found)) = looks.next().await {
            let (Some(table), Some(left)) = (verdict.tables.get_mut(at), left.get_mut(at)) else { continue };
            table.looked += found.looked;
            table.findings.extend(found.findings);
            *left -= 1;
            if found.interrupted {
                table.health = Health::Interrupted;
            } else if table.health != Health::Interrupted {
                table.health = Health::of(&table.findings);
            }
            if *left == 0 {
                self.say(&name, table);
            }
        }
    }

    async fn look(&self, source: Source, table: String, unit: Unit) -> (usize, Found) {
        let examiner = Examiner {
            source,
            level: self.options.level,
            pace: self.pace.clone(),
            progress: self.progress.clone(),
            table,
        };
        let at = unit.table;
        if self.pace.cancel.is_cancelled() {
            return (at, Found { interrupted: true, ..Found::default() });
        }
        let shown = unit.stored.shown.clone();
        let looked = crate::blocking(move || examiner.tablet(&unit.stored, unit.wanted.as_ref(), unit.read)).await;
        let found = looked.unwrap_or_else(|error| {
            let finding = Finding::new(FindingKind::Unchecked, shown, format!("it could not be looked at: {error}"));
            Found { findings: vec![finding], ..Found::default() }
        });
        (at, found)
    }

    /// A table is done.
    fn say(&self, snapshot: &str, table: &TableVerdict) {
        let health = match table.health {
            Health::Healthy => "healthy",
            Health::Damaged => "DAMAGED",
            Health::Unchecked => "not all of it could be looked at",
            Health::Incomplete => "incomplete",
            Health::Interrupted => "interrupted",
        };
        let place = if snapshot.is_empty() { table.name.clone() } else { format!("{snapshot}: {}", table.name) };
        self.progress.message(&format!("{place}: {health}"));
        for finding in &table.findings {
            self.progress.message(&format!("{place}: {finding}"));
        }
    }

    fn found(&mut self, finding: Finding) {
        self.progress.message(&finding.to_string());
        self.findings.push(finding);
    }

    /// A table that the user names must be somewhere.
    fn all_tables_were_there(&self, source: &str) -> Result<()> {
        let there = |name: &str| self.snapshots.iter().flat_map(|snapshot| &snapshot.tables).any(|t| t.name == name);
        match self.options.tables.iter().find(|name| !there(name)) {
            Some(name) if !self.pace.cancel.is_cancelled() => {
                let reason = format!("{source} has none of that name in what was to be verified");
                Err(RestoreError::new(ErrorKind::NoSuchObject, "verify table", name, reason))
            }
            _ => Ok(()),
        }
    }
}

fn empty(label: &str, timestamp: &str) -> SnapshotVerdict {
    SnapshotVerdict {
        label: label.to_owned(),
        timestamp: timestamp.to_owned(),
        database: String::new(),
        health: Health::Healthy,
        tables: Vec::new(),
        findings: Vec::new(),
    }
}

/// Which bucket a tablet is. Those of a rollup follow from the base index's, by columns that the rollup may lack.
fn bucket(entry: &TableEntry, place: &TabletPlace, distribution: &Distribution) -> Option<Bucket> {
    let partition = entry.partitions.get(place.partition)?;
    let index = partition.physicals.get(place.physical)?.indexes.get(place.index)?;
    distribution.bucket(partition.id, place.tablet, index.tablets.len()).filter(|_| index.base)
}

/// A table before its tablets are looked at: its catalog object is.
fn of_table(entry: &TableEntry) -> (TableVerdict, Distribution) {
    let kind = match entry.kind {
        TableKind::View => ObjectKind::View,
        TableKind::MaterializedView => ObjectKind::MaterializedView,
        TableKind::Table | TableKind::Other => ObjectKind::Table,
    };
    let (mut findings, mut distribution) = (Vec::new(), Distribution::default());
    match entry.catalog.as_ref().map(|catalog| catalog.parse::<Table>()) {
        None => findings.push(Finding::new(FindingKind::Missing, "", "its catalog object in `__meta` is missing")),
        Some(Err(error)) => findings.push(Finding::new(FindingKind::Damaged, "", error.to_string())),
        Some(Ok(table)) => distribution = Distribution::of(&table),
    }
    let health = Health::of(&findings);
    (TableVerdict { name: entry.name.clone(), kind, health, looked: Looked::default(), findings }, distribution)
}

/// The kind of a sentence about a whole snapshot.
fn kind_of(problem: &str) -> FindingKind {
    if problem.contains("is damaged") {
        FindingKind::Damaged
    } else if problem.contains("there is no ") {
        FindingKind::Missing
    } else {
        FindingKind::Inconsistent
    }
}
