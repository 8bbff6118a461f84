//! Mounts in processes of their own: signals, and the background. This file has no test harness, as a process with threads cannot split
//! off another. Each test is a function named in `TESTS`; the program starts itself as the process under test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use starsnap_fs::daemon::daemonize;
use starsnap_fs::mount::{MountOptions, run_foreground};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TESTS: [(&str, fn()); 5] = [
    ("signals_unmount_cleanly", signals_unmount_cleanly),
    ("background_mount_is_ready_when_the_command_returns", background_mount_is_ready_when_the_command_returns),
    ("background_failure_is_the_command_s", background_failure_is_the_command_s),
    ("background_crash_is_reported", background_crash_is_reported),
    ("dead_mount_is_explained", dead_mount_is_explained),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, mountpoint] = arguments.as_slice()
        && let Some(role) = role.strip_prefix("role=")
    {
        std::process::exit(play(role, Path::new(mountpoint)));
    }
    require_fuse();
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    for (name, test) in TESTS {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// The process under test.
fn play(role: &str, mountpoint: &Path) -> i32 {
    let daemon = (role != "foreground").then(|| daemonize().unwrap());
    if role == "crash" {
        std::process::abort();
    }
    let location = std::env::var_os("STARSNAP_TEST_LOCATION").map_or_else(|| genuine("sr35/hub"), Into::into);
    let (runtime, tree) = tree_of(&location, quick());
    let options = MountOptions::new(mountpoint);
    let mut daemon = daemon;
    let ready = || match daemon.take() {
        Some(daemon) => daemon.ready().unwrap(),
        None => println!("ready"),
    };
    match runtime.block_on(run_foreground(tree, &options, ready)) {
        Ok(()) => 0,
        Err(error) => {
            match daemon {
                Some(daemon) => daemon.fail(7, &format!("error: {error}\n")),
                None => eprintln!("error: {error}"),
            }
            1
        }
    }
}

fn start(role: &str, mountpoint: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(format!("role={role}")).arg(mountpoint);
    command
}

fn foreground(mountpoint: &Path) -> Child {
    let mut child = start("foreground", mountpoint).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn is_mounted(mountpoint: &Path) -> bool {
    fs::read_to_string("/proc/self/mountinfo").unwrap().contains(mountpoint.to_str().unwrap())
}

fn umount(mountpoint: &Path) {
    assert!(Command::new("fusermount3").arg("-u").arg(mountpoint).status().unwrap().success());
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "{what} within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signals_unmount_cleanly() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = foreground(dir.path());
        assert!(dir.path().join("sr_hub_full/latest/orders").is_dir());
        // SAFETY: the process is our own child, which was not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        assert_eq!(child.wait().unwrap().code(), Some(0), "signal {signal}");
        assert!(!is_mounted(dir.path()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the directory beneath is back");
    }
}

fn background_mount_is_ready_when_the_command_returns() {
    let dir = tempfile::tempdir().unwrap();
    let output = start("background", dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(dir.path().join("sr_hub_full/latest/orders/table.json").is_file());
    umount(dir.path());
    until("the background process goes", || !is_mounted(dir.path()));
}

fn background_failure_is_the_command_s() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let output = start("background", dir.path()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(message.starts_with("error: cannot mount on") && message.contains("not empty"), "{message}");
    assert!(!is_mounted(dir.path()));
}

fn background_crash_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let output = start("crash", dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("ended before the mount was ready"));
}

fn dead_mount_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = foreground(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let dead = || fs::metadata(dir.path()).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN));
    until("what the kernel knew of the mount is forgotten", dead);
    let output = start("foreground", dir.path()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("fusermount3 -u"), "{message}");
    umount(dir.path());
}
