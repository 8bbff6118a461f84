//! What differs between two sets of tables: two snapshots, two databases of a warehouse, or one of each.
//!
//! Names, statements, partitions with their bounds and versions, and files by size and md5. Not ids: a restored table has others. Files tell
//! whether stored data changed, not whether rows did: a compaction writes other files of the same rows.

mod report;
mod tables;

pub use report::{Change, DiffReport, FileDiff, FileLine, Line, ObjectDiff, PartitionDiff, PartitionSide, Side};

use crate::access::Access;
use crate::error::{ErrorKind, RestoreError, Result};
use crate::export::{ExportSource, What};
use crate::objects::{self, Objects};
use crate::progress::Cancel;
use crate::report::{JobStatus, ObjectKind};
use crate::source::Source;
use starsnap_catalog::ddl;
use starsnap_catalog::model::{Catalog, Function};
use starsnap_catalog::snapshot::{CatalogText, TableEntry, TableKind};
use starsnap_repository::cache::IndexCache;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tables::TableSide;

/// One of the two to compare.
#[derive(Debug, Clone)]
pub struct DiffSource {
    source: Source,
    /// The only table, and the only partition of it, that are compared.
    table: Option<String>,
    partition: Option<String>,
    /// The database's directory, where it is one of a warehouse.
    database_dir: Option<std::path::PathBuf>,
}

impl DiffSource {
    /// What `text` names: a path into a repository or a directory, as for an export, but for tablets.
    pub async fn resolve(text: &str, access: &Access, cache: Option<&IndexCache>) -> Result<DiffSource> {
        let resolved = ExportSource::resolve(text, access, cache).await.map_err(|mut error| {
            if error.action == "read rows from" {
                error.action = "compare";
            }
            error
        })?;
        let What::Tables { source, table, partition } = resolved.into_inner() else {
            let reason = "it is a tablet's directory: whole tables and partitions are compared";
            return Err(RestoreError::new(ErrorKind::Usage, "compare", text, reason));
        };
        let entry = table.and_then(|at| source.tables().get(at).copied().cloned());
        let partition = entry.as_ref().and_then(|entry| entry.partitions.get(partition?)).map(|one| one.name.clone());
        let dir = Path::new(text);
        let database_dir = (entry.is_none() && dir.is_dir()).then(|| dir.to_owned());
        Ok(DiffSource { source, table: entry.map(|entry| entry.name), partition, database_dir })
    }

    /// Views, functions and external catalogs; none for functions and catalogs that the source does not tell.
    fn objects(&self) -> Result<(Vec<TableEntry>, Option<Known>)> {
        let views = |entry: &&TableEntry| entry.kind == TableKind::View;
        let mut found: Vec<TableEntry> = self.source.tables().into_iter().filter(views).cloned().collect();
        if let Some((functions, catalogs)) = self.source.functions_and_catalogs() {
            return Ok((found, Some(Known { functions: functions.to_vec(), catalogs: catalogs.to_vec() })));
        }
        let Some(dir) = &self.database_dir else { return Ok((found, None)) };
        let Objects { views, functions, catalogs, .. } = objects::read(dir)?;
        found.extend(views);
        Ok((found, Some(Known { functions, catalogs })))
    }

    fn side(&self) -> Side {
        let (label, timestamp) = self.source.label_and_timestamp();
        Side {
            source: self.source.describe(),
            label: label.to_owned(),
            timestamp: timestamp.to_owned(),
            database: self.source.database().to_owned(),
        }
    }
}

/// Functions and external catalogs.
struct Known {
    functions: Vec<CatalogText>,
    catalogs: Vec<CatalogText>,
}

/// What to compare.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    pub old: DiffSource,
    pub new: DiffSource,
    /// Empty: all tables, views, functions and external catalogs.
    pub tables: Vec<String>,
    /// Name each file that differs.
    pub files: bool,
}

/// Compares. Reads the catalogs and the listings, and of local files without a known md5 their bytes where the sizes are equal.
pub async fn diff(options: DiffOptions, cancel: Cancel) -> Result<DiffReport> {
    let compared = crate::blocking(move || compare(&options, &cancel)).await;
    compared.map_err(|error| RestoreError::io("compare", Path::new("the two sides"), error))?
}

