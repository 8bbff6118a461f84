//! Times of jobs and snapshots.

pub use starsnap_catalog::time::{utc_time, utc_timestamp};

/// Milliseconds since the epoch, now.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
