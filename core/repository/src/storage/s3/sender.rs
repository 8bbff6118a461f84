//! What those who look for credentials read and ask with: files, and requests to services.

use super::body::Sent;
use super::http::{Received, chain, client, exchange};
use super::refusal::{Refusal, element, is_transient};
use crate::location::Patience;
use crate::storage::chance::pause;
use bytes::Bytes;
use http::{Request, Uri};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Files with profiles and tokens.
#[derive(Debug)]
pub(super) struct Files;

impl reqsign_core::FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        tokio::fs::read(path)
            .await
            .map_err(|error| reqsign_core::Error::unexpected("the file cannot be read").with_source(error))
    }
}

/// Metadata services are near: whoever does not answer soon is not there.
const NEAR: Patience = Patience {
    attempts: 2,
    interval: Duration::from_millis(200),
    connect: Duration::from_secs(2),
    idle: Duration::from_secs(5),
    request: Duration::from_secs(10),
};

/// Others are in the network, behind a proxy perhaps.
const FAR: Patience = Patience {
    attempts: 2,
    interval: Duration::from_millis(300),
    connect: Duration::from_secs(10),
    idle: Duration::from_secs(20),
    request: Duration::from_secs(30),
};

/// Where metadata services name the instance's role.
const ROLES: &str = "/meta-data/iam/security-credentials/";

/// Why the last request got no answer of use, though another may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody was there.
    Unreached,
    /// Who was there asked to come back later.
    Busy,
}

/// Requests to metadata services, and to others that hand out credentials.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    near: reqwest::Client,
    far: reqwest::Client,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Sender {
    pub(super) fn new() -> Result<Sender, Refusal> {
        Ok(Sender { near: client(&NEAR, false)?, far: client(&FAR, true)?, trouble: Arc::default() })
    }

    /// Of the last request; it is not told twice.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Whether an address is this machine's, or of its link: no proxy leads there.
pub(super) fn is_near(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        // Of the unique local ones, fd00:ec2:: is where AWS has its metadata.
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

impl reqsign_core::HttpSend for Sender {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let (client, patience) = if is_near(&parts.uri) { (&self.near, NEAR) } else { (&self.far, FAR) };
        let mut attempt = 0;
        loop {
            let request = client.request(parts.method.clone(), parts.uri.to_string()).headers(parts.headers.clone());
            attempt += 1;
            let sent = Sent::begun();
            let exchanged = exchange(request.body(body.clone()), patience.idle, &sent);
            let failure = match tokio::time::timeout(patience.request, exchanged).await {
                Ok(Ok((answer, _))) if answer.status == 404 && parts.uri.path().ends_with(ROLES) => {
                    self.note(None);
                    return Err(reqsign_core::Error::config_invalid("no role is attached to this instance"));
                }
                Ok(Ok((answer, received))) => {
                    let code = element(&received, "Code").unwrap_or_default();
                    let busy = is_transient(answer.status, &code);
                    self.note(busy.then_some(Trouble::Busy));
                    if !busy {
                        return Ok(http::Response::from_parts(answer, received));
                    }
                    let code = if code.is_empty() { code } else { format!(" ({code})") };
                    reqsign_core::Error::rate_limited(format!("it answers {}{code}", answer.status))
                }
                Ok(Err(Received::TooLong)) => {
                    self.note(None);
                    return Err(reqsign_core::Error::unexpected("the answer is too long"));
                }
                Ok(Err(Received::Error(error))) => {
                    self.note(Some(Trouble::Unreached));
                    reqsign_core::Error::unexpected(chain(&error))
                }
                Ok(Err(Received::Idle)) | Err(_) => {
                    self.note(Some(Trouble::Unreached));
                    reqsign_core::Error::unexpected("there is no answer")
                }
            };
            if attempt >= patience.attempts {
                return Err(failure);
            }
            tokio::time::sleep(pause(patience.interval, patience.interval, attempt)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_what_is_near_is_asked_without_a_proxy() {
        for near in [
            "http://169.254.169.254/latest",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://localhost:1",
            "http://127.0.0.1:9",
            "http://[::1]:9",
        ] {
            assert!(is_near(&near.parse().unwrap()), "{near}");
        }
        for far in ["https://sts.amazonaws.com/", "https://portal.sso.eu-west-1.amazonaws.com/x", "http://10.0.0.1/"] {
            assert!(!is_near(&far.parse().unwrap()), "{far}");
        }
    }
}
