//! The warehouse: `<warehouse>/<database>/<table>/`, what stands beside the tables, and who may touch a table.
//!
//! Our own names begin with a dot, which no escaped name does, so that they never meet a table.

use crate::error::{ErrorKind, RestoreError, Result};
use rustix::fs::{FlockOperation, flock};
use starsnap_catalog::layout;
use starsnap_catalog::table_file::TableFile;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Below a database: what is being restored.
pub(crate) const STAGING: &str = ".starsnap-staging";
/// Below a database: catalog objects that have no directory.
pub(crate) const OBJECTS: &str = ".starsnap";

/// Largest `table.json` that is read.
const TABLE_JSON_LIMIT: u64 = 1 << 30;

/// The directory of a database.
pub(crate) fn database_dir(warehouse: &Path, database: &str) -> PathBuf {
    warehouse.join(layout::escape(database))
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
        let size = file.metadata()?;
        if !size.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, limit + 1), &mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("larger than {limit} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|error| RestoreError::io("read", path, error))
}

/// The name of `table.json` in a table directory: it gives way to a partition of that name.
pub(crate) fn table_json_name(dir: &Path) -> Option<String> {
    let kind = |name: &str| dir.join(name).symlink_metadata().ok();
    layout::find_ours(
        layout::TABLE_JSON,
        |name| kind(name).is_some_and(|meta| meta.is_file()),
        |name| kind(name).is_some(),
    )
}

/// Reads the `table.json` of a table directory; none when the directory has none.
pub(crate) fn read_table_json(dir: &Path) -> Result<Option<TableFile>> {
    let Some(name) = table_json_name(dir) else { return Ok(None) };
    let path = dir.join(name);
    let bytes = read_file(&path, TABLE_JSON_LIMIT)?;
    let parsed = TableFile::parse(&bytes);
    parsed.map(Some).map_err(|error| RestoreError::catalog("read", path.display().to_string(), error))
}

/// The table directories below a database's (or a snapshot's) directory: path and `table.json`, by name.
pub(crate) fn table_dirs(dir: &Path) -> Result<Vec<(PathBuf, TableFile)>> {
    let failed = |error| RestoreError::io("list", dir, error);
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || !entry.file_type().map_err(failed)?.is_dir() {
            continue;
        }
        if let Some(file) = read_table_json(&entry.path())? {
            tables.push((entry.path(), file));
        }
    }
    tables.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tables)
}

/// The names StarRocks allows in a tablet's directory; anything else makes its RESTORE fail.
pub(crate) fn tablet_file_name(name: &str) -> bool {
    const ENDS: [&str; 9] = [".hdr", ".dcgs_snapshot", ".dat", ".idx", "meta", ".del", ".cols", ".upt", ".vi"];
    // Files of a full-text index.
    const CLUCENE: [&str; 8] = [".fdt", ".fdx", ".fnm", ".frq", ".nrm", ".prx", ".tii", ".tis"];
    ENDS.iter().chain(&CLUCENE).any(|end| name.ends_with(end))
        || name.contains("null_bitmap")
        || name.contains("segments")
}

/// A table's lock, held as long as the value lives: jobs that write the table exclude all others.
#[derive(Debug)]
pub(crate) struct TableLock {
    path: PathBuf,
    // Held for its flock.
    file: File,
    exclusive: bool,
}

impl TableLock {
    /// For a restore, under `.starsnap-staging/` of the database, which is made where missing.
    pub(crate) fn exclusive(database_dir: &Path, table: &str) -> Result<TableLock> {
        let dir = database_dir.join(STAGING);
        make(&dir).map_err(|error| RestoreError::io("make", &dir, error))?;
        let path = dir.join(format!("{}.lock", layout::escape(table)));
        lock(&path, FlockOperation::NonBlockingLockExclusive, true)
            .map_err(|error| RestoreError::io("lock", &path, error))?
            .ok_or_else(|| busy("restore table", table))
    }

