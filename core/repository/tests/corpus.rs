//! The fuzz target of locations with the inputs that fuzzing has kept (`fuzz/corpus`), without a nightly compiler.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../fuzz/src/location.rs"]
mod targets;

#[test]
fn kept_inputs_do_no_harm() {
    let mut tried = 0;
    for input in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/location")).unwrap() {
        let path = input.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let done = std::panic::catch_unwind(|| targets::location(&bytes));
        assert!(done.is_ok(), "{} is too much", path.display());
        tried += 1;
    }
    assert!(tried > 0);
}
