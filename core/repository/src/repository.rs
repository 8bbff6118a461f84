//! Repositories: finding them under a location, their labels and timestamps.

pub(crate) mod content;
mod open;
mod problems;

pub use crate::location::Location;

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::limiter::{Limiter, limited};
use crate::md5::{Md5, split_name};
use crate::nearest::nearest;
use crate::reading::Reading;
use crate::storage::path::is_temporary;
use crate::storage::{Entry, EntryKind, Storage};
pub use content::names_tablet;
use futures::{StreamExt, TryStreamExt};
use problems::Problems;
use starsnap_catalog::repo_info::RepoInfo;
use std::sync::Arc;

/// What a repository's directory begins with: since 3.0, and before; StarRocks keeps the older one where it stands.
pub(crate) const PREFIX: &str = "__starrocks_repository_";
pub(crate) const OLD_PREFIX: &str = "__palo_repository_";
pub(crate) const REPO_INFO: &str = "__repo_info";
pub(crate) const LABEL_PREFIX: &str = "__ss_";
pub(crate) const INFO_PREFIX: &str = "__info_";
pub(crate) const META: &str = "__meta";
pub(crate) const CONTENT: &str = "__ss_content";

/// Far more than the two short strings need.
const MAX_REPO_INFO: u64 = 64 << 10;
/// Requests under way at once while labels are listed.
const LABELS_AT_ONCE: usize = 16;

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
    problems: Vec<String>,
    reading: Reading,
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

/// Stands for a label's newest timestamp.
pub const LATEST: &str = "latest";

impl Repository {
    /// All repositories at `location`: it may be a repository directory itself or hold several, with either prefix. None: `NotFound`.
    /// One that cannot be opened does not hide the others; it is an error when it is alone.
    pub async fn find(location: &Location) -> Result<Vec<Repository>> {
        Repository::find_at(location).await.map_err(|error| error.at(location))
    }

