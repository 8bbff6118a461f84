//! Which tablets a sample reads.

use starsnap_repository::md5;
use std::collections::HashSet;

/// Of `tablets`, `percent` (rounded up, so at least one unless there is none), as positions. The same tablets whenever it is asked: they
/// are ranked by a digest of their names, which has nothing to do with their size, age or place.
pub(super) fn choose<'a>(tablets: impl Iterator<Item = &'a str>, percent: f64) -> HashSet<usize> {
    let mut ranked: Vec<_> = tablets.enumerate().map(|(at, name)| (md5::of(name.as_bytes()), at)).collect();
    ranked.sort_unstable();
    let wanted = (ranked.len() as f64 * percent / 100.0).ceil().max(0.0) as usize;
    ranked.into_iter().take(wanted).map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_share_rounded_up_and_the_same_each_time() {
        let names: Vec<String> = (10_000..10_250).map(|id| format!("t/p/{id}")).collect();
        let of = |percent| choose(names.iter().map(String::as_str), percent);
        for (percent, count) in [(0.01, 1), (1.0, 3), (10.0, 25), (50.0, 125), (100.0, 250)] {
            assert_eq!(of(percent).len(), count, "{percent}");
            assert_eq!(of(percent), of(percent));
        }
        // A larger sample holds the smaller one.
        assert!(of(10.0).is_superset(&of(1.0)));
        // Not just the first ones.
        assert!(of(10.0).iter().any(|at| *at > 200));
        assert!(choose(std::iter::empty(), 10.0).is_empty());
    }
}
