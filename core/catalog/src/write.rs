//! From table directories back to `__info` and `__meta` that every StarRocks FE from 3.1.4 on accepts: JSON, partition layout P1, job info
//! shape C.
//!
//! In layout P1 a partition is its own default physical partition: their ids are one. A table of 3.4 or later, where they differ, gets
//! other `__part_<id>` directories than it came from: [`as_written`] and [`tablet_ids`] say which.

mod change;
mod complete;
mod differences;
mod info;
mod layout_p1;

pub use change::{keep_partitions, rename, separate_ids};
pub use differences::schema_differences;

use crate::error::{CatalogError, Result};
use crate::info::JobInfo;
use crate::layout::{TableLayout, TabletPlace};
use crate::model::{BackupMeta, Catalog, Function, MaterializedIndex, Partition, Table, Tablet};
use crate::snapshot::{CatalogText, IndexEntry, PartitionEntry, PartitionKind, PhysicalEntry, TableEntry, TableKind};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a new snapshot is to hold.
#[derive(Debug, Clone, Default)]
pub struct NewSnapshot {
    pub label: String,
    pub database: String,
    pub database_id: i64,
    /// Milliseconds since the epoch.
    pub backup_time: i64,
    /// Table ids must differ: call [`separate_ids`] first where they may come from several clusters.
    pub tables: Vec<TableEntry>,
    pub functions: Vec<Function>,
    pub catalogs: Vec<Catalog>,
}

/// The ids in a tablet's remote path, `__db_<database>/__tbl_<table>/__part_<physical>/__idx_<index>/__<tablet>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TabletIds {
    pub database: i64,
    pub table: i64,
    pub physical: i64,
    pub index: i64,
    pub tablet: i64,
}

/// Builds both files' content. Tablets, order and versions come from the entries, everything else from their catalog objects.
///
/// Views (which only 3.4 and later take back) stand in `__info` without partitions; functions and catalogs in `__meta` only. Temporary
/// partitions are kept in `__meta`, where StarRocks would have them, but are not in `__info`.
pub fn build(new: &NewSnapshot) -> Result<(JobInfo, BackupMeta)> {
    let mut info = info::head(new);
    let mut meta =
        BackupMeta { functions: new.functions.clone(), catalogs: new.catalogs.clone(), ..BackupMeta::default() };
    let mut ids = HashSet::new();
    for entry in &new.tables {
        let (entry, table) = written(entry)?;
        if !ids.insert(entry.id) {
            return Err(inconsistent(&entry.name, format!("another table of the snapshot has its id, {}", entry.id)));
        }
        info.backup_objects.insert(entry.name.clone(), info::table(&entry));
        if let Some(other) = meta.tbl_name_map.insert(entry.name.clone(), table) {
            return Err(inconsistent(&other.name, "another table of the snapshot has its name; rename one".into()));
        }
    }
    Ok((info, meta))
}

/// The entry as a new snapshot will state it: the catalog object in layout P1 with all that an FE needs, the default physical partitions
/// under their partitions' ids, indexes under their schemas' ids.
pub fn as_written(entry: &TableEntry) -> Result<TableEntry> {
    let (mut entry, table) = written(entry)?;
    entry.catalog = Some(CatalogText::of(&table)?);
    Ok(entry)
}

/// Where each tablet of the table directory goes: places as [`TableLayout::of`] gives them for `entry`, ids as the new snapshot has them.
pub fn tablet_ids(entry: &TableEntry, database_id: i64) -> Result<Vec<(TabletPlace, TabletIds)>> {
    let (written, _) = written(entry)?;
    let ids = |place: TabletPlace| {
        let physical = &written.partitions[place.partition].physicals[place.physical];
        let index = &physical.indexes[place.index];
        let tablet = index.tablets[place.tablet].id;
        let ids =
            TabletIds { database: database_id, table: written.id, physical: physical.id, index: index.id, tablet };
        (place, ids)
    };
    Ok(TableLayout::of(entry).tablets.into_iter().map(ids).collect())
}

/// Rewrites partition layouts P2 and P3 into P1, fills in what an FE needs and older versions did not write, and checks the rest; nothing
/// known is lost. What cannot be derived is an error that says so.
pub fn to_layout_p1(table: &mut Table) -> Result<()> {
    layout_p1::convert(table)?;
    complete::complete(table)
}

fn inconsistent(table: &str, reason: String) -> CatalogError {
    CatalogError::Inconsistent { what: format!("table {table:?}"), reason }
}

