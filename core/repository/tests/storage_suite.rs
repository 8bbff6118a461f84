//! What every store must do alike. A store joins by adding itself to [`stores`], one on a server by its file in `STARSNAP_TEST_STORES`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use proptest::prelude::*;
use starsnap_repository::Location;
use starsnap_repository::error::{ErrorKind, Result};
use starsnap_repository::storage::{EntryKind, LocalStorage, ObjectStorage, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[path = "support/s3_server.rs"]
mod s3_server;

#[path = "support/test_stores.rs"]
mod test_stores;

use test_stores::TestStore;

/// A store under test, empty, and what must outlive it.
struct Store {
    name: String,
    storage: Arc<dyn Storage>,
    _dir: Option<tempfile::TempDir>,
}

impl Store {
    fn new(name: &str, storage: impl Storage + 'static) -> Store {
        Store { name: name.to_owned(), storage: Arc::new(storage), _dir: None }
    }

    fn within(self, dir: tempfile::TempDir) -> Store {
        Store { _dir: Some(dir), ..self }
    }
}

fn stores() -> Vec<Store> {
    here().into_iter().chain(on_servers()).collect()
}

/// Stores that this process serves itself.
fn here() -> Vec<Store> {
    let local = tempfile::tempdir().unwrap();
    let disk = tempfile::tempdir().unwrap();
    let fs = opendal::services::Fs::default().root(disk.path().to_str().unwrap());
    let fs = opendal::Operator::new(fs).unwrap();
    let memory = opendal::Operator::new(opendal::services::Memory::default()).unwrap();
    let s3 = s3_server::Server::start().location("some/where").storage().unwrap();
    vec![
        Store::new("local", LocalStorage::open(local.path()).unwrap()).within(local),
        Store::new("opendal fs", ObjectStorage::new(fs, "fs")).within(disk),
        Store::new("opendal memory", ObjectStorage::new(memory, "memory")),
        Store { name: "S3 in this process".to_owned(), storage: s3, _dir: None },
    ]
}

/// Those of `STARSNAP_TEST_STORES`.
fn on_servers() -> Vec<Store> {
    let given = TestStore::all();
    TestStore::set_environment(&given);
    given
        .into_iter()
        .map(|store| {
            let location = Location::with_properties(&store.fresh(), &store.properties).unwrap();
            let storage = location.make().unwrap_or_else(|error| panic!("{}: {error}", store.name));
            Store { name: store.name, storage, _dir: None }
        })
        .collect()
}

async fn put(store: &Store, path: &str, bytes: &[u8]) {
    let mut writer = store.storage.writer(path).await.unwrap();
    // Two pieces, so that appending is tested by every test.
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    writer.write(Bytes::copy_from_slice(head)).await.unwrap();
    writer.write(Bytes::copy_from_slice(tail)).await.unwrap();
    writer.finish().await.unwrap();
}

fn kind<T: std::fmt::Debug>(store: &Store, result: Result<T>) -> ErrorKind {
    match result {
        Ok(value) => panic!("{}: an error was due, but there is {value:?}", store.name),
        Err(error) => error.kind,
    }
}

async fn names(store: &Store, dir: &str) -> Vec<(String, EntryKind, u64)> {
    let listed = store.storage.list(dir).await.unwrap();
    let mut names: Vec<_> = listed.into_iter().map(|entry| (entry.path, entry.kind, entry.size)).collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    names
}

async fn below(store: &Store, dir: &str) -> Vec<(String, u64)> {
    let listed = store.storage.list_recursive(dir).await.unwrap();
    assert!(listed.iter().all(|entry| entry.kind == EntryKind::File), "{}: {listed:?}", store.name);
    let mut names: Vec<_> = listed.into_iter().map(|entry| (entry.path, entry.size)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_comes_back_as_it_was_written() {
    for store in stores() {
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        put(&store, "a/b c/ü.dat", &bytes).await;
        put(&store, "empty", b"").await;
        let storage = &store.storage;
        assert_eq!(storage.read_all("a/b c/ü.dat", 400_000).await.unwrap(), bytes, "{}", store.name);
        assert_eq!(storage.read_all("empty", 0).await.unwrap(), b"".as_slice());
        assert_eq!(storage.read("a/b c/ü.dat", 7..4_099).await.unwrap(), bytes[7..4_099]);
        assert_eq!(storage.read("a/b c/ü.dat", 399_999..400_000).await.unwrap(), bytes[399_999..]);
        assert_eq!(storage.read("a/b c/ü.dat", 400_000..400_000).await.unwrap(), b"".as_slice());
        let entry = storage.stat("a/b c/ü.dat").await.unwrap();
        assert_eq!((entry.path.as_str(), entry.kind, entry.size), ("a/b c/ü.dat", EntryKind::File, 400_000));
        assert_eq!(entry.name(), "ü.dat");
    }
}

#[tokio::test]
async fn a_read_gives_every_byte_or_says_damaged() {
    for store in stores() {
        put(&store, "f", b"0123456789").await;
        for range in [0..11, 9..12, 10..11, 11..11, 20..30, 0..u64::MAX, (1 << 40)..(1 << 41)] {
            let read = store.storage.read("f", range.clone()).await;
            assert_eq!(kind(&store, read), ErrorKind::Damaged, "{} {range:?}", store.name);
        }
        #[allow(clippy::reversed_empty_ranges)]
        let read = store.storage.read("f", 5..4).await;
        assert_eq!(kind(&store, read), ErrorKind::Invalid, "{}", store.name);
    }
}

#[tokio::test]
async fn a_whole_read_is_bounded() {
    for store in stores() {
        put(&store, "f", b"0123456789").await;
        assert_eq!(kind(&store, store.storage.read_all("f", 9).await), ErrorKind::Damaged, "{}", store.name);
        assert_eq!(store.storage.read_all("f", 10).await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    for store in stores() {
        put(&store, "dir/f", b"x").await;
        for path in ["g", "dir/g", "none/g", "dir/f/g", "di", "dir/"] {
            let path = path.trim_end_matches('/');
            let storage = &store.storage;
            if path != "dir" {
                assert_eq!(kind(&store, storage.stat(path).await), ErrorKind::NotFound, "{} {path}", store.name);
                assert_eq!(kind(&store, storage.list(path).await), ErrorKind::NotFound, "{} {path}", store.name);
                let listed = storage.list_recursive(path).await;
                assert_eq!(kind(&store, listed), ErrorKind::NotFound, "{} {path}", store.name);
                assert_eq!(kind(&store, storage.read(path, 0..1).await), ErrorKind::NotFound, "{} {path}", store.name);
                assert_eq!(kind(&store, storage.read_all(path, 9).await), ErrorKind::NotFound);
                let copied = storage.copy(path, "copy").await;
                assert_eq!(kind(&store, copied), ErrorKind::NotFound, "{} {path}", store.name);
            }
        }
        assert_eq!(kind(&store, store.storage.list("dir/f").await), ErrorKind::NotFound, "{}", store.name);
        assert_eq!(below(&store, "").await, [("dir/f".to_owned(), 1)], "{}", store.name);
    }
}

#[tokio::test]
async fn paths_that_are_not_plainly_below_the_root_are_refused() {
    let hostile = ["../x", "a/../x", "a/..", "..", ".", "./a", "a/./b", "/etc/passwd", "/", "a//b", "a/", "a\0b", "\0"];
    for store in stores() {
        put(&store, "a/b", b"x").await;
        let long = "a/".repeat(4_000) + "b";
        for path in hostile.iter().copied().chain([long.as_str()]) {
            let storage = &store.storage;
            assert_eq!(kind(&store, storage.list(path).await), ErrorKind::Invalid, "{} {path:?}", store.name);
            assert_eq!(kind(&store, storage.list_recursive(path).await), ErrorKind::Invalid);
            assert_eq!(kind(&store, storage.stat(path).await), ErrorKind::Invalid);
            assert_eq!(kind(&store, storage.read(path, 0..1).await), ErrorKind::Invalid);
            assert_eq!(kind(&store, storage.read_all(path, 1).await), ErrorKind::Invalid);
            assert_eq!(kind(&store, storage.writer(path).await.map(drop)), ErrorKind::Invalid);
            assert_eq!(kind(&store, storage.copy(path, "c").await), ErrorKind::Invalid);
            assert_eq!(kind(&store, storage.copy("a/b", path).await), ErrorKind::Invalid);
            assert_eq!(kind(&store, storage.delete(path).await), ErrorKind::Invalid);
            if let Some(opened) = storage.local_file(path) {
                assert_eq!(kind(&store, opened), ErrorKind::Invalid);
            }
        }
        assert_eq!(kind(&store, store.storage.writer("").await.map(drop)), ErrorKind::Invalid);
        assert_eq!(kind(&store, store.storage.delete("").await), ErrorKind::Invalid);
        assert_eq!(below(&store, "").await, [("a/b".to_owned(), 1)], "{}", store.name);
    }
}

#[tokio::test]
async fn a_listing_shows_one_level_and_a_recursive_one_all_files() {
    for store in stores() {
        for path in ["x/1", "x/2.part", "x/y/3", "x/y/z/4", "xx/5", "x y/6", "7"] {
            put(&store, path, path.as_bytes()).await;
        }
        let size = |path: &str| path.len() as u64;
        let top = [("7", true), ("x", false), ("x y", false), ("xx", false)];
        let shown = |entries: &[(&str, bool)]| -> Vec<_> {
            entries
                .iter()
                .map(|(path, file)| match file {
                    true => ((*path).to_owned(), EntryKind::File, size(path)),
                    false => ((*path).to_owned(), EntryKind::Directory, 0),
                })
                .collect()
        };
        assert_eq!(names(&store, "").await, shown(&top), "{}", store.name);
        assert_eq!(names(&store, "x").await, shown(&[("x/1", true), ("x/2.part", true), ("x/y", false)]));
        let files: Vec<_> = ["x/1", "x/2.part", "x/y/3", "x/y/z/4"].map(|path| (path.to_owned(), size(path))).into();
        assert_eq!(below(&store, "x").await, files, "{}", store.name);
        assert_eq!(below(&store, "").await.len(), 7);
        assert_eq!(store.storage.stat("x").await.unwrap().kind, EntryKind::Directory, "{}", store.name);
        assert_eq!(store.storage.stat("").await.unwrap().kind, EntryKind::Directory, "{}", store.name);
    }
}

#[tokio::test]
async fn nothing_stands_under_the_name_before_the_end() {
    for store in stores() {
        let name = "dir/x.dat.0123456789abcdef0123456789abcdef";
        let mut writer = store.storage.writer(name).await.unwrap();
        writer.write(Bytes::from_static(b"half")).await.unwrap();
        assert_eq!(kind(&store, store.storage.stat(name).await), ErrorKind::NotFound, "{}", store.name);
        drop(writer);
        // Giving up may need the store's answer.
        for _ in 0..6_000 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            if !matches!(store.storage.list_recursive("").await, Ok(files) if !files.is_empty()) {
                break;
            }
        }
        assert_eq!(below(&store, "").await, [], "{}", store.name);
        put(&store, name, b"whole").await;
        assert_eq!(below(&store, "").await, [(name.to_owned(), 5)], "{}", store.name);
    }
}

#[tokio::test]
async fn a_rewrite_replaces_in_one_step() {
    for store in stores() {
        put(&store, "f", b"old").await;
        let mut writer = store.storage.writer("f").await.unwrap();
        writer.write(Bytes::from_static(b"newer")).await.unwrap();
        assert_eq!(store.storage.read_all("f", 9).await.unwrap(), b"old".as_slice(), "{}", store.name);
        writer.finish().await.unwrap();
        assert_eq!(store.storage.read_all("f", 9).await.unwrap(), b"newer".as_slice(), "{}", store.name);
    }
}

#[tokio::test]
async fn copy_and_delete() {
    for store in stores() {
        let bytes = vec![7; 300_000];
        put(&store, "a/f", &bytes).await;
        store.storage.copy("a/f", "b/c/g").await.unwrap();
        assert_eq!(store.storage.read_all("b/c/g", 300_000).await.unwrap(), bytes, "{}", store.name);
        store.storage.delete("a/f").await.unwrap();
        store.storage.delete("a/f").await.unwrap();
        store.storage.delete("nowhere/f").await.unwrap();
        assert_eq!(below(&store, "").await, [("b/c/g".to_owned(), 300_000)], "{}", store.name);
    }
}

#[tokio::test]
async fn many_writers_and_readers_at_once() {
    for store in stores() {
        let store = Arc::new(store);
        let tasks: Vec<_> = (0..40u8)
            .map(|n| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    put(&store, &format!("d{}/f{n}", n % 3), &vec![n; 1_000]).await;
                    store.storage.read_all(&format!("d{}/f{n}", n % 3), 1_000).await.unwrap()
                })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), vec![n as u8; 1_000], "{}", store.name);
        }
        assert_eq!(below(&store, "").await.len(), 40);
    }
}

