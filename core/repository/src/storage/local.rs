//! Local disk, without leaving the root: the fast path for repositories in a directory.
//!
//! Every component below the root is opened by itself, relative to its parent's handle and never through a symbolic link. So nothing
//! outside the root is ever read or written, whatever is swapped underneath meanwhile. The root itself may be a symbolic link.

mod walk;

use super::path::{check, check_file, part_of, range_len, too_large, too_short};
use super::{Entry, EntryKind, Storage, Writer};
use crate::blocking::blocking;
use crate::error::{ErrorKind, RepositoryError, Result};
use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// A directory on local disk.
#[derive(Debug, Clone)]
pub struct LocalStorage(Arc<Root>);

#[derive(Debug)]
struct Root {
    /// Opened once, so that what is put in the location's place meanwhile (a mount over it, say) does not divert us.
    handle: RwLock<Arc<OwnedFd>>,
    location: PathBuf,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Without waiting: opening a FIFO must not hang.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const NEW: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl LocalStorage {
    /// Opens the directory at `location`; it may be a symbolic link to one.
    pub fn open(location: impl Into<PathBuf>) -> Result<LocalStorage> {
        let location = location.into();
        // Absolute, as it may be opened again after the working directory has changed.
        let location = std::path::absolute(&location).unwrap_or(location);
        let handle =
            open_location(&location).map_err(|errno| failed("open", &location.display().to_string(), errno.into()))?;
        Ok(LocalStorage(Arc::new(Root { handle: RwLock::new(Arc::new(handle)), location })))
    }

    /// Opens the directory at `location`, making it and its parents first where they are missing.
    pub fn create(location: impl Into<PathBuf>) -> Result<LocalStorage> {
        let location = location.into();
        std::fs::create_dir_all(&location)
            .map_err(|error| failed("make directory", &location.display().to_string(), error))?;
        LocalStorage::open(location)
    }

    /// The directory.
    pub fn location(&self) -> &Path {
        &self.0.location
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Root) -> Result<T> + Send + 'static) -> Result<T> {
        let root = Arc::clone(&self.0);
        blocking(move || work(&root)).await
    }
}

/// An error of the operating system on `path`.
fn failed(action: &'static str, path: &str, error: std::io::Error) -> RepositoryError {
    use std::io::ErrorKind as Io;
    let link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    let (kind, advice) = match error.kind() {
        _ if link => (ErrorKind::Invalid, "symbolic links inside a repository are not followed"),
        Io::NotFound => (ErrorKind::NotFound, ""),
        Io::NotADirectory => (ErrorKind::NotFound, "a file or a symbolic link stands where a directory should be"),
        Io::PermissionDenied => {
            (ErrorKind::PermissionDenied, "check the owner and the mode of the file and its parents")
        }
        Io::AlreadyExists => (ErrorKind::Exists, ""),
        Io::InvalidFilename | Io::InvalidInput | Io::IsADirectory => (ErrorKind::Invalid, ""),
        Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Io, "make room on the disk, then try again"),
        Io::ReadOnlyFilesystem => (ErrorKind::Io, "the filesystem is mounted read-only"),
        Io::StaleNetworkFileHandle | Io::TimedOut | Io::HostUnreachable | Io::NetworkDown | Io::NotConnected => {
            (ErrorKind::Unavailable, "the network filesystem does not answer; try again when it does")
        }
        _ => (ErrorKind::Io, ""),
    };
    let shown = if path.is_empty() { "the location's directory" } else { path };
    RepositoryError::new(kind, action, shown, error.to_string()).advise(advice).caused_by(error)
}

