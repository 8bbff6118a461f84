//! How far ahead of its readers a file is fetched. Knows numbers only: what was read, what to fetch.
//!
//! Requests of one sequential reader come out of order and several at once (the kernel's read-ahead), and a file may have several such
//! readers. Each is a stream with a window, which doubles whenever a window's worth was read in sequence, and halves when its reader jumps.

use super::BLOCK;
use std::ops::Range;

/// First window of a stream that begins at the file's start. One that begins elsewhere may be a column, whose neighbours nobody wants: it
/// begins with a block.
const FIRST: u64 = 1 << 20;
/// Reads that are so far from where a stream goes on still belong to it.
const NEAR: u64 = 2 << 20;
/// Streams told apart in one file: columns are read side by side.
const STREAMS: usize = 32;
/// Requests are cut so that as many make a window.
const PARTS: u64 = 8;

#[derive(Debug, Clone, Copy)]
struct Stream {
    /// Where the reader goes on.
    next: u64,
    /// 0: not known yet to be one.
    window: u64,
    /// What lies before it was fetched or is being fetched.
    fetched: u64,
    /// Bytes read in sequence since the window last grew.
    served: u64,
}

/// The streams of one open file.
#[derive(Debug)]
pub(super) struct Ahead {
    size: u64,
    /// The last one was used last.
    streams: Vec<Stream>,
    /// Begin with the widest window: the file is read whole.
    whole: bool,
}

impl Ahead {
    pub fn new(size: u64, whole: bool) -> Ahead {
        Ahead { size, streams: Vec::new(), whole }
    }

    /// True once somebody reads in sequence.
    pub fn is_sequential(&self) -> bool {
        self.streams.iter().any(|stream| stream.window > 0)
    }

    /// Takes note that `range` is read; returns what to fetch now, in requests of at most `request` bytes, each beginning and, except at
    /// the file's end, ending with a block. No window exceeds `farthest`.
    pub fn read(&mut self, range: &Range<u64>, farthest: u64, request: u64) -> Vec<Range<u64>> {
        let near = |stream: &Stream| {
            // Who is known to read far in sequence may have many reads under way, which come in any order.
            let behind = NEAR.max(stream.window / 2);
            let reach = stream.fetched.max(stream.next).saturating_add(NEAR);
            (stream.next.saturating_sub(behind)..=reach).contains(&range.start)
        };
        let mut stream = match self.streams.iter().rposition(near) {
            Some(at) => self.streams.remove(at),
            None => self.begin(range.start, farthest),
        };
        if range.end > stream.next {
            stream.served += range.end - stream.next.max(range.start);
            stream.next = range.end;
        }
        if stream.window == 0 && stream.served > range.end - range.start {
            // The second read that goes on where the first one ended.
            (stream.window, stream.served) = (BLOCK, 0);
        } else if stream.window > 0 && stream.served >= stream.window {
            (stream.window, stream.served) = (stream.window.saturating_mul(2), 0);
        }
        stream.window = stream.window.min(farthest);
        let due = self.due(&mut stream, request);
        self.streams.push(stream);
        due
    }

    /// A reader at a place where none was.
    fn begin(&mut self, start: u64, farthest: u64) -> Stream {
        if let Some(jumped) = self.streams.last_mut() {
            jumped.window /= 2;
        }
        if self.streams.len() >= STREAMS {
            self.streams.remove(0);
        }
        let window = match (self.whole, start) {
            (true, _) => farthest,
            // Who begins at the start is likely to go on.
            (false, 0) => FIRST,
            (false, _) => 0,
        };
        Stream { next: start, window, fetched: start, served: 0 }
    }

    fn due(&self, stream: &mut Stream, request: u64) -> Vec<Range<u64>> {
        let mut due = Vec::new();
        if stream.window == 0 {
            return due;
        }
        let part = (stream.window / PARTS).max(FIRST.min(stream.window)).min(request) / BLOCK * BLOCK;
        let target = stream.next.saturating_add(stream.window).min(self.size);
        // The block that is being read is fetched by who reads it.
        let mut at = stream.fetched.max(stream.next.div_ceil(BLOCK).saturating_mul(BLOCK));
        while at < target {
            let end = at.saturating_add(part.max(BLOCK)).min(self.size);
            // Wait until there is room for a whole request: many small ones cost more than they bring.
            if end > target && at >= stream.next.saturating_add(stream.window / 2) {
                break;
            }
            due.push(at..end);
            at = end;
        }
        stream.fetched = stream.fetched.max(at.min(self.size));
        due
    }

