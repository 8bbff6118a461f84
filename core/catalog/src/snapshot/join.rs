//! The join of `__info` and `__meta`: tables and partitions.

use super::pair::{Item, pair};
use super::{CatalogText, Disagreement, PartitionEntry, PartitionKind, Snapshot, TableEntry, TableKind, Written};
use crate::error::{CatalogError, Result};
use crate::info::{InfoPartition, InfoTable, JobInfo};
use crate::model::{BackupMeta, Partition, Table};
use crate::range::Range;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;

mod tablets;

pub(super) fn join(info: Option<&JobInfo>, meta: Option<&BackupMeta>) -> Result<Snapshot> {
    let mut snapshot = match (info, meta) {
        (None, None) => {
            let reason = "neither `__info` nor `__meta` is there".into();
            return Err(CatalogError::Inconsistent { what: "the snapshot".into(), reason });
        }
        (Some(info), _) => Snapshot {
            label: info.name.clone(),
            database: info.database.clone(),
            database_id: info.id,
            backup_time: info.backup_time,
            starrocks_meta_version: info.starrocks_meta_version,
            ..Snapshot::default()
        },
        (None, Some(meta)) => Snapshot { database_id: database_of(meta), ..Snapshot::default() },
    };
    let both = info.is_some() && meta.is_some();
    let infos = info.iter().flat_map(|info| &info.backup_objects);
    let infos = infos.map(|(name, table)| Item { id: table.id, name: name.as_str(), object: table }).collect();
    let metas = meta.iter().flat_map(|meta| &meta.tbl_name_map);
    let metas = metas.map(|(name, table)| Item { id: table.id, name: name.as_str(), object: table }).collect();
    let mut joiner = Joiner::default();
    let mut names = HashSet::new();
    for (info, meta) in pair(infos, metas) {
        let mut entry = joiner.table(both, info, meta)?;
        // Names of `__meta` are keys of one map, and come first: only one of `__info` can meet another.
        while names.contains(&entry.name) {
            entry.name = format!("{}#{}", entry.name, entry.id);
        }
        names.insert(entry.name.clone());
        snapshot.tables.push(entry);
    }
    snapshot.tables.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(meta) = meta {
        snapshot.written = written(meta);
        snapshot.functions = meta.functions.iter().map(CatalogText::of).collect::<Result<_>>()?;
        snapshot.catalogs = meta.catalogs.iter().map(CatalogText::of).collect::<Result<_>>()?;
    }
    snapshot.disagreements = joiner.disagreements;
    if joiner.untold > 0 {
        let what = format!("`__info` and `__meta` disagree in {} more places", joiner.untold);
        snapshot.disagreements.push(Disagreement { object: "the snapshot".into(), what });
    }
    Ok(snapshot)
}

/// The database's id as materialized views know it, 0 where there is none: `__info` alone states it.
fn database_of(meta: &BackupMeta) -> i64 {
    let mut ids = meta.tbl_name_map.values().flat_map(|table| {
        let indexes = table.index_id_to_meta.values().map(|index| index.db_id);
        indexes.chain([table.db_id]).flatten()
    });
    ids.find(|id| *id > 0).unwrap_or(0)
}

/// What the catalog objects tell of how they were written: all but the form of their file.
fn written(meta: &BackupMeta) -> Written {
    let lists = |table: &Table| {
        let by_list = table.partition_info.as_ref().is_some_and(|info| info.clazz == "ListPartitionInfo");
        let normal = table.id_to_partition.values().filter(|partition| !partition.name.starts_with('$'));
        by_list && normal.count() > 1
    };
    let partitions = meta.tbl_name_map.values().flat_map(|table| table.id_to_partition.values());
    Written {
        form: None,
        layout: partitions.map(Partition::layout).max(),
        several_lists: meta.tbl_name_map.values().any(lists),
    }
}

