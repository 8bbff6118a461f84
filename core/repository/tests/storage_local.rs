//! What only local disk has: symbolic links, devices, names that are not UTF-8, the fast path.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use starsnap_repository::error::ErrorKind;
use starsnap_repository::storage::{EntryKind, LocalStorage, Storage};
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

fn inside() -> (tempfile::TempDir, LocalStorage) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    fs::create_dir_all(dir.path().join("root/real")).unwrap();
    fs::write(dir.path().join("root/real/f"), "inside").unwrap();
    let storage = LocalStorage::open(dir.path().join("root")).unwrap();
    (dir, storage)
}

#[tokio::test]
async fn symbolic_links_are_never_followed() {
    let (dir, storage) = inside();
    let root = dir.path().join("root");
    symlink("../outside", root.join("out")).unwrap();
    symlink("../outside/secret", root.join("file")).unwrap();
    symlink("real", root.join("in")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    for path in ["out/secret", "file", "in/f", "loop", "loop/f", "out", "in"] {
        assert!(storage.read(path, 0..1).await.is_err(), "{path}");
        assert!(storage.read_all(path, 100).await.is_err(), "{path}");
        assert!(storage.list(path).await.is_err(), "{path}");
        assert!(storage.list_recursive(path).await.is_err(), "{path}");
        assert!(storage.copy(path, "copy").await.is_err(), "{path}");
        assert!(storage.local_file(path).unwrap().is_err(), "{path}");
    }
    assert_eq!(storage.read("file", 0..1).await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(storage.stat("file").await.unwrap().kind, EntryKind::Other);
    assert!(storage.stat("out/secret").await.is_err());
    assert!(storage.writer("out/new").await.is_err());
    assert!(storage.delete("out/secret").await.is_err() && dir.path().join("outside/secret").exists());
    let mut found: Vec<_> = storage.list_recursive("").await.unwrap().into_iter().map(|e| (e.path, e.kind)).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let other = |name: &str| (name.to_owned(), EntryKind::Other);
    let expected = [other("file"), other("in"), other("loop"), other("out"), ("real/f".to_owned(), EntryKind::File)];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_write_replaces_a_link_instead_of_writing_through_it() {
    let (dir, storage) = inside();
    let root = dir.path().join("root");
    symlink("../outside/secret", root.join("target")).unwrap();
    symlink("../outside/secret", root.join("target.part")).unwrap();
    let mut writer = storage.writer("target").await.unwrap();
    writer.write(Bytes::from_static(b"mine")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(fs::read(root.join("target")).unwrap(), b"mine");
    assert_eq!(fs::read(dir.path().join("outside/secret")).unwrap(), b"secret");
    assert!(!root.join("target.part").exists());
}

#[tokio::test]
async fn the_location_itself_may_be_a_link() {
    let (dir, _) = inside();
    symlink("root", dir.path().join("link")).unwrap();
    let storage = LocalStorage::open(dir.path().join("link")).unwrap();
    assert_eq!(storage.read_all("real/f", 10).await.unwrap(), b"inside".as_slice());
}

#[tokio::test]
async fn a_fifo_is_listed_as_other_and_never_waited_for() {
    let (dir, storage) = inside();
    let fifo = dir.path().join("root/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(storage.stat("fifo").await.unwrap().kind, EntryKind::Other);
    assert_eq!(storage.read("fifo", 0..1).await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(storage.read_all("real", 10).await.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn names_that_are_not_utf8_are_shown_as_other() {
    let (dir, storage) = inside();
    fs::write(dir.path().join("root").join(OsStr::from_bytes(b"bad\xff")), "x").unwrap();
    fs::create_dir(dir.path().join("root").join(OsStr::from_bytes(b"dir\xfe"))).unwrap();
    let listed = storage.list("").await.unwrap();
    let others: Vec<_> = listed.iter().filter(|e| e.kind == EntryKind::Other).map(|e| e.path.as_str()).collect();
    assert_eq!(others.len(), 2, "{listed:?}");
    assert!(others.iter().all(|path| path.contains('\u{fffd}')));
    assert_eq!(storage.list_recursive("").await.unwrap().len(), 3);
}

#[tokio::test]
async fn refusals_of_the_system_are_told_apart() {
    let (dir, storage) = inside();
    let missing = LocalStorage::open(dir.path().join("nowhere")).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert!(missing.to_string().contains("nowhere"), "{missing}");
    assert_eq!(LocalStorage::open(dir.path().join("root/real/f")).unwrap_err().kind, ErrorKind::NotFound);
    let long = "n".repeat(300);
    assert_eq!(storage.stat(&long).await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(storage.writer("real/f/g").await.map(drop).unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_file_can_be_opened_past_the_trait() {
    let (_dir, storage) = inside();
    let mut text = String::new();
    storage.local_file("real/f").unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "inside");
}

#[tokio::test]
async fn deep_trees_end_the_walk_in_bounded_depth() {
    let (dir, storage) = inside();
    let mut path = dir.path().join("root/deep");
    for _ in 0..100 {
        path.push("d");
    }
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("f"), "x").unwrap();
    let listed = storage.list_recursive("deep").await.unwrap();
    assert_eq!(listed.iter().map(|e| e.kind).collect::<Vec<_>>(), [EntryKind::Other]);
}

#[tokio::test]
async fn a_wide_tree_is_listed_whole_and_fast() {
    let (dir, storage) = inside();
    let root = dir.path().join("root/many");
    for tablet in 0..800 {
        let tablet = root.join(format!("p{}/t{tablet}", tablet % 40));
        fs::create_dir_all(&tablet).unwrap();
        for file in 0..25 {
            fs::File::create(tablet.join(format!("{file}.dat"))).unwrap();
        }
    }
    // Beside one walk after another on the same tree, of which the quickest counts: other tests may load the machine.
    let walk = || {
        let start = std::time::Instant::now();
        let (mut files, mut left) = (0, vec![root.clone()]);
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
                match entry.metadata().unwrap().is_dir() {
                    true => left.push(entry.path()),
                    false => files += 1,
                }
            }
        }
        assert_eq!(files, 20_000);
        start.elapsed()
    };
    let mut best = (std::time::Duration::MAX, std::time::Duration::MAX);
    for _ in 0..5 {
        let start = std::time::Instant::now();
        storage.list_recursive("many").await.unwrap();
        best = (best.0.min(start.elapsed()), best.1.min(walk()));
    }
    let listed = storage.list_recursive("many").await.unwrap();
    let names: std::collections::BTreeSet<_> = listed.iter().map(|e| e.path.as_str()).collect();
    assert_eq!((listed.len(), names.len()), (20_000, 20_000));
    assert!(best.0 < 3 * best.1, "{:?}, but {:?} one directory after another", best.0, best.1);
}
