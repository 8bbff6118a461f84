//! Every stored cell of every genuine tablet against what StarRocks' own readers return.

use super::common;
use super::render::{options, render, same};
use serde_json::Value;
use starsnap_tablet::ReadOptions;

#[test]
fn every_stored_cell_is_what_starrocks_reads() {
    let (mut cases, mut cells) = (0, 0);
    for case in common::cases() {
        let tablet = case.open();
        let columns = tablet.meta().schema.columns.clone();
        let mut expected = case.expected().into_iter();
        let mut row_number = 0;
        for batch in tablet.physical_rows(None, &options()).unwrap() {
            let batch = batch.unwrap_or_else(|e| panic!("{case}: row {row_number}: {e}"));
            for row in 0..batch.num_rows() {
                let expected: Value = expected.next().unwrap_or_else(|| panic!("{case}: too many rows"));
                assert_eq!(expected.as_object().unwrap().len(), columns.len(), "{case}");
                for (array, column) in batch.columns().iter().zip(&columns) {
                    let ours = render(array, column, row);
                    let theirs = &expected[&column.name];
                    assert!(
                        same(&ours, theirs, column),
                        "{case}: row {row_number}, {}: {ours} is not {theirs}",
                        column.name
                    );
                    cells += 1;
                }
                row_number += 1;
            }
        }
        assert!(expected.next().is_none(), "{case}: {row_number} rows are too few");
        cases += 1;
    }
    println!("{cases} cases, {cells} cells");
    assert!(cases > 20 && cells > 1_000_000);
}

/// However few rows a batch has, the rows are the same.
#[test]
fn batches_of_any_size_hold_the_same_rows() {
    for case in common::cases().into_iter().filter(|c| c.is_small()) {
        let tablet = case.open();
        let all = common::concat(tablet.physical_rows(None, &options()).unwrap());
        for batch_rows in [1, 7, 1000] {
            let few = ReadOptions { batch_rows, ..options() };
            let parts: Vec<_> = tablet.physical_rows(None, &few).unwrap().map(Result::unwrap).collect();
            assert!(parts.iter().all(|b| b.num_rows() <= batch_rows), "{case}");
            assert!(common::concat(parts.into_iter().map(Ok)) == all, "{case}: {batch_rows} rows at a time");
        }
    }
}

#[test]
fn rows_that_are_passed_over_change_nothing_for_the_rows_behind_them() {
    for case in common::cases().into_iter().filter(|c| c.is_small()) {
        let tablet = case.open();
        let all = common::concat(tablet.physical_rows(None, &options()).unwrap());
        for skip in [1, 2, 99, 1000, 5000, all.num_rows() - 1, all.num_rows()] {
            let mut rows = tablet.physical_rows(None, &options()).unwrap();
            rows.skip_rows(skip as u64);
            let rest: Vec<_> = rows.map(Result::unwrap).collect();
            let wanted = all.slice(skip.min(all.num_rows()), all.num_rows().saturating_sub(skip));
            let rest = arrow_select::concat::concat_batches(&all.schema(), &rest).unwrap();
            assert!(rest == wanted, "{case}: {skip} rows passed over");
        }
    }
}
