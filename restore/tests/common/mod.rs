//! What the tests of the jobs share: genuine repositories, copies of them to damage, and what stands in a directory.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod exporting;

use starsnap_catalog::layout::TableLayout;
use starsnap_catalog::snapshot::TableKind;
use starsnap_repository::md5::{self, Md5};
use starsnap_repository::{Location, OpenSnapshot, Repository, TabletKey};
use starsnap_restore::backup::{BackupOptions, backup};
use starsnap_restore::report::{BackupReport, RestoreReport, TableReport};
use starsnap_restore::restore::{RestoreOptions, TableChoice, restore};
use starsnap_restore::source::Source;
use starsnap_restore::{Cancel, RestoreError, Silent};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const REPOSITORIES: [&str; 4] = ["sr23/old", "sr33/hub", "sr35/hub", "sr40/hub"];

pub fn location(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/repositories")).join(name).join("location")
}

pub async fn open(path: &Path) -> Repository {
    let location = Location::parse(path.to_str().unwrap()).unwrap();
    Repository::open(&location, None).await.unwrap()
}

/// A copy of a genuine repository, to be damaged.
pub fn copy_of(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&location(name), dir.path());
    dir
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

pub fn options(source: Source, warehouse: &Path) -> RestoreOptions {
    RestoreOptions {
        source,
        tables: Vec::new(),
        partitions: Vec::new(),
        warehouse: warehouse.to_owned(),
        database: None,
        workers: 4,
        max_speed_bytes_per_second: None,
        recheck: false,
    }
}

pub fn table(name: &str) -> Vec<TableChoice> {
    vec![TableChoice { name: name.into(), ..TableChoice::default() }]
}

pub fn table_as(name: &str, alias: &str) -> Vec<TableChoice> {
    vec![TableChoice { name: name.into(), alias: Some(alias.into()), ..TableChoice::default() }]
}

pub async fn run(options: RestoreOptions) -> Result<RestoreReport, RestoreError> {
    restore(options, Arc::new(Silent), Cancel::default()).await
}

pub async fn run_backup(
    repository: &Repository,
    label: &str,
    warehouse: &Path,
    database: &str,
    tables: Vec<TableChoice>,
) -> Result<BackupReport, RestoreError> {
    let options = BackupOptions {
        repository: repository.clone(),
        label: label.into(),
        warehouse: warehouse.to_owned(),
        database: database.into(),
        tables,
        partitions: Vec::new(),
        workers: 4,
        max_speed_bytes_per_second: None,
    };
    backup(options, Arc::new(Silent), Cancel::default()).await
}

pub async fn source(repository: &Repository, label: &str) -> Source {
    Source::repository(repository, label, None, None).await.unwrap()
}

/// All files below `dir`: path, size and md5.
pub fn tree(dir: &Path) -> BTreeMap<String, (u64, Md5)> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<String, (u64, Md5)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                walk(root, &path, out);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                out.insert(name, (bytes.len() as u64, md5::of(&bytes)));
            }
        }
    }
    let mut out = BTreeMap::new();
    if dir.exists() {
        walk(dir, dir, &mut out);
    }
    out
}

/// The tablet files of `tree`: those at least two directories down.
pub fn tablet_files(dir: &Path) -> BTreeMap<String, (u64, Md5)> {
    tree(dir).into_iter().filter(|(path, _)| path.matches('/').count() >= 2).collect()
}

/// What a table's directory must hold, worked out from the repository's own listing: tablet path and file name to size and md5.
pub fn expected(snapshot: &OpenSnapshot, name: &str, partitions: Option<&[&str]>) -> BTreeMap<String, (u64, Md5)> {
    let entry = snapshot.catalog.table(name).unwrap();
    let mut out = BTreeMap::new();
    for place in TableLayout::of(entry).tablets {
        let partition = &entry.partitions[place.partition];
        if partitions.is_some_and(|wanted| !wanted.contains(&&*partition.name)) {
            continue;
        }
        let physical = &partition.physicals[place.physical];
        let index = &physical.indexes[place.index];
        let key = TabletKey {
            database: snapshot.catalog.database_id,
            table: entry.id,
            physical: physical.id,
            index: index.id,
            tablet: index.tablets[place.tablet].id,
        };
        for file in &snapshot.tablet(&key).unwrap().files {
            out.insert(format!("{}/{}", place.path(), file.name), (file.size, file.md5));
        }
    }
    out
}

pub fn is_view(snapshot: &OpenSnapshot, name: &str) -> bool {
    snapshot.catalog.table(name).unwrap().kind == TableKind::View
}

pub fn report_of<'a>(report: &'a RestoreReport, name: &str) -> &'a TableReport {
    report.tables.iter().find(|table| table.name == name).unwrap()
}

/// Finds the only file below `dir` whose path `wanted` accepts.
pub fn find(dir: &Path, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let found: Vec<String> = tree(dir).into_keys().filter(|path| wanted(path)).collect();
    dir.join(found.first().unwrap())
}

/// Nothing in sight: no table of that name, nothing staged.
pub fn nothing_of(warehouse: &Path, database: &str, table: &str) {
    assert!(!warehouse.join(database).join(table).exists(), "{table} is there");
    assert!(!warehouse.join(database).join(".starsnap-staging").exists(), "staging is left");
}
