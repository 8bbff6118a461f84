//! What keeps a snapshot's table from replacing an existing one: RESTORE's own comparison, said in words.

use crate::ddl::signature_type;
use crate::model::{Column, DistributionInfo, IndexMeta, Partition, Table, Type};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{Debug, Display};

/// Differences between two tables' schemas as RESTORE onto an existing table sees them (key model, columns position by position,
/// partitioning, distribution), one line each; empty when the snapshot may replace the table.
///
/// Compared is what StarRocks compares: kind of object, key model, every column of the base index (name without case, type, key,
/// aggregation, nullability, default, generated expression, comment), names, short keys and storage of all indexes, bloom filters,
/// partition type and columns, and of partitions that both have the range, distribution and number of buckets. Not compared: list values,
/// unique ids, properties, the table's own name (an alias is in place before).
pub fn schema_differences(existing: &Table, snapshot: &Table) -> Vec<String> {
    let mut out = Differences(Vec::new());
    out.compare("kind", &existing.kind, &snapshot.kind);
    if existing.clazz == "View" && snapshot.clazz == "View" {
        return out.0; // Replaced as it is, whatever the old one was.
    }
    out.compare("key model", or_none(&existing.keys_type), or_none(&snapshot.keys_type));
    columns("column", base_schema(existing), base_schema(snapshot), &mut out);
    indexes(existing, snapshot, &mut out);
    bloom_filters(existing, snapshot, &mut out);
    partitioning(existing, snapshot, &mut out);
    common_partitions(existing, snapshot, &mut out);
    out.0
}

struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Display>(&mut self, what: impl Display, existing: T, snapshot: T) {
        if existing != snapshot {
            self.0.push(format!("{what}: {existing} in the existing table, {snapshot} in the snapshot"));
        }
    }

    fn compare_debug<T: PartialEq + Debug>(&mut self, what: impl Display, existing: T, snapshot: T) {
        if existing != snapshot {
            self.0.push(format!("{what}: {existing:?} in the existing table, {snapshot:?} in the snapshot"));
        }
    }
}

fn or_none(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("none")
}

fn base_meta(table: &Table) -> Option<&IndexMeta> {
    table.index_id_to_meta.get(&table.base_index_id?)
}

fn base_schema(table: &Table) -> &[Column] {
    base_meta(table).map_or(&[], |meta| &meta.schema)
}

fn columns(what: &str, existing: &[Column], snapshot: &[Column], out: &mut Differences) {
    for number in 0..existing.len().max(snapshot.len()) {
        let label = format!("{what} {}", number + 1);
        match (existing.get(number), snapshot.get(number)) {
            (Some(old), Some(new)) => column(&label, old, new, out),
            (Some(old), None) => out.0.push(format!("{label}: `{}` is only in the existing table", old.name)),
            (None, Some(new)) => out.0.push(format!("{label}: `{}` is only in the snapshot", new.name)),
            (None, None) => {}
        }
    }
}

fn column(label: &str, old: &Column, new: &Column, out: &mut Differences) {
    if old.name.to_lowercase() != new.name.to_lowercase() {
        // Two columns of different names: what else differs says nothing.
        out.compare(format!("{label} name"), format!("`{}`", old.name), format!("`{}`", new.name));
        return;
    }
    let label = format!("{label} `{}`", new.name);
    let (old_type, new_type) = (type_text(&old.ty), type_text(&new.ty));
    if old_type.to_lowercase() != new_type.to_lowercase() {
        // Names of struct fields are told apart as columns' names are.
        out.compare(format!("{label} type"), old_type, new_type);
    }
    out.compare(format!("{label} key"), old.is_key, new.is_key);
    out.compare(format!("{label} aggregation"), aggregation(old), aggregation(new));
    out.compare(format!("{label} nullable"), old.is_allow_null, new.is_allow_null);
    out.compare(format!("{label} default"), default(old), default(new));
    let generated = |column: &Column| column.materialized_column_expr.as_ref().map(|generated| generated.expr.clone());
    out.compare_debug(format!("{label} generated"), generated(old), generated(new));
    out.compare(format!("{label} hidden"), old.is_hidden(), new.is_hidden());
    // An empty comment is stored in one version and left out in another.
    let comment = |column: &Column| column.comment.clone().unwrap_or_default();
    out.compare_debug(format!("{label} comment"), comment(old), comment(new));
}

fn aggregation(column: &Column) -> String {
    let name = match column.aggregation_type.as_deref() {
        None | Some("NONE") => "none",
        Some(name) => name,
    };
    let state = column.agg_state_desc.as_ref().map(|state| {
        let arguments: Vec<String> = state.arg_types.iter().map(type_text).collect();
        let returns = state.return_type.as_ref().map(type_text).unwrap_or_default();
        let nullable = if state.result_nullable { " nullable" } else { "" };
        format!(" {}({}) {returns}{nullable}", state.function_name, arguments.join(", "))
    });
    format!("{name}{}", state.unwrap_or_default())
}

