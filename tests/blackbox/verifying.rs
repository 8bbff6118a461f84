//! `starsnap verify`: what it prints, and its exit codes.

use crate::common::{Ran, World};
use crate::genuine;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn location(name: &str) -> String {
    genuine::one(name).location().to_str().unwrap().to_owned()
}

#[test]
fn healthy_snapshots_end_with_0_table_by_table() {
    let world = World::new();
    let (location, old) = (location("sr35/hub"), location("sr23/old"));
    for level in ["--quick", "--md5", "--pages", "--rows"] {
        let ran = world.run(["verify", &location, "sr_hub_full@latest", level]).ok();
        for table in ["events", "orders", "page_views", "sales", "sr_member", "users", "v_member", "member_by_city"] {
            let line = ran.stdout.lines().find(|line| line.split_whitespace().nth(1) == Some(table));
            assert!(line.is_some_and(|line| line.ends_with("HEALTHY")), "{table}: {}", ran.stdout);
        }
        world.run(["verify", &old, level]).ok();
    }
    let ran = world.run(["verify", &location, "sr_hub_full", "--table", "orders", "--rows", "--json"]).ok();
    let report = ran.json();
    assert_eq!(report["status"], "done");
    assert_eq!(report["level"], "rows");
    assert_eq!(report["tablets"], report["tablets_read"]);
    assert!(report["rows"].as_u64().unwrap() > 4069, "more is stored than SELECT returns: {report}");
    let ran = world.run(["verify", &location, "sr_hub_full", "--sample", "10%"]).ok();
    assert!(ran.stdout.contains("read 5 of 49 tablets"), "{}", ran.stdout);
}

#[test]
fn what_is_wrong_is_named_and_ends_with_3() {
    let world = World::new();
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(location("sr35/hub")).arg(world.path("location"));
    Ran::of(copy).ok();
    let location = world.path("location");
    let location = location.to_str().unwrap();
    // A backup that crashed is no backup.
    world.run(["verify", location, "--quick"]).code(3).says("broken_upload");
    let tablet = "__ss_sr_hub_full/__ss_content/__db_10001/__tbl_10054/__part_10056/__idx_10055/__10057";
    let tablet = world.path("location/__starrocks_repository_hub_repo").join(tablet);
    let files = fs::read_dir(&tablet).unwrap().map(|entry| entry.unwrap().path());
    let segment: PathBuf = files.into_iter().find(|path| path.to_str().unwrap().contains(".dat.")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[40] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    world.run(["verify", location, "sr_hub_full", "--quick"]).ok();
    for quiet in [None, Some("--quiet")] {
        let args = ["verify", location, "sr_hub_full"].into_iter().chain(quiet);
        world.run(args).code(3).says(name).says("users").says("expected").says("__10057/");
    }
    let report = world.run(["verify", location, "sr_hub_full", "--pages", "--json"]).code(3).json();
    assert_eq!(report["status"], "partial");
    let tables = report["snapshots"][0]["tables"].as_array().unwrap();
    let users = tables.iter().find(|table| table["name"] == "users").unwrap();
    assert_eq!(users["health"], "damaged");
    let findings = users["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["kind"] == "damaged" && finding["offset"].is_u64()), "{users}");
}

#[test]
fn what_cannot_be_meant_or_is_not_there_has_its_code() {
    let world = World::new();
    let location = location("sr35/hub");
    world.run(["verify", &location, "--quick", "--rows"]).code(2);
    world.run(["verify", &location, "--sample", "0%"]).code(2).says("5%");
    world.run(["verify", &location, "no_label"]).code(10).says("no_label");
    world.run(["verify", "/there/is/nothing"]).code(10).says("/there/is/nothing");
    world.run(["verify", &location, "sr_hub_full", "--table", "no_table"]).code(1).says("no_table");
}

#[test]
fn a_warehouse_is_verified_as_a_directory() {
    let world = World::new();
    let warehouse = world.path("warehouse");
    let warehouse = warehouse.to_str().unwrap();
    world.run(["restore", &location("sr35/hub"), "sr_hub_full", "--warehouse", warehouse]).ok();
    let table = world.path("warehouse/sr_hub/users");
    let ran = world.run(["verify", table.to_str().unwrap(), "--rows"]).ok();
    assert!(ran.stdout.contains("HEALTHY"), "{}", ran.stdout);
}

#[test]
fn a_tablet_by_itself_is_verified_too() {
    let world = World::new();
    let tablet = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tablets/sr35/pk_delvec/tablet");
    let report = world.run(["verify", tablet.to_str().unwrap(), "--rows", "--json"]).ok().json();
    assert_eq!((&report["status"], &report["tablets"]), (&"done".into(), &1.into()));
    assert_eq!(report["snapshots"][0]["tables"][0]["kind"], "tablet");
    world.run(["verify", tablet.to_str().unwrap(), "--table", "users"]).code(1).says("users");
}
