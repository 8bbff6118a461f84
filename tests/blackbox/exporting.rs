//! `starsnap export` as a shell uses it: pipes, devices, what stands there already, names that are not there.

use crate::common::{Ran, World, files};
use crate::genuine;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn table(name: &str) -> String {
    genuine::one("sr35/hub").location().join("sr_hub_full").join(name).display().to_string()
}

fn tablet(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tablets").join(case).join("tablet")
}

#[track_caller]
fn export(world: &World, source: &str, to: &Path, more: &[&str]) -> Ran {
    let mut args = vec!["export", source, "--format", "csv", "--to", to.to_str().unwrap()];
    args.extend(more);
    world.run(args)
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

#[test]
fn named_pipes_and_devices_are_written_to() {
    let world = World::new();
    let users = table("users");
    let whole = world.path("whole.csv");
    export(&world, &users, &whole, &[]).ok();
    let pipe = world.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    // Whoever comes first waits for the other.
    for reader_first in [true, false] {
        let mut command = world.command();
        command.args(["export", &users, "--format", "csv", "--to", pipe.to_str().unwrap()]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let path = pipe.clone();
        let read = || std::thread::spawn(move || fs::read(path).unwrap());
        let (child, found) = if reader_first {
            let reader = read();
            (command.spawn().unwrap(), reader)
        } else {
            let child = command.spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(200));
            (child, read())
        };
        Ran::wait(child).ok();
        assert!(found.join().unwrap() == fs::read(&whole).unwrap(), "reader first: {reader_first}");
    }
    export(&world, &users, Path::new("/dev/null"), &[]).ok();
    export(&world, &users, Path::new("/dev/full"), &[]).code(1).says("/dev/full").says("No space left");
    // A file that standard output is redirected to stands there, and is not in the way.
    let redirected = world.path("redirected.csv");
    let mut command = world.command();
    command.args(["export", &users, "--format", "csv", "--to", "/dev/stdout"]);
    let status = command.stdout(fs::File::create(&redirected).unwrap()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success() && fs::read(redirected).unwrap() == fs::read(&whole).unwrap());
}

#[test]
fn a_pipe_that_nobody_reads_can_be_interrupted() {
    let world = World::new();
    let pipe = world.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let mut command = world.command();
    command.args(["export", &table("users"), "--format", "csv", "--to", pipe.to_str().unwrap()]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    Ran::wait(child).code(130).says("pipe");
}

#[test]
fn a_reader_that_has_enough_is_met_with_silence() {
    let world = World::new();
    for format in ["csv", "jsonl", "arrow", "parquet"] {
        let mut command = world.command();
        let source = tablet("sr23/nulls_20k").display().to_string();
        let mut child = command
            .args(["export", &source, "--format", format, "--to", "-", "--largeint", "text"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut begin = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut begin).unwrap();
        let ran = Ran::wait(child).ok();
        assert_eq!(ran.stderr.lines().count(), 1, "{format}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("1 tablet to read, "), "{format}: {}", ran.stderr);
    }
}

#[test]
fn a_tablet_alone_is_called_by_its_id_split_and_shared_out() {
    let world = World::new();
    let source = tablet("sr35/multi_segment").display().to_string();
    export(&world, &source, &world.path("one"), &[]).ok();
    let found = files(&world.path("one"));
    let id = found[0].strip_suffix(".csv").unwrap();
    assert_eq!((found.len(), id.parse::<u64>().is_ok()), (1, true), "{found:?}");
    let all = lines(&world.path("one").join(&found[0]));
    export(&world, &source, &world.path("split"), &["--split", "rows=1000"]).ok();
    let parts: Vec<PathBuf> = files(&world.path("split")).iter().map(|path| world.path("split").join(path)).collect();
    assert!(parts.len() > 5 && parts.iter().all(|part| lines(part) <= 1000), "{parts:?}");
    assert_eq!(parts.iter().map(|part| lines(part)).sum::<usize>(), all);
    for shard in ["1/2", "0/2", "1/2"] {
        export(&world, &source, &world.path("shared"), &["--shard", shard]).ok();
    }
    let shared: Vec<String> = files(&world.path("shared")).into_iter().filter(|name| name.ends_with(".csv")).collect();
    assert_eq!(shared, [format!("{id}/{id}.csv")]);
    assert_eq!(lines(&world.path("shared").join(&shared[0])), all);
}

#[test]
fn what_stands_there_or_is_not_there_is_said() {
    let world = World::new();
    let users = table("users");
    let file = world.path("users.csv");
    export(&world, &users, &file, &[]).ok();
    let before = fs::read(&file).unwrap();
    export(&world, &users, &file, &[]).code(1).says("stands there already");
    fs::write(world.path("plain"), "mine").unwrap();
    export(&world, &users, &world.path("plain"), &[]).code(1).says("stands there already");
    assert!(fs::read(&file).unwrap() == before && fs::read(world.path("plain")).unwrap() == b"mine");
    let nowhere = world.path("nowhere/users.csv");
    export(&world, &users, &nowhere, &[]).code(1).says("there is no directory").says("make it first");
    export(&world, &users, &world.path("x.csv"), &["--columns", "name,NAME"]).code(1).says("named twice");
    export(&world, &users, &world.path("x.csv"), &["--where", "nam = 'x'"]).code(1).says("no column nam").says("name");
    let one_off = table("users").replace("sr_hub_full", "sr_hub_fll");
    let ran = export(&world, &one_off, &world.path("x.csv"), &[]).code(10).says("`sr_hub_full` is the nearest");
    assert!(!ran.stderr.contains("os error"), "{}", ran.stderr);
    assert!(!world.path("x.csv").exists());
    // Of several tables some can be exported.
    let sales = table("").trim_end_matches('/').to_owned();
    let ran = export(&world, &sales, &world.path("some"), &["--index", "sales_by_day_city"]).code(3);
    assert!(ran.stdout.contains(" of 1 of 7 tables to "), "{}", ran.stdout);
}

/// A file system of its own, of so many KiB.
struct Small(PathBuf);

impl Small {
    fn new(at: PathBuf, kib: u32) -> Small {
        crate::common::require_root("it mounts a small file system");
        let mut mount = Command::new("mount");
        Ran::of({
            mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(&at);
            mount
        })
        .ok();
        Small(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        crate::common::unmount(&self.0);
    }
}

#[test]
fn a_full_disk_is_said_and_what_is_finished_is_kept() {
    let world = World::new();
    let small = Small::new(world.dir("small"), 64);
    let users = table("users");
    let ran =
        export(&world, &users, &small.0.join("users.csv"), &[]).code(1).says("No space left").says("run the same");
    assert!(!ran.stderr.contains("goes on where"), "one file begins anew: {}", ran.stderr);
    assert_eq!(files(&small.0), Vec::<String>::new());
    let args = ["--split", "rows=100"];
    export(&world, &users, &small.0.join("parts"), &args).code(1).says("No space left").says("goes on where");
    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,size=4m"]).arg(&small.0);
    Ran::of(remount).ok();
    let report = {
        let mut args: Vec<&str> = vec!["--json"];
        args.extend(["--split", "rows=100"]);
        export(&world, &users, &small.0.join("parts"), &args).ok().json()
    };
    assert!(report["reused_files"].as_u64().unwrap() > 0, "{report}");
    let parts = files(&small.0.join("parts"));
    let rows: usize = parts.iter().map(|part| lines(&small.0.join("parts").join(part))).sum();
    let whole = world.path("whole.csv");
    export(&world, &users, &whole, &[]).ok();
    assert_eq!(rows, lines(&whole));
}
