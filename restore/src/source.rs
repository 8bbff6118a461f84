//! What is restored from: a snapshot in a repository, or a directory of the same shape as the mount's.

use crate::error::Result;
use starsnap_repository::cache::IndexCache;
use starsnap_repository::{OpenSnapshot, Repository};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is restored from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    Repository { repository: Repository, snapshot: Arc<OpenSnapshot> },
    Directory { path: PathBuf },
}

impl Source {
    /// A snapshot of a repository; `timestamp` as in [`Repository::snapshot`].
    pub async fn repository(
        repository: &Repository,
        label: &str,
        timestamp: Option<&str>,
        cache: Option<&IndexCache>,
    ) -> Result<Source> {
        let snapshot = Arc::new(repository.snapshot(label, timestamp, cache).await?);
        Ok(Source { inner: Inner::Repository { repository: repository.clone(), snapshot } })
    }

    /// A directory: a snapshot of a mount (`<label>/<timestamp>`), a database of a warehouse, one of their tables, or a partition of one.
    pub fn directory(path: &Path) -> Result<Source> {
        Ok(Source { inner: Inner::Directory { path: path.to_owned() } })
    }

    /// Where from, in words.
    pub fn describe(&self) -> String {
        match &self.inner {
            Inner::Repository { repository, snapshot } => {
                format!("repository {}, snapshot {}@{}", repository.name(), snapshot.label, snapshot.timestamp)
            }
            Inner::Directory { path } => path.display().to_string(),
        }
    }
}
