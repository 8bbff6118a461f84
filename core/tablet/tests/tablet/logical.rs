//! The rows that SELECT returns, against models that are computed here from what is known of each case.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use starsnap_tablet::predicate::{Op, Test};
use starsnap_tablet::schema::DecimalKind;
use starsnap_tablet::types::percentile::Percentile;
use starsnap_tablet::{Aggregation, Column, KeysType, LogicalType, ReadAt, ReadOptions, Tablet, TabletMeta};

use super::common::{self, Case};
use super::render::{options, render, unhex};

/// A value in a form that is equal for equal values: JSON parsed, sketches by what they tell, zeros of old decimals gone.
fn canonical(value: &Value, ty: &LogicalType) -> Value {
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        (LogicalType::Json, json) => {
            let text = json["json"].as_str().unwrap();
            if text.is_empty() { json!({"empty": true}) } else { sorted(&serde_json::from_str(text).unwrap()) }
        }
        (LogicalType::Hll, hll) => hll["hll_card"].clone(),
        (LogicalType::Bitmap, bitmap) => bitmap["bitmap"].clone(),
        (LogicalType::Percentile, percentile) => match percentile.get("percentile_count") {
            Some(count) => count.clone(),
            None => json!(Percentile::parse(&unhex(&percentile["hex"])).unwrap().count()),
        },
        (LogicalType::Decimal { kind: DecimalKind::V2, .. }, Value::String(text)) => json!(plain(text)),
        (LogicalType::Float, Value::Number(n)) => json!(n.as_f64().unwrap() as f32),
        (LogicalType::Double, Value::Number(n)) => json!(n.as_f64().unwrap()),
        (LogicalType::Array(element), Value::Array(items)) => items.iter().map(|i| canonical(i, &element.ty)).collect(),
        (LogicalType::Map(key, of), Value::Array(items)) => {
            items.iter().map(|i| json!([canonical(&i[0], &key.ty), canonical(&i[1], &of.ty)])).collect()
        }
        (LogicalType::Struct(fields), Value::Object(_)) => {
            fields.iter().map(|f| (f.name.clone(), canonical(&value[&f.name], &f.ty))).collect::<Map<_, _>>().into()
        }
        _ => value.clone(),
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Number(n) if n.is_f64() => match n.as_f64().unwrap() {
            f if f.fract() == 0.0 && f.abs() < 9e15 => json!(f as i64),
            f => json!(f),
        },
        other => other.clone(),
    }
}

/// Decimals of the old types are printed with and without zeros at the end.
fn plain(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn canonical_row(row: &Value, columns: &[Column]) -> String {
    let values: Vec<_> = columns.iter().map(|c| canonical(&row[&c.name], &c.ty)).collect();
    serde_json::to_string(&values).unwrap()
}

/// All rows of a tablet, in canonical form.
fn read(tablet: &Tablet) -> Vec<String> {
    let columns = &tablet.meta().schema.columns;
    let mut rows = Vec::new();
    for batch in tablet.rows(None, &options()).unwrap() {
        let batch = batch.unwrap();
        assert!(batch.num_rows() > 0);
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(columns);
            let object: Map<_, _> = cells.map(|(a, c)| (c.name.clone(), render(a, c, row))).collect();
            rows.push(canonical_row(&object.into(), columns));
        }
    }
    rows
}

/// What the conditions of a case's deletes say of a row: only what the cases need, on the texts of values.
fn deleted(meta: &TabletMeta, row: &Value, end_version: i64) -> bool {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut gone = false;
    for rowset in meta.rowsets.iter().filter(|r| r.start_version >= end_version) {
        let Some(predicate) = &rowset.delete_predicate else { continue };
        let mut met = true;
        for condition in &predicate.sub_predicates {
            let condition = std::str::from_utf8(condition).unwrap();
            met &= if let Some((column, value)) = condition.split_once("<<") {
                row[column].as_f64().is_some_and(|v| v < value.parse().unwrap())
            } else if let Some(column) = condition.strip_suffix(" IS NULL") {
                row[column].is_null()
            } else {
                let (column, value) = condition.split_once('=').unwrap();
                assert!(!column.contains(['<', '>', '!', '*']), "{condition}");
                text(&row[column]) == value
            };
        }
        for list in &predicate.in_predicates {
            let value = text(&row[list.column_name.as_deref().unwrap()]);
            let found = list.values.iter().any(|v| v.as_slice() == value.as_bytes());
            met &= found != list.is_not_in.unwrap();
        }
        gone |= met;
    }
    gone
}

