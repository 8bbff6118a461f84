//! Which names we write: those that StarRocks can find and read again.

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::snapshot::TabletKey;

/// In bytes; with the prefix before and the rest after it, it stays below 255.
const MOST: usize = 200;

fn invalid(action: &'static str, object: &str, reason: &str) -> RepositoryError {
    RepositoryError::new(ErrorKind::Invalid, action, format!("{object:?}"), reason)
}

/// Checks the name of a repository or a label. StarRocks takes it into paths as it is, and looks for it with Hadoop's glob patterns.
pub(super) fn check(action: &'static str, name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "the name is empty"
    } else if name.len() > MOST {
        "the name is longer than 200 bytes"
    } else if name.starts_with('-') {
        "the name begins with `-`"
    } else if name.trim() != name {
        "the name begins or ends with a blank"
    } else if name.contains('/') {
        "the name holds a `/`"
    } else if name.contains(char::is_control) {
        "the name holds a control character"
    } else if name.contains(['*', '?', '[', ']', '{', '}', '\\']) {
        "the name holds one of `* ? [ ] { } \\`, which StarRocks takes for a pattern and then does not find"
    } else {
        return Ok(());
    };
    Err(invalid(action, name, reason).advise("use letters, digits, `_`, `-` and `.`"))
}

/// Checks a file's name and its tablet: anything that the BE does not know makes it refuse the whole tablet.
pub(super) fn check_tablet_file(key: &TabletKey, name: &str) -> Result<()> {
    const ENDINGS: [&str; 9] = [".hdr", ".dcgs_snapshot", ".dat", ".idx", "meta", ".del", ".cols", ".upt", ".vi"];
    const FULL_TEXT: [&str; 8] = [".fdt", ".fdx", ".fnm", ".frq", ".nrm", ".prx", ".tii", ".tis"];
    if [key.database, key.table, key.physical, key.index, key.tablet].iter().any(|id| *id < 0) {
        return Err(invalid("write", &key.path(), "an id is negative"));
    }
    if name.len() > MOST || name.contains('/') || name.contains(char::is_control) {
        return Err(invalid("write", name, "it is no name of a file"));
    }
    let known = ENDINGS.iter().chain(&FULL_TEXT).any(|ending| name.ends_with(ending));
    if known || name.contains("null_bitmap") || name.contains("segments") {
        return Ok(());
    }
    Err(invalid("write", name, "it is no file of a tablet, and StarRocks would refuse the tablet for it"))
}

/// Checks a timestamp: `yyyy-MM-dd-HH-mm-ss-SSS`.
pub(super) fn check_timestamp(text: &str) -> Result<()> {
    let form = b"dddd-dd-dd-dd-dd-dd-ddd";
    let fits = |(b, form): (u8, &u8)| if *form == b'd' { b.is_ascii_digit() } else { b == *form };
    if text.len() == form.len() && text.bytes().zip(form).all(fits) {
        return Ok(());
    }
    Err(invalid("complete snapshot", text, "it is no timestamp of the form yyyy-MM-dd-HH-mm-ss-SSS"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn names_that_starrocks_finds_again() {
        for good in ["a", "sr_member_backup", "2024-01-01", "Nächtlich", "a b", ".hidden", &"x".repeat(200)] {
            check("write", good).unwrap();
        }
        for bad in ["", "a/b", "a*", "x?", "[a]", "{a}", "a\\b", "a\nb", "a\0", "-f", " a", "a ", &"x".repeat(201)] {
            assert_eq!(check("write", bad).unwrap_err().kind, ErrorKind::Invalid, "{bad:?}");
        }
    }

    #[test]
    fn tablet_files() {
        let key = TabletKey { database: 1, table: 2, physical: 3, index: 4, tablet: 5 };
        for good in ["5.hdr", "meta", "x_0.dat", "x_0_3.upt", "x_0_1_segments_2", "x_null_bitmap", "5.dcgs_snapshot"] {
            check_tablet_file(&key, good).unwrap();
        }
        for bad in ["", "README", "_SUCCESS", "a/b.dat", "a.dat.part", "a\n.dat", "..", "x.md5"] {
            assert_eq!(check_tablet_file(&key, bad).unwrap_err().kind, ErrorKind::Invalid, "{bad:?}");
        }
        assert!(check_tablet_file(&TabletKey { index: -1, ..key }, "meta").is_err());
    }

    #[test]
    fn timestamps() {
        check_timestamp("2024-08-14-16-20-31-129").unwrap();
        for bad in ["", "2024-08-14-16-20-31", "latest", "2024-08-14-16-20-31-12x", "2024/08/14/16/20/31/129"] {
            assert!(check_timestamp(bad).is_err(), "{bad}");
        }
    }
}
