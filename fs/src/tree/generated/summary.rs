//! `snapshot.json`.

use super::{SnapshotTree, catalog_names, function_names};
use serde::Serialize;
use starsnap_catalog::snapshot::{TableEntry, TableKind};

/// What a person wants to know first; the job info as StarRocks wrote it follows as the last key.
#[derive(Serialize)]
struct Summary<'a> {
    repository: &'a str,
    label: &'a str,
    timestamp: &'a str,
    database: &'a str,
    /// Milliseconds since the epoch.
    backup_time: i64,
    starrocks_meta_version: Option<i32>,
    tablets: usize,
    files: u64,
    bytes: u64,
    tables: Vec<Table<'a>>,
    functions: Vec<String>,
    external_catalogs: Vec<String>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Table<'a> {
    name: &'a str,
    kind: &'static str,
    partitions: usize,
    tablets: usize,
}

pub(super) fn snapshot_json(snapshot: &SnapshotTree, repository: &str) -> String {
    let open = &snapshot.open;
    let catalog = &open.catalog;
    let disagreements = catalog.disagreements.iter().map(|found| format!("{}: {}", found.object, found.what));
    let summary = Summary {
        repository,
        label: &open.label,
        timestamp: &open.timestamp,
        database: &catalog.database,
        backup_time: catalog.backup_time,
        starrocks_meta_version: catalog.starrocks_meta_version,
        tablets: open.tablets.len(),
        files: snapshot.files,
        bytes: snapshot.bytes,
        tables: catalog.tables.iter().map(table).collect(),
        functions: function_names(&catalog.functions),
        external_catalogs: catalog_names(&catalog.catalogs),
        problems: open.problems.iter().cloned().chain(disagreements).collect(),
    };
    // Strings, numbers and lists: nothing here can fail to become JSON.
    let mut text = serde_json::to_string_pretty(&summary).unwrap_or_else(|_| "{\n}".into());
    if let Some(info) = job_info(&open.info) {
        text.truncate(text.trim_end_matches(['\n', '}']).len());
        text.push_str(",\n  \"job_info\": ");
        text.push_str(info);
        text.push_str("\n}");
    }
    text.push('\n');
    text
}

/// The stored job info, where it is JSON that can stand in ours as it is.
fn job_info(info: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(info).ok()?.trim();
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    Some(text)
}

fn table(entry: &TableEntry) -> Table<'_> {
    let indexes = entry.partitions.iter().flat_map(|partition| &partition.physicals).flat_map(|p| &p.indexes);
    Table {
        name: &entry.name,
        kind: match entry.kind {
            TableKind::Table => "table",
            TableKind::MaterializedView => "materialized view",
            TableKind::View => "view",
            TableKind::Other => "other",
        },
        partitions: entry.partitions.len(),
        tablets: indexes.map(|index| index.tablets.len()).sum(),
    }
}