    async fn find_at(location: &Location) -> Result<Vec<Repository>> {
        let storage = location.whole_storage().await?;
        let entries = storage.list("").await?;
        if directory_name(location).is_none() && is_snapshot(location, &entries) {
            return Err(RepositoryError::new(
                ErrorKind::Invalid,
                "find a repository in",
                storage.describe(),
                "it is the directory of a snapshot, not of a repository",
            )
            .advise("give the directory above it"));
        }
        if entries.iter().any(is_repository_content) || directory_name(location).is_some() {
            let stated = directory_name(location).unwrap_or_default();
            return Ok(vec![Repository::open_at(storage, "", &stated, &entries).await?]);
        }
        let mut found = Vec::new();
        let mut failure = None;
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Directory) {
            let Some(stated) = name_of(&entry.path) else { continue };
            let shadowing = format!("{OLD_PREFIX}{stated}");
            if entry.path != shadowing && is_directory(&entries, &shadowing) {
                continue;
            }
            let opened = match storage.list(&entry.path).await {
                Ok(inner) => Repository::open_at(Arc::clone(&storage), &entry.path, stated, &inner).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(mut repository) => {
                    let shadowed = format!("{PREFIX}{stated}");
                    if entry.path == shadowing && is_directory(&entries, &shadowed) {
                        repository.problems.push(format!(
                            "`{shadowed}` stands beside it; like StarRocks, starsnap opens the older one: give that directory itself to open it"
                        ));
                    }
                    found.push(repository);
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    failure.get_or_insert(error);
                }
            }
        }
        found.sort_by(|a, b| (&a.name, &a.root).cmp(&(&b.name, &b.root)));
        match failure {
            _ if !found.is_empty() => Ok(found),
            Some(error) => Err(error),
            None => Err(RepositoryError::new(
                ErrorKind::NotFound,
                "find a repository in",
                storage.describe(),
                format!("there is no directory `{PREFIX}<name>` or `{OLD_PREFIX}<name>`, and no `{REPO_INFO}`"),
            )
            .advise("give the LOCATION of CREATE REPOSITORY, or the repository's own directory")),
        }
    }

    /// The only repository at `location`, or the one called `name`. Several and no name: `Invalid`, listing them.
    pub async fn open(location: &Location, name: Option<&str>) -> Result<Repository> {
        let mut found = Repository::find(location).await?;
        let names = |found: &[Repository]| {
            let names: Vec<_> = found.iter().take(20).map(|one| format!("`{}`", one.name)).collect();
            names.join(", ")
        };
        let all = names(&found);
        if let Some(name) = name {
            // The name in `__repo_info` counts; where two state the same, the directory's name decides.
            let by_directory = found.iter().position(|one| name_of(&one.root) == Some(name));
            let stated = found.iter().filter(|one| one.name == name).count();
            match by_directory {
                Some(at) if stated != 1 => found = vec![found.swap_remove(at)],
                _ => found.retain(|one| one.name == name),
            }
        }
        match (found.len(), found.pop()) {
            (1, Some(repository)) => Ok(repository),
            (0, _) | (_, None) => Err(RepositoryError::new(
                ErrorKind::NotFound,
                "open repository",
                name.unwrap_or_default(),
                format!("at {location} there are only {all}"),
            )),
            _ => Err(RepositoryError::new(
                ErrorKind::Invalid,
                "open repository",
                location.to_string(),
                format!("several stand there: {all}"),
            )
            .advise("say which one by its name, or give its own directory")),
        }
    }

    /// Opens the directory `root`, called `stated`, in which `entries` stand.
    async fn open_at(storage: Arc<dyn Storage>, root: &str, stated: &str, entries: &[Entry]) -> Result<Repository> {
        let mut repository = Repository {
            storage,
            root: root.to_owned(),
            name: stated.to_owned(),
            create_time: String::new(),
            problems: Vec::new(),
            reading: Reading::default(),
        };
        let path = repository.path(REPO_INFO);
        match read_repo_info(&repository, &path).await {
            Ok(info) => {
                if !stated.is_empty() && info.name != stated {
                    repository.problems.push(format!(
                        "`{path}` says `{}`, the directory `{stated}`: StarRocks builds its paths with the former and will not find this one",
                        info.name
                    ));
                }
                repository.name = info.name;
                repository.create_time = info.create_time;
            }
            // Backups are still backups without the file that names the repository.
            Err(error) if error.kind != ErrorKind::Unavailable && entries.iter().any(is_label) => {
                repository.problems.push(format!("{error}; the name is taken from the directory"));
            }
            Err(error) => return Err(error),
        }
        Ok(repository)
    }

    /// A repository that was just made.
    pub(crate) fn made(storage: Arc<dyn Storage>, root: String, info: RepoInfo) -> Repository {
        let (problems, reading) = (Vec::new(), Reading::default());
        Repository { storage, root, name: info.name, create_time: info.create_time, problems, reading }
    }

    /// The name in `__repo_info`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creation time in `__repo_info`, as written; empty when that file cannot be read.
    pub fn create_time(&self) -> &str {
        &self.create_time
    }

    /// What is wrong with the repository itself, one sentence each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The same, whose files are read with the memory and the caches of `reading`.
    #[must_use]
    pub fn read_with(self, reading: Reading) -> Repository {
        Repository { reading, ..self }
    }

    /// What its files are read with, where they are not on local disk.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The store.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The same repository, read and written no faster than the limits allow. Copies within the store are not limited.
    #[must_use]
    pub fn limited(&self, download: Option<Arc<Limiter>>, upload: Option<Arc<Limiter>>) -> Repository {
        Repository { storage: limited(&self.storage, download, upload), ..self.clone() }
    }

    /// The same repository in another view of its store.
    pub(crate) fn on(self, storage: Arc<dyn Storage>) -> Repository {
        Repository { storage, ..self }
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
        let entries = self.storage.list(&self.path("")).await?;
        let mut labels: Vec<Label> = futures::stream::iter(entries.into_iter().filter(is_label))
            .map(|entry| async move {
                let name = entry.name().strip_prefix(LABEL_PREFIX).unwrap_or_default().to_owned();
                if entry.kind != EntryKind::Directory {
                    let problem =
                        format!("`{}` is a symbolic link, or its name is not UTF-8: it is not opened", entry.path);
                    return Ok(Label { name, timestamps: vec![], metas: vec![], problems: vec![problem] });
                }
                match self.storage.list(&entry.path).await {
                    Ok(entries) => Ok(label_of(name, &entries)),
                    Err(error) if error.kind == ErrorKind::Unavailable => Err(error),
                    Err(error) => {
                        Ok(Label { name, timestamps: vec![], metas: vec![], problems: vec![error.to_string()] })
                    }
                }
            })
            .buffer_unordered(LABELS_AT_ONCE)
            .try_collect()
            .await?;
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        labels.dedup_by(|a, b| a.name == b.name);
        Ok(labels)
    }

    /// One label.
    pub async fn label(&self, name: &str) -> Result<Label> {
        let path = self.label_path(name)?;
        match self.storage.list(&path).await {
            Ok(entries) => Ok(label_of(name.to_owned(), &entries)),
            Err(error) if error.kind == ErrorKind::NotFound => Err(self.no_such_label(name).await),
            Err(error) => Err(error),
        }
    }

    async fn no_such_label(&self, name: &str) -> RepositoryError {
        let entries = self.storage.list(&self.path("")).await.unwrap_or_default();
        let labels = entries.iter().filter_map(|entry| entry.name().strip_prefix(LABEL_PREFIX));
        let nearest = nearest(name, labels).map(|nearest| format!("; `{nearest}` is the nearest")).unwrap_or_default();
        let reason = format!("repository `{}` has no such label{nearest}", self.name);
        RepositoryError::new(ErrorKind::NotFound, "open snapshot", name, reason)
            .advise("`starsnap snapshots` lists what is there")
    }

    /// Path of a label's directory. What cannot be one component of a path is no label.
    pub(crate) fn label_path(&self, name: &str) -> Result<String> {
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(RepositoryError::new(
                ErrorKind::NotFound,
                "open snapshot",
                format!("{name:?}"),
                "it is no label",
            ));
        }
        Ok(self.path(&format!("{LABEL_PREFIX}{name}")))
    }
}

