//! Repositories to mount, and what a mounted one shows.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod autofs;

use starsnap_fs::mount::{MountOptions, Mounted, mount};
use starsnap_fs::tree::{Options, Tree};
use starsnap_repository::{Location, Repository};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/repositories");
pub const GENUINE: [&str; 4] = ["sr23/old", "sr33/hub", "sr35/hub", "sr40/hub"];

/// Mounts in short order, as tests do not wait for lists to grow old.
pub fn quick() -> Options {
    Options {
        refresh: Duration::from_millis(50),
        retry: Duration::from_millis(50),
        reread: Duration::from_millis(100),
        ..Options::default()
    }
}

/// A mount of a test; unmounted when dropped.
pub struct Mount {
    pub dir: TempDir,
    mounted: Option<Mounted>,
    pub runtime: tokio::runtime::Runtime,
}

impl Mount {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(mounted) = self.mounted.take() {
            self.runtime.block_on(mounted.unmount()).unwrap();
        }
    }
}

pub fn tree_of(location: &Path, options: Options) -> (tokio::runtime::Runtime, Arc<Tree>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let location = Location::parse(location.to_str().unwrap()).unwrap();
    let repository = runtime.block_on(Repository::open(&location, None)).unwrap();
    (runtime, Arc::new(Tree::new(Arc::new(repository), None, options)))
}

pub fn require_fuse() {
    assert!(
        fs::metadata("/dev/fuse").is_ok(),
        "this test mounts and needs /dev/fuse, which is not here: load the module with `modprobe fuse`, or give the container the device"
    );
}

/// Mounts the repository at `location`.
pub fn mount_with(location: &Path, change: impl FnOnce(&mut MountOptions)) -> Mount {
    mount_as(location, quick(), change)
}

/// Mounts the repository at `location` with these settings of the tree.
pub fn mount_tree(location: &Path, options: Options) -> Mount {
    mount_as(location, options, |_| {})
}

fn mount_as(location: &Path, tree: Options, change: impl FnOnce(&mut MountOptions)) -> Mount {
    require_fuse();
    let dir = tempfile::tempdir().unwrap();
    let (runtime, tree) = tree_of(location, tree);
    let mut options = MountOptions::new(dir.path());
    change(&mut options);
    let mounted = runtime.block_on(mount(tree, &options)).unwrap();
    Mount { dir, mounted: Some(mounted), runtime }
}

pub fn genuine(which: &str) -> PathBuf {
    Path::new(FIXTURES).join(which).join("location")
}

/// A copy of a genuine repository that a test may damage.
pub fn copy(which: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_tree(&genuine(which), to.path());
    to
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The repository's own directory in a location with one.
pub fn root(location: &Path) -> PathBuf {
    let mut entries = fs::read_dir(location).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.join("__repo_info").exists()).unwrap()
}

/// All files below `dir`, links not followed.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => waiting.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// True for a file of rows.
pub fn is_rows(path: &Path) -> bool {
    path.ends_with("rows.csv") || path.ends_with("rows.jsonl")
}

/// One extended attribute, asked for as tools do: its size first.
pub fn xattr(path: &Path, name: &str) -> Result<String, i32> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let name = CString::new(name).unwrap();
    let get = |buffer: &mut [u8]| {
        // SAFETY: both strings end in NUL and the buffer has the length that is told.
        let size = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        usize::try_from(size).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap())
    };
    let mut buffer = vec![0; get(&mut [])?];
    if buffer.len() > 1 {
        assert_eq!(get(&mut vec![0; buffer.len() - 1]), Err(libc::ERANGE));
    }
    let size = get(&mut buffer)?;
    buffer.truncate(size);
    Ok(String::from_utf8(buffer).unwrap())
}

pub fn statfs(path: &Path) -> libc::statvfs {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: all zeros are a valid value, which the call then fills in.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in NUL and `found` is valid for writing.
    assert_eq!(unsafe { libc::statvfs(path.as_ptr(), &mut found) }, 0);
    found
}

/// `tree.tsv`: path to size and md5, only files of tablets.
pub fn manifest(which: &str) -> BTreeMap<String, (u64, String)> {
    let text = fs::read_to_string(Path::new(FIXTURES).join(which).join("tree.tsv")).unwrap();
    let mut files = BTreeMap::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        let (path, size, md5) = (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
        if path.contains("/__ss_content/") {
            files.insert(path.to_owned(), (size.parse().unwrap(), md5.to_owned()));
        }
    }
    assert!(!files.is_empty());
    files
}
