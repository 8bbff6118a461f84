//! What an FE needs of a catalog object: older versions did not write all of it, some can be derived, the rest must be there.

use super::{inconsistent, unsupported};
use crate::error::Result;
use crate::model::{
    Column, DataProperty, DistributionInfo, IndexMeta, MaterializedIndex, Partition, PartitionInfo, Table, Tablet, Type,
};
use std::collections::{BTreeMap, BTreeSet};

/// "Never" in `cooldownTimeMs`: the end of the year 9999.
const NO_COOLDOWN: i64 = 253_402_271_999_000;

/// Fills in what can be derived and checks the rest. Partitions must be in layout P1.
pub fn complete(table: &mut Table) -> Result<()> {
    let name = table.name.clone();
    table.comment.get_or_insert_default();
    table.create_time.get_or_insert_default();
    match table.clazz.as_str() {
        "View" => {
            columns(table.full_schema.iter_mut().flatten());
            if table.kind.is_empty() {
                table.kind = "VIEW".into();
            }
            if table.inline_view_def.is_none() {
                return Err(inconsistent(&name, "it is a view without a query".into()));
            }
            return check_types(&name, table.full_schema.iter().flatten());
        }
        "OlapTable" | "MaterializedView" => {}
        other => return Err(unsupported(&name, format!("a {other} cannot be in a backup"))),
    }
    if table.kind.is_empty() {
        table.kind = if table.clazz == "OlapTable" { "OLAP" } else { "MATERIALIZED_VIEW" }.into();
    }
    table.state.get_or_insert_with(|| "NORMAL".into());
    schemas(table)?;
    distributions(table)?;
    let ids: BTreeSet<i64> = table.id_to_partition.keys().copied().collect();
    let temporary: BTreeSet<i64> =
        table.temp_partitions.iter().flat_map(|t| t.id_to_partition.keys().copied()).collect();
    partition_info(table, &ids, &temporary)?;
    properties(table);
    partitions(table)
}

fn columns<'a>(columns: impl Iterator<Item = &'a mut Column>) {
    for column in columns {
        column.column_id.get_or_insert_with(|| column.name.clone());
        // -1 says what a missing one says: the ordinal position numbers the column, as it did in the tablets.
        column.unique_id.get_or_insert(-1);
        column.is_auto_increment.get_or_insert(false);
        column.comment.get_or_insert_default();
    }
}

fn check_types<'a>(table: &str, columns: impl Iterator<Item = &'a Column>) -> Result<()> {
    fn whole(ty: &Type) -> bool {
        let inner = [&ty.item_type, &ty.key_type, &ty.value_type];
        !ty.clazz.is_empty()
            && (ty.clazz != "ScalarType" || ty.primitive.is_some())
            && inner.into_iter().flatten().all(|ty| whole(ty))
            && ty.fields.iter().flatten().all(|field| whole(&field.ty))
    }
    for column in columns {
        if !whole(&column.ty) {
            return Err(inconsistent(table, format!("the type of its column {:?} is incomplete", column.name)));
        }
    }
    Ok(())
}

/// The schemas of the base index and the rollups.
fn schemas(table: &mut Table) -> Result<()> {
    let name = table.name.clone();
    let base = match (table.index_name_to_id.get(&name).copied(), table.base_index_id) {
        (Some(named), Some(base)) if named != base => {
            return Err(inconsistent(&name, format!("its base index is {base}, but the index of its name is {named}")));
        }
        (Some(id), _) => id,
        (None, Some(base)) if !table.index_name_to_id.values().any(|id| *id == base) => base,
        (None, _) => return Err(inconsistent(&name, "it has no index of its own name".into())),
    };
    table.base_index_id = Some(base);
    table.index_name_to_id.insert(name.clone(), base);
    let Some(keys_type) = table.keys_type.clone().or_else(|| table.index_id_to_meta.get(&base)?.keys_type.clone())
    else {
        return Err(inconsistent(&name, "its key model is missing".into()));
    };
    table.keys_type = Some(keys_type.clone());
    let mut named = BTreeSet::new();
    for (index, id) in &table.index_name_to_id {
        let Some(meta) = table.index_id_to_meta.get_mut(id) else {
            return Err(inconsistent(&name, format!("its index {index:?} has no schema")));
        };
        if !named.insert(*id) {
            return Err(inconsistent(&name, format!("its index {index:?} shares the schema {id} with another")));
        }
        schema(meta, *id, &keys_type);
        check_types(&name, meta.schema.iter())?;
        if meta.schema.is_empty() || meta.short_key_column_count < 1 || meta.schema_hash == 0 {
            let reason = format!("the schema of its index {index:?} has no columns, no short key or no hash");
            return Err(inconsistent(&name, reason));
        }
    }
    if let Some(unnamed) = table.index_id_to_meta.keys().find(|id| !named.contains(id)) {
        return Err(inconsistent(&name, format!("its schema {unnamed} belongs to no index")));
    }
    if table.full_schema.is_none() {
        table.full_schema = Some(full_schema(table, base));
    }
    columns(table.full_schema.iter_mut().flatten());
    Ok(())
}

