//! A snapshot's catalog: `__info` and `__meta` joined by id (an `__info` may have lost its non-ASCII names), in one shape for every
//! version. `__info` is the authority on tablets, their order and versions; `__meta` on names and schemas.

use crate::error::Result;
use crate::info::JobInfo;
use crate::meta::MetaForm;
use crate::model::{BackupMeta, IndexMeta, PartitionLayout, Table};
use serde::{Deserialize, Serialize};

mod join;
mod pair;

/// The joined catalog. Plain data, so that it can be cached in a non-self-describing encoding.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The label as `__info` states it; empty without `__info`.
    pub label: String,
    /// Empty for snapshots of external catalogs.
    pub database: String,
    pub database_id: i64,
    /// Milliseconds since the epoch; 0 without `__info`.
    pub backup_time: i64,
    pub starrocks_meta_version: Option<i32>,
    pub written: Written,
    /// Tables, materialized views and views, by name.
    pub tables: Vec<TableEntry>,
    /// JSON text of each [`crate::model::Function`].
    pub functions: Vec<CatalogText>,
    /// JSON text of each external [`crate::model::Catalog`], secrets included.
    pub catalogs: Vec<CatalogText>,
    /// Where `__info` and `__meta` contradict each other, or one lacks what the other has.
    pub disagreements: Vec<Disagreement>,
}

/// How a snapshot was written, which decides which versions of StarRocks can restore it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The form of `__meta`, set by who read it; none without `__meta`.
    pub form: Option<MetaForm>,
    /// The newest layout that any partition has; none without partitions.
    pub layout: Option<PartitionLayout>,
    /// Some table has several list partitions.
    pub several_lists: bool,
}

/// JSON text of a catalog object, parsed when asked for: a snapshot may hold thousands.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogText(pub Box<str>);

impl std::fmt::Debug for CatalogText {
    // May hold the secrets of an external catalog.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CatalogText({} bytes)", self.0.len())
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TableKind {
    Table,
    MaterializedView,
    View,
    /// Shared-data tables, external tables: nothing we read.
    Other,
}

/// A table, materialized view or view of the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableEntry {
    pub id: i64,
    /// Name in `__meta`, else in `__info`. No two entries share one.
    pub name: String,
    pub kind: TableKind,
    /// The catalog object of `__meta`; none when `__meta` lacks it.
    pub catalog: Option<CatalogText>,
    pub auto_increment_id: Option<i64>,
    /// In the order StarRocks prints them: by range, by id for lists; temporary ones last.
    pub partitions: Vec<PartitionEntry>,
}

/// Kind of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PartitionKind {
    Normal,
    /// `$shadow_…`: StarRocks' own, without rows.
    Shadow,
    /// Known to the catalog alone: BACKUP uploads no temporary partition and `__info` lists none.
    Temporary,
}

/// A logical partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionEntry {
    pub id: i64,
    pub name: String,
    pub kind: PartitionKind,
    pub version: i64,
    /// By id, the default one first.
    pub physicals: Vec<PhysicalEntry>,
}

/// A physical partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhysicalEntry {
    /// The number in `__part_<id>`.
    pub id: i64,
    pub version: i64,
    /// The base index first, then the others by name.
    pub indexes: Vec<IndexEntry>,
}

/// An index of a physical partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The number in `__idx_<id>`.
    pub id: i64,
    pub name: String,
    pub base: bool,
    pub schema_hash: i64,
    /// In bucket order.
    pub tablets: Vec<TabletEntry>,
}

/// A tablet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TabletEntry {
    pub id: i64,
    /// The `<file>.<md5>` names that `__info` lists (shapes A and B); empty in later shapes.
    pub listed_files: Vec<String>,
}

/// One contradiction, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The object: `table orders`, `partition p1 of table orders`, …
    pub object: String,
    pub what: String,
}

impl Snapshot {
    /// Joins what is there: both, `__info` alone (a lost `__meta`), or `__meta` alone (a backup that crashed before `__info`).
    ///
    /// An object that only one of them has is in the result all the same; that, and whatever they say differently, is named among the
    /// disagreements. Ids, versions and tablets are those of `__info` wherever it has them, as they name the directories.
    pub fn join(info: Option<&JobInfo>, meta: Option<&BackupMeta>) -> Result<Snapshot> {
        join::join(info, meta)
    }

    /// The entry of that name.
    pub fn table(&self, name: &str) -> Option<&TableEntry> {
        self.tables.iter().find(|table| table.name == name)
    }
}

impl TableEntry {
    /// The catalog object, parsed.
    pub fn parse(&self) -> Result<Option<Table>> {
        self.catalog.as_ref().map(CatalogText::parse).transpose()
    }

    /// The schema of `index` (none: the base index); none where the catalog does not tell it.
    pub fn index_meta(&self, index: Option<&str>) -> Result<Option<IndexMeta>> {
        let Some(mut table) = self.parse()? else { return Ok(None) };
        let id = match index {
            Some(name) => table.index_name_to_id.get(name).copied(),
            None => table.base_index_id,
        };
        let meta = id.and_then(|id| table.index_id_to_meta.remove(&id));
        Ok(meta.filter(|meta| !meta.schema.is_empty()))
    }

    /// True for what stores rows: tables and materialized views.
    pub fn holds_rows(&self) -> bool {
        matches!(self.kind, TableKind::Table | TableKind::MaterializedView)
    }
}

impl CatalogText {
    /// Parses into a table, function or external catalog of [`crate::model`].
    pub fn parse<T: for<'de> Deserialize<'de>>(&self) -> Result<T> {
        serde_json::from_str(&self.0).map_err(|source| crate::CatalogError::Json { what: "the catalog object", source })
    }

    /// The text of `object`.
    pub fn of<T: Serialize>(object: &T) -> Result<CatalogText> {
        serde_json::to_string(object)
            .map(|text| CatalogText(text.into()))
            .map_err(|source| crate::CatalogError::Json { what: "the catalog object", source })
    }
}
