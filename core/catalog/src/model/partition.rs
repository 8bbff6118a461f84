//! Partitions, their physical partitions, indexes, tablets, and how rows are spread over them.

use super::{Column, Expr, Extra, Type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A logical partition in any of the layouts P1 (up to 3.3), P2 (3.4 to 4.1) and P3 (2026's main). Which of the keys count depends on
/// the layout: ask [`crate::snapshot`], not these fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    pub id: i64,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Id of the default physical partition (P2, P3); 0 or absent in P1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpid: Option<i64>,
    /// Additional (P1) or all (P2, P3) physical partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_sub_partition: Option<BTreeMap<i64, PhysicalPartition>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution_info: Option<DistributionInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_group_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_immutable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_index: Option<MaterializedIndex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_visible_rollup_index: Option<BTreeMap<i64, MaterializedIndex>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_shadow_index: Option<BTreeMap<i64, MaterializedIndex>>,
    #[serde(default)]
    pub visible_version: i64,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub visible_version_time: i64,
    #[serde(default)]
    pub next_version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_data_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_epoch: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_txn_type: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A physical partition below a logical one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhysicalPartition {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_group_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_immutable: Option<bool>,
    /// Absent in P3, where the base index stands among the visible ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_index: Option<MaterializedIndex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_visible_rollup_index: Option<BTreeMap<i64, MaterializedIndex>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_shadow_index: Option<BTreeMap<i64, MaterializedIndex>>,
    #[serde(default)]
    pub visible_version: i64,
    #[serde(default)]
    pub visible_version_time: i64,
    #[serde(default)]
    pub next_version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_data_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_epoch: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_txn_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_num: Option<i32>,
    /// P3: index meta id of the base index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_index_meta_id: Option<i64>,
    /// P3: index meta id to index ids, the last one current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_meta_id_to_index_ids: Option<BTreeMap<i64, Vec<i64>>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// An index (base or rollup) of one physical partition: its tablets in bucket order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaterializedIndex {
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Reported asynchronously by the BEs: approximate.
    #[serde(default)]
    pub row_count: i64,
    #[serde(default)]
    pub tablets: Vec<Tablet>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A tablet (one bucket). There may be hundreds of thousands: what every one has is spelled out, as `extra` would cost far more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tablet {
    pub clazz: String,
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Vec<Replica>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_consistent: Option<bool>,
    /// −1: unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<i64>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A replica of the source cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    pub id: i64,
    #[serde(default)]
    pub backend_id: i64,
    #[serde(default)]
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_readable_version: Option<i64>,
    #[serde(default)]
    pub data_size: i64,
    #[serde(default)]
    pub row_count: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default)]
    pub last_failed_version: i64,
    #[serde(default)]
    pub last_success_version: i64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// How a table is partitioned. `clazz` tells which of the keys count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionInfo {
    pub clazz: String,
    /// `UNPARTITIONED`, `RANGE`, `LIST`, `EXPR_RANGE`, `EXPR_RANGE_V2`.
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_data_property: Option<BTreeMap<i64, DataProperty>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_replication_num: Option<BTreeMap<i64, i16>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_multi_column_partition: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_in_memory: Option<BTreeMap<i64, bool>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_storage_cache_info: Option<BTreeMap<i64, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_columns: Option<Vec<Column>>,
    /// Ids of the partition columns (3.3.1 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub col_ids: Option<Vec<String>>,
    /// Signed bytes of the binary `Range` of each partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialized_id_to_range: Option<BTreeMap<i64, Vec<i8>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialized_id_to_temp_range: Option<BTreeMap<i64, Vec<i8>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_values: Option<BTreeMap<i64, Vec<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_multi_values: Option<BTreeMap<i64, Vec<Vec<String>>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_to_temp: Option<BTreeMap<i64, bool>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic_partition: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_exprs: Option<Vec<Expr>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialized_partition_exprs: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_partition_types: Option<Vec<Type>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Storage medium of a partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataProperty {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_medium: Option<String>,
    /// Milliseconds since the epoch; 253402271999000 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_time_ms: Option<i64>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// How rows are spread over buckets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DistributionInfo {
    pub clazz: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_str: Option<String>,
    /// `HASH`, `RANDOM`, `RANGE`.
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub col_ids: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution_columns: Option<Vec<Column>>,
    /// Buckets of HASH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_num: Option<i32>,
    /// Buckets of RANDOM (0: automatic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<i32>,
    #[serde(flatten)]
    pub extra: Extra,
}