fn unsupported(table: &str, reason: impl Into<String>) -> CatalogError {
    CatalogError::Unsupported { what: format!("table {table:?}"), reason: reason.into() }
}

/// [`as_written`], with the catalog object parsed instead of as text, which stays the old one.
fn written(entry: &TableEntry) -> Result<(TableEntry, Table)> {
    let Some(mut table) = entry.parse()? else {
        return Err(unsupported(&entry.name, "its catalog object is missing, and no backup can be made without it"));
    };
    let mut entry = entry.clone();
    if (table.id, &table.name) != (entry.id, &entry.name) {
        let reason = format!("its catalog object is that of table {:?} ({})", table.name, table.id);
        return Err(inconsistent(&entry.name, reason));
    }
    match entry.kind {
        TableKind::Other => {
            let reason = format!("a {} cannot be in a backup", if table.kind.is_empty() { "?" } else { &table.kind });
            return Err(unsupported(&entry.name, reason));
        }
        TableKind::View => {
            complete::complete(&mut table)?;
            if !entry.partitions.is_empty() {
                return Err(inconsistent(&entry.name, "it is a view and has partitions".into()));
            }
        }
        TableKind::Table | TableKind::MaterializedView => {
            let defaults = default_physicals(&table);
            to_layout_p1(&mut table)?;
            settle_partitions(&mut entry, &mut table, &defaults)?;
        }
    }
    Ok((entry, table))
}

/// Partition id to the id of its default physical partition, before the table was rewritten.
fn default_physicals(table: &Table) -> HashMap<i64, i64> {
    let of = |(id, partition): (&i64, &Partition)| (*id, partition.dpid.filter(|dpid| *dpid != 0).unwrap_or(*id));
    let temporary = table.temp_partitions.iter().flat_map(|temporary| &temporary.id_to_partition);
    table.id_to_partition.iter().chain(temporary).map(of).collect()
}

/// Brings what the entry says into the catalog object, and the object's ids into the entry.
fn settle_partitions(entry: &mut TableEntry, table: &mut Table, defaults: &HashMap<i64, i64>) -> Result<()> {
    let schemas = table.index_name_to_id.clone();
    let hashes = table.index_id_to_meta.iter().map(|(id, meta)| (*id, meta.schema_hash)).collect();
    let mut seen = HashSet::new();
    let mut physical_ids = HashSet::new();
    for partition in &mut entry.partitions {
        let settle =
            Settle { table: &entry.name, partition: partition.name.clone(), schemas: &schemas, hashes: &hashes };
        let stored = match partition.kind {
            PartitionKind::Temporary => {
                table.temp_partitions.as_mut().and_then(|temporary| temporary.id_to_partition.get_mut(&partition.id))
            }
            PartitionKind::Normal | PartitionKind::Shadow => table.id_to_partition.get_mut(&partition.id),
        };
        let Some(stored) = stored.filter(|stored| stored.name == partition.name) else {
            return Err(settle.error(format!("the catalog object has no partition {} of that name", partition.id)));
        };
        if !seen.insert(partition.id) {
            return Err(settle.error(format!("its id {} is there twice", partition.id)));
        }
        settle.partition(partition, stored, defaults)?;
        if partition.kind == PartitionKind::Temporary {
            // `__info`, which has the lists, has no temporary partitions.
            let indexes = partition.physicals.iter_mut().flat_map(|physical| &mut physical.indexes);
            indexes.flat_map(|index| &mut index.tablets).for_each(|tablet| tablet.listed_files.clear());
        }
        if let Some(twice) = partition.physicals.iter().find(|physical| !physical_ids.insert(physical.id)) {
            return Err(settle.error(format!("another partition has its physical partition's id, {}", twice.id)));
        }
    }
    let temporary = table.temp_partitions.iter().flat_map(|temporary| temporary.id_to_partition.values());
    match table.id_to_partition.values().chain(temporary).find(|stored| !seen.contains(&stored.id)) {
        Some(stored) => {
            Err(inconsistent(&entry.name, format!("partition {:?} is only in its catalog object", stored.name)))
        }
        None => Ok(()),
    }
}

/// One partition being settled.
struct Settle<'a> {
    table: &'a str,
    partition: String,
    /// Index name to meta id.
    schemas: &'a BTreeMap<String, i64>,
    /// Meta id to schema hash.
    hashes: &'a HashMap<i64, i64>,
}

