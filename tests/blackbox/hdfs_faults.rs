//! HDFS that fails: some of the time everything ends right, all of the time everything ends soon, says why, and leaves nothing half
//! written. The NameNodes and DataNodes are real; what fails is the way to them.

use crate::common::{ROWS, Ran, STATE, World, require_fuse, same};
use crate::genuine::{self, Genuine};
use crate::hdfs_cluster::Cluster;
use crate::hdfs_way::{Fault, Way, Whose};
use crate::remote::{create, sql, upload, world};
use crate::test_stores::TestStore;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const LABEL: &str = "sr_hub_full";
/// Of a thousand requests, how many fail.
const SOME: u64 = 50;
/// Bounds what a command may take when nothing works; far above what it takes.
const BOUNDED: Duration = Duration::from_secs(150);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A world that knows the genuine repository by its name, over the way; and the directory. Its files have one copy, so that no second
/// DataNode helps.
fn registered(genuine: &Genuine, cluster: &Cluster, way: &Way) -> (World, String, String) {
    let world = world(&way.store);
    let location = cluster.store.fresh();
    upload(&genuine.location(), &location, &cluster.store.clone().with(&[("dfs.replication", "1")]));
    let name = genuine.repository();
    sql(&world, &create("REPOSITORY", &name, &location, &way.store.properties), &[]).ok();
    (world, name, Cluster::path_of(&location))
}

/// What restoring from local disk gives.
fn reference(world: &World, genuine: &Genuine, label: &str) -> PathBuf {
    let warehouse = world.path("reference");
    world.run(["restore", text(&genuine.location()), label, "--warehouse", text(&warehouse)]).ok();
    warehouse
}

/// A label with an `__info` must have a `__meta`, and restore to what was backed up.
fn assert_whole(world: &World, repository: &str, label: &str, database: &str, expected: &Path) {
    let warehouse = world.path(&format!("check-{label}"));
    world.run(["restore", repository, label, "--warehouse", text(&warehouse)]).ok();
    same(&expected.join(database), &warehouse.join(database), &[STATE, "--exclude=table.json"]);
}

#[test]
fn with_some_requests_failing_every_restore_ends_right() {
    let Some(cluster) = Cluster::breakable() else { return };
    for genuine in genuine::all() {
        let way = Way::to(&cluster);
        let (world, repository, _) = registered(&genuine, &cluster, &way);
        let labels = genuine.labels();
        let complete = || labels.iter().filter(|(_, label)| label.timestamp.is_some()).map(|(name, _)| name);
        // One takes a while: requests that stall take their deadline. The one that holds the most is enough.
        let label = complete().find(|name| *name == LABEL).or_else(|| complete().next()).unwrap();
        way.faults(SOME, None, Whose::All);
        let expected = reference(&world, &genuine, label);
        let warehouse = world.path("warehouse");
        world.run(["restore", &repository, label, "--no-cache", "--warehouse", text(&warehouse)]).ok();
        same(&expected, &warehouse, &[STATE]);
        assert!(way.faulted() > 0, "no request of {} failed", genuine.name);
    }
}

#[test]
fn with_some_requests_failing_everything_is_read_right() {
    let Some(cluster) = Cluster::breakable() else { return };
    require_fuse();
    let (way, genuine) = (Way::to(&cluster), genuine::one("sr35/hub"));
    let (world, repository, _) = registered(&genuine, &cluster, &way);
    let expected = reference(&world, &genuine, LABEL);
    way.faults(SOME, None, Whose::All);
    let mount = world.mount(Path::new(&repository));
    let copy = world.path("copy");
    let mut cp = Command::new("cp");
    cp.arg("-r").arg(mount.path(LABEL).join("latest/.")).arg(&copy);
    Ran::of(cp).ok();
    let beside = ["--exclude=table.json", "--exclude=restore.sql", "--exclude=snapshot.json", "--exclude=*.sql", STATE];
    same(&expected.join("sr_hub"), &copy, &[&beside[..], &ROWS].concat());
    let rows = |source: &str| {
        let args = ["export", source, "--format", "csv", "--to", "-", "--no-cache"];
        world.run(args).ok().stdout
    };
    for table in ["orders", "users", "page_views"] {
        let far = rows(&format!("{repository}/{LABEL}/{table}"));
        assert!(far == rows(&format!("{}/{LABEL}/{table}", text(&genuine.location()))), "{table}");
    }
    let report = world.run(["verify", &repository, LABEL, "--rows", "--json"]).ok().json();
    assert_eq!(report["status"], "done", "{report}");
    let listed = world.run(["snapshots", &repository, "--json"]).ok().json();
    let sound = |one: &serde_json::Value| one["label"] == LABEL && one["status"] == "ok";
    assert!(listed["snapshots"].as_array().unwrap().iter().any(sound), "{listed}");
    assert!(way.faulted() > 20, "only {} requests failed", way.faulted());
}

#[test]
fn with_some_requests_failing_every_backup_ends_right() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (way, genuine) = (Way::to(&cluster), genuine::one("sr35/hub"));
    let world = world(&way.store);
    let expected = reference(&world, &genuine, LABEL);
    let location = cluster.store.fresh();
    way.faults(SOME, None, Whose::All);
    sql(&world, &create("REPOSITORY", "made", &location, &way.store.properties), &[]).ok();
    for label in ["first", "second"] {
        world.run(["backup", "made", label, "--warehouse", text(&expected), "--database", "sr_hub"]).ok();
    }
    assert!(way.faulted() > 20, "only {} requests failed", way.faulted());
    way.faults(0, None, Whose::All);
    for label in ["first", "second"] {
        assert_whole(&world, "made", label, "sr_hub", &expected);
    }
}

