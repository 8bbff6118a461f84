//! `starsnap sql`: statements from the command line, a file, standard input or a prompt.

mod history;
mod prompt;
mod render;
mod secret;

use super::{Stop, index_cache, print_notes, print_problems, wait};
use crate::cli::{Globals, SqlArgs};
use crate::failure::Outcome;
use crate::output::{Output, printable};
use crate::progress;
use anyhow::Context as _;
use starsnap_restore::registry::Registry;
use starsnap_restore::report::JobStatus;
use starsnap_restore::session::{Answer, Jobs, Session, Setup};
use starsnap_restore::statement::{self, Located, Statement};
use starsnap_restore::{Cancel, ErrorKind, RestoreError};
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs statements: all are parsed before the first one runs, and the first that fails is the last.
pub fn sql(args: SqlArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let (name, text) = match (&args.execute, &args.file) {
        (Some(text), _) => (None, secret::hidden(text, globals.quiet)?),
        (None, Some(file)) if file.as_os_str() != "-" => (Some(file.display().to_string()), read(file)?),
        (None, None) if std::io::stdin().is_terminal() => {
            return wait(prompt::prompt(session(&args, globals)?, globals));
        }
        (None, _) => (None, limited(&mut std::io::stdin(), "standard input")?),
    };
    let statements = match (parse(&text), &name) {
        (Err(error), Some(name)) => return Err(anyhow::Error::new(error).context(name.clone())),
        (parsed, _) => parsed?,
    };
    wait(batch(session(&args, globals)?, statements, name.as_deref(), globals))
}

/// The session that the options ask for.
fn session(args: &SqlArgs, globals: &Globals) -> anyhow::Result<Session> {
    let registry = globals.config.as_ref().map_or_else(Registry::of_user, |file| Ok(Registry::at(file)))?;
    let (jobs, cache) = (Jobs::of_user()?, index_cache(globals));
    let reading = globals.reading.clone();
    let setup = Setup { registry, jobs, warehouse: args.warehouse.clone(), cache, reading };
    Ok(Session::new(setup).using(args.database.clone()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display().to_string();
    let mut file = std::fs::File::open(path).with_context(|| format!("cannot open {shown}"))?;
    limited(&mut file, &shown)
}

fn limited(from: &mut impl std::io::Read, name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let limit = statement::MAX_TEXT as u64 + 1;
    from.take(limit).read_to_string(&mut text).with_context(|| format!("cannot read {name}"))?;
    Ok(text)
}

fn parse(text: &str) -> Result<Vec<Located>, RestoreError> {
    statement::parse_located(text)
        .map_err(|error| RestoreError::new(ErrorKind::Usage, "run", "the statements", error.to_string()))
}

async fn batch(
    mut session: Session,
    statements: Vec<Located>,
    name: Option<&str>,
    globals: &Globals,
) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let mut answers = Vec::new();
    let mut ended = Ok(Outcome::Done);
    for located in statements {
        let begun = Instant::now();
        let place = format!("line {}, column {}", located.line, located.column);
        let place = name.map_or(place.clone(), |name| format!("{name}, {place}"));
        match run(&mut session, &located.statement, globals, stop.cancel()).await {
            Ok(answer) => {
                let status = answer.status();
                if globals.json {
                    answers.push(render::json(&located, &answer)?);
                } else {
                    print(&answer, located.vertical, begun.elapsed(), globals)?;
                }
                if status != JobStatus::Done {
                    ended = Ok(Outcome::Job(status));
                    break;
                }
            }
            Err(error) => {
                ended = Err(anyhow::Error::new(error).context(place));
                break;
            }
        }
    }
    if globals.json {
        let mut out = Output::stdout();
        out.json(&answers)?;
        out.finish()?;
    }
    ended
}

async fn run(
    session: &mut Session,
    statement: &Statement,
    globals: &Globals,
    cancel: Cancel,
) -> Result<Answer, RestoreError> {
    session.run(statement, progress::listener(globals), cancel).await
}

fn print(answer: &Answer, vertical: bool, took: Duration, globals: &Globals) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    if let Some(table) = &answer.table {
        let rows = if vertical { render::vertical(table) } else { render::table(table) };
        out.raw(rows.as_bytes())?;
        if !globals.quiet {
            out.line(&render::footer(table.rows.len(), took))?;
        }
    }
    if let (Some(message), false) = (&answer.message, globals.quiet) {
        out.line(&printable(message))?;
    }
    out.finish()?;
    print_notes(&answer.notes, globals);
    // Progress lines name the problems of each table; without them they must be said here.
    if let (Some(report), true) = (&answer.restore, globals.quiet) {
        print_problems(&report.tables);
    }
    Ok(())
}
