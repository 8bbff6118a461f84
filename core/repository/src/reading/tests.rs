#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Readers against the bytes they should give, over stores that fail, stall and cut off.

mod faulty;
mod model;

use super::*;
use crate::md5;
use bytes::Bytes;
use faulty::{Faulty, Trouble};
use futures::StreamExt as _;
use std::path::Path;

const MIB: usize = 1 << 20;

fn bytes(length: usize) -> Vec<u8> {
    let mut state = length as u32 | 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn reading(memory: u64) -> Reading {
    Reading::new(&ReadOptions { memory, disk: None, patience: Duration::from_secs(20) }).unwrap()
}

fn on_disk(memory: u64, dir: &Path, size: u64) -> Reading {
    let disk = Some((dir.to_owned(), size));
    Reading::new(&ReadOptions { memory, disk, patience: Duration::from_secs(20) }).unwrap()
}

fn file(path: &str, bytes: &[u8]) -> StoredFile {
    StoredFile { path: path.into(), size: bytes.len() as u64, md5: Some(md5::of(bytes)), modified: None }
}

async fn whole(reader: &FileReader, step: u64) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while (all.len() as u64) < reader.size() {
        let at = all.len() as u64;
        all.extend_from_slice(&reader.read(at..reader.size().min(at + step)).await?);
    }
    Ok(all)
}

#[tokio::test]
async fn a_block_is_fetched_once_for_all_who_want_it() {
    let data = bytes(MIB);
    let store = Faulty::new(&[("f", &data)]);
    store.trouble(Trouble { slow_millis: 30, ..Trouble::default() });
    let reading = reading(32 << 20);
    let readers: Vec<_> = (0..20).map(|_| reading.open(store.clone(), file("f", &data), Access::Any)).collect();
    let reads = readers.iter().map(|reader| reader.read(600_000..700_000));
    for read in futures::future::join_all(reads).await {
        assert_eq!(read.unwrap(), data[600_000..700_000]);
    }
    assert_eq!(store.requests(), 1);
    assert_eq!(reading.usage().fetched, BLOCK);
}

#[tokio::test]
async fn files_with_the_same_md5_are_one_and_others_are_not() {
    let (one, other) = (bytes(MIB), bytes(MIB + 1));
    let store = Faulty::new(&[("a", &one), ("b", &one), ("c", &other)]);
    let reading = reading(32 << 20);
    for (path, data) in [("a", &one), ("b", &one), ("c", &other)] {
        let reader = reading.open(store.clone(), file(path, data), Access::Any);
        assert_eq!(reader.read(0..data.len() as u64).await.unwrap(), *data);
    }
    assert_eq!(reading.usage().fetched, (one.len() + other.len()) as u64);
    // Without an md5, the modification time tells two contents apart.
    let stamped = |seconds: Option<u64>| StoredFile {
        path: "a".into(),
        size: MIB as u64,
        md5: None,
        modified: seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
    };
    for (stamp, fetched) in [(Some(1), 1), (Some(1), 0), (Some(2), 1), (None, 1), (None, 1)] {
        let before = reading.usage().fetched;
        let reader = reading.open(store.clone(), stamped(stamp), Access::Any);
        assert_eq!(reader.read(0..10).await.unwrap(), one[..10]);
        drop(reader);
        let least = fetched * BLOCK;
        let more = reading.usage().fetched - before;
        assert!(if fetched == 0 { more == 0 } else { more >= least }, "{stamp:?}: {more}");
    }
}

#[tokio::test]
async fn failures_reach_all_who_wait_and_are_not_kept() {
    let data = bytes(MIB);
    let store = Faulty::new(&[("f", &data)]);
    store.trouble(Trouble { fail_permille: 1000, slow_millis: 20, ..Trouble::default() });
    let reading = reading(32 << 20);
    let readers: Vec<_> = (0..8).map(|_| reading.open(store.clone(), file("f", &data), Access::Any)).collect();
    for read in futures::future::join_all(readers.iter().map(|reader| reader.read(600_000..600_010))).await {
        assert_eq!(read.unwrap_err().kind, ErrorKind::Unavailable);
    }
    assert!(store.requests() <= 2, "{}", store.requests());
    store.trouble(Trouble::default());
    assert_eq!(readers[0].read(600_000..600_010).await.unwrap(), data[600_000..600_010]);
}

