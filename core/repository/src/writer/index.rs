//! What other snapshots of the repository hold, so that it need not be sent again.

use crate::error::{ErrorKind, Result};
use crate::md5::{Md5, split_name};
use crate::repository::content::tablet_file;
use crate::repository::{CONTENT, LABEL_PREFIX, Repository};
use crate::storage::EntryKind;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Of more files the first are enough: what is not found is sent.
const MOST: usize = 2_000_000;
/// Smaller files fail to be copied for other reasons than their size.
const LARGE: u64 = 64 << 20;

/// Files of complete snapshots, by md5 and size.
#[derive(Debug)]
pub(super) struct StoredFiles {
    /// Label's place in `labels`, and path below its content without the md5.
    files: HashMap<(Md5, u64), (u32, Box<str>)>,
    labels: Vec<String>,
    /// The size from which on the store took too long to copy a file.
    too_long: AtomicU64,
}

impl StoredFiles {
    /// Lists all complete snapshots but `except`. One that cannot be listed is passed over: this only saves work.
    pub(super) async fn of(repository: &Repository, except: &str) -> Result<StoredFiles> {
        let mut stored = StoredFiles { files: HashMap::new(), labels: Vec::new(), too_long: AtomicU64::new(u64::MAX) };
        let labels = repository.labels().await?;
        for label in labels.iter().filter(|label| !label.timestamps.is_empty() && label.name != except) {
            let content = repository.path(&format!("{LABEL_PREFIX}{}/{CONTENT}", label.name));
            let listed = match repository.storage().list_recursive(&content).await {
                Ok(listed) => listed,
                Err(error) => {
                    if error.kind != ErrorKind::NotFound {
                        tracing::warn!("{error}");
                    }
                    continue;
                }
            };
            let place = u32::try_from(stored.labels.len()).unwrap_or(u32::MAX);
            stored.labels.push(content);
            let content = stored.labels.last().map_or("", String::as_str);
            for entry in listed.iter().filter(|entry| entry.kind == EntryKind::File) {
                let Some(path) = entry.path.strip_prefix(content).and_then(|path| path.strip_prefix('/')) else {
                    continue;
                };
                let Some((base, md5)) = split_name(path).filter(|_| tablet_file(path).is_some()) else { continue };
                if stored.files.len() < MOST {
                    stored.files.entry((md5, entry.size)).or_insert_with(|| (place, base.into()));
                }
            }
        }
        Ok(stored)
    }

    /// The store took too long to copy a file of that size. A larger one is not tried then: each would be waited for as long.
    pub(super) fn note_too_long(&self, size: u64) {
        if size >= LARGE {
            self.too_long.fetch_min(size, Ordering::Relaxed);
        }
    }

    /// Path of a file with that name, md5 and size, where it is worth while to have it copied.
    pub(super) fn path(&self, name: &str, md5: Md5, size: u64) -> Option<String> {
        if size >= self.too_long.load(Ordering::Relaxed) {
            return None;
        }
        let (label, base) = self.files.get(&(md5, size))?;
        let found = base.rsplit('/').next()?;
        let content = self.labels.get(usize::try_from(*label).ok()?)?;
        (found == name).then(|| format!("{content}/{base}.{md5}"))
    }
}
