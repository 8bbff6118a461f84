//! The tree over a source that can fail and change.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use async_trait::async_trait;
use starsnap_repository::repository::{Label, Timestamp};
use starsnap_repository::snapshot::{FileEntry, TabletFiles, TabletKey};
use starsnap_repository::storage::{LocalStorage, Storage};
use starsnap_repository::{ErrorKind, OpenSnapshot, RepositoryError, md5};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
struct Fake {
    storage: Arc<dyn Storage>,
    labels: Mutex<Result<Vec<Label>, ErrorKind>>,
    content: Mutex<Result<OpenSnapshot, ErrorKind>>,
    opened: AtomicUsize,
    /// While it is held, lists hang.
    hang: Arc<tokio::sync::Mutex<()>>,
    listed: AtomicUsize,
}

fn failure(kind: &ErrorKind) -> RepositoryError {
    RepositoryError::new(*kind, "open", "it", "the test says so")
}

#[async_trait]
impl Source for Fake {
    fn name(&self) -> &str {
        "fake"
    }
    fn location(&self) -> String {
        "/fake".into()
    }
    async fn labels(&self) -> starsnap_repository::Result<Vec<Label>> {
        self.listed.fetch_add(1, Ordering::SeqCst);
        let _hangs = self.hang.lock().await;
        self.labels.lock().unwrap().clone().map_err(|kind| failure(&kind))
    }
    async fn open(&self, label: &str, timestamp: &str) -> starsnap_repository::Result<OpenSnapshot> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let open = self.content.lock().unwrap().clone().map_err(|kind| failure(&kind))?;
        Ok(OpenSnapshot { label: label.into(), timestamp: timestamp.into(), ..open })
    }
    fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }
    fn path(&self, rest: &str) -> String {
        rest.into()
    }
}

fn label(name: &str, timestamps: &[&str]) -> Label {
    let timestamps = timestamps.iter().map(|text| Timestamp { text: (*text).into(), infos: vec![md5::of(b"info")] });
    Label { name: name.into(), timestamps: timestamps.collect(), metas: vec![md5::of(b"meta")], problems: vec![] }
}

fn tablet(id: i64, names: &[&str]) -> TabletFiles {
    let file = |name: &&str| FileEntry { name: (*name).into(), md5: md5::of(name.as_bytes()), size: name.len() as u64 };
    let key = TabletKey { database: 1, table: 2, physical: 3, index: 4, tablet: id };
    TabletFiles { key, files: names.iter().map(file).collect(), problems: vec![] }
}

fn snapshot(tablets: Vec<TabletFiles>) -> OpenSnapshot {
    OpenSnapshot {
        label: String::new(),
        timestamp: String::new(),
        catalog: Default::default(),
        tablets,
        strays: vec![],
        problems: vec![],
        info: vec![],
    }
}

fn fake(labels: Vec<Label>, content: OpenSnapshot) -> Arc<Fake> {
    Arc::new(Fake {
        storage: Arc::new(LocalStorage::open(std::env::temp_dir()).unwrap()),
        labels: Mutex::new(Ok(labels)),
        content: Mutex::new(Ok(content)),
        opened: AtomicUsize::default(),
        hang: Arc::default(),
        listed: AtomicUsize::default(),
    })
}

fn at_once() -> Options {
    let now = Duration::ZERO;
    Options { refresh: now, retry: now, outage: now, reread: now, ..Options::default() }
}

const TIME: &str = "2024-01-02-03-04-05-006";
const CONTENT: &str = "_content/__ss_content/__db_1/__tbl_2/__part_3/__idx_4";

#[tokio::test]
async fn every_number_leads_back_to_its_path() {
    let names = ["a", "b/c", "..", "%", "z", " "];
    let tablets = vec![tablet(7, &[]), tablet(5, &names), tablet(6, &[]), tablet(9, &["x"])];
    let tree = Tree::of(fake(vec![label("l", &[TIME])], snapshot(tablets)), Options::default());
    let mut waiting = vec![(NodeId::ROOT, String::new())];
    let mut seen = std::collections::HashSet::new();
    let mut files = 0;
    while let Some((node, path)) = waiting.pop() {
        assert!(seen.insert(node), "{path} has a number of its own");
        assert_eq!(tree.lookup(&path).await.unwrap(), node, "{path}");
        for child in tree.children(node).await.unwrap() {
            let path = format!("{path}/{}", child.name);
            assert_eq!(tree.parent(child.node).await.unwrap(), node, "{path}");
            assert_eq!(tree.attributes(child.node).await.unwrap().kind, child.kind, "{path}");
            match child.kind {
                NodeKind::Directory => waiting.push((child.node, path)),
                NodeKind::File => files += usize::from(seen.insert(child.node)),
                NodeKind::Symlink => assert_eq!(tree.read_link(child.node).await.unwrap(), TIME),
            }
        }
    }
    assert_eq!(files, names.len() + 1 + 2, "stored ones, snapshot.json and restore.sql");
    let file = tree.lookup(&format!("l/latest/{CONTENT}/__5/b%2Fc")).await.unwrap();
    assert_eq!(tree.attributes(file).await.unwrap().size, 3);
    assert!(matches!(tree.child(file, "x").await, Err(FsError::NotDirectory(_))));
    assert!(tree.lookup("l/latest/../../l").await.is_ok());
    assert!(matches!(tree.attributes(NodeId(u64::MAX)).await, Err(FsError::Stale(_))));
}

