//! The log, on standard error: what rooms below report with `tracing`. A progress bar steps aside for it.

use crate::cli::Globals;
use indicatif::ProgressBar;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The bar that is drawn, if any.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Starts the log: warnings, or what `-v` and RUST_LOG ask for.
pub fn start(globals: &Globals) {
    let level = match (globals.quiet, globals.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Log)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_target(false)
        .try_init();
    // Only a second start in one process fails, and then the first one's log serves.
    drop(started);
}

/// Draws `bar`; lines written with [`line`] and the log go above it. `None`: no bar any more.
pub fn set_bar(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Writes a line to standard error. A standard error that is gone is nobody's loss.
pub fn line(text: &str) {
    let mut line = text.to_owned();
    line.push('\n');
    let _ = Log.write_all(line.as_bytes());
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().write_all(bytes))?,
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
