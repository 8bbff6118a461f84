//! Repositories on S3: a server in this process that checks signatures and fails when told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/s3_objects.rs"]
mod s3_objects;
#[path = "support/s3_server.rs"]
mod s3_server;
#[path = "support/fixtures.rs"]
mod support;

use bytes::Bytes;
use s3_objects::{noise, upload, write};
use s3_server::{EXTERNAL_ID, Fault, Moved, ROLE, SECRET, Server};
use starsnap_repository::error::{ErrorKind, RepositoryError};
use starsnap_repository::limiter::Limiter;
use starsnap_repository::storage::{Storage, digest};
use starsnap_repository::writer::{SnapshotWriter, init};
use starsnap_repository::{Location, OpenSnapshot, Repository};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::{GENUINE, fixtures, genuine, open, rows};

type Properties = Vec<(String, String)>;

fn with(mut properties: Properties, more: &[(&str, &str)]) -> Properties {
    for (name, value) in more {
        properties.retain(|(given, _)| given != name);
        properties.push(((*name).to_owned(), (*value).to_owned()));
    }
    properties
}

fn storage(properties: &Properties) -> Arc<dyn Storage> {
    Location::with_properties("s3a://bucket/dir", properties).unwrap().storage().unwrap()
}

async fn all(repository: &Repository) -> Vec<OpenSnapshot> {
    let mut all = Vec::new();
    for label in repository.labels().await.unwrap() {
        for timestamp in &label.timestamps {
            all.push(repository.snapshot(&label.name, Some(&timestamp.text), None).await.unwrap());
        }
    }
    all
}

