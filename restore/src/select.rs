//! Which objects of a source a restore is about.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::objects::{self, Addition};
use crate::report::{ObjectKind, TableReport, TableStatus};
use crate::restore::{RestoreOptions, TableChoice, add_objects};
use crate::source::Source;
use crate::wanted::Wanted;
use crate::warehouse;
use starsnap_catalog::ddl::{self, Context};
use starsnap_catalog::layout;
use starsnap_catalog::model::{Catalog, Function};
use starsnap_catalog::snapshot::{CatalogText, TableEntry, TableKind};
use starsnap_catalog::write;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// The outcome.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) database: String,
    pub(crate) database_dir: PathBuf,
    /// Tables, then materialized views, each with its position in the source.
    pub(crate) tables: Vec<(usize, TableChoice)>,
    /// Logical views, likewise.
    views: Vec<(usize, TableChoice)>,
    functions: Vec<CatalogText>,
    catalogs: Vec<CatalogText>,
    /// Nothing was chosen by name.
    everything: bool,
    pub(crate) notes: Vec<String>,
}

/// Works out what is meant; everything that cannot be meant is an error here.
pub(crate) fn select(options: &RestoreOptions, wanted: Option<&Wanted>) -> Result<Chosen> {
    let source = &options.source;
    let database = options.database.clone().unwrap_or_else(|| source.database().to_owned());
    if database.is_empty() {
        // Mostly because its `__info` is damaged or missing: then that is the reason.
        let notes = source.notes();
        let why = notes.first().map(|note| format!(": {note}")).unwrap_or_default();
        let reason = format!("the source names no database{why}");
        return Err(RestoreError::new(ErrorKind::Usage, "restore from", source.describe(), reason)
            .advise("name the database of the warehouse with --database"));
    }
    let entries = source.tables();
    let (choices, everything) = match wanted {
        Some(wanted) => {
            let names: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.kind)).collect();
            (wanted.choices(&names, "restore")?, false)
        }
        None => choices(options)?,
    };
    let (functions, catalogs) = match (source.functions_and_catalogs(), wanted) {
        (Some((functions, catalogs)), Some(wanted)) => {
            (wanted.functions(functions, "restore")?, wanted.catalogs(catalogs, "restore")?)
        }
        (Some((functions, catalogs)), None) if everything => (functions.to_vec(), catalogs.to_vec()),
        _ => Default::default(),
    };
    let (mut tables, mut views, mut targets) = (Vec::new(), Vec::new(), HashSet::new());
    for choice in choices {
        let found = entries.iter().position(|entry| entry.name == choice.name);
        let Some(at) = found else { return Err(no_table(source, &choice.name)) };
        let target = choice.alias.as_ref().unwrap_or(&choice.name);
        if target.is_empty() || !targets.insert(layout::escape(target)) {
            let reason = if target.is_empty() { "the name is empty" } else { "two tables would get this name" };
            return Err(RestoreError::new(ErrorKind::Usage, "restore as", target, reason));
        }
        let is_view = entries.get(at).is_some_and(|entry| entry.kind == TableKind::View);
        if is_view && !choice.partitions.is_empty() {
            return Err(RestoreError::new(ErrorKind::Usage, "restore", &choice.name, "a view has no partitions"));
        }
        if is_view { views.push((at, choice)) } else { tables.push((at, choice)) }
    }
    let kind = |at: usize| entries.get(at).map(|entry| entry.kind);
    tables.sort_by_key(|(at, _)| kind(*at) == Some(TableKind::MaterializedView));
    let database_dir = warehouse::database_dir(&options.warehouse, &database);
    Ok(Chosen { database, database_dir, tables, views, functions, catalogs, everything, notes: Vec::new() })
}

fn choices(options: &RestoreOptions) -> Result<(Vec<TableChoice>, bool)> {
    let (only_table, only_partition) = options.source.limit();
    let mut choices = options.tables.clone();
    let everything = choices.is_empty() && only_table.is_none();
    if choices.is_empty() {
        let names = options.source.tables().into_iter().map(|entry| entry.name.clone());
        choices = names.map(|name| TableChoice { name, ..TableChoice::default() }).collect();
    }
    let mut partitions = options.partitions.clone();
    partitions.extend(only_partition.filter(|name| !partitions.iter().any(|given| given == name)).map(str::to_owned));
    if !partitions.is_empty() {
        let [choice] = choices.as_mut_slice() else {
            let reason = format!("partitions are given, but {} tables", choices.len());
            return Err(RestoreError::new(ErrorKind::Usage, "restore from", options.source.describe(), reason)
                .advise("name the one table they belong to with --table"));
        };
        if choice.partitions.is_empty() {
            choice.partitions = partitions;
        }
    }
    for choice in &mut choices {
        let mut seen = HashSet::new();
        choice.partitions.retain(|name| seen.insert(name.clone()));
    }
    Ok((choices, everything))
}

