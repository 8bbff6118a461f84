//! `starsnap verify`.

use super::{Stop, find_repository};
use crate::cli::{Globals, VerifyArgs};
use crate::failure::Outcome;
use crate::output::{Align, Output, printable, size, table};
use crate::progress::{self, count};
use starsnap_restore::report::JobStatus;
use starsnap_restore::verify::{Health, Level, Looked, Target, VerifyOptions, VerifyReport};
use starsnap_restore::{ErrorKind, RestoreError};
use std::path::Path;

/// Verifies, and says table by table what is healthy.
pub async fn verify(args: VerifyArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let options = VerifyOptions {
        target: target(&args, globals).await?,
        level: args.level.level(),
        tables: args.tables,
        sample: args.sample,
        workers: args.speed.workers(),
        max_speed_bytes_per_second: args.speed.max_speed,
    };
    let report = starsnap_restore::verify::verify(options, progress::listener(globals), stop.cancel()).await?;
    print(&report, globals)?;
    Ok(Outcome::Job(report.status))
}

/// The repository or a snapshot of it; else the directory.
async fn target(args: &VerifyArgs, globals: &Globals) -> anyhow::Result<Target> {
    // What is wrong with it as a whole is in the report.
    let opened = find_repository(&args.source, args.repository_name.as_deref(), globals).await;
    let Some(snapshot) = &args.snapshot else {
        let no_repository = |error: &anyhow::Error| {
            error.downcast_ref::<RestoreError>().is_some_and(|error| error.kind == ErrorKind::NotFound)
        };
        return match opened {
            Err(error) if no_repository(&error) && args.repository_name.is_none() => {
                // Neither: then that there is no repository is what counts.
                Target::directory(Path::new(&args.source)).map_err(|_| error)
            }
            opened => Ok(Target::Repository { repository: opened?, label: None, timestamp: None }),
        };
    };
    let (label, timestamp) = match snapshot.rsplit_once('@') {
        Some((label, timestamp)) => (label, Some(timestamp.to_owned())),
        None => (snapshot.as_str(), None),
    };
    Ok(Target::Repository { repository: opened?, label: Some(label.to_owned()), timestamp })
}

fn print(report: &VerifyReport, globals: &Globals) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    if globals.json {
        out.json(report)?;
    } else if !globals.quiet {
        out.raw(lines(report).as_bytes())?;
        out.line(&summary(report))?;
    }
    // Progress lines name the findings of each table; without them they must be said here.
    if globals.quiet {
        for (snapshot, table, finding) in report.all() {
            let place = [snapshot.as_str(), table].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
            let colon = if place.is_empty() { "" } else { ": " };
            let text = format!("starsnap: {}{colon}{finding}", place.join(": "));
            crate::logging::line(&printable(&text));
        }
    }
    if report.status == JobStatus::Interrupted {
        crate::logging::line("starsnap: interrupted; what was not looked at is not said to be healthy");
    }
    Ok(out.finish()?)
}

/// A line per table.
fn lines(report: &VerifyReport) -> String {
    const COLUMNS: [(&str, Align); 8] = [
        ("SNAPSHOT", Align::Left),
        ("TABLE", Align::Left),
        ("TABLETS", Align::Right),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("PAGES", Align::Right),
        ("ROWS", Align::Right),
        ("STATUS", Align::Left),
    ];
    let mut rows = vec![COLUMNS.map(|(heading, _)| heading.to_owned()).to_vec()];
    for snapshot in &report.snapshots {
        let name = printable(&snapshot.name());
        let own = snapshot.health == Health::Incomplete || !snapshot.findings.is_empty() || snapshot.tables.is_empty();
        if own {
            rows.push(row(&name, "-", &Looked::default(), status(snapshot.health), report.level));
        }
        for table in &snapshot.tables {
            rows.push(row(&name, &printable(&table.name), &table.looked, status(table.health), report.level));
        }
    }
    table(&COLUMNS.map(|(_, align)| align), &rows)
}

/// What a level does not count is no zero.
fn row(snapshot: &str, table: &str, looked: &Looked, status: &str, level: Level) -> Vec<String> {
    let snapshot = if snapshot.is_empty() { "-" } else { snapshot };
    let tablets = match looked.tablets_read == looked.tablets {
        true => looked.tablets.to_string(),
        false => format!("{} of {}", looked.tablets_read, looked.tablets),
    };
    let files = looked.files.to_string();
    let counted = |count: u64, from: Level| if level >= from { count.to_string() } else { "-".to_owned() };
    let (pages, rows) = (counted(looked.pages, Level::Pages), counted(looked.rows, Level::Rows));
    vec![snapshot.into(), table.into(), tablets, files, size(looked.bytes), pages, rows, status.into()]
}

fn status(health: Health) -> &'static str {
    match health {
        Health::Healthy => "HEALTHY",
        Health::Damaged => "DAMAGED",
        Health::Unchecked => "UNCHECKED",
        Health::Incomplete => "INCOMPLETE",
        Health::Interrupted => "INTERRUPTED",
    }
}

fn summary(report: &VerifyReport) -> String {
    let looked = &report.looked;
    let mut text = format!(
        "read {}{} of {}: {}, {}, {:.1} s; {}",
        if report.level == Level::Quick { "the headers of " } else { "" },
        looked.tablets_read,
        count(looked.tablets, "tablet"),
        count(looked.files, "file"),
        size(looked.bytes),
        report.seconds,
        match report.all().count() {
            0 => "nothing is wrong".to_owned(),
            found => count(found as u64, "finding"),
        }
    );
    if looked.files_without_md5 > 0 {
        text += &format!("; no md5 is known of {}", count(looked.files_without_md5, "file"));
    }
    text
}
