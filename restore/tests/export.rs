//! The export job over genuine repositories and tablets: every row of every table against what SELECT returns.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::exporting::{Pipe, all_rows, done, piped, run};
use serde_json::{Map, Value, json};
use starsnap_restore::export::{CsvOptions, ExportOptions, Format, Target, export};
use starsnap_restore::report::JobStatus;
use starsnap_restore::{Cancel, ErrorKind, Progress, RestoreError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const HUBS: [(&str, &str); 3] = [("sr33", "sr33"), ("sr35", "sr35"), ("sr40", "sr35")];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn hub(version: &str, below: &str) -> String {
    fixtures().join(format!("repositories/{version}/hub/location/{below}")).display().to_string()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    bytes.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

/// The lines of all files below `dir`.
fn all_lines(dir: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.extend(if path.is_dir() { all_lines(&path) } else { lines(&std::fs::read(&path).unwrap()) });
    }
    found
}

/// What the fixtures write for a value, as an export writes it. `physical` fixtures hold the bytes of sketches too.
fn as_exported(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            if let Some(json) = members.get("json") {
                let text = json.as_str().unwrap();
                return if text.is_empty() { json!("") } else { plain(&serde_json::from_str(text).unwrap()) };
            }
            if members.contains_key("p50") {
                return members["hex"].clone();
            }
            // Made from how many values went in: what the estimate of a sketch is, other tests compare.
            if members.contains_key("percentile_count") {
                return json!({"skipped": true});
            }
            if let Some(found) = members.get("hll_card").or_else(|| members.get("bitmap")) {
                return plain(found);
            }
            members.iter().map(|(name, value)| (name.clone(), as_exported(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(as_exported).collect(),
        other => plain(other),
    }
}

/// JSON values that are equal however they were written: members sorted, numbers as doubles unless they are integers.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Number(number) if number.is_f64() => {
            let value = number.as_f64().unwrap();
            // 1.0 and 1 are one value.
            if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
        }
        other => other.clone(),
    }
}

#[track_caller]
fn assert_same_rows(ours: Vec<Value>, expected: Vec<Value>, what: &str) {
    let mut expected: Vec<Value> = expected.iter().map(|row| plain(&as_exported(row))).collect();
    let skipped: Vec<String> = match expected.first().and_then(Value::as_object) {
        Some(row) => row.iter().filter(|(_, v)| v.get("skipped").is_some()).map(|(name, _)| name.clone()).collect(),
        None => Vec::new(),
    };
    let mut ours: Vec<Value> = ours.iter().map(plain).collect();
    for row in ours.iter_mut().chain(&mut expected) {
        for name in &skipped {
            row[name] = Value::Null;
        }
    }
    let key = |row: &Value| row.to_string();
    ours.sort_by_cached_key(key);
    expected.sort_by_cached_key(key);
    assert_eq!(ours.len(), expected.len(), "{what}: number of rows");
    for (ours, expected) in ours.iter().zip(&expected) {
        assert_eq!(ours, expected, "{what}");
    }
}

