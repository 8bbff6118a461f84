//! Where a table is put together before it stands under its name: `<database>/.starsnap-staging/<table>.<id>/`, with the future table
//! directory in `table/`, and `journal`, the list of files that are durable.
//!
//! Files are written under their own names and made durable in batches, with one `syncfs` for thousands of them; only then the journal
//! names them. What the journal does not name may be torn, and is read again before it is kept.
//!
//! A staging directory belongs to one piece of work (source, table, alias, partitions), which its journal's first line tells in full; what
//! belongs to another is thrown away. All of it happens under the table's lock.

use crate::error::{RestoreError, Result};
use crate::source::Stamp;
use crate::warehouse::{STAGING, TableLock};
use serde::{Deserialize, Serialize};
use starsnap_catalog::layout;
use starsnap_repository::durability;
use starsnap_repository::md5::{self, Md5};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a staging directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Where from: location or path, label, timestamp.
    pub(crate) source: Vec<String>,
    pub(crate) table: String,
    pub(crate) target: String,
    /// Empty: all.
    pub(crate) partitions: Vec<String>,
}

/// A finished file: durable under its name, md5 right.
///
/// A later line on the same path counts; with `gone` it takes back the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// Below the table directory.
    pub(crate) path: String,
    pub(crate) md5: Md5,
    pub(crate) size: u64,
    /// What tells a changed source file where its md5 is not known beforehand. Older journals have a `stamp` that was less than that, and
    /// is not looked at.
    #[serde(default, rename = "source", skip_serializing_if = "Option::is_none")]
    pub(crate) stamp: Option<Stamp>,
    /// About to be written anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
}

/// Tells, after a kill, whether the exchange of the old and the new table took place.
#[derive(Debug, Serialize, Deserialize)]
struct CommitMark {
    inode: u64,
}

/// A table's staging directory, locked.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: PathBuf,
    /// Opened before anything is written: `syncfs` reports what failed since then.
    root: File,
    journal: Mutex<File>,
    /// Files that are whole and not yet known to be durable.
    pending: Mutex<Pending>,
    /// Whether the file system makes all its files durable at once.
    batches: bool,
    finished: HashMap<String, Finished>,
    _lock: TableLock,
}

/// Whole files, since when they wait.
#[derive(Debug)]
struct Pending {
    files: Vec<Finished>,
    since: Instant,
}

impl Pending {
    fn new() -> Pending {
        Pending { files: Vec::new(), since: Instant::now() }
    }

    fn take_if_due(&mut self) -> Vec<Finished> {
        if self.since.elapsed() < BATCH_TIME && self.files.len() < BATCH_FILES {
            return Vec::new();
        }
        self.since = Instant::now();
        std::mem::take(&mut self.files)
    }
}

/// What a kill leaves to be read again is at most what was written in so long,
const BATCH_TIME: Duration = Duration::from_secs(5);
/// and at most so many files.
const BATCH_FILES: usize = 1 << 16;
const JOURNAL: &str = "journal";
const COMMIT: &str = "commit";
const TABLE: &str = "table";

impl Staging {
    /// Takes up or begins the staging of `work`; what other work left for the same table is removed.
    pub(crate) fn open(database_dir: &Path, work: &Work) -> Result<Staging> {
        let lock = TableLock::exclusive(database_dir, &work.target)?;
        let parent = database_dir.join(STAGING);
        let header = serde_json::to_string(work).map_err(|error| RestoreError::io("write", &parent, error.into()))?;
        let id = &md5::of(header.as_bytes()).to_string()[..16];
        let table = layout::escape(&work.target);
        let dir = parent.join(format!("{table}.{id}"));
        discard_others(&parent, &table, &dir)?;
        let (journal, finished) = take_up(&dir, &header).map_err(|error| RestoreError::io("take up", &dir, error))?;
        let failed = |error| RestoreError::io("look at", &dir, error);
        let root = File::open(&dir).map_err(failed)?;
        let batches = durability::in_batches(&root).map_err(failed)?;
        let (journal, pending) = (Mutex::new(journal), Mutex::new(Pending::new()));
        Ok(Staging { dir, root, journal, pending, batches, finished, _lock: lock })
    }

    /// The future table directory.
    pub(crate) fn table(&self) -> PathBuf {
        self.dir.join(TABLE)
    }

    /// The staging directory itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What an earlier run finished at `path`, if the file still has the size.
    pub(crate) fn finished(&self, path: &str) -> Option<&Finished> {
        let finished = self.finished.get(path)?;
        let meta = self.table().join(path).symlink_metadata().ok()?;
        (meta.is_file() && meta.len() == finished.size).then_some(finished)
    }

    /// Whether each file has to be made durable by itself, before it is noted.
    pub(crate) fn wants_sync(&self) -> bool {
        !self.batches
    }

    /// Notes a file that is whole. Every few seconds this makes all such files durable and writes them into the journal.
    pub(crate) fn note(&self, finished: Finished) -> Result<()> {
        let due = {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.files.push(finished);
            pending.take_if_due()
        };
        self.settle(due)
    }

