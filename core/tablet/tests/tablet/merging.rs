//! Tables merged from many sorted runs.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use starsnap_tablet::{KeysType, ReadAt, ReadOptions, Tablet, expected_files};

use super::common::{self, Case};
use super::render::options;

/// As if the rowsets, one after another, had been loaded into a UNIQUE KEY table so many times.
fn repeated(case: &Case, times: usize) -> Tablet {
    let mut meta = case.meta();
    meta.schema.keys_type = KeysType::Unique;
    meta.rowsets = std::iter::repeat_n(meta.rowsets, times).flatten().collect();
    let read = |name: String| (name.clone(), Arc::new(fs::read(case.tablet().join(name)).unwrap()));
    let files: HashMap<_, _> = expected_files(&meta).into_iter().map(read).collect();
    Tablet::new(meta, move |name: &str| Ok(files[name].clone() as Arc<dyn ReadAt>))
}

/// A file that says how many of its kind there are.
struct Counted(Arc<Vec<u8>>, Arc<AtomicUsize>);

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.0.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A process may have a thousand files open, and a tablet as many loads.
#[test]
fn very_many_runs_do_not_keep_their_files_open() {
    let case = common::cases().into_iter().find(|case| case.to_string() == "sr33/scalars_5k").unwrap();
    let mut meta = case.meta();
    let runs = 1100 / meta.schema.columns.len() + 1;
    meta.schema.keys_type = KeysType::Unique;
    meta.rowsets = std::iter::repeat_n(meta.rowsets, runs).flatten().collect();
    let name = expected_files(&meta).into_iter().next().unwrap();
    let bytes = Arc::new(fs::read(case.tablet().join(name)).unwrap());
    let (open, opened) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, all) = (open.clone(), opened.clone());
    let tablet = Tablet::new(meta, move |_: &str| {
        now.fetch_add(1, Ordering::Relaxed);
        all.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Counted(bytes.clone(), now.clone())) as Arc<dyn ReadAt>)
    });
    let mut most = 0;
    for batch in tablet.rows(None, &options()).unwrap() {
        batch.unwrap();
        most = most.max(open.load(Ordering::Relaxed));
    }
    assert!(most <= 1 && opened.load(Ordering::Relaxed) > runs, "{most} of {opened:?} are open after a batch");
}

/// How much may be held decides about batches, and about nothing else.
#[test]
fn rows_are_the_same_however_little_is_held() {
    let little = ReadOptions { held_bytes: 64 << 10, ..options() };
    let mut compared = 0;
    for case in common::cases() {
        let meta = case.meta();
        let rows: i64 = meta.rowsets.iter().map(|rowset| rowset.num_rows).sum();
        let deletes = meta.rowsets.iter().any(|rowset| rowset.delete_predicate.is_some());
        if !matches!(meta.schema.keys_type, KeysType::Duplicate | KeysType::Unique) || deletes || rows > 6_000 {
            continue;
        }
        let of = |options| repeated(&case, 3).rows(None, options).unwrap();
        assert!(common::concat(of(&little)) == common::concat(of(&options())), "{case}");
        compared += 1;
    }
    assert!(compared > 10, "{compared} compared");
}

/// What batches hold is bounded by how large their rows are in memory, which is more than what is stored of them.
#[test]
fn batches_become_as_small_as_their_rows_are_large() {
    let held_bytes = 1 << 20;
    let of = |held_bytes| ReadOptions { held_bytes, ..options() };
    let mut bounded = 0;
    for case in common::cases().into_iter().filter(|case| case.meta().rowsets.iter().all(|r| r.num_rows <= 100_000)) {
        let batches = case.open().rows(None, &of(held_bytes)).unwrap().map(Result::unwrap);
        let sizes: Vec<usize> = batches.map(|batch| batch.get_array_memory_size()).collect();
        // The first tells how large rows are; those after it may have larger ones.
        let most = sizes.iter().max().copied().unwrap_or(0);
        assert!(most < 3 * held_bytes, "{case}: {most} bytes");
        bounded += usize::from(sizes.len() > 3);
    }
    assert!(bounded > 3, "{bounded} of several batches");
}

/// Where there are too many runs for each to hold pages of all columns, they read them again; nothing else may change.
#[test]
fn very_many_runs_merge_as_few_do() {
    let few = ReadOptions { batch_rows: 500, ..options() };
    let (mut compared, mut large) = (0, 0);
    for case in common::cases() {
        let meta = case.meta();
        let rows: i64 = meta.rowsets.iter().map(|rowset| rowset.num_rows).sum();
        let deletes = meta.rowsets.iter().any(|rowset| rowset.delete_predicate.is_some());
        let times = 1100 / meta.schema.columns.len() + 1;
        if !matches!(meta.schema.keys_type, KeysType::Duplicate | KeysType::Unique) || deletes || rows > 6_000 {
            continue;
        }
        let of = |times| repeated(&case, times).rows(None, &few).unwrap();
        let wanted = common::concat(of(2));
        let mut rows = of(times);
        let found = common::concat(&mut rows);
        assert!(found == wanted, "{case}: {times} times");
        let stats = rows.stats();
        assert!(stats.pages_read >= stats.pages, "{case}: {stats:?}");
        compared += 1;
        large += usize::from(stats.pages_read > stats.pages);
    }
    assert!(compared > 10 && large > 3, "{compared} compared, {large} with pages that were read again");
}
