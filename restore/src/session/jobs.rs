//! The last BACKUP and RESTORE of each database, in small files of this user: what SHOW BACKUP and SHOW RESTORE tell, how one process stops
//! a job of another, and the lock that allows one job per database.
//!
//! A database has three files, called by the md5 of its path: `.json` (what is told), `.lock` (held while a job runs, and free again however
//! its process ended) and `.cancel` (the number of the job that shall stop; the job looks for it).

use crate::commit::write_durably;
use crate::error::{ErrorKind, RestoreError, Result};
use crate::time::utc_time;
use crate::warehouse;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use starsnap_repository::md5;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Largest file that is read.
const LIMIT: u64 = 64 << 20;
/// How long CANCEL waits for the job to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// BACKUP or RESTORE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Backup,
    Restore,
}

impl Kind {
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Kind::Backup => &[
                "JobId",
                "SnapshotName",
                "DbName",
                "State",
                "BackupObjs",
                "CreateTime",
                "SnapshotFinishedTime",
                "UploadFinishedTime",
                "FinishedTime",
                "UnfinishedTasks",
                "Progress",
                "TaskErrMsg",
                "Status",
                "Timeout",
            ],
            Kind::Restore => &[
                "JobId",
                "Label",
                "Timestamp",
                "DbName",
                "State",
                "AllowLoad",
                "ReplicationNum",
                "RestoreObjs",
                "CreateTime",
                "MetaPreparedTime",
                "SnapshotFinishedTime",
                "DownloadFinishedTime",
                "FinishedTime",
                "UnfinishedTasks",
                "Progress",
                "TaskErrMsg",
                "Status",
                "Timeout",
            ],
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Backup => "backup",
            Kind::Restore => "restore",
        }
    }

    pub(super) fn cancel(self) -> &'static str {
        match self {
            Kind::Backup => "cancel backup",
            Kind::Restore => "cancel restore",
        }
    }
}

/// State of a job, in StarRocks' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum State {
    Pending,
    Uploading,
    Downloading,
    Finished,
    Cancelled,
}

impl State {
    pub(super) fn is_over(self) -> bool {
        matches!(self, State::Finished | State::Cancelled)
    }

    fn word(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Uploading => "UPLOADING",
            State::Downloading => "DOWNLOADING",
            State::Finished => "FINISHED",
            State::Cancelled => "CANCELLED",
        }
    }
}

/// A job. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub kind: Kind,
    pub id: u64,
    pub pid: u32,
    /// Absolute.
    pub warehouse: PathBuf,
    pub database: String,
    pub label: String,
    /// Of RESTORE.
    pub timestamp: String,
    pub state: State,
    /// `[database.table]`, …
    pub objects: String,
    pub allow_load: bool,
    pub replication_num: Option<u32>,
    /// Seconds.
    pub timeout: u64,
    pub created: i64,
    /// When the work was known.
    pub prepared: Option<i64>,
    /// When the last file was there.
    pub transferred: Option<i64>,
    pub finished: Option<i64>,
    pub files: u64,
    pub files_done: u64,
    /// Why it did not end well; empty when it did, or goes on.
    pub problem: String,
}

impl Record {
    /// In the columns of [`Kind::columns`].
    pub(super) fn row(&self) -> Vec<Option<String>> {
        let time = |at: Option<i64>| at.map(utc_time);
        let some = |text: &str| Some(text.to_owned());
        let progress = match (self.state.is_over(), self.prepared) {
            (false, Some(_)) => format!("{}/{} files", self.files_done, self.files),
            _ => String::new(),
        };
        let status = match self.problem.as_str() {
            "" => "[OK]".to_owned(),
            problem => format!("[COMMON_ERROR, msg: {problem}]"),
        };
        let created = time(Some(self.created));
        let last = [
            time(self.finished),
            some(""),
            Some(progress),
            Some(self.problem.clone()),
            Some(status),
            Some(self.timeout.to_string()),
        ];
        let first = match self.kind {
            Kind::Backup => vec![
                Some(self.id.to_string()),
                some(&self.label),
                some(&self.database),
                some(self.state.word()),
                some(&self.objects),
                created,
                time(self.prepared),
                time(self.transferred),
            ],
            Kind::Restore => vec![
                Some(self.id.to_string()),
                some(&self.label),
                some(&self.timestamp),
                some(&self.database),
                some(self.state.word()),
                Some(self.allow_load.to_string()),
                self.replication_num.map(|count| count.to_string()),
                some(&self.objects),
                created,
                time(self.prepared),
                // Nothing is snapshotted in a warehouse.
                None,
                time(self.transferred),
            ],
        };
        first.into_iter().chain(last).collect()
    }
}

/// What a `.json` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Last {
    backup: Option<Record>,
    restore: Option<Record>,
}

impl Last {
    fn of(&mut self, kind: Kind) -> &mut Option<Record> {
        match kind {
            Kind::Backup => &mut self.backup,
            Kind::Restore => &mut self.restore,
        }
    }
}