fn compare(options: &DiffOptions, cancel: &Cancel) -> Result<DiffReport> {
    let contexts = [options.old.source.context(), options.new.source.context()];
    let (objects, problems, notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut job = Job { options, contexts: &contexts, cancel, objects, problems, notes };
    job.tables()?;
    if options.old.table.is_none() && options.new.table.is_none() {
        job.others()?;
    }
    job.objects.sort_by(|a, b| (&a.name, a.kind as u8).cmp(&(&b.name, b.kind as u8)));
    for name in &options.tables {
        if !job.objects.iter().any(|object| object.name == *name) {
            let reason = "neither side has anything of that name";
            return Err(RestoreError::new(ErrorKind::NoSuchObject, "compare", name, reason));
        }
    }
    let status = if job.problems.is_empty() { JobStatus::Done } else { JobStatus::Partial };
    Ok(DiffReport {
        status,
        same: job.objects.iter().all(|object| object.change == Change::Same),
        old: options.old.side(),
        new: options.new.side(),
        objects: job.objects,
        problems: job.problems,
        notes: job.notes,
    })
}

struct Job<'a> {
    options: &'a DiffOptions,
    /// Of the old and the new side.
    contexts: &'a [ddl::Context; 2],
    cancel: &'a Cancel,
    objects: Vec<ObjectDiff>,
    problems: Vec<String>,
    notes: Vec<String>,
}

/// Tables and materialized views by name, with their position in the source.
fn stored(side: &DiffSource) -> BTreeMap<(String, u8), (usize, TableEntry)> {
    let tables = side.source.tables();
    let all = tables.into_iter().enumerate().filter(|(_, entry)| entry.kind != TableKind::View);
    let chosen = all.filter(|(_, entry)| side.table.as_ref().is_none_or(|only| *only == entry.name));
    chosen.map(|(at, entry)| ((entry.name.clone(), kind_of(entry) as u8), (at, entry.clone()))).collect()
}

fn kind_of(entry: &TableEntry) -> ObjectKind {
    match entry.kind {
        TableKind::MaterializedView => ObjectKind::MaterializedView,
        TableKind::View => ObjectKind::View,
        TableKind::Table | TableKind::Other => ObjectKind::Table,
    }
}

