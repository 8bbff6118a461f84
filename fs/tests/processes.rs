//! Mounts in processes of their own: signals, and the background. This file has no test harness, as a process with threads cannot split
//! off another. Each test is a function named in `TESTS`; the program starts itself as the process under test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::autofs::Autofs;
use common::*;
use starsnap_fs::daemon::daemonize;
use starsnap_fs::mount::{MountOptions, run_foreground};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TESTS: [(&str, fn()); 10] = [
    ("signals_unmount_cleanly", signals_unmount_cleanly),
    ("ignored_signals_stay_ignored", ignored_signals_stay_ignored),
    ("signals_unmount_what_was_renamed", signals_unmount_what_was_renamed),
    ("automount_units_get_their_mount", automount_units_get_their_mount),
    ("interrupted_before_it_is_ready_nothing_is_mounted", interrupted_before_it_is_ready_nothing_is_mounted),
    ("a_mount_that_nobody_waits_for_is_taken_away", a_mount_that_nobody_waits_for_is_taken_away),
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
    if role == "slow" {
        println!("started");
        // Nor for ever, when the test has failed.
        while !go(mountpoint).exists() && mountpoint.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let location = std::env::var_os("STARSNAP_TEST_LOCATION").map_or_else(|| genuine("sr35/hub"), Into::into);
    let (runtime, tree) = tree_of(&location, quick());
    let options = MountOptions::new(mountpoint);
    let mut daemon = daemon;
    let ready = || match daemon.take() {
        Some(daemon) => daemon.ready(),
        None => {
            println!("ready");
            Ok(())
        }
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

/// The file for which a slow mount waits.
fn go(mountpoint: &Path) -> std::path::PathBuf {
    mountpoint.with_extension("go")
}

fn start(role: &str, mountpoint: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(format!("role={role}")).arg(mountpoint);
    // However we were started ourselves (`nohup`, `&` in a script): what is ignored would stay so.
    // SAFETY: the calls between fork and exec may be made there, and touch no memory.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    };
    command
}

fn foreground(mountpoint: &Path) -> Child {
    spawn(&mut start("foreground", mountpoint), "ready\n")
}

/// Starts a process and waits until it has said `line`.
fn spawn(command: &mut Command, line: &str) -> Child {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut said).unwrap();
    assert_eq!(said, line);
    child
}

/// Sends a signal to a child that was not waited for, or to its group where that is its own.
fn kill(child: &Child, signal: i32, group: bool) {
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: the process is our own child, and its number is not another's before it is waited for.
    assert_eq!(unsafe { libc::kill(if group { -id } else { id }, signal) }, 0);
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
        kill(&child, signal, false);
        assert_eq!(child.wait().unwrap().code(), Some(0), "signal {signal}");
        assert!(!is_mounted(dir.path()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the directory beneath is back");
    }
}

fn ignored_signals_stay_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    command.arg("role=foreground").arg(dir.path());
    let mut child = spawn(&mut command, "ready\n");
    kill(&child, libc::SIGHUP, false);
    kill(&child, libc::SIGINT, false);
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none() && is_mounted(dir.path()), "an ignored signal ended the mount");
    kill(&child, libc::SIGTERM, false);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!is_mounted(dir.path()));
}

fn signals_unmount_what_was_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("a b"), dir.path().join("b\\c"));
    fs::create_dir_all(before.join("mnt")).unwrap();
    let mut child = foreground(&before.join("mnt"));
    fs::rename(&before, &after).unwrap();
    // What stands at the old path now is not ours.
    fs::create_dir_all(before.join("mnt")).unwrap();
    let mut other = foreground(&before.join("mnt"));
    kill(&child, libc::SIGTERM, false);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_dir(after.join("mnt")).unwrap().count(), 0, "the directory beneath is back");
    assert!(before.join("mnt/sr_hub_full").is_dir());
    kill(&other, libc::SIGTERM, false);
    assert_eq!(other.wait().unwrap().code(), Some(0));
    assert!(!is_mounted(dir.path()));
}

fn automount_units_get_their_mount() {
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let Some(mut autofs) = Autofs::new(dir.path()) else { return };
    // In another group, as only ours may look.
    let mut ls = Command::new("ls");
    let looker = ls.arg(dir.path()).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    autofs.asked();
    let mut command = start("background", dir.path()).spawn().unwrap();
    until("the command returns", || command.try_wait().unwrap().is_some());
    assert!(command.wait().unwrap().success());
    autofs.ready();
    let listed = looker.wait_with_output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("sr_hub_full"));
    // The process is on its own by now.
    let daemon = serves("background", dir.path()).unwrap();
    // SAFETY: neither call touches memory.
    assert_eq!(unsafe { (libc::getsid(daemon), libc::getpgid(daemon)) }, (daemon, daemon));
    umount(dir.path());
    until("the background process goes", || !Path::new(&format!("/proc/{daemon}")).exists());
    assert!(is_mounted(dir.path()), "the autofs beneath was taken away too");
}

/// The process with this role at a mount point.
fn serves(role: &str, mountpoint: &Path) -> Option<i32> {
    let names = |id: &i32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0);
        arguments.any(|argument| argument == format!("role={role}").as_bytes())
            && arguments.any(|argument| argument == mountpoint.as_os_str().as_encoded_bytes())
    };
    let mut ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.find(names)
}

fn interrupted_before_it_is_ready_nothing_is_mounted() {
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let mountpoint = dir.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let mut child = spawn(start("slow", &mountpoint).process_group(0), "started\n");
    // Ctrl-C reaches all of the group.
    kill(&child, libc::SIGINT, true);
    assert!(!child.wait().unwrap().success());
    until("the background process goes", || serves("slow", &mountpoint).is_none());
    assert!(!is_mounted(&mountpoint));
}

fn a_mount_that_nobody_waits_for_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let mountpoint = dir.path().join("mnt");
    fs::create_dir(&mountpoint).unwrap();
    let mut child = spawn(&mut start("slow", &mountpoint), "started\n");
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(go(&mountpoint), "").unwrap();
    // The process lets go of it when it takes the mount for ready.
    std::io::copy(child.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
    until("the mount goes", || !is_mounted(&mountpoint));
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
