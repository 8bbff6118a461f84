//! What stands between the binary and an HDFS cluster: it passes on all that NameNodes, DataNodes and their client say, and some requests
//! fail on the way.

use crate::hdfs_cluster::Cluster;
use crate::test_stores::TestStore;
use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request that is picked for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, without being passed on: HDFS' kind of a 5xx.
    Refused,
    /// The connection is reset before or, where a DataNode is asked, within the answer.
    Reset,
    /// Done, but of the answer comes a part, and then the connection is closed.
    Truncated,
    /// Done, but of the answer comes a part, and then nothing.
    Stalled,
    Slow,
}

const FAULTS: [Fault; 5] = [Fault::Refused, Fault::Reset, Fault::Truncated, Fault::Stalled, Fault::Slow];

/// Whose requests fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    All,
    DataNodes,
}

struct Plan {
    /// Of a thousand requests, how many fail; of which kind, if of one only.
    faults: Mutex<(u64, Option<Fault>, Whose)>,
    /// From which request on all fail.
    fail_from: AtomicU64,
    asked: AtomicU64,
    faulted: AtomicU64,
}

impl Plan {
    /// The fault of the next request, and a random number: the same of the same request in every run.
    fn next(&self, whose: Whose) -> Option<(Fault, u64)> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let (permille, only, of) = *self.faults.lock().unwrap();
        let mut x = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        let all = permille >= 1000 || number >= self.fail_from.load(Ordering::Relaxed);
        let picked = (all || x % 1000 < permille) && (of == Whose::All || of == whose);
        let fault = only.unwrap_or(FAULTS[(x >> 32) as usize % FAULTS.len()]);
        // Where everything fails, it fails before a small answer is complete.
        let after = if all { (x >> 40) % 12 } else { [0, 10, 25, 2_000, 60_000][(x >> 40) as usize % 5] };
        picked.then_some((fault, after))
    }

    fn count(&self) {
        self.faulted.fetch_add(1, Ordering::Relaxed);
    }
}

/// The way to a cluster. Ends when dropped, and with it all connections.
pub struct Way {
    plan: Arc<Plan>,
    /// The cluster's store, as it is reached over this way by a client with little patience.
    pub store: TestStore,
    _runtime: tokio::runtime::Runtime,
}

impl Way {
    /// The cluster must be held, as no two may stand before its DataNodes.
    pub fn to(cluster: &Cluster) -> Way {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let counter = || AtomicU64::new(0);
        let plan = Arc::new(Plan {
            faults: Mutex::new((0, None, Whose::All)),
            fail_from: AtomicU64::new(u64::MAX),
            asked: counter(),
            faulted: counter(),
        });
        let mut store = cluster.store.clone();
        for (name, value) in &mut store.properties {
            if name.starts_with("dfs.namenode.rpc-address.") {
                let at = listen(&runtime, &plan, "127.0.0.1:0", value.replace("localhost", "127.0.0.1"), Whose::All);
                *value = at.to_string();
            }
        }
        for target in cluster.tell("datanodes").split(' ') {
            let by_name = target.replace("127.0.0.1", "127.0.0.2");
            listen(&runtime, &plan, &by_name, target.to_owned(), Whose::DataNodes);
        }
        let store = store.with(&[
            ("dfs.client.use.datanode.hostname", "true"),
            ("ipc.client.connect.timeout", "2s"),
            ("ipc.client.rpc-timeout.ms", "5s"),
            ("dfs.client.socket-timeout", "1s"),
        ]);
        Way { plan, store, _runtime: runtime }
    }

    /// From now on, `permille` of a thousand requests fail, in any way or in the one given.
    pub fn faults(&self, permille: u64, only: Option<Fault>, whose: Whose) {
        *self.plan.faults.lock().unwrap() = (permille, only, whose);
        self.plan.fail_from.store(u64::MAX, Ordering::Relaxed);
    }

    /// After so many more requests all fail, until [`Way::faults`] says otherwise.
    pub fn fail_after(&self, requests: u64) {
        self.plan.fail_from.store(self.plan.asked.load(Ordering::Relaxed) + requests, Ordering::Relaxed);
    }

