//! A directory of ours in one that we are given, which may hold what is not ours.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directory `name` in `dir`, of which nobody else may read or write a thing: made where it is missing, never changed where it is there.
pub(crate) fn directory(dir: &Path, name: &str) -> io::Result<PathBuf> {
    let own = dir.join(name);
    DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
    check(&own)?;
    Ok(own)
}

/// An error unless `own` is a directory of this user which nobody else may look into.
pub(crate) fn check(own: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(own)?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("{} is not a directory of this user", own.display())));
    }
    if metadata.mode() & 0o077 != 0 {
        let reason = "others may look into it, or write to it (its mode must be 0700)";
        return Err(io::Error::other(format!("{}: {reason}", own.display())));
    }
    Ok(())
}
