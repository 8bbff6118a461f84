//! Memory: what is kept, what is being fetched, and the budget for both.

use super::{BLOCK, BlockKey, FileKey};
use crate::error::RepositoryError;
use bytes::Bytes;
use lru::LruCache;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// The budget is counted in units of so many bytes.
const UNIT: u64 = 4096;

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// The right to hold so many bytes; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Option<OwnedSemaphorePermit>);

impl Permit {
    /// Takes the right to `bytes` out of this one, or all of it where that is less.
    pub fn split(&mut self, bytes: u64) -> Permit {
        let Some(whole) = &mut self.0 else { return Permit(None) };
        let wanted = units(bytes) as usize;
        if wanted >= whole.num_permits() {
            return Permit(self.0.take());
        }
        Permit(whole.split(wanted))
    }
}

/// Blocks that came together, and the right to hold them.
#[derive(Debug)]
pub(super) struct Extent {
    /// Each with its first block; in order, without gaps.
    parts: Vec<(u64, Bytes)>,
    permit: Permit,
}

impl Extent {
    pub fn new(parts: Vec<(u64, Bytes)>, permit: Permit) -> Extent {
        Extent { parts, permit }
    }

    /// Where a block is: which part, and its bytes there.
    fn place(&self, block: u64) -> Option<(usize, Range<usize>)> {
        let part = self.parts.partition_point(|(first, _)| *first <= block).checked_sub(1)?;
        let (first, bytes) = self.parts.get(part)?;
        let start = usize::try_from((block - first).checked_mul(BLOCK)?).ok()?;
        let end = bytes.len().min(start.saturating_add(BLOCK as usize));
        (start < end).then_some((part, start..end))
    }

