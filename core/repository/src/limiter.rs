//! One speed limit for all workers of a job together, and stores that keep to it.

mod storage;

pub(crate) use storage::limited;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Largest piece that is transferred at once.
const MAX_PIECE: u64 = 1 << 20;

/// Longest sleep without a look at whether the job is stopped.
const NAP: Duration = Duration::from_millis(50);

/// Hands out time slots: each piece may start when all pieces before it, at the limit's speed, would be over. There is no credit for
/// idle time, so that no stretch of any length carries more than the limit and one piece.
#[derive(Debug)]
pub struct Limiter {
    /// Bytes per second; none: unlimited.
    speed: Option<u64>,
    start: Instant,
    /// When the next piece may start, since `start`.
    next: Mutex<Duration>,
}

impl Limiter {
    /// Bytes per second; none: no limit.
    pub fn new(speed: Option<u64>) -> Limiter {
        Limiter { speed: speed.map(|speed| speed.max(1)), start: Instant::now(), next: Mutex::default() }
    }

    /// Bytes per piece: a twentieth of a second's worth where a limit is set, so that slow limits hold over short times too.
    pub fn piece(&self) -> u64 {
        self.speed.map_or(MAX_PIECE, |speed| (speed / 20).clamp(1, MAX_PIECE))
    }

    /// True where there is a limit: then nothing may be fetched ahead of its turn.
    pub fn is_limited(&self) -> bool {
        self.speed.is_some()
    }

    /// Takes a slot for `bytes`, which may be transferred after the pause that is returned.
    pub(crate) fn slot(&self, bytes: u64) -> Duration {
        self.reserve(self.start.elapsed(), bytes)
    }

    /// Waits until `bytes` may be transferred.
    pub async fn wait(&self, bytes: u64) {
        let pause = self.slot(bytes);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// As [`Limiter::wait`], on a thread that may block. False, and early, once `stopped` says so.
    pub fn wait_blocking(&self, bytes: u64, stopped: &dyn Fn() -> bool) -> bool {
        let until = self.speed.map(|_| Instant::now() + self.reserve(self.start.elapsed(), bytes));
        loop {
            if stopped() {
                return false;
            }
            let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// Takes a slot for `bytes` at `now` (since the start); returns how long to wait for it.
    fn reserve(&self, now: Duration, bytes: u64) -> Duration {
        let Some(speed) = self.speed else { return Duration::ZERO };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (*next).max(now);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(speed);
        *next = slot.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
        slot - now
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    /// Runs `workers` on a made-up clock, each taking a slot, waiting for it and then spending `cost` on its piece; returns when pieces
    /// started, and their bytes.
    fn run(speed: u64, workers: usize, cost: Duration, until: Duration) -> Vec<(Duration, u64)> {
        let limiter = Limiter::new(Some(speed));
        let piece = limiter.piece();
        let mut free = vec![Duration::ZERO; workers];
        let mut out = Vec::new();
        loop {
            let worker = (0..workers).min_by_key(|worker| free[*worker]).unwrap();
            let now = free[worker];
            if now >= until {
                return out;
            }
            let start = now + limiter.reserve(now, piece);
            out.push((start, piece));
            free[worker] = start + cost;
        }
    }

    proptest! {
        #[test]
        fn no_ten_seconds_carry_more_than_the_limit_nor_much_less(
            speed in 1_000u64..2_000_000_000,
            workers in 1usize..32,
        ) {
            let pieces = run(speed, workers, Duration::from_micros(50), Duration::from_secs(31));
            for from in 0..20 {
                let (from, to) = (Duration::from_secs(from), Duration::from_secs(from + 10));
                let bytes: u64 = pieces.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, bytes)| bytes).sum();
                let share = bytes as f64 / (speed as f64 * 10.0);
                prop_assert!((0.9..=1.1).contains(&share), "{share} of the limit between {from:?} and {to:?}");
            }
        }
    }

    #[test]
    fn idle_time_earns_nothing() {
        let limiter = Limiter::new(Some(1000));
        assert_eq!(limiter.reserve(Duration::ZERO, 1000), Duration::ZERO);
        assert_eq!(limiter.reserve(Duration::from_secs(100), 1000), Duration::ZERO);
        assert_eq!(limiter.reserve(Duration::from_secs(100), 1000), Duration::from_secs(1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn holds_on_the_real_clock_for_many_workers() {
        let limiter = std::sync::Arc::new(Limiter::new(Some(1_000_000)));
        let begun = Instant::now();
        let workers = (0..8).map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                for _ in 0..5 {
                    limiter.wait(50_000).await;
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        // 2 MB at 1 MB/s; the last piece starts 50 ms before the end.
        assert!(begun.elapsed() >= Duration::from_millis(1940), "{:?}", begun.elapsed());
    }
}
