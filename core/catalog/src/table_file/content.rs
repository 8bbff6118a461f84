//! The shape of the file.

use crate::ddl::{partition_values, signature_type};
use crate::model::{self, Table};
use crate::snapshot::{IndexEntry, PartitionEntry, PartitionKind, PhysicalEntry, TableEntry, TableKind, TabletEntry};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// All keys, in the order they are written. Unknown ones are refused: what they mean could be lost on a backup.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub starsnap: u32,
    pub name: String,
    pub kind: Kind,
    pub id: i64,
    pub database: Named,
    pub snapshot: SnapshotName,
    #[serde(default)]
    pub problems: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_increment_id: Option<i64>,
    /// Of the base index, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    pub partitions: Vec<Partition>,
    /// Directories named otherwise than what they hold.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub directories: serde_json::Map<String, Value>,
    /// The object as StarRocks stored it; null when the snapshot lacks it. Its text is written and taken as it is: parsed, that of a large
    /// table takes many times its size.
    #[serde(skip_serializing)]
    pub catalog: Option<Box<RawValue>>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Table,
    MaterializedView,
    View,
    Other,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
    pub id: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotName {
    pub repository: String,
    pub label: String,
    pub timestamp: String,
    /// Milliseconds since the epoch.
    pub backup_time: i64,
}

/// For reading; only the names are compared with the catalog object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<String>,
    pub nullable: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_increment: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    pub name: String,
    pub kind: KindOfPartition,
    pub id: i64,
    pub version: i64,
    /// Range or list as the CREATE statement has it; for reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    pub physical_partitions: Vec<Physical>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KindOfPartition {
    Normal,
    Shadow,
    Temporary,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Physical {
    /// The number in `__part_<id>`.
    pub id: i64,
    pub version: i64,
    pub indexes: Vec<Index>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    pub name: String,
    /// The number in `__idx_<id>`.
    pub id: i64,
    /// True for the base index.
    pub base: bool,
    pub schema_hash: i64,
    /// In bucket order.
    pub tablets: Vec<i64>,
    /// For each of them the files that `__info` lists; left out when it lists none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed_files: Vec<Vec<String>>,
}

impl Index {
    /// True when `listed_files` is left out or complete.
    pub fn lists_files_of_all(&self) -> bool {
        self.listed_files.is_empty() || self.listed_files.len() == self.tablets.len()
    }
}

/// Columns of the base index; of a view, those of its full schema.
pub fn base_schema(table: &Table) -> &[model::Column] {
    match table.base_index_id {
        Some(base) => table.index_id_to_meta.get(&base).map(|meta| meta.schema.as_slice()),
        None => table.full_schema.as_deref(),
    }
    .unwrap_or_default()
}

pub fn columns(table: &Table) -> Vec<Column> {
    base_schema(table).iter().map(Column::of).collect()
}

impl Column {
    fn of(column: &model::Column) -> Column {
        let expression = column.default_expr.as_ref().and_then(|default| default.expr.clone());
        Column {
            name: column.name.clone(),
            ty: signature_type(&column.ty).unwrap_or_else(|_| "?".into()),
            key: column.is_key,
            aggregation: column.aggregation_type.clone().filter(|_| !column.is_aggregation_type_implicit),
            nullable: column.is_allow_null,
            auto_increment: column.is_auto_increment == Some(true),
            default: column.default_value.clone().or(expression),
            generated: column.materialized_column_expr.as_ref().map(|generated| generated.expr.clone()),
            comment: column.comment.clone().filter(|comment| !comment.is_empty()),
        }
    }
}

pub fn partitions(entry: &TableEntry, table: Option<&Table>) -> Vec<Partition> {
    let schema = table.map(base_schema).unwrap_or_default();
    let values = |entry: &PartitionEntry| {
        let table = table.filter(|_| entry.kind != PartitionKind::Shadow)?;
        let stored = table.id_to_partition.get(&entry.id);
        let temporary = || table.temp_partitions.as_ref()?.id_to_partition.get(&entry.id);
        // What cannot be read is among the problems, and in the catalog object.
        partition_values(table, schema, stored.or_else(temporary)?).ok().flatten()
    };
    let of = |partition: &PartitionEntry| Partition {
        name: partition.name.clone(),
        kind: partition.kind.into(),
        id: partition.id,
        version: partition.version,
        values: values(partition),
        physical_partitions: partition.physicals.iter().map(Into::into).collect(),
    };
    entry.partitions.iter().map(of).collect()
}

impl From<Partition> for PartitionEntry {
    fn from(partition: Partition) -> Self {
        let Partition { name, kind, id, version, values: _, physical_partitions } = partition;
        let physicals = physical_partitions.into_iter().map(Into::into).collect();
        PartitionEntry { id, name, kind: kind.into(), version, physicals }
    }
}

impl From<&PhysicalEntry> for Physical {
    fn from(entry: &PhysicalEntry) -> Self {
        Physical { id: entry.id, version: entry.version, indexes: entry.indexes.iter().map(Into::into).collect() }
    }
}

impl From<Physical> for PhysicalEntry {
    fn from(physical: Physical) -> Self {
        let indexes = physical.indexes.into_iter().map(Into::into).collect();
        PhysicalEntry { id: physical.id, version: physical.version, indexes }
    }
}

impl From<&IndexEntry> for Index {
    fn from(entry: &IndexEntry) -> Self {
        let mut listed_files = Vec::new();
        if entry.tablets.iter().any(|tablet| !tablet.listed_files.is_empty()) {
            listed_files.extend(entry.tablets.iter().map(|tablet| tablet.listed_files.clone()));
        }
        let tablets = entry.tablets.iter().map(|tablet| tablet.id).collect();
        let IndexEntry { id, name, base, schema_hash, .. } = entry;
        Index { name: name.clone(), id: *id, base: *base, schema_hash: *schema_hash, tablets, listed_files }
    }
}

impl From<Index> for IndexEntry {
    fn from(index: Index) -> Self {
        let mut files = index.listed_files.into_iter();
        let tablet = |id| TabletEntry { id, listed_files: files.next().unwrap_or_default() };
        let tablets = index.tablets.into_iter().map(tablet).collect();
        IndexEntry { id: index.id, name: index.name, base: index.base, schema_hash: index.schema_hash, tablets }
    }
}

/// Both ways between two enums with the same cases: those of the file have their own spelling.
macro_rules! same_cases {
    ($here:ident, $there:ident, $($case:ident),*) => {
        impl From<$here> for $there {
            fn from(it: $here) -> Self {
                match it { $($here::$case => $there::$case),* }
            }
        }
        impl From<$there> for $here {
            fn from(it: $there) -> Self {
                match it { $($there::$case => $here::$case),* }
            }
        }
    };
}
same_cases!(Kind, TableKind, Table, MaterializedView, View, Other);
same_cases!(KindOfPartition, PartitionKind, Normal, Shadow, Temporary);
