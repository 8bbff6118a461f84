//! Removing a snapshot, which StarRocks itself never does: `__info` first, so that what is left of it never looks complete.

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::md5::split_name;
use crate::repository::content::tablet_file;
use crate::repository::{CONTENT, INFO_PREFIX, LABEL_PREFIX, META, Repository, timestamp_of};
use crate::storage::path::is_temporary;
use crate::storage::{Entry, EntryKind, Storage};
use futures::{StreamExt, TryStreamExt};
use std::time::SystemTime;

/// Directories within each other, at most; a label's nest six deep.
const DEEPEST: usize = 16;

/// What stands under a label, and is to go.
#[derive(Debug, Clone)]
pub struct Doomed {
    /// Of the label; empty for a backup that was not completed.
    pub timestamps: Vec<String>,
    /// In the order in which they go: `__info`, `__meta`, files of tablets.
    files: Vec<Entry>,
    /// How many of the first `files` go before all others, one after the other.
    first: usize,
    /// Paths in the repository that are of no backup's making: they stay.
    pub foreign: Vec<String>,
    /// Where the label stands.
    dir: String,
}

impl Doomed {
    /// How many files there are.
    pub fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// When the newest file was written, where the store tells.
    pub fn newest(&self) -> Option<SystemTime> {
        self.files.iter().filter_map(|file| file.modified).max()
    }
}