fn default(column: &Column) -> String {
    let default = column.default_expr.as_ref();
    // A complex default (an array, map or struct) stands in the second.
    let expression = default.and_then(|default| default.expr.as_deref().or(default.serialized_expr.as_deref()));
    match (&column.default_value, expression) {
        (Some(value), _) => format!("{value:?}"),
        (None, Some(expression)) => format!("({expression})"),
        (None, None) => "none".into(),
    }
}

/// The type as text: lengths, precision and scale, and the parts of nested types included.
fn type_text(ty: &Type) -> String {
    // A damaged type is none that StarRocks would take: what it says is all that can be compared.
    signature_type(ty).unwrap_or_else(|_| format!("{ty:?}"))
}

fn indexes(existing: &Table, snapshot: &Table, out: &mut Differences) {
    // The base index has the table's name, which an alias may have changed: it is compared as such.
    let all = |table: &Table| -> BTreeMap<Option<String>, (i32, String)> {
        let meta = |(name, id): (&String, &i64)| {
            let name = (Some(*id) != table.base_index_id).then(|| name.clone());
            let meta = table.index_id_to_meta.get(id)?;
            let storage = meta.storage_type.clone().unwrap_or_else(|| "COLUMN".into());
            Some((name, (meta.short_key_column_count, storage)))
        };
        table.index_name_to_id.iter().filter_map(meta).collect()
    };
    let (old, new) = (all(existing), all(snapshot));
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let label = name.as_ref().map_or_else(|| "base index".to_owned(), |name| format!("rollup `{name}`"));
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => {
                out.compare(format!("{label} short key columns"), old.0, new.0);
                out.compare(format!("{label} storage"), &old.1, &new.1);
            }
            (Some(_), None) => out.0.push(format!("{label} is only in the existing table")),
            _ => out.0.push(format!("{label} is only in the snapshot")),
        }
    }
}

fn bloom_filters(existing: &Table, snapshot: &Table, out: &mut Differences) {
    let filters = |table: &Table| -> BTreeSet<String> { table.bf_columns.iter().flatten().cloned().collect() };
    let (old, new) = (filters(existing), filters(snapshot));
    out.compare_debug("bloom filter columns", &old, &new);
    if !old.is_empty() && old == new {
        let fpp = |table: &Table| table.bf_fpp.unwrap_or_default();
        out.compare("bloom filter false positive probability", fpp(existing), fpp(snapshot));
    }
}

fn partitioning(existing: &Table, snapshot: &Table, out: &mut Differences) {
    let kind = |table: &Table| table.partition_info.as_ref().map(|info| info.kind.clone());
    out.compare("partitioning", kind(existing).unwrap_or_default(), kind(snapshot).unwrap_or_default());
    let by = |table: &Table| -> Vec<String> {
        let columns = table.partition_info.iter().flat_map(|info| info.partition_columns.iter().flatten());
        columns.map(|column| format!("{} {}", column.name.to_lowercase(), type_text(&column.ty))).collect()
    };
    out.compare_debug("partition columns", by(existing), by(snapshot));
    if let (Some(old), Some(new)) = (&existing.default_distribution_info, &snapshot.default_distribution_info) {
        distribution("distribution", old, new, out);
    }
}

fn distribution(label: &str, old: &DistributionInfo, new: &DistributionInfo, out: &mut Differences) {
    out.compare(format!("{label} type"), &old.kind, &new.kind);
    let by = |info: &DistributionInfo| -> Vec<String> {
        let columns = info.distribution_columns.iter().flatten();
        columns.map(|column| format!("{} {}", column.name.to_lowercase(), type_text(&column.ty))).collect()
    };
    out.compare_debug(format!("{label} columns"), by(old), by(new));
}

/// Of partitions that both have: range, distribution, buckets. Those of the snapshot alone are added, those of the table alone stay.
fn common_partitions(existing: &Table, snapshot: &Table, out: &mut Differences) {
    let range =
        |table: &Table, id: i64| table.partition_info.as_ref()?.serialized_id_to_range.as_ref()?.get(&id).cloned();
    let by_name: HashMap<String, &Partition> =
        existing.id_to_partition.values().map(|old| (old.name.to_lowercase(), old)).collect();
    let unpartitioned = snapshot.partition_info.as_ref().is_some_and(|info| info.kind == "UNPARTITIONED");
    for new in snapshot.id_to_partition.values() {
        // The single partition of an unpartitioned table has the table's name, which an alias changes.
        let name = if unpartitioned && new.name == snapshot.name { &existing.name } else { &new.name };
        let Some(old) = by_name.get(&name.to_lowercase()).or_else(|| by_name.get(&new.name.to_lowercase())) else {
            continue;
        };
        let label = format!("partition `{}`", new.name);
        if range(existing, old.id) != range(snapshot, new.id) {
            out.0.push(format!("{label}: its range in the snapshot is not that in the existing table"));
        }
        if let (Some(old), Some(new)) = (&old.distribution_info, &new.distribution_info) {
            distribution(&format!("{label} distribution"), old, new, out);
            out.compare_debug(format!("{label} buckets"), old.bucket_num, new.bucket_num);
        }
    }
}