    /// What was read of `range` and its neighbourhood and will not be read again by a reader in sequence: blocks before this.
    pub fn behind(&self, range: &Range<u64>) -> Option<u64> {
        let stream = self.streams.last().filter(|stream| stream.window > 0)?;
        let behind = stream.next.saturating_sub(NEAR) / BLOCK;
        (range.end.saturating_add(2 * NEAR) >= stream.next && behind > 0).then_some(behind)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    const REQUEST: u64 = 8 << 20;
    const FAR: u64 = 64 << 20;
    const STEP: u64 = 128 << 10;

    fn sizes(due: &[Range<u64>]) -> u64 {
        due.iter().map(|range| range.end - range.start).sum()
    }

    #[test]
    fn a_sequential_reader_gets_a_window_that_doubles_to_the_bound() {
        let size = 1 << 30;
        let mut ahead = Ahead::new(size, false);
        let (mut fetched, mut widest, mut requests) = (BLOCK, 0, 0);
        for at in (0..size).step_by(STEP as usize) {
            for due in ahead.read(&(at..at + STEP), FAR, REQUEST) {
                assert_eq!(due.start, fetched, "nothing is left out, nothing twice");
                assert!(due.end - due.start <= REQUEST);
                fetched = due.end;
                requests += 1;
            }
            if at == 0 {
                assert!(fetched <= 2 * FIRST, "small at first");
            }
            assert!(fetched >= (at + STEP).min(size), "never behind");
            widest = widest.max(fetched - at);
        }
        assert_eq!(fetched, size);
        assert!((FAR / 2..=FAR + REQUEST + BLOCK).contains(&widest), "{widest}");
        assert!(requests < 180, "{requests}");
    }

    #[test]
    fn a_wide_window_survives_reads_that_come_late() {
        let mut ahead = Ahead::new(1 << 30, false);
        let piece = 1 << 20;
        // What the kernel has under way, 16 pieces at once, comes in the order that its threads are woken in.
        let turns = [3, 11, 0, 7, 15, 1, 12, 4, 9, 2, 14, 6, 10, 5, 13, 8];
        let mut requests = Vec::new();
        for group in 0..48 {
            // In order at first, as long as there is not much under way.
            for turn in (0..16).map(|at| if group < 8 { at } else { turns[at] }) {
                let at = (group * 16 + turn as u64) * piece;
                requests.extend(ahead.read(&(at..at + piece), FAR, REQUEST));
            }
        }
        assert_eq!(ahead.streams.len(), 1);
        assert!(requests.iter().skip(60).all(|request| request.end - request.start == REQUEST), "{requests:?}");
    }

    #[test]
    fn requests_out_of_order_are_one_stream() {
        let mut ahead = Ahead::new(1 << 30, false);
        let mut fetched = Vec::new();
        for group in 0..64 {
            for turn in [2, 0, 1, 3] {
                let at = (group * 4 + turn) * STEP;
                fetched.extend(ahead.read(&(at..at + STEP), FAR, REQUEST));
            }
        }
        assert_eq!(ahead.streams.len(), 1);
        assert!(sizes(&fetched) > 24 << 20);
    }

    #[test]
    fn random_reads_fetch_nothing_ahead() {
        let mut ahead = Ahead::new(1 << 30, false);
        for turn in 1..100u64 {
            let at = turn * 997 % 100 * (10 << 20) + 12345;
            assert_eq!(ahead.read(&(at..at + 4096), FAR, REQUEST), [], "{turn}");
        }
        assert!(ahead.streams.len() <= STREAMS);
    }

    #[test]
    fn several_readers_in_sequence_are_told_apart() {
        let mut ahead = Ahead::new(1 << 30, false);
        let mut sum = 0;
        for step in 0..64 {
            for reader in 0..4u64 {
                let at = (reader << 27) + step * STEP;
                sum += sizes(&ahead.read(&(at..at + STEP), FAR, REQUEST));
            }
        }
        assert_eq!(ahead.streams.len(), 4);
        assert!(sum > 4 * (8 << 20), "{sum}");
    }

    #[test]
    fn who_jumps_gets_less() {
        let mut ahead = Ahead::new(1 << 30, false);
        for at in (0..64 << 20).step_by(STEP as usize) {
            ahead.read(&(at..at + STEP), FAR, REQUEST);
        }
        let before = ahead.streams[0].window;
        ahead.read(&(900 << 20..(900 << 20) + 10), FAR, REQUEST);
        assert_eq!(ahead.streams[0].window, before / 2);
        assert_eq!(ahead.streams[1].window, 0);
    }

    proptest! {
        #[test]
        fn whatever_is_read_the_bounds_hold(
            size in 1u64..200 << 20,
            whole: bool,
            reads in proptest::collection::vec((0.0..1.0f64, 1u64..2 << 20, 0u32..8), 1..60),
            farthest in BLOCK..FAR,
        ) {
            let mut ahead = Ahead::new(size, whole);
            let mut at = 0;
            for (place, length, kind) in reads {
                if kind == 0 {
                    at = (place * size as f64) as u64;
                }
                let range = at.min(size - 1)..(at + length).min(size).max(at.min(size - 1) + 1);
                for due in ahead.read(&range, farthest, REQUEST) {
                    prop_assert!(due.start < due.end && due.end <= size);
                    prop_assert_eq!(due.start % BLOCK, 0);
                    prop_assert!(due.end % BLOCK == 0 || due.end == size);
                    prop_assert!(due.end - due.start <= REQUEST);
                    prop_assert!(due.end <= range.end + farthest + REQUEST + NEAR + BLOCK, "{due:?} {range:?}");
                }
                at = range.end;
            }
        }
    }
}
