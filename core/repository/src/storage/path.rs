//! The rules for paths that every store applies before it does anything.

use crate::error::{ErrorKind, RepositoryError, Result};

/// The root of a store in its errors, which may not know what it is called.
pub(crate) const ROOT: &str = "the location's directory";

/// Longest path we hand to a store: what Linux takes, and S3 takes less.
const MAX_PATH: usize = 4096;

/// Refuses a path that is not plainly below the store's root. The empty path is the root itself.
pub(super) fn check(action: &'static str, path: &str) -> Result<()> {
    let reason = if path.is_empty() {
        return Ok(());
    } else if path.len() > MAX_PATH {
        "the path is longer than 4096 bytes"
    } else if path.contains('\0') {
        "the path holds a NUL byte"
    } else if path.starts_with('/') {
        "the path is absolute"
    } else {
        match path.split('/').find(|part| matches!(*part, "" | "." | "..")) {
            None => return Ok(()),
            Some("") => "the path has an empty component",
            Some(_) => "the path has a component `.` or `..`",
        }
    };
    Err(RepositoryError::new(ErrorKind::Invalid, action, format!("{path:?}"), reason))
}

/// As [`check`], for a file: the root is none.
pub(super) fn check_file(action: &'static str, path: &str) -> Result<()> {
    if path.is_empty() {
        return Err(RepositoryError::new(ErrorKind::Invalid, action, "\"\"", "the root is not a file"));
    }
    check(action, path)
}

/// Length of `range`; a range that runs backwards is refused.
pub(super) fn range_len(path: &str, range: &std::ops::Range<u64>) -> Result<usize> {
    range.end.checked_sub(range.start).and_then(|len| usize::try_from(len).ok()).ok_or_else(|| {
        RepositoryError::new(ErrorKind::Invalid, "read", path, format!("the range {range:?} cannot be meant"))
    })
}

/// Where a file is written before it gets its name: `<base>.part`, as StarRocks does it, so that its listings know it for what it is.
pub(super) fn part_of(path: &str) -> String {
    let base = crate::md5::split_name(path).map_or(path, |(base, _)| base);
    format!("{base}.part")
}

/// The error of a file that ends before the range does.
pub(super) fn too_short(path: &str, size: u64, range: &std::ops::Range<u64>) -> RepositoryError {
    RepositoryError::new(
        ErrorKind::Damaged,
        "read",
        path,
        format!("it is {size} bytes long, but bytes {} to {} were asked for", range.start, range.end),
    )
    .advise(
        "the file was truncated; `starsnap snapshots` says what else is missing, `starsnap restore` checks every byte",
    )
}

/// The error of a file that is larger than what may be read whole.
pub(super) fn too_large(path: &str, size: u64, limit: u64) -> RepositoryError {
    let reason = format!("it is {size} bytes long, more than the {limit} bytes such a file may have");
    RepositoryError::new(ErrorKind::Damaged, "read", path, reason)
}

/// What files are called in HDFS while they are written. StarRocks passes over names without a dot, in the directories of labels and of
/// tablets alike; a `.part` of somebody's would make it refuse the tablet.
const TEMPORARY: &str = "_starsnap_";

/// A name for one file that is being written; nobody else, in any process, has it.
pub(super) fn temporary() -> String {
    format!("{TEMPORARY}{:016x}{:08x}", super::chance::random(), super::chance::random() >> 32)
}

/// Whether a file of that name is one that was being written, now or when somebody was stopped.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.strip_prefix(TEMPORARY).is_some_and(|rest| rest.len() == 24 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}
