//! How a command ends: exit codes and what is said about failures.

use starsnap_repository::{ErrorKind, RepositoryError};
use std::fmt::Write as _;

/// How a command ended when nothing went wrong that stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Something could not be done, and was named on standard error.
    Partly,
}

impl From<Outcome> for std::process::ExitCode {
    fn from(outcome: Outcome) -> Self {
        std::process::ExitCode::from(match outcome {
            Outcome::Done => code::DONE,
            Outcome::Partly => code::PARTLY,
        })
    }
}

/// Exit codes, documented in docs/OPERATIONS.md; they never change their meaning.
pub mod code {
    pub const DONE: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const PARTLY: u8 = 3;
    pub const NOT_FOUND: u8 = 10;
    pub const INTERRUPTED: u8 = 130;
}

/// Why a command failed, where that decides the exit code; attached to an error as context or as the error itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// There is no such repository, snapshot, or path in it.
    #[error(transparent)]
    NotFound(RepositoryError),
    /// SIGINT or SIGTERM.
    #[error("interrupted{0}")]
    Interrupted(&'static str),
}

/// For an error while opening a repository or a snapshot: not being there has its own exit code.
pub fn opening(error: RepositoryError) -> anyhow::Error {
    match error.kind {
        ErrorKind::NotFound => Failure::NotFound(error).into(),
        _ => error.into(),
    }
}

/// The exit code of `error`.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Usage(_)) => code::USAGE,
        Some(Failure::NotFound(_)) => code::NOT_FOUND,
        Some(Failure::Interrupted(_)) => code::INTERRUPTED,
        None => code::FAILED,
    }
}

/// The error with its causes, each said once: outer errors often repeat what inner ones say.
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
    }
    text
}
