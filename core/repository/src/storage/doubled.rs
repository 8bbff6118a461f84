//! One repository whose keys have two forms. With a location that ends in a slash, StarRocks' FE writes `x/__starrocks…`, while its BE, which
//! joins texts, writes `x//__starrocks…`: catalogs stand in the one form, tablets in the other. Both are read; what is written has the first.

use super::{Entry, Storage, Writer};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::limiter::Limiter;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Doubled {
    plain: Arc<dyn Storage>,
    /// With the two slashes.
    other: Arc<dyn Storage>,
}

impl Doubled {
    pub(crate) fn new(plain: Arc<dyn Storage>, other: Arc<dyn Storage>) -> Doubled {
        Doubled { plain, other }
    }

    /// In which order a file is looked for: the BE writes tablets.
    fn in_order(&self, path: &str) -> [&Arc<dyn Storage>; 2] {
        let is_tablet = path.split('/').any(|part| part == crate::repository::CONTENT);
        if is_tablet { [&self.other, &self.plain] } else { [&self.plain, &self.other] }
    }
}

/// The second unless the first is there.
fn either<T>(first: Result<T>) -> Result<Result<T>, RepositoryError> {
    match first {
        Err(error) if error.kind == ErrorKind::NotFound => Err(error),
        found => Ok(found),
    }
}

fn both(plain: Result<Vec<Entry>>, other: Result<Vec<Entry>>) -> Result<Vec<Entry>> {
    let (plain, other) = match (either(plain), either(other)) {
        (Ok(plain), Ok(other)) => (plain?, other?),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => return found,
        (Err(error), Err(_)) => return Err(error),
    };
    let mut entries: HashMap<String, Entry> = other.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    entries.extend(plain.into_iter().map(|entry| (entry.path.clone(), entry)));
    Ok(entries.into_values().collect())
}

#[async_trait]
impl Storage for Doubled {
    fn describe(&self) -> String {
        self.plain.describe()
    }

    fn identity(&self) -> String {
        self.plain.identity()
    }

    fn note(&self) -> Option<String> {
        self.plain.note()
    }

    fn limiting_uploads(&self, limiter: &Arc<Limiter>) -> Option<Arc<dyn Storage>> {
        let plain = self.plain.limiting_uploads(limiter)?;
        Some(Arc::new(Doubled { plain, other: Arc::clone(&self.other) }))
    }

    async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        let (plain, other) = futures::join!(self.plain.list(dir), self.other.list(dir));
        both(plain, other)
    }

    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>> {
        let (plain, other) = futures::join!(self.plain.list_recursive(dir), self.other.list_recursive(dir));
        both(plain, other)
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        let [first, second] = self.in_order(path);
        match either(first.stat(path).await) {
            Ok(found) => found,
            Err(_) => second.stat(path).await,
        }
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let [first, second] = self.in_order(path);
        match either(first.read(path, range.clone()).await) {
            Ok(found) => found,
            Err(_) => second.read(path, range).await,
        }
    }

    async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
        let [first, second] = self.in_order(path);
        match either(first.read_all(path, limit).await) {
            Ok(found) => found,
            Err(_) => second.read_all(path, limit).await,
        }
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>> {
        self.plain.writer(path).await
    }

    async fn copy(&self, from: &str, to: &str) -> Result<()> {
        // What stands in the other form is not found, and then its bytes are sent.
        self.plain.copy(from, to).await
    }

    fn copies_cheaply(&self) -> bool {
        self.plain.copies_cheaply()
    }

    fn write_attempts(&self, size: u64) -> u32 {
        self.plain.write_attempts(size)
    }

    /// In both forms: a listing does not tell which it found, and none is to be left.
    async fn delete(&self, path: &str) -> Result<()> {
        let (plain, other) = futures::join!(self.plain.delete(path), self.other.delete(path));
        plain.and(other)
    }

    async fn remove_directory(&self, path: &str) -> Result<bool> {
        self.plain.remove_directory(path).await
    }
}
