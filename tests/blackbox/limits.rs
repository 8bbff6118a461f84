//! Limits of speed, counted where bytes reach and leave the store.

use crate::common::World;
use crate::genuine;
use crate::store::{Moved, Store};
use std::path::Path;
use std::time::Instant;

const URL: &str = "s3a://bucket/backup/hub";
/// KB per second.
const LIMIT: &str = "300";
const BYTES_PER_SECOND: f64 = 300.0 * 1024.0;

/// At no time more than the limit allows since `begun`, and a fifth of a second's worth. A slow machine can only make it less. Counts files'
/// contents only, and returns the bytes.
fn keeps_to(begun: Instant, moved: &[Moved], what: &str) -> usize {
    let mut bytes = 0;
    for (at, _, len) in moved.iter().filter(|(_, path, _)| path.contains("__ss_content")) {
        bytes += len;
        let allowed = (at.duration_since(begun).as_secs_f64() * 1.05 + 0.2) * BYTES_PER_SECOND;
        assert!(bytes as f64 <= allowed, "{what}: {bytes} bytes after {:?}", at.duration_since(begun));
    }
    bytes
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn limits_hold_at_the_store_for_restores_and_backups() {
    let world = World::new();
    let store = Store::holding(&genuine::one("sr35/hub").location(), "backup/hub");
    let file = store.properties_file(&world, "p", &[]);
    let warehouse = world.path("warehouse");
    store.server.sent();
    let begun = Instant::now();
    let restore =
        ["restore", URL, "sr_hub_full", "--warehouse", text(&warehouse), "--properties-file", &file, "--json"];
    let options = ["--max-download-speed-kbps", LIMIT, "--download-worker-count", "5"];
    let report = world.run(restore.iter().chain(&options)).ok().json();
    let bytes = keeps_to(begun, &store.server.sent(), "restore");
    assert_eq!(report["bytes"], bytes);

    world.run(["init", "s3a://bucket/new", "--name", "new", "--properties-file", &file]).ok();
    store.server.taken();
    let begun = Instant::now();
    let backup =
        ["backup", "s3a://bucket/new", "one", "--warehouse", text(&warehouse), "--database", "sr_hub", "--json"];
    let options = ["--properties-file", &file, "--max-upload-speed-kbps", LIMIT, "--upload-worker-count", "5"];
    let report = world.run(backup.iter().chain(&options)).ok().json();
    let bytes = keeps_to(begun, &store.server.taken(), "backup");
    assert_eq!(report["bytes"], bytes);
    for table in report["tables"].as_array().unwrap().iter().filter(|table| table["files"] != 0) {
        assert!(table["seconds"].as_f64().unwrap() > 0.0, "{table}");
    }
}
