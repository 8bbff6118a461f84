//! Writing: what is written is what was there, a killed writer's label never looks complete, and a rerun finishes it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/fixtures.rs"]
mod support;

use bytes::Bytes;
use proptest::prelude::*;
use starsnap_repository::md5::{self, Md5};
use starsnap_repository::repository::INCOMPLETE;
use starsnap_repository::writer::{SnapshotWriter, init};
use starsnap_repository::{ErrorKind, FileEntry, Location, OpenSnapshot, Repository, TabletKey};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use support::{Copy, files_below, genuine, open};

const LABEL: &str = "sr_member_backup";

/// A snapshot to write: that of a genuine repository.
struct Plan {
    from: Repository,
    snapshot: OpenSnapshot,
    meta: Bytes,
    timestamp: String,
    location: PathBuf,
}

impl Plan {
    async fn new() -> Plan {
        let location = genuine("sr35/hub").join("location");
        let from = open(&location).await;
        let snapshot = from.snapshot(LABEL, None, None).await.unwrap();
        let meta = from.label(LABEL).await.unwrap().metas[0];
        let meta = from.storage().read_all(&from.path(&format!("__ss_{LABEL}/__meta.{meta}")), 1 << 20).await.unwrap();
        let timestamp = snapshot.timestamp.clone();
        Plan { from, snapshot, meta, timestamp, location }
    }

    fn files(&self) -> Vec<(TabletKey, FileEntry)> {
        self.snapshot.tablets.iter().flat_map(|t| t.files.iter().map(|file| (t.key, file.clone()))).collect()
    }

    fn source(&self, key: &TabletKey, file: &FileEntry) -> PathBuf {
        self.location.join(self.from.path(&self.snapshot.file_path(key, file)))
    }

    async fn put(&self, writer: &SnapshotWriter, key: &TabletKey, file: &FileEntry) -> bool {
        let source = self.source(key, file);
        writer.put(key, &file.name, file.md5, file.size, &source).await.unwrap()
    }

    /// `__info` with another label.
    fn info(&self, label: &str) -> Bytes {
        let text = String::from_utf8(self.snapshot.info.clone()).unwrap();
        text.replace(&format!("\"name\":\"{LABEL}\""), &format!("\"name\":\"{label}\"")).into()
    }

    async fn write(&self, to: &Repository, label: &str) -> usize {
        let writer = SnapshotWriter::begin(to, label).await.unwrap();
        let mut written = 0;
        for (key, file) in self.files() {
            written += usize::from(self.put(&writer, &key, &file).await);
        }
        writer.commit(self.meta.clone(), self.info(label), &self.timestamp).await.unwrap();
        written
    }
}

async fn repository() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::tempdir().unwrap();
    let made = init(&Location::from(dir.path().join("new/location")), "r").await.unwrap();
    (dir, made)
}

fn names_below(dir: &Path) -> Vec<String> {
    let names = files_below(dir).into_iter();
    names.map(|path| path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned()).collect()
}

fn root(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("new/location/__starrocks_repository_r")
}

#[tokio::test]
async fn init_makes_what_starrocks_finds() {
    let (dir, made) = repository().await;
    let location = Location::from(dir.path().join("new/location"));
    assert_eq!(names_below(&dir.path().join("new/location")), ["__starrocks_repository_r/__repo_info"]);
    let found = Repository::open(&location, None).await.unwrap();
    assert_eq!((found.name(), found.create_time()), ("r", made.create_time()));
    assert!(found.labels().await.unwrap().is_empty() && found.problems().is_empty());
    assert_eq!(init(&location, "r").await.unwrap_err().kind, ErrorKind::Exists);
    init(&location, "other").await.unwrap();
    let inside = Location::from(root(&dir));
    assert_eq!(init(&inside, "x").await.unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(init(&location, "a/b").await.unwrap_err().kind, ErrorKind::Invalid);
    fs::create_dir_all(dir.path().join("new/location/__palo_repository_old/__ss_x")).unwrap();
    assert_eq!(init(&location, "old").await.unwrap_err().kind, ErrorKind::Exists);
    // A killed attempt.
    fs::create_dir(dir.path().join("new/location/__starrocks_repository_killed")).unwrap();
    fs::write(dir.path().join("new/location/__starrocks_repository_killed/__repo_info.part"), "{").unwrap();
    assert_eq!(init(&location, "killed").await.unwrap().name(), "killed");
    assert_eq!(names_below(&dir.path().join("new/location/__starrocks_repository_killed")), ["__repo_info"]);
}

#[tokio::test]
async fn what_is_written_is_what_was_there() {
    let plan = Plan::new().await;
    let (dir, repository) = repository().await;
    assert_eq!(plan.write(&repository, LABEL).await, plan.files().len());
    let original = plan.location.join(plan.from.path(&format!("__ss_{LABEL}")));
    let copy = root(&dir).join(format!("__ss_{LABEL}"));
    assert_eq!(names_below(&copy), names_below(&original));
    for name in names_below(&copy) {
        assert_eq!(fs::read(copy.join(&name)).unwrap(), fs::read(original.join(&name)).unwrap(), "{name}");
    }
    assert_eq!(repository.snapshot(LABEL, None, None).await.unwrap(), plan.snapshot);
    let again = SnapshotWriter::begin(&repository, LABEL).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::Exists);
}

