//! A store that keeps to limits: what is read comes in pieces that each wait for their slot, and what is written goes in such pieces.

use super::Limiter;
use crate::error::Result;
use crate::storage::{Entry, Storage, Writer};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// `storage` with its reads and its writes held back. Copies within the store are not, nor what is read past it from local disk.
pub(crate) fn limited(
    storage: &Arc<dyn Storage>,
    download: Option<Arc<Limiter>>,
    upload: Option<Arc<Limiter>>,
) -> Arc<dyn Storage> {
    let set = |limiter: Option<Arc<Limiter>>| limiter.filter(|limiter| limiter.is_limited());
    let (download, mut upload) = (set(download), set(upload));
    // Stores that gather what is written and send much at once hold it back where it leaves.
    let itself = upload.as_ref().and_then(|limiter| storage.limiting_uploads(limiter));
    if itself.is_some() {
        upload = None;
    }
    let inner = itself.unwrap_or_else(|| Arc::clone(storage));
    match (&download, &upload) {
        (None, None) => inner,
        _ => Arc::new(Limited { inner, download, upload }),
    }
}

#[derive(Debug)]
struct Limited {
    inner: Arc<dyn Storage>,
    download: Option<Arc<Limiter>>,
    upload: Option<Arc<Limiter>>,
}

#[async_trait]
impl Storage for Limited {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn identity(&self) -> String {
        self.inner.identity()
    }

    fn note(&self) -> Option<String> {
        self.inner.note()
    }

    async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.inner.list(dir).await
    }

    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>> {
        self.inner.list_recursive(dir).await
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        self.inner.stat(path).await
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let Some(limiter) = self.download.as_ref().filter(|_| range.start < range.end) else {
            return self.inner.read(path, range).await;
        };
        let mut whole = BytesMut::new();
        let mut at = range.start;
        loop {
            let end = range.end.min(at.saturating_add(limiter.piece()));
            limiter.wait(end - at).await;
            let piece = self.inner.read(path, at..end).await?;
            if at == range.start && end == range.end {
                return Ok(piece);
            }
            whole.extend_from_slice(&piece);
            if end == range.end {
                return Ok(whole.freeze());
            }
            at = end;
        }
    }

    async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
        let bytes = self.inner.read_all(path, limit).await?;
        if let Some(limiter) = &self.download {
            // Small by their nature; what comes next pays for them.
            limiter.wait(bytes.len() as u64).await;
        }
        Ok(bytes)
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>> {
        let inner = self.inner.writer(path).await?;
        Ok(match &self.upload {
            None => inner,
            Some(limiter) => Box::new(LimitedWriter { inner, limiter: Arc::clone(limiter) }),
        })
    }

    async fn copy(&self, from: &str, to: &str) -> Result<()> {
        self.inner.copy(from, to).await
    }

    fn copies_cheaply(&self) -> bool {
        self.inner.copies_cheaply()
    }

    fn write_attempts(&self, size: u64) -> u32 {
        self.inner.write_attempts(size)
    }

    fn in_batches(&self) -> Option<Arc<dyn Storage>> {
        let inner = self.inner.in_batches()?;
        Some(Arc::new(Limited { inner, download: self.download.clone(), upload: self.upload.clone() }))
    }

    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }

    fn writers(&self) -> Option<usize> {
        self.inner.writers()
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path).await
    }

    async fn remove_directory(&self, path: &str) -> Result<bool> {
        self.inner.remove_directory(path).await
    }

    fn local_file(&self, path: &str) -> Option<Result<File>> {
        self.inner.local_file(path)
    }
}

struct LimitedWriter {
    inner: Box<dyn Writer>,
    limiter: Arc<Limiter>,
}

#[async_trait]
impl Writer for LimitedWriter {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let most = usize::try_from(self.limiter.piece()).unwrap_or(usize::MAX);
            let piece = bytes.split_to(most.min(bytes.len()));
            self.limiter.wait(piece.len() as u64).await;
            self.inner.write(piece).await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.inner.finish().await
    }
}
