//! Tables merged from many sorted runs.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

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
