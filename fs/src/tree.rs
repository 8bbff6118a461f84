//! The tree of labels, snapshots, tables and files, without FUSE.
//!
//! ```text
//! <label>/latest -> <timestamp>
//! <label>/<timestamp>/          or <label>/incomplete/
//!     snapshot.json restore.sql
//!     <table>/table.json schema.sql rows.csv rows.jsonl
//!     <table>/<partition>/rows.csv rows.jsonl [<rollup>/]<tablet>/<file>
//!     <view>.sql <function>.sql catalogs/<catalog>.sql
//!     _content/                 what stands there and no catalog knows, as it stands in the repository
//! ```
//!
//! Every object has a [`NodeId`] that means the same for as long as the [`Tree`] lives. Snapshots are opened when they are first looked
//! into, one at a time each, and forgotten when many others were used since.

mod content;
mod generated;
mod labels;
mod model;
mod rows;
mod slots;
mod snapshot;
mod source;
mod time;
pub mod xattrs;

#[cfg(test)]
mod tests;

pub use model::{Attributes, Child, Content, FOREVER, NodeId, NodeKind, Options};
pub use rows::{RowsFile, RowsReader};
pub use source::Source;

use crate::error::{FsError, Result};
use labels::{LATEST, Labels, List, Shown};
use slots::{Kept, Key, Slot, Slots};
use snapshot::{Item, Place, SnapshotTree};
use starsnap_repository::Repository;
use starsnap_repository::cache::IndexCache;
use starsnap_repository::repository::INCOMPLETE;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Number of `latest` in a label's slot.
const LINK: u32 = 1;

/// A repository's tree.
#[derive(Debug)]
pub struct Tree {
    source: Arc<dyn Source>,
    options: Options,
    labels: Arc<Labels>,
    slots: Arc<Slots>,
    texts: generated::Texts,
    born: SystemTime,
}

/// Where a node is.
enum At {
    Root,
    Label(Arc<Slot>),
    Link(Arc<Slot>),
    Snapshot(Arc<Slot>, Arc<SnapshotTree>, u32),
}

impl Tree {
    /// The tree of a repository; opened snapshots are kept in `cache` too.
    pub fn new(repository: Arc<Repository>, cache: Option<IndexCache>, options: Options) -> Tree {
        Tree::of(Arc::new(source::RepositorySource { repository, cache }), options)
    }

    /// The tree of any source.
    pub fn of(source: Arc<dyn Source>, options: Options) -> Tree {
        let texts = generated::Texts::new(options.texts);
        Tree { source, texts, options, labels: Arc::default(), slots: Arc::default(), born: SystemTime::now() }
    }

    /// Where the labels and snapshots come from.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Finds an object by its path from the root, `/`-separated. `latest` is followed where something stands after it.
    pub async fn lookup(&self, path: &str) -> Result<NodeId> {
        let mut node = NodeId::ROOT;
        let mut names = path.split('/').filter(|name| !name.is_empty() && *name != ".").peekable();
        let looking_into = path.ends_with('/');
        while let Some(name) = names.next() {
            node = match name {
                ".." => self.parent(node).await?,
                name => self.child(node, name).await?,
            };
            if (names.peek().is_some() || looking_into) && node.parts().1 == LINK && node != NodeId::ROOT {
                node = self.follow(node).await?;
            }
        }
        Ok(node)
    }

    /// The snapshot that `node` is in, and what is wrong with it, when its catalog cannot be had.
    pub async fn without_catalog(&self, node: NodeId) -> Result<Option<(String, Vec<String>)>> {
        let At::Snapshot(_, tree, _) = self.at(node).await? else { return Ok(None) };
        let name = || format!("{}@{}", tree.open.label, tree.open.timestamp);
        Ok(tree.open.without_catalog().map(|problems| (name(), problems.to_vec())))
    }

    /// What a symbolic link stands for; anything else stands for itself.
    pub async fn follow(&self, node: NodeId) -> Result<NodeId> {
        match self.at(node).await? {
            At::Link(slot) => {
                let target = self.link_target(&slot).await?;
                self.child(NodeId::new(slot.number, 0), &target).await
            }
            _ => Ok(node),
        }
    }

