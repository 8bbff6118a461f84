//! The index cache: what is stored comes back; what is damaged, foreign or of another state of the repository never does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/fixtures.rs"]
mod support;

use starsnap_repository::cache::{CacheKey, IndexCache};
use starsnap_repository::{OpenSnapshot, md5};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use support::{Copy, GENUINE, files_below, genuine, open};

fn cache() -> (tempfile::TempDir, IndexCache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = IndexCache::new(dir.path().join("deep/cache"));
    (dir, cache)
}

fn entries(cache: &IndexCache) -> Vec<PathBuf> {
    if cache.dir.exists() { files_below(&cache.dir) } else { vec![] }
}

async fn opened(location: &Path, label: &str, cache: Option<&IndexCache>) -> OpenSnapshot {
    open(location).await.snapshot(label, None, cache).await.unwrap()
}

#[tokio::test]
async fn every_complete_snapshot_comes_back_equal() {
    let (_dir, cache) = cache();
    let mut complete = 0;
    for which in GENUINE {
        let repository = open(&genuine(which).join("location")).await;
        for label in repository.labels().await.unwrap() {
            let read = repository.snapshot(&label.name, None, None).await.unwrap();
            assert_eq!(repository.snapshot(&label.name, None, Some(&cache)).await.unwrap(), read);
            complete += label.timestamps.len();
            assert_eq!(entries(&cache).len(), complete, "{which} {}", label.name);
            assert_eq!(repository.snapshot(&label.name, None, Some(&cache)).await.unwrap(), read);
        }
    }
    assert_eq!(complete, 16);
}

#[tokio::test]
async fn the_second_opening_does_not_touch_the_content() {
    let (_dir, cache) = cache();
    let copy = Copy::of("sr35/hub", "sr_member_backup");
    let first = opened(copy.dir.path(), "sr_member_backup", Some(&cache)).await;
    fs::rename(copy.label.join("__ss_content"), copy.dir.path().join("away")).unwrap();
    assert_eq!(opened(copy.dir.path(), "sr_member_backup", Some(&cache)).await, first);
}

