//! Listing: by page, and where one page is not enough by stretches of keys side by side.

use super::super::path::check;
use super::super::{Entry, EntryKind};
use super::{ObjectStorage, Remote, failed};
use crate::error::{ErrorKind, RepositoryError, Result};
use futures::{StreamExt, TryStreamExt};
use opendal::{EntryMode, Metadata};

impl ObjectStorage {
    /// All below `dir` in one listing; where that takes several pages, stretches of its directories side by side. StarRocks puts a snapshot's
    /// tables below a directory of the database, so one that stands alone is looked through.
    pub(super) async fn far_listing(&self, dir: &str, remote: Remote) -> Result<Vec<Entry>> {
        check("list", dir)?;
        let prefix = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
        let lister =
            self.operator.lister_with(&prefix).recursive(true).await.map_err(|error| failed("list", dir, error))?;
        let first: Vec<_> = lister.take(remote.page).try_collect().await.map_err(|error| failed("list", dir, error))?;
        if first.len() < remote.page {
            let found: Vec<_> = first.into_iter().filter_map(|entry| entry_of(dir, entry, true)).collect();
            if found.is_empty() {
                self.is_directory(dir).await?;
            }
            return Ok(found);
        }
        let mut found = Vec::new();
        let mut at = dir.to_owned();
        let directories = loop {
            let (below, files): (Vec<_>, Vec<_>) =
                self.listing(&at, false).await?.into_iter().partition(|entry| entry.kind == EntryKind::Directory);
            found.extend(files);
            match below.as_slice() {
                [alone] => at = alone.path.clone(),
                _ => break below,
            }
        };
        // A request for each of thousands of directories costs more than its answer brings: they are taken together, by the order of keys.
        let most =
            if self.operator.info().capability().list_with_start_after { 4 * remote.lists_at_once } else { usize::MAX };
        let mut names: Vec<String> = directories.into_iter().map(|directory| format!("{}/", directory.path)).collect();
        names.sort_unstable();
        let length = names.len().div_ceil(most).max(1);
        let stretches: Vec<Vec<String>> = names.chunks(length).map(<[String]>::to_vec).collect();
        let at = at.as_str();
        let listings = stretches.into_iter().map(|names| async move { self.stretch(at, &names).await });
        let below: Vec<_> =
            futures::stream::iter(listings).buffer_unordered(remote.lists_at_once).try_collect().await?;
        found.extend(below.into_iter().flatten());
        Ok(found)
    }

    /// All below some neighbouring directories of `dir`, given in order and with a slash behind each.
    async fn stretch(&self, dir: &str, directories: &[String]) -> Result<Vec<Entry>> {
        let (Some(first), Some(last)) = (directories.first(), directories.last()) else { return Ok(Vec::new()) };
        if first == last {
            return self.listing(first.trim_end_matches('/'), true).await;
        }
        let prefix = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
        let start = first.trim_end_matches('/');
        let listed = async {
            let mut lister = self.operator.lister_with(&prefix).recursive(true).start_after(start).await?;
            let mut found = Vec::new();
            while let Some(entry) = lister.try_next().await? {
                let path = entry.path();
                if path > last.as_str() && !path.starts_with(last.as_str()) {
                    break;
                }
                // Files that stand between the directories are known already.
                let at = directories.partition_point(|directory| directory.as_str() <= path);
                if at.checked_sub(1).and_then(|at| directories.get(at)).is_some_and(|found| path.starts_with(found)) {
                    found.extend(entry_of(dir, entry, true));
                }
            }
            Ok(found)
        };
        listed.await.map_err(|error| failed("list", dir, error))
    }

    pub(super) async fn listing(&self, dir: &str, recursive: bool) -> Result<Vec<Entry>> {
        check("list", dir)?;
        let prefix = if dir.is_empty() { "/".to_owned() } else { format!("{dir}/") };
        let listed = async {
            let lister = self.operator.lister_with(&prefix).recursive(recursive).await?;
            // Symbolic links of a filesystem are listed as of unknown kind: asking further would follow them.
            let ask = self.operator.info().scheme() != opendal::services::FS_SCHEME;
            lister
                .try_filter_map(|entry| async move {
                    match entry_of(dir, entry, recursive) {
                        Some(Entry { path, kind: EntryKind::Other, .. }) if ask && check("list", &path).is_ok() => {
                            Ok(Some(described(&path, &self.operator.stat(&path).await?)))
                        }
                        entry => Ok(entry),
                    }
                })
                .try_collect::<Vec<_>>()
                .await
        };
        let found = match listed.await {
            Ok(found) => found,
            Err(error) if error.kind() == opendal::ErrorKind::NotADirectory => Vec::new(),
            Err(error) => return Err(failed("list", dir, error)),
        };
        if found.is_empty() {
            self.is_directory(dir).await?;
        }
        Ok(found)
    }

    /// `NotFound` unless there is a directory `dir`, which may be empty.
    pub(super) async fn is_directory(&self, dir: &str) -> Result<()> {
        if dir.is_empty() {
            return Ok(());
        }
        match self.operator.stat(&format!("{dir}/")).await {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(no_directory(dir)),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => {
                // Without markers only a key below it shows that it is there.
                let mut lister = self
                    .operator
                    .lister_with(&format!("{dir}/"))
                    .limit(2)
                    .await
                    .map_err(|error| failed("list", dir, error))?;
                while let Some(entry) = lister.try_next().await.map_err(|error| failed("list", dir, error))? {
                    if entry.path().trim_end_matches('/') != dir {
                        return Ok(());
                    }
                }
                Err(no_directory(dir))
            }
            Err(error) if error.kind() == opendal::ErrorKind::NotADirectory => Err(no_directory(dir)),
            Err(error) => Err(failed("look at", dir, error)),
        }
    }
}

fn no_directory(dir: &str) -> RepositoryError {
    RepositoryError::new(ErrorKind::NotFound, "list", dir, "there is no such directory")
}

/// The entry below `dir`; none for the directory itself, and in a recursive listing for directories.
fn entry_of(dir: &str, entry: opendal::Entry, recursive: bool) -> Option<Entry> {
    let (path, metadata) = entry.into_parts();
    let rest = if dir.is_empty() { path.as_str() } else { path.strip_prefix(dir)?.strip_prefix('/')? };
    let directory = rest.ends_with('/');
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() || (directory && recursive) {
        return None;
    }
    let mut entry = described(path.strip_suffix('/').unwrap_or(&path), &metadata);
    let plain = check("list", &entry.path).is_ok() && (recursive || !rest.contains('/'));
    entry.kind = match entry.kind {
        _ if !plain => EntryKind::Other,
        _ if directory => EntryKind::Directory,
        kind => kind,
    };
    Some(entry)
}

pub(super) fn described(path: &str, metadata: &Metadata) -> Entry {
    let kind = match metadata.mode() {
        EntryMode::FILE => EntryKind::File,
        EntryMode::DIR => EntryKind::Directory,
        EntryMode::Unknown => EntryKind::Other,
    };
    let size = if kind == EntryKind::File { metadata.content_length() } else { 0 };
    Entry { path: path.to_owned(), kind, size, modified: metadata.last_modified().map(Into::into) }
}
