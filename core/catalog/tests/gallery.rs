//! Every column and partition of the gallery of catalogs, cell by cell.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::tsv::{self, Differences, Row};
use starsnap_catalog::model::{BackupMeta, Column, Partition, Table, Type};
use starsnap_catalog::range::Range;
use starsnap_catalog::snapshot::{PartitionKind, Snapshot};
use std::collections::{BTreeMap, HashSet};

fn get<'a>(row: &'a Row, column: &str) -> &'a str {
    row[column].as_deref().unwrap_or("\\N")
}

/// The columns that DESC lists: of the base index; of a view, its own.
fn columns(table: &Table) -> Vec<&Column> {
    match table.base_index_id.and_then(|id| table.index_id_to_meta.get(&id)) {
        Some(base) => base.schema.iter().collect(),
        None => table.full_schema.iter().flatten().collect(),
    }
}

/// As `sql_type` has it in sr33 and sr23.
fn type_text(ty: &Type) -> String {
    let inner = |ty: &Option<Box<Type>>| type_text(ty.as_ref().unwrap());
    match ty.clazz.as_str() {
        "ArrayType" => return format!("array<{}>", inner(&ty.item_type)),
        "MapType" => return format!("map<{},{}>", inner(&ty.key_type), inner(&ty.value_type)),
        "StructType" => {
            let fields: Vec<String> =
                ty.fields.iter().flatten().map(|field| format!("{} {}", field.name, type_text(&field.ty))).collect();
            return format!("struct<{}>", fields.join(", "));
        }
        _ => {}
    }
    let name = ty.primitive.as_deref().unwrap().to_lowercase();
    let len = ty.len.unwrap_or(-1);
    match name.as_str() {
        "tinyint" => "tinyint(4)".into(),
        "smallint" => "smallint(6)".into(),
        "int" => "int(11)".into(),
        "bigint" => "bigint(20)".into(),
        "largeint" => "largeint(40)".into(),
        "char" | "varchar" | "varbinary" if len > 0 => format!("{name}({len})"),
        _ if name.starts_with("decimal") => {
            format!("{name}({}, {})", ty.precision.unwrap(), ty.scale.unwrap())
        }
        _ => name,
    }
}

/// Without what versions print differently: case and blanks, backticks around field names, and the width of decimals, which 3.5 and
/// later leave away outside of arrays and maps.
fn plain_types(read: &str, expected: &str) -> (String, String) {
    let plain = |text: &str| text.replace(['`', ' '], "").to_lowercase();
    let (mut read, mut expected) = (plain(read), plain(expected));
    if expected.contains("decimal(") {
        for width in ["32", "64", "128", "256"] {
            for text in [&mut read, &mut expected] {
                *text = text.replace(&format!("decimal{width}("), "decimal(");
            }
        }
    }
    (read, expected)
}

/// The 2023 version stores expressions without backticks and parses them again when it copies a table for a backup: a name that is no
/// plain identifier then became another expression. Later versions have backticks.
fn changed_by_copying(table: &Table, expression: &str) -> bool {
    let odd = |name: &str| !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let names = columns(table).into_iter().map(|column| column.name.as_str());
    !expression.contains('`') && names.filter(|name| odd(name)).any(|name| expression.contains(name))
}

#[test]
fn every_column() {
    let mut differences = Differences::default();
    for case in common::catalogs() {
        let Some(rows) = tsv::read(&case.dir.join("columns.tsv")) else { continue };
        let meta = case.meta().unwrap();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            let table = get(row, "table");
            // What is not in `__meta` is in no backup of that version.
            let Some(stored) = meta.tbl_name_map.get(table) else { continue };
            let position: usize = get(row, "position").parse().unwrap();
            *seen.entry(table).or_default() += 1;
            let at = format!("{} {table}[{position}]", case.name);
            match columns(stored).get(position) {
                Some(column) => compare_column(&mut differences, &at, row, stored, column),
                None => differences.note(format!("{at} is not there")),
            }
        }
        for (name, table) in &meta.tbl_name_map {
            let (read, expected) = (columns(table).len(), seen.get(name.as_str()).copied().unwrap_or_default());
            if read != expected {
                differences.note(format!("{} {name}: {read} columns instead of {expected}", case.name));
            }
        }
    }
    differences.done(50_000);
}

