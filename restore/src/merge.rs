//! Partitions of a snapshot into a table that stands already: the merged table's catalog object and tablets.
//!
//! The standing table keeps its identity: name, ids of its indexes, properties. Partitions that come in get new ids where theirs are taken, and
//! the standing indexes' ids. Both catalog objects are brought to layout P1 first, where a partition is one object.

use crate::error::{ErrorKind, RestoreError, Result};
use starsnap_catalog::layout::{TableLayout, TabletPlace};
use starsnap_catalog::model::{MaterializedIndex, Partition, PartitionInfo, Table};
use starsnap_catalog::range::{Range, order_keys};
use starsnap_catalog::snapshot::{CatalogText, PartitionEntry, PartitionKind, TableEntry};
use starsnap_catalog::table_file::TableFile;
use starsnap_catalog::write;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// How the merged table directory is put together.
#[derive(Debug)]
pub(crate) struct Merge {
    /// Directory of each tablet that is fetched, in the order of the fetched entry's layout.
    pub(crate) fetched_dirs: Vec<String>,
    /// Tablet directories to take over from the standing table: there, here.
    pub(crate) kept_dirs: Vec<(String, String)>,
}

/// Merges `file` (the chosen partitions, under the standing table's name) into `standing`; `file` becomes the merged table's.
pub(crate) fn merge(target: &Path, standing: &TableFile, file: &mut TableFile) -> Result<Merge> {
    let shown = target.display().to_string();
    let refuse =
        |reason: String| RestoreError::new(ErrorKind::SchemaDiffers, "restore partitions into", &shown, reason);
    if file.entry.partitions.iter().any(|partition| partition.kind == PartitionKind::Temporary) {
        let reason = "a temporary partition cannot be restored into a table that stands already";
        return Err(RestoreError::new(ErrorKind::Unsupported, "restore partitions into", &shown, reason)
            .advise("restore the whole table"));
    }
    let ((before, mut old), (mut incoming, mut new)) =
        (as_written(&shown, &standing.entry)?, as_written(&shown, &file.entry)?);
    same_columns(&old, &new).map_err(refuse)?;

    let replaced: BTreeSet<i64> =
        incoming.partitions.iter().filter_map(|partition| find(&before, partition)).map(|found| found.id).collect();
    fit_bounds(&before, &old, &incoming, &new, &replaced).map_err(refuse)?;
    renumber_indexes(&old, &mut new, &mut incoming).map_err(refuse)?;
    renumber_partitions(&before, &replaced, &mut new, &mut incoming);

    for id in &replaced {
        old.id_to_partition.remove(id);
    }
    let ids: BTreeSet<i64> = incoming.partitions.iter().map(|partition| partition.id).collect();
    move_info(&mut old, &mut new, &replaced, &ids);
    old.id_to_partition.extend(std::mem::take(&mut new.id_to_partition));

    let mut merged = before.clone();
    merged.partitions.retain(|partition| !replaced.contains(&partition.id));
    merged.partitions.extend(incoming.partitions.iter().cloned());
    sort_partitions(&mut merged.partitions, old.partition_info.as_ref());
    merged.auto_increment_id = merged.auto_increment_id.max(incoming.auto_increment_id);
    let text = CatalogText::of(&old).map_err(|error| RestoreError::catalog("merge", &shown, error))?;
    merged.catalog = Some(text);

    let plan = directories(&before, &incoming, &merged, &replaced);
    *file = TableFile { origin: standing.origin.clone(), entry: merged, problems: Vec::new() };
    Ok(plan)
}

/// The entry and its catalog object as a backup would write them: layout P1, where both state the same ids.
fn as_written(shown: &str, entry: &TableEntry) -> Result<(TableEntry, Table)> {
    let failed = |error| RestoreError::catalog("merge", shown, error);
    let entry = write::as_written(entry).map_err(failed)?;
    let table = entry.parse().map_err(failed)?;
    let table = table.ok_or_else(|| {
        RestoreError::new(ErrorKind::Damaged, "merge", shown, "there is no catalog object in table.json")
    })?;
    Ok((entry, table))
}

/// The partition of `entry` that `partition` would replace.
fn find<'a>(entry: &'a TableEntry, partition: &PartitionEntry) -> Option<&'a PartitionEntry> {
    entry.partitions.iter().find(|found| found.kind == partition.kind && found.name == partition.name)
}

