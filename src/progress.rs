//! How a job shows its progress: a bar on a terminal, one line per step otherwise, nothing when quiet. Always on standard error.

use crate::cli::Globals;
use crate::logging;
use crate::output::{printable, size};
use indicatif::{ProgressBar, ProgressStyle};
use starsnap_restore::Progress;
use starsnap_restore::report::{TableReport, TableStatus};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

const BAR: &str =
    "{bar:30} {percent:>3}%  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {eta} left  {msg}";

/// The listener that the options ask for.
pub fn listener(globals: &Globals) -> Arc<dyn Progress> {
    if globals.quiet {
        Arc::new(starsnap_restore::Silent)
    } else if globals.no_progress || !std::io::stderr().is_terminal() {
        Arc::new(Lines)
    } else {
        Arc::new(Bar::new())
    }
}

/// One line per step.
struct Lines;

impl Progress for Lines {
    fn started(&self, files: u64, bytes: u64) {
        logging::line(&format!("{} to transfer, {}", count(files, "file"), size(bytes)));
    }

    fn reading(&self, files: u64, bytes: u64) {
        logging::line(&format!("{} to look at, {}", count(files, "file"), size(bytes)));
    }

    fn decoding(&self, tablets: u64, bytes: u64) {
        logging::line(&format!("{} to read, {}", count(tablets, "tablet"), size(bytes)));
    }

    fn table_done(&self, table: &TableReport) {
        logging::line(&step(table));
    }

    fn message(&self, text: &str) {
        logging::line(&printable(text));
    }
}

/// A bar, and one line per table above it.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        // The template is ours; the default style is what a mistake in it costs.
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar(bar)
    }
}

impl Progress for Bar {
    fn started(&self, _files: u64, bytes: u64) {
        self.0.set_length(bytes);
        self.0.enable_steady_tick(Duration::from_millis(200));
        logging::set_bar(Some(self.0.clone()));
    }

    fn reading(&self, files: u64, bytes: u64) {
        self.started(files, bytes);
    }

    fn decoding(&self, tablets: u64, bytes: u64) {
        self.started(tablets, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn file_done(&self, table: &str, _path: &str) {
        self.0.set_message(printable(table));
    }

    fn table_done(&self, table: &TableReport) {
        logging::line(&step(table));
    }

    fn message(&self, text: &str) {
        logging::line(&printable(text));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        logging::set_bar(None);
        self.0.finish_and_clear();
    }
}

/// What became of one table, in a line; what went wrong with it on lines of their own.
fn step(table: &TableReport) -> String {
    let mut line = format!("{} {}", table.kind.name(), printable(&table.name));
    if let Some(alias) = &table.alias {
        let _ = write!(line, " as {}", printable(alias));
    }
    let _ = write!(line, ": {}", status(table.status));
    if table.files > 0 {
        let _ = write!(
            line,
            ", {}, {}, {}",
            count(table.partitions, "partition"),
            count(table.files, "file"),
            size(table.bytes)
        );
    }
    if let Some(rows) = table.rows {
        let _ = write!(line, ", {}", count(rows, "row"));
    }
    if table.reused_files > 0 {
        let _ = write!(line, ", {} there already", count(table.reused_files, "file"));
    }
    for problem in table.problems.iter().chain(&table.notes) {
        let _ = write!(line, "\n  {}", printable(problem));
    }
    line
}

fn status(status: TableStatus) -> &'static str {
    match status {
        TableStatus::Restored => "restored",
        TableStatus::Replaced => "restored in place of the one that stood there",
        TableStatus::Merged => "partitions restored into the table that stood there",
        TableStatus::BackedUp => "backed up",
        TableStatus::Exported => "exported",
        TableStatus::Failed => "failed",
        TableStatus::Interrupted => "interrupted",
    }
}

/// `1 file`, `2 files`.
pub fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
