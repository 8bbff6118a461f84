//! Where files go: nothing stands under a final name until it is whole.

use super::encode::{Encoder, EncoderOptions, write_error};
use super::parallel::parallel;
use super::plan::{Content, RowStream, TablePlan};
use super::tablet::Unit;
use super::{ExportOptions, Job, Written};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::warehouse::table_json_name;
use rustix::fs::{FlockOperation, RenameFlags, flock};
use starsnap_catalog::layout;
use starsnap_repository::md5;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Encoded bytes of Parquet row groups that are kept in memory, over all files that are being written.
const GROUPS_BYTES: usize = 256 << 20;
const BUFFER: usize = 256 << 10;

/// Writes a table's tablets as `dir/<table>/<partition>/<tablet>.<extension>`, tablets in parallel. The table's directory appears when all are
/// there. What an interrupted run of the same export has finished is kept.
pub(super) fn directory(plan: &TablePlan, dir: &Path, options: &ExportOptions, job: &Job<'_>) -> Result<Written> {
    let name = layout::escape(&plan.name);
    let target = dir.join(&name);
    check_free(&target)?;
    refuse_table_directory(dir)?;
    let digest = md5::of(plan.identity(options)?.as_bytes()).to_string();
    let staging = dir.join(format!(".{name}.{}.exporting", digest.get(..16).unwrap_or_default()));
    std::fs::create_dir_all(&staging).map_err(|error| RestoreError::io("make", &staging, error))?;
    let lock_path = staging.join(".lock");
    let lock = locked(&lock_path)?;
    let mut written = Written::default();
    if let Some(content) = &plan.content {
        let units: Vec<(usize, &Unit)> = plan.units.iter().enumerate().collect();
        // The rows that a limit leaves to a tablet are known when those before it are done.
        let workers = if options.limit.is_some() { 1 } else { options.workers.max(1) };
        let group_bytes = (GROUPS_BYTES / workers).max(8 << 20);
        let left = std::sync::Mutex::new(options.limit);
        let results = parallel(&units, workers, |(at, unit)| {
            let limit = left.lock().map_or(None, |left| *left);
            if limit == Some(0) {
                job.advance(plan, *at, u64::MAX, &mut 0);
                return Ok(Written::default());
            }
            let one = Tablet { plan, content, at: *at, unit, limit, group_bytes };
            let done = one.write(&staging, options, job)?;
            if let Ok(mut left) = left.lock() {
                *left = left.map(|left| left.saturating_sub(done.rows));
            }
            Ok(done)
        })?;
        results.iter().for_each(|done| written.add(done));
    }
    std::fs::remove_file(&lock_path).map_err(|error| RestoreError::io("remove", &lock_path, error))?;
    check_free(&target)?;
    std::fs::rename(&staging, &target).map_err(|error| RestoreError::io("rename to", &target, error))?;
    drop(lock);
    sync_dir(dir)?;
    Ok(written)
}

/// One tablet, into a file of its own.
struct Tablet<'a> {
    plan: &'a TablePlan,
    content: &'a Content,
    at: usize,
    unit: &'a Unit,
    limit: Option<u64>,
    group_bytes: usize,
}

impl Tablet<'_> {
    fn write(&self, staging: &Path, options: &ExportOptions, job: &Job<'_>) -> Result<Written> {
        let path = staging.join(format!("{}.{}", self.unit.path, options.format.extension()));
        if let (Ok(meta), None) = (path.symlink_metadata(), self.limit) {
            job.advance(self.plan, self.at, u64::MAX, &mut 0);
            return Ok(Written { files: 1, reused_files: 1, bytes: meta.len(), rows: 0 });
        }
        let parent = path.parent().unwrap_or(staging);
        std::fs::create_dir_all(parent).map_err(|error| RestoreError::io("make", parent, error))?;
        let part = path.with_file_name(format!(
            "{}.part",
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        ));
        let shown = part.display().to_string();
        let file = File::create(&part).map_err(|error| RestoreError::io("write", &part, error))?;
        let mut rows = self.content.rows(self.unit, options, job)?;
        let encoder =
            EncoderOptions { format: &options.format, stream: false, group_bytes: self.group_bytes, shown: &shown };
        let mut encoder = Encoder::new(BufWriter::with_capacity(BUFFER, file), &rows.schema, &encoder)?;
        let count = copy(&mut rows, &mut encoder, &shown, self, job)?;
        let file = encoder.finish(&shown)?.into_inner().map_err(|error| write_error(&shown, error.into_error()))?;
        let bytes = finish(&file, &part, &path)?;
        job.progress.file_done(&self.plan.name, &self.unit.path);
        Ok(Written { files: 1, reused_files: 0, bytes, rows: count })
    }
}

/// Writes a tablet's rows, as many as are wanted.
fn copy<W: Write + Send>(
    rows: &mut RowStream,
    encoder: &mut Encoder<W>,
    shown: &str,
    tablet: &Tablet<'_>,
    job: &Job<'_>,
) -> Result<u64> {
    let (mut count, mut told) = (0, 0);
    while tablet.limit.is_none_or(|limit| count < limit) {
        job.check(&tablet.plan.name)?;
        let Some(batch) = rows.next() else { break };
        let batch = super::at_most(batch?, tablet.limit.map(|limit| limit - count));
        encoder.write(&batch, shown)?;
        count += batch.num_rows() as u64;
        job.advance(tablet.plan, tablet.at, count, &mut told);
    }
    job.advance(tablet.plan, tablet.at, u64::MAX, &mut told);
    Ok(count)
}

/// Makes a file durable and gives it its name; its size.
fn finish(file: &File, part: &Path, path: &Path) -> Result<u64> {
    file.sync_all().map_err(|error| RestoreError::io("write", part, error))?;
    let size = file.metadata().map_err(|error| RestoreError::io("look at", part, error))?.len();
    std::fs::rename(part, path).map_err(|error| RestoreError::io("rename to", path, error))?;
    Ok(size)
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
        let cwd = rustix::fs::CWD;
        match rustix::fs::renameat_with(cwd, &self.part, cwd, &self.target, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(exists(&self.target)),
            // Not every file system can.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                check_free(&self.target)?;
                std::fs::rename(&self.part, &self.target)
                    .map_err(|error| RestoreError::io("rename to", &self.target, error))?;
            }
            Err(error) => return Err(RestoreError::io("rename to", &self.target, error.into())),
        }
        self.done = true;
        match self.target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => sync_dir(dir),
            _ => sync_dir(Path::new(".")),
        }
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
fn locked(path: &Path) -> Result<File> {
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

fn check_free(target: &Path) -> Result<()> {
    match target.symlink_metadata() {
        Ok(_) => Err(exists(target)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(RestoreError::io("look at", target, error)),
    }
}

fn exists(target: &Path) -> RestoreError {
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

fn sync_dir(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| RestoreError::io("write", dir, error))
}