    fn units(&self) -> usize {
        self.permit.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

/// One block of an extent, which it keeps.
#[derive(Debug, Clone)]
pub(super) struct Block {
    extent: Arc<Extent>,
    number: u64,
}

/// Bytes of neighbouring blocks that lie side by side in memory, which it keeps.
#[derive(Debug)]
pub(super) struct Stretch {
    extent: Arc<Extent>,
    part: usize,
    range: Range<usize>,
}

impl AsRef<[u8]> for Stretch {
    fn as_ref(&self) -> &[u8] {
        self.extent.parts.get(self.part).and_then(|(_, bytes)| bytes.get(self.range.clone())).unwrap_or_default()
    }
}

/// Bytes `range` of a file out of `blocks`, which are those of the range, in order. Fewer where the blocks have fewer.
pub(super) fn stretches(blocks: Vec<Block>, range: &Range<u64>) -> Vec<Bytes> {
    let mut found: Vec<Stretch> = Vec::with_capacity(2);
    for Block { extent, number } in blocks {
        let Some((part, bytes)) = extent.place(number) else { break };
        let base = number * BLOCK;
        let end = bytes.end.min(bytes.start + range.end.saturating_sub(base).min(BLOCK) as usize);
        let start = end.min(bytes.start + range.start.saturating_sub(base).min(BLOCK) as usize);
        match found.last_mut() {
            Some(last) if last.part == part && last.range.end == start && Arc::ptr_eq(&last.extent, &extent) => {
                last.range.end = end;
            }
            _ => found.push(Stretch { extent, part, range: start..end }),
        }
    }
    found.into_iter().map(Bytes::from_owner).collect()
}

/// How a fetch ended.
#[derive(Debug, Clone)]
pub(super) enum Landing {
    Flying,
    Landed(Arc<Extent>),
    /// `ahead`: it was fetched for nobody, and more than anybody asked for.
    Failed {
        error: Arc<RepositoryError>,
        ahead: bool,
    },
    /// Who fetched it went away.
    GivenUp,
}

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Flight(watch::Sender<Landing>);

impl Flight {
    /// Waits for its end, which is not [`Landing::Flying`].
    pub async fn landing(&self) -> Landing {
        let mut done = self.0.subscribe();
        let landed = done.wait_for(|landing| !matches!(landing, Landing::Flying)).await;
        landed.map_or(Landing::GivenUp, |landing| landing.clone())
    }
}

/// Who fetches a run of blocks. Dropped before it has landed, the fetch counts as given up.
#[derive(Debug)]
pub(super) struct Leader {
    pool: Arc<Pool>,
    file: FileKey,
    run: Range<u64>,
    flight: Arc<Flight>,
}

impl Leader {
    pub fn run(&self) -> Range<u64> {
        self.run.clone()
    }

    /// Keeps what came, and tells everybody who waits.
    pub fn land(self, extent: Arc<Extent>) {
        let mut state = self.pool.lock();
        for block in self.run.clone() {
            state.kept.put(BlockKey { file: self.file, block }, Block { extent: extent.clone(), number: block });
        }
        drop(state);
        self.flight.0.send_replace(Landing::Landed(extent));
        if self.pool.waiting.load(Ordering::SeqCst) > 0 {
            self.pool.landed.notify_waiters();
        }
    }

    /// Tells everybody who waits.
    pub fn fail(self, error: Arc<RepositoryError>, ahead: bool) {
        self.flight.0.send_replace(Landing::Failed { error, ahead });
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        for block in self.run.clone() {
            let key = BlockKey { file: self.file, block };
            if state.flights.get(&key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                state.flights.remove(&key);
            }
        }
        drop(state);
        self.flight.0.send_if_modified(|landing| {
            let flying = matches!(landing, Landing::Flying);
            if flying {
                *landing = Landing::GivenUp;
            }
            flying
        });
    }
}

/// What there is of a block.
#[derive(Debug)]
pub(super) enum Found {
    Here(Block),
    Flying(u64, Arc<Flight>),
    /// A run that the caller has to fetch.
    Mine(Leader),
}

#[derive(Debug)]
struct State {
    kept: LruCache<BlockKey, Block>,
    flights: HashMap<BlockKey, Arc<Flight>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pool {
    budget: Arc<Semaphore>,
    limit: u64,
    state: Mutex<State>,
    /// Readers that wait for memory.
    waiting: AtomicUsize,
    landed: Notify,
    peak: AtomicU64,
    hits: AtomicU64,
}

struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pool {
    pub fn new(limit: u64) -> Arc<Pool> {
        let units = usize::try_from(limit / UNIT).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Pool {
            budget: Arc::new(Semaphore::new(units)),
            limit,
            state: Mutex::new(State { kept: LruCache::unbounded(), flights: HashMap::new() }),
            waiting: AtomicUsize::new(0),
            landed: Notify::new(),
            peak: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        })
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Limit, in use, in use at most, blocks found.
    pub fn usage(&self) -> (u64, u64, u64, u64) {
        let used = self.limit.saturating_sub(self.budget.available_permits() as u64 * UNIT);
        (self.limit, used, self.peak.load(Ordering::Relaxed), self.hits.load(Ordering::Relaxed))
    }

    fn granted(&self, permit: OwnedSemaphorePermit) -> Permit {
        self.peak.fetch_max(self.usage().1, Ordering::Relaxed);
        Permit(Some(permit))
    }

    /// The right to hold `bytes`, if it can be had at once without anybody who waits for it.
    pub fn try_reserve(&self, bytes: u64) -> Option<Permit> {
        loop {
            if self.waiting.load(Ordering::SeqCst) > 0 {
                return None;
            }
            if let Ok(permit) = self.budget.clone().try_acquire_many_owned(units(bytes)) {
                return Some(self.granted(permit));
            }
            if !self.evict(units(bytes)) {
                return None;
            }
        }
    }

    /// The right to hold `bytes`; waits for it, in turn. The caller must hold no other.
    pub async fn reserve(&self, bytes: u64) -> Permit {
        if let Some(permit) = self.try_reserve(bytes) {
            return permit;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waits = Waits(&self.waiting);
        let acquired = self.budget.clone().acquire_many_owned(units(bytes));
        tokio::pin!(acquired);
        loop {
            // Whatever lands from here on is seen: it may be kept by nobody but us.
            let landed = self.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            self.evict(units(bytes));
            tokio::select! {
                permit = &mut acquired => return permit.map_or(Permit(None), |permit| self.granted(permit)),
                () = landed => {}
            }
        }
    }

    /// Drops what was not used for longest until so many units are free; false when there was nothing to drop.
    fn evict(&self, units: u32) -> bool {
        let mut state = self.lock();
        let (mut freed, mut any) = (0, false);
        while freed < units as usize {
            let Some((_, block)) = state.kept.pop_lru() else { break };
            any = true;
            if Arc::strong_count(&block.extent) == 1 {
                freed += block.extent.units();
            }
        }
        any
    }

    /// All of `blocks`, if they are all kept.
    pub fn all(&self, file: FileKey, blocks: Range<u64>) -> Option<Vec<Block>> {
        let mut state = self.lock();
        let found: Option<Vec<Block>> =
            blocks.map(|block| state.kept.get(&BlockKey { file, block }).cloned()).collect();
        drop(state);
        self.hits.fetch_add(found.as_ref().map_or(0, Vec::len) as u64, Ordering::Relaxed);
        found
    }

    /// As [`Pool::all`], but it does not count as use.
    pub fn seen(&self, file: FileKey, blocks: Range<u64>) -> Option<Vec<Block>> {
        let state = self.lock();
        blocks.map(|block| state.kept.peek(&BlockKey { file, block }).cloned()).collect()
    }

    /// What there is of `blocks`, in order. What is neither kept nor being fetched is the caller's to fetch, in runs of at most `longest`.
    pub fn claim(self: &Arc<Self>, file: FileKey, blocks: Range<u64>, longest: u64) -> Vec<Found> {
        let mut found = Vec::new();
        let mut run: Option<Range<u64>> = None;
        let mut guard = self.lock();
        let state = &mut *guard;
        for block in blocks.clone() {
            let key = BlockKey { file, block };
            let there = match (state.kept.get(&key), state.flights.get(&key)) {
                (Some(kept), _) => Some(Found::Here(kept.clone())),
                (None, Some(flight)) => Some(Found::Flying(block, flight.clone())),
                (None, None) => None,
            };
            match (&mut run, there) {
                (Some(open), None) if open.end - open.start < longest => open.end = block + 1,
                (open, None) => {
                    found.extend(open.replace(block..block + 1).map(|run| self.lead(state, file, run)));
                }
                (open, Some(there)) => {
                    found.extend(open.take().map(|run| self.lead(state, file, run)));
                    found.push(there);
                }
            }
        }
        found.extend(run.map(|run| self.lead(state, file, run)));
        found
    }

    fn lead(self: &Arc<Self>, state: &mut State, file: FileKey, run: Range<u64>) -> Found {
        let flight = Arc::new(Flight(watch::Sender::new(Landing::Flying)));
        for block in run.clone() {
            state.flights.insert(BlockKey { file, block }, flight.clone());
        }
        Found::Mine(Leader { pool: self.clone(), file, run, flight })
    }

    /// Marks blocks as the first to go: who read them in sequence does not come back.
    pub fn demote(&self, file: FileKey, blocks: Range<u64>) {
        let mut state = self.lock();
        blocks.for_each(|block| {
            state.kept.demote(&BlockKey { file, block });
        });
    }

    /// Drops blocks.
    pub fn forget(&self, file: FileKey, blocks: Range<u64>) {
        let mut state = self.lock();
        blocks.for_each(|block| drop(state.kept.pop(&BlockKey { file, block })));
    }
}

/// The block of an extent that landed.
pub(super) fn block_of(extent: &Arc<Extent>, number: u64) -> Block {
    Block { extent: extent.clone(), number }
}
