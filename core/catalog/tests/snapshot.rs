//! `__info` and `__meta` joined.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use starsnap_catalog::info::{InfoIndex, InfoPartition, InfoSubPartition, InfoTable, JobInfo};
use starsnap_catalog::model::{BackupMeta, MaterializedIndex, Partition, Table, Tablet};
use starsnap_catalog::snapshot::{PartitionKind, Snapshot};
use std::sync::OnceLock;

fn join(info: Option<&JobInfo>, meta: Option<&BackupMeta>) -> Snapshot {
    Snapshot::join(info, meta).unwrap()
}

/// The disagreements as `object: what`.
fn said(snapshot: &Snapshot) -> Vec<String> {
    snapshot.disagreements.iter().map(|one| format!("{}: {}", one.object, one.what)).collect()
}

#[test]
fn genuine_snapshots_agree_with_themselves() {
    for case in common::all() {
        let (info, meta) = (case.info(), case.meta());
        let both = join(info.as_ref(), meta.as_ref());
        assert_eq!(said(&both), [""; 0], "{}", case.name);
        // Each alone says the same, as far as it goes.
        if let Some(info) = &info {
            let alone = join(Some(info), None);
            assert_eq!(said(&alone), [""; 0]);
            assert_eq!(alone.tables.len(), both.tables.len(), "{}", case.name);
            for (alone, both) in alone.tables.iter().zip(&both.tables) {
                assert_eq!((alone.id, &alone.name), (both.id, &both.name), "{}", case.name);
                assert_eq!(alone.auto_increment_id, both.auto_increment_id);
                let mut listed: Vec<_> =
                    both.partitions.iter().filter(|p| p.kind != PartitionKind::Temporary).cloned().collect();
                listed.sort_by_key(|partition| partition.id);
                for (alone, both) in alone.partitions.iter().zip(&mut listed) {
                    // Which physical partition is the default one is known to `__meta` alone.
                    both.physicals.sort_by_key(|physical| (physical.id != both.id, physical.id));
                    assert_eq!(alone, both, "{}", case.name);
                }
                assert_eq!(alone.partitions.len(), listed.len());
            }
        }
        if let Some(meta) = &meta {
            let mut alone = join(None, Some(meta));
            assert_eq!(said(&alone), [""; 0]);
            for (alone, both) in alone.tables.iter_mut().zip(&both.tables) {
                alone.auto_increment_id = both.auto_increment_id;
                let tablets = both.partitions.iter().flat_map(|p| &p.physicals).flat_map(|p| &p.indexes);
                let tablets = tablets.flat_map(|index| &index.tablets);
                let own = alone.partitions.iter_mut().flat_map(|p| &mut p.physicals).flat_map(|p| &mut p.indexes);
                for (own, other) in own.flat_map(|index| &mut index.tablets).zip(tablets) {
                    own.listed_files = other.listed_files.clone();
                }
            }
            assert_eq!(alone.tables, both.tables, "{}", case.name);
            assert_eq!((&alone.functions, &alone.catalogs), (&both.functions, &both.catalogs));
        }
    }
    assert!(Snapshot::join(None, None).is_err());
}

/// The genuine snapshots that have both files and a table with tablets.
fn complete() -> impl Iterator<Item = (String, JobInfo, BackupMeta)> {
    static ALL: OnceLock<Vec<(String, JobInfo, BackupMeta)>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let all = common::all().into_iter().filter_map(|case| Some((case.info()?, case.meta()?, case.name)));
        let all = all.filter(|(info, ..)| info.backup_objects.values().any(|table| !table.partitions.is_empty()));
        all.map(|(info, meta, name)| (name, info, meta)).collect()
    });
    all.iter().cloned()
}

