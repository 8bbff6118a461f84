//! What HDFS does to its clients: NameNodes that change places, die and hang, DataNodes that die in the middle, spoiled replicas, refusals.
//! On a cluster of real servers that breaks on command (`scripts/servers/hdfs`). What every store must do is in `storage_suite.rs`, what is
//! said where there is no HDFS in `storage_hdfs.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use starsnap_repository::Location;
use starsnap_repository::error::{ErrorKind, RepositoryError, Result};
use starsnap_repository::storage::Storage;
use std::sync::Arc;
use std::time::Duration;

#[path = "support/hdfs_cluster.rs"]
mod hdfs_cluster;
#[path = "support/test_stores.rs"]
mod test_stores;

use hdfs_cluster::Cluster;

const MIB: usize = 1 << 20;
/// No test waits longer for one thing. A guard against hanging for ever, not a measure of speed.
const PATIENCE: Duration = Duration::from_secs(150);

fn open(location: &str, properties: &[(String, String)]) -> Arc<dyn Storage> {
    Location::with_properties(location, properties).unwrap().make().unwrap()
}

/// The cluster's properties, with less patience than usual.
fn brisk(cluster: &Cluster) -> Vec<(String, String)> {
    let more = [
        ("ipc.client.connect.timeout", "2s"),
        ("ipc.client.rpc-timeout.ms", "5000"),
        ("dfs.client.socket-timeout", "3000"),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    cluster.store.properties.iter().cloned().chain(more).collect()
}

/// An empty store on the cluster, and where it is there.
fn fresh(cluster: &Cluster) -> (Arc<dyn Storage>, String) {
    let location = cluster.store.fresh();
    (open(&location, &brisk(cluster)), Cluster::path_of(&location))
}

/// Bytes that differ from block to block.
fn bytes(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// Writes a file in pieces of 1 MiB, calling `between` before each; as often as the store says is worthwhile.
async fn put_with(storage: &dyn Storage, path: &str, bytes: &Bytes, mut between: impl AsyncFnMut(usize)) -> Result<()> {
    let mut left = storage.write_attempts(bytes.len() as u64);
    loop {
        left -= 1;
        let written: Result<()> = async {
            let mut writer = storage.writer(path).await?;
            for at in (0..bytes.len()).step_by(MIB) {
                between(at / MIB).await;
                writer.write(bytes.slice(at..bytes.len().min(at + MIB))).await?;
            }
            writer.finish().await
        }
        .await;
        match written {
            Err(error) if error.kind == ErrorKind::Unavailable && left > 0 => {}
            written => return written,
        }
    }
}

async fn put(storage: &dyn Storage, path: &str, bytes: &Bytes) {
    put_with(storage, path, bytes, async |_| ()).await.unwrap();
}

/// Reads a file in ranges of 1 MiB, calling `between` before each.
async fn get_with(
    storage: &dyn Storage,
    path: &str,
    len: usize,
    mut between: impl AsyncFnMut(usize),
) -> Result<Vec<u8>> {
    let mut read = Vec::with_capacity(len);
    for at in (0..len).step_by(MIB) {
        between(at / MIB).await;
        read.extend_from_slice(&storage.read(path, at as u64..len.min(at + MIB) as u64).await?);
    }
    Ok(read)
}

/// `work` must end.
async fn bounded<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: still not ended"))
}

#[track_caller]
fn failed<T: std::fmt::Debug>(what: &str, result: Result<T>) -> RepositoryError {
    match result {
        Ok(value) => panic!("{what}: an error was due, but there is {value:?}"),
        Err(error) => error,
    }
}

fn assert_same(what: &str, actual: &[u8], expected: &[u8]) {
    let differs = actual.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!((actual.len(), differs), (expected.len(), None), "{what}: lengths, and where the first byte differs");
}

#[tokio::test(flavor = "multi_thread")]
async fn namenodes_change_places_under_readers_and_writers() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (storage, _) = fresh(&cluster);
    let content = bytes(12 * MIB);
    put(&*storage, "a/f", &content).await;

    let fail_over = async |at| {
        if at == 6 {
            cluster.tell("failover");
        }
    };
    let read = bounded("reading", get_with(&*storage, "a/f", content.len(), fail_over)).await.unwrap();
    assert_same("read over a failover", &read, &content);
    bounded("writing", put_with(&*storage, "a/g", &content, fail_over)).await.unwrap();
    assert_same("written over a failover", &storage.read_all("a/g", 1 << 30).await.unwrap(), &content);

    // Back, and everything else with a client that knew the other.
    cluster.tell("failover");
    assert_eq!(storage.list("a").await.unwrap().len(), 2);
    cluster.tell("failover");
    assert_eq!(storage.list_recursive("").await.unwrap().len(), 2);
    cluster.tell("failover");
    storage.copy("a/f", "a/h").await.unwrap();
    cluster.tell("failover");
    assert_eq!(storage.stat("a/h").await.unwrap().size, content.len() as u64);
    storage.delete("a/h").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_active_namenode_dies_under_readers_and_writers() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (storage, dir) = fresh(&cluster);
    let content = bytes(12 * MIB);
    put(&*storage, "a/f", &content).await;

    // The other one takes over only while they wait.
    let die = async |at| {
        if at == 6 && cluster.tell("active") == "0" {
            cluster.tell("stop-namenode 0");
            let take_over = async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                cluster.tell("activate 1");
            };
            let list = storage.list("a");
            let (listed, ()) = tokio::join!(list, take_over);
            assert_eq!(listed.map(|entries| entries.len()).unwrap(), 1);
        }
    };
    let read = bounded("reading", get_with(&*storage, "a/f", content.len(), die)).await.unwrap();
    assert_same("read over a death", &read, &content);
    cluster.tell("mend");
    bounded("writing", put_with(&*storage, "b/g", &content, die)).await.unwrap();
    assert_same("written over a death", &storage.read_all("b/g", 1 << 30).await.unwrap(), &content);
    let names = [format!("{}:{dir}/a/f", content.len()), format!("{}:{dir}/b/g", content.len())];
    assert_eq!(cluster.files(&dir), names, "nothing but the files themselves");
}

