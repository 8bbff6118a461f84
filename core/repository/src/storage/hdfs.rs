//! HDFS, by a client in Rust. What that client leaves to its users is in the files below this one: deadlines and retries in [`cluster`] and
//! [`patience`], Hadoop's configuration files in [`config`], keytabs that are looked into in [`keytab`], NameNodes that are asked what authentication
//! they want in [`probe`] and how well they guard connections in [`protection`], words for what went wrong in [`refusal`], files written whole or not at all in [`writer`].

mod cluster;
mod config;
mod keytab;
mod patience;
mod probe;
mod protection;
mod readers;
mod refusal;
mod writer;

use super::path::{check, check_file, range_len, too_large, too_short};
use super::{Entry, EntryKind, Storage, Writer};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::limiter::Limiter;
use crate::location::HdfsLocation;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cluster::{Cluster, Progress};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hdfs_native::HdfsError;
use hdfs_native::client::FileStatus;
use hdfs_native::file::FileReader;
use readers::{Readers, Slot};
use refusal::{Again, Refusal};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use writer::HdfsWriter;

/// Directories listed side by side.
const LISTS_AT_ONCE: usize = 16;
/// Directories nested deeper are reported as [`EntryKind::Other`] and not entered; a repository nests ten deep.
const MAX_DEPTH: usize = 32;
/// More files than any repository has: what is listed is held in memory.
const MAX_ENTRIES: usize = 20_000_000;
/// The client asks the NameNode whether a file is complete, and then only half a second later; so files that are written one after another
/// mostly wait. 229 small ones took 78 s one by one, 19 s by four, and 4 s by so many.
const WRITERS: usize = 16;
/// How often a transfer is tried from its beginning, with a file opened anew.
const TRANSFERS: u32 = 4;
/// Room made at once for a read; more as bytes come, as the length that was asked for may be any.
const MAX_ROOM: u64 = 64 << 20;
/// How much is read at a time when a file is copied.
const COPY_BLOCK: u64 = 8 << 20;

/// A directory in HDFS, and what holds back that which is sent there.
#[derive(Clone)]
pub(crate) struct HdfsStorage(Arc<Shared>, Option<Arc<Limiter>>);

struct Shared {
    cluster: Arc<Cluster>,
    /// Absolute, without a slash at its end; empty for the root.
    root: String,
    url: String,
    readers: Readers,
    /// Whether the root is made when it is not there.
    make: bool,
    /// No DataNode could be had for the last file that was tried for long enough.
    unplaced: AtomicBool,
}

impl std::fmt::Debug for HdfsStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HdfsStorage({})", self.0.url)
    }
}

impl HdfsStorage {
    /// The store at `location`. Nothing is read or asked yet; with `make` its directory is made when it is first looked at and missing.
    pub(crate) fn open(location: &HdfsLocation, make: bool) -> Result<HdfsStorage> {
        let url = location.url();
        let cluster = Cluster::new(location).map_err(|error| {
            RepositoryError::new(ErrorKind::Io, "use location", url.clone(), error.to_string()).caused_by(error)
        })?;
        let root = if location.root.is_empty() { String::new() } else { format!("/{}", location.root) };
        let (cluster, unplaced) = (Arc::new(cluster), AtomicBool::new(false));
        Ok(HdfsStorage(Arc::new(Shared { cluster, root, url, readers: Readers::default(), make, unplaced }), None))
    }

    fn cluster(&self) -> &Arc<Cluster> {
        &self.0.cluster
    }

    /// A checked path as HDFS knows it.
    fn full(&self, path: &str) -> String {
        match (self.0.root.as_str(), path) {
            ("", "") => "/".to_owned(),
            (root, "") => root.to_owned(),
            (root, path) => format!("{root}/{path}"),
        }
    }

