#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::super::pool::Pool;
use super::*;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{PermissionsExt, symlink};

const KEY: FileKey = FileKey([7; 16]);

fn fresh(parts: Vec<(u64, Bytes)>) -> Fresh {
    let permit = Pool::new(1 << 20).try_reserve(1).unwrap();
    Fresh { parts, _extent: Arc::new(Extent::new(Vec::new(), permit)) }
}

fn run(blocks: u64) -> Bytes {
    (0..blocks * BLOCK).map(|at| (at / 1000 % 251) as u8).collect::<Vec<_>>().into()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let directories = fs::read_dir(dir.join(OWN)).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let mut files: Vec<_> =
        directories.flat_map(|entry| fs::read_dir(entry.path()).unwrap().flatten()).map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_was_stored_is_loaded_by_another_and_nobody_else_may_look() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = run(3).slice(..(2 * BLOCK + 100) as usize);
    let size = 5 * BLOCK + 100;
    DiskCache::open(dir.path(), LEAST).unwrap().store(KEY, fresh(vec![(3, bytes.clone())])).await;
    let other = DiskCache::open(dir.path(), LEAST).unwrap();
    let found = other.load(KEY, 0..6, size).await;
    let expected: Vec<_> =
        bytes.chunks(BLOCK as usize).map(Bytes::copy_from_slice).zip(3u64..).map(|(b, n)| (n, b)).collect();
    assert_eq!(found, expected);
    assert!(other.load(FileKey([8; 16]), 0..6, size).await.is_empty());
    assert_eq!(fs::metadata(dir.path().join(OWN)).unwrap().mode() & 0o777, 0o700);
    for file in files(dir.path()) {
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    }
    other.forget(KEY, 0..6).await;
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn whatever_is_not_as_it_was_written_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(dir.path(), LEAST).unwrap();
    let bytes = run(1);
    cache.store(KEY, fresh(vec![(0, bytes.clone())])).await;
    let file = files(dir.path()).pop().unwrap();
    let right = fs::read(&file).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, &right).unwrap();
    for place in (0..right.len()).step_by(4099).chain(0..HEADER) {
        let mut wrong = right.clone();
        wrong[place] ^= 0x10;
        fs::write(&file, wrong).unwrap();
        assert!(cache.load(KEY, 0..1, BLOCK).await.is_empty(), "byte {place}");
        assert!(!file.exists(), "it is removed");
    }
    for length in [0, 5, HEADER, right.len() - 1] {
        fs::write(&file, &right[..length]).unwrap();
        assert!(cache.load(KEY, 0..1, BLOCK).await.is_empty(), "{length} bytes");
    }
    // A whole block of another file or place, a link, a directory.
    fs::write(&file, &right).unwrap();
    fs::rename(&file, cache.0.path(BlockKey { file: KEY, block: 1 })).unwrap();
    assert!(cache.load(KEY, 0..2, 2 * BLOCK).await.is_empty());
    symlink(&secret, &file).unwrap();
    assert!(cache.load(KEY, 0..1, BLOCK).await.is_empty());
    let _ = fs::remove_file(&file);
    fs::create_dir(&file).unwrap();
    assert!(cache.load(KEY, 0..1, BLOCK).await.is_empty());
    assert_eq!(fs::read(&secret).unwrap(), right, "nothing is removed through a link");
    fs::remove_dir(&file).unwrap();
    fs::write(&file, &right).unwrap();
    assert_eq!(cache.load(KEY, 0..1, BLOCK).await, [(0, bytes)]);
}

#[tokio::test]
async fn the_oldest_go_when_there_are_too_many_and_strangers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(dir.path(), LEAST).unwrap();
    let stranger = dir.path().join(OWN).join("07").join("a file of somebody");
    for block in 0..100 {
        cache.store(KEY, fresh(vec![(block, run(1))])).await;
        if block == 0 {
            fs::write(&stranger, "x").unwrap();
        }
        // Times on disk may be coarse: what is older must be seen to be.
        let path = cache.0.path(BlockKey { file: KEY, block });
        let stored = File::options().write(true).open(path).unwrap();
        stored.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + block)).unwrap();
    }
    let kept: u64 = files(dir.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!((LEAST / 2..=LEAST + LEAST / 8).contains(&kept), "{kept}");
    assert!(stranger.exists());
    assert!(cache.load(KEY, 0..1, 100 * BLOCK).await.is_empty());
    assert_eq!(cache.load(KEY, 99..100, 100 * BLOCK).await.len(), 1);
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_turns_it_off() {
    let dir = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(dir.path(), LEAST).unwrap();
    // A file stands where the block's directory should be: root may write anywhere else.
    fs::write(dir.path().join(OWN).join("07"), "").unwrap();
    cache.store(KEY, fresh(vec![(0, run(1))])).await;
    assert!(cache.0.off.load(Ordering::Relaxed));
    assert!(cache.load(KEY, 0..1, BLOCK).await.is_empty());
    cache.store(KEY, fresh(vec![(0, run(1))])).await;
    cache.store_later(KEY, fresh(vec![(0, run(1))]));
}

#[test]
fn directories_that_others_may_use_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join(OWN);
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(DiskCache::open(dir.path(), LEAST).is_err());
    fs::remove_dir(&own).unwrap();
    let target = tempfile::tempdir().unwrap();
    symlink(target.path(), &own).unwrap();
    assert!(DiskCache::open(dir.path(), LEAST).is_err());
    fs::remove_file(&own).unwrap();
    fs::write(&own, "").unwrap();
    assert!(DiskCache::open(dir.path(), LEAST).is_err());
    assert!(DiskCache::open(tempfile::tempdir().unwrap().path(), LEAST - 1).is_err());
}
