//! Reading files of a store that is far away at the speed of the network: blocks that are kept in memory and on disk, fetched once for all
//! who want them, and ahead of those who read in sequence; all of it within one amount of memory.
//!
//! * What is kept is a block of 256 KiB, known by the file's md5, its size and the block's number in the store, so that it never goes stale.
//!   Files whose md5 is not known are told apart by path, size and modification time, and are never kept on disk.
//! * All bytes that are kept, fetched or handed out count against one budget. Who finds none left waits, in turn, and what was not used
//!   for longest is dropped; who fetches ahead does without. Nobody who holds bytes waits for more of them, so that all get on.
//! * Readers of a block that somebody is fetching wait for that one fetch. If it fails they hear of it; if it is given up, one of them goes on.
//!   Failures are not kept.

mod ahead;
mod check;
mod disk;
mod file;
mod pool;

#[cfg(test)]
mod tests;

pub use file::FileReader;

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::md5::{Hasher, Md5};
use crate::storage::Storage;
use disk::DiskCache;
use pool::Pool;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

/// What is fetched, kept and dropped as one.
pub(crate) const BLOCK: u64 = 256 << 10;
/// Longest single request to a store, in bytes.
const LONGEST_REQUEST: u64 = 8 << 20;
/// Requests ahead of readers that are under way at once, over all files.
const AHEAD_AT_ONCE: usize = 16;

/// Least memory that can be read with.
pub const LEAST_MEMORY: u64 = 16 << 20;
/// Memory where nobody says how much; an eighth of the machine's where that is less.
pub const USUAL_MEMORY: u64 = 512 << 20;

/// Of so much memory, what is set aside for what cannot be counted.
fn aside(memory: u64) -> u64 {
    (memory / 8).min(64 << 20)
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Bytes for reading; [`LEAST_MEMORY`] at least. An eighth of it, 64 MiB at most, is set aside for what cannot be counted: the program
    /// itself, the transport's buffers, what the allocator keeps. The rest is for all that is kept, fetched and handed out.
    pub memory: u64,
    /// A directory in which blocks are kept, and how many bytes of them.
    pub disk: Option<(PathBuf, u64)>,
    /// How long one read may take, from its call to its last byte, whatever happens meanwhile.
    pub patience: Duration,
}

impl Default for ReadOptions {
    fn default() -> ReadOptions {
        let info = rustix::system::sysinfo();
        // The fields are as wide as the machine's words.
        #[allow(clippy::useless_conversion)]
        let machine = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit));
        let memory = USUAL_MEMORY.min(machine / 8).max(LEAST_MEMORY);
        ReadOptions { memory, disk: None, patience: Duration::from_secs(300) }
    }
}

/// A file to read, as it was listed.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// Path from the store's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub md5: Option<Md5>,
    pub modified: Option<SystemTime>,
}

/// How a file will be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Here and there, or in sequence: what is read in sequence is fetched ahead.
    Any,
    /// As [`Access::Any`]; and once all of it was read in sequence its md5 must be right.
    Checked,
    /// From start to end, once: fetched ahead as far as may be, and not kept.
    Once,
    /// As [`Access::Any`], but of this very file: blocks of others with the same md5, one of which may be damaged, are not taken for its own,
    /// and nothing is kept on disk or taken from there.
    Own,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Bytes of memory that may be used for what is counted.
    pub memory: u64,
    /// Bytes of memory in use, now and at most.
    pub used: u64,
    pub peak: u64,
    /// Blocks that readers found in memory, and on disk.
    pub from_memory: u64,
    pub from_disk: u64,
    /// Bytes that came from the store.
    pub fetched: u64,
}

/// The memory and the caches that all readers of a process, or of a repository, share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reading(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Arc<Pool>,
    disk: Option<DiskCache>,
    patience: Duration,
    /// Requests ahead that may still be started.
    slots: Arc<Semaphore>,
    /// Files that are read in sequence just now.
    sequential: AtomicUsize,
    from_disk: AtomicU64,
    fetched: AtomicU64,
    /// For files that nothing tells apart.
    strangers: AtomicU64,
}

impl Reading {
    /// An error where the directory for blocks cannot be used.
    pub fn new(options: &ReadOptions) -> Result<Reading> {
        if options.memory < LEAST_MEMORY {
            let reason = format!("{} bytes of memory are not enough to read with", options.memory);
            return Err(RepositoryError::new(ErrorKind::Invalid, "read with", "so little memory", reason)
                .advise("give 16MiB at least"));
        }
        let disk = options.disk.as_ref().map(|(dir, size)| DiskCache::open(dir, *size)).transpose()?;
        Ok(Reading::with(options, disk))
    }

    fn with(options: &ReadOptions, disk: Option<DiskCache>) -> Reading {
        Reading(Arc::new(Shared {
            pool: Pool::new(options.memory - aside(options.memory)),
            disk,
            patience: options.patience,
            slots: Arc::new(Semaphore::new(AHEAD_AT_ONCE)),
            sequential: AtomicUsize::new(0),
            from_disk: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        }))
    }

    /// A reader of `file`. Nothing is asked of the store yet.
    pub fn open(&self, storage: Arc<dyn Storage>, file: StoredFile, access: Access) -> FileReader {
        let key = self.0.key(&*storage, &file, access);
        FileReader::new(self.0.clone(), storage, file, key, access)
    }

    /// Drops what is kept of a file, on disk too. For who found it damaged: another file with the same md5 may be the damaged one, or this
    /// one may be repaired.
    pub async fn forget(&self, storage: Arc<dyn Storage>, file: StoredFile) {
        self.open(storage, file, Access::Any).forget().await;
    }

    /// What was read so far.
    pub fn usage(&self) -> Usage {
        let (memory, used, peak, from_memory) = self.0.pool.usage();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage { memory, used, peak, from_memory, from_disk: count(&self.0.from_disk), fetched: count(&self.0.fetched) }
    }
}

impl Default for Reading {
    /// With the usual memory, and nothing on disk.
    fn default() -> Reading {
        Reading::with(&ReadOptions::default(), None)
    }
}

/// What tells a file's content from any other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileKey([u8; 16]);

/// One block of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct BlockKey {
    file: FileKey,
    block: u64,
}

impl Shared {
    /// The store is part of the key: the names of one repository must not decide what is read of another.
    fn key(&self, storage: &dyn Storage, file: &StoredFile, access: Access) -> FileKey {
        let mut hasher = Hasher::default();
        let mut part = |kind: u8, bytes: &[u8]| {
            hasher.update(&[kind]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(0, storage.identity().as_bytes());
        part(1, &file.size.to_le_bytes());
        if access == Access::Own {
            part(6, file.path.as_bytes());
        }
        match (&file.md5, file.modified) {
            (Some(md5), _) => part(2, &md5.0),
            (None, Some(modified)) => {
                part(3, file.path.as_bytes());
                let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                part(4, &since.as_nanos().to_le_bytes());
            }
            // Known for as long as it is open.
            (None, None) => part(5, &self.strangers.fetch_add(1, Ordering::Relaxed).to_le_bytes()),
        }
        FileKey(hasher.finish().0)
    }

    /// Longest request, so that several fit into the memory.
    fn request(&self) -> u64 {
        (self.pool.limit() / 16).clamp(BLOCK, LONGEST_REQUEST) / BLOCK * BLOCK
    }

    /// How far one of the files that are read in sequence may be ahead of its reader.
    fn farthest(&self) -> u64 {
        let readers = self.sequential.load(Ordering::Relaxed).max(1) as u64;
        (self.pool.limit() / 2 / readers).clamp(BLOCK, 64 << 20)
    }
}
