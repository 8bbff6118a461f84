//! The prompt: a statement may take several lines, and ends with `;` or `\G`.

use super::history::History;
use super::{parse, print, render, run};
use crate::cli::Globals;
use crate::failure::{self, Outcome};
use crate::logging;
use anyhow::Context as _;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use starsnap_restore::Cancel;
use starsnap_restore::error::exit;
use starsnap_restore::session::Session;
use starsnap_restore::statement;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
CREATE [READ ONLY] REPOSITORY name WITH BROKER ON LOCATION \"…\" PROPERTIES (…);   SHOW REPOSITORIES;   DROP REPOSITORY name;
SHOW SNAPSHOT ON repository [WHERE SNAPSHOT = \"label\" [AND TIMESTAMP = \"…\"]];
BACKUP SNAPSHOT database.label TO repository [ON (table [PARTITION (p, …)], …)];   SHOW BACKUP;   CANCEL BACKUP FROM database;
RESTORE SNAPSHOT database.label FROM repository [ON (table [PARTITION (p, …)] [AS alias], …)] PROPERTIES (\"backup_timestamp\" = \"…\");
SHOW RESTORE;   CANCEL RESTORE FROM database;   USE database;   SET warehouse = 'DIR';   quit
A statement ends with ; or with \\G, which prints its rows one below the other.";

/// Reads statements and runs them until the end of the input. What fails is said, and the next statement is read.
pub async fn prompt(mut session: Session, globals: &Globals) -> anyhow::Result<Outcome> {
    let mut editor = DefaultEditor::new().context("cannot use the terminal")?;
    let history = History::of_user();
    for entry in history.entries() {
        editor.add_history_entry(entry)?;
    }
    let signals = Signals::start()?;
    let mut text = String::new();
    loop {
        let line = match editor.readline(if text.is_empty() { "starsnap> " } else { "       -> " }) {
            Ok(line) => line,
            // Ctrl-C drops what was typed.
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(Outcome::Done),
            Err(error) => return Err(error).context("cannot read from the terminal"),
        };
        if text.is_empty() {
            match line.trim().trim_end_matches(';').to_ascii_lowercase().as_str() {
                "" => continue,
                "quit" | "exit" | "\\q" => return Ok(Outcome::Done),
                "help" | "\\h" | "?" => {
                    println!("{HELP}");
                    continue;
                }
                _ => {}
            }
        } else {
            text.push('\n');
        }
        text.push_str(&line);
        if statement::is_unfinished(&text) {
            continue;
        }
        let entry = std::mem::take(&mut text);
        if history.add(&entry) {
            editor.add_history_entry(&entry)?;
        }
        if let Err(error) = answer(&mut session, &entry, globals, &signals).await {
            logging::line(&format!("error: {}", failure::describe(&error)));
        }
    }
}

async fn answer(session: &mut Session, text: &str, globals: &Globals, signals: &Signals) -> anyhow::Result<()> {
    for located in parse(text)? {
        let begun = Instant::now();
        let answer = run(session, &located.statement, globals, signals.next()).await;
        signals.done();
        let answer = answer.with_context(|| format!("line {}, column {}", located.line, located.column))?;
        match globals.json {
            true => println!("{}", render::json(&located, &answer)?),
            false => print(&answer, located.vertical, begun.elapsed(), globals)?,
        }
    }
    Ok(())
}

/// Signals stop the statement that runs; without one, or when it has been told before, the program.
struct Signals(Arc<Mutex<Option<Cancel>>>);

impl Signals {
    fn start() -> anyhow::Result<Signals> {
        let current = Arc::new(Mutex::new(None::<Cancel>));
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let (mut signals, current) = (signal(kind)?, current.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    match &*current.lock().unwrap_or_else(PoisonError::into_inner) {
                        Some(cancel) if !cancel.is_cancelled() => cancel.cancel(),
                        _ => std::process::exit(exit::INTERRUPTED.into()),
                    }
                }
            });
        }
        Ok(Signals(current))
    }

    fn next(&self) -> Cancel {
        let cancel = Cancel::default();
        self.set(Some(cancel.clone()));
        cancel
    }

    fn done(&self) {
        self.set(None);
    }

    fn set(&self, cancel: Option<Cancel>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cancel;
    }
}
