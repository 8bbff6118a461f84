//! A small S3 server in the test's own process: objects in memory, signatures checked, faults on demand. It also hands out sessions as the
//! token service and the metadata service of an instance do.
#![allow(dead_code)]

#[path = "s3_server/objects.rs"]
mod objects;
#[path = "s3_server/request.rs"]
mod request;
#[path = "s3_server/sessions.rs"]
mod sessions;

use reqsign_core::hash::{hex_hmac_sha256, hex_sha1, hex_sha256, hmac_sha256};
use request::{Request, decoded, encoded, read_request};
use starsnap_repository::Location;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub const ACCESS: &str = "AKIATEST";
pub const SECRET: &str = "secret/of+the+test";
pub const REGION: &str = "us-east-1";
pub const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
pub const EXTERNAL_ID: &str = "external id & more";

type Reply = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// What happens to a request that is picked for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Unavailable,
    Reset,
    /// Done, but the answer is lost.
    Lost,
    Truncated,
    Stalled,
    Slow,
    /// Done, but said to have failed.
    Failed,
}

const FAULTS: [Fault; 7] =
    [Fault::Unavailable, Fault::Reset, Fault::Lost, Fault::Truncated, Fault::Stalled, Fault::Slow, Fault::Failed];

/// Bytes of a body: when, of which path, how many.
pub type Moved = (Instant, String, usize);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Arc<Vec<u8>>>,
    uploads: HashMap<String, (String, BTreeMap<u32, Vec<u8>>)>,
    /// Secret, session token, and whether it has expired, by access key.
    keys: HashMap<String, (String, Option<String>, bool)>,
    requests: Vec<String>,
    next: u64,
}

