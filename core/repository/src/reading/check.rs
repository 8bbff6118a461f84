//! The md5 of a file that is read from start to end, taken while it is read, beside the readers: who waits for it is the one that has read
//! the last of the file, and nobody else.

use super::file::Blocks;
use super::{BLOCK, LONGEST_REQUEST, Result};
use crate::error::RepositoryError;
use crate::md5::{Hasher, Md5};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Readers ask for several pieces at once, which come in any order: a piece may come so much before its turn.
const EARLY: u64 = 32 << 20;
const MOST_EARLY: usize = 1024;
/// What is not at hand any more is fetched again in pieces of this many bytes.
const PIECE: u64 = 4 * BLOCK;
/// Taken into the digest at a time.
const BATCH: usize = 1 << 20;
/// Who waits for room is told after so many bytes: each time wakes all of them.
const TELL: u64 = 2 << 20;

/// Follows the reads of one open file. Reads that skip a part end the check: then nothing is known.
#[derive(Debug)]
pub(super) struct Check {
    md5: Md5,
    state: Mutex<State>,
    /// All before this was read, in sequence. 0 when the check is over.
    read: AtomicU64,
    told: watch::Sender<Told>,
}

#[derive(Default)]
struct State {
    /// What was read before its turn came: start and end. Bytes that nobody reads any more would take memory from those who wait for it.
    early: BTreeMap<u64, u64>,
    /// What is to be taken into the digest: first what is at hand, then what must be asked for, so that who asks holds nothing.
    at_hand: VecDeque<Bytes>,
    asked: VecDeque<Range<u64>>,
    /// Bytes in the digest.
    taken: u64,
    /// None while the digest is at work.
    hasher: Option<Box<Hasher>>,
    work: Option<AbortHandle>,
    /// A part was skipped, or the file was closed.
    over: bool,
}

/// What is known of the digest.
#[derive(Debug, Clone)]
struct Told {
    /// Bytes in it, or less.
    taken: u64,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Open,
    Right,
    Wrong,
    /// What had to be fetched again could not be. The next read tries once more.
    Failed(Arc<RepositoryError>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let State { early, at_hand, asked, over, .. } = self;
        write!(f, "{} early, {} at hand, {} asked, over: {over}", early.len(), at_hand.len(), asked.len())
    }
}

impl Check {
    pub fn new(md5: Md5) -> Check {
        let state = State { hasher: Some(Box::default()), ..State::default() };
        let told = watch::Sender::new(Told { taken: 0, outcome: Outcome::Open });
        Check { md5, state: Mutex::new(state), read: AtomicU64::new(0), told }
    }

    pub fn failed(&self) -> bool {
        matches!(self.told.borrow().outcome, Outcome::Wrong)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the digest is not far behind the readers, who would leave it nothing but what must be fetched again. The caller must hold
    /// no memory.
    pub async fn room(&self, memory: u64) {
        let most = (memory / 16).min(LONGEST_REQUEST);
        let near = |told: &Told| {
            !matches!(told.outcome, Outcome::Open)
                || self.read.load(Ordering::Relaxed).saturating_sub(told.taken) <= most
        };
        if !near(&self.told.borrow()) {
            // It fails only when there is nobody left to tell.
            let _ = self.told.subscribe().wait_for(near).await;
        }
    }

    /// All from here on may still be needed for the digest.
    pub fn needed(&self) -> u64 {
        let told = self.told.borrow();
        let open = matches!(told.outcome, Outcome::Open) && self.read.load(Ordering::Relaxed) > 0;
        if open { told.taken } else { u64::MAX }
    }

    /// Takes note of bytes that were read at `offset`. True once all of the file was read, until it is known to be right: then
    /// [`Check::right`] must be asked before anybody sees them.
    pub fn saw(self: &Arc<Self>, file: &Arc<Blocks>, offset: u64, pieces: &[Bytes]) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut next = self.read.load(Ordering::Relaxed);
        if state.over || next >= file.size {
            return next >= file.size && !matches!(self.told.borrow().outcome, Outcome::Right);
        }
        let end = offset + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if offset > next {
            if offset - next > EARLY || state.early.len() >= MOST_EARLY {
                self.end(state);
            } else {
                let known = state.early.entry(offset).or_insert(end);
                *known = end.max(*known);
            }
            return false;
        }
        if end <= next {
            return false;
        }
        state.take(next..end, Some(skipped(pieces, next - offset)));
        next = end;
        while let Some(first) = state.early.first_entry().filter(|first| *first.key() <= next) {
            let end = first.remove();
            if end > next {
                state.take(next..end, file.kept(&(next..end)));
                next = end;
            }
        }
        self.read.store(next, Ordering::Relaxed);
        self.start(state, file);
        next >= file.size
    }

    /// Whether the md5 of the file, all of which was read, is right. The caller must hold no memory.
    pub async fn right(self: &Arc<Self>, file: &Arc<Blocks>) -> Result<bool, Arc<RepositoryError>> {
        let mut told = self.told.subscribe();
        self.start(&mut self.lock(), file);
        let told = told.wait_for(|told| !matches!(told.outcome, Outcome::Open)).await;
        match told.map(|told| told.outcome.clone()) {
            Ok(Outcome::Failed(error)) => Err(error),
            Ok(Outcome::Right) => Ok(true),
            _ => Ok(false),
        }
    }

    /// Nobody reads the file any more.
    pub fn close(&self) {
        let mut state = self.lock();
        self.end(&mut state);
        if let Some(work) = state.work.take() {
            work.abort();
        }
    }