#[tokio::test(flavor = "multi_thread")]
async fn datanodes_die_under_readers_and_writers() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (storage, dir) = fresh(&cluster);
    let content = bytes(12 * MIB);
    put(&*storage, "f", &content).await;

    // One that has the first block.
    for turn in 0..2 {
        let holders = cluster.tell(&format!("holders {dir}/f"));
        let victim = holders.split(' ').next().unwrap().to_owned();
        let die = async |at| {
            if at == 1 {
                cluster.tell(&format!("stop-datanode {victim}"));
            }
        };
        let read = bounded("reading", get_with(&*storage, "f", content.len(), die)).await.unwrap();
        assert_same(&format!("read over the death of {victim}, turn {turn}"), &read, &content);
        cluster.tell("mend");
    }

    // A DataNode that dies within a block is left out of the rest. With a block more the NameNode, which does not know yet, may choose it
    // again: of three that is likely, so these files have one block.
    let one_block = brisk(&cluster).into_iter().chain([("dfs.blocksize".to_owned(), "16m".to_owned())]);
    let storage = open(&format!("hdfs://mycluster{dir}"), &one_block.collect::<Vec<_>>());
    for victim in 0..2 {
        let mut alive = true;
        let die = async |at| {
            if at == 6 && std::mem::take(&mut alive) {
                cluster.tell(&format!("stop-datanode {victim}"));
            }
        };
        let name = format!("g{victim}");
        bounded("writing", put_with(&*storage, &name, &content, die)).await.unwrap();
        // With the node still dead, new files are written and all are read.
        bounded("writing", put_with(&*storage, "small", &content.slice(..1000), async |_| ())).await.unwrap();
        assert_same(&name, &bounded("reading", storage.read_all(&name, 1 << 30)).await.unwrap(), &content);
        assert_same("small", &bounded("reading", storage.read_all("small", 1 << 30)).await.unwrap(), &content[..1000]);
        storage.delete("small").await.unwrap();
        cluster.tell("mend");
    }
    assert_eq!(cluster.files(&dir).len(), 3, "drafts are left: {:?}", cluster.files(&dir));
}