/// The rows of a case as a plain, slow model has them.
fn model(case: &Case, tablet: &Tablet) -> Vec<String> {
    let meta = tablet.meta();
    let columns = &meta.schema.columns;
    let mut physical = case.expected().into_iter();
    let updates = case.dir.join("rows.jsonl.zst");
    let mut updates = if updates.exists() { case.lines(&updates) } else { Vec::new() }.into_iter();
    let mut rows = Vec::new();
    let mut by_key = BTreeMap::new();
    for rowset in &meta.rowsets {
        for (n, segment) in rowset.segments.iter().enumerate() {
            let count = tablet.open_segment(rowset, n).unwrap().num_rows();
            for ordinal in 0..count {
                let mut row = physical.next().unwrap();
                let update = updates.next();
                // Newest first: what an older group sets must not win.
                let mut set = Vec::new();
                for group in &segment.delta_columns {
                    for id in group.files.iter().flat_map(|f| &f.column_unique_ids).filter(|id| !set.contains(*id)) {
                        let name = &meta.schema.by_unique_id(*id as i32).unwrap().name;
                        row[name] = update.as_ref().unwrap()[format!("__u{}", group.version)][name].clone();
                    }
                    set.extend(group.files.iter().flat_map(|f| f.column_unique_ids.iter().copied()));
                }
                let dead = segment.delete_vector.as_ref().is_some_and(|d| d.rows.contains(ordinal as u32));
                if dead || deleted(meta, &row, rowset.end_version) {
                    continue;
                }
                match meta.schema.keys_type {
                    KeysType::Duplicate | KeysType::Primary => rows.push(canonical_row(&row, columns)),
                    KeysType::Unique | KeysType::Aggregate => {
                        let key: Vec<_> =
                            columns.iter().filter(|c| c.is_key).map(|c| row[&c.name].to_string()).collect();
                        let all = canonical_row(&row, columns);
                        let repeated = by_key.insert(key, all).is_some();
                        assert!(!repeated || meta.schema.keys_type == KeysType::Unique, "{case} needs a better model");
                    }
                }
            }
        }
    }
    rows.extend(by_key.into_values());
    rows
}

#[test]
fn rows_are_those_of_a_simple_model() {
    let mut changed = 0;
    for case in common::cases() {
        let tablet = case.open();
        let mut wanted = model(&case, &tablet);
        let mut rows = read(&tablet);
        let physical: u64 = tablet.meta().rowsets.iter().map(|r| r.num_rows as u64).sum();
        changed += usize::from(physical != rows.len() as u64);
        wanted.sort();
        rows.sort();
        assert_eq!(rows.len(), wanted.len(), "{case}");
        for (ours, wanted) in rows.iter().zip(&wanted) {
            assert_eq!(ours, wanted, "{case}");
        }
    }
    assert!(changed >= 8, "{changed} cases with deleted or merged rows");
}

/// Tablets of the whole repositories, by id: the newest snapshot of everything.
fn tablet_dirs(repository: &Path) -> BTreeMap<u64, PathBuf> {
    let mut dirs = BTreeMap::new();
    let mut stack = vec![repository.join("location")];
    while let Some(dir) = stack.pop() {
        for path in fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
            if path.file_name().unwrap().to_str().unwrap().starts_with("__idx_") {
                for tablet in fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()) {
                    let id = tablet.file_name().unwrap().to_str().unwrap().trim_start_matches("__").parse().unwrap();
                    if path.to_str().unwrap().contains("__ss_sr_hub_full") {
                        dirs.insert(id, tablet);
                    }
                }
            } else {
                stack.push(path);
            }
        }
    }
    dirs
}

/// Opens a tablet directory of a repository, where names end in the MD5 of the content.
fn open_remote(dir: &Path) -> Tablet {
    let files: BTreeMap<String, PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .map(|p| (p.file_name().unwrap().to_str().unwrap().rsplit_once('.').unwrap().0.to_owned(), p))
        .collect();
    let find = |end: &str| files.iter().find(|(n, _)| n.ends_with(end)).map(|(_, p)| fs::read(p).unwrap());
    let meta = match (find(".hdr"), find("meta")) {
        (Some(header), _) => {
            let mut meta = TabletMeta::from_header(&header).unwrap();
            if let Some(delta) = find(".dcgs_snapshot") {
                meta.add_delta_columns(&delta).unwrap();
            }
            meta
        }
        (None, Some(meta)) => TabletMeta::from_snapshot_meta(&meta).unwrap(),
        _ => panic!("{}", dir.display()),
    };
    Tablet::new(meta, move |name: &str| match files.get(name) {
        Some(path) => Ok(Arc::new(fs::read(path)?) as Arc<dyn ReadAt>),
        None => Err(std::io::ErrorKind::NotFound.into()),
    })
}

