//! Every genuine catalog and repository: read, written, read again, equal; and equal between the versions that wrote them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Case;
use serde_json::Value;
use starsnap_catalog::ddl::{Context, schema_sql};
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::layout::{SnapshotLayout, TableLayout};
use starsnap_catalog::meta;
use starsnap_catalog::model::*;
use starsnap_catalog::snapshot::*;
use starsnap_catalog::table_file::TableFile;
use starsnap_catalog::write::*;
use std::collections::{BTreeSet, HashMap, HashSet};

fn join(case: &Case) -> Option<Snapshot> {
    let (info, meta) = (case.info(), case.meta());
    meta.as_ref().map(|meta| Snapshot::join(info.as_ref(), Some(meta)).unwrap_or_else(|e| panic!("{}: {e}", case.name)))
}

fn parse_all<T: for<'de> serde::Deserialize<'de>>(texts: &[CatalogText]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Not in a backup, or damaged by the FE that copied it: what is written must say so, and nothing else may fail.
fn writable(case: &Case, entry: &TableEntry) -> bool {
    if entry.catalog.is_some() {
        return true;
    }
    let error = as_written(entry).unwrap_err().to_string();
    assert!(error.contains("catalog object is missing"), "{}: {error}", case.name);
    false
}

#[test]
fn every_catalog_reads_back_as_written() {
    let (mut snapshots, mut tables) = (0, 0);
    for case in common::all() {
        let Some(snapshot) = join(&case) else { continue };
        let new = NewSnapshot {
            label: snapshot.label.clone(),
            database: snapshot.database.clone(),
            database_id: snapshot.database_id,
            backup_time: snapshot.backup_time,
            tables: snapshot.tables.iter().filter(|entry| writable(&case, entry)).cloned().collect(),
            functions: parse_all(&snapshot.functions),
            catalogs: parse_all(&snapshot.catalogs),
        };
        let (info, meta) = build(&new).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let info = JobInfo::parse(&info.to_bytes()).unwrap();
        let meta = meta::read(&meta::write(&meta).unwrap()).unwrap();
        let again = Snapshot::join(Some(&info), Some(&meta)).unwrap();
        let said = |snapshot: &Snapshot| -> HashSet<String> {
            snapshot.disagreements.iter().map(|d| format!("{}: {}", d.object, d.what)).collect()
        };
        let known = said(&snapshot);
        let invented: Vec<_> = said(&again).into_iter().filter(|problem| !known.contains(problem)).collect();
        assert_eq!(invented, Vec::<String>::new(), "{}", case.name);
        assert_eq!(again.tables.len(), new.tables.len(), "{}", case.name);
        for (before, after) in new.tables.iter().zip(&again.tables) {
            assert_eq!(&as_written(before).unwrap(), after, "{}: {}", case.name, before.name);
            same_content(&case, before, after);
        }
        assert_eq!(again.functions, snapshot.functions, "{}", case.name);
        assert_eq!(again.catalogs, snapshot.catalogs, "{}", case.name);
        assert_eq!((again.label, again.database), (snapshot.label, snapshot.database), "{}", case.name);
        assert_eq!(again.backup_time, snapshot.backup_time, "{}", case.name);
        snapshots += 1;
        tables += new.tables.len();
    }
    assert!(snapshots > 20 && tables > 1000, "{snapshots} snapshots, {tables} tables");
}

/// The written entry against the one that was read: only physical ids may differ, and in the catalog object only what the layout
/// demands; what was stored is still stored.
fn same_content(case: &Case, before: &TableEntry, after: &TableEntry) {
    let at = format!("{}: {}", case.name, before.name);
    let mut same = after.clone();
    same.catalog = before.catalog.clone();
    let schemas = before.parse().unwrap().unwrap().index_name_to_id;
    for (old, new) in before.partitions.iter().zip(&mut same.partitions) {
        assert_eq!(new.physicals[0].id, new.id, "{at}");
        new.physicals[0].id = old.physicals[0].id;
        for (old, new) in old.physicals.iter().zip(&mut new.physicals) {
            for (old, new) in old.indexes.iter().zip(&mut new.indexes) {
                assert_eq!(new.id, schemas[&new.name], "{at}");
                new.id = old.id;
            }
        }
    }
    assert_eq!(&same, before, "{at}");
    let value = |entry: &TableEntry| serde_json::from_str::<Value>(&entry.catalog.as_ref().unwrap().0).unwrap();
    contains(&at, &mut vec![], &value(before), &value(after));
    let table = |entry: &TableEntry| entry.parse().unwrap().unwrap();
    assert_eq!(schema_differences(&table(before), &table(after)), Vec::<String>::new(), "{at}");
    let context = Context { database: "db".into(), ..Context::default() };
    let statement = |entry| schema_sql(&table(entry), &context).unwrap();
    assert_eq!(statement(before), statement(after), "{at}");
}

/// Every key and value of `old` is in `new`, but for what layout P1 has elsewhere.
fn contains(at: &str, path: &mut Vec<String>, old: &Value, new: &Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let is_partition = path.iter().rev().nth(1).is_some_and(|key| key == "idToPartition");
            let default = old.get("dpid").map(|id| &old["idToSubPartition"][id.to_string()]).filter(|_| is_partition);
            for (key, old) in old {
                let old = match default {
                    Some(_) if ["dpid", "idToSubPartition"].contains(&key.as_str()) => continue,
                    // What the partition itself says is out of date.
                    Some(default) if STATE.contains(&key.as_str()) => default.get(key).unwrap_or(old),
                    _ => old,
                };
                let nothing = old.as_object().is_some_and(|map| map.is_empty());
                let without_meaning = ["shardGroupId", "metaId"].contains(&key.as_str());
                // In P3 the base index and ids of their own stand here: compared through the entries.
                let newest =
                    default.is_some_and(|default| default.get("baseIndexMetaId").is_some()) && key.contains("Index");
                path.push(key.clone());
                match new.get(key) {
                    _ if without_meaning || newest => {}
                    Some(new) => contains(at, path, old, new),
                    None => assert!(nothing, "{at}: {path:?} is lost"),
                }
                path.pop();
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{at}: {path:?}");
            for (number, (old, new)) in old.iter().zip(new).enumerate() {
                path.push(number.to_string());
                contains(at, path, old, new);
                path.pop();
            }
        }
        _ => assert_eq!(old, new, "{at}: {path:?}"),
    }
}