    /// Makes the root where it is missing and may be made. Whether it did.
    async fn made(&self, path: &str, refusal: &Refusal) -> Result<bool, Refusal> {
        if !self.0.make || !path.is_empty() || refusal.kind != ErrorKind::NotFound {
            return Ok(false);
        }
        let (root, mode) = (self.full(""), 0o777 & !self.cluster().config().await?.umask());
        let making = self.cluster().call(|client, _| {
            let root = root.clone();
            async move { client.mkdirs(&root, mode, true).await }
        });
        making.await.map(|()| true)
    }

    async fn status(&self, path: &str) -> Result<FileStatus, Refusal> {
        match self.found(path).await {
            Err(refusal) if self.made(path, &refusal).await? => self.found(path).await,
            found => found,
        }
    }

    async fn found(&self, path: &str) -> Result<FileStatus, Refusal> {
        let full = self.full(path);
        self.cluster()
            .call(|client, _| {
                let full = full.clone();
                async move { client.get_file_info(&full).await }
            })
            .await
    }

    async fn entries(&self, dir: &str) -> Result<Vec<Entry>, Refusal> {
        match self.listed(dir).await {
            Err(refusal) if self.made(dir, &refusal).await? => Ok(Vec::new()),
            listed => listed,
        }
    }

    async fn listed(&self, dir: &str) -> Result<Vec<Entry>, Refusal> {
        let full = self.full(dir);
        let listed: Vec<FileStatus> = self
            .cluster()
            .call(|client, progress: Progress| {
                let full = full.clone();
                async move {
                    let pages = client.list_status_iter(&full, false);
                    let mut listed = Vec::new();
                    while let Some(status) = pages.next().await {
                        progress.made();
                        listed.push(status?);
                        if listed.len() > MAX_ENTRIES {
                            return Err(HdfsError::UnsupportedFeature("the directory holds too many files".to_owned()));
                        }
                    }
                    Ok(listed)
                }
            })
            .await?;
        // A file's listing is the file itself.
        if let [alone] = listed.as_slice()
            && !alone.isdir
            && alone.path.trim_end_matches('/') == full
        {
            return Err(Refusal::new(ErrorKind::NotFound, "a file stands where a directory should be", ""));
        }
        let below = |status: FileStatus| {
            let name = status.path.strip_prefix(full.as_str()).unwrap_or(&status.path).trim_start_matches('/');
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            let plain = !name.contains('/') && check_file("list", &path).is_ok();
            let entry = entry_of(path, &status);
            if plain { entry } else { Entry { kind: EntryKind::Other, ..entry } }
        };
        Ok(listed.into_iter().map(below).collect())
    }

    /// The file opened, or as it was opened before.
    async fn opened(&self, path: &str) -> Result<(Arc<Slot>, Arc<FileReader>), Refusal> {
        let slot = self.0.readers.slot(path);
        let full = self.full(path);
        let opening = || async {
            let reader = self.cluster().call(|client, _| {
                let full = full.clone();
                async move { client.read(&full).await }
            });
            reader.await.map(Arc::new)
        };
        let reader = Arc::clone(slot.reader.get_or_try_init(opening).await?);
        Ok((slot, reader))
    }

