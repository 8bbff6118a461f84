//! `cp -r` out of the mount, `restore` through the mount and `restore` from the repository give the same bytes: the repository's. What is
//! restored, backed up and read again is the same snapshot.

use crate::common::{ROWS, Ran, STATE, Tree, World, assert_same_tree, is_rows, same, tree};
use crate::genuine::{self, Genuine, Label};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

fn restore(world: &World, source: &Path, more: &[&str], warehouse: &Path) -> Ran {
    let mut args: Vec<&OsStr> = vec!["restore".as_ref(), source.as_os_str()];
    args.extend(more.iter().map(OsStr::new));
    args.extend(["--warehouse".as_ref(), warehouse.as_os_str()]);
    world.run(args)
}

/// Complete labels.
fn complete(genuine: &Genuine) -> Vec<(String, Label)> {
    genuine.labels().into_iter().filter(|(_, label)| label.timestamp.is_some()).collect()
}

/// The tablet files of a restored database.
fn tablets(database: &Path) -> Tree {
    tree(database).into_iter().filter(|(path, _)| path.split('/').count() > 2 && !is_rows(path)).collect()
}

#[test]
fn copies_and_restores_are_the_repositorys_bytes() {
    for genuine in genuine::all() {
        let world = World::new();
        let mount = world.mount(&genuine.location());
        for (name, label) in complete(&genuine) {
            let what = format!("{} {name}", genuine.name);
            let snapshot = mount.path(&name).join(label.dir());
            let copied = world.dir(&format!("copied-{name}")).join(genuine.database());
            fs::create_dir(&copied).unwrap();
            for table in label.tables() {
                let mut copy = Command::new("cp");
                copy.arg("-r").arg(snapshot.join(table)).arg(&copied);
                Ran::of(copy).ok();
            }
            assert_same_tree(&tablets(&copied), &label.files, &what);

            let direct = world.path(&format!("direct-{name}"));
            restore(&world, &genuine.location(), &[&name], &direct).ok();
            let direct = direct.join(genuine.database());
            assert_same_tree(&tablets(&direct), &label.files, &what);
            for table in label.tables() {
                same(&copied.join(&table), &direct.join(&table), &ROWS);
            }

            let through = world.path(&format!("through-{name}"));
            restore(&world, &snapshot, &[], &through).ok();
            same(&direct, &through.join(genuine.database()), &[STATE]);
        }
    }
}

#[test]
fn single_tables_partitions_and_aliases() {
    let world = World::new();
    let genuine = genuine::one("sr35/hub");
    let label = genuine.labels().remove("sr_hub_full").unwrap();
    let files = |table: &str, keep: &dyn Fn(&str) -> bool| -> Tree {
        let prefix = format!("{table}/");
        let below = label.files.iter().filter_map(|(path, content)| Some((path.strip_prefix(&prefix)?, content)));
        below.filter(|(path, _)| keep(path)).map(|(path, content)| (path.to_owned(), content.clone())).collect()
    };
    let stored =
        |directory: &Path| -> Tree { tree(directory).into_iter().filter(|(path, _)| path.contains('/')).collect() };
    let location = genuine.location();

    let one = world.path("one");
    restore(&world, &location, &["sr_hub_full@latest", "--table", "orders=old_orders", "--database", "other"], &one)
        .ok();
    assert_same_tree(&stored(&one.join("other/old_orders")), &files("orders", &|_| true), "orders as old_orders");
    assert_eq!(fs::read_dir(one.join("other")).unwrap().filter(|entry| !hidden(entry)).count(), 1);
    let schema = fs::read_to_string(one.join("other/old_orders/schema.sql")).unwrap();
    assert!(schema.contains("`old_orders`") && !schema.contains("`orders`"), "{schema}");

    let parts = world.path("parts");
    let choice = ["sr_hub_full", "--table", "sr_member", "--partition", "p1", "--partition", "p3"];
    restore(&world, &location, &choice, &parts).ok();
    let kept = |path: &str| path.starts_with("p1/") || path.starts_with("p3/");
    assert_same_tree(&stored(&parts.join("sr_hub/sr_member")), &files("sr_member", &kept), "two partitions");

    // A partition more, into the table that stands there.
    let mount = world.mount(&location);
    restore(&world, &mount.path("sr_hub_full/latest/sr_member/p2"), &[], &parts).ok();
    let kept = |path: &str| kept(path) || path.starts_with("p2/");
    assert_same_tree(&stored(&parts.join("sr_hub/sr_member")), &files("sr_member", &kept), "one partition more");
}

