//! `rows.csv` and `rows.jsonl`: the rows of a table or of one of its partitions, decoded while they are read.
//!
//! Nobody knows how long such a file is before all of it was decoded, so that its size is told as 0, as those of `/proc` are, and it is read
//! until it ends. Nothing is kept of it: each [`RowsReader`] decodes for itself.

mod decode;
mod files;
mod reader;

pub use reader::RowsReader;

use super::snapshot::{Place, SnapshotTree};
use super::source::Source;
use crate::error::{FsError, Result};
use starsnap_catalog::layout::{TableLayout, TabletPlace};
use starsnap_catalog::snapshot::TableEntry;
use starsnap_repository::md5;
use starsnap_repository::snapshot::{TabletFiles, TabletKey};
use starsnap_tablet::render::{CsvOptions, TextFormat};
use std::fmt::Display;
use std::sync::Arc;

/// What a file of rows is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RowsItem {
    /// Positions in the catalog. Without a partition it is the whole table.
    pub table: u32,
    pub partition: Option<u32>,
    pub format: RowsFormat,
}

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RowsFormat {
    /// As Stream Load reads it, without a header.
    Csv,
    JsonLines,
}

/// A file of rows that can be read. Cheap to clone.
#[derive(Clone)]
pub struct RowsFile(Arc<Inner>);

struct Inner {
    source: Arc<dyn Source>,
    snapshot: Arc<SnapshotTree>,
    item: RowsItem,
    /// Path in the tree, for messages.
    shown: String,
}

impl std::fmt::Debug for RowsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowsFile({})", self.0.shown)
    }
}

impl RowsFile {
    /// The file that is number `local` of `snapshot`. An error where not all of its tablets are there: the rows of the others are not the
    /// table's. Reads nothing of the store.
    pub(super) fn new(
        source: Arc<dyn Source>,
        snapshot: Arc<SnapshotTree>,
        local: u32,
        item: RowsItem,
    ) -> Result<RowsFile> {
        let shown = shown(&snapshot, local);
        let file = RowsFile(Arc::new(Inner { source, snapshot, item, shown }));
        file.tablets()?;
        Ok(file)
    }

    /// Path in the tree.
    pub fn shown(&self) -> &str {
        &self.0.shown
    }

    fn failed(&self, reason: impl Display) -> FsError {
        FsError::Rows { path: self.0.shown.clone(), reason: reason.to_string() }
    }

    fn format(&self) -> TextFormat {
        match self.0.item.format {
            RowsFormat::Csv => TextFormat::Csv(CsvOptions::default()),
            RowsFormat::JsonLines => TextFormat::JsonLines,
        }
    }

    fn entry(&self) -> Result<&TableEntry> {
        let entry = self.0.snapshot.open.catalog.tables.get(self.0.item.table as usize);
        entry.ok_or_else(|| self.failed("the snapshot has no such table"))
    }

    /// Positions of the tablets among the snapshot's, in the table's order.
    fn tablets(&self) -> Result<Vec<usize>> {
        let entry = self.entry()?;
        let layout = TableLayout::of(entry);
        let partition = self.0.item.partition.map(|at| at as usize);
        layout.tablets_with_rows(entry, partition, None).map(|place| self.tablet(entry, place)).collect()
    }

    /// Position of the tablet at `place`, of which everything must be there.
    fn tablet(&self, entry: &TableEntry, place: &TabletPlace) -> Result<usize> {
        let open = &self.0.snapshot.open;
        let physical = entry.partitions.get(place.partition).and_then(|p| p.physicals.get(place.physical));
        let index = physical.and_then(|physical| physical.indexes.get(place.index));
        let tablet = index.and_then(|index| index.tablets.get(place.tablet));
        let failed = |reason: &dyn Display| self.failed(format!("tablet {}: {reason}", place.path()));
        let (Some(physical), Some(index), Some(tablet)) = (physical, index, tablet) else {
            return Err(failed(&"the catalog does not have it"));
        };
        let key = TabletKey {
            database: open.catalog.database_id,
            table: entry.id,
            physical: physical.id,
            index: index.id,
            tablet: tablet.id,
        };
        let found = open.tablets.binary_search_by_key(&key, |tablet| tablet.key).ok();
        let Some((at, stored)) = found.and_then(|at| Some((at, open.tablets.get(at)?))) else {
            return Err(failed(&"the repository has no files of it"));
        };
        if let Some(problem) = stored.problems.first() {
            return Err(failed(problem));
        }
        let lost = tablet.listed_files.iter().find(|listed| !is_there(stored, listed));
        match lost {
            Some(lost) => Err(failed(&format!("the repository lacks its file {lost}"))),
            None if stored.files.is_empty() => Err(failed(&"the repository has no files of it")),
            None => Ok(at),
        }
    }
}

/// Whether a tablet has the file `<name>.<md5>`.
fn is_there(tablet: &TabletFiles, listed: &str) -> bool {
    md5::split_name(listed)
        .is_some_and(|(name, digest)| tablet.files.iter().any(|file| &*file.name == name && file.md5 == digest))
}

/// The path from the tree's root.
fn shown(snapshot: &SnapshotTree, local: u32) -> String {
    let mut names = Vec::new();
    let mut at = local;
    while let Some(Place::Record(record)) = snapshot.place(at)
        && at != 0
    {
        names.push(&*record.name);
        at = record.parent;
    }
    names.extend([&*snapshot.open.timestamp, &*snapshot.open.label]);
    names.reverse();
    names.join("/")
}
