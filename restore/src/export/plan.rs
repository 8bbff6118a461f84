//! What is to be exported, worked out and checked before anything is written.

use super::columns::{self, Head, OutputColumn};
use super::parallel::parallel;
use super::resolve::What;
use super::tablet::{Files, Unit, tablet_error};
use super::{ExportOptions, Job};
use crate::choices::choices;
use crate::condition::Condition;
use crate::error::{ErrorKind, RestoreError, Result};
use crate::report::ObjectKind;
use crate::source::Source;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use starsnap_catalog::layout::TableLayout;
use starsnap_catalog::snapshot::{TableEntry, TableKind};
use starsnap_tablet::{
    Filter, PhysicalRows, ReadOptions, Rows, ScanStats, Tablet, TabletError, TabletSchema, UniqueIds,
};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Bytes of decoded rows that all tablets that are worked on hold together, which is as much as merges of many loads want.
const HELD_BYTES: usize = 96 << 20;

/// One table of an export.
#[derive(Debug)]
pub(super) struct TablePlan {
    pub(super) name: String,
    pub(super) kind: ObjectKind,
    pub(super) partitions: u64,
    pub(super) units: Vec<Unit>,
    pub(super) heads: Vec<Head>,
    /// None where there are no tablets.
    pub(super) content: Option<Content>,
    /// A tablet alone has no table's directory around its output.
    pub(super) alone: bool,
    /// What tells this export's output from any other's; of all its shards, if there are several.
    pub(super) identity: String,
}

/// How its rows are read.
#[derive(Debug)]
pub(super) struct Content {
    schema: TabletSchema,
    ids: UniqueIds,
    columns: Vec<OutputColumn>,
    filter: Option<Filter>,
    /// How many tablets there are.
    tablets: usize,
}

/// A table whose plan failed.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) kind: ObjectKind,
    pub(super) error: RestoreError,
}

/// Plans every table of the source; errors that belong to no table are the result's.
pub(super) fn plan(options: &ExportOptions, job: &Job<'_>) -> Result<Vec<Result<TablePlan, Box<Refused>>>> {
    match &options.source.0 {
        What::Tablet(dir) => {
            if let Some(index) = &options.index {
                let reason = "a tablet's directory alone is of one index";
                return Err(RestoreError::new(ErrorKind::Usage, "read index", index, reason));
            }
            let path = dir.canonicalize().unwrap_or_else(|_| dir.clone());
            let name = path.file_name().map_or_else(|| "tablet".into(), |name| name.to_string_lossy().into_owned());
            let unit = Unit { path: name.clone(), files: Files::Directory(path) };
            let table = TablePlan::new(name, ObjectKind::Table, vec![unit], true);
            Ok(vec![table.complete(None, options, job).map(TablePlan::named_by_id)])
        }
        What::Tables { source, table: Some(table), partition } => {
            Ok(vec![plan_table(source, *table, *partition, options, job)])
        }
        What::Tables { source, table: None, .. } => {
            let tables = source.tables();
            let chosen = tables.iter().enumerate().filter(|(_, table)| table.holds_rows());
            Ok(chosen.map(|(at, _)| plan_table(source, at, None, options, job)).collect())
        }
    }
}

fn plan_table(
    source: &Source,
    table: usize,
    partition: Option<usize>,
    options: &ExportOptions,
    job: &Job<'_>,
) -> Result<TablePlan, Box<Refused>> {
    let entry = source.tables().get(table).copied().cloned();
    let Some(entry) = entry else {
        let reason = "the source has no such table";
        let error = RestoreError::new(ErrorKind::NoSuchObject, "read table", table.to_string(), reason);
        return Err(Box::new(Refused { name: String::new(), kind: ObjectKind::Table, error }));
    };
    let kind = match entry.kind {
        TableKind::MaterializedView => ObjectKind::MaterializedView,
        TableKind::View => ObjectKind::View,
        _ => ObjectKind::Table,
    };
    let listed = list(source, table, &entry, partition, options.index.as_deref());
    let (units, partitions) = listed.map_err(|error| Box::new(Refused { name: entry.name.clone(), kind, error }))?;
    let mut plan = TablePlan::new(entry.name.clone(), kind, units, false);
    plan.partitions = partitions;
    plan.complete(Some(&entry), options, job)
}

