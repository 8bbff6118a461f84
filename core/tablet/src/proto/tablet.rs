//! Messages of `.hdr`, `meta` and `.dcgs_snapshot`.

#[derive(Clone, PartialEq, prost::Message)]
pub struct TabletMetaPb {
    #[prost(int64, optional, tag = "1")]
    pub table_id: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub partition_id: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub tablet_id: Option<i64>,
    #[prost(int32, optional, tag = "4")]
    pub schema_hash: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub shard_id: Option<i32>,
    #[prost(int64, optional, tag = "6")]
    pub creation_time: Option<i64>,
    #[prost(int64, optional, tag = "7")]
    pub cumulative_layer_point: Option<i64>,
    #[prost(int32, optional, tag = "8")]
    pub tablet_state: Option<i32>,
    #[prost(message, optional, tag = "9")]
    pub schema: Option<TabletSchemaPb>,
    #[prost(message, repeated, tag = "10")]
    pub rs_metas: Vec<RowsetMetaPb>,
    #[prost(message, repeated, tag = "11")]
    pub inc_rs_metas: Vec<RowsetMetaPb>,
    #[prost(message, optional, tag = "14")]
    pub tablet_uid: Option<UniqueIdPb>,
    #[prost(int32, optional, tag = "17")]
    pub tablet_type: Option<i32>,
    #[prost(message, optional, tag = "50")]
    pub updates: Option<TabletUpdatesPb>,
    #[prost(string, optional, tag = "54")]
    pub storage_type: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TabletSchemaPb {
    #[prost(int32, optional, tag = "1")]
    pub keys_type: Option<i32>,
    #[prost(message, repeated, tag = "2")]
    pub column: Vec<ColumnPb>,
    #[prost(int32, optional, tag = "3")]
    pub num_short_key_columns: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub num_rows_per_row_block: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub compress_kind: Option<i32>,
    #[prost(double, optional, tag = "6")]
    pub bf_fpp: Option<f64>,
    #[prost(uint32, optional, tag = "7")]
    pub next_column_unique_id: Option<u32>,
    #[prost(int32, optional, tag = "10")]
    pub compression_type: Option<i32>,
    #[prost(uint32, repeated, packed = "false", tag = "11")]
    pub sort_key_idxes: Vec<u32>,
    #[prost(int32, optional, tag = "12")]
    pub schema_version: Option<i32>,
    #[prost(uint32, repeated, packed = "false", tag = "13")]
    pub sort_key_unique_ids: Vec<u32>,
    #[prost(message, repeated, tag = "14")]
    pub table_indices: Vec<TabletIndexPb>,
    #[prost(int32, optional, tag = "15")]
    pub compression_level: Option<i32>,
    #[prost(int64, optional, tag = "50")]
    pub id: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TabletIndexPb {
    #[prost(int64, optional, tag = "1")]
    pub index_id: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub index_name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub index_type: Option<i32>,
    #[prost(int32, repeated, packed = "false", tag = "4")]
    pub col_unique_id: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ColumnPb {
    #[prost(int32, required, tag = "1")]
    pub unique_id: i32,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(string, required, tag = "3")]
    pub r#type: String,
    #[prost(bool, optional, tag = "4")]
    pub is_key: Option<bool>,
    #[prost(string, optional, tag = "5")]
    pub aggregation: Option<String>,
    #[prost(bool, optional, tag = "6")]
    pub is_nullable: Option<bool>,
    #[prost(bytes = "vec", optional, tag = "7")]
    pub default_value: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "8")]
    pub precision: Option<i32>,
    #[prost(int32, optional, tag = "9")]
    pub frac: Option<i32>,
    #[prost(int32, optional, tag = "10")]
    pub length: Option<i32>,
    #[prost(int32, optional, tag = "11")]
    pub index_length: Option<i32>,
    #[prost(bool, optional, tag = "12")]
    pub is_bf_column: Option<bool>,
    #[prost(bool, optional, tag = "15")]
    pub has_bitmap_index: Option<bool>,
    #[prost(bool, optional, tag = "16")]
    pub visible: Option<bool>,
    #[prost(message, repeated, tag = "17")]
    pub children_columns: Vec<ColumnPb>,
    #[prost(bool, optional, tag = "18")]
    pub is_auto_increment: Option<bool>,
    #[prost(message, optional, tag = "19")]
    pub agg_state_desc: Option<AggStateDescPb>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AggStateDescPb {
    #[prost(string, optional, tag = "1")]
    pub agg_func_name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RowsetMetaPb {
    #[prost(int64, required, tag = "1")]
    pub deprecated_rowset_id: i64,
    #[prost(int64, optional, tag = "3")]
    pub tablet_id: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    pub txn_id: Option<i64>,
    #[prost(int32, optional, tag = "5")]
    pub tablet_schema_hash: Option<i32>,
    #[prost(int32, optional, tag = "6")]
    pub rowset_type: Option<i32>,
    #[prost(int32, optional, tag = "7")]
    pub rowset_state: Option<i32>,
    #[prost(int64, optional, tag = "8")]
    pub start_version: Option<i64>,
    #[prost(int64, optional, tag = "9")]
    pub end_version: Option<i64>,
    #[prost(int64, optional, tag = "11")]
    pub num_rows: Option<i64>,
    #[prost(int64, optional, tag = "12")]
    pub total_disk_size: Option<i64>,
    #[prost(int64, optional, tag = "13")]
    pub data_disk_size: Option<i64>,
    #[prost(int64, optional, tag = "14")]
    pub index_disk_size: Option<i64>,
    #[prost(message, optional, tag = "16")]
    pub delete_predicate: Option<DeletePredicatePb>,
    #[prost(bool, optional, tag = "17")]
    pub empty: Option<bool>,
    #[prost(int64, optional, tag = "20")]
    pub creation_time: Option<i64>,
    #[prost(int64, optional, tag = "22")]
    pub num_segments: Option<i64>,
    #[prost(string, optional, tag = "23")]
    pub rowset_id: Option<String>,
    #[prost(int32, optional, tag = "51")]
    pub segments_overlap: Option<i32>,
    #[prost(uint32, optional, tag = "52")]
    pub rowset_seg_id: Option<u32>,
    #[prost(uint32, optional, tag = "53")]
    pub num_delete_files: Option<u32>,
    #[prost(message, optional, tag = "55")]
    pub txn_meta: Option<RowsetTxnMetaPb>,
    #[prost(uint32, optional, tag = "57")]
    pub num_update_files: Option<u32>,
    #[prost(message, optional, tag = "60")]
    pub tablet_schema: Option<TabletSchemaPb>,
    #[prost(bytes = "vec", repeated, tag = "64")]
    pub segment_encryption_metas: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RowsetTxnMetaPb {
    #[prost(message, repeated, tag = "3")]
    pub partial_rowset_footers: Vec<FooterPointerPb>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct FooterPointerPb {
    #[prost(uint64, optional, tag = "1")]
    pub position: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub size: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeletePredicatePb {
    #[prost(int32, required, tag = "1")]
    pub version: i32,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub sub_predicates: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "3")]
    pub in_predicates: Vec<InPredicatePb>,
    #[prost(message, repeated, tag = "4")]
    pub binary_predicates: Vec<BinaryPredicatePb>,
    #[prost(message, repeated, tag = "5")]
    pub is_null_predicates: Vec<IsNullPredicatePb>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct InPredicatePb {
    #[prost(string, optional, tag = "1")]
    pub column_name: Option<String>,
    #[prost(bool, optional, tag = "2")]
    pub is_not_in: Option<bool>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub values: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct BinaryPredicatePb {
    #[prost(string, optional, tag = "1")]
    pub column_name: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub op: Option<String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct IsNullPredicatePb {
    #[prost(string, optional, tag = "1")]
    pub column_name: Option<String>,
    #[prost(bool, optional, tag = "2")]
    pub is_not_null: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct UniqueIdPb {
    #[prost(int64, required, tag = "1")]
    pub hi: i64,
    #[prost(int64, required, tag = "2")]
    pub lo: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TabletUpdatesPb {
    #[prost(message, repeated, tag = "1")]
    pub versions: Vec<EditVersionMetaPb>,
    #[prost(message, optional, tag = "2")]
    pub apply_version: Option<EditVersionPb>,
    #[prost(uint32, optional, tag = "3")]
    pub next_rowset_id: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EditVersionMetaPb {
    #[prost(message, optional, tag = "1")]
    pub version: Option<EditVersionPb>,
    #[prost(int64, optional, tag = "2")]
    pub creation_time: Option<i64>,
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub rowsets: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct EditVersionPb {
    #[prost(int64, optional, tag = "1")]
    pub major_number: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    pub minor_number: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotMetaFooterPb {
    #[prost(int32, optional, tag = "1")]
    pub format_version: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub snapshot_type: Option<i32>,
    #[prost(int64, optional, tag = "3")]
    pub snapshot_version: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "4")]
    pub rowset_meta_offsets: Vec<i64>,
    #[prost(int64, repeated, packed = "false", tag = "5")]
    pub delvec_segids: Vec<i64>,
    #[prost(int64, repeated, packed = "false", tag = "6")]
    pub delvec_offsets: Vec<i64>,
    #[prost(int64, repeated, packed = "false", tag = "7")]
    pub delvec_versions: Vec<i64>,
    #[prost(int64, optional, tag = "8")]
    pub tablet_meta_offset: Option<i64>,
    #[prost(int64, repeated, packed = "false", tag = "9")]
    pub dcg_segids: Vec<i64>,
    #[prost(int64, repeated, packed = "false", tag = "10")]
    pub dcg_offsets: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaColumnGroupPb {
    #[prost(message, repeated, tag = "1")]
    pub column_ids: Vec<DeltaColumnGroupColumnIdsPb>,
    #[prost(string, repeated, tag = "2")]
    pub column_files: Vec<String>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub encryption_metas: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaColumnGroupColumnIdsPb {
    #[prost(uint32, repeated, packed = "false", tag = "1")]
    pub column_ids: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaColumnGroupListPb {
    #[prost(message, repeated, tag = "1")]
    pub dcgs: Vec<DeltaColumnGroupPb>,
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub versions: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaColumnGroupSnapshotPb {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub tablet_id: Vec<i64>,
    #[prost(string, repeated, tag = "2")]
    pub rowset_id: Vec<String>,
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub segment_id: Vec<u32>,
    #[prost(message, repeated, tag = "4")]
    pub dcg_lists: Vec<DeltaColumnGroupListPb>,
}
