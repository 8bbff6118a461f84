//! Runs the manual's statements against registered repositories and a warehouse. A session remembers what USE and SET said.
//!
//! BACKUP and RESTORE, which a cluster runs in the background, run to their end here; SHOW BACKUP and SHOW RESTORE tell of them, also while
//! they run in another process, and CANCEL BACKUP and CANCEL RESTORE stop them from there.

mod details;
mod jobs;
mod options;
mod repositories;
mod running;
mod snapshots;
mod statements;

pub use jobs::{Jobs, state_dir};
pub use options::Options;

use crate::error::{ErrorKind, RestoreError, Result};
use crate::progress::{Cancel, Progress};
use crate::registry::{Registered, Registry, not_registered};
use crate::report::{BackupReport, JobStatus, RestoreReport};
use crate::statement::Statement;
use serde::Serialize;
use starsnap_repository::Repository;
use starsnap_repository::cache::IndexCache;
use starsnap_repository::reading::Reading;
use statements::Job;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What a statement gives back.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Answer {
    /// Of SHOW statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// What was done, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Worth knowing though nothing failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Of BACKUP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupReport>,
    /// Of RESTORE: what became of single tables, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreReport>,
}

impl Answer {
    fn said(message: impl Into<String>) -> Answer {
        Answer { message: Some(message.into()), ..Answer::default() }
    }

    fn rows(columns: &[&'static str], rows: Vec<Vec<Option<String>>>) -> Answer {
        Answer { table: Some(Table { columns: columns.to_vec(), rows }), ..Answer::default() }
    }

    /// How the statement ended: `Done` but for a RESTORE of which a part failed.
    pub fn status(&self) -> JobStatus {
        self.restore.as_ref().map_or(JobStatus::Done, |report| report.status)
    }
}

/// Rows under StarRocks' column names. None is NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// What a session works with.
#[derive(Debug, Clone)]
pub struct Setup {
    pub registry: Registry,
    pub jobs: Jobs,
    /// Holds databases; `SET warehouse = '…'` names another.
    pub warehouse: Option<PathBuf>,
    pub cache: Option<IndexCache>,
    /// The memory and the caches to read with; none: the usual memory.
    pub reading: Option<Reading>,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    registry: Registry,
    jobs: Jobs,
    options: Options,
    cache: Option<IndexCache>,
    reading: Option<Reading>,
    /// What USE said.
    database: Option<String>,
    warnings: Mutex<Warnings>,
}

/// What is wrong with repositories as a whole, said once in a session.
#[derive(Debug, Default)]
struct Warnings {
    said: HashSet<String>,
    /// Not said yet.
    new: Vec<String>,
}

impl Session {
    /// A session in which nothing is said yet.
    pub fn new(setup: Setup) -> Session {
        let options = Options { warehouse: setup.warehouse, ..Options::default() };
        Session {
            registry: setup.registry,
            jobs: setup.jobs,
            options,
            cache: setup.cache,
            reading: setup.reading,
            database: None,
            warnings: Mutex::default(),
        }
    }

    /// As if USE had said so.
    #[must_use]
    pub fn using(mut self, database: Option<String>) -> Session {
        self.database = database.or(self.database);
        self
    }

