//! PROPERTIES: which of the stored ones are printed, under which value.

use super::columns::Names;
use super::{Context, constraints, quote};
use crate::model::{Column, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Bucket size that StarRocks 3.5 prints for a RANDOM distribution without one of its own: 4 GiB.
const BUCKET_SIZE: &str = "4294967296";

/// Cooldown time that means none, in milliseconds.
const NO_COOLDOWN: &str = "253402271999000";

/// The properties of a table, and what could not be printed, one sentence each.
pub fn of_table(table: &Table, schema: &[Column], context: &Context) -> (BTreeMap<String, String>, Vec<String>) {
    let mut notes = Vec::new();
    let mut out = stored(table, schema, context, &mut notes);
    let primary = table.keys_type.as_deref() == Some("PRIMARY_KEYS");
    let random = table.default_distribution_info.as_ref().is_some_and(|info| info.kind == "RANDOM");
    if random {
        out.entry("bucket_size".into()).or_insert_with(|| BUCKET_SIZE.into());
    } else {
        out.remove("bucket_size");
    }
    if primary {
        out.entry("enable_persistent_index".into()).or_insert_with(|| "false".into());
    } else {
        out.remove("enable_persistent_index");
    }
    out.entry("compression".into()).or_insert_with(|| "LZ4".into());
    let fast = out.entry("fast_schema_evolution".into()).or_insert_with(|| "false".into());
    // A row store does not support it, whatever is stored.
    if stored_value(table, "storage_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("COLUMN")) {
        *fast = "false".into();
    }
    dynamic_partition_defaults(&mut out);
    (out, notes)
}

/// The properties of a materialized view, and what could not be printed.
pub fn of_view(table: &Table, schema: &[Column], context: &Context) -> (BTreeMap<String, String>, Vec<String>) {
    let mut notes = Vec::new();
    let mut out = stored(table, schema, context, &mut notes);
    out.entry("storage_medium".into()).or_insert_with(|| "HDD".into());
    (out, notes)
}

/// Names in the form that PROPERTIES takes, sorted.
pub fn clause(properties: &BTreeMap<String, String>) -> String {
    format!("PROPERTIES (\n{}\n)", quote::pairs(properties, ",\n"))
}

fn stored_value<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.table_property.as_ref()?.properties.get(key).map(String::as_str)
}

/// The table's number of replicas: its property, else what its first partition has (old versions stored no property), else the default.
pub fn replication_num(table: &Table) -> String {
    let stored = stored_value(table, "replication_num").filter(|value| !value.is_empty()).map(str::to_owned);
    let of_partitions = || {
        let replicas = table.partition_info.as_ref()?.id_to_replication_num.as_ref()?.values().next()?;
        Some(replicas.to_string())
    };
    stored.or_else(of_partitions).unwrap_or_else(|| "3".into())
}

fn stored(table: &Table, schema: &[Column], context: &Context, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    if let Some(property) = &table.table_property {
        for (key, value) in &property.properties {
            if let Some(value) = shown(table, schema, context, key, value, notes) {
                out.insert(key.clone(), value);
            }
        }
    }
    out.insert("replication_num".into(), replication_num(table));
    // Before 2.5 there was no other than this.
    out.entry("replicated_storage".into()).or_insert_with(|| "false".into());
    if let Some(columns) = table.bf_columns.as_deref().filter(|columns| !columns.is_empty()) {
        let known = Names::of(schema);
        // A Java TreeSet without regard to case; columns that are gone are not in it.
        let ids: BTreeSet<String> = columns.iter().map(|id| id.to_ascii_lowercase()).collect();
        let names: BTreeMap<_, _> =
            ids.iter().filter_map(|id| known.get(id)).map(|name| (quote::without_case(name), name)).collect();
        if !names.is_empty() {
            out.insert("bloom_filter_columns".into(), names.into_values().collect::<Vec<_>>().join(", "));
        }
    }
    if let Some(group) = table.colocate_group.as_deref().filter(|group| !group.is_empty()) {
        out.insert("colocate_with".into(), group.into());
    }
    out
}

/// The value to print for a stored property; none for one that StarRocks does not show. Of a materialized view it shows all but two.
fn shown(
    table: &Table,
    schema: &[Column],
    context: &Context,
    key: &str,
    value: &str,
    notes: &mut Vec<String>,
) -> Option<String> {
    let view = table.clazz == "MaterializedView";
    let hidden = match view {
        true => matches!(key, "mv_sort_keys" | "warehouse"),
        false => value.is_empty() || is_hidden(key, value),
    };
    if hidden {
        return None;
    }
    let level =
        table.table_property.as_ref().and_then(|property| property.compression_level).filter(|level| *level > 0);
    match key {
        "compression" => Some(match (value, level) {
            ("LZ4_FRAME", _) => "LZ4".into(),
            ("ZSTD", Some(level)) => format!("ZSTD({level})"),
            _ => value.into(),
        }),
        "storage_cooldown_time" => Some(match value.parse::<i64>() {
            Ok(milliseconds) => crate::time::starrocks_time(milliseconds.div_euclid(1000)),
            Err(_) => value.into(),
        }),
        // Those of a view may be its base tables', and are stored as they are printed.
        "unique_constraints" if !view => constraints::unique(table, schema, context, value),
        "foreign_key_constraints" => constraints::foreign(table, schema, context, value, notes),
        _ => Some(value.into()),
    }
}

/// A table's property that is its default, StarRocks' own bookkeeping, or nothing that CREATE TABLE takes.
fn is_hidden(key: &str, value: &str) -> bool {
    match key {
        "in_memory" | "storage_format" | "file_bundling" => true,
        "storage_type" => value.eq_ignore_ascii_case("COLUMN"),
        "write_quorum" => value.eq_ignore_ascii_case("MAJORITY"),
        "mutable_bucket_num" | "primary_index_cache_expire_sec" | "dynamic_partition.buckets" => value == "0",
        "enable_load_profile" => value == "false",
        "enable_statistic_collect_on_first_load" => value == "true",
        "table_query_timeout" => value == "-1",
        "storage_cooldown_time" => value == NO_COOLDOWN,
        _ => key.starts_with("binlog_partition_") || key.starts_with("default."),
    }
}

/// StarRocks prints defaults of these where dynamic partitioning is set.
fn dynamic_partition_defaults(out: &mut BTreeMap<String, String>) {
    let Some(unit) = out.get("dynamic_partition.time_unit").map(|unit| unit.to_ascii_uppercase()) else { return };
    let mut default = |key: &str, value: &str| {
        out.entry(format!("dynamic_partition.{key}")).or_insert_with(|| value.into());
    };
    default("history_partition_num", "0");
    match unit.as_str() {
        "WEEK" => default("start_day_of_week", "1"),
        "MONTH" => default("start_day_of_month", "1"),
        _ => {}
    }
}