impl Job<'_> {
    fn wants(&self, name: &str) -> bool {
        self.options.tables.is_empty() || self.options.tables.iter().any(|wanted| wanted == name)
    }

    fn tables(&mut self) -> Result<()> {
        let (old, new) = (&self.options.old, &self.options.new);
        let (mut olds, mut news) = (stored(old), stored(new));
        // Two tables that are named are compared with each other, whatever they are called.
        let only = |all: &mut BTreeMap<(String, u8), (usize, TableEntry)>| all.pop_first().map(|(_, found)| found);
        match (&old.table, &new.table) {
            (Some(_), Some(_)) => return self.pair(only(&mut olds), only(&mut news)),
            (Some(name), None) => news.retain(|(other, _), _| other == name),
            (None, Some(name)) => olds.retain(|(other, _), _| other == name),
            (None, None) => {}
        }
        let keys: BTreeSet<_> = olds.keys().chain(news.keys()).cloned().collect();
        for key in keys.into_iter().filter(|(name, _)| self.wants(name)).collect::<Vec<_>>() {
            self.pair(olds.remove(&key), news.remove(&key))?;
        }
        Ok(())
    }

    fn pair(&mut self, old: Option<(usize, TableEntry)>, new: Option<(usize, TableEntry)>) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(RestoreError::interrupted("the comparison"));
        }
        fn side<'a>(
            found: Option<(usize, TableEntry)>,
            of: &'a DiffSource,
            context: &'a ddl::Context,
        ) -> Option<TableSide<'a>> {
            found.map(|found| TableSide::new(&of.source, context, found, of.partition.as_deref()))
        }
        let [old_context, new_context] = self.contexts;
        let old = side(old, &self.options.old, old_context);
        let new = side(new, &self.options.new, new_context);
        let diff = tables::compare(old, new, self.options.files, &mut self.problems);
        self.objects.extend(diff);
        Ok(())
    }

    /// Views, functions and external catalogs.
    fn others(&mut self) -> Result<()> {
        let (old, new) = (&self.options.old, &self.options.new);
        let ((old_views, old_known), (new_views, new_known)) = (old.objects()?, new.objects()?);
        let statements = |context: &ddl::Context, views: &[TableEntry]| -> Result<BTreeMap<String, String>> {
            let of = |view: &TableEntry| {
                let failed = |error| RestoreError::catalog("compare view", &view.name, error);
                let table = view.parse().map_err(failed)?;
                let text = table.map(|table| ddl::schema_sql(&table, context)).transpose().map_err(failed)?;
                Ok((view.name.clone(), text.unwrap_or_default()))
            };
            views.iter().map(of).collect()
        };
        let [old_context, new_context] = self.contexts;
        let (olds, news) = (statements(old_context, &old_views)?, statements(new_context, &new_views)?);
        self.texts(ObjectKind::View, &olds, &news, &BTreeSet::new());
        let (Some(old), Some(new)) = (old_known, new_known) else {
            self.notes
                .push("functions and external catalogs are not compared: a directory of tables alone has none".into());
            return Ok(());
        };
        let (olds, news) = (functions(&old.functions)?, functions(&new.functions)?);
        self.texts(ObjectKind::Function, &olds, &news, &BTreeSet::new());
        let (olds, news) = (catalogs(&old.catalogs)?, catalogs(&new.catalogs)?);
        let secrets = |all: &BTreeMap<String, (String, Catalog)>| -> BTreeMap<String, BTreeMap<String, String>> {
            all.iter().map(|(name, (_, catalog))| (name.clone(), catalog.config.clone())).collect()
        };
        let (old_secrets, new_secrets) = (secrets(&olds), secrets(&news));
        let changed: BTreeSet<String> = old_secrets
            .iter()
            .filter(|(name, config)| new_secrets.get(*name).is_some_and(|other| other != *config))
            .map(|(name, _)| name.clone())
            .collect();
        let texts = |all: BTreeMap<String, (String, Catalog)>| -> BTreeMap<String, String> {
            all.into_iter().map(|(name, (text, _))| (name, text)).collect()
        };
        self.texts(ObjectKind::Catalog, &texts(olds), &texts(news), &changed);
        Ok(())
    }

    /// Objects that are statements and nothing else; `changed` are those that differ in what their statements do not show.
    fn texts(
        &mut self,
        kind: ObjectKind,
        olds: &BTreeMap<String, String>,
        news: &BTreeMap<String, String>,
        changed: &BTreeSet<String>,
    ) {
        for name in olds.keys().chain(news.keys()).collect::<BTreeSet<_>>() {
            if !self.wants(name) {
                continue;
            }
            let (old, new) = (olds.get(name), news.get(name));
            let schema = match (old, new) {
                (Some(old), Some(new)) => tables::lines(old, new),
                _ => Vec::new(),
            };
            let change = match (old, new) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                _ if !schema.is_empty() => Change::Changed,
                _ if changed.contains(name) => {
                    self.notes.push(format!("external catalog {name} differs in a secret, which is not shown"));
                    Change::Changed
                }
                _ => Change::Same,
            };
            let (partitions, files) = (Vec::new(), FileDiff::default());
            self.objects.push(ObjectDiff {
                name: name.clone(),
                new_name: None,
                kind,
                change,
                schema,
                partitions,
                files,
            });
        }
    }
}

fn functions(texts: &[CatalogText]) -> Result<BTreeMap<String, String>> {
    let of = |text: &CatalogText| {
        let failed = |error| RestoreError::catalog("compare", "a function", error);
        let function: Function = text.parse().map_err(failed)?;
        // One that has no statement is told apart by what is stored.
        let sql = ddl::function_sql(&function).unwrap_or_else(|_| text.0.to_string());
        Ok((ddl::function_signature(&function), sql))
    };
    texts.iter().map(of).collect()
}

fn catalogs(texts: &[CatalogText]) -> Result<BTreeMap<String, (String, Catalog)>> {
    let of = |text: &CatalogText| {
        let failed = |error| RestoreError::catalog("compare", "an external catalog", error);
        let catalog: Catalog = text.parse().map_err(failed)?;
        Ok((catalog.name.clone(), (ddl::catalog_sql(&catalog).map_err(failed)?, catalog)))
    };
    texts.iter().map(of).collect()
}
