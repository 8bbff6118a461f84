//! Roles: sessions that a token service hands out to who may assume one.

use super::body::Sent;
use super::http::{Received, chain, client, exchange};
use super::refusal::{Refusal, element, is_transient};
use super::sender::is_near;
use crate::error::ErrorKind;
use crate::location::{Patience, Role};
use http::{Method, Request, Uri, header};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::hash::hex_sha256;
use reqsign_core::{Context, SignRequest};
use std::time::Duration;

/// Codes of a token service to which it is the keys that are wrong, not the role.
const KEYS_REFUSED: [&str; 7] = [
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "RequestTimeTooSkewed",
];
const LOOK: &str = "check `aws.s3.sts_endpoint` and the network";

/// A role, and who is asked for it.
pub(super) struct TokenService {
    role: Role,
    client: reqwest::Client,
    idle: Duration,
}

impl TokenService {
    pub(super) fn new(role: Role, patience: Patience) -> Result<TokenService, Refusal> {
        let near = role.sts_endpoint.parse::<Uri>().is_ok_and(|uri| is_near(&uri));
        Ok(TokenService { client: client(&patience, !near)?, idle: patience.idle, role })
    }

    /// AssumeRole, by POST: some servers know no other way. It is tried once: who needs the answer tries again.
    pub(super) async fn assume(&self, base: &Credential) -> Result<Credential, Refusal> {
        let role = &self.role;
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role.arn.as_str()),
            ("RoleSessionName", role.session_name.as_str()),
            ("DurationSeconds", "3600"),
        ];
        if let Some(id) = &role.external_id {
            form.push(("ExternalId", id.reveal()));
        }
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let body = form.join("&");
        let refused = |reason: String, advice| Refusal::new(ErrorKind::PermissionDenied, reason, advice);
        let unsigned = |error: String| refused(format!("the role cannot be asked for: {error}"), "");
        let silent = |reason| Err(Refusal::new(ErrorKind::Unavailable, reason, LOOK));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", role.sts_endpoint))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("x-amz-content-sha256", hex_sha256(body.as_bytes()))
            .body(())
            .map_err(|error| unsigned(error.to_string()))?;
        let (mut parts, ()) = request.into_parts();
        let signer = RequestSigner::new("sts", &role.sts_region);
        signer
            .sign_request(&Context::new(), &mut parts, Some(base), None)
            .await
            .map_err(|error| unsigned(error.to_string()))?;
        parts.headers.remove(header::HOST);
        let request = self.client.post(parts.uri.to_string()).headers(parts.headers).body(body);
        let (answer, received) = match exchange(request, self.idle, &Sent::begun()).await {
            Ok(done) => done,
            Err(Received::Error(error)) => {
                return silent(format!("the token service {} does not answer: {}", role.sts_endpoint, chain(&error)));
            }
            Err(Received::Idle) => {
                return silent(format!("the token service {} sent nothing for {:?}", role.sts_endpoint, self.idle));
            }
            Err(Received::TooLong) => return Err(unsigned("its answer is too long".to_owned())),
        };
        if !answer.status.is_success() {
            let code = element(&received, "Code").unwrap_or_else(|| answer.status.to_string());
            let said = element(&received, "Message").unwrap_or_default();
            if is_transient(answer.status, &code) {
                let reason = format!("the token service {} is busy or fails: {code} {said}", role.sts_endpoint);
                return Err(Refusal::new(ErrorKind::Unavailable, reason.trim_end(), "try again later"));
            }
            let keys = Refusal::of(&answer, &received, "", &role.sts_region).in_session(base.session_token.is_some());
            if KEYS_REFUSED.contains(&keys.code.as_str()) {
                return Err(Refusal {
                    reason: format!("the role {} cannot be assumed: {}", role.arn, keys.reason),
                    ..keys
                });
            }
            let reason = format!("the role {} cannot be assumed: {code} {said}", role.arn);
            return Err(refused(
                reason.trim_end().to_owned(),
                "check the role's name, that its trust policy names these keys, and `aws.s3.external_id`",
            ));
        }
        let field = |name: &str| {
            element(&received, name)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| unsigned(format!("{} answers without {name}", role.sts_endpoint)))
        };
        let expiration = field("Expiration")?;
        Ok(Credential {
            access_key_id: field("AccessKeyId")?,
            secret_access_key: field("SecretAccessKey")?,
            session_token: Some(field("SessionToken")?),
            expires_in: Some(
                expiration.parse().map_err(|_| unsigned("its answer has no valid Expiration".to_owned()))?,
            ),
        })
    }
}

/// For a form: everything but what is surely plain.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
