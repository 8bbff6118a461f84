//! What was typed at the prompt, in a file of mode 0600. Statements that hold a secret, or may, are never in it.

use super::secret::is_secret;
use starsnap_restore::session::state_dir;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;

/// Entries that are kept.
const ENTRIES: usize = 1000;

/// The history; none where there is no place for it.
pub struct History(Option<PathBuf>);

impl History {
    /// The user's.
    pub fn of_user() -> History {
        History(state_dir().ok().map(|dir| dir.join("history")))
    }

    /// The entries, the oldest first. One that cannot be read is none: a prompt without a history is a prompt.
    pub fn entries(&self) -> Vec<String> {
        let read = || -> io::Result<Vec<String>> {
            let Some(path) = &self.0 else { return Ok(Vec::new()) };
            let lines: Vec<String> =
                io::BufReader::new(std::fs::File::open(path)?).lines().collect::<Result<_, _>>()?;
            let first = lines.len().saturating_sub(ENTRIES);
            Ok(lines.iter().skip(first).map(|line| unescape(line)).collect())
        };
        read().unwrap_or_default()
    }

    /// Adds an entry, unless it may hold a secret; true when it was added.
    pub fn add(&self, entry: &str) -> bool {
        if is_secret(entry) {
            return false;
        }
        let write = || -> io::Result<()> {
            let Some(path) = &self.0 else { return Ok(()) };
            if let Some(dir) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            file.write_all(format!("{}\n", escape(entry)).as_bytes())
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "the history is not kept");
        }
        true
    }
}

/// One line per entry.
fn escape(entry: &str) -> String {
    entry.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(line: &str) -> String {
    let (mut entry, mut chars) = (String::new(), line.chars());
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => entry.push('\n'),
            ('\\', Some('r')) => entry.push('\r'),
            ('\\', Some(other)) => entry.push(other),
            _ => entry.push(c),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_is_added_is_read_again_and_secrets_are_not_added() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/history");
        let history = History(Some(path.clone()));
        assert!(history.entries().is_empty());
        let entries = ["SHOW\n  REPOSITORIES;", "USE `a\\nb`;"];
        entries.iter().for_each(|entry| assert!(history.add(entry)));
        assert!(!history.add("CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' PROPERTIES ('password' = 'hunter2');"));
        assert_eq!(history.entries(), entries);
        assert!(!std::fs::read_to_string(&path).unwrap().contains("hunter2"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