#[tokio::test]
async fn genuine_repositories_are_the_same_as_on_disk() {
    let server = Server::start();
    for which in GENUINE {
        let dir = genuine(which).join("location");
        upload(&server, &dir, which);
        let repository = Repository::open(&server.location(which), None).await.unwrap();
        let on_disk = open(&dir).await;
        assert_eq!(repository.name(), on_disk.name());
        assert_eq!(repository.problems(), on_disk.problems());
        let expected: BTreeMap<String, u64> = rows(&genuine(which).join("tree.tsv"))
            .into_iter()
            .filter(|row| row[0].starts_with("__"))
            .map(|row| (row[0].clone(), row[1].parse().unwrap()))
            .collect();
        let listed = repository.storage().list_recursive("").await.unwrap();
        let listed: BTreeMap<_, _> =
            listed.into_iter().filter(|e| e.path.starts_with("__")).map(|e| (e.path, e.size)).collect();
        assert_eq!(listed, expected, "{which}");
        let (found, expected) = (all(&repository).await, all(&on_disk).await);
        assert!(found.len() == expected.len() && !found.is_empty());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.problems, expected.problems, "{which}");
            assert_eq!(found.info, expected.info);
            assert_eq!(format!("{:?}", found.catalog), format!("{:?}", expected.catalog));
            assert_eq!(format!("{:?}", found.tablets), format!("{:?}", expected.tablets));
        }
        // Every byte, by the md5 in its name.
        for snapshot in &found {
            for (tablet, file) in snapshot.tablets.iter().flat_map(|t| t.files.iter().map(move |file| (t, file))) {
                let path = repository.path(&snapshot.file_path(&tablet.key, file));
                assert_eq!(digest(repository.storage().as_ref(), &path, file.size).await.unwrap(), file.md5, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_repositorys_own_directory_and_markers_of_directories() {
    let server = Server::start();
    upload(&server, &genuine("sr35/hub").join("location"), "x");
    let root = server.keys().into_iter().find(|key| key.ends_with("/__repo_info")).unwrap();
    let root = root.trim_end_matches("/__repo_info").to_owned();
    // As Hadoop leaves them.
    for marker in ["x/".to_owned(), format!("{root}/"), format!("{root}/__ss_empty/")] {
        server.put(&marker, b"");
    }
    let whole = Repository::open(&server.location("x/"), None).await.unwrap();
    let own = Repository::open(&server.location(&root), None).await.unwrap();
    assert_eq!((own.name(), own.path("")), (whole.name(), String::new()));
    let labels = own.labels().await.unwrap();
    assert_eq!(labels.len(), whole.labels().await.unwrap().len());
    let empty = labels.iter().find(|label| label.name == "empty").unwrap();
    assert!(empty.timestamps.is_empty() && empty.metas.is_empty());
    let error = Repository::open(&server.location("nothing/here"), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn a_snapshot_written_to_s3_is_that_on_disk() {
    const LABEL: &str = "copied";
    let server = Server::start();
    server.impatient();
    server.faults(50, None);
    let from = open(&genuine("sr35/hub").join("location")).await;
    let label = from.labels().await.unwrap().into_iter().find(|label| !label.timestamps.is_empty()).unwrap();
    let snapshot = from.snapshot(&label.name, None, None).await.unwrap();
    let location = server.location("new");
    let to = init(&location, "made").await.unwrap();
    let again = init(&location, "made").await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::Exists, "{again}");
    let dir = genuine("sr35/hub").join("location");
    let meta = format!("__ss_{}/__meta.{}", label.name, label.metas[0]);
    let meta = from.storage().read_all(&from.path(&meta), 1 << 20).await.unwrap();
    let info = String::from_utf8(snapshot.info.clone()).unwrap();
    let info = info.replace(&format!("\"name\":\"{}\"", label.name), &format!("\"name\":\"{LABEL}\""));
    let writer = SnapshotWriter::begin(&to, LABEL).await.unwrap();
    for tablet in &snapshot.tablets {
        for file in &tablet.files {
            let source = dir.join(from.path(&snapshot.file_path(&tablet.key, file)));
            writer.put(&tablet.key, &file.name, file.md5, file.size, &source).await.unwrap();
        }
    }
    writer.commit(meta, info.into(), &snapshot.timestamp).await.unwrap();
    server.faults(0, None);
    let read = Repository::open(&location, None).await.unwrap();
    let read = read.snapshot(LABEL, None, None).await.unwrap();
    assert_eq!(read.problems, [""; 0]);
    assert_eq!(format!("{:?}", read.tablets), format!("{:?}", snapshot.tablets));
    assert!(server.keys().iter().all(|key| !key.ends_with(".part")), "S3 needs no temporary names");
}

#[tokio::test]
async fn long_files_go_in_parts_and_come_in_blocks() {
    let server = Server::start();
    let storage = storage(&server.properties());
    let bytes = noise((20 << 20) + 12_345);
    server.requests();
    write(storage.as_ref(), "big", &bytes).await.unwrap();
    assert_eq!(server.requests().iter().filter(|request| request.contains("partNumber=")).count(), 3);
    assert!(server.get("dir/big").unwrap() == bytes);
    let range = 1_000..(20 << 20) + 1_000;
    let read = storage.read("big", range.clone()).await.unwrap();
    assert!(read == bytes[range.start as usize..range.end as usize]);
    assert_eq!(server.requests().iter().filter(|request| request.starts_with("GET")).count(), 3);
    let beyond = storage.read("big", 1_000..(40 << 20)).await.unwrap_err();
    assert_eq!(beyond.kind, ErrorKind::Damaged, "{beyond}");
    storage.copy("big", "copy").await.unwrap();
    assert!(server.get("dir/copy").unwrap() == bytes);
    // On the server's side: nothing is read here.
    assert!(server.requests().iter().filter(|request| request.starts_with("GET /bucket/dir/big")).count() <= 6);
    // Given up in the middle: nothing stands.
    let mut writer = storage.writer("half").await.unwrap();
    writer.write(Bytes::from(noise(9 << 20))).await.unwrap();
    drop(writer);
    let until = Instant::now() + Duration::from_secs(60);
    while server.unfinished() > 0 {
        assert!(Instant::now() < until, "its parts are left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.get("dir/half"), None);
}

#[tokio::test]
async fn one_listing_for_a_small_snapshot_and_one_per_table_for_a_large_one() {
    let server = Server::start();
    let storage = storage(&server.properties());
    let mut keys = Vec::new();
    for table in 0..5 {
        for file in 0..400 {
            keys.push(format!("c/__db_1/__tbl_{table}/__part_1/__idx_1/__{file}/f.dat"));
        }
    }
    keys.push("c/__db_1/stray".to_owned());
    for key in keys.iter().take(900) {
        server.put(&format!("dir/{key}"), b"x");
    }
    server.requests();
    assert_eq!(storage.list_recursive("c").await.unwrap().len(), 900);
    assert_eq!(server.requests().len(), 1);
    for key in &keys {
        server.put(&format!("dir/{key}"), b"x");
    }
    let mut found: Vec<_> = storage.list_recursive("c").await.unwrap().into_iter().map(|entry| entry.path).collect();
    found.sort();
    keys.sort();
    assert_eq!(found, keys);
    let asked = server.requests();
    assert!(asked.iter().filter(|request| request.contains("__tbl_")).count() == 5 && asked.len() <= 9, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_directories_are_listed_in_stretches() {
    let server = Server::start();
    let storage = storage(&server.properties());
    let mut keys = Vec::new();
    for partition in 0..1500 {
        for file in 0..3 {
            keys.push(format!("c/__db_1/__tbl_7/__part_{partition}/__idx_1/__{file}/f.dat"));
        }
    }
    // Between the directories in the order of keys, and beyond them.
    for stray in ["__part_1!", "__part_14999", "__part_5-", "a", "~"] {
        keys.push(format!("c/__db_1/__tbl_7/{stray}"));
    }
    for key in &keys {
        server.put(&format!("dir/{key}"), b"x");
    }
    server.requests();
    let mut found: Vec<_> = storage.list_recursive("c").await.unwrap().into_iter().map(|entry| entry.path).collect();
    found.sort();
    keys.sort();
    assert!(found == keys, "{} of {}", found.len(), keys.len());
    assert!(server.requests().len() < 60, "not one for each directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_faults_everything_ends_correct() {
    let server = Server::start();
    server.impatient();
    let storage = storage(&server.properties());
    server.faults(50, None);
    let big = noise((9 << 20) + 7);
    write(storage.as_ref(), "big", &big).await.unwrap();
    for n in 0..60u32 {
        let bytes = noise(10_000 + n as usize);
        let path = format!("d{}/f{n}", n % 5);
        write(storage.as_ref(), &path, &bytes).await.unwrap();
        assert!(storage.read_all(&path, 20_000).await.unwrap() == bytes);
        storage.copy(&path, &format!("copy/{n}")).await.unwrap();
        assert_eq!(storage.stat(&path).await.unwrap().size, bytes.len() as u64);
        assert!(storage.read(&format!("copy/{n}"), 10..9_000).await.unwrap() == bytes[10..9_000]);
        if n % 3 == 0 {
            storage.delete(&path).await.unwrap();
        }
    }
    assert!(storage.read_all("big", 10 << 20).await.unwrap() == big);
    assert_eq!(storage.list_recursive("").await.unwrap().len(), 1 + 60 + 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_fault_is_overcome() {
    use Fault::{Failed, Lost, Reset, Slow, Stalled, Truncated, Unavailable};
    let server = Server::start();
    // Short only where answers stall: on a busy machine, others may take long.
    let patient = storage(&server.properties());
    let impatient = storage(&with(server.properties(), &[("fs.s3a.connection.timeout", "500ms")]));
    for fault in [Unavailable, Reset, Lost, Truncated, Stalled, Slow, Failed] {
        server.faults(300, Some(fault));
        let storage = if fault == Stalled { &impatient } else { &patient };
        let bytes = noise(50_000);
        for n in 0..6 {
            write(storage.as_ref(), &format!("f{n}"), &bytes).await.unwrap();
            assert!(storage.read_all(&format!("f{n}"), 50_000).await.unwrap() == bytes, "{fault:?}");
        }
        assert_eq!(storage.list("").await.unwrap().len(), 6, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_always_fails_is_given_up_in_time_with_the_cause() {
    use Fault::{Failed, Reset, Stalled, Truncated, Unavailable};
    let server = Server::start();
    server.put("dir/f", &noise(10_000));
    let patient = with(server.properties(), &[("fs.s3a.attempts.maximum", "3")]);
    // Short only where answers stall: on a busy machine, others may take long, and then the cause is another.
    let impatient = with(patient.clone(), &[("fs.s3a.connection.timeout", "250ms")]);
    let (patient, impatient) = (storage(&patient), storage(&impatient));
    let cases = [
        (Unavailable, "fewer requests"),
        (Reset, "the connection to http://127.0.0.1"),
        (Truncated, "the connection to http://127.0.0.1"),
        (Stalled, "sent nothing for 250ms"),
        (Failed, "the store failed"),
    ];
    for (fault, said) in cases {
        server.faults(1000, Some(fault));
        let storage = if fault == Stalled { &impatient } else { &patient };
        let started = Instant::now();
        let errors = [
            storage.read("f", 0..10_000).await.unwrap_err(),
            storage.list("").await.unwrap_err(),
            storage.list_recursive("").await.unwrap_err(),
            write(storage.as_ref(), "g", b"bytes").await.unwrap_err(),
        ];
        // Bounded; far more than it takes.
        assert!(started.elapsed() < Duration::from_secs(60), "{fault:?} {:?}", started.elapsed());
        for error in errors {
            assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
            assert!(
                error.to_string().contains(said) && error.to_string().contains("after 3 attempts"),
                "{fault:?} {error}"
            );
        }
    }
}

/// The error of listing with `more` properties.
async fn refused(properties: Properties, more: &[(&str, &str)]) -> RepositoryError {
    let properties = with(properties, more);
    let error = storage(&properties).list("").await.unwrap_err();
    let looked = storage(&properties).stat("f").await.unwrap_err();
    assert_eq!((looked.kind, &looked.reason), (error.kind, &error.reason), "the same cause for every request");
    for (name, value) in &properties {
        let secret = name.contains("secret") || name.contains("token") || name.contains("external");
        assert!(!secret || !format!("{error} {error:?}").contains(value), "{error:?}");
    }
    error
}

#[tokio::test]
async fn every_refusal_names_its_cause() {
    let server = Server::start();
    let expect = |error: RepositoryError, kind, words: &[&str]| {
        let text = error.to_string();
        assert!(error.kind == kind && words.iter().all(|word| text.contains(word)), "{text}");
    };
    let properties = || server.properties();
    let denied = ErrorKind::PermissionDenied;
    expect(
        refused(properties(), &[("aws.s3.secret_key", "wrong-key")]).await,
        denied,
        &["secret key is wrong", "aws.s3.secret_key"],
    );
    expect(refused(properties(), &[("aws.s3.access_key", "NOBODY")]).await, denied, &["does not know the access key"]);
    server.session("OLD", true);
    server.session("NEW", false);
    let session = |access: &'static str, token: &'static str| {
        [
            ("aws.s3.access_key", access),
            ("aws.s3.secret_key", "ssssssssssssssssssssssssssssssssssssssss"),
            ("aws.s3.session_token", token),
        ]
    };
    expect(refused(properties(), &session("OLD", "token-of-OLD")).await, denied, &["session has expired"]);
    expect(refused(properties(), &session("NEW", "another-token")).await, denied, &["session token"]);
    storage(&with(properties(), &session("NEW", "token-of-NEW"))).list("").await.unwrap();
    expect(
        refused(properties(), &[("aws.s3.region", "eu-west-9")]).await,
        ErrorKind::Invalid,
        &["us-east-1", "eu-west-9", "aws.s3.region"],
    );
    let nobody = [("aws.s3.endpoint", "http://127.0.0.1:1"), ("fs.s3a.attempts.maximum", "2")];
    expect(
        refused(properties(), &nobody).await,
        ErrorKind::Unavailable,
        &["http://127.0.0.1:1 cannot be reached", "refused", "aws.s3.endpoint"],
    );
    // With the bucket in the host's name, it is that host that is not found.
    let elsewhere = [
        ("aws.s3.endpoint", "http://starsnap.invalid"),
        ("aws.s3.enable_path_style_access", "false"),
        ("fs.s3a.attempts.maximum", "2"),
    ];
    expect(
        refused(properties(), &elsewhere).await,
        ErrorKind::Unavailable,
        &["http://bucket.starsnap.invalid cannot be reached", "aws.s3.enable_path_style_access"],
    );
    let location = Location::with_properties("s3a://bucket/dir", &with(properties(), &nobody)).unwrap();
    let whole = Repository::open(&location, None).await.unwrap_err();
    expect(whole, ErrorKind::Unavailable, &["cannot list s3a://bucket/dir: http://127.0.0.1:1 cannot be reached"]);
    let https = server.endpoint().replace("http:", "https:");
    expect(
        refused(properties(), &[("aws.s3.endpoint", &https), ("fs.s3a.attempts.maximum", "2")]).await,
        ErrorKind::Unavailable,
        &["no secure connection"],
    );
    let error = Location::with_properties("s3a://nobucket/x", &properties()).unwrap().storage().unwrap();
    for error in [
        error.list("").await.unwrap_err(),
        error.stat("f").await.unwrap_err(),
        error.read("f", 0..9).await.unwrap_err(),
    ] {
        expect(error, ErrorKind::NotFound, &["no bucket `nobucket`"]);
    }
}

#[tokio::test]
async fn a_role_is_assumed_and_its_session_renewed() {
    let server = Server::start();
    server.put("dir/f", b"bytes");
    let role = [("aws.s3.iam_role_arn", ROLE), ("aws.s3.external_id", EXTERNAL_ID)];
    let asked = |server: &Server| server.requests().iter().filter(|request| request.starts_with("POST /?")).count();
    let assumed = storage(&with(server.properties(), &role));
    for _ in 0..3 {
        assert_eq!(assumed.read("f", 0..5).await.unwrap(), b"bytes".as_slice());
    }
    assert_eq!(asked(&server), 1, "kept while it is good");
    // Ended early, by an administrator: a new one is asked for.
    server.expire_sessions();
    assert_eq!(assumed.read("f", 0..5).await.unwrap(), b"bytes".as_slice());
    assert_eq!(asked(&server), 1);
    // One that ends within two minutes is renewed before it does.
    server.session_seconds.store(60, Ordering::Relaxed);
    let short = storage(&with(server.properties(), &role));
    for _ in 0..3 {
        short.read("f", 0..5).await.unwrap();
    }
    assert_eq!(asked(&server), 3);
    let wrong = refused(server.properties(), &[role[0], ("aws.s3.external_id", "another")]).await;
    assert_eq!(wrong.kind, ErrorKind::PermissionDenied);
    assert!(wrong.to_string().contains("cannot be assumed") && wrong.to_string().contains(ROLE), "{wrong}");
    let nowhere = [role[0], role[1], ("aws.s3.sts_endpoint", "http://127.0.0.1:1")];
    let nowhere = refused(server.properties(), &nowhere).await;
    assert!(nowhere.to_string().contains("token service http://127.0.0.1:1 does not answer"), "{nowhere}");
}

#[test]
fn secrets_are_never_shown() {
    let properties =
        [("aws.s3.access_key", "AKIA"), ("aws.s3.secret_key", SECRET), ("aws.s3.endpoint", "http://127.0.0.1:1")];
    let properties: Properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let location = Location::with_properties("s3://bucket/x", &properties).unwrap();
    let storage = location.storage().unwrap();
    let shown = format!("{location} {location:?} {} {storage:?}", storage.describe());
    assert!(shown.contains("s3://bucket/x") && !shown.contains(SECRET), "{shown}");
    assert!(fixtures().is_dir());
}

#[tokio::test]
async fn two_endpoints_with_the_same_bucket_share_no_cached_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let cache = starsnap_repository::cache::IndexCache::new(dir.path());
    let (whole, lacking) = (Server::start(), Server::start());
    for server in [&whole, &lacking] {
        upload(server, &genuine("sr35/hub").join("location"), "hub");
    }
    let lost = lacking.keys().into_iter().find(|key| key.contains("__ss_sr_hub_full/__ss_content/")).unwrap();
    lacking.remove(&lost);
    let files = async |server: &Server| {
        let repository = Repository::open(&server.location("hub"), None).await.unwrap();
        let snapshot = repository.snapshot("sr_hub_full", None, Some(&cache)).await.unwrap();
        snapshot.tablets.iter().map(|tablet| tablet.files.len()).sum::<usize>()
    };
    let all = files(&whole).await;
    assert_eq!(files(&lacking).await, all - 1);
    assert_eq!(files(&whole).await, all);
}

/// At no time more than the limit allows since `begun`, and two pieces. A slow machine can only make it less.
fn keeps_to(limit: u64, begun: Instant, moved: &[Moved], what: &str) -> usize {
    let mut bytes = 0;
    for (at, _, len) in moved {
        bytes += len;
        let allowed = at.duration_since(begun).as_secs_f64() * limit as f64 * 1.05 + limit as f64 / 10.0;
        assert!(bytes as f64 <= allowed, "{what}: {bytes} bytes after {:?}", at.duration_since(begun));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_where_bytes_reach_the_store_and_slow_uploads_are_no_stalled_ones() {
    const LIMIT: u64 = 512 << 10;
    let server = Server::start();
    // An upload takes longer than a stalled one would be waited for.
    let patience = [("fs.s3a.connection.timeout", "3s"), ("fs.s3a.connection.request.timeout", "3500ms")];
    let location = Location::with_properties("s3a://bucket/dir", &with(server.properties(), &patience)).unwrap();
    let repository = init(&location, "r").await.unwrap();
    let limited = |download, upload| {
        let limiter = |wanted| Some(Arc::new(Limiter::new(if wanted { Some(LIMIT) } else { None })));
        repository.limited(limiter(download), limiter(upload))
    };
    let bytes = noise(2 << 20);
    server.taken();
    let begun = Instant::now();
    // Two at once, each sent as one request.
    let upload = limited(false, true);
    let (one, other) = bytes.split_at(1 << 20);
    let (first, second) =
        futures::join!(write(upload.storage().as_ref(), "one", one), write(upload.storage().as_ref(), "other", other));
    first.unwrap();
    second.unwrap();
    assert_eq!(keeps_to(LIMIT, begun, &server.taken(), "upload"), 2 << 20);
    assert!(begun.elapsed() >= Duration::from_millis(3900), "{:?}", begun.elapsed());

    server.put("dir/whole", &bytes);
    server.sent();
    let begun = Instant::now();
    let read = limited(true, false).storage().read("whole", 0..2 << 20).await.unwrap();
    assert!(read == bytes);
    assert_eq!(keeps_to(LIMIT, begun, &server.sent(), "download"), 2 << 20);
    assert!(begun.elapsed() >= Duration::from_millis(3900), "{:?}", begun.elapsed());
}
