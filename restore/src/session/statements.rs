//! BACKUP and RESTORE: what the statements say, as the jobs want it.

use super::jobs::{Kind, Record, State, absolute};
use super::{Answer, Session, running, unless};
use crate::backup::{BackupOptions, backup_wanted, default_workers};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::progress::{Cancel, Progress};
use crate::registry::Registered;
use crate::report::{JobStatus, RestoreReport, TableStatus};
use crate::restore::{self, RestoreOptions, restore_wanted};
use crate::source::Source;
use crate::statement::{Catalogs, ItemKind, Properties, Selection};
use crate::time::now;
use crate::wanted::Wanted;
use futures::TryFutureExt;
use std::path::Path;
use std::sync::Arc;

/// `backup_job_default_timeout_ms` and the least that StarRocks takes, in seconds.
const DEFAULT_TIMEOUT: u64 = 86_400;
const MIN_TIMEOUT: u64 = 600;

/// A BACKUP or RESTORE statement.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub database: Option<&'a str>,
    /// Of RESTORE.
    pub database_alias: Option<&'a str>,
    pub label: &'a str,
    pub repository: &'a str,
    pub selection: &'a Selection,
    pub catalogs: &'a Catalogs,
    pub properties: &'a Properties,
}

impl Session {
    pub(super) async fn backup(&self, job: Job<'_>, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<Answer> {
        let registered = self.registered("back up to", job.repository)?;
        let properties = JobProperties::of_backup(job)?;
        if registered.read_only {
            let reason = "it was created READ ONLY";
            return Err(RestoreError::new(ErrorKind::Usage, "back up to", job.repository, reason)
                .advise("back up to another repository"));
        }
        let database = self.known_database("back up", job)?;
        let warehouse = self.warehouse("back up", database)?;
        let repository = self.open_for(&registered, &cancel).await?;
        let wanted = Wanted::of(job.selection, job.catalogs);
        let workers = self.options.upload_workers.unwrap_or_else(|| default_workers(&repository));
        let record = record(Kind::Backup, job, &properties, warehouse, database, "");
        let options = BackupOptions {
            repository,
            label: job.label.to_owned(),
            warehouse: warehouse.clone(),
            database: database.to_owned(),
            tables: Vec::new(),
            partitions: Vec::new(),
            workers,
            max_speed_bytes_per_second: self.options.max_upload_speed,
        };
        // Cleaned here, as what went wrong is also kept for SHOW BACKUP.
        let clean = |error| registered.clean(error);
        let work = |progress, cancel| backup_wanted(options, wanted, progress, cancel).map_err(clean);
        let done = running::run(&self.jobs, record, progress, cancel, work, |_| String::new()).await;
        let report = done?;
        let message = format!("backed up {} into {}, timestamp {}", report.database, report.label, report.timestamp);
        Ok(Answer { message: Some(message), notes: report.notes.clone(), backup: Some(report), ..Answer::default() })
    }

    pub(super) async fn restore(&self, job: Job<'_>, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<Answer> {
        let registered = self.registered("restore from", job.repository)?;
        let (properties, timestamp) = JobProperties::of_restore(job)?;
        // Said before anything is fetched.
        self.warehouse("restore", job.label)?;
        let opening = self.source(&registered, job.label, timestamp);
        let source = unless(&cancel, &format!("opening snapshot {}", job.label), opening).await;
        let source = source.map_err(|error| registered.clean(error))?;
        let database = self.target(job, source.database())?;
        let warehouse = self.warehouse("restore", &database)?;
        let wanted = Wanted::of(job.selection, job.catalogs);
        let record = record(Kind::Restore, job, &properties, warehouse, &database, timestamp);
        let workers = self.options.download_workers.unwrap_or_else(|| restore::default_workers(&source));
        let options = RestoreOptions {
            source,
            tables: Vec::new(),
            partitions: Vec::new(),
            warehouse: warehouse.clone(),
            database: Some(database.clone()),
            workers,
            max_speed_bytes_per_second: self.options.max_download_speed,
            recheck: false,
        };
        let wanted = wanted.as_ref();
        let clean = |error| registered.clean(error);
        let work = |progress, cancel| restore_wanted(options, wanted, progress, cancel).map_err(clean);
        let done = running::run(&self.jobs, record, progress, cancel, work, problems).await;
        let report = done?;
        let mut notes = report.notes.clone();
        notes.extend(properties.notes);
        let all = report.tables.len();
        let restored = all - report.tables.iter().filter(|table| failed(table.status)).count();
        let message = format!("restored {restored} of {all} objects into {}", report.directory.display());
        Ok(Answer { message: Some(message), notes, restore: Some(report), ..Answer::default() })
    }

