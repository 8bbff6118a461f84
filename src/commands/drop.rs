//! `starsnap drop`.

use super::{Stop, open_repository};
use crate::cli::{DropArgs, Globals};
use crate::failure::Outcome;
use crate::logging;
use crate::output::{Output, printable, size};
use crate::progress::count;
use starsnap_restore::drop::{DropJob, DropReport};
use starsnap_restore::{ErrorKind, RestoreError};
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Drops a snapshot, once the user has said so.
pub async fn drop_snapshot(args: DropArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let given = &args.repository.repository;
    let name = args.repository.repository_name.as_deref();
    if super::access(name, globals).registered(given)?.is_some_and(|registered| registered.read_only) {
        return Err(RestoreError::new(ErrorKind::Usage, "drop from", given, "it was created READ ONLY").into());
    }
    let repository = open_repository(given, name, globals).await?;
    let (label, timestamp) = match args.snapshot.rsplit_once('@') {
        Some((label, timestamp)) => (label, Some(timestamp)),
        None => (args.snapshot.as_str(), None),
    };
    let job = DropJob::find(&repository, label, timestamp, args.unfinished).await?;
    let found = job.report();
    if !args.dry_run && !args.yes {
        confirm(&found)?;
    }
    let report = if args.dry_run { found } else { job.run(args.speed.workers(), stop.cancel()).await? };
    let mut out = Output::stdout();
    match (globals.json, globals.quiet) {
        (true, _) => out.json(&report)?,
        (false, true) => {}
        (false, false) => {
            let verb = if report.dry_run { "would drop" } else { "dropped" };
            out.line(&format!("{verb} {}", what(&report)))?;
        }
    }
    out.finish()?;
    for path in &report.left {
        logging::line(&format!("starsnap: {} is not of a backup's making, and stays", printable(path)));
    }
    Ok(Outcome::Job(report.status))
}

/// `sr_hub_full (2024-08-14-16-20-31-129) of repository hub_repo: 229 files, 947.6 KiB`.
fn what(report: &DropReport) -> String {
    let timestamps = match report.timestamps.as_slice() {
        [] => "not completed".to_owned(),
        timestamps => timestamps.join(", "),
    };
    let label = printable(&report.label);
    let repository = printable(&report.repository);
    let files = count(report.files, "file");
    format!("{label} ({}) of repository {repository}: {files}, {}", printable(&timestamps), size(report.bytes))
}

/// Asks for the label; there is no way back.
fn confirm(report: &DropReport) -> anyhow::Result<()> {
    let refused = |reason: &str| RestoreError::new(ErrorKind::Usage, "drop snapshot", &report.label, reason);
    if !std::io::stdin().is_terminal() {
        let reason = "it cannot be had back, and nobody is there to be asked";
        return Err(refused(reason).advise("--dry-run shows what would go; --yes drops it").into());
    }
    eprint!("This drops {}. It cannot be had back.\nType the label to go on: ", what(report));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim_end_matches(['\r', '\n']) == report.label {
        return Ok(());
    }
    Err(refused("the answer was not its label: nothing was dropped").into())
}
