//! From a snapshot's layout to numbered records.

use super::super::rows::{RowsFormat, RowsItem};
use super::{Item, Owner, Record};
use starsnap_catalog::layout::{ROWS_CSV, ROWS_JSONL, SnapshotLayout, TableLayout, escape, give_way};
use starsnap_catalog::snapshot::{PartitionKind, TableEntry, TableKind};
use starsnap_repository::OpenSnapshot;
use starsnap_repository::repository::INCOMPLETE;
use starsnap_repository::snapshot::TabletKey;
use std::collections::{BTreeMap, VecDeque};

/// Longest name that the kernel takes from a FUSE filesystem; one longer would fail the listing of its whole directory.
const LONGEST_NAME: usize = 1024;

/// Stored paths deeper than this are of nobody's making but an attacker's.
const DEEPEST: usize = 32;

/// Name of the directory for what no catalog knows, before it gives way.
const CONTENT: &str = "_content";

/// Name of the directory below the label's that holds tablets.
const STORED_CONTENT: &str = "__ss_content";

pub(super) struct Built {
    pub records: Vec<Record>,
    pub places: Vec<u32>,
    pub owners: Vec<Option<Owner>>,
}

/// A directory while it is being filled.
#[derive(Default)]
struct Directory(BTreeMap<String, Entry>);

struct Entry {
    item: Item,
    below: Directory,
}

impl Directory {
    /// Puts an entry; the first of a name stays.
    fn put(&mut self, name: &str, item: Item) -> Option<&mut Directory> {
        use std::collections::btree_map::Entry as Slot;
        if name.is_empty() || name.len() > LONGEST_NAME {
            tracing::warn!(name = %name.chars().take(80).collect::<String>(), "a stored name is too long to be shown");
            return None;
        }
        match self.0.entry(name.to_owned()) {
            Slot::Vacant(slot) => Some(&mut slot.insert(Entry { item, below: Directory::default() }).below),
            Slot::Occupied(_) => {
                tracing::warn!(name, "two stored objects have one name here, the first is shown");
                None
            }
        }
    }

    /// The directory of that name, made where it is missing; `None` when something else has the name.
    fn directory(&mut self, name: &str, item: Item) -> Option<&mut Directory> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return None;
        }
        let entry = self.0.entry(name.to_owned()).or_insert_with(|| Entry { item, below: Directory::default() });
        (entry.item == item).then_some(&mut entry.below)
    }
}

/// Lays out everything of `open`; files of rows where they are wanted.
pub(super) fn build(open: &mut OpenSnapshot, rows: bool) -> Built {
    let layout = SnapshotLayout::of(&open.catalog);
    // What is there of an incomplete backup is nobody's table.
    let rows = rows && open.timestamp != INCOMPLETE;
    let mut owners = vec![None; open.tablets.len()];
    let mut root = Directory::default();
    for (at, table) in open.catalog.tables.iter().enumerate() {
        let (Some(name), Ok(number)) = (layout.tables.get(at), u32::try_from(at)) else { continue };
        if table.kind == TableKind::View {
            root.put(name, Item::SchemaSql(number));
        } else if let Some(directory) = root.put(name, Item::Table(number)) {
            let layout = fill_table(directory, open, at, number, &mut owners);
            if let Some(layout) = layout.filter(|_| rows && table.holds_rows()) {
                fill_rows(directory, &layout, table, number);
            }
        }
    }
    for (name, number) in layout.functions.iter().zip(0..) {
        root.put(name, Item::FunctionSql(number));
    }
    if !open.catalog.catalogs.is_empty()
        && let Some(catalogs) = root.put(&layout.catalogs_dir, Item::Directory)
    {
        for (name, number) in layout.catalogs.iter().zip(0..) {
            catalogs.put(name, Item::CatalogSql(number));
        }
    }
    root.put(&layout.snapshot_json, Item::SnapshotJson);
    root.put(&layout.restore_sql, Item::RestoreSql);
    fill_unknown(&mut root, open, &owners);
    let (records, places) = number(root, open.tablets.len());
    Built { records, places, owners }
}

