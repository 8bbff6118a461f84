//! The genuine catalogs: what `__meta` holds, and what StarRocks printed of it.

// Each test file uses a part of it.
#![allow(dead_code)]

use starsnap_catalog::ddl::Context;
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta;
use starsnap_catalog::model::{BackupMeta, Table};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A label directory, and the statements StarRocks printed of its objects.
pub struct Fixture {
    pub name: String,
    pub meta: BackupMeta,
    pub context: Context,
    pub blocks: BTreeMap<String, String>,
}

impl Fixture {
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.meta.tbl_name_map.values()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// Every catalog and repository that a version wrote: `sr35`, …
pub fn of_version(version: &str) -> Vec<Fixture> {
    let mut out = Vec::new();
    for gallery in directories(&root().join("catalogs").join(version)) {
        let shown = gallery.join("show_create.sql");
        // `noparts` is one table of the gallery beside it, which has the statements.
        let shown = if shown.exists() { shown } else { gallery.with_file_name("gallery").join("show_create.sql") };
        out.push(load(&gallery, &shown));
    }
    for repository in directories(&root().join("repositories").join(version)) {
        for prefix in directories(&repository.join("location")) {
            for label in directories(&prefix) {
                out.push(load(&label, &repository.join("show_create.sql")));
            }
        }
    }
    assert!(!out.is_empty(), "no fixtures of {version}");
    out
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect(),
        Err(_) => Vec::new(),
    };
    out.sort();
    out
}

fn load(label: &Path, shown: &Path) -> Fixture {
    let file = |start: &str| {
        let mut files = std::fs::read_dir(label).unwrap().map(|entry| entry.unwrap().path());
        files
            .find(|path| path.file_name().unwrap().to_string_lossy().starts_with(start))
            .map(|path| std::fs::read(path).unwrap())
    };
    let meta = meta::read(&file("__meta.").unwrap()).unwrap();
    // A crashed backup has no `__info`; its statements need no database name.
    let info = file("__info_").map(|bytes| JobInfo::parse(&bytes).unwrap()).unwrap_or_default();
    let tables = meta.tbl_name_map.values().map(|table| (table.id, table.name.clone())).collect();
    let context = Context { database: info.database, database_id: info.id, tables };
    Fixture { name: label.to_string_lossy().into_owned(), meta, context, blocks: blocks(shown) }
}

/// Blocks start with a line `-- <name>`.
fn blocks(path: &Path) -> BTreeMap<String, String> {
    let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
    let mut out = BTreeMap::new();
    let mut name = String::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("-- ") {
            Some(next) => {
                name = next.trim_end_matches('\n').to_owned();
                assert!(out.insert(name.clone(), String::new()).is_none(), "{name} twice");
            }
            None => out.get_mut(&name).unwrap().push_str(line),
        }
    }
    out
}