fn hidden(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')
}

#[test]
fn a_table_with_another_schema_is_not_replaced() {
    let world = World::new();
    let genuine = genuine::one("sr35/hub");
    let (location, warehouse) = (genuine.location(), world.path("warehouse"));
    restore(&world, &location, &["sr_hub_full", "--table", "users"], &warehouse).ok();
    let visible =
        || -> Tree { tree(&warehouse).into_iter().filter(|(path, _)| !path.contains("/.starsnap")).collect() };
    let before = visible();
    let clash = ["sr_hub_full", "--table", "orders=users"];
    restore(&world, &location, &clash, &warehouse).code(1).says("order_id");
    assert_eq!(visible(), before, "a refused restore changed the warehouse");
    // The same schema replaces.
    restore(&world, &location, &["sr_hub_full", "--table", "users"], &warehouse).ok();
    assert_eq!(visible(), before);
}

#[test]
fn what_is_restored_and_backed_up_is_the_same_snapshot() {
    for genuine in genuine::all() {
        let world = World::new();
        let location = world.dir("location");
        world.run(["init".as_ref(), location.as_os_str(), "--name".as_ref(), "again".as_ref()]).ok();
        for (name, label) in complete(&genuine) {
            let what = format!("{} {name}", genuine.name);
            let warehouse = world.path(&format!("warehouse-{name}"));
            restore(&world, &genuine.location(), &[&name], &warehouse).ok();
            back_up(&world, &location, &name, &warehouse, &genuine.database()).ok();
            // A label in use is refused.
            back_up(&world, &location, &name, &warehouse, &genuine.database()).code(1).says(&name);

            let again = world.path(&format!("again-{name}"));
            restore(&world, &location, &[&name], &again).ok();
            let (first, second) = (warehouse.join(genuine.database()), again.join(genuine.database()));
            assert_same_tree(&tablets(&second), &label.files, &what);
            same(&first, &second, &[STATE, "--exclude=table.json"]);
            for table in label.tables() {
                assert_eq!(catalog(&first.join(&table)), catalog(&second.join(&table)), "{what}: {table}");
            }
        }
        same_survey(&world, &genuine, &location);
    }
}

fn back_up(world: &World, location: &Path, label: &str, warehouse: &Path, database: &str) -> Ran {
    world.run([
        "backup".as_ref(),
        location.as_os_str(),
        label.as_ref(),
        "--warehouse".as_ref(),
        warehouse.as_os_str(),
        "--database".as_ref(),
        database.as_ref(),
    ])
}

/// What people read in `table.json`: name, ids, columns, partitions, versions, tablets in bucket order. The object that programs read is
/// left out, as a backup brings it into the one form that every version takes; so is where the table comes from.
fn catalog(table: &Path) -> Value {
    let text = fs::read_to_string(table.join("table.json")).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    for key in ["snapshot", "catalog"] {
        assert!(value.as_object_mut().unwrap().remove(key).is_some(), "{}: {text}", table.display());
    }
    // Nor the number of a physical partition, which is its partition's in that form.
    for partition in value["partitions"].as_array_mut().unwrap() {
        for physical in partition["physical_partitions"].as_array_mut().unwrap() {
            assert!(physical.as_object_mut().unwrap().remove("id").is_some(), "{text}");
        }
    }
    value
}

/// The new repository's snapshots hold as much as the old one's.
fn same_survey(world: &World, genuine: &Genuine, location: &Path) {
    let survey = |location: &Path| -> Vec<Value> {
        let listing = world.run(["snapshots".as_ref(), location.as_os_str(), "--json".as_ref()]).ok().json();
        let snapshots = listing["snapshots"].as_array().unwrap().clone();
        let whole = snapshots.into_iter().filter(|snapshot| snapshot["status"] == "ok");
        let counts =
            ["label", "database", "tables", "materialized_views", "views", "partitions", "tablets", "files", "bytes"];
        whole.map(|snapshot| counts.iter().map(|key| snapshot[*key].clone()).collect()).collect()
    };
    assert_eq!(survey(location), survey(&genuine.location()), "{}", genuine.name);
}

