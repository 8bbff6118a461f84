//! The export job: rows of tables, partitions and tablets as Parquet, Arrow, CSV or JSON lines.

mod columns;
mod encode;
mod format;
pub mod inspect;
mod output;
mod parallel;
mod parts;
mod plan;
mod resolve;
mod shard;
mod single;
mod tablet;
mod together;

use crate::condition::Condition;
use crate::error::{ErrorKind, RestoreError, Result};
use crate::progress::{Cancel, Progress};
use crate::report::{ExportReport, JobStatus, ScanReport, TableReport, TableStatus};
use arrow_array::RecordBatch;
use encode::Counter;
pub use format::{CsvOptions, Format, Types};
use output::SingleFile;
pub use parts::Split;
use plan::{Refused, TablePlan};
pub use resolve::ExportSource;
pub(crate) use resolve::What;
pub use shard::Shard;
use starsnap_tablet::ScanStats;
pub use starsnap_tablet::{LargeIntAs, TextAs};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;

/// What to export, how, how fast.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    pub source: ExportSource,
    pub format: Format,
    pub types: Types,
    /// Only these columns, in this order; empty: all.
    pub columns: Vec<String>,
    /// Only rows for which it is true.
    pub condition: Option<Condition>,
    /// At most so many rows of each table.
    pub limit: Option<u64>,
    /// What becomes a file of its own in a directory.
    pub split: Split,
    /// The part of the tablets that this process exports.
    pub shard: Option<Shard>,
    /// Every stored row of every segment, in order: not merged, deleted ones too.
    pub physical: bool,
    /// The rollup or synchronous materialized view to read instead of the base index.
    pub index: Option<String>,
    /// Tablets worked on at once, at least 1; where there are fewer, several threads encode one Parquet file.
    pub workers: usize,
}

impl ExportOptions {
    /// All rows of a source as `SELECT *` returns them, and nothing out of the ordinary.
    pub fn all_rows(source: ExportSource, format: Format, workers: usize) -> ExportOptions {
        ExportOptions {
            source,
            format,
            types: Types::default(),
            columns: Vec::new(),
            condition: None,
            limit: None,
            split: Split::Tablet,
            shard: None,
            physical: false,
            index: None,
            workers,
        }
    }
}

/// Where the rows go.
pub enum Target {
    /// `<directory>/<table>/<partition>/<tablet>.<extension>`, or `<tablet>-00000.<extension>` and so on where tablets are split; a
    /// tablet alone is `<directory>/<tablet>.<extension>`, unless it is split or of a shard.
    Directory(PathBuf),
    /// All rows of one table.
    File(PathBuf),
    /// All rows of one table, to standard output or the like.
    Stream(Box<dyn Write + Send>),
    /// The same, to a named pipe or a device that was opened by this path.
    Pipe(std::fs::File, PathBuf),
}

/// What every part of a running export needs.
pub(crate) struct Job<'a> {
    runtime: Handle,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
}

