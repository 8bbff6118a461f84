//! `starsnap diff`: what it says of genuine snapshots and restored databases, and its exit codes.

use crate::common::World;
use crate::genuine;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn location(name: &str) -> String {
    genuine::one(name).location().to_str().unwrap().to_owned()
}

fn object<'a>(report: &'a Value, name: &str) -> &'a Value {
    let objects = report["objects"].as_array().unwrap();
    objects.iter().find(|object| object["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn what_is_the_same_ends_with_0() {
    let world = World::new();
    for name in ["sr23/old", "sr33/hub", "sr35/hub", "sr40/hub"] {
        let label = if name == "sr23/old" { "old_full" } else { "sr_hub_full" };
        let snapshot = format!("{}/{label}", location(name));
        let ran = world.run(["diff", &snapshot, &format!("{snapshot}@latest")]).ok();
        assert!(ran.stdout.contains("nothing differs: "), "{}", ran.stdout);
        // A mount and a restored database have the same tables, whatever their paths and ids.
        let warehouse = world.path(&name.replace('/', "_"));
        world.run(["restore", &location(name), label, "--warehouse", warehouse.to_str().unwrap()]).ok();
        let database = fs::read_dir(&warehouse).unwrap().next().unwrap().unwrap().path();
        let ran = world.run(["diff", &snapshot, database.to_str().unwrap()]).ok();
        assert!(ran.stdout.contains("nothing differs: "), "{}", ran.stdout);
    }
    let hub = location("sr35/hub");
    let mount = world.mount(Path::new(&hub));
    let mounted = mount.path("sr_hub_full/latest");
    let ran = world.run(["diff", mounted.to_str().unwrap(), &format!("{hub}/sr_hub_full"), "--json"]).ok();
    let report = ran.json();
    assert_eq!((&report["same"], &report["status"]), (&Value::from(true), &Value::from("done")));
    assert_eq!(report["objects"].as_array().unwrap().len(), 8);
    assert!(report["objects"].as_array().unwrap().iter().all(|object| object["change"] == "same"), "{report}");
    // A partial backup of a table has the same table.
    let part = format!("{hub}/sr_member_backup");
    world.run(["diff", &format!("{hub}/sr_hub_full"), &part, "--table", "sr_member"]).ok();
    world.run(["diff", &format!("{hub}/sr_hub_full/sr_member"), &part]).ok();
}

#[test]
fn partitions_and_objects_that_only_one_side_has_end_with_4() {
    let world = World::new();
    let hub = location("sr35/hub");
    let (full, part) = (format!("{hub}/sr_hub_full"), format!("{hub}/sr_member_backup2"));
    let ran = world.run(["diff", &full, &part]).code(4);
    assert!(ran.stdout.contains("8 of 8 objects differ"), "{}", ran.stdout);
    assert!(ran.stdout.contains("  partition p2: removed, version 5, 3 tablets, "), "{}", ran.stdout);
    let report = world.run(["diff", &full, &part, "--files", "--json"]).code(4).json();
    assert_eq!(object(&report, "orders")["change"], "removed");
    assert_eq!(object(&report, "v_member")["kind"], "view");
    let member = object(&report, "sr_member");
    let names: Vec<&str> =
        member["partitions"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!((&member["change"], names), (&Value::from("changed"), vec!["p2", "p3", "p5"]));
    assert_eq!(member["schema"], serde_json::json!([]), "partitions are told apart from the statement");
    // Numbers are those of what stands there.
    let genuine = genuine::one("sr35/hub");
    let labels = genuine.labels();
    let stored = |label: &str, prefix: &str| {
        let files = labels[label].files.iter().filter(|(path, _)| path.starts_with(prefix));
        files.map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let (all, left) = (stored("sr_hub_full", "sr_member/"), stored("sr_member_backup2", "sr_member/"));
    let files = &member["files"];
    assert_eq!(files["same"], left.len());
    assert_eq!(files["removed"], all.len() - left.len());
    let partitions = member["partitions"].as_array().unwrap();
    let listed = partitions.iter().flat_map(|partition| partition["files"]["list"].as_array().unwrap());
    let mut listed: Vec<String> = listed.map(|file| format!("sr_member/{}", file["path"].as_str().unwrap())).collect();
    listed.sort();
    let mut gone: Vec<String> = all.into_iter().filter(|path| !left.contains(path)).collect();
    gone.sort();
    assert_eq!(listed, gone);
    // The other way round.
    let report = world.run(["diff", &part, &full, "--json"]).code(4).json();
    assert_eq!(object(&report, "orders")["change"], "added");
    assert_eq!(object(&report, "sr_member")["files"]["added"], listed.len());
    assert_eq!(object(&report, "sr_member")["partitions"][0]["change"], "added");
}

#[test]
fn changes_of_a_restored_table_are_seen() {
    let world = World::new();
    let hub = location("sr35/hub");
    let warehouse = world.path("warehouse");
    let restore =
        ["restore", &hub, "sr_hub_full", "--table", "users=people", "--warehouse", warehouse.to_str().unwrap()];
    world.run(restore).ok();
    let (users, people) = (format!("{hub}/sr_hub_full/users"), world.path("warehouse/sr_hub/people"));
    let people = people.to_str().unwrap();
    // Two tables are compared with each other whatever they are called.
    world.run(["diff", &users, people]).ok();
    let tablet = fs::read_dir(Path::new(people).join("people")).unwrap().next().unwrap().unwrap().path();
    let segment = fs::read_dir(&tablet).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "dat")).unwrap();
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, [bytes.as_slice(), b"more"].concat()).unwrap();
    let ran = world.run(["diff", &users, people, "--files"]).code(4);
    assert!(ran.stdout.contains("users -> people"), "{}", ran.stdout);
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(ran.stdout.lines().any(|line| line.contains("~ ") && line.contains(name)), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 file changed"), "{}", ran.stdout);
    // Something that is missing was not compared.
    fs::remove_dir_all(&tablet).unwrap();
    world.run(["diff", &users, people]).code(3).says("missing");
}

#[test]
fn a_table_of_two_versions_has_one_statement_and_other_files() {
    let world = World::new();
    let (old, new) = (format!("{}/sr_hub_full", location("sr33/hub")), format!("{}/sr_hub_full", location("sr35/hub")));
    let report = world.run(["diff", &old, &new, "--table", "sr_member", "--json"]).code(4).json();
    let member = object(&report, "sr_member");
    assert_eq!((&member["change"], &member["schema"]), (&Value::from("changed"), &serde_json::json!([])));
    // The same loads, by another version's code: as many files, paired by their buckets.
    let files = &member["files"];
    assert!(files["changed"].as_u64().unwrap() + files["added"].as_u64().unwrap() > 0, "{files}");
    let (partitions, versions) = (member["partitions"].as_array().unwrap(), ["old", "new"]);
    for partition in partitions {
        let [old, new] = versions.map(|side| (&partition[side]["version"], &partition[side]["values"]));
        assert_eq!(old, new, "{partition}");
    }
}

#[test]
fn what_cannot_be_compared_says_why() {
    let world = World::new();
    let hub = location("sr35/hub");
    let full = format!("{hub}/sr_hub_full");
    world.run(["diff", &full, &format!("{hub}/no_label")]).code(10).says("no_label");
    world.run(["diff", &full, "/there/is/nothing"]).code(10).says("cannot compare /there/is/nothing");
    world.run(["diff", &full, &hub]).code(2).says("starsnap snapshots");
    world.run(["diff", &full, &full, "--table", "no_table"]).code(1).says("no_table");
    world.run(["diff", &full]).code(2);
    let quiet = world.run(["diff", &full, &format!("{hub}/sr_member_backup"), "--quiet"]).code(4);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}
