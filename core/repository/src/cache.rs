//! The local index cache: parsed snapshots on local disk, so that a second mount of a large repository neither reads nor lists it again.
//! Versioned and checksummed; keyed by the repository's location and the md5 in the names of `__info` and `__meta`, so an entry never
//! goes stale. A damaged or foreign entry is ignored and rewritten.

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::md5::{Hasher, Md5};
use crate::snapshot::OpenSnapshot;
use bincode::Options;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A directory for cached indexes. They stand in a directory of their own in it, mode 0700.
#[derive(Debug, Clone)]
pub struct IndexCache {
    pub dir: PathBuf,
}

/// What an entry depends on: two snapshots with the same key have the same content.
#[derive(Debug, Clone)]
pub struct CacheKey {
    /// [`crate::storage::Storage::identity`].
    pub location: String,
    /// The repository's directory there.
    pub root: String,
    pub label: String,
    pub timestamp: String,
    pub info: Md5,
    pub meta: Md5,
}

const MAGIC: &[u8; 8] = b"starsnap";
/// Counts up whenever [`OpenSnapshot`] or this file's layout changes.
const VERSION: u32 = 2;
/// Magic, version, length and md5 of the body.
const HEADER: usize = 8 + 4 + 8 + 16;
const SUFFIX: &str = "index";
/// Our own directory in the one that we are given, which may hold other things.
const OWN: &str = "starsnap-index";
/// The oldest go first when there are more, or they are larger in total.
const MOST_ENTRIES: usize = 64;
const MOST_BYTES: u64 = 1 << 30;

impl CacheKey {
    /// Name of the entry. Lengths stand between the parts, so that no two keys run together.
    fn file_name(&self) -> String {
        let mut hasher = Hasher::default();
        for part in [&self.location, &self.root, &self.label, &self.timestamp] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&self.info.0);
        hasher.update(&self.meta.0);
        format!("{}.{SUFFIX}", hasher.finish())
    }
}

fn failed(action: &'static str, path: &Path, error: std::io::Error) -> RepositoryError {
    RepositoryError::new(ErrorKind::Io, action, path.display().to_string(), error.to_string()).caused_by(error)
}

/// Never allocates more than `body` can hold.
fn encoding(limit: u64) -> impl Options {
    bincode::DefaultOptions::new().with_limit(limit).reject_trailing_bytes()
}

impl IndexCache {
    /// The cache in `dir`, which is made when something is stored.
    pub fn new(dir: impl Into<PathBuf>) -> IndexCache {
        IndexCache { dir: dir.into() }
    }

    /// The snapshot stored under `key`; none when there is none, or it is not what we wrote.
    pub async fn load(&self, key: &CacheKey) -> Option<OpenSnapshot> {
        let (own, key) = (self.dir.join(OWN), key.clone());
        let read = move || match read_entry(&own, &key.file_name()) {
            Ok(snapshot) if snapshot.label == key.label && snapshot.timestamp == key.timestamp => Some(snapshot),
            Ok(_) => None,
            Err(error) => {
                if error.kind != ErrorKind::NotFound {
                    tracing::warn!("{error}: the repository is read instead");
                }
                None
            }
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// Stores `snapshot` under `key` and gives it back. A cache that cannot be written is a warning: the snapshot is there without it.
    pub async fn store(&self, key: &CacheKey, snapshot: OpenSnapshot) -> OpenSnapshot {
        let (dir, name) = (self.dir.clone(), key.file_name());
        let shared = std::sync::Arc::new(snapshot);
        let writing = std::sync::Arc::clone(&shared);
        let write = move || {
            let own = crate::own::directory(&dir, OWN).map_err(|error| failed("write index cache", &dir, error));
            let written = own.and_then(|own| write_entry(&own, &name, &writing).and_then(|()| evict(&own, &name)));
            if let Err(error) = written {
                tracing::warn!("{error}: the next opening reads the repository again");
            }
        };
        let _ = tokio::task::spawn_blocking(write).await;
        std::sync::Arc::try_unwrap(shared).unwrap_or_else(|shared| (*shared).clone())
    }
}

fn read_entry(own: &Path, name: &str) -> Result<OpenSnapshot> {
    let path = &own.join(name);
    let damaged =
        |reason: &str| RepositoryError::new(ErrorKind::Damaged, "use index cache", path.display().to_string(), reason);
    let io = |error: std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
        RepositoryError { kind, ..failed("use index cache", path, error) }
    };
    // What somebody else could have put there would be believed.
    crate::own::check(own).map_err(io)?;
    let mut file = fs::OpenOptions::new().read(true).custom_flags(libc_nofollow()).open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut header = [0; HEADER];
    file.read_exact(&mut header).map_err(|_| damaged("it breaks off within its header"))?;
    let (magic, rest) = header.split_at(8);
    let (version, rest) = rest.split_at(4);
    let (length, digest) = rest.split_at(8);
    if magic != MAGIC || version != VERSION.to_le_bytes() {
        return Err(damaged("another version wrote it"));
    }
    if size.checked_sub(HEADER as u64).map(u64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice) != Some(length) {
        return Err(damaged("its length is wrong"));
    }
    let mut body = Vec::new();
    file.take(size).read_to_end(&mut body).map_err(io)?;
    if crate::md5::of(&body).0 != digest {
        return Err(damaged("its checksum is wrong"));
    }
    encoding(body.len() as u64).deserialize(&body).map_err(|error| damaged(&error.to_string()))
}

/// Opening must not follow a planted link.
fn libc_nofollow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits() as i32
}

fn write_entry(dir: &Path, name: &str, snapshot: &OpenSnapshot) -> Result<()> {
    let body = encoding(MOST_BYTES)
        .serialize(snapshot)
        .map_err(|error| failed("write index cache", dir, std::io::Error::other(error)))?;
    // Two processes may write the same entry: each has its own temporary file, and either result is right.
    let part = dir.join(format!("{name}.{}.part", std::process::id()));
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&part);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        let mut out = BufWriter::new(file);
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&(body.len() as u64).to_le_bytes())?;
        out.write_all(&crate::md5::of(&body).0)?;
        out.write_all(&body)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        fs::rename(&part, dir.join(name))
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&part);
        failed("write index cache", &part, error)
    })
}

/// Removes the oldest entries beyond the bounds, never `keep`; and what killed writers left.
fn evict(dir: &Path, keep: &str) -> Result<()> {
    let hour_ago = SystemTime::now() - std::time::Duration::from_secs(3600);
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed("list", dir, error))?.flatten() {
        let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let is = |suffix: &str| path.extension().is_some_and(|found| found == suffix);
        if is("part") && modified < hour_ago {
            let _ = fs::remove_file(&path);
        } else if is(SUFFIX) && entry.file_name() != keep {
            entries.push((modified, metadata.len(), path));
        }
    }
    entries.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
    let kept = File::open(dir.join(keep)).and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len());
    let (mut count, mut bytes) = (1, kept);
    for (_, size, path) in entries {
        count += 1;
        bytes += size;
        if count > MOST_ENTRIES || bytes > MOST_BYTES {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}