fn schema(meta: &mut IndexMeta, id: i64, keys_type: &str) {
    meta.index_id = id;
    meta.schema_version.get_or_insert_default();
    meta.schema_id.get_or_insert(id);
    meta.storage_type.get_or_insert_with(|| "COLUMN".into());
    meta.keys_type.get_or_insert_with(|| keys_type.into());
    columns(meta.schema.iter_mut());
}

/// The base index's columns, then those that only rollups have.
fn full_schema(table: &Table, base: i64) -> Vec<Column> {
    let mut all: Vec<Column> = table.index_id_to_meta.get(&base).map(|meta| meta.schema.clone()).unwrap_or_default();
    for column in table.index_id_to_meta.values().flat_map(|meta| &meta.schema) {
        if !all.iter().any(|known| known.name.eq_ignore_ascii_case(&column.name)) {
            all.push(column.clone());
        }
    }
    all
}

fn distributions(table: &mut Table) -> Result<()> {
    let name = table.name.clone();
    let base = table.base_index_id.and_then(|id| table.index_id_to_meta.get(&id));
    let schema = base.map(|meta| meta.schema.clone()).unwrap_or_default();
    let Some(default) = &mut table.default_distribution_info else {
        return Err(inconsistent(&name, "it does not say how it is distributed".into()));
    };
    distribution(default, &schema).map_err(|reason| inconsistent(&name, reason))?;
    let temporary = table.temp_partitions.iter_mut().flat_map(|temporary| temporary.id_to_partition.values_mut());
    for partition in table.id_to_partition.values_mut().chain(temporary) {
        let own = partition.distribution_info.get_or_insert_with(|| default.clone());
        distribution(own, &schema).map_err(|reason| inconsistent(&name, reason))?;
    }
    Ok(())
}

fn distribution(info: &mut DistributionInfo, schema: &[Column]) -> Result<(), String> {
    let (clazz, kind) = match (info.clazz.as_str(), info.kind.as_str()) {
        ("HashDistributionInfo", _) | ("", "HASH") => ("HashDistributionInfo", "HASH"),
        ("RandomDistributionInfo", _) | ("", "RANDOM") => ("RandomDistributionInfo", "RANDOM"),
        (clazz, kind) => return Err(format!("its distribution is unknown ({kind}, {clazz})")),
    };
    (info.clazz, info.kind) = (clazz.into(), kind.into());
    info.type_str.get_or_insert_with(|| kind.into());
    if kind == "HASH" {
        if info.bucket_num.is_none() {
            return Err("its distribution has no number of buckets".into());
        }
        ids_and_columns(&mut info.col_ids, &mut info.distribution_columns, schema)
            .map_err(|reason| format!("its distribution {reason}"))?;
    } else {
        info.b.get_or_insert_default();
    }
    Ok(())
}

/// Column ids (3.3.1 and later) and columns (earlier) from each other: readers of either kind must find theirs.
fn ids_and_columns(
    ids: &mut Option<Vec<String>>,
    stored: &mut Option<Vec<Column>>,
    schema: &[Column],
) -> Result<(), String> {
    match (&ids, &stored) {
        (_, Some(columns)) if !columns.is_empty() => {
            let from_columns = || columns.iter().map(|column| column.id().to_owned()).collect();
            if ids.as_ref().is_none_or(Vec::is_empty) {
                *ids = Some(from_columns());
            }
        }
        (Some(named), _) if !named.is_empty() => {
            let find = |id: &String| {
                let by_id = schema.iter().find(|column| column.id().eq_ignore_ascii_case(id));
                by_id.or_else(|| schema.iter().find(|column| column.name.eq_ignore_ascii_case(id))).cloned()
            };
            let found: Option<Vec<Column>> = named.iter().map(find).collect();
            *stored = Some(found.ok_or_else(|| format!("names a column that is not there (of {named:?})"))?);
        }
        _ => return Err("names no columns".into()),
    }
    columns(stored.iter_mut().flatten());
    Ok(())
}

