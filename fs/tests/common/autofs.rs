//! A direct autofs mount, as systemd makes for `x-systemd.automount`: who looks there waits until somebody has mounted. Needs root.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const READY: u64 = 0x9360;
const FAIL: u64 = 0x9361;
/// Of the packets of version 5, on machines of 64 bits.
const PACKET: usize = 304;

/// The mounts below its path must go before it.
pub struct Autofs {
    path: CString,
    requests: File,
    root: Option<File>,
    waiting: Option<libc::c_ulong>,
}

impl Autofs {
    /// Only this process's group may look at `path` while it is not mounted. None where the kernel has no autofs for us, which is said.
    pub fn new(path: &Path) -> Option<Autofs> {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for the two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        // SAFETY: both were just made and belong to nobody else.
        let (from, to) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: the call takes nothing and cannot fail.
        let group = unsafe { libc::getpgrp() };
        let options = format!("fd={},pgrp={group},minproto=5,maxproto=5,direct", to.as_raw_fd());
        let [target, kind, options] =
            [path.as_os_str().as_bytes(), b"autofs", options.as_bytes()].map(|text| CString::new(text).unwrap());
        // SAFETY: all are C strings that outlive the call.
        let mounted = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        if mounted != 0 {
            println!(
                "NOT RUN: automount units: no autofs here (it wants root, and the kernel's module): {}",
                io::Error::last_os_error()
            );
            return None;
        }
        let root = File::open(path).unwrap();
        Some(Autofs { path: target, requests: File::from(from), root: Some(root), waiting: None })
    }

    /// Waits until somebody looks.
    pub fn asked(&mut self) {
        let mut packet = [0; PACKET];
        self.requests.read_exact(&mut packet).unwrap();
        self.waiting = Some(u32::from_ne_bytes(packet[8..12].try_into().unwrap()).into());
    }

    /// Lets go who waits, as it is mounted.
    pub fn ready(&mut self) {
        assert_eq!(self.answer(READY), 0, "{}", io::Error::last_os_error());
    }

    fn answer(&mut self, answer: u64) -> i32 {
        let (Some(root), Some(token)) = (&self.root, self.waiting.take()) else { return 0 };
        // SAFETY: the descriptor is open, and the argument is a number.
        unsafe { libc::ioctl(root.as_raw_fd(), answer as _, token) }
    }
}

impl Drop for Autofs {
    fn drop(&mut self) {
        self.answer(FAIL);
        self.root = None;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(self.path.as_bytes()));
        let is_there = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(path.to_str().unwrap());
        for _ in 0..3 {
            if is_there() {
                // SAFETY: the path is a C string that outlives the call.
                unsafe { libc::umount2(self.path.as_ptr(), libc::MNT_DETACH) };
            }
        }
    }
}
