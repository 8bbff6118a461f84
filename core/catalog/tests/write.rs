//! The way back to `__info` and `__meta`: nothing is lost, StarRocks would take it, and changes keep both halves together.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "write/generate.rs"]
mod generate;

use generate::{Ids, Layout, Partitioning, Spec, scalar, spec};
use proptest::prelude::*;
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta;
use starsnap_catalog::model::*;
use starsnap_catalog::snapshot::*;
use starsnap_catalog::write::*;
use std::collections::{BTreeSet, HashSet};

fn new_snapshot(tables: Vec<TableEntry>) -> NewSnapshot {
    NewSnapshot {
        label: "nightly".into(),
        database: "sr_hub".into(),
        database_id: 10001,
        backup_time: 1_717_200_000_789,
        tables,
        functions: vec![Function {
            clazz: "ScalarFunction".into(),
            name: FunctionName { name: "f".into(), ..FunctionName::default() },
            ..Function::default()
        }],
        catalogs: vec![Catalog { id: 7, name: "hive".into(), ..Catalog::default() }],
    }
}

/// Writes both files and joins what was read back.
fn written_and_read(new: &NewSnapshot) -> (JobInfo, BackupMeta, Snapshot) {
    let (info, meta) = build(new).unwrap();
    let info_again = JobInfo::parse(&info.to_bytes()).unwrap();
    let meta_again = meta::read(&meta::write(&meta).unwrap()).unwrap();
    assert_eq!(info_again, info);
    assert_eq!(meta_again, meta);
    let snapshot = Snapshot::join(Some(&info), Some(&meta)).unwrap();
    (info, meta, snapshot)
}

