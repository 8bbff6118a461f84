//! HDFS beyond the storage suite. First what it says when there is no HDFS: nothing hangs, and every message names the cause. Then, on the
//! real clusters of `STARSNAP_TEST_STORES`, what only HDFS has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/test_stores.rs"]
mod test_stores;

use base64::Engine as _;
use bytes::Bytes;
use starsnap_repository::error::{ErrorKind, RepositoryError};
use starsnap_repository::storage::{EntryKind, Storage};
use starsnap_repository::{Location, Repository};
use std::sync::Arc;
use test_stores::TestStore;
use tokio::net::TcpListener;

fn storage(location: &str, properties: &[(&str, &str)]) -> Arc<dyn Storage> {
    let properties: Vec<_> = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Location::with_properties(location, &properties).unwrap().storage().unwrap()
}

async fn error(location: &str, properties: &[(&str, &str)]) -> RepositoryError {
    storage(location, properties).list("").await.unwrap_err()
}

/// A server that takes connections and does nothing.
async fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    address
}

/// A port where nobody listens.
async fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_name_node_that_never_answers_is_given_up() {
    let address = silent().await;
    let given = [("ipc.client.connect.timeout", "300"), ("ipc.client.rpc-timeout.ms", "500")];
    let store = storage(&format!("hdfs://{address}/x"), &given);
    // Many at once wait for the same attempt.
    let all = (0..50).map(|_| store.stat("a"));
    for result in futures::future::join_all(all).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.reason.contains("does not answer within 300ms") && error.reason.contains(&address), "{error}");
    }
    assert!(store.read("a", 0..1).await.is_err() && store.delete("a").await.is_err());
    assert!(store.writer("a").await.is_err() && store.list_recursive("").await.is_err());
}

#[tokio::test]
async fn where_nobody_listens_it_is_said_at_once() {
    let address = closed().await;
    let refused = error(&format!("hdfs://{address}/x"), &[]).await;
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.reason.contains("refused") && refused.reason.contains(&address), "{refused}");
    assert!(refused.advice.contains("8020"), "{refused}");
    let location = Location::parse(&format!("hdfs://{address}/x")).unwrap();
    let unreachable = Repository::open(&location, None).await.unwrap_err();
    assert_eq!(unreachable.kind, ErrorKind::Unavailable, "{unreachable}");
}

#[tokio::test]
async fn every_name_node_of_a_nameservice_is_named() {
    let (one, two) = (closed().await, silent().await);
    let given = [
        ("dfs.ha.namenodes.c", "nn1, nn2"),
        ("dfs.namenode.rpc-address.c.nn1", one.as_str()),
        ("dfs.namenode.rpc-address.c.nn2", two.as_str()),
        ("ipc.client.connect.timeout", "200"),
    ];
    let both = error("hdfs://c/x", &given).await;
    assert!(both.reason.contains(&one) && both.reason.contains(&two), "{both}");
}

#[tokio::test]
async fn a_nameservice_without_configuration_is_said_to_have_none() {
    let unknown = error("hdfs://no-such-nameservice.invalid/x", &[]).await;
    assert!(unknown.reason.contains("no nameservice") && unknown.advice.contains("HADOOP_CONF_DIR"), "{unknown}");
    let half = error("hdfs://c/x", &[("dfs.nameservices", "c")]).await;
    assert!(half.kind == ErrorKind::Invalid && half.reason.contains("`dfs.ha.namenodes.c` is missing"), "{half}");
}

#[tokio::test]
async fn kerberos_is_checked_before_anything_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let keytab = dir.path().join("k").to_str().unwrap().to_owned();
    let kerberos = ("hadoop.security.authentication", "kerberos");
    let principal = ("kerberos_principal", "ann@EXAMPLE.COM");
    let location = "hdfs://localhost:1/x";
    let missing = error(location, &[kerberos, principal, ("kerberos_keytab", &keytab)]).await;
    assert!(missing.kind == ErrorKind::NotFound && missing.reason.contains(&keytab), "{missing}");
    std::fs::write(&keytab, [5, 2]).unwrap();
    let empty = error(location, &[kerberos, principal, ("kerberos_keytab", &keytab)]).await;
    assert!(empty.reason.contains("ann@EXAMPLE.COM") && empty.reason.contains("holds none"), "{empty}");
    let nobody = error(location, &[kerberos, ("kerberos_keytab", &keytab)]).await;
    assert!(nobody.reason.contains("`kerberos_principal`"), "{nobody}");
    let simple = error(location, &[principal]).await;
    assert!(simple.reason.contains("`hadoop.security.authentication`"), "{simple}");
    let odd = error(location, &[("hadoop.security.authentication", "both")]).await;
    assert!(odd.kind == ErrorKind::Invalid && odd.reason.contains("`simple` or `kerberos`"), "{odd}");
    let content = error(location, &[kerberos, principal, ("kerberos_keytab_content", "aGlkZGVu")]).await;
    assert!(content.kind == ErrorKind::Invalid && !content.to_string().contains("aGlkZGVu"), "{content}");
    // The file may be put right meanwhile.
    let store = storage(location, &[kerberos, principal, ("kerberos_keytab", &format!("{keytab}2"))]);
    assert_eq!(store.stat("").await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_port_of_another_protocol_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let web = error(&format!("hdfs://{address}/x"), &[]).await;
    assert!(web.kind == ErrorKind::Invalid && web.reason.contains("speaks HTTP"), "{web}");
}

