//! A snapshot of a repository as a source.

use super::{From, Place, SourceFile, Stored, TabletListing, check_names, foreign_names};
use crate::error::{RestoreError, Result};
use starsnap_catalog::layout::TabletPlace;
use starsnap_catalog::snapshot::{TableEntry, TabletEntry};
use starsnap_catalog::table_file::TableFile;
use starsnap_repository::reading::{Access, StoredFile};
use starsnap_repository::storage::EntryKind;
use starsnap_repository::{FileEntry, OpenSnapshot, Repository, TabletKey, md5};
use std::path::Path;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct RepositorySource {
    pub(super) repository: Repository,
    pub(super) snapshot: Arc<OpenSnapshot>,
}

impl RepositorySource {
    pub(super) fn describe(&self) -> String {
        format!(
            "repository {} at {}, snapshot {}@{}",
            self.repository.name(),
            self.repository.storage().describe(),
            self.snapshot.label,
            self.snapshot.timestamp
        )
    }

    pub(super) fn identity(&self) -> Vec<String> {
        vec![
            self.repository.storage().identity(),
            self.repository.path(""),
            self.snapshot.label.clone(),
            self.snapshot.timestamp.clone(),
        ]
    }

    pub(super) fn table_file(&self, table: usize) -> Option<TableFile> {
        let catalog = &self.snapshot.catalog;
        let entry = catalog.tables.get(table)?;
        Some(TableFile::of(catalog, entry, self.repository.name(), &self.snapshot.timestamp))
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let disagreements = self.snapshot.catalog.disagreements.iter();
        let disagreements = disagreements.map(|found| format!("{}: {}", found.object, found.what));
        self.snapshot.problems.iter().cloned().chain(disagreements).collect()
    }

    pub(super) fn tablet(&self, table: usize, place: &TabletPlace) -> TabletListing {
        let Some((key, tablet)) = self.find(table, place) else {
            return Err(vec![format!("{}: the snapshot's catalog has no such tablet", place.path())]);
        };
        let shown = self.repository.path(&format!("__ss_{}/__ss_content/{}", self.snapshot.label, key.path()));
        let Some(found) = self.snapshot.tablet(&key) else {
            return Err(vec![format!("{shown}: the tablet's directory is missing")]);
        };
        let mut problems = found.problems.clone();
        problems.extend(check_names(&shown, found.files.iter().map(|file| &*file.name)));
        for listed in &tablet.listed_files {
            let there = md5::split_name(listed)
                .is_some_and(|(name, digest)| found.files.iter().any(|file| &*file.name == name && file.md5 == digest));
            if !there {
                problems.push(format!("{shown}/{listed}: the file is missing"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(found.files.iter().map(|file| self.file(&key, file)).collect())
    }

    fn file(&self, key: &TabletKey, file: &FileEntry) -> SourceFile {
        SourceFile {
            name: file.name.to_string(),
            md5: Some(file.md5),
            size: file.size,
            stamp: None,
            place: Place::Store(self.repository.path(&self.snapshot.file_path(key, file))),
        }
    }

    pub(super) async fn stored(&self, table: usize, place: &TabletPlace) -> Stored {
        let mut stored = Stored { shown: place.path(), files: Vec::new(), problems: Vec::new(), lost: Vec::new() };
        let Some((key, tablet)) = self.find(table, place) else {
            stored.problems.push("the snapshot's catalog has no such tablet".into());
            return stored;
        };
        stored.shown = self.repository.path(&format!("__ss_{}/__ss_content/{}", self.snapshot.label, key.path()));
        let Some(found) = self.snapshot.tablet(&key) else {
            let entry = self.repository.storage().stat(&stored.shown).await;
            let empty = entry.is_ok_and(|entry| entry.kind == EntryKind::Directory);
            let what = if empty { "the tablet's directory is empty" } else { "the tablet's directory is missing" };
            stored.problems.push(what.into());
            return stored;
        };
        stored.files = found.files.iter().map(|file| self.file(&key, file)).collect();
        let there = |listed: &str| {
            let split = md5::split_name(listed);
            split.is_some_and(|(name, digest)| found.files.iter().any(|file| &*file.name == name && file.md5 == digest))
        };
        stored.lost = tablet.listed_files.iter().filter(|listed| !there(listed)).cloned().collect();
        // What is missing is said of each file by itself.
        stored.problems = found.problems.iter().filter(|problem| !problem.ends_with("is missing")).cloned().collect();
        stored.problems.extend(foreign_names(found.files.iter().map(|file| &*file.name)));
        stored
    }

    fn find(&self, table: usize, place: &TabletPlace) -> Option<(TabletKey, &TabletEntry)> {
        let entry = self.snapshot.catalog.tables.get(table)?;
        tablet_of(self.snapshot.catalog.database_id, entry, place)
    }

    /// A store either has all its files on local disk or none: it says so of any path, of one that it refuses too.
    pub(super) fn is_local(&self) -> bool {
        self.repository.storage().local_file("").is_some()
    }

    pub(super) async fn open(&self, file: &SourceFile, access: Option<Access>) -> Result<From> {
        let storage = self.repository.storage().clone();
        let name = file.shown();
        let opened = {
            let storage = storage.clone();
            let failed = |error| RestoreError::io("read", Path::new(&name), error);
            let path = name.clone();
            crate::blocking(move || storage.local_file(&path)).await.map_err(failed)?
        };
        Ok(match opened {
            Some(file) => From::Local(Arc::new(file?)),
            // An empty file must be there, too: that takes a question of its own.
            None => match access.filter(|_| file.size > 0) {
                Some(access) => From::Ahead(Box::new(self.repository.reading().open(storage, stored(file), access))),
                None => From::Store(storage, name),
            },
        })
    }

    pub(super) async fn forget(&self, file: &SourceFile) {
        self.repository.reading().forget(self.repository.storage().clone(), stored(file)).await;
    }
}

fn stored(file: &SourceFile) -> StoredFile {
    StoredFile { path: file.shown(), size: file.size, md5: file.md5, modified: None }
}

/// The tablet at `place`, and where its files stand in a repository.
pub(crate) fn tablet_of<'a>(
    database: i64,
    entry: &'a TableEntry,
    place: &TabletPlace,
) -> Option<(TabletKey, &'a TabletEntry)> {
    let physical = entry.partitions.get(place.partition)?.physicals.get(place.physical)?;
    let index = physical.indexes.get(place.index)?;
    let tablet = index.tablets.get(place.tablet)?;
    let key = TabletKey { database, table: entry.id, physical: physical.id, index: index.id, tablet: tablet.id };
    Some((key, tablet))
}
