//! `rows.csv` and `rows.jsonl`: what docs/SEMANTICS.md promises of them, by name.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use async_trait::async_trait;
use common::*;
use starsnap_fs::FsError;
use starsnap_fs::tree::{Content, NodeKind, Options, RowsReader, Source, Tree};
use starsnap_repository::reading::Reading;
use starsnap_repository::repository::Label;
use starsnap_repository::storage::{Entry, Storage, Writer};
use starsnap_repository::{Location, OpenSnapshot, Repository};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Outcome<T> = starsnap_repository::Result<T>;

/// A repository's store as one that is far away, which takes note of what is read.
#[derive(Debug)]
struct Far {
    inner: Arc<dyn Storage>,
    /// Bytes by path.
    read: Mutex<BTreeMap<String, u64>>,
}

impl Far {
    fn note(&self, path: &str, bytes: u64) {
        *self.read.lock().unwrap().entry(path.to_owned()).or_default() += bytes;
    }

    /// Forgets what was read so far, and returns it.
    fn taken(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.read.lock().unwrap())
    }
}

#[async_trait]
impl Storage for Far {
    fn describe(&self) -> String {
        "far".into()
    }
    async fn list(&self, dir: &str) -> Outcome<Vec<Entry>> {
        self.inner.list(dir).await
    }
    async fn list_recursive(&self, dir: &str) -> Outcome<Vec<Entry>> {
        self.inner.list_recursive(dir).await
    }
    async fn stat(&self, path: &str) -> Outcome<Entry> {
        self.inner.stat(path).await
    }
    async fn read(&self, path: &str, range: Range<u64>) -> Outcome<bytes::Bytes> {
        self.note(path, range.end - range.start);
        tokio::task::yield_now().await;
        self.inner.read(path, range).await
    }
    async fn read_all(&self, path: &str, limit: u64) -> Outcome<bytes::Bytes> {
        let bytes = self.inner.read_all(path, limit).await?;
        self.note(path, bytes.len() as u64);
        Ok(bytes)
    }
    async fn writer(&self, path: &str) -> Outcome<Box<dyn Writer>> {
        self.inner.writer(path).await
    }
    async fn copy(&self, from: &str, to: &str) -> Outcome<()> {
        self.inner.copy(from, to).await
    }
    async fn delete(&self, path: &str) -> Outcome<()> {
        self.inner.delete(path).await
    }
}

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
        "far".into()
    }
    async fn labels(&self) -> Outcome<Vec<Label>> {
        self.repository.labels().await
    }
    async fn open(&self, label: &str, timestamp: &str) -> Outcome<OpenSnapshot> {
        self.repository.snapshot(label, Some(timestamp), None).await
    }
    fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }
    fn path(&self, rest: &str) -> String {
        self.repository.path(rest)
    }
}

async fn far(location: &Path) -> (Arc<Far>, Tree) {
    let location = Location::parse(location.to_str().unwrap()).unwrap();
    let repository = Repository::open(&location, None).await.unwrap();
    let far = Arc::new(Far { inner: repository.storage().clone(), read: Mutex::default() });
    let source = FarSource { repository, storage: far.clone() };
    let tree = Tree::of(Arc::new(source), Options::default());
    (far, tree)
}

async fn reader(tree: &Tree, path: &str) -> RowsReader {
    match tree.content(tree.lookup(path).await.unwrap()).await.unwrap() {
        Content::Rows(file) => RowsReader::new(file, &Reading::default()),
        other => panic!("{path} is {other:?}"),
    }
}

async fn whole(reader: &RowsReader) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = reader.read(all.len() as u64, 100_000).await.unwrap();
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(&bytes);
    }
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

const MEMBER: &str = "sr_hub_full/latest/sr_member";

