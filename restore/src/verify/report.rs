//! What a verification found.

use crate::error::exit;
use crate::report::{JobStatus, ObjectKind};
use serde::Serialize;

/// How closely is looked; each level does what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Names and completeness: the catalog, the headers, and every file that those and `__info` name.
    Quick,
    /// The bytes of every file against the md5 in its name.
    Md5,
    /// The checksum of every page of every segment.
    Pages,
    /// Every value decoded, and rows counted.
    Rows,
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Something that must be there is not.
    Missing,
    /// Bytes are not what was written.
    Damaged,
    /// Things contradict each other, or stand where they should not.
    Inconsistent,
    /// Could not be looked at: unreadable now, or in a form that is not supported. It may be sound.
    Unchecked,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// The file or directory, as a path in the repository, or a local one; empty for the snapshot as a whole.
    pub path: String,
    /// What is wrong, a sentence.
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// Where in the file, in bytes, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Finding {
    pub(crate) fn new(kind: FindingKind, path: impl Into<String>, what: impl Into<String>) -> Finding {
        Finding { kind, path: path.into(), what: what.into(), expected: None, actual: None, offset: None }
    }

    pub(crate) fn differs(mut self, expected: impl ToString, actual: impl ToString) -> Finding {
        (self.expected, self.actual) = (Some(expected.to_string()), Some(actual.to_string()));
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        if let (Some(expected), Some(actual)) = (&self.expected, &self.actual) {
            write!(f, ": expected {expected}, found {actual}")?;
        }
        match self.offset {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

/// The outcome for a table or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing was found.
    Healthy,
    /// Something is missing, damaged or contradictory.
    Damaged,
    /// Nothing wrong was found, but something could not be looked at.
    Unchecked,
    /// A backup that was not completed.
    Incomplete,
    /// The user stopped the job before all of it was looked at.
    Interrupted,
}

impl Health {
    pub(crate) fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Health {
        let unchecked = |finding: &Finding| finding.kind == FindingKind::Unchecked;
        findings.into_iter().fold(Health::Healthy, |health, finding| match unchecked(finding) {
            true if health == Health::Healthy => Health::Unchecked,
            true => health,
            false => Health::Damaged,
        })
    }
}

/// What was looked at. Files and bytes are those at hand: of the tablets that were read, and each once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// Tablets that the catalog has; the names in all of them are looked at.
    pub tablets: u64,
    /// Of those, the ones whose files were read; fewer in a sample.
    pub tablets_read: u64,
    pub files: u64,
    pub bytes: u64,
    /// Files whose md5 nothing states, as in a plain copy.
    pub files_without_md5: u64,
    /// Segment files whose pages were read, those of delta columns too, and their pages.
    pub segments: u64,
    pub pages: u64,
    /// Stored rows that were decoded, dead ones too.
    pub rows: u64,
}

impl std::ops::AddAssign for Looked {
    fn add_assign(&mut self, other: Looked) {
        self.tablets += other.tablets;
        self.tablets_read += other.tablets_read;
        self.files += other.files;
        self.bytes += other.bytes;
        self.files_without_md5 += other.files_without_md5;
        self.segments += other.segments;
        self.pages += other.pages;
        self.rows += other.rows;
    }
}

/// A table, materialized view or view.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableVerdict {
    pub name: String,
    pub kind: ObjectKind,
    pub health: Health,
    #[serde(flatten)]
    pub looked: Looked,
    pub findings: Vec<Finding>,
}

/// One backup under a label, or a directory of tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SnapshotVerdict {
    /// Label and timestamp; empty for directories whose tables have several.
    pub label: String,
    pub timestamp: String,
    pub database: String,
    /// Of the whole, tables included.
    pub health: Health,
    pub tables: Vec<TableVerdict>,
    /// Beyond its tables.
    pub findings: Vec<Finding>,
}

/// How a verification ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    pub status: JobStatus,
    /// What was verified, in words.
    pub source: String,
    pub level: Level,
    /// Percent of the tablets that were to be read; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<f64>,
    /// Sums over all tables.
    #[serde(flatten)]
    pub looked: Looked,
    pub snapshots: Vec<SnapshotVerdict>,
    /// On the repository as a whole.
    pub findings: Vec<Finding>,
    pub seconds: f64,
}

impl VerifyReport {
    /// All findings, each with where it belongs: `label@timestamp`, and the table's name; empty where there is none.
    pub fn all(&self) -> impl Iterator<Item = (String, &str, &Finding)> {
        let whole = self.findings.iter().map(|finding| (String::new(), "", finding));
        let snapshots = self.snapshots.iter().flat_map(|snapshot| {
            let own = snapshot.findings.iter().map(move |finding| (snapshot.name(), "", finding));
            own.chain(snapshot.tables.iter().flat_map(move |table| {
                table.findings.iter().map(move |finding| (snapshot.name(), table.name.as_str(), finding))
            }))
        });
        whole.chain(snapshots)
    }

    /// The process' exit code: [`exit::PARTIAL`] when something is damaged, missing or could not be looked at.
    pub fn exit_code(&self) -> u8 {
        match self.status {
            JobStatus::Done => exit::DONE,
            status => status.exit_code(),
        }
    }
}

impl SnapshotVerdict {
    /// `label@timestamp`, or the label alone.
    pub fn name(&self) -> String {
        match (self.label.as_str(), self.timestamp.as_str()) {
            (label, "") => label.to_owned(),
            (label, timestamp) => format!("{label}@{timestamp}"),
        }
    }
}