    /// The child of a directory by its name.
    pub async fn child(&self, directory: NodeId, name: &str) -> Result<NodeId> {
        let missing = || FsError::NotFound(name.to_owned());
        match self.at(directory).await? {
            At::Root => {
                let list = self.list().await?;
                list.shown.get(name).map(|shown| NodeId::new(shown.slot, 0)).ok_or_else(missing)
            }
            At::Label(slot) => {
                let list = self.list().await?;
                let shown = list.of_slot(slot.number).ok_or_else(missing)?;
                if name == LATEST && shown.latest.is_some() {
                    return Ok(NodeId::new(slot.number, LINK));
                }
                let key = shown.snapshots.get(name).ok_or_else(missing)?;
                let snapshot = self.current(key, slot.number).await;
                Ok(NodeId::new(snapshot, 0))
            }
            At::Link(_) => Err(FsError::NotDirectory(LATEST.into())),
            At::Snapshot(slot, tree, local) => {
                if !is_directory(&tree, local) {
                    return Err(FsError::NotDirectory(name.to_owned()));
                }
                tree.child(local, name).map(|child| NodeId::new(slot.number, child)).ok_or_else(missing)
            }
        }
    }

    /// Entries of a directory, by name.
    pub async fn children(&self, directory: NodeId) -> Result<Vec<Child>> {
        let child = |node, name: &str, kind| Child { node, name: name.into(), kind };
        match self.at(directory).await? {
            At::Root => {
                let list = self.list().await?;
                let labels = list.shown.iter();
                Ok(labels.map(|(name, shown)| child(NodeId::new(shown.slot, 0), name, NodeKind::Directory)).collect())
            }
            At::Label(slot) => {
                let list = self.list().await?;
                let shown = list.of_slot(slot.number).ok_or_else(|| FsError::NotFound(label_of(&slot).to_owned()))?;
                let mut children = Vec::with_capacity(shown.snapshots.len() + 1);
                for (name, key) in &shown.snapshots {
                    let number = self.slots.number(key, slot.number, time::of_timestamp(name));
                    children.push(child(NodeId::new(number, 0), name, NodeKind::Directory));
                }
                if shown.latest.is_some() {
                    children.push(child(NodeId::new(slot.number, LINK), LATEST, NodeKind::Symlink));
                }
                Ok(children)
            }
            At::Link(_) => Err(FsError::NotDirectory(LATEST.into())),
            At::Snapshot(slot, tree, local) => {
                if !is_directory(&tree, local) {
                    return Err(FsError::NotDirectory(name_of(&tree, local)));
                }
                let kind = |directory| if directory { NodeKind::Directory } else { NodeKind::File };
                let children = tree.children(local).into_iter();
                Ok(children
                    .map(|(number, name, directory)| child(NodeId::new(slot.number, number), &name, kind(directory)))
                    .collect())
            }
        }
    }

    /// The directory that holds an object; the root holds itself.
    pub async fn parent(&self, node: NodeId) -> Result<NodeId> {
        Ok(match self.at(node).await? {
            At::Root | At::Label(_) => NodeId::ROOT,
            At::Link(slot) => NodeId::new(slot.number, 0),
            At::Snapshot(slot, _, 0) => NodeId::new(slot.above, 0),
            At::Snapshot(slot, tree, local) => NodeId::new(slot.number, tree.parent(local).unwrap_or(0)),
        })
    }

    /// What `stat` tells. Generates a file of ours for its size when nobody asked before.
    pub async fn attributes(&self, node: NodeId) -> Result<Attributes> {
        if let Some(attributes) = self.known_attributes(node) {
            return Ok(attributes);
        }
        match self.at(node).await? {
            At::Root => {
                let list = self.list().await?;
                Ok(self.directory(list.mtime, self.options.refresh))
            }
            At::Label(slot) => Ok(self.directory(slot.mtime, self.options.refresh)),
            At::Link(slot) => {
                let target = self.link_target(&slot).await?;
                let mtime = slot.mtime.unwrap_or(self.born);
                Ok(Attributes {
                    kind: NodeKind::Symlink,
                    size: target.len() as u64,
                    mtime,
                    fresh: self.options.refresh,
                })
            }
            At::Snapshot(slot, tree, local) => {
                let size = match tree.place(local) {
                    None => return Err(stale(&slot)),
                    Some(Place::File { file, .. }) => Some(file.size),
                    Some(Place::Record(record)) if record.item.is_directory() => None,
                    Some(Place::Record(record)) => Some(self.record_size(&slot, &tree, local, record.item)?),
                };
                let kind = if size.is_some() { NodeKind::File } else { NodeKind::Directory };
                Ok(Attributes { kind, size: size.unwrap_or(0), mtime: tree.mtime, fresh: FOREVER })
            }
        }
    }

