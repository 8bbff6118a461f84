//! The log, on standard error: what rooms below report with `tracing`. A progress bar steps aside for it. A mount in the background, which
//! has no standard error, logs to the system's log.

use crate::cli::Globals;
use indicatif::ProgressBar;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing_subscriber::EnvFilter;
pub use tracing_subscriber::filter::LevelFilter;

/// The bar that is drawn, if any.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Starts the log: `usual` or what `-q`, `-v` and RUST_LOG ask for.
pub fn start(globals: &Globals, usual: LevelFilter) {
    let level = match (globals.quiet, globals.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => usual,
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

/// Draws `bar`; lines written with [`line()`] and the log go above it. `None`: no bar any more.
pub fn set_bar(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Writes a line to standard error. A standard error that is gone is nobody's loss.
pub fn line(text: &str) {
    let mut line = text.to_owned();
    line.push('\n');
    let _ = Log.write_all(line.as_bytes());
}

/// The system's log, once the process has gone to the background.
static SYSLOG: OnceLock<UnixDatagram> = OnceLock::new();

/// From now on the log goes to the system's log, if there is one.
pub fn to_syslog() {
    let connect = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect("/dev/log")?;
        socket.set_nonblocking(true).map(|()| socket)
    };
    // A system without a log gets none: the mount works all the same.
    let socket: io::Result<UnixDatagram> = connect();
    if let Ok(socket) = socket {
        let _ = SYSLOG.set(socket);
    }
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(syslog) = SYSLOG.get() {
            // 28: a daemon's warning, in the form that every syslog takes. A log that is full or gone must not stop the mount.
            let message = [format!("<28>starsnap[{}]: ", std::process::id()).as_bytes(), bytes].concat();
            let _ = syslog.send(&message);
            return Ok(bytes.len());
        }
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