fn partition_info(table: &mut Table, ids: &BTreeSet<i64>, temporary: &BTreeSet<i64>) -> Result<()> {
    let name = table.name.clone();
    let replication = table.table_property.as_ref().and_then(|p| p.properties.get("replication_num")?.parse().ok());
    let base = table.base_index_id.and_then(|id| table.index_id_to_meta.get(&id));
    let schema = base.map(|meta| meta.schema.clone()).unwrap_or_default();
    let Some(info) = &mut table.partition_info else {
        return Err(inconsistent(&name, "it does not say how it is partitioned".into()));
    };
    partition_class(info).map_err(|reason| inconsistent(&name, reason))?;
    info.is_multi_column_partition.get_or_insert_default();
    let data = info.id_to_data_property.get_or_insert_default();
    let replications = info.id_to_replication_num.get_or_insert_default();
    let replication = replication.or_else(|| replications.values().copied().max()).unwrap_or(1);
    let in_memory = info.id_to_in_memory.get_or_insert_default();
    info.id_to_storage_cache_info.get_or_insert_default();
    for id in ids.iter().chain(temporary) {
        data.entry(*id).or_insert_with(|| DataProperty {
            storage_medium: Some("HDD".into()),
            cooldown_time_ms: Some(NO_COOLDOWN),
            ..DataProperty::default()
        });
        replications.entry(*id).or_insert(replication);
        in_memory.entry(*id).or_insert(false);
    }
    match info.kind.as_str() {
        "UNPARTITIONED" => return Ok(()),
        "LIST" => list_values(info, ids, temporary),
        _ => ranges(info, ids, temporary),
    }
    .map_err(|id: i64| inconsistent(&name, format!("its partition {id} has no range and no values")))?;
    ids_and_columns(&mut info.col_ids, &mut info.partition_columns, &schema)
        .map_err(|reason| inconsistent(&name, format!("its partitioning {reason}")))?;
    let columns = info.partition_columns.as_ref().map_or(0, Vec::len);
    info.is_multi_column_partition = Some(info.is_multi_column_partition == Some(true) || columns > 1);
    Ok(())
}

fn partition_class(info: &mut PartitionInfo) -> Result<(), String> {
    let class = match info.kind.as_str() {
        "UNPARTITIONED" => "SinglePartitionInfo",
        "RANGE" => "RangePartitionInfo",
        "LIST" => "ListPartitionInfo",
        "EXPR_RANGE" => "ExpressionRangePartitionInfo",
        "EXPR_RANGE_V2" => "ExpressionRangePartitionInfoV2",
        other => return Err(format!("its partitioning {other:?} is unknown")),
    };
    if info.clazz.is_empty() {
        info.clazz = class.into();
    }
    Ok(())
}

/// The id of a partition without a range, if there is one.
fn ranges(info: &mut PartitionInfo, ids: &BTreeSet<i64>, temporary: &BTreeSet<i64>) -> Result<(), i64> {
    let temporary_ranges = info.serialized_id_to_temp_range.get_or_insert_default();
    let ranges = info.serialized_id_to_range.get_or_insert_default();
    let missing = ids.iter().find(|id| !ranges.contains_key(id));
    match missing.or_else(|| temporary.iter().find(|id| !temporary_ranges.contains_key(id))) {
        Some(id) => Err(*id),
        None => Ok(()),
    }
}

/// The id of a partition without list values, if there is one.
fn list_values(info: &mut PartitionInfo, ids: &BTreeSet<i64>, temporary: &BTreeSet<i64>) -> Result<(), i64> {
    let single = info.id_to_values.get_or_insert_default();
    let multi = info.id_to_multi_values.get_or_insert_default();
    let is_temporary = info.id_to_temp.get_or_insert_default();
    for id in ids.iter().chain(temporary) {
        if !single.contains_key(id) && !multi.contains_key(id) {
            return Err(*id);
        }
        is_temporary.entry(*id).or_insert(temporary.contains(id));
    }
    Ok(())
}

