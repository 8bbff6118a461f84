//! On which file systems `syncfs` is worth as much as `fsync` on each file.

use rustix::fs::fstatfs;
use std::io;
use std::os::fd::AsFd;

/// Numbers from Linux' `magic.h` and the file systems themselves. Others, as NFS, CIFS and all of FUSE, keep their data elsewhere, and what
/// `syncfs` does there depends on the other side.
const LOCAL: [u64; 8] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683E, // Btrfs
    0xF2F5_2010, // F2FS
    0x2FC1_2FC1, // ZFS
    0xCA45_1A4E, // bcachefs
    0x794C_7630, // overlayfs, which passes it on
    0x0102_1994, // tmpfs, where nothing is durable
];

/// True when one call makes all files of `file`'s file system durable, and reports what could not be written.
pub fn in_batches(file: impl AsFd) -> io::Result<bool> {
    let kind = u64::try_from(fstatfs(file)?.f_type).unwrap_or_default();
    Ok(LOCAL.contains(&kind) && syncfs_reports_errors())
}

/// Since Linux 5.8.
fn syncfs_reports_errors() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_files_of_local_disks_are_synced_together() {
        if std::path::Path::new("/dev/shm").is_dir() {
            let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
            assert_eq!(in_batches(file.as_file()).unwrap(), syncfs_reports_errors());
        }
        assert!(!in_batches(std::fs::File::open("/proc/self/status").unwrap()).unwrap());
    }
}
