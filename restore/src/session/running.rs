//! Runs a job under its database's lock, tells of it, and stops it when its time is up or another process says so.

use super::jobs::{Held, Jobs, Kind, Record, State};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::progress::{Cancel, Progress};
use crate::report::TableReport;
use crate::time::now;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a running job looks for a CANCEL.
const LOOK: Duration = Duration::from_millis(200);
/// How often a running job tells of itself.
const TELL: Duration = Duration::from_secs(1);

/// Why a job was told to stop, when not by its own user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Not,
    ByStatement,
    TimedOut,
}

/// Runs `work` as the job that `record` describes. `ended` tells what was wrong with what it gives back; empty: nothing.
pub(super) async fn run<T, W: Future<Output = Result<T>>>(
    jobs: &Jobs,
    mut record: Record,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
    work: impl FnOnce(Arc<dyn Progress>, Cancel) -> W,
    ended: impl Fn(&T) -> String,
) -> Result<T> {
    let held = jobs.begin(&record).await?;
    held.write(&record)?;
    let listener = Arc::new(Listener::new(progress));
    let working = work(listener.clone(), cancel.clone());
    let (result, stopped) = attend(working, &held, &mut record, &listener, &cancel).await;
    let result = match (stopped, result) {
        (Stopped::Not, result) => result,
        // What was done before it could be stopped is done.
        (_, Ok(done)) if ended(&done).is_empty() => Ok(done),
        (stopped, _) => Err(why(stopped, &record)),
    };
    listener.note(&mut record);
    record.problem = match &result {
        Ok(done) => ended(done),
        Err(error) => error.to_string(),
    };
    record.state = if record.problem.is_empty() { State::Finished } else { State::Cancelled };
    record.finished = Some(now());
    // What was done is done, whether it can be written down or not.
    if let Err(error) = held.write(&record) {
        tracing::warn!("{error}: SHOW does not tell how the job ended");
    }
    result
}

/// Waits for the work, and looks after it meanwhile.
async fn attend<T>(
    work: impl Future<Output = T>,
    held: &Held,
    record: &mut Record,
    listener: &Listener,
    cancel: &Cancel,
) -> (T, Stopped) {
    let until = Instant::now() + Duration::from_secs(record.timeout);
    let mut stopped = Stopped::Not;
    let mut told = Instant::now();
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return (result, stopped),
            () = tokio::time::sleep(LOOK) => {}
        }
        if stopped == Stopped::Not && !cancel.is_cancelled() {
            if held.is_cancelled(record.id) {
                stopped = Stopped::ByStatement;
            } else if Instant::now() >= until {
                stopped = Stopped::TimedOut;
            }
            if stopped != Stopped::Not {
                cancel.cancel();
            }
        }
        let was = record.state;
        listener.note(record);
        if record.state != was || told.elapsed() >= TELL {
            told = Instant::now();
            if let Err(error) = held.write(record) {
                tracing::warn!("{error}");
            }
        }
    }
}

fn why(stopped: Stopped, record: &Record) -> RestoreError {
    let (action, word) = match record.kind {
        Kind::Backup => ("back up", "CANCEL BACKUP"),
        Kind::Restore => ("restore", "CANCEL RESTORE"),
    };
    let (kind, reason) = match stopped {
        Stopped::TimedOut => {
            (ErrorKind::Unavailable, format!("it took longer than its timeout of {} s", record.timeout))
        }
        _ => (ErrorKind::Interrupted, format!("another session said {word}")),
    };
    RestoreError::new(kind, action, format!("snapshot {}", record.label), reason)
        .advise("run the same statement again: it goes on where it stopped")
}

/// Counts for the record what it passes on.
struct Listener {
    inner: Arc<dyn Progress>,
    files: AtomicU64,
    done: AtomicU64,
    /// 0: not yet.
    prepared: AtomicI64,
    transferred: AtomicI64,
}

impl Listener {
    fn new(inner: Arc<dyn Progress>) -> Listener {
        Listener {
            inner,
            files: AtomicU64::new(0),
            done: AtomicU64::new(0),
            prepared: AtomicI64::new(0),
            transferred: AtomicI64::new(0),
        }
    }

    fn note(&self, record: &mut Record) {
        let time = |at: &AtomicI64| Some(at.load(Ordering::Relaxed)).filter(|at| *at > 0);
        record.prepared = time(&self.prepared);
        record.transferred = time(&self.transferred);
        record.files = self.files.load(Ordering::Relaxed);
        record.files_done = self.done.load(Ordering::Relaxed);
        if record.prepared.is_some() {
            record.state = if record.kind == Kind::Backup { State::Uploading } else { State::Downloading };
        }
    }

    fn check_done(&self) {
        if self.done.load(Ordering::Relaxed) >= self.files.load(Ordering::Relaxed) {
            self.transferred.store(now(), Ordering::Relaxed);
        }
    }
}

impl Progress for Listener {
    fn started(&self, files: u64, bytes: u64) {
        self.files.store(files, Ordering::Relaxed);
        self.prepared.store(now(), Ordering::Relaxed);
        self.check_done();
        self.inner.started(files, bytes);
    }

    fn advanced(&self, bytes: u64) {
        self.inner.advanced(bytes);
    }

    fn file_done(&self, table: &str, path: &str) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.check_done();
        self.inner.file_done(table, path);
    }

    fn table_done(&self, table: &TableReport) {
        self.inner.table_done(table);
    }

    fn message(&self, text: &str) {
        self.inner.message(text);
    }
}