/// The location itself may be a symbolic link.
fn open_location(location: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(location, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Root {
    /// The root's directory. When the one that was opened is deleted, or its filesystem gone, the one that stands at the location now.
    fn itself(&self) -> std::io::Result<OwnedFd> {
        let handle = Arc::clone(&self.handle.read().unwrap_or_else(PoisonError::into_inner));
        let opened = rustix::fs::openat(&handle, c".", DIRECTORY, Mode::empty());
        match opened {
            Ok(opened) if rustix::fs::fstat(&opened)?.st_nlink > 0 => return Ok(opened),
            Ok(_) | Err(Errno::NOENT | Errno::STALE | Errno::NODEV | Errno::NOTCONN) => {}
            Err(errno) => return Err(errno.into()),
        }
        let handle = Arc::new(open_location(&self.location)?);
        let opened = rustix::fs::openat(&handle, c".", DIRECTORY, Mode::empty())?;
        *self.handle.write().unwrap_or_else(PoisonError::into_inner) = handle;
        Ok(opened)
    }

    /// The directory `path`, whose components were checked.
    fn directory(&self, path: &str) -> std::io::Result<OwnedFd> {
        let mut at = self.itself()?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = rustix::fs::openat(&at, part, DIRECTORY, Mode::empty())?;
        }
        Ok(at)
    }

    /// As [`Root::directory`], making what is missing.
    fn make_directory(&self, path: &str) -> std::io::Result<OwnedFd> {
        let mut at = self.itself()?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = match rustix::fs::openat(&at, part, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o777)) {
                        // Another writer made it first.
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                    // A directory counts as written when its parent knows it.
                    rustix::fs::fsync(&at)?;
                    rustix::fs::openat(&at, part, DIRECTORY, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(at)
    }

    /// The regular file `path`, opened for reading, and its size.
    fn open(&self, action: &'static str, path: &str) -> Result<(File, u64)> {
        check_file(action, path)?;
        let (parent, name) = split(path);
        let opened = self
            .directory(parent)
            .and_then(|parent| Ok(rustix::fs::openat(&parent, name, FILE, Mode::empty())?))
            .map_err(|error| failed(action, path, error))?;
        let stat = rustix::fs::fstat(&opened).map_err(|errno| failed(action, path, errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(RepositoryError::new(ErrorKind::Invalid, action, path, "it is not a regular file"));
        }
        Ok((File::from(opened), u64::try_from(stat.st_size).unwrap_or(0)))
    }

    fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        check("list", dir)?;
        let handle = self.directory(dir).map_err(|error| failed("list", dir, error))?;
        entries(&handle, dir).map_err(|error| failed("list", dir, error))
    }

    fn stat(&self, path: &str) -> Result<Entry> {
        check("look at", path)?;
        let (parent, name) = split(path);
        let name = if path.is_empty() { "." } else { name };
        let stat = self
            .directory(parent)
            .and_then(|parent| Ok(rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?))
            .map_err(|error| failed("look at", path, error))?;
        Ok(entry(path.to_owned(), &stat))
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let len = range_len(path, &range)?;
        let (file, size) = self.open("read", path)?;
        if range.end > size {
            return Err(too_short(path, size, &range));
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, range.start).map_err(|error| match error.kind() {
            // Truncated since we looked.
            std::io::ErrorKind::UnexpectedEof => too_short(path, size, &range),
            _ => failed("read", path, error),
        })?;
        Ok(bytes.into())
    }

    fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
        let (_, size) = self.open("read", path)?;
        if size > limit {
            return Err(too_large(path, size, limit));
        }
        self.read(path, 0..size)
    }

    fn create(self: &Arc<Self>, path: &str) -> Result<Part> {
        check_file("write", path)?;
        let (parent, name) = split(path);
        let part = part_of(name);
        let open = || -> std::io::Result<(OwnedFd, OwnedFd)> {
            let parent = self.make_directory(parent)?;
            match rustix::fs::unlinkat(&parent, part.as_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
            let file = rustix::fs::openat(&parent, part.as_str(), NEW, Mode::from_raw_mode(0o666))?;
            Ok((parent, file))
        };
        let (parent, file) = open().map_err(|error| failed("write", path, error))?;
        let (path, name) = (path.to_owned(), name.to_owned());
        Ok(Part { parent, file: File::from(file), part, name, path, placed: false })
    }

    fn copy(self: &Arc<Self>, from: &str, to: &str) -> Result<()> {
        let (mut source, size) = self.open("copy", from)?;
        let mut target = self.create(to)?;
        // Between two files this is copy_file_range, which shares blocks where the filesystem can.
        let copied = std::io::copy(&mut source, &mut target.file).map_err(|error| failed("copy", from, error))?;
        if copied != size {
            return Err(RepositoryError::new(ErrorKind::Damaged, "copy", from, "it changed while it was copied"));
        }
        target.place()
    }

    fn delete(&self, path: &str) -> Result<()> {
        check_file("delete", path)?;
        let (parent, name) = split(path);
        let removed = self.directory(parent).and_then(|parent| {
            rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
            Ok(rustix::fs::fsync(&parent)?)
        });
        match removed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| failed("delete", path, error)),
        }
    }

    fn remove_directory(&self, path: &str) -> Result<bool> {
        check_file("delete directory", path)?;
        let (parent, name) = split(path);
        let removed = self.directory(parent).and_then(|parent| {
            rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
            Ok(rustix::fs::fsync(&parent)?)
        });
        match removed.map_err(|error| (error.kind(), error)) {
            Ok(()) | Err((std::io::ErrorKind::NotFound, _)) => Ok(true),
            Err((std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists, _)) => Ok(false),
            Err((_, error)) => Err(failed("delete directory", path, error)),
        }
    }
}