#[test]
fn whole_tables_of_the_repositories_hold_the_rows_they_were_made_of() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/repositories"));
    let (mut files, mut total, mut aggregated) = (0, 0, 0);
    for version in fs::read_dir(root).unwrap().map(|e| e.unwrap().path()) {
        let mut repository = version.join("hub");
        if !repository.is_dir() {
            continue;
        }
        let dirs = tablet_dirs(&repository);
        // 4.0's repository is over the tablets of 3.5's.
        if !repository.join("expected").is_dir() {
            repository = root.join("sr35/hub");
        }
        let ids: Value = serde_json::from_slice(&fs::read(repository.join("ids.json")).unwrap()).unwrap();
        let list = |v: &Value, key: &str| v[key].as_array().cloned().unwrap_or_default();
        for table in list(&ids, "tables") {
            for partition in list(&table, "partitions") {
                let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
                let mut columns: BTreeMap<String, Vec<Column>> = BTreeMap::new();
                for index in list(&partition, "physical_partitions").iter().flat_map(|p| list(p, "indexes")) {
                    let name = index["name"].as_str().unwrap().to_owned();
                    for tablet in list(&index, "tablets") {
                        let tablet = open_remote(&dirs[&tablet.as_u64().unwrap()]);
                        columns.insert(name.clone(), tablet.meta().schema.columns.clone());
                        rows.entry(name.clone()).or_default().extend(read(&tablet));
                    }
                }
                for (index, mut rows) in rows {
                    let (table, partition) = (table["name"].as_str().unwrap(), partition["name"].as_str().unwrap());
                    let middle = if index == table { String::new() } else { format!("{index}.") };
                    let file = repository.join("expected").join(format!("{table}.{middle}{partition}.jsonl"));
                    let text = fs::read_to_string(&file).unwrap();
                    let columns = &columns[&index];
                    let wanted = text.lines().map(|l| canonical_row(&serde_json::from_str(l).unwrap(), columns));
                    let mut wanted: Vec<_> = wanted.collect();
                    wanted.sort();
                    rows.sort();
                    assert_eq!(rows.len(), wanted.len(), "{}", file.display());
                    for (ours, wanted) in rows.iter().zip(&wanted) {
                        assert_eq!(ours, wanted, "{}", file.display());
                    }
                    aggregated += usize::from(columns.iter().any(|c| c.aggregation == Aggregation::PercentileUnion));
                    total += rows.len();
                    files += 1;
                }
            }
        }
    }
    println!("{files} partitions, {total} rows");
    assert!(files > 60 && total > 25_000 && aggregated == 3);
}

/// The wanted columns, in the wanted order, are the same as those of a read of all.
#[test]
fn projections_hold_the_same_values() {
    for case in common::cases().into_iter().filter(Case::is_small) {
        let tablet = case.open();
        let names: Vec<_> = tablet.meta().schema.columns.iter().map(|c| c.name.clone()).collect();
        let all = common::concat_or_empty(tablet.rows(None, &options()).unwrap());
        for wanted in [vec![names.len() - 1], vec![names.len() - 1, 0], vec![0, 0], vec![]] {
            let some: Vec<_> = wanted.iter().map(|&at| names[at].as_str()).collect();
            let some = common::concat_or_empty(tablet.rows(Some(&some), &options()).unwrap());
            assert_eq!(some.num_rows(), all.num_rows(), "{case}");
            for (at, column) in wanted.iter().zip(some.columns()) {
                assert!(column == all.column(*at), "{case}: {}", names[*at]);
            }
        }
        assert!(tablet.rows(Some(&["no such column"]), &options()).is_err());
    }
}

/// Conditions are parsed with the types of their columns.
#[test]
fn operands_of_deletes_are_typed() {
    let mut seen = 0;
    for case in common::cases() {
        let meta = case.meta();
        for rowset in &meta.rowsets {
            let Some(pb) = &rowset.delete_predicate else { continue };
            let predicate =
                starsnap_tablet::predicate::DeletePredicate::parse(pb, rowset.start_version, &meta.schema).unwrap();
            assert_eq!(predicate.conditions.len(), pb.sub_predicates.len() + pb.in_predicates.len());
            for condition in &predicate.conditions {
                if let Test::Compare(op, value) = &condition.test {
                    assert!(*op != Op::Ge && value.len() == 1, "{case}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 2);
}

/// However few rows a batch has, merging and deleting come to the same.
#[test]
fn batches_of_any_size_hold_the_same_rows() {
    for case in common::cases().into_iter().filter(Case::is_small) {
        let tablet = case.open();
        let all = common::concat_or_empty(tablet.rows(None, &options()).unwrap());
        for batch_rows in [1, 7, 300] {
            let few = ReadOptions { batch_rows, ..options() };
            let some = common::concat_or_empty(tablet.rows(None, &few).unwrap());
            assert!(some == all, "{case}: {batch_rows} rows at a time");
        }
    }
}