impl Repository {
    /// Lists what dropping `label` would remove. A label that is not there: `NotFound`.
    pub async fn doomed(&self, label: &str) -> Result<Doomed> {
        let found = self.label(label).await?;
        let dir = self.path(&format!("{LABEL_PREFIX}{label}"));
        let listed = match self.storage().list_recursive(&dir).await {
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        let mut doomed = Doomed { timestamps: Vec::new(), files: Vec::new(), first: 0, foreign: Vec::new(), dir };
        doomed.timestamps = found.timestamps.into_iter().map(|timestamp| timestamp.text).collect();
        let (mut infos, mut metas, mut content) = (Vec::new(), Vec::new(), Vec::new());
        for entry in listed {
            let path =
                entry.path.strip_prefix(&doomed.dir).map_or(entry.path.as_str(), |path| path.trim_start_matches('/'));
            match what(path, &entry) {
                What::Info => infos.push(entry),
                What::Meta => metas.push(entry),
                What::Content => content.push(entry),
                What::Foreign => doomed.foreign.push(entry.path),
            }
        }
        doomed.first = infos.len() + metas.len();
        doomed.files = [infos, metas, content].concat();
        doomed.foreign.sort();
        Ok(doomed)
    }

    /// Removes them, and the directories that are then empty; `removed` is told of each file. Returns what still stands under the label.
    /// What fails or is stopped goes on when it is done again: without its `__info` the label counts as a backup that was not completed.
    pub async fn drop_files(
        &self,
        doomed: &Doomed,
        at_once: usize,
        removed: &(dyn Fn() + Sync),
    ) -> Result<Vec<String>> {
        let storage = self.storage();
        let (first, content) = doomed.files.split_at(doomed.first.min(doomed.files.len()));
        for file in first {
            storage.delete(&file.path).await?;
            removed();
        }
        let rest = futures::stream::iter(content).map(|file| async move {
            storage.delete(&file.path).await?;
            removed();
            Ok::<(), RepositoryError>(())
        });
        rest.buffer_unordered(at_once.max(1)).try_collect::<Vec<()>>().await?;
        remove_empty(storage.as_ref(), &doomed.dir, DEEPEST).await?;
        let mut left: Vec<String> = match storage.list_recursive(&doomed.dir).await {
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            left => left?.into_iter().map(|entry| entry.path).collect(),
        };
        left.sort();
        Ok(left)
    }
}

enum What {
    Info,
    Meta,
    Content,
    Foreign,
}

/// What a file below the label's directory is.
fn what(path: &str, entry: &Entry) -> What {
    if entry.kind != EntryKind::File {
        return What::Foreign;
    }
    if let Some(below) = path.strip_prefix(CONTENT).and_then(|path| path.strip_prefix('/')) {
        return if tablet_file(below).is_some() { What::Content } else { What::Foreign };
    }
    let base = path.strip_suffix(".part").or_else(|| split_name(path).map(|(base, _)| base)).unwrap_or(path);
    match base {
        _ if path.contains('/') => What::Foreign,
        META => What::Meta,
        _ if timestamp_of(base).is_some() || base.starts_with(INFO_PREFIX) => What::Info,
        // What a killed writer of ours left.
        _ if is_temporary(path) => What::Meta,
        _ => What::Foreign,
    }
}

/// Removes the directories below `dir` that hold nothing, and `dir` itself; true when it is gone.
async fn remove_empty(storage: &dyn Storage, dir: &str, deepest: usize) -> Result<bool> {
    let entries = match storage.list(dir).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    let mut empty = true;
    for entry in entries {
        empty &= entry.kind == EntryKind::Directory
            && deepest > 0
            && Box::pin(remove_empty(storage, &entry.path, deepest - 1)).await?;
    }
    if empty { storage.remove_directory(dir).await } else { Ok(false) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::storage::{LocalStorage, Writer};
    use async_trait::async_trait;
    use bytes::Bytes;
    use starsnap_catalog::repo_info::RepoInfo;
    use std::ops::Range;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    /// A store that notes what is deleted, and fails after so many files.
    #[derive(Debug)]
    struct Noting {
        inner: LocalStorage,
        deleted: Mutex<Vec<String>>,
        allowed: AtomicUsize,
    }

    #[async_trait]
    impl Storage for Noting {
        fn describe(&self) -> String {
            self.inner.describe()
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
            self.inner.read(path, range).await
        }
        async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
            self.inner.read_all(path, limit).await
        }
        async fn writer(&self, path: &str) -> Result<Box<dyn Writer>> {
            self.inner.writer(path).await
        }
        async fn copy(&self, from: &str, to: &str) -> Result<()> {
            self.inner.copy(from, to).await
        }
        async fn delete(&self, path: &str) -> Result<()> {
            let left = self.allowed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_err() {
                return Err(RepositoryError::new(ErrorKind::Unavailable, "delete", path, "out of reach"));
            }
            self.deleted.lock().unwrap().push(path.to_owned());
            self.inner.delete(path).await
        }
        async fn remove_directory(&self, path: &str) -> Result<bool> {
            self.inner.remove_directory(path).await
        }
    }

    const LABEL: &str = "__ss_l";
    const MD5: &str = "0123456789abcdef0123456789abcdef";

    /// A label with two timestamps, two `__meta`, an unfinished upload and two tablets.
    fn repository(dir: &std::path::Path, allowed: usize) -> (Repository, Arc<Noting>) {
        let label = dir.join(LABEL);
        for tablet in ["__5", "__6"] {
            let tablet = label.join("__ss_content/__db_1/__tbl_2/__part_3/__idx_4").join(tablet);
            std::fs::create_dir_all(&tablet).unwrap();
            for name in [format!("5.hdr.{MD5}"), format!("x_0.dat.{MD5}"), "x_1.dat.part".into()] {
                std::fs::write(tablet.join(name), "x").unwrap();
            }
        }
        let other = format!("__meta.{}", MD5.replace('0', "f"));
        let infos = ["2024-01-01-00-00-00-000", "2024-01-02-00-00-00-000"].map(|text| format!("__info_{text}.{MD5}"));
        for name in [infos[0].as_str(), &infos[1], &format!("__meta.{MD5}"), &other, "__meta.part"] {
            std::fs::write(label.join(name), "x").unwrap();
        }
        let noting = Arc::new(Noting {
            inner: LocalStorage::open(dir).unwrap(),
            deleted: Mutex::default(),
            allowed: allowed.into(),
        });
        let repository = Repository::made(noting.clone(), String::new(), RepoInfo::new("r", 0));
        (repository, noting)
    }

    #[tokio::test]
    async fn whatever_it_stops_at_the_label_never_looks_complete() {
        for allowed in 0..=11 {
            let dir = tempfile::tempdir().unwrap();
            let (repository, noting) = repository(dir.path(), allowed);
            let doomed = repository.doomed("l").await.unwrap();
            assert_eq!((doomed.files(), doomed.bytes(), doomed.timestamps.len()), (11, 11, 2));
            let dropped = repository.drop_files(&doomed, 3, &|| {}).await;
            assert_eq!(dropped.is_ok(), allowed == 11);
            let deleted = noting.deleted.lock().unwrap().clone();
            let infos = deleted.iter().take(2).filter(|path| path.contains("__info_")).count();
            assert_eq!(infos, allowed.min(2), "{deleted:?}");
            let metas = deleted.iter().skip(2).take(3).filter(|path| path.contains("__meta")).count();
            assert_eq!(metas, allowed.saturating_sub(2).min(3), "{deleted:?}");
            if (2..11).contains(&allowed) {
                assert!(repository.label("l").await.unwrap().timestamps.is_empty());
                // It goes on.
                noting.allowed.store(100, Ordering::SeqCst);
                let rest = repository.doomed("l").await.unwrap();
                assert_eq!(rest.files(), 11 - allowed as u64);
                assert!(repository.drop_files(&rest, 3, &|| {}).await.unwrap().is_empty());
            }
            assert_eq!(dir.path().join(LABEL).exists(), allowed < 2);
        }
    }

    #[tokio::test]
    async fn what_is_not_of_a_backup_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (repository, _) = repository(dir.path(), 100);
        let foreign = ["__ss_l/README", "__ss_l/__ss_content/notes", "__ss_l/sub/__meta.part"];
        for path in foreign {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "mine").unwrap();
        }
        std::fs::create_dir_all(dir.path().join("__ss_l/empty/deeper")).unwrap();
        let doomed = repository.doomed("l").await.unwrap();
        assert_eq!((doomed.files(), doomed.foreign.len()), (11, 3));
        assert_eq!(repository.drop_files(&doomed, 1, &|| {}).await.unwrap(), foreign);
        assert!(!dir.path().join("__ss_l/empty").exists());
        assert_eq!(repository.doomed("nothing").await.unwrap_err().kind, ErrorKind::NotFound);
    }
}
