//! The way to one HDFS cluster: its configuration, connections, deadlines and retries. The client of HDFS has no deadlines for a NameNode
//! that takes calls and never answers, blocks its thread while Kerberos asks the KDC, and panics on answers that it does not expect. So
//! every call runs on threads of the cluster's own and is waited for so long and no longer.

use super::config::{Config, HA, NameNode};
use super::keytab::{self, Checked};
use super::patience::Patience;
use super::probe::{self, Answer, Wants};
use super::protection::{DATA, Protection};
use super::refusal::{Again, Refusal};
use crate::error::ErrorKind;
use crate::location::{AUTHENTICATION, HdfsLocation};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hdfs_native::{Client, ClientBuilder};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout};

/// For NameNodes that answer after the first: so that one that hangs does not hold up the others.
const GRACE: Duration = Duration::from_millis(500);
/// A call that goes on for so many of its deadlines is given up although it makes progress.
const MOST_ROUNDS: u32 = 20;
/// From this attempt on a call has a connection of its own: on a shared one, whatever befalls one call befalls all, again and again where
/// many are made at once.
const APART: u32 = 2;
const BEST_EFFORT: &str = "dfs.client.block.write.replace-datanode-on-failure.best-effort";
/// There are no configuration files in it: we read them ourselves.
const NO_DIRECTORY: &str = "/dev/null/none";

/// What is known before anything is asked.
#[derive(Debug)]
struct Setup {
    config: Config,
    kerberos: bool,
    protection: Protection,
    keytab: Option<Checked>,
    name_nodes: Vec<NameNode>,
    /// The host was given without a port and is no nameservice.
    assumed: bool,
    patience: Patience,
}

/// A client whose NameNodes were asked what they want.
#[derive(Debug)]
struct Session {
    client: Client,
}

#[derive(Debug, Default)]
struct State {
    session: Option<Arc<Session>>,
    /// When connecting failed last: those who waited for it need not try by themselves.
    failed: Option<(Instant, Refusal)>,
}

/// See above.
#[derive(Debug)]
pub(super) struct Cluster {
    location: HdfsLocation,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    setup: OnceCell<Setup>,
    state: Mutex<State>,
    /// Whether the last call came through: then a failure is worth more patience than a first contact, which may be a slip of the pen.
    well: AtomicBool,
    /// Whether a call was given up and none came through since: those that follow need not wait as long again.
    gone: AtomicBool,
}