/// Distinct names, as a database has them.
fn tables(specs: &[Spec]) -> Vec<TableEntry> {
    let mut ids = Ids(10_001);
    let mut names = HashSet::new();
    let distinct = specs.iter().filter(|spec| names.insert(spec.name.clone()));
    distinct.map(|spec| generate::table(spec, &mut ids).1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(specs in prop::collection::vec(spec(), 0..5)) {
        let new = new_snapshot(tables(&specs));
        let (_, _, snapshot) = written_and_read(&new);
        prop_assert_eq!(&snapshot.disagreements, &vec![]);
        prop_assert_eq!((&snapshot.label, snapshot.backup_time), (&new.label, new.backup_time));
        prop_assert_eq!((&snapshot.database, snapshot.database_id), (&new.database, new.database_id));
        let mut expected: Vec<TableEntry> = new.tables.iter().map(|entry| as_written(entry).unwrap()).collect();
        expected.sort_by(|a, b| a.name.cmp(&b.name));
        let mut read = snapshot.tables.clone();
        read.sort_by(|a, b| a.name.cmp(&b.name));
        prop_assert_eq!(read, expected);
        prop_assert_eq!(snapshot.functions.len(), 1);
        prop_assert_eq!(snapshot.catalogs.len(), 1);
    }

    /// Only what layout P1 demands changes: the default physical partitions' ids, and index ids that are not their schemas'.
    #[test]
    fn writing_changes_no_more_than_it_must(spec in spec()) {
        let (table, entry) = generate::table(&spec, &mut Ids(500));
        let written = as_written(&entry).unwrap();
        prop_assert_eq!(&as_written(&written).unwrap(), &written, "twice is once");
        let mut expected = entry.clone();
        expected.catalog = written.catalog.clone();
        for partition in &mut expected.partitions {
            partition.physicals[0].id = partition.id;
            for index in partition.physicals.iter_mut().flat_map(|physical| &mut physical.indexes) {
                index.id = table.index_name_to_id[&index.name];
            }
        }
        prop_assert_eq!(&written, &expected);

        let after = written.parse().unwrap().unwrap();
        prop_assert_eq!(&after.full_schema, &table.full_schema);
        prop_assert_eq!(&after.keys_type, &table.keys_type);
        prop_assert_eq!(&after.table_property, &table.table_property);
        prop_assert_eq!(&after.index_name_to_id, &table.index_name_to_id);
        if let (Some(before), Some(after)) = (&table.partition_info, &after.partition_info) {
            prop_assert_eq!(&before.id_to_data_property, &after.id_to_data_property);
            prop_assert_eq!(before.serialized_id_to_range.clone().unwrap_or_default(), after.serialized_id_to_range.clone().unwrap_or_default());
            prop_assert_eq!(before.id_to_values.clone().unwrap_or_default(), after.id_to_values.clone().unwrap_or_default());
            prop_assert_eq!(before.id_to_multi_values.clone().unwrap_or_default(), after.id_to_multi_values.clone().unwrap_or_default());
        }
        prop_assert_eq!(schema_differences(&table, &after), Vec::<String>::new());
    }

    /// What every FE from 3.1.4 on looks at when it restores.
    #[test]
    fn an_fe_finds_what_it_needs(spec in spec()) {
        let new = new_snapshot(tables(std::slice::from_ref(&spec)));
        let (info, meta, _) = written_and_read(&new);
        for (name, table) in &meta.tbl_name_map {
            let stated = &info.backup_objects[name];
            prop_assert_eq!(stated.id, table.id);
            let base = table.base_index_id.unwrap_or_default();
            for partition in table.id_to_partition.values() {
                prop_assert_eq!(table.index_name_to_id[name], base);
                prop_assert_eq!(partition.dpid, None);
                let stated = &stated.partitions[&partition.name];
                prop_assert_eq!((stated.id, stated.version), (partition.id, partition.visible_version));
                prop_assert_eq!(partition.next_version, partition.visible_version + 1);
                prop_assert_ne!(partition.version_epoch.unwrap(), 0);
                let several = stated.sub_partitions.as_ref().unwrap();
                prop_assert_eq!(stated.indexes.is_empty(), !several.is_empty());
                let subs = partition.id_to_sub_partition.clone().unwrap_or_default();
                prop_assert_eq!(several.len(), if subs.is_empty() { 0 } else { subs.len() + 1 });
                let stated = several.get(&partition.id.to_string()).map_or(&stated.indexes, |sub| &sub.indexes);
                let rollups = partition.id_to_visible_rollup_index.as_ref().unwrap();
                for (index, id) in &table.index_name_to_id {
                    let stored = if *id == base { partition.base_index.as_ref().unwrap() } else { &rollups[id] };
                    prop_assert_eq!((stored.id, stored.meta_id), (*id, None));
                    let ids: Vec<i64> = stored.tablets.iter().map(|tablet| tablet.id).collect();
                    prop_assert_eq!(&stated[index].ordered_tablets().unwrap(), &ids);
                    prop_assert_eq!(stated[index].tablets.len(), ids.len());
                }
                let info = table.partition_info.as_ref().unwrap();
                prop_assert!(info.id_to_data_property.as_ref().unwrap().contains_key(&partition.id));
                prop_assert!(info.id_to_replication_num.as_ref().unwrap().contains_key(&partition.id));
                prop_assert!(info.id_to_in_memory.as_ref().unwrap().contains_key(&partition.id));
            }
        }
    }

    #[test]
    fn every_tablet_has_a_place_of_its_own(spec in spec()) {
        let (_, entry) = generate::table(&spec, &mut Ids(500));
        let places = tablet_ids(&entry, 10001).unwrap();
        let ids: HashSet<TabletIds> = places.iter().map(|(_, ids)| *ids).collect();
        prop_assert_eq!(ids.len(), places.len());
        for (place, ids) in &places {
            prop_assert_eq!((ids.database, ids.table), (10001, entry.id));
            let partition = &entry.partitions[place.partition];
            let physical = &partition.physicals[place.physical];
            prop_assert_eq!(ids.physical, if place.physical == 0 { partition.id } else { physical.id });
            prop_assert_eq!(ids.tablet, physical.indexes[place.index].tablets[place.tablet].id);
        }
        let all = entry.partitions.iter().flat_map(|p| &p.physicals).flat_map(|p| &p.indexes).map(|i| i.tablets.len());
        prop_assert_eq!(places.len(), all.sum::<usize>());
    }

    #[test]
    fn a_renamed_table_is_whole(spec in spec(), name in generate::name()) {
        let (table, entry) = generate::table(&spec, &mut Ids(500));
        let mut renamed = entry.clone();
        if table.index_name_to_id.contains_key(&name) && name != entry.name {
            prop_assert!(rename(&mut renamed, &name).is_err());
            prop_assert_eq!(renamed, entry);
            return Ok(());
        }
        rename(&mut renamed, &name).unwrap();
        let (_, _, snapshot) = written_and_read(&new_snapshot(vec![renamed.clone()]));
        prop_assert_eq!(&snapshot.tables[0], &as_written(&renamed).unwrap());
        prop_assert_eq!(&snapshot.tables[0].name, &name);
        prop_assert_eq!(schema_differences(&table, &renamed.parse().unwrap().unwrap()), Vec::<String>::new());
        rename(&mut renamed, &entry.name).unwrap();
        prop_assert_eq!(renamed, entry);
    }

    #[test]
    fn partitions_left_out_leave_no_trace(spec in spec(), wanted in any::<u64>()) {
        let (_, entry) = generate::table(&spec, &mut Ids(500));
        let names: BTreeSet<String> = entry.partitions.iter().map(|p| p.name.clone()).enumerate().filter(|(at, _)| wanted >> at & 1 == 1).map(|(_, name)| name).collect();
        let mut kept = entry.clone();
        let left = entry.partitions.iter().filter(|p| p.kind != PartitionKind::Temporary && names.contains(&p.name)).count();
        if left == 0 {
            prop_assert!(keep_partitions(&mut kept, |name| names.contains(name)).is_err());
            prop_assert_eq!(kept, entry);
            return Ok(());
        }
        keep_partitions(&mut kept, |name| names.contains(name)).unwrap();
        prop_assert_eq!(kept.partitions.len(), left);
        let (_, meta, snapshot) = written_and_read(&new_snapshot(vec![kept.clone()]));
        prop_assert_eq!(&snapshot.tables[0], &as_written(&kept).unwrap());
        // No map of the partition information knows another id.
        let table = &meta.tbl_name_map[&kept.name];
        let info = serde_json::to_value(table.partition_info.as_ref().unwrap()).unwrap();
        for (key, map) in info.as_object().unwrap() {
            let maps_by_id = key.starts_with("idTo") || key.starts_with("serializedIdTo");
            for id in map.as_object().filter(|_| maps_by_id).iter().flat_map(|map| map.keys()) {
                prop_assert!(table.id_to_partition.contains_key(&id.parse().unwrap()), "{key} has {id}");
            }
        }
    }

    #[test]
    fn ids_are_separated(specs in prop::collection::vec(spec(), 1..4)) {
        // Every table twice: as from two restores.
        let mut entries = tables(&specs);
        for mut copy in entries.clone() {
            let name = format!("copy of {}", copy.name);
            if rename(&mut copy, &name).is_ok() {
                entries.push(copy);
            }
        }
        let before = entries.clone();
        if entries.len() > specs.len() {
            prop_assert!(build(&new_snapshot(entries.clone())).is_err());
        }
        separate_ids(&mut entries).unwrap();
        let ids: HashSet<i64> = entries.iter().map(|entry| entry.id).collect();
        prop_assert_eq!(ids.len(), entries.len());
        let (_, _, snapshot) = written_and_read(&new_snapshot(entries.clone()));
        prop_assert_eq!(&snapshot.disagreements, &vec![]);
        for (before, after) in before.iter().zip(&entries) {
            prop_assert_eq!(&before.partitions, &after.partitions);
            prop_assert_eq!(after.parse().unwrap().unwrap().id, after.id);
        }
    }
}

/// A plain table to break.
fn plain() -> Spec {
    Spec {
        name: "orders".into(),
        layout: Layout::P2,
        view: false,
        materialized: false,
        keys_type: "DUP_KEYS",
        partitioning: Partitioning::Range,
        columns: vec![("note".into(), scalar("VARCHAR", Some(20), None), true)],
        rollups: ["by_day".into()].into(),
        partitions: [("p1".into(), (1, 7)), ("p2".into(), (2, 3))].into(),
        shadow: false,
        temporary: false,
        random: false,
        buckets: 2,
        auto_increment: None,
        comment: None,
        properties: Default::default(),
        files: false,
    }
}

fn plain_table() -> (Table, TableEntry) {
    generate::table(&plain(), &mut Ids(100))
}

#[test]
fn the_job_info_has_starrocks_key_order() {
    let (info, _) = build(&new_snapshot(vec![plain_table().1])).unwrap();
    let text = String::from_utf8(info.to_bytes()).unwrap();
    let root = r#"{"database":"sr_hub","meta_version":92,"backup_time":1717200000789,"name":"nightly","starrocks_meta_version":4,"backup_result":"succeed","id":10001,"backup_objects":{"orders":{"partitions":{"p1":{"indexes":{"by_day":{"schema_hash":77,"tablets_order":["#;
    assert!(text.starts_with(root), "{text}");
}

#[test]
fn what_an_fe_cannot_do_without_is_refused() {
    type Break = fn(&mut Table);
    let breaks: [(&str, Break); 14] = [
        ("no index of its own name", |t| {
            t.index_name_to_id.remove("orders");
            t.base_index_id = None;
        }),
        ("has no schema", |t| drop(t.index_id_to_meta.pop_first())),
        ("key model", |t| {
            t.keys_type = None;
            t.index_id_to_meta.values_mut().for_each(|meta| meta.keys_type = None);
        }),
        ("how it is partitioned", |t| t.partition_info = None),
        ("how it is distributed", |t| t.default_distribution_info = None),
        ("no range", |t| drop(t.partition_info.as_mut().unwrap().serialized_id_to_range.as_mut().unwrap().pop_first())),
        ("default physical partition", |t| {
            t.id_to_partition.values_mut().for_each(|p| p.dpid = Some(1));
        }),
        ("exactly the indexes", |t| {
            let partition = t.id_to_partition.values_mut().next().unwrap();
            let physical = partition.id_to_sub_partition.as_mut().unwrap().values_mut().next().unwrap();
            physical.id_to_visible_rollup_index.as_mut().unwrap().clear();
        }),
        ("another id", |t| t.id_to_partition.values_mut().next().unwrap().id = 1),
        ("unknown", |t| t.partition_info.as_mut().unwrap().kind = "HASHED".into()),
        ("number of buckets", |t| t.default_distribution_info.as_mut().unwrap().bucket_num = None),
        ("cannot be in a backup", |t| t.clazz = "LakeTable".into()),
        ("incomplete", |t| t.index_id_to_meta.values_mut().next().unwrap().schema[0].ty.primitive = None),
        ("no columns", |t| t.index_id_to_meta.values_mut().next().unwrap().schema.clear()),
    ];
    for (why, break_it) in breaks {
        let (mut table, _) = plain_table();
        to_layout_p1(&mut table.clone()).unwrap();
        break_it(&mut table);
        let error = to_layout_p1(&mut table).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("orders"), "{why}: {error}");
    }
}

