//! `starsnap drop`: only what a backup wrote, `__info` first, and never by mistake.

use crate::common::{Ran, World, files};
use crate::genuine;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of a genuine location, and the directory of the label `name` in it.
fn copy(world: &World, label: &str) -> (String, PathBuf) {
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(genuine::one("sr35/hub").location()).arg(world.path("location"));
    Ran::of(copy).ok();
    let location = world.path("location");
    let dir = location.join(format!("__starrocks_repository_hub_repo/__ss_{label}"));
    assert!(dir.is_dir());
    (location.to_str().unwrap().to_owned(), dir)
}

/// Every file below `dir`, with its bytes.
fn below(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> =
        files(dir).into_iter().map(|path| (path.clone(), fs::read(dir.join(path)).unwrap())).collect();
    found.sort();
    found
}

#[test]
fn a_snapshot_goes_and_the_others_stay() {
    let world = World::new();
    let (location, dir) = copy(&world, "orders_two_partitions");
    let repository = dir.parent().unwrap().to_owned();
    let before = below(&repository);
    let stored = below(&dir);
    let size: usize = stored.iter().map(|(_, bytes)| bytes.len()).sum();
    // A dry run says the same and does nothing.
    for args in [&["--dry-run"][..], &["--dry-run", "--yes"]] {
        let ran = world.run([&["drop", &location, "orders_two_partitions", "--json"], args].concat()).ok();
        let report = ran.json();
        assert_eq!(report["files"], stored.len());
        assert_eq!(report["bytes"], size);
        assert_eq!(report["dry_run"], true);
        assert_eq!(report["removed"], 0);
        assert_eq!(report["timestamps"], serde_json::json!(["2024-08-16-00-00-00-000"]));
        assert_eq!(below(&repository), before);
    }
    // Nobody was asked.
    world.run(["drop", &location, "orders_two_partitions"]).code(2).says("--yes");
    assert_eq!(below(&repository), before);
    let snapshot = "orders_two_partitions@2024-08-16-00-00-00-000";
    let report = world.run(["drop", &location, snapshot, "--yes", "--json"]).ok().json();
    assert_eq!(report["removed"], stored.len());
    assert_eq!(report["left"], serde_json::json!([]));
    assert!(!dir.exists(), "directories are left");
    let kept: Vec<_> = before.into_iter().filter(|(path, _)| !path.starts_with("__ss_orders_two_partitions")).collect();
    assert_eq!(below(&repository), kept);
    world.run(["drop", &location, snapshot, "--yes"]).code(10).says("orders_two_partitions");
    let listing = world.run(["snapshots", &location, "--json"]).ok().json();
    let labels = listing["snapshots"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap());
    assert!(labels.eq(["broken_upload", "sr_hub_full", "sr_member_backup", "sr_member_backup2"]), "{listing}");
}

#[test]
fn what_no_backup_writes_stays_and_is_named() {
    let world = World::new();
    let (location, dir) = copy(&world, "sr_member_backup2");
    fs::write(dir.join("README"), "mine").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.join("__ss_content/link")).unwrap();
    let ran = world.run(["drop", &location, "sr_member_backup2", "--yes"]).code(3);
    let ran = ran.says("__ss_sr_member_backup2/README").says("__ss_content/link");
    assert!(ran.stdout.contains("dropped sr_member_backup2"), "{}", ran.stdout);
    assert_eq!(files(&dir), ["README"]);
    assert!(fs::symlink_metadata(dir.join("__ss_content/link")).is_ok() && Path::new("/etc/passwd").exists());
}

#[test]
fn backups_that_may_be_running_and_wrong_timestamps_are_refused() {
    let world = World::new();
    let (location, dir) = copy(&world, "broken_upload");
    world.run(["drop", &location, "broken_upload", "--yes"]).code(1).says("--unfinished");
    world.run(["drop", &location, "broken_upload@2024-01-01-00-00-00-000", "--yes"]).code(10).says("not completed");
    assert!(dir.is_dir());
    let touch = |when: &str| {
        let mut touch = Command::new("find");
        touch.arg(&dir).args(["-exec", "touch", "-d", when, "{}", "+"]);
        Ran::of(touch).ok();
    };
    // Written just now, by a clock that is ahead of ours.
    touch("1 hour");
    world.run(["drop", &location, "broken_upload", "--yes"]).code(1).says("--unfinished");
    assert!(dir.is_dir());
    touch("2 days ago");
    world.run(["drop", &location, "broken_upload", "--yes"]).ok();
    assert!(!dir.exists());
    world.run(["drop", &location, "sr_hub_full@1999", "--yes"]).code(10).says("2024-08-14-16-20-31-129");
    // Two timestamps share the files of their label.
    let label = dir.with_file_name("__ss_sr_member_backup");
    let info = fs::read_dir(&label).unwrap().map(|entry| entry.unwrap().path());
    let info = info.into_iter().find(|path| path.to_str().unwrap().contains("__info_")).unwrap();
    let second = info.to_str().unwrap().replace("2024-08-15-09-05-07-003", "2024-08-15-09-05-08-000");
    fs::copy(&info, second).unwrap();
    world.run(["drop", &location, "sr_member_backup@2024-08-15-09-05-07-003", "--yes"]).code(2).says("2 timestamps");
    world.run(["drop", &location, "sr_member_backup", "--yes"]).ok();
    assert!(!label.exists());
}

#[test]
fn read_only_repositories_are_refused() {
    let world = World::new();
    let (location, dir) = copy(&world, "sr_hub_full");
    let statement = format!("CREATE READ ONLY REPOSITORY hub_repo WITH BROKER ON LOCATION \"file://{location}\"");
    world.run(["sql", "-e", &statement]).ok();
    world.run(["drop", "hub_repo", "sr_hub_full", "--yes"]).code(2).says("READ ONLY");
    assert!(dir.is_dir());
}