#[tokio::test]
async fn a_fetch_that_is_given_up_strands_nobody() {
    let data = bytes(MIB);
    let store = Faulty::new(&[("f", &data)]);
    store.trouble(Trouble { slow_millis: 50, ..Trouble::default() });
    let reading = reading(32 << 20);
    let open = || reading.open(store.clone(), file("f", &data), Access::Any);
    let (first, second) = (open(), open());
    let leader = tokio::spawn(async move { first.read(600_000..600_010).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let follower = tokio::spawn(async move { second.read(600_000..600_010).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    leader.abort();
    assert_eq!(follower.await.unwrap().unwrap(), data[600_000..600_010]);
}

#[tokio::test]
async fn a_stalled_store_is_an_error_in_bounded_time() {
    let data = bytes(MIB);
    let store = Faulty::new(&[("f", &data)]);
    store.trouble(Trouble { stall: true, ..Trouble::default() });
    let options = ReadOptions { memory: 16 << 20, disk: None, patience: Duration::from_millis(100) };
    let reading = Reading::new(&options).unwrap();
    let reader = reading.open(store.clone(), file("f", &data), Access::Checked);
    let error = reader.read(0..10).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    // Those who wait for memory are no worse off.
    let readers: Vec<_> = (0..40).map(|_| reading.open(store.clone(), stranger(&data), Access::Any)).collect();
    for read in futures::future::join_all(readers.iter().map(|reader| reader.read(0..1 << 20))).await {
        assert_eq!(read.unwrap_err().kind, ErrorKind::Unavailable);
    }
    drop((reader, readers));
    store.trouble(Trouble::default());
    // With so little patience a busy machine may need more than one try.
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let read = loop {
        let reader = reading.open(store.clone(), file("f", &data), Access::Checked);
        match whole(&reader, 128 << 10).await {
            Err(error) if error.kind == ErrorKind::Unavailable && std::time::Instant::now() < until => {}
            read => break read,
        }
    };
    assert_eq!(read.unwrap(), data);
}

fn stranger(data: &[u8]) -> StoredFile {
    StoredFile { md5: None, ..file("f", data) }
}

#[tokio::test]
async fn a_closed_file_is_fetched_no_further() {
    let data = bytes(64 * MIB);
    let store = Faulty::new(&[("f", &data)]);
    store.trouble(Trouble { slow_millis: 20, ..Trouble::default() });
    let reading = reading(256 << 20);
    let reader = reading.open(store.clone(), file("f", &data), Access::Once);
    reader.read(0..10).await.unwrap();
    drop(reader);
    tokio::time::sleep(Duration::from_millis(30)).await;
    let (requests, used) = (store.requests(), reading.usage().used);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(store.requests(), requests);
    assert!(used < 64 << 20, "{used}");
}

#[tokio::test]
async fn a_wrong_md5_fails_the_read_that_completes_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = bytes(3 * MIB + 77);
    let mut wrong = data.clone();
    wrong[2 * MIB] ^= 1;
    for order in ["in order", "slightly out of order", "with a gap"] {
        let store = Faulty::new(&[("f", &wrong)]);
        let reading = on_disk(32 << 20, dir.path(), 64 << 20);
        let reader = reading.open(store.clone(), file("f", &data), Access::Checked);
        let mut steps: Vec<u64> = (0..data.len() as u64).step_by(128 << 10).collect();
        match order {
            "slightly out of order" => steps.chunks_mut(4).for_each(|group| group.reverse()),
            "with a gap" => drop(steps.remove(3)),
            _ => {}
        }
        let mut failed = 0;
        for at in steps {
            let end = (at + (128 << 10)).min(data.len() as u64);
            match reader.read(at..end).await {
                Ok(bytes) => assert_eq!(bytes, wrong[at as usize..end as usize]),
                Err(error) => {
                    failed += 1;
                    assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
                }
            }
        }
        if order == "with a gap" {
            assert!(!reader.damaged(), "nothing is known");
            continue;
        }
        assert_eq!((failed, reader.damaged()), (1, true), "{order}");
        assert!(reader.read(0..10).await.is_err(), "a damaged file stays damaged");
        drop(reader);
        // Neither cache still has it: what is right now is what is read.
        let store = Faulty::new(&[("f", &data)]);
        let reader = reading.open(store, file("f", &data), Access::Checked);
        assert_eq!(whole(&reader, 200_000).await.unwrap(), data, "{order}");
        drop(reading);
        std::fs::remove_dir_all(dir.path().join("starsnap-blocks-1")).unwrap();
    }
}

#[tokio::test]
async fn what_was_dropped_before_its_turn_is_fetched_again_for_the_md5() {
    let data = bytes(40 * MIB);
    let mut wrong = data.clone();
    wrong[20 * MIB] ^= 1;
    let step = MIB as u64;
    for stored in [&data, &wrong] {
        let store = Faulty::new(&[("f", stored)]);
        // Less than lies between the first piece and the others that come before it.
        let reading = reading(LEAST_MEMORY);
        let reader = reading.open(store.clone(), file("f", &data), Access::Checked);
        for at in (MIB as u64..30 * MIB as u64).step_by(MIB) {
            assert!(reader.read(at..at + step).await.unwrap() == stored[at as usize..at as usize + MIB]);
        }
        assert!(reader.read(0..step).await.unwrap() == stored[..MIB]);
        // The store is away while the rest is taken into the digest: who reads the last piece hears of it, and may try again.
        store.trouble(Trouble { fail_permille: 1000, ..Trouble::default() });
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.trouble(Trouble::default());
        let mut last = Ok(Bytes::new());
        for at in (30 * MIB as u64..40 * MIB as u64).step_by(MIB) {
            assert!(last.is_ok());
            last = reader.read(at..at + step).await;
        }
        if last.as_ref().is_err_and(|error| error.kind == ErrorKind::Unavailable) {
            last = reader.read(39 * step..40 * step).await;
        }
        assert_eq!(last.is_ok(), *stored == data);
        assert_eq!(reader.damaged(), *stored != data);
        let usage = reading.usage();
        assert!(usage.peak <= usage.memory, "{usage:?}");
    }
}

#[tokio::test]
async fn a_truncated_file_is_damaged_only_where_it_ends() {
    let data = bytes(4 * MIB);
    let store = Faulty::new(&[("f", &data[..3 * MIB])]);
    let reading = reading(32 << 20);
    let reader = reading.open(store, file("f", &data), Access::Any);
    let step = 128 << 10;
    for at in (0..4 * MIB as u64).step_by(step) {
        let read = reader.read(at..at + step as u64).await;
        if at + step as u64 <= 3 * MIB as u64 {
            assert_eq!(read.unwrap(), data[at as usize..at as usize + step]);
        } else {
            assert_eq!(read.unwrap_err().kind, ErrorKind::Damaged);
        }
    }
    assert_eq!(reader.read(0..5 << 20).await.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn what_is_read_in_sequence_takes_few_requests() {
    let data = bytes(64 * MIB);
    let store = Faulty::new(&[("f", &data)]);
    let reading = reading(256 << 20);
    let reader = reading.open(store.clone(), file("f", &data), Access::Checked);
    assert_eq!(whole(&reader, 128 << 10).await.unwrap(), data);
    assert!(store.requests() < 64, "{}", store.requests());
    assert_eq!(reading.usage().fetched, data.len() as u64, "nothing is fetched twice");
    drop(reader);
    // Again: from memory.
    let reader = reading.open(store.clone(), file("f", &data), Access::Checked);
    let requests = store.requests();
    assert_eq!(whole(&reader, 128 << 10).await.unwrap(), data);
    assert_eq!(store.requests(), requests);
}

/// As a kernel reads ahead: many reads under way at once, of a file that memory does not hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_digest_finds_what_was_fetched_for_him() {
    let data = bytes(128 * MIB);
    let store = Faulty::new(&[("f", &data)]);
    store.trouble(Trouble { slow_millis: 5, ..Trouble::default() });
    let reading = reading(80 << 20);
    let reader = reading.open(store.clone(), file("f", &data), Access::Checked);
    let steps = futures::stream::iter((0..data.len() as u64).step_by(MIB));
    let mut reads = steps.map(|at| reader.read(at..at + MIB as u64)).buffered(16);
    let mut at = 0;
    while let Some(read) = reads.next().await {
        assert!(read.unwrap() == data[at..at + MIB], "{at}");
        at += MIB;
    }
    let fetched = reading.usage().fetched;
    // Memory goes by whole requests, of which a part may still be wanted.
    assert!(fetched <= data.len() as u64 * 6 / 5, "{fetched} of {} bytes", data.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_with_little_memory_all_end_within_it() {
    let data: Vec<Vec<u8>> = (0..24).map(|n| bytes(2 * MIB + n * 1000)).collect();
    let names: Vec<String> = (0..data.len()).map(|n| format!("f{n}")).collect();
    let store = Faulty::new(&names.iter().map(String::as_str).zip(data.iter().map(Vec::as_slice)).collect::<Vec<_>>());
    let reading = reading(LEAST_MEMORY);
    let tasks = names.iter().zip(&data).map(|(name, data)| {
        let reader = reading.open(store.clone(), file(name, data), Access::Checked);
        let data = data.clone();
        tokio::spawn(async move { assert!(whole(&reader, 1 << 20).await.unwrap() == data) })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let usage = reading.usage();
    assert!(usage.peak <= usage.memory, "{usage:?}");
    assert!(store.most_held() <= LEAST_MEMORY, "{} bytes were asked for at once", store.most_held());
}

#[tokio::test]
async fn one_slow_reader_does_not_starve_the_rest() {
    let data: Vec<Vec<u8>> = (0..4).map(|n| bytes(24 * MIB + n)).collect();
    let store = Faulty::new(&[("0", &data[0]), ("1", &data[1]), ("2", &data[2]), ("3", &data[3])]);
    let reading = reading(LEAST_MEMORY);
    let slow: Vec<_> =
        (0..3).map(|n| reading.open(store.clone(), file(&n.to_string(), &data[n]), Access::Any)).collect();
    for reader in &slow {
        for at in (0..4 * MIB as u64).step_by(128 << 10) {
            reader.read(at..at + (128 << 10)).await.unwrap();
        }
    }
    // They read no further, and keep what was fetched for them only until somebody needs the memory.
    let quick = reading.open(store.clone(), file("3", &data[3]), Access::Checked);
    assert!(whole(&quick, 128 << 10).await.unwrap() == data[3]);
    for reader in &slow {
        assert!(reader.read(4 * MIB as u64..5 * MIB as u64).await.is_ok());
    }
}

#[tokio::test]
async fn so_little_memory_is_refused() {
    let options = ReadOptions { memory: LEAST_MEMORY - 1, ..ReadOptions::default() };
    assert_eq!(Reading::new(&options).unwrap_err().kind, ErrorKind::Invalid);
}

/// Two stored files with the same md5 in their names, the first of which is damaged.
fn twins() -> (Arc<Faulty>, [Vec<u8>; 2], [StoredFile; 2]) {
    let sound = bytes(3 * MIB);
    let mut spoiled = sound.clone();
    spoiled[MIB] ^= 1;
    let store = Faulty::new(&[("spoiled", &spoiled), ("sound", &sound)]);
    let files = ["spoiled", "sound"].map(|path| file(path, &sound));
    (store, [spoiled, sound], files)
}

#[tokio::test]
async fn what_was_read_of_a_damaged_twin_is_not_a_file_s_own() {
    let (store, data, files) = twins();
    let dir = tempfile::tempdir().unwrap();
    let reading = on_disk(64 << 20, dir.path(), 64 << 20);
    let read =
        async |file: &StoredFile, access| whole(&reading.open(store.clone(), file.clone(), access), 1 << 18).await;
    for (first, second) in [(0, 1), (1, 0)] {
        assert!(read(&files[first], Access::Any).await.unwrap() == data[first]);
        assert!(read(&files[second], Access::Own).await.unwrap() == data[second]);
        reading.forget(store.clone(), files[first].clone()).await;
    }
    // To who reads it otherwise both are one file, which is found damaged, forgotten, and then right.
    read(&files[0], Access::Any).await.unwrap();
    assert_eq!(read(&files[1], Access::Checked).await.unwrap_err().kind, ErrorKind::Damaged);
    assert!(read(&files[1], Access::Checked).await.unwrap() == data[1]);
}

#[tokio::test]
async fn what_is_read_once_is_taken_from_disk_and_not_kept_there() {
    let (store, [_, data], [_, sound]) = twins();
    let dir = tempfile::tempdir().unwrap();
    let fetched = async |access| {
        let reading = on_disk(64 << 20, dir.path(), 64 << 20);
        assert!(whole(&reading.open(store.clone(), sound.clone(), access), 1 << 18).await.unwrap() == data);
        // What is on its way to the disk is there when this can be forgotten.
        reading.forget(store.clone(), StoredFile { path: "other".into(), size: 1, md5: None, modified: None }).await;
        reading.usage().fetched
    };
    let all = data.len() as u64;
    assert_eq!(fetched(Access::Once).await, all);
    assert_eq!(fetched(Access::Own).await, all);
    assert_eq!(fetched(Access::Checked).await, all, "nothing was kept");
    assert_eq!(fetched(Access::Once).await, 0);
    assert_eq!(fetched(Access::Own).await, all, "nothing of others is taken");
}
