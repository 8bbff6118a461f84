//! The restore job: from a snapshot into the warehouse. Each table appears whole or not at all.

use crate::commit::commit;
use crate::error::{ErrorKind, RestoreError, Result};
use crate::objects::{self, Addition};
use crate::plan::{Existing, Plan, PlanFile, plan};
use crate::progress::{Cancel, Progress};
use crate::report::{JobStatus, ObjectKind, RestoreReport, TableReport, TableStatus};
use crate::source::Source;
use crate::transfer::{Target, Transfer};
use crate::wanted::Wanted;
use crate::{complete, select, warehouse};
use futures::StreamExt;
use starsnap_catalog::ddl::Context;
use starsnap_catalog::snapshot::TableKind;
use starsnap_repository::limiter::Limiter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::Semaphore;

/// A table, and what of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableChoice {
    /// A table, materialized view or view.
    pub name: String,
    /// The name it gets; not for backups.
    pub alias: Option<String>,
    /// Only these partitions; empty: all.
    pub partitions: Vec<String>,
}

/// What to restore, where to, how fast.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    pub source: Source,
    /// Empty: all the source holds, views, functions and external catalogs included.
    pub tables: Vec<TableChoice>,
    /// Partitions for a choice that names none itself; wants exactly one table.
    pub partitions: Vec<String>,
    /// Holds databases; made where missing.
    pub warehouse: PathBuf,
    /// The database's name in the warehouse; the snapshot's by default.
    pub database: Option<String>,
    /// Files in transfer at once; at least 1.
    pub workers: usize,
    /// For all workers together.
    pub max_speed_bytes_per_second: Option<u64>,
    /// Reads what an interrupted run has finished once more, instead of trusting its journal.
    pub recheck: bool,
}

/// Fetched at once from a store where nobody says how many: most of the time of a small file is waiting for an answer.
const FROM_AFAR: usize = 8;

/// Files in transfer at once where nobody says how many: as many as there are processors, 4 at least, and 8 from a store that is not on local
/// disk.
pub fn default_workers(source: &Source) -> usize {
    if source.is_local() { crate::default_workers() } else { crate::default_workers().max(FROM_AFAR) }
}

/// One table on its way.
struct Task {
    choice: TableChoice,
    kind: ObjectKind,
    planned: Result<Plan, Vec<RestoreError>>,
}

