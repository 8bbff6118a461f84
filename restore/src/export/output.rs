//! Where files go: nothing stands under a final name until it is whole.

use super::parallel::parallel;
use super::parts::TabletParts;
use super::plan::{Content, TablePlan};
use super::tablet::Unit;
use super::together::Together;
use super::{ExportOptions, Job, Written};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::warehouse::table_json_name;
use rustix::fs::{FlockOperation, RenameFlags, flock};
use starsnap_catalog::layout;
use starsnap_repository::md5;
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Encoded bytes of Parquet row groups that are kept in memory, over all files that are being written.
const GROUPS_BYTES: usize = 128 << 20;
/// What the tablets that are worked on may need together, and what each and each of its columns does: so many batches, pages, dictionaries.
const MEMORY: usize = 320 << 20;
const TABLET_MEMORY: usize = 16 << 20;
const COLUMN_MEMORY: usize = 1 << 20;
const BUFFER: usize = 256 << 10;
/// Threads that encode one file, at most: reading, which is one thread's work, would not keep more of them busy.
const MAX_ENCODERS: usize = 8;

/// Writes a table's tablets as `dir/<table>/<partition>/<tablet>.<extension>`, tablets in parallel. The table's directory appears when all are
/// there. What an interrupted run of the same export has finished is kept.
pub(super) fn directory(plan: &TablePlan, dir: &Path, options: &ExportOptions, job: &Job<'_>) -> Result<Written> {
    let name = layout::escape(&plan.name);
    let target = dir.join(&name);
    refuse_table_directory(dir)?;
    let digest = md5::of(plan.identity.as_bytes()).to_string();
    let staging = dir.join(format!(".{name}.{}.exporting", digest.get(..16).unwrap_or_default()));
    if let Some(shard) = options.shard {
        let together = Together { shard, target: &target, staging: &staging, digest: &digest };
        return together.export(|journals| tablets(plan, &staging, journals, options, job));
    }
    check_free(&target)?;
    std::fs::create_dir_all(&staging).map_err(|error| RestoreError::io("make", &staging, error))?;
    let lock_path = staging.join(".lock");
    let lock = locked(&lock_path)?;
    let journals = staging.join(".journals");
    let written = tablets(plan, &staging, &journals, options, job)?;
    remove_journals(&journals)?;
    std::fs::remove_file(&lock_path).map_err(|error| RestoreError::io("remove", &lock_path, error))?;
    check_free(&target)?;
    std::fs::rename(&staging, &target).map_err(|error| RestoreError::io("rename to", &target, error))?;
    drop(lock);
    sync_dir(dir)?;
    Ok(written)
}

/// Writes the files of all tablets.
fn tablets(
    plan: &TablePlan,
    staging: &Path,
    journals: &Path,
    options: &ExportOptions,
    job: &Job<'_>,
) -> Result<Written> {
    let mut written = Written::default();
    let Some(content) = &plan.content else { return Ok(written) };
    let units: Vec<(usize, &Unit)> = plan.units.iter().enumerate().collect();
    // The rows that a limit leaves to a tablet are known when those before it are done.
    let wanted = if options.limit.is_some() { 1 } else { options.workers.max(1) };
    let workers = at_once(content, wanted);
    let group_bytes = (GROUPS_BYTES / workers).max(8 << 20);
    // Processors that get no tablet of their own help with the encoding of others'.
    let threads = encoders(options, workers.min(units.len()));
    let left = std::sync::Mutex::new(options.limit);
    let results = parallel(&units, workers, |(at, unit)| {
        let limit = left.lock().map_or(None, |left| *left);
        let one = TabletParts { plan, content, at: *at, unit, limit, group_bytes, threads, staging, journals };
        if limit == Some(0) {
            one.discard_from(0, options)?;
            job.advance(plan, *at, u64::MAX, &mut 0);
            return Ok(Written::default());
        }
        let done = one.write(options, job)?;
        if let Ok(mut left) = left.lock() {
            *left = left.map(|left| left.saturating_sub(done.rows));
        }
        Ok(done)
    })?;
    results.iter().for_each(|done| written.add(done));
    Ok(written)
}

