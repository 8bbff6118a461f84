//! Keys with two slashes, as StarRocks leaves them on S3 when a location ends in a slash: its BE writes `x//__starrocks…` where its FE writes
//! `x/__starrocks…`. At a bucket's root they begin with a slash.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/s3_objects.rs"]
mod s3_objects;
#[path = "support/s3_server.rs"]
mod s3_server;
#[path = "support/fixtures.rs"]
mod support;

use s3_objects::{upload, write};
use s3_server::Server;
use starsnap_repository::Repository;
use starsnap_repository::error::ErrorKind;
use starsnap_repository::storage::digest;
use support::{genuine, open};

/// The genuine repository as StarRocks leaves it on S3 when the location ends in a slash. An empty prefix is the bucket's root.
fn upload_with_two_slashes(server: &Server, prefix: &str) {
    upload(server, &genuine("sr35/hub").join("location"), "staged");
    for key in server.keys().into_iter().filter(|key| key.starts_with("staged/")) {
        let bytes = server.get(&key).unwrap();
        server.remove(&key);
        let above = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let doubled = if key.contains("/__ss_content/") { "/" } else { "" };
        let key = format!("{above}{doubled}{}", &key["staged/".len()..]);
        server.put(&key, &bytes);
    }
}

fn is_doubled(key: &str) -> bool {
    key.contains("//") || key.starts_with('/')
}

#[tokio::test]
async fn keys_with_two_slashes_are_found_listed_and_read() {
    let expected = open(&genuine("sr35/hub").join("location")).await.snapshot("sr_hub_full", None, None).await.unwrap();
    for (prefix, places) in [
        ("backup/hub", &["backup/hub", "backup/hub/", "backup/hub/__starrocks_repository_hub_repo"][..]),
        ("hub", &["hub"]),
        ("", &["", "__starrocks_repository_hub_repo"]),
    ] {
        let server = Server::start();
        upload_with_two_slashes(&server, prefix);
        assert!(server.keys().iter().any(|key| is_doubled(key)), "{:?}", server.keys());
        for place in places {
            let repository = Repository::open(&server.location(place), None).await.unwrap();
            let found = repository.snapshot("sr_hub_full", None, None).await.unwrap();
            assert_eq!(found.problems, [""; 0], "{place}");
            assert_eq!(format!("{:?}", found.tablets), format!("{:?}", expected.tablets), "{place}");
            let tablet = found.tablets.iter().find(|tablet| !tablet.files.is_empty()).unwrap();
            for file in &tablet.files {
                let path = repository.path(&found.file_path(&tablet.key, file));
                let md5 = digest(repository.storage().as_ref(), &path, file.size).await.unwrap();
                assert_eq!(md5, file.md5, "{place} {path}");
                assert_eq!(repository.storage().stat(&path).await.unwrap().size, file.size);
            }
            let listed = repository.storage().list(&repository.path("__ss_sr_hub_full")).await.unwrap();
            assert_eq!(listed.iter().filter(|entry| entry.name() == "__ss_content").count(), 1);
            let gone = repository.storage().read(&repository.path("__ss_content/none"), 0..1).await.unwrap_err();
            assert_eq!(gone.kind, ErrorKind::NotFound, "{gone}");
        }
        // What is written has one.
        let before = server.keys();
        let repository = Repository::open(&server.location(places[0]), None).await.unwrap();
        write(repository.storage().as_ref(), &repository.path("new"), b"x").await.unwrap();
        let new: Vec<_> = server.keys().into_iter().filter(|key| !before.contains(key)).collect();
        assert!(new.len() == 1 && !is_doubled(&new[0]), "{new:?}");
    }
}

#[tokio::test]
async fn what_is_dropped_goes_in_both_forms() {
    for prefix in ["backup/hub", ""] {
        let server = Server::start();
        upload_with_two_slashes(&server, prefix);
        // An unfinished copy of somebody's, so that a file stands in both.
        let both = server.keys().into_iter().find(|key| is_doubled(key) && key.contains("__ss_sr_hub_full/")).unwrap();
        let plain = if prefix.is_empty() { both[1..].to_owned() } else { both.replace("//", "/") };
        server.put(&plain, &server.get(&both).unwrap());
        let before = server.keys();
        let repository = Repository::open(&server.location(prefix), None).await.unwrap();
        let doomed = repository.doomed("sr_hub_full").await.unwrap();
        let files = before.iter().filter(|key| key.contains("/__ss_sr_hub_full/")).count();
        assert_eq!((doomed.files(), doomed.foreign.len()), (files as u64 - 1, 0), "one of them in both forms");
        let left = repository.drop_files(&doomed, 4, &|| {}).await.unwrap();
        assert_eq!(left, [""; 0], "{prefix:?}");
        let kept: Vec<_> = before.into_iter().filter(|key| !key.contains("/__ss_sr_hub_full/")).collect();
        assert_eq!(server.keys(), kept, "{prefix:?}");
    }
}