async fn read_repo_info(repository: &Repository, path: &str) -> Result<RepoInfo> {
    let bytes = repository.storage.read_all(path, MAX_REPO_INFO).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => error.advise("without this file StarRocks does not see the repository"),
        _ => error,
    })?;
    RepoInfo::parse(&bytes)
        .map_err(|error| RepositoryError::new(ErrorKind::Damaged, "read", path, error.to_string()).caused_by(error))
}

/// The name of a repository in its directory's.
fn name_of(directory: &str) -> Option<&str> {
    let name = directory.strip_prefix(PREFIX).or_else(|| directory.strip_prefix(OLD_PREFIX))?;
    (!name.is_empty()).then_some(name)
}

/// The name of the repository whose directory `location` is, by that directory's name.
fn directory_name(location: &Location) -> Option<String> {
    let Some(path) = location.path() else {
        return name_of(location.to_string().rsplit('/').next()?).map(str::to_owned);
    };
    let path = path.canonicalize().ok()?;
    let given = location.path()?.file_name().and_then(|name| name.to_str()).and_then(name_of);
    given.or_else(|| path.file_name().and_then(|name| name.to_str()).and_then(name_of)).map(str::to_owned)
}

/// Whether a label's directory is given, whose `__ss_content` looks like a label. A repository may have a label `content` too, but no files
/// of a snapshot beside it, nor a name like this.
fn is_snapshot(location: &Location, entries: &[Entry]) -> bool {
    let of_snapshot = |entry: &Entry| {
        let base = split_name(entry.name()).map(|(base, _)| base);
        entry.kind == EntryKind::File && base.is_some_and(|base| base == META || timestamp_of(base).is_some())
    };
    let named = || {
        let real = location.path().and_then(|path| path.canonicalize().ok());
        let text = real.map_or_else(|| location.to_string(), |path| path.display().to_string());
        let name = text.trim_end_matches('/').rsplit('/').next().and_then(|name| name.strip_prefix(LABEL_PREFIX));
        name.is_some_and(|label| !label.is_empty()) && is_directory(entries, CONTENT)
    };
    !entries.iter().any(|entry| entry.kind == EntryKind::File && entry.name() == REPO_INFO)
        && (entries.iter().any(of_snapshot) || named())
}

fn is_directory(entries: &[Entry], path: &str) -> bool {
    entries.iter().any(|entry| entry.kind == EntryKind::Directory && entry.path == path)
}

fn is_repository_content(entry: &Entry) -> bool {
    (entry.kind == EntryKind::File && entry.name() == REPO_INFO)
        || (entry.kind == EntryKind::Directory && is_label(entry))
}

/// As StarRocks does, every directory counts; what else has such a name and is not followed is shown as broken.
fn is_label(entry: &Entry) -> bool {
    entry.kind != EntryKind::File && entry.name().len() > LABEL_PREFIX.len() && entry.name().starts_with(LABEL_PREFIX)
}

/// What `entries` of a label's directory say.
fn label_of(name: String, entries: &[Entry]) -> Label {
    let mut timestamps: std::collections::BTreeMap<&str, Vec<Md5>> = Default::default();
    let mut metas = Vec::new();
    let mut problems = Problems::default();
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    for entry in entries {
        let found = entry.name();
        match (entry.kind, split_name(found)) {
            (EntryKind::File, Some((META, md5))) => metas.push(md5),
            (EntryKind::File, Some((base, md5))) if timestamp_of(base).is_some() => {
                timestamps.entry(timestamp_of(base).unwrap_or_default()).or_default().push(md5);
            }
            (EntryKind::Directory, _) if found == CONTENT => {}
            (EntryKind::File, _) if is_temporary(found) => {}
            (EntryKind::File, _) if found.ends_with(".part") => problems.add(|| {
                format!("`{found}` is an unfinished upload: StarRocks does not restore beside it; remove it when no backup is running")
            }),
            _ => problems.add(|| format!("`{found}` is nothing that StarRocks writes here")),
        }
    }
    metas.sort();
    if metas.len() > 1 {
        problems.add(|| format!("there are {} `{META}` files: StarRocks restores none of them", metas.len()));
    }
    if metas.is_empty() && !timestamps.is_empty() {
        problems.add(|| format!("there is no `{META}` file: StarRocks cannot restore it"));
    }
    let timestamps: Vec<_> = timestamps
        .into_iter()
        .map(|(text, mut infos)| {
            infos.sort();
            if infos.len() > 1 {
                problems.add(|| {
                    format!("there are {} `{INFO_PREFIX}{text}` files: StarRocks restores none of them", infos.len())
                });
            }
            Timestamp { text: text.to_owned(), infos }
        })
        .collect();
    Label { name, timestamps, metas, problems: problems.into() }
}

/// The timestamp in the name of an `__info`, md5 removed. It begins with the year, so it never meets `latest` and `incomplete`.
pub(crate) fn timestamp_of(base: &str) -> Option<&str> {
    base.strip_prefix(INFO_PREFIX).filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}
