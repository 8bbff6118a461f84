//! An opened snapshot: its catalog, and the files of its tablets.

use crate::md5::Md5;
use serde::{Deserialize, Serialize};
use starsnap_catalog::snapshot::Snapshot;

/// Which directory a tablet's files stand in: `__db_<db>/__tbl_<table>/__part_<physical>/__idx_<index>/__<tablet>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TabletKey {
    pub database: i64,
    pub table: i64,
    pub physical: i64,
    pub index: i64,
    pub tablet: i64,
}

impl TabletKey {
    /// Path below `__ss_content`.
    pub fn path(&self) -> String {
        format!(
            "__db_{}/__tbl_{}/__part_{}/__idx_{}/__{}",
            self.database, self.table, self.physical, self.index, self.tablet
        )
    }
}

/// A file of a tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Local name, the md5 suffix removed.
    pub name: Box<str>,
    pub md5: Md5,
    /// Bytes.
    pub size: u64,
}

/// The files of one tablet directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletFiles {
    pub key: TabletKey,
    /// By name, each name once.
    pub files: Vec<FileEntry>,
    /// What is wrong here, one sentence each: two md5 variants of one name (unless `__info` decides), a stray `.part`, a name without md5,
    /// a foreign file.
    pub problems: Vec<String>,
}

/// An opened snapshot. Cheap to clone behind an `Arc`; nothing of it changes, as stored content never does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenSnapshot {
    /// The label of the directory (`__ss_<label>`); RESTORE uses the one in `__info`, which `catalog.label` holds.
    pub label: String,
    /// A timestamp, or [`crate::repository::INCOMPLETE`].
    pub timestamp: String,
    pub catalog: Snapshot,
    /// What stands in `__ss_content`, by key; tablets of the catalog without a directory are not in it.
    pub tablets: Vec<TabletFiles>,
    /// Paths below the label directory that belong to no tablet of any form, with their sizes.
    pub strays: Vec<(String, u64)>,
    /// What is wrong with the snapshot as a whole, one sentence each: `__meta` missing or damaged, `__info` unreadable, disagreements.
    pub problems: Vec<String>,
    /// `__info` as stored, for `snapshot.json`; empty when missing.
    pub info: Vec<u8>,
}

impl OpenSnapshot {
    /// The files of a tablet; `None` when it has no directory.
    pub fn tablet(&self, key: &TabletKey) -> Option<&TabletFiles> {
        let at = self.tablets.binary_search_by_key(key, |tablet| tablet.key).ok()?;
        self.tablets.get(at)
    }

    /// What is wrong, when a completed backup's catalog cannot be had, so that names of what it holds are missing.
    pub fn without_catalog(&self) -> Option<&[String]> {
        let catalog = &self.catalog;
        let nothing = catalog.tables.is_empty() && catalog.functions.is_empty() && catalog.catalogs.is_empty();
        let lacks = catalog.tables.iter().any(|table| table.catalog.is_none()) || nothing;
        let completed = self.timestamp != crate::repository::INCOMPLETE;
        (completed && lacks && !self.problems.is_empty()).then_some(&*self.problems)
    }

    /// Path of a tablet's file from the repository's directory.
    pub fn file_path(&self, key: &TabletKey, file: &FileEntry) -> String {
        format!("__ss_{}/__ss_content/{}/{}.{}", self.label, key.path(), file.name, file.md5)
    }
}
