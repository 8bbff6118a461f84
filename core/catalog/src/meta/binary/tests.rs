//! Hand-made files for what genuine ones do not hold: the later partition types, hashes, shadow indexes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::meta;

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn i64s(mut self, values: &[i64]) -> Self {
        values.iter().for_each(|value| self.0.extend(value.to_be_bytes()));
        self
    }
    fn bool(mut self, value: bool) -> Self {
        self.0.push(value.into());
        self
    }
    fn text(self, text: &str) -> Self {
        let mut this = self.i32(text.len() as i32);
        this.0.extend(text.as_bytes());
        this
    }
    fn then(self, part: impl FnOnce(Self) -> Self) -> Self {
        part(self)
    }
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

const COLUMN: &str = r#"{"name":"k","type":{"clazz":"ScalarType","type":"DATE"},"isKey":true}"#;

/// A table around the bytes of its partitioning.
fn table_with(kind: &str, info: &[u8]) -> Vec<u8> {
    let schema = format!(r#"{{"indexId":12,"schema":[{COLUMN}],"schemaHash":-7,"shortKeyColumnCount":1}}"#);
    Bytes::default()
        .i32(1)
        .text("OLAP")
        .i64s(&[-1, -1, 11])
        .text("t")
        .i32(1)
        .text(COLUMN)
        .text("a comment")
        .i64s(&[1_700_000_000])
        .text("NORMAL")
        .i32(1)
        .text("t")
        .i64s(&[12])
        .text(&schema)
        .text("DUP_KEYS")
        .text(kind)
        .raw(info)
        .text("RANDOM")
        .text("RANDOM")
        .i32(3)
        .i32(1)
        .then(partition)
        .bool(true)
        .i32(1)
        .text("k")
        .raw(&0.05f64.to_be_bytes())
        .bool(true)
        .text("group")
        .i64s(&[12])
        .bool(false)
        .bool(false)
        .text(r#"{"idToPartition":{}}"#)
        .0
}

fn partition(bytes: Bytes) -> Bytes {
    bytes
        .i64s(&[-1, -1, 13])
        .text("p")
        .text("NORMAL")
        .then(|b| index(b, 12))
        .i32(1)
        .then(|b| index(b, 22))
        .i32(1)
        .then(|b| index(b, 32))
        .i64s(&[4, 1000, 99, 5, 98, 97])
        .text("RANDOM")
        .text("RANDOM")
        .i32(3)
}

fn index(bytes: Bytes, id: i64) -> Bytes {
    bytes
        .i64s(&[-1, -1, id])
        .text("NORMAL")
        .i64s(&[10])
        .i32(1)
        .i64s(&[-1, -1, id + 1])
        .i32(2)
        .i64s(&[50, 1004, 4, 77, 5, 6])
        .text("NORMAL")
        .i64s(&[-1, 1 << 60, 4, 0])
        .i64s(&[51, 1005, 4, 0, 5, 6])
        .text("NORMAL")
        .i64s(&[-1, 2, 4, 0])
        .i64s(&[-1, 0])
        .bool(true)
        .i64s(&[-1, -1])
}

fn base(kind: &str) -> Bytes {
    Bytes::default().text(kind).i32(1).i64s(&[13]).bool(false).text("SSD").i64s(&[1234]).i16(2).bool(true)
}

fn range() -> Vec<u8> {
    let key = |b: Bytes| b.i32(1).text("VARCHAR").bool(false).text("a");
    Bytes::default().bool(true).bool(true).then(key).bool(false).0
}

fn ranges(kind: &str) -> Bytes {
    base(kind).i32(1).text(COLUMN).i32(1).i64s(&[13]).raw(&range()).i32(0)
}

fn read_table(kind: &str, info: &[u8]) -> Table {
    let meta = meta::read(&table_with(kind, info)).unwrap();
    meta.tbl_name_map.into_values().next().unwrap()
}

#[test]
fn every_kind_of_partitioning() {
    let info = |kind, bytes: Bytes| read_table(kind, &bytes.0).partition_info.unwrap();
    let single = info("UNPARTITIONED", base("UNPARTITIONED"));
    assert_eq!((single.clazz.as_str(), single.kind.as_str()), ("SinglePartitionInfo", "UNPARTITIONED"));
    let property = &single.id_to_data_property.unwrap()[&13];
    assert_eq!((property.storage_medium.as_deref(), property.cooldown_time_ms), (Some("SSD"), Some(1234)));
    assert_eq!((single.id_to_replication_num.unwrap()[&13], single.id_to_in_memory.unwrap()[&13]), (2, true));

    let range_info = info("RANGE", ranges("RANGE"));
    assert_eq!(range_info.clazz, "RangePartitionInfo");
    let stored: Vec<u8> =
        range_info.serialized_id_to_range.as_ref().unwrap()[&13].iter().map(|b| b.cast_unsigned()).collect();
    assert_eq!(stored, range());
    assert!(range_info.range(13).unwrap().unwrap().upper.is_none());

    let expr = info("EXPR_RANGE", ranges("EXPR_RANGE").text(r#"[{"expr":"date_trunc('month', `k`)"}]"#));
    assert_eq!((expr.clazz.as_str(), expr.kind.as_str()), ("ExpressionRangePartitionInfo", "EXPR_RANGE"));
    assert_eq!(expr.partition_exprs.as_ref().unwrap()[0].expr, "date_trunc('month', `k`)");

    let v2 = r#"{"type":"EXPR_RANGE_V2","serializedPartitionExprs":["str2date(k,'%Y')"],"automaticPartition":true,"idToInMemory":{"13":false}}"#;
    let v2 = info("EXPR_RANGE_V2", Bytes::default().text(v2));
    assert_eq!((v2.clazz.as_str(), v2.automatic_partition), ("ExpressionRangePartitionInfoV2", Some(true)));

    let values = r#"{"partitionColumns":[],"idToValues":{"13":["x"]},"idToMultiValues":{},"idToTemp":{"13":false}}"#;
    let old = info("LIST", base("LIST").text(values));
    assert_eq!((old.clazz.as_str(), old.id_to_replication_num.as_ref().unwrap()[&13]), ("ListPartitionInfo", 2));
    assert_eq!(old.id_to_values.unwrap()[&13], ["x"]);
    let new = r#"{"clazz":"ListPartitionInfo","type":"LIST","idToValues":{"13":["x"]},"idToReplicationNum":{"13":3}}"#;
    let new = info("LIST", Bytes::default().text(new));
    assert_eq!((new.kind.as_str(), new.id_to_replication_num.unwrap()[&13]), ("LIST", 3));
}

#[test]
fn the_rest_of_a_table() {
    let table = read_table("UNPARTITIONED", &base("UNPARTITIONED").0);
    assert_eq!((table.id, table.name.as_str(), table.base_index_id), (11, "t", Some(12)));
    assert_eq!(
        (table.bf_columns.unwrap(), table.bf_fpp, table.colocate_group.unwrap()),
        (vec!["k".into()], Some(0.05), "group".into())
    );
    assert_eq!(table.default_distribution_info.unwrap().b, Some(3));
    let partition = &table.id_to_partition[&13];
    assert_eq!((partition.visible_version, partition.visible_version_time, partition.next_version), (4, 1000, 5));
    for (key, hash) in [("visibleVersionHash", 99), ("nextVersionHash", 98), ("committedVersionHash", 97)] {
        assert_eq!(partition.extra.get(key).unwrap(), hash);
    }
    assert_eq!(partition.id_to_visible_rollup_index.as_ref().unwrap()[&22].tablets[0].id, 23);
    assert_eq!(partition.id_to_shadow_index.as_ref().unwrap()[&32].tablets[0].id, 33);
    let replicas = partition.base_index.as_ref().unwrap().tablets[0].replicas.as_ref().unwrap();
    assert_eq!(replicas[0].extra.get("versionHash").unwrap(), 77);
    assert_eq!(replicas[0].extra.get("lastFailedVersionHash").unwrap(), 1u64 << 60);
    assert_eq!((replicas[0].min_readable_version, replicas[1].min_readable_version), (None, Some(2)));
}

#[test]
fn every_truncation_is_an_error() {
    for (kind, info) in [("RANGE", ranges("RANGE")), ("UNPARTITIONED", base("UNPARTITIONED"))] {
        let whole = table_with(kind, &info.0);
        for cut in 0..whole.len() {
            assert!(meta::read(&whole[..cut]).is_err(), "{cut}");
        }
        let longer = [whole, vec![0]].concat();
        assert!(meta::read(&longer).unwrap_err().to_string().contains("1 bytes too many"));
    }
}

#[test]
fn least_sizes_are_no_larger_than_what_they_count() {
    // The smallest of each kind: texts and lists empty.
    let index = Bytes::default().i64s(&[-1, -1, 1]).text("").i64s(&[0]).i32(0).i64s(&[-1, -1]).0;
    let partition = Bytes::default().i64s(&[-1, -1, 1]).text("").text("").raw(&index).i32(0).i32(0).i64s(&[0; 6]);
    let partition = partition.text("").text("RANDOM").i32(1).0;
    assert!(partition.len() >= partition::LEAST, "{}", partition.len());
    let table = Bytes::default().text("OLAP").i64s(&[-1, -1, 1]).text("").i32(0).text("").i64s(&[0]).text("").i32(0);
    let table = table.text("").text("LIST").text("{}").text("").text("RANDOM").i32(1).i32(0).bool(false).bool(false);
    let table = table.i64s(&[1]).bool(false).bool(false).text("{}").0;
    assert!(table.len() >= LEAST_TABLE, "{}", table.len());
}

#[test]
fn hostile_counts_and_texts() {
    for (bytes, reason) in [
        (Bytes::default().i32(i32::MAX), "2147483647 tables cannot be"),
        (Bytes::default().i32(-1), "-1 tables cannot be"),
        (Bytes::default().i32(1).text("LAKE").raw(&[0; 200]), "LAKE"),
        (Bytes::default().i32(1).i32(i32::MAX).raw(&[0; 200]), "bytes of text cannot be"),
        (
            Bytes::default().i32(1).text("OLAP").i64s(&[-1, -1, 11]).text("t").i32(1 << 30).raw(&[0; 200]),
            "columns cannot be",
        ),
    ] {
        let error = meta::read(&bytes.0).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let deep = format!(r#"{{"name":"k","type":{}"#, r#"{"clazz":"ArrayType","itemType":"#.repeat(100_000));
    let bytes = Bytes::default().i32(1).text("OLAP").i64s(&[-1, -1, 11]).text("t").i32(1).text(&deep).0;
    assert!(meta::read(&bytes).unwrap_err().to_string().contains("recursion limit"));
}