/// The command fails in time, with a message that says why.
#[track_caller]
fn fails(world: &World, args: &[&str], what: &str, said: &str) {
    let started = Instant::now();
    let ran = world.run(args);
    let took = started.elapsed();
    println!("{what}: {args:?} after {took:?}: {}", ran.stderr.trim());
    assert!(ran.code == 1 && took < BOUNDED, "{what}: {args:?} {took:?} {ran:?}");
    assert!(ran.stderr.lines().count() < 30 && !ran.stderr.contains("\tat "), "{what}: {ran:?}");
    ran.says(said);
}

/// NameNodes at addresses where nobody listens.
fn closed(store: &TestStore) -> TestStore {
    let mut store = store.clone();
    for (_, value) in store.properties.iter_mut().filter(|(name, _)| name.starts_with("dfs.namenode.rpc-address.")) {
        *value = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    }
    store
}

#[test]
fn with_all_requests_failing_every_command_ends_soon_and_writes_nothing() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (mut way, genuine) = (Way::to(&cluster), genuine::one("sr35/hub"));
    way.store = way.store.clone().with(&[("dfs.client.failover.max.attempts", "3")]);
    let (world, repository, dir) = registered(&genuine, &cluster, &way);
    let expected = reference(&world, &genuine, LABEL);
    let nowhere = cluster.store.fresh();
    sql(&world, &create("REPOSITORY", "nobody", &nowhere, &closed(&way.store).properties), &[]).code(1);
    let before = cluster.files(&dir);
    let (warehouse, point) = (world.path("warehouse"), world.dir("mnt"));
    let cases = [
        (Whose::All, Fault::Refused, "127.0.0.1:"),
        (Whose::All, Fault::Reset, "127.0.0.1:"),
        (Whose::All, Fault::Truncated, "127.0.0.1:"),
        (Whose::All, Fault::Stalled, "does not answer within 2s"),
        (Whose::DataNodes, Fault::Refused, "DataNode"),
        (Whose::DataNodes, Fault::Reset, "DataNode"),
        (Whose::DataNodes, Fault::Truncated, "DataNode"),
        (Whose::DataNodes, Fault::Stalled, "DataNode"),
    ];
    for (whose, fault, said) in cases {
        way.faults(1000, Some(fault), whose);
        let what = format!("{whose:?} {fault:?}");
        let fails = |args: &[&str]| fails(&world, args, &what, said);
        fails(&["snapshots", &repository]);
        fails(&["verify", &repository]);
        let (source, target) = (format!("{repository}/{LABEL}/orders"), world.path("exported"));
        fails(&["export", &source, "--format", "csv", "--to", text(&target)]);
        fails(&["restore", &repository, LABEL, "--warehouse", text(&warehouse)]);
        fails(&["backup", &repository, "new", "--warehouse", text(&expected), "--database", "sr_hub"]);
        fails(&["mount", &repository, text(&point)]);
    }
    assert!(!world.path("exported").exists(), "nothing was exported, and nothing was made");
    assert!(!warehouse.exists(), "nothing was restored, and nothing was made");
    way.faults(0, None, Whose::All);
    assert_eq!(cluster.files(&dir), before);
}

#[test]
fn a_cluster_that_goes_away_meanwhile_leaves_no_half_table_and_no_half_backup() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (way, genuine) = (Way::to(&cluster), genuine::one("sr35/hub"));
    let (world, repository, dir) = registered(&genuine, &cluster, &way);
    let expected = reference(&world, &genuine, LABEL);
    let warehouse = world.path("warehouse");
    let restore = ["restore", &repository, LABEL, "--no-cache", "--warehouse", text(&warehouse)];
    let backup = ["backup", &repository, "new", "--warehouse", text(&expected), "--database", "sr_hub"];
    for after in [20, 150] {
        way.fail_after(after);
        let started = Instant::now();
        let ran = world.run(restore);
        println!("restore, {after} requests: {:?} {}", started.elapsed(), ran.stderr.trim());
        assert!(matches!(ran.code, 1 | 3) && started.elapsed() < BOUNDED, "{ran:?}");
        for entry in fs::read_dir(warehouse.join("sr_hub")).into_iter().flatten().map(|entry| entry.unwrap()) {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with('.') && entry.path().is_dir() {
                same(&expected.join("sr_hub").join(&name), &entry.path(), &[STATE]);
            }
        }
        way.fail_after(after);
        let started = Instant::now();
        let ran = world.run(backup);
        println!("backup, {after} requests: {:?} {}", started.elapsed(), ran.stderr.trim());
        assert!(ran.code == 1 && started.elapsed() < BOUNDED, "{ran:?}");
        let complete = cluster.files(&dir).iter().any(|path| path.contains("__ss_new/__info_"));
        assert!(!complete, "a backup that failed looks complete");
    }
    way.faults(0, None, Whose::All);
    world.run(restore).ok();
    same(&expected.join("sr_hub"), &warehouse.join("sr_hub"), &[STATE]);
    world.run(backup).ok();
    assert_whole(&world, &repository, "new", "sr_hub", &expected);
}