/// Of every table that has rows in the fixtures: as many, in every partition, and those of the table are those of its partitions. That each
/// is the right one, byte by byte as an export writes it, the black-box tests say.
#[test]
fn tables_and_partitions_have_their_rows() {
    let mut seen = 0;
    // The rows of 4.0 are those of 3.5.
    for (which, expected) in [("sr33/hub", "sr33/hub"), ("sr35/hub", "sr35/hub"), ("sr40/hub", "sr35/hub")] {
        let mount = mount_with(&genuine(which), |_| {});
        let full = mount.at("sr_hub_full/latest");
        for entry in fs::read_dir(Path::new(FIXTURES).join(expected).join("expected")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let parts: Vec<&str> = name.split('.').collect();
            let [table, partition] = parts[..] else { continue };
            if partition.starts_with('$') {
                continue;
            }
            let expected = fs::read_to_string(&path).unwrap().lines().count();
            let dir = full.join(table).join(partition);
            assert_eq!(fs::read_to_string(dir.join("rows.jsonl")).unwrap().lines().count(), expected, "{which} {name}");
            seen += 1;
        }
        for table in names(&full) {
            let table = full.join(table);
            let Ok(rows) = fs::read(table.join("rows.jsonl")) else { continue };
            let mut parts: Vec<String> = Vec::new();
            for partition in names(&table).iter().map(|name| table.join(name)).filter(|path| path.is_dir()) {
                let Ok(text) = fs::read_to_string(partition.join("rows.jsonl")) else { continue };
                parts.extend(text.lines().map(str::to_owned));
            }
            let mut all: Vec<String> = String::from_utf8(rows).unwrap().lines().map(str::to_owned).collect();
            all.sort();
            parts.sort();
            assert_eq!(all, parts, "{}", table.display());
        }
    }
    assert!(seen > 30, "only {seen} partitions were compared");
}

#[test]
fn rows_have_no_size_and_end_where_they_end() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    for name in ["rows.csv", "rows.jsonl", "p1/rows.csv"] {
        let path = mount.at(MEMBER).join(name);
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.len(), meta.is_file()), (0, true), "{name}");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('\n') && text.lines().count() >= 1, "{name}: {text}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 0, "{name}, after reading it");
        let copied = tempfile::NamedTempFile::new().unwrap();
        fs::copy(&path, copied.path()).unwrap();
        assert_eq!(fs::read_to_string(copied.path()).unwrap(), text, "{name}, copied");
    }
    let without = mount_rows(&genuine("sr35/hub"), false);
    for dir in [without.at(MEMBER), without.at(MEMBER).join("p1")] {
        assert!(names(&dir).iter().all(|name| !name.starts_with("rows.")), "{:?}", names(&dir));
    }
}

/// A mount with or without files of rows.
fn mount_rows(location: &Path, rows: bool) -> Mount {
    mount_tree(location, Options { rows, ..quick() })
}