/// The directory of the files.
#[derive(Debug, Clone)]
pub struct Jobs {
    dir: PathBuf,
}

impl Jobs {
    /// Jobs kept in `dir`, which need not be there yet.
    pub fn at(dir: impl Into<PathBuf>) -> Jobs {
        Jobs { dir: dir.into() }
    }

    /// `$XDG_STATE_HOME/starsnap/jobs`, else in `~/.local/state`, else, for a root without a home, in /var/lib. `Usage` when none is known.
    pub fn of_user() -> Result<Jobs> {
        Ok(Jobs::at(state_dir()?.join("jobs")))
    }

    /// Takes the lock of the record's database. A job that runs there already: `Busy`.
    pub(super) async fn begin(&self, record: &Record) -> Result<Held> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(|e| self.io("make", e))?;
        let key = key(&record.warehouse, &record.database);
        // Someone who only looks whether a job runs holds the lock for a moment.
        for _ in 0..20 {
            if let Some(lock) = self.try_lock(&key)? {
                let held = Held { jobs: self.clone(), key, _lock: lock };
                let _ = std::fs::remove_file(held.cancel_path());
                return Ok(held);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let action = if record.kind == Kind::Backup { "back up database" } else { "restore database" };
        Err(RestoreError::new(ErrorKind::Busy, action, &record.database, "a backup or restore job of it is running")
            .advise("SHOW BACKUP and SHOW RESTORE tell how it gets on, CANCEL BACKUP and CANCEL RESTORE stop it"))
    }

    /// The last jobs of a kind, of one database or of all; `warehouse` none: of all warehouses.
    pub(super) fn last(&self, kind: Kind, database: Option<&str>, warehouse: Option<&Path>) -> Result<Vec<Record>> {
        let warehouse = warehouse.map(absolute);
        let mut records = Vec::new();
        for key in self.keys()? {
            let Some(mut record) = self.read(&key)?.of(kind).take() else { continue };
            let other = database.is_some_and(|name| name != record.database)
                || warehouse.as_ref().is_some_and(|dir| *dir != record.warehouse);
            if other {
                continue;
            }
            if !record.state.is_over() && !self.runs(&key)? {
                record.state = State::Cancelled;
                record.problem = "the process that ran it ended before the job did".into();
            }
            records.push(record);
        }
        records.sort_by(|a, b| (&a.database, &a.warehouse).cmp(&(&b.database, &b.warehouse)));
        Ok(records)
    }

    /// Stops the job that runs for `database`, in whichever process, and waits for its end. Returns a sentence.
    pub(super) async fn cancel(&self, kind: Kind, database: &str, warehouse: Option<&Path>) -> Result<String> {
        let running: Vec<Record> =
            self.last(kind, Some(database), warehouse)?.into_iter().filter(|record| !record.state.is_over()).collect();
        let refused = |error_kind, reason: String| RestoreError::new(error_kind, kind.cancel(), database, reason);
        let record = match running.as_slice() {
            [record] => record,
            [] => return Err(refused(ErrorKind::NoSuchObject, format!("no {} job is running", kind.word()))),
            several => {
                let reason = format!("{} jobs run for databases of that name", several.len());
                return Err(refused(ErrorKind::Usage, reason).advise("SET warehouse = 'DIR' tells which one is meant"));
            }
        };
        let key = key(&record.warehouse, &record.database);
        write_durably(&self.path(&key, "cancel"), record.id.to_string().as_bytes(), 0o600)?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let (over, finished) = match self.read(&key)?.of(kind) {
                Some(now) if now.id == record.id => (now.state.is_over(), now.state == State::Finished),
                _ => (true, false),
            };
            let what = format!("the {} {} of database {database}", kind.word(), record.label);
            if finished {
                return Ok(format!("{what} had finished before it could be cancelled"));
            }
            if over || !self.runs(&key)? {
                return Ok(format!("cancelled {what}"));
            }
        }
        let reason = format!("process {} was told, but has not stopped within {} s", record.pid, PATIENCE.as_secs());
        Err(refused(ErrorKind::Busy, reason).advise("it stops when its store answers; SHOW tells"))
    }

    fn keys(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| self.io("list", error))?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| self.io("list", error))?.file_name();
            if let Some(key) = name.to_str().and_then(|name| name.strip_suffix(".json"))
                && !key.starts_with('.')
            {
                keys.push(key.to_owned());
            }
        }
        Ok(keys)
    }

    fn read(&self, key: &str) -> Result<Last> {
        let path = self.path(key, "json");
        if !path.exists() {
            return Ok(Last::default());
        }
        let bytes = warehouse::read_file(&path, LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            RestoreError::new(ErrorKind::Damaged, "read", path.display().to_string(), error.to_string())
                .advise("remove the file: it only tells of jobs that are over")
        })
    }

    fn runs(&self, key: &str) -> Result<bool> {
        Ok(self.try_lock(key)?.is_none())
    }

    fn try_lock(&self, key: &str) -> Result<Option<File>> {
        let opened =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.path(key, "lock"));
        let file = opened.map_err(|error| self.io("lock", error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(self.io("lock", error.into())),
        }
    }

    fn path(&self, key: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{key}.{extension}"))
    }

    fn io(&self, action: &'static str, error: std::io::Error) -> RestoreError {
        RestoreError::io(action, &self.dir, error)
    }
}

