//! What is left to chance.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// A number that nobody can foresee; not for secrets.
pub(super) fn random() -> u64 {
    // Every RandomState has keys of its own.
    RandomState::new().build_hasher().finish()
}

/// The pause before the attempt after the `attempt`-th: doubled each time, and scattered, so that many clients do not come back at once.
pub(super) fn pause(interval: Duration, longest: Duration, attempt: u32) -> Duration {
    let most = interval.saturating_mul(1 << (attempt - 1).min(10)).min(longest);
    most.mul_f64(0.5 + (random() % 1000) as f64 / 2000.0)
}