#[tokio::test]
async fn what_another_snapshot_holds_is_copied_and_checked() {
    let plan = Plan::new().await;
    let (dir, repository) = repository().await;
    plan.write(&repository, LABEL).await;
    // One stored file has rotted: its bytes are sent again.
    let (key, file) = &plan.files()[3];
    let stored = root(&dir).join(plan.snapshot.file_path(key, file));
    fs::write(&stored, vec![0; file.size as usize]).unwrap();
    let written = plan.write(&repository, "second").await;
    let same = plan.files().iter().filter(|(_, other)| (other.md5, &other.name) == (file.md5, &file.name)).count();
    // Names differ between tablets even where bytes are equal; those are sent.
    let distinct: BTreeSet<_> = plan.files().iter().map(|(_, file)| (file.md5, file.size)).collect();
    assert!(written >= same && written < plan.files().len() && written <= plan.files().len() - distinct.len() + same);
    let second = repository.snapshot("second", None, None).await.unwrap();
    assert_eq!((second.problems.len(), second.tablets.len()), (0, plan.snapshot.tablets.len()));
    for path in files_below(&root(&dir).join("__ss_second")) {
        let (_, named) = md5::split_name(path.file_name().unwrap().to_str().unwrap()).unwrap();
        assert_eq!(md5::of(&fs::read(&path).unwrap()), named, "{path:?}");
    }
}

#[tokio::test]
async fn a_source_that_is_not_what_was_planned_is_refused() {
    let plan = Plan::new().await;
    let (dir, repository) = repository().await;
    let writer = SnapshotWriter::begin(&repository, LABEL).await.unwrap();
    let (key, file) = &plan.files()[0];
    let changed = dir.path().join("changed");
    let mut bytes = fs::read(plan.source(key, file)).unwrap();
    bytes[10] ^= 1;
    for bytes in [bytes.clone(), bytes[1..].to_vec(), vec![]] {
        fs::write(&changed, bytes).unwrap();
        let error = writer.put(key, &file.name, file.md5, file.size, &changed).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    }
    for (source, kind) in [(dir.path().join("none"), ErrorKind::NotFound), (dir.path().to_owned(), ErrorKind::Invalid)]
    {
        assert_eq!(writer.put(key, &file.name, file.md5, file.size, &source).await.unwrap_err().kind, kind);
    }
    assert!(!root(&dir).join(format!("__ss_{LABEL}")).exists() || names_below(&root(&dir)).len() == 1);
    plan.put(&writer, key, file).await;
    fs::write(&changed, "other").unwrap();
    let error = writer.put(key, &file.name, md5::of(b"other"), 5, &changed).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(writer.put(key, "README", md5::of(b"other"), 5, &changed).await.is_err());
}

#[tokio::test]
async fn a_commit_that_does_not_fit_changes_nothing() {
    let plan = Plan::new().await;
    let (dir, repository) = repository().await;
    let last = plan.snapshot.tablets.last().unwrap().key;
    for (case, kind) in [
        ("one tablet too few", ErrorKind::Invalid),
        ("another label", ErrorKind::Invalid),
        ("garbage", ErrorKind::Invalid),
        ("timestamp", ErrorKind::Invalid),
        ("a file went away", ErrorKind::Damaged),
        ("a file was cut", ErrorKind::Damaged),
        ("foreign tablet", ErrorKind::Exists),
        ("foreign file", ErrorKind::Exists),
        ("completed by another", ErrorKind::Exists),
    ] {
        let label = root(&dir).join("__ss_x");
        if label.exists() {
            fs::remove_dir_all(&label).unwrap();
        }
        let writer = SnapshotWriter::begin(&repository, "x").await.unwrap();
        for (key, file) in plan.files().iter().filter(|(key, _)| case != "one tablet too few" || *key != last) {
            plan.put(&writer, key, file).await;
        }
        let (mut info, mut timestamp) = (plan.info("x"), plan.timestamp.as_str());
        let some = files_below(&label).remove(2);
        match case {
            "another label" => info = plan.info("y"),
            "garbage" => info = Bytes::from_static(b"{"),
            "timestamp" => timestamp = "../../x",
            "a file went away" => fs::remove_file(some).unwrap(),
            "a file was cut" => fs::write(some, "").unwrap(),
            "foreign tablet" => {
                let foreign = label.join("__ss_content/__db_1/__tbl_2/__part_3/__idx_4/__5");
                fs::create_dir_all(&foreign).unwrap();
                fs::write(foreign.join("5.hdr.0123456789abcdef0123456789abcdef"), "").unwrap();
            }
            "foreign file" => fs::write(label.join("README"), "").unwrap(),
            "completed by another" => {
                let name = "__info_2020-01-01-00-00-00-000.0123456789abcdef0123456789abcdef";
                fs::write(label.join(name), "").unwrap();
            }
            _ => {}
        }
        let before = names_below(&label);
        let error = writer.commit(plan.meta.clone(), info, timestamp).await.unwrap_err();
        assert_eq!(error.kind, kind, "{case}: {error}");
        assert_eq!(names_below(&label), before, "{case}");
    }
}