/// Restores. An error when nothing could be begun; what happens to single tables is in the report.
pub async fn restore(options: RestoreOptions, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<RestoreReport> {
    restore_wanted(options, None, progress, cancel).await
}

/// As [`restore`], of what a statement names instead of `options.tables`; none: everything.
pub(crate) async fn restore_wanted(
    options: RestoreOptions,
    wanted: Option<&Wanted>,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
) -> Result<RestoreReport> {
    let begun = Instant::now();
    let chosen = select::select(&options, wanted)?;
    let database_dir = chosen.database_dir.clone();
    std::fs::create_dir_all(&database_dir).map_err(|error| RestoreError::io("make", &database_dir, error))?;
    let result = run(options, chosen, progress, cancel, begun).await;
    // Fails, rightly, when anything is in it.
    let _ = std::fs::remove_dir(&database_dir);
    result
}

async fn run(
    options: RestoreOptions,
    chosen: select::Chosen,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
    begun: Instant,
) -> Result<RestoreReport> {
    let tasks = plan_all(&options, &chosen).await?;
    check_space(&chosen.database_dir, &tasks)?;
    let plans = || tasks.iter().filter_map(|task| task.planned.as_ref().ok());
    // Where nothing can be restored, the reasons are all there is to say.
    let nothing = !tasks.is_empty() && plans().next().is_none();
    if !nothing {
        progress.started(plans().map(|plan| plan.files.len() as u64).sum(), plans().map(Plan::bytes).sum());
    }

    let workers = options.workers.max(1);
    let context = Arc::new(Context { database: chosen.database.clone(), ..options.source.context() });
    let limiter = Arc::new(Limiter::new(options.max_speed_bytes_per_second));
    // What is fetched from a store is held back there.
    let source = match options.source.is_local() {
        true => options.source.clone(),
        false => options.source.limited(limiter.clone()),
    };
    let transfer = Arc::new(Transfer { source, limiter, progress: progress.clone(), cancel });
    let permits = Semaphore::new(workers);
    // A few tables at once, so that the end of one does not leave workers idle.
    let reports = futures::stream::iter(tasks).map(|task| run_table(task, &transfer, &permits, workers, &context));
    let mut tables: Vec<TableReport> = reports.buffered(workers.max(2)).collect().await;
    if !transfer.cancel.is_cancelled() {
        let others = select::others(&options.source, &chosen, &context);
        for report in others.await {
            progress.table_done(&report);
            tables.push(report);
        }
    }
    let (label, timestamp) = options.source.label_and_timestamp();
    let mut notes = options.source.notes();
    notes.extend(chosen.notes);
    let status = if transfer.cancel.is_cancelled() { JobStatus::Interrupted } else { JobStatus::of(&tables) };
    if tables.iter().any(|table| table.status == TableStatus::Interrupted) {
        let kept = chosen.database_dir.join(warehouse::STAGING);
        notes.push(format!("what was fetched is kept in {}: run the same command again to go on", kept.display()));
    }
    Ok(RestoreReport {
        status,
        source: options.source.describe(),
        label: label.to_owned(),
        timestamp: timestamp.to_owned(),
        directory: chosen.database_dir,
        files: tables.iter().map(|table| table.files).sum(),
        bytes: tables.iter().map(|table| table.bytes).sum(),
        reused_files: tables.iter().map(|table| table.reused_files).sum(),
        tables,
        seconds: begun.elapsed().as_secs_f64(),
        notes,
    })
}

/// Plans all tables, on a thread that may block.
async fn plan_all(options: &RestoreOptions, chosen: &select::Chosen) -> Result<Vec<Task>> {
    let source = options.source.clone();
    let (tables, database_dir, recheck) = (chosen.tables.clone(), chosen.database_dir.clone(), options.recheck);
    let plan_each = move || {
        let views = objects::read(&database_dir)?.views;
        let tasks = tables.into_iter().map(|(table, choice)| {
            let name = choice.alias.as_ref().unwrap_or(&choice.name);
            let planned = if views.iter().any(|view| view.name == *name) {
                let reason = "a view of that name stands there";
                Err(vec![RestoreError::new(ErrorKind::Exists, "restore table", name, reason)])
            } else {
                plan(&source, table, &choice, &database_dir, recheck)
            };
            let kind = match source.tables().get(table).map(|entry| entry.kind) {
                Some(TableKind::MaterializedView) => ObjectKind::MaterializedView,
                _ => ObjectKind::Table,
            };
            Task { choice, kind, planned }
        });
        Ok(tasks.collect())
    };
    let failed = |error| RestoreError::io("plan the restore to", &chosen.database_dir, error);
    crate::blocking(plan_each).await.map_err(failed)?
}

/// Everything that is still to be fetched must fit before anything is.
fn check_space(dir: &Path, tasks: &[Task]) -> Result<()> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| RestoreError::io("look at", dir, error.into()))?;
    let block = stat.f_frsize.max(1);
    let files = tasks.iter().filter_map(|task| task.planned.as_ref().ok()).flat_map(|plan| &plan.files);
    let needed: u64 = files.map(|file| file.source.size.div_ceil(block).saturating_mul(block)).sum();
    let free = stat.f_bavail.saturating_mul(block);
    if needed > free {
        for plan in tasks.iter().filter_map(|task| task.planned.as_ref().ok()).filter(|plan| plan.reused_files == 0) {
            let _ = plan.staging.remove();
        }
        let reason = format!("not enough space: {needed} bytes are needed, {free} are free");
        return Err(RestoreError::new(ErrorKind::NoSpace, "restore to", dir.display().to_string(), reason)
            .advise("free some space, or restore fewer tables"));
    }
    Ok(())
}

/// One table, from its plan to its report.
async fn run_table(
    task: Task,
    transfer: &Arc<Transfer>,
    permits: &Semaphore,
    workers: usize,
    context: &Arc<Context>,
) -> TableReport {
    let begun = Instant::now();
    let mut report =
        TableReport::new(&task.choice.name, task.choice.alias.as_deref(), task.kind, TableStatus::Restored);
    let result = match task.planned {
        Ok(plan) => finish(plan, transfer, permits, workers, context, &mut report).await.map_err(|error| vec![error]),
        Err(errors) => Err(errors),
    };
    if let Err(errors) = result {
        let interrupted = errors.iter().any(|error| error.kind == ErrorKind::Interrupted);
        report.status = if interrupted { TableStatus::Interrupted } else { TableStatus::Failed };
        report.problems = errors.iter().map(ToString::to_string).collect();
        // Planned, but not put in place.
        (report.files, report.bytes, report.reused_files, report.partitions) = (0, 0, 0, 0);
    }
    report.seconds = begun.elapsed().as_secs_f64();
    transfer.progress.table_done(&report);
    report
}

