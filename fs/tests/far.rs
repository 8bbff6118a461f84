//! Mounts of stores that are not on local disk. Each promise of docs/SEMANTICS.md has its test here, by name.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use async_trait::async_trait;
use bytes::Bytes;
use common::*;
use starsnap_fs::mount::{MountOptions, mount};
use starsnap_fs::tree::{Source, Tree};
use starsnap_repository::reading::{LEAST_MEMORY, ReadOptions, Reading};
use starsnap_repository::repository::Label;
use starsnap_repository::storage::{Entry, LocalStorage, Storage, Writer};
use starsnap_repository::{ErrorKind, Location, OpenSnapshot, Repository, RepositoryError, Result, md5};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A directory as if it were far away: the kernel cannot read past us, requests are counted, take time, fail or stall.
#[derive(Debug)]
struct Far {
    below: LocalStorage,
    reads: AtomicU64,
    lists: AtomicU64,
    recursive: AtomicU64,
    slow: AtomicU64,
    fail: AtomicBool,
    stall: AtomicBool,
}

#[async_trait]
impl Storage for Far {
    fn describe(&self) -> String {
        "far://away".into()
    }

    async fn list(&self, dir: &str) -> Result<Vec<Entry>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.below.list(dir).await
    }

    async fn list_recursive(&self, dir: &str) -> Result<Vec<Entry>> {
        self.recursive.fetch_add(1, Ordering::SeqCst);
        self.below.list_recursive(dir).await
    }

    async fn stat(&self, path: &str) -> Result<Entry> {
        self.below.stat(path).await
    }

    async fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.stall.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(self.slow.load(Ordering::SeqCst))).await;
        if self.fail.load(Ordering::SeqCst) {
            return Err(RepositoryError::new(ErrorKind::Unavailable, "read", path, "the test says so"));
        }
        self.below.read(path, range).await
    }

    async fn read_all(&self, path: &str, limit: u64) -> Result<Bytes> {
        self.below.read_all(path, limit).await
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>> {
        self.below.writer(path).await
    }

    async fn copy(&self, from: &str, to: &str) -> Result<()> {
        self.below.copy(from, to).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.below.delete(path).await
    }
}

/// Labels as the repository has them, bytes from afar.
#[derive(Debug)]
struct FarSource {
    repository: Repository,
    storage: Arc<dyn Storage>,
}

#[async_trait]
impl Source for FarSource {
    fn name(&self) -> &str {
        self.repository.name()
    }

    fn location(&self) -> String {
        self.storage.describe()
    }

    async fn labels(&self) -> Result<Vec<Label>> {
        self.repository.labels().await
    }

    async fn open(&self, label: &str, timestamp: &str) -> Result<OpenSnapshot> {
        self.repository.snapshot(label, Some(timestamp), None).await
    }

    fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn path(&self, rest: &str) -> String {
        self.repository.path(rest)
    }
}

struct FarMount {
    dir: tempfile::TempDir,
    far: Arc<Far>,
    reading: Reading,
    mounted: Option<starsnap_fs::mount::Mounted>,
    runtime: tokio::runtime::Runtime,
}

impl Drop for FarMount {
    fn drop(&mut self) {
        if let Some(mounted) = self.mounted.take() {
            self.runtime.block_on(mounted.unmount()).unwrap();
        }
    }
}

fn options() -> ReadOptions {
    ReadOptions { memory: LEAST_MEMORY, disk: None, patience: Duration::from_secs(30) }
}

