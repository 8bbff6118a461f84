//! From table directories back to `__info` and `__meta` that every StarRocks FE from 3.1.4 on accepts: JSON, partition layout P1, job info
//! shape C.

use crate::error::Result;
use crate::info::JobInfo;
use crate::model::{BackupMeta, Catalog, Function, Table};
use crate::snapshot::TableEntry;

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

/// Builds both files' content. Tablets, order and versions come from the entries, everything else from their catalog objects.
pub fn build(new: &NewSnapshot) -> Result<(JobInfo, BackupMeta)> {
    let _ = new;
    todo!()
}

/// Rewrites partition layouts P2 and P3 into P1, and checks § 3.9's list of what an FE needs; nothing known is lost.
pub fn to_layout_p1(table: &mut Table) -> Result<()> {
    let _ = table;
    todo!()
}

/// Renames a table as RESTORE … AS does: its name, the base index's name, and the partition's where unpartitioned.
pub fn rename(entry: &mut TableEntry, name: &str) -> Result<()> {
    let _ = (entry, name);
    todo!()
}

/// Keeps only the partitions that `keep` wants, as a partial BACKUP does (every map of the catalog object included).
pub fn keep_partitions(entry: &mut TableEntry, keep: impl Fn(&str) -> bool) -> Result<()> {
    let _ = (entry, &keep);
    todo!()
}

/// Gives new table ids where two entries share one (the same table restored twice, or tables of different clusters).
pub fn separate_ids(tables: &mut [TableEntry]) -> Result<()> {
    let _ = tables;
    todo!()
}

/// Differences between two tables' schemas as RESTORE onto an existing table sees them (key model, columns position by position,
/// partitioning, distribution), one line each; empty when the snapshot may replace the table.
pub fn schema_differences(existing: &Table, snapshot: &Table) -> Vec<String> {
    let _ = (existing, snapshot);
    todo!()
}