    /// Bytes `range`, in one stream that the client checks against the checksums of HDFS. What fails is tried again with the file opened
    /// anew, as its blocks may have moved and the tokens for them expired.
    async fn fetch(&self, path: &str, range: Range<u64>, len: usize) -> Result<Bytes> {
        let patience = self.cluster().patience().await.map_err(|refusal| refusal.on("read", path))?;
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            let (slot, reader) = self.opened(path).await.map_err(|refusal| refusal.on("read", path))?;
            let size = reader.file_length() as u64;
            if range.end > size {
                self.0.readers.forget_slot(path, &slot);
                // It may have been repaired since it was opened.
                let size = self.status(path).await.map_or(size, |status| status.length as u64);
                if range.end <= size && attempt == 1 {
                    attempt += 1;
                    continue;
                }
                return Err(too_short(path, size, &range));
            }
            if len == 0 {
                return Ok(Bytes::new());
            }
            let start = range.start as usize;
            let progress = Progress::default();
            let stream = transfer(reader, start, len, progress.clone());
            let failure = match self.cluster().run(patience.step(), &progress, stream).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => failure,
            };
            self.0.readers.forget_slot(path, &slot);
            let pause = patience.pause(attempt);
            if failure.again == Again::Never || attempt >= TRANSFERS || begun.elapsed() + pause >= patience.whole() {
                return Err(failure.on("read", path));
            }
            tracing::debug!("attempt {attempt} to read {path}: {}", failure.reason);
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Puts the finished file `part` under its name. A file that stands there is replaced in the same step, a directory never.
    async fn place(&self, part: &str, path: &str, len: u64) -> Result<(), Refusal> {
        let to = self.full(path);
        let renamed = self
            .cluster()
            .call(|client, _| {
                let (part, to) = (part.to_owned(), to.clone());
                async move { client.rename(&part, &to, true).await }
            })
            .await;
        self.0.readers.forget(path);
        match renamed {
            // Done before, when the answer was lost: then the file stands there.
            Err(refusal) if refusal.kind == ErrorKind::NotFound => match self.status(path).await {
                Ok(there) if !there.isdir && there.length as u64 == len => Ok(()),
                _ => Err(Refusal {
                    again: Again::Same,
                    ..Refusal::unavailable("the file was removed while it was written", "try again")
                }),
            },
            renamed => renamed,
        }
    }
}

async fn transfer(reader: Arc<FileReader>, start: usize, len: usize, progress: Progress) -> Result<Bytes, Refusal> {
    let mut stream = std::pin::pin!(reader.read_range_stream(start, len));
    let mut whole = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        progress.made();
        if whole.is_empty() && piece.len() == len {
            return Ok(piece);
        }
        if whole.len() + piece.len() > len {
            break;
        }
        if whole.is_empty() {
            whole.reserve(len.min(MAX_ROOM as usize));
        }
        whole.extend_from_slice(&piece);
    }
    if whole.len() == len {
        return Ok(whole.freeze());
    }
    Err(Refusal::unavailable(format!("{} bytes came instead of {len}", whole.len()), "look at `hdfs fsck PATH`"))
}

fn entry_of(path: String, status: &FileStatus) -> Entry {
    let kind = if status.isdir { EntryKind::Directory } else { EntryKind::File };
    let size = if status.isdir { 0 } else { status.length as u64 };
    let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(status.modification_time));
    Entry { path, kind, size, modified }
}

#[async_trait]
impl Storage for HdfsStorage {
    fn describe(&self) -> String {
        self.0.url.clone()
    }

    fn note(&self) -> Option<String> {
        self.cluster().note()
    }

    fn limiting_uploads(&self, limiter: &Arc<Limiter>) -> Option<Arc<dyn Storage>> {
        Some(Arc::new(HdfsStorage(Arc::clone(&self.0), Some(Arc::clone(limiter)))))
    }