    /// How many requests failed so far.
    pub fn faulted(&self) -> u64 {
        self.plan.faulted.load(Ordering::Relaxed)
    }
}

fn listen(runtime: &tokio::runtime::Runtime, plan: &Arc<Plan>, at: &str, target: String, whose: Whose) -> SocketAddr {
    let listener = Listener::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let plan = Arc::clone(plan);
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((client, _)) = listener.accept().await {
            let (plan, target) = (Arc::clone(&plan), target.clone());
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(target).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let passage = Passage::new(&plan, client, server);
                // Whichever way ends first ends the other.
                let _ = match whose {
                    Whose::All => passage.name_node().await,
                    Whose::DataNodes => passage.data_node().await,
                };
            });
        }
    });
    address
}

/// One connection.
struct Passage<'a> {
    plan: &'a Plan,
    /// For the next answer, and after how many bytes of it.
    due: Mutex<Option<(Fault, u64)>>,
    client: OwnedReadHalf,
    to_client: tokio::sync::Mutex<OwnedWriteHalf>,
    server: OwnedReadHalf,
    to_server: OwnedWriteHalf,
}

type Done = std::io::Result<()>;

impl Passage<'_> {
    fn new(plan: &Plan, client: TcpStream, server: TcpStream) -> Passage<'_> {
        let ((client, to_client), (server, to_server)) = (client.into_split(), server.into_split());
        Passage { plan, due: Mutex::default(), client, to_client: to_client.into(), server, to_server }
    }

    /// Of Hadoop's RPC: after seven bytes, both sides speak in frames.
    async fn name_node(self) -> Done {
        let Passage { plan, due, mut client, to_client, mut server, mut to_server } = self;
        let requests = async {
            let mut greeting = [0; 7];
            client.read_exact(&mut greeting).await?;
            to_server.write_all(&greeting).await?;
            loop {
                let frame = frame(&mut client).await?;
                let Some((fault, after)) = plan.next(Whose::All) else {
                    to_server.write_all(&frame).await?;
                    continue;
                };
                plan.count();
                match (fault, refusal(&frame)) {
                    (Fault::Refused, Some(answer)) => to_client.lock().await.write_all(&answer).await?,
                    (Fault::Reset | Fault::Refused, _) => return client.as_ref().set_zero_linger(),
                    _ => {
                        *due.lock().unwrap() = Some((fault, after));
                        to_server.write_all(&frame).await?;
                    }
                }
            }
        };
        let answers = async {
            loop {
                let frame = frame(&mut server).await?;
                let mut to_client = to_client.lock().await;
                let fault = due.lock().unwrap().take();
                match fault {
                    Some((Fault::Slow, _)) => slowly(&mut to_client, &frame).await?,
                    Some((fault, _)) => {
                        to_client.write_all(&frame[..frame.len() / 2]).await?;
                        return ended(fault).await;
                    }
                    None => to_client.write_all(&frame).await?,
                }
            }
        };
        tokio::select! { done = requests => done, done = answers => done }
    }

    /// A DataNode is asked for one block after the other, or given one.
    async fn data_node(self) -> Done {
        let Passage { plan, due, mut client, to_client, mut server, mut to_server } = self;
        let answered = AtomicBool::new(false);
        let requests = async {
            let (mut piece, mut said) = (vec![0; 64 << 10], Vec::new());
            let (mut decided, mut writing) = (false, false);
            loop {
                let len = client.read(&mut piece).await?;
                if answered.swap(false, Ordering::Relaxed) && !writing {
                    said.clear();
                    decided = false;
                }
                said.extend(piece[..len].iter().take(BEGINNING - said.len()));
                let operation = if decided { None } else { operation(&said) };
                decided |= operation.is_some();
                writing |= operation == Some(WRITE_BLOCK);
                if let Some((fault, after)) = operation.and_then(|_| plan.next(Whose::DataNodes)) {
                    if fault == Fault::Refused {
                        plan.count();
                        return to_client.lock().await.write_all(&BLOCK_REFUSED).await;
                    }
                    // Of a block that is written there are only small answers.
                    *due.lock().unwrap() = Some((fault, if writing { after.min(25) } else { after }));
                }
                if len == 0 {
                    // All is said; the last answer is waited for.
                    to_server.shutdown().await?;
                    return std::future::pending().await;
                }
                to_server.write_all(&piece[..len]).await?;
            }
        };
        let answers = async {
            let mut piece = vec![0; 64 << 10];
            loop {
                let len = server.read(&mut piece).await?;
                answered.store(true, Ordering::Relaxed);
                let mut to_client = to_client.lock().await;
                let fault = due.lock().unwrap().take();
                match fault {
                    _ if len == 0 => return Ok(()),
                    Some((fault, after)) if after < len as u64 => {
                        plan.count();
                        let (before, rest) = piece[..len].split_at(after as usize);
                        to_client.write_all(before).await?;
                        match fault {
                            Fault::Slow => slowly(&mut to_client, rest).await?,
                            Fault::Reset => return to_client.as_ref().set_zero_linger(),
                            fault => return ended(fault).await,
                        }
                    }
                    later => {
                        *due.lock().unwrap() = later.map(|(fault, after)| (fault, after - len as u64));
                        to_client.write_all(&piece[..len]).await?;
                    }
                }
            }
        };
        tokio::select! { done = requests => done, done = answers => done }
    }
}

