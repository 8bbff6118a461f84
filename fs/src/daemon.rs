//! A mount in the background: the command returns when the mount can be used, or with the reason why it cannot.
//!
//! [`daemonize`] must be called before any thread is started, so first thing in `main`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The child's end: the parent waits for [`Daemon::ready`] or [`Daemon::fail`]. Dropped without either, the parent reports a crash.
#[derive(Debug)]
#[must_use = "the parent waits until it hears whether the mount is ready"]
pub struct Daemon {
    pipe: File,
}

/// Splits off a background process and returns in it. The parent never returns: it exits with 0 when the child is ready, and with what
/// [`Daemon::fail`] says otherwise, its message on standard error.
///
/// Until [`Daemon::ready`] the child stays in the caller's process group: autofs, and so systemd's automount units, let only the group that
/// mounts come near the mount point meanwhile, and whoever presses Ctrl-C means the child too.
/// The working directory stays, so that relative paths mean the same until [`Daemon::ready`].
pub fn daemonize() -> io::Result<Daemon> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a background process can only be split off before threads are started"));
    }
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that the call stores.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors were just made and belong to nobody else.
    let (from_child, to_parent) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: this is the only thread, so the child starts with everything as it is here.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(from_child);
            Ok(Daemon { pipe: File::from(to_parent) })
        }
        _ => {
            drop(to_parent);
            std::process::exit(hear(File::from(from_child)))
        }
    }
}

/// Waits for what the child says; returns the exit code.
fn hear(mut pipe: File) -> i32 {
    let mut said = Vec::new();
    let heard = pipe.read_to_end(&mut said);
    match said.split_first() {
        Some((0, _)) => 0,
        Some((code, message)) => {
            let _ = io::stderr().write_all(message);
            i32::from(*code)
        }
        None => {
            let why = heard.err().map(|error| format!(": {error}")).unwrap_or_default();
            eprintln!("error: the background process ended before the mount was ready{why}");
            1
        }
    }
}

impl Daemon {
    /// Lets go of the terminal and the working directory, goes into a session of its own, and tells the parent that all is well. Fails when
    /// the parent is gone: then nobody knows of this process, and it must take back what it did.
    pub fn ready(mut self) -> io::Result<()> {
        // SAFETY: takes nothing and fails only for the leader of a process group, which a child is not.
        unsafe { libc::setsid() };
        std::env::set_current_dir("/")?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        for descriptor in 0..3 {
            // SAFETY: the descriptors are the three standard ones, which std never closes, and `null` is open.
            if unsafe { libc::dup2(null.as_raw_fd(), descriptor) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        self.pipe.write_all(&[0])
    }

    /// Makes the parent print `message` (with its newline) and exit with `code`, which is 1 where it is given as 0.
    pub fn fail(mut self, code: u8, message: &str) {
        // The parent may be gone; there is nobody else to tell.
        let _ = self.pipe.write_all(&[code.max(1)]);
        let _ = self.pipe.write_all(message.as_bytes());
    }
}
