//! Numbers for labels and snapshots. A number once given means the same for as long as the tree lives: what is replaced in the
//! repository gets a new one.

use super::snapshot::SnapshotTree;
use crate::error::FsError;
use starsnap_repository::md5::Md5;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

/// What a slot stands for. The digests make a label that was removed and written again another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Label(String),
    Snapshot { label: String, timestamp: String, metas: Vec<Md5>, infos: Vec<Md5> },
}

#[derive(Debug)]
pub(super) struct Slot {
    pub number: u32,
    pub key: Key,
    /// The label's slot, of a snapshot.
    pub above: u32,
    /// Time of the directory as its name tells it.
    pub mtime: Option<SystemTime>,
    state: Mutex<State>,
    /// Held while the snapshot is being opened: one at a time.
    pub opening: tokio::sync::Mutex<()>,
    /// When it was last asked for, in the order of all such moments.
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    tree: Option<Arc<SnapshotTree>>,
    opened: Option<Instant>,
    failed: Option<(Instant, FsError)>,
    fingerprint: Option<u64>,
    replaced: bool,
}

/// What became of an opened snapshot.
pub(super) enum Kept {
    Opened,
    /// Numbers given out for this slot meant something else.
    Replaced,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The opened snapshot, if it is at hand.
    pub fn tree(&self) -> Option<Arc<SnapshotTree>> {
        static CLOCK: AtomicU64 = AtomicU64::new(0);
        self.used.store(CLOCK.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.state().tree.clone()
    }

    /// The last failure, if it is younger than `age`.
    pub fn failure(&self, age: std::time::Duration) -> Option<FsError> {
        self.state().failed.as_ref().filter(|(at, _)| at.elapsed() < age).map(|(_, error)| error.clone())
    }

    /// Whether the content under this number is gone for good.
    pub fn replaced(&self) -> bool {
        self.state().replaced
    }

    /// When the snapshot was opened.
    pub fn opened(&self) -> Option<Instant> {
        self.state().opened
    }

    /// Keeps an opened snapshot.
    pub fn keep(&self, tree: &Arc<SnapshotTree>) -> Kept {
        let mut state = self.state();
        if state.fingerprint.is_some_and(|known| known != tree.fingerprint) {
            state.replaced = true;
            return Kept::Replaced;
        }
        state.fingerprint = Some(tree.fingerprint);
        state.tree = Some(tree.clone());
        state.opened = Some(Instant::now());
        state.failed = None;
        Kept::Opened
    }

    /// Remembers a failure for a moment.
    pub fn fail(&self, error: FsError) {
        self.state().failed = Some((Instant::now(), error));
    }
}

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Slots(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Arc<Slot>>,
    by_key: HashMap<Key, u32>,
}

impl Slots {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of a number; they start at 1.
    pub fn get(&self, number: u32) -> Option<Arc<Slot>> {
        self.read().all.get(number.checked_sub(1)? as usize).cloned()
    }

    /// The number for `key`, a new one where it has none.
    pub fn number(&self, key: &Key, above: u32, mtime: Option<SystemTime>) -> u32 {
        if let Some(number) = self.read().by_key.get(key) {
            return *number;
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = inner.by_key.get(key) {
            return *number;
        }
        inner.add(key, above, mtime).number
    }

    /// Gives the key of `slot` a new number, unless somebody did.
    pub fn renew(&self, slot: &Slot) -> Option<Arc<Slot>> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match inner.by_key.get(&slot.key).copied() {
            Some(number) if number != slot.number => inner.all.get(number.checked_sub(1)? as usize).cloned(),
            _ => Some(inner.add(&slot.key, slot.above, slot.mtime)),
        }
    }

    /// Forgets snapshots that were not used for longest, until those that are left weigh at most `limit` bytes; never `spared`.
    pub fn shed(&self, limit: u64, spared: u32) {
        let mut open: Vec<_> = self
            .read()
            .all
            .iter()
            .filter_map(|slot| {
                let weight = slot.state().tree.as_ref()?.weight();
                Some((slot.used.load(Ordering::Relaxed), weight, slot.clone()))
            })
            .collect();
        let mut weight: u64 = open.iter().map(|(_, weight, _)| weight).sum();
        open.sort_by_key(|(used, ..)| *used);
        for (_, of_it, slot) in open {
            if weight <= limit {
                break;
            }
            if slot.number != spared {
                slot.state().tree = None;
                weight -= of_it;
            }
        }
    }

    /// All opened snapshots.
    pub fn opened(&self) -> Vec<Arc<SnapshotTree>> {
        self.read().all.iter().filter_map(|slot| slot.state().tree.clone()).collect()
    }
}

impl Inner {
    fn add(&mut self, key: &Key, above: u32, mtime: Option<SystemTime>) -> Arc<Slot> {
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX - 1) + 1;
        let slot = Arc::new(Slot {
            number,
            key: key.clone(),
            above,
            mtime,
            state: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            used: AtomicU64::default(),
        });
        self.all.push(slot.clone());
        self.by_key.insert(key.clone(), number);
        slot
    }
}