/// Bytes that differ from block to block.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len as u64 / 8 + 1)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).to_le_bytes())
        .collect();
    bytes.truncate(len);
    bytes
}

async fn put_in_pieces(store: &Store, path: &str, bytes: &[u8]) {
    let mut writer = store.storage.writer(path).await.unwrap();
    for piece in bytes.chunks(3 << 20) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn assert_holds(store: &Store, path: &str, bytes: &[u8]) {
    assert_eq!(store.storage.stat(path).await.unwrap().size, bytes.len() as u64, "{}", store.name);
    for (number, block) in bytes.chunks(20 << 20).enumerate() {
        let start = (number * (20 << 20)) as u64;
        let read = store.storage.read(path, start..start + block.len() as u64).await.unwrap();
        assert!(read == block, "{}: the block at {start} differs", store.name);
    }
}

#[tokio::test]
async fn a_long_file_is_written_in_parts_and_read_in_ranges() {
    let bytes = noise((65 << 20) + 12_345);
    // The server in this process is met with the impatience of a second, which so much may outlast where the machine is busy.
    for store in stores().into_iter().filter(|store| store.name != "S3 in this process") {
        put_in_pieces(&store, "long/file.dat", &bytes).await;
        assert_holds(&store, "long/file.dat", &bytes).await;
        store.storage.delete("long/file.dat").await.unwrap();
    }
}

/// Longer than what is copied by one request; a store may not copy in parts.
#[tokio::test]
async fn a_long_file_is_copied() {
    let bytes = noise((256 << 20) + 4_321);
    for store in on_servers().into_iter().filter(|store| matches!(store.name.as_str(), "s3" | "gcs" | "minio")) {
        put_in_pieces(&store, "long/file.dat", &bytes).await;
        store.storage.copy("long/file.dat", "long/copy.dat").await.unwrap();
        assert_holds(&store, "long/copy.dat", &bytes).await;
        for path in ["long/file.dat", "long/copy.dat"] {
            store.storage.delete(path).await.unwrap();
        }
    }
}

/// A step of the property test. Paths come from a small set, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Write(String, Vec<u8>),
    GiveUp(String),
    Copy(String, String),
    Delete(String),
    Read(String, u64, u64),
}