fn far_mount(location: &Path, options: ReadOptions) -> FarMount {
    require_fuse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let far = Arc::new(Far {
        below: LocalStorage::open(location).unwrap(),
        reads: AtomicU64::new(0),
        lists: AtomicU64::new(0),
        recursive: AtomicU64::new(0),
        slow: AtomicU64::new(0),
        fail: AtomicBool::new(false),
        stall: AtomicBool::new(false),
    });
    let repository = runtime.block_on(Repository::open(&Location::from(location.to_owned()), None)).unwrap();
    let source = FarSource { repository, storage: far.clone() };
    let dir = tempfile::tempdir().unwrap();
    let reading = Reading::new(&options).unwrap();
    let mut options = MountOptions::new(dir.path());
    options.reading = reading.clone();
    let tree = Arc::new(Tree::of(Arc::new(source), quick()));
    let mounted = Some(runtime.block_on(mount(tree, &options)).unwrap());
    FarMount { dir, far, reading, mounted, runtime }
}

impl FarMount {
    fn stored(&self) -> Vec<PathBuf> {
        files(self.dir.path()).into_iter().filter(|path| xattr(path, "user.starsnap.md5").is_ok()).collect()
    }
}

/// A copy of a genuine repository with a file of `size` bytes in the place of its largest.
fn with_a_large_file(size: usize, right: bool) -> tempfile::TempDir {
    let location = copy("sr35/hub");
    let content = root(location.path()).join("__ss_sr_member_backup");
    let largest = files(&content).into_iter().filter(|path| path.to_str().unwrap().contains(".dat."));
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let bytes: Vec<u8> = (0..size as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let name = largest.file_name().unwrap().to_str().unwrap();
    let (base, _) = name.rsplit_once('.').unwrap();
    let stated = if right { md5::of(&bytes) } else { md5::of(b"other") };
    fs::write(largest.with_file_name(format!("{base}.{stated}")), bytes).unwrap();
    fs::remove_file(largest).unwrap();
    location
}

fn large(mount: &FarMount) -> PathBuf {
    mount.stored().into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn content_is_the_repository_s_read_from_afar() {
    for which in GENUINE {
        let mount = far_mount(&genuine(which), options());
        let mut seen = BTreeMap::new();
        for path in mount.stored() {
            let bytes = fs::read(&path).unwrap();
            let remote = xattr(&path, "user.starsnap.path").unwrap();
            seen.insert(remote, (bytes.len() as u64, md5::of(&bytes).to_string()));
        }
        assert_eq!(seen, manifest(which));
        let usage = mount.reading.usage();
        assert!(usage.peak <= usage.memory, "{usage:?}");
    }
}

#[test]
fn a_large_file_is_fetched_ahead_and_once() {
    let location = with_a_large_file(48 << 20, true);
    let mount = far_mount(location.path(), ReadOptions { memory: 256 << 20, ..options() });
    let path = large(&mount);
    let expected = xattr(&path, "user.starsnap.md5").unwrap();
    let before = mount.far.reads.load(Ordering::SeqCst);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(md5::of(&bytes).to_string(), expected);
    let reads = mount.far.reads.load(Ordering::SeqCst) - before;
    // Of 192 blocks. About 35 when the kernel's requests come in order, which they do not on a busy machine.
    assert!(reads < 96, "{reads} requests for 48 MiB");
    assert_eq!(mount.reading.usage().fetched, 48 << 20, "nothing twice");
    // Here and there: only what is needed.
    let file = fs::File::open(&path).unwrap();
    let mut piece = [0; 1000];
    file.read_exact_at(&mut piece, 30_000_001).unwrap();
    assert_eq!(piece, bytes[30_000_001..30_001_001]);
}

#[test]
fn little_memory_is_enough_and_never_exceeded() {
    let location = with_a_large_file(40 << 20, true);
    let mount = far_mount(location.path(), options());
    let path = large(&mount);
    let expected = xattr(&path, "user.starsnap.md5").unwrap();
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || md5::of(&fs::read(path).unwrap()).to_string())
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), expected);
    }
    let usage = mount.reading.usage();
    assert!(usage.peak <= LEAST_MEMORY, "{usage:?}");
}

#[test]
fn wrong_md5_from_afar_fails_at_the_end() {
    let location = with_a_large_file(5 << 20, false);
    let mount = far_mount(location.path(), options());
    let path = large(&mount);
    let mut file = fs::File::open(&path).unwrap();
    let error = file.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    // Parts of it can still be read: what they are is not known.
    let mut start = [0; 100];
    fs::File::open(&path).unwrap().read_exact_at(&mut start, 1 << 20).unwrap();
}

