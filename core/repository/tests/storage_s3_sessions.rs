//! Sessions of a role, from a token service that is busy, fails, or is elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/s3_server.rs"]
mod s3_server;

use s3_server::{EXTERNAL_ID, ROLE, Server};
use starsnap_repository::Location;
use starsnap_repository::error::{ErrorKind, Result};
use starsnap_repository::storage::Storage;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a token service says that is asked too much, or fails.
const BUSY: [(u16, &str); 4] =
    [(503, "ServiceUnavailable"), (400, "Throttling"), (400, "ThrottlingException"), (429, "TooManyRequests")];

fn with_role(server: &Server, more: &[(&str, &str)]) -> Arc<dyn Storage> {
    let mut properties = server.properties();
    let role = [("aws.s3.iam_role_arn", ROLE), ("aws.s3.external_id", EXTERNAL_ID)];
    for (name, value) in role.iter().chain(more) {
        properties.retain(|(given, _)| given != name);
        properties.push(((*name).to_owned(), (*value).to_owned()));
    }
    Location::with_properties("s3a://bucket/dir", &properties).unwrap().storage().unwrap()
}

fn asked(server: &Server) -> usize {
    server.requests().iter().filter(|request| request.starts_with("POST /?")).count()
}

async fn read(storage: &dyn Storage) -> Result<()> {
    storage.read("f", 0..5).await.map(|bytes| assert_eq!(bytes, b"bytes".as_slice()))
}

#[tokio::test]
async fn a_session_serves_until_its_end_when_no_other_is_to_be_had() {
    let server = Server::start();
    server.put("dir/f", b"bytes");
    // Within two minutes of its end, another is asked for at every request.
    server.session_seconds.store(60, Ordering::Relaxed);
    for refusal in BUSY.into_iter().chain([(403, "AccessDenied")]) {
        let storage = with_role(&server, &[]);
        read(storage.as_ref()).await.unwrap();
        *server.refusing.lock().unwrap() = Some(refusal);
        server.requests();
        for _ in 0..5 {
            read(storage.as_ref()).await.unwrap();
        }
        assert_eq!(asked(&server), 1, "not at every request: {refusal:?}");
        *server.refusing.lock().unwrap() = None;
    }
}

#[tokio::test]
async fn after_a_pause_a_session_that_ends_is_replaced() {
    let server = Server::start();
    server.put("dir/f", b"bytes");
    server.session_seconds.store(60, Ordering::Relaxed);
    let storage = with_role(&server, &[]);
    read(storage.as_ref()).await.unwrap();
    *server.refusing.lock().unwrap() = Some((400, "Throttling"));
    read(storage.as_ref()).await.unwrap();
    *server.refusing.lock().unwrap() = None;
    server.session_seconds.store(3600, Ordering::Relaxed);
    server.requests();
    tokio::time::sleep(Duration::from_secs(11)).await;
    for _ in 0..3 {
        read(storage.as_ref()).await.unwrap();
    }
    assert_eq!(asked(&server), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_requests_wait_for_a_token_service_that_is_busy() {
    let server = Server::start();
    server.put("dir/f", b"bytes");
    for refusal in BUSY {
        *server.refusing.lock().unwrap() = Some(refusal);
        let patient = with_role(&server, &[("fs.s3a.attempts.maximum", "100"), ("fs.s3a.retry.interval", "50ms")]);
        let back = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            *server.refusing.lock().unwrap() = None;
        };
        server.requests();
        let many = futures::future::join_all((0..8).map(|_| read(patient.as_ref())));
        let (read, ()) = futures::join!(many, back);
        read.into_iter().collect::<Result<Vec<()>>>().unwrap();
    }
    *server.refusing.lock().unwrap() = Some(BUSY[1]);
    let error = read(with_role(&server, &[("fs.s3a.attempts.maximum", "3")]).as_ref()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let text = error.to_string();
    assert!(text.contains("Throttling Come back later.") && text.contains("after 3 attempts"), "{text}");
}

#[tokio::test]
async fn a_session_that_was_refused_is_replaced_as_soon_as_another_is_to_be_had() {
    let server = Server::start();
    server.put("dir/f", b"bytes");
    let storage = with_role(&server, &[("fs.s3a.retry.interval", "50ms")]);
    read(storage.as_ref()).await.unwrap();
    server.expire_sessions();
    *server.refusing.lock().unwrap() = Some((503, "ServiceUnavailable"));
    let back = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        *server.refusing.lock().unwrap() = None;
    };
    let (done, ()) = futures::join!(read(storage.as_ref()), back);
    done.unwrap();
}

#[tokio::test]
async fn the_token_service_has_a_region_of_its_own() {
    let server = Server::start();
    server.put("dir/f", b"bytes");
    *server.token_region.lock().unwrap() = "eu-west-3";
    read(with_role(&server, &[("aws.s3.sts.region", "eu-west-3")]).as_ref()).await.unwrap();
    let other = read(with_role(&server, &[]).as_ref()).await.unwrap_err();
    assert!(other.to_string().contains("cannot be assumed"), "{other}");
}
