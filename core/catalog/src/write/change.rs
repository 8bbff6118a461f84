//! Changes to an entry and its catalog object together: rename, leave partitions out, give new ids.

use super::{inconsistent, unsupported};
use crate::error::Result;
use crate::model::Table;
use crate::snapshot::{CatalogText, PartitionKind, TableEntry};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

fn catalog(entry: &TableEntry) -> Result<Table> {
    entry.parse()?.ok_or_else(|| unsupported(&entry.name, "its catalog object is missing"))
}

/// Renames a table as RESTORE … AS does: its name, the base index's name, and the partition's where unpartitioned; and its unique keys,
/// which StarRocks forgets there, and then finds no such table.
///
/// Queries of materialized views and views that name it stay as they are, as do the statements behind synchronous ones.
pub fn rename(entry: &mut TableEntry, name: &str) -> Result<()> {
    if entry.name == name {
        return Ok(());
    }
    let mut table = catalog(entry)?;
    if table.index_name_to_id.contains_key(name) {
        return Err(inconsistent(
            &entry.name,
            format!("it cannot be renamed to {name:?}: one of its rollups has that name"),
        ));
    }
    let old = std::mem::replace(&mut table.name, name.to_owned());
    if let Some(base) = table.index_name_to_id.remove(&old) {
        table.index_name_to_id.insert(name.to_owned(), base);
    }
    // Those of a materialized view may be another table's.
    if table.clazz == "OlapTable"
        && let Some(keys) =
            table.table_property.as_mut().and_then(|property| property.properties.get_mut("unique_constraints"))
    {
        *keys = crate::ddl::renamed_constraints(keys, &old, name);
    }
    let unpartitioned = table.partition_info.as_ref().is_some_and(|info| info.kind == "UNPARTITIONED");
    for partition in table.id_to_partition.values_mut() {
        if unpartitioned && partition.name == old {
            partition.name = name.to_owned();
        }
    }
    for partition in &mut entry.partitions {
        if unpartitioned && partition.name == old {
            partition.name = name.to_owned();
        }
        for index in partition.physicals.iter_mut().flat_map(|physical| &mut physical.indexes) {
            if index.base {
                index.name = name.to_owned();
            }
        }
    }
    entry.catalog = Some(CatalogText::of(&table)?);
    entry.name = name.to_owned();
    Ok(())
}

/// Keeps only the partitions that `keep` wants, as a partial BACKUP does (every map of the catalog object included). Temporary partitions
/// go too: they may have the name of one that is wanted.
pub fn keep_partitions(entry: &mut TableEntry, keep: impl Fn(&str) -> bool) -> Result<()> {
    let mut table = catalog(entry)?;
    let wanted = |kind, name: &str| kind != PartitionKind::Temporary && keep(name);
    if !entry.partitions.iter().any(|partition| wanted(partition.kind, &partition.name)) {
        return Err(inconsistent(&entry.name, "none of its partitions is wanted".into()));
    }
    entry.partitions.retain(|partition| wanted(partition.kind, &partition.name));
    table.id_to_partition.retain(|_, partition| keep(&partition.name));
    if let Some(temporary) = &mut table.temp_partitions {
        temporary.id_to_partition.clear();
    }
    trim(&mut table);
    entry.catalog = Some(CatalogText::of(&table)?);
    Ok(())
}

/// Drops what is filed under partitions that are gone.
fn trim(table: &mut Table) {
    fn trim_map<T>(map: &mut Option<BTreeMap<i64, T>>, left: &BTreeSet<i64>) {
        map.iter_mut().for_each(|map| map.retain(|id, _| left.contains(id)));
    }
    let left: BTreeSet<i64> = table.id_to_partition.keys().copied().collect();
    if let Some(info) = &mut table.partition_info {
        trim_map(&mut info.id_to_data_property, &left);
        trim_map(&mut info.id_to_replication_num, &left);
        trim_map(&mut info.id_to_in_memory, &left);
        trim_map(&mut info.id_to_storage_cache_info, &left);
        trim_map(&mut info.serialized_id_to_range, &left);
        trim_map(&mut info.serialized_id_to_temp_range, &left);
        trim_map(&mut info.id_to_values, &left);
        trim_map(&mut info.id_to_multi_values, &left);
        trim_map(&mut info.id_to_temp, &left);
    }
}

/// Gives new table ids where two entries share one (the same table restored twice, or tables of different clusters). The first keeps its
/// id; materialized views that name a table whose id changed follow it.
pub fn separate_ids(tables: &mut [TableEntry]) -> Result<()> {
    let mut used = HashSet::new();
    let doubles: Vec<usize> = (0..tables.len()).filter(|at| !used.insert(tables[*at].id)).collect();
    let mut next = tables.iter().map(|entry| entry.id).max().unwrap_or_default();
    // Old id and name to new id.
    let mut changed: HashMap<(i64, String), i64> = HashMap::new();
    for at in doubles {
        let entry = &mut tables[at];
        let Some(id) = next.checked_add(1) else {
            return Err(inconsistent(&entry.name, "no id is left above those of the other tables".into()));
        };
        next = id;
        let mut table = catalog(entry)?;
        changed.insert((entry.id, entry.name.clone()), id);
        (table.id, entry.id) = (id, id);
        entry.catalog = Some(CatalogText::of(&table)?);
    }
    if changed.is_empty() {
        return Ok(());
    }
    for entry in tables.iter_mut() {
        let Some(mut table) = entry.parse()? else { continue };
        if follow(&mut table, &changed) {
            entry.catalog = Some(CatalogText::of(&table)?);
        }
    }
    Ok(())
}

/// Points a materialized view at its base tables' new ids; true when one changed.
fn follow(view: &mut Table, changed: &HashMap<(i64, String), i64>) -> bool {
    let mut moved = HashMap::new();
    for base in view.base_table_infos.iter_mut().flatten() {
        if let (Some(old), Some(name)) = (base.table_id, &base.table_name)
            && let Some(new) = changed.get(&(old, name.clone()))
        {
            base.table_id = Some(*new);
            moved.insert(old, *new);
        }
    }
    if moved.is_empty() {
        return false;
    }
    if let Some(serde_json::Value::Array(ids)) = view.extra.remove("baseTableIds") {
        let moved = |id: serde_json::Value| id.as_i64().and_then(|id| moved.get(&id).copied()).map_or(id, Into::into);
        view.extra.insert("baseTableIds", ids.into_iter().map(moved).collect());
    }
    let context = view.refresh_scheme.as_mut().and_then(|scheme| scheme.async_refresh_context.as_mut());
    if let Some(context) = context
        && let Some(serde_json::Value::Object(versions)) = context.extra.remove("baseTableVisibleVersionMap")
    {
        let key = |id: String| id.parse().ok().and_then(|id: i64| moved.get(&id)).map_or(id, |new| new.to_string());
        let versions = versions.into_iter().map(|(id, versions)| (key(id), versions)).collect();
        context.extra.insert("baseTableVisibleVersionMap", serde_json::Value::Object(versions));
    }
    true
}
