//! Writing a file: under a temporary name where the store renames in one step.

use super::super::Writer;
use super::super::path::part_of;
use super::failed;
use crate::error::{ErrorKind, RepositoryError, Result};
use async_trait::async_trait;
use bytes::Bytes;
use opendal::Operator;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that is being written.
pub(super) struct ObjectWriter {
    /// None once finished, failed or given up.
    inner: Option<opendal::Writer>,
    operator: Operator,
    part: String,
    path: String,
    written: u64,
}

impl ObjectWriter {
    pub fn new(inner: opendal::Writer, operator: Operator, part: String, path: String) -> ObjectWriter {
        ObjectWriter { inner: Some(inner), operator, part, path, written: 0 }
    }

    /// Whether the file stands although closing failed: when the answer to the request that completes it was lost, the next attempt finds
    /// nothing left to complete.
    async fn stands(&self, error: &opendal::Error) -> bool {
        let lost = error.kind() == opendal::ErrorKind::NotFound && self.part == self.path;
        lost && self.operator.stat(&self.path).await.is_ok_and(|found| found.content_length() == self.written)
    }
}

/// A temporary name that no other writer of this process has: one that was dropped is cleared away while the next may already write.
pub(super) fn own_part_of(path: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let part = part_of(path);
    format!("{}.{}-{number}.part", part.strip_suffix(".part").unwrap_or(&part), std::process::id())
}

/// Gives up a file: what the store keeps of it, and its temporary name.
async fn give_up(mut inner: opendal::Writer, operator: Operator, part: String, temporary: bool) {
    // Whether or not the store knows how to abort, the reader of the repository never sees the file.
    let _ = inner.abort().await;
    if temporary {
        let _ = operator.delete(&part).await;
    }
}

#[async_trait]
impl Writer for ObjectWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut inner = self.inner.take().ok_or_else(|| finished(&self.path))?;
        let len = bytes.len() as u64;
        match inner.write(bytes).await {
            Ok(()) => {
                self.written += len;
                self.inner = Some(inner);
                Ok(())
            }
            Err(error) => {
                give_up(inner, self.operator.clone(), self.part.clone(), self.part != self.path).await;
                Err(failed("write", &self.path, error))
            }
        }
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let mut inner = self.inner.take().ok_or_else(|| finished(&self.path))?;
        let placed = async {
            inner.close().await?;
            if self.part != self.path {
                self.operator.rename(&self.part, &self.path).await?;
            }
            Ok(())
        };
        match placed.await {
            Ok(()) => Ok(()),
            Err(error) if self.stands(&error).await => Ok(()),
            Err(error) => {
                give_up(inner, self.operator.clone(), self.part.clone(), self.part != self.path).await;
                Err(failed("write", &self.path, error))
            }
        }
    }
}

fn finished(path: &str) -> RepositoryError {
    RepositoryError::new(ErrorKind::Invalid, "write", path, "an earlier write of it failed")
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let (Some(inner), Ok(runtime)) = (self.inner.take(), tokio::runtime::Handle::try_current()) {
            let temporary = self.part != self.path;
            runtime.spawn(give_up(inner, self.operator.clone(), std::mem::take(&mut self.part), temporary));
        }
    }
}
