//! Blocks on local disk, in a directory that several processes may use at once.
//!
//! Each block is a file of its own, written under a temporary name and renamed, that says which block it is and has its own checksum, which
//! is looked at whenever it is read. Whatever is not exactly that is not there. What was used last is kept longest, by modification time.

mod sweep;

use super::pool::Extent;
use super::{BLOCK, BlockKey, FileKey};
use crate::error::{ErrorKind, RepositoryError, Result};
use bytes::Bytes;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

const MAGIC: [u8; 8] = *b"ssblock1";
/// Magic, file, block, length, CRC32C of all that and the bytes.
const HEADER: usize = 8 + 16 + 8 + 4 + 4;
const SUMMED: usize = HEADER - 4;
/// Our own directory in the one that we are given, which may hold other things.
const OWN: &str = "starsnap-blocks-1";
/// A cache smaller than this would only churn.
pub(super) const LEAST: u64 = 16 << 20;
/// Runs of blocks that wait for the disk, at most.
const PENDING: usize = 32;
/// A block that is used counts as used now, if it did not within this time.
const FRESH: Duration = Duration::from_secs(60);

/// What came from the store, and the memory that it holds.
pub(super) struct Fresh {
    /// Runs, each with its first block.
    pub parts: Vec<(u64, Bytes)>,
    pub _extent: Arc<Extent>,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct DiskCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    limit: u64,
    /// Bytes at the last sweep, and written since by this process.
    known: AtomicU64,
    since: AtomicU64,
    swept: AtomicBool,
    sweeping: std::sync::Mutex<()>,
    /// Writing failed: nothing more is kept.
    off: AtomicBool,
    pending: Arc<Semaphore>,
}

fn refused(dir: &Path, reason: impl Into<String>) -> RepositoryError {
    RepositoryError::new(ErrorKind::Io, "keep blocks in", dir.display().to_string(), reason)
        .advise("give another directory with --cache")
}

impl DiskCache {
    /// The cache in `dir`, which is made where it is missing, of at most about `limit` bytes.
    pub fn open(dir: &Path, limit: u64) -> Result<DiskCache> {
        if limit < LEAST {
            return Err(RepositoryError::new(
                ErrorKind::Invalid,
                "keep blocks in",
                dir.display().to_string(),
                format!("{limit} bytes are too few"),
            )
            .advise("give --cache-size 16MiB at least"));
        }
        let failed = |error: io::Error| refused(dir, error.to_string());
        let absolute = std::path::absolute(dir).map_err(failed)?;
        let own = crate::own::directory(&absolute, OWN).map_err(failed)?;
        Ok(DiskCache(Arc::new(Inner {
            dir: own,
            limit,
            known: AtomicU64::new(0),
            since: AtomicU64::new(0),
            swept: AtomicBool::new(false),
            sweeping: std::sync::Mutex::new(()),
            off: AtomicBool::new(false),
            pending: Arc::new(Semaphore::new(PENDING)),
        })))
    }

    /// The blocks of `run` that are there, in order. `size` is the file's.
    pub async fn load(&self, file: FileKey, run: Range<u64>, size: u64) -> Vec<(u64, Bytes)> {
        let inner = self.0.clone();
        let load = move || {
            let length = |block: u64| size.saturating_sub(block.saturating_mul(BLOCK)).min(BLOCK) as usize;
            run.filter_map(|block| Some((block, inner.load(BlockKey { file, block }, length(block))?))).collect()
        };
        tokio::task::spawn_blocking(load).await.unwrap_or_default()
    }

    /// Keeps what came, once there is a place in the queue.
    pub async fn store(&self, file: FileKey, fresh: Fresh) {
        if fresh.parts.is_empty() || self.0.off.load(Ordering::Relaxed) {
            return;
        }
        let Ok(place) = self.0.pending.clone().acquire_owned().await else { return };
        let inner = self.0.clone();
        let store = move || {
            inner.store(file, &fresh);
            drop(place);
        };
        let _ = tokio::task::spawn_blocking(store).await;
    }