    async fn source(&self, registered: &Registered, label: &str, timestamp: &str) -> Result<Source> {
        let repository = self.open(registered).await?;
        let stored = repository.label(label).await?;
        if !stored.timestamps.iter().any(|one| one.text == timestamp) {
            let all: Vec<&str> = stored.timestamps.iter().map(|one| one.text.as_str()).collect();
            let reason = format!("there is no backup with the backup_timestamp {timestamp}");
            let advice = match all.as_slice() {
                [] => "it has none: its backup was never completed".to_owned(),
                all => format!("it has {}", all.join(", ")),
            };
            return Err(RestoreError::new(ErrorKind::NotFound, "restore snapshot", label, reason).advise(advice));
        }
        Source::repository(&repository, label, Some(timestamp), self.cache.as_ref()).await
    }

    fn known_database<'a>(&'a self, action: &'static str, job: Job<'a>) -> Result<&'a str> {
        job.database.or(self.database.as_deref()).ok_or_else(|| {
            let reason = match job.catalogs {
                Catalogs::None => "no database is named",
                _ => "a warehouse keeps external catalogs in the directory of a database, and none is in use",
            };
            RestoreError::new(ErrorKind::Usage, action, job.label, reason)
                .advise("say USE DATABASE first, or name it: SNAPSHOT database.label")
        })
    }

    /// The database to restore into.
    fn target(&self, job: Job<'_>, stored: &str) -> Result<String> {
        if let (Some(from), Some(alias)) = (job.database, job.database_alias) {
            if from != stored {
                let reason = format!("the snapshot is of database {stored}, not {from}");
                return Err(RestoreError::new(ErrorKind::NoSuchObject, "restore database", from, reason));
            }
            return Ok(alias.to_owned());
        }
        if job.database.is_some() && stored.is_empty() {
            let reason = "it holds external catalogs, and no database";
            return Err(RestoreError::new(ErrorKind::Usage, "restore snapshot", job.label, reason)
                .advise("leave the database out, and say USE DATABASE to choose where the catalogs are kept"));
        }
        match job.database.or(self.database.as_deref()) {
            Some(named) => Ok(named.to_owned()),
            None if job.selection.is_everything() && !stored.is_empty() => Ok(stored.to_owned()),
            None => self.known_database("restore", job).map(str::to_owned),
        }
    }
}

fn failed(status: TableStatus) -> bool {
    matches!(status, TableStatus::Failed | TableStatus::Interrupted)
}

/// What was wrong with a restore; empty: nothing.
fn problems(report: &RestoreReport) -> String {
    if report.status == JobStatus::Done {
        return String::new();
    }
    let bad = report.tables.iter().filter(|table| failed(table.status));
    let told: Vec<String> = bad
        .map(|table| match table.problems.first() {
            Some(problem) => format!("{}: {problem}", table.name),
            None => format!("{}: interrupted", table.name),
        })
        .collect();
    match told.is_empty() {
        true => "interrupted".to_owned(),
        false => format!("{} of {} objects failed: {}", told.len(), report.tables.len(), told.join("; ")),
    }
}

/// PROPERTIES of a job that are more than words.
struct JobProperties {
    timeout: u64,
    allow_load: bool,
    replication_num: Option<u32>,
    notes: Vec<String>,
}

impl JobProperties {
    fn of_backup(job: Job<'_>) -> Result<JobProperties> {
        let action = "back up";
        check_names(job, action, &["type", "timeout"])?;
        match job.properties.get("type") {
            None => {}
            Some(kind) if kind.eq_ignore_ascii_case("full") => {}
            Some(kind) => {
                let reason = format!("the type {kind:?} cannot be had: only full backups can");
                return Err(RestoreError::new(ErrorKind::Usage, action, job.label, reason));
            }
        }
        let timeout = timeout(job, action)?;
        Ok(JobProperties { timeout, allow_load: false, replication_num: None, notes: Vec::new() })
    }

