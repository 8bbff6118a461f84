//! `table.json`: a table directory's catalog object. It holds all that a backup of the directory needs.
//!
//! What people read comes first: name, kind, where it came from, keys, columns, partitions with their tablets in bucket order. Programs
//! read `partitions` and `catalog`, the object as StarRocks stored it, and take `keys_type`, `columns` and `values` from the latter.

mod content;
mod pretty;

use crate::error::{CatalogError, Result};
use crate::layout::TableLayout;
use crate::model::Table;
use crate::snapshot::{CatalogText, Snapshot, TableEntry, TableKind};
use content::{Content, SnapshotName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;

const WHAT: &str = "table.json";

/// The form of the file that this version writes and reads.
const FORM: u32 = 1;

/// A longer file is refused: as StarRocks refuses a `__meta` of more than 1 GiB, no table in one can need more.
pub const MAX_BYTES: usize = 1 << 30;

/// Where the table came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    pub repository: String,
    pub label: String,
    pub timestamp: String,
    /// Milliseconds since the epoch.
    pub backup_time: i64,
    pub database: String,
    pub database_id: i64,
}

/// The content of `table.json`. What people read comes first; `catalog`, which programs read, last.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFile {
    pub origin: Origin,
    /// Name, kind, ids, partitions, tablets in bucket order, versions: of what this directory should hold.
    pub entry: TableEntry,
    /// What is missing or contradicts, one sentence each; empty when all is well.
    pub problems: Vec<String>,
}

impl TableFile {
    /// The file's text: pretty-printed JSON with a final newline.
    pub fn to_json(&self) -> Result<String> {
        let entry = &self.entry;
        let table = entry.parse()?;
        let content = Content {
            starsnap: FORM,
            name: entry.name.clone(),
            kind: entry.kind.into(),
            id: entry.id,
            database: content::Named { name: self.origin.database.clone(), id: self.origin.database_id },
            snapshot: SnapshotName {
                repository: self.origin.repository.clone(),
                label: self.origin.label.clone(),
                timestamp: self.origin.timestamp.clone(),
                backup_time: self.origin.backup_time,
            },
            problems: self.problems.clone(),
            keys_type: table.as_ref().and_then(|table| table.keys_type.clone()),
            auto_increment_id: entry.auto_increment_id,
            columns: table.as_ref().map(content::columns),
            partitions: content::partitions(entry, table.as_ref()),
            directories: directories(entry),
            catalog: None,
        };
        let value = serde_json::to_value(&content).map_err(json)?;
        Ok(pretty::print(&value, "catalog", entry.catalog.as_ref().map_or("null", |text| &text.0)))
    }

    /// Reads it back. Refuses a file that contradicts itself, as one that was edited in part would.
    pub fn parse(bytes: &[u8]) -> Result<TableFile> {
        if bytes.len() > MAX_BYTES {
            return Err(CatalogError::Unsupported {
                what: WHAT.into(),
                reason: format!("it has {} bytes, and the longest that is read has {MAX_BYTES}", bytes.len()),
            });
        }
        // A later form may have other keys: its number must be seen before they are.
        #[derive(Deserialize)]
        struct Form {
            starsnap: u32,
        }
        let Form { starsnap } = serde_json::from_slice(bytes).map_err(json)?;
        if starsnap != FORM {
            return Err(CatalogError::Unsupported {
                what: WHAT.into(),
                reason: format!("it has form {starsnap}, and this version of starsnap knows form {FORM}"),
            });
        }
        let content: Content = serde_json::from_slice(bytes).map_err(json)?;
        let catalog = content.catalog.map(|text| CatalogText(text.get().into()));
        let indexes = content.partitions.iter().flat_map(|p| &p.physical_partitions).flat_map(|p| &p.indexes);
        if let Some(index) = indexes.into_iter().find(|index| !index.lists_files_of_all()) {
            return Err(CatalogError::Inconsistent {
                what: format!("table.json of {:?}", content.name),
                reason: format!("`listed_files` of index {:?} are not one list for each tablet", index.name),
            });
        }
        let entry = TableEntry {
            id: content.id,
            kind: content.kind.into(),
            catalog,
            auto_increment_id: content.auto_increment_id,
            partitions: content.partitions.into_iter().map(Into::into).collect(),
            name: content.name,
        };
        check(&entry, content.columns.as_deref(), &content.directories)?;
        let SnapshotName { repository, label, timestamp, backup_time } = content.snapshot;
        let content::Named { name: database, id: database_id } = content.database;
        let origin = Origin { repository, label, timestamp, backup_time, database, database_id };
        Ok(TableFile { origin, entry, problems: content.problems })
    }

