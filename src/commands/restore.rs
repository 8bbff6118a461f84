//! `starsnap restore`.

use super::{Stop, open_repository, print_notes};
use crate::cli::{Globals, RestoreArgs};
use crate::failure::Outcome;
use crate::output::{Output, size};
use crate::progress::{self, count};
use starsnap_repository::Repository;
use starsnap_restore::report::{JobStatus, RestoreReport, TableStatus};
use starsnap_restore::restore::{RestoreOptions, TableChoice, default_workers};
use starsnap_restore::source::Source;
use starsnap_restore::{ErrorKind, RestoreError};
use std::num::NonZeroUsize;
use std::path::Path;

/// Restores, and says what was restored.
pub async fn restore(args: RestoreArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let source = source(&args, globals).await?;
    let speed = args.speed.or(args.download.download_worker_count, args.download.max_download_speed_kbps);
    let workers = speed.workers.map_or_else(|| default_workers(&source), NonZeroUsize::get);
    let tables = args.tables.iter().map(|table| TableChoice {
        name: table.name.clone(),
        alias: table.alias.clone(),
        partitions: Vec::new(),
    });
    let options = RestoreOptions {
        source,
        tables: tables.collect(),
        partitions: args.partitions,
        warehouse: args.warehouse,
        database: args.database,
        workers,
        max_speed_bytes_per_second: speed.max_speed,
        recheck: args.recheck,
    };
    let report = starsnap_restore::restore::restore(options, progress::listener(globals), stop.cancel()).await?;
    print(&report, globals)?;
    Ok(Outcome::Job(report.status))
}

/// The snapshot of a repository, or the directory.
async fn source(args: &RestoreArgs, globals: &Globals) -> anyhow::Result<Source> {
    if let Some(snapshot) = &args.snapshot {
        let repository = open_repository(&args.source, args.repository_name.as_deref(), globals).await?;
        let (label, timestamp) = match snapshot.rsplit_once('@') {
            Some((label, timestamp)) => (label, Some(timestamp)),
            None => (snapshot.as_str(), None),
        };
        let cache = super::index_cache(globals);
        return Ok(Source::repository(&repository, label, timestamp, cache.as_ref()).await?);
    }
    // A repository alone is easily given by mistake, and looks like an empty directory to the library.
    let access = super::access(None, globals);
    let location = access.location(&args.source)?;
    let is_repository = access.registered(&args.source)?.is_some()
        || location.path().is_none()
        || Repository::find(&location).await.is_ok_and(|found| !found.is_empty());
    if is_repository {
        let reason = "it is a repository, which may hold many snapshots";
        let advice = format!("add the snapshot's label; `starsnap snapshots {}` lists them", args.source);
        return Err(RestoreError::new(ErrorKind::Usage, "restore from", &args.source, reason).advise(advice).into());
    }
    Ok(Source::directory(Path::new(&args.source))?)
}

fn print(report: &RestoreReport, globals: &Globals) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    if globals.json {
        out.json(report)?;
    } else {
        let failed = |status| matches!(status, TableStatus::Failed | TableStatus::Interrupted);
        let done = report.tables.iter().filter(|table| !failed(table.status)).count();
        if !globals.quiet {
            out.line(&format!(
                "restored {} of {} into {}: {}, {}, {:.1} s",
                done,
                count(report.tables.len() as u64, "object"),
                report.directory.display(),
                count(report.files, "file"),
                size(report.bytes),
                report.seconds
            ))?;
        }
        print_notes(&report.notes, globals);
    }
    // Progress lines name the problems of each table; without them they must be said here.
    if globals.quiet {
        super::print_problems(&report.tables);
    }
    if report.status == JobStatus::Interrupted {
        crate::logging::line("starsnap: interrupted; the same command goes on where this one stopped");
    }
    Ok(out.finish()?)
}