/// Where something is.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Both `__info` and `__meta` have what this is part of, so that it is worth a word when only one has this.
    both: bool,
    table: &'a str,
    partition: Option<&'a str>,
    physical: Option<i64>,
    index: Option<&'a str>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.index {
            write!(f, "index {index:.LONGEST_NAME$} of ")?;
        }
        if let Some(physical) = self.physical {
            write!(f, "physical partition {physical} of ")?;
        }
        if let Some(partition) = self.partition {
            write!(f, "partition {partition:.LONGEST_NAME$} of ")?;
        }
        write!(f, "table {:.LONGEST_NAME$}", self.table)
    }
}

/// What the parts of a table need to know of it.
struct TableContext<'a> {
    /// Name of the base index in `__info`: that of the table there.
    base_name: &'a str,
    meta: Option<&'a Table>,
    /// By index meta id.
    index_names: HashMap<i64, &'a str>,
}

/// A hostile snapshot may contradict itself a million times over; nobody reads so much.
const MOST_TOLD: usize = 10_000;
/// The longest name that StarRocks takes, in characters: a longer one is cut where it is told.
const LONGEST_NAME: usize = 1024;

#[derive(Default)]
struct Joiner {
    disagreements: Vec<Disagreement>,
    /// Beyond [`MOST_TOLD`].
    untold: usize,
}

impl Joiner {
    fn note(&mut self, place: &Place, what: impl Into<String>) {
        if self.disagreements.len() < MOST_TOLD {
            self.disagreements.push(Disagreement { object: place.to_string(), what: what.into() });
        } else {
            self.untold += 1;
        }
    }

    /// Presence, id and name of an object; true when both have it.
    fn compare<I, M>(&mut self, place: &Place, info: Option<&Item<I>>, meta: Option<&Item<M>>) -> bool {
        match (info, meta) {
            (Some(info), Some(meta)) => {
                if info.id != meta.id {
                    self.note(place, format!("its id is {} in `__info`, but {} in `__meta`", info.id, meta.id));
                }
                if info.name != meta.name {
                    let name = without_id(info.name, info.id);
                    let lost = name.contains(['?', '\u{fffd}']);
                    let why = if lost { ": a charset lost its name, and StarRocks cannot restore it so" } else { "" };
                    self.note(place, format!("`__info` calls it {name:.LONGEST_NAME$}{why}"));
                }
                return true;
            }
            (Some(_), None) if place.both => self.note(place, "it is in `__info`, but not in `__meta`"),
            (None, Some(_)) if place.both => self.note(place, "it is in `__meta`, but not in `__info`"),
            _ => {}
        }
        false
    }

    fn table(&mut self, both: bool, info: Option<Item<&InfoTable>>, meta: Option<Item<&Table>>) -> Result<TableEntry> {
        let name = meta.map(|meta| meta.name).or(info.map(|info| info.name)).unwrap_or_default();
        let place = Place { both, table: name, partition: None, physical: None, index: None };
        let both = self.compare(&place, info.as_ref(), meta.as_ref());
        let place = Place { both, ..place };
        if let Some(meta) = meta.filter(|meta| meta.object.name != meta.name) {
            self.note(&place, format!("its catalog object in `__meta` is called {:.LONGEST_NAME$}", meta.object.name));
        }
        let index_names = meta.iter().flat_map(|meta| &meta.object.index_name_to_id);
        let context = TableContext {
            base_name: info.map_or("", |info| without_id(info.name, info.id)),
            meta: meta.map(|meta| meta.object),
            index_names: index_names.map(|(name, id)| (*id, name.as_str())).collect(),
        };
        Ok(TableEntry {
            id: info.map(|info| info.id).or(meta.map(|meta| meta.id)).unwrap_or_default(),
            name: name.into(),
            kind: kind(info.map(|info| info.object), context.meta),
            catalog: context.meta.map(CatalogText::of).transpose()?,
            auto_increment_id: info.and_then(|info| info.object.auto_increment_id),
            partitions: self.partitions(&context, &place, info.map(|info| info.object))?,
        })
    }