#[test]
fn a_store_that_does_not_answer_is_eio_in_bounded_time() {
    let location = with_a_large_file(5 << 20, true);
    let mount = far_mount(location.path(), ReadOptions { patience: Duration::from_millis(300), ..options() });
    let path = large(&mount);
    mount.far.stall.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let error = fs::read(&path).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(started.elapsed() < Duration::from_secs(60), "it ended");
    mount.far.stall.store(false, Ordering::SeqCst);
    mount.far.fail.store(true, Ordering::SeqCst);
    assert_eq!(fs::read(&path).unwrap_err().raw_os_error(), Some(libc::EIO));
    mount.far.fail.store(false, Ordering::SeqCst);
    // With so little patience a busy machine may need more than one try.
    let until = Instant::now() + Duration::from_secs(60);
    let read = loop {
        match fs::read(&path) {
            Err(error) if Instant::now() < until => assert_eq!(error.raw_os_error(), Some(libc::EIO)),
            read => break read,
        }
    };
    assert_eq!(read.unwrap().len(), 5 << 20, "failures are not kept");
}

#[test]
fn what_is_on_disk_serves_the_next_mount_and_damage_there_is_not_seen() {
    let location = with_a_large_file(5 << 20, true);
    let cache = tempfile::tempdir().unwrap();
    let disk = Some((cache.path().to_owned(), 64 << 20));
    let options = ReadOptions { disk, ..options() };
    let expected = {
        let mount = far_mount(location.path(), options.clone());
        let bytes = fs::read(large(&mount)).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while cached(cache.path()).len() < (5 << 20) / (256 << 10) {
            assert!(Instant::now() < until, "all blocks are on disk in the end");
            std::thread::sleep(Duration::from_millis(20));
        }
        bytes
    };
    {
        let mount = far_mount(location.path(), options.clone());
        assert!(fs::read(large(&mount)).unwrap() == expected);
        assert_eq!(mount.reading.usage().fetched, 0);
    }
    for (number, path) in cached(cache.path()).into_iter().enumerate() {
        let mut bytes = fs::read(&path).unwrap();
        match number % 3 {
            0 => bytes[5000 + number] ^= 1,
            1 => bytes.truncate(1000 * number),
            _ => continue,
        }
        fs::write(&path, bytes).unwrap();
    }
    let mount = far_mount(location.path(), options);
    assert!(fs::read(large(&mount)).unwrap() == expected);
}

fn cached(dir: &Path) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|path| path.file_name().unwrap().to_str().unwrap().len() > 32).collect()
}

#[test]
fn an_interrupted_reader_ends_and_the_mount_serves_on() {
    let location = with_a_large_file(5 << 20, true);
    let mount = far_mount(location.path(), ReadOptions { patience: Duration::from_secs(5), ..options() });
    let path = large(&mount);
    mount.far.stall.store(true, Ordering::SeqCst);
    let before = mount.far.reads.load(Ordering::SeqCst);
    let mut reader = std::process::Command::new("cat").arg(&path).stdout(std::process::Stdio::null()).spawn().unwrap();
    while mount.far.reads.load(Ordering::SeqCst) == before {
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: the process is our child, which nobody has waited for yet.
    assert_eq!(unsafe { libc::kill(reader.id() as i32, libc::SIGINT) }, 0);
    let until = Instant::now() + Duration::from_secs(60);
    while reader.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it ends when its read does, at the latest");
        std::thread::sleep(Duration::from_millis(10));
    }
    mount.far.stall.store(false, Ordering::SeqCst);
    let other = mount.stored().into_iter().find(|other| *other != path && fs::metadata(other).unwrap().len() > 0);
    assert!(!fs::read(other.unwrap()).unwrap().is_empty());
}
