//! Local disk, without leaving the root: the fast path for repositories in a directory.

/// A directory on local disk.
#[derive(Debug)]
pub struct LocalStorage {}
