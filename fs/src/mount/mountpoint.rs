//! The mount point: whether it can be one, whether it answers, taking it away.

use super::table;
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
    if table::at(&path).is_some_and(|entry| entry.kind == "fuse.starsnap") {
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

/// Refuses a mount point that holds what the mount itself uses: to answer a request, it would wait for its own answer.
pub(super) fn holds_none(mountpoint: &Path, uses: &[PathBuf]) -> Result<(), MountError> {
    match uses.iter().find(|path| resolved(path).starts_with(mountpoint)) {
        None => Ok(()),
        Some(path) => Err(MountError::new(
            mountpoint,
            format!("{} would lie below the mount, which needs it itself", path.display()),
            "mount somewhere else",
        )),
    }
}

/// A path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), absolute.strip_prefix(there)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    absolute
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
    device: Option<&str>,
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
    let _ = unmount(path, device);
    Err(failed(reason))
}

/// Raises how far the kernel reads ahead: its own 128 KiB starve a store that is not local.
pub(super) fn read_ahead(device: &str, kibibytes: u32) {
    let path = format!("/sys/class/bdi/{device}/read_ahead_kb");
    if let Err(error) = std::fs::write(&path, kibibytes.to_string()) {
        tracing::debug!(%error, "the kernel's read-ahead stays as it is, only root can raise it");
    }
}

/// Where the mount of `device` is by now: at `path`, unless a directory above it was renamed.
fn place(path: &Path, device: &str) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> =
        table::read().into_iter().filter(|entry| entry.device == device).map(|entry| entry.path).collect();
    match places.iter().any(|place| place == path) {
        true => Some(path.to_owned()),
        false => places.pop(),
    }
}

/// Unmounts, wherever the mount of `device` is by now; whether it is only detached, because somebody uses it.
pub(super) fn unmount(path: &Path, device: Option<&str>) -> Result<bool, MountError> {
    let place = |device| place(path, device);
    let found = match device {
        Some(device) => match place(device) {
            Some(found) => found,
            // Somebody was faster.
            None => return Ok(false),
        },
        None => path.to_owned(),
    };
    let shown = found.display();
    let failed = |reason: String| {
        MountError::new(path, format!("it cannot be unmounted: {reason}"), format!("`umount {shown}` removes it"))
    };
    let target = CString::new(found.as_os_str().as_bytes()).map_err(|error| failed(error.to_string()))?;
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
        // Somebody was faster, if it is not there any more.
        Some(libc::EINVAL | libc::ENOENT) => match device.and_then(place) {
            None => Ok(false),
            Some(_) => Err(failed(error.to_string())),
        },
        Some(libc::EBUSY) => match unmount(libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(error) => Err(failed(error.to_string())),
        },
        // Only the setuid helper may unmount for other users than root.
        Some(libc::EPERM) => match fusermount(&found, "-u") {
            Ok(()) => Ok(false),
            Err(_) => fusermount(&found, "-uz").map(|()| true).map_err(failed),
        },
        _ => Err(failed(error.to_string())),
    }
}

fn fusermount(path: &Path, how: &str) -> Result<(), String> {
    let output = Command::new("fusermount3").args([how, "--"]).arg(path).output();
    let output = output.map_err(|error| format!("fusermount3 cannot be run: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