/// Does `change` to the first table that has tablets in every genuine `__info`, and checks that exactly this is said.
fn each_says(object: &str, what: &str, change: impl Fn(&mut InfoTable)) {
    let mut tried = 0;
    for (name, mut info, mut meta) in complete() {
        let kept = info.backup_objects.values().find(|table| !table.partitions.is_empty()).unwrap().id;
        info.backup_objects.retain(|_, table| table.id == kept);
        meta.tbl_name_map.retain(|_, table| table.id == kept);
        let (table_name, table) = info.backup_objects.iter_mut().next().unwrap();
        change(table);
        let expected = format!("table {table_name}: ");
        let said = said(&join(Some(&info), Some(&meta)));
        assert_eq!(said.len(), 1, "{name}: {said:?}");
        assert!(said[0].contains(&expected) && said[0].starts_with(object), "{name}: {said:?} is not of {object}");
        assert!(said[0].contains(what), "{name}: {said:?} is not {what}");
        tried += 1;
    }
    assert!(tried > 10);
}

fn first_index(table: &mut InfoTable) -> &mut InfoIndex {
    let partition = table.partitions.values_mut().next().unwrap();
    let subs = partition.sub_partitions.as_mut().and_then(|subs| subs.values_mut().next());
    let indexes = subs.map(|sub| &mut sub.indexes).unwrap_or(&mut partition.indexes);
    indexes.values_mut().next().unwrap()
}

#[test]
fn every_contradiction_is_named() {
    each_says("table", "its id is 77 in `__info`", |table| table.id = 77);
    each_says("partition", "its id is 77 in `__info`", |table| {
        let partition = table.partitions.values_mut().next().unwrap();
        if partition.sub_partitions.as_ref().is_none_or(|subs| subs.is_empty()) {
            // The partition is its own physical one: two things would change.
            let id = partition.id.to_string();
            let sub = InfoSubPartition {
                id: partition.id,
                version: partition.version,
                indexes: std::mem::take(&mut partition.indexes),
                ..InfoSubPartition::default()
            };
            partition.sub_partitions = Some([(id, sub)].into());
        }
        partition.id = 77;
    });
    each_says("partition", "its version is 99 in `__info`, but", |table| {
        let partition = table.partitions.values_mut().next().unwrap();
        partition.version = 99;
        partition.sub_partitions.iter_mut().flatten().for_each(|(_, sub)| sub.version = 99);
    });
    each_says("partition", "that of its default physical partition", |table| {
        let partition = table.partitions.values_mut().next().unwrap();
        if partition.sub_partitions.as_ref().is_none_or(|subs| subs.is_empty()) {
            let id = partition.id;
            let (version, indexes) = (partition.version, std::mem::take(&mut partition.indexes));
            let sub = InfoSubPartition { id, version, indexes, ..InfoSubPartition::default() };
            partition.sub_partitions = Some([(id.to_string(), sub)].into());
        }
        partition.version = 99;
    });
    each_says("index", "its id is 77 in `__info`", |table| first_index(table).id = 77);
    each_says("index", "its schema hash is -5", |table| first_index(table).schema_hash = -5);
    each_says("index", "tablets in `__info`, but", |table| {
        let index = first_index(table);
        index.tablets.insert("999".into(), Vec::new());
        if let Some(order) = &mut index.tablets_order {
            order.push("999".into());
        }
    });
    each_says("index", "its tablets are others", |table| {
        let index = first_index(table);
        let (id, files) = index.tablets.pop_first().unwrap();
        index.tablets.insert(format!("{id}000"), files);
        for other in index.tablets_order.iter_mut().flatten().filter(|other| **other == id.as_str()) {
            *other = format!("{id}000").into();
        }
    });
    each_says("partition", "it is in `__meta`, but not in `__info`", |table| {
        table.partitions.pop_first();
    });
    each_says("partition", "it is in `__info`, but not in `__meta`", |table| {
        table.partitions.insert("new".into(), InfoPartition { id: 78, version: 1, ..InfoPartition::default() });
    });
    each_says("partition", "lists no tablets", |table| {
        let partition = table.partitions.values_mut().next().unwrap();
        partition.indexes.clear();
        partition.sub_partitions = None;
    });
}

#[test]
fn tables_of_one_side_are_kept_and_named() {
    for (name, mut info, mut meta) in complete() {
        let of_both = join(Some(&info), Some(&meta));
        let (first, table) = meta.tbl_name_map.pop_first().unwrap();
        let snapshot = join(Some(&info), Some(&meta));
        assert_eq!(said(&snapshot), [format!("table {first}: it is in `__info`, but not in `__meta`")], "{name}");
        assert!(snapshot.table(&first).unwrap().catalog.is_none());
        meta.tbl_name_map.insert(first.clone(), table);
        info.backup_objects.remove(&first).unwrap();
        let snapshot = join(Some(&info), Some(&meta));
        assert_eq!(said(&snapshot), [format!("table {first}: it is in `__meta`, but not in `__info`")], "{name}");
        assert_eq!(snapshot.tables.len(), of_both.tables.len());
        assert_eq!(snapshot.table(&first).unwrap().kind, of_both.table(&first).unwrap().kind);
    }
}