/// Keys that a partition has in P1, and its physical partitions in P2 and P3.
const STATE: [&str; 11] = [
    "baseIndex",
    "idToVisibleRollupIndex",
    "idToShadowIndex",
    "visibleVersion",
    "visibleVersionTime",
    "nextVersion",
    "dataVersion",
    "nextDataVersion",
    "versionEpoch",
    "versionTxnType",
    "isImmutable",
];

#[test]
fn table_files_hold_every_genuine_table() {
    for case in common::all() {
        let Some(snapshot) = join(&case) else { continue };
        for entry in &snapshot.tables {
            let file = TableFile::of(&snapshot, entry, "repo", "2024-01-01-00-00-00-000");
            let text = file.to_json().unwrap();
            let again =
                TableFile::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{}: {}: {e}", case.name, entry.name));
            assert_eq!(again, file, "{}: {}", case.name, entry.name);
        }
    }
}

#[test]
fn a_genuine_table_file_is_readable() {
    let case = common::repositories()
        .into_iter()
        .find(|case| case.name.ends_with("sr35/hub/location/__starrocks_repository_hub_repo/__ss_sr_hub_full"))
        .unwrap();
    let snapshot = join(&case).unwrap();
    let text = |name: &str| TableFile::of(&snapshot, snapshot.table(name).unwrap(), "hub_repo", "t").to_json().unwrap();
    let events = text("events");
    assert!(
        events.contains(r#""directories": {".$shadow_automatic_partition": "$shadow_automatic_partition"}"#),
        "{events}"
    );
    assert!(text("sales").contains(r#""values": "VALUES IN ("#));
    assert!(text("sr_member").contains(r#""values": "VALUES [(\""#));
    assert!(text("v_member").contains(r#""kind": "VIEW""#));
}

#[test]
fn genuine_names_never_meet() {
    for case in common::all() {
        let Some(snapshot) = join(&case) else { continue };
        let layout = SnapshotLayout::of(&snapshot);
        let names: HashSet<&String> = layout.tables.iter().chain(&layout.functions).collect();
        assert_eq!(names.len(), snapshot.tables.len() + snapshot.functions.len(), "{}", case.name);
        for entry in &snapshot.tables {
            let layout = TableLayout::of(entry);
            let paths: HashSet<String> = layout.tablets.iter().map(|place| place.path()).collect();
            assert_eq!(paths.len(), layout.tablets.len(), "{}: {}", case.name, entry.name);
            assert_eq!(layout.table_json, "table.json");
            let ids = if writable(&case, entry) { tablet_ids(entry, snapshot.database_id).unwrap() } else { vec![] };
            let distinct: HashSet<TabletIds> = ids.iter().map(|(_, ids)| *ids).collect();
            assert_eq!(distinct.len(), ids.len(), "{}: {}", case.name, entry.name);
        }
    }
}

/// The same database, written by three versions: a snapshot of each may replace a table restored from another.
#[test]
fn versions_agree_on_schemas() {
    let mut by_table: HashMap<String, Vec<(String, Table)>> = HashMap::new();
    for case in common::repositories().iter().filter(|case| case.name.ends_with("__ss_sr_hub_full")) {
        for entry in join(case).unwrap().tables {
            by_table.entry(entry.name.clone()).or_default().push((case.name.clone(), entry.parse().unwrap().unwrap()));
        }
    }
    let mut compared = BTreeSet::new();
    for (name, versions) in &by_table {
        for (one, existing) in versions {
            for (other, snapshot) in versions {
                let lines = schema_differences(existing, snapshot);
                assert_eq!(lines, Vec::<String>::new(), "{name}: {one} and {other}");
                if one != other {
                    compared.insert(name.clone());
                }
            }
        }
    }
    assert!(compared.len() >= 7, "{compared:?}");
}
