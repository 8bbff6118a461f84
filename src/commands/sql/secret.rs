//! Which statements hold secrets, and how they get out of the command line that all users of the host can see.

use anyhow::Context as _;
use starsnap_restore::statement::{self, Statement};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;

/// Stands in the command line for statements that were taken out of it.
const HIDDEN: &str = "***";
/// Names the file descriptor from which they are then read.
const DESCRIPTOR: &str = "STARSNAP_SQL_FD";

/// True when `text` holds a secret, or may: what cannot be parsed and has a string or PROPERTIES in it.
pub fn is_secret(text: &str) -> bool {
    match statement::parse(text) {
        Ok(statements) => statements.iter().any(Statement::has_secret) || has_commented_properties(text, &statements),
        Err(_) => text.contains(['"', '\'']) || text.to_ascii_lowercase().contains("properties"),
    }
}

/// A secret may stand in a comment, as when somebody tries another property.
fn has_commented_properties(text: &str, statements: &[Statement]) -> bool {
    let creates = statements.iter().any(|statement| matches!(statement, Statement::CreateRepository { .. }));
    (creates || statements.is_empty()) && ["--", "#", "/*"].iter().any(|comment| text.contains(comment))
}

/// The statements of `-e`. Those with a secret are taken out of the command line: the program starts again in the same process, with
/// the statements in memory.
pub fn hidden(text: &str) -> anyhow::Result<String> {
    if text == HIDDEN
        && let Some(descriptor) = std::env::var(DESCRIPTOR).ok().and_then(|text| text.parse::<u32>().ok())
    {
        let path = format!("/proc/self/fd/{descriptor}");
        return super::read(path.as_ref());
    }
    if !is_secret(text) {
        return Ok(text.to_owned());
    }
    let failed = "cannot take the statements, which hold secrets, out of the command line: give them in a file or on standard input";
    // Inherited by what runs next, which is this program and nothing else.
    let memory = rustix::fs::memfd_create("statements", rustix::fs::MemfdFlags::empty()).context(failed)?;
    let mut memory = std::fs::File::from(memory);
    memory.write_all(text.as_bytes()).context(failed)?;
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let args = args.map(|arg| match arg.as_bytes().strip_suffix(text.as_bytes()) {
        Some(before) => std::ffi::OsString::from_vec([before, HIDDEN.as_bytes()].concat()),
        None => arg,
    });
    let mut again = std::process::Command::new("/proc/self/exe");
    let error = again.arg0(program).args(args).env(DESCRIPTOR, memory.as_raw_fd().to_string()).exec();
    Err(error).context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_the_rest() {
        for secret in [
            "CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' PROPERTIES ('aws.s3.secret_key' = 'y')",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' PROPERTIES ('password' = 'y'); SHOW REPOSITORIES",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION 's3a://a:b@c/d'",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' -- 'password' = 'y'",
            "-- 'password' = 'y'",
            "CREATE REPOSITORY r WIHT BROKER ON LOCATION 'x' PROPERTIES ('password' = 'y')",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' PROPERTIES ('password' = 'y",
            "('password' = 'y')",
            "PROPERTIES (password = y)",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in [
            "SHOW REPOSITORIES",
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'x'",
            "CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' PROPERTIES ('aws.s3.use_instance_profile' = 'true')",
            "RESTORE SNAPSHOT d.l FROM r PROPERTIES ('backup_timestamp' = 't') -- as planned",
            "SHWO BACKUP",
        ] {
            assert!(!is_secret(open), "{open}");
        }
    }
}
