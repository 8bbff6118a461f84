//! Every store that opendal serves. Such a store may have no directories: one is there when a key lies below it, and keys that end in
//! `/`, which some tools leave as markers of directories, are no files.

use super::path::{check, check_file, part_of, range_len, too_large, too_short};
use super::{Entry, EntryKind, Storage, Writer};
use crate::error::{ErrorKind, RepositoryError, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use opendal::{EntryMode, Metadata, Operator};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store behind an opendal operator.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    operator: Operator,
    description: String,
}

/// How much is read at a time when a copy has to pass through here.
const COPY_BLOCK: u64 = 8 << 20;

impl ObjectStorage {
    /// The store of `operator`, rooted where the operator is. `description` names it in messages and must hold no secrets.
    pub fn new(operator: Operator, description: impl Into<String>) -> ObjectStorage {
        ObjectStorage { operator, description: description.into() }
    }

    async fn listing(&self, dir: &str, recursive: bool) -> Result<Vec<Entry>> {
        check("list", dir)?;
        let prefix = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
        let listed = async {
            let lister = self.operator.lister_with(&prefix).recursive(recursive).await?;
            // Symbolic links of a filesystem are listed as of unknown kind: asking further would follow them.
            let ask = self.operator.info().scheme() != opendal::services::FS_SCHEME;
            lister
                .try_filter_map(|entry| async move {
                    match entry_of(dir, entry, recursive) {
                        Some(Entry { path, kind: EntryKind::Other, .. }) if ask && check("list", &path).is_ok() => {
                            Ok(Some(described(&path, &self.operator.stat(&path).await?)))
                        }
                        entry => Ok(entry),
                    }
                })
                .try_collect::<Vec<_>>()
                .await
        };
        let found = match listed.await {
            Ok(found) => found,
            Err(error) if error.kind() == opendal::ErrorKind::NotADirectory => Vec::new(),
            Err(error) => return Err(failed("list", dir, error)),
        };
        if found.is_empty() {
            self.is_directory(dir).await?;
        }
        Ok(found)
    }

    /// `NotFound` unless there is a directory `dir`, which may be empty.
    async fn is_directory(&self, dir: &str) -> Result<()> {
        if dir.is_empty() {
            return Ok(());
        }
        match self.operator.stat(&format!("{dir}/")).await {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(no_directory(dir)),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => {
                // Without markers only a key below it shows that it is there.
                let mut lister = self
                    .operator
                    .lister_with(&format!("{dir}/"))
                    .limit(2)
                    .await
                    .map_err(|error| failed("list", dir, error))?;
                while let Some(entry) = lister.try_next().await.map_err(|error| failed("list", dir, error))? {
                    if entry.path().trim_end_matches('/') != dir {
                        return Ok(());
                    }
                }
                Err(no_directory(dir))
            }
            Err(error) if error.kind() == opendal::ErrorKind::NotADirectory => Err(no_directory(dir)),
            Err(error) => Err(failed("look at", dir, error)),
        }
    }

    async fn file_size(&self, action: &'static str, path: &str) -> Result<u64> {
        let metadata = self.operator.stat(path).await.map_err(|error| failed(action, path, error))?;
        if !metadata.is_file() {
            return Err(RepositoryError::new(ErrorKind::Invalid, action, path, "it is not a regular file"));
        }
        Ok(metadata.content_length())
    }

    async fn read_exactly(&self, path: &str, range: Range<u64>) -> opendal::Result<Bytes> {
        Ok(self.operator.read_with(path).range(range).await?.to_bytes())
    }

    /// Copies through here, for stores that cannot by themselves.
    async fn copy_through(&self, from: &str, to: &str) -> Result<()> {
        let size = self.file_size("copy", from).await?;
        let mut writer = self.writer(to).await?;
        let mut at = 0;
        while at < size {
            let end = size.min(at + COPY_BLOCK);
            writer.write(self.read(from, at..end).await?).await?;
            at = end;
        }
        writer.finish().await
    }
}

