//! The md5 of a file that is read from start to end, while it is read.

use super::file::Blocks;
use super::{BLOCK, Result};
use crate::md5::{Hasher, Md5};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;

/// Readers ask for several pieces at once, which come in any order: a piece may come so much before its turn.
const EARLY: u64 = 32 << 20;
const MOST_EARLY: usize = 1024;
/// What came early is looked at again in pieces of this many bytes.
const PIECE: u64 = 4 * BLOCK;

/// Follows the reads of one open file. Reads that skip a part end the check: then nothing is known.
#[derive(Debug)]
pub(super) struct Check {
    md5: Md5,
    state: Mutex<State>,
    failed: AtomicBool,
}

enum State {
    /// All before `next` is in the digest. What came early is only noted, as start and end: bytes that nobody reads any more would take
    /// memory from those who wait for it.
    Following {
        next: u64,
        hasher: Box<Hasher>,
        early: BTreeMap<u64, u64>,
    },
    Over,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            State::Following { next, early, .. } => write!(f, "Following({next}, {} early)", early.len()),
            State::Over => f.write_str("Over"),
        }
    }
}

impl Check {
    pub fn new(md5: Md5) -> Check {
        let state = State::Following { next: 0, hasher: Box::default(), early: BTreeMap::new() };
        Check { md5, state: Mutex::new(state), failed: AtomicBool::new(false) }
    }

    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Takes bytes that were read at `offset`, and gives them back. False, once all of the file was seen and is not what it should be; from
    /// then on always.
    pub async fn saw(&self, file: &Arc<Blocks>, offset: u64, bytes: Bytes) -> Result<(Bytes, bool)> {
        let mut bytes = bytes;
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(_) => {
                // Who has the lock may wait for memory: he must not wait for ours.
                bytes = Bytes::copy_from_slice(&bytes);
                self.state.lock().await
            }
        };
        let State::Following { next, hasher, early } = &mut *state else { return Ok((bytes, !self.failed())) };
        let end = offset + bytes.len() as u64;
        if end <= *next {
            return Ok((bytes, true));
        }
        if offset > *next {
            if offset - *next > EARLY || early.len() >= MOST_EARLY {
                *state = State::Over;
            } else {
                let known = early.entry(offset).or_insert(end);
                *known = end.max(*known);
            }
            return Ok((bytes, true));
        }
        hasher.update(bytes.get((*next - offset) as usize..).unwrap_or_default());
        *next = end;
        while let Some(first) = early.first_entry().filter(|first| first.key() <= next) {
            let end = first.remove();
            if end > *next {
                // Who reads more must not hold on to what was read.
                bytes = Bytes::copy_from_slice(&bytes);
            }
            while *next < end {
                let piece = *next..end.min(*next + PIECE);
                for part in file.pieces(&piece).await? {
                    hasher.update(&part);
                }
                *next = piece.end;
            }
        }
        if *next < file.size {
            return Ok((bytes, true));
        }
        let right = std::mem::take(&mut **hasher).finish() == self.md5;
        *state = State::Over;
        self.failed.store(!right, Ordering::Relaxed);
        Ok((bytes, right))
    }
}