/// How many tablets may be worked on at once, so that memory is bounded: fewer where there are many columns.
pub(super) fn at_once(content: &Content, wanted: usize) -> usize {
    wanted.min((MEMORY / (TABLET_MEMORY + content.width() * COLUMN_MEMORY)).max(1))
}

/// How many threads may encode each of so many files that are written at once.
pub(super) fn encoders(options: &ExportOptions, files: usize) -> usize {
    (options.workers / files.max(1)).clamp(1, MAX_ENCODERS)
}

pub(super) fn remove_journals(journals: &Path) -> Result<()> {
    match std::fs::remove_dir_all(journals) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(RestoreError::io("remove", journals, error)),
        _ => Ok(()),
    }
}

/// One file for all rows, under a name of its own until it is whole.
pub(super) struct SingleFile {
    target: PathBuf,
    part: PathBuf,
    file: File,
    done: bool,
}

impl SingleFile {
    /// Begins the file; nothing may stand under its name.
    pub(super) fn create(target: &Path) -> Result<SingleFile> {
        check_free(target)?;
        let Some(name) = target.file_name() else {
            let reason = "it is no name of a file";
            return Err(RestoreError::new(ErrorKind::Usage, "write", target.display().to_string(), reason));
        };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".exporting");
        let part = target.with_file_name(hidden);
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !parent.exists()) {
            let reason = format!("there is no directory {}", parent.display());
            return Err(
                RestoreError::new(ErrorKind::Io, "write", target.display().to_string(), reason).advise("make it first")
            );
        }
        let file = locked(&part)?;
        file.set_len(0).map_err(|error| RestoreError::io("write", &part, error))?;
        Ok(SingleFile { target: target.to_owned(), part, file, done: false })
    }

    /// The file to write to.
    pub(super) fn writer(&self) -> Result<BufWriter<File>> {
        let file = self.file.try_clone().map_err(|error| RestoreError::io("write", &self.part, error))?;
        Ok(BufWriter::with_capacity(BUFFER, file))
    }

    /// Makes it durable and gives it its name.
    pub(super) fn finish(mut self) -> Result<()> {
        self.file.sync_all().map_err(|error| RestoreError::io("write", &self.part, error))?;
        rename_new(&self.part, &self.target)?;
        self.done = true;
        match self.target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => sync_dir(dir),
            _ => sync_dir(Path::new(".")),
        }
    }
}

/// Renames, if nothing stands under the new name.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<()> {
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, from, cwd, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => Err(exists(to)),
        // Not every file system can.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            check_free(to)?;
            std::fs::rename(from, to).map_err(|error| RestoreError::io("rename to", to, error))
        }
        Err(error) => Err(RestoreError::io("rename to", to, error.into())),
    }
}

impl Drop for SingleFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

/// Opens a file that one process at a time may hold.
pub(super) fn locked(path: &Path) -> Result<File> {
    let failed = |error| RestoreError::io("write", path, error);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let reason = "another starsnap writes it";
            Err(RestoreError::new(ErrorKind::Busy, "export to", path.display().to_string(), reason)
                .advise("wait for the other export to end"))
        }
        Err(error) => Err(failed(error.into())),
    }
}

pub(super) fn check_free(target: &Path) -> Result<()> {
    match target.symlink_metadata() {
        Ok(_) => Err(exists(target)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(RestoreError::io("look at", target, error)),
    }
}

pub(super) fn exists(target: &Path) -> RestoreError {
    let reason = "something stands there already";
    RestoreError::new(ErrorKind::Exists, "export to", target.display().to_string(), reason)
        .advise("remove it, or export to another place: rows of two exports are never mixed")
}

/// Rows do not belong among the files of a table directory.
fn refuse_table_directory(dir: &Path) -> Result<()> {
    if table_json_name(dir).is_none() {
        return Ok(());
    }
    let reason = "it is a table directory, whose files a backup would take";
    Err(RestoreError::new(ErrorKind::Usage, "export to", dir.display().to_string(), reason)
        .advise("export to a directory outside of the warehouse"))
}

pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| RestoreError::io("write", dir, error))
}
