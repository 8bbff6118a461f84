//! The mount point: whether it can be one, whether it answers, taking it away.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Why a mount did not come to be, or broke.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot mount on {mountpoint}: {reason}{}", .advice.is_empty().then(String::new).unwrap_or_else(|| format!(" ({})", .advice)))]
pub struct MountError {
    pub mountpoint: String,
    pub reason: String,
    /// What the user can do; may be empty.
    pub advice: String,
}

impl MountError {
    pub(super) fn new(mountpoint: &Path, reason: impl Into<String>, advice: impl Into<String>) -> MountError {
        MountError { mountpoint: mountpoint.display().to_string(), reason: reason.into(), advice: advice.into() }
    }
}

/// How long a new mount may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The absolute path of a mount point that can be mounted on.
pub(super) fn check(path: &Path, nonempty: bool) -> Result<PathBuf, MountError> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTCONN) => MountError::new(
            path,
            "an earlier mount whose process is gone is still there",
            format!("remove it with `fusermount3 -u {shown}` or `umount {shown}`"),
        ),
        Some(libc::ENOENT) => {
            MountError::new(path, "there is no such directory", format!("`mkdir -p {shown}` makes it"))
        }
        _ => MountError::new(path, error.to_string(), ""),
    })?;
    if !metadata.is_dir() {
        return Err(MountError::new(path, "it is not a directory", "mount on an empty directory"));
    }
    let path = path.canonicalize().map_err(|error| MountError::new(path, error.to_string(), ""))?;
    let shown = path.display();
    if mounted(&path).is_some_and(|entry| entry.kind == "fuse.starsnap") {
        return Err(MountError::new(
            &path,
            "a repository is mounted there already",
            format!("`umount {shown}` ends it"),
        ));
    }
    let mut entries = std::fs::read_dir(&path).map_err(|error| MountError::new(&path, error.to_string(), ""))?;
    if !nonempty && entries.next().is_some() {
        return Err(MountError::new(
            &path,
            "the directory is not empty",
            "mount on an empty one, or allow it with the option nonempty",
        ));
    }
    Ok(path)
}

/// What the kernel's table says of a mount.
struct Entry {
    /// Major and minor number: `0:52`.
    device: String,
    kind: String,
}

/// What is mounted exactly at `path`; the topmost where there are several.
fn mounted(path: &Path) -> Option<Entry> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let escaped =
        path.to_str()?.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
    let at = |line: &&str| line.split(' ').nth(4) == Some(escaped.as_str());
    let line = table.lines().rfind(at)?;
    let (_, rest) = line.split_once(" - ")?;
    Some(Entry { device: line.split(' ').nth(2)?.to_owned(), kind: rest.split(' ').next()?.to_owned() })
}

/// The error of a mount that the system refused.
pub(super) fn refused(path: &Path, allow_other: bool, error: &io::Error) -> MountError {
    let text = error.to_string();
    let reason = text.trim().to_owned();
    match std::fs::metadata("/dev/fuse").map_err(|error| error.kind()) {
        Err(io::ErrorKind::NotFound) => MountError::new(
            path,
            "there is no /dev/fuse",
            "load the module with `modprobe fuse`; in a container, give it the device: `--device /dev/fuse --cap-add SYS_ADMIN`",
        ),
        // What fusermount3 says comes with kinds of its own, so the text decides first.
        _ if allow_other && text.contains("allow_other") => MountError::new(
            path,
            reason,
            "put a line `user_allow_other` into /etc/fuse.conf, mount as root, or do without --allow-other",
        ),
        _ if text.contains("no write access") => {
            MountError::new(path, reason, "mount on a directory that belongs to you")
        }
        _ if error.kind() == io::ErrorKind::PermissionDenied => MountError::new(
            path,
            reason,
            "this user may not open /dev/fuse: `chmod 666 /dev/fuse` lets everybody, or mount as root",
        ),
        _ if text.contains("fusermount") && error.kind() != io::ErrorKind::NotFound => {
            MountError::new(path, reason, "")
        }
        _ if text.contains("fusermount") || error.kind() == io::ErrorKind::NotFound => {
            MountError::new(path, reason, "users other than root need fusermount3: install the package fuse3")
        }
        _ => MountError::new(path, reason, ""),
    }
}

/// Waits until the kernel has been greeted, from when on it asks, or until the session `ended`. The mount itself is not asked anything: a process
/// that waits for itself cannot even be killed.
pub(super) async fn greeted(
    path: &Path,
    greeted: &Notify,
    mut ended: watch::Receiver<Option<Result<(), String>>>,
) -> Result<(), MountError> {
    let failed = |reason: String| MountError::new(path, reason, "the log says more");
    let reason = tokio::select! {
        () = greeted.notified() => return Ok(()),
        () = tokio::time::sleep(PATIENCE) => format!("the kernel does not ask within {} seconds", PATIENCE.as_secs()),
        ended = ended.wait_for(Option::is_some) => match ended.as_deref() {
            Ok(Some(Err(error))) => format!("the mount does not work: {error}"),
            _ => "the mount ended at once".to_owned(),
        },
    };
    let _ = unmount(path);
    Err(failed(reason))
}

/// Raises how far the kernel reads ahead: its own 128 KiB starve a store that is not local.
pub(super) fn read_ahead(path: &Path, kibibytes: u32) {
    let Some(mounted) = mounted(path) else { return };
    let path = format!("/sys/class/bdi/{}/read_ahead_kb", mounted.device);
    if let Err(error) = std::fs::write(&path, kibibytes.to_string()) {
        tracing::debug!(%error, "the kernel's read-ahead stays as it is, only root can raise it");
    }
}

/// Unmounts; whether it is only detached, because somebody uses it.
pub(super) fn unmount(path: &Path) -> Result<bool, MountError> {
    let failed = |reason: String| MountError::new(path, format!("it cannot be unmounted: {reason}"), "");
    let target = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.to_string()))?;
    let unmount = |flags| {
        // SAFETY: `target` is a C string that outlives the call.
        match unsafe { libc::umount2(target.as_ptr(), flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    let error = match unmount(libc::UMOUNT_NOFOLLOW) {
        Ok(()) => return Ok(false),
        Err(error) => error,
    };
    match error.raw_os_error() {
        // Somebody was faster.
        Some(libc::EINVAL | libc::ENOENT) => Ok(false),
        Some(libc::EBUSY) => match unmount(libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(error) => Err(failed(error.to_string())),
        },
        // Only the setuid helper may unmount for other users than root.
        Some(libc::EPERM) => match fusermount(path, "-u") {
            Ok(()) => Ok(false),
            Err(_) => fusermount(path, "-uz").map(|()| true).map_err(failed),
        },
        _ => Err(failed(error.to_string())),
    }
}

fn fusermount(path: &Path, how: &str) -> Result<(), String> {
    let output = Command::new("fusermount3").args([how, "--"]).arg(path).output();
    let output = output.map_err(|error| format!("fusermount3 cannot be run: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
