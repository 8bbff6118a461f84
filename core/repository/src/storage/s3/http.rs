//! One request to the store, tried until it is answered whole: signed anew for each attempt, within deadlines, the answer's body read to
//! its end before anybody sees it. So a reset, truncated or stalled answer is a failed attempt like any other.

use super::body::{Pieces, Sent};
use super::credentials::Credentials;
use super::gathered::Gathered;
use super::hollow::{Hollow, without_leading_slashes};
use super::refusal::{Refusal, element, is_transient};
use crate::error::ErrorKind;
use crate::limiter::Limiter;
use crate::location::{Patience, S3Location};
use crate::storage::chance::pause;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, header};
use opendal::{Buffer, HttpBody, HttpTransport};
use reqsign_aws_v4::RequestSigner;
use reqsign_core::{Context, SignRequest};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Longest body we take: a block of a file, or a page of a listing whose keys are as long as they may be.
const MAX_BODY: usize = 64 << 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The way to one store.
pub(super) struct Transport {
    client: reqwest::Client,
    credentials: Credentials,
    signer: RequestSigner,
    patience: Patience,
    bucket: String,
    region: String,
    endpoint: String,
    uploads: Option<Arc<Limiter>>,
    hollow: Option<Hollow>,
    /// The store is the bucket itself.
    at_root: bool,
}

/// What became of an attempt.
enum Attempt {
    Answered(http::response::Parts, Bytes),
    /// May go better next time.
    Failed(Refusal),
    /// Will not.
    Refused(Refusal),
}

/// A client of HTTP whose TLS is rustls with ring.
pub(super) fn client(patience: &Patience, proxied: bool) -> Result<reqwest::Client, Refusal> {
    // Whoever embeds us may have chosen another provider before: then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("starsnap/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(patience.connect)
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_nodelay(true);
    if !proxied {
        client = client.no_proxy();
    }
    client.build().map_err(|error| {
        Refusal::new(ErrorKind::Io, chain(&error), "check the certificates of this machine (package ca-certificates)")
    })
}