    /// Keeps what came, unless the disk cannot follow: who reads does not wait for it.
    pub fn store_later(&self, file: FileKey, fresh: Fresh) {
        if fresh.parts.is_empty() || self.0.off.load(Ordering::Relaxed) {
            return;
        }
        let Ok(place) = self.0.pending.clone().try_acquire_owned() else { return };
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || {
            inner.store(file, &fresh);
            drop(place);
        });
    }

    /// Removes blocks, those also that are about to be kept.
    pub async fn forget(&self, file: FileKey, blocks: Range<u64>) {
        let _all_places = self.0.pending.acquire_many(PENDING as u32).await;
        let inner = self.0.clone();
        let forget = move || blocks.for_each(|block| drop(fs::remove_file(inner.path(BlockKey { file, block }))));
        let _ = tokio::task::spawn_blocking(forget).await;
    }
}

/// What stands before the bytes of a block; the checksum still zero.
fn header(key: BlockKey, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let fields = [&MAGIC[..], &key.file.0, &key.block.to_le_bytes(), &(length as u32).to_le_bytes()];
    header.iter_mut().zip(fields.concat()).for_each(|(to, from)| *to = from);
    header
}

fn checksum(header: &[u8; HEADER], bytes: &[u8]) -> [u8; 4] {
    let (summed, _) = header.split_at(SUMMED);
    crc32c::crc32c_append(crc32c::crc32c(summed), bytes).to_le_bytes()
}

impl Inner {
    /// Where a block stands: names are made of digits alone.
    fn path(&self, key: BlockKey) -> PathBuf {
        let file = hex::encode(key.file.0);
        let (first, _) = file.split_at(2);
        self.dir.join(first).join(format!("{file}-{}", key.block))
    }

    fn load(&self, key: BlockKey, length: usize) -> Option<Bytes> {
        let path = self.path(key);
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(&path).ok()?;
        let metadata = file.metadata().ok()?;
        let whole = metadata.is_file() && metadata.len() == (HEADER + length) as u64;
        let bytes = whole.then(|| read_block(&mut file, key, length)).flatten();
        if bytes.is_none() {
            tracing::debug!("{} is not a block as it was written, it is removed", path.display());
            let _ = fs::remove_file(&path);
            return None;
        }
        let now = SystemTime::now();
        if metadata.modified().is_ok_and(|used| now.duration_since(used).is_ok_and(|since| since > FRESH)) {
            let _ = file.set_modified(now);
        }
        bytes
    }

    fn store(&self, file: FileKey, fresh: &Fresh) {
        let mut written = 0;
        for (first, bytes) in &fresh.parts {
            for (bytes, block) in bytes.chunks(BLOCK as usize).zip(*first..) {
                if self.off.load(Ordering::Relaxed) {
                    return;
                }
                match self.write(BlockKey { file, block }, bytes) {
                    Ok(()) => written += (HEADER + bytes.len()) as u64,
                    Err(error) => {
                        if !self.off.swap(true, Ordering::Relaxed) {
                            let dir = self.dir.display();
                            tracing::warn!(%error, "blocks cannot be kept in {dir} any more: what is read from now on is not kept on disk");
                        }
                        return;
                    }
                }
            }
        }
        self.wrote(written);
    }

    fn write(&self, key: BlockKey, bytes: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = self.path(key);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let part = path.with_extension(format!("{}-{number}.part", std::process::id()));
        let new = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let mut file = match new() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(&self.dir);
                DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
                new()?
            }
            // A killed process of the same number left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&part)?;
                new()?
            }
            opened => opened?,
        };
        let mut header = header(key, bytes.len());
        let sum = checksum(&header, bytes);
        header.iter_mut().skip(SUMMED).zip(sum).for_each(|(to, from)| *to = from);
        let written = file.write_all(&header).and_then(|()| file.write_all(bytes));
        written.and_then(|()| fs::rename(&part, &path)).inspect_err(|_| {
            let _ = fs::remove_file(&part);
        })
    }
}

fn read_block(file: &mut File, key: BlockKey, length: usize) -> Option<Bytes> {
    let mut found = [0; HEADER];
    file.read_exact(&mut found).ok()?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).ok()?;
    let expected = header(key, length);
    let right =
        found.get(..SUMMED) == expected.get(..SUMMED) && found.get(SUMMED..) == Some(&checksum(&expected, &bytes)[..]);
    right.then(|| bytes.into())
}

#[cfg(test)]
mod tests;
