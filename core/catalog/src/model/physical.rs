//! One view of a partition's physical partitions and indexes, whichever of the layouts P1, P2 and P3 it is stored in.

use super::{MaterializedIndex, Partition, PhysicalPartition};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A physical partition.
#[derive(Debug, Clone)]
pub struct PhysicalView<'a> {
    /// The number in `__part_<id>`.
    pub id: i64,
    pub version: i64,
    /// Milliseconds since the epoch.
    pub version_time: i64,
    /// The base index first, then by id. Indexes of a schema change in progress are left out, as BACKUP leaves them out.
    pub indexes: Vec<IndexView<'a>>,
}

/// An index of a physical partition.
#[derive(Debug, Clone, Copy)]
pub struct IndexView<'a> {
    /// The id under which the table's `indexIdToMeta` and `indexNameToId` have it; the index's own id unless it was re-sharded.
    pub meta_id: i64,
    pub base: bool,
    pub index: &'a MaterializedIndex,
}

/// How a partition is stored, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PartitionLayout {
    /// Up to 3.3: the partition is its default physical partition, and its only one.
    P1,
    /// 3.2 and 3.3: there are others beside it.
    P1Several,
    /// 3.4 and later: all physical partitions stand apart.
    P2,
    /// 2026's main: as P2, the base index among the other indexes.
    P3,
}

impl Partition {
    /// The layout.
    pub fn layout(&self) -> PartitionLayout {
        let mut below = self.id_to_sub_partition.iter().flat_map(|map| map.values()).peekable();
        match self.dpid.unwrap_or(0) {
            0 if below.peek().is_none() => PartitionLayout::P1,
            0 => PartitionLayout::P1Several,
            _ if below.any(|physical| physical.base_index_meta_id.is_some_and(|id| id != -1)) => PartitionLayout::P3,
            _ => PartitionLayout::P2,
        }
    }

    /// Id of the default physical partition: `dpid`, or the partition's own where that is absent or 0 (P1).
    pub fn default_physical_id(&self) -> i64 {
        self.dpid.filter(|id| *id != 0).unwrap_or(self.id)
    }

    /// The physical partitions by id, the default one first. Layout P2 still has the keys of P1, but they are stale and not used.
    pub fn physicals(&self) -> Vec<PhysicalView<'_>> {
        let mut all = Vec::new();
        if self.dpid.unwrap_or(0) == 0 {
            all.push(PhysicalView {
                id: self.id,
                version: self.visible_version,
                version_time: self.visible_version_time,
                indexes: base_and_rollups(self.base_index.as_ref(), self.id_to_visible_rollup_index.as_ref()),
            });
        }
        all.extend(self.id_to_sub_partition.iter().flat_map(|map| map.values()).map(PhysicalPartition::view));
        let default = self.default_physical_id();
        all.sort_by_key(|physical| (physical.id != default, physical.id));
        all
    }
}

impl PhysicalPartition {
    fn view(&self) -> PhysicalView<'_> {
        PhysicalView {
            id: self.id,
            version: self.visible_version,
            version_time: self.visible_version_time,
            indexes: match self.base_index_meta_id {
                Some(base) if base != -1 => self.current_indexes(base),
                _ => base_and_rollups(self.base_index.as_ref(), self.id_to_visible_rollup_index.as_ref()),
            },
        }
    }

    /// Layout P3: of each index the newest instance, unless that is not visible yet.
    fn current_indexes(&self, base: i64) -> Vec<IndexView<'_>> {
        let mut indexes = Vec::new();
        for (&meta_id, ids) in self.index_meta_id_to_index_ids.iter().flatten() {
            let visible = self.id_to_visible_rollup_index.as_ref();
            if let Some(index) = ids.last().and_then(|id| visible?.get(id)) {
                indexes.push(IndexView { meta_id, base: meta_id == base, index });
            }
        }
        indexes.sort_by_key(|view| (!view.base, view.index.id));
        indexes
    }
}

fn base_and_rollups<'a>(
    base: Option<&'a MaterializedIndex>,
    rollups: Option<&'a BTreeMap<i64, MaterializedIndex>>,
) -> Vec<IndexView<'a>> {
    let meta_id = |index: &MaterializedIndex| index.meta_id.filter(|id| *id != 0).unwrap_or(index.id);
    let view = |base: bool, index: &'a MaterializedIndex| IndexView { meta_id: meta_id(index), base, index };
    let rollups = rollups.into_iter().flat_map(|map| map.values()).map(|index| view(false, index));
    base.into_iter().map(|index| view(true, index)).chain(rollups).collect()
}
