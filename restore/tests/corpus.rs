//! The fuzz targets of statements and conditions with the inputs that fuzzing has kept (`fuzz/corpus`), without a nightly compiler.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../fuzz/src/statement.rs"]
mod targets;

/// Name and work of a fuzz target.
type Target = (&'static str, fn(&[u8]));

#[test]
fn kept_inputs_do_no_harm() {
    let all: [Target; 2] = [("statements", targets::statements), ("condition", targets::condition)];
    let corpus = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus"));
    for (name, target) in all {
        let mut tried = 0;
        for input in std::fs::read_dir(corpus.join(name)).unwrap() {
            let path = input.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let done = std::panic::catch_unwind(|| target(&bytes));
            assert!(done.is_ok(), "{} is too much for {name}", path.display());
            tried += 1;
        }
        assert!(tried > 0, "no input for {name}");
    }
}
