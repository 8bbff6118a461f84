//! One small trait over every store. Paths are relative to the store's root, `/`-separated, UTF-8, without `.`, `..`, empty components or
//! a leading `/`; the root itself is the empty string. A store refuses any other path and never leaves its root, through
//! symbolic links either.

mod chance;
pub(crate) mod doubled;
mod hdfs;
mod local;
mod object;
pub(crate) mod path;
pub(crate) mod s3;

pub(crate) use hdfs::HdfsStorage;
pub use local::LocalStorage;
pub use object::ObjectStorage;

use crate::error::Result;
use crate::limiter::Limiter;
use crate::md5::{Hasher, Md5};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// What an entry of a listing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    File,
    Directory,
    /// Symbolic links, devices, names that are not UTF-8: nothing StarRocks writes and nothing we follow. `path` is lossy for those.
    Other,
}

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the store's root.
    pub path: String,
    pub kind: EntryKind,
    /// Bytes; 0 for directories.
    pub size: u64,
    pub modified: Option<SystemTime>,
}

impl Entry {
    /// Last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A store, rooted at a location.
#[async_trait]
pub trait Storage: Send + Sync + std::fmt::Debug {
    /// Where it is, for messages: never with secrets.
    fn describe(&self) -> String;

    /// What tells it from all other stores: two buckets of one name may be at two endpoints. Without secrets.
    fn identity(&self) -> String {
        self.describe()
    }

    /// What the user must know of how it is reached: something that was asked for and is not done. Known once something was read.
    fn note(&self) -> Option<String> {
        None
    }

    /// Entries directly below `dir`, in no particular order. `NotFound` when there is no such directory.
    async fn list(&self, dir: &str) -> Result<Vec<Entry>>;

    /// All files (and `Other` entries) below `dir`, at any depth, in no particular order. `NotFound` when there is no such directory.
    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>>;

    /// One entry.
    async fn stat(&self, path: &str) -> Result<Entry>;

    /// Bytes `range` of a file. Returns exactly that many bytes or an error: `Damaged` when the file is shorter.
    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes>;

    /// A whole small file; `Damaged` when it is larger than `limit` bytes.
    async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes>;

    /// A writer of a file. Nothing stands under `path` until [`Writer::finish`] returns; missing parent directories are made.
    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>>;

    /// Copies a file within the store, on the store's side where it can (reflink, server-side copy).
    async fn copy(&self, from: &str, to: &str) -> Result<()>;

    /// Whether [`Storage::copy`] is cheaper than writing bytes that are at hand.
    fn copies_cheaply(&self) -> bool {
        true
    }

    /// How often a file of `size` bytes is worth writing from its beginning when writing it ends with `Unavailable`: more than once where
    /// the store cannot go on within such a file.
    fn write_attempts(&self, size: u64) -> u32 {
        let _ = size;
        1
    }

    /// How many files are written at once where nobody says it; none: as many as there are processors.
    fn writers(&self) -> Option<usize> {
        None
    }

    /// This store for who writes many files: they are durable once [`Storage::sync`] has returned, and not before. None where each is by itself.
    fn in_batches(&self) -> Option<Arc<dyn Storage>> {
        None
    }

    /// Makes durable what was written in a batch, and fails when a part of it could not be.
    async fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// Removes a file; no error when it is not there.
    async fn delete(&self, path: &str) -> Result<()>;

    /// Removes a directory if it is empty, and says whether it is gone. Stores that have no directories have nothing to do.
    async fn remove_directory(&self, path: &str) -> Result<bool> {
        let _ = path;
        Ok(true)
    }

    /// This store with a limit on what it sends, for stores that send much at once and so have to keep to it themselves.
    fn limiting_uploads(&self, limiter: &Arc<Limiter>) -> Option<Arc<dyn Storage>> {
        let _ = limiter;
        None
    }

    /// The file opened for reading, for stores on local disk: the fast path past this trait.
    fn local_file(&self, path: &str) -> Option<Result<std::fs::File>> {
        let _ = path;
        None
    }
}

/// Writes one file. Dropped without [`Writer::finish`], it leaves nothing under the final name.
#[async_trait]
pub trait Writer: Send {
    /// Appends.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Makes the file durable and puts it under its name, in one step.
    async fn finish(self: Box<Self>) -> Result<()>;
}

/// Bytes read at a time for a digest.
const DIGEST_BLOCK: u64 = 4 << 20;

/// md5 of a file of `size` bytes.
pub async fn digest(storage: &dyn Storage, path: &str, size: u64) -> Result<Md5> {
    let mut hasher = Hasher::default();
    let mut at = 0;
    while at < size {
        let end = size.min(at.saturating_add(DIGEST_BLOCK));
        let bytes = storage.read(path, at..end).await?;
        hasher = crate::blocking::blocking(move || {
            hasher.update(&bytes);
            Ok(hasher)
        })
        .await?;
        at = end;
    }
    Ok(hasher.finish())
}
