//! The tree of one opened snapshot, as compact as a mount of a hundred thousand files needs it: directories and our own files are nodes
//! of an arena; the files of tablets have no node, their numbers follow from their place.

mod build;

use super::rows::RowsItem;
use starsnap_catalog::layout;
use starsnap_repository::OpenSnapshot;
use starsnap_repository::snapshot::{FileEntry, TabletFiles};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// What a node of the arena is. Numbers are positions in the snapshot's own lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Item {
    /// The snapshot's directory.
    Snapshot,
    Table(u32),
    Partition {
        table: u32,
        partition: u32,
    },
    /// A tablet's directory; its files are its children.
    Tablet(u32),
    /// A directory that only holds others: of a rollup, `catalogs/`, what no catalog knows.
    Directory,
    SnapshotJson,
    RestoreSql,
    TableJson(u32),
    /// `schema.sql` of a table, or the `.sql` file of a view.
    SchemaSql(u32),
    FunctionSql(u32),
    CatalogSql(u32),
    /// `rows.csv` or `rows.jsonl`.
    Rows(RowsItem),
    /// A stored file that belongs to no tablet.
    Stray(u32),
}

impl Item {
    pub fn is_directory(self) -> bool {
        matches!(self, Item::Snapshot | Item::Table(_) | Item::Partition { .. } | Item::Tablet(_) | Item::Directory)
    }
}

#[derive(Debug)]
pub(super) struct Record {
    pub name: Box<str>,
    pub item: Item,
    pub parent: u32,
    /// Children by name; empty for tablets, whose files are no records.
    children: Range<u32>,
}

/// Which tablet of the catalog a tablet's directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub table: u32,
    pub partition: u32,
    pub physical: u32,
    pub index: u32,
}

/// A place in a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Record(&'a Record),
    File { tablet: &'a TabletFiles, file: &'a FileEntry, number: u32 },
}

/// An opened snapshot and the numbers of all that stands in it: 0 is its directory.
#[derive(Debug)]
pub(super) struct SnapshotTree {
    pub open: OpenSnapshot,
    pub mtime: SystemTime,
    /// Sum of all stored files, in bytes.
    pub bytes: u64,
    /// Number of all stored files.
    pub files: u64,
    /// Of everything that decides what a number means.
    pub fingerprint: u64,
    records: Vec<Record>,
    /// First file's number of each tablet, less the number of records.
    bases: Vec<u32>,
    /// The record of each tablet.
    places: Vec<u32>,
    owners: Vec<Option<Owner>>,
    /// Sizes of generated files, once known: they stay known when the text itself is forgotten.
    sizes: Vec<AtomicU64>,
}

const UNKNOWN: u64 = u64::MAX;