    /// And the backup_timestamp.
    fn of_restore(job: Job<'_>) -> Result<(JobProperties, &str)> {
        let action = "restore";
        let known =
            ["backup_timestamp", "timeout", "replication_num", "allow_load", "meta_version", "starrocks_meta_version"];
        check_names(job, action, &known)?;
        let wrong = |reason: String| RestoreError::new(ErrorKind::Usage, action, job.label, reason);
        let timestamp = job.properties.get("backup_timestamp").ok_or_else(|| {
            wrong("the property backup_timestamp is missing".into())
                .advise(format!("SHOW SNAPSHOT ON {} tells it", job.repository))
        })?;
        let mut notes = Vec::new();
        let number = |key: &str| match job.properties.get(key).map(|value| (value, value.trim().parse::<u32>())) {
            None => Ok(None),
            Some((_, Ok(number))) if number > 0 => Ok(Some(number)),
            Some((value, _)) => Err(wrong(format!("{key} is {value:?}, which is no positive number"))),
        };
        let replication_num = number("replication_num")?;
        if replication_num.is_some_and(|count| count > 1) {
            notes.push("replication_num is ignored: a warehouse holds one copy of each tablet".to_owned());
        }
        for key in ["meta_version", "starrocks_meta_version"] {
            if number(key)?.is_some() {
                notes.push(format!("{key} is ignored: what the snapshot itself holds decides how it is read"));
            }
        }
        let allow_load = match job.properties.get("allow_load").map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => false,
            Some("true") => {
                notes.push("allow_load is ignored: nobody loads into a warehouse".to_owned());
                true
            }
            Some(other) => return Err(wrong(format!("allow_load is {other:?}, which is neither true nor false"))),
        };
        Ok((JobProperties { timeout: timeout(job, action)?, allow_load, replication_num, notes }, timestamp))
    }
}

fn check_names(job: Job<'_>, action: &'static str, known: &[&str]) -> Result<()> {
    let unknown = job.properties.0.iter().find(|(key, _)| !known.contains(&key.as_str()));
    match unknown {
        None => Ok(()),
        Some((key, _)) => {
            let reason = format!("the property {key:?} is unknown");
            Err(RestoreError::new(ErrorKind::Usage, action, job.label, reason)
                .advise(format!("there are {}", known.join(", "))))
        }
    }
}

fn timeout(job: Job<'_>, action: &'static str) -> Result<u64> {
    match job.properties.get("timeout").map(|value| (value, value.trim().parse::<u64>())) {
        None => Ok(DEFAULT_TIMEOUT),
        // Within what can be added to any time.
        Some((_, Ok(seconds @ MIN_TIMEOUT..=0xffff_ffff))) => Ok(seconds),
        Some((value, _)) => {
            let reason = format!("the timeout is {value:?}: it wants seconds, {MIN_TIMEOUT} at least");
            Err(RestoreError::new(ErrorKind::Usage, action, job.label, reason))
        }
    }
}

fn record(
    kind: Kind,
    job: Job<'_>,
    properties: &JobProperties,
    warehouse: &Path,
    database: &str,
    timestamp: &str,
) -> Record {
    let created = now();
    Record {
        kind,
        id: u64::try_from(created).unwrap_or_default(),
        pid: std::process::id(),
        warehouse: absolute(warehouse),
        database: database.to_owned(),
        label: job.label.to_owned(),
        timestamp: timestamp.to_owned(),
        state: State::Pending,
        objects: objects(job, database),
        allow_load: properties.allow_load,
        replication_num: properties.replication_num,
        timeout: properties.timeout,
        created,
        prepared: None,
        transferred: None,
        finished: None,
        files: 0,
        files_done: 0,
        problem: String::new(),
    }
}

/// `[db.t], [db.u PARTITION (p) AS v]`, or what else the statement names; `[db]` for everything.
fn objects(job: Job<'_>, database: &str) -> String {
    let selection = job.selection;
    let all = [
        (selection.all_tables, "ALL TABLES"),
        (selection.all_materialized_views, "ALL MATERIALIZED VIEWS"),
        (selection.all_views, "ALL VIEWS"),
        (selection.all_functions, "ALL FUNCTIONS"),
        (*job.catalogs == Catalogs::All, "ALL EXTERNAL CATALOGS"),
    ];
    let mut named: Vec<String> =
        all.iter().filter(|(wanted, _)| *wanted).map(|(_, text)| format!("[{text}]")).collect();
    named.extend(selection.items.iter().map(|item| {
        let kind = match item.kind {
            ItemKind::Any | ItemKind::Table => "",
            ItemKind::MaterializedView => "MATERIALIZED VIEW ",
            ItemKind::View => "VIEW ",
            ItemKind::Function => "FUNCTION ",
        };
        let partitions = match item.partitions.is_empty() {
            true => String::new(),
            false => format!(" PARTITION ({})", item.partitions.join(", ")),
        };
        let alias = item.alias.as_ref().map(|alias| format!(" AS {alias}")).unwrap_or_default();
        format!("[{kind}{database}.{}{partitions}{alias}]", item.name)
    }));
    if let Catalogs::Named(names) = job.catalogs {
        named.extend(names.iter().map(|(name, _)| format!("[EXTERNAL CATALOG {name}]")));
    }
    if named.is_empty() { format!("[{database}]") } else { named.join(", ") }
}