fn properties(table: &mut Table) {
    let replications = table.partition_info.as_ref().and_then(|info| info.id_to_replication_num.as_ref());
    let replication = replications.and_then(|all| all.values().copied().max()).unwrap_or(1);
    let properties = &mut table.table_property.get_or_insert_default().properties;
    properties.entry("replication_num".into()).or_insert_with(|| replication.to_string());
    table.temp_partitions.get_or_insert_default();
    table.bf_fpp.get_or_insert_default();
    table.max_col_unique_id.get_or_insert(-1);
    table.max_index_id.get_or_insert(-1);
}

fn partitions(table: &mut Table) -> Result<()> {
    let name = table.name.clone();
    let base = table.base_index_id.unwrap_or_default();
    let rollups: BTreeSet<i64> = table.index_name_to_id.values().copied().filter(|id| *id != base).collect();
    let temporary = table.temp_partitions.iter_mut().flat_map(|temporary| &mut temporary.id_to_partition);
    for (id, partition) in table.id_to_partition.iter_mut().chain(temporary) {
        let Partition { name: partition_name, id: own, .. } = &*partition;
        let wrong = |what: &str| Err(inconsistent(&name, format!("its partition {partition_name:?} {what}")));
        if own != id {
            return wrong("is filed under another id");
        }
        let has_all = |base_index: &Option<MaterializedIndex>, others: &Option<BTreeMap<i64, MaterializedIndex>>| {
            base_index.as_ref().is_some_and(|index| index.id == base)
                && others.iter().flat_map(|others| others.keys()).eq(rollups.iter())
        };
        let mut physicals = partition.id_to_sub_partition.iter().flatten();
        if !has_all(&partition.base_index, &partition.id_to_visible_rollup_index)
            || !physicals.all(|(_, sub)| has_all(&sub.base_index, &sub.id_to_visible_rollup_index))
        {
            return wrong("has not exactly the indexes that the table has");
        }
        complete_partition(partition);
    }
    Ok(())
}

/// Versions, states and tablets of a partition and its further physical partitions.
fn complete_partition(partition: &mut Partition) {
    partition.state.get_or_insert_with(|| "NORMAL".into());
    partition.is_immutable.get_or_insert_default();
    let version = partition.visible_version;
    partition.next_version = version.saturating_add(1);
    let data = *partition.data_version.get_or_insert(version);
    partition.next_data_version = Some(data.saturating_add(1));
    // Any but 0, which no version hands out.
    partition.version_epoch = partition.version_epoch.filter(|epoch| *epoch != 0).or(Some(1));
    partition.version_txn_type.get_or_insert_with(|| "TXN_NORMAL".into());
    let rollups = partition.id_to_visible_rollup_index.iter_mut().flat_map(BTreeMap::values_mut);
    partition.base_index.iter_mut().chain(rollups).for_each(complete_index);
    for sub in partition.id_to_sub_partition.iter_mut().flat_map(BTreeMap::values_mut) {
        sub.is_immutable.get_or_insert_default();
        let version = sub.visible_version;
        sub.next_version = version.saturating_add(1);
        let data = *sub.data_version.get_or_insert(version);
        sub.next_data_version = Some(data.saturating_add(1));
        sub.version_epoch = sub.version_epoch.filter(|epoch| *epoch != 0).or(Some(1));
        sub.version_txn_type.get_or_insert_with(|| "TXN_NORMAL".into());
        let rollups = sub.id_to_visible_rollup_index.iter_mut().flat_map(BTreeMap::values_mut);
        sub.base_index.iter_mut().chain(rollups).for_each(complete_index);
    }
}

fn complete_index(index: &mut MaterializedIndex) {
    index.state.get_or_insert_with(|| "NORMAL".into());
    for tablet in &mut index.tablets {
        tablet.replicas.get_or_insert_default();
        if tablet.clazz.is_empty() {
            tablet.clazz = "LocalTablet".into();
        }
    }
}

/// A tablet that `__info` has and `__meta` lacks. RESTORE makes its own in its place: only the number of them counts.
pub fn tablet(id: i64) -> Tablet {
    let mut tablet = Tablet { clazz: "LocalTablet".into(), id, replicas: Some(Vec::new()), ..Tablet::default() };
    tablet.extra.insert("checkedVersion", (-1).into());
    tablet.extra.insert("isConsistent", true.into());
    tablet
}