fn no_directory(dir: &str) -> RepositoryError {
    RepositoryError::new(ErrorKind::NotFound, "list", dir, "there is no such directory")
}

/// The entry below `dir`; none for the directory itself, and in a recursive listing for directories.
fn entry_of(dir: &str, entry: opendal::Entry, recursive: bool) -> Option<Entry> {
    let (path, metadata) = entry.into_parts();
    let rest = if dir.is_empty() { path.as_str() } else { path.strip_prefix(dir)?.strip_prefix('/')? };
    let directory = rest.ends_with('/');
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() || (directory && recursive) {
        return None;
    }
    let mut entry = described(path.strip_suffix('/').unwrap_or(&path), &metadata);
    let plain = check("list", &entry.path).is_ok() && (recursive || !rest.contains('/'));
    entry.kind = match entry.kind {
        _ if !plain => EntryKind::Other,
        _ if directory => EntryKind::Directory,
        kind => kind,
    };
    Some(entry)
}

fn described(path: &str, metadata: &Metadata) -> Entry {
    let kind = match metadata.mode() {
        EntryMode::FILE => EntryKind::File,
        EntryMode::DIR => EntryKind::Directory,
        EntryMode::Unknown => EntryKind::Other,
    };
    let size = if kind == EntryKind::File { metadata.content_length() } else { 0 };
    Entry { path: path.to_owned(), kind, size, modified: metadata.last_modified().map(Into::into) }
}

fn failed(action: &'static str, path: &str, error: opendal::Error) -> RepositoryError {
    use opendal::ErrorKind as Store;
    // Of a filesystem, opendal passes this one on unnamed.
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let below_a_file = cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotADirectory);
    let (kind, advice) = match error.kind() {
        _ if below_a_file => (ErrorKind::NotFound, "a file stands where a directory should be"),
        Store::NotFound => (ErrorKind::NotFound, ""),
        Store::NotADirectory => (ErrorKind::NotFound, "a file stands where a directory should be"),
        Store::PermissionDenied => (ErrorKind::PermissionDenied, "check the credentials and what they may do"),
        Store::AlreadyExists | Store::ConditionNotMatch => (ErrorKind::Exists, ""),
        Store::ConfigInvalid | Store::IsADirectory | Store::IsSameFile => (ErrorKind::Invalid, ""),
        Store::RangeNotSatisfied => (ErrorKind::Damaged, "the file was truncated"),
        Store::Unsupported => (ErrorKind::Unsupported, ""),
        Store::RateLimited => (ErrorKind::Unavailable, "the store asks for fewer requests; try again later"),
        _ => (ErrorKind::Unavailable, "try again; if it stays so, look at the store's own messages"),
    };
    let shown = if path.is_empty() { "the location's directory" } else { path };
    RepositoryError::new(kind, action, shown, error.message().to_owned()).advise(advice).caused_by(error)
}

#[async_trait]
impl Storage for ObjectStorage {
    fn describe(&self) -> String {
        self.description.clone()
    }

