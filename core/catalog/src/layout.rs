//! The table directory and the snapshot directory: which names stand where. The mount, the warehouse and `starsnap ls` all ask here,
//! so that they show one shape.
//!
//! Stored names that are not safe path components are escaped, reversibly. Where two names meet, stored objects keep theirs and
//! our own files give way. `docs/NAMES.md` tells users the rules.

mod names;
mod snapshot;

pub use names::{MAX_ESCAPED, escape, escape_rollup, give_way, is_shortened, unescape, unescape_rollup};
pub use snapshot::SnapshotLayout;

use crate::snapshot::{IndexEntry, PartitionEntry, PartitionKind, TableEntry};
use names::Names;
use std::collections::HashMap;

/// Name of the file with the catalog object, before it gives way.
pub const TABLE_JSON: &str = "table.json";
/// Name of the file with the CREATE statement, before it gives way.
pub const SCHEMA_SQL: &str = "schema.sql";
/// Name of the rows as CSV that the mount shows, before it gives way.
pub const ROWS_CSV: &str = "rows.csv";
/// Name of the rows as JSON lines that the mount shows, before it gives way.
pub const ROWS_JSONL: &str = "rows.jsonl";

/// What a temporary partition's directory ends in: it may have a normal partition's name.
const TEMPORARY: &str = "%temporary";

/// The directory of a partition below its table's. Shadow partitions begin with a dot, so that `ls` hides and `cp -r` copies them;
/// temporary ones end in `%temporary`. No stored name escapes to either.
pub fn partition_dir(kind: PartitionKind, name: &str) -> String {
    match kind {
        PartitionKind::Normal => escape(name),
        PartitionKind::Shadow => format!(".{}", escape(name)),
        PartitionKind::Temporary => format!("{}{TEMPORARY}", escape(name)),
    }
}

/// The partition of a directory that [`partition_dir`] named; `None` when it is none, or its name was shortened.
pub fn partition_of_dir(component: &str) -> Option<(PartitionKind, String)> {
    if let Some(rest) = component.strip_prefix('.') {
        unescape(rest).map(|name| (PartitionKind::Shadow, name))
    } else if let Some(rest) = component.strip_suffix(TEMPORARY) {
        unescape(rest).map(|name| (PartitionKind::Temporary, name))
    } else {
        unescape(component).map(|name| (PartitionKind::Normal, name))
    }
}

/// Finds `ours` in a directory whose stored names may have made it give way: the first of `x`, `_x`, `__x`, … that `is_file` says is a
/// regular file (what it gave way to are directories).
pub fn find_ours(ours: &str, is_file: impl Fn(&str) -> bool, exists: impl Fn(&str) -> bool) -> Option<String> {
    let mut name = ours.to_owned();
    while name.len() <= 255 && exists(&name) {
        if is_file(&name) {
            return Some(name);
        }
        name.insert(0, '_');
    }
    None
}

/// Position of a tablet in a [`TableEntry`], and its directory below the table's: `p1/10023` or `p1/<rollup>/10024`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabletPlace {
    /// Indexes into `partitions`, `physicals`, `indexes`, `tablets`.
    pub partition: usize,
    pub physical: usize,
    pub index: usize,
    pub tablet: usize,
    /// Directory of the partition, one component.
    pub partition_dir: String,
    /// Directory of the rollup below it; none for the base index.
    pub rollup_dir: Option<String>,
    /// The tablet id as a directory name.
    pub tablet_dir: String,
}

impl TabletPlace {
    /// The path below the table directory, `/`-separated.
    pub fn path(&self) -> String {
        match &self.rollup_dir {
            Some(rollup) => format!("{}/{}/{}", self.partition_dir, rollup, self.tablet_dir),
            None => format!("{}/{}", self.partition_dir, self.tablet_dir),
        }
    }
}

/// Layout of one table directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    /// Directory name of each partition, in the entry's order.
    pub partition_dirs: Vec<String>,
    /// All tablets, in the entry's order.
    pub tablets: Vec<TabletPlace>,
    /// Names of our files here, after giving way: `table.json`, `schema.sql`, and the mount's `rows.csv` and `rows.jsonl`.
    pub table_json: String,
    pub schema_sql: String,
    pub rows_csv: String,
    pub rows_jsonl: String,
}

impl TableLayout {
    /// The layout of `entry`'s directory.
    pub fn of(entry: &TableEntry) -> TableLayout {
        let mut names = Names::default();
        let mut partition_dirs = Vec::with_capacity(entry.partitions.len());
        let mut tablets = Vec::new();
        for (at, partition) in entry.partitions.iter().enumerate() {
            let dir = names.claim(&partition_dir(partition.kind, &partition.name), "");
            place_tablets(at, partition, &dir, &mut tablets);
            partition_dirs.push(dir);
        }
        TableLayout {
            table_json: names.ours(TABLE_JSON),
            schema_sql: names.ours(SCHEMA_SQL),
            rows_csv: names.ours(ROWS_CSV),
            rows_jsonl: names.ours(ROWS_JSONL),
            partition_dirs,
            tablets,
        }
    }

    /// The tablets whose rows are those of `entry`, of which this is the layout, or of one of its partitions: of the base index, or of the
    /// rollup `index`; in the table's order. Of the table as a whole, StarRocks' own partition for rows to come has none, and those of a
    /// REPLACE under way are not part of it.
    pub fn tablets_with_rows<'a>(
        &'a self,
        entry: &'a TableEntry,
        partition: Option<usize>,
        index: Option<&'a str>,
    ) -> impl Iterator<Item = &'a TabletPlace> {
        let normal = |at: usize| entry.partitions.get(at).is_some_and(|p| p.kind == PartitionKind::Normal);
        self.tablets.iter().filter(move |place| {
            let found = entry.partitions.get(place.partition).and_then(|p| p.physicals.get(place.physical));
            let found = found.and_then(|physical| physical.indexes.get(place.index));
            partition.map_or_else(|| normal(place.partition), |only| place.partition == only)
                && found.is_some_and(|found| index.map_or(found.base, |name| found.name == name))
        })
    }
}

fn place_tablets(partition: usize, entry: &PartitionEntry, partition_dir: &str, out: &mut Vec<TabletPlace>) {
    // Physical partitions share the directories: one per rollup, however many of them there are.
    let mut rollup_dirs: HashMap<&str, String> = HashMap::new();
    let mut names = Names::default();
    let mut ids: HashMap<(Option<&str>, i64), u64> = HashMap::new();
    for (physical, physical_entry) in entry.physicals.iter().enumerate() {
        for (index, IndexEntry { name, base, tablets, .. }) in physical_entry.indexes.iter().enumerate() {
            let rollup = (!base).then_some(name.as_str());
            let rollup_dir = rollup
                .map(|name| rollup_dirs.entry(name).or_insert_with(|| names.claim(&escape_rollup(name), "")).clone());
            for (tablet, tablet_entry) in tablets.iter().enumerate() {
                // Ids are unique in a sound catalog; a damaged one must not put two tablets into one directory.
                let count = ids.entry((rollup, tablet_entry.id)).or_default();
                *count += 1;
                let tablet_dir = match *count {
                    1 => tablet_entry.id.to_string(),
                    number => format!("{}%#{number}", tablet_entry.id),
                };
                let (partition_dir, rollup_dir) = (partition_dir.to_owned(), rollup_dir.clone());
                out.push(TabletPlace { partition, physical, index, tablet, partition_dir, rollup_dir, tablet_dir });
            }
        }
    }
}
