//! Genuine repositories, copied to every store there is a server for: what is listed, mounted, restored, verified and backed up is what
//! comes from local disk.

use crate::common::{Ran, STATE, World, assert_same_tree, same, tree};
use crate::genuine::{self, Genuine};
use crate::remote::{create, registered, sql, stores, world};
use crate::test_stores::TestStore;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// All repositories are copied to the main store of each server; those that differ from it in credentials only get the one of this name.
const EVERYWHERE: &str = "sr40/hub";

/// What local disk gives.
struct Local {
    world: World,
    listed: Vec<Value>,
    snapshots: Value,
    verified: (i32, Value),
}

impl Local {
    fn of(genuine: &Genuine) -> Local {
        let world = World::new();
        let location = genuine.location();
        let location = location.to_str().unwrap();
        Local {
            listed: listed(&world, location),
            snapshots: snapshots(&world, location),
            verified: verified(&world, location),
            world,
        }
    }
}

fn listed(world: &World, repository: &str) -> Vec<Value> {
    let mut found = world.run(["ls", repository, "-R", "-a", "--json"]).ok().json();
    for object in found.as_array_mut().unwrap() {
        // What was not completed has no time but that of the copy.
        if object["path"].as_str().unwrap().starts_with("broken_upload") {
            object.as_object_mut().unwrap().remove("modified");
        }
    }
    serde_json::from_value(found).unwrap()
}

fn snapshots(world: &World, repository: &str) -> Value {
    let mut found = world.run(["snapshots", repository, "--json"]).ok().json();
    assert!(found.as_object_mut().unwrap().remove("location").is_some());
    for snapshot in found["snapshots"].as_array_mut().unwrap() {
        snapshot.as_object_mut().unwrap().remove("age_seconds");
    }
    found
}

/// Exit code and report of `verify --rows`, in an order of its own.
fn verified(world: &World, repository: &str) -> (i32, Value) {
    let ran = world.run(["verify", repository, "--rows", "--json"]);
    let mut found = ran.json();
    let report = found.as_object_mut().unwrap();
    for changing in ["source", "seconds"] {
        report.remove(changing);
    }
    (ran.code, found)
}

fn restore(world: &World, repository: &str, label: &str, warehouse: &str) -> Ran {
    let warehouse = world.path(warehouse);
    world.run(["restore", repository, label, "--warehouse", warehouse.to_str().unwrap()])
}

/// Complete labels.
fn labels(genuine: &Genuine) -> Vec<String> {
    genuine.labels().into_iter().filter(|(_, label)| label.timestamp.is_some()).map(|(name, _)| name).collect()
}

/// As on local disk, on every store that gets this repository.
fn check(name: &str) {
    let genuine = genuine::one(name);
    let stores: Vec<TestStore> =
        stores().into_iter().filter(|store| name == EVERYWHERE || !store.name.contains('-')).collect();
    if stores.is_empty() {
        return;
    }
    let local = Local::of(&genuine);
    for label in labels(&genuine) {
        restore(&local.world, genuine.location().to_str().unwrap(), &label, &label).ok();
    }
    for store in stores {
        let what = format!("{name} on {}", store.name);
        println!("{what}");
        let world = world(&store);
        let (repository, location) = registered(&world, &genuine, &store);
        assert_eq!(snapshots(&world, &repository), local.snapshots, "{what}");
        by_location(&world, &location, &store);
        let found = listed(&world, &repository);
        assert_eq!(found.len(), local.listed.len(), "{what}");
        for (object, expected) in found.iter().zip(&local.listed) {
            assert_eq!(object, expected, "{what}");
        }
        {
            let mount = world.mount(Path::new(&repository));
            let seen = tree(&mount.point)
                .into_iter()
                .filter(|(path, _)| path.split('/').count() > 4 && !crate::common::is_rows(path))
                .collect();
            assert_same_tree(&seen, &genuine.tree(), &what);
        }
        assert_eq!(verified(&world, &repository), local.verified, "{what}");
        for label in labels(&genuine) {
            restore(&world, &repository, &label, &label).ok();
            same(&local.world.path(&label), &world.path(&label), &[STATE]);
        }
        back_up_and_restore(&world, &genuine, &store);
    }
}

/// The same by its location, with a file of properties instead of a registered name.
fn by_location(world: &World, location: &str, store: &TestStore) {
    let properties = world.path("properties");
    let lines: Vec<String> = store.properties.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    fs::write(&properties, lines.concat()).unwrap();
    fs::set_permissions(&properties, fs::Permissions::from_mode(0o600)).unwrap();
    let listed = world.run(["ls", location, "--properties-file", properties.to_str().unwrap()]).ok();
    assert!(listed.stdout.lines().count() > 2, "{listed:?}");
}

/// What was restored, backed up to a new repository in the store and restored from there.
fn back_up_and_restore(world: &World, genuine: &Genuine, store: &TestStore) {
    let label = labels(genuine).remove(0);
    let location = store.fresh();
    sql(world, &create("REPOSITORY", "new_repo", &location, &store.properties), &[]).ok();
    let warehouse = world.path(&label);
    let (warehouse, database) = (warehouse.to_str().unwrap(), genuine.database());
    let args = ["backup", "new_repo", "again", "--warehouse", warehouse, "--database", &database];
    world.run(args).ok();
    let ran = world.run(args).code(1);
    assert!(ran.stderr.contains("again"), "a label in use is refused: {ran:?}");
    restore(world, "new_repo", "again", "again").ok();
    let tablets = |dir: &str| {
        let files = tree(&world.path(dir).join(&database));
        files.into_iter().filter(|(path, _)| path.split('/').count() > 2).collect()
    };
    assert_same_tree(&tablets("again"), &tablets(&label), &store.name);
    world.run(["verify", "new_repo", "--rows"]).ok();
    fs::remove_dir_all(world.path("again")).unwrap();
}

#[test]
fn binary_catalogs_on_every_server() {
    check("sr23/old");
}

#[test]
fn early_json_catalogs_on_every_server() {
    check("sr33/hub");
}

#[test]
fn json_catalogs_on_every_server() {
    check("sr35/hub");
}

#[test]
fn the_newest_catalogs_in_every_store() {
    check(EVERYWHERE);
}
