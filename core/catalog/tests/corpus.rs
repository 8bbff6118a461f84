//! The fuzz targets of the metadata with the inputs that fuzzing has kept (`fuzz/corpus`), without a nightly compiler.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "../../../fuzz/src/catalog.rs"]
mod targets;

use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta;
use starsnap_catalog::snapshot::Snapshot;
use starsnap_catalog::table_file::TableFile;
use std::fs;
use std::path::Path;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");

/// Name and work of a fuzz target.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("info", targets::info),
    ("backup_meta", targets::backup_meta),
    ("range", targets::range),
    ("table_file", targets::table_file),
];

#[test]
fn kept_inputs_do_no_harm() {
    for (name, target) in TARGETS {
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

/// Where fuzzing begins: small genuine catalogs and what is made of them. To be run by hand when targets change; fuzzing adds to them.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_seeds() {
    let keep = |target: &str, number: usize, bytes: &[u8]| {
        let dir = Path::new(CORPUS).join(target);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("seed-{number}-{}", bytes.len())), bytes).unwrap();
    };
    for (number, case) in common::all().into_iter().enumerate() {
        let (info, meta) = (case.info.unwrap_or_default(), case.meta.unwrap_or_default());
        if (1..3000).contains(&info.len()) {
            keep("info", number, &info);
        }
        if (1..6000).contains(&meta.len()) {
            keep("backup_meta", number, &meta);
        }
        let (info, meta) = (JobInfo::parse(&info).ok(), meta::read(&meta).ok());
        let Ok(snapshot) = Snapshot::join(info.as_ref(), meta.as_ref()) else { continue };
        for entry in &snapshot.tables {
            let text = TableFile::of(&snapshot, entry, "repository", "2024-01-01-00-00-00-000").to_json().unwrap();
            if text.len() < 4000 {
                keep("table_file", number, text.as_bytes());
            }
        }
    }
}
