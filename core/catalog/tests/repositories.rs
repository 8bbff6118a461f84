//! The snapshots of the genuine repositories against how their databases were made, and against each other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Case;
use serde_json::{Value, json};
use starsnap_catalog::model::{Column, Table, Type};
use starsnap_catalog::range::BoundValue;
use starsnap_catalog::snapshot::{PartitionEntry, PartitionKind, Snapshot, TableEntry, TableKind};
use std::collections::BTreeMap;

fn snapshot(case: &Case) -> Snapshot {
    Snapshot::join(case.info().as_ref(), case.meta().as_ref()).unwrap()
}

/// The directory of a repository's version and name, above its location.
fn top(case: &Case) -> &std::path::Path {
    case.dir.ancestors().find(|dir| dir.ends_with("location")).unwrap().parent().unwrap()
}

/// How the database of a repository was made. (sr40 was written over the tablets of sr35, and has none of its own.)
fn made(case: &Case) -> Value {
    let own = top(case).join("ids.json");
    let shared = common::fixtures().join("repositories/sr35/hub/ids.json");
    let text = std::fs::read(own).or_else(|_| std::fs::read(shared)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn type_text(ty: &Type) -> String {
    let inner = |ty: &Option<Box<Type>>| type_text(ty.as_ref().unwrap());
    match ty.clazz.as_str() {
        "ArrayType" => return format!("ARRAY<{}>", inner(&ty.item_type)),
        "MapType" => return format!("MAP<{},{}>", inner(&ty.key_type), inner(&ty.value_type)),
        "StructType" => {
            let fields: Vec<String> =
                ty.fields.iter().flatten().map(|field| format!("{} {}", field.name, type_text(&field.ty))).collect();
            return format!("STRUCT<{}>", fields.join(", "));
        }
        _ => {}
    }
    let name = ty.primitive.clone().unwrap();
    match (name.as_str(), ty.len, ty.precision, ty.scale) {
        ("CHAR" | "VARCHAR" | "VARBINARY", Some(len), ..) if len > 0 => format!("{name}({len})"),
        ("VARBINARY", ..) => "VARBINARY(1048576)".into(), // What a tablet gets where none is given.
        (_, _, Some(precision), Some(scale)) if name.starts_with("DECIMAL") => format!("{name}({precision},{scale})"),
        _ => name,
    }
}

/// A column as `ids.json` has it. An aggregation that follows from the key model is not in all of them.
fn column(column: &Column) -> Value {
    let explicit = column.aggregation_type.as_deref().filter(|_| !column.is_aggregation_type_implicit);
    let aggregation = explicit.filter(|text| *text != "NONE");
    json!([
        column.name,
        type_text(&column.ty).replace("DECIMAL32(", "DECIMAL64("),
        column.is_key,
        column.is_allow_null,
        aggregation
    ])
}

fn made_column(column: &Value, aggregated: bool) -> Value {
    let aggregation = column["aggregation"].as_str().filter(|text| aggregated && *text != "NONE");
    // The tablets behind 2.3's tables have DECIMAL32, which its FE makes of no DECIMAL(p, s).
    let ty = column["type"].as_str().unwrap().replace("DECIMAL32(", "DECIMAL64(");
    json!([column["name"], ty, column["is_key"], column["nullable"], aggregation])
}

#[test]
fn ids_versions_tablets_and_columns() {
    let (mut tables, mut tablets) = (0, 0);
    for case in common::repositories() {
        let (snapshot, made) = (snapshot(&case), made(&case));
        if case.info.is_some() {
            assert_eq!(made["db_name"], snapshot.database, "{}", case.name);
        }
        // Without `__info` the id is known only where a materialized view tells it.
        if case.info.is_some() || snapshot.database_id != 0 {
            assert_eq!(made["db_id"], snapshot.database_id, "{}", case.name);
        }
        for entry in &snapshot.tables {
            let at = format!("{} {}", case.name, entry.name);
            let made = made["tables"].as_array().unwrap().iter().find(|made| made["name"] == entry.name);
            let made = made.unwrap_or_else(|| panic!("{at}"));
            assert_eq!(made["id"], entry.id, "{at}");
            tables += 1;
            let table = entry.parse().unwrap().unwrap();
            if entry.kind == TableKind::View {
                assert!(entry.partitions.is_empty());
                continue;
            }
            assert_eq!(made["keys_type"], table.keys_type.as_deref().unwrap(), "{at}");
            let indexes = made["indexes"].as_array().unwrap();
            assert_eq!(indexes.len(), table.index_name_to_id.len(), "{at}");
            for made in indexes {
                compare_index(&at, made, &table);
            }
            for partition in &entry.partitions {
                tablets += compare_partition(&at, made, &table, partition);
            }
        }
    }
    assert!(tables > 40 && tablets > 250, "{tables} tables, {tablets} tablets");
}

fn compare_index(at: &str, made: &Value, table: &Table) {
    let id = table.index_name_to_id[made["name"].as_str().unwrap()];
    assert_eq!(made["id"], id, "{at}");
    let meta = &table.index_id_to_meta[&id];
    let hashes = (made["schema_hash"].as_i64(), made["short_key_count"].as_i64());
    assert_eq!(hashes, (Some(meta.schema_hash), Some(meta.short_key_column_count.into())), "{at}");
    assert_eq!(made["keys_type"], meta.keys_type.as_deref().unwrap(), "{at}");
    let columns = made["columns"].as_array().unwrap();
    let aggregated = made["keys_type"] == "AGG_KEYS";
    let expected: Vec<Value> = columns.iter().map(|column| made_column(column, aggregated)).collect();
    assert_eq!(meta.schema.iter().map(column).collect::<Vec<_>>(), expected, "{at}");
    for (made, column) in columns.iter().zip(&meta.schema) {
        // 2.3 stores none, and asynchronous materialized views have −1.
        if let Some(id) = column.unique_id.filter(|id| *id >= 0) {
            assert_eq!(made["unique_id"], id, "{at} {}", column.name);
        }
        if let Some(default) = made["default"].as_str() {
            assert_eq!(column.default_value.as_deref(), Some(default), "{at} {}", column.name);
        }
    }
}

fn compare_partition(at: &str, made: &Value, table: &Table, partition: &PartitionEntry) -> usize {
    let at = format!("{at}/{}", partition.name);
    let made = made["partitions"].as_array().unwrap().iter().find(|made| made["name"] == partition.name.as_str());
    let made = made.unwrap_or_else(|| panic!("{at}"));
    assert_eq!((made["id"].as_i64(), made["visible_version"].as_i64()), (Some(partition.id), Some(partition.version)));
    assert_eq!(made["hidden"] == true, partition.kind == PartitionKind::Shadow, "{at}");
    let (mut expected, mut read) = (BTreeMap::new(), BTreeMap::new());
    for physical in made["physical_partitions"].as_array().unwrap() {
        for index in physical["indexes"].as_array().unwrap() {
            let key = (physical["id"].as_i64().unwrap(), index["name"].as_str().unwrap());
            let tablets: Vec<i64> = serde_json::from_value(index["tablets"].clone()).unwrap();
            expected
                .insert(key, (physical["visible_version"].as_i64().unwrap(), index["id"].as_i64().unwrap(), tablets));
        }
    }
    for physical in &partition.physicals {
        for index in &physical.indexes {
            let tablets = index.tablets.iter().map(|tablet| tablet.id).collect();
            read.insert((physical.id, index.name.as_str()), (physical.version, index.id, tablets));
        }
    }
    assert_eq!(read, expected, "{at}");
    if let (Some(made), false) = (made["range"].as_array(), made["hidden"] == true) {
        compare_range(&at, made, table, partition.id);
    }
    if let Some(values) = made["values"].as_array() {
        let values: Vec<Vec<String>> = serde_json::from_value(json!(values)).unwrap();
        let info = table.partition_info.as_ref().unwrap();
        let single = info.id_to_values.as_ref().and_then(|map| map.get(&partition.id));
        let single = single.map(|values| values.iter().map(|value| vec![value.clone()]).collect());
        let several = info.id_to_multi_values.as_ref().and_then(|map| map.get(&partition.id)).cloned();
        assert_eq!(single.or(several), Some(values), "{at}");
    }
    read.values().map(|(_, _, tablets)| tablets.len()).sum()
}

fn compare_range(at: &str, made: &[Value], table: &Table, partition: i64) {
    let range = table.partition_info.as_ref().unwrap().range(partition).unwrap().unwrap();
    for (made, end) in made.iter().zip([&range.lower, &range.upper]) {
        let made: Vec<String> = serde_json::from_value(made.clone()).unwrap();
        let key = &end.as_ref().unwrap().key;
        assert_eq!(made.len(), key.len(), "{at}");
        for (made, bound) in made.iter().zip(key) {
            let text = bound.value.to_string();
            let least = match &bound.value {
                BoundValue::Int(value) => *value <= i32::MIN.into(),
                other => other.to_string().starts_with("0000-01-01"),
            };
            let midnight = format!("{made} 00:00:00");
            assert!(text == *made || text == midnight || (made == "MINVALUE" && least), "{at}: {text} is not {made}");
        }
    }
}

/// A table without its ids and what only some versions have.
fn plain(entry: &TableEntry) -> Value {
    let table = entry.parse().unwrap().unwrap();
    let info = table.partition_info.as_ref();
    let names = |columns: &Option<Vec<Column>>| columns.iter().flatten().map(|c| c.name.clone()).collect::<Vec<_>>();
    let partitions: Vec<Value> = entry.partitions.iter().map(|partition| plain_partition(&table, partition)).collect();
    let indexes: BTreeMap<&String, Value> = table
        .index_name_to_id
        .iter()
        .map(|(name, id)| {
            let meta = &table.index_id_to_meta[id];
            let columns = meta.schema.iter().map(|c| {
                let default = c.default_expr.as_ref().and_then(|expr| expr.expr.clone()).or(c.default_value.clone());
                let generated = c.materialized_column_expr.as_ref().map(|expr| expr.expr.replace('`', ""));
                let auto = c.is_auto_increment.unwrap_or(false);
                json!([column(c), c.unique_id, default, generated, auto, c.comment])
            });
            let columns: Vec<Value> = columns.collect();
            let keys = (&meta.keys_type, meta.short_key_column_count, &meta.storage_type);
            (name, json!([columns, keys, meta.schema_hash, meta.schema_version]))
        })
        .collect();
    // What 3.5 and later added to every table's, or keep elsewhere.
    let mut properties = table.table_property.as_ref().map(|property| property.properties.clone()).unwrap_or_default();
    for key in [
        "base_compaction_forbidden_time_ranges",
        "bucket_size",
        "enable_persistent_index",
        "enable_statistic_collect_on_first_load",
        "file_bundling",
        "in_memory",
        "mutable_bucket_num",
        "mv_sort_keys",
        "storage_medium",
    ] {
        properties.remove(key);
    }
    json!({
        "name": entry.name, "kind": format!("{:?}", entry.kind), "keys": table.keys_type, "comment": table.comment,
        "partitioning": info.map(|info| (&info.kind, names(&info.partition_columns))),
        "distribution": table.default_distribution_info.as_ref().map(|info| (&info.kind, names(&info.distribution_columns), info.bucket_num)),
        "partitions": partitions, "indexes": indexes, "bloom": table.bf_columns, "colocate": table.colocate_group,
        "properties": properties, "auto_increment": entry.auto_increment_id,
    })
}

fn plain_partition(table: &Table, partition: &PartitionEntry) -> Value {
    let info = table.partition_info.as_ref().unwrap();
    let id = &partition.id;
    let range = info.range(*id).unwrap().map(|range| range.encode().unwrap());
    let values = info.id_to_values.as_ref().and_then(|map| map.get(id));
    let several = info.id_to_multi_values.as_ref().and_then(|map| map.get(id));
    let physicals: Vec<Value> = partition
        .physicals
        .iter()
        .map(|physical| {
            let indexes = physical
                .indexes
                .iter()
                .map(|index| json!([index.name, index.base, index.schema_hash, index.tablets.len()]));
            json!([physical.version, indexes.collect::<Vec<_>>()])
        })
        .collect();
    json!([partition.name, format!("{:?}", partition.kind), partition.version, range, values, several, physicals])
}

#[test]
fn versions_agree() {
    // By repository and label, each with the versions that wrote it.
    let mut written: BTreeMap<(String, String), Vec<(String, Snapshot)>> = BTreeMap::new();
    // The crashed ones are of different tables.
    for case in common::repositories().into_iter().filter(|case| case.info.is_some()) {
        let parts: Vec<&str> = case.name.split('/').collect();
        let key = (parts[2].to_owned(), parts.last().unwrap().to_string());
        written.entry(key).or_default().push((parts[1].to_owned(), snapshot(&case)));
    }
    let mut compared = 0;
    for ((_, label), snapshots) in &written {
        let (first_version, first) = snapshots.last().unwrap();
        for (version, other) in &snapshots[..snapshots.len() - 1] {
            let at = format!("{label}: {version} and {first_version}");
            assert_eq!((&other.label, &other.database), (&first.label, &first.database), "{at}");
            for entry in &first.tables {
                match other.table(&entry.name) {
                    Some(other) if entry.kind == TableKind::View => assert_eq!(other.kind, entry.kind),
                    Some(other) => assert_eq!(plain(other), plain(entry), "{at}: {}", entry.name),
                    // Views are in backups since 3.4.
                    None => assert_eq!(entry.kind, TableKind::View, "{at}: {}", entry.name),
                }
                compared += 1;
            }
            assert!(other.tables.iter().all(|entry| first.table(&entry.name).is_some()), "{at}");
        }
    }
    assert!(compared > 20, "only {compared}");
}
