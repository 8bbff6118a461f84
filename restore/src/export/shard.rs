//! Several hosts that share an export out among them without talking to each other.

use super::plan::{Refused, TablePlan};
use crate::error::Result;

/// One of `count` parts of an export, the same whenever and wherever it is worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    pub count: u32,
}

/// What a tablet costs beside its bytes: opening its files.
const TABLET_BYTES: u64 = 64 << 10;

/// Leaves only the shard's tablets. Tablets are never divided, as rows of one key are in one of them.
pub(super) fn retain(shard: Shard, plans: &mut [Result<TablePlan, Box<Refused>>]) {
    let mut plans: Vec<&mut TablePlan> = plans.iter_mut().filter_map(|plan| plan.as_mut().ok()).collect();
    let bytes = plans.iter().flat_map(|plan| plan.heads.iter().map(|head| head.bytes));
    let bytes: Vec<u64> = bytes.map(|bytes| bytes.saturating_add(TABLET_BYTES)).collect();
    let mut shards = assign(&bytes, shard.count).into_iter();
    for plan in &mut plans {
        let chosen: Vec<bool> = plan.heads.iter().map(|_| shards.next() == Some(shard.index)).collect();
        plan.retain(&chosen);
    }
}

/// The shard of each item: the largest item first, each to the shard that has least; of equals, the first.
fn assign(bytes: &[u64], count: u32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..bytes.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(bytes.get(*at).copied()));
    let mut least: std::collections::BinaryHeap<_> =
        (0..count).map(|shard| std::cmp::Reverse((0u128, shard))).collect();
    let mut shards = vec![0; bytes.len()];
    for at in order {
        let Some(std::cmp::Reverse((sum, shard))) = least.pop() else { break };
        let (Some(own), Some(bytes)) = (shards.get_mut(at), bytes.get(at)) else { break };
        *own = shard;
        least.push(std::cmp::Reverse((sum + u128::from(*bytes), shard)));
    }
    shards
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_item_has_one_shard_and_shards_are_balanced(
            bytes in prop::collection::vec(1u64..1_000_000, 0..200),
            count in 1u32..20,
        ) {
            let shards = assign(&bytes, count);
            prop_assert_eq!(shards.len(), bytes.len());
            prop_assert!(shards.iter().all(|shard| *shard < count));
            prop_assert_eq!(&shards, &assign(&bytes, count));
            let mut sums = vec![0; count as usize];
            shards.iter().zip(&bytes).for_each(|(shard, bytes)| sums[*shard as usize] += bytes);
            // Of two shards, one has no more than the other and one item.
            let largest = bytes.iter().max().copied().unwrap_or(0);
            prop_assert!(sums.iter().max().unwrap() - sums.iter().min().unwrap() <= largest);
        }
    }
}