/// The tablets of one index in the table's order, and how many partitions they are of.
fn list(
    source: &Source,
    table: usize,
    entry: &TableEntry,
    partition: Option<usize>,
    index: Option<&str>,
) -> Result<(Vec<Unit>, u64)> {
    if !entry.holds_rows() {
        let reason = match entry.kind {
            TableKind::View => "it is a view, which stores no rows",
            _ => "it is a shared-data or external table, whose data no backup holds",
        };
        return Err(RestoreError::new(ErrorKind::Unsupported, "read table", &entry.name, reason));
    }
    check_index(entry, index)?;
    let (mut units, mut partitions) = (Vec::new(), HashSet::new());
    for place in TableLayout::of(entry).tablets_with_rows(entry, partition, index) {
        let listed = source.tablet(table, place).map_err(|problems| {
            RestoreError::new(ErrorKind::Damaged, "read table", &entry.name, problems.join("; "))
        })?;
        partitions.insert(place.partition);
        let files = listed.into_iter().map(|file| (file.name.clone(), file)).collect();
        let files = Files::Source { source: source.clone(), files: Arc::new(files) };
        units.push(Unit { path: place.path(), files });
    }
    Ok((units, partitions.len() as u64))
}

fn check_index(entry: &TableEntry, index: Option<&str>) -> Result<()> {
    let Some(name) = index else { return Ok(()) };
    let indexes = || entry.partitions.iter().flat_map(|p| &p.physicals).flat_map(|p| &p.indexes);
    if indexes().any(|found| found.name == name) {
        return Ok(());
    }
    let mut names: Vec<&str> = indexes().map(|found| &*found.name).collect();
    names.sort_unstable();
    names.dedup();
    let reason = format!("table {} has none of that name", entry.name);
    Err(RestoreError::new(ErrorKind::NoSuchObject, "read index", name, reason).advise(choices(name, &names)))
}

impl TablePlan {
    fn new(name: String, kind: ObjectKind, units: Vec<Unit>, alone: bool) -> TablePlan {
        TablePlan { name, kind, partitions: 1, units, heads: Vec::new(), content: None, alone, identity: String::new() }
    }

    /// A tablet alone has the name that its header says: the directory of a BE is called by the schema's hash.
    fn named_by_id(mut self) -> TablePlan {
        if let Some(head) = self.heads.first() {
            self.name = head.tablet_id.to_string();
            self.units.iter_mut().for_each(|unit| unit.path.clone_from(&self.name));
        }
        self
    }

    /// Reads the metadata of every tablet, and works out the columns.
    fn complete(
        mut self,
        entry: Option<&TableEntry>,
        options: &ExportOptions,
        job: &Job<'_>,
    ) -> Result<TablePlan, Box<Refused>> {
        match self.read_heads(entry, options, job) {
            Ok(()) => Ok(self),
            Err(error) => Err(Box::new(Refused { name: self.name, kind: self.kind, error })),
        }
    }

    fn read_heads(&mut self, entry: Option<&TableEntry>, options: &ExportOptions, job: &Job<'_>) -> Result<()> {
        let head = |unit: &Unit| {
            job.check(&self.name)?;
            unit.meta(&job.runtime).map(Head::of)
        };
        self.heads = parallel(&self.units, options.workers, head)?;
        let ids = columns::unique_ids(entry, options.index.as_deref())?;
        let newest = columns::newest_schema(&self.name, &self.units, &self.heads, ids)?;
        let Some(mut schema) = newest else { return Ok(()) };
        let all = columns::all(&self.name, entry, options.index.as_deref(), &mut schema)?;
        let filter = options.condition.as_ref().map(|condition| self.filter(condition, &all, &schema)).transpose()?;
        let columns = columns::choose(&self.name, all, &options.columns)?;
        self.content = Some(Content { schema, ids, columns, filter, tablets: self.units.len() });
        Ok(())
    }

    /// The condition on this table's columns, by the names that the catalog has for them.
    fn filter(&self, condition: &Condition, all: &[OutputColumn], schema: &TabletSchema) -> Result<Filter> {
        let missing = RefCell::new(None);
        let find = |name: &str| {
            let found = all.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let Some(column) = found else {
                *missing.borrow_mut() = Some(name.to_owned());
                return None;
            };
            schema.columns.get(schema.position(&column.stored)?)
        };
        condition.bind(&find).map_err(|error| {
            let made = RestoreError::new(ErrorKind::Usage, "filter table", &self.name, format!("--where: {error}"));
            let Some(missing) = missing.take() else { return made };
            let names: Vec<&str> = all.iter().map(|column| &*column.name).collect();
            made.advise(choices(&missing, &names))
        })
    }

