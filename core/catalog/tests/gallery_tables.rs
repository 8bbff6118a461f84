//! Every table, materialized view, view, function and external catalog of the gallery, cell by cell.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::tsv::{self, Differences, Row};
use serde_json::{Value, json};
use starsnap_catalog::model::{IndexMeta, SecondaryIndex, Table, Type};
use starsnap_catalog::snapshot::{Snapshot, TableKind};
use std::collections::BTreeMap;

fn get<'a>(row: &'a Row, column: &str) -> &'a str {
    row[column].as_deref().unwrap_or("\\N")
}

/// Compares JSON by value.
fn json_cell(differences: &mut Differences, at: &str, row: &Row, column: &str, read: Value) {
    let expected = row[column].as_deref().map(|text| serde_json::from_str::<Value>(text).unwrap());
    let row = Row::from([(column.to_owned(), expected.map(|value| sorted(&value).to_string()))]);
    differences.cell(at, &row, column, Some(sorted(&read).to_string()));
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<&String, Value> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
            json!(map)
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[test]
fn every_table() {
    let mut differences = Differences::default();
    for case in common::catalogs() {
        let Some(rows) = tsv::read(&case.dir.join("tables.tsv")) else { continue };
        let (info, meta) = (case.info(), case.meta().unwrap());
        let snapshot = Snapshot::join(info.as_ref(), Some(&meta)).unwrap();
        let mut seen = 0;
        for row in &rows {
            let Some(entry) = snapshot.table(get(row, "object")) else { continue };
            seen += 1;
            let at = format!("{} {}", case.name, entry.name);
            let kind = match entry.kind {
                TableKind::Table => "TABLE",
                TableKind::MaterializedView => "MATERIALIZED_VIEW",
                TableKind::View => "VIEW",
                TableKind::Other => "other",
            };
            differences.cell(&at, row, "kind", Some(kind.into()));
            differences.cell(&at, row, "id", Some(entry.id.to_string()));
            let table = entry.parse().unwrap().unwrap();
            assert!(table == meta.tbl_name_map[&entry.name], "{at}");
            // 2.3 fills an empty comment when it shows it.
            if (case.name.contains("sr23"), table.comment.as_deref()) != (true, Some("")) {
                differences.cell(&at, row, "comment", table.comment.clone());
            }
            if entry.kind != TableKind::View {
                compare_table(&mut differences, &at, row, &table);
                entry_indexes(&mut differences, &at, &table, entry);
            }
        }
        assert_eq!(seen, snapshot.tables.len(), "{}", case.name);
    }
    differences.done(8_000);
}

fn compare_table(differences: &mut Differences, at: &str, row: &Row, table: &Table) {
    differences.cell(at, row, "keys_type", table.keys_type.clone());
    let info = table.partition_info.as_ref().unwrap();
    differences.cell(at, row, "partition_type", Some(info.kind.clone()));
    let names: Vec<String> = match (&info.col_ids, &info.partition_columns) {
        (Some(ids), _) => ids.iter().map(|id| name_of(table, id)).collect(),
        (None, columns) => columns.iter().flatten().map(|column| column.name.clone()).collect(),
    };
    differences.cell(at, row, "partition_columns", Some(names.join(",")));
    let expected = Row::from([("distribution".into(), Some(get(row, "distribution").trim_end().to_owned()))]);
    differences.cell(at, &expected, "distribution", Some(distribution(table).trim_end().into()));
    differences.cell(at, row, "base_index_id", table.base_index_id.map(|id| id.to_string()));
    differences.cell(at, row, "colocate_group", table.colocate_group.clone());
    let mut indexes: Vec<Value> = table.index_name_to_id.iter().map(|(name, id)| index(table, name, *id)).collect();
    indexes.sort_by_key(|index| index["id"].as_i64());
    let mut expected: Vec<Value> = serde_json::from_str(get(row, "indexes")).unwrap();
    expected.sort_by_key(|index| index["id"].as_i64());
    let expected = Row::from([("indexes".into(), Some(json!(expected).to_string()))]);
    json_cell(differences, at, &expected, "indexes", indexes.into());
    let secondary = table.indexes.as_ref().unwrap().indexes.iter();
    let secondary: Vec<String> = secondary.map(|index| secondary_index(table, index)).collect();
    json_cell(differences, at, row, "secondary_indexes", json!(secondary));
    differences.cell(at, row, "max_col_unique_id", table.max_col_unique_id.map(|id| id.to_string()));
    let bloom = table.bf_columns.as_ref().map(|ids| {
        let names: Vec<String> = ids.iter().map(|id| name_of(table, id)).collect();
        names.join(",")
    });
    differences.cell(at, row, "bloom_filter", bloom);
    let mut expected: BTreeMap<String, String> = serde_json::from_str(get(row, "properties")).unwrap();
    // The 2026 version shows these, but never stores them.
    let shown = ["flat_json.column.max", "flat_json.null.factor", "flat_json.sparsity.factor"];
    expected.retain(|key, _| !shown.contains(&key.as_str()));
    let expected = Row::from([("properties".into(), Some(json!(expected).to_string()))]);
    json_cell(differences, at, &expected, "properties", json!(table.table_property.as_ref().unwrap().properties));
}

/// The current name of a column id. (The 2023 version stores names, and leaves those of renamed columns in secondary indexes.)
fn name_of(table: &Table, id: &str) -> String {
    let schemas = table.index_id_to_meta.values().flat_map(|index| &index.schema);
    let mut columns = schemas.chain(table.full_schema.iter().flatten());
    columns.find(|column| column.id().eq_ignore_ascii_case(id)).map_or(id, |column| &column.name).to_owned()
}

fn distribution(table: &Table) -> String {
    let info = table.default_distribution_info.as_ref().unwrap();
    let buckets = match info.bucket_num.or(info.b).unwrap() {
        0 => String::new(),
        count => format!("BUCKETS {count} "),
    };
    if info.kind == "RANDOM" {
        return format!("DISTRIBUTED BY RANDOM {buckets}");
    }
    let names: Vec<String> = match (&info.col_ids, &info.distribution_columns) {
        (Some(ids), _) => ids.iter().map(|id| name_of(table, id)).collect(),
        (None, columns) => columns.iter().flatten().map(|column| column.name.clone()).collect(),
    };
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("DISTRIBUTED BY HASH({}) {buckets}", names.join(", "))
}

fn index(table: &Table, name: &str, id: i64) -> Value {
    let meta: &IndexMeta = &table.index_id_to_meta[&id];
    let names: Vec<&str> = meta.schema.iter().map(|column| column.name.as_str()).collect();
    let mut value = json!({
        "name": name,
        "id": id,
        "base": table.base_index_id == Some(id),
        "schema_hash": meta.schema_hash,
        "schema_version": meta.schema_version,
        "keys_type": meta.keys_type,
        "short_key_count": meta.short_key_column_count,
        "storage_type": meta.storage_type,
        "columns": names,
    });
    for (key, read) in [
        ("schema_id", json!(meta.schema_id)),
        ("sort_key_idxes", json!(meta.sort_key_idxes)),
        ("sort_key_unique_ids", json!(meta.sort_key_unique_ids)),
    ] {
        if !read.is_null() {
            value[key] = read;
        }
    }
    value
}

fn secondary_index(table: &Table, index: &SecondaryIndex) -> String {
    let names: Vec<String> = index.columns.iter().map(|id| format!("`{}`", name_of(table, id))).collect();
    let mut text = format!("INDEX {} ({}) USING {}", index.index_name, names.join(", "), index.index_type);
    if let Some(properties) = index.properties.as_ref().filter(|properties| !properties.is_empty()) {
        let pairs: Vec<String> = properties.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
        text += &format!("({})", pairs.join(", "));
    }
    if let Some(comment) = &index.comment {
        text += &format!(" COMMENT '{comment}'");
    }
    text
}

/// Indexes of every physical partition are those of the table, the base index first.
fn entry_indexes(
    differences: &mut Differences,
    at: &str,
    table: &Table,
    entry: &starsnap_catalog::snapshot::TableEntry,
) {
    for physical in entry.partitions.iter().flat_map(|partition| &partition.physicals) {
        let read: BTreeMap<String, i64> =
            physical.indexes.iter().map(|index| (index.name.clone(), index.schema_hash)).collect();
        let stored = table.index_name_to_id.iter();
        let stored: BTreeMap<String, i64> =
            stored.map(|(name, id)| (name.clone(), table.index_id_to_meta[id].schema_hash)).collect();
        if read != stored {
            differences.note(format!("{at}: indexes {read:?} instead of {stored:?}"));
        }
        let bases: Vec<bool> = physical.indexes.iter().map(|index| index.base).collect();
        if bases.iter().position(|base| *base) != Some(0) || bases[1..].contains(&true) {
            differences.note(format!("{at}: the base index is not the first"));
        }
    }
}

fn type_text(ty: &Type) -> String {
    let name = ty.primitive.as_deref().unwrap_or(&ty.clazz);
    match ty.len {
        Some(len) if len > 0 => format!("{name}({len})"),
        _ => name.into(),
    }
}

#[test]
fn every_function() {
    let mut differences = Differences::default();
    for case in common::catalogs() {
        let Some(rows) = tsv::read(&case.dir.join("functions.tsv")) else { continue };
        let functions = case.meta().unwrap().functions;
        if functions.is_empty() {
            continue; // Not in the backups of that version.
        }
        assert_eq!(functions.len(), rows.len());
        for row in &rows {
            let id = get(row, "id");
            let function = functions.iter().find(|function| function.fid.to_string() == id).unwrap();
            let at = format!("{} {}", case.name, function.name.name);
            let arguments: Vec<String> = function.arg_types.iter().map(type_text).collect();
            let signature = format!("{}({})", function.name.name, arguments.join(", "));
            differences.cell(&at, row, "signature", Some(signature));
            differences.cell(&at, row, "class", Some(function.clazz.clone()));
            differences.cell(&at, row, "return", function.ret_type.as_ref().map(type_text));
            differences.cell(&at, row, "varargs", function.has_var_args.map(|flag| flag.to_string()));
            differences.cell(&at, row, "binary_type", function.binary_type.clone());
            differences.cell(&at, row, "location", function.location.as_ref().and_then(|uri| uri.location.clone()));
            differences.cell(&at, row, "symbol", function.symbol_name.clone());
            differences.cell(&at, row, "checksum", function.checksum.clone());
        }
    }
    differences.done(50);
}

#[test]
fn every_external_catalog() {
    let mut differences = Differences::default();
    for case in common::catalogs() {
        let Some(rows) = tsv::read(&case.dir.join("catalogs.tsv")) else { continue };
        let (info, meta) = (case.info(), case.meta().unwrap());
        let snapshot = Snapshot::join(info.as_ref(), Some(&meta)).unwrap();
        assert_eq!((snapshot.database.as_str(), snapshot.database_id, snapshot.tables.len()), ("", -1, 0));
        assert_eq!((meta.catalogs.len(), snapshot.catalogs.len()), (rows.len(), rows.len()));
        for row in &rows {
            let catalog = meta.catalogs.iter().find(|catalog| catalog.name == get(row, "name")).unwrap();
            let at = format!("{} {}", case.name, catalog.name);
            differences.cell(&at, row, "id", Some(catalog.id.to_string()));
            differences.cell(&at, row, "type", catalog.config.get("type").cloned());
            differences.cell(&at, row, "comment", catalog.comment.clone());
            json_cell(&mut differences, &at, row, "config", json!(catalog.config));
            for secret in ["pw", "x", "ACCESSKEYEXAMPLE12"] {
                assert!(!format!("{catalog:?}{:?}", snapshot.catalogs).contains(&format!("\"{secret}\"")));
            }
        }
    }
    differences.done(30);
}