/// Tablets find their columns by unique id, so these must be the same for every index.
fn same_columns(old: &Table, new: &Table) -> Result<(), String> {
    let indexes = |table: &Table| -> BTreeMap<String, Vec<(String, i64)>> {
        let columns = |id: &i64| {
            let schema = table.index_id_to_meta.get(id).map(|meta| &meta.schema);
            schema
                .into_iter()
                .flatten()
                .map(|column| (column.name.clone(), column.unique_id.map_or(-1, i64::from)))
                .collect()
        };
        table.index_name_to_id.iter().map(|(name, id)| (name.clone(), columns(id))).collect()
    };
    let (old, new) = (indexes(old), indexes(new));
    if let Some(name) = old.keys().find(|name| !new.contains_key(*name)) {
        return Err(format!("the standing table has a rollup {name}, which the snapshot's partitions lack"));
    }
    for (name, columns) in &new {
        let Some(standing) = old.get(name) else {
            return Err(format!("the snapshot's partitions have a rollup {name}, which the standing table lacks"));
        };
        let differs = columns.iter().zip(standing).find(|(new, old)| new != old);
        if let Some((new, old)) = differs {
            return Err(format!(
                "column {} has the unique id {} in the standing table and {} in the snapshot (index {name}): the table was altered in between",
                new.0, old.1, new.1
            ));
        }
    }
    Ok(())
}

/// A partition that is there must have the same bounds; one that is new must not overlap any.
fn fit_bounds(
    standing: &TableEntry,
    old: &Table,
    incoming: &TableEntry,
    new: &Table,
    replaced: &BTreeSet<i64>,
) -> Result<(), String> {
    let (Some(old), Some(new)) = (&old.partition_info, &new.partition_info) else { return Ok(()) };
    for partition in &incoming.partitions {
        if let Some(there) = find(standing, partition) {
            if !same_bounds(old, there.id, new, partition.id) {
                return Err(format!("partition {} has other bounds in the standing table", partition.name));
            }
            continue;
        }
        let others = standing.partitions.iter().filter(|other| !replaced.contains(&other.id));
        for other in others.filter(|other| other.kind == PartitionKind::Normal) {
            if overlap(old, other.id, new, partition.id) {
                return Err(format!(
                    "partition {} overlaps partition {} of the standing table",
                    partition.name, other.name
                ));
            }
        }
    }
    Ok(())
}

fn same_bounds(old: &PartitionInfo, old_id: i64, new: &PartitionInfo, new_id: i64) -> bool {
    fn at<T>(map: &Option<BTreeMap<i64, T>>, id: i64) -> Option<&T> {
        map.as_ref()?.get(&id)
    }
    at(&old.serialized_id_to_range, old_id) == at(&new.serialized_id_to_range, new_id)
        && at(&old.id_to_values, old_id) == at(&new.id_to_values, new_id)
        && at(&old.id_to_multi_values, old_id) == at(&new.id_to_multi_values, new_id)
}

fn overlap(old: &PartitionInfo, old_id: i64, new: &PartitionInfo, new_id: i64) -> bool {
    let values = |info: &PartitionInfo, id: i64| -> BTreeSet<Vec<String>> {
        let single = info.id_to_values.as_ref().and_then(|map| map.get(&id)).into_iter().flatten();
        let multi = info.id_to_multi_values.as_ref().and_then(|map| map.get(&id)).into_iter().flatten();
        single.map(|value| vec![value.clone()]).chain(multi.cloned()).collect()
    };
    if values(old, old_id).intersection(&values(new, new_id)).next().is_some() {
        return true;
    }
    match (range(old, old_id), range(new, new_id)) {
        (Some(a), Some(b)) => below(&a, &b) && below(&b, &a),
        _ => false,
    }
}

fn range(info: &PartitionInfo, id: i64) -> Option<Range> {
    Range::decode_signed(info.serialized_id_to_range.as_ref()?.get(&id)?).ok()
}

/// True when `a` begins below the end of `b`.
fn below(a: &Range, b: &Range) -> bool {
    match (&a.lower, &b.upper) {
        (Some(lower), Some(upper)) => match order_keys(&lower.key, &upper.key) {
            Ordering::Less => true,
            Ordering::Equal => lower.closed && upper.closed,
            Ordering::Greater => false,
        },
        _ => true,
    }
}