    fn end(&self, state: &mut State) {
        state.over = true;
        state.early.clear();
        state.at_hand.clear();
        state.asked.clear();
        self.read.store(0, Ordering::Relaxed);
        // For those who wait for room.
        self.told.send_modify(|_| {});
    }

    /// Has somebody at work, where there is something to do.
    fn start(self: &Arc<Self>, state: &mut State, file: &Arc<Blocks>) {
        let idle = state.at_hand.is_empty() && state.asked.is_empty();
        if idle || state.over {
            return;
        }
        if let Some(hasher) = state.hasher.take() {
            self.told.send_if_modified(|told| {
                told.outcome = Outcome::Open;
                false
            });
            let work = work(self.clone(), file.clone(), hasher);
            state.work = Some(tokio::spawn(work).abort_handle());
        }
    }

    /// What to take into the digest next: what is at hand, else what was asked for and is still in memory, else what must be fetched for it.
    /// With neither, or at the file's end, the work is done, and the hasher is put back.
    fn next(&self, file: &Arc<Blocks>, hasher: Box<Hasher>) -> Next {
        let mut state = self.lock();
        let (mut batch, mut length) = (Vec::new(), 0);
        while length < BATCH
            && let Some(bytes) = state.at_hand.pop_front()
        {
            length += bytes.len();
            batch.push(bytes);
        }
        if !batch.is_empty() {
            return Next::Here(hasher, Turn { batch, asked: false });
        }
        if let Some(range) = state.asked.front() {
            let range = range.start..range.end.min(range.start + PIECE);
            return match file.kept(&range) {
                Some(batch) => Next::Here(hasher, Turn { batch, asked: true }),
                None => {
                    self.tell(&state);
                    Next::Fetch(hasher, range)
                }
            };
        }
        self.tell(&state);
        if state.taken < file.size {
            state.hasher = Some(hasher);
        } else {
            let right = hasher.finish() == self.md5;
            let outcome = if right { Outcome::Right } else { Outcome::Wrong };
            self.told.send_modify(|told| told.outcome = outcome);
        }
        Next::Done
    }

    /// Takes into the digest what there is in memory, on one thread for as long as that lasts; what must be fetched then.
    fn digest(
        &self,
        file: &Arc<Blocks>,
        mut hasher: Box<Hasher>,
        fetched: Option<Turn>,
    ) -> Option<(Box<Hasher>, Range<u64>)> {
        let mut turn = fetched;
        loop {
            if let Some(Turn { batch, asked }) = turn {
                batch.iter().for_each(|bytes| hasher.update(bytes));
                let taken = batch.iter().map(|bytes| bytes.len() as u64).sum();
                // Before those who wait for room are told, who may want its memory.
                drop(batch);
                self.took(taken, asked);
            }
            (hasher, turn) = match self.next(file, hasher) {
                Next::Here(hasher, turn) => (hasher, Some(turn)),
                Next::Fetch(hasher, range) => return Some((hasher, range)),
                Next::Done => return None,
            };
        }
    }

    /// So many bytes are in the digest, of a range that was asked for or of what was at hand.
    fn took(&self, bytes: u64, asked: bool) {
        let mut state = self.lock();
        state.taken += bytes;
        if asked {
            state.came(bytes);
        }
        let told = self.told.borrow().taken;
        if state.taken - told >= TELL {
            self.tell(&state);
        }
    }

    fn tell(&self, state: &State) {
        self.told.send_modify(|told| told.taken = state.taken);
    }
}

impl State {
    /// `range` is next. Who works on the digest may wait for memory for what he asks for: nothing may be held behind that.
    fn take(&mut self, range: Range<u64>, pieces: Option<Vec<Bytes>>) {
        match pieces {
            Some(pieces) if self.asked.is_empty() => self.at_hand.extend(pieces),
            _ => self.asked.push_back(range),
        }
    }

    /// So much of the first range that was asked for is in the digest.
    fn came(&mut self, bytes: u64) {
        if let Some(first) = self.asked.front_mut() {
            first.start += bytes;
            if first.start >= first.end {
                self.asked.pop_front();
            }
        }
    }
}

/// Bytes that are next, and whether they are of a range that was asked for.
struct Turn {
    batch: Vec<Bytes>,
    asked: bool,
}

/// What who works on the digest does next.
enum Next {
    Here(Box<Hasher>, Turn),
    Fetch(Box<Hasher>, Range<u64>),
    Done,
}

/// What is left of `pieces` after so many bytes.
fn skipped(pieces: &[Bytes], mut bytes: u64) -> Vec<Bytes> {
    let mut left = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let skip = bytes.min(piece.len() as u64);
        bytes -= skip;
        if skip < piece.len() as u64 {
            left.push(piece.slice(skip as usize..));
        }
    }
    left
}

/// Takes into the digest what there is.
async fn work(check: Arc<Check>, file: Arc<Blocks>, mut hasher: Box<Hasher>) {
    let mut fetched = None;
    loop {
        let (own, blocks) = (check.clone(), file.clone());
        let digest = tokio::task::spawn_blocking(move || own.digest(&blocks, hasher, fetched));
        // It fails only when the runtime ends.
        let Ok(Some((own, range))) = digest.await else { return };
        hasher = own;
        match file.pieces(&range).await {
            Ok(batch) => fetched = Some(Turn { batch, asked: true }),
            Err(error) => {
                let mut state = check.lock();
                state.hasher = Some(hasher);
                check.told.send_modify(|told| told.outcome = Outcome::Failed(Arc::new(error)));
                return;
            }
        }
    }
}