    fn partitions(
        &mut self,
        table: &TableContext,
        place: &Place,
        info: Option<&InfoTable>,
    ) -> Result<Vec<PartitionEntry>> {
        let infos = info.iter().flat_map(|info| &info.partitions);
        let infos = infos.map(|(name, object)| Item { id: object.id, name: name.as_str(), object }).collect();
        let metas = table.meta.iter().flat_map(|meta| {
            let temporary = meta.temp_partitions.iter().flat_map(|map| map.id_to_partition.values());
            let temporary = temporary.map(|partition| (partition, true));
            meta.id_to_partition.values().map(|partition| (partition, false)).chain(temporary)
        });
        let metas = metas.map(|object| Item { id: object.0.id, name: object.0.name.as_str(), object }).collect();
        let mut sorted = Vec::new();
        for (info, meta) in pair::<&InfoPartition, (&Partition, bool)>(infos, metas) {
            let entry = self.partition(table, place, info, meta)?;
            let place = Place { partition: Some(&entry.name), ..*place };
            let range = meta.and_then(|meta| self.range(table, &place, meta.id));
            sorted.push((range, entry));
        }
        sorted.sort_by(|(a_range, a), (b_range, b)| {
            let temporary = |entry: &PartitionEntry| entry.kind == PartitionKind::Temporary;
            let by_range = match (a_range, b_range) {
                (Some(a), Some(b)) => a.order(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            };
            temporary(a).cmp(&temporary(b)).then(by_range).then(a.id.cmp(&b.id))
        });
        Ok(sorted.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The range of a partition, if it has one that can be read.
    fn range(&mut self, table: &TableContext, place: &Place, id: i64) -> Option<Range> {
        match table.meta?.partition_info.as_ref()?.range(id) {
            Ok(range) => {
                if let Some(problem) = range.as_ref().and_then(Range::problem) {
                    self.note(place, problem);
                }
                range
            }
            Err(error) => {
                self.note(place, error.to_string());
                None
            }
        }
    }

    fn partition(
        &mut self,
        table: &TableContext,
        place: &Place,
        info: Option<Item<&InfoPartition>>,
        meta: Option<Item<(&Partition, bool)>>,
    ) -> Result<PartitionEntry> {
        let name = meta.map(|meta| meta.name).or(info.map(|info| info.name)).unwrap_or_default();
        let temporary = meta.is_some_and(|meta| meta.object.1);
        // It is normal that `__info` has no temporary partitions.
        let place = Place { both: place.both && !temporary, partition: Some(name), ..*place };
        let both = self.compare(&place, info.as_ref(), meta.as_ref());
        let place = Place { both, ..place };
        let kind = match temporary {
            true => PartitionKind::Temporary,
            false if name.starts_with("$shadow_") => PartitionKind::Shadow,
            false => PartitionKind::Normal,
        };
        let (info, meta) = (info.map(|info| info.object), meta.map(|meta| meta.object.0));
        let physicals = self.physicals(table, &place, info, meta)?;
        let default = meta.map(Partition::default_physical_id).or(info.map(|info| info.id));
        let stored = physicals.iter().find(|physical| Some(physical.id) == default).map(|physical| physical.version);
        if let (Some(info), Some(stored)) = (info, stored)
            && info.version != stored
        {
            let version = info.version;
            self.note(&place, format!("its version is {version}, but that of its default physical partition {stored}"));
        }
        Ok(PartitionEntry {
            id: info.map(|info| info.id).or(meta.map(|meta| meta.id)).unwrap_or_default(),
            name: name.into(),
            kind,
            version: info.map(|info| info.version).or(stored).unwrap_or_default(),
            physicals,
        })
    }
}

fn kind(info: Option<&InfoTable>, meta: Option<&Table>) -> TableKind {
    match meta.map(|meta| (meta.clazz.as_str(), meta.kind.as_str())) {
        Some(("MaterializedView", _) | (_, "MATERIALIZED_VIEW")) => TableKind::MaterializedView,
        Some(("View", _) | (_, "VIEW")) => TableKind::View,
        Some(("OlapTable", _) | (_, "OLAP")) => TableKind::Table,
        Some(_) => TableKind::Other,
        None if info.is_some_and(|info| info.partitions.is_empty()) => TableKind::View,
        None => TableKind::Table,
    }
}

/// The name as `__info` had it before [`JobInfo::parse`] told two of one name apart.
fn without_id(name: &str, id: i64) -> &str {
    name.strip_suffix(&format!("#{id}")).unwrap_or(name)
}
