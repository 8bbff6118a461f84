//! The local index cache: parsed snapshots on local disk, so that a second mount of a large repository neither reads nor lists it again.
//! Versioned and checksummed; keyed by the repository's location and the md5 in the names of `__info` and `__meta`, so an entry never
//! goes stale. A damaged or foreign entry is ignored and rewritten.

use std::path::PathBuf;

/// A directory of cached indexes, mode 0700.
#[derive(Debug, Clone)]
pub struct IndexCache {
    pub dir: PathBuf,
}