    /// Runs one statement. Jobs tell `progress` how they get on. When `cancel` says so, they stop, and other statements are given up.
    pub async fn run(&mut self, statement: &Statement, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<Answer> {
        let is_job = matches!(statement, Statement::Backup { .. } | Statement::Restore { .. });
        let stop = cancel.clone();
        let answering = self.answer(statement, progress, cancel);
        let mut answer = match is_job {
            true => answering.await?,
            false => unless(&stop, "the statement", answering).await?,
        };
        let warnings = self.warnings.get_mut().unwrap_or_else(PoisonError::into_inner);
        answer.notes.splice(..0, std::mem::take(&mut warnings.new));
        Ok(answer)
    }

    /// Opens a repository for a job, which cannot be stopped yet.
    async fn open_for(&self, registered: &Registered, cancel: &Cancel) -> Result<Repository> {
        unless(cancel, &format!("opening repository {}", registered.name), self.open(registered)).await
    }

    /// Opens a repository, and keeps in mind what is wrong with it.
    async fn open(&self, registered: &Registered) -> Result<Repository> {
        let repository = registered.open().await?;
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in repository.problems().iter().chain(&repository.storage().note()) {
            let warning = format!("repository {}: {problem}", registered.name);
            if warnings.said.insert(warning.clone()) {
                warnings.new.push(warning);
            }
        }
        Ok(match &self.reading {
            Some(reading) => repository.read_with(reading.clone()),
            None => repository,
        })
    }

    async fn answer(&mut self, statement: &Statement, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<Answer> {
        match statement {
            Statement::CreateRepository { read_only, name, broker, location, properties } => {
                let new = Registered::new(name, *read_only, broker.as_deref(), location, properties)?;
                repositories::create(&self.registry, new).await
            }
            Statement::DropRepository { name } => repositories::drop(&self.registry, name),
            Statement::ShowRepositories => repositories::show(&self.registry).await,
            Statement::ShowSnapshot { repository, labels, timestamp } => {
                let registered = self.registered("show snapshots of", repository)?;
                let repository = self.open(&registered).await?;
                let shown = snapshots::show(&repository, labels, timestamp.as_deref()).await;
                shown.map_err(|error| registered.clean(error))
            }
            Statement::Backup { database, label, repository, selection, catalogs, properties } => {
                let database = database.as_deref();
                let job = Job { database, database_alias: None, label, repository, selection, catalogs, properties };
                self.backup(job, progress, cancel).await
            }
            Statement::Restore { database, database_alias, label, repository, selection, catalogs, properties } => {
                let (database, database_alias) = (database.as_deref(), database_alias.as_deref());
                let job = Job { database, database_alias, label, repository, selection, catalogs, properties };
                self.restore(job, progress, cancel).await
            }
            Statement::ShowBackup { database } => self.show_jobs(jobs::Kind::Backup, database.as_deref()),
            Statement::ShowRestore { database } => self.show_jobs(jobs::Kind::Restore, database.as_deref()),
            Statement::CancelBackup { database, .. } => self.cancel(jobs::Kind::Backup, database.as_deref()).await,
            Statement::CancelRestore { database, .. } => self.cancel(jobs::Kind::Restore, database.as_deref()).await,
            Statement::Use { database } => {
                self.database = Some(database.clone());
                Ok(Answer::said("Database changed"))
            }
            Statement::Set { name, value } => {
                self.options.set(name, value)?;
                Ok(Answer::said("Query OK"))
            }
        }
    }

    fn registered(&self, action: &'static str, name: &str) -> Result<Registered> {
        self.registry.get(name)?.ok_or_else(|| not_registered(action, name))
    }

    fn warehouse(&self, action: &'static str, database: &str) -> Result<&PathBuf> {
        self.options.warehouse.as_ref().ok_or_else(|| {
            let reason = "no warehouse is named: the directory that holds restored databases";
            RestoreError::new(ErrorKind::Usage, action, database, reason)
                .advise("give --warehouse DIR, or say SET warehouse = 'DIR'")
        })
    }

    fn show_jobs(&self, kind: jobs::Kind, database: Option<&str>) -> Result<Answer> {
        let database = database.or(self.database.as_deref());
        let records = self.jobs.last(kind, database, self.options.warehouse.as_deref())?;
        Ok(Answer::rows(kind.columns(), records.iter().map(jobs::Record::row).collect()))
    }

    async fn cancel(&self, kind: jobs::Kind, database: Option<&str>) -> Result<Answer> {
        let database = database.or(self.database.as_deref()).ok_or_else(|| {
            RestoreError::new(ErrorKind::Usage, kind.cancel(), "a job", "no database is named")
                .advise("add FROM DATABASE, or say USE DATABASE first")
        })?;
        let stopped = self.jobs.cancel(kind, database, self.options.warehouse.as_deref()).await?;
        Ok(Answer::said(stopped))
    }
}

/// What `work` gives, or `Interrupted` as soon as `cancel` says so: a store that does not answer is waited for no longer.
async fn unless<T>(cancel: &Cancel, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(RestoreError::interrupted(what)),
        done = work => done,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::progress::Silent;
    use crate::statement::{Properties, parse};
    use starsnap_repository::Location;
    use starsnap_repository::reading::{LEAST_MEMORY, ReadOptions};

    #[tokio::test]
    async fn repositories_are_read_with_what_the_session_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let location = dir.path().join("location");
        starsnap_repository::writer::init(&Location::parse(location.to_str().unwrap()).unwrap(), "r").await.unwrap();
        let registered = Registered::new("r", false, None, location.to_str().unwrap(), &Properties::default()).unwrap();
        let reading = Reading::new(&ReadOptions { memory: LEAST_MEMORY, ..ReadOptions::default() }).unwrap();
        let session = |reading| {
            let (registry, jobs) = (Registry::at(dir.path().join("r.json")), Jobs::at(dir.path().join("jobs")));
            Session::new(Setup { registry, jobs, warehouse: None, cache: None, reading })
        };
        let memory = async |session: Session| session.open(&registered).await.unwrap().reading().usage().memory;
        assert_eq!(memory(session(Some(reading.clone()))).await, reading.usage().memory);
        assert_ne!(memory(session(None)).await, reading.usage().memory);
    }
    #[tokio::test]
    async fn what_waits_for_a_store_is_given_up_when_told() {
        let dir = tempfile::tempdir().unwrap();
        // It takes connections and never answers.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let properties = [
            ("aws.s3.endpoint", format!("http://{}", silent.local_addr().unwrap())),
            ("aws.s3.access_key", "a".to_owned()),
            ("aws.s3.secret_key", "b".to_owned()),
        ];
        let properties = Properties(properties.map(|(name, value)| (name.to_owned(), value)).to_vec());
        let registry = Registry::at(dir.path().join("r.json"));
        registry.add(Registered::new("r", false, None, "s3a://bucket/x", &properties).unwrap()).unwrap();
        let (jobs, warehouse) = (Jobs::at(dir.path().join("jobs")), Some(dir.path().to_owned()));
        let mut session = Session::new(Setup { registry, jobs, warehouse, cache: None, reading: None });
        let properties: Vec<_> = properties.0.iter().map(|(name, value)| format!("'{name}' = '{value}'")).collect();
        let create = format!(
            "CREATE REPOSITORY n WITH BROKER ON LOCATION 's3a://bucket/y' PROPERTIES ({})",
            properties.join(", ")
        );
        for text in [
            create.as_str(),
            "SHOW REPOSITORIES",
            "SHOW SNAPSHOT ON r",
            "BACKUP SNAPSHOT d.l TO r",
            "RESTORE SNAPSHOT d.l FROM r PROPERTIES ('backup_timestamp' = '2024-08-14-16-20-31-129')",
        ] {
            let [statement] = <[_; 1]>::try_from(parse(text).unwrap()).unwrap();
            let cancel = Cancel::default();
            let told = async {
                let connection = silent.accept().await.unwrap();
                cancel.cancel();
                connection
            };
            let (answer, _connection) = tokio::join!(session.run(&statement, Arc::new(Silent), cancel.clone()), told);
            assert_eq!(answer.unwrap_err().kind, ErrorKind::Interrupted, "{text}");
        }
    }
}
