//! The text of the files that no repository holds: `snapshot.json`, `restore.sql`, `table.json`, `schema.sql` and the other `.sql` files.

use super::snapshot::{Item, SnapshotTree};
use crate::error::{FsError, Result};
use bytes::Bytes;
use lru::LruCache;
use starsnap_catalog::CatalogError;
use starsnap_catalog::ddl;
use starsnap_catalog::model::{Catalog, Function};
use starsnap_catalog::snapshot::{CatalogText, TableEntry, TableKind};
use starsnap_catalog::table_file::TableFile;
use starsnap_repository::snapshot::TabletKey;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

mod summary;

/// The text of `item`; `repository` is the repository's name.
pub(super) fn text(snapshot: &SnapshotTree, item: Item, repository: &str) -> Result<Bytes> {
    let open = &snapshot.open;
    let text = match item {
        Item::SnapshotJson => summary::snapshot_json(snapshot, repository),
        Item::RestoreSql => ddl::restore_sql(&open.catalog, repository, &open.timestamp),
        Item::TableJson(table) => table_json(snapshot, table, repository)?,
        Item::SchemaSql(table) => schema_sql(snapshot, table),
        Item::FunctionSql(at) => from_catalog(&open.catalog.functions, at, "function", ddl::function_sql),
        Item::CatalogSql(at) => from_catalog(&open.catalog.catalogs, at, "external catalog", ddl::catalog_sql),
        _ => return Err(FsError::IsDirectory(open.label.clone())),
    };
    Ok(text.into())
}

fn entry(snapshot: &SnapshotTree, table: u32) -> Result<&TableEntry> {
    let missing = || FsError::NotFound(format!("table number {table} of snapshot {}", snapshot.open.label));
    snapshot.open.catalog.tables.get(table as usize).ok_or_else(missing)
}

fn table_json(snapshot: &SnapshotTree, table: u32, repository: &str) -> Result<String> {
    let entry = entry(snapshot, table)?;
    let open = &snapshot.open;
    let mut file = TableFile::of(&open.catalog, entry, repository, &open.timestamp);
    file.problems = problems(snapshot, entry);
    file.to_json().map_err(|source| FsError::Catalog {
        object: format!("table.json of table {} of snapshot {}", entry.name, open.label),
        source: Arc::new(source),
    })
}

/// Everything wrong with a table, one sentence each: what its catalog lacks, what its content lacks. What is wrong with the snapshot as a
/// whole is in `snapshot.json`.
pub(super) fn problems(snapshot: &SnapshotTree, entry: &TableEntry) -> Vec<String> {
    let open = &snapshot.open;
    let mut problems = Vec::new();
    if entry.catalog.is_none() {
        problems.push("no schema is known: __meta does not hold this table".into());
    }
    let named = format!("table {}", entry.name);
    for disagreement in &open.catalog.disagreements {
        let object = &disagreement.object;
        if *object == named || object.strip_suffix(&named).is_some_and(|rest| rest.ends_with(" of ")) {
            problems.push(format!("{object}: {}", disagreement.what));
        }
    }
    for partition in &entry.partitions {
        for physical in &partition.physicals {
            for index in &physical.indexes {
                let place = match index.base {
                    true => format!("partition {}", partition.name),
                    false => format!("rollup {} of partition {}", index.name, partition.name),
                };
                let mut missing = Vec::new();
                for tablet in &index.tablets {
                    let key = TabletKey {
                        database: open.catalog.database_id,
                        table: entry.id,
                        physical: physical.id,
                        index: index.id,
                        tablet: tablet.id,
                    };
                    match open.tablet(&key) {
                        None => missing.push(tablet.id),
                        Some(stored) if stored.files.is_empty() => missing.push(tablet.id),
                        Some(_) => {}
                    }
                    let found = open.tablet(&key).map(|stored| stored.problems.as_slice()).unwrap_or_default();
                    problems.extend(found.iter().map(|problem| format!("{place}, tablet {}: {problem}", tablet.id)));
                }
                problems.extend(missing_tablets(&place, &missing, index.tablets.len()));
            }
        }
    }
    problems
}

