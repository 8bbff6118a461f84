//! Exports of some rows, in several files, by several processes: together and each alone they are what one export of everything is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::exporting::{self, Pipe, done, run};
use proptest::prelude::*;
use serde_json::Value;
use starsnap_restore::condition::Condition;
use starsnap_restore::export::{CsvOptions, ExportOptions, Format, Shard, Split, Target, export};
use starsnap_restore::report::{ExportReport, JobStatus};
use starsnap_restore::{Cancel, ErrorKind, Progress};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

fn hub(below: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    fixtures.join(format!("repositories/sr35/hub/location/{below}")).display().to_string()
}

async fn options(source: &str) -> ExportOptions {
    exporting::all_rows(source, Format::JsonLines).await.unwrap()
}

async fn piped(options: ExportOptions) -> (Vec<String>, ExportReport) {
    let (bytes, report) = exporting::piped(options).await;
    (String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect(), report)
}

/// Every file below a directory, hidden ones too: its path, and its lines.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let lines = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
            found.insert(path, lines);
        }
    }
    found
}

fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort();
    lines
}

type Meets = fn(&Value) -> bool;

fn number(row: &Value, name: &str) -> Option<f64> {
    row[name].as_f64().or_else(|| row[name].as_str()?.parse().ok())
}

/// Conditions, and what they mean.
const CONDITIONS: &[(&str, &str, Meets)] = &[
    ("sr_member", "city_code = 300000", |r| r["city_code"] == 300_000),
    ("sr_member", "NOT (city_code <= 200000 OR verified)", |r| {
        number(r, "city_code").is_some_and(|c| c > 200_000.0) && r["verified"] == false
    }),
    ("sr_member", "sr_id IS NULL OR name LIKE '%n_o%'", |r| {
        let at = |n: &str| n.char_indices().any(|(at, c)| c == 'n' && n[at..].chars().nth(2) == Some('o'));
        r["sr_id"].is_null() || r["name"].as_str().is_some_and(at)
    }),
    ("sr_member", "reg_date BETWEEN '2022-03-13' AND '2022-03-14'", |r| {
        r["reg_date"].as_str().is_some_and(|d| ("2022-03-13"..="2022-03-14").contains(&d))
    }),
    // Value columns of tables that are merged: what the merged row has decides, not what older rows had.
    ("users", "score < 0.5 and vip", |r| number(r, "score").is_some_and(|s| s < 0.5) && r["vip"] == true),
    ("users", "`name` LIKE 'plain%'", |r| r["name"].as_str().is_some_and(|n| n.starts_with("plain"))),
    ("users", "user_id IN (1, 7, 9, 100, 5000) AND balance IS NOT NULL", |r| {
        [1, 7, 9, 100, 5000].contains(&r["user_id"].as_i64().unwrap()) && !r["balance"].is_null()
    }),
    ("users", "city <=> NULL or birthday < DATE '1990-01-01'", |r| {
        r["city"].is_null() || r["birthday"].as_str().is_some_and(|d| d < "1990-01-01")
    }),
    ("page_views", "pv > 1000000 AND max_load <> 5", |r| {
        number(r, "pv").is_some_and(|v| v > 1e6) && number(r, "max_load").is_some_and(|v| v != 5.0)
    }),
    ("page_views", "site_id < 3.5 AND day = '2024-01-01'", |r| {
        number(r, "site_id").is_some_and(|v| v < 3.5) && r["day"] == "2024-01-01"
    }),
    ("orders", "status = 'done' AND amount >= 1000000.005", |r| {
        r["status"] == "done" && number(r, "amount").is_some_and(|v| v >= 1_000_000.005)
    }),
    ("orders", "qty NOT IN (85, NULL)", |_| false),
    ("orders", "order_id > 1000000100 AND order_date < '2024-02-01'", |r| {
        number(r, "order_id").unwrap() > 1_000_000_100.0 && r["order_date"].as_str().unwrap() < "2024-02-01"
    }),
    ("sales", "region IN ('in', 'de') AND price > 500", |r| {
        ["in", "de"].iter().any(|name| r["region"] == *name) && number(r, "price").is_some_and(|v| v > 500.0)
    }),
    ("sales", "TRUE", |_| true),
    ("sales", "qty = NULL", |_| false),
];

