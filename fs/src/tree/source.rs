//! Where the tree gets its labels and snapshots from: a repository, or a test's own.

use async_trait::async_trait;
use starsnap_repository::cache::IndexCache;
use starsnap_repository::repository::Label;
use starsnap_repository::storage::Storage;
use starsnap_repository::{OpenSnapshot, Repository, Result};
use std::sync::Arc;

/// A repository as the tree sees it.
#[async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// The repository's name.
    fn name(&self) -> &str;
    /// Where it is, for people; never with secrets.
    fn location(&self) -> String;
    /// All labels.
    async fn labels(&self) -> Result<Vec<Label>>;
    /// A snapshot; `timestamp` as [`Label`] lists it, or [`starsnap_repository::repository::INCOMPLETE`].
    async fn open(&self, label: &str, timestamp: &str) -> Result<OpenSnapshot>;
    /// The store.
    fn storage(&self) -> &Arc<dyn Storage>;
    /// Path from the store's root of a path in the repository's directory.
    fn path(&self, rest: &str) -> String;
}

/// A [`Repository`], with the index cache if there is one.
#[derive(Debug)]
pub(super) struct RepositorySource {
    pub repository: Arc<Repository>,
    pub cache: Option<IndexCache>,
}

#[async_trait]
impl Source for RepositorySource {
    fn name(&self) -> &str {
        self.repository.name()
    }

    fn location(&self) -> String {
        self.repository.storage().describe()
    }

    async fn labels(&self) -> Result<Vec<Label>> {
        self.repository.labels().await
    }

    async fn open(&self, label: &str, timestamp: &str) -> Result<OpenSnapshot> {
        self.repository.snapshot(label, Some(timestamp), self.cache.as_ref()).await
    }

    fn storage(&self) -> &Arc<dyn Storage> {
        self.repository.storage()
    }

    fn path(&self, rest: &str) -> String {
        self.repository.path(rest)
    }
}