/// Gives the incoming partitions' indexes the standing table's ids.
fn renumber_indexes(old: &Table, new: &mut Table, incoming: &mut TableEntry) -> Result<(), String> {
    let mut ids = HashMap::new();
    for (name, id) in &new.index_name_to_id {
        let standing =
            old.index_name_to_id.get(name).ok_or_else(|| format!("index {name} is not in the standing table"))?;
        ids.insert(*id, *standing);
    }
    if ids.iter().all(|(from, to)| from == to) {
        return Ok(());
    }
    let renumber = |index: &mut MaterializedIndex| {
        if let Some(id) = ids.get(&index.meta_id.unwrap_or(index.id)) {
            index.id = *id;
            index.meta_id = index.meta_id.map(|_| *id);
        }
    };
    let renumber_all = |indexes: &mut Option<BTreeMap<i64, MaterializedIndex>>| {
        let Some(map) = indexes else { return };
        *map = std::mem::take(map)
            .into_values()
            .map(|mut index| {
                renumber(&mut index);
                (index.id, index)
            })
            .collect();
    };
    for partition in new.id_to_partition.values_mut() {
        partition.base_index.iter_mut().for_each(&renumber);
        renumber_all(&mut partition.id_to_visible_rollup_index);
        for physical in partition.id_to_sub_partition.iter_mut().flat_map(|map| map.values_mut()) {
            physical.base_index.iter_mut().for_each(&renumber);
            renumber_all(&mut physical.id_to_visible_rollup_index);
        }
    }
    let indexes = incoming.partitions.iter_mut().flat_map(|partition| &mut partition.physicals);
    for index in indexes.flat_map(|physical| &mut physical.indexes) {
        let standing = old.index_name_to_id.get(&index.name);
        index.id = standing.copied().unwrap_or(index.id);
    }
    Ok(())
}

/// Gives incoming partitions whose ids the standing table uses otherwise new ones.
fn renumber_partitions(standing: &TableEntry, replaced: &BTreeSet<i64>, new: &mut Table, incoming: &mut TableEntry) {
    let ids_of = |partition: &PartitionEntry| {
        let physicals: Vec<i64> = partition.physicals.iter().map(|physical| physical.id).collect();
        physicals.into_iter().chain([partition.id])
    };
    let kept = standing.partitions.iter().filter(|partition| !replaced.contains(&partition.id));
    let taken: BTreeSet<i64> = kept.flat_map(ids_of).collect();
    let all = standing.partitions.iter().chain(&incoming.partitions).flat_map(ids_of);
    let mut next = all.max().unwrap_or_default();
    let mut renumbered: HashMap<i64, i64> = HashMap::new();
    for partition in &mut incoming.partitions {
        for id in partition.physicals.iter_mut().map(|physical| &mut physical.id).chain([&mut partition.id]) {
            if taken.contains(id) {
                *id = *renumbered.entry(*id).or_insert_with(|| {
                    next = next.saturating_add(1);
                    next
                });
            }
        }
    }
    if renumbered.is_empty() {
        return;
    }
    let to = |id: i64| renumbered.get(&id).copied().unwrap_or(id);
    let partitions = std::mem::take(&mut new.id_to_partition);
    new.id_to_partition = partitions.into_values().map(|partition| renumber_partition(partition, &to)).collect();
    if let Some(info) = &mut new.partition_info {
        for_each_map(info, Renumber(&to));
    }
}

fn renumber_partition(mut partition: Partition, to: &impl Fn(i64) -> i64) -> (i64, Partition) {
    partition.id = to(partition.id);
    let subs = partition.id_to_sub_partition.take();
    partition.id_to_sub_partition = subs.map(|map| {
        map.into_values()
            .map(|mut physical| {
                physical.id = to(physical.id);
                physical.parent_id = physical.parent_id.map(|_| partition.id);
                (physical.id, physical)
            })
            .collect()
    });
    (partition.id, partition)
}

/// Something to do to every map of a [`PartitionInfo`] that is keyed by partition id.
trait OnMap {
    fn on<T>(&mut self, map: &mut Option<BTreeMap<i64, T>>);
}