    /// For a backup. None where the warehouse cannot be written: then no restore runs in it either.
    pub(crate) fn shared(database_dir: &Path, table: &str) -> Result<Option<TableLock>> {
        let dir = database_dir.join(STAGING);
        let path = dir.join(format!("{}.lock", layout::escape(table)));
        let made = make(&dir).and_then(|()| lock(&path, FlockOperation::NonBlockingLockShared, false));
        match made {
            Ok(Some(lock)) => Ok(Some(lock)),
            Ok(None) => Err(busy("back up table", table)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                Ok(None)
            }
            Err(error) => Err(RestoreError::io("lock", &path, error)),
        }
    }
}

fn busy(action: &'static str, table: &str) -> RestoreError {
    RestoreError::new(ErrorKind::Busy, action, table, "another starsnap works on it")
        .advise("wait for the other restore or backup to end")
}

/// Makes a directory that others may remove at any moment.
fn make(dir: &Path) -> io::Result<()> {
    loop {
        match std::fs::create_dir_all(dir) {
            // It was there, and may be gone again.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match dir.metadata() {
                Ok(there) if there.is_dir() => return Ok(()),
                Ok(_) => return Err(error),
                Err(_) => {}
            },
            made => return made,
        }
    }
}

/// Locks `path`; none when another holds it.
fn lock(path: &Path, operation: FlockOperation, exclusive: bool) -> io::Result<Option<TableLock>> {
    loop {
        let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = match (open(), path.parent()) {
            // The last holder of another lock has just removed the directory.
            (Err(error), Some(dir)) if error.kind() == io::ErrorKind::NotFound => {
                make(dir)?;
                continue;
            }
            (opened, _) => opened?,
        };
        match flock(&file, operation) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Its last holder may have removed the file between our open and our lock: then it is nobody's lock any more.
        let same = |meta: std::fs::Metadata| file.metadata().is_ok_and(|ours| ours.ino() == meta.ino());
        if path.symlink_metadata().is_ok_and(same) {
            return Ok(Some(TableLock { path: path.to_owned(), file, exclusive }));
        }
    }
}

impl Drop for TableLock {
    fn drop(&mut self) {
        // The last of several backups finds nobody else and removes the file; who opens it meanwhile sees that it is gone.
        if self.exclusive || flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_file(&self.path);
        }
        if let Some(dir) = self.path.parent() {
            // Fails, rightly, while anything is staged there.
            let _ = std::fs::remove_dir(dir);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_table_has_one_writer_and_the_lock_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let held = TableLock::exclusive(dir.path(), "t").unwrap();
        assert_eq!(TableLock::exclusive(dir.path(), "t").unwrap_err().kind, ErrorKind::Busy);
        assert_eq!(TableLock::shared(dir.path(), "t").unwrap_err().kind, ErrorKind::Busy);
        let other = TableLock::exclusive(dir.path(), "u").unwrap();
        drop(held);
        let again = TableLock::exclusive(dir.path(), "t").unwrap();
        drop((other, again));
        let (one, two) = (TableLock::shared(dir.path(), "t").unwrap(), TableLock::shared(dir.path(), "t").unwrap());
        drop(one);
        assert_eq!(TableLock::exclusive(dir.path(), "t").unwrap_err().kind, ErrorKind::Busy);
        drop(two);
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    }

    #[test]
    fn names_that_starrocks_would_refuse_are_told() {
        for good in
            ["10023.hdr", "meta", "02000_0.dat", "a_0_8_0.cols", "x.dcgs_snapshot", "r_0_1_segments_2", "r_0_1_a.tis"]
        {
            assert!(tablet_file_name(good), "{good}");
        }
        for bad in ["README", "_SUCCESS", "x.dat.part", "table.json", ".x", "md5"] {
            assert!(!tablet_file_name(bad), "{bad}");
        }
    }

    #[test]
    fn locks_that_come_and_go_with_their_directory_do_not_get_in_each_others_way() {
        let database = tempfile::tempdir().unwrap();
        let lock_often = |table: &'static str| {
            let database = database.path().to_owned();
            std::thread::spawn(move || {
                for _ in 0..500 {
                    drop(TableLock::exclusive(&database, table).unwrap());
                    drop(TableLock::shared(&database, table).unwrap().unwrap());
                }
            })
        };
        for thread in ["a", "b", "c"].map(lock_often) {
            thread.join().unwrap();
        }
        assert_eq!(std::fs::read_dir(database.path()).unwrap().count(), 0);
    }
}