/// Fetches what a plan lacks and puts the table in place.
async fn finish(
    mut plan: Plan,
    transfer: &Arc<Transfer>,
    permits: &Semaphore,
    workers: usize,
    context: &Arc<Context>,
    report: &mut TableReport,
) -> Result<()> {
    report.status = match plan.existing {
        Existing::None => TableStatus::Restored,
        Existing::Replace => TableStatus::Replaced,
        Existing::Merge(_) => TableStatus::Merged,
    };
    (report.files, report.bytes, report.reused_files) = (plan.total_files, plan.total_bytes, plan.reused_files);
    report.partitions = plan.partitions;
    let staging = plan.staging.clone();
    let fetched = fetch_all(&mut plan, transfer, permits, workers, &report.name).await;
    let done = match fetched {
        Ok(notes) => {
            report.notes.append(&mut plan.notes);
            report.notes.extend(notes);
            drop(staging);
            let (context, target) = (context.clone(), plan.target.clone());
            let committed = crate::blocking(move || commit(plan, &context)).await;
            committed.map_err(|error| RestoreError::io("put in place", &target, error))?
        }
        Err(error) => {
            drop(plan);
            if error.kind != ErrorKind::Damaged {
                // What could not be made durable is read again when the restore goes on; the first error is what counts.
                let flushed = staging.clone();
                let _ = crate::blocking(move || flushed.flush()).await;
            } else {
                // Trying again would end here again: leave nothing behind.
                return Err(staging.remove().err().unwrap_or(error));
            }
            return Err(error);
        }
    }?;
    report.notes.extend(done.notes);
    Ok(())
}

/// Fetches the headers first: they tell which other files must be there. Returns notes.
async fn fetch_all(
    plan: &mut Plan,
    transfer: &Arc<Transfer>,
    permits: &Semaphore,
    workers: usize,
    table: &str,
) -> Result<Vec<String>> {
    let is_first = |file: &PlanFile| complete::describes(&file.source.name);
    let (first, rest): (Vec<PlanFile>, Vec<PlanFile>) = std::mem::take(&mut plan.files).into_iter().partition(is_first);
    let stop = Arc::new(AtomicBool::new(false));
    let target = Target { table: table.to_owned(), staging: plan.staging.clone(), stop: stop.clone() };
    // Threads that write go on a little when the job is dropped.
    let _stop = StopOnDrop(stop);
    let fetch = Fetch { transfer, permits, workers, target };
    if transfer.cancel.is_cancelled() {
        return Err(RestoreError::interrupted(table));
    }
    fetch.all(first).await?;
    let (staged, tablets) = (plan.staging.table(), std::mem::take(&mut plan.tablets));
    let failed = |error| RestoreError::io("check table", Path::new(table), error);
    let notes = crate::blocking(move || complete::check(&staged, &tablets)).await.map_err(failed)??;
    fetch.all(rest).await?;
    Ok(notes)
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Fetches files of one table.
struct Fetch<'a> {
    transfer: &'a Arc<Transfer>,
    permits: &'a Semaphore,
    workers: usize,
    target: Target,
}

impl Fetch<'_> {
    /// All of `files`, or the first failure, once nothing is being written any more.
    async fn all(&self, files: Vec<PlanFile>) -> Result<()> {
        let stop = &self.target.stop;
        let fetches =
            futures::stream::iter(chunks(files, self.transfer.source.is_local())).map(|files| self.some(files));
        let failures = fetches.buffer_unordered(self.workers).filter_map(async |result| {
            let error = result.err()?;
            // What was stopped for another file's failure is not one of its own.
            let first = !stop.swap(true, Ordering::Relaxed);
            first.then_some(error)
        });
        failures.collect::<Vec<RestoreError>>().await.into_iter().next().map_or(Ok(()), Err)
    }

    async fn some(&self, files: Vec<PlanFile>) -> Result<()> {
        let _permit = self.permits.acquire().await.map_err(|_| RestoreError::interrupted(&self.target.table))?;
        if self.transfer.cancel.is_cancelled() || self.target.stop.load(Ordering::Relaxed) {
            return Err(RestoreError::interrupted(&self.target.table));
        }
        self.transfer.fetch(&self.target, files).await
    }
}

/// What a worker takes at a time: one file where each costs a round trip to a store, else so many that what a worker costs is little
/// beside them, but neither so many nor so large that others run out of work.
fn chunks(files: Vec<PlanFile>, local: bool) -> Vec<Vec<PlanFile>> {
    const FILES: usize = 64;
    const BYTES: u64 = 4 << 20;
    let mut chunks: Vec<Vec<PlanFile>> = Vec::new();
    let mut bytes = 0u64;
    for file in files {
        bytes = bytes.saturating_add(file.source.size);
        match chunks.last_mut() {
            Some(chunk) if local && chunk.len() < FILES && bytes <= BYTES => chunk.push(file),
            _ => {
                bytes = file.source.size;
                chunks.push(vec![file]);
            }
        }
    }
    chunks
}

/// Views, functions and external catalogs: no files to fetch.
pub(crate) async fn add_objects(database_dir: &Path, addition: Addition, context: &Arc<Context>) -> Result<()> {
    let (dir, context) = (database_dir.to_owned(), context.clone());
    let added = crate::blocking(move || objects::add(&dir, addition, &context)).await;
    added.map_err(|error| RestoreError::io("write to", database_dir, error))?
}
