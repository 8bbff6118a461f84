//! `starsnap snapshots`.

use super::open_repository;
use crate::cli::{Globals, SnapshotsArgs};
use crate::failure::Outcome;
use crate::output::{Align, Output, printable, size, span, table};
use crate::progress::count;
use serde::Serialize;
use starsnap_repository::Repository;
use starsnap_restore::survey::{self, SnapshotStatus, SnapshotSummary};
use starsnap_restore::{ErrorKind, RestoreError};
use std::time::{Duration, SystemTime};

#[derive(Serialize)]
struct Listing<'a> {
    repository: &'a str,
    location: String,
    created: &'a str,
    /// What is wrong with the repository itself.
    problems: &'a [String],
    snapshots: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    summary: &'a SnapshotSummary,
    age_seconds: Option<u64>,
}

/// How many problems of a snapshot people are shown.
const SHOWN_PROBLEMS: usize = 5;

/// Lists snapshots, broken ones with why.
pub async fn snapshots(args: &SnapshotsArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let repository =
        open_repository(&args.repository.repository, args.repository.repository_name.as_deref(), globals).await?;
    let mut found = survey::snapshots(&repository).await?;
    if let Some(label) = &args.label {
        found.retain(|snapshot| snapshot.label == *label);
        if found.is_empty() {
            return Err(no_such_label(label, &repository).into());
        }
    }
    let mut out = Output::stdout();
    match globals.json {
        true => out.json(&listing(&repository, &found))?,
        false => people(&repository, &found, &mut out)?,
    }
    out.finish()?;
    Ok(Outcome::Done)
}

fn no_such_label(label: &str, repository: &Repository) -> RestoreError {
    let reason = format!("repository {} has no such label", repository.name());
    RestoreError::new(ErrorKind::NotFound, "list snapshot", label, reason)
        .advise("`starsnap snapshots` without a label lists all")
}

fn listing<'a>(repository: &'a Repository, found: &'a [SnapshotSummary]) -> Listing<'a> {
    let now = SystemTime::now();
    Listing {
        repository: repository.name(),
        location: repository.storage().describe(),
        created: repository.create_time(),
        problems: repository.problems(),
        snapshots: found.iter().map(|summary| Line { summary, age_seconds: summary.age_seconds(now) }).collect(),
    }
}

fn people(repository: &Repository, found: &[SnapshotSummary], out: &mut Output) -> anyhow::Result<()> {
    if found.is_empty() {
        out.line(&format!("repository {} holds no snapshots", printable(repository.name())))?;
        return Ok(());
    }
    const COLUMNS: [(&str, Align); 10] = [
        ("SNAPSHOT", Align::Left),
        ("TIMESTAMP", Align::Left),
        ("DATABASE", Align::Left),
        ("TABLES", Align::Right),
        ("PARTITIONS", Align::Right),
        ("TABLETS", Align::Right),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("AGE", Align::Right),
        ("STATUS", Align::Left),
    ];
    let now = SystemTime::now();
    let mut rows = vec![COLUMNS.map(|(heading, _)| heading.to_owned()).to_vec()];
    rows.extend(found.iter().map(|snapshot| row(snapshot, now)));
    out.raw(table(&COLUMNS.map(|(_, align)| align), &rows).as_bytes())?;
    for snapshot in found {
        let timestamp = snapshot.timestamp.as_deref().unwrap_or(starsnap_repository::repository::INCOMPLETE);
        let name = printable(&format!("{}@{timestamp}", snapshot.label));
        for problem in snapshot.problems.iter().take(SHOWN_PROBLEMS) {
            out.line(&format!("{name}: {}", printable(problem)))?;
        }
        let more = snapshot.problems.len().saturating_sub(SHOWN_PROBLEMS);
        if more > 0 {
            out.line(&format!("{name}: {} (--json shows all)", count(more as u64, "more problem")))?;
        }
    }
    Ok(())
}

fn row(snapshot: &SnapshotSummary, now: SystemTime) -> Vec<String> {
    let status = match snapshot.status {
        SnapshotStatus::Ok => "OK",
        SnapshotStatus::Incomplete => "INCOMPLETE",
        SnapshotStatus::Broken => "BROKEN",
    };
    let tables = snapshot.tables + snapshot.materialized_views + snapshot.views;
    vec![
        printable(&snapshot.label),
        printable(snapshot.timestamp.as_deref().unwrap_or("-")),
        if snapshot.database.is_empty() { "-".to_owned() } else { printable(&snapshot.database) },
        tables.to_string(),
        snapshot.partitions.to_string(),
        snapshot.tablets.to_string(),
        snapshot.files.to_string(),
        size(snapshot.bytes),
        snapshot.age_seconds(now).map_or("-".to_owned(), |age| span(Duration::from_secs(age))),
        status.to_owned(),
    ]
}
