//! Which columns an export has: those of the catalog, found in the schema that the tablets share.

use super::tablet::Unit;
use crate::choices::choices;
use crate::error::{ErrorKind, RestoreError, Result};
use starsnap_catalog::model;
use starsnap_catalog::snapshot::TableEntry;
use starsnap_catalog::stored;
use starsnap_tablet::{TabletMeta, TabletSchema, UniqueIds};

/// A column: its name in the tablets, and its name in the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutputColumn {
    pub(super) stored: String,
    pub(super) name: String,
    /// `SELECT *` has it.
    by_star: bool,
}

/// What planning keeps of each tablet's metadata.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) tablet_id: i64,
    schema: TabletSchema,
    /// As counted when they were written.
    pub(super) rows: u64,
    /// Of the segment files.
    pub(super) bytes: u64,
}

impl Head {
    pub(super) fn of(meta: TabletMeta) -> Head {
        let sum = |count: fn(&starsnap_tablet::RowsetMeta) -> i64| {
            let counts = meta.rowsets.iter().map(|rowset| u64::try_from(count(rowset)).unwrap_or(0));
            counts.fold(0, u64::saturating_add)
        };
        let (rows, bytes) = (sum(|rowset| rowset.num_rows), sum(|rowset| rowset.data_disk_size));
        Head { tablet_id: meta.tablet_id, rows, bytes, schema: meta.schema }
    }
}

/// The newest of the tablets' schemas. A column that was added by metadata alone reaches each tablet with its next load, so that tablets of
/// one table may have older and newer ones.
pub(super) fn newest_schema(
    table: &str,
    units: &[Unit],
    heads: &[Head],
    ids: UniqueIds,
) -> Result<Option<TabletSchema>> {
    let Some(newest) = heads.iter().max_by_key(|head| head.schema.version) else { return Ok(None) };
    let newest = &newest.schema;
    for (unit, Head { schema, .. }) in units.iter().zip(heads) {
        let Some(reason) = schema.contradiction(newest, ids) else { continue };
        return Err(RestoreError::new(
            ErrorKind::Unsupported,
            "read table",
            table,
            format!("{reason} ({})", unit.path),
        )
        .advise("export its partitions one by one, or its tablets' directories"));
    }
    Ok(Some(newest.clone()))
}

/// Within what columns of `index` have the same unique ids. A tablet without a catalog is alone.
pub(super) fn unique_ids(entry: Option<&TableEntry>, index: Option<&str>) -> Result<UniqueIds> {
    Ok(catalog_columns(entry, index)?.map_or(UniqueIds::OfTable, |columns| stored::unique_ids(&columns)))
}

/// The columns of `index` (none: the base index) as the catalog has them, or the tablets' own where there is no catalog. What no tablet knows
/// yet comes into `schema`.
pub(super) fn all(
    table: &str,
    entry: Option<&TableEntry>,
    index: Option<&str>,
    schema: &mut TabletSchema,
) -> Result<Vec<OutputColumn>> {
    match catalog_columns(entry, index)? {
        Some(columns) => columns.iter().map(|column| find(table, column, schema)).collect(),
        None => {
            let own = |name: &String| OutputColumn { stored: name.clone(), name: name.clone(), by_star: true };
            Ok(schema.columns.iter().map(|column| own(&column.name)).collect())
        }
    }
}

/// The `wanted` columns, in that order; those of `SELECT *` if there are none.
pub(super) fn choose(table: &str, all: Vec<OutputColumn>, wanted: &[String]) -> Result<Vec<OutputColumn>> {
    if wanted.is_empty() {
        return Ok(all.into_iter().filter(|column| column.by_star).collect());
    }
    let mut chosen: Vec<OutputColumn> = Vec::with_capacity(wanted.len());
    for name in wanted {
        let failed = |reason| RestoreError::new(ErrorKind::Usage, "read column", name, reason);
        let found = all.iter().find(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|column| &*column.name).collect();
            failed(format!("table {table} has none of that name")).advise(choices(name, &names))
        })?;
        // No format can have two columns of one name that every reader tells apart.
        if chosen.contains(found) {
            return Err(failed("it is named twice".into()));
        }
        chosen.push(found.clone());
    }
    Ok(chosen)
}

fn catalog_columns(entry: Option<&TableEntry>, index: Option<&str>) -> Result<Option<Vec<model::Column>>> {
    let Some(entry) = entry else { return Ok(None) };
    let failed = |error| RestoreError::catalog("read the schema of", &entry.name, error);
    Ok(entry.index_meta(index).map_err(failed)?.map(|meta| meta.schema))
}

/// A column of the catalog in the tablets' schema: by the name it was made with, which tablets keep after a rename, or by its unique id. One
/// that was added after the last load has its default in all rows.
fn find(table: &str, column: &model::Column, schema: &mut TabletSchema) -> Result<OutputColumn> {
    let by_star = column.is_selected_by_star();
    let stored = column.stored_in(schema).ok_or_else(|| {
        let reason =
            format!("no tablet knows column {} of the catalog yet, and what it holds is not stored", column.name);
        RestoreError::new(ErrorKind::Unsupported, "read table", table, reason)
            .advise("it was added after the last load; a tablet's directory can be exported without it")
    })?;
    Ok(OutputColumn { stored, name: column.name.clone(), by_star })
}