pub struct Server {
    address: std::net::SocketAddr,
    state: Mutex<State>,
    /// Of a thousand requests, how many get a fault.
    permille: AtomicU64,
    seed: AtomicU64,
    only: Mutex<Option<Fault>>,
    /// Requests so far, those that got a fault, and from which one on all of them do.
    answered: AtomicU64,
    faulted: AtomicU64,
    fail_from: AtomicU64,
    /// When how many bytes of bodies came and went, and for which path.
    taken: Mutex<Vec<Moved>>,
    sent: Mutex<Vec<Moved>>,
    /// Seconds until handed out sessions expire.
    pub session_seconds: AtomicU64,
    /// With what status and code those are refused who ask for sessions.
    pub refusing: Mutex<Option<(u16, &'static str)>>,
    /// For which region the token service wants requests signed.
    pub token_region: Mutex<&'static str>,
    impatient: AtomicBool,
    /// Milliseconds that a copy takes, in which nothing is sent.
    pub copying: AtomicU64,
}

impl Server {
    /// Starts on a port of its own; ends with the runtime.
    pub fn start() -> Arc<Server> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            State { keys: HashMap::from([(ACCESS.to_owned(), (SECRET.to_owned(), None, false))]), ..State::default() };
        let server = Arc::new(Server {
            address,
            state: Mutex::new(state),
            permille: AtomicU64::new(0),
            seed: AtomicU64::new(1),
            only: Mutex::new(None),
            answered: AtomicU64::new(0),
            faulted: AtomicU64::new(0),
            fail_from: AtomicU64::new(u64::MAX),
            taken: Mutex::default(),
            sent: Mutex::default(),
            session_seconds: AtomicU64::new(3600),
            refusing: Mutex::default(),
            token_region: Mutex::new(REGION),
            impatient: AtomicBool::new(false),
            copying: AtomicU64::new(0),
        });
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&serving);
                tokio::spawn(async move {
                    let _ = server.serve(stream).await;
                });
            }
        });
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, properties are such that stalled answers are soon given up. Without faults nobody wants that: on a busy machine the
    /// server itself may be slow.
    pub fn impatient(&self) {
        self.impatient.store(true, Ordering::Relaxed);
    }

    /// Properties of a location here, with keys.
    pub fn properties(&self) -> Vec<(String, String)> {
        let mut properties = self.bare_properties();
        properties.push(("aws.s3.access_key".to_owned(), ACCESS.to_owned()));
        properties.push(("aws.s3.secret_key".to_owned(), SECRET.to_owned()));
        properties
    }

    /// Without keys.
    pub fn bare_properties(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        let (idle, request) = if self.impatient.load(Ordering::Relaxed) { ("1s", "20s") } else { ("60s", "120s") };
        let given = [
            ("aws.s3.endpoint", endpoint.as_str()),
            ("aws.s3.region", REGION),
            ("aws.s3.enable_path_style_access", "true"),
            ("fs.s3a.attempts.maximum", "12"),
            ("fs.s3a.retry.interval", "2ms"),
            ("fs.s3a.connection.timeout", idle),
            ("fs.s3a.connection.request.timeout", request),
        ];
        given.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    pub fn location(&self, path: &str) -> Location {
        Location::with_properties(&format!("s3a://bucket/{path}"), &self.properties()).unwrap()
    }

    /// From now on, `permille` of a thousand requests get a fault, of any kind or of the one given.
    pub fn faults(&self, permille: u64, only: Option<Fault>) {
        *self.only.lock().unwrap() = only;
        self.permille.store(permille, Ordering::Relaxed);
        self.fail_from.store(u64::MAX, Ordering::Relaxed);
    }

    /// Once so many more requests are answered, all get a fault, until [`Server::faults`] says otherwise.
    pub fn fail_after(&self, requests: u64) {
        self.fail_from.store(self.answered() + requests, Ordering::Relaxed);
    }

    /// Bytes of bodies that came since the last call.
    pub fn taken(&self) -> Vec<Moved> {
        std::mem::take(&mut *self.taken.lock().unwrap())
    }

    /// Bytes of bodies that went since the last call.
    pub fn sent(&self) -> Vec<Moved> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    /// Requests that came so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Of those, how many got a fault.
    pub fn faulted(&self) -> u64 {
        self.faulted.load(Ordering::Relaxed)
    }

    /// Uploads in parts that were neither completed nor given up.
    pub fn unfinished(&self) -> usize {
        self.state().uploads.len()
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.state().objects.insert(key.to_owned(), Arc::new(bytes.to_vec()));
    }

    pub fn remove(&self, key: &str) {
        self.state().objects.remove(key);
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.state().objects.get(key).map(|bytes| bytes.to_vec())
    }

    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Method and address of the requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// Adds a session that is good for requests, or has expired.
    pub fn session(&self, access: &str, expired: bool) {
        self.state().keys.insert(access.to_owned(), ("s".repeat(40), Some(format!("token-of-{access}")), expired));
    }

    /// All sessions handed out so far expire.
    pub fn expire_sessions(&self) {
        for (_, token, expired) in self.state().keys.values_mut() {
            *expired |= token.is_some();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn fault(&self) -> Option<Fault> {
        let mut x = self.seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        let number = self.answered.fetch_add(1, Ordering::Relaxed);
        let picked =
            x % 1000 < self.permille.load(Ordering::Relaxed) || number >= self.fail_from.load(Ordering::Relaxed);
        self.faulted.fetch_add(u64::from(picked), Ordering::Relaxed);
        picked.then(|| self.only.lock().unwrap().unwrap_or(FAULTS[(x >> 32) as usize % FAULTS.len()]))
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let Some(request) = read_request(&mut stream, &mut buffer, &self.taken).await? else { return Ok(()) };
            let metadata = request.path.starts_with("/latest/");
            let fault = if metadata || request.path == "/" { None } else { self.fault() };
            self.state().requests.push(format!("{} {}?{}", request.method, request.path, request.query));
            if request.headers.contains_key("x-amz-copy-source") {
                tokio::time::sleep(Duration::from_millis(self.copying.load(Ordering::Relaxed))).await;
            }
            let reply = match fault {
                Some(Fault::Reset) => {
                    stream.set_zero_linger()?;
                    return Ok(());
                }
                Some(Fault::Unavailable) => error(503, "SlowDown", "Please reduce your request rate."),
                _ => self.answer(&request),
            };
            let reply = match fault {
                Some(Fault::Lost) => return Ok(()),
                Some(Fault::Failed) => error(500, "InternalError", "We encountered an internal error."),
                _ => reply,
            };
            let (status, headers, mut body) = reply;
            if request.method == "HEAD" {
                body.clear();
            }
            self.sent.lock().unwrap().push((Instant::now(), request.path.clone(), body.len()));
            let mut head = format!("HTTP/1.1 {status} X\r\n");
            for (name, value) in &headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            if !headers.iter().any(|(name, _)| *name == "Content-Length") && status != 204 {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            let mut bytes = (head + "\r\n").into_bytes();
            bytes.extend_from_slice(&body);
            let half = bytes.len() - 1 - body.len() / 2;
            match fault {
                Some(Fault::Truncated) => return stream.write_all(&bytes[..half]).await,
                Some(Fault::Stalled) => {
                    stream.write_all(&bytes[..half]).await?;
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    return Ok(());
                }
                Some(Fault::Slow) => {
                    for piece in bytes.chunks(bytes.len().div_ceil(5)) {
                        stream.write_all(piece).await?;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                _ => stream.write_all(&bytes).await?,
            }
        }
    }

    fn answer(&self, request: &Request) -> Reply {
        let sessions = request.path == "/" || request.path.starts_with("/latest/");
        if let (true, Some((status, code))) = (sessions, *self.refusing.lock().unwrap()) {
            return error(status, code, "Come back later.");
        }
        if request.path.starts_with("/latest/") {
            return self.metadata(request);
        }
        if let Err(reply) = self.authorize(request) {
            return reply;
        }
        if request.path == "/" {
            return self.token_service(request);
        }
        let path = decoded(&request.path);
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        if bucket != "bucket" {
            return error(404, "NoSuchBucket", "The specified bucket does not exist");
        }
        let query = request.pairs();
        let has = |name: &str| query.contains_key(name);
        match (request.method.as_str(), key) {
            ("GET", "") => self.list(&query),
            ("GET" | "HEAD", _) => self.read(request, key),
            ("PUT", _) if has("partNumber") => self.part(request, &query),
            ("PUT", _) => self.write(request, key),
            ("POST", _) if has("uploads") => self.begin(key),
            ("POST", _) if has("uploadId") => self.complete(request, &query),
            ("DELETE", _) if has("uploadId") => {
                self.state().uploads.remove(&query["uploadId"]);
                (204, vec![], vec![])
            }
            ("DELETE", _) => {
                self.state().objects.remove(key);
                (204, vec![], vec![])
            }
            // As Google's store does to deleting many at once.
            _ => error(
                501,
                "NotImplemented",
                "A header or query you provided implies functionality that is not implemented",
            ),
        }
    }

    fn authorize(&self, request: &Request) -> Result<(), Reply> {
        let denied = || error(403, "AccessDenied", "Access Denied");
        let header = request.headers.get("authorization").ok_or_else(denied)?;
        let field = |name: &str| {
            let rest = header.split_once(name).map(|(_, rest)| rest)?;
            Some(rest.split([',', ' ']).next().unwrap_or_default().to_owned())
        };
        let credential = field("Credential=").ok_or_else(denied)?;
        let scope: Vec<&str> = credential.split('/').collect();
        let [access, date, region, service, "aws4_request"] = scope.as_slice() else { return Err(denied()) };
        let known = self.state().keys.get(*access).cloned();
        let Some((secret, token, expired)) = known else {
            return Err(error(
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            ));
        };
        let expected = if *service == "sts" { *self.token_region.lock().unwrap() } else { REGION };
        if *region != expected {
            let body = format!(
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region '{region}' is wrong</Message><Region>{REGION}</Region></Error>"
            );
            return Err((400, vec![], body.into_bytes()));
        }
        let signed_headers = field("SignedHeaders=").ok_or_else(denied)?;
        let headers: String = signed_headers
            .split(';')
            .map(|name| format!("{name}:{}\n", request.headers.get(name).map_or("", String::as_str)))
            .collect();
        let query: Vec<String> =
            request.pairs().iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let hash = request.headers.get("x-amz-content-sha256").cloned().unwrap_or_default();
        if hash != "UNSIGNED-PAYLOAD" && hash != hex_sha256(&request.body) {
            return Err(error(400, "XAmzContentSHA256Mismatch", "the body is another one"));
        }
        let canonical =
            format!("{}\n{}\n{}\n{headers}\n{signed_headers}\n{hash}", request.method, request.path, query.join("&"));
        let time = request.headers.get("x-amz-date").cloned().unwrap_or_default();
        let scope = format!("{date}/{region}/{service}/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex_sha256(canonical.as_bytes()));
        let mut key = hmac_sha256(format!("AWS4{secret}").as_bytes(), date.as_bytes());
        for part in [*region, *service, "aws4_request"] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        if field("Signature=") != Some(hex_hmac_sha256(&key, to_sign.as_bytes())) {
            return Err(error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match."));
        }
        if expired {
            return Err(error(400, "ExpiredToken", "The provided token has expired."));
        }
        if token.as_ref() != request.headers.get("x-amz-security-token") {
            return Err(error(403, "InvalidToken", "The provided token is malformed or otherwise invalid."));
        }
        Ok(())
    }
}

fn tag(bytes: &[u8]) -> String {
    hex_sha1(bytes)
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    (
        status,
        vec![],
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>").into_bytes(),
    )
}