/// `<table>.<partition>.jsonl` in `expected/`, rollups left out.
fn expected(version: &str) -> Vec<(String, String, Vec<Value>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(fixtures().join(format!("repositories/{version}/hub/expected"))).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let parts: Vec<&str> = name.split('.').collect();
        if let [table, partition] = parts[..] {
            found.push((table.to_owned(), partition.to_owned(), lines(&std::fs::read(&path).unwrap())));
        }
    }
    assert!(found.len() > 15);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_of_every_table_holds_the_rows_that_select_returns() {
    let mut rows = 0;
    for (version, like) in HUBS {
        for (table, partition, expected) in expected(like) {
            let source = hub(version, &format!("sr_hub_full/{table}/{partition}"));
            let ours = lines(&piped(all_rows(&source, Format::JsonLines).await.unwrap()).await.0);
            rows += ours.len();
            assert_same_rows(ours, expected, &source);
        }
    }
    assert!(rows > 10_000, "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_snapshot_becomes_a_directory_of_tables() {
    let dir = tempfile::tempdir().unwrap();
    let source = hub("sr35", "sr_hub_full@latest");
    let report =
        done(run(all_rows(&source, Format::JsonLines).await.unwrap(), Target::Directory(dir.path().into())).await);
    let mut total = 0;
    let expected = expected("sr35");
    let tables: std::collections::BTreeSet<&String> = expected.iter().map(|(table, ..)| table).collect();
    assert_eq!(report.tables.len(), tables.len(), "{report:?}");
    for table in tables {
        let rows =
            expected.iter().filter(|(of, ..)| of == table).flat_map(|(.., rows)| rows.clone()).collect::<Vec<_>>();
        total += rows.len() as u64;
        assert_same_rows(all_lines(&dir.path().join(table)), rows, table);
    }
    assert_eq!(report.rows, total);
    // Nothing else is left there.
    assert!(std::fs::read_dir(dir.path()).unwrap().all(|e| !e.unwrap().file_name().to_str().unwrap().starts_with('.')));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_is_exported_by_its_name() {
    let source = hub("sr35", "sr_hub_full/sales");
    let mut options = all_rows(&source, Format::JsonLines).await.unwrap();
    options.index = Some("sales_by_day_city".into());
    let ours = lines(&piped(options.clone()).await.0);
    let mut rows = Vec::new();
    for partition in ["p_asia", "p_eu", "p_us"] {
        let name = format!("repositories/sr35/hub/expected/sales.sales_by_day_city.{partition}.jsonl");
        rows.extend(lines(&std::fs::read(fixtures().join(name)).unwrap()));
    }
    // Rows of one key stand in several tablets, so that what is equal is the sums of the numbers.
    let names = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours[0]), names(&rows[0]));
    let sums = |rows: &[Value]| {
        let sum = |name: &String| rows.iter().filter_map(|row| row[name].as_i64()).sum::<i64>();
        names(&rows[0]).iter().map(sum).collect::<Vec<_>>()
    };
    assert_eq!(sums(&ours), sums(&rows));
    assert!(sums(&ours).iter().any(|sum| *sum > 0));
    options.index = Some("nothing".into());
    let failed = run(options, Pipe::default().target()).await.unwrap();
    assert!(failed.tables[0].problems[0].contains("sales_by_day_city"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_tablets_give_their_physical_rows_in_order() {
    let mut cases = 0;
    for version in ["sr23", "sr33", "sr35"] {
        for case in std::fs::read_dir(fixtures().join("tablets").join(version)).unwrap() {
            let case = case.unwrap().path();
            let tablet = case.join("tablet");
            let size: u64 = std::fs::read_dir(&tablet).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
            let file = case.join("expected.jsonl.zst");
            // The larger ones are compared by the reader's own tests.
            if !file.exists() || size > 1 << 20 {
                continue;
            }
            let mut options = all_rows(tablet.to_str().unwrap(), Format::JsonLines).await.unwrap();
            options.physical = true;
            let ours = lines(&piped(options).await.0);
            let expected = lines(&zstd::decode_all(std::fs::File::open(&file).unwrap()).unwrap());
            assert_eq!(ours.len(), expected.len(), "{}", case.display());
            for (ours, expected) in ours.iter().zip(&expected) {
                let (ours, expected) = (ours.as_object().unwrap(), expected.as_object().unwrap());
                assert_eq!(ours.len(), expected.len());
                for (name, value) in expected {
                    let (ours, expected) = (trimmed(&plain(&ours[name])), trimmed(&plain(&as_exported(value))));
                    assert_eq!(ours, expected, "{}: {name}", case.display());
                }
            }
            cases += 1;
        }
    }
    assert!(cases > 20, "{cases}");
}

/// The old DECIMAL is printed with and without zeros at its end.
fn trimmed(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || b"-.".contains(&b)) => {
            json!(text.trim_end_matches('0').trim_end_matches('.'))
        }
        Value::Array(items) => items.iter().map(trimmed).collect(),
        Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), trimmed(v))).collect::<Map<_, _>>().into(),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_and_limits_are_kept() {
    let source = hub("sr35", "sr_hub_full/sr_member");
    let all = lines(&piped(all_rows(&source, Format::JsonLines).await.unwrap()).await.0);
    let mut options = all_rows(&source, Format::JsonLines).await.unwrap();
    options.columns = vec!["CITY_CODE".into(), "name".into()];
    for limit in [0, 1, 7, 1000, 1_000_000] {
        options.limit = Some(limit);
        let wanted = all.iter().take(limit as usize);
        let wanted: Vec<String> =
            wanted.map(|row| format!("{{\"city_code\":{},\"name\":{}}}", row["city_code"], row["name"])).collect();
        let ours = String::from_utf8(piped(options.clone()).await.0).unwrap();
        assert_eq!(ours.lines().collect::<Vec<_>>(), wanted, "limit {limit}");
        let dir = tempfile::tempdir().unwrap();
        let report = done(run(options.clone(), Target::Directory(dir.path().into())).await);
        assert_eq!(report.rows, wanted.len() as u64);
    }
    options.columns = vec!["nothing".into()];
    let failed = run(options, Pipe::default().target()).await.unwrap();
    assert_eq!(failed.status, JobStatus::Failed);
    assert!(failed.tables[0].problems[0].contains("city_code"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_a_header_nulls_and_quotes() {
    let source = hub("sr35", "sr_hub_full/sr_member");
    let csv = CsvOptions { header: true, ..CsvOptions::default() };
    let text = String::from_utf8(piped(all_rows(&source, Format::Csv(csv)).await.unwrap()).await.0).unwrap();
    assert!(text.starts_with("sr_id,name,city_code,reg_date,verified\n"), "{}", &text[..200]);
    let all = lines(&piped(all_rows(&source, Format::JsonLines).await.unwrap()).await.0);
    assert_eq!(text.lines().count(), all.len() + 1);
    let tabs = CsvOptions { separator: b"\t".into(), null: b"".into(), header: false };
    let text = String::from_utf8(piped(all_rows(&source, Format::Csv(tabs)).await.unwrap()).await.0).unwrap();
    for (line, row) in text.lines().zip(&all) {
        // Without quotes, nothing is NULL.
        let quoted = |name: &str| match name.is_empty() || name.contains(['"', '\t']) {
            true => format!("\"{}\"", name.replace('"', "\"\"")),
            false => name.to_owned(),
        };
        let id = row["sr_id"].as_i64().map(|id| id.to_string()).unwrap_or_default();
        let begin = format!("{id}\t{}\t", row["name"].as_str().map(quoted).unwrap_or_default());
        assert!(line.starts_with(&begin), "{line} does not begin with {begin}");
    }
}

/// Stops the job after some files.
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
async fn an_interrupted_export_goes_on_and_appears_whole() {
    let dir = tempfile::tempdir().unwrap();
    let source = hub("sr35", "sr_hub_full/sr_member");
    let target = || Target::Directory(dir.path().into());
    let cancel = Cancel::default();
    let stop = Arc::new(StopAfter(Mutex::new(2), cancel.clone()));
    let mut one = all_rows(&source, Format::Parquet).await.unwrap();
    one.workers = 1;
    let first = export(one.clone(), target(), stop, cancel).await.unwrap();
    assert_eq!(first.status, JobStatus::Interrupted);
    assert!(!dir.path().join("sr_member").exists());
    // Another export does not take it for its own.
    let elsewhere = hub("sr35", "sr_hub_full/sr_member/p1");
    let other = all_rows(&elsewhere, Format::JsonLines).await.unwrap();
    let second_dir = tempfile::tempdir().unwrap();
    assert_eq!(done(run(other, Target::Directory(second_dir.path().into())).await).reused_files, 0);
    let report = done(run(one.clone(), target()).await);
    assert_eq!(report.reused_files, 2);
    assert!(report.files > 2);
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["sr_member"]);
    // What stands there is not touched.
    let again = run(one, target()).await.unwrap();
    assert_eq!(again.status, JobStatus::Failed);
    assert!(again.tables[0].problems[0].contains("stands there"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orders.parquet");
    let source = hub("sr35", "sr_hub_full/orders");
    let one = all_rows(&source, Format::Parquet).await.unwrap();
    done(run(one.clone(), Target::File(file.clone())).await);
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let again = run(one, Target::File(file.clone())).await.unwrap();
    assert_eq!(again.status, JobStatus::Failed);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);

    // A damaged tablet leaves nothing.
    let broken = common::copy_of("sr35/hub");
    let mut damaged = 0;
    damage(broken.path(), &mut damaged);
    assert!(damaged > 10);
    let source = broken.path().join("sr_hub_full/orders").display().to_string();
    let other = dir.path().join("damaged.csv");
    let csv = Format::Csv(CsvOptions::default());
    let failed = run(all_rows(&source, csv).await.unwrap(), Target::File(other)).await.unwrap();
    assert_eq!(failed.status, JobStatus::Failed, "{failed:?}");
    assert!(failed.tables[0].problems[0].contains("damaged"), "{failed:?}");
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["orders.parquet"]);
}

/// Turns a byte over in the middle of every segment.
fn damage(dir: &Path, count: &mut usize) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path, count);
        } else if path.to_str().unwrap().contains(".dat.") {
            let mut bytes = std::fs::read(&path).unwrap();
            // The first page, which every scan reads.
            bytes[12] ^= 0x55;
            std::fs::write(&path, bytes).unwrap();
            *count += 1;
        }
    }
}