#[tokio::test]
async fn one_opening_serves_all_who_wait() {
    let source = fake(vec![label("l", &[TIME])], snapshot(vec![]));
    let tree = Tree::of(source.clone(), Options::default());
    let path = format!("l/{TIME}/snapshot.json");
    let found = futures::future::join_all((0..20).map(|_| tree.lookup(&path))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(source.opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failed_snapshots_are_tried_again() {
    let source = fake(vec![label("l", &[TIME])], snapshot(vec![]));
    let good = std::mem::replace(&mut *source.content.lock().unwrap(), Err(ErrorKind::Unavailable));
    // Long beside five look-ups, on a busy machine too.
    let tree = Tree::of(source.clone(), Options { retry: Duration::from_secs(3), ..at_once() });
    let path = format!("l/{TIME}/snapshot.json");
    for _ in 0..5 {
        assert_eq!(tree.lookup(&path).await.unwrap_err().errno(), libc::EIO);
    }
    assert_eq!(source.opened.load(Ordering::SeqCst), 1, "not at every request");
    *source.content.lock().unwrap() = good;
    tokio::time::sleep(Duration::from_millis(3100)).await;
    assert!(tree.lookup(&path).await.is_ok());
}

#[tokio::test]
async fn replaced_content_gets_new_numbers() {
    let source = fake(vec![label("l", &[])], snapshot(vec![tablet(5, &["a", "b"])]));
    let tree = Tree::of(source.clone(), at_once());
    let path = format!("l/incomplete/{CONTENT}/__5/b");
    let old = tree.lookup(&path).await.unwrap();
    assert_eq!(tree.lookup(&path).await.unwrap(), old, "the same content keeps them");
    *source.content.lock().unwrap() = Ok(snapshot(vec![tablet(5, &["a", "aa", "b"])]));
    let new = tree.lookup(&path).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(tree.parent(tree.lookup("l/incomplete").await.unwrap()).await.unwrap(), tree.lookup("l").await.unwrap());
    match tree.content(old).await {
        Ok(Content::Stored { path, .. }) => assert!(path.contains("/b."), "{path}"),
        other => assert!(matches!(other, Err(FsError::Stale(_))), "{other:?}"),
    }
}

#[tokio::test]
async fn opened_snapshots_are_forgotten_and_read_again() {
    let source = fake(vec![label("a", &[TIME]), label("b", &[TIME])], snapshot(vec![tablet(5, &["x"])]));
    let tree = Tree::of(source.clone(), Options { memory: 1, ..Options::default() });
    let first = tree.lookup(&format!("a/{TIME}/{CONTENT}/__5/x")).await.unwrap();
    let second = tree.lookup(&format!("b/{TIME}/{CONTENT}/__5/x")).await.unwrap();
    assert_eq!(tree.slots.opened().len(), 1);
    assert_eq!(tree.attributes(first).await.unwrap().size, 1);
    assert_eq!(source.opened.load(Ordering::SeqCst), 3);
    *source.content.lock().unwrap() = Ok(snapshot(vec![tablet(5, &["other"])]));
    assert!(matches!(tree.attributes(second).await, Err(FsError::Stale(_))), "never another file's bytes");
    assert!(tree.lookup(&format!("b/{TIME}/{CONTENT}/__5/other")).await.is_ok());
}

#[tokio::test]
async fn outage_is_covered_by_the_last_list() {
    let source = fake(vec![label("l", &[TIME])], snapshot(vec![]));
    let tree = Tree::of(source.clone(), Options { outage: Duration::from_secs(3), ..at_once() });
    // A list serves for as long as it took to get, many times over: on a busy machine that may be some time.
    let sooner_or_later = async |errno: Option<i32>, path: &str, what: &str| {
        let until = std::time::Instant::now() + Duration::from_secs(30);
        while tree.lookup(path).await.err().map(|error| error.errno()) != errno {
            assert!(std::time::Instant::now() < until, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tree.lookup("l").await.is_ok());
    *source.labels.lock().unwrap() = Err(ErrorKind::NotFound);
    sooner_or_later(Some(libc::ENOENT), "l", "gone is gone").await;
    let listed = std::time::Instant::now();
    *source.labels.lock().unwrap() = Ok(vec![label("l", &[TIME])]);
    sooner_or_later(None, "l", "it is back").await;
    *source.labels.lock().unwrap() = Err(ErrorKind::Unavailable);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let covered = tree.lookup("l").await.is_ok();
    assert!(covered || listed.elapsed() > Duration::from_secs(3), "an outage is covered");
    sooner_or_later(Some(libc::EIO), "l", "not for ever").await;
    assert!(listed.elapsed() >= Duration::from_secs(3), "{:?}", listed.elapsed());
    *source.labels.lock().unwrap() = Ok(vec![label("m", &[TIME])]);
    sooner_or_later(None, "m", "what is there now").await;
    assert!(tree.lookup("l").await.is_err());
}

#[tokio::test]
async fn a_store_that_hangs_is_covered_by_the_last_list() {
    let source = fake(vec![label("l", &[TIME])], snapshot(vec![]));
    let patience = Duration::from_millis(300);
    let options = Options { outage: Duration::from_secs(60), patience, ..at_once() };
    let tree = Tree::of(source.clone(), options);
    assert!(tree.lookup("l").await.is_ok());
    let hangs = source.hang.clone().lock_owned().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    tree.refresh();
    let listed = source.listed.load(Ordering::SeqCst);
    let began = std::time::Instant::now();
    assert!(tree.lookup("l").await.is_ok(), "the old list serves");
    assert!(began.elapsed() >= patience);
    let began = std::time::Instant::now();
    for _ in 0..100 {
        assert!(tree.lookup("l").await.is_ok());
    }
    assert!(began.elapsed() < patience * 20, "nobody waits again: {:?}", began.elapsed());
    assert_eq!(source.listed.load(Ordering::SeqCst), listed + 1, "the store is asked once");
    // What comes of it in the end serves, though nobody waited for it.
    *source.labels.lock().unwrap() = Ok(vec![label("m", &[TIME])]);
    drop(hangs);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while tree.lookup("m").await.is_err() {
        assert!(std::time::Instant::now() < until, "the new list");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_time_that_a_store_takes_to_fail_is_not_the_lists_age() {
    let source = fake(vec![label("l", &[TIME])], snapshot(vec![]));
    let patience = Duration::from_secs(60);
    let tree = Tree::of(source.clone(), Options { outage: Duration::from_secs(2), patience, ..at_once() });
    assert!(tree.lookup("l").await.is_ok());
    let hangs = source.hang.clone().lock_owned().await;
    tree.refresh();
    *source.labels.lock().unwrap() = Err(ErrorKind::Unavailable);
    let later = async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        drop(hangs);
    };
    let began = std::time::Instant::now();
    let (looked, ()) = tokio::join!(tree.lookup("l"), later);
    assert!(looked.is_ok() && began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(tree.lookup("l").await.is_err(), "it is old by now");
}

#[tokio::test]
async fn stored_names_win_over_files_of_rows() {
    use starsnap_catalog::snapshot::*;
    let index = |id: i64, name: &str, base: bool| IndexEntry {
        id,
        name: name.into(),
        base,
        schema_hash: 0,
        tablets: vec![TabletEntry { id: id + 100, listed_files: vec![] }],
    };
    let partition = |id: i64, name: &str| PartitionEntry {
        id,
        name: name.into(),
        kind: PartitionKind::Normal,
        version: 1,
        physicals: vec![PhysicalEntry {
            id,
            version: 1,
            indexes: vec![index(4, "t", true), index(5, "rows.jsonl", false)],
        }],
    };
    let table = TableEntry {
        id: 2,
        name: "t".into(),
        kind: TableKind::Table,
        catalog: None,
        auto_increment_id: None,
        partitions: vec![partition(3, "rows.csv")],
    };
    let mut open = snapshot(vec![]);
    let key = |index: i64| TabletKey { database: 1, table: 2, physical: 3, index, tablet: index + 100 };
    open.tablets = [4, 5].map(|index| TabletFiles { key: key(index), files: vec![], problems: vec![] }).into();
    (open.catalog.database_id, open.catalog.tables) = (1, vec![table]);
    let tree = Tree::of(fake(vec![label("l", &[TIME])], open), Options::default());
    let names = async |path: &str| {
        let children = tree.children(tree.lookup(path).await.unwrap()).await.unwrap();
        children.into_iter().map(|child| (child.name.to_string(), child.kind == NodeKind::File)).collect::<Vec<_>>()
    };
    let shown =
        |names: &[(&str, bool)]| names.iter().map(|(name, file)| ((*name).to_owned(), *file)).collect::<Vec<_>>();
    let expected =
        [("_rows.csv", true), ("rows.csv", false), ("rows.jsonl", true), ("schema.sql", true), ("table.json", true)];
    assert_eq!(names("l/latest/t").await, shown(&expected));
    let expected = [("104", false), ("_rows.jsonl", true), ("rows.csv", true), ("rows.jsonl", false)];
    assert_eq!(names("l/latest/t/rows.csv").await, shown(&expected));
    // Nothing of the tablets is there, so that there are no rows that could be read.
    let rows = tree.lookup("l/latest/t/_rows.csv").await.unwrap();
    assert!(matches!(tree.content(rows).await, Err(FsError::Rows { .. })));
}