fn fill_table(
    directory: &mut Directory,
    open: &OpenSnapshot,
    at: usize,
    number: u32,
    owners: &mut [Option<Owner>],
) -> Option<TableLayout> {
    let entry = open.catalog.tables.get(at)?;
    let layout = TableLayout::of(entry);
    for (name, partition) in layout.partition_dirs.iter().zip(0..) {
        directory.put(name, Item::Partition { table: number, partition });
    }
    for place in &layout.tablets {
        let Some(partition) = entry.partitions.get(place.partition) else { continue };
        let Some(physical) = partition.physicals.get(place.physical) else { continue };
        let Some(index) = physical.indexes.get(place.index) else { continue };
        let Some(tablet) = index.tablets.get(place.tablet) else { continue };
        let key = TabletKey {
            database: open.catalog.database_id,
            table: entry.id,
            physical: physical.id,
            index: index.id,
            tablet: tablet.id,
        };
        // A tablet without a directory in the repository has none here either; `table.json` says so.
        let Ok(stored) = open.tablets.binary_search_by_key(&key, |tablet| tablet.key) else { continue };
        let Some(owner @ None) = owners.get_mut(stored) else { continue };
        let Some(below) = directory.0.get_mut(&place.partition_dir).map(|entry| &mut entry.below) else { continue };
        let below = match &place.rollup_dir {
            Some(rollup) => below.directory(rollup, Item::Directory),
            None => Some(below),
        };
        let Some(below) = below else { continue };
        let (Ok(stored), Ok(partition)) = (u32::try_from(stored), u32::try_from(place.partition)) else { continue };
        let (Ok(physical), Ok(index)) = (u32::try_from(place.physical), u32::try_from(place.index)) else { continue };
        if below.put(&place.tablet_dir, Item::Tablet(stored)).is_some() {
            *owner = Some(Owner { table: number, partition, physical, index });
        }
    }
    directory.put(&layout.table_json, Item::TableJson(number));
    directory.put(&layout.schema_sql, Item::SchemaSql(number));
    Some(layout)
}

/// Files of rows: of the table, and of each partition that can have some.
fn fill_rows(directory: &mut Directory, layout: &TableLayout, entry: &TableEntry, table: u32) {
    let rows = |partition, format| Item::Rows(RowsItem { table, partition, format });
    directory.put(&layout.rows_csv, rows(None, RowsFormat::Csv));
    directory.put(&layout.rows_jsonl, rows(None, RowsFormat::JsonLines));
    for ((name, partition), number) in layout.partition_dirs.iter().zip(&entry.partitions).zip(0..) {
        if partition.kind != PartitionKind::Normal {
            continue;
        }
        let Some(Entry { below, .. }) = directory.0.get_mut(name) else { continue };
        for (ours, format) in [(ROWS_CSV, RowsFormat::Csv), (ROWS_JSONL, RowsFormat::JsonLines)] {
            // A rollup may have the name.
            let name = give_way(ours, |name| below.0.contains_key(name));
            below.put(&name, rows(Some(number), format));
        }
    }
}

/// What stands in the repository and no catalog knows, under its stored path below the label's directory.
fn fill_unknown(root: &mut Directory, open: &OpenSnapshot, owners: &[Option<Owner>]) {
    let mut content = Directory::default();
    for ((tablet, owner), number) in open.tablets.iter().zip(owners).zip(0..) {
        if owner.is_none() {
            put_path(&mut content, &format!("{STORED_CONTENT}/{}", tablet.key.path()), Item::Tablet(number));
        }
    }
    for ((path, _), number) in open.strays.iter().zip(0..) {
        put_path(&mut content, path, Item::Stray(number));
    }
    if content.0.is_empty() {
        return;
    }
    let name = give_way(CONTENT, |name| root.0.contains_key(name));
    root.0.insert(name, Entry { item: Item::Directory, below: content });
}

fn put_path(root: &mut Directory, path: &str, item: Item) {
    let Some((directories, name)) = path.rsplit_once('/').or(Some(("", path))) else { return };
    let directories: Vec<&str> = directories.split('/').filter(|part| !part.is_empty()).collect();
    if directories.len() > DEEPEST {
        tracing::warn!("a stored path is too deep to be shown");
        return;
    }
    let mut at = root;
    for directory in directories {
        let Some(below) = at.directory(&escape(directory), Item::Directory) else {
            tracing::warn!(path, "a stored file stands where a directory must, it is not shown");
            return;
        };
        at = below;
    }
    at.put(&escape(name), item);
}

/// Numbers the records so that each directory's children follow each other, by name.
fn number(root: Directory, tablets: usize) -> (Vec<Record>, Vec<u32>) {
    let mut records = vec![Record { name: "".into(), item: Item::Snapshot, parent: 0, children: 0..0 }];
    let mut places = vec![0; tablets];
    let mut waiting = VecDeque::from([(0u32, root)]);
    while let Some((parent, directory)) = waiting.pop_front() {
        let start = len(&records);
        for (name, entry) in directory.0 {
            let number = len(&records);
            if let Item::Tablet(tablet) = entry.item
                && let Some(place) = places.get_mut(tablet as usize)
            {
                *place = number;
            }
            records.push(Record { name: name.into(), item: entry.item, parent, children: 0..0 });
            if !entry.below.0.is_empty() {
                waiting.push_back((number, entry.below));
            }
        }
        let end = len(&records);
        if let Some(record) = records.get_mut(parent as usize) {
            record.children = start..end;
        }
    }
    (records, places)
}

fn len(records: &[Record]) -> u32 {
    u32::try_from(records.len()).unwrap_or(u32::MAX)
}