/// Bytes that differ everywhere.
fn noise(len: usize) -> Bytes {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect::<Vec<_>>().into()
}

/// The clusters, with a directory on each that nobody else uses.
fn clusters() -> Vec<(TestStore, String)> {
    let all = TestStore::all();
    TestStore::set_environment(&all);
    let hdfs = all.into_iter().filter(|store| store.location.starts_with("hdfs://"));
    hdfs.map(|store| (store.clone(), store.fresh())).collect()
}

fn made(store: &TestStore, location: &str) -> Arc<dyn Storage> {
    Location::with_properties(location, &store.properties).unwrap().make().unwrap()
}

async fn write(storage: &dyn Storage, path: &str, bytes: &Bytes, piece: usize) -> Result<(), RepositoryError> {
    let mut writer = storage.writer(path).await?;
    for from in (0..bytes.len()).step_by(piece) {
        writer.write(bytes.slice(from..bytes.len().min(from + piece))).await?;
    }
    writer.finish().await
}

#[tokio::test]
async fn long_files_are_written_piece_by_piece_and_appear_whole() {
    let bytes = noise(11_000_000);
    let name = "t/x.dat.0123456789abcdef0123456789abcdef";
    for (store, location) in clusters() {
        let storage = made(&store, &location);
        let mut writer = storage.writer(name).await.unwrap();
        for from in [0, 1_000_000, 6_000_000] {
            writer.write(bytes.slice(from..from + 1_000_000)).await.unwrap();
        }
        writer.write(bytes.slice(0..6_000_000)).await.unwrap();
        assert_eq!(storage.stat(name).await.unwrap_err().kind, ErrorKind::NotFound, "{}", store.name);
        let under_way = storage.list("t").await.unwrap();
        assert!(under_way.iter().all(|entry| !entry.name().contains('.')), "{}: {under_way:?}", store.name);
        assert_eq!(under_way.len(), 1, "{}", store.name);
        drop(writer);
        for _ in 0..600 {
            if storage.list("t").await.unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(storage.list("t").await.unwrap(), [], "{}", store.name);

        write(storage.as_ref(), name, &bytes, 700_001).await.unwrap();
        assert_eq!(storage.read_all(name, 11_000_000).await.unwrap(), bytes, "{}", store.name);
        // Many at once on a file that is open, some of them in vain.
        let ranges = (0..40u64).map(|n| (n * 270_000)..(n * 270_000 + n * 13_000));
        let read = ranges.clone().map(|range| storage.read(name, range));
        for (range, found) in ranges.zip(futures::future::join_all(read).await) {
            match range.end <= 11_000_000 {
                true => assert_eq!(found.unwrap(), bytes.slice(range.start as usize..range.end as usize)),
                false => assert_eq!(found.unwrap_err().kind, ErrorKind::Damaged),
            }
        }
        storage.copy(name, "t/copy").await.unwrap();
        assert_eq!(storage.read_all("t/copy", 11_000_000).await.unwrap(), bytes, "{}", store.name);
        // Another that was written over it is what is read from then on.
        write(storage.as_ref(), name, &bytes.slice(5..9_000_000), 8_000_000).await.unwrap();
        assert_eq!(storage.read(name, 0..10).await.unwrap(), bytes.slice(5..15), "{}", store.name);
        assert_eq!(storage.list("t").await.unwrap().len(), 2, "{}", store.name);
    }
}

#[tokio::test]
async fn a_limit_holds_where_bytes_leave() {
    const LIMIT: u64 = 1 << 20;
    for (store, location) in clusters().into_iter().filter(|(store, _)| store.name == "hdfs") {
        let location = Location::with_properties(&location, &store.properties).unwrap();
        let repository = starsnap_repository::writer::init(&location, "r").await.unwrap();
        let limiter = Arc::new(starsnap_repository::limiter::Limiter::new(Some(LIMIT)));
        let limited = repository.limited(None, Some(limiter));
        let storage = limited.storage();
        // Short files are held until they are whole: it is their sending that has to wait, two at once or not.
        let bytes = noise(3 << 20);
        let begun = std::time::Instant::now();
        let mut writers = Vec::new();
        for path in ["a", "b"] {
            let mut writer = storage.writer(path).await.unwrap();
            writer.write(bytes.clone()).await.unwrap();
            writers.push(writer.finish());
        }
        let handed_over = begun.elapsed();
        for finished in futures::future::join_all(writers).await {
            finished.unwrap();
        }
        let sent = begun.elapsed() - handed_over;
        assert!(sent.as_secs_f64() >= 0.95 * 6.0 - 0.1, "{sent:?}, after {handed_over:?}");
        assert_eq!(storage.read_all("a", 3 << 20).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn directories_are_neither_replaced_nor_removed() {
    for (store, location) in clusters() {
        let storage = made(&store, &location);
        assert_eq!(storage.list("").await.unwrap(), []);
        write(storage.as_ref(), "a/b/f", &noise(9), 9).await.unwrap();
        storage.delete("a/b/f").await.unwrap();
        for path in ["a", "a/b"] {
            let writing = storage.writer(path).await.map(drop).unwrap_err();
            assert_eq!(writing.kind, ErrorKind::Exists, "{}: {writing}", store.name);
            assert_eq!(storage.delete(path).await.unwrap_err().kind, ErrorKind::Invalid, "{}", store.name);
            assert_eq!(storage.read(path, 0..1).await.unwrap_err().kind, ErrorKind::Invalid, "{}", store.name);
            assert_eq!(storage.stat(path).await.unwrap().kind, EntryKind::Directory, "{}", store.name);
        }
        assert_eq!(storage.list("a/b").await.unwrap(), []);
        write(storage.as_ref(), "f", &noise(9), 9).await.unwrap();
        let below = write(storage.as_ref(), "f/g", &noise(9), 9).await.unwrap_err();
        assert_eq!(below.kind, ErrorKind::NotFound, "{}: {below}", store.name);
        assert_eq!(storage.list_recursive("").await.unwrap().len(), 1, "{}", store.name);
    }
}

#[tokio::test]
async fn a_long_directory_is_listed_whole() {
    for (store, location) in clusters().into_iter().take(1) {
        let storage = made(&store, &location);
        // More than the NameNode sends at once.
        let names: Vec<_> = (0..1_100).map(|n| format!("d/{n:04}")).collect();
        for some in names.chunks(50) {
            let bytes = noise(0);
            let writing = some.iter().map(|name| write(storage.as_ref(), name, &bytes, 1));
            assert!(futures::future::join_all(writing).await.iter().all(Result::is_ok), "{}", store.name);
        }
        let mut listed: Vec<_> = storage.list("d").await.unwrap().into_iter().map(|entry| entry.path).collect();
        listed.sort();
        assert_eq!(listed, names, "{}", store.name);
    }
}

#[tokio::test]
async fn kerberos_is_neither_dropped_nor_missed_in_silence() {
    let all = clusters();
    let named = |name: &str| all.iter().find(|(store, _)| store.name == name);
    let (Some((simple, plain)), Some((secure, kerberos))) = (named("hdfs"), named("hdfs-kerberos")) else {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "NOT RUN: Kerberos: there is no store `hdfs`, or no `hdfs-kerberos`");
        return;
    };
    let opened = |location: &str, properties: &[(String, String)]| {
        Location::with_properties(location, properties).unwrap().make().unwrap()
    };
    let dropped = opened(plain, &secure.properties).list("").await.unwrap_err();
    assert!(dropped.kind == ErrorKind::PermissionDenied && dropped.reason.contains("does not use it"), "{dropped}");
    let missed = opened(kerberos, &simple.properties).list("").await.unwrap_err();
    assert!(missed.kind == ErrorKind::PermissionDenied && missed.reason.contains("asks for Kerberos"), "{missed}");
    assert!(missed.advice.contains("kerberos_keytab"), "{missed}");

    // The keytab as text.
    let keytab = secure.properties.iter().find(|(name, _)| name == "kerberos_keytab").unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(std::fs::read(&keytab.1).unwrap());
    let mut properties: Vec<_> =
        secure.properties.iter().filter(|(name, _)| name != "kerberos_keytab").cloned().collect();
    properties.push(("kerberos_keytab_content".to_owned(), text));
    let storage = opened(kerberos, &properties);
    write(storage.as_ref(), "f", &noise(9), 9).await.unwrap();
    assert_eq!(storage.read_all("f", 9).await.unwrap(), noise(9));

    // A principal that the keytab does not have, and no KDC.
    let other = secure.properties.iter().map(|(name, value)| match name.as_str() {
        "kerberos_principal" => (name.clone(), format!("other-{value}")),
        _ => (name.clone(), value.clone()),
    });
    let other = opened(kerberos, &other.collect::<Vec<_>>()).list("").await.unwrap_err();
    assert!(other.reason.contains("has no key of the principal other-"), "{other}");
}

#[tokio::test]
async fn who_may_not_is_told() {
    for (store, location) in clusters().into_iter().filter(|(store, _)| store.name != "hdfs-kerberos") {
        made(&store, &location).list("").await.unwrap();
        let stranger = Location::with_properties(
            &location,
            &[store.properties.clone(), vec![("username".to_owned(), "stranger".to_owned())]].concat(),
        );
        let storage = stranger.unwrap().storage().unwrap();
        assert_eq!(storage.list("").await.unwrap(), [], "{}", store.name);
        let denied = write(storage.as_ref(), "f", &noise(9), 9).await.unwrap_err();
        assert_eq!(denied.kind, ErrorKind::PermissionDenied, "{}: {denied}", store.name);
        assert!(denied.reason.contains("user=stranger") && !denied.reason.contains("java"), "{denied}");
    }
}
