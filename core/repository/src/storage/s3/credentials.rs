//! Where the keys come from: properties, the instance's profile, the environment and profile files; and a role on top of any of them.
//! Kept until shortly before they expire.

use super::body::Sent;
use super::http::{Received, chain, client, exchange};
use super::process::Processes;
use super::refusal::{Refusal, element};
use crate::error::ErrorKind;
use crate::location::{Patience, Role, S3Location};
use bytes::Bytes;
use http::{Method, Request, header};
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, IMDSv2CredentialProvider, RequestSigner};
use reqsign_core::hash::hex_sha256;
use reqsign_core::{Context, OsEnv, ProvideCredential, SignRequest, SigningCredential};
use std::time::Duration;
use tokio::sync::Mutex;

/// Credentials for signing.
pub(super) struct Credentials {
    source: Source,
    role: Option<Role>,
    region: String,
    context: Context,
    processes: Processes,
    client: reqwest::Client,
    idle: Duration,
    cached: Mutex<Option<Credential>>,
}

enum Source {
    Given(Credential),
    Instance(IMDSv2CredentialProvider),
    /// Environment, profile files, web identity, container; then the instance.
    Surroundings(DefaultCredentialProvider, IMDSv2CredentialProvider),
}

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

/// Metadata services are near: whoever does not answer soon is not there.
const NEAR: Patience = Patience {
    attempts: 2,
    interval: Duration::from_millis(200),
    connect: Duration::from_secs(2),
    idle: Duration::from_secs(5),
    request: Duration::from_secs(10),
};

impl Credentials {
    pub(super) fn new(location: &S3Location) -> Result<Credentials, Refusal> {
        let near = Sender(client(&NEAR, false)?);
        let processes = Processes::default();
        let context = Context::new().with_file_read(Files).with_env(OsEnv).with_http_send(near);
        let context = context.with_command_execute(processes.clone());
        let source = match &location.keys {
            _ if location.instance_profile => Source::Instance(IMDSv2CredentialProvider::new()),
            Some(keys) => Source::Given(Credential {
                access_key_id: keys.access.reveal().to_owned(),
                secret_access_key: keys.secret.reveal().to_owned(),
                session_token: keys.token.as_ref().map(|token| token.reveal().to_owned()),
                expires_in: None,
            }),
            None => Source::Surroundings(
                DefaultCredentialProvider::builder().no_imds().build(),
                IMDSv2CredentialProvider::new(),
            ),
        };
        let sts_host = location.role.as_ref().map_or("", |role| role.sts_endpoint.as_str());
        let here = sts_host.contains("//127.") || sts_host.contains("//localhost");
        Ok(Credentials {
            source,
            role: location.role.clone(),
            region: location.region.clone(),
            context,
            processes,
            client: client(&location.patience, !here)?,
            idle: location.patience.idle,
            cached: Mutex::new(None),
        })
    }

    /// Valid for two minutes at least, where they expire.
    pub(super) async fn get(&self) -> Result<Credential, Refusal> {
        // One asks, the others wait for its answer.
        let mut cached = self.cached.lock().await;
        if let Some(credential) = cached.as_ref().filter(|credential| credential.is_valid()) {
            return Ok(credential.clone());
        }
        let base = self.base().await?;
        let credential = match &self.role {
            Some(role) => self.assume(role, &base).await?,
            None => base,
        };
        if credential.session_token.is_some() {
            tracing::debug!("there are new session credentials");
        }
        *cached = Some(credential.clone());
        Ok(credential)
    }

    /// Forgets them; whether new ones can be had.
    pub(super) async fn renew(&self) -> bool {
        *self.cached.lock().await = None;
        self.role.is_some() || !matches!(self.source, Source::Given(_))
    }

    async fn base(&self) -> Result<Credential, Refusal> {
        let refuse = |reason: String, advice| Err(Refusal::new(ErrorKind::PermissionDenied, reason, advice));
        match &self.source {
            Source::Given(credential) => Ok(credential.clone()),
            Source::Instance(provider) => match provider.provide_credential(&self.context).await {
                Ok(Some(credential)) => Ok(credential),
                Ok(None) => refuse(
                    "the instance's profile is asked for, but AWS_EC2_METADATA_DISABLED forbids to look".to_owned(),
                    "unset that variable, or give keys instead of `aws.s3.use_instance_profile`",
                ),
                Err(error) => refuse(
                    format!("the instance's profile gives no credentials: {}", self.metadata(&error)),
                    "check that this is a cloud instance, and attach a role to it (AWS_EC2_METADATA_SERVICE_ENDPOINT names another metadata service), or give keys",
                ),
            },
            Source::Surroundings(provider, instance) => {
                if let Ok(Some(credential)) = provider.provide_credential(&self.context).await {
                    return Ok(credential);
                }
                match instance.provide_credential(&self.context).await {
                    Ok(Some(credential)) => Ok(credential),
                    found => {
                        let why =
                            found.err().map_or_else(|| "it is switched off".to_owned(), |error| self.metadata(&error));
                        let profile = self.context.env_var("AWS_PROFILE").filter(|name| !name.is_empty());
                        let profile = profile.map_or(String::new(), |name| format!(" (profile `{name}`)"));
                        let process = self.processes.failure().map_or(String::new(), |said| format!("; {said}"));
                        refuse(
                            format!(
                                "there are no credentials: none in the properties, the environment or ~/.aws{profile}, and not from the instance's profile ({why}){process}"
                            ),
                            "give `aws.s3.access_key` and `aws.s3.secret_key`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
                        )
                    }
                }
            }
        }
    }