/// An FE in an ASCII locale writes `?` for every other character.
fn ascii(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

#[test]
fn lost_names_are_found_by_id() {
    let mut lost = 0;
    for (name, info, meta) in complete() {
        let text = ascii(&String::from_utf8(info.to_bytes()).unwrap());
        let changed = JobInfo::parse(text.as_bytes()).unwrap();
        let (whole, lossy) = (join(Some(&info), Some(&meta)), join(Some(&changed), Some(&meta)));
        assert_eq!(lossy.tables, whole.tables, "{name}");
        for table in info.backup_objects.keys().filter(|name| !name.is_ascii()) {
            lost += 1;
            assert!(said(&lossy).iter().any(|said| said.starts_with(&format!("table {table}: `__info` calls it"))));
        }
        // Without `__meta` the names are gone, but no object is.
        let alone = join(Some(&changed), None);
        let ids = |snapshot: &Snapshot| {
            let mut ids: Vec<_> = snapshot.tables.iter().map(|table| (table.id, table.partitions.len())).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&alone), ids(&join(Some(&info), None)), "{name}");
    }
    assert!(lost > 10);
}

#[test]
fn bucket_order_is_that_of_info() {
    let (mut turned, mut numeric) = (0, 0);
    for (name, mut info, meta) in complete() {
        let mut expected = Vec::new();
        for table in info.backup_objects.values_mut().filter(|table| !table.partitions.is_empty()) {
            let index = first_index(table);
            let Some(order) = &mut index.tablets_order else { continue };
            order.reverse();
            expected.push((index.id, index.ordered_tablets().unwrap()));
            turned += usize::from(index.tablets.len() > 1);
        }
        let snapshot = join(Some(&info), Some(&meta));
        let indexes = || {
            let physicals = snapshot.tables.iter().flat_map(|t| &t.partitions).flat_map(|p| &p.physicals);
            physicals.flat_map(|physical| &physical.indexes)
        };
        let orders: Vec<(i64, Vec<i64>)> =
            indexes().map(|index| (index.id, index.tablets.iter().map(|tablet| tablet.id).collect())).collect();
        for one in &expected {
            assert!(orders.contains(one), "{name}");
        }
        let several = expected.iter().filter(|(_, order)| order.len() > 1).count();
        let said = said(&snapshot);
        assert_eq!(said.iter().filter(|said| said.contains("come in another order")).count(), several, "{name}");
        assert_eq!(said.len(), several, "{name}: {said:?}");
        // Shape A has no order: numeric.
        for table in info.backup_objects.values_mut().filter(|table| !table.partitions.is_empty()) {
            let index = first_index(table);
            index.tablets_order = None;
            assert!(index.ordered_tablets().unwrap().is_sorted());
            numeric += 1;
        }
        assert_eq!(join(Some(&info), Some(&meta)).disagreements, [], "{name}");
    }
    assert!(turned > 10 && numeric > 10);
}