    /// [`Tree::attributes`] of what needs neither the store nor much work; `None` for the rest.
    pub fn known_attributes(&self, node: NodeId) -> Option<Attributes> {
        let (slot, local) = node.parts();
        let slot = self.slots.get(slot)?;
        let tree = match slot.key {
            Key::Label(_) if local == 0 => return Some(self.directory(slot.mtime, self.options.refresh)),
            Key::Label(_) => return None,
            Key::Snapshot { .. } => slot.tree()?,
        };
        let (kind, size) = match tree.place(local)? {
            Place::File { file, .. } => (NodeKind::File, file.size),
            Place::Record(record) if record.item.is_directory() => (NodeKind::Directory, 0),
            Place::Record(record) => match record.item {
                Item::Stray(at) => (NodeKind::File, tree.open.strays.get(at as usize)?.1),
                Item::Rows(_) => (NodeKind::File, 0),
                _ => (NodeKind::File, tree.generated_size(local)?),
            },
        };
        Some(Attributes { kind, size, mtime: tree.mtime, fresh: FOREVER })
    }

    /// Attributes for what is not there or not known.
    pub fn nothing(&self) -> Attributes {
        Attributes { kind: NodeKind::File, size: 0, mtime: self.born, fresh: Duration::ZERO }
    }

    /// Target of a symbolic link.
    pub async fn read_link(&self, node: NodeId) -> Result<String> {
        match self.at(node).await? {
            At::Link(slot) => self.link_target(&slot).await,
            _ => Err(FsError::NotLink(format!("node {}", node.0))),
        }
    }

    /// Bytes and files of the snapshot that a node belongs to; of all opened ones for what is above them.
    pub async fn totals(&self, node: NodeId) -> Result<(u64, u64)> {
        if let At::Snapshot(_, tree, _) = self.at(node).await? {
            return Ok((tree.bytes, tree.files));
        }
        let opened = self.slots.opened();
        Ok(opened.iter().fold((0, 0), |(bytes, files), tree| (bytes + tree.bytes, files + tree.files)))
    }

    /// How long a name in `directory` may be believed to stand for its number.
    pub fn names_fresh(&self, directory: NodeId) -> Duration {
        let slot = self.slots.get(directory.parts().0);
        match slot {
            Some(slot) if matches!(slot.key, Key::Snapshot { .. }) => FOREVER,
            _ => self.options.refresh,
        }
    }

    /// Makes the next look at the list of labels a fresh one.
    pub fn refresh(&self) {
        self.labels.expire();
    }

    async fn list(&self) -> Result<Arc<List>> {
        let (source, slots) = (self.source.clone(), self.slots.clone());
        self.labels.list(&labels::From { source, slots, options: self.options.clone() }).await
    }

    /// What a number stands for; opens the snapshot where it must.
    async fn at(&self, node: NodeId) -> Result<At> {
        if node == NodeId::ROOT {
            return Ok(At::Root);
        }
        let (number, local) = node.parts();
        let unknown = || FsError::Stale(format!("node {}", node.0));
        let slot = self.slots.get(number).ok_or_else(unknown)?;
        match (&slot.key, local) {
            (Key::Label(_), 0) => Ok(At::Label(slot)),
            (Key::Label(_), LINK) => Ok(At::Link(slot)),
            (Key::Label(_), _) => Err(unknown()),
            (Key::Snapshot { .. }, local) => {
                let tree = self.opened(&slot).await?;
                tree.place(local).ok_or_else(unknown)?;
                Ok(At::Snapshot(slot, tree, local))
            }
        }
    }

    /// The snapshot of a slot, opened now or before.
    async fn opened(&self, slot: &Arc<Slot>) -> Result<Arc<SnapshotTree>> {
        if let Some(tree) = slot.tree() {
            return Ok(tree);
        }
        let _one_at_a_time = slot.opening.lock().await;
        if let Some(tree) = slot.tree() {
            return Ok(tree);
        }
        if slot.replaced() {
            return Err(stale(slot));
        }
        if let Some(error) = slot.failure(self.options.retry) {
            return Err(error);
        }
        let tree = self.open(slot).await.inspect_err(|error| slot.fail(error.clone()))?;
        match slot.keep(&tree) {
            Kept::Opened => {
                self.slots.shed(self.options.memory, slot.number);
                Ok(tree)
            }
            Kept::Replaced => Err(stale(slot)),
        }
    }

