//! `starsnap snapshots` says what StarRocks' SHOW SNAPSHOT said, and more.

use crate::common::World;
use crate::genuine::{self, Label};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn snapshots_says_what_show_snapshot_said() {
    for genuine in genuine::all() {
        let world = World::new();
        let location = genuine.location();
        let listing = world.run(["snapshots".as_ref(), location.as_os_str(), "--json".as_ref()]).ok().json();
        let listed = listing["snapshots"].as_array().unwrap();
        let shown = genuine.shown();
        assert_eq!(listed.len(), shown.len(), "{}", genuine.name);
        for (snapshot, shown) in listed.iter().zip(&shown) {
            let what = format!("{} {}", genuine.name, shown.label);
            assert_eq!(snapshot["label"], shown.label, "{what}");
            let Some(details) = &shown.details else {
                assert!(shown.status.starts_with("ERROR"), "{what}");
                assert_eq!(
                    (&snapshot["status"], &snapshot["timestamp"]),
                    (&json!("incomplete"), &Value::Null),
                    "{what}"
                );
                assert_ne!(snapshot["problems"], json!([]), "{what}");
                continue;
            };
            assert_eq!(snapshot["timestamp"], shown.timestamp, "{what}");
            assert_eq!((snapshot["status"].as_str(), shown.status.as_str()), (Some("ok"), "OK"), "{what}: {snapshot}");
            assert_eq!(snapshot["database"], details["database"], "{what}");
            assert_eq!(snapshot["backup_time"], details["backup_time"], "{what}");
            let objects = details["backup_objects"].as_object().unwrap();
            let count = |key: &str| snapshot[key].as_u64().unwrap();
            assert_eq!(
                count("tables") + count("materialized_views") + count("views"),
                objects.len() as u64,
                "{what}: {snapshot}"
            );
            let partitions: usize =
                objects.values().map(|object| object["partitions"].as_object().unwrap().len()).sum();
            assert_eq!(count("partitions"), partitions as u64, "{what}");
        }
    }
}

#[test]
fn snapshots_counts_what_the_manifest_holds() {
    for genuine in genuine::all() {
        let world = World::new();
        let location = genuine.location();
        let listing = world.run(["snapshots".as_ref(), location.as_os_str(), "--json".as_ref()]).ok().json();
        for (name, label) in genuine.labels() {
            let listed = listing["snapshots"].as_array().unwrap().iter().find(|snapshot| snapshot["label"] == name);
            let listed = listed.unwrap_or_else(|| panic!("{}: {name} is not listed", genuine.name));
            assert_eq!(listed["files"], label.files.len(), "{} {name}", genuine.name);
            assert_eq!(listed["bytes"], label.files.values().map(|content| content.size).sum::<u64>());
            assert_eq!(listed["tablets"], tablets(&label), "{} {name}", genuine.name);
        }
    }
}

fn tablets(label: &Label) -> usize {
    label.files.keys().map(|path| path.rsplit_once('/').unwrap().0).collect::<BTreeSet<_>>().len()
}

#[test]
fn snapshots_for_people() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let text = world.run(["snapshots".as_ref(), location.as_os_str()]).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("SNAPSHOT  ") && lines[0].ends_with("  STATUS"), "{text}");
    let status = lines[0].find("STATUS").unwrap();
    for (line, expected) in lines[1..6].iter().zip(["INCOMPLETE", "OK", "OK", "OK", "OK"]) {
        assert_eq!(&line[status..], expected, "{text}");
    }
    assert!(lines[6..].iter().any(|line| line.starts_with("broken_upload@incomplete: ")), "{text}");
    let one = world.run(["snapshots".as_ref(), location.as_os_str(), "sr_member_backup".as_ref()]).ok().stdout;
    assert_eq!(one.lines().count(), 2, "{one}");
}