#[tokio::test(flavor = "multi_thread")]
async fn conditions_leave_the_rows_that_meet_them() {
    let mut found = 0;
    for (table, condition, meets) in CONDITIONS {
        let source = hub(&format!("sr_hub_full/{table}"));
        let (all, _) = piped(options(&source).await).await;
        let wanted: Vec<String> =
            all.iter().filter(|line| meets(&serde_json::from_str(line).unwrap())).cloned().collect();
        let mut some = options(&source).await;
        some.condition = Some(Condition::parse(condition).unwrap());
        let (ours, report) = piped(some.clone()).await;
        assert_eq!(ours, wanted, "{table}: {condition}");
        assert_eq!(report.rows, wanted.len() as u64);
        let scan = report.tables[0].scan.unwrap();
        assert!(scan.rows_stored >= all.len() as u64 && scan.rows_skipped <= scan.rows_stored, "{scan:?}");
        found += ours.len();

        // Columns that are only filtered by are not written, and a limit counts what is left.
        let first = all[0].split(':').next().unwrap().trim_start_matches('{').trim_matches('"').to_owned();
        (some.columns, some.limit) = (vec![first.clone()], Some(3));
        let (narrow, _) = piped(some).await;
        let cell = |line: &String| format!("{{\"{first}\":{}}}", serde_json::from_str::<Value>(line).unwrap()[&first]);
        assert_eq!(narrow, wanted.iter().take(3).map(cell).collect::<Vec<_>>(), "{table}: {condition}");
    }
    assert!(found > 500, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_a_table_cannot_have_names_the_place() {
    for (condition, about) in [
        ("a = 1\n AND nothing = 2", "line 1, column 1"),
        ("qty = 1 AND nothing = 2", "line 1, column 13"),
        ("qty < 'x'", "no number"),
    ] {
        let mut some = options(&hub("sr_hub_full/sales")).await;
        some.condition = Some(Condition::parse(condition).unwrap());
        let report = run(some, Pipe::default().target()).await.unwrap();
        assert_eq!(report.status, JobStatus::Failed);
        let problem = &report.tables[0].problems[0];
        assert!(problem.contains(about), "{problem}");
        // Where a column is missing, those that are there are named.
        assert_eq!(problem.contains("sale_id"), condition.contains("nothing"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tablets_split_into_files_of_so_many_rows_or_bytes() {
    let source = hub("sr_hub_full/sr_member");
    let (all, _) = piped(options(&source).await).await;
    for split in [Split::Rows(1), Split::Rows(7), Split::Rows(1_000_000), Split::Bytes(1), Split::Bytes(10_000)] {
        let dir = tempfile::tempdir().unwrap();
        let mut some = options(&source).await;
        some.split = split;
        let report = done(run(some, Target::Directory(dir.path().into())).await);
        let files = files(dir.path());
        assert_eq!(report.files, files.len() as u64);
        assert_eq!(sorted(files.values().flatten().cloned()), sorted(all.iter().cloned()), "{split:?}");
        let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (path, lines) in &files {
            let name = path.to_str().unwrap().strip_suffix(".jsonl").unwrap();
            let (tablet, number) = name.rsplit_once('-').unwrap();
            numbers.entry(tablet.to_owned()).or_default().push(number.parse().unwrap());
            if let Split::Rows(rows) = split {
                assert!(lines.len() as u64 <= rows, "{name}");
            }
        }
        for (tablet, numbers) in numbers {
            assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>(), "{tablet}");
        }
    }
    let mut one = options(&source).await;
    one.split = Split::Rows(5);
    assert_eq!(run(one, Target::File("x.jsonl".into())).await.unwrap_err().kind, ErrorKind::Usage);
}

struct StopAfter(Mutex<usize>, Cancel);

impl Progress for StopAfter {
    fn file_done(&self, _table: &str, _path: &str) {
        let mut left = self.0.lock().unwrap();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.1.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_export_goes_on_within_a_tablet() {
    let source = hub("sr_hub_full/sr_member");
    for (format, split) in [(Format::JsonLines, Split::Rows(5)), (Format::Csv(CsvOptions::default()), Split::Bytes(1))]
    {
        let mut one = options(&source).await;
        (one.workers, one.split, one.format) = (1, split, format);
        let whole = tempfile::tempdir().unwrap();
        let report = done(run(one.clone(), Target::Directory(whole.path().into())).await);
        let dir = tempfile::tempdir().unwrap();
        let mut stops = 0;
        loop {
            let cancel = Cancel::default();
            let stop = Arc::new(StopAfter(Mutex::new(2), cancel.clone()));
            let part = export(one.clone(), Target::Directory(dir.path().into()), stop, cancel).await.unwrap();
            // The last one may be told to stop when there is nothing left to do.
            if dir.path().join("sr_member").exists() {
                assert!(part.reused_files > 0 && part.files == report.files, "{part:?}");
                break;
            }
            assert_eq!(part.status, JobStatus::Interrupted);
            stops += 1;
            assert!(stops < 1000);
        }
        assert!(stops > 1, "{stops}");
        let below = |dir: &Path| -> BTreeMap<PathBuf, Vec<String>> {
            files(dir).into_iter().map(|(path, lines)| (path.strip_prefix(dir).unwrap().to_owned(), lines)).collect()
        };
        assert_eq!(below(dir.path()), below(whole.path()));
    }
}

/// As a run leaves them that was killed when it had written more, and smaller, parts.
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_a_run_does_not_write_over_are_not_published() {
    let source = hub("sr_hub_full/sr_member");
    let (all, _) = piped(options(&source).await).await;
    for limit in [None, Some(all.len() as u64 - 1)] {
        let mut one = options(&source).await;
        (one.workers, one.limit, one.split) = (1, limit, Split::Rows(1));
        let whole = tempfile::tempdir().unwrap();
        done(run(one.clone(), Target::Directory(whole.path().into())).await);
        let dir = tempfile::tempdir().unwrap();
        let cancel = Cancel::default();
        let stop = Arc::new(StopAfter(Mutex::new(2), cancel.clone()));
        let report = export(one.clone(), Target::Directory(dir.path().into()), stop, cancel).await.unwrap();
        assert_eq!(report.status, JobStatus::Interrupted, "{limit:?}");
        let mut planted = 0;
        for path in files(dir.path()).into_keys() {
            if path.parent().is_some_and(|parent| parent.ends_with(".journals")) {
                // Of the tablet, the first part counts, at most.
                let journal = std::fs::read_to_string(&path).unwrap();
                let first = journal.split_inclusive('\n').next().unwrap_or_default();
                std::fs::write(&path, first.trim_start_matches("end\n")).unwrap();
            } else if let Some(tablet) = path.to_str().unwrap().strip_suffix("00000.jsonl") {
                for name in ["00040.jsonl", "100000.jsonl", "00041.jsonl.part"] {
                    std::fs::write(format!("{tablet}{name}"), "{}\n").unwrap();
                }
                planted += 1;
            }
        }
        assert!(planted > 0);
        done(run(one, Target::Directory(dir.path().into())).await);
        let below = |dir: &Path| -> BTreeMap<PathBuf, Vec<String>> {
            files(dir).into_iter().map(|(path, lines)| (path.strip_prefix(dir).unwrap().to_owned(), lines)).collect()
        };
        assert_eq!(below(dir.path()), below(whole.path()), "{limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_export_everything_once() {
    let source = hub("sr_hub_full");
    for table in ["sr_member", "orders"] {
        let source = format!("{source}/{table}");
        let (all, _) = piped(options(&source).await).await;
        for count in [1, 2, 3, 7, 60] {
            let mut union = Vec::new();
            for index in 0..count {
                let mut part = options(&source).await;
                part.shard = Some(Shard { index, count });
                let (lines, _) = piped(part.clone()).await;
                assert_eq!(lines, piped(part).await.0);
                union.extend(lines);
            }
            assert_eq!(sorted(union), sorted(all.iter().cloned()), "{table} in {count} parts");
        }
    }
    let mut both = options(&source).await;
    (both.shard, both.limit) = (Some(Shard { index: 0, count: 2 }), Some(1));
    let refused = run(both, Target::Directory("x".into())).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Usage);
}

async fn shard_into(dir: &Path, index: u32, count: u32, split: Split) -> ExportReport {
    let mut part = options(&hub("sr_hub_full/orders")).await;
    (part.shard, part.split) = (Some(Shard { index, count }), split);
    done(run(part, Target::Directory(dir.into())).await)
}

fn visible(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_shards_appears_with_the_last_of_them() {
    let one = tempfile::tempdir().unwrap();
    done(run(options(&hub("sr_hub_full/orders")).await, Target::Directory(one.path().into())).await);
    let whole = |dir: &Path| -> BTreeMap<PathBuf, Vec<String>> {
        let below = |path: &Path| path.strip_prefix(dir).unwrap().to_owned();
        files(dir).into_iter().filter(|(path, _)| !path.ends_with(".export")).map(|(p, l)| (below(&p), l)).collect()
    };
    let dir = tempfile::tempdir().unwrap();
    for (at, index) in [2, 0, 3].into_iter().enumerate() {
        let report = shard_into(dir.path(), index, 4, Split::Tablet).await;
        assert!(visible(dir.path()).is_empty());
        assert!(report.tables[0].notes[0].contains(&format!("the other {} are", 3 - at)), "{report:?}");
        // Once more: nothing is written again.
        let again = shard_into(dir.path(), index, 4, Split::Tablet).await;
        assert_eq!((again.files, again.reused_files, again.rows), (report.files, report.files, 0));
    }
    let last = shard_into(dir.path(), 1, 4, Split::Tablet).await;
    assert!(last.tables[0].notes.is_empty());
    assert_eq!(visible(dir.path()), ["orders"]);
    assert_eq!(whole(dir.path()), whole(one.path()));
    // Any of them may run again when all is done, as schedulers do.
    for index in 0..4 {
        assert_eq!(shard_into(dir.path(), index, 4, Split::Tablet).await.rows, 0);
    }
    assert_eq!(whole(dir.path()), whole(one.path()));
    // What another export has left there is not taken for it.
    let mut other = options(&hub("sr_hub_full/orders")).await;
    other.shard = Some(Shard { index: 0, count: 5 });
    let refused = run(other, Target::Directory(dir.path().into())).await.unwrap();
    assert!(refused.tables[0].problems[0].contains("stands there"), "{refused:?}");
}

/// Nothing but time tells that the hosts' copies are of one backup: their files' inodes and ctimes are their own.
#[tokio::test(flavor = "multi_thread")]
async fn shards_may_read_copies_of_their_own() {
    let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let repository = common::open(&common::location("sr35/hub")).await;
    let mut job = common::options(common::source(&repository, "sr_hub_full").await, dir.path());
    job.tables = common::table("orders");
    common::run(job).await.unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_723_652_491);
    for index in [0, 1] {
        let copy = dir.path().join(format!("host{index}/orders"));
        common::copy(&dir.path().join("sr_hub/orders"), &copy);
        for path in common::tree(&copy).into_keys() {
            std::fs::File::options().write(true).open(copy.join(path)).unwrap().set_modified(time).unwrap();
        }
        let mut part = options(copy.to_str().unwrap()).await;
        part.shard = Some(Shard { index, count: 2 });
        done(run(part, Target::Directory(to.path().into())).await);
    }
    assert_eq!(visible(to.path()), ["orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_at_once_do_not_get_in_each_others_way() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let parts = (0..6).map(|index| {
            let dir = dir.path().to_owned();
            tokio::spawn(async move { shard_into(&dir, index, 6, Split::Rows(100)).await })
        });
        let mut rows = 0;
        for part in parts.collect::<Vec<_>>() {
            rows += part.await.unwrap().rows;
        }
        let (all, _) = piped(options(&hub("sr_hub_full/orders")).await).await;
        assert_eq!(rows, all.len() as u64);
        let written = files(&dir.path().join("orders"));
        let written = written.into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "jsonl"));
        assert_eq!(sorted(written.flat_map(|(_, lines)| lines)), sorted(all));
        let hidden: Vec<_> =
            files(dir.path()).into_keys().filter(|path| path.to_str().unwrap().contains("/.shard")).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// A condition and its opposite, and rows for which it is unknown, are all rows; shards and splits change nothing.
    #[test]
    fn a_condition_its_opposite_and_unknown_are_everything(qty in 0i64..100, index in 0u32..3, rows in 1u64..50) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let source = hub("sr_hub_full/sales");
            let mut union = Vec::new();
            for text in [format!("qty < {qty}.5"), format!("NOT qty < {qty}.5"), "qty IS NULL".to_owned()] {
                let mut part = options(&source).await;
                (part.condition, part.split) = (Some(Condition::parse(&text).unwrap()), Split::Rows(rows));
                part.shard = Some(Shard { index, count: 3 });
                for shard in 0..3 {
                    part.shard = Some(Shard { index: (index + shard) % 3, count: 3 });
                    let dir = tempfile::tempdir().unwrap();
                    done(run(part.clone(), Target::Directory(dir.path().into())).await);
                    let lines = files(dir.path()).into_iter().filter(|(p, _)| p.extension().is_some_and(|e| e == "jsonl"));
                    union.extend(lines.flat_map(|(_, lines)| lines));
                }
            }
            let (all, _) = piped(options(&source).await).await;
            assert_eq!(sorted(union), sorted(all));
        });
    }
}
