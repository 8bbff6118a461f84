//! The tree of every genuine repository equals its manifest, through the mount and through `ls`.

use crate::common::{Content, Tree, World, assert_same_tree, is_rows, tree};
use crate::genuine;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Our own files that may stand in a table's directory.
const OURS: [&str; 2] = ["table.json", "schema.sql"];

/// Files of rows in it.
const ROWS: [&str; 2] = ["rows.csv", "rows.jsonl"];

/// `label/timestamp/table/partition/…`: a tablet's file, as only those stand below a partition.
fn is_tablet_file(path: &str) -> bool {
    path.split('/').count() > 4 && !is_rows(path)
}

#[test]
fn the_mount_shows_every_stored_file_with_its_bytes() {
    for genuine in genuine::all() {
        let world = World::new();
        let mount = world.mount(&genuine.location());
        let seen = tree(&mount.point);
        let (stored, ours): (Tree, Tree) = seen.into_iter().partition(|(path, _)| is_tablet_file(path));
        assert_same_tree(&stored, &genuine.tree(), genuine.name);
        let labels = genuine.labels();
        for (name, label) in &labels {
            for table in label.tables() {
                for file in ROWS.iter().filter(|_| label.timestamp.is_some()) {
                    let path = format!("{name}/{}/{table}/{file}", label.dir());
                    assert!(ours.contains_key(&path), "{}: no {path}", genuine.name);
                }
                for file in OURS {
                    let path = format!("{name}/{}/{table}/{file}", label.dir());
                    assert!(ours.get(&path).is_some_and(|content| content.size > 0), "{}: no {path}", genuine.name);
                }
            }
            let latest = fs::read_link(mount.path(name).join("latest"));
            match &label.timestamp {
                Some(timestamp) => assert_eq!(latest.unwrap().to_str(), Some(timestamp.as_str()), "{name}"),
                None => assert!(latest.is_err(), "{name} is incomplete and has a latest"),
            }
        }
        let found: BTreeSet<_> = fs::read_dir(&mount.point).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(found, labels.keys().map(Into::into).collect(), "{}", genuine.name);
    }
}

#[test]
fn ls_shows_the_same_tree_as_the_mount() {
    for genuine in genuine::all() {
        let world = World::new();
        let location = genuine.location();
        let listed = world.run(["ls".as_ref(), location.as_os_str(), "-R".as_ref(), "--json".as_ref()]).ok().json();
        let mut kinds: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for object in listed.as_array().unwrap() {
            kinds.entry(object["kind"].as_str().unwrap()).or_default().push(object);
        }
        let path = |object: &Value| object["path"].as_str().unwrap().to_owned();

        let stored: Tree = kinds["file"]
            .iter()
            .filter(|object| is_tablet_file(object["path"].as_str().unwrap()))
            .map(|object| {
                let md5 = object["md5"].as_str().unwrap_or_default().to_owned();
                (path(object), Content { size: object["size"].as_u64().unwrap(), md5 })
            })
            .collect();
        assert_same_tree(&stored, &genuine.tree(), genuine.name);

        let mount = world.mount(&location);
        let seen = tree(&mount.point);
        let sizes: BTreeMap<_, _> =
            seen.iter().map(|(path, content)| (path.clone(), if is_rows(path) { 0 } else { content.size })).collect();
        let listed: BTreeMap<_, _> =
            kinds["file"].iter().map(|object| (path(object), object["size"].as_u64().unwrap())).collect();
        assert_eq!(listed, sizes, "{}", genuine.name);
        for object in &kinds["file"] {
            let time = fs::metadata(mount.path(&path(object))).unwrap().modified().unwrap();
            let millis = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            assert_eq!(object["modified"].as_u64().map(u128::from), Some(millis), "{}", path(object));
        }
        for object in kinds.get("symlink").into_iter().flatten() {
            let target = fs::read_link(mount.path(&path(object))).unwrap();
            assert_eq!(target.to_str(), object["target"].as_str());
        }
        for object in &kinds["directory"] {
            assert!(mount.path(&path(object)).is_dir(), "{}", path(object));
        }
    }
}

#[test]
fn ls_for_people() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let ls = |args: &[&str]| {
        let mut all = vec!["ls", location.to_str().unwrap()];
        all.extend(args);
        world.run(all).ok().stdout
    };
    assert_eq!(
        ls(&[]),
        "broken_upload/\norders_two_partitions/\nsr_hub_full/\nsr_member_backup/\nsr_member_backup2/\n"
    );
    assert_eq!(ls(&["sr_hub_full"]), "2024-08-14-16-20-31-129/\nlatest\n");
    let events = ls(&["sr_hub_full/latest/events"]);
    assert!(!events.contains("$shadow"), "{events}");
    assert!(ls(&["-a", "sr_hub_full/latest/events"]).contains(".$shadow_automatic_partition/\n"));
    let long = ls(&["-l", "sr_hub_full/latest/sr_member/p1/10010"]);
    let lines: Vec<&str> = long.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("-r--------  ")), "{long}");
    assert!(long.contains("1.2 KiB  2024-08-14 08:20:31  10010.hdr\n"), "{long}");
    assert_eq!(
        ls(&["sr_hub_full/latest/sr_member/p1/10010/10010.hdr"]),
        "sr_hub_full/latest/sr_member/p1/10010/10010.hdr\n"
    );
    let missing = ["ls", location.to_str().unwrap(), "sr_hub_full/latest/no_table"];
    world.run(missing).code(1).says("no_table");
}