#[tokio::test(flavor = "multi_thread")]
async fn spoiled_replicas_are_never_read_as_if_they_were_right() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (storage, dir) = fresh(&cluster);
    let content = bytes(12 * MIB);
    put(&*storage, "f", &content).await;
    put(&*storage, "g", &content).await;
    assert_eq!(cluster.tell(&format!("corrupt {dir}/f")), "3");
    let read = bounded("reading", get_with(&*storage, "f", content.len(), async |_| ())).await.unwrap();
    assert_same("one of two replicas is spoiled", &read, &content);

    assert_eq!(cluster.tell(&format!("corrupt {dir}/g all")), "6");
    // Whichever byte of the block was spoiled: an answer is right or an error.
    let mut refused = 0;
    for at in 0..content.len() / MIB {
        let range = at * MIB..(at + 1) * MIB;
        match bounded("reading", storage.read("g", range.start as u64..range.end as u64)).await {
            Ok(read) => assert_same("all replicas are spoiled", &read, &content[range]),
            Err(error) => {
                assert!(matches!(error.kind, ErrorKind::Damaged | ErrorKind::Unavailable), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused >= 3, "each of three blocks was spoiled, but only {refused} ranges are refused");
    let all = failed("reading it whole", bounded("reading", storage.read_all("g", 1 << 30)).await);
    assert!(all.to_string().contains('g'), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_hangs_for_ever_costs_bounded_time_and_leaves_nothing() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (storage, dir) = fresh(&cluster);
    let content = bytes(2 * MIB);
    put(&*storage, "f", &content).await;
    let mut half = storage.writer("half").await.unwrap();
    half.write(content.slice(..MIB)).await.unwrap();
    let unknown = open(&cluster.store.fresh(), &brisk(&cluster));

    cluster.tell("pause");
    let write_half = async {
        half.write(content.slice(MIB..)).await?;
        half.finish().await
    };
    let work = async {
        tokio::join!(
            storage.list(""),
            storage.stat("f"),
            storage.read("f", 0..2 * MIB as u64),
            put_with(&*storage, "new", &content, async |_| ()),
            write_half,
            storage.delete("f"),
            unknown.list("")
        )
    };
    let (list, stat, read, new, half, delete, unknown) = bounded("a cluster that hangs", work).await;
    for (what, error) in [
        ("list", failed("list", list)),
        ("stat", failed("stat", stat)),
        ("read", failed("read", read)),
        ("write", failed("write", new)),
        ("finish", failed("finish", half)),
        ("delete", failed("delete", delete)),
        ("connect", failed("connect", unknown)),
    ] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{what}: {error}");
        println!("{what}: {error}");
    }

    cluster.tell("resume");
    let listed = bounded("after it goes on", storage.list("")).await.unwrap();
    // What was asked for may have been done after all when the cluster went on, but nothing unfinished has a name of its own.
    let known = |name: &str| name == "f" || name.starts_with("_starsnap_");
    assert!(listed.iter().all(|entry| known(entry.name())), "{listed:?}");
    bounded("after it goes on", put_with(&*storage, "f", &content, async |_| ())).await.unwrap();
    assert_same("after it goes on", &storage.read_all("f", 1 << 30).await.unwrap(), &content);
    let files = cluster.files(&dir);
    assert!(!files.iter().any(|file| file.ends_with("/half") || file.ends_with("/new")), "{files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_active_or_there_at_all() {
    let Some(cluster) = Cluster::breakable() else { return };
    let location = cluster.store.fresh();
    let hasty = [("ipc.client.rpc-timeout.ms".to_owned(), "2500".to_owned())];
    let storage = open(&location, &brisk(&cluster).into_iter().chain(hasty).collect::<Vec<_>>());
    put(&*storage, "f", &bytes(1000)).await;

    cluster.tell("standby 0");
    let error = failed("only standbys", bounded("only standbys", storage.list("")).await);
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("standby"), "{error}");
    cluster.tell("activate 1");
    assert_eq!(bounded("one is active again", storage.list("")).await.unwrap().len(), 1);

    cluster.tell("stop-namenode 0");
    cluster.tell("stop-namenode 1");
    let error = failed("all stopped", bounded("all stopped", storage.list("")).await);
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    cluster.tell("mend");
    assert_eq!(bounded("all started", storage.list("")).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_namenode_refuses_is_said_in_its_words() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (storage, dir) = fresh(&cluster);
    let content = bytes(2 * MIB);
    put(&*storage, "f", &content).await;

    cluster.tell(&format!("chown somebody {dir}"));
    cluster.tell(&format!("chmod 700 {dir}"));
    let work = async {
        let new = put_with(&*storage, "g", &content, async |_| ());
        tokio::join!(storage.list(""), storage.stat("f"), storage.read("f", 0..1), storage.delete("f"), new)
    };
    let (list, stat, read, delete, new) = bounded("no permission", work).await;
    for (what, error) in [
        ("list", failed("list", list)),
        ("stat", failed("stat", stat)),
        ("read", failed("read", read)),
        ("delete", failed("delete", delete)),
        ("write", failed("write", new)),
    ] {
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{what}: {error}");
        let said = error.to_string();
        assert!(said.contains("starsnap") && said.lines().count() == 1 && !said.contains("\tat "), "{what}: {error}");
    }
    cluster.tell(&format!("chown starsnap {dir}"));

    cluster.tell(&format!("space-quota 1000000 {dir}"));
    let error = failed("no space", bounded("no space", put_with(&*storage, "g", &content, async |_| ())).await);
    assert!(error.to_string().to_lowercase().contains("quota"), "{error}");
    assert!(matches!(error.kind, ErrorKind::Io | ErrorKind::PermissionDenied), "{:?} {error}", error.kind);
    cluster.tell(&format!("space-quota 100000000000 {dir}"));

    cluster.tell("safemode enter");
    let write = async {
        let mut writer = storage.writer("g").await?;
        writer.write(content.clone()).await?;
        writer.finish().await
    };
    let error = failed("safe mode", bounded("safe mode", write).await);
    assert!(error.to_string().to_lowercase().contains("safe mode"), "{error}");
    assert_same("safe mode reads", &storage.read_all("f", 1 << 30).await.unwrap(), &content);
    cluster.tell("safemode leave");
    let files = cluster.files(&dir);
    assert_eq!(files, [format!("{}:{dir}/f", content.len())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_good_and_bad() {
    let Some(cluster) = Cluster::breakable() else { return };
    let (storage, dir) = fresh(&cluster);
    put(&*storage, "f", &bytes(1000)).await;
    let location = format!("hdfs://mycluster{dir}");
    let stated = |name: &str| {
        let found = cluster.store.properties.iter().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("{name}")).1.clone()
    };
    let changed = |name: &str, value: &str| -> Vec<(String, String)> {
        let other = cluster.store.properties.iter().filter(|(key, _)| key != name).cloned();
        other.chain([(name.to_owned(), value.to_owned())]).collect()
    };

    // Blanks after the commas are usual in hdfs-site.xml. The second of the list is the one that is needed.
    cluster.tell("failover");
    let blanks = open(&location, &changed("dfs.ha.namenodes.mycluster", " nn1 , nn2 "));
    assert_eq!(bounded("blanks in the list", blanks.list("")).await.unwrap().len(), 1);

    // The same by files, as a Hadoop client has them; properties win over them.
    let conf = tempfile::tempdir().unwrap();
    let mut site = String::from("<?xml version=\"1.0\"?>\n<configuration>\n");
    for (name, value) in cluster.store.properties.iter().filter(|(name, _)| name.starts_with("dfs.")) {
        site += &format!("  <property><name>{name}</name><value>{value}</value></property>\n");
    }
    std::fs::write(conf.path().join("hdfs-site.xml"), site + "</configuration>\n").unwrap();
    std::fs::write(conf.path().join("core-site.xml"), "<configuration/>").unwrap();
    let resources = conf.path().to_str().unwrap().to_owned();
    let by_files = [("hadoop.config.resources".to_owned(), resources), ("username".to_owned(), stated("username"))];
    assert_eq!(bounded("by files", open(&location, &by_files).list("")).await.unwrap().len(), 1);

    // A nameservice that nobody explained, a list with a NameNode that has no address.
    for properties in [
        vec![("username".to_owned(), stated("username"))],
        changed("dfs.ha.namenodes.mycluster", "nn1,nn3")
            .into_iter()
            .filter(|(name, _)| name != "dfs.namenode.rpc-address.mycluster.nn1")
            .collect(),
    ] {
        let tried = async { Location::with_properties(&location, &properties)?.storage()?.list("").await };
        let error = failed("bad configuration", bounded("bad configuration", tried).await);
        assert!(error.to_string().contains("mycluster"), "{error}");
    }
}
