//! The fuzz targets of the metadata with the inputs that fuzzing has kept (`fuzz/corpus`), without a nightly compiler.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../fuzz/src/catalog.rs"]
mod targets;

use std::fs;
use std::path::Path;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");

/// Name and work of a fuzz target.
type Target = (&'static str, fn(&[u8]));

#[test]
fn kept_inputs_do_no_harm() {
    let all: [Target; 3] = [("info", targets::info), ("backup_meta", targets::backup_meta), ("range", targets::range)];
    for (name, target) in all {
        let inputs = fs::read_dir(Path::new(CORPUS).join(name)).unwrap_or_else(|e| panic!("corpus of {name}: {e}"));
        let mut tried = 0;
        for input in inputs {
            let path = input.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let done = std::panic::catch_unwind(|| target(&bytes));
            assert!(done.is_ok(), "{} is too much for {name}", path.display());
            tried += 1;
        }
        assert!(tried > 0, "no input for {name}");
    }
}