#[tokio::test]
async fn only_the_owner_reads_it() {
    let (_dir, cache) = cache();
    opened(&genuine("sr35/hub").join("location"), "sr_hub_full", Some(&cache)).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let entry = entries(&cache).remove(0);
    assert_eq!(mode(entry.parent().unwrap()), 0o700);
    assert_eq!(entries(&cache).iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
    // Where others could have written, nothing is believed, and nothing is changed.
    let (own, label) = (entry.parent().unwrap(), "sr_hub_full");
    fs::set_permissions(own, fs::Permissions::from_mode(0o755)).unwrap();
    let before = fs::metadata(&entry).unwrap().modified().unwrap();
    fs::rename(&entry, own.join("other")).unwrap();
    opened(&genuine("sr35/hub").join("location"), label, Some(&cache)).await;
    assert_eq!(mode(own), 0o755);
    assert_eq!(entries(&cache), [own.join("other")]);
    assert_eq!(fs::metadata(own.join("other")).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn what_else_is_in_the_directory_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let others: Vec<PathBuf> = (0..100).map(|n| dir.path().join(format!("{n}.index"))).collect();
    for path in others.iter().chain([&dir.path().join("download.part")]) {
        fs::write(path, "theirs").unwrap();
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
    let cache = IndexCache::new(dir.path());
    opened(&genuine("sr35/hub").join("location"), "sr_member_backup", Some(&cache)).await;
    assert_eq!(entries(&cache).len(), others.len() + 2);
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn a_damaged_entry_is_ignored_and_rewritten() {
    let (_dir, cache) = cache();
    let location = genuine("sr35/hub").join("location");
    let right = opened(&location, "sr_member_backup", Some(&cache)).await;
    let path = entries(&cache).remove(0);
    let good = fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> =
        vec![vec![], b"foreign".to_vec(), good[..20].to_vec(), good[..good.len() - 1].to_vec()];
    damaged.push([good.as_slice(), b"more"].concat());
    for at in [0, 9, 13, 25, 40, 100, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        damaged.push(bytes);
    }
    // A body that claims endless lengths, with the right checksum.
    let mut endless = good[..12].to_vec();
    let body = [0xff; 200];
    endless.extend((body.len() as u64).to_le_bytes());
    endless.extend(md5::of(&body).0);
    endless.extend(body);
    damaged.push(endless);
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(opened(&location, "sr_member_backup", Some(&cache)).await, right);
        assert_eq!(fs::read(&path).unwrap(), good);
    }
}

#[tokio::test]
async fn another_state_of_the_repository_is_another_entry() {
    let (_dir, cache) = cache();
    let copy = Copy::of("sr35/hub", "sr_member_backup");
    let first = opened(copy.dir.path(), "sr_member_backup", Some(&cache)).await;
    // The label is dropped, and another backup takes it.
    fs::remove_dir_all(&copy.label).unwrap();
    support::copy_tree(&Copy::of("sr35/hub", "sr_member_backup2").label, &copy.label);
    let second = opened(copy.dir.path(), "sr_member_backup", Some(&cache)).await;
    assert_ne!(second.tablets, first.tablets);
    assert_eq!(second.timestamp, "2024-08-17-23-59-59-999");
    // The same repository elsewhere is another one, too.
    let elsewhere = Copy::of("sr35/hub", "sr_member_backup");
    let count = entries(&cache).len();
    opened(elsewhere.dir.path(), "sr_member_backup", Some(&cache)).await;
    assert_eq!(entries(&cache).len(), count + 1);
}

#[tokio::test]
async fn a_snapshot_with_faults_is_not_kept_so_that_its_repair_is_seen() {
    let (_dir, cache) = cache();
    let copy = Copy::of("sr35/hub", "sr_member_backup");
    let file = copy.tablet_file(".hdr");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(!opened(copy.dir.path(), "sr_member_backup", Some(&cache)).await.problems.is_empty());
    assert_eq!(entries(&cache).len(), 0);
    fs::write(&file, bytes).unwrap();
    assert_eq!(opened(copy.dir.path(), "sr_member_backup", Some(&cache)).await.problems, [""; 0]);
    assert_eq!(entries(&cache).len(), 1);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let cache = IndexCache::new(dir.path().join("file/cache"));
    let snapshot = opened(&genuine("sr35/hub").join("location"), "sr_member_backup", Some(&cache)).await;
    assert!(!snapshot.tablets.is_empty());
}

#[tokio::test]
async fn old_entries_go_when_there_are_too_many() {
    let (_dir, cache) = cache();
    let snapshot = opened(&genuine("sr35/hub").join("location"), "sr_member_backup", None).await;
    let key = |n: usize| CacheKey {
        location: "x".to_owned(),
        root: String::new(),
        label: snapshot.label.clone(),
        timestamp: snapshot.timestamp.clone(),
        info: md5::of(&n.to_le_bytes()),
        meta: md5::of(b""),
    };
    for n in 0..70 {
        let start = std::time::SystemTime::now() - std::time::Duration::from_secs(1_000 - n as u64);
        cache.store(&key(n), snapshot.clone()).await;
        for path in entries(&cache) {
            let file = fs::File::open(&path).unwrap();
            if file.metadata().unwrap().modified().unwrap() > start + std::time::Duration::from_secs(100) {
                file.set_modified(start).unwrap();
            }
        }
    }
    assert_eq!(entries(&cache).len(), 64);
    assert!(cache.load(&key(0)).await.is_none() && cache.load(&key(5)).await.is_none());
    assert_eq!(cache.load(&key(69)).await, Some(snapshot.clone()));
    assert_eq!(cache.load(&key(6)).await, Some(snapshot));
}
