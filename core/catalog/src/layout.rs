//! The table directory and the snapshot directory: which names stand where. The mount, the warehouse and `starsnap ls` all ask here,
//! so that they show one shape.
//!
//! Stored names that are not safe path components are escaped, reversibly. Where two names meet, stored objects keep theirs and
//! our own files give way.

use crate::snapshot::{Snapshot, TableEntry};

/// Escapes a stored name into one safe path component, and back ([`unescape`]). Safe names stay as they are.
pub fn escape(name: &str) -> String {
    let _ = name;
    todo!()
}

/// The stored name of a path component; `None` when no stored name escapes to it.
pub fn unescape(component: &str) -> Option<String> {
    let _ = component;
    todo!()
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
    /// Names of our files here, after giving way: `table.json`, `schema.sql`.
    pub table_json: String,
    pub schema_sql: String,
}

impl TableLayout {
    /// The layout of `entry`'s directory.
    pub fn of(entry: &TableEntry) -> TableLayout {
        let _ = entry;
        todo!()
    }
}

/// Layout of one snapshot's directory (`<label>/<timestamp>/`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLayout {
    /// For each entry of `tables`: a directory name, or `<name>.sql` for views.
    pub tables: Vec<String>,
    /// For each of `functions`: a file name, `<name>.sql`, with argument types where overloaded.
    pub functions: Vec<String>,
    /// For each of `catalogs`: a file name below `catalogs_dir`.
    pub catalogs: Vec<String>,
    pub catalogs_dir: String,
    pub snapshot_json: String,
    pub restore_sql: String,
}

impl SnapshotLayout {
    /// The layout of `snapshot`'s directory.
    pub fn of(snapshot: &Snapshot) -> SnapshotLayout {
        let _ = snapshot;
        todo!()
    }
}
