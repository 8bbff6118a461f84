//! Every store that opendal serves. Such a store may have no directories: one is there when a key lies below it, and keys that end in
//! `/`, which some tools leave as markers of directories, are no files.

use super::path::{ROOT, check, check_file, part_of, range_len, too_large, too_short};
use super::s3::{self, Refusal};
use super::{Entry, EntryKind, Storage, Writer};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::limiter::Limiter;
use crate::location::S3Location;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use opendal::{EntryMode, Metadata, Operator};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store behind an opendal operator.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    operator: Operator,
    description: String,
    remote: Option<Remote>,
    /// Where it is, if it speaks S3: to open it again with a limit.
    s3: Option<Arc<S3Location>>,
}

/// How a store is used whose requests cost milliseconds. Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote {
    /// Asked for at once; longer reads are several requests side by side.
    pub(super) read_block: u64,
    pub(super) reads_at_once: usize,
    /// Longer files are written in parts.
    pub(super) part: usize,
    pub(super) parts_at_once: usize,
    /// Longer files are copied in parts: one request for a whole one would outlast every deadline.
    pub(super) copy_part: usize,
    /// Keys in an answer to a listing.
    pub(super) page: usize,
    pub(super) lists_at_once: usize,
}

/// How much is read at a time when a copy has to pass through here.
const COPY_BLOCK: u64 = 8 << 20;

impl ObjectStorage {
    /// The store of `operator`, rooted where the operator is. `description` names it in messages and must hold no secrets.
    pub fn new(operator: Operator, description: impl Into<String>) -> ObjectStorage {
        ObjectStorage { operator, description: description.into(), remote: None, s3: None }
    }

    /// The same, for a store that is far away.
    pub(super) fn remote(self, remote: Remote, location: &S3Location) -> ObjectStorage {
        ObjectStorage { remote: Some(remote), s3: Some(Arc::new(location.clone())), ..self }
    }

    /// All below `dir` in one listing; where that takes several pages, stretches of its directories side by side. StarRocks puts a snapshot's
    /// tables below a directory of the database, so one that stands alone is looked through.
    async fn far_listing(&self, dir: &str, remote: Remote) -> Result<Vec<Entry>> {
        check("list", dir)?;
        let prefix = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
        let lister =
            self.operator.lister_with(&prefix).recursive(true).await.map_err(|error| failed("list", dir, error))?;
        let first: Vec<_> = lister.take(remote.page).try_collect().await.map_err(|error| failed("list", dir, error))?;
        if first.len() < remote.page {
            let found: Vec<_> = first.into_iter().filter_map(|entry| entry_of(dir, entry, true)).collect();
            if found.is_empty() {
                self.is_directory(dir).await?;
            }
            return Ok(found);
        }
        let mut found = Vec::new();
        let mut at = dir.to_owned();
        let directories = loop {
            let (below, files): (Vec<_>, Vec<_>) =
                self.listing(&at, false).await?.into_iter().partition(|entry| entry.kind == EntryKind::Directory);
            found.extend(files);
            match below.as_slice() {
                [alone] => at = alone.path.clone(),
                _ => break below,
            }
        };
        // A request for each of thousands of directories costs more than its answer brings: they are taken together, by the order of keys.
        let most =
            if self.operator.info().capability().list_with_start_after { 4 * remote.lists_at_once } else { usize::MAX };
        let mut names: Vec<String> = directories.into_iter().map(|directory| format!("{}/", directory.path)).collect();
        names.sort_unstable();
        let length = names.len().div_ceil(most).max(1);
        let stretches: Vec<Vec<String>> = names.chunks(length).map(<[String]>::to_vec).collect();
        let at = at.as_str();
        let listings = stretches.into_iter().map(|names| async move { self.stretch(at, &names).await });
        let below: Vec<_> =
            futures::stream::iter(listings).buffer_unordered(remote.lists_at_once).try_collect().await?;
        found.extend(below.into_iter().flatten());
        Ok(found)
    }