#[test]
fn lists_of_info_that_contradict_each_other() {
    let info = |index: &str| {
        let text = format!(
            r#"{{"name":"s","database":"d","id":1,"backup_time":1,"backup_objects":{{"t":{{"id":2,"partitions":{{
               "p":{{"id":3,"version":4,"indexes":{{"t":{{"id":5,{index}}}}}}}}}}}}}}}"#
        );
        JobInfo::parse(text.as_bytes()).unwrap()
    };
    let tablets = |snapshot: &Snapshot| {
        let index = &snapshot.tables[0].partitions[0].physicals[0].indexes[0];
        assert!(index.base);
        index.tablets.iter().map(|tablet| (tablet.id, tablet.listed_files.len())).collect::<Vec<_>>()
    };
    let twice = join(Some(&info(r#""tablets":{"7":["a.b"]},"tablets_order":["7","8","7"]"#)), None);
    assert_eq!(tablets(&twice), [(7, 1), (8, 0)]);
    assert_eq!(said(&twice), ["index t of partition p of table t: `__info` lists one of its tablets twice"]);
    let more = join(Some(&info(r#""tablets":{"9":["a.b"],"10":[],"7":[]},"tablets_order":["7"]"#)), None);
    assert_eq!(tablets(&more), [(7, 0), (9, 1), (10, 0)]);
    assert!(said(&more)[0].ends_with("leaves out 2 of its tablets"));
    let text = info(r#""tablets":{"x":[]}"#);
    assert!(Snapshot::join(Some(&text), None).unwrap_err().to_string().contains("`x` is no tablet id"));
}

#[test]
fn contradictions_without_end_are_counted() {
    let mut table = InfoTable { id: 1, ..InfoTable::default() };
    for id in 0..12_000 {
        table.partitions.insert(format!("p{id}"), InfoPartition { id, version: 1, ..InfoPartition::default() });
    }
    let name = "long".repeat(1000);
    let info = JobInfo { backup_objects: [(name.clone(), table)].into(), ..JobInfo::default() };
    let stored = Table { clazz: "OlapTable".into(), id: 1, name: name.clone(), ..Table::default() };
    let meta = BackupMeta { tbl_name_map: [(name, stored)].into(), ..BackupMeta::default() };
    let snapshot = join(Some(&info), Some(&meta));
    assert_eq!(snapshot.tables[0].partitions.len(), 12_000);
    assert!(said(&snapshot).last().unwrap().contains("2000 more"));
    assert!(snapshot.disagreements.iter().all(|one| one.object.len() < 1100));
}

#[test]
fn a_large_snapshot() {
    let (mut info, mut meta) = (JobInfo::default(), BackupMeta::default());
    let mut table = InfoTable { id: 10, ..InfoTable::default() };
    let mut stored =
        Table { clazz: "OlapTable".into(), kind: "OLAP".into(), id: 10, name: "t".into(), ..Table::default() };
    stored.index_name_to_id.insert("t".into(), 11);
    for partition in 0..2000i64 {
        let id = 1000 + partition;
        let ids: Vec<i64> = (0..50).map(|bucket| 100_000 + partition * 50 + bucket).collect();
        let tablet = |id: &i64| Tablet { clazz: "LocalTablet".into(), id: *id, ..Tablet::default() };
        stored.id_to_partition.insert(
            id,
            Partition {
                id,
                name: format!("p{partition}"),
                base_index: Some(MaterializedIndex {
                    id: 11,
                    tablets: ids.iter().map(tablet).collect(),
                    ..Default::default()
                }),
                visible_version: 2,
                ..Partition::default()
            },
        );
        let index = InfoIndex {
            id: 11,
            tablets: ids.iter().map(|id| (id.to_string(), Vec::new())).collect(),
            tablets_order: Some(ids.iter().map(|id| id.to_string().into()).collect()),
            ..InfoIndex::default()
        };
        let indexes = [("t".into(), index)].into();
        table
            .partitions
            .insert(format!("p{partition}"), InfoPartition { id, version: 2, indexes, ..Default::default() });
    }
    info.backup_objects.insert("t".into(), table);
    meta.tbl_name_map.insert("t".into(), stored);
    let (info, meta) = (info.to_bytes(), starsnap_catalog::meta::write(&meta).unwrap());
    let started = std::time::Instant::now();
    let (info, meta) = (JobInfo::parse(&info).unwrap(), starsnap_catalog::meta::read(&meta).unwrap());
    let snapshot = join(Some(&info), Some(&meta));
    let took = started.elapsed();
    assert_eq!(said(&snapshot), [""; 0]);
    assert_eq!(
        snapshot.tables[0].partitions.iter().map(|p| p.physicals[0].indexes[0].tablets.len()).sum::<usize>(),
        100_000
    );
    assert!(snapshot.tables[0].partitions.is_sorted_by_key(|partition| partition.id));
    // Far more than it takes without optimization on a busy machine; anything quadratic would take minutes.
    assert!(took.as_secs() < 20, "{took:?}");
}
