//! New repositories and new snapshots, in StarRocks' order: tablets, `__meta`, `__info`.

use crate::error::Result;
use crate::md5::Md5;
use crate::repository::{Location, Repository};
use crate::snapshot::TabletKey;
use bytes::Bytes;

/// Makes an empty repository `__starrocks_repository_<name>` with its `__repo_info`. One that is there already: `Exists`.
pub async fn init(location: &Location, name: &str) -> Result<Repository> {
    let _ = (location, name);
    todo!()
}

/// A snapshot being written under a label. Until [`SnapshotWriter::commit`] the label has no `__info` and counts as incomplete.
/// A killed writer's label can be taken up again: files that are there with the same name and md5 are not written again.
#[derive(Debug)]
pub struct SnapshotWriter {}

impl SnapshotWriter {
    /// Starts or takes up `label`. A label that has an `__info`, or whose content is not ours to finish: `Exists`.
    pub async fn begin(repository: &Repository, label: &str) -> Result<SnapshotWriter> {
        let _ = (repository, label);
        todo!()
    }

    /// Puts one file of a tablet; the store-side copy of a file with the same name, size and md5 in another snapshot is preferred to the bytes.
    /// `read` opens the file's bytes only when they are needed. Returns whether bytes were written.
    pub async fn put(
        &self,
        key: &TabletKey,
        name: &str,
        md5: Md5,
        size: u64,
        source: &std::path::Path,
    ) -> Result<bool> {
        let _ = (key, name, md5, size, source);
        todo!()
    }

    /// Removes what does not belong (another attempt's leftovers), writes `__meta`, then `__info_<timestamp>`: the snapshot is complete.
    pub async fn commit(self, meta: Bytes, info: Bytes, timestamp: &str) -> Result<()> {
        let _ = (meta, info, timestamp);
        todo!()
    }
}
