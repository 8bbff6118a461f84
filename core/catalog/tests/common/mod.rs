//! The genuine snapshots of the fixtures, found by enumerating directories.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

pub mod tsv;

use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta;
use starsnap_catalog::model::BackupMeta;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory with a `__meta`, an `__info`, or both.
pub struct Case {
    pub dir: PathBuf,
    /// The directory below the fixtures, to name it in a failure.
    pub name: String,
    pub info: Option<Vec<u8>>,
    pub meta: Option<Vec<u8>>,
}

impl Case {
    pub fn info(&self) -> Option<JobInfo> {
        self.info.as_ref().map(|bytes| JobInfo::parse(bytes).unwrap_or_else(|e| panic!("{}: {e}", self.name)))
    }

    pub fn meta(&self) -> Option<BackupMeta> {
        self.meta.as_ref().map(|bytes| meta::read(bytes).unwrap_or_else(|e| panic!("{}: {e}", self.name)))
    }
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The gallery of catalogs.
pub fn catalogs() -> Vec<Case> {
    find(&fixtures().join("catalogs"))
}

/// The snapshots of the repositories.
pub fn repositories() -> Vec<Case> {
    find(&fixtures().join("repositories"))
}

/// Both.
pub fn all() -> Vec<Case> {
    let mut all = catalogs();
    all.extend(repositories());
    assert!(all.len() > 20, "the fixtures are missing");
    all
}

fn find(root: &Path) -> Vec<Case> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        let mut case = Case {
            name: dir.strip_prefix(fixtures()).unwrap().display().to_string(),
            dir: dir.clone(),
            info: None,
            meta: None,
        };
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("__info_") {
                case.info = Some(fs::read(&path).unwrap());
            } else if name.starts_with("__meta.") {
                case.meta = Some(fs::read(&path).unwrap());
            } else if path.is_dir() && name != "__ss_content" && name != "expected" {
                todo.push(path);
            }
        }
        if case.info.is_some() || case.meta.is_some() {
            found.push(case);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