/// Tells of a long call that it goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn made(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Task<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cluster {
    pub(super) fn new(location: &HdfsLocation) -> std::io::Result<Cluster> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("hdfs")
            .enable_all()
            .build()?;
        Ok(Cluster {
            location: location.clone(),
            runtime: Some(runtime),
            setup: OnceCell::new(),
            state: Mutex::default(),
            well: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        })
    }

    /// The cluster's own threads; none only while it is dropped.
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }

    pub(super) async fn patience(&self) -> Result<Patience, Refusal> {
        Ok(self.setup().await?.patience)
    }

    /// What the user must know of the configuration, once it was read.
    pub(super) fn note(&self) -> Option<String> {
        self.setup.get()?.protection.note()
    }

    pub(super) async fn config(&self) -> Result<&Config, Refusal> {
        Ok(&self.setup().await?.config)
    }

    /// Runs `work` on the cluster's threads, and gives it up when it makes no progress for `idle`.
    pub(super) async fn run<T, E>(
        &self,
        idle: Duration,
        progress: &Progress,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
    {
        let gone = || Refusal::new(ErrorKind::Unavailable, "the program is shutting down", "");
        let mut task = Task(self.handle().ok_or_else(gone)?.spawn(work));
        let mut rounds = 0;
        loop {
            rounds += 1;
            match timeout(idle, &mut task.0).await {
                Ok(Ok(done)) => return done.map_err(Into::into),
                Ok(Err(error)) if error.is_panic() => {
                    let reason = "the client of HDFS failed over an answer that it did not expect";
                    return Err(Refusal::unavailable(reason, "check that the port is that of the NameNode's RPC"));
                }
                Ok(Err(_)) => return Err(gone()),
                Err(_) if progress.0.swap(0, Ordering::Relaxed) > 0 && rounds < MOST_ROUNDS => {}
                Err(_) => {
                    let reason = format!("there was no answer within {idle:?}");
                    return Err(Refusal::unavailable(
                        reason,
                        "check the network, and that NameNode, DataNodes and KDC are well",
                    ));
                }
            }
        }
    }

    /// Calls the NameNode until it answers, within deadlines. What is called may have been done before when its answer was lost.
    pub(super) async fn call<T, E, F>(&self, work: impl Fn(Client, Progress) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
    {
        let patience = self.patience().await?;
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            let done = if attempt < APART { self.once(&work).await } else { self.apart(&work).await };
            let failure = match done {
                Ok(done) => return Ok(done),
                Err(refusal) if refusal.again == Again::Never => return Err(refusal),
                Err(failure) => failure,
            };
            let pause = patience.pause(attempt);
            let (attempts, whole) = match self.well.load(Ordering::Relaxed) {
                true => (patience.attempts, patience.whole()),
                false if self.gone.load(Ordering::Relaxed) && failure.again != Again::Failover => (1, patience.whole()),
                false => patience.at_first(failure.again),
            };
            if attempt >= attempts || begun.elapsed() + pause >= whole {
                self.well.store(false, Ordering::Relaxed);
                self.gone.store(true, Ordering::Relaxed);
                return Err(after(failure, attempt));
            }
            tracing::debug!("attempt {attempt} with {}: {}", self.location.url(), failure.reason);
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// As [`Cluster::call`], without trying again.
    pub(super) async fn once<T, E, F>(&self, work: &impl Fn(Client, Progress) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
    {
        let session = self.session().await?;
        let done = self.with(&session, work).await;
        if let Err(Refusal { again: Again::Anew | Again::Nobody | Again::Failover, .. }) = &done {
            let mut state = self.state.lock().await;
            state.session.take_if(|there| Arc::ptr_eq(there, &session));
        }
        done
    }

    /// As [`Cluster::once`], with a client that nobody else has; others have it later, when it does well and they have none.
    async fn apart<T, E, F>(&self, work: &impl Fn(Client, Progress) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
    {
        let session = Arc::new(self.connect().await?);
        let done = self.with(&session, work).await;
        if let (Ok(_), Ok(mut state)) = (&done, self.state.try_lock()) {
            state.session.get_or_insert(session);
        }
        done
    }

    async fn with<T, E, F>(&self, session: &Session, work: &impl Fn(Client, Progress) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Into<Refusal> + Send + 'static,
    {
        let patience = self.patience().await?;
        let progress = Progress::default();
        let done = self.run(patience.answer, &progress, work(session.client.clone(), progress.clone())).await;
        if !matches!(&done, Err(Refusal { again: Again::Anew | Again::Nobody | Again::Failover, .. })) {
            self.well.store(true, Ordering::Relaxed);
            self.gone.store(false, Ordering::Relaxed);
        }
        done
    }

    async fn setup(&self) -> Result<&Setup, Refusal> {
        self.setup
            .get_or_try_init(|| async {
                let location = self.location.clone();
                // Files may lie on filesystems that hang.
                let read = async move {
                    let read = tokio::task::spawn_blocking(move || Setup::of(&location)).await;
                    read.unwrap_or_else(|_| Err(Refusal::new(ErrorKind::Io, "the configuration cannot be read", "")))
                };
                self.run(Duration::from_secs(30), &Progress::default(), read).await
            })
            .await
    }

    async fn session(&self) -> Result<Arc<Session>, Refusal> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(session) = &state.session {
            return Ok(Arc::clone(session));
        }
        if let Some((at, refusal)) = &state.failed
            && *at >= asked
        {
            return Err(refusal.clone());
        }
        match self.connect().await {
            Ok(session) => {
                let session = Arc::new(session);
                state.session = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(refusal) => {
                state.failed = Some((Instant::now(), refusal.clone()));
                Err(refusal)
            }
        }
    }

    async fn connect(&self) -> Result<Session, Refusal> {
        let setup = self.setup().await?;
        let (nodes, kerberos, patience) = (setup.name_nodes.clone(), setup.kerberos, setup.patience.connect);
        let protection = setup.protection;
        let asking = async move { usable(nodes, kerberos, protection, patience).await };
        // Connecting and the greeting have their own deadlines within.
        let usable = self.run(patience.saturating_mul(3), &Progress::default(), asking).await;
        let usable =
            usable.map_err(|refusal| match setup.assumed && matches!(refusal.again, Again::Anew | Again::Nobody) {
                true => {
                    let reason = format!(
                        "`{}` is no nameservice of the configuration, and as a host: {}",
                        self.location.host, refusal.reason
                    );
                    Refusal { reason, advice: HA, ..refusal }
                }
                false => refusal,
            })?;
        let builder = self.builder(setup, &usable);
        // It may ask the Kerberos library.
        let building = async move {
            match tokio::task::spawn_blocking(move || builder.build()).await {
                Ok(built) => built.map_err(Refusal::from),
                Err(_) => {
                    Err(Refusal::new(ErrorKind::Invalid, "the client of HDFS does not take the configuration", ""))
                }
            }
        };
        let client = self.run(setup.patience.answer, &Progress::default(), building).await?;
        Ok(Session { client })
    }

    fn builder(&self, setup: &Setup, usable: &[NameNode]) -> ClientBuilder {
        let host = &self.location.host;
        let mut config = setup.config.clone();
        config.set(AUTHENTICATION, if setup.kerberos { "kerberos" } else { "simple" });
        if setup.kerberos && config.get(DATA).is_none() {
            // Without it the client does not greet secure DataNodes as they expect; which level is used is theirs to say.
            config.set(DATA, "authentication,integrity,privacy");
        }
        if config.get(BEST_EFFORT).is_none() {
            // Where all DataNodes are in a pipeline and one dies, no other can take its place; the NameNode copies the block later.
            config.set(BEST_EFFORT, "true");
        }
        config.set("dfs.client.socket-timeout", setup.patience.data.as_millis().to_string());
        // Every NameNode once; trying again is our business.
        config.set("dfs.client.failover.max.attempts", usable.len().saturating_sub(1).to_string());
        config.set(format!("dfs.client.failover.random.order.{host}"), "false");
        let ids: Vec<_> = usable.iter().filter_map(|node| node.id.as_deref()).collect();
        let url = match usable.first() {
            Some(NameNode { id: None, address }) => format!("hdfs://{address}"),
            _ => {
                config.set(format!("dfs.ha.namenodes.{host}"), ids.join(","));
                for node in usable {
                    let id = node.id.as_deref().unwrap_or_default();
                    config.set(format!("dfs.namenode.rpc-address.{host}.{id}"), node.address.clone());
                }
                format!("hdfs://{host}")
            }
        };
        let mut builder = ClientBuilder::new().with_url(url).with_config(config.pairs()).with_config_dir(NO_DIRECTORY);
        if let Some(handle) = self.handle() {
            builder = builder.with_io_runtime(handle.clone());
        }
        match (setup.kerberos, &self.location.user, &self.location.principal) {
            // With Kerberos it would be somebody to impersonate.
            (false, Some(user), _) => builder = builder.with_user(user),
            (true, _, Some(principal)) => builder = builder.with_kerberos_principal(principal),
            _ => {}
        }
        if let Some(keytab) = &setup.keytab {
            builder = builder.with_kerberos_keytab(keytab.path.to_string_lossy());
        }
        builder
    }
}

impl Setup {
    fn of(location: &HdfsLocation) -> Result<Setup, Refusal> {
        let config = Config::load(location)?;
        let kerberos = config.kerberos()?;
        let protection = Protection::of(&config, kerberos)?;
        let (name_nodes, assumed) = config.name_nodes(location)?;
        let patience = Patience::of(&config)?;
        if !kerberos && (location.principal.is_some() || location.keytab.is_some()) {
            let reason = "it is not `kerberos`, but a principal or a keytab is given";
            return Err(Refusal::property(AUTHENTICATION, reason));
        }
        let keytab = match (&location.keytab, &location.principal) {
            (Some(keytab), Some(principal)) => Some(keytab::check(keytab, principal)?),
            (Some(_), None) => {
                return Err(Refusal::property("kerberos_principal", "it is missing, but a keytab is given"));
            }
            (None, _) => None,
        };
        Ok(Setup { config, kerberos, protection, keytab, name_nodes, assumed, patience })
    }
}

/// Those NameNodes that answer, and ask for the authentication that is meant.
async fn usable(
    nodes: Vec<NameNode>,
    kerberos: bool,
    protection: Protection,
    patience: Duration,
) -> Result<Vec<NameNode>, Refusal> {
    let asked = nodes.iter().enumerate();
    let mut asked: FuturesUnordered<_> =
        asked.map(|(at, node)| async move { (at, probe::ask(&node.address, patience).await) }).collect();
    let mut good: Vec<usize> = Vec::new();
    let mut failures: Vec<Refusal> = Vec::new();
    loop {
        let wait = if good.is_empty() { patience.saturating_mul(2) } else { GRACE };
        let Ok(Some((at, answer))) = timeout(wait, asked.next()).await else { break };
        let address = nodes.get(at).map_or("", |node| node.address.as_str());
        match answer {
            Ok(Answer { wants: Wants::Simple, .. }) if kerberos => return Err(insecure(address)),
            Ok(Answer { wants: Wants::Kerberos, .. }) if !kerberos => return Err(secure(address)),
            Ok(Answer { offers, .. }) => {
                protection.check(address, offers)?;
                good.push(at);
            }
            Err(failure) => failures.push(failure),
        }
    }
    good.sort_unstable();
    if !good.is_empty() {
        return Ok(good.into_iter().filter_map(|at| nodes.get(at).cloned()).collect());
    }
    let reasons: Vec<_> = failures.iter().map(|failure| failure.reason.as_str()).collect();
    let reason = match reasons.as_slice() {
        [alone] => format!("the NameNode {alone}"),
        [] => "no NameNode answers".to_owned(),
        all => format!("no NameNode can be used: {}", all.join("; ")),
    };
    let all = |these: &[Again]| failures.iter().all(|failure| these.contains(&failure.again));
    let again = if failures.is_empty() || !all(&[Again::Never, Again::Nobody]) {
        Again::Anew
    } else if all(&[Again::Never]) {
        Again::Never
    } else {
        Again::Nobody
    };
    let (kind, advice) =
        failures.first().map_or((ErrorKind::Unavailable, ""), |failure| (failure.kind, failure.advice));
    Err(Refusal { kind, reason, advice, again })
}

fn insecure(address: &str) -> Refusal {
    let reason = format!(
        "Kerberos is asked for, but the NameNode {address} does not use it: everything would go on without authentication"
    );
    Refusal::new(
        ErrorKind::PermissionDenied,
        reason,
        "check the address; for a cluster without Kerberos set `hadoop.security.authentication` to simple",
    )
}

fn secure(address: &str) -> Refusal {
    let reason = format!("the NameNode {address} asks for Kerberos");
    Refusal::new(
        ErrorKind::PermissionDenied,
        reason,
        "set `hadoop.security.authentication` to kerberos, and `kerberos_principal` and `kerberos_keytab` (or run kinit)",
    )
}

/// It was tried often enough: whoever asked does not start over.
fn after(failure: Refusal, attempts: u32) -> Refusal {
    let reason = match attempts {
        1 => failure.reason,
        _ => format!("{}, after {attempts} attempts", failure.reason),
    };
    Refusal { again: Again::Never, reason, ..failure }
}

impl std::fmt::Debug for Config {
    /// Values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Config({} properties)", self.pairs().count())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A thread may be held up by the Kerberos library: nobody waits for it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
