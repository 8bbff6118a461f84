//! One open file.

use super::ahead::Ahead;
use super::check::Check;
use super::disk::{DiskCache, Fresh};
use super::pool::{Block, Extent, Found, Landing, Leader, Permit, block_of, stretches};
use super::{Access, BLOCK, FileKey, Result, Shared, StoredFile};
use crate::error::{ErrorKind, RepositoryError};
use crate::storage::Storage;
use bytes::{Bytes, BytesMut};
use futures::future::{join_all, try_join_all};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// Longer reads are made in steps of this many bytes, so that a reader needs little memory at once.
const STEP: u64 = 1 << 20;
/// Blocks marked at a time as the first to go, at most.
const MOST_BEHIND: u64 = 256;
/// How often blocks are asked for again when those who were fetching them went away.
const MOST_TRIES: usize = 8;

/// Reads a file of the store. What was started ahead of it ends when it is dropped.
#[derive(Debug)]
pub struct FileReader {
    blocks: Arc<Blocks>,
    access: Access,
    ahead: Mutex<Ahead>,
    /// Counted among those who read in sequence.
    counted: AtomicU64,
    /// Blocks before this were marked as the first to go.
    behind: AtomicU64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    check: Option<Arc<Check>>,
}

/// The blocks of a file, wherever they are.
#[derive(Debug)]
pub(super) struct Blocks {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    path: String,
    pub size: u64,
    key: FileKey,
    /// Whether they may be taken from disk, and kept there.
    on_disk: OnDisk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDisk {
    No,
    /// What others have kept there.
    Taken,
    Kept,
}

impl FileReader {
    pub(super) fn new(
        shared: Arc<Shared>,
        storage: Arc<dyn Storage>,
        file: StoredFile,
        key: FileKey,
        access: Access,
    ) -> FileReader {
        let check = file.md5.filter(|_| access == Access::Checked && file.size > 0);
        let check = check.map(|md5| Arc::new(Check::new(md5)));
        let on_disk = match access {
            _ if file.md5.is_none() => OnDisk::No,
            Access::Own => OnDisk::No,
            Access::Once => OnDisk::Taken,
            Access::Any | Access::Checked => OnDisk::Kept,
        };
        let blocks = Arc::new(Blocks { shared, storage, path: file.path, size: file.size, key, on_disk });
        FileReader {
            ahead: Mutex::new(Ahead::new(blocks.size, access == Access::Once)),
            blocks,
            access,
            counted: AtomicU64::new(0),
            behind: AtomicU64::new(0),
            tasks: Mutex::default(),
            check,
        }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.blocks.size
    }

    /// Path from the store's root.
    pub fn path(&self) -> &str {
        &self.blocks.path
    }

    /// Bytes `range`, exactly. `Damaged` when the file is shorter, or when this completes a checked file whose md5 is wrong; `Invalid` for
    /// a range beyond the size it was opened with; `Unavailable` when it takes longer than patience lasts.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.patiently(self.read_now(range)).await
    }

    /// As [`FileReader::read`], into `buf`.
    pub async fn read_into(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut at = offset;
        for step in buf.chunks_mut(STEP as usize) {
            let range = self.range(at, step.len() as u64)?;
            self.go_ahead(&range);
            let pieces = self.patiently(self.pieces(&range)).await?;
            let mut rest = &mut *step;
            for piece in &pieces {
                let Some((now, later)) = rest.split_at_mut_checked(piece.len()) else { break };
                now.copy_from_slice(piece);
                rest = later;
            }
            at = range.end;
        }
        Ok(())
    }

    /// Drops all that is kept of it.
    pub(super) async fn forget(&self) {
        self.blocks.forget().await;
    }

    /// True once the bytes turned out not to be those of the md5.
    pub fn damaged(&self) -> bool {
        self.check.as_ref().is_some_and(|check| check.failed())
    }

    fn range(&self, offset: u64, length: u64) -> Result<Range<u64>> {
        match offset.checked_add(length).filter(|end| *end <= self.blocks.size) {
            Some(end) => Ok(offset..end),
            None => {
                let reason = format!("it has {} bytes, {length} were asked for at {offset}", self.blocks.size);
                Err(RepositoryError::new(ErrorKind::Invalid, "read", &self.blocks.path, reason))
            }
        }
    }