impl Settle<'_> {
    fn error(&self, reason: String) -> CatalogError {
        let what = format!("partition {:?} of table {:?}", self.partition, self.table);
        CatalogError::Inconsistent { what, reason }
    }

    fn partition(
        &self,
        entry: &mut PartitionEntry,
        stored: &mut Partition,
        defaults: &HashMap<i64, i64>,
    ) -> Result<()> {
        let mut others = stored.id_to_sub_partition.take().unwrap_or_default();
        if entry.physicals.len() != others.len() + 1 {
            let (here, there) = (entry.physicals.len(), others.len() + 1);
            return Err(self.error(format!("it has {here} physical partitions, and its catalog object {there}")));
        }
        let buckets = stored.distribution_info.as_ref().and_then(|distribution| distribution.bucket_num);
        for (number, physical) in entry.physicals.iter_mut().enumerate() {
            let missing = || self.error(format!("the catalog object has no physical partition {}", physical.id));
            if number == 0 {
                if physical.id != stored.id && Some(&physical.id) != defaults.get(&stored.id) {
                    return Err(missing());
                }
                physical.id = stored.id;
                entry.version = physical.version;
                let base = stored.base_index.as_mut();
                self.indexes(physical, base, stored.id_to_visible_rollup_index.as_mut(), buckets)?;
                if stored.visible_version != physical.version {
                    stored.visible_version = physical.version;
                    stored.data_version = Some(physical.version);
                }
                stored.next_version = physical.version.saturating_add(1);
                stored.next_data_version = stored.data_version.map(|version| version.saturating_add(1));
            } else {
                let sub = others.get_mut(&physical.id).ok_or_else(missing)?;
                self.indexes(physical, sub.base_index.as_mut(), sub.id_to_visible_rollup_index.as_mut(), buckets)?;
                if sub.visible_version != physical.version {
                    sub.visible_version = physical.version;
                    sub.data_version = Some(physical.version);
                }
                sub.next_version = physical.version.saturating_add(1);
                sub.next_data_version = sub.data_version.map(|version| version.saturating_add(1));
            }
        }
        stored.id_to_sub_partition = (!others.is_empty()).then_some(others);
        Ok(())
    }

    fn indexes(
        &self,
        entry: &mut PhysicalEntry,
        mut base: Option<&mut MaterializedIndex>,
        mut rollups: Option<&mut BTreeMap<i64, MaterializedIndex>>,
        buckets: Option<i32>,
    ) -> Result<()> {
        let stored = usize::from(base.is_some()) + rollups.as_ref().map_or(0, |rollups| rollups.len());
        if entry.indexes.len() != stored {
            let here = entry.indexes.len();
            return Err(self.error(format!("it has {here} indexes, and its catalog object {stored}")));
        }
        let mut seen = HashSet::new();
        for index in &mut entry.indexes {
            let stored = match index.base {
                true => base.as_deref_mut(),
                false => rollups.as_mut().and_then(|rollups| rollups.get_mut(self.schemas.get(&index.name)?)),
            };
            let Some(stored) = stored.filter(|stored| self.schemas.get(&index.name) == Some(&stored.id)) else {
                return Err(self.error(format!("its catalog object has no such index {:?}", index.name)));
            };
            if !seen.insert(stored.id) {
                return Err(self.error(format!("the index {:?} is there twice", index.name)));
            }
            self.tablets(index, stored, buckets)?;
        }
        Ok(())
    }

    fn tablets(&self, entry: &mut IndexEntry, stored: &mut MaterializedIndex, buckets: Option<i32>) -> Result<()> {
        let count = entry.tablets.len();
        if let Some(buckets) = buckets.filter(|buckets| usize::try_from(*buckets) != Ok(count)) {
            let index = &entry.name;
            return Err(self.error(format!("its index {index:?} has {count} tablets for {buckets} buckets")));
        }
        entry.id = stored.id;
        // StarRocks writes the schema's own hash into `__info`: two that differ would be a contradiction of our making.
        entry.schema_hash = self.hashes.get(&stored.id).copied().unwrap_or(entry.schema_hash);
        let mut known: HashMap<i64, Tablet> = stored.tablets.drain(..).map(|tablet| (tablet.id, tablet)).collect();
        let mut seen = HashSet::new();
        for tablet in &entry.tablets {
            if !seen.insert(tablet.id) {
                return Err(self.error(format!("the tablet {} is there twice", tablet.id)));
            }
            stored.tablets.push(known.remove(&tablet.id).unwrap_or_else(|| complete::tablet(tablet.id)));
        }
        Ok(())
    }
}
