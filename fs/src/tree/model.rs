//! What a tree says of its objects, and how it is set up.

use super::rows::RowsFile;
use bytes::Bytes;
use starsnap_repository::md5::Md5;
use std::time::{Duration, SystemTime};

/// Number of an object; also its inode number. The root is [`NodeId::ROOT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl NodeId {
    pub const ROOT: NodeId = NodeId(1);

    pub(super) fn new(slot: u32, local: u32) -> NodeId {
        NodeId(u64::from(slot) << 32 | u64::from(local))
    }

    /// Slot (0: the root's) and number in it.
    pub(super) fn parts(self) -> (u32, u32) {
        ((self.0 >> 32) as u32, self.0 as u32)
    }
}

/// Kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    Directory,
    File,
    Symlink,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    pub node: NodeId,
    /// A safe path component.
    pub name: Box<str>,
    pub kind: NodeKind,
}

/// What `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    pub kind: NodeKind,
    /// Bytes; 0 for directories, and for files of rows, whose size nobody knows before they were decoded.
    pub size: u64,
    /// The backup's time.
    pub mtime: SystemTime,
    /// How long this may be believed without asking again.
    pub fresh: Duration,
}

/// What a file's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// Made by us.
    Generated(Bytes),
    /// A file of the repository.
    Stored {
        /// Path from the store's root.
        path: String,
        size: u64,
        /// Known for the files of tablets.
        md5: Option<Md5>,
    },
    /// Decoded while it is read, of no known size.
    Rows(RowsFile),
}

/// Settings of a tree.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long the list of labels is believed.
    pub refresh: Duration,
    /// How long after a failure the same is not tried again.
    pub retry: Duration,
    /// How long a known list of labels serves while the store cannot be reached.
    pub outage: Duration,
    /// How long a new list is waited for while the known one would serve.
    pub patience: Duration,
    /// How long an incomplete or damaged snapshot is believed before it is looked at again.
    pub reread: Duration,
    /// Bytes of memory for opened snapshots, roughly; the one that is looked at is always kept.
    pub memory: u64,
    /// Bytes of memory for generated files.
    pub texts: usize,
    /// Show `rows.csv` and `rows.jsonl`.
    pub rows: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            refresh: Duration::from_secs(5),
            retry: Duration::from_secs(3),
            outage: Duration::from_secs(60),
            patience: Duration::from_secs(2),
            reread: Duration::from_secs(30),
            memory: 96 << 20,
            texts: 16 << 20,
            rows: true,
        }
    }
}

/// What never changes is believed for this long.
pub const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