    async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        check("list", dir)?;
        self.entries(dir).await.map_err(|refusal| refusal.on("list", dir))
    }

    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>> {
        check("list", dir)?;
        let mut waiting = vec![(dir.to_owned(), 0)];
        let mut running = FuturesUnordered::new();
        let mut found = Vec::new();
        loop {
            while running.len() < LISTS_AT_ONCE
                && let Some((dir, depth)) = waiting.pop()
            {
                running.push(async move { (self.entries(&dir).await, dir, depth) });
            }
            let Some((listed, below, depth)) = running.next().await else { break };
            let listed = match listed {
                // Removed since it was listed.
                Err(refusal) if refusal.kind == ErrorKind::NotFound && depth > 0 => continue,
                listed => listed.map_err(|refusal| refusal.on("list", &below))?,
            };
            for entry in listed {
                match entry.kind {
                    EntryKind::Directory if depth < MAX_DEPTH => waiting.push((entry.path, depth + 1)),
                    EntryKind::Directory => found.push(Entry { kind: EntryKind::Other, ..entry }),
                    _ => found.push(entry),
                }
            }
            if found.len() + waiting.len() > MAX_ENTRIES {
                let reason = format!("more than {MAX_ENTRIES} files are below it");
                return Err(RepositoryError::new(ErrorKind::Unsupported, "list", dir, reason));
            }
        }
        Ok(found)
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        check("look at", path)?;
        let status = self.status(path).await.map_err(|refusal| refusal.on("look at", path))?;
        Ok(entry_of(path.to_owned(), &status))
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        check_file("read", path)?;
        let len = range_len(path, &range)?;
        self.fetch(path, range, len).await
    }

    async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
        check_file("read", path)?;
        let (_, reader) = self.opened(path).await.map_err(|refusal| refusal.on("read", path))?;
        let size = reader.file_length() as u64;
        if size > limit {
            return Err(too_large(path, size, limit));
        }
        self.read(path, 0..size).await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>> {
        check_file("write", path)?;
        // What stands in the way is said before all bytes have come.
        match self.status(path).await {
            Ok(there) if there.isdir => {
                return Err(RepositoryError::new(ErrorKind::Exists, "write", path, "a directory stands there"));
            }
            Ok(_) => {}
            Err(refusal) if refusal.kind == ErrorKind::NotFound => {}
            Err(refusal) => return Err(refusal.on("write", path)),
        }
        Ok(Box::new(HdfsWriter::new(self.clone(), path)))
    }

    /// HDFS does not copy: the bytes come and go.
    async fn copy(&self, from: &str, to: &str) -> Result<()> {
        check_file("copy", from)?;
        check_file("copy", to)?;
        let mut attempt = 1;
        loop {
            let error = match self.copy_once(from, to).await {
                Err(error) if error.kind == ErrorKind::Unavailable && attempt < TRANSFERS => error,
                done => return done,
            };
            tracing::debug!("attempt {attempt} to copy: {error}");
            attempt += 1;
        }
    }

    fn copies_cheaply(&self) -> bool {
        false
    }

    fn writers(&self) -> Option<usize> {
        Some(WRITERS)
    }

    /// The writer itself starts over with what it still holds.
    fn write_attempts(&self, size: u64) -> u32 {
        if size <= writer::HELD { 1 } else { TRANSFERS }
    }

    async fn delete(&self, path: &str) -> Result<()> {
        check_file("delete", path)?;
        let failed = |refusal: Refusal| refusal.on("delete", path);
        self.0.readers.forget(path);
        match self.status(path).await {
            // HDFS would remove it, were it empty.
            Ok(there) if there.isdir => {
                return Err(RepositoryError::new(ErrorKind::Invalid, "delete", path, "it is a directory"));
            }
            Ok(_) => {}
            Err(refusal) if refusal.kind == ErrorKind::NotFound => return Ok(()),
            Err(refusal) => return Err(failed(refusal)),
        }
        let full = self.full(path);
        let deleted = self.cluster().call(|client, _| {
            let full = full.clone();
            async move { client.delete(&full, false).await }
        });
        deleted.await.map(drop).map_err(failed)
    }

    async fn remove_directory(&self, path: &str) -> Result<bool> {
        check_file("delete directory", path)?;
        match self.list(path).await {
            Ok(entries) if entries.is_empty() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        }
        let full = self.full(path);
        // Not with what may have come into it since.
        let deleted = self.cluster().call(|client, _| {
            let full = full.clone();
            async move { client.delete(&full, false).await }
        });
        deleted.await.map_err(|refusal: Refusal| refusal.on("delete directory", path))
    }
}

impl HdfsStorage {
    async fn copy_once(&self, from: &str, to: &str) -> Result<()> {
        let source = self.stat(from).await.map_err(|error| RepositoryError { action: "copy", ..error })?;
        if source.kind != EntryKind::File {
            return Err(RepositoryError::new(ErrorKind::Invalid, "copy", from, "it is not a regular file"));
        }
        let mut writer = self.writer(to).await?;
        let mut at = 0;
        while at < source.size {
            let end = source.size.min(at + COPY_BLOCK);
            writer.write(self.read(from, at..end).await?).await?;
            at = end;
        }
        writer.finish().await
    }
}
