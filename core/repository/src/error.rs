//! What can go wrong with a repository. Each error says what was tried, on which object, what went wrong, and what the user can do.

/// Result of this crate.
pub type Result<T, E = RepositoryError> = std::result::Result<T, E>;

/// What kind of failure, for callers that act on it (errno, exit code, retry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object is not there.
    NotFound,
    /// The store refuses.
    PermissionDenied,
    /// A name, path or option that cannot be meant.
    Invalid,
    /// Stored bytes are not what they should be: wrong md5, truncated, unparsable, contradictory.
    Damaged,
    /// Something is there already.
    Exists,
    /// Understood, but not supported.
    Unsupported,
    /// The store or the network failed; a retry may help.
    Unavailable,
    /// Local disk: full, read-only, …
    Io,
}

/// An error on one object.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {object}: {reason}{}", help(.advice))]
pub struct RepositoryError {
    pub kind: ErrorKind,
    /// What was tried, as an infinitive: `read`, `list`, `open snapshot`.
    pub action: &'static str,
    /// The object, as a path in the repository or a location without secrets.
    pub object: String,
    /// What went wrong.
    pub reason: String,
    /// What the user can do, a sentence; empty when nothing beyond the reason helps.
    pub advice: &'static str,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn help(advice: &str) -> String {
    if advice.is_empty() { String::new() } else { format!(" ({advice})") }
}

impl RepositoryError {
    /// An error without advice or source.
    pub fn new(kind: ErrorKind, action: &'static str, object: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, action, object: object.into(), reason: reason.into(), advice: "", source: None }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn advise(mut self, advice: &'static str) -> Self {
        self.advice = advice;
        self
    }

    /// The same, in which the root of a store is called by its location.
    #[must_use]
    pub(crate) fn at(mut self, location: &crate::location::Location) -> Self {
        if self.object == crate::storage::path::ROOT {
            self.object = location.to_string();
        }
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}