    async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.listing(dir, false).await
    }

    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>> {
        self.listing(dir, true).await
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        check("look at", path)?;
        match self.operator.stat(if path.is_empty() { "/" } else { path }).await {
            Ok(metadata) => Ok(described(path, &metadata)),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound && self.is_directory(path).await.is_ok() => {
                Ok(Entry { path: path.to_owned(), kind: EntryKind::Directory, size: 0, modified: None })
            }
            Err(error) => Err(failed("look at", path, error)),
        }
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        check_file("read", path)?;
        let len = range_len(path, &range)?;
        if len == 0 {
            // No request can ask for nothing, yet the file must be there and reach that far.
            let size = self.file_size("read", path).await?;
            return if range.end > size { Err(too_short(path, size, &range)) } else { Ok(Bytes::new()) };
        }
        match self.read_exactly(path, range.clone()).await {
            Ok(bytes) if bytes.len() == len => Ok(bytes),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Err(failed("read", path, error)),
            other => {
                // Stores say it in many ways that a file ends before the range does.
                let size = self.file_size("read", path).await?;
                match other {
                    _ if range.end > size => Err(too_short(path, size, &range)),
                    Err(error) => Err(failed("read", path, error)),
                    Ok(bytes) => Err(RepositoryError::new(
                        ErrorKind::Unavailable,
                        "read",
                        path,
                        format!("the store sent {} bytes instead of {len}", bytes.len()),
                    )),
                }
            }
        }
    }

    async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
        check_file("read", path)?;
        let size = self.file_size("read", path).await?;
        if size > limit {
            return Err(too_large(path, size, limit));
        }
        self.read(path, 0..size).await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>> {
        check_file("write", path)?;
        // Where the store renames in one step, a temporary name keeps the final one clean. Object stores show an object only once it is
        // closed, and their rename would copy.
        let part = if self.operator.info().capability().rename { own_part_of(path) } else { path.to_owned() };
        let inner = self.operator.writer(&part).await.map_err(|error| failed("write", path, error))?;
        Ok(Box::new(ObjectWriter { inner: Some(inner), operator: self.operator.clone(), part, path: path.to_owned() }))
    }

    async fn copy(&self, from: &str, to: &str) -> Result<()> {
        check_file("copy", from)?;
        check_file("copy", to)?;
        let capability = self.operator.info().capability();
        if !capability.copy {
            return self.copy_through(from, to).await;
        }
        let target = if capability.rename { part_of(to) } else { to.to_owned() };
        self.operator.copy(from, &target).await.map_err(|error| failed("copy", from, error))?;
        if target != to {
            self.operator.rename(&target, to).await.map_err(|error| failed("copy", from, error))?;
        }
        Ok(())
    }

    async fn delete(&self, path: &str) -> Result<()> {
        check_file("delete", path)?;
        match self.operator.delete(path).await {
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|error| failed("delete", path, error)),
        }
    }
}

struct ObjectWriter {
    /// None once finished, failed or given up.
    inner: Option<opendal::Writer>,
    operator: Operator,
    part: String,
    path: String,
}

/// A temporary name that no other writer of this process has: one that was dropped is cleared away while the next may already write.
fn own_part_of(path: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let part = part_of(path);
    format!("{}.{}-{number}.part", part.strip_suffix(".part").unwrap_or(&part), std::process::id())
}

/// Gives up a file: what the store keeps of it, and its temporary name.
async fn give_up(mut inner: opendal::Writer, operator: Operator, part: String, temporary: bool) {
    // Whether or not the store knows how to abort, the reader of the repository never sees the file.
    let _ = inner.abort().await;
    if temporary {
        let _ = operator.delete(&part).await;
    }
}

#[async_trait]
impl Writer for ObjectWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut inner = self.inner.take().ok_or_else(|| finished(&self.path))?;
        match inner.write(bytes).await {
            Ok(()) => {
                self.inner = Some(inner);
                Ok(())
            }
            Err(error) => {
                give_up(inner, self.operator.clone(), self.part.clone(), self.part != self.path).await;
                Err(failed("write", &self.path, error))
            }
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let mut inner = self.inner.take().ok_or_else(|| finished(&self.path))?;
        let placed = async {
            inner.close().await?;
            if self.part != self.path {
                self.operator.rename(&self.part, &self.path).await?;
            }
            Ok(())
        };
        match placed.await {
            Ok(()) => Ok(()),
            Err(error) => {
                give_up(inner, self.operator.clone(), self.part.clone(), self.part != self.path).await;
                Err(failed("write", &self.path, error))
            }
        }
    }
}

fn finished(path: &str) -> RepositoryError {
    RepositoryError::new(ErrorKind::Invalid, "write", path, "an earlier write of it failed")
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let (Some(inner), Ok(runtime)) = (self.inner.take(), tokio::runtime::Handle::try_current()) {
            let temporary = self.part != self.path;
            runtime.spawn(give_up(inner, self.operator.clone(), std::mem::take(&mut self.part), temporary));
        }
    }
}
