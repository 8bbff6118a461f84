//! Files open for reading. Opening asks the NameNode where the blocks are, so what is read piece by piece is opened once.

use hdfs_native::file::FileReader;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Each knows its blocks: some kilobytes for a large file.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// A file that was removed may still be read for so long. Tokens for its blocks last longer.
const LONGEST: Duration = Duration::from_secs(60);

/// Opened by the first who wants it; the others wait.
pub(super) struct Slot {
    pub(super) reader: OnceCell<Arc<FileReader>>,
    since: Instant,
}

impl Default for Slot {
    fn default() -> Slot {
        Slot { reader: OnceCell::new(), since: Instant::now() }
    }
}

/// By path. Only files with their md5 in their names are kept: those never change.
pub(super) struct Readers(Mutex<LruCache<String, Arc<Slot>>>);

impl Default for Readers {
    fn default() -> Readers {
        Readers(Mutex::new(LruCache::new(MOST)))
    }
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, LruCache<String, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slot(&self, path: &str) -> Arc<Slot> {
        if crate::md5::split_name(path).is_none() {
            return Arc::default();
        }
        let mut kept = self.lock();
        if let Some(slot) = kept.get(path).filter(|slot| slot.since.elapsed() < LONGEST) {
            return Arc::clone(slot);
        }
        let slot = Arc::<Slot>::default();
        kept.put(path.to_owned(), Arc::clone(&slot));
        slot
    }

    /// What was opened is not to be used again.
    pub(super) fn forget(&self, path: &str) {
        self.lock().pop(path);
    }

    /// The same, unless somebody opened it anew meanwhile.
    pub(super) fn forget_slot(&self, path: &str, slot: &Arc<Slot>) {
        let mut kept = self.lock();
        if kept.peek(path).is_some_and(|there| Arc::ptr_eq(there, slot)) {
            kept.pop(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_change_is_kept() {
        let readers = Readers::default();
        let path = "t/x.dat.0123456789abcdef0123456789abcdef";
        let slot = readers.slot(path);
        assert!(Arc::ptr_eq(&slot, &readers.slot(path)));
        assert!(!Arc::ptr_eq(&readers.slot("__repo_info"), &readers.slot("__repo_info")));
        readers.forget_slot(path, &Arc::default());
        assert!(Arc::ptr_eq(&slot, &readers.slot(path)));
        readers.forget_slot(path, &slot);
        let anew = readers.slot(path);
        assert!(!Arc::ptr_eq(&slot, &anew));
        readers.forget(path);
        assert!(!Arc::ptr_eq(&anew, &readers.slot(path)));
    }
}
