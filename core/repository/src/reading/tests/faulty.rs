//! A store in memory that fails on demand.

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::storage::{Entry, Storage, Writer};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// Of a thousand reads, so many fail, or give too few bytes.
    pub fail_permille: u64,
    pub short_permille: u64,
    pub slow_millis: u64,
    pub stall: bool,
}

#[derive(Debug, Default)]
pub struct Faulty {
    files: HashMap<String, Bytes>,
    trouble: Mutex<Trouble>,
    requests: AtomicU64,
    held: AtomicU64,
    most_held: AtomicU64,
}

/// Bytes that are being read.
struct Held<'a>(&'a Faulty, u64);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(self.1, Ordering::SeqCst);
    }
}

impl Faulty {
    pub fn new(files: &[(&str, &[u8])]) -> Arc<Faulty> {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::copy_from_slice(bytes))).collect();
        Arc::new(Faulty { files, ..Faulty::default() })
    }

    pub fn trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Bytes that were being read at once, at most.
    pub fn most_held(&self) -> u64 {
        self.most_held.load(Ordering::SeqCst)
    }

    fn unserved<T>(&self) -> Result<T> {
        Err(RepositoryError::new(ErrorKind::Unsupported, "use", "the test's store", "it only reads"))
    }
}

#[async_trait]
impl Storage for Faulty {
    fn describe(&self) -> String {
        "test".into()
    }

    async fn list(&self, _: &str) -> Result<Vec<Entry>> {
        self.unserved()
    }

    async fn list_recursive(&self, _: &str) -> Result<Vec<Entry>> {
        self.unserved()
    }

    async fn stat(&self, _: &str) -> Result<Entry> {
        self.unserved()
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let length = range.end - range.start;
        let held = self.held.fetch_add(length, Ordering::SeqCst) + length;
        self.most_held.fetch_max(held, Ordering::SeqCst);
        let _held = Held(self, length);
        let trouble = *self.trouble.lock().unwrap();
        if trouble.stall {
            std::future::pending::<()>().await;
        }
        if trouble.slow_millis > 0 {
            tokio::time::sleep(Duration::from_millis(trouble.slow_millis)).await;
        } else {
            tokio::task::yield_now().await;
        }
        let dice = (number + 1).wrapping_mul(2_654_435_761) % 1000;
        if dice < trouble.fail_permille {
            return Err(RepositoryError::new(ErrorKind::Unavailable, "read", path, "the test says so"));
        }
        let whole = self.files.get(path).unwrap();
        if range.end > whole.len() as u64 {
            return Err(RepositoryError::new(ErrorKind::Damaged, "read", path, "it is too short"));
        }
        let mut bytes = whole.slice(range.start as usize..range.end as usize);
        if dice >= 1000 - trouble.short_permille {
            bytes.truncate(bytes.len() / 2);
        }
        Ok(bytes)
    }

    async fn read_all(&self, _: &str, _: u64) -> Result<Bytes> {
        self.unserved()
    }

    async fn writer(&self, _: &str) -> Result<Box<dyn Writer>> {
        self.unserved()
    }

    async fn copy(&self, _: &str, _: &str) -> Result<()> {
        self.unserved()
    }

    async fn delete(&self, _: &str) -> Result<()> {
        self.unserved()
    }
}
