//! Every store that opendal serves. Such a store may have no directories: one is there when a key lies below it, and keys that end in
//! `/`, which some tools leave as markers of directories, are no files.

mod listing;
mod writer;

use super::path::{check, check_file, part_of, range_len, too_large, too_short};
use super::s3::{self, Refusal};
use super::{Entry, EntryKind, Storage, Writer};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::limiter::Limiter;
use crate::location::S3Location;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use listing::described;
use opendal::Operator;
use std::ops::Range;
use std::sync::Arc;
use writer::{ObjectWriter, own_part_of};

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
        let shown = if path.is_empty() { "the location's directory" } else { path };
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
    let shown = if path.is_empty() { "the location's directory" } else { path };
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
        Ok(Box::new(ObjectWriter::new(inner, operator, part, path)))
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
