//! Tables, views and materialized views.

use super::{Column, DistributionInfo, Expr, Extra, Partition, PartitionInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A table, materialized view or view: the union of `OlapTable`, `MaterializedView` and `View`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// `OlapTable`, `MaterializedView`, `View`, …
    pub clazz: String,
    pub id: i64,
    pub name: String,
    /// `OLAP`, `MATERIALIZED_VIEW`, `VIEW`, `LAKE`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_schema: Option<Vec<Column>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,

    // OlapTable (and MaterializedView)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub index_id_to_meta: BTreeMap<i64, IndexMeta>,
    /// Index name to index meta id; holds the table's own name, for the base index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub index_name_to_id: BTreeMap<String, i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_index_id: Option<i64>,
    /// `DUP_KEYS`, `AGG_KEYS`, `UNIQUE_KEYS`, `PRIMARY_KEYS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_info: Option<PartitionInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_distribution_info: Option<DistributionInfo>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub id_to_partition: BTreeMap<i64, Partition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp_partitions: Option<TempPartitions>,
    /// Columns with a bloom filter: names, column ids since 3.3.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf_columns: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf_fpp: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colocate_group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indexes: Option<TableIndexes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_property: Option<TableProperty>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_col_unique_id: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_index_id: Option<i64>,

    // MaterializedView
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_scheme: Option<RefreshScheme>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_table_infos: Option<Vec<BaseTableInfo>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_define_sql: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simple_define_sql: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_view_define_sql: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_ref_table_exprs: Option<Vec<Expr>>,
    #[serde(rename = "maxMVRewriteStaleness", default, skip_serializing_if = "Option::is_none")]
    pub max_mv_rewrite_staleness: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_output_indices: Option<Vec<i32>>,

    // View
    /// Inline SQL of a view, as rewritten by the analyzer.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub inline_view_def: Option<String>,
    /// SQL mode.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub sql_mode: Option<i64>,
    /// SECURITY INVOKER (3.5 and later).
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub security_invoker: Option<bool>,
    /// The user's own SQL (2026's main).
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub original_view_def: Option<String>,

    #[serde(flatten)]
    pub extra: Extra,
}

/// Schema of an index (`MaterializedIndexMeta`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexMeta {
    pub index_id: i64,
    pub schema: Vec<Column>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i32>,
    #[serde(default)]
    pub schema_hash: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<i64>,
    #[serde(default)]
    pub short_key_column_count: i32,
    /// `COLUMN`, `COLUMN_WITH_ROW`, `ROW`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_type: Option<String>,
    /// Positions of the sort key's columns in `schema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_key_idxes: Option<Vec<i32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_key_unique_ids: Option<Vec<i32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub define_stmt: Option<OriginStatement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_define_sql: Option<String>,
    #[serde(rename = "isColocateMVIndex", default, skip_serializing_if = "Option::is_none")]
    pub is_colocate_mv_index: Option<bool>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The statement that made a synchronous materialized view.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginStatement {
    #[serde(default)]
    pub origin_stmt: String,
    #[serde(default)]
    pub idx: i32,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Temporary partitions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TempPartitions {
    #[serde(default)]
    pub id_to_partition: BTreeMap<i64, Partition>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Secondary indexes of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableIndexes {
    #[serde(default)]
    pub indexes: Vec<SecondaryIndex>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A secondary index: BITMAP, GIN, NGRAMBF, VECTOR.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecondaryIndex {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_id: Option<i64>,
    pub index_name: String,
    /// Column names; column ids since 3.3.1.
    pub columns: Vec<String>,
    pub index_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Table properties.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableProperty {
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_delete: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_forbit_global_dict: Option<bool>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// How an asynchronous materialized view refreshes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshScheme {
    /// `IMMEDIATE` or `DEFERRED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<String>,
    /// `SYNC`, `ASYNC`, `MANUAL`, `INCREMENTAL`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub async_refresh_context: Option<AsyncRefreshContext>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refresh_time: Option<i64>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Schedule and state of an asynchronous refresh.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsyncRefreshContext {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub define_start_time: Option<bool>,
    /// Seconds since the epoch. The key is spelled so in the FE.
    #[serde(rename = "starTime", default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A base table of a materialized view.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseTableInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_name: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}
