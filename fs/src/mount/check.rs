//! The md5 of a file that is read from start to end.

use bytes::Bytes;
use starsnap_repository::md5::{Hasher, Md5};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The kernel reads ahead with several requests at once, which come in any order; so much of what came early is kept.
const AHEAD: usize = 8 << 20;

/// Follows the reads of one open file. Reads that skip a part end the check: then nothing is known.
#[derive(Debug)]
pub(super) struct Check {
    size: u64,
    md5: Md5,
    state: Mutex<State>,
}

enum State {
    Following { next: u64, hasher: Box<Hasher>, ahead: BTreeMap<u64, Bytes>, kept: usize },
    Over,
    Failed,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            State::Following { next, kept, .. } => write!(f, "Following({next}, {kept} bytes ahead)"),
            State::Over => f.write_str("Over"),
            State::Failed => f.write_str("Failed"),
        }
    }
}

const WRONG: &str = "its md5 is not the one in its name";

impl Check {
    pub fn new(size: u64, md5: Md5) -> Check {
        let hasher = Box::new(Hasher::default());
        Check { size, md5, state: Mutex::new(State::Following { next: 0, hasher, ahead: BTreeMap::new(), kept: 0 }) }
    }

    /// Takes bytes that were read. An error, once all were seen and are not what they should be; from then on always.
    pub fn saw(&self, offset: u64, bytes: &Bytes) -> Result<(), &'static str> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, hasher, ahead, kept) = match &mut *state {
            State::Following { next, hasher, ahead, kept } => (next, hasher, ahead, kept),
            State::Over => return Ok(()),
            State::Failed => return Err(WRONG),
        };
        if bytes.is_empty() {
            return Ok(());
        }
        if offset <= *next {
            let mut part = Some((offset, bytes.clone()));
            while let Some((start, bytes)) = part {
                // What was read before is nothing new.
                let new = usize::try_from(*next - start).ok().and_then(|read| bytes.get(read..)).unwrap_or_default();
                hasher.update(new);
                *next += new.len() as u64;
                part = ahead.first_entry().filter(|early| *early.key() <= *next).map(|early| early.remove_entry());
                *kept -= part.as_ref().map_or(0, |(_, bytes)| bytes.len());
            }
        } else if *kept + bytes.len() > AHEAD {
            *state = State::Over;
            return Ok(());
        } else {
            let known = ahead.entry(offset).or_default();
            if known.len() < bytes.len() {
                *kept += bytes.len() - known.len();
                *known = bytes.clone();
            }
        }
        if *next < self.size {
            return Ok(());
        }
        let right = std::mem::take(&mut **hasher).finish() == self.md5;
        *state = if right { State::Over } else { State::Failed };
        if right { Ok(()) } else { Err(WRONG) }
    }

    pub fn failed(&self) -> bool {
        matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starsnap_repository::md5;

    fn chunks(text: &[u8]) -> Vec<(u64, Bytes)> {
        text.chunks(3).zip(0..).map(|(chunk, at)| (at * 3, Bytes::copy_from_slice(chunk))).collect()
    }

    #[test]
    fn any_order_of_reads_is_checked() {
        let text = b"the quick brown fox jumps";
        for turn in 0..8 {
            for (expected, right) in [(md5::of(text), true), (md5::of(b"other"), false)] {
                let check = Check::new(text.len() as u64, expected);
                let mut chunks = chunks(text);
                chunks.rotate_left(turn);
                if turn % 2 == 0 {
                    chunks.reverse();
                }
                let failures = chunks.iter().filter(|(at, bytes)| check.saw(*at, bytes).is_err()).count();
                assert_eq!(failures, usize::from(!right), "turn {turn}");
                assert_eq!(check.failed(), !right);
                assert_eq!(check.saw(0, &Bytes::from_static(b"the")).is_err(), !right, "a damaged file stays damaged");
            }
        }
    }

    #[test]
    fn reads_that_overlap_are_checked() {
        let text = b"the quick brown fox jumps";
        // Start and end of the reads, in the order in which they come.
        let orders: [&[(usize, usize)]; 4] = [
            &[(0, 10), (5, 15), (3, 8), (14, 25)],
            &[(12, 25), (0, 7), (6, 14)],
            &[(8, 12), (8, 20), (9, 11), (0, 9), (18, 25)],
            &[(20, 25), (10, 12), (11, 22), (0, 4), (2, 10)],
        ];
        for order in orders {
            for (expected, right) in [(md5::of(text), true), (md5::of(b"other"), false)] {
                let check = Check::new(text.len() as u64, expected);
                let saw = |&(start, end): &(usize, usize)| {
                    check.saw(start as u64, &Bytes::copy_from_slice(&text[start..end])).is_err()
                };
                assert_eq!(order.iter().map(saw).filter(|failed| *failed).count(), usize::from(!right), "{order:?}");
                let state = check.state.lock().unwrap_or_else(PoisonError::into_inner);
                assert!(
                    matches!((&*state, right), (State::Over, true) | (State::Failed, false)),
                    "{order:?}: {state:?}"
                );
            }
        }
    }

    #[test]
    fn reads_with_gaps_are_not_judged() {
        let check = Check::new(100, md5::of(b"other"));
        assert!(check.saw(50, &Bytes::from(vec![0; 50])).is_ok());
        assert!(check.saw(0, &Bytes::from(vec![0; 49])).is_ok());
        assert!(!check.failed());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let check = Check::new(1 << 40, md5::of(b""));
        for at in 1..100u64 {
            assert!(check.saw(at << 20, &Bytes::from(vec![0; 1 << 20])).is_ok());
        }
        assert!(matches!(*check.state.lock().unwrap_or_else(PoisonError::into_inner), State::Over));
    }
}