async fn ended(fault: Fault) -> Done {
    if fault == Fault::Stalled {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    Ok(())
}

async fn slowly(to: &mut OwnedWriteHalf, bytes: &[u8]) -> Done {
    for piece in bytes.chunks(bytes.len().div_ceil(5).max(1)) {
        to.write_all(piece).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A length of four bytes, and so many bytes.
async fn frame(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).await?;
    let len = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
    assert!(len < 64 << 20, "this is not Hadoop's RPC");
    frame.resize(4 + len, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

/// `RetriableException` as the answer to a call; none to what is no call.
fn refusal(frame: &[u8]) -> Option<Vec<u8>> {
    let call = call_of(frame.get(4..)?)?;
    let text = |field: u8, text: &str| [&[field << 3 | 2, text.len() as u8], text.as_bytes()].concat();
    let mut header = vec![1 << 3];
    varint(call, &mut header);
    // ERROR, of version 9.
    header.extend([2 << 3, 1, 3 << 3, 9]);
    header.extend(text(4, "org.apache.hadoop.ipc.RetriableException"));
    header.extend(text(5, "Server too busy"));
    let mut message = Vec::new();
    varint(header.len() as u64, &mut message);
    message.extend(header);
    Some([&(message.len() as u32).to_be_bytes(), message.as_slice()].concat())
}

/// The number of a call: the third field of the header, which comes first and has a length. Calls of the protocol itself are below zero.
fn call_of(message: &[u8]) -> Option<u64> {
    let mut rest = message;
    read_varint(&mut rest)?;
    loop {
        let tag = read_varint(&mut rest)?;
        let value = read_varint(&mut rest)?;
        match (tag >> 3, tag & 7) {
            (3, 0) => return (value & 1 == 0).then_some(value >> 1),
            (_, 2) => rest = rest.get(value as usize..)?,
            _ => {}
        }
    }
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const WRITE_BLOCK: u8 = 80;
const READ_BLOCK: u8 = 81;
/// A message of two bytes: ERROR.
const BLOCK_REFUSED: [u8; 3] = [2, 8, 1];

/// So much is looked at of what is said since the last answer.
const BEGINNING: usize = 8;

/// What is asked of a DataNode, once so much of it came: after a word on the last block or none, version 28 and the operation.
fn operation(said: &[u8]) -> Option<u8> {
    let found = said.windows(3).find(|window| window[..2] == [0, 28])?;
    matches!(found[2], WRITE_BLOCK | READ_BLOCK).then_some(found[2])
}
