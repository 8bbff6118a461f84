//! `table.json`: a table directory's catalog object. It holds all that a backup of the directory needs.

use crate::error::Result;
use crate::snapshot::{Snapshot, TableEntry};
use serde::{Deserialize, Serialize};

/// Where the table came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    pub repository: String,
    pub label: String,
    pub timestamp: String,
    /// Milliseconds since the epoch.
    pub backup_time: i64,
    pub database: String,
    pub database_id: i64,
}

/// The content of `table.json`. What people read comes first; `catalog`, which programs read, last.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFile {
    pub origin: Origin,
    /// Name, kind, ids, partitions, tablets in bucket order, versions: of what this directory should hold.
    pub entry: TableEntry,
    /// What is missing or contradicts, one sentence each; empty when all is well.
    pub problems: Vec<String>,
}

impl TableFile {
    /// The file's text: pretty-printed JSON with a final newline.
    pub fn to_json(&self) -> Result<String> {
        todo!()
    }

    /// Reads it back.
    pub fn parse(bytes: &[u8]) -> Result<TableFile> {
        let _ = bytes;
        todo!()
    }

    /// For an entry of a snapshot.
    pub fn of(snapshot: &Snapshot, entry: &TableEntry, repository: &str, timestamp: &str) -> TableFile {
        TableFile {
            origin: Origin {
                repository: repository.into(),
                label: snapshot.label.clone(),
                timestamp: timestamp.into(),
                backup_time: snapshot.backup_time,
                database: snapshot.database.clone(),
                database_id: snapshot.database_id,
            },
            entry: entry.clone(),
            problems: Vec::new(),
        }
    }
}
