//! New repositories and new snapshots, in StarRocks' order: tablets, `__meta`, `__info`.
//!
//! No file of ours other than StarRocks' own stands in a label's directory at any time but for `.part` files, StarRocks' own temporary
//! form. So nothing marks a label as being written, and two writers of one label at the same time are not kept apart before
//! [`SnapshotWriter::commit`], where the later one fails.

mod index;
mod names;

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::md5::{self, Hasher, Md5, split_name};
use crate::repository::content::tablet_file;
use crate::repository::{
    CONTENT, INFO_PREFIX, LABEL_PREFIX, Location, META, OLD_PREFIX, PREFIX, REPO_INFO, Repository, timestamp_of,
};
use crate::snapshot::TabletKey;
use crate::storage::path::is_temporary;
use crate::storage::{Entry, EntryKind, digest};
use bytes::Bytes;
use index::StoredFiles;
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::repo_info::RepoInfo;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a source file that are read, hashed and written at a time.
const BLOCK: usize = 4 << 20;

/// Makes an empty repository `__starrocks_repository_<name>` with its `__repo_info`. One that is there already: `Exists`.
/// A location that is not there yet is made.
pub async fn init(location: &Location, name: &str) -> Result<Repository> {
    names::check("make repository", name)?;
    make(location, name).await.map_err(|error| error.at(location))
}

