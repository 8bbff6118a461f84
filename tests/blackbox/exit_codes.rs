//! Exit codes, and errors that say what was tried, what went wrong, and what to do next.

use crate::common::World;
use crate::genuine;

#[test]
fn wrong_usage_is_2() {
    let world = World::new();
    world.run([] as [&str; 0]).code(2);
    world.run(["frobnicate"]).code(2).says("frobnicate");
    world.run(["restore", "/nowhere", "label"]).code(2).says("--warehouse");
    world.run(["restore", "/x", "y", "--warehouse", "/w", "--max-speed", "fast"]).code(2).says("500KiB");
    world.run(["restore", "/x", "y", "--warehouse", "/w", "--workers", "0"]).code(2);
}

#[test]
fn no_such_repository_or_snapshot_is_10() {
    let world = World::new();
    let genuine = genuine::one("sr35/hub");
    let location = genuine.location();
    let location = location.to_str().unwrap();
    let empty = world.dir("empty");
    let warehouse = world.path("warehouse");
    let warehouse = warehouse.to_str().unwrap();
    for nothing in ["/there/is/nothing", empty.to_str().unwrap()] {
        world.run(["snapshots", nothing]).code(10).says(nothing);
        world.run(["ls", nothing]).code(10).says(nothing);
        world.run(["restore", nothing, "x", "--warehouse", warehouse]).code(10).says(nothing);
    }
    world.run(["snapshots", location, "--repository-name", "other"]).code(10).says("other");
    world.run(["snapshots", location, "no_label"]).code(10).says("no_label");
    world.run(["ls", location, "no_label"]).code(10).says("no_label");
    world.run(["restore", location, "no_label", "--warehouse", warehouse]).code(10).says("no_label");
    world.run(["restore", location, "sr_hub_full@1999", "--warehouse", warehouse]).code(10).says("1999");
    assert!(!world.path("warehouse").exists(), "a restore of nothing made a warehouse");
}

#[test]
fn what_cannot_be_done_is_1_and_says_why() {
    let world = World::new();
    let genuine = genuine::one("sr35/hub");
    let location = genuine.location();
    let location = location.to_str().unwrap();
    let warehouse = world.path("warehouse");
    let warehouse = warehouse.to_str().unwrap();
    world.run(["snapshots", "gs://bucket/backup"]).code(1).says("s3a://");
    world.run(["snapshots", "viewfs://cluster/backup"]).code(1).says("hdfs://");
    world.run(["snapshots", "hdfs://localhost:1/backup"]).code(1).says("localhost:1: the connection was refused");
    world
        .run(["restore", location, "sr_hub_full", "--table", "no_table", "--warehouse", warehouse])
        .code(1)
        .says("no_table");
    world
        .run(["restore", location, "sr_hub_full", "--table", "orders", "--partition", "p9", "--warehouse", warehouse])
        .code(1)
        .says("p9");
    // The backup that crashed cannot be restored as if it were whole.
    world.run(["restore", location, "broken_upload", "--warehouse", warehouse]).says("broken_upload");
}

#[test]
fn a_repository_alone_is_no_source() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let args = ["restore".as_ref(), location.as_os_str(), "--warehouse".as_ref(), "/nowhere".as_ref()];
    world.run(args).code(2).says("starsnap snapshots");
}

#[test]
fn init_makes_a_repository_once() {
    let world = World::new();
    let location = world.dir("location");
    let init = || world.run(["init".as_ref(), location.as_os_str(), "--name".as_ref(), "new_repo".as_ref()]);
    init().ok();
    init().code(1).says("new_repo");
    let listing = world.run(["snapshots".as_ref(), location.as_os_str(), "--json".as_ref()]).ok().json();
    assert_eq!(listing["repository"], "new_repo");
    assert_eq!(listing["snapshots"], serde_json::json!([]));
    let info = std::fs::read_to_string(location.join("__starrocks_repository_new_repo/__repo_info")).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["name"], "new_repo");
}