    /// For an entry of a snapshot.
    pub fn of(snapshot: &Snapshot, entry: &TableEntry, repository: &str, timestamp: &str) -> TableFile {
        TableFile {
            origin: Origin {
                repository: repository.into(),
                label: snapshot.label.clone(),
                timestamp: timestamp.into(),
                backup_time: snapshot.backup_time,
                database: snapshot.database.clone(),
                database_id: snapshot.database_id,
            },
            entry: entry.clone(),
            problems: Vec::new(),
        }
    }
}

fn json(source: serde_json::Error) -> CatalogError {
    CatalogError::Json { what: WHAT, source }
}

/// The partitions and rollups whose directories have other names than they: directory to name.
fn directories(entry: &TableEntry) -> serde_json::Map<String, Value> {
    let layout = TableLayout::of(entry);
    let mut out = serde_json::Map::new();
    for (partition, dir) in entry.partitions.iter().zip(&layout.partition_dirs) {
        if *dir != partition.name {
            out.insert(dir.clone(), partition.name.clone().into());
        }
    }
    for place in &layout.tablets {
        let index = &entry.partitions[place.partition].physicals[place.physical].indexes[place.index];
        if let Some(rollup) = place.rollup_dir.as_ref().filter(|dir| **dir != index.name) {
            out.insert(format!("{}/{rollup}", place.partition_dir), index.name.clone().into());
        }
    }
    out
}

/// What an edited or damaged file contradicts itself in.
fn check(
    entry: &TableEntry,
    columns: Option<&[content::Column]>,
    named: &serde_json::Map<String, Value>,
) -> Result<()> {
    let contradiction =
        |reason| Err(CatalogError::Inconsistent { what: format!("table.json of {:?}", entry.name), reason });
    let mut ids = HashSet::new();
    if let Some(twice) = entry.partitions.iter().find(|partition| !ids.insert(partition.id)) {
        return contradiction(format!("the partition id {} is there twice", twice.id));
    }
    let mut tablets = HashSet::new();
    for index in entry.partitions.iter().flat_map(|p| &p.physicals).flat_map(|p| &p.indexes) {
        if let Some(twice) = index.tablets.iter().find(|tablet| !tablets.insert(tablet.id)) {
            return contradiction(format!("the tablet id {} is there twice", twice.id));
        }
    }
    if directories(entry) != *named {
        return contradiction("`directories` are not those of its partitions and rollups".into());
    }
    let Some(table) = entry.parse()? else {
        return Ok(());
    };
    if (table.id, &table.name) != (entry.id, &entry.name) {
        return contradiction(format!("`catalog` is the object of another table, {:?} ({})", table.name, table.id));
    }
    if kind_of(&table) != entry.kind {
        return contradiction(format!("`kind` does not fit `catalog`, which is a {} ({})", table.kind, table.clazz));
    }
    let in_catalog = content::base_schema(&table).iter().map(|column| column.name.as_str());
    if !columns.unwrap_or_default().iter().map(|column| column.name.as_str()).eq(in_catalog) {
        return contradiction("`columns` are not those of `catalog`".into());
    }
    Ok(())
}

fn kind_of(table: &Table) -> TableKind {
    match table.clazz.as_str() {
        "OlapTable" => TableKind::Table,
        "MaterializedView" => TableKind::MaterializedView,
        "View" => TableKind::View,
        _ => TableKind::Other,
    }
}
