//! What a comparison found.

use crate::error::exit;
use crate::report::{JobStatus, ObjectKind};
use serde::Serialize;

/// What became of something from the old side to the new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Same,
    /// Only the new side has it.
    Added,
    /// Only the old side has it.
    Removed,
    Changed,
}

/// The whole comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiffReport {
    /// `Partial` where something could not be compared.
    pub status: JobStatus,
    /// Nothing differs.
    pub same: bool,
    pub old: Side,
    pub new: Side,
    /// By name; those that are the same too.
    pub objects: Vec<ObjectDiff>,
    /// What could not be compared, one sentence each.
    pub problems: Vec<String>,
    /// Worth knowing though all could be compared.
    pub notes: Vec<String>,
}

impl DiffReport {
    /// The process' exit code, see [`exit`].
    pub fn exit_code(&self) -> u8 {
        match self.status {
            JobStatus::Done if !self.same => exit::DIFFERENT,
            status => status.exit_code(),
        }
    }
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Where it is, in words.
    pub source: String,
    /// Empty for a database whose tables come from several snapshots.
    pub label: String,
    pub timestamp: String,
    pub database: String,
}

/// One table, view, function or external catalog.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObjectDiff {
    pub name: String,
    /// On the new side, where the comparison is of two tables with different names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    pub kind: ObjectKind,
    pub change: Change,
    /// Lines of the CREATE statement, without its partitions, that only one side has.
    pub schema: Vec<Line>,
    /// Partitions that differ.
    pub partitions: Vec<PartitionDiff>,
    /// Of all partitions.
    pub files: FileDiff,
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `Added` or `Removed`.
    pub change: Change,
    pub text: String,
}

/// A partition that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionDiff {
    pub name: String,
    pub change: Change,
    /// What is compared of it, on each side that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<PartitionSide>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<PartitionSide>,
    pub files: FileDiff,
}

/// A partition on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionSide {
    /// Of the data.
    pub version: i64,
    /// Range or list as the CREATE statement has it; none for an unpartitioned table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// Of the base index.
    pub tablets: u64,
}

/// Files of tablets, paired by their place (index, bucket, name); equal where size and md5 are.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FileDiff {
    pub same: u64,
    pub added: u64,
    pub added_bytes: u64,
    pub removed: u64,
    pub removed_bytes: u64,
    /// On both sides with another content.
    pub changed: u64,
    /// Bytes on each side, of all files.
    pub old_bytes: u64,
    pub new_bytes: u64,
    /// Each file that differs, when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<FileLine>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileLine {
    pub change: Change,
    /// Below the table's directory, on the new side where it has the file.
    pub path: String,
    /// Bytes, on the new side where it has the file.
    pub bytes: u64,
}

impl FileDiff {
    /// True when all files are the same.
    pub fn is_same(&self) -> bool {
        (self.added, self.removed, self.changed) == (0, 0, 0)
    }

    pub(super) fn add(&mut self, other: &FileDiff) {
        self.same += other.same;
        self.added += other.added;
        self.added_bytes += other.added_bytes;
        self.removed += other.removed;
        self.removed_bytes += other.removed_bytes;
        self.changed += other.changed;
        self.old_bytes += other.old_bytes;
        self.new_bytes += other.new_bytes;
    }
}
