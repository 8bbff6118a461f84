//! What can go wrong with a job. Each error says what was tried, on which object, what went wrong, and what the user can do.

use starsnap_catalog::CatalogError;
use starsnap_repository::RepositoryError;

/// Result of this crate.
pub type Result<T, E = RestoreError> = std::result::Result<T, E>;

/// What kind of failure; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Options that cannot be meant.
    Usage,
    /// No such repository, label or timestamp.
    NotFound,
    /// No such table or partition in a snapshot or database that is there.
    NoSuchObject,
    /// Something is there already: a label in use, a view where a table should go.
    Exists,
    /// The table that stands there has another schema.
    SchemaDiffers,
    /// Stored bytes are not what they should be: missing, truncated, wrong md5, contradictory.
    Damaged,
    /// Another job works on the same table.
    Busy,
    /// Not enough room on the disk.
    NoSpace,
    /// Understood, but not supported.
    Unsupported,
    /// The store or the network failed; a retry may help.
    Unavailable,
    /// Local disk.
    Io,
    /// The user stopped the job.
    Interrupted,
}

/// Exit codes, stable: 0 done, 1 failed, 2 usage, 3 done in part, 4 different, 10 no such repository or snapshot, 130 interrupted.
pub mod exit {
    /// All done.
    pub const DONE: u8 = 0;
    /// Nothing, or not the thing asked for, was done.
    pub const FAILED: u8 = 1;
    /// Options that cannot be meant.
    pub const USAGE: u8 = 2;
    /// Some tables were done, others failed.
    pub const PARTIAL: u8 = 3;
    /// All was compared, and something differs.
    pub const DIFFERENT: u8 = 4;
    /// No such repository or snapshot.
    pub const NOT_FOUND: u8 = 10;
    /// Stopped by the user.
    pub const INTERRUPTED: u8 = 130;
}

impl ErrorKind {
    /// The process' exit code, see [`exit`].
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Usage => exit::USAGE,
            ErrorKind::NotFound => exit::NOT_FOUND,
            ErrorKind::Interrupted => exit::INTERRUPTED,
            _ => exit::FAILED,
        }
    }
}

/// An error on one object.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {object}: {reason}{}", help(.advice))]
pub struct RestoreError {
    pub kind: ErrorKind,
    /// What was tried, as an infinitive: `restore table`, `write`.
    pub action: &'static str,
    /// The object: a path, a path in the repository, a table's name.
    pub object: String,
    /// What went wrong.
    pub reason: String,
    /// What the user can do; empty when nothing beyond the reason helps.
    pub advice: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn help(advice: &str) -> String {
    if advice.is_empty() { String::new() } else { format!(" ({advice})") }
}

impl RestoreError {
    /// An error without advice or source.
    pub fn new(kind: ErrorKind, action: &'static str, object: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, action, object: object.into(), reason: reason.into(), advice: String::new(), source: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// The process' exit code, see [`exit`].
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// An error of local disk on `path`. A full disk is told apart.
    pub(crate) fn io(action: &'static str, path: &std::path::Path, error: std::io::Error) -> Self {
        let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let kind = if full { ErrorKind::NoSpace } else { ErrorKind::Io };
        let advice =
            if full { "free some space and run the same command again: it goes on where it stopped" } else { "" };
        Self {
            kind,
            action,
            object: path.display().to_string(),
            reason: error.to_string(),
            advice: advice.into(),
            source: Some(Box::new(error)),
        }
    }

    /// A contradiction in a catalog object called `object`.
    pub(crate) fn catalog(action: &'static str, object: impl Into<String>, error: CatalogError) -> Self {
        let kind = match error {
            CatalogError::Unsupported { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Damaged,
        };
        let mut made = Self::new(kind, action, object, error.to_string());
        made.source = Some(Box::new(error));
        made
    }

    /// The user stopped the job.
    pub(crate) fn interrupted(object: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, "finish", object, "interrupted")
    }
}

impl From<RepositoryError> for RestoreError {
    fn from(error: RepositoryError) -> Self {
        use starsnap_repository::ErrorKind as Repo;
        let kind = match error.kind {
            Repo::NotFound => ErrorKind::NotFound,
            Repo::Invalid => ErrorKind::Usage,
            Repo::Damaged => ErrorKind::Damaged,
            Repo::Exists => ErrorKind::Exists,
            Repo::Unsupported => ErrorKind::Unsupported,
            Repo::Unavailable => ErrorKind::Unavailable,
            _ => ErrorKind::Io,
        };
        Self {
            kind,
            action: error.action,
            object: error.object.clone(),
            reason: error.reason.clone(),
            advice: error.advice.to_owned(),
            source: Some(Box::new(error)),
        }
    }
}