/// A database's lock: its job may run.
#[derive(Debug)]
pub(super) struct Held {
    jobs: Jobs,
    key: String,
    _lock: File,
}

impl Held {
    /// Tells how the job gets on.
    pub(super) fn write(&self, record: &Record) -> Result<()> {
        // A file that cannot be read tells nothing that should stop a job.
        let mut last = self.jobs.read(&self.key).unwrap_or_default();
        *last.of(record.kind) = Some(record.clone());
        let path = self.jobs.path(&self.key, "json");
        let bytes = serde_json::to_vec(&last).map_err(|error| RestoreError::io("write", &path, error.into()))?;
        write_durably(&path, &bytes, 0o600)
    }

    /// True when another process wants the job `id` to stop.
    pub(super) fn is_cancelled(&self, id: u64) -> bool {
        std::fs::read(self.cancel_path()).is_ok_and(|text| text == id.to_string().as_bytes())
    }

    fn cancel_path(&self) -> PathBuf {
        self.jobs.path(&self.key, "cancel")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.cancel_path());
    }
}

/// Where starsnap keeps what it remembers of this user: jobs, and the history of the prompt.
pub fn state_dir() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .or_else(|| rustix::process::geteuid().is_root().then(|| PathBuf::from("/var/lib")))
        .map(|dir| dir.join("starsnap"))
        .ok_or_else(|| {
            let reason = "neither XDG_STATE_HOME nor HOME is set";
            RestoreError::new(ErrorKind::Usage, "find", "the directory of jobs", reason).advise("set one of them")
        })
}

/// One name for one directory, whether it is there already or not.
pub(super) fn absolute(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    for parent in dir.ancestors() {
        if let (Ok(found), Ok(rest)) = (parent.canonicalize(), dir.strip_prefix(parent)) {
            // Joining nothing would end the path with a slash.
            return if rest.as_os_str().is_empty() { found } else { found.join(rest) };
        }
    }
    dir
}

fn key(warehouse: &Path, database: &str) -> String {
    let text = [warehouse.as_os_str().as_encoded_bytes(), b"\0", database.as_bytes()].concat();
    md5::of(&text).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn record(kind: Kind, database: &str) -> Record {
        Record {
            kind,
            id: 7,
            pid: 1,
            warehouse: "/w".into(),
            database: database.into(),
            label: "l".into(),
            timestamp: "t".into(),
            state: State::Pending,
            objects: String::new(),
            allow_load: false,
            replication_num: None,
            timeout: 600,
            created: 0,
            prepared: None,
            transferred: None,
            finished: None,
            files: 0,
            files_done: 0,
            problem: String::new(),
        }
    }

    #[test]
    fn rows_have_their_columns() {
        for kind in [Kind::Backup, Kind::Restore] {
            assert_eq!(record(kind, "d").row().len(), kind.columns().len());
        }
    }

    #[tokio::test]
    async fn one_job_per_database_and_its_end_is_known_however_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Jobs::at(dir.path().join("jobs"));
        assert!(jobs.last(Kind::Backup, None, None).unwrap().is_empty());
        let held = jobs.begin(&record(Kind::Backup, "d")).await.unwrap();
        held.write(&record(Kind::Backup, "d")).unwrap();
        assert_eq!(jobs.begin(&record(Kind::Restore, "d")).await.unwrap_err().kind, ErrorKind::Busy);
        drop(jobs.begin(&record(Kind::Restore, "e")).await.unwrap());
        let state = || jobs.last(Kind::Backup, Some("d"), Some(Path::new("/w"))).unwrap()[0].state;
        assert_eq!(state(), State::Pending);
        assert!(jobs.last(Kind::Backup, Some("d"), Some(Path::new("/other"))).unwrap().is_empty());
        assert!(jobs.last(Kind::Restore, Some("d"), None).unwrap().is_empty());
        drop(held);
        assert_eq!(state(), State::Cancelled, "its process is gone");
    }

    #[tokio::test]
    async fn a_job_is_stopped_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = Jobs::at(dir.path());
        assert_eq!(jobs.cancel(Kind::Backup, "d", None).await.unwrap_err().kind, ErrorKind::NoSuchObject);
        let held = jobs.begin(&record(Kind::Backup, "d")).await.unwrap();
        held.write(&record(Kind::Backup, "d")).unwrap();
        assert_eq!(jobs.cancel(Kind::Restore, "d", None).await.unwrap_err().kind, ErrorKind::NoSuchObject);
        let cancelling = tokio::spawn({
            let jobs = jobs.clone();
            async move { jobs.cancel(Kind::Backup, "d", None).await }
        });
        while !held.is_cancelled(7) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!held.is_cancelled(8));
        drop(held);
        assert!(cancelling.await.unwrap().unwrap().contains("cancelled the backup l"));
    }
}