    async fn open(&self, slot: &Slot) -> Result<Arc<SnapshotTree>> {
        let Key::Snapshot { label, timestamp, .. } = &slot.key else { return Err(stale(slot)) };
        let open = self.source.open(label, timestamp).await.inspect_err(|error| {
            tracing::warn!(%error, "snapshot {label}@{timestamp} cannot be opened");
        })?;
        let mut mtime = slot.mtime;
        if mtime.is_none() {
            // Nothing in a backup that was never finished tells when it was.
            let directory = self.source.storage().stat(&self.source.path(&format!("__ss_{label}"))).await;
            mtime = directory.ok().and_then(|entry| entry.modified);
        }
        let tree = SnapshotTree::new(open, mtime.unwrap_or(self.born), self.options.rows);
        report(&tree);
        give_back();
        Ok(Arc::new(tree))
    }

    /// The slot for `key`; a new one where the content is not what it was.
    async fn current(&self, key: &Key, above: u32) -> u32 {
        let mtime = match key {
            Key::Snapshot { timestamp, .. } => time::of_timestamp(timestamp),
            Key::Label(_) => None,
        };
        let number = self.slots.number(key, above, mtime);
        let Some(slot) = self.slots.get(number) else { return number };
        let due = slot.tree().is_some_and(|tree| tree.may_change())
            && slot.opened().is_some_and(|opened| opened.elapsed() >= self.options.reread);
        if !due && !slot.replaced() {
            return number;
        }
        let _one_at_a_time = slot.opening.lock().await;
        if !slot.replaced() && slot.opened().is_some_and(|opened| opened.elapsed() < self.options.reread) {
            return number;
        }
        // A failure leaves what was known in its place.
        let Ok(tree) = self.open(&slot).await else { return number };
        if let Kept::Opened = slot.keep(&tree) {
            return number;
        }
        match self.slots.renew(&slot) {
            Some(new) => {
                new.keep(&tree);
                new.number
            }
            None => number,
        }
    }

    async fn link_target(&self, slot: &Slot) -> Result<String> {
        let list = self.list().await?;
        let latest = list.of_slot(slot.number).and_then(|shown: &Shown| shown.latest.clone());
        latest.ok_or_else(|| FsError::NotFound(LATEST.into()))
    }

    fn directory(&self, mtime: Option<SystemTime>, fresh: Duration) -> Attributes {
        Attributes { kind: NodeKind::Directory, size: 0, mtime: mtime.unwrap_or(self.born), fresh }
    }
}

fn is_directory(tree: &SnapshotTree, local: u32) -> bool {
    matches!(tree.place(local), Some(Place::Record(record)) if record.item.is_directory())
}

fn name_of(tree: &SnapshotTree, local: u32) -> String {
    match tree.place(local) {
        Some(Place::File { file, .. }) => file.name.to_string(),
        Some(Place::Record(record)) if record.name.is_empty() => tree.open.timestamp.clone(),
        Some(Place::Record(record)) => record.name.to_string(),
        None => String::new(),
    }
}

fn label_of(slot: &Slot) -> &str {
    match &slot.key {
        Key::Label(label) | Key::Snapshot { label, .. } => label,
    }
}

fn stale(slot: &Slot) -> FsError {
    FsError::Stale(match &slot.key {
        Key::Label(label) => label.clone(),
        Key::Snapshot { label, timestamp, .. } => format!("{label}/{timestamp}"),
    })
}

/// Gives memory back to the system: reading a catalog takes several times what is kept of it.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes no pointers, and may be made at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Tells the log what is wrong with a snapshot, once when it is opened.
fn report(tree: &SnapshotTree) {
    let open = &tree.open;
    for problem in &open.problems {
        tracing::warn!("snapshot {}@{}: {problem}", open.label, open.timestamp);
    }
    if open.timestamp == INCOMPLETE {
        tracing::warn!("snapshot {} is incomplete: it has no __info, its backup runs or crashed", open.label);
    }
    for table in &open.catalog.tables {
        let problems = generated::problems(tree, table);
        if let Some((first, more)) = problems.split_first() {
            let (label, at, name, more) = (&open.label, &open.timestamp, &table.name, more.len());
            tracing::warn!(more, "table {name} of snapshot {label}@{at}: {first} (table.json lists all)");
        }
    }
}
