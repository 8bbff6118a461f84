//! Repositories: finding them under a location, their labels and timestamps.

use crate::error::Result;
use crate::md5::Md5;
use crate::snapshot::OpenSnapshot;
use crate::storage::Storage;
use std::sync::Arc;

/// Where a repository is, as a user writes it: a local path or `file://` URL in this release; the stores to come have their own schemes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(String);

impl Location {
    /// Checks the scheme; a scheme we do not serve is `Unsupported`, saying so.
    pub fn parse(text: &str) -> Result<Location> {
        let _ = text;
        todo!()
    }

    /// The store rooted at the location.
    pub fn storage(&self) -> Result<Arc<dyn Storage>> {
        todo!()
    }
}

/// An opened repository.
#[derive(Debug, Clone)]
pub struct Repository {
    storage: Arc<dyn Storage>,
    /// `__starrocks_repository_<name>` or `__palo_repository_<name>`, or empty when the location is the repository directory itself.
    root: String,
    /// As `__repo_info` states it.
    name: String,
    /// `yyyy-MM-dd HH:mm:ss`, informational.
    create_time: String,
}

/// A label of a repository, and what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The text after `__ss_`, verbatim.
    pub name: String,
    /// Timestamps that `__info_<timestamp>.<md5>` files name, ascending. Empty: incomplete.
    pub timestamps: Vec<Timestamp>,
    /// md5 of `__meta.<md5>` files: exactly one when healthy.
    pub metas: Vec<Md5>,
    /// What is wrong, one sentence each: several `__meta`, a stray `.part`, a name that is none of ours.
    pub problems: Vec<String>,
}

/// One backup under a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// `yyyy-MM-dd-HH-mm-ss-SSS`, an opaque key.
    pub text: String,
    /// md5 of each `__info_<text>.<md5>`: exactly one when healthy.
    pub infos: Vec<Md5>,
}

/// Name under which a label without `__info` shows what stands there.
pub const INCOMPLETE: &str = "incomplete";

impl Repository {
    /// All repositories at `location`: it may be a repository directory itself or hold several, with either prefix. None: `NotFound`.
    pub async fn find(location: &Location) -> Result<Vec<Repository>> {
        let _ = location;
        todo!()
    }

    /// The only repository at `location`, or the one called `name`. Several and no name: `Invalid`, listing them.
    pub async fn open(location: &Location, name: Option<&str>) -> Result<Repository> {
        let _ = (location, name);
        todo!()
    }

    /// The name in `__repo_info`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creation time in `__repo_info`, as written.
    pub fn create_time(&self) -> &str {
        &self.create_time
    }

    /// The store.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Path of `rest` from the store's root.
    pub fn path(&self, rest: &str) -> String {
        match (self.root.is_empty(), rest.is_empty()) {
            (true, _) => rest.to_owned(),
            (false, true) => self.root.clone(),
            (false, false) => format!("{}/{}", self.root, rest),
        }
    }

    /// All labels, by name. Directories whose label directory cannot be read are listed with the problem, not left out.
    pub async fn labels(&self) -> Result<Vec<Label>> {
        todo!()
    }

    /// One label.
    pub async fn label(&self, name: &str) -> Result<Label> {
        let _ = name;
        todo!()
    }

    /// Opens a snapshot: `timestamp` may be a timestamp, `latest`, or [`INCOMPLETE`]; `None` is `latest`. Uses and fills `cache`.
    /// Whatever of it can be read is there; what cannot is in [`OpenSnapshot::problems`]. An error only when nothing can be shown.
    pub async fn snapshot(
        &self,
        label: &str,
        timestamp: Option<&str>,
        cache: Option<&crate::cache::IndexCache>,
    ) -> Result<OpenSnapshot> {
        let _ = (label, timestamp, cache);
        todo!()
    }
}
