//! Messages inside a segment file.

#[derive(Clone, PartialEq, prost::Message)]
pub struct SegmentFooterPb {
    #[prost(uint32, optional, tag = "1")]
    pub version: Option<u32>,
    #[prost(message, repeated, tag = "2")]
    pub columns: Vec<ColumnMetaPb>,
    #[prost(uint32, optional, tag = "3")]
    pub num_rows: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    pub index_footprint: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub data_footprint: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub raw_data_footprint: Option<u64>,
    #[prost(message, optional, tag = "9")]
    pub short_key_index_page: Option<PagePointerPb>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ColumnMetaPb {
    #[prost(uint32, optional, tag = "1")]
    pub column_id: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    pub unique_id: Option<u32>,
    #[prost(int32, optional, tag = "3")]
    pub r#type: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    pub length: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub encoding: Option<i32>,
    #[prost(int32, optional, tag = "6")]
    pub compression: Option<i32>,
    #[prost(bool, optional, tag = "7")]
    pub is_nullable: Option<bool>,
    #[prost(message, repeated, tag = "8")]
    pub indexes: Vec<ColumnIndexMetaPb>,
    #[prost(message, optional, tag = "9")]
    pub dict_page: Option<PagePointerPb>,
    #[prost(message, repeated, tag = "10")]
    pub children_columns: Vec<ColumnMetaPb>,
    #[prost(uint64, optional, tag = "11")]
    pub num_rows: Option<u64>,
    #[prost(bool, optional, tag = "30")]
    pub all_dict_encoded: Option<bool>,
    #[prost(message, optional, tag = "32")]
    pub json_meta: Option<JsonMetaPb>,
    #[prost(bytes = "vec", optional, tag = "33")]
    pub name: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct JsonMetaPb {
    #[prost(uint32, optional, tag = "1")]
    pub format_version: Option<u32>,
    #[prost(bool, optional, tag = "2")]
    pub is_flat: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub has_remain: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PagePointerPb {
    #[prost(uint64, required, tag = "1")]
    pub offset: u64,
    #[prost(uint32, required, tag = "2")]
    pub size: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct PageFooterPb {
    #[prost(int32, optional, tag = "1")]
    pub r#type: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    pub uncompressed_size: Option<u32>,
    #[prost(message, optional, tag = "7")]
    pub data_page_footer: Option<DataPageFooterPb>,
    #[prost(message, optional, tag = "8")]
    pub index_page_footer: Option<IndexPageFooterPb>,
    #[prost(message, optional, tag = "9")]
    pub dict_page_footer: Option<DictPageFooterPb>,
    #[prost(message, optional, tag = "10")]
    pub short_key_page_footer: Option<ShortKeyFooterPb>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct DataPageFooterPb {
    #[prost(uint64, optional, tag = "1")]
    pub first_ordinal: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub num_values: Option<u64>,
    #[prost(uint32, optional, tag = "3")]
    pub nullmap_size: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    pub corresponding_element_ordinal: Option<u64>,
    #[prost(uint32, optional, tag = "20")]
    pub format_version: Option<u32>,
    #[prost(int32, optional, tag = "21")]
    pub null_encoding: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct IndexPageFooterPb {
    #[prost(uint32, optional, tag = "1")]
    pub num_entries: Option<u32>,
    #[prost(int32, optional, tag = "2")]
    pub r#type: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct DictPageFooterPb {
    #[prost(int32, optional, tag = "1")]
    pub encoding: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ShortKeyFooterPb {
    #[prost(uint32, optional, tag = "1")]
    pub num_items: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    pub key_bytes: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub offset_bytes: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub segment_id: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub num_rows_per_block: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub num_segment_rows: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ColumnIndexMetaPb {
    #[prost(int32, optional, tag = "1")]
    pub r#type: Option<i32>,
    #[prost(message, optional, tag = "7")]
    pub ordinal_index: Option<OrdinalIndexPb>,
    #[prost(message, optional, tag = "8")]
    pub zone_map_index: Option<ZoneMapIndexPb>,
    #[prost(message, optional, tag = "9")]
    pub bitmap_index: Option<BitmapIndexPb>,
    #[prost(message, optional, tag = "10")]
    pub bloom_filter_index: Option<BloomFilterIndexPb>,
    #[prost(message, optional, tag = "11")]
    pub builtin_inverted_index: Option<BuiltinInvertedIndexPb>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct OrdinalIndexPb {
    #[prost(message, optional, tag = "1")]
    pub root_page: Option<BTreeMetaPb>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BTreeMetaPb {
    #[prost(message, optional, tag = "1")]
    pub root_page: Option<PagePointerPb>,
    #[prost(bool, optional, tag = "2")]
    pub is_root_data_page: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ZoneMapIndexPb {
    #[prost(message, optional, tag = "1")]
    pub segment_zone_map: Option<ZoneMapPb>,
    #[prost(message, optional, tag = "2")]
    pub page_zone_maps: Option<IndexedColumnMetaPb>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ZoneMapPb {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub min: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub max: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    pub has_null: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub has_not_null: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct IndexedColumnMetaPb {
    #[prost(int32, optional, tag = "1")]
    pub data_type: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub encoding: Option<i32>,
    #[prost(int64, optional, tag = "3")]
    pub num_values: Option<i64>,
    #[prost(message, optional, tag = "4")]
    pub ordinal_index_meta: Option<BTreeMetaPb>,
    #[prost(message, optional, tag = "5")]
    pub value_index_meta: Option<BTreeMetaPb>,
    #[prost(int32, optional, tag = "6")]
    pub compression: Option<i32>,
    #[prost(uint64, optional, tag = "7")]
    pub size: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BitmapIndexPb {
    #[prost(bool, optional, tag = "2")]
    pub has_null: Option<bool>,
    #[prost(message, optional, tag = "3")]
    pub dict_column: Option<IndexedColumnMetaPb>,
    #[prost(message, optional, tag = "4")]
    pub bitmap_column: Option<IndexedColumnMetaPb>,
    #[prost(message, optional, tag = "5")]
    pub ngram_dict_column: Option<IndexedColumnMetaPb>,
    #[prost(message, optional, tag = "6")]
    pub ngram_bitmap_column: Option<IndexedColumnMetaPb>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BuiltinInvertedIndexPb {
    #[prost(message, optional, tag = "1")]
    pub bitmap_index: Option<BitmapIndexPb>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct BloomFilterIndexPb {
    #[prost(int32, optional, tag = "1")]
    pub hash_strategy: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub algorithm: Option<i32>,
    #[prost(message, optional, tag = "3")]
    pub bloom_filter: Option<IndexedColumnMetaPb>,
}
