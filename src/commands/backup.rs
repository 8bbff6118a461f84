//! `starsnap backup`.

use super::{Stop, open_repository, print_notes};
use crate::cli::{BackupArgs, Globals};
use crate::failure::Outcome;
use crate::output::{Output, printable, size};
use crate::progress::{self, count};
use starsnap_restore::backup::{BackupOptions, default_workers};
use starsnap_restore::restore::TableChoice;
use starsnap_restore::{ErrorKind, RestoreError};
use std::num::NonZeroUsize;

/// Backs up, and says what was written.
pub async fn backup(args: BackupArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let given = &args.repository.repository;
    let access = super::access(args.repository.repository_name.as_deref(), globals);
    if access.registered(given)?.is_some_and(|registered| registered.read_only) {
        return Err(RestoreError::new(ErrorKind::Usage, "back up to", given, "it was created READ ONLY").into());
    }
    let repository = open_repository(given, args.repository.repository_name.as_deref(), globals).await?;
    let speed = args.speed.or(args.upload.upload_worker_count, args.upload.max_upload_speed_kbps);
    let workers = speed.workers.map_or_else(|| default_workers(&repository), NonZeroUsize::get);
    let tables = args.tables.into_iter().map(|name| TableChoice { name, ..TableChoice::default() });
    let options = BackupOptions {
        repository,
        label: args.label,
        warehouse: args.warehouse,
        database: args.database,
        tables: tables.collect(),
        partitions: args.partitions,
        workers,
        max_speed_bytes_per_second: speed.max_speed,
    };
    let report = starsnap_restore::backup::backup(options, progress::listener(globals), stop.cancel()).await?;
    let mut out = Output::stdout();
    match (globals.json, globals.quiet) {
        (true, _) => out.json(&report)?,
        (false, true) => {}
        (false, false) => {
            out.line(&format!(
                "backed up {} of {} into {}@{}: {}, {} ({} there already), {:.1} s",
                count(report.tables.len() as u64, "object"),
                printable(&report.database),
                printable(&report.label),
                report.timestamp,
                count(report.files, "file"),
                size(report.bytes),
                report.reused_files,
                report.seconds
            ))?;
            print_notes(&report.notes, globals);
        }
    }
    out.finish()?;
    Ok(Outcome::Done)
}