#[test]
fn an_entry_that_is_not_its_catalog_object_is_refused() {
    type Break = fn(&mut TableEntry);
    let breaks: [(&str, Break); 11] = [
        ("missing", |e| e.catalog = None),
        ("that of table", |e| e.id = 1),
        ("that of table", |e| e.name = "other".into()),
        ("cannot be in a backup", |e| e.kind = TableKind::Other),
        ("only in its catalog", |e| drop(e.partitions.pop())),
        ("of that name", |e| e.partitions[0].name = "p9".into()),
        ("no physical partition", |e| e.partitions[1].physicals[1].id = 1),
        ("physical partitions", |e| drop(e.partitions[1].physicals.pop())),
        ("2 buckets", |e| drop(e.partitions[0].physicals[0].indexes[0].tablets.pop())),
        ("is there twice", |e| {
            e.partitions[0].physicals[0].indexes[0].tablets[0].id =
                e.partitions[0].physicals[0].indexes[0].tablets[1].id
        }),
        ("no such index", |e| e.partitions[0].physicals[0].indexes[1].name = "other".into()),
    ];
    for (why, break_it) in breaks {
        let (_, mut entry) = plain_table();
        break_it(&mut entry);
        let error = build(&new_snapshot(vec![entry])).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    let (_, entry) = plain_table();
    let mut other = entry.clone();
    rename(&mut other, "other").unwrap();
    let error = build(&new_snapshot(vec![entry.clone(), other])).unwrap_err().to_string();
    assert!(error.contains("has its id"), "{error}");
}

#[test]
fn tablets_order_and_versions_come_from_the_entry() {
    let (_, mut entry) = plain_table();
    entry.partitions[0].physicals[0].version = 42;
    let tablets = &mut entry.partitions[0].physicals[0].indexes[0].tablets;
    tablets.reverse();
    tablets[0].id = 9_000_001;
    let (info, meta) = build(&new_snapshot(vec![entry])).unwrap();
    let partition = meta.tbl_name_map["orders"].id_to_partition.values().next().unwrap();
    assert_eq!((partition.visible_version, partition.next_version), (42, 43));
    assert_eq!(info.backup_objects["orders"].partitions["p1"].version, 42);
    let tablets = &partition.base_index.as_ref().unwrap().tablets;
    assert_eq!(tablets[0].id, 9_000_001);
    let index = &info.backup_objects["orders"].partitions["p1"].indexes["orders"];
    assert_eq!(index.ordered_tablets().unwrap(), tablets.iter().map(|tablet| tablet.id).collect::<Vec<_>>());
}

#[test]
fn what_old_versions_left_out_is_filled_in() {
    let (mut table, _) = plain_table();
    table.comment = None;
    table.full_schema = None;
    table.table_property = None;
    table.temp_partitions = None;
    let distribution = table.default_distribution_info.as_mut().unwrap();
    distribution.col_ids = None;
    let info = table.partition_info.as_mut().unwrap();
    (info.partition_columns, info.id_to_in_memory, info.id_to_data_property) = (None, None, None);
    let base = table.base_index_id.unwrap();
    for column in table.index_id_to_meta.values_mut().flat_map(|meta| &mut meta.schema) {
        (column.unique_id, column.column_id, column.comment) = (None, None, None);
    }
    to_layout_p1(&mut table).unwrap();
    let column = &table.index_id_to_meta[&base].schema[1];
    assert_eq!(
        (column.unique_id, column.column_id.as_deref(), column.comment.as_deref()),
        (Some(-1), Some("note0"), Some(""))
    );
    assert_eq!(table.full_schema.as_ref().unwrap().len(), 2);
    assert_eq!(table.comment.as_deref(), Some(""));
    assert_eq!(table.table_property.as_ref().unwrap().properties["replication_num"], "1");
    assert_eq!(table.default_distribution_info.as_ref().unwrap().col_ids.as_deref(), Some(&["k".to_owned()][..]));
    let info = table.partition_info.as_ref().unwrap();
    assert_eq!(info.partition_columns.as_ref().unwrap()[0].name, "k");
    for id in table.id_to_partition.keys() {
        assert!(!info.id_to_in_memory.as_ref().unwrap()[id]);
        assert_eq!(info.id_to_data_property.as_ref().unwrap()[id].cooldown_time_ms, Some(253_402_271_999_000));
    }
}

#[test]
fn differences_are_named() {
    type Change = fn(&mut Table);
    fn schema(table: &mut Table) -> &mut Vec<Column> {
        let base = table.base_index_id.unwrap();
        &mut table.index_id_to_meta.get_mut(&base).unwrap().schema
    }
    let changes: [(&str, Change); 21] = [
        ("key model: DUP_KEYS in the existing table, AGG_KEYS in the snapshot", |t| {
            t.keys_type = Some("AGG_KEYS".into())
        }),
        ("column 2 name: `note0` in the existing table, `memo` in the snapshot", |t| schema(t)[1].name = "memo".into()),
        ("column 2 `note0` type: VARCHAR(20) in the existing table, VARCHAR(21) in the snapshot", |t| {
            schema(t)[1].ty.len = Some(21)
        }),
        ("column 2 `note0` key: false in the existing table, true in the snapshot", |t| schema(t)[1].is_key = true),
        ("column 2 `note0` aggregation: none in the existing table, MAX in the snapshot", |t| {
            schema(t)[1].aggregation_type = Some("MAX".into())
        }),
        ("column 2 `note0` nullable: true in the existing table, false in the snapshot", |t| {
            schema(t)[1].is_allow_null = false
        }),
        ("column 2 `note0` default: \"d'\" in the existing table, none in the snapshot", |t| {
            schema(t)[1].default_value = None
        }),
        ("column 2 `note0` comment: \"c\" in the existing table, \"d\" in the snapshot", |t| {
            schema(t)[1].comment = Some("d".into())
        }),
        ("column 2 `note0` generated: None", |t| {
            schema(t)[1].materialized_column_expr = Some(Expr { expr: "k+1".into(), ..Expr::default() })
        }),
        ("column 2 `note0` hidden: false in the existing table, true in the snapshot", |t| {
            schema(t)[1].is_hidden = Some(true)
        }),
        ("column 2 `note0` default: \"d'\" in the existing table, ([1]) in the snapshot", |t| {
            let serialized_expr = Some("[1]".into());
            schema(t)[1].default_value = None;
            schema(t)[1].default_expr = Some(DefaultExpr { serialized_expr, ..DefaultExpr::default() });
        }),
        ("column 2 `note0` aggregation: none in the existing table, none avg(INT)  nullable in the snapshot", |t| {
            let int = Type { clazz: "ScalarType".into(), primitive: Some("INT".into()), ..Type::default() };
            let (function_name, result_nullable) = ("avg".into(), true);
            schema(t)[1].agg_state_desc =
                Some(AggStateDesc { function_name, arg_types: vec![int], result_nullable, ..AggStateDesc::default() });
        }),
        ("column 2: `note0` is only in the existing table", |t| drop(schema(t).pop())),
        ("partitioning: RANGE in the existing table, LIST in the snapshot", |t| {
            t.partition_info.as_mut().unwrap().kind = "LIST".into()
        }),
        ("partition columns: [\"k INT\"] in the existing table, [] in the snapshot", |t| {
            t.partition_info.as_mut().unwrap().partition_columns = None
        }),
        ("distribution type: HASH in the existing table, RANDOM in the snapshot", |t| {
            t.default_distribution_info.as_mut().unwrap().kind = "RANDOM".into()
        }),
        ("partition `p1` buckets: Some(2) in the existing table, Some(3) in the snapshot", |t| {
            t.id_to_partition.values_mut().next().unwrap().distribution_info.as_mut().unwrap().bucket_num = Some(3)
        }),
        ("partition `p1`: its range in the snapshot is not that in the existing table", |t| {
            let ranges = t.partition_info.as_mut().unwrap().serialized_id_to_range.as_mut().unwrap();
            ranges.values_mut().next().unwrap().pop();
        }),
        ("rollup `by_day` is only in the existing table", |t| {
            t.index_name_to_id.remove("by_day");
        }),
        ("base index short key columns: 1 in the existing table, 2 in the snapshot", |t| {
            t.index_id_to_meta.values_mut().next().unwrap().short_key_column_count = 2
        }),
        ("bloom filter columns: {\"k\"} in the existing table, {} in the snapshot", |t| t.bf_columns = None),
    ];
    for (line, change) in changes {
        let (existing, _) = plain_table();
        let mut snapshot = existing.clone();
        assert_eq!(schema_differences(&existing, &snapshot), Vec::<String>::new());
        change(&mut snapshot);
        let lines = schema_differences(&existing, &snapshot);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(line), "{lines:?}");
    }
}

