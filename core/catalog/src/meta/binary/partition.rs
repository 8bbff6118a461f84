//! Partitions, their indexes, tablets and replicas.

use super::{distribution, insert, meta_object, signature_and_check};
use crate::error::Result;
use crate::model::{Extra, MaterializedIndex, Partition, Replica, Tablet};
use crate::wire::Reader;
use std::collections::BTreeMap;

/// The least bytes of a partition, as [`super::LEAST_TABLE`].
pub(super) const LEAST: usize = 150;
const LEAST_INDEX: usize = 56;
const LEAST_TABLET: usize = 45;
const LEAST_REPLICA: usize = 84;

pub(super) fn read(reader: &mut Reader) -> Result<Partition> {
    let extra = meta_object(reader)?;
    let mut partition = Partition {
        id: reader.i64()?,
        name: reader.text()?.into(),
        state: Some(reader.text()?.into()),
        base_index: Some(index(reader)?),
        id_to_visible_rollup_index: Some(indexes(reader)?),
        id_to_shadow_index: Some(indexes(reader)?),
        visible_version: reader.i64()?,
        visible_version_time: reader.i64()?,
        extra,
        ..Partition::default()
    };
    keep(&mut partition.extra, "visibleVersionHash", reader.i64()?, 0);
    partition.next_version = reader.i64()?;
    keep(&mut partition.extra, "nextVersionHash", reader.i64()?, 0);
    keep(&mut partition.extra, "committedVersionHash", reader.i64()?, 0);
    partition.distribution_info = Some(distribution(reader)?);
    Ok(partition)
}

/// The JSON form has no key for these any more. A value that says something is kept under the name that the FE's field had.
fn keep(extra: &mut Extra, key: &str, value: i64, nothing: i64) {
    if value != nothing {
        extra.insert(key, value.into());
    }
}

fn indexes(reader: &mut Reader) -> Result<BTreeMap<i64, MaterializedIndex>> {
    let mut indexes = BTreeMap::new();
    for _ in 0..reader.count(LEAST_INDEX, "rollups")? {
        let index = index(reader)?;
        insert(&mut indexes, index.id, index, "index")?;
    }
    Ok(indexes)
}

fn index(reader: &mut Reader) -> Result<MaterializedIndex> {
    let extra = meta_object(reader)?;
    let mut index = MaterializedIndex {
        id: reader.i64()?,
        state: Some(reader.text()?.into()),
        row_count: reader.i64()?,
        extra,
        ..MaterializedIndex::default()
    };
    for _ in 0..reader.count(LEAST_TABLET, "tablets")? {
        index.tablets.push(tablet(reader)?);
    }
    keep(&mut index.extra, "rollupIndexId", reader.i64()?, -1);
    keep(&mut index.extra, "rollupFinishedVersion", reader.i64()?, -1);
    Ok(index)
}

fn tablet(reader: &mut Reader) -> Result<Tablet> {
    let (signature, last_check_time) = signature_and_check(reader)?;
    let mut tablet = Tablet {
        clazz: "LocalTablet".into(),
        id: reader.i64()?,
        signature: Some(signature),
        last_check_time: Some(last_check_time),
        ..Tablet::default()
    };
    let count = reader.count(LEAST_REPLICA, "replicas")?;
    tablet.replicas = Some((0..count).map(|_| replica(reader)).collect::<Result<_>>()?);
    tablet.checked_version = Some(reader.i64()?);
    keep(&mut tablet.extra, "checkedVersionHash", reader.i64()?, 0);
    tablet.is_consistent = Some(reader.bool()?);
    Ok(tablet)
}

fn replica(reader: &mut Reader) -> Result<Replica> {
    let mut replica =
        Replica { id: reader.i64()?, backend_id: reader.i64()?, version: reader.i64()?, ..Replica::default() };
    keep(&mut replica.extra, "versionHash", reader.i64()?, 0);
    replica.data_size = reader.i64()?;
    replica.row_count = reader.i64()?;
    replica.state = Some(reader.text()?.into());
    replica.last_failed_version = reader.i64()?;
    // Up to 2.0 a hash, zero up to 2.4, then the least version that can be read. No version lies above the replica's own.
    let either = reader.i64()?;
    if (0..=replica.version.max(0)).contains(&either) {
        replica.min_readable_version = Some(either);
    } else {
        keep(&mut replica.extra, "lastFailedVersionHash", either, 0);
    }
    replica.last_success_version = reader.i64()?;
    keep(&mut replica.extra, "lastSuccessVersionHash", reader.i64()?, 0);
    Ok(replica)
}
