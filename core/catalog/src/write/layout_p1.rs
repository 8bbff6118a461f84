//! Partition layouts P2 and P3 to P1, where a partition is its own default physical partition.

use super::inconsistent;
use crate::error::Result;
use crate::model::{Extra, MaterializedIndex, Partition, PhysicalPartition, Table};
use std::collections::BTreeMap;

/// Keys of shared-data clusters: meaningless here, and what stands for "none" differs between versions.
const SHARD_GROUP: &str = "shardGroupId";

/// Rewrites every partition; one that is in P1 already stays as it is, but for what P1 has no place for.
pub fn convert(table: &mut Table) -> Result<()> {
    let temporary = table.temp_partitions.iter_mut().flat_map(|temporary| temporary.id_to_partition.values_mut());
    for partition in table.id_to_partition.values_mut().chain(temporary) {
        convert_partition(partition)
            .map_err(|reason| inconsistent(&table.name, format!("partition {:?}: {reason}", partition.name)))?;
    }
    Ok(())
}

fn convert_partition(partition: &mut Partition) -> Result<(), String> {
    partition.shard_group_id = None;
    let mut physicals = partition.id_to_sub_partition.take().unwrap_or_default();
    if let Some(default) = partition.dpid.take().filter(|id| *id != 0) {
        let Some(physical) = physicals.remove(&default) else {
            return Err(format!("its default physical partition {default} is missing"));
        };
        take_over(partition, physical)?;
    } else {
        settle(&mut partition.base_index, &mut partition.id_to_visible_rollup_index);
        partition.id_to_shadow_index = Some(BTreeMap::new());
    }
    for physical in physicals.values_mut() {
        base_apart(physical)?;
        physical.shard_group_id = None;
        physical.parent_id = Some(partition.id);
        physical.name.get_or_insert_with(|| format!("{}_{}", partition.name, physical.id));
    }
    partition.id_to_sub_partition = (!physicals.is_empty()).then_some(physicals);
    Ok(())
}

/// Puts the default physical partition in the place of what the partition itself says, which is out of date in P2 and P3.
fn take_over(partition: &mut Partition, mut physical: PhysicalPartition) -> Result<(), String> {
    base_apart(&mut physical)?;
    partition.base_index = physical.base_index;
    partition.id_to_visible_rollup_index = physical.id_to_visible_rollup_index;
    partition.id_to_shadow_index = Some(BTreeMap::new());
    partition.is_immutable = physical.is_immutable;
    partition.visible_version = physical.visible_version;
    partition.visible_version_time = physical.visible_version_time;
    partition.next_version = physical.next_version;
    partition.data_version = physical.data_version;
    partition.next_data_version = physical.next_data_version;
    partition.version_epoch = physical.version_epoch;
    partition.version_txn_type = physical.version_txn_type;
    // P1 has no key for these, and its readers ignore them: kept so that nothing is lost.
    let add = |extra: &mut Extra, key: &str, value: serde_json::Value| {
        if extra.get(key).is_none() {
            extra.insert(key, value);
        }
    };
    if let Some(buckets) = physical.bucket_num {
        add(&mut partition.extra, "bucketNum", buckets.into());
    }
    for (key, value) in physical.extra.iter() {
        add(&mut partition.extra, key, value.clone());
    }
    Ok(())
}

/// P3 keeps the base index among the visible ones, and indexes under ids of their own: both as in P2.
fn base_apart(physical: &mut PhysicalPartition) -> Result<(), String> {
    let base = physical.base_index_meta_id.take().filter(|id| *id != -1);
    let ids = physical.index_meta_id_to_index_ids.take().unwrap_or_default();
    if let Some(base) = base {
        let mut visible = physical.id_to_visible_rollup_index.take().unwrap_or_default();
        let mut rollups = BTreeMap::new();
        for (meta, ids) in &ids {
            // The last id is the current one. One that is not visible is a shadow of an unfinished change.
            let Some(mut index) = ids.last().and_then(|id| visible.remove(id)) else { continue };
            index.meta_id = Some(*meta);
            if *meta == base {
                physical.base_index = Some(index);
            } else {
                rollups.insert(*meta, index);
            }
        }
        if physical.base_index.is_none() {
            return Err(format!("physical partition {} lacks its base index {base}", physical.id));
        }
        physical.id_to_visible_rollup_index = Some(rollups);
    }
    settle(&mut physical.base_index, &mut physical.id_to_visible_rollup_index);
    physical.id_to_shadow_index = Some(BTreeMap::new());
    Ok(())
}

/// Indexes under the ids of their schemas.
fn settle(base: &mut Option<MaterializedIndex>, rollups: &mut Option<BTreeMap<i64, MaterializedIndex>>) {
    let settle_one = |index: &mut MaterializedIndex| {
        if let Some(meta) = index.meta_id.take().filter(|id| *id > 0) {
            index.id = meta;
        }
        index.extra.remove(SHARD_GROUP);
        index.id
    };
    if let Some(base) = base {
        settle_one(base);
    }
    let settled =
        std::mem::take(rollups).unwrap_or_default().into_values().map(|mut index| (settle_one(&mut index), index));
    *rollups = Some(settled.collect());
}