impl Transport {
    pub(super) fn new(location: &S3Location, uploads: Option<Arc<Limiter>>) -> Result<Transport, Refusal> {
        let host = reqwest::Url::parse(&location.endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_default();
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        let here = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
        Ok(Transport {
            client: client(&location.patience, !here)?,
            credentials: Credentials::new(location)?,
            signer: RequestSigner::new("s3", &location.region),
            patience: location.patience,
            bucket: location.bucket.clone(),
            region: location.region.clone(),
            endpoint: location.endpoint.clone(),
            uploads,
            hollow: Hollow::of(&location.root),
            at_root: location.root.is_empty(),
        })
    }

    async fn answer(&self, parts: &Parts, body: &Bytes) -> Result<(http::response::Parts, Bytes), Refusal> {
        // A server that is slow in every attempt must not take all the attempts' time. What takes long to send may take it.
        let mut deadline = Instant::now() + self.patience.request.saturating_mul(2);
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            let (begun, sent) = (Instant::now(), Sent::begun());
            let outcome = self.in_time(&sent, self.attempt(parts, body, &sent)).await;
            let sending = sent.last().saturating_duration_since(begun);
            deadline += sending;
            let failure = match outcome {
                Attempt::Answered(answer, body) => return Ok((answer, body)),
                // A session that ended early, or was replaced: once.
                Attempt::Refused(refusal) if refusal.may_be_the_sessions_end && !renewed => {
                    match self.credentials.renew(begun).await {
                        Ok(true) => {
                            tracing::debug!("the session is renewed after a refusal: {}", refusal.reason);
                            renewed = true;
                            continue;
                        }
                        Ok(false) => return Err(refusal),
                        // Whether that was the session's end is known when there is another.
                        Err(none) if none.kind == ErrorKind::Unavailable => Refusal {
                            reason: format!("{}; of another session, {}", refusal.reason, none.reason),
                            ..none
                        },
                        Err(none) => return Err(none),
                    }
                }
                Attempt::Refused(refusal) => return Err(refusal),
                Attempt::Failed(failure) => failure,
            };
            let pause = pause(self.patience.interval, LONGEST_PAUSE, attempt);
            if attempt >= self.patience.attempts || Instant::now() + pause >= deadline {
                let reason = match attempt {
                    1 => failure.reason,
                    _ => format!("{}, after {attempt} attempts", failure.reason),
                };
                return Err(Refusal { reason, ..failure });
            }
            tracing::debug!("attempt {attempt} of {} {}: {}", parts.method, parts.uri.path(), failure.reason);
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// `attempt`, unless it takes too long after all is sent.
    async fn in_time(&self, sent: &Sent, attempt: impl Future<Output = Attempt>) -> Attempt {
        tokio::pin!(attempt);
        loop {
            let until = sent.last() + self.patience.request;
            tokio::select! {
                outcome = &mut attempt => return outcome,
                () = sleep_until(until) => {}
            }
            if sent.last() + self.patience.request <= Instant::now() {
                return Attempt::Failed(Refusal::new(
                    ErrorKind::Unavailable,
                    format!("{} took longer than {:?} to answer", self.endpoint, self.patience.request),
                    "check the network; try again",
                ));
            }
        }
    }

    async fn attempt(&self, parts: &Parts, body: &Bytes, sent: &Sent) -> Attempt {
        let signed = match self.signed(parts).await {
            Ok(signed) => signed,
            Err(refusal) if refusal.kind == ErrorKind::Unavailable => return Attempt::Failed(refusal),
            Err(refusal) => return Attempt::Refused(refusal),
        };
        let session = signed.headers.contains_key("x-amz-security-token");
        let mut request = self.client.request(signed.method, signed.uri.to_string()).headers(signed.headers);
        if !body.is_empty() {
            request = request.body(reqwest::Body::wrap(Pieces::new(body.clone(), self.uploads.clone(), sent.clone())));
        }
        // Some stores send nothing while they copy.
        let copies = parts.headers.contains_key("x-amz-copy-source");
        let idle = if copies { self.patience.request.max(self.patience.idle) } else { self.patience.idle };
        let (answer, received) = match exchange(request, idle, sent).await {
            Ok(done) => done,
            Err(Received::Error(error)) => return unreachable(&self.endpoint, &parts.uri, &error),
            Err(Received::Idle) => {
                let reason = format!("{} sent nothing for {idle:?}", self.endpoint);
                let advice = "check the network and the store; try again";
                return Attempt::Failed(Refusal::new(ErrorKind::Unavailable, reason, advice));
            }
            Err(Received::TooLong) => {
                let reason = format!("{} sent an answer of more than {MAX_BODY} bytes", self.endpoint);
                return Attempt::Refused(Refusal::new(
                    ErrorKind::Unavailable,
                    reason,
                    "check that the endpoint is an S3 endpoint",
                ));
            }
        };
        let refusal = || Refusal::of(&answer, &received, &self.bucket, &self.region).in_session(session);
        // Copying and completing may fail after the store has already answered 200.
        let late = answer.status == StatusCode::OK
            && matches!(parts.method, Method::PUT | Method::POST)
            && element(&received, "Code").is_some();
        match answer.status.as_u16() {
            _ if late => Attempt::Failed(Refusal { kind: ErrorKind::Unavailable, ..refusal() }),
            200..300 | 304 | 412 | 416 => Attempt::Answered(answer, received),
            404 => match refusal() {
                refusal if refusal.code == "NoSuchBucket" => Attempt::Refused(refusal),
                _ => Attempt::Answered(answer, received),
            },
            _ => match refusal() {
                refusal if is_transient(answer.status, &refusal.code) => {
                    Attempt::Failed(Refusal { kind: ErrorKind::Unavailable, ..refusal })
                }
                refusal => Attempt::Refused(refusal),
            },
        }
    }

    async fn signed(&self, parts: &Parts) -> Result<Parts, Refusal> {
        let credential = self.credentials.get().await?;
        let mut signed = parts.clone();
        self.signer
            .sign_request(&Context::new(), &mut signed, Some(&credential), None)
            .await
            .map_err(|error| Refusal::new(ErrorKind::Invalid, format!("the request cannot be signed: {error}"), ""))?;
        // It is signed, but the client writes it.
        signed.headers.remove(header::HOST);
        Ok(signed)
    }
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let (mut parts, body) = request.into_parts();
        let head = parts.method == Method::HEAD;
        let lists = parts.uri.query().is_some_and(|query| query.contains("list-type="));
        if let Some(hollow) = &self.hollow {
            hollow.outward(&mut parts);
        }
        let (answer, mut received) = self.answer(&parts, &body.to_bytes()).await.map_err(opendal::Error::from)?;
        match &self.hollow {
            Some(hollow) if lists => received = hollow.inward(&received),
            None if lists && self.at_root => received = without_leading_slashes(&received),
            _ => {}
        }
        let size = if head { None } else { Some(received.len() as u64) };
        let whole = futures::stream::iter((!received.is_empty()).then(|| Ok(Buffer::from(received))));
        let mut response = Response::from_parts(answer, HttpBody::new(whole, size));
        // opendal finds the request's address here.
        response.extensions_mut().insert(parts.uri);
        Ok(response)
    }
}

impl From<Refusal> for opendal::Error {
    fn from(refusal: Refusal) -> opendal::Error {
        let kind = match refusal.kind {
            ErrorKind::PermissionDenied => opendal::ErrorKind::PermissionDenied,
            ErrorKind::Unsupported => opendal::ErrorKind::Unsupported,
            _ => opendal::ErrorKind::Unexpected,
        };
        opendal::Error::new(kind, refusal.reason.clone()).set_source(refusal)
    }
}

/// Why a body did not come.
pub(super) enum Received {
    Error(reqwest::Error),
    /// Nothing went or came for too long.
    Idle,
    TooLong,
}

/// Sends, and receives to the end. Gives up when for `idle` nothing is taken, as `sent` tells, and nothing comes.
pub(super) async fn exchange(
    request: reqwest::RequestBuilder,
    idle: Duration,
    sent: &Sent,
) -> Result<(http::response::Parts, Bytes), Received> {
    let sending = request.send();
    tokio::pin!(sending);
    let mut answer = loop {
        tokio::select! {
            answer = &mut sending => break answer.map_err(Received::Error)?,
            () = sleep_until(sent.last() + idle) => {}
        }
        if sent.last() + idle <= Instant::now() {
            return Err(Received::Idle);
        }
    };
    let mut body = Gathered::new(answer.content_length(), MAX_BODY);
    while let Some(piece) = timeout(idle, answer.chunk()).await.map_err(|_| Received::Idle)?.map_err(Received::Error)? {
        if body.len() + piece.len() > MAX_BODY {
            return Err(Received::TooLong);
        }
        body.extend(&piece);
    }
    let (parts, _) = Response::<reqwest::Body>::from(answer).into_parts();
    Ok((parts, body.freeze()))
}

/// A failure of the network or of TLS.
fn unreachable(endpoint: &str, asked: &Uri, error: &reqwest::Error) -> Attempt {
    let cause = chain(error);
    // Where the bucket is in the host's name, that host is asked.
    let host = asked.scheme_str().zip(asked.authority()).map(|(scheme, authority)| format!("{scheme}://{authority}"));
    let asked = host.as_deref().unwrap_or(endpoint);
    let tls = causes(error).any(|cause| cause.is::<rustls::Error>());
    let unavailable = |reason, advice| Attempt::Failed(Refusal::new(ErrorKind::Unavailable, reason, advice));
    if tls || cause.contains("certificate") || cause.contains("corrupt message") {
        let reason = format!("there is no secure connection to {endpoint}: {cause}");
        let advice = "check the certificate's name and issuer (SSL_CERT_FILE names another file of authorities), or set `aws.s3.enable_ssl` to false for a store without TLS";
        return Attempt::Refused(Refusal::new(ErrorKind::Unavailable, reason, advice));
    }
    if error.is_connect() {
        let advice = match asked == endpoint {
            true => "check `aws.s3.endpoint`, the network and that the store is up",
            false => {
                "check `aws.s3.endpoint`, the network and that the store is up; with `aws.s3.enable_path_style_access` = true the bucket is no part of the host's name"
            }
        };
        return unavailable(format!("{asked} cannot be reached: {cause}"), advice);
    }
    let advice = match endpoint.starts_with("http://") {
        true => "try again; a store that always breaks it may speak TLS only: write https:// in the endpoint",
        false => "try again",
    };
    unavailable(format!("the connection to {endpoint} broke: {cause}"), advice)
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        // An error of input and output hides what it wraps one step deeper.
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source())
    })
}

/// The innermost causes of an error, never the address, which a query could make long.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in causes(error).skip(1) {
        let text = cause.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}