/// A pipe whose reader goes away.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_failure() {
    let source = hub("sr35", "sr_hub_full/orders");
    for format in [Format::JsonLines, Format::Parquet, Format::Arrow, Format::Csv(CsvOptions::default())] {
        done(run(all_rows(&source, format).await.unwrap(), Target::Stream(Box::new(Closed))).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused() {
    let kind = |result: Result<ExportOptions, RestoreError>| result.unwrap_err().kind;
    let format = || Format::JsonLines;
    assert_eq!(kind(all_rows(&hub("sr35", ""), format()).await), ErrorKind::Usage);
    assert_eq!(kind(all_rows("/no/such/place/at/all", format()).await), ErrorKind::NotFound);
    assert_eq!(kind(all_rows(&hub("sr35", "no_label/t"), format()).await), ErrorKind::NotFound);
    assert_eq!(kind(all_rows(&hub("sr35", "sr_hub_full/no_table"), format()).await), ErrorKind::NoSuchObject);
    assert_eq!(
        kind(all_rows(&hub("sr35", "sr_hub_full/orders/no_partition"), format()).await),
        ErrorKind::NoSuchObject
    );
    let whole = all_rows(&hub("sr35", "sr_hub_full"), format()).await.unwrap();
    let refused = run(whole, Pipe::default().target()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Usage);
    let view = all_rows(&hub("sr35", "sr_hub_full/v_member"), format()).await.unwrap();
    let refused = run(view, Pipe::default().target()).await.unwrap();
    assert!(refused.tables[0].problems[0].contains("view"), "{refused:?}");
}