    /// All below some neighbouring directories of `dir`, given in order and with a slash behind each.
    async fn stretch(&self, dir: &str, directories: &[String]) -> Result<Vec<Entry>> {
        let (Some(first), Some(last)) = (directories.first(), directories.last()) else { return Ok(Vec::new()) };
        if first == last {
            return self.listing(first.trim_end_matches('/'), true).await;
        }
        let prefix = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
        let start = first.trim_end_matches('/');
        let listed = async {
            let mut lister = self.operator.lister_with(&prefix).recursive(true).start_after(start).await?;
            let mut found = Vec::new();
            while let Some(entry) = lister.try_next().await? {
                let path = entry.path();
                if path > last.as_str() && !path.starts_with(last.as_str()) {
                    break;
                }
                // Files that stand between the directories are known already.
                let at = directories.partition_point(|directory| directory.as_str() <= path);
                if at.checked_sub(1).and_then(|at| directories.get(at)).is_some_and(|found| path.starts_with(found)) {
                    found.extend(entry_of(dir, entry, true));
                }
            }
            Ok(found)
        };
        listed.await.map_err(|error| failed("list", dir, error))
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

    /// As [`failed`]. Stores answer HEAD without words, so a listing is asked for the cause.
    async fn explained(&self, action: &'static str, path: &str, error: opendal::Error) -> RepositoryError {
        if refusal(&error).is_some_and(|refusal| refusal.code.is_empty())
            && let Err(worded) = self.operator.list_with("/").limit(1).await
            && refusal(&worded).is_some()
        {
            return failed(action, path, worded);
        }
        failed(action, path, error)
    }

    async fn file_size(&self, action: &'static str, path: &str) -> Result<u64> {
        let metadata = match self.operator.stat(path).await {
            Ok(metadata) => metadata,
            Err(error) => return Err(self.explained(action, path, error).await),
        };
        if !metadata.is_file() {
            return Err(RepositoryError::new(ErrorKind::Invalid, action, path, "it is not a regular file"));
        }
        Ok(metadata.content_length())
    }

    async fn read_exactly(&self, path: &str, range: Range<u64>) -> opendal::Result<Bytes> {
        let Some(remote) = self.remote.filter(|remote| range.end - range.start > remote.read_block) else {
            return Ok(self.operator.read_with(path).range(range).await?.to_bytes());
        };
        let count = (range.end - range.start).div_ceil(remote.read_block);
        let blocks = (0..count).map(|n| {
            let start = range.start + n * remote.read_block;
            let block = start..range.end.min(start.saturating_add(remote.read_block));
            async move {
                let len = block.end - block.start;
                let bytes = self.operator.read_with(path).range(block).await?.to_bytes();
                if bytes.len() as u64 == len {
                    return Ok(bytes);
                }
                Err(opendal::Error::new(
                    opendal::ErrorKind::Unexpected,
                    format!("{} bytes came instead of {len}", bytes.len()),
                ))
            }
        });
        let mut blocks = futures::stream::iter(blocks).buffered(remote.reads_at_once);
        // Grown as bytes come: the length that was asked for may be any.
        let mut whole = BytesMut::new();
        while let Some(block) = blocks.try_next().await? {
            whole.extend_from_slice(&block);
        }
        Ok(whole.freeze())
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

fn refusal(error: &opendal::Error) -> Option<&Refusal> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Refusal>())
}

/// The store did not understand what it was asked.
fn is_rejected(error: &opendal::Error) -> bool {
    refusal(error).is_some_and(|refusal| refusal.kind == ErrorKind::Invalid)
}

fn failed(action: &'static str, path: &str, error: opendal::Error) -> RepositoryError {
    use opendal::ErrorKind as Store;
    if let Some(Refusal { kind, reason, advice, .. }) = refusal(&error).cloned() {
        let shown = if path.is_empty() { ROOT } else { path };
        return RepositoryError::new(kind, action, shown, reason).advise(advice);
    }
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
    let shown = if path.is_empty() { ROOT } else { path };
    RepositoryError::new(kind, action, shown, error.message().to_owned()).advise(advice).caused_by(error)
}

#[async_trait]
impl Storage for ObjectStorage {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn identity(&self) -> String {
        match &self.s3 {
            Some(location) => format!("{} at {}", self.description, location.endpoint),
            None => self.describe(),
        }
    }