#[test]
fn upper_case_and_new_partitions_are_no_differences() {
    let (existing, _) = plain_table();
    let mut snapshot = existing.clone();
    let base = snapshot.base_index_id.unwrap();
    snapshot.index_id_to_meta.get_mut(&base).unwrap().schema[1].name = "NOTE0".into();
    snapshot.id_to_partition.values_mut().next().unwrap().name = "p3".into();
    assert_eq!(schema_differences(&existing, &snapshot), Vec::<String>::new());
}

/// Only the partition of an unpartitioned table is called by it.
#[test]
fn a_partition_may_have_its_tables_name() {
    let (existing, mut entry) = generate::table(&Spec { name: "p1".into(), ..plain() }, &mut Ids(100));
    rename(&mut entry, "p2").unwrap();
    assert_eq!(schema_differences(&existing, &entry.parse().unwrap().unwrap()), Vec::<String>::new());
}

#[test]
fn a_view_follows_its_table_to_a_new_id() {
    let (_, table) = plain_table();
    let mut copy = table.clone();
    rename(&mut copy, "copy").unwrap();
    let mut spec = plain();
    (spec.name, spec.materialized) = ("mv".into(), true);
    let (mut mv, mut entry) = generate::table(&spec, &mut Ids(900));
    let base = |name: &str| BaseTableInfo {
        table_id: Some(table.id),
        table_name: Some(name.into()),
        ..BaseTableInfo::default()
    };
    mv.base_table_infos = Some(vec![base("copy")]);
    mv.extra.insert("baseTableIds", serde_json::json!([table.id]));
    entry.catalog = Some(CatalogText::of(&mv).unwrap());
    let mut entries = [table, copy, entry];
    separate_ids(&mut entries).unwrap();
    let mv = entries[2].parse().unwrap().unwrap();
    assert_ne!(entries[1].id, entries[0].id);
    assert_eq!(mv.base_table_infos.unwrap()[0].table_id, Some(entries[1].id));
    assert_eq!(mv.extra.get("baseTableIds").unwrap(), &serde_json::json!([entries[1].id]));
}
