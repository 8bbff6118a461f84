//! The binary form of `__meta`, written by StarRocks 1.19 to 3.1.3, into the objects that a 3.1.4 FE would have written of the same
//! tables. No object says how long it is, so everything is read, up to the exact end.

use crate::error::{CatalogError, Result};
use crate::model::{
    BackupMeta, Column, DataProperty, DistributionInfo, Expr, Extra, IndexMeta, PartitionInfo, Table, TableIndexes,
    TableProperty, TempPartitions,
};
use crate::range::Range;
use crate::wire::Reader;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

mod partition;
#[cfg(test)]
mod tests;

/// How FEs write "never".
const NO_COOLDOWN: i64 = 253_402_271_999_000;

// The least bytes that an object of each kind takes: what its fixed fields and the lengths of its texts and lists add up to.
const LEAST_TEXT: usize = 4;
const LEAST_TABLE: usize = 100;
const LEAST_INDEX_META: usize = 16;
const LEAST_PARTITION_BASE: usize = 12;
const LEAST_RANGE: usize = 10;

pub(super) fn read(bytes: &[u8]) -> Result<BackupMeta> {
    let mut reader = Reader::new(super::WHAT, bytes);
    let mut meta = BackupMeta::default();
    for _ in 0..reader.count(LEAST_TABLE, "tables")? {
        let table = table(&mut reader)?;
        insert(&mut meta.tbl_name_map, table.name.clone(), table, "table")?;
    }
    reader.end()?;
    Ok(meta)
}

fn table(reader: &mut Reader) -> Result<Table> {
    let at = reader.at();
    match reader.text()? {
        "OLAP" => olap_table(reader),
        other => Err(reader.damage(at, format!("{other:?} is no type of a table that the binary form holds"))),
    }
}

fn olap_table(reader: &mut Reader) -> Result<Table> {
    let mut table = Table { clazz: "OlapTable".into(), kind: "OLAP".into(), ..Table::default() };
    table.extra = meta_object(reader)?;
    table.id = reader.i64()?;
    table.name = reader.text()?.into();
    table.full_schema = Some(columns(reader)?);
    table.comment = Some(reader.text()?.into());
    table.create_time = Some(reader.i64()?);
    table.state = Some(reader.text()?.into());
    for _ in 0..reader.count(LEAST_INDEX_META, "indexes")? {
        let name = reader.text()?.to_owned();
        let id = reader.i64()?;
        let meta: IndexMeta = json(reader, "an index's schema")?;
        insert(&mut table.index_name_to_id, name, id, "index")?;
        insert(&mut table.index_id_to_meta, id, meta, "index")?;
    }
    table.keys_type = Some(reader.text()?.into());
    table.partition_info = Some(partition_info(reader)?);
    table.default_distribution_info = Some(distribution(reader)?);
    for _ in 0..reader.count(partition::LEAST, "partitions")? {
        let partition = partition::read(reader)?;
        insert(&mut table.id_to_partition, partition.id, partition, "partition")?;
    }
    table.bf_fpp = Some(0.0);
    if reader.bool()? {
        let count = reader.count(LEAST_TEXT, "bloom filter columns")?;
        table.bf_columns = Some((0..count).map(|_| reader.text().map(str::to_owned)).collect::<Result<_>>()?);
        table.bf_fpp = Some(reader.f64()?);
    }
    if reader.bool()? {
        table.colocate_group = Some(reader.text()?.into());
    }
    table.base_index_id = Some(reader.i64()?);
    table.indexes =
        if reader.bool()? { Some(json(reader, "the secondary indexes")?) } else { Some(TableIndexes::default()) };
    table.table_property =
        if reader.bool()? { Some(json(reader, "the properties")?) } else { Some(TableProperty::default()) };
    table.temp_partitions = Some(json::<TempPartitions>(reader, "the temporary partitions")?);
    Ok(table)
}

/// What tables, partitions, indexes and tablets begin with: −1 where it was never set.
fn signature_and_check(reader: &mut Reader) -> Result<(i64, i64)> {
    Ok((reader.i64()?, reader.i64()?))
}

fn meta_object(reader: &mut Reader) -> Result<Extra> {
    let (signature, last_check_time) = signature_and_check(reader)?;
    let mut extra = Extra::default();
    extra.insert("signature", signature.into());
    extra.insert("lastCheckTime", last_check_time.into());
    Ok(extra)
}

fn columns(reader: &mut Reader) -> Result<Vec<Column>> {
    let count = reader.count(LEAST_TEXT, "columns")?;
    (0..count).map(|_| json(reader, "a column")).collect()
}

/// Type, and again the type with what follows from it.
fn partition_info(reader: &mut Reader) -> Result<PartitionInfo> {
    let at = reader.at();
    let kind = reader.text()?.to_owned();
    let mut info = match kind.as_str() {
        "UNPARTITIONED" => PartitionInfo { clazz: "SinglePartitionInfo".into(), ..partition_base(reader)? },
        "RANGE" => ranges(reader, "RangePartitionInfo")?,
        "EXPR_RANGE" => {
            let info = ranges(reader, "ExpressionRangePartitionInfo")?;
            PartitionInfo { partition_exprs: Some(json::<Vec<Expr>>(reader, "the partition expressions")?), ..info }
        }
        "EXPR_RANGE_V2" => json_info(reader, "ExpressionRangePartitionInfoV2")?,
        "LIST" => list(reader)?,
        other => return Err(reader.damage(at, format!("{other:?} is no type of partitioning"))),
    };
    info.kind = kind;
    Ok(info)
}