fn paths() -> impl Strategy<Value = String> {
    // No path is another's directory: stores differ there.
    prop::sample::select(vec!["f", "d/f", "d/g", "d/e/f", "d/e/g.x", "é/f"]).prop_map(str::to_owned)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let step = prop_oneof![
        3 => (paths(), bytes).prop_map(|(path, bytes)| Step::Write(path, bytes)),
        1 => paths().prop_map(Step::GiveUp),
        2 => (paths(), paths()).prop_map(|(from, to)| Step::Copy(from, to)),
        1 => paths().prop_map(Step::Delete),
        3 => (paths(), 0..220u64, 0..220u64).prop_map(|(path, at, len)| Step::Read(path, at, at + len)),
    ];
    prop::collection::vec(step, 1..25)
}

async fn play(store: &Store, steps: &[Step]) {
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Write(path, bytes) => {
                put(store, path, bytes).await;
                model.insert(path.clone(), bytes.clone());
            }
            Step::GiveUp(path) => {
                let mut writer = store.storage.writer(path).await.unwrap();
                writer.write(Bytes::from_static(b"never")).await.unwrap();
            }
            Step::Copy(from, to) if from != to => match model.get(from).cloned() {
                Some(bytes) => {
                    store.storage.copy(from, to).await.unwrap();
                    model.insert(to.clone(), bytes);
                }
                None => assert_eq!(kind(store, store.storage.copy(from, to).await), ErrorKind::NotFound),
            },
            Step::Copy(..) => {}
            Step::Delete(path) => {
                store.storage.delete(path).await.unwrap();
                model.remove(path);
            }
            Step::Read(path, start, end) => {
                let read = store.storage.read(path, *start..*end).await;
                match model.get(path) {
                    None => assert_eq!(kind(store, read), ErrorKind::NotFound),
                    Some(bytes) => match bytes.get(*start as usize..*end as usize) {
                        Some(bytes) => assert_eq!(read.unwrap(), bytes),
                        None => assert_eq!(kind(store, read), ErrorKind::Damaged),
                    },
                }
            }
        }
        let listed = store.storage.list_recursive("").await.unwrap();
        // A writer that was given up may still be clearing away.
        let found: BTreeSet<_> = listed
            .into_iter()
            .filter(|e| !e.path.ends_with(".part") && !e.name().starts_with("_starsnap_"))
            .map(|e| (e.path, e.size))
            .collect();
        let expected: BTreeSet<_> = model.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
        assert_eq!(found, expected, "{}", store.name);
    }
}

fn play_on(stores: fn() -> Vec<Store>, steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for store in stores() {
            play(&store, steps).await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_store_behaves_like_a_map(steps in steps()) {
        play_on(here, &steps);
    }
}

proptest! {
    // Each step is several requests.
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_store_on_a_server_behaves_like_a_map(steps in steps()) {
        play_on(on_servers, &steps);
    }
}
