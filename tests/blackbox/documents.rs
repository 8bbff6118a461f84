//! The documents say what is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files of the project.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs: Vec<PathBuf> =
        ["src", "core", "fs", "restore", "tests"].iter().map(|dir| project().join(dir)).collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            match entry.file_type().unwrap().is_dir() {
                true if !path.ends_with("fixtures") => dirs.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// Names of functions that are tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        // Its tests run in a main function of its own, which calls each by its name.
        let called = path.ends_with("fs/tests/processes.rs");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let name = line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let Some(name) = name {
                if is_test || called && text.matches(name).count() > 1 {
                    names.insert(name.to_owned());
                }
                is_test = false;
            }
        }
    }
    names
}

/// What stands between back quotes and reads like a test: several words in lower case.
fn promised(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_test = |name: &&str| {
        !name.starts_with('_')
            && name.matches('_').count() >= 2
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    quoted.filter(is_test).collect()
}

#[test]
fn every_promise_has_the_test_it_names() {
    let tests = tests();
    let text = read("docs/SEMANTICS.md");
    let promised = promised(&text);
    assert!(promised.len() >= 50, "only {} tests are named", promised.len());
    let missing: Vec<_> = promised.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "tests are named that are not there: {missing:?}");
}

#[test]
fn every_link_leads_somewhere() {
    let documents = fs::read_dir(project().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let documents = documents.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let documents: Vec<PathBuf> = documents.chain([project().join("README.md")]).collect();
    assert!(documents.len() > 5);
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty() && !link.contains("://") {
                assert!(document.with_file_name(path).exists(), "{}: {link} leads nowhere", document.display());
            }
        }
    }
}