fn compare_column(differences: &mut Differences, at: &str, row: &Row, table: &Table, column: &Column) {
    let flag = |flag: bool| Some(flag.to_string());
    differences.cell(at, row, "name", Some(column.name.clone()));
    let (read, expected) = plain_types(&type_text(&column.ty), get(row, "sql_type"));
    differences.cell(at, &Row::from([("sql_type".into(), Some(expected))]), "sql_type", Some(read));
    differences.cell(at, row, "nullable", flag(column.is_allow_null));
    differences.cell(at, row, "key", flag(column.is_key));
    let aggregation = column.aggregation_type.clone();
    let aggregation =
        aggregation.map(|text| if column.is_aggregation_type_implicit { format!("({text})") } else { text });
    differences.cell(at, row, "aggregation", aggregation);
    differences.cell(at, row, "default_value", column.default_value.clone());
    differences.cell(at, row, "default_expr", column.default_expr.as_ref().and_then(|expr| expr.expr.clone()));
    differences.cell(at, row, "unique_id", column.unique_id.map(|id| id.to_string()));
    differences.cell(at, row, "auto_increment", flag(column.is_auto_increment.unwrap_or(false)));
    if !changed_by_copying(table, get(row, "generated")) {
        differences.cell(at, row, "generated", column.materialized_column_expr.as_ref().map(|expr| expr.expr.clone()));
    }
    differences.cell(at, row, "comment", column.comment.clone());
}

#[test]
fn every_partition() {
    let mut differences = Differences::default();
    for case in common::catalogs() {
        let Some(rows) = tsv::read(&case.dir.join("partitions.tsv")) else { continue };
        let (info, meta) = (case.info(), case.meta().unwrap());
        let snapshot = Snapshot::join(info.as_ref(), Some(&meta)).unwrap();
        let mut seen = HashSet::new();
        for row in &rows {
            let (table, partition) = (get(row, "table"), get(row, "partition"));
            if meta.tbl_name_map.contains_key(table) {
                seen.insert((table, partition));
                let at = format!("{} {table}/{partition}", case.name);
                compare_partition(&mut differences, &at, row, &meta, &snapshot);
            }
        }
        for table in &snapshot.tables {
            for partition in &table.partitions {
                if !seen.contains(&(table.name.as_str(), partition.name.as_str())) {
                    differences.note(format!("{} {}/{} is not expected", case.name, table.name, partition.name));
                }
            }
        }
    }
    differences.done(20_000);
}

fn compare_partition(differences: &mut Differences, at: &str, row: &Row, meta: &BackupMeta, snapshot: &Snapshot) {
    let table = &meta.tbl_name_map[get(row, "table")];
    let entry = snapshot.table(&table.name).unwrap();
    let Some(entry) = entry.partitions.iter().find(|entry| entry.name == get(row, "partition")) else {
        return differences.note(format!("{at} is not there"));
    };
    let temporary = table.temp_partitions.as_ref().unwrap();
    let stored = table.id_to_partition.get(&entry.id).or(temporary.id_to_partition.get(&entry.id)).unwrap();
    let info = table.partition_info.as_ref().unwrap();
    let kind = match entry.kind {
        PartitionKind::Normal => "NORMAL",
        PartitionKind::Shadow => "SHADOW",
        PartitionKind::Temporary => "TEMPORARY",
    };
    differences.cell(at, row, "kind", Some(kind.into()));
    differences.cell(at, row, "id", Some(entry.id.to_string()));
    let join = |texts: Vec<String>| Some(texts.join(","));
    let physicals = &entry.physicals;
    differences.cell(at, row, "physical_ids", join(physicals.iter().map(|physical| physical.id.to_string()).collect()));
    let versions = physicals.iter().map(|physical| format!("{}:{}", physical.id, physical.version));
    differences.cell(at, row, "physical_versions", join(versions.collect()));
    differences.cell(at, row, "partition_type", Some(info.kind.clone()));
    differences.cell(at, row, "visible_version", Some(entry.version.to_string()));
    let distribution = stored.distribution_info.as_ref().unwrap();
    let buckets = distribution.bucket_num.or(distribution.b);
    differences.cell(at, row, "buckets", buckets.map(|buckets| buckets.to_string()));
    let replication = &info.id_to_replication_num.as_ref().unwrap()[&entry.id];
    differences.cell(at, row, "replication_num", Some(replication.to_string()));
    let property = &info.id_to_data_property.as_ref().unwrap()[&entry.id];
    differences.cell(at, row, "storage_medium", property.storage_medium.clone());
    // SHOW PARTITIONS says no more of shadow partitions, though `__meta` does.
    if entry.kind != PartitionKind::Shadow {
        differences.cell(at, row, "cooldown_time", property.cooldown_time_ms.map(east));
        differences.cell(at, row, "distribution_key", Some(distribution_key(table, stored)));
        let expected = plain_values(get(row, "range_or_list"));
        let read = Some(values(table, entry.id, &expected));
        differences.cell(at, &Row::from([("range_or_list".into(), Some(expected))]), "range_or_list", read);
    }
}