    async fn patiently<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let patience = self.blocks.shared.patience;
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
            let reason = format!("it took longer than {patience:?}");
            Err(RepositoryError::new(ErrorKind::Unavailable, "read", &self.blocks.path, reason)
                .advise("check the network and the store; try again"))
        })
    }

    async fn read_now(&self, range: Range<u64>) -> Result<Bytes> {
        let range = self.range(range.start, range.end.saturating_sub(range.start))?;
        let mut whole = BytesMut::new();
        let mut at = range.start;
        while at < range.end {
            let step = at..range.end.min(at + STEP);
            // Before anything is waited for: what is fetched ahead goes by the order in which readers ask.
            self.go_ahead(&step);
            if let Some(check) = &self.check {
                check.room(self.blocks.shared.pool.limit()).await;
            }
            let pieces = self.pieces(&step).await?;
            let complete = self.check.as_ref().filter(|check| check.saw(&self.blocks, at, &pieces));
            if step == range && complete.is_none() {
                return Ok(joined(pieces));
            }
            pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
            drop(pieces);
            if let Some(check) = complete {
                self.see_it_right(check).await?;
            }
            at = step.end;
        }
        Ok(whole.freeze())
    }

    /// An error unless the file's md5 is right.
    async fn see_it_right(&self, check: &Arc<Check>) -> Result<()> {
        if check.right(&self.blocks).await.map_err(|error| again(&error))? {
            return Ok(());
        }
        self.no_more_ahead().await;
        self.blocks.forget().await;
        let reason = "it was read from start to end, and its md5 is not the one in its name";
        Err(RepositoryError::new(ErrorKind::Damaged, "read", &self.blocks.path, reason)
            .advise("what was kept of it was dropped: read it once more; if that fails too it is damaged: take it from another backup or replica"))
    }

    /// Ends what was started ahead, and waits until it has ended.
    async fn no_more_ahead(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(JoinHandle::abort);
        // Each ends with an error, or as it would have without us.
        join_all(tasks).await;
    }

    /// Bytes of a range, in pieces.
    async fn pieces(&self, range: &Range<u64>) -> Result<Vec<Bytes>> {
        let pieces = self.blocks.pieces(range).await?;
        let behind = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).behind(range);
        // What is yet to come into the digest, or is asked for by one who waits for that, must not be fetched again.
        let needed = self.check.as_ref().map_or(u64::MAX, |check| check.needed());
        if let Some(end) = behind.map(|end| end.min(needed / BLOCK)) {
            // Those before were marked already, unless the reader jumped.
            let marked = self.behind.swap(end, Ordering::Relaxed);
            let start = match (end.saturating_sub(MOST_BEHIND)..=end).contains(&marked) {
                true => marked,
                false => end.saturating_sub(2 * (range.end - range.start).div_ceil(BLOCK) + 8),
            };
            let pool = &self.blocks.shared.pool;
            match self.access {
                Access::Once => pool.forget(self.blocks.key, start..end),
                _ => pool.demote(self.blocks.key, start..end),
            }
        }
        Ok(pieces)
    }

    /// Fetches ahead what comes after `range`, which is read now.
    fn go_ahead(&self, range: &Range<u64>) {
        let shared = &self.blocks.shared;
        let (due, sequential) = {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            (ahead.read(range, shared.farthest(), shared.request()), ahead.is_sequential())
        };
        if sequential && self.counted.swap(1, Ordering::Relaxed) == 0 {
            shared.sequential.fetch_add(1, Ordering::Relaxed);
        }
        if due.is_empty() {
            return;
        }
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        for range in due {
            let blocks = self.blocks.clone();
            // Now rather than when the task is run, by when a reader may have begun with a part of it.
            tasks.push(match shared.slots.clone().try_acquire_owned() {
                Ok(slot) => match blocks.claim_ahead(&range) {
                    Some(claimed) => tokio::spawn(blocks.fetch_ahead(claimed, slot)),
                    None => continue,
                },
                Err(_) => tokio::spawn(blocks.fetch_ahead_in_turn(range)),
            });
        }
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(JoinHandle::abort);
        if let Some(check) = &self.check {
            check.close();
        }
        if *self.counted.get_mut() > 0 {
            self.blocks.shared.sequential.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}

/// The same error for another who waited for it.
fn again(error: &Arc<RepositoryError>) -> RepositoryError {
    RepositoryError::new(error.kind, error.action, &error.object, &error.reason)
        .advise(error.advice)
        .caused_by(error.clone())
}

impl Blocks {
    /// Bytes that `blocks` have.
    fn bytes_of(&self, blocks: &Range<u64>) -> u64 {
        let end = blocks.end.saturating_mul(BLOCK).min(self.size);
        end.saturating_sub(blocks.start.saturating_mul(BLOCK))
    }

    /// Bytes of a range that is not longer than a few blocks and lies within the file, in pieces.
    pub async fn pieces(self: &Arc<Self>, range: &Range<u64>) -> Result<Vec<Bytes>> {
        let numbers = range.start / BLOCK..range.end.div_ceil(BLOCK);
        let pieces = stretches(self.obtain(numbers).await?, range);
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if length != range.end - range.start {
            return Err(self.short(&format!("{length} bytes came instead of {}", range.end - range.start)));
        }
        Ok(pieces)
    }

    /// Bytes of a range, if all of it is in memory. That does not count as use.
    pub fn kept(&self, range: &Range<u64>) -> Option<Vec<Bytes>> {
        let blocks = self.shared.pool.seen(self.key, range.start / BLOCK..range.end.div_ceil(BLOCK))?;
        let pieces = stretches(blocks, range);
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        (length == range.end - range.start).then_some(pieces)
    }

    /// The cache on disk, if blocks of the file may be there.
    fn disk(&self) -> Option<&DiskCache> {
        self.shared.disk.as_ref().filter(|_| self.on_disk != OnDisk::No)
    }

    /// The cache on disk, if the file is to be kept there.
    fn kept_on_disk(&self) -> Option<&DiskCache> {
        self.disk().filter(|_| self.on_disk == OnDisk::Kept)
    }

    fn short(&self, reason: &str) -> RepositoryError {
        RepositoryError::new(ErrorKind::Unavailable, "read", &self.path, reason).advise("try again")
    }

    /// The blocks, kept already or fetched now.
    async fn obtain(self: &Arc<Self>, blocks: Range<u64>) -> Result<Vec<Block>> {
        let pool = &self.shared.pool;
        let mut failure = None;
        for _ in 0..MOST_TRIES {
            if let Some(all) = pool.all(self.key, blocks.clone()) {
                return Ok(all);
            }
            // All that may be missing is reserved before anything is held: nobody waits for memory with some in his hands.
            let mut reserved = pool.reserve(self.bytes_of(&blocks)).await;
            let found = pool.claim(self.key, blocks.clone(), self.shared.request() / BLOCK);
            let mut works = Vec::with_capacity(found.len());
            for found in found {
                let permit = match &found {
                    Found::Mine(leader) => Some(reserved.split(self.bytes_of(&leader.run()))),
                    _ => None,
                };
                works.push(self.complete(found, permit));
            }
            drop(reserved);
            let mut all = Vec::with_capacity((blocks.end - blocks.start) as usize);
            let mut incomplete = false;
            for done in join_all(works).await {
                match done {
                    Ok(Some(some)) => all.extend(some),
                    Ok(None) => incomplete = true,
                    // Once more by ourselves: what was fetched ahead may have been more than is there.
                    Err((error, true)) => {
                        incomplete = true;
                        failure = Some(error);
                    }
                    Err((error, false)) => return Err(again(&error)),
                }
            }
            if !incomplete {
                return Ok(all);
            }
        }
        Err(failure.map_or_else(|| self.short("others who were reading it gave up"), |error| again(&error)))
    }

    /// The blocks of one finding; none where who fetched them gave up. An error says whether it was met ahead of any reader.
    async fn complete(
        self: &Arc<Self>,
        found: Found,
        permit: Option<Permit>,
    ) -> Result<Option<Vec<Block>>, (Arc<RepositoryError>, bool)> {
        match (found, permit) {
            (Found::Here(block), _) => Ok(Some(vec![block])),
            (Found::Flying(number, flight), _) => match flight.landing().await {
                Landing::Landed(extent) => Ok(Some(vec![block_of(&extent, number)])),
                Landing::Failed { error, ahead } => Err((error, ahead)),
                Landing::GivenUp | Landing::Flying => Ok(None),
            },
            (Found::Mine(leader), Some(permit)) => {
                let run = leader.run();
                let (extent, fresh) = self.fetch(leader, permit, false).await.map_err(|error| (error, false))?;
                if let Some(disk) = self.kept_on_disk() {
                    disk.store_later(self.key, Fresh { parts: fresh, _extent: extent.clone() });
                }
                Ok(Some(run.map(|number| block_of(&extent, number)).collect()))
            }
            (Found::Mine(_), None) => Ok(None),
        }
    }

    /// What is missing of a range, to be fetched without anybody waiting for it; nothing where that would take memory from those who wait.
    fn claim_ahead(&self, range: &Range<u64>) -> Option<Vec<(Leader, Permit)>> {
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        let mut reserved = self.shared.pool.try_reserve(self.bytes_of(&blocks))?;
        let found = self.shared.pool.claim(self.key, blocks, self.shared.request() / BLOCK);
        let mine = found.into_iter().filter_map(|found| match found {
            Found::Mine(leader) => Some(leader),
            Found::Here(_) | Found::Flying(..) => None,
        });
        let claimed = mine.map(|leader| {
            let permit = reserved.split(self.bytes_of(&leader.run()));
            (leader, permit)
        });
        Some(claimed.collect())
    }

    /// As [`Blocks::fetch_ahead`], once others have ended with theirs.
    async fn fetch_ahead_in_turn(self: Arc<Self>, range: Range<u64>) {
        let Ok(slot) = self.shared.slots.clone().acquire_owned().await else { return };
        if let Some(claimed) = self.claim_ahead(&range) {
            self.fetch_ahead(claimed, slot).await;
        }
    }

    /// Fetches what was claimed.
    async fn fetch_ahead(self: Arc<Self>, claimed: Vec<(Leader, Permit)>, _slot: OwnedSemaphorePermit) {
        let works = claimed.into_iter().map(|(leader, permit)| self.fetch(leader, permit, true));
        for (extent, parts) in join_all(works).await.into_iter().flatten() {
            if let Some(disk) = self.kept_on_disk() {
                disk.store(self.key, Fresh { parts, _extent: extent }).await;
            }
        }
    }

    /// Fetches a run of blocks, from disk where they are there. Returns them, and which of them came from the store.
    async fn fetch(
        &self,
        leader: Leader,
        permit: Permit,
        ahead: bool,
    ) -> Result<(Arc<Extent>, Vec<(u64, Bytes)>), Arc<RepositoryError>> {
        match self.bring(leader.run()).await {
            Ok((parts, fresh)) => {
                let extent = Arc::new(Extent::new(parts, permit));
                leader.land(extent.clone());
                Ok((extent, fresh))
            }
            Err(error) => {
                let error = Arc::new(error);
                leader.fail(error.clone(), ahead);
                Err(error)
            }
        }
    }

    #[allow(clippy::type_complexity)]
    async fn bring(&self, run: Range<u64>) -> Result<(Vec<(u64, Bytes)>, Vec<(u64, Bytes)>)> {
        let mut parts = Vec::new();
        if let Some(disk) = self.disk() {
            parts = disk.load(self.key, run.clone(), self.size).await;
            self.shared.from_disk.fetch_add(parts.len() as u64, Ordering::Relaxed);
        }
        let mut missing = Vec::new();
        let mut at = run.start;
        for (number, _) in &parts {
            missing.extend((at < *number).then_some(at..*number));
            at = number + 1;
        }
        missing.extend((at < run.end).then_some(at..run.end));
        let reads = missing.into_iter().map(|run| async move {
            let start = run.start * BLOCK;
            let range = start..start + self.bytes_of(&run);
            let bytes = self.storage.read(&self.path, range.clone()).await?;
            if bytes.len() as u64 != range.end - range.start {
                return Err(self.short(&format!("{} bytes came instead of {}", bytes.len(), range.end - range.start)));
            }
            Ok((run.start, bytes))
        });
        let fresh = try_join_all(reads).await?;
        let came: usize = fresh.iter().map(|(_, bytes)| bytes.len()).sum();
        self.shared.fetched.fetch_add(came as u64, Ordering::Relaxed);
        parts.extend(fresh.iter().cloned());
        parts.sort_unstable_by_key(|(first, _)| *first);
        Ok((parts, fresh))
    }

    /// Drops all of the file from memory and disk.
    async fn forget(&self) {
        let blocks = 0..self.size.div_ceil(BLOCK);
        self.shared.pool.forget(self.key, blocks.clone());
        if let Some(disk) = self.disk() {
            disk.forget(self.key, blocks).await;
        }
    }
}