async fn make(location: &Location, name: &str) -> Result<Repository> {
    let storage = location.make()?;
    let exists = |object: &str, reason: &str| {
        Err(RepositoryError::new(ErrorKind::Exists, "make repository", object, reason)
            .advise("choose another name or location"))
    };
    for entry in storage.list("").await? {
        if entry.name() == REPO_INFO || entry.name().starts_with(LABEL_PREFIX) {
            return exists(&storage.describe(), "the location is itself the directory of a repository");
        }
    }
    for prefix in [OLD_PREFIX, PREFIX] {
        let root = format!("{prefix}{name}");
        match storage.list(&root).await {
            // What a killed attempt leaves is taken up.
            Ok(entries) if entries.iter().map(Entry::name).all(is_leftover) => {}
            Ok(_) => return exists(&root, "the directory is there already, and holds something"),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let root = format!("{PREFIX}{name}");
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let info = RepoInfo::new(name, i64::try_from(seconds).unwrap_or(0));
    let mut writer = storage.writer(&format!("{root}/{REPO_INFO}")).await?;
    writer.write(info.to_bytes().into()).await?;
    writer.finish().await?;
    Ok(Repository::made(storage, root, info))
}

/// Whether `name` is a `__repo_info` that was being written.
fn is_leftover(name: &str) -> bool {
    name.strip_suffix(".part") == Some(REPO_INFO) || is_temporary(name)
}

/// A snapshot being written under a label. Until [`SnapshotWriter::commit`] the label has no `__info` and counts as incomplete.
/// A killed writer's label can be taken up again: files that are there with the same name and md5 are not written again.
#[derive(Debug)]
pub struct SnapshotWriter {
    /// What is written through it is durable when it is synced, where the store has that.
    repository: Repository,
    /// For what is to be durable at once.
    durable: Repository,
    label: String,
    /// Files that stood in the label's content when it was taken up, by path below `__ss_content`.
    found: HashMap<String, u64>,
    /// Of other snapshots, listed when first needed.
    stored: tokio::sync::OnceCell<StoredFiles>,
    /// Size of each file put, by its name with md5.
    put: Mutex<BTreeMap<TabletKey, BTreeMap<String, u64>>>,
}

impl SnapshotWriter {
    /// Starts or takes up `label`. A label that has an `__info`: `Exists`. Whether the content of an incomplete one is ours to finish
    /// is checked by [`SnapshotWriter::plan`] and again by [`SnapshotWriter::commit`].
    pub async fn begin(repository: &Repository, label: &str) -> Result<SnapshotWriter> {
        names::check("write snapshot", label)?;
        let mut found = HashMap::new();
        match repository.label(label).await {
            Ok(there) if !there.timestamps.is_empty() => return Err(in_use(label, "a complete snapshot has it")),
            Ok(_) => {
                let content = repository.path(&format!("{LABEL_PREFIX}{label}/{CONTENT}"));
                for entry in listed(repository, &content).await? {
                    if let (EntryKind::File, Some(path)) = (entry.kind, below(&entry.path, &content)) {
                        found.insert(path.to_owned(), entry.size);
                    }
                }
            }
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (label, durable) = (label.to_owned(), repository.clone());
        let repository = match durable.storage().in_batches() {
            Some(storage) => durable.clone().on(storage),
            None => durable.clone(),
        };
        Ok(SnapshotWriter { repository, durable, label, found, stored: Default::default(), put: Default::default() })
    }

    /// The label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Says early what [`SnapshotWriter::commit`] would refuse: `Exists` when the label holds files of tablets that are not in `tablets`.
    /// They are another backup's, that was not completed, and it is not ours to finish or remove.
    pub fn plan(&self, tablets: &BTreeSet<TabletKey>) -> Result<()> {
        for path in self.found.keys() {
            match tablet_file(path) {
                Some((key, _)) if tablets.contains(&key) => {}
                _ => return Err(not_ours(&self.label, path)),
            }
        }
        Ok(())
    }

    /// Puts one file of a tablet; the store-side copy of a file with the same name, size and md5 in another snapshot is preferred to the bytes.
    /// `source` is opened only when its bytes are needed. Returns whether bytes were written.
    ///
    /// Content is checked: of the bytes while they are written, and on local disk of a file that was there or was copied too. In a
    /// remote store the latter two are taken on their name and size, as checking them would fetch them.
    pub async fn put(&self, key: &TabletKey, name: &str, md5: Md5, size: u64, source: &Path) -> Result<bool> {
        self.put_telling(key, name, md5, size, source, &|_| {}).await
    }

    /// As [`SnapshotWriter::put`]; `advanced` is told how many more bytes are written.
    pub async fn put_telling(
        &self,
        key: &TabletKey,
        name: &str,
        md5: Md5,
        size: u64,
        source: &Path,
        advanced: &(dyn Fn(u64) + Sync),
    ) -> Result<bool> {
        names::check_tablet_file(key, name)?;
        let file = format!("{name}.{md5}");
        let below = format!("{}/{file}", key.path());
        let path = self.repository.path(&format!("{LABEL_PREFIX}{}/{CONTENT}/{below}", self.label));
        let there = self.found.get(&below) == Some(&size) && self.is_right(&path, md5, size).await?;
        let written = !there && !self.copied(&path, name, md5, size).await? && {
            self.write(&path, md5, size, source, advanced).await?;
            true
        };
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        let files = put.entry(*key).or_default();
        if let Some(other) =
            files.keys().find(|other| **other != file && split_name(other).is_some_and(|(base, _)| base == name))
        {
            let reason = format!("`{other}` was put before: a tablet has a file only once");
            return Err(RepositoryError::new(ErrorKind::Invalid, "write", path, reason));
        }
        files.insert(file, size);
        Ok(written)
    }

    /// Whether the file's content has `md5`, where looking is cheap.
    async fn is_right(&self, path: &str, md5: Md5, size: u64) -> Result<bool> {
        let storage = self.repository.storage();
        match storage.local_file(path) {
            None => Ok(true),
            Some(Ok(_)) => match digest(storage.as_ref(), path, size).await {
                Err(error) if error.kind != ErrorKind::Damaged => Err(error),
                found => Ok(found.is_ok_and(|found| found == md5)),
            },
            Some(Err(error)) => Err(error),
        }
    }

    /// Copies the file from another snapshot; false when there is none, or it is not what its name says.
    async fn copied(&self, path: &str, name: &str, md5: Md5, size: u64) -> Result<bool> {
        if !self.repository.storage().copies_cheaply() {
            return Ok(false);
        }
        let stored = self.stored.get_or_try_init(|| StoredFiles::of(&self.repository, &self.label)).await?;
        let Some(from) = stored.path(name, md5, size) else { return Ok(false) };
        let storage = self.repository.storage();
        match storage.copy(&from, path).await {
            Ok(()) => {}
            // Dropped since it was listed, not readable for us, or too much for the store, which may take longer to copy a file than
            // anybody waits in silence: the bytes are at hand. A store that is gone says so when they are sent.
            Err(error)
                if matches!(
                    error.kind,
                    ErrorKind::NotFound
                        | ErrorKind::PermissionDenied
                        | ErrorKind::Damaged
                        | ErrorKind::Unavailable
                        | ErrorKind::Unsupported
                ) =>
            {
                if error.kind == ErrorKind::Unavailable {
                    stored.note_too_long(size);
                }
                tracing::warn!("{error}");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let right = self.is_right(path, md5, size).await?;
        if !right {
            tracing::warn!("{from} is damaged: its content does not have the md5 in its name");
            storage.delete(path).await?;
        }
        Ok(right)
    }

    /// Writes the bytes of `source`, which must have that md5 and size; from the beginning again where the store cannot do that by itself.
    async fn write(
        &self,
        path: &str,
        md5: Md5,
        size: u64,
        source: &Path,
        advanced: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let attempts = self.repository.storage().write_attempts(size);
        let mut attempt = 1;
        // The furthest that any attempt came: what is sent again is no progress.
        let mut furthest = 0;
        loop {
            let at = AtomicU64::new(0);
            let beyond = |bytes: u64| {
                let end = at.fetch_add(bytes, Ordering::Relaxed) + bytes;
                let fresh = end.saturating_sub(furthest).min(bytes);
                if fresh > 0 {
                    advanced(fresh);
                }
            };
            let written = self.write_once(path, md5, size, source, &beyond).await;
            match written {
                Err(error) if error.kind == ErrorKind::Unavailable && attempt < attempts => {
                    tracing::debug!("attempt {attempt}: {error}");
                    attempt += 1;
                    furthest = furthest.max(at.into_inner());
                }
                done => return done,
            }
        }
    }

    async fn write_once(
        &self,
        path: &str,
        md5: Md5,
        size: u64,
        source: &Path,
        advanced: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let mut source = Source::open(source, size)?;
        let mut writer = self.repository.storage().writer(path).await?;
        loop {
            let bytes;
            (source, bytes) = crate::blocking::blocking(move || source.block()).await?;
            if bytes.is_empty() {
                break;
            }
            let len = bytes.len() as u64;
            writer.write(bytes).await?;
            advanced(len);
        }
        source.check(md5, size)?;
        writer.finish().await
    }

    /// Removes what does not belong (another attempt's leftovers), writes `__meta`, then `__info_<timestamp>`: the snapshot is complete.
    ///
    /// First everything is checked, and nothing is changed when something is wrong: `info` has this label and exactly the tablets that
    /// were put (`Invalid`); each file that was put stands there in its size (`Damaged`); nothing else does, but for leftovers within the
    /// tablets that were put, a `__meta` and `.part` files (`Exists`).
    pub async fn commit(self, meta: Bytes, info: Bytes, timestamp: &str) -> Result<()> {
        names::check_timestamp(timestamp)?;
        let mut put = std::mem::take(&mut *self.put.lock().unwrap_or_else(PoisonError::into_inner));
        check_info(&self.label, &info, &put)?;
        let storage = self.repository.storage();
        let dir = self.repository.path(&format!("{LABEL_PREFIX}{}", self.label));
        let meta_name = format!("{META}.{}", md5::of(&meta));

        let mut leftovers = Vec::new();
        for entry in listed(&self.repository, &dir).await? {
            let path = below(&entry.path, &dir).unwrap_or(&entry.path);
            match whose(path, &entry, &mut put) {
                Whose::Ours => {}
                Whose::Leftover => leftovers.push(entry.path),
                Whose::Committed => return Err(in_use(&self.label, "another backup completed it meanwhile")),
                Whose::Other => return Err(not_ours(&self.label, path)),
            }
        }
        if let Some((key, file)) = put.iter().find_map(|(key, files)| Some((key, files.keys().next()?))) {
            let object = format!("{dir}/{CONTENT}/{}/{file}", key.path());
            let reason = "it was written, but is no longer there in its size; something else changes the label";
            return Err(RepositoryError::new(ErrorKind::Damaged, "complete snapshot", object, reason));
        }
        for path in leftovers {
            storage.delete(&path).await?;
        }
        // Whatever the snapshot names is durable before it can look complete.
        storage.sync().await?;
        let storage = self.durable.storage();
        let info_name = format!("{INFO_PREFIX}{timestamp}.{}", md5::of(&info));
        for (name, bytes) in [(meta_name, meta), (info_name, info)] {
            let mut writer = storage.writer(&format!("{dir}/{name}")).await?;
            writer.write(bytes).await?;
            writer.finish().await?;
        }
        Ok(())
    }
}

/// Whose a file below the label's directory is.
enum Whose {
    Ours,
    Leftover,
    Committed,
    Other,
}

/// Takes what is ours out of `put`.
fn whose(path: &str, entry: &Entry, put: &mut BTreeMap<TabletKey, BTreeMap<String, u64>>) -> Whose {
    if entry.kind != EntryKind::File {
        return Whose::Other;
    }
    if let Some(path) = path.strip_prefix(CONTENT).and_then(|path| path.strip_prefix('/')) {
        let Some((key, file)) = tablet_file(path) else { return Whose::Other };
        let Some(files) = put.get_mut(&key) else { return Whose::Other };
        return match files.get(file) {
            Some(size) if *size == entry.size => {
                files.remove(file);
                Whose::Ours
            }
            // Kept in `put`, and so reported.
            Some(_) => Whose::Ours,
            None => Whose::Leftover,
        };
    }
    match split_name(path) {
        Some((META, _)) => Whose::Leftover,
        Some((base, _)) if timestamp_of(base).is_some() => Whose::Committed,
        _ if path.starts_with("__") && path.ends_with(".part") && !path.contains('/') => Whose::Leftover,
        _ if is_temporary(path) => Whose::Leftover,
        _ => Whose::Other,
    }
}

/// `info` must name this label and, tablet by tablet, what was put.
fn check_info(label: &str, info: &[u8], put: &BTreeMap<TabletKey, BTreeMap<String, u64>>) -> Result<()> {
    let invalid = |reason: String| RepositoryError::new(ErrorKind::Invalid, "complete snapshot", label, reason);
    let info = JobInfo::parse(info).map_err(|error| invalid(error.to_string()).caused_by(error))?;
    if info.name != label {
        return Err(invalid(format!("its `__info` has the label `{}`", info.name)));
    }
    let stated = tablets_of(&info).ok_or_else(|| invalid("its `__info` has a tablet whose id is no number".into()))?;
    if let Some(key) = stated.iter().find(|key| !put.contains_key(key)) {
        return Err(invalid(format!("its `__info` names tablet {}, of which no file was written", key.path())));
    }
    match put.keys().find(|key| !stated.contains(key)) {
        Some(key) => {
            Err(invalid(format!("files of tablet {} were written, but its `__info` does not name it", key.path())))
        }
        None => Ok(()),
    }
}

/// The tablets of a job info, with the directories they stand in.
fn tablets_of(info: &JobInfo) -> Option<BTreeSet<TabletKey>> {
    let mut keys = BTreeSet::new();
    for table in info.backup_objects.values() {
        for partition in table.partitions.values() {
            let below = partition.sub_partitions.iter().flat_map(|parts| parts.values());
            let physicals =
                std::iter::once((partition.id, &partition.indexes)).chain(below.map(|part| (part.id, &part.indexes)));
            for (physical, indexes) in physicals {
                for index in indexes.values() {
                    for tablet in index.tablets.keys() {
                        let (database, table, index) = (info.id, table.id, index.id);
                        keys.insert(TabletKey { database, table, physical, index, tablet: tablet.parse().ok()? });
                    }
                }
            }
        }
    }
    Some(keys)
}

/// All files below `dir`; none when it is not there.
async fn listed(repository: &Repository, dir: &str) -> Result<Vec<Entry>> {
    match repository.storage().list_recursive(dir).await {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

fn below<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    path.strip_prefix(dir)?.strip_prefix('/')
}

fn in_use(label: &str, why: &str) -> RepositoryError {
    let reason = format!("the label is in use: {why}");
    RepositoryError::new(ErrorKind::Exists, "write snapshot", label, reason).advise("choose another label")
}

fn not_ours(label: &str, path: &str) -> RepositoryError {
    let reason =
        format!("under the label stands `{path}`, which is not part of this backup but of one that was not completed");
    RepositoryError::new(ErrorKind::Exists, "write snapshot", label, reason)
        .advise("choose another label, or remove the label's directory if nobody needs it")
}

/// A local file being read, with the digest of what was read.
struct Source {
    file: std::fs::File,
    shown: String,
    hasher: Hasher,
    read: u64,
}

impl Source {
    fn open(path: &Path, size: u64) -> Result<Source> {
        use std::os::unix::fs::OpenOptionsExt;
        let shown = path.display().to_string();
        // Without waiting for the other end of a FIFO.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        let stat = opened.and_then(|file| Ok((file.metadata()?, file)));
        let (stat, file) = stat.map_err(|error| source_failed(&shown, error))?;
        if !stat.is_file() {
            return Err(RepositoryError::new(ErrorKind::Invalid, "back up", shown, "it is not a regular file"));
        }
        let source = Source { file, shown, hasher: Hasher::default(), read: 0 };
        if stat.len() != size { Err(source.changed()) } else { Ok(source) }
    }

    /// The next bytes; none at the end.
    fn block(mut self) -> Result<(Source, Bytes)> {
        use std::io::Read;
        let mut bytes = Vec::new();
        let read = (&self.file).take(BLOCK as u64).read_to_end(&mut bytes);
        let read = read.map_err(|error| source_failed(&self.shown, error))?;
        self.hasher.update(&bytes);
        self.read += read as u64;
        Ok((self, bytes.into()))
    }

    fn check(self, md5: Md5, size: u64) -> Result<()> {
        if self.read == size && self.hasher.clone().finish() == md5 { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> RepositoryError {
        let reason = "its content is not what it was when its md5 was taken";
        RepositoryError::new(ErrorKind::Damaged, "back up", self.shown.clone(), reason)
            .advise("back up again when nothing changes the table")
    }
}

fn source_failed(shown: &str, error: std::io::Error) -> RepositoryError {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Io,
    };
    RepositoryError::new(kind, "back up", shown, error.to_string()).caused_by(error)
}
