//! What a store, or the way to it, said no with, in words that help.

use crate::error::ErrorKind;
use http::StatusCode;
use http::response::Parts;

/// Why a request failed for good.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(in crate::storage) struct Refusal {
    pub(in crate::storage) kind: ErrorKind,
    /// S3's code, such as `AccessDenied`; empty when the answer had none, as to HEAD.
    pub(in crate::storage) code: String,
    pub(in crate::storage) reason: String,
    pub(in crate::storage) advice: &'static str,
    /// Whether another session of the same role might be let in.
    pub(super) may_be_the_sessions_end: bool,
}

impl Refusal {
    pub(super) fn new(kind: ErrorKind, reason: impl Into<String>, advice: &'static str) -> Refusal {
        Refusal { kind, code: "local".to_owned(), reason: reason.into(), advice, may_be_the_sessions_end: false }
    }

    /// The same, of a request that was signed with a session's key, if `session`. Of one that has ended AWS says so; Ceph says that it does
    /// not know the key, or that access is denied.
    pub(super) fn in_session(mut self, session: bool) -> Refusal {
        if session && self.kind == ErrorKind::PermissionDenied {
            self.may_be_the_sessions_end =
                !matches!(self.code.as_str(), "SignatureDoesNotMatch" | "RequestTimeTooSkewed");
            if self.code == "InvalidAccessKeyId" {
                let said = self.reason.split_once(" (").map_or(String::new(), |(_, said)| format!(" ({said}"));
                self.reason = format!("the store does not know the session: it has ended, or is another store's{said}");
                self.advice = "get new session credentials: key, secret and token belong together";
            }
        }
        self
    }

    /// Of an answer that is an error.
    pub(super) fn of(answer: &Parts, body: &[u8], bucket: &str, region: &str) -> Refusal {
        let code = element(body, "Code").unwrap_or_default();
        let said = element(body, "Message").unwrap_or_default();
        let header = answer.headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        let right =
            header.map(|text| plain(text, 64)).or_else(|| element(body, "Region")).filter(|right| right != region);
        let status = answer.status;
        let reason = |text: &str| match (code.is_empty(), said.is_empty()) {
            (true, _) => format!("{text} ({status})"),
            (false, true) => format!("{text} ({code})"),
            (false, false) => format!("{text} ({code}: {said})"),
        };
        use ErrorKind::{Invalid, NotFound, PermissionDenied, Unavailable, Unsupported};
        let (kind, text, advice) = match (code.as_str(), status.as_u16()) {
            // The second is what Google says.
            ("InvalidAccessKeyId" | "InvalidSecurity", _) => (
                PermissionDenied,
                "the store does not know the access key".to_owned(),
                "check `aws.s3.access_key`, and that the endpoint is the right one",
            ),
            ("SignatureDoesNotMatch", _) => {
                (PermissionDenied, "the secret key is wrong".to_owned(), "check `aws.s3.secret_key`")
            }
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired", _) => (
                PermissionDenied,
                "the session has expired".to_owned(),
                "get new session credentials: key, secret and token belong together",
            ),
            ("InvalidToken" | "InvalidTokenId" | "InvalidClientTokenId", _) => (
                PermissionDenied,
                "the store does not accept the session token or the key it belongs to".to_owned(),
                "check that key, secret and `aws.s3.session_token` belong together",
            ),
            ("RequestTimeTooSkewed", _) => (
                PermissionDenied,
                "the clocks of this machine and the store differ too much".to_owned(),
                "set this machine's clock",
            ),
            ("NoSuchBucket", _) => {
                (NotFound, format!("there is no bucket `{bucket}`"), "check the bucket's name and the endpoint")
            }
            (
                "AuthorizationHeaderMalformed"
                | "PermanentRedirect"
                | "TemporaryRedirect"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301 | 307 | 308) => {
                let place =
                    right.map_or_else(|| "another region or endpoint".to_owned(), |right| format!("region `{right}`"));
                (
                    Invalid,
                    format!("the bucket `{bucket}` is in {place}, not in `{region}`"),
                    "set `aws.s3.region`, and `aws.s3.endpoint` to that region's address",
                )
            }
            ("AccessDenied", _) | (_, 401 | 403) => (
                PermissionDenied,
                "access is denied".to_owned(),
                "check the keys or the role, and what they may do in this bucket",
            ),
            ("InvalidObjectState", _) => {
                (Unavailable, "the object is in an archive tier".to_owned(), "bring it back from the archive first")
            }
            ("NotImplemented" | "MethodNotAllowed", _) => {
                (Unsupported, "the store does not offer this operation".to_owned(), "")
            }
            _ if status == 429 || asks_for_patience(&code) => {
                (Unavailable, "the store asks for fewer requests".to_owned(), "try again later or with fewer --workers")
            }
            (_, 500..) => (
                Unavailable,
                "the store failed".to_owned(),
                "try again; if it stays so, look at the store's own messages",
            ),
            (_, 400) if right.is_some() => {
                let right = right.unwrap_or_default();
                (
                    Invalid,
                    format!("the bucket `{bucket}` is in region `{right}`, not in `{region}`"),
                    "set `aws.s3.region`, and `aws.s3.endpoint` to that region's address",
                )
            }
            _ => (
                Invalid,
                "the store rejects the request".to_owned(),
                "check that the endpoint is an S3 endpoint, and the region",
            ),
        };
        Refusal { kind, reason: reason(&text), code, advice, may_be_the_sessions_end: false }
    }
}

/// Codes of services that are asked too much, or too early. Some come as 400.
fn asks_for_patience(code: &str) -> bool {
    let others = ["SlowDown", "RequestLimitExceeded", "TooManyRequests", "TooManyRequestsException"];
    code.starts_with("Throttl") || others.contains(&code)
}

/// Whether the same request may be answered otherwise a little later.
pub(super) fn is_transient(status: StatusCode, code: &str) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
        || asks_for_patience(code)
        || matches!(code, "RequestTimeout" | "OperationAborted" | "IDPCommunicationError")
}

/// Text of the first element `name` of a small XML document, capped and without anything but plain text.
pub(super) fn element(body: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body.get(..body.len().min(64 << 10))?);
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    let inner = inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#34;", "\"");
    let inner = inner.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&");
    Some(plain(&inner, 4096))
}

fn plain(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect::<String>().trim().to_owned()
}
