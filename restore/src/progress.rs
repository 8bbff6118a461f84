//! What a job tells while it runs, and how it is stopped.

use crate::report::TableReport;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Listens to a job. Called from several threads; must not block.
pub trait Progress: Send + Sync {
    /// The work is known: files and bytes to transfer, without those that an interrupted run has already finished.
    fn started(&self, files: u64, bytes: u64) {
        let _ = (files, bytes);
    }

    /// The work is known: files and bytes to read, of a job that only looks.
    fn reading(&self, files: u64, bytes: u64) {
        let _ = (files, bytes);
    }

    /// The work is known: tablets whose rows are read, and the bytes of their files.
    fn decoding(&self, tablets: u64, bytes: u64) {
        let _ = (tablets, bytes);
    }

    /// So many more bytes are transferred.
    fn advanced(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A file is finished: durable, md5 right. `path` is below the table's directory.
    fn file_done(&self, table: &str, path: &str) {
        let _ = (table, path);
    }

    /// A table (materialized view, view, …) is finished, one way or the other.
    fn table_done(&self, table: &TableReport) {
        let _ = table;
    }

    /// A sentence for the user.
    fn message(&self, text: &str) {
        let _ = text;
    }
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

/// Stops a job: its clones share one switch. A stopped job keeps what it has staged.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopped: AtomicBool,
    wake: Notify,
}

impl Cancel {
    /// Stops the job.
    pub fn cancel(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        self.0.wake.notify_waiters();
    }

    /// True after [`Cancel::cancel`].
    pub fn is_cancelled(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Returns when stopped.
    pub async fn cancelled(&self) {
        let woken = self.0.wake.notified();
        tokio::pin!(woken);
        // Registered before the look at the switch, so that no stop falls between.
        woken.as_mut().enable();
        if !self.is_cancelled() {
            woken.await;
        }
    }
}