fn no_table(source: &Source, name: &str) -> RestoreError {
    let names: Vec<&str> = source.tables().into_iter().map(|entry| &*entry.name).collect();
    let advice = match names.as_slice() {
        [] => "it has no tables".to_owned(),
        names => format!("it has {}", names.join(", ")),
    };
    RestoreError::new(
        ErrorKind::NoSuchObject,
        "restore table",
        name,
        format!("{} has none of that name", source.describe()),
    )
    .advise(advice)
}

/// Restores the views, functions and external catalogs.
pub(crate) async fn others(source: &Source, chosen: &Chosen, context: &Arc<Context>) -> Vec<TableReport> {
    let mut reports = Vec::new();
    if chosen.everything {
        reports.extend(copy_sql(source, chosen).await);
    }
    let mut addition = Addition::default();
    for (at, choice) in &chosen.views {
        let mut report =
            TableReport::new(&choice.name, choice.alias.as_deref(), ObjectKind::View, TableStatus::Restored);
        let entry = source.tables().get(*at).copied().cloned();
        match view(entry, choice, chosen) {
            Ok(entry) => addition.views.push(entry),
            Err(error) => {
                report.status = TableStatus::Failed;
                report.problems.push(error.to_string());
            }
        }
        reports.push(report);
    }
    let first_added = reports.len() - reports.len().min(chosen.views.len());
    addition.functions.clone_from(&chosen.functions);
    addition.catalogs.clone_from(&chosen.catalogs);
    let restored = |name: String, kind| TableReport::new(&name, None, kind, TableStatus::Restored);
    reports.extend(chosen.functions.iter().map(|text| {
        let name = text.parse::<Function>().map(|function| ddl::function_signature(&function));
        restored(name.unwrap_or_default(), ObjectKind::Function)
    }));
    reports.extend(chosen.catalogs.iter().map(|text| {
        restored(text.parse::<Catalog>().map(|catalog| catalog.name).unwrap_or_default(), ObjectKind::Catalog)
    }));
    let nothing = addition.views.is_empty() && addition.functions.is_empty() && addition.catalogs.is_empty();
    if !nothing && let Err(error) = add_objects(&chosen.database_dir, addition, context).await {
        for report in reports.iter_mut().skip(first_added).filter(|report| report.status != TableStatus::Failed) {
            report.status = TableStatus::Failed;
            report.problems.push(error.to_string());
        }
    }
    reports
}

/// The view under its new name, unless something else stands there.
fn view(entry: Option<TableEntry>, choice: &TableChoice, chosen: &Chosen) -> Result<TableEntry> {
    let name = choice.alias.as_ref().unwrap_or(&choice.name);
    let failed = |kind, reason: &str| RestoreError::new(kind, "restore view", name, reason);
    let mut entry = entry.ok_or_else(|| failed(ErrorKind::NoSuchObject, "the source has no such view"))?;
    if entry.catalog.is_none() {
        return Err(failed(
            ErrorKind::Damaged,
            "its catalog object is missing: the snapshot's __meta is lost or damaged",
        ));
    }
    if chosen.database_dir.join(layout::escape(name)).exists() {
        return Err(failed(ErrorKind::Exists, "a table of that name stands there"));
    }
    if *name != entry.name {
        write::rename(&mut entry, name).map_err(|error| RestoreError::catalog("restore view", name, error))?;
    }
    Ok(entry)
}

/// A directory has only the text of its external catalogs, and one that is no mount's that of its views and functions.
async fn copy_sql(source: &Source, chosen: &Chosen) -> Vec<TableReport> {
    let files = match source.sql_files() {
        Ok(files) => files,
        Err(error) => {
            let mut report = TableReport::new("*.sql", None, ObjectKind::View, TableStatus::Failed);
            report.problems.push(error.to_string());
            return vec![report];
        }
    };
    if files.is_empty() {
        return Vec::new();
    }
    let mut report = TableReport::new("*.sql", None, ObjectKind::View, TableStatus::Restored);
    report.files = files.len() as u64;
    let what = match source.functions_and_catalogs() {
        Some(_) => "external catalogs come as SQL text alone, without their secrets",
        None => "views, functions and external catalogs come as SQL text alone",
    };
    report.notes.push(format!(
        "{what}, and a later backup leaves them out: restore from the repository itself to have them in it"
    ));
    let dir = chosen.database_dir.clone();
    let copied = crate::blocking(move || objects::copy_sql(&dir, &files)).await;
    let copied = copied.map_err(|error| RestoreError::io("write to", &chosen.database_dir, error));
    if let Err(error) = copied.and_then(|copied| copied) {
        report.status = TableStatus::Failed;
        report.problems.push(error.to_string());
    }
    vec![report]
}