#[test]
fn rows_are_read_at_any_offset() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let largest = files(&mount.at("sr_hub_full")).into_iter().filter(|path| is_rows(path));
    let (path, whole) =
        largest.map(|path| (path.clone(), fs::read(path).unwrap())).max_by_key(|(_, b)| b.len()).unwrap();
    assert!(whole.len() > 100_000, "{} has {} bytes", path.display(), whole.len());
    let file = fs::File::open(&path).unwrap();
    let mut random = 12345u64;
    for turn in 0..60 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let offset = (random >> 33) as usize % (whole.len() + 1000);
        let size = (random >> 20) as usize % 30_000;
        let mut bytes = vec![0; size];
        let read = file.read_at(&mut bytes, offset as u64).unwrap();
        let start = offset.min(whole.len());
        let expected = &whole[start..whole.len().min(start + size)];
        assert!(bytes[..read] == *expected, "turn {turn}: {size} bytes at {offset}, of {}", whole.len());
    }
    let mut file = &file;
    file.seek(SeekFrom::Start(10)).unwrap();
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    assert!(rest == whole[10..]);
    // One handle, many readers.
    std::thread::scope(|scope| {
        for reader in 0..4usize {
            let whole = &whole;
            scope.spawn(move || {
                for turn in 0..5 {
                    let offset = whole.len() / 5 * turn + reader;
                    let mut bytes = vec![0; 1000];
                    let read = file.read_at(&mut bytes, offset as u64).unwrap();
                    assert!(bytes[..read] == whole[offset..offset + read] && read > 0);
                }
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_far_ahead_fails_in_bounded_time_and_can_be_taken_up() {
    let (_far, tree) = far(&genuine("sr35/hub")).await;
    let path = "sr_hub_full/latest/events/rows.jsonl";
    let all = whole(&reader(&tree, path).await).await;
    let reader = reader(&tree, path).await.patience(Duration::from_millis(1));
    // Longer than any of them takes, were they to start over each time.
    let until = Instant::now() + Duration::from_secs(60);
    let mut late = 0;
    let beyond = loop {
        match reader.read(1_000_000_000_000, 10).await {
            Ok(bytes) => break bytes,
            Err(error) => {
                assert!(error.errno() == libc::EIO && error.to_string().contains("not decoded after"), "{error}");
                assert!(Instant::now() < until, "the end is not found after {late} reads");
                late += 1;
            }
        }
    };
    assert!(beyond.is_empty() && late > 0, "{late}");
    let reader = reader.patience(Duration::from_secs(60));
    assert_eq!(reader.read(0, all.len() + 1).await.unwrap(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_rows_reads_no_more_than_is_asked_for() {
    let (far, tree) = far(&genuine("sr35/hub")).await;
    let node = tree.lookup(&format!("{MEMBER}/rows.jsonl")).await.unwrap();
    assert_eq!(tree.attributes(node).await.unwrap().size, 0);
    far.taken();
    let reader = reader(&tree, &format!("{MEMBER}/rows.jsonl")).await;
    assert_eq!(far.taken(), BTreeMap::new(), "opening reads nothing");
    let all = whole(&reader).await;
    let everything = far.taken();
    let tablets = |read: &BTreeMap<String, u64>| -> BTreeSet<String> {
        read.keys().map(|path| path.rsplit_once('/').unwrap().0.to_owned()).collect()
    };
    assert!(tablets(&everything).len() >= 15, "{everything:?}");
    assert!(all.len() > 1000);

    // A decoder may be a piece ahead, which these small tables fit into; the largest one does not.
    let mut largest = (0, String::new());
    for table in ["events", "orders", "page_views", "sales", "users"] {
        let path = format!("sr_hub_full/latest/{table}/rows.jsonl");
        largest = largest.max((whole(&self::reader(&tree, &path).await).await.len(), path));
    }
    far.taken();
    let first = self::reader(&tree, &largest.1).await;
    assert_eq!(first.read(0, 100).await.unwrap().len(), 100);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let some = far.taken();
    whole(&self::reader(&tree, &largest.1).await).await;
    let all = far.taken();
    assert!(tablets(&some).len() < tablets(&all).len(), "the beginning needs no later tablets: {some:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_rows_stops_their_decoder() {
    let (far, tree) = far(&genuine("sr35/hub")).await;
    let storage = Arc::downgrade(&far);
    let reader = reader(&tree, "sr_hub_full/latest/orders/rows.jsonl").await;
    reader.read(0, 10).await.unwrap();
    drop((tree, far));
    assert!(storage.upgrade().is_some(), "the decoder waits with the rest");
    drop(reader);
    let until = Instant::now() + Duration::from_secs(20);
    while storage.upgrade().is_some() {
        assert!(Instant::now() < until, "nobody reads, and the decoder is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The stored segment files of a partition, by the order of their tablets.
fn segments(mount: &Mount, location: &Path, partition: &str) -> Vec<PathBuf> {
    let shown = files(&mount.at(partition));
    let stored = shown.iter().filter(|path| path.extension().is_some_and(|e| e == "dat"));
    stored.map(|path| location.join(xattr(path, "user.starsnap.path").unwrap())).collect()
}

#[test]
fn damaged_rows_fail_where_the_damage_is() {
    let location = copy("sr35/hub");
    let mount = mount_with(location.path(), |options| options.verify = false);
    let partition = "sr_hub_full/latest/orders/p202402";
    let right = fs::read(mount.at(partition).join("rows.jsonl")).unwrap();
    let last = segments(&mount, location.path(), partition).pop().unwrap();
    drop(mount);
    let mut bytes = fs::read(&last).unwrap();
    bytes[100] ^= 1;
    fs::write(&last, bytes).unwrap();
    let mount = mount_with(location.path(), |_| {});
    let mut file = fs::File::open(mount.at(partition).join("rows.jsonl")).unwrap();
    let mut read = Vec::new();
    assert_eq!(errno(file.read_to_end(&mut read)), libc::EIO);
    assert!(right.starts_with(&read) && read.len() < right.len(), "{} of {} bytes", read.len(), right.len());
    assert_eq!(errno(file.read(&mut [0; 10])), libc::EIO, "and stays so");
    let mut bytes = vec![0; read.len()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, read, "what comes before it can be read again");
    assert!(fs::read(mount.at("sr_hub_full/latest/orders/p202401/rows.csv")).is_ok(), "other partitions are sound");
}

#[test]
fn rows_of_what_is_not_whole_cannot_be_opened() {
    let location = copy("sr35/hub");
    let mount = mount_with(location.path(), |_| {});
    let p1 = mount.at(MEMBER).join("p1");
    let tablet = names(&p1).into_iter().find(|name| p1.join(name).is_dir()).unwrap();
    let remote = xattr(&p1.join(&tablet), "user.starsnap.path").unwrap();
    drop(mount);
    fs::remove_dir_all(location.path().join(remote)).unwrap();
    let mount = mount_with(location.path(), |_| {});
    for name in ["rows.csv", "rows.jsonl", "p1/rows.csv"] {
        assert_eq!(errno(fs::File::open(mount.at(MEMBER).join(name))), libc::EIO, "{name}");
    }
    assert!(!fs::read(mount.at(MEMBER).join("p2/rows.csv")).unwrap().is_empty());
    let (runtime, tree) = tree_of(location.path(), quick());
    let error = runtime.block_on(async {
        let node = tree.lookup(&format!("{MEMBER}/rows.csv")).await.unwrap();
        tree.content(node).await.unwrap_err()
    });
    let FsError::Rows { path, reason } = error else { panic!("{error}") };
    assert!(path.ends_with("/sr_member/rows.csv") && path.starts_with("sr_hub_full/2024-"), "{path}");
    assert!(reason.contains(&tablet), "{reason}");
}

#[test]
fn open_rows_are_bounded() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let path = mount.at(MEMBER).join("rows.csv");
    let mut open: Vec<_> = (0..32).map(|_| fs::File::open(&path).unwrap()).collect();
    assert_eq!(errno(fs::File::open(&path)), libc::ENFILE);
    assert!(fs::read(mount.at(MEMBER).join("table.json")).is_ok(), "other files are not concerned");
    open.truncate(10);
    let until = Instant::now() + Duration::from_secs(60);
    while fs::File::open(&path).is_err() {
        assert!(Instant::now() < until, "closed ones make room");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What stands in the tree, and what its names stand for.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_partition_has_files_of_rows() {
    let (_, tree) = far(&genuine("sr35/hub")).await;
    let list = async |path: &str| {
        let node = tree.lookup(path).await.unwrap();
        tree.children(node)
            .await
            .unwrap()
            .into_iter()
            .map(|child| (child.name.to_string(), child.kind))
            .collect::<Vec<_>>()
    };
    let incomplete = list("broken_upload/incomplete/sr_member").await;
    assert!(incomplete.iter().any(|(name, _)| name == "table.json"), "{incomplete:?}");
    assert!(incomplete.iter().all(|(name, _)| !name.starts_with("rows.")), "{incomplete:?}");
    for (name, kind) in list("sr_hub_full/latest/").await {
        if kind != NodeKind::Directory {
            continue;
        }
        let table = format!("sr_hub_full/latest/{name}");
        let inside = list(&table).await;
        for rows in ["rows.csv", "rows.jsonl"] {
            assert!(inside.contains(&(rows.to_owned(), NodeKind::File)), "{table}/{rows}");
        }
        for (partition, _) in inside.iter().filter(|(_, kind)| *kind == NodeKind::Directory) {
            let hidden = partition.starts_with('.');
            let inside = list(&format!("{table}/{partition}")).await;
            assert_eq!(inside.iter().any(|(name, _)| name == "rows.csv"), !hidden, "{table}/{partition}");
        }
    }
}
