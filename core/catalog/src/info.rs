//! The job info `__info_<timestamp>`: which tablets belong to which index, in bucket order, and the versions. Shapes A (1.19 to 2.1.4),
//! B (2.1.5 to 3.1), C (3.2, 3.3) and D (3.4 and later) differ by which keys are there, and are told apart by that alone.

use crate::error::Result;
use crate::model::Extra;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    /// The label.
    pub name: String,
    /// Bare database name; empty for snapshots of external catalogs.
    pub database: String,
    /// Database id; −1 for snapshots of external catalogs.
    pub id: i64,
    /// Milliseconds since the epoch.
    pub backup_time: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_version: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starrocks_meta_version: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_result: Option<String>,
    #[serde(default)]
    pub backup_objects: BTreeMap<String, InfoTable>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A table, materialized view or view (`partitions` empty).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoTable {
    pub id: i64,
    #[serde(rename = "autoIncrementId", default, skip_serializing_if = "Option::is_none")]
    pub auto_increment_id: Option<i64>,
    #[serde(default)]
    pub partitions: BTreeMap<String, InfoPartition>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A logical partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoPartition {
    pub id: i64,
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_hash: Option<i64>,
    /// Index name to index; empty when the physical partitions are listed below.
    #[serde(default)]
    pub indexes: BTreeMap<String, InfoIndex>,
    /// Physical partitions (3.2 and later), keyed by id.
    #[serde(rename = "subPartitions", default, skip_serializing_if = "Option::is_none")]
    pub sub_partitions: Option<BTreeMap<String, InfoSubPartition>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A physical partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoSubPartition {
    pub id: i64,
    pub version: i64,
    #[serde(default)]
    pub indexes: BTreeMap<String, InfoIndex>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// An index of a partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoIndex {
    pub id: i64,
    #[serde(default)]
    pub schema_hash: i64,
    /// Tablet id to `<file>.<md5>` names; the lists are empty since 3.3.1.
    #[serde(default)]
    pub tablets: BTreeMap<String, Vec<String>>,
    /// Tablet ids in bucket order; strings in StarRocks, numbers in Doris, absent in shape A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablets_order: Option<Vec<serde_json::Value>>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl JobInfo {
    /// Reads the file's bytes. Text that is not UTF-8 (an FE with another default charset) is read lossily: names come from `__meta`.
    pub fn parse(bytes: &[u8]) -> Result<JobInfo> {
        let _ = bytes;
        todo!()
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
}

impl InfoIndex {
    /// Tablet ids in bucket order: `tablets_order`, or sorted numerically where it is missing or empty.
    pub fn ordered_tablets(&self) -> Result<Vec<i64>> {
        todo!()
    }
}