/// A time as people in +08:00 read it.
fn east(milliseconds: i64) -> String {
    starsnap_catalog::repo_info::RepoInfo::new("", milliseconds / 1000).create_time
}

fn distribution_key(table: &Table, partition: &Partition) -> String {
    let info = partition.distribution_info.as_ref().unwrap();
    if info.kind == "RANDOM" {
        return "ALL KEY".into();
    }
    let names: Vec<&str> = match (&info.col_ids, &info.distribution_columns) {
        (Some(ids), _) => {
            let named = |id: &String| columns(table).into_iter().find(|column| column.id().eq_ignore_ascii_case(id));
            ids.iter().map(|id| named(id).unwrap().name.as_str()).collect()
        }
        (None, Some(columns)) => columns.iter().map(|column| column.name.as_str()).collect(),
        (None, None) => Vec::new(),
    };
    names.join(", ")
}

/// Without what is rendered differently, or was lost when it was stored.
fn plain_values(expected: &str) -> String {
    if let Ok(values) = serde_json::from_str::<Vec<Vec<String>>>(expected) {
        return serde_json::to_string(&values).unwrap(); // The escapes of their JSON writer.
    }
    // Microseconds that are a multiple of 64 are gone.
    let mut parts = expected.split('.');
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        match part.get(..6).and_then(|digits| digits.parse::<u32>().ok()) {
            Some(microseconds) if microseconds % 64 == 0 => out.push_str(&part[6..]),
            _ => out.extend([".", part]),
        }
    }
    out
}

/// A list value as SHOW PARTITIONS renders it.
fn list_value(column: &Column, value: &str) -> String {
    match (column.ty.primitive.as_deref(), value) {
        (Some("BOOLEAN"), "1" | "true") => "TRUE".into(),
        (Some("BOOLEAN"), "0" | "false") => "FALSE".into(),
        (_, "__STARROCKS_DEFAULT_PARTITION__") => "NULL".into(),
        _ => value.into(),
    }
}

fn values(table: &Table, partition: i64, expected: &str) -> String {
    let info = table.partition_info.as_ref().unwrap();
    if let Some(range) = info.range(partition).unwrap() {
        assert_eq!(Range::decode(&range.encode().unwrap()).unwrap(), range);
        let key = |end: &Option<starsnap_catalog::range::End>| {
            let key = &end.as_ref().unwrap().key;
            let types: Vec<&str> = key.iter().map(|bound| bound.primitive.as_str()).collect();
            let values: Vec<String> = key.iter().map(|bound| bound.value.to_string()).collect();
            format!("types: [{}]; keys: [{}]; ", types.join(", "), values.join(", "))
        };
        return format!("[{}..{})", key(&range.lower), key(&range.upper));
    }
    let single = info.id_to_values.as_ref().and_then(|map| map.get(&partition));
    let several = info.id_to_multi_values.as_ref().and_then(|map| map.get(&partition));
    let multi: Vec<Vec<String>> = match (single, several) {
        (Some(values), _) => values.iter().map(|value| vec![value.clone()]).collect(),
        (None, Some(values)) => values.clone(),
        (None, None) => return String::new(),
    };
    let columns = info.partition_columns.as_ref().unwrap();
    let render = |values: Vec<String>| columns.iter().zip(values).map(|(c, value)| list_value(c, &value)).collect();
    let multi: Vec<Vec<String>> = multi.into_iter().map(render).collect();
    if expected.starts_with('[') {
        return serde_json::to_string(&multi).unwrap();
    }
    // sr33 renders SQL text.
    let quoted = |values: &Vec<String>| values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ");
    match single {
        Some(_) => format!("({})", quoted(&multi.concat())),
        None => {
            format!("({})", multi.iter().map(|values| format!("({})", quoted(values))).collect::<Vec<_>>().join(", "))
        }
    }
}
