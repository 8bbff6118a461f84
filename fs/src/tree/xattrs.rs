//! Extended attributes: what a name and a size do not tell.

use super::snapshot::{Item, Owner, Place, SnapshotTree};
use super::{At, Key, NodeId, Tree};
use crate::error::Result;
use starsnap_repository::snapshot::{FileEntry, TabletFiles};

/// What all names begin with.
pub const PREFIX: &str = "user.starsnap.";

/// Pairs of name (with its prefix) and value.
pub type Xattrs = Vec<(String, String)>;

impl Tree {
    /// The extended attributes of an object.
    pub async fn xattrs(&self, node: NodeId) -> Result<Xattrs> {
        let mut found = Found::default();
        match self.at(node).await? {
            At::Root => {
                found.add("repository", self.source.name());
                found.add("location", self.source.location());
            }
            At::Label(slot) => {
                if let Key::Label(label) = &slot.key {
                    found.add("label", label);
                    found.add("path", self.source.path(&format!("__ss_{label}")));
                }
            }
            At::Link(_) => {}
            At::Snapshot(_, tree, local) => match tree.place(local) {
                Some(Place::File { tablet, file, number }) => self.file(&mut found, &tree, tablet, file, number),
                Some(Place::Record(record)) => self.record(&mut found, &tree, record.item),
                None => {}
            },
        }
        Ok(found.0)
    }

    fn file(&self, found: &mut Found, tree: &SnapshotTree, tablet: &TabletFiles, file: &FileEntry, number: u32) {
        found.add("md5", file.md5);
        found.add("path", self.source.path(&tree.open.file_path(&tablet.key, file)));
        self.tablet(found, tree, tablet, number);
    }

    fn tablet(&self, found: &mut Found, tree: &SnapshotTree, tablet: &TabletFiles, number: u32) {
        found.add("tablet", tablet.key.tablet);
        if let Some(version) = tree.owner(number).and_then(|owner| version(tree, owner)) {
            found.add("version", version);
        }
    }

    fn record(&self, found: &mut Found, tree: &SnapshotTree, item: Item) {
        let open = &tree.open;
        match item {
            Item::Snapshot => {
                found.add("label", &open.label);
                found.add("timestamp", &open.timestamp);
                found.add("path", self.source.path(&format!("__ss_{}", open.label)));
                if !open.catalog.database.is_empty() {
                    found.add("database", &open.catalog.database);
                }
                found.add("problems", open.problems.len() + open.catalog.disagreements.len());
            }
            Item::Table(table) => {
                if let Some(entry) = open.catalog.tables.get(table as usize) {
                    found.add("table", &entry.name);
                    found.add("table_id", entry.id);
                }
            }
            Item::Partition { table, partition } => {
                let entry = open.catalog.tables.get(table as usize);
                if let Some(partition) = entry.and_then(|entry| entry.partitions.get(partition as usize)) {
                    found.add("partition", &partition.name);
                    found.add("partition_id", partition.id);
                    found.add("version", partition.version);
                }
            }
            Item::Tablet(number) => {
                if let Some(tablet) = open.tablets.get(number as usize) {
                    let path = format!("__ss_{}/__ss_content/{}", open.label, tablet.key.path());
                    found.add("path", self.source.path(&path));
                    self.tablet(found, tree, tablet, number);
                }
            }
            Item::Stray(at) => {
                if let Some((path, _)) = open.strays.get(at as usize) {
                    found.add("path", self.source.path(&format!("__ss_{}/{path}", open.label)));
                }
            }
            _ => {}
        }
    }
}

fn version(tree: &SnapshotTree, owner: Owner) -> Option<i64> {
    let table = tree.open.catalog.tables.get(owner.table as usize)?;
    let partition = table.partitions.get(owner.partition as usize)?;
    Some(partition.physicals.get(owner.physical as usize)?.version)
}

#[derive(Default)]
struct Found(Xattrs);

impl Found {
    fn add(&mut self, name: &str, value: impl ToString) {
        self.0.push((format!("{PREFIX}{name}"), value.to_string()));
    }
}
