//! Work on many things at once, on threads that may block.

use crate::error::{ErrorKind, RestoreError, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Does `work` for every item, `workers` at once; results in the items' order. After an error nothing more is begun.
pub(super) fn parallel<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<(usize, Result<R>)>> = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            match done.lock() {
                Ok(mut done) => done.push((at, result)),
                Err(poisoned) => poisoned.into_inner().push((at, result)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.min(items.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    let results = done.into_iter().map(|(_, result)| result).collect::<Result<Vec<R>>>()?;
    if results.len() == items.len() {
        return Ok(results);
    }
    Err(RestoreError::new(ErrorKind::Io, "finish", "the export", "a worker ended before its work"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        for workers in [0, 1, 7] {
            let doubled = parallel(&items, workers, |item| Ok(item * 2)).unwrap();
            assert!(doubled.iter().enumerate().all(|(at, value)| at * 2 == *value));
        }
        assert!(parallel(&[] as &[u8], 4, |_| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn an_error_ends_the_work() {
        let items: Vec<usize> = (0..100_000).collect();
        let begun = AtomicUsize::new(0);
        let failed = parallel(&items, 3, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 5 { Err(RestoreError::interrupted("x")) } else { Ok(()) }
        });
        assert_eq!(failed.unwrap_err().kind, ErrorKind::Interrupted);
        assert!(begun.into_inner() < items.len());
    }
}