    fn limiting_uploads(&self, limiter: &Arc<Limiter>) -> Option<Arc<dyn Storage>> {
        let opened = s3::open_limited(self.s3.as_ref()?, Some(Arc::clone(limiter)));
        // What could be opened once can be opened again.
        opened.ok().map(|storage| Arc::new(storage) as Arc<dyn Storage>)
    }

    async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.listing(dir, false).await
    }

    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>> {
        match self.remote {
            Some(remote) => self.far_listing(dir, remote).await,
            None => self.listing(dir, true).await,
        }
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        check("look at", path)?;
        match self.operator.stat(if path.is_empty() { "/" } else { path }).await {
            Ok(metadata) => Ok(described(path, &metadata)),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => match self.is_directory(path).await {
                Ok(()) => Ok(Entry { path: path.to_owned(), kind: EntryKind::Directory, size: 0, modified: None }),
                Err(cause) if cause.kind == ErrorKind::NotFound && cause.advice.is_empty() => {
                    Err(failed("look at", path, error))
                }
                // The bucket itself is not there, or the store is gone meanwhile.
                Err(cause) => Err(cause),
            },
            Err(error) => Err(self.explained("look at", path, error).await),
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
            Err(error) if error.kind() == opendal::ErrorKind::NotFound || refusal(&error).is_some() => {
                Err(failed("read", path, error))
            }
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
        let opened = match self.remote {
            Some(remote) => self.operator.writer_with(&part).chunk(remote.part).concurrent(remote.parts_at_once).await,
            None => self.operator.writer(&part).await,
        };
        let inner = opened.map_err(|error| failed("write", path, error))?;
        let (operator, path) = (self.operator.clone(), path.to_owned());
        Ok(Box::new(ObjectWriter { inner: Some(inner), operator, part, path, written: 0 }))
    }

    async fn copy(&self, from: &str, to: &str) -> Result<()> {
        check_file("copy", from)?;
        check_file("copy", to)?;
        let capability = self.operator.info().capability();
        if !capability.copy {
            return self.copy_through(from, to).await;
        }
        let target = if capability.rename { part_of(to) } else { to.to_owned() };
        let copied = match self.remote {
            Some(remote) => {
                self.operator.copy_with(from, &target).chunk(remote.copy_part).concurrent(4).await.map(drop)
            }
            None => self.operator.copy(from, &target).await.map(drop),
        };
        match copied {
            // Google's store takes no copies in parts, and says so by not knowing their headers.
            Err(error) if error.kind() == opendal::ErrorKind::Unsupported || is_rejected(&error) => {
                return self.copy_through(from, to).await;
            }
            Err(error) => return Err(self.explained("copy", from, error).await),
            Ok(()) => {}
        }
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
    written: u64,
}

impl ObjectWriter {
    /// Whether the file stands although closing failed: when the answer to the request that completes it was lost, the next attempt finds
    /// nothing left to complete.
    async fn stands(&self, error: &opendal::Error) -> bool {
        let lost = error.kind() == opendal::ErrorKind::NotFound && self.part == self.path;
        lost && self.operator.stat(&self.path).await.is_ok_and(|found| found.content_length() == self.written)
    }
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
        let len = bytes.len() as u64;
        match inner.write(bytes).await {
            Ok(()) => {
                self.written += len;
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
            Err(error) if self.stands(&error).await => Ok(()),
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
