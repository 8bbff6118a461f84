//! Credentials from the environment and from an instance's profile. In a process of its own that runs one test, as it sets variables.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/s3_server.rs"]
mod s3_server;

use s3_server::{ACCESS, EXTERNAL_ID, ROLE, SECRET, Server};
use starsnap_repository::Location;
use starsnap_repository::error::{ErrorKind, Result};
use std::sync::atomic::Ordering;

fn set(name: &str, value: &str) {
    // The test's only thread that reads or sets variables is this one.
    unsafe { std::env::set_var(name, value) }
}

async fn read(server: &Server, more: &[(&str, &str)]) -> Result<bytes::Bytes> {
    let mut properties = server.bare_properties();
    properties.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Location::with_properties("s3a://bucket/dir", &properties)?.storage()?.read("f", 0..5).await
}

#[tokio::test]
async fn credentials_from_the_surroundings() {
    let home = tempfile::tempdir().unwrap();
    for name in [
        "AWS_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ] {
        unsafe { std::env::remove_var(name) }
    }
    set("HOME", home.path().to_str().unwrap());
    let profile = ("aws.s3.use_instance_profile", "true");
    let role = [profile, ("aws.s3.iam_role_arn", ROLE), ("aws.s3.external_id", EXTERNAL_ID)];
    let server = Server::start();
    server.put("dir/f", b"bytes");

    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    let error = read(&server, &[profile]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains("instance's profile") && error.to_string().contains("refused"), "{error}");
    let error = read(&server, &[]).await.unwrap_err();
    assert!(error.to_string().contains("there are no credentials"), "{error}");

    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.endpoint());
    assert_eq!(read(&server, &[profile]).await.unwrap(), b"bytes".as_slice());
    assert_eq!(read(&server, &role).await.unwrap(), b"bytes".as_slice());
    assert_eq!(read(&server, &[]).await.unwrap(), b"bytes".as_slice(), "the last resort");
    // One of the instance's that is about to end is not kept.
    server.session_seconds.store(60, Ordering::Relaxed);
    assert_eq!(read(&server, &[profile]).await.unwrap(), b"bytes".as_slice());

    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let file = format!("[default]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n");
    std::fs::write(home.path().join(".aws/credentials"), file).unwrap();
    assert_eq!(read(&server, &[]).await.unwrap(), b"bytes".as_slice());
    // A program that a profile names, and one that fails.
    let config = home.path().join(".aws/config");
    let says = |script: &str| {
        let path = home.path().join("program");
        std::fs::write(&path, script).unwrap();
        let line = format!("credential_process = sh {}", path.display());
        std::fs::write(&config, format!("[default]\n{line}\n[profile other]\n{line}\n")).unwrap();
    };
    says(&format!("echo '{{\"Version\": 1, \"AccessKeyId\": \"{ACCESS}\", \"SecretAccessKey\": \"{SECRET}\"}}'"));
    set("AWS_PROFILE", "other");
    assert_eq!(read(&server, &[]).await.unwrap(), b"bytes".as_slice());
    says("echo the vault is sealed >&2; exit 3");
    let error = read(&server, &[]).await.unwrap_err().to_string();
    assert!(error.contains("(profile `other`)") && error.contains("ended with 3: the vault is sealed"), "{error}");
    unsafe { std::env::remove_var("AWS_PROFILE") }
    set("AWS_ACCESS_KEY_ID", ACCESS);
    set("AWS_SECRET_ACCESS_KEY", "wrong");
    let error = read(&server, &[]).await.unwrap_err();
    assert!(error.to_string().contains("secret key is wrong"), "the environment comes before the profile: {error}");
    set("AWS_SECRET_ACCESS_KEY", SECRET);
    assert_eq!(read(&server, &[]).await.unwrap(), b"bytes".as_slice());
}