/// Entries of the open directory `dir`.
fn entries(handle: &OwnedFd, dir: &str) -> std::io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for read in Dir::read_from(handle)? {
        let read = read?;
        let name = read.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = match rustix::fs::statat(handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Removed since it was listed, as a `.part` that got its name.
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let lossy = name.to_string_lossy();
        let path = if dir.is_empty() { lossy.to_string() } else { format!("{dir}/{lossy}") };
        let mut entry = entry(path, &stat);
        if matches!(lossy, std::borrow::Cow::Owned(_)) {
            entry.kind = EntryKind::Other;
        }
        found.push(entry);
    }
    Ok(found)
}

fn entry(path: String, stat: &Stat) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        _ => EntryKind::Other,
    };
    let size = if kind == EntryKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let modified = u64::try_from(stat.st_mtime)
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos.min(999_999_999))));
    Entry { path, kind, size, modified }
}

#[async_trait]
impl Storage for LocalStorage {
    fn describe(&self) -> String {
        self.0.location.display().to_string()
    }

    async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        let dir = dir.to_owned();
        self.blocking(move |root| root.list(&dir)).await
    }

    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>> {
        let dir = dir.to_owned();
        self.blocking(move |root| walk::files_below(root, &dir)).await
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        let path = path.to_owned();
        self.blocking(move |root| root.stat(&path)).await
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let path = path.to_owned();
        self.blocking(move |root| root.read(&path, range)).await
    }

    async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
        let path = path.to_owned();
        self.blocking(move |root| root.read_all(&path, limit)).await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>> {
        let (root, path) = (Arc::clone(&self.0), path.to_owned());
        let part = blocking(move || root.create(&path)).await?;
        Ok(Box::new(LocalWriter(Some(part))))
    }

    async fn copy(&self, from: &str, to: &str) -> Result<()> {
        let (root, from, to) = (Arc::clone(&self.0), from.to_owned(), to.to_owned());
        blocking(move || root.copy(&from, &to)).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        let path = path.to_owned();
        self.blocking(move |root| root.delete(&path)).await
    }

    async fn remove_directory(&self, path: &str) -> Result<bool> {
        let path = path.to_owned();
        self.blocking(move |root| root.remove_directory(&path)).await
    }

    fn local_file(&self, path: &str) -> Option<Result<File>> {
        Some(self.0.open("open", path).map(|(file, _)| file))
    }
}

/// A file under its temporary name, which is removed when it does not come to its final one.
#[derive(Debug)]
struct Part {
    parent: OwnedFd,
    file: File,
    part: String,
    name: String,
    path: String,
    placed: bool,
}

impl Part {
    fn place(mut self) -> Result<()> {
        let place = || -> std::io::Result<()> {
            self.file.sync_all()?;
            rustix::fs::renameat(&self.parent, self.part.as_str(), &self.parent, self.name.as_str())?;
            Ok(())
        };
        place().map_err(|error| failed("write", &self.path, error))?;
        self.placed = true;
        rustix::fs::fsync(self.parent.as_fd()).map_err(|errno| failed("write", &self.path, errno.into()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.placed {
            // Nobody is left to tell; whoever takes up the label removes it.
            let _ = rustix::fs::unlinkat(&self.parent, self.part.as_str(), AtFlags::empty());
        }
    }
}

/// Lends its file to the thread that writes; none after a failed write, so that nothing half-written can be finished.
struct LocalWriter(Option<Part>);

impl LocalWriter {
    fn take(&mut self) -> Result<Part> {
        self.0
            .take()
            .ok_or_else(|| RepositoryError::new(ErrorKind::Invalid, "write", "a file", "an earlier write of it failed"))
    }
}

#[async_trait]
impl Writer for LocalWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut part = self.take()?;
        let part = blocking(move || match part.file.write_all(&bytes) {
            Ok(()) => Ok(part),
            Err(error) => Err(failed("write", &part.path, error)),
        })
        .await?;
        self.0 = Some(part);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let part = self.take()?;
        blocking(move || part.place()).await
    }
}
