//! Files from the source into the staging directory: every byte goes into the md5 while it is written, and a file whose md5 is wrong is
//! removed. Many small files on local disk go through one thread at a time, without a step of the runtime for each.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::plan::PlanFile;
use crate::progress::{Cancel, Progress};
use crate::source::{Source, SourceFile};
use crate::staging::{Finished, Staging};
use starsnap_repository::limiter::Limiter;
use starsnap_repository::md5::{Hasher, Md5};
use starsnap_repository::reading::Access;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The extended attribute that keeps a restored file's md5, where the file system can.
pub(crate) const MD5_ATTRIBUTE: &str = "user.starsnap.md5";

/// What all transfers of a job share.
pub(crate) struct Transfer {
    pub(crate) source: Source,
    /// Of copies on local disk; the source holds back what comes from a store.
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) cancel: Cancel,
}

/// Where the files of one table go.
#[derive(Clone)]
pub(crate) struct Target {
    /// The table's name, for the listener.
    pub(crate) table: String,
    pub(crate) staging: Arc<Staging>,
    /// Stops all transfers of the table early, as if by the user: another of its files failed.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Transfer {
    /// Fetches `files`, one after the other.
    pub(crate) async fn fetch(self: &Arc<Self>, target: &Target, files: Vec<PlanFile>) -> Result<()> {
        if self.source.is_local() {
            let (transfer, shared) = (self.clone(), target.clone());
            let copied = crate::blocking(move || transfer.copy_local(&shared, &files)).await;
            return copied.map_err(|error| RestoreError::io("write to", target.staging.dir(), error))?;
        }
        for file in &files {
            match self.fetch_one(target, file, Access::Once).await {
                // What was at hand may be of another file with the same md5, which is the damaged one.
                Err(error) if error.kind == ErrorKind::Damaged && file.source.md5.is_some() => {
                    self.source.forget(&file.source).await;
                    self.fetch_one(target, file, Access::Own).await?;
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Copies files that are on local disk. Blocks.
    fn copy_local(&self, target: &Target, files: &[PlanFile]) -> Result<()> {
        let stopped = || self.cancel.is_cancelled() || target.stop.load(Ordering::Relaxed);
        let mut buffer = Vec::new();
        for PlanFile { source, path } in files {
            let mut opened: Option<File> = None;
            let mut sink = Sink::new(target, path);
            let mut left = source.size;
            loop {
                let piece = self.limiter.piece().min(left);
                if !self.limiter.wait_blocking(piece, &stopped) {
                    return Err(RestoreError::interrupted(path));
                }
                let from = match &mut opened {
                    Some(file) => file,
                    none => none.insert(self.source.open_local(source)?),
                };
                read_piece(from, piece, left == piece, source, &mut buffer)?;
                left -= piece;
                sink.write(&buffer)?;
                self.progress.advanced(piece);
                if left == 0 {
                    break;
                }
            }
            sink.finish(source)?;
            self.progress.file_done(&target.table, path);
        }
        Ok(())
    }

    async fn fetch_one(&self, target: &Target, PlanFile { source, path }: &PlanFile, access: Access) -> Result<()> {
        let mut reader = self.source.open(source, access, &self.limiter).await?;
        let mut sink = Sink::new(target, path);
        let mut left = source.size;
        loop {
            if target.stop.load(Ordering::Relaxed) {
                return Err(RestoreError::interrupted(path));
            }
            let piece = self.limiter.piece().min(left);
            let bytes = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(RestoreError::interrupted(path)),
                bytes = reader.next(piece) => bytes?,
            };
            left -= piece;
            let last = (left == 0).then(|| source.clone());
            let write = move || -> Result<Option<Sink>> {
                sink.write(&bytes)?;
                let Some(source) = last else { return Ok(Some(sink)) };
                sink.finish(&source).map(|()| None)
            };
            let written = crate::blocking(write).await;
            let written = written.map_err(|error| RestoreError::io("write to", target.staging.dir(), error))??;
            // What is fetched again was counted before.
            if access == Access::Once {
                self.progress.advanced(piece);
            }
            match written {
                Some(open) => sink = open,
                None => {
                    self.progress.file_done(&target.table, path);
                    return Ok(());
                }
            }
        }
    }
}

/// Reads the next `piece` bytes into `buffer`; with `last`, nothing may follow.
fn read_piece(from: &mut File, piece: u64, last: bool, source: &SourceFile, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    let wanted = piece + u64::from(last);
    from.take(wanted)
        .read_to_end(buffer)
        .map_err(|error| RestoreError::io("read", Path::new(&source.shown()), error))?;
    let read = buffer.len() as u64;
    if read == piece {
        return Ok(());
    }
    let reason = if read > piece {
        format!("it is longer than the {} bytes it was listed with", source.size)
    } else {
        format!("it is shorter than expected: {} bytes", source.size)
    };
    Err(RestoreError::new(ErrorKind::Damaged, "read", source.shown(), reason))
}

/// A file being written under its own name, from which it is removed unless it is finished. What a kill leaves there the journal does not
/// know, and so it is not trusted.
struct Sink {
    staging: Arc<Staging>,
    path: String,
    target: PathBuf,
    file: Option<File>,
    hasher: Hasher,
    finished: bool,
}

impl Sink {
    fn new(target: &Target, path: &str) -> Sink {
        let staging = target.staging.clone();
        let target = staging.table().join(path);
        Sink { staging, path: path.to_owned(), target, file: None, hasher: Hasher::default(), finished: false }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        let failed = |error| RestoreError::io("write", &self.target, error);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(create(&self.target).map_err(failed)?),
        };
        file.write_all(bytes).map_err(failed)
    }

    fn finish(mut self, source: &SourceFile) -> Result<()> {
        let md5 = std::mem::take(&mut self.hasher).finish();
        if let Some(expected) = source.md5.filter(|expected| *expected != md5) {
            let reason = format!("its md5 is {md5}, expected {expected}");
            return Err(RestoreError::new(ErrorKind::Damaged, "restore", source.shown(), reason));
        }
        if let Some(file) = &self.file {
            finish_file(&self.staging, file, md5).map_err(|error| RestoreError::io("write", &self.target, error))?;
        }
        self.finished = true;
        let path = std::mem::take(&mut self.path);
        self.staging.note(Finished { path, md5, size: source.size, stamp: source.stamp, gone: false })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if self.file.is_some() && !self.finished {
            let _ = std::fs::remove_file(&self.target);
        }
    }
}

/// Gives a whole file its md5, and makes it durable where that is not done for many together.
pub(crate) fn finish_file(staging: &Staging, file: &File, md5: Md5) -> io::Result<()> {
    let name = md5.to_string();
    // A file system without extended attributes keeps none.
    let _ = rustix::fs::fsetxattr(file, MD5_ATTRIBUTE, name.as_bytes(), rustix::fs::XattrFlags::empty());
    if staging.wants_sync() { file.sync_all() } else { Ok(()) }
}

/// Makes a new file, in place of what an earlier run left there; its directory where it is missing.
fn create(target: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).custom_flags(libc::O_NOFOLLOW).open(target);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = target.parent() {
                std::fs::create_dir_all(dir)?;
            }
            create()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(target)?;
            create()
        }
        created => created,
    }
}

/// md5 of a local file.
pub(crate) fn md5_of(path: &Path) -> io::Result<Md5> {
    md5_of_file(OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?)
}

/// The md5 of what is left of `file`.
pub(crate) fn md5_of_file(mut file: File) -> io::Result<Md5> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
