//! Credentials from the environment and from an instance's profile. In a process of its own that runs one test, as it sets variables.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/s3_server.rs"]
mod s3_server;

use s3_server::{ACCESS, EXTERNAL_ID, ROLE, SECRET, Server};
use starsnap_repository::Location;
use starsnap_repository::error::{ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::Ordering;

fn set(name: &str, value: &str) {
    // The test's only thread that reads or sets variables is this one.
    unsafe { std::env::set_var(name, value) }
}

async fn read(server: &Server, more: &[(&str, &str)]) -> Result<bytes::Bytes> {
    let mut properties = server.bare_properties();
    properties.retain(|(given, _)| more.iter().all(|(name, _)| given != name));
    properties.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Location::with_properties("s3a://bucket/dir", &properties)?.storage()?.read("f", 0..5).await
}

/// A metadata service that asks for patience: it is not one that refuses.
async fn busy(server: &Server, profile: (&str, &str)) {
    let few = ("fs.s3a.attempts.maximum", "2");
    let mut properties = server.bare_properties();
    properties.retain(|(name, _)| name != few.0);
    properties.extend([profile, few].map(|(name, value)| (name.to_owned(), value.to_owned())));
    let storage = Location::with_properties("s3a://bucket/dir", &properties).unwrap().storage().unwrap();
    for status in [429, 503] {
        *server.refusing.lock().unwrap() = Some((status, ""));
        let error = storage.read("f", 0..5).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(&format!("answers {status}")), "{error}");
        *server.refusing.lock().unwrap() = None;
    }
    assert_eq!(storage.read("f", 0..5).await.unwrap(), b"bytes".as_slice());
}

/// A source that is configured and fails is the last that is asked: the instance, which would answer, is somebody else.
async fn configured(server: &Server, home: &Path) {
    let refused = async |words: &[&str]| {
        let error = read(server, &[("fs.s3a.retry.interval", "1ms"), ("fs.s3a.attempts.maximum", "2")]).await;
        let text = error.unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let unset = |name: &str| unsafe { std::env::remove_var(name) };
    let token = home.join("token");
    set("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap());
    refused(&["AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not"]).await;
    set("AWS_ROLE_ARN", ROLE);
    refused(&["web identity", ROLE, "no other source", "cannot be read"]).await;
    std::fs::write(&token, "token").unwrap();
    // AWS' token service is asked by the proxy, the store and the metadata service, which are near, are not.
    set("HTTPS_PROXY", &server.endpoint());
    server.requests();
    refused(&["web identity", ROLE, "no other source"]).await;
    let asked = server.requests();
    assert!(asked.iter().any(|request| request.starts_with("CONNECT sts.amazonaws.com:443")), "{asked:?}");
    let web = [("aws.s3.use_web_identity_token_file", "true")];
    assert!(read(server, &web).await.unwrap_err().to_string().contains("web identity"));
    for name in ["HTTPS_PROXY", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"] {
        unset(name);
    }
    assert!(read(server, &web).await.unwrap_err().to_string().contains("AWS_WEB_IDENTITY_TOKEN_FILE is not set"));
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/v1/credentials");
    refused(&["AWS_CONTAINER_CREDENTIALS_FULL_URI", "refused"]).await;
    unset("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    set("AWS_ACCESS_KEY_ID", ACCESS);
    refused(&["AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not"]).await;
    unset("AWS_ACCESS_KEY_ID");
    set("AWS_PROFILE", "gone");
    refused(&["no profile `gone`"]).await;
    unset("AWS_PROFILE");
    let file = home.join("config");
    set("AWS_CONFIG_FILE", file.to_str().unwrap());
    std::fs::write(&file, "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n").unwrap();
    refused(&["profile `default`", "`role_arn`"]).await;
    std::fs::write(&file, "[default]\nregion = us-east-1\n").unwrap();
    assert_eq!(read(server, &[]).await.unwrap(), b"bytes".as_slice());
    unset("AWS_CONFIG_FILE");
    let any = [("aws.s3.use_aws_sdk_default_behavior", "true"), ("aws.s3.access_key", "x"), ("aws.s3.secret_key", "y")];
    assert_eq!(read(server, &any).await.unwrap(), b"bytes".as_slice());
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
        "AWS_ROLE_ARN",
        "AWS_REGION",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "no_proxy",
        "NO_PROXY",
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
    busy(&server, profile).await;
    configured(&server, home.path()).await;

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