/// A repository with a metadata-only fixture of tests/fixtures/catalogs as its one label. Returns the label.
fn metadata_only(world: &World, fixture: &str, location: &Path) -> String {
    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/catalogs")).join(fixture);
    world.run(["init".as_ref(), location.as_os_str(), "--name".as_ref(), "meta".as_ref()]).ok();
    let files: Vec<_> = fs::read_dir(&fixture).unwrap().map(|entry| entry.unwrap().path()).collect();
    let named = |path: &Path, prefix: &str| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    let info = files.iter().find(|path| named(path, "__info_")).unwrap();
    let info: Value = serde_json::from_slice(&fs::read(info).unwrap()).unwrap();
    let label = info["name"].as_str().unwrap().to_owned();
    let dir = location.join("__starrocks_repository_meta").join(format!("__ss_{label}"));
    fs::create_dir(&dir).unwrap();
    for file in files.iter().filter(|path| named(path, "__info_") || named(path, "__meta.")) {
        fs::copy(file, dir.join(file.file_name().unwrap())).unwrap();
    }
    label
}

/// The `.sql` files beside the tables.
fn statements(database: &Path) -> Vec<(String, String)> {
    let names = fs::read_dir(database).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".sql")).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(database.join(name)).unwrap())).collect()
}

#[test]
fn views_and_functions_come_through_a_mount_and_into_a_backup() {
    let world = World::new();
    let (location, target) = (world.dir("location"), world.dir("target"));
    let label = metadata_only(&world, "sr35/extras", &location);
    let mount = world.mount(&location);
    let (direct, through) = (world.path("direct"), world.path("through"));
    // Its tables have no tablets, and so fail; all else is there.
    restore(&world, &location, &[&label], &direct).code(3);
    restore(&world, &mount.path(&label).join("latest"), &[], &through).code(3);
    let (direct, through) = (direct.join(&label), through.join(&label));
    let wanted = statements(&direct);
    let starting = |start: &str| wanted.iter().filter(|(_, text)| text.starts_with(start)).count();
    assert!(starting("CREATE VIEW") > 3 && starting("CREATE") > starting("CREATE VIEW") + 2, "{wanted:#?}");
    assert_eq!(statements(&through), wanted);

    world.run(["init".as_ref(), target.as_os_str(), "--name".as_ref(), "target".as_ref()]).ok();
    back_up(&world, &target, "again", through.parent().unwrap(), &label).ok();
    let again = world.path("again");
    restore(&world, &target, &["again"], &again).ok();
    assert_eq!(statements(&again.join(&label)), wanted);
}

#[test]
fn secrets_of_external_catalogs_do_not_leave_the_mount() {
    let world = World::new();
    let location = world.dir("location");
    let label = metadata_only(&world, "sr35/catalogs", &location);
    let (mount, warehouse) = (world.mount(&location), world.path("warehouse"));
    let snapshot = mount.path(&label).join("latest");
    restore(&world, &location, &[&label, "--database", "direct"], &warehouse).ok();
    restore(&world, &snapshot, &["--database", "through"], &warehouse).ok().says("without their secrets");
    let kept: Value =
        serde_json::from_slice(&fs::read(warehouse.join("direct/.starsnap/objects.json")).unwrap()).unwrap();
    let mut secrets = Vec::new();
    for text in kept["catalogs"].as_array().unwrap() {
        let catalog: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        let config = catalog["config"].as_object().unwrap();
        let secret = config.iter().filter(|(key, _)| key.ends_with("secret_key") || key.ends_with("password"));
        secrets.extend(secret.map(|(_, value)| value.as_str().unwrap().to_owned()));
    }
    assert!(!secrets.is_empty());
    let mut shown = vec![fs::read_to_string(snapshot.join("snapshot.json")).unwrap()];
    let catalogs = warehouse.join("through/catalogs");
    shown.extend(statements(&catalogs).into_iter().map(|(_, text)| text));
    assert!(shown.len() > 1);
    for (secret, text) in secrets.iter().flat_map(|secret| shown.iter().map(move |text| (secret, text))) {
        assert!(!text.contains(secret.as_str()), "{secret} is in {text}");
    }
    assert!(!warehouse.join("through/.starsnap").exists());
}
