//! A file written under a temporary name and renamed. HDFS shows a file from its first byte on, and the client gives up a file when a
//! DataNode dies at the wrong moment; so short files are held in memory and written again, and longer ones are for the caller to write
//! again: see [`Storage::write_attempts`](crate::storage::Storage::write_attempts).

use super::HdfsStorage;
use super::cluster::{Cluster, Progress};
use super::refusal::{Again, Refusal};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::limiter::Limiter;
use crate::storage::Writer;
use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, WriteOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// Held in memory, to be written again when it fails.
pub(super) const HELD: u64 = 4 << 20;
/// How often DataNodes are looked for that take what is held.
const PLACEMENTS: u32 = 24;
/// From this attempt on a file is first written to one DataNode alone, and HDFS makes its copies later. The client blames the wrong DataNode
/// when one of several is dead, so where there are no more DataNodes than copies, no number of attempts helps.
const ALONE: u32 = 4;
/// Handed to the client at a time, less where there is a limit: each has its deadline.
const PIECE: u64 = 1 << 20;

pub(super) struct HdfsWriter {
    store: HdfsStorage,
    path: String,
    held: Vec<Bytes>,
    len: u64,
    state: State,
}

enum State {
    /// Everything is in `held`.
    Held,
    Open(Part),
    /// An earlier write failed, or all is done.
    Over,
}

/// A file under its temporary name, which is removed when it does not come to its final one.
struct Part {
    cluster: Arc<Cluster>,
    /// How fast bytes may leave.
    limiter: Option<Arc<Limiter>>,
    path: String,
    file: Option<Box<FileWriter>>,
    /// How many copies it is to have, where it is written to one DataNode first.
    copies: Option<u32>,
    placed: bool,
}

impl HdfsWriter {
    pub(super) fn new(store: HdfsStorage, path: &str) -> HdfsWriter {
        HdfsWriter { store, path: path.to_owned(), held: Vec::new(), len: 0, state: State::Held }
    }

    fn failed(&self, refusal: Refusal) -> RepositoryError {
        refusal.on("write", &self.path)
    }

    /// Starts the file with what is held.
    async fn begin(&self, attempt: u32) -> Result<Part, Refusal> {
        let (dir, _) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let name = crate::storage::path::temporary();
        let full = self.store.full(&if dir.is_empty() { name } else { format!("{dir}/{name}") });
        let mut part = Part::create(&self.store, full).await?;
        if attempt >= ALONE {
            part.alone().await?;
        }
        for bytes in &self.held {
            part.write(bytes.clone()).await?;
        }
        Ok(part)
    }

    /// Everything that is held, from the beginning to the end.
    async fn whole(&self, attempt: u32) -> Result<(), Refusal> {
        let part = self.begin(attempt).await?;
        part.finish(&self.store, &self.path, self.len).await
    }

    /// Does what is held over when it fails: a NameNode may go on placing blocks on a DataNode that died minutes ago, so a small cluster
    /// needs many attempts, each of which fails at once. Where all that was in vain, the next file has one attempt: otherwise whoever writes
    /// many files, or one from its beginning again, waits as long for each.
    async fn again<T, F: Future<Output = Result<T, Refusal>>>(&self, work: impl Fn(u32) -> F) -> Result<T, Refusal> {
        let patience = self.store.cluster().patience().await?;
        let unplaced = &self.store.0.unplaced;
        let most = if unplaced.load(Ordering::Relaxed) { 1 } else { PLACEMENTS };
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            match work(attempt).await {
                Err(refusal) if refusal.again == Again::Never => return Err(refusal),
                Err(refusal) if attempt < most && begun.elapsed() < patience.whole() => {
                    tracing::debug!("attempt {attempt} to write {}: {}", self.path, refusal.reason);
                    tokio::time::sleep(patience.pause(1)).await;
                    attempt += 1;
                }
                done => {
                    unplaced.store(done.is_err(), Ordering::Relaxed);
                    return done;
                }
            }
        }
    }
}

#[async_trait]
impl Writer for HdfsWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let len = bytes.len();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => Err(over(&self.path)),
            State::Open(mut part) => {
                part.write(bytes).await.map_err(|refusal| self.failed(refusal))?;
                self.state = State::Open(part);
                self.len += len as u64;
                Ok(())
            }
            State::Held => {
                self.held.push(bytes);
                self.len += len as u64;
                self.state = if self.len <= HELD {
                    State::Held
                } else {
                    let part =
                        self.again(|attempt| self.begin(attempt)).await.map_err(|refusal| self.failed(refusal))?;
                    self.held = Vec::new();
                    State::Open(part)
                };
                Ok(())
            }
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let done = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return Err(over(&self.path)),
            State::Open(part) => part.finish(&self.store, &self.path, self.len).await,
            State::Held => self.again(|attempt| self.whole(attempt)).await,
        };
        done.map_err(|refusal| self.failed(refusal))
    }
}