    /// Makes all noted files durable and writes them into the journal.
    pub(crate) fn flush(&self) -> Result<()> {
        let all = std::mem::take(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner).files);
        self.settle(all)
    }

    fn settle(&self, files: Vec<Finished>) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        self.sync()?;
        self.append(&files)
    }

    /// Makes everything in the staging directory durable; files only where they were not by themselves.
    pub(crate) fn sync(&self) -> Result<()> {
        if !self.batches {
            return Ok(());
        }
        rustix::fs::syncfs(&self.root).map_err(|error| RestoreError::io("make durable", &self.dir, error.into()))
    }

    /// Takes back what the journal says of files that are about to be written anew.
    pub(crate) fn forget(&self, paths: &[String]) -> Result<()> {
        let known = paths.iter().filter_map(|path| self.finished.get(path));
        let gone: Vec<Finished> = known.map(|file| Finished { gone: true, ..file.clone() }).collect();
        if gone.is_empty() { Ok(()) } else { self.append(&gone) }
    }

    fn append(&self, files: &[Finished]) -> Result<()> {
        let append = || -> io::Result<()> {
            let mut lines = Vec::new();
            for file in files {
                serde_json::to_writer(&mut lines, file)?;
                lines.push(b'\n');
            }
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.write_all(&lines)?;
            journal.sync_data()
        };
        append().map_err(|error| RestoreError::io("write", &self.dir.join(JOURNAL), error))
    }

    /// Removes staged files that `wanted` does not know: half-written ones, and those of an earlier run's other plan.
    pub(crate) fn prune(&self, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
        fn walk(root: &Path, below: &str, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
            for entry in std::fs::read_dir(root.join(below))? {
                let entry = entry?;
                let name = entry.file_name();
                let path = match name.to_str() {
                    Some(name) if below.is_empty() => name.to_owned(),
                    Some(name) => format!("{below}/{name}"),
                    None => return Err(io::Error::other("a name that is not UTF-8")),
                };
                if entry.file_type()?.is_dir() {
                    walk(root, &path, wanted)?;
                    // Fails, rightly, while it holds anything.
                    let _ = std::fs::remove_dir(entry.path());
                } else if !wanted(&path) {
                    std::fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        }
        let table = self.table();
        match walk(&table, "", wanted) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RestoreError::io("clean", &table, error)),
            _ => Ok(()),
        }
    }

    /// To be called before the staged table is exchanged with one that stands: from then on, until [`Staging::remove`], a kill leaves what
    /// [`take_up`] can tell apart.
    pub(crate) fn mark_exchange(&self) -> Result<()> {
        let path = self.dir.join(COMMIT);
        let write = || -> io::Result<()> {
            let mark = CommitMark { inode: self.table().symlink_metadata()?.ino() };
            let mut file = File::create(&path)?;
            file.write_all(&serde_json::to_vec(&mark)?)?;
            file.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| RestoreError::io("write", &path, error))
    }

    /// Removes the staging directory, and what it holds of an old table.
    pub(crate) fn remove(&self) -> Result<()> {
        clear(&self.dir).map_err(|error| RestoreError::io("remove", &self.dir, error))
    }
}

/// Removes a staging directory, the journal durably before all else: left without the mark, beside an old table that was exchanged, it would
/// vouch for that table's files.
fn clear(dir: &Path) -> io::Result<()> {
    match std::fs::remove_file(dir.join(JOURNAL)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::open(dir)?.sync_all()?;
    std::fs::remove_dir_all(dir)
}

/// Removes the staging directories of `table` except `ours`.
fn discard_others(parent: &Path, table: &str, ours: &Path) -> Result<()> {
    let failed = |error| RestoreError::io("clean", parent, error);
    for entry in std::fs::read_dir(parent).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(table)?.strip_prefix('.'));
        let is_staging = id.is_some_and(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if is_staging && entry.path() != ours {
            clear(&entry.path()).map_err(|error| RestoreError::io("remove", &entry.path(), error))?;
        }
    }
    Ok(())
}

/// Opens the journal for appending and reads what it holds; begins anew where it belongs to something else, or its table is already exchanged.
fn take_up(dir: &Path, header: &str) -> io::Result<(File, HashMap<String, Finished>)> {
    if exchanged(dir) {
        clear(dir)?;
    }
    let _ = std::fs::remove_file(dir.join(COMMIT));
    let path = dir.join(JOURNAL);
    if let Ok(mut file) = OpenOptions::new().read(true).write(true).open(&path)
        && let Some((finished, end)) = read_journal(&file, header)?
    {
        // A line that a kill tore is cut off, or the next would be torn as well.
        file.set_len(end)?;
        file.seek(io::SeekFrom::End(0))?;
        return Ok((file, finished));
    }
    match clear(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(dir.join(TABLE))?;
    let mut file = OpenOptions::new().create_new(true).append(true).open(&path)?;
    file.write_all(format!("{header}\n").as_bytes())?;
    file.sync_all()?;
    Ok((file, HashMap::new()))
}

/// True when a kill came between the exchange and the removal: `table/` is the old table then.
fn exchanged(dir: &Path) -> bool {
    let Ok(bytes) = std::fs::read(dir.join(COMMIT)) else { return false };
    let inode = dir.join(TABLE).symlink_metadata().map(|meta| meta.ino()).ok();
    // A torn mark was not yet durable, so nothing was exchanged.
    serde_json::from_slice::<CommitMark>(&bytes).is_ok_and(|mark| inode != Some(mark.inode))
}

/// The finished files, and where the last whole line ends; none when the journal is not of this work.
fn read_journal(file: &File, header: &str) -> io::Result<Option<(HashMap<String, Finished>, u64)>> {
    let mut reader = io::BufReader::new(file);
    let mut line = String::new();
    let mut end = reader.read_line(&mut line)? as u64;
    if line.strip_suffix('\n') != Some(header) {
        return Ok(None);
    }
    let mut finished = HashMap::new();
    loop {
        let mut line = Vec::new();
        let length = reader.read_until(b'\n', &mut line)?;
        let whole = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Finished>(line).ok());
        let Some(entry) = whole else { return Ok(Some((finished, end))) };
        end += length as u64;
        if entry.gone {
            finished.remove(&entry.path);
        } else {
            finished.insert(entry.path.clone(), entry);
        }
    }
}

#[cfg(test)]
mod tests;