fn missing_tablets(place: &str, missing: &[i64], all: usize) -> Option<String> {
    match missing.len() {
        0 => None,
        lost if lost == all => Some(format!("{place}: none of its {all} tablets has files in the repository")),
        lost => {
            let ids = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Some(format!("{place}: {lost} of its {all} tablets have no files in the repository: {ids}"))
        }
    }
}

fn schema_sql(snapshot: &SnapshotTree, table: u32) -> String {
    let Ok(entry) = entry(snapshot, table) else { return String::new() };
    let catalog = &snapshot.open.catalog;
    let context = ddl::Context {
        database: catalog.database.clone(),
        database_id: catalog.database_id,
        tables: catalog.tables.iter().map(|table| (table.id, table.name.clone())).collect(),
    };
    let what = match entry.kind {
        TableKind::View => "view",
        TableKind::MaterializedView => "materialized view",
        TableKind::Table | TableKind::Other => "table",
    };
    let made = entry.parse().and_then(|table| table.map(|table| ddl::schema_sql(&table, &context)).transpose());
    match made {
        Ok(Some(text)) => text,
        Ok(None) => no_statement(what, &entry.name, &"__meta does not hold it"),
        Err(error) => no_statement(what, &entry.name, &error),
    }
}

fn from_catalog<T: for<'de> serde::Deserialize<'de>>(
    texts: &[CatalogText],
    at: u32,
    what: &str,
    sql: impl Fn(&T) -> Result<String, CatalogError>,
) -> String {
    let made = texts.get(at as usize).map(|text| text.parse::<T>().and_then(|object| sql(&object)));
    match made {
        Some(Ok(text)) => text,
        Some(Err(error)) => no_statement(what, &format!("number {at}"), &error),
        None => String::new(),
    }
}

/// A comment in the statement's place: a script that runs the file then does nothing, and a reader learns why.
fn no_statement(what: &str, name: &str, why: &dyn Display) -> String {
    tracing::warn!(%why, "the statement of {what} {name} cannot be made");
    let text = format!("The statement of {what} {name} cannot be made: {why}");
    text.lines().map(|line| format!("-- {line}\n")).collect()
}

/// The argument types and names for `snapshot.json`.
fn function_names(texts: &[CatalogText]) -> Vec<String> {
    texts.iter().filter_map(|text| Some(ddl::function_signature(&text.parse::<Function>().ok()?))).collect()
}

fn catalog_names(texts: &[CatalogText]) -> Vec<String> {
    texts.iter().filter_map(|text| Some(text.parse::<Catalog>().ok()?.name)).collect()
}

/// Generated texts that were lately used, bounded by their bytes.
#[derive(Debug)]
pub(super) struct Texts {
    cache: Mutex<(LruCache<u64, Bytes>, usize)>,
    limit: usize,
}

impl Texts {
    pub fn new(limit: usize) -> Texts {
        Texts { cache: Mutex::new((LruCache::unbounded(), 0)), limit }
    }

    pub fn get(&self, node: u64) -> Option<Bytes> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).0.get(&node).cloned()
    }

    pub fn put(&self, node: u64, text: &Bytes) {
        if text.len() > self.limit {
            return;
        }
        let mut guard = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (cache, used) = &mut *guard;
        *used += text.len();
        if let Some(old) = cache.put(node, text.clone()) {
            *used -= old.len();
        }
        while *used > self.limit {
            let Some((_, old)) = cache.pop_lru() else { break };
            *used -= old.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_by_their_bytes() {
        let texts = Texts::new(100);
        for node in 0..50 {
            texts.put(node, &Bytes::from(vec![0; 30]));
        }
        assert_eq!((0..50).filter(|node| texts.get(*node).is_some()).collect::<Vec<_>>(), [47, 48, 49]);
        texts.put(49, &Bytes::from(vec![0; 10]));
        assert!(texts.get(47).is_some(), "a smaller text in place of another makes room, not less");
        texts.put(1, &Bytes::from(vec![0; 101]));
        assert!(texts.get(1).is_none());
        assert!(texts.get(49).is_some());
    }
}