fn partition_base(reader: &mut Reader) -> Result<PartitionInfo> {
    reader.text()?;
    partition_base_body(reader)
}

fn partition_base_body(reader: &mut Reader) -> Result<PartitionInfo> {
    let (mut properties, mut replication, mut in_memory) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for _ in 0..reader.count(LEAST_PARTITION_BASE, "partitions")? {
        let id = reader.i64()?;
        let plain = reader.bool()?;
        let (medium, cooldown) = if plain { ("HDD", NO_COOLDOWN) } else { (reader.text()?, reader.i64()?) };
        let property = DataProperty {
            storage_medium: Some(medium.into()),
            cooldown_time_ms: Some(cooldown),
            ..DataProperty::default()
        };
        insert(&mut properties, id, property, "partition")?;
        replication.insert(id, reader.i16()?);
        in_memory.insert(id, reader.bool()?);
    }
    Ok(PartitionInfo {
        id_to_data_property: Some(properties),
        id_to_replication_num: Some(replication),
        id_to_in_memory: Some(in_memory),
        is_multi_column_partition: Some(false),
        ..PartitionInfo::default()
    })
}

fn ranges(reader: &mut Reader, clazz: &str) -> Result<PartitionInfo> {
    let base = partition_base(reader)?;
    let columns = columns(reader)?;
    Ok(PartitionInfo {
        clazz: clazz.into(),
        is_multi_column_partition: Some(columns.len() > 1),
        partition_columns: Some(columns),
        serialized_id_to_range: Some(range_map(reader)?),
        serialized_id_to_temp_range: Some(range_map(reader)?),
        ..base
    })
}

/// The same bytes as the JSON form has, which tells nothing of their length here: they are read to know it.
fn range_map(reader: &mut Reader) -> Result<BTreeMap<i64, Vec<i8>>> {
    let mut ranges = BTreeMap::new();
    for _ in 0..reader.count(LEAST_RANGE, "ranges")? {
        let id = reader.i64()?;
        let start = reader.at();
        Range::read(reader)?;
        let bytes = reader.since(start).iter().map(|byte| byte.cast_signed()).collect();
        insert(&mut ranges, id, bytes, "range of partition")?;
    }
    Ok(ranges)
}

/// 2.3 writes what all have and then JSON of the values; 2.4 and later JSON of all.
fn list(reader: &mut Reader) -> Result<PartitionInfo> {
    let at = reader.at();
    let text = reader.text()?;
    if text.starts_with('{') {
        return parse_info(reader, at, text, "ListPartitionInfo");
    }
    let base = partition_base_body(reader)?;
    let values = json_info(reader, "ListPartitionInfo")?;
    Ok(PartitionInfo {
        is_multi_column_partition: Some(values.partition_columns.as_ref().is_some_and(|columns| columns.len() > 1)),
        id_to_data_property: base.id_to_data_property,
        id_to_replication_num: base.id_to_replication_num,
        id_to_in_memory: base.id_to_in_memory,
        ..values
    })
}

fn json_info(reader: &mut Reader, clazz: &str) -> Result<PartitionInfo> {
    let at = reader.at();
    let text = reader.text()?;
    parse_info(reader, at, text, clazz)
}

/// The class is known, so that the text need not name it.
fn parse_info(reader: &Reader, at: usize, text: &str, clazz: &str) -> Result<PartitionInfo> {
    let mut value: serde_json::Value = parse(reader, at, text, "the partitioning")?;
    if let Some(object) = value.as_object_mut() {
        object.insert("clazz".into(), clazz.into());
    }
    serde_json::from_value(value).map_err(|error| reader.damage(at, format!("the partitioning is not valid: {error}")))
}

/// Type, and again the type with what follows from it.
fn distribution(reader: &mut Reader) -> Result<DistributionInfo> {
    reader.text()?;
    let at = reader.at();
    let kind = reader.text()?;
    let (clazz, columns) = match kind {
        "HASH" => ("HashDistributionInfo", Some(columns(reader)?)),
        "RANDOM" => ("RandomDistributionInfo", None),
        other => return Err(reader.damage(at, format!("{other:?} is no type of distribution"))),
    };
    let buckets = Some(reader.i32()?);
    let (bucket_num, b) = if columns.is_some() { (buckets, None) } else { (None, buckets) };
    Ok(DistributionInfo {
        clazz: clazz.into(),
        type_str: Some(kind.into()),
        kind: kind.into(),
        distribution_columns: columns,
        bucket_num,
        b,
        ..DistributionInfo::default()
    })
}

/// A text that holds JSON.
fn json<T: DeserializeOwned>(reader: &mut Reader, what: &str) -> Result<T> {
    let at = reader.at();
    let text = reader.text()?;
    parse(reader, at, text, what)
}

fn parse<T: DeserializeOwned>(reader: &Reader, at: usize, text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| reader.damage(at, format!("{what} is not valid JSON: {error}")))
}

/// Two of one key would silently be one.
fn insert<K: Ord + std::fmt::Display, V>(map: &mut BTreeMap<K, V>, key: K, value: V, what: &str) -> Result<()> {
    if map.contains_key(&key) {
        return Err(CatalogError::Inconsistent {
            what: super::WHAT.into(),
            reason: format!("{what} {key} is there twice"),
        });
    }
    map.insert(key, value);
    Ok(())
}
