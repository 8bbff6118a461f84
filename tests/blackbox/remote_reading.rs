//! `--memory`, `--cache` and `--cache-size`: what is read from a store in the network, and what is kept of it.

use crate::common::{World, files, is_mounted, require_fuse, unmount};
use crate::genuine;
use crate::store::Store;
use std::fs;
use std::path::Path;

const URL: &str = "s3a://bucket/backup/hub";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Requests for bytes of tablets since the last look.
fn reads(store: &Store) -> usize {
    store
        .server
        .requests()
        .iter()
        .filter(|request| request.starts_with("GET") && request.contains("__ss_content/"))
        .count()
}

#[test]
fn a_second_mount_reads_from_the_cache_on_disk() {
    require_fuse();
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let store = Store::holding(&location, "backup/hub");
    let file = store.properties_file(&world, "p", &[]);
    let options =
        format!("memory=16MiB,cache={},cache_size=64MiB,properties_file={file}", world.path("blocks").display());
    let mut seen = Vec::new();
    let mut counts = Vec::new();
    // What the disk could not follow with is not kept in the first round, but in one of the next.
    while counts.last() != Some(&0) && counts.len() < 20 {
        let point = world.dir(&format!("mnt-{}", counts.len()));
        world.run(["mount", URL, text(&point), "-o", &options]).ok();
        assert!(is_mounted(&point));
        reads(&store);
        let snapshot = point.join("sr_hub_full/latest/orders");
        let stored = files(&snapshot);
        assert!(
            stored.iter().any(|path| path.ends_with("rows.csv")),
            "rows, and so the headers of tablets, are among them"
        );
        let all: Vec<_> = stored.into_iter().map(|path| (fs::read(snapshot.join(&path)).unwrap(), path)).collect();
        assert!(all.iter().any(|(_, path)| path.ends_with(".dat")));
        counts.push(reads(&store));
        assert!(seen.is_empty() || seen == all);
        seen = all;
        unmount(&point);
    }
    assert!(counts[0] > 0 && counts.last() == Some(&0), "requests of each round: {counts:?}");
}

#[test]
fn jobs_take_little_memory_too() {
    let world = World::new();
    let store = Store::holding(&genuine::one("sr35/hub").location(), "backup/hub");
    let file = store.properties_file(&world, "p", &[]);
    let given = ["--memory", "16MiB", "--properties-file", &file];
    let warehouse = world.path("warehouse");
    let restore = ["restore", URL, "sr_hub_full", "--warehouse", text(&warehouse)];
    world.run(given.iter().copied().chain(restore)).ok();
    world.run(given.iter().copied().chain(["verify", URL, "sr_hub_full", "--rows"])).ok();
    let source = format!("{URL}/sr_hub_full/orders");
    let rows = |options: &[&str], source: &str, to: &str| {
        let to = world.path(to);
        let export = ["export", source, "--format", "csv", "--to", text(&to)];
        world.run(options.iter().copied().chain(export)).ok();
        files(&to).into_iter().map(|path| fs::read(to.join(path)).unwrap()).collect::<Vec<_>>()
    };
    let local = genuine::one("sr35/hub").location().join("sr_hub_full/orders");
    assert!(rows(&given, &source, "far") == rows(&[], text(&local), "near"));
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    let world = World::new();
    world.run(["--memory", "1MiB", "ls", "/x"]).code(2).says("16MiB");
    world.run(["--memory", "much", "ls", "/x"]).code(2).says("256MiB");
    world.run(["--cache-size", "1GiB", "ls", "/x"]).code(2).says("--cache DIR");
    world.run(["--cache", text(&world.path("c")), "--cache-size", "1MiB", "ls", "/x"]).code(2).says("16MiB");
    world.run(["mount", "/x", text(&world.dir("m")), "-o", "cache=relative"]).code(2).says("absolute");
}

#[test]
fn a_mount_that_checks_no_md5_gives_what_is_stored() {
    require_fuse();
    let (world, store) = (World::new(), Store::holding(&genuine::one("sr35/hub").location(), "backup/hub"));
    let segment = |key: &String| key.contains("__ss_sr_hub_full") && key.contains(".dat.");
    let key = store
        .server
        .keys()
        .into_iter()
        .filter(segment)
        .max_by_key(|key| store.server.get(key).map(|bytes| bytes.len()))
        .unwrap();
    let mut bytes = store.server.get(&key).unwrap();
    bytes[10] ^= 1;
    store.server.put(&key, &bytes);
    let name = key.rsplit('/').next().unwrap().rsplit_once('.').unwrap().0;
    let file = store.properties_file(&world, "p", &[]);
    for (number, option) in [&[][..], &["--no-md5"], &["-o", "no_md5"]].into_iter().enumerate() {
        let point = world.dir(&format!("mnt{number}"));
        let args = ["mount", URL, text(&point), "--no-cache", "--properties-file", &file];
        world.run(args.iter().copied().chain(option.iter().copied())).ok();
        let path = files(&point).into_iter().find(|path| path.contains("sr_hub_full") && path.ends_with(name)).unwrap();
        let read = fs::read(point.join(path));
        unmount(&point);
        match option.is_empty() {
            true => assert_eq!(read.unwrap_err().raw_os_error(), Some(5), "EIO"),
            false => assert!(read.unwrap() == bytes, "{option:?}"),
        }
    }
}

/// What a damaged object left on disk is not believed of it once it is repaired, nor of another with the same md5, nor by who verifies.
#[test]
fn what_is_kept_on_disk_does_not_outlive_the_damage() {
    let (world, store) = (World::new(), Store::holding(&genuine::one("sr35/hub").location(), "backup/hub"));
    let largest = |key: &String| {
        (key.contains("/__ss_sr_hub_full/") && key.contains(".dat."), store.server.get(key).map(|bytes| bytes.len()))
    };
    let key = store.server.keys().into_iter().max_by_key(largest).unwrap();
    let right = store.server.get(&key).unwrap();
    let mut wrong = right.clone();
    // In its first page, which every reader of rows reads.
    wrong[10] ^= 1;
    let file = store.properties_file(&world, "p", &[]);
    let cache = world.path("cache");
    let given = ["--cache", text(&cache), "--cache-size", "64MiB", "--no-cache", "--properties-file", &file];
    let run = |args: &[&str]| world.run(given.iter().chain(args).copied());
    let warehouse = world.path("warehouse");
    let restore = ["restore", URL, "sr_hub_full", "--warehouse", text(&warehouse)];
    let export = |to: &str| {
        let to = world.path(to);
        run(&["export", &format!("{URL}/sr_hub_full"), "--format", "csv", "--to", text(&to)])
    };
    store.server.put(&key, &wrong);
    run(&restore).code(3);
    export("damaged").code(3);
    store.server.put(&key, &right);
    run(&restore).ok();
    export("repaired").ok();
    // Now all of it is on disk, and right: that says nothing of what is stored.
    run(&["verify", URL, "sr_hub_full"]).ok();
    store.server.put(&key, &wrong);
    run(&["verify", URL, "sr_hub_full", "--md5"]).code(3);
}
