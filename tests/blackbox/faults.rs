//! A store that fails: some of the time everything ends right, all of the time everything ends soon, says why, and leaves nothing half
//! written. And processes that are killed while they write to such a store.

use crate::common::{Ran, STATE, World, require_fuse, same, unmount};
use crate::genuine;
use crate::store::{Fault, Store};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const URL: &str = "s3a://bucket/backup/hub";

/// Of a thousand requests, how many fail.
const SOME: u64 = 50;

/// Bounds what a command may take when nothing works; far above what it takes.
const BOUNDED: Duration = Duration::from_secs(150);

fn hub() -> Store {
    let store = Store::holding(&genuine::one("sr35/hub").location(), "backup/hub");
    store.server.impatient();
    store
}

/// What a restore from local disk gives.
fn reference(world: &World) -> PathBuf {
    let warehouse = world.path("reference");
    let location = genuine::one("sr35/hub").location();
    world
        .run([
            "restore".as_ref(),
            location.as_os_str(),
            "sr_hub_full".as_ref(),
            "--warehouse".as_ref(),
            warehouse.as_os_str(),
        ])
        .ok();
    warehouse
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A label with an `__info` must have a `__meta`, and restore to what was backed up.
fn assert_whole(world: &World, url: &str, file: &str, label: &str, expected: &Path) {
    let warehouse = world.path(&format!("check-{label}"));
    world.run(["restore", url, label, "--properties-file", file, "--warehouse", text(&warehouse)]).ok();
    same(&expected.join("sr_hub"), &warehouse.join("sr_hub"), &[STATE, "--exclude=table.json"]);
}

#[test]
fn with_some_requests_failing_every_restore_and_verify_ends_right() {
    let (world, store) = (World::new(), hub());
    let expected = reference(&world);
    let file = store.properties_file(&world, "p", &[]);
    store.server.faults(SOME, None);
    for round in 0..3 {
        let warehouse = world.path(&format!("warehouse-{round}"));
        let args = ["restore", URL, "sr_hub_full", "--no-cache", "--properties-file", &file];
        world.run(args.iter().copied().chain(["--warehouse", text(&warehouse)])).ok();
        same(&expected.join("sr_hub"), &warehouse.join("sr_hub"), &[STATE]);
    }
    let rows = |source: &str, more: &[&str]| {
        let args = ["export", source, "--format", "csv", "--to", "-"];
        world.run(args.iter().chain(more)).ok().stdout
    };
    let local = genuine::one("sr35/hub").location();
    for table in ["orders", "users", "page_views"] {
        let far = rows(&format!("{URL}/sr_hub_full/{table}"), &["--properties-file", &file, "--no-cache"]);
        assert!(far == rows(&format!("{}/sr_hub_full/{table}", text(&local)), &[]), "{table}");
    }
    let report = world.run(["verify", URL, "sr_hub_full", "--rows", "--json", "--properties-file", &file]).ok().json();
    assert_eq!(report["status"], "done", "{report}");
    let listed = world.run(["snapshots", URL, "--json", "--properties-file", &file]).ok().json();
    assert!(
        listed["snapshots"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["label"] == "sr_hub_full" && one["status"] == "ok")
    );
    assert!(store.server.faulted() > 20, "only {} requests failed", store.server.faulted());
}

#[test]
fn with_some_requests_failing_a_mount_is_copied_right() {
    let (world, store) = (World::new(), hub());
    require_fuse();
    let expected = reference(&world);
    let file = store.properties_file(&world, "p", &[]);
    let point = world.dir("mnt");
    store.server.faults(SOME, None);
    world.run(["mount", URL, text(&point), "--no-cache", "--properties-file", &file]).ok();
    let copy = world.path("copy");
    let mut cp = std::process::Command::new("cp");
    cp.arg("-r").arg(point.join("sr_hub_full/latest/.")).arg(&copy);
    Ran::of(cp).ok();
    unmount(&point);
    let beside = ["--exclude=table.json", "--exclude=restore.sql", "--exclude=snapshot.json", "--exclude=*.sql", STATE];
    let beside = [&beside[..], &crate::common::ROWS].concat();
    same(&expected.join("sr_hub"), &copy, &beside);
    assert!(store.server.faulted() > 5, "only {} requests failed", store.server.faulted());
}

#[test]
fn with_some_requests_failing_every_backup_ends_right() {
    let (world, store) = (World::new(), Store::new());
    store.server.impatient();
    let expected = reference(&world);
    let file = store.properties_file(&world, "p", &[]);
    let url = "s3a://bucket/new";
    store.server.faults(SOME, None);
    world.run(["init", url, "--name", "made", "--properties-file", &file]).ok();
    for label in ["first", "second"] {
        let args = ["backup", url, label, "--warehouse", text(&expected), "--database", "sr_hub"];
        world.run(args.iter().copied().chain(["--properties-file", &file])).ok();
    }
    assert!(store.server.faulted() > 20, "only {} requests failed", store.server.faulted());
    store.server.faults(0, None);
    for label in ["first", "second"] {
        assert_whole(&world, url, &file, label, &expected);
    }
    assert_eq!(store.server.unfinished(), 0, "parts of files are left in the store");
}

/// The command fails in time, with a message that says why.
fn fails(world: &World, args: &[&str], said: &str) {
    let started = Instant::now();
    let ran = world.run(args);
    let took = started.elapsed();
    assert!(ran.code != 0 && took < BOUNDED, "{took:?} {ran:?}");
    ran.says(said);
}

#[test]
fn with_all_requests_failing_every_command_ends_soon_and_writes_nothing() {
    let (world, store) = (World::new(), hub());
    let expected = reference(&world);
    let patience = [("fs.s3a.attempts.maximum", "3"), ("fs.s3a.connection.request.timeout", "10s")];
    let impatient = store.properties_file(&world, "impatient", &patience);
    // Where nothing stalls but a busy machine, waiting keeps the cause the one that is looked for.
    let patience = [patience[0], ("fs.s3a.connection.timeout", "60s"), ("fs.s3a.connection.request.timeout", "60s")];
    let patient = store.properties_file(&world, "patient", &patience);
    let before = store.server.keys();
    let (warehouse, point) = (world.path("warehouse"), world.dir("mnt"));
    let cases = [
        (Fault::Unavailable, "fewer requests"),
        (Fault::Reset, "the connection to http://127.0.0.1"),
        (Fault::Truncated, "the connection to http://127.0.0.1"),
        (Fault::Stalled, "sent nothing for 1s"),
    ];
    for (fault, said) in cases {
        store.server.faults(1000, Some(fault));
        let file = if fault == Fault::Stalled { &impatient } else { &patient };
        fails(&world, &["snapshots", URL, "--properties-file", file], said);
        fails(&world, &["verify", URL, "--properties-file", file], said);
        let (source, target) = (format!("{URL}/sr_hub_full/orders"), world.path("exported"));
        let export = ["export", &source, "--format", "csv", "--to", text(&target), "--properties-file", file];
        fails(&world, &export, said);
        let restore = ["restore", URL, "sr_hub_full", "--properties-file", file, "--warehouse", text(&warehouse)];
        fails(&world, &restore, said);
        let backup = ["backup", URL, "new", "--properties-file", file, "--warehouse", text(&expected)];
        fails(&world, &[&backup[..], &["--database", "sr_hub"]].concat(), said);
        fails(&world, &["mount", URL, text(&point), "--properties-file", file], said);
        fails(&world, &["init", "s3a://bucket/x", "--name", "x", "--properties-file", file], said);
    }
    assert!(!world.path("exported").exists(), "nothing was exported, and nothing was made");
    assert!(!warehouse.exists(), "nothing was restored, and nothing was made");
    store.server.faults(0, None);
    assert_eq!(store.server.keys(), before);
}

#[test]
fn a_store_that_goes_away_meanwhile_leaves_no_half_table_and_no_half_backup() {
    let (world, store) = (World::new(), hub());
    let expected = reference(&world);
    let patience = [("fs.s3a.attempts.maximum", "3"), ("fs.s3a.connection.request.timeout", "10s")];
    let file = store.properties_file(&world, "p", &patience);
    let warehouse = world.path("warehouse");
    let restore =
        ["restore", URL, "sr_hub_full", "--no-cache", "--properties-file", &file, "--warehouse", text(&warehouse)];
    let backup =
        ["backup", URL, "new", "--properties-file", &file, "--warehouse", text(&expected), "--database", "sr_hub"];
    for after in [5, 40, 80, 60] {
        store.server.fail_after(after);
        let started = Instant::now();
        let ran = world.run(restore);
        assert!(matches!(ran.code, 1 | 3) && started.elapsed() < BOUNDED, "{ran:?}");
        let database = warehouse.join("sr_hub");
        for entry in fs::read_dir(&database).into_iter().flatten().map(|entry| entry.unwrap()) {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with('.') && entry.path().is_dir() {
                same(&expected.join("sr_hub").join(&name), &entry.path(), &[STATE]);
            }
        }
        store.server.fail_after(after);
        let started = Instant::now();
        let ran = world.run(backup);
        assert!(ran.code == 1 && started.elapsed() < BOUNDED, "{ran:?}");
        let complete = store.server.keys().iter().any(|key| key.contains("__ss_new/__info_"));
        assert!(!complete, "a backup that failed looks complete");
    }
    store.server.faults(0, None);
    world.run(restore).ok();
    same(&expected.join("sr_hub"), &warehouse.join("sr_hub"), &[STATE]);
    world.run(backup).ok();
    assert_whole(&world, URL, &file, "new", &expected);
}

fn spawn(world: &World, args: &[&str]) -> Child {
    world.command().args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills once the store has answered so many more requests; false when the process ended before.
fn kill_after(store: &Store, mut child: Child, requests: u64) -> bool {
    let until = store.server.answered() + requests;
    let mut running = true;
    while running && store.server.answered() < until {
        std::thread::sleep(Duration::from_millis(1));
        running = child.try_wait().unwrap().is_none();
    }
    let _ = child.kill();
    child.wait().unwrap();
    running
}

#[test]
fn killed_jobs_on_a_store_go_on_where_they_were() {
    let (world, store) = (World::new(), hub());
    let expected = reference(&world);
    let file = store.properties_file(&world, "p", &[]);
    let warehouse = world.path("warehouse");
    store.server.faults(20, None);
    let restore = ["restore", URL, "sr_hub_full", "--properties-file", &file, "--warehouse", text(&warehouse)];
    let mut killed = 0;
    for requests in [3, 30, 60, 90, 120, 150, 100] {
        killed += u32::from(kill_after(&store, spawn(&world, &restore), requests));
        for entry in fs::read_dir(warehouse.join("sr_hub")).into_iter().flatten().map(|entry| entry.unwrap()) {
            if !entry.file_name().to_string_lossy().starts_with('.') && entry.path().is_dir() {
                same(&expected.join("sr_hub").join(entry.file_name()), &entry.path(), &[STATE]);
            }
        }
    }
    world.run(restore).ok();
    same(&expected.join("sr_hub"), &warehouse.join("sr_hub"), &[STATE]);

    // Into a repository of its own, so that nothing can be copied within the store.
    let url = "s3a://bucket/other";
    world.run(["init", url, "--name", "other", "--properties-file", &file]).ok();
    let backup =
        ["backup", url, "again", "--properties-file", &file, "--warehouse", text(&expected), "--database", "sr_hub"];
    for requests in [3, 30, 60, 90, 120, 150, 400] {
        killed += u32::from(kill_after(&store, spawn(&world, &backup), requests));
        if store.server.keys().iter().any(|key| key.contains("__ss_again/__info_")) {
            break;
        }
        let listed = world.run(["snapshots", url, "--json", "--properties-file", &file]).ok().json();
        for snapshot in listed["snapshots"].as_array().unwrap() {
            assert_eq!(snapshot["status"], "incomplete", "{snapshot}");
        }
    }
    if !store.server.keys().iter().any(|key| key.contains("__ss_again/__info_")) {
        world.run(backup).ok();
    }
    store.server.faults(0, None);
    assert_whole(&world, url, &file, "again", &expected);
    assert!(killed >= 5, "only {killed} runs were killed");
}