#[tokio::test]
async fn leftovers_of_a_killed_attempt_are_cleared_away() {
    let plan = Plan::new().await;
    let (dir, repository) = repository().await;
    let label = root(&dir).join(format!("__ss_{LABEL}"));
    let (key, file) = &plan.files()[0];
    let tablet = label.join("__ss_content").join(key.path());
    fs::create_dir_all(&tablet).unwrap();
    for name in [format!("{}.part", file.name), format!("{}.{}", file.name, md5::of(b"older")), "x.dat.part".into()] {
        fs::write(tablet.join(name), "older").unwrap();
    }
    // In its name and size it is right, in its content it is not.
    fs::write(tablet.join(format!("{}.{}", file.name, file.md5)), vec![1; file.size as usize]).unwrap();
    fs::write(label.join("__meta.part"), "half").unwrap();
    fs::write(label.join(format!("__meta.{}", md5::of(b"older"))), "older").unwrap();
    assert_eq!(plan.write(&repository, LABEL).await, plan.files().len());
    let original = plan.location.join(plan.from.path(&format!("__ss_{LABEL}")));
    assert_eq!(names_below(&label), names_below(&original));
    assert_eq!(repository.snapshot(LABEL, None, None).await.unwrap(), plan.snapshot);
    assert_eq!(
        fs::read(tablet.join(format!("{}.{}", file.name, file.md5))).unwrap(),
        fs::read(plan.source(key, file)).unwrap()
    );
}

#[tokio::test]
async fn another_backups_remains_are_not_finished() {
    let copy = Copy::of("sr35/hub", "broken_upload");
    let repository = open(copy.dir.path()).await;
    let before = names_below(&copy.root);
    let plan = Plan::new().await;
    let mut tablets: BTreeSet<_> = plan.snapshot.tablets.iter().map(|tablet| tablet.key).collect();
    let broken = repository.snapshot("broken_upload", None, None).await.unwrap();
    assert_eq!(broken.timestamp, INCOMPLETE);
    let foreign = broken.tablets[0].key;
    tablets.remove(&foreign);
    let writer = SnapshotWriter::begin(&repository, "broken_upload").await.unwrap();
    let error = writer.plan(&tablets).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exists);
    assert!(error.to_string().contains(&foreign.path()), "{error}");
    tablets.extend(broken.tablets.iter().map(|tablet| tablet.key));
    writer.plan(&tablets).unwrap();
    assert_eq!(names_below(&copy.root), before);
}

#[tokio::test]
async fn labels_that_starrocks_would_not_find_are_refused() {
    let (_dir, repository) = repository().await;
    for label in ["", "a/b", "*", "..\0", "-x", "a\\b"] {
        assert_eq!(SnapshotWriter::begin(&repository, label).await.unwrap_err().kind, ErrorKind::Invalid, "{label:?}");
    }
    SnapshotWriter::begin(&repository, "Nächtlich 2024").await.unwrap();
}

/// A writer that stops dead: its task is dropped at some await.
async fn killed_after(plan: &Plan, repository: &Repository, polls: usize) -> bool {
    let write = async {
        let writer = SnapshotWriter::begin(repository, "k").await.unwrap();
        for (key, file) in plan.files() {
            plan.put(&writer, &key, &file).await;
        }
        writer.commit(plan.meta.clone(), plan.info("k"), &plan.timestamp).await.unwrap();
    };
    let mut write = std::pin::pin!(write);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        write.as_mut().poll(context).map(|()| true)
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_killed_writer_never_looks_complete_and_a_rerun_finishes(stops in prop::collection::vec(1..120usize, 1..4)) {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (plan, (dir, repository)) = runtime().block_on(async { (Plan::new().await, repository().await) });
        let mut done = false;
        for stop in stops {
            if done {
                break;
            }
            // Each in a runtime of its own, which waits at its end for work that is under way in other threads.
            done = runtime().block_on(killed_after(&plan, &repository, stop));
            runtime().block_on(async {
                if let Ok(label) = repository.label("k").await {
                    done = !label.timestamps.is_empty();
                    if done {
                        let snapshot = repository.snapshot("k", None, None).await.unwrap();
                        assert_eq!(snapshot.tablets, plan.snapshot.tablets);
                        assert_eq!(snapshot.problems, [""; 0]);
                    }
                }
            });
        }
        runtime().block_on(async {
            if !done {
                plan.write(&repository, "k").await;
            }
            let snapshot = repository.snapshot("k", None, None).await.unwrap();
            assert_eq!(snapshot.tablets, plan.snapshot.tablets);
            assert_eq!(snapshot.problems, [""; 0]);
            for path in files_below(&root(&dir).join("__ss_k")) {
                let (_, named): (&str, Md5) = md5::split_name(path.file_name().unwrap().to_str().unwrap()).unwrap();
                assert_eq!(md5::of(&fs::read(&path).unwrap()), named, "{path:?}");
            }
        });
    }
}