impl SnapshotTree {
    /// Numbers everything in `open`, files of rows only where they are wanted. `mtime` is for a snapshot whose own time is not known.
    pub fn new(mut open: OpenSnapshot, mtime: SystemTime, rows: bool) -> SnapshotTree {
        // Both are promised, but numbers must not depend on a promise about what may have come from a cache file.
        open.tablets.sort_by_key(|tablet| tablet.key);
        open.tablets.dedup_by_key(|tablet| tablet.key);
        for tablet in &mut open.tablets {
            tablet.files.sort_by(|a, b| a.name.cmp(&b.name));
            tablet.files.dedup_by(|a, b| a.name == b.name);
        }
        let mtime = super::time::of_millis(open.catalog.backup_time).unwrap_or(mtime);
        let built = build::build(&mut open, rows);
        let mut bases = Vec::with_capacity(open.tablets.len());
        let mut files = 0u32;
        for tablet in &open.tablets {
            bases.push(files);
            files = files.saturating_add(u32::try_from(tablet.files.len()).unwrap_or(u32::MAX));
        }
        let stored = open.tablets.iter().flat_map(|tablet| &tablet.files).map(|file| file.size);
        let bytes = stored.chain(open.strays.iter().map(|stray| stray.1)).fold(0u64, u64::saturating_add);
        let mut tree = SnapshotTree {
            mtime,
            bytes,
            files: u64::from(files).saturating_add(open.strays.len() as u64),
            fingerprint: 0,
            sizes: built.records.iter().map(|_| AtomicU64::new(UNKNOWN)).collect(),
            records: built.records,
            bases,
            places: built.places,
            owners: built.owners,
            open,
        };
        tree.fingerprint = tree.hash();
        tree
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for record in &self.records {
            (&record.name, record.item, record.parent).hash(&mut hasher);
        }
        for tablet in &self.open.tablets {
            tablet.key.hash(&mut hasher);
            for file in &tablet.files {
                (&file.name, file.md5, file.size).hash(&mut hasher);
            }
        }
        self.open.strays.hash(&mut hasher);
        self.open.problems.hash(&mut hasher);
        self.open.info.hash(&mut hasher);
        for table in &self.open.catalog.tables {
            (table.id, &table.catalog.as_ref().map(|text| &text.0)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Rough size in memory, in bytes.
    pub fn weight(&self) -> u64 {
        let texts =
            |texts: &[starsnap_catalog::snapshot::CatalogText]| -> usize { texts.iter().map(|t| t.0.len()).sum() };
        let catalog: usize =
            self.open.catalog.tables.iter().filter_map(|t| t.catalog.as_ref()).map(|t| t.0.len()).sum();
        let catalog = catalog + texts(&self.open.catalog.functions) + texts(&self.open.catalog.catalogs);
        (catalog + self.open.info.len() + self.records.len() * 112 + self.open.tablets.len() * 256) as u64
            + self.files * 112
    }

    /// What `number` is.
    pub fn place(&self, number: u32) -> Option<Place<'_>> {
        if let Some(record) = self.records.get(number as usize) {
            return Some(Place::Record(record));
        }
        let (tablet, files) = self.file_of(number)?;
        let tablet_files = self.open.tablets.get(tablet)?;
        let file = tablet_files.files.get(files)?;
        Some(Place::File { tablet: tablet_files, file, number: u32::try_from(tablet).ok()? })
    }

    /// Positions of the tablet and of the file in it.
    fn file_of(&self, number: u32) -> Option<(usize, usize)> {
        let ordinal = number.checked_sub(u32::try_from(self.records.len()).ok()?)?;
        // The last tablet that starts at or before it: those without files share their start with the next.
        let tablet = self.bases.partition_point(|base| *base <= ordinal).checked_sub(1)?;
        Some((tablet, (ordinal - self.bases.get(tablet)?) as usize))
    }

    /// Number of the directory that holds `number`; of the snapshot's own, itself.
    pub fn parent(&self, number: u32) -> Option<u32> {
        match self.records.get(number as usize) {
            Some(record) => Some(record.parent),
            None => self.places.get(self.file_of(number)?.0).copied(),
        }
    }

    /// The child of a directory by its name.
    pub fn child(&self, number: u32, name: &str) -> Option<u32> {
        let record = self.records.get(number as usize)?;
        if let Item::Tablet(tablet) = record.item {
            let files = &self.open.tablets.get(tablet as usize)?.files;
            let at = match layout::unescape(name) {
                Some(stored) => files.binary_search_by(|file| (*file.name).cmp(stored.as_str())).ok()?,
                None if layout::is_shortened(name) => {
                    files.iter().position(|file| layout::escape(&file.name) == name)?
                }
                None => return None,
            };
            return self.file_number(tablet, at);
        }
        let children = self.records.get(record.children.start as usize..record.children.end as usize)?;
        let at = children.binary_search_by(|child| (*child.name).cmp(name)).ok()?;
        record.children.start.checked_add(u32::try_from(at).ok()?)
    }

    fn file_number(&self, tablet: u32, at: usize) -> Option<u32> {
        let base = u32::try_from(self.records.len()).ok()?.checked_add(*self.bases.get(tablet as usize)?)?;
        base.checked_add(u32::try_from(at).ok()?)
    }

    /// Children of a directory: number, name, whether a directory.
    pub fn children(&self, number: u32) -> Vec<(u32, Cow<'_, str>, bool)> {
        let Some(record) = self.records.get(number as usize) else { return Vec::new() };
        if let Item::Tablet(tablet) = record.item {
            let files =
                self.open.tablets.get(tablet as usize).map(|tablet| tablet.files.as_slice()).unwrap_or_default();
            let numbered = files.iter().enumerate();
            return numbered
                .filter_map(|(at, file)| {
                    Some((self.file_number(tablet, at)?, Cow::Owned(layout::escape(&file.name)), false))
                })
                .collect();
        }
        record
            .children
            .clone()
            .filter_map(|child| {
                let record = self.records.get(child as usize)?;
                Some((child, Cow::Borrowed(&*record.name), record.item.is_directory()))
            })
            .collect()
    }

    /// The catalog's place of a tablet's directory; `None` for those that no catalog knows.
    pub fn owner(&self, tablet: u32) -> Option<Owner> {
        self.owners.get(tablet as usize).copied().flatten()
    }

    /// Size of a generated file, once it was told.
    pub fn generated_size(&self, number: u32) -> Option<u64> {
        let size = self.sizes.get(number as usize)?.load(Ordering::Acquire);
        (size != UNKNOWN).then_some(size)
    }

    /// Remembers the size of a generated file.
    pub fn set_generated_size(&self, number: u32, size: u64) {
        if let Some(known) = self.sizes.get(number as usize) {
            known.store(size, Ordering::Release);
        }
    }

    /// Whether another look at the repository may show more: a running or crashed backup, or one of which something could not be read.
    pub fn may_change(&self) -> bool {
        self.open.timestamp == starsnap_repository::repository::INCOMPLETE || !self.open.problems.is_empty()
    }
}
