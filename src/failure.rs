//! How a command ends: exit codes and what is said about failures.

use starsnap_fs::FsError;
use starsnap_repository::ErrorKind;
use starsnap_restore::RestoreError;
use starsnap_restore::error::exit;
use starsnap_restore::report::JobStatus;
use std::fmt::Write as _;
use std::process::ExitCode;

/// How a command ended that was not stopped by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// As a job's report says.
    Job(JobStatus),
    /// With this code, of those that are documented.
    Code(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Done => exit::DONE,
            Outcome::Job(status) => status.exit_code(),
            Outcome::Code(code) => code,
        })
    }
}

/// The exit code of `error`.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match (error.downcast_ref::<RestoreError>(), error.downcast_ref::<FsError>()) {
        (Some(error), _) => error.exit_code(),
        (_, Some(FsError::Repository(error))) if error.kind == ErrorKind::NotFound => exit::NOT_FOUND,
        _ => exit::FAILED,
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
    crate::output::printable(&text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use starsnap_repository::RepositoryError;

    #[test]
    fn what_is_not_there_has_its_own_exit_code() {
        let code = |kind| exit_code(&RestoreError::from(RepositoryError::new(kind, "open", "x", "y")).into());
        assert_eq!(code(ErrorKind::NotFound), 10);
        assert_eq!(code(ErrorKind::Invalid), 2);
        assert_eq!(code(ErrorKind::Damaged), 1);
        assert_eq!(exit_code(&anyhow::anyhow!("something else")), 1);
    }

    #[test]
    fn causes_are_said_once_and_cannot_drive_a_terminal() {
        let cause = RepositoryError::new(ErrorKind::Io, "read", "x\u{1b}[2J", "disk on fire");
        let error = anyhow::Error::new(RestoreError::from(cause)).context("cannot look");
        assert_eq!(describe(&error), "cannot look: cannot read x\\u{1b}[2J: disk on fire");
    }
}
