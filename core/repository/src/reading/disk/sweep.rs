//! Keeping the cache within its size, by one process at a time.

use super::{HEADER, Inner};
use rustix::fs::FlockOperation;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// What a killed process left behind.
const ABANDONED: Duration = Duration::from_secs(3600);

impl Inner {
    /// So many bytes were written: looks at all that is there when it may be too much.
    pub(super) fn wrote(&self, bytes: u64) {
        let since = self.since.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let first = !self.swept.load(Ordering::Relaxed);
        // Others write too, which is seen only by looking.
        let due = first || since > self.limit / 16 || self.known.load(Ordering::Relaxed) + since > self.limit;
        if due && let Ok(_one) = self.sweeping.try_lock() {
            self.sweep();
        }
    }

    /// Removes what was used longest ago, down to nine tenths of the size, when there is more than the size.
    fn sweep(&self) {
        let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.dir.join("lock"));
        let Ok(lock) = lock else { return };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return;
        }
        let counted = self.since.load(Ordering::Relaxed);
        let now = SystemTime::now();
        let mut blocks: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for directory in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if !directory.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            for entry in fs::read_dir(directory.path()).into_iter().flatten().flatten() {
                // What has another name is not ours to count or remove.
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
                let Ok(metadata) = entry.metadata() else { continue };
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                if !name.ends_with(".part") {
                    blocks.push((used, metadata.len().max(HEADER as u64), entry.path()));
                } else if now.duration_since(used).is_ok_and(|since| since > ABANDONED) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        let mut total: u64 = blocks.iter().map(|(_, size, _)| size).sum();
        if total > self.limit {
            blocks.sort_unstable();
            for (_, size, path) in blocks {
                if total <= self.limit / 10 * 9 {
                    break;
                }
                if fs::remove_file(path).is_ok() {
                    total -= size;
                }
            }
        }
        self.known.store(total, Ordering::Relaxed);
        self.since.fetch_sub(counted, Ordering::Relaxed);
        self.swept.store(true, Ordering::Relaxed);
    }
}

/// `<32 hex digits>-<number>`, with `.<…>.part` behind it while it is written.
fn is_ours(name: &str) -> bool {
    let base = name.split_once('.').map_or(name, |(base, _)| base);
    let whole = name.len() == base.len() || name.ends_with(".part");
    let hex = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    whole && base.split_once('-').is_some_and(|(file, block)| hex(file) && number(block))
}
