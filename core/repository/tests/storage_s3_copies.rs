//! Files that another snapshot holds are copied within the store; where that takes too long, they are sent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/s3_objects.rs"]
mod s3_objects;
#[path = "support/s3_server.rs"]
mod s3_server;
#[path = "support/fixtures.rs"]
mod support;

use s3_server::Server;
use starsnap_repository::writer::SnapshotWriter;
use starsnap_repository::{Location, Repository};
use std::sync::atomic::Ordering;
use support::genuine;

/// Whether the bytes of a file were sent that stands under another label, and the requests that copied it.
async fn put(label: &str, milliseconds: u64, patience: &[(&str, &str)]) -> (bool, usize) {
    let server = Server::start();
    let dir = genuine("sr35/hub").join("location");
    s3_objects::upload(&server, &dir, "hub");
    let mut properties = server.properties();
    for (name, value) in patience {
        properties.retain(|(given, _)| given != name);
        properties.push(((*name).to_owned(), (*value).to_owned()));
    }
    let location = Location::with_properties("s3a://bucket/hub", &properties).unwrap();
    let repository = Repository::open(&location, None).await.unwrap();
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    let tablet = snapshot.tablets.iter().find(|tablet| !tablet.files.is_empty()).unwrap();
    let (key, file) = (&tablet.key, &tablet.files[0]);
    let path = repository.path(&snapshot.file_path(key, file));
    let writer = SnapshotWriter::begin(&repository, label).await.unwrap();
    server.copying.store(milliseconds, Ordering::Relaxed);
    server.requests();
    let sent = writer.put(key, &file.name, file.md5, file.size, &dir.join(&path)).await.unwrap();
    let new = path.replace("__ss_sr_hub_full/", &format!("__ss_{label}/"));
    assert_eq!(server.get(&format!("hub/{new}")), Some(std::fs::read(dir.join(&path)).unwrap()));
    (sent, server.requests().iter().filter(|request| request.starts_with("PUT")).count())
}

#[tokio::test]
async fn a_copy_may_take_longer_than_a_store_may_be_silent() {
    let patience = [("fs.s3a.connection.timeout", "500ms"), ("fs.s3a.connection.request.timeout", "60s")];
    assert_eq!(put("slow", 1500, &patience).await, (false, 1));
}

#[tokio::test]
async fn what_takes_too_long_to_copy_is_sent() {
    let patience = [
        ("fs.s3a.connection.timeout", "1s"),
        ("fs.s3a.connection.request.timeout", "1s"),
        ("fs.s3a.attempts.maximum", "2"),
    ];
    let (sent, requests) = put("sent", 60_000, &patience).await;
    assert!(sent && requests >= 2, "{sent} {requests}");
}
