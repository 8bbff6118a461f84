//! The genuine repositories, and copies of them to damage.
#![allow(dead_code)] // Each test file uses its part.

use starsnap_repository::{Location, Repository};
use std::fs;
use std::path::{Path, PathBuf};

/// Version and name of each genuine repository.
pub const GENUINE: [&str; 4] = ["sr23/old", "sr33/hub", "sr35/hub", "sr40/hub"];

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

pub fn genuine(which: &str) -> PathBuf {
    fixtures().join("repositories").join(which)
}

pub async fn open(location: &Path) -> Repository {
    Repository::open(&Location::from(location.to_owned()), None).await.unwrap()
}

/// Rows of a tab-separated file, without its heading where it has one.
pub fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// A copy of one snapshot of a genuine repository, whose files may be damaged.
pub struct Copy {
    pub dir: tempfile::TempDir,
    /// The repository's directory.
    pub root: PathBuf,
    /// The label's.
    pub label: PathBuf,
}

impl Copy {
    pub fn of(which: &str, label: &str) -> Copy {
        let from = genuine(which).join("location");
        let name = fs::read_dir(&from).unwrap().next().unwrap().unwrap().file_name();
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join(&name);
        fs::create_dir(&root).unwrap();
        let (from, copy) = (from.join(&name), root.join(format!("__ss_{label}")));
        fs::copy(from.join("__repo_info"), root.join("__repo_info")).unwrap();
        copy_tree(&from.join(format!("__ss_{label}")), &copy);
        Copy { dir, root, label: copy }
    }

    /// The path of the file whose name begins with `prefix` in the label's directory.
    pub fn file(&self, prefix: &str) -> PathBuf {
        let mut found = files_below(&self.label);
        found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
        found.into_iter().next().unwrap()
    }

    /// A file of a tablet whose name ends, without its md5, with `ending`.
    pub fn tablet_file(&self, ending: &str) -> PathBuf {
        let mut found = files_below(&self.label.join("__ss_content"));
        found.retain(|path| path.with_extension("").to_str().unwrap().ends_with(ending));
        found.into_iter().next().unwrap()
    }
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files below `dir`, sorted.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
