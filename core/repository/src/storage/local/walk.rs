//! Everything below a directory, with several threads: listing is bound by the filesystem's answers, more so over a network.

use super::{Root, check, entries, failed};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::storage::{Entry, EntryKind};
use std::sync::{Condvar, Mutex, PoisonError};

/// Directories nested deeper are reported as [`EntryKind::Other`] and not entered; a repository nests ten deep.
const MAX_DEPTH: usize = 32;
/// More files than any repository has: what is listed is held in memory.
const MAX_ENTRIES: usize = 20_000_000;
const MAX_THREADS: usize = 8;

#[derive(Default)]
struct Queue {
    /// Directories to list, with their depth.
    waiting: Vec<(String, usize)>,
    /// Threads that may still add to `waiting`.
    busy: usize,
    found: usize,
    error: Option<RepositoryError>,
}

/// All files, and what is neither file nor directory, below `dir`.
pub(super) fn files_below(root: &Root, dir: &str) -> Result<Vec<Entry>> {
    check("list", dir)?;
    let queue = Mutex::new(Queue { waiting: vec![(dir.to_owned(), 0)], ..Queue::default() });
    let changed = Condvar::new();
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, MAX_THREADS);
    let mut found = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(root, dir, &queue, &changed))).collect();
        let mut found = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(mut part) if found.is_empty() => std::mem::swap(&mut found, &mut part),
                Ok(part) => found.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    match queue.into_inner().unwrap_or_else(PoisonError::into_inner).error {
        Some(error) => Err(error),
        None => {
            found.shrink_to_fit();
            Ok(found)
        }
    }
}

/// Lists directories until none waits and no other thread can add one.
fn work(root: &Root, top: &str, queue: &Mutex<Queue>, changed: &Condvar) -> Vec<Entry> {
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = Vec::new();
    let mut state = lock();
    loop {
        let Some((dir, depth)) = state.waiting.pop() else {
            if state.busy == 0 {
                changed.notify_all();
                return found;
            }
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        state.busy += 1;
        drop(state);
        let listed = root.directory(&dir).and_then(|handle| entries(&handle, &dir));
        state = lock();
        state.busy -= 1;
        match listed {
            Ok(listed) => {
                state.found += listed.len();
                for mut entry in listed {
                    if entry.kind == EntryKind::Directory && depth < MAX_DEPTH {
                        state.waiting.push((entry.path, depth + 1));
                    } else {
                        if entry.kind == EntryKind::Directory {
                            entry.kind = EntryKind::Other;
                        }
                        found.push(entry);
                    }
                }
                if state.found > MAX_ENTRIES {
                    let reason = format!("it holds more than {MAX_ENTRIES} entries");
                    fail(&mut state, RepositoryError::new(ErrorKind::Unsupported, "list", top, reason));
                }
            }
            // A directory that went away since its parent was listed holds nothing.
            Err(error) if depth > 0 && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => fail(&mut state, failed("list", &dir, error)),
        }
        changed.notify_all();
    }
}

fn fail(state: &mut Queue, error: RepositoryError) {
    state.waiting.clear();
    state.error.get_or_insert(error);
}