    /// Leaves only what `chosen` says of each tablet.
    pub(super) fn retain(&mut self, chosen: &[bool]) {
        let keep = |at: usize| chosen.get(at).copied().unwrap_or(true);
        let mut at = 0..;
        self.units.retain(|_| at.next().is_some_and(keep));
        let mut at = 0..;
        self.heads.retain(|_| at.next().is_some_and(keep));
    }

    /// Works out [`Self::identity`] while all tablets are there.
    pub(super) fn identify(&mut self, options: &ExportOptions) -> Result<()> {
        let columns = self.content.as_ref().map(|content| (&content.columns, &content.filter));
        let mut text = format!(
            "{} {} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?}\n",
            env!("CARGO_PKG_VERSION"),
            self.name,
            options.format,
            options.types,
            options.limit,
            options.split,
            options.shard.map(|shard| shard.count),
            options.physical,
            options.index,
            columns
        );
        for unit in &self.units {
            text.push_str(&unit.identity(options.shard.is_some())?);
            text.push('\n');
        }
        self.identity = text;
        Ok(())
    }
}

/// Rows of a tablet, batch by batch.
pub(super) struct RowStream {
    pub(super) schema: SchemaRef,
    rows: Reader,
    unit: Unit,
    runtime: Handle,
}

enum Reader {
    Rows(Box<Rows>),
    Physical(Box<PhysicalRows>),
}

impl Content {
    /// Opens the rows of a tablet.
    pub(super) fn rows(&self, unit: &Unit, options: &ExportOptions, job: &Job<'_>) -> Result<RowStream> {
        let opened =
            unit.open(&self.schema, self.ids, &job.runtime).and_then(|tablet| self.opened(tablet, unit, options, job));
        opened.inspect_err(|error| unit.distrust(error, &job.runtime))
    }

    fn opened(&self, tablet: Tablet, unit: &Unit, options: &ExportOptions, job: &Job<'_>) -> Result<RowStream> {
        let names: Vec<&str> = self.columns.iter().map(|column| &*column.stored).collect();
        let side_by_side = super::output::at_once(self, options.workers.clamp(1, self.tablets.max(1)));
        let read = ReadOptions { held_bytes: HELD_BYTES / side_by_side, ..options.format.read_options(options.types) };
        let failed = |error: TabletError| tablet_error(&unit.path, error);
        let filter = self.filter.as_ref();
        let (schema, rows) = if options.physical {
            let rows = tablet.physical_rows_where(Some(&names), filter, &read).map_err(failed)?;
            (rows.schema(), Reader::Physical(Box::new(rows)))
        } else {
            let rows = tablet.rows_where(Some(&names), filter, &read).map_err(failed)?;
            (rows.schema(), Reader::Rows(Box::new(rows)))
        };
        let (schema, runtime) = (self.named(&schema), job.runtime.clone());
        Ok(RowStream { schema, rows, unit: unit.clone(), runtime })
    }

    /// How many columns there are.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The schema of the output.
    pub(super) fn arrow_schema(&self, table: &str, options: &ExportOptions) -> Result<SchemaRef> {
        let names: Vec<&str> = self.columns.iter().map(|column| &*column.stored).collect();
        let read = options.format.read_options(options.types);
        let schema = Tablet::arrow_schema(&self.schema, Some(&names), &read);
        let schema = schema.map_err(|error| tablet_error(table, error))?;
        Ok(self.named(&schema))
    }

    fn named(&self, schema: &Schema) -> SchemaRef {
        let fields = schema.fields().iter().zip(&self.columns);
        let fields = fields.map(|(field, column)| field.as_ref().clone().with_name(&column.name));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

impl RowStream {
    /// What has been read so far.
    pub(super) fn stats(&self) -> ScanStats {
        match &self.rows {
            Reader::Rows(rows) => rows.stats(),
            Reader::Physical(rows) => rows.stats(),
        }
    }
}

impl Iterator for RowStream {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.rows {
            Reader::Rows(rows) => rows.next(),
            Reader::Physical(rows) => rows.next(),
        };
        let batch = next?.map_err(|error| tablet_error(&self.unit.path, error));
        let batch = batch.inspect_err(|error| self.unit.distrust(error, &self.runtime));
        Some(batch.and_then(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|error| {
                RestoreError::new(ErrorKind::Damaged, "read tablet", &self.unit.path, error.to_string())
            })
        }))
    }
}
