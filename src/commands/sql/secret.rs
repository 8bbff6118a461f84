//! Which statements hold secrets, and how they get out of the command line that all users of the host can see.

use crate::commands::hidden::{HIDDEN, Hidden};
use anyhow::Context as _;
use starsnap_restore::statement::{self, Statement};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

const COMMAND_LINE: Hidden = Hidden {
    name: "statements",
    variable: "STARSNAP_SQL_FD",
    better: "give statements with secrets in a file of mode 600, or on standard input",
};

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
pub fn hidden(text: &str, quiet: bool) -> anyhow::Result<String> {
    const FAILED: &str = "cannot take the statements, which hold secrets, out of the command line: give them in a file or on standard input";
    if text == HIDDEN
        && let Some(taken_out) = COMMAND_LINE.taken_out().context(FAILED)?
    {
        return Ok(taken_out);
    }
    if !is_secret(text) {
        return Ok(text.to_owned());
    }
    let without = |arg: OsString| match arg.as_bytes().strip_suffix(text.as_bytes()) {
        Some(before) => OsString::from_vec([before, HIDDEN.as_bytes()].concat()),
        None => arg,
    };
    Err(COMMAND_LINE.hide(text.as_bytes(), without, quiet)).context(FAILED)
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