impl Job<'_> {
    fn check(&self, table: &str) -> Result<()> {
        if self.cancel.is_cancelled() { Err(RestoreError::interrupted(table)) } else { Ok(()) }
    }

    /// Tells that `rows` rows of tablet `at` are done ([`u64::MAX`]: all), of which `told` bytes were told before.
    fn advance(&self, plan: &TablePlan, at: usize, rows: u64, told: &mut u64) {
        let Some(head) = plan.heads.get(at) else { return };
        let share = u128::from(head.bytes) * u128::from(rows.min(head.rows)) / u128::from(head.rows.max(1));
        let bytes = if rows == u64::MAX { head.bytes } else { u64::try_from(share).unwrap_or(head.bytes) };
        self.progress.advanced(bytes.saturating_sub(*told));
        *told = bytes.max(*told);
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Written {
    files: u64,
    /// Of `files`, those that an interrupted run had finished.
    reused_files: u64,
    bytes: u64,
    /// Without those of reused files.
    rows: u64,
    scan: ScanStats,
    /// Shards without which the table does not appear.
    missing_shards: u32,
}

impl Written {
    fn add(&mut self, other: &Written) {
        self.files += other.files;
        self.reused_files += other.reused_files;
        self.bytes += other.bytes;
        self.rows += other.rows;
        self.scan.add(&other.scan);
        self.missing_shards = self.missing_shards.max(other.missing_shards);
    }
}

/// Exports. An error when nothing could be begun; what happens to single tables is in the report.
pub async fn export(
    options: ExportOptions,
    target: Target,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
) -> Result<ExportReport> {
    let runtime = Handle::current();
    let work = move || {
        let job = Job { runtime, progress: progress.as_ref(), cancel: &cancel };
        run(&options, target, &job)
    };
    let failed = |error| RestoreError::io("finish", Path::new("the export"), error);
    crate::blocking(work).await.map_err(failed)?
}

fn run(options: &ExportOptions, target: Target, job: &Job<'_>) -> Result<ExportReport> {
    let begun = Instant::now();
    let single = !matches!(target, Target::Directory(_));
    if let (true, What::Tables { source, table: None, .. }) = (single, &options.source.0)
        && source.tables().iter().filter(|table| table.holds_rows()).count() != 1
    {
        let reason = "it holds several tables, which one file cannot";
        return Err(RestoreError::new(ErrorKind::Usage, "read rows from", source.describe(), reason)
            .advise("name one table, or export to a directory"));
    }
    check(options, single)?;
    let mut plans = plan::plan(options, job)?;
    if !single {
        for plan in &mut plans {
            identify(plan, options);
        }
    }
    if let Some(shard) = options.shard {
        shard::retain(shard, &mut plans);
    }
    let heads = || plans.iter().filter_map(|plan| plan.as_ref().ok()).flat_map(|plan| &plan.heads);
    job.progress.decoding(heads().count() as u64, heads().map(|head| head.bytes).fold(0, u64::saturating_add));
    let mut target = Some(target);
    let (mut tables, mut unread) = (Vec::new(), false);
    for plan in plans {
        let (report, table_unread) = run_table(plan, &mut target, options, job);
        unread |= table_unread;
        if !table_unread {
            job.progress.table_done(&report);
        }
        tables.push(report);
    }
    let status = if job.cancel.is_cancelled() { JobStatus::Interrupted } else { JobStatus::of(&tables) };
    let notes = match &options.source.0 {
        What::Tables { source, .. } => source.notes(),
        What::Tablet(_) => Vec::new(),
    };
    Ok(ExportReport {
        status,
        files: tables.iter().map(|table| table.files).sum(),
        bytes: tables.iter().map(|table| table.bytes).sum(),
        reused_files: tables.iter().map(|table| table.reused_files).sum(),
        rows: tables.iter().filter_map(|table| table.rows).sum(),
        unread,
        tables,
        notes,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// Refuses what cannot be done together.
fn check(options: &ExportOptions, single: bool) -> Result<()> {
    let refused = |what: &'static str, reason: &str| Err(RestoreError::new(ErrorKind::Usage, "combine", what, reason));
    if single && options.split != Split::Tablet {
        return refused("--split with one file", "only a directory can have several");
    }
    if options.shard.is_some() && options.limit.is_some() {
        return refused("--shard with --limit", "no shard knows how many rows the others have");
    }
    Ok(())
}

fn identify(plan: &mut Result<TablePlan, Box<Refused>>, options: &ExportOptions) {
    if let Ok(table) = plan
        && let Err(error) = table.identify(options)
    {
        *plan = Err(Box::new(Refused { name: table.name.clone(), kind: table.kind, error }));
    }
}

/// One table, from its plan to its report; true if the reader of a pipe went away.
fn run_table(
    plan: Result<TablePlan, Box<Refused>>,
    target: &mut Option<Target>,
    options: &ExportOptions,
    job: &Job<'_>,
) -> (TableReport, bool) {
    let (begun, mut unread) = (Instant::now(), false);
    let (name, kind) = match &plan {
        Ok(plan) => (plan.name.clone(), plan.kind),
        Err(refused) => (refused.name.clone(), refused.kind),
    };
    let mut report = TableReport::new(&name, None, kind, TableStatus::Exported);
    let result = plan.map_err(|refused| refused.error).and_then(|plan| {
        job.check(&plan.name)?;
        report.partitions = plan.partitions;
        write(&plan, target, options, job)
    });
    match result {
        Ok(written) => {
            (report.files, report.bytes, report.reused_files) = (written.files, written.bytes, written.reused_files);
            report.rows = Some(written.rows);
            report.scan = options.condition.as_ref().map(|_| ScanReport::from(&written.scan));
            if written.missing_shards > 0 {
                let left = written.missing_shards;
                report.notes.push(format!("this part is done; the table appears when the other {left} are"));
            }
        }
        Err(error) if closed(&error) => {
            unread = true;
            report.notes.push("the reader of the output went away".into());
        }
        Err(error) => {
            let interrupted = error.kind == ErrorKind::Interrupted;
            report.status = if interrupted { TableStatus::Interrupted } else { TableStatus::Failed };
            report.problems = vec![error.to_string()];
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    (report, unread)
}

/// True when nobody reads a pipe any more, which is no failure: `… | head`.
fn closed(error: &RestoreError) -> bool {
    let cause = error.source.as_ref().and_then(|source| source.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn write(plan: &TablePlan, target: &mut Option<Target>, options: &ExportOptions, job: &Job<'_>) -> Result<Written> {
    match target {
        Some(Target::Directory(dir)) if !plan.alone || options.split != Split::Tablet || options.shard.is_some() => {
            output::directory(plan, dir, options, job)
        }
        Some(Target::Directory(dir)) => {
            std::fs::create_dir_all(&*dir).map_err(|error| RestoreError::io("make", dir, error))?;
            let file = dir.join(format!("{}.{}", plan.name, options.format.extension()));
            one_file(plan, &file, options, job).map_err(from_the_beginning)
        }
        Some(Target::File(path)) => one_file(plan, path, options, job).map_err(from_the_beginning),
        _ => {
            // There is one table, so that it is there.
            let (out, shown): (Box<dyn Write + Send>, _) = match target.take() {
                Some(Target::Stream(out)) => (out, "standard output".to_owned()),
                Some(Target::Pipe(file, path)) => (Box::new(file), path.display().to_string()),
                _ => return Err(RestoreError::new(ErrorKind::Io, "write", &plan.name, "the output is used up")),
            };
            let written = single::write(plan, Counter::new(out), true, &shown, options, job);
            let (out, done) = written.map_err(from_the_beginning)?;
            Ok(Written { files: 1, bytes: out.bytes, ..done })
        }
    }
}

/// Of one file for all rows nothing is kept.
fn from_the_beginning(error: RestoreError) -> RestoreError {
    match error.kind {
        ErrorKind::NoSpace => error.advise("free some space and run the same command again"),
        _ => error,
    }
}

fn one_file(plan: &TablePlan, file: &Path, options: &ExportOptions, job: &Job<'_>) -> Result<Written> {
    let single = SingleFile::create(file)?;
    let shown = file.display().to_string();
    let out = Counter::new(single.writer()?);
    let (out, done) = single::write(plan, out, false, &shown, options, job)?;
    let bytes = out.bytes;
    drop(out);
    single.finish()?;
    Ok(Written { files: 1, bytes, ..done })
}

/// The first `rows` rows of a batch.
fn at_most(batch: RecordBatch, rows: Option<u64>) -> RecordBatch {
    match rows.and_then(|rows| usize::try_from(rows).ok()) {
        Some(rows) if rows < batch.num_rows() => batch.slice(0, rows),
        _ => batch,
    }
}