fn over(path: &str) -> RepositoryError {
    RepositoryError::new(ErrorKind::Invalid, "write", path, "an earlier write of it failed")
}

impl Part {
    async fn create(store: &HdfsStorage, path: String) -> Result<Part, Refusal> {
        let cluster = store.cluster();
        let config = cluster.config().await?;
        // Nobody else has the name: what stands there is of an attempt whose answer was lost.
        let mut options = WriteOptions::default().overwrite(true).permission(0o666 & !config.umask());
        if let Some(replication) = config.number("dfs.replication", 512)?.and_then(|n| u32::try_from(n).ok()) {
            options = options.replication(replication);
        }
        if let Some(size) = config.size("dfs.blocksize")? {
            options = options.block_size(size);
        }
        // From here on there may be a file: dropped, this removes it.
        let (cluster, limiter) = (Arc::clone(cluster), store.1.clone());
        let mut part = Part { cluster, limiter, path, file: None, copies: None, placed: false };
        let created = part.cluster.call(|client, _| {
            let (path, options) = (part.path.clone(), options.clone());
            async move { client.create(&path, options).await.map(Box::new) }
        });
        part.file = Some(created.await?);
        Ok(part)
    }

    /// Has what follows written to one DataNode.
    async fn alone(&mut self) -> Result<(), Refusal> {
        let status = self.cluster.call(|client, _| {
            let path = self.path.clone();
            async move { client.get_file_info(&path).await }
        });
        let Some(copies) = status.await?.replication.filter(|copies| *copies > 1) else { return Ok(()) };
        self.replicate(1).await?;
        self.copies = Some(copies);
        Ok(())
    }

    async fn replicate(&self, copies: u32) -> Result<(), Refusal> {
        let setting = self.cluster.call(|client, _| {
            let path = self.path.clone();
            async move { client.set_replication(&path, copies).await }
        });
        setting.await.map(drop)
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Refusal> {
        let step = self.cluster.patience().await?.step();
        let most = self.limiter.as_ref().map_or(PIECE, |limiter| limiter.piece().min(PIECE)) as usize;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(most));
            if let Some(limiter) = &self.limiter {
                limiter.wait(piece.len() as u64).await;
            }
            let mut file = self
                .file
                .take()
                .ok_or_else(|| Refusal::new(ErrorKind::Invalid, "an earlier write of it failed", ""))?;
            let writing = async move { file.write_bytes(piece).await.map(|_| file) };
            self.file = Some(self.cluster.run(step, &Progress::default(), writing).await.map_err(broken)?);
        }
        Ok(())
    }

    async fn finish(mut self, store: &HdfsStorage, path: &str, len: u64) -> Result<(), Refusal> {
        let step = self.cluster.patience().await?.step();
        let mut file =
            self.file.take().ok_or_else(|| Refusal::new(ErrorKind::Invalid, "an earlier write of it failed", ""))?;
        let closing = async move { file.close().await };
        self.cluster.run(step, &Progress::default(), closing).await.map_err(broken)?;
        if let Some(copies) = self.copies {
            self.replicate(copies).await?;
        }
        store.place(&self.path, path, len).await?;
        self.placed = true;
        Ok(())
    }
}

/// Whatever a file broke over, the next one may fare better: other DataNodes are chosen for it.
fn broken(refusal: Refusal) -> Refusal {
    match refusal.kind {
        ErrorKind::PermissionDenied | ErrorKind::Io => refusal,
        _ => {
            let reason = format!("a block could not be written: {}", refusal.reason);
            let advice = "check that NameNode and DataNodes are up, have room, and can be reached from here (`dfs.client.use.datanode.hostname` = true uses their names)";
            Refusal { again: Again::Same, ..Refusal::unavailable(reason, advice) }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        let (cluster, path) = (Arc::clone(&self.cluster), std::mem::take(&mut self.path));
        if let Some(handle) = Arc::clone(&cluster).handle() {
            let file = self.file.take();
            handle.spawn(async move {
                drop(file);
                let remove = |client: Client, _| {
                    let path = path.clone();
                    async move { client.delete(&path, false).await }
                };
                // Nobody is left to tell; StarRocks passes over such a name, and whoever takes up the label removes it.
                let _ = cluster.once(&remove).await;
            });
        }
    }
}