fn for_each_map(info: &mut PartitionInfo, mut what: impl OnMap) {
    what.on(&mut info.id_to_data_property);
    what.on(&mut info.id_to_replication_num);
    what.on(&mut info.id_to_in_memory);
    what.on(&mut info.id_to_storage_cache_info);
    what.on(&mut info.serialized_id_to_range);
    what.on(&mut info.id_to_values);
    what.on(&mut info.id_to_multi_values);
    what.on(&mut info.id_to_temp);
}

struct Renumber<'a, F>(&'a F);

impl<F: Fn(i64) -> i64> OnMap for Renumber<'_, F> {
    fn on<T>(&mut self, map: &mut Option<BTreeMap<i64, T>>) {
        if let Some(map) = map {
            *map = std::mem::take(map).into_iter().map(|(id, value)| ((self.0)(id), value)).collect();
        }
    }
}

struct Remove<'a>(&'a BTreeSet<i64>);

impl OnMap for Remove<'_> {
    fn on<T>(&mut self, map: &mut Option<BTreeMap<i64, T>>) {
        if let Some(map) = map {
            map.retain(|id, _| !self.0.contains(id));
        }
    }
}

/// Takes the replaced partitions' properties and bounds out of `old`, and moves those of `ids` from `new` to it.
fn move_info(old: &mut Table, new: &mut Table, replaced: &BTreeSet<i64>, ids: &BTreeSet<i64>) {
    fn take<T>(old: &mut Option<BTreeMap<i64, T>>, new: &mut Option<BTreeMap<i64, T>>, ids: &BTreeSet<i64>) {
        let moved = new.take().into_iter().flatten().filter(|(id, _)| ids.contains(id));
        let moved: BTreeMap<i64, T> = moved.collect();
        if !moved.is_empty() {
            old.get_or_insert_default().extend(moved);
        }
    }
    let (Some(old), Some(new)) = (&mut old.partition_info, &mut new.partition_info) else { return };
    for_each_map(old, Remove(replaced));
    take(&mut old.id_to_data_property, &mut new.id_to_data_property, ids);
    take(&mut old.id_to_replication_num, &mut new.id_to_replication_num, ids);
    take(&mut old.id_to_in_memory, &mut new.id_to_in_memory, ids);
    take(&mut old.id_to_storage_cache_info, &mut new.id_to_storage_cache_info, ids);
    take(&mut old.serialized_id_to_range, &mut new.serialized_id_to_range, ids);
    take(&mut old.id_to_values, &mut new.id_to_values, ids);
    take(&mut old.id_to_multi_values, &mut new.id_to_multi_values, ids);
    take(&mut old.id_to_temp, &mut new.id_to_temp, ids);
}

/// By range, by id where there is none; temporary ones last.
fn sort_partitions(partitions: &mut [PartitionEntry], info: Option<&PartitionInfo>) {
    let ranges: HashMap<i64, Range> =
        partitions.iter().filter_map(|partition| Some((partition.id, range(info?, partition.id)?))).collect();
    partitions.sort_by(|a, b| {
        let temporary = |partition: &PartitionEntry| partition.kind == PartitionKind::Temporary;
        temporary(a).cmp(&temporary(b)).then_with(|| match (ranges.get(&a.id), ranges.get(&b.id)) {
            (Some(one), Some(other)) => one.order(other),
            _ => a.id.cmp(&b.id),
        })
    });
}

fn directories(standing: &TableEntry, incoming: &TableEntry, merged: &TableEntry, replaced: &BTreeSet<i64>) -> Merge {
    let paths = |entry: &TableEntry| -> HashMap<i64, Vec<String>> {
        let mut by_partition: HashMap<i64, Vec<String>> = HashMap::new();
        for place in TableLayout::of(entry).tablets {
            if let Some(partition) = entry.partitions.get(place.partition) {
                by_partition.entry(partition.id).or_default().push(TabletPlace::path(&place));
            }
        }
        by_partition
    };
    let (from, to) = (paths(standing), paths(merged));
    let of = |map: &HashMap<i64, Vec<String>>, id: i64| map.get(&id).cloned().unwrap_or_default();
    let kept = standing.partitions.iter().filter(|partition| !replaced.contains(&partition.id));
    Merge {
        fetched_dirs: incoming.partitions.iter().flat_map(|partition| of(&to, partition.id)).collect(),
        kept_dirs: kept.flat_map(|partition| of(&from, partition.id).into_iter().zip(of(&to, partition.id))).collect(),
    }
}