    /// Why the instance's metadata are of no use.
    fn metadata(&self, error: &reqsign_core::Error) -> String {
        let endpoint = self.context.env_var("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let endpoint = endpoint.as_deref().unwrap_or("http://169.254.169.254");
        format!("the metadata service {endpoint} says: {}", whole(error))
            .replace("says: failed to connect to IMDS", "cannot be reached")
    }

    /// AssumeRole, by POST: some servers know no other way.
    async fn assume(&self, role: &Role, base: &Credential) -> Result<Credential, Refusal> {
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
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", role.sts_endpoint))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("x-amz-content-sha256", hex_sha256(body.as_bytes()))
            .body(())
            .map_err(|error| unsigned(error.to_string()))?;
        let (mut parts, ()) = request.into_parts();
        let signer = RequestSigner::new("sts", &self.region);
        signer
            .sign_request(&self.context, &mut parts, Some(base), None)
            .await
            .map_err(|error| unsigned(error.to_string()))?;
        parts.headers.remove(header::HOST);
        let mut attempt = 0;
        let (answer, received) = loop {
            let request = self.client.post(parts.uri.to_string()).headers(parts.headers.clone()).body(body.clone());
            attempt += 1;
            match exchange(request, self.idle, &Sent::begun()).await {
                Ok((answer, _)) if answer.status.is_server_error() && attempt < 3 => {}
                Ok(done) => break done,
                Err(Received::Error(_)) if attempt < 3 => {}
                Err(Received::Error(error)) => {
                    let reason = format!("the token service {} does not answer: {}", role.sts_endpoint, chain(&error));
                    let advice = "check `aws.s3.sts_endpoint` and the network";
                    return Err(Refusal::new(ErrorKind::Unavailable, reason, advice));
                }
                Err(Received::Idle) if attempt < 3 => {}
                Err(Received::Idle) => {
                    let reason = format!("the token service {} sent nothing for {:?}", role.sts_endpoint, self.idle);
                    let advice = "check `aws.s3.sts_endpoint` and the network";
                    return Err(Refusal::new(ErrorKind::Unavailable, reason, advice));
                }
                Err(Received::TooLong) => return Err(unsigned("its answer is too long".to_owned())),
            }
            tokio::time::sleep(Duration::from_millis(300 * attempt)).await;
        };
        if !answer.status.is_success() {
            let code = element(&received, "Code").unwrap_or_else(|| answer.status.to_string());
            let keys = Refusal::of(&answer, &received, "", &self.region).in_session(base.session_token.is_some());
            if KEYS_REFUSED.contains(&keys.code.as_str()) {
                return Err(Refusal {
                    reason: format!("the role {} cannot be assumed: {}", role.arn, keys.reason),
                    ..keys
                });
            }
            let said = element(&received, "Message").unwrap_or_default();
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

/// All that an error says, without the repetitions.
fn whole(error: &reqsign_core::Error) -> String {
    let deeper = chain(error);
    let text = error.to_string();
    if text.contains(&deeper) { text } else { format!("{text}: {deeper}") }
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

/// Files with profiles and tokens.
#[derive(Debug)]
struct Files;

impl reqsign_core::FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        tokio::fs::read(path)
            .await
            .map_err(|error| reqsign_core::Error::unexpected("the file cannot be read").with_source(error))
    }
}

/// Where metadata services name the instance's role.
const ROLES: &str = "/meta-data/iam/security-credentials/";

/// Requests to metadata services.
#[derive(Debug)]
struct Sender(reqwest::Client);

impl reqsign_core::HttpSend for Sender {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let mut attempt = 0;
        loop {
            let request = self.0.request(parts.method.clone(), parts.uri.to_string()).headers(parts.headers.clone());
            attempt += 1;
            let sent = Sent::begun();
            let exchanged = exchange(request.body(body.clone()), NEAR.idle, &sent);
            let failure = match tokio::time::timeout(NEAR.request, exchanged).await {
                Ok(Ok((answer, _))) if answer.status == 404 && parts.uri.path().ends_with(ROLES) => {
                    return Err(reqsign_core::Error::config_invalid("no role is attached to this instance"));
                }
                Ok(Ok((answer, received))) => return Ok(http::Response::from_parts(answer, received)),
                Ok(Err(Received::Error(error))) => reqsign_core::Error::unexpected(chain(&error)),
                Ok(Err(Received::TooLong)) => reqsign_core::Error::unexpected("the answer is too long"),
                Ok(Err(Received::Idle)) | Err(_) => reqsign_core::Error::unexpected("there is no answer"),
            };
            if attempt >= NEAR.attempts {
                return Err(failure);
            }
            tokio::time::sleep(NEAR.interval).await;
        }
    }
}
