//! `__info` in shape C: indexes under the partition where it has one physical partition, all under `subPartitions` where it has several.

use super::NewSnapshot;
use crate::info::{InfoIndex, InfoPartition, InfoSubPartition, InfoTable, JobInfo};
use crate::model::Extra;
use crate::snapshot::{IndexEntry, PartitionEntry, PartitionKind, PhysicalEntry, TableEntry};
use std::collections::BTreeMap;

/// The journal version that every StarRocks writes.
const META_VERSION: i32 = 92;

/// Since 3.1.4: `__meta` is JSON.
const STARROCKS_META_VERSION: i32 = 4;

pub fn head(new: &NewSnapshot) -> JobInfo {
    JobInfo {
        name: new.label.clone(),
        database: new.database.clone(),
        id: new.database_id,
        backup_time: new.backup_time,
        meta_version: Some(META_VERSION),
        starrocks_meta_version: Some(STARROCKS_META_VERSION),
        backup_result: Some("succeed".into()),
        backup_objects: BTreeMap::new(),
        extra: Extra::default(),
    }
}

pub fn table(entry: &TableEntry) -> InfoTable {
    let stated = entry.partitions.iter().filter(|partition| partition.kind != PartitionKind::Temporary);
    InfoTable {
        id: entry.id,
        auto_increment_id: entry.auto_increment_id,
        partitions: stated.map(|entry| (entry.name.clone(), partition(entry))).collect(),
        extra: Extra::default(),
    }
}

fn partition(entry: &PartitionEntry) -> InfoPartition {
    let (single, several) = match entry.physicals.as_slice() {
        [single] => (indexes(single), BTreeMap::new()),
        several => {
            (BTreeMap::new(), several.iter().map(|entry| (entry.id.to_string(), sub_partition(entry))).collect())
        }
    };
    InfoPartition {
        id: entry.id,
        version: entry.version,
        // 1.19 and 2.0 read it; every later version writes 0.
        version_hash: Some(0),
        indexes: single,
        sub_partitions: Some(several),
        extra: Extra::default(),
    }
}

fn sub_partition(entry: &PhysicalEntry) -> InfoSubPartition {
    InfoSubPartition { id: entry.id, version: entry.version, indexes: indexes(entry), extra: Extra::default() }
}

fn indexes(entry: &PhysicalEntry) -> BTreeMap<String, InfoIndex> {
    entry.indexes.iter().map(|entry| (entry.name.clone(), index(entry))).collect()
}

fn index(entry: &IndexEntry) -> InfoIndex {
    let tablets = entry.tablets.iter();
    InfoIndex {
        id: entry.id,
        schema_hash: entry.schema_hash,
        tablets: tablets.clone().map(|tablet| (tablet.id.to_string(), tablet.listed_files.clone())).collect(),
        tablets_order: Some(tablets.map(|tablet| tablet.id.to_string().into()).collect()),
        extra: Extra::default(),
    }
}
