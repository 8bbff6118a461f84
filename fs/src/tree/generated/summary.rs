//! `snapshot.json`.

use super::{SnapshotTree, catalog_names, function_names};
use serde::Serialize;
use starsnap_catalog::ddl;
use starsnap_catalog::model::Function;
use starsnap_catalog::snapshot::{CatalogText, Snapshot, TableEntry, TableKind};

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
    objects: Objects<'a>,
}

/// The catalog objects of what has no directory with a `table.json`, so that a copy of the snapshot's directory can become a backup again.
/// Nothing with secrets is among them: neither external catalogs, nor functions whose file's URL has credentials in it.
#[derive(Serialize)]
struct Objects<'a> {
    format: u32,
    views: Vec<&'a TableEntry>,
    functions: Vec<&'a CatalogText>,
}

impl Objects<'_> {
    fn of(catalog: &Snapshot) -> Objects<'_> {
        let is_view = |entry: &&TableEntry| entry.kind == TableKind::View;
        let functions =
            catalog.functions.iter().filter(|text| text.parse().is_ok_and(|function| !has_secret(&function)));
        Objects { format: 1, views: catalog.tables.iter().filter(is_view).collect(), functions: functions.collect() }
    }
}

fn has_secret(function: &Function) -> bool {
    let url = function.location.as_ref().and_then(|uri| uri.location.as_deref());
    url.is_some_and(|url| ddl::mask_url(url) != url)
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
        objects: Objects::of(catalog),
    };
    // Strings, numbers and lists: nothing here can fail to become JSON.
    let mut text = serde_json::to_string_pretty(&summary).unwrap_or_else(|_| "{\n}".into());
    if let Some(info) = job_info(&open.info) {
        // Behind the last member: over the newline and the closing brace, and no other's.
        text.truncate(text.len().saturating_sub(2));
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
