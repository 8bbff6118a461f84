//! Restores and backups that are killed: what was finished is not fetched again, and nothing half-done ever stands under its name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use starsnap_catalog::snapshot::TableKind;
use starsnap_repository::{Location, Repository};
use starsnap_restore::report::{JobStatus, TableReport, TableStatus};
use starsnap_restore::restore::restore;
use starsnap_restore::source::Source;
use starsnap_restore::{Cancel, ErrorKind, Progress};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const JOB: &str = "STARSNAP_TEST_JOB";

/// Not a test of its own: the child process that the others kill. `restore|backup <repository> <warehouse>`.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let parts: Vec<&str> = job.split('|').collect();
    let repository = open(Path::new(parts[1])).await;
    if parts[0] == "restore" {
        let mut options = options(source(&repository, "sr_hub_full").await, Path::new(parts[2]));
        options.max_speed_bytes_per_second = Some(2_000_000);
        run(options).await.unwrap();
    } else {
        run_backup(&repository, "killed", Path::new(parts[2]), "sr_hub", Vec::new()).await.unwrap();
    }
}

/// Starts the child and kills it after `pause`; returns whether it had ended by itself.
fn kill_after(job: &str, pause: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(JOB, job)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(pause);
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    ended
}

async fn whole_or_not_at_all(repository: &Repository, warehouse: &Path) -> usize {
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    let mut there = 0;
    for table in &snapshot.catalog.tables {
        let dir = warehouse.join("sr_hub").join(&table.name);
        if dir.exists() {
            assert_eq!(tablet_files(&dir), expected(&snapshot, &table.name, None), "{}", table.name);
            assert!(dir.join("table.json").is_file());
            there += 1;
        }
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_killed_again_and_again_ends_whole() {
    let from = location("sr33/hub");
    let repository = open(&from).await;
    let warehouse = tempfile::tempdir().unwrap();
    let job = format!("restore|{}|{}", from.display(), warehouse.path().display());
    let (mut under_way, mut round) = (0, 0u64);
    while round < 14 || under_way < 3 {
        assert!(round < 100, "the kills came too early or too late: {under_way}");
        // From before the first file to behind the last table, with no pattern to it; later where the machine is slow.
        let ended = kill_after(&job, Duration::from_millis((20 + round * 97 % 700) * (1 + round / 14)));
        round += 1;
        whole_or_not_at_all(&repository, warehouse.path()).await;
        under_way += usize::from(warehouse.path().join("sr_hub/.starsnap-staging").exists());
        if ended {
            std::fs::remove_dir_all(warehouse.path().join("sr_hub")).unwrap();
        }
    }
    let report = run(options(source(&repository, "sr_hub_full").await, warehouse.path())).await.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");
    let tables = repository.snapshot("sr_hub_full", None, None).await.unwrap().catalog.tables;
    let tables = tables.iter().filter(|table| table.kind != TableKind::View).count();
    assert_eq!(whole_or_not_at_all(&repository, warehouse.path()).await, tables);
    assert!(!warehouse.path().join("sr_hub/.starsnap-staging").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_killed_again_and_again_never_looks_complete_and_ends_whole() {
    let repository = open(&location("sr33/hub")).await;
    let (warehouse, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(options(source(&repository, "sr_hub_full").await, warehouse.path())).await.unwrap();
    let place = Location::parse(target.path().to_str().unwrap()).unwrap();
    let written = starsnap_restore::backup::init(&place, "written").await.unwrap();
    let original = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    let job = format!("backup|{}|{}", target.path().display(), warehouse.path().display());
    let check = async || {
        let Ok(label) = written.label("killed").await else { return false };
        if label.timestamps.is_empty() {
            return false;
        }
        let back = written.snapshot("killed", None, None).await.unwrap();
        for table in &original.catalog.tables {
            assert_eq!(expected(&back, &table.name, None), expected(&original, &table.name, None), "{}", table.name);
        }
        true
    };
    for round in 0..10u64 {
        kill_after(&job, Duration::from_millis(20 + round * 61 % 400));
        if check().await {
            let label: PathBuf = find(target.path(), |path| path.contains("__ss_killed/__info_"));
            std::fs::remove_dir_all(label.parent().unwrap()).unwrap();
        }
    }
    run_backup(&written, "killed", warehouse.path(), "sr_hub", Vec::new()).await.unwrap();
    assert!(check().await);
}

/// Stops the job, or only counts, when so many files are done.
struct AfterFiles {
    files: AtomicU64,
    limit: u64,
    cancel: Cancel,
}

impl Progress for AfterFiles {
    fn file_done(&self, _: &str, _: &str) {
        if self.files.fetch_add(1, Ordering::SeqCst) + 1 == self.limit {
            self.cancel.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_files_are_not_fetched_again() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    let progress = Arc::new(AfterFiles { files: AtomicU64::new(0), limit: 8, cancel: cancel.clone() });
    let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
    job.tables = table("orders");
    let report = restore(job.clone(), progress, cancel).await.unwrap();
    assert_eq!((report.status, report.exit_code()), (JobStatus::Interrupted, 130));
    assert_eq!(report.tables[0].status, TableStatus::Interrupted);
    assert_eq!((report.files, report.bytes), (0, 0), "what was planned was not restored");
    assert!(report.notes[0].contains("run the same command again"), "{report:#?}");
    assert!(!warehouse.path().join("sr_hub/orders").exists());

    let counter = Arc::new(AfterFiles { files: AtomicU64::new(0), limit: u64::MAX, cancel: Cancel::default() });
    let report = restore(job.clone(), counter.clone(), Cancel::default()).await.unwrap();
    assert_eq!(report.status, JobStatus::Done);
    assert!(report.reused_files >= 8, "{report:#?}");
    assert_eq!(counter.files.load(Ordering::SeqCst), report.files - report.reused_files);
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    assert_eq!(tablet_files(&warehouse.path().join("sr_hub/orders")), expected(&snapshot, "orders", None));
}

/// What a kill or a power cut leaves of files that were not yet durable: in staging, in their size, unknown to the journal.
#[tokio::test(flavor = "multi_thread")]
async fn staged_files_that_the_journal_does_not_know_are_kept_only_if_they_are_right() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    let progress = Arc::new(AfterFiles { files: AtomicU64::new(0), limit: 12, cancel: cancel.clone() });
    let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
    job.tables = table("orders");
    restore(job.clone(), progress, cancel).await.unwrap();
    let staging = warehouse.path().join("sr_hub/.starsnap-staging");
    let journal = find(&staging, |path| path.ends_with("/journal"));
    let text = std::fs::read_to_string(&journal).unwrap();
    let known = text.lines().count() as u64 - 1;
    assert!(known >= 12, "{text}");
    std::fs::write(&journal, format!("{}\n", text.lines().next().unwrap())).unwrap();
    // One with a hole where its second half should be, one of wrong length.
    let staged = journal.with_file_name("table");
    let mut files = tree(&staged).into_iter().filter(|(_, (size, _))| *size > 100);
    let ((torn, _), (short, _)) = (files.next().unwrap(), files.next().unwrap());
    let mut bytes = std::fs::read(staged.join(&torn)).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0);
    std::fs::write(staged.join(torn), bytes).unwrap();
    std::fs::OpenOptions::new().write(true).open(staged.join(short)).unwrap().set_len(50).unwrap();

    let counter = Arc::new(AfterFiles { files: AtomicU64::new(0), limit: u64::MAX, cancel: Cancel::default() });
    let report = restore(job, counter.clone(), Cancel::default()).await.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");
    assert_eq!(report.reused_files, known - 2);
    assert_eq!(counter.files.load(Ordering::SeqCst), report.files - (known - 2));
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    assert_eq!(tablet_files(&warehouse.path().join("sr_hub/orders")), expected(&snapshot, "orders", None));
}

/// A file that is written anew must not be vouched for by what the journal said of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_recheck_takes_back_what_the_journal_says_of_a_damaged_file() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let stopped_after = async |limit, job: starsnap_restore::restore::RestoreOptions| {
        let cancel = Cancel::default();
        let progress = Arc::new(AfterFiles { files: AtomicU64::new(0), limit, cancel: cancel.clone() });
        restore(job, progress, cancel).await.unwrap()
    };
    let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
    (job.tables, job.workers) = (table("orders"), 1);
    stopped_after(12, job.clone()).await;
    let staging = warehouse.path().join("sr_hub/.starsnap-staging");
    let journal = find(&staging, |path| path.ends_with("/journal"));
    let staged = journal.with_file_name("table");
    let (path, _) = tree(&staged).into_iter().next_back().unwrap();
    let mut bytes = std::fs::read(staged.join(&path)).unwrap();
    bytes[5] ^= 1;
    std::fs::write(staged.join(&path), &bytes).unwrap();
    // The first run of all notices, and is stopped at once; the next trusts the journal.
    job.recheck = true;
    let report = stopped_after(1, job.clone()).await;
    assert_eq!(report.status, JobStatus::Interrupted);
    if std::fs::read(staged.join(&path)).is_ok_and(|there| there != bytes) {
        std::fs::write(staged.join(&path), &bytes).unwrap();
        let text = std::fs::read_to_string(&journal).unwrap();
        let until = text.find("\"gone\":true").unwrap();
        let end = until + text[until..].find('\n').unwrap() + 1;
        std::fs::write(&journal, &text[..end]).unwrap();
    }
    assert!(std::fs::read_to_string(&journal).unwrap().contains("\"gone\":true"));
    job.recheck = false;
    assert_eq!(run(job).await.unwrap().status, JobStatus::Done);
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    assert_eq!(tablet_files(&warehouse.path().join("sr_hub/orders")), expected(&snapshot, "orders", None));
}

/// In a plain copy nothing tells a file's md5, and all files have the backup's time: `cp -p` of the repaired one gives it the same again.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_copy_that_was_repaired_meanwhile_is_fetched_again() {
    let repository = open(&location("sr35/hub")).await;
    let dir = tempfile::tempdir().unwrap();
    let (first, plain, second) = (dir.path().join("first"), dir.path().join("plain"), dir.path().join("second"));
    let mut job = options(source(&repository, "sr_hub_full").await, &first);
    job.tables = table("orders");
    run(job).await.unwrap();
    let whole = first.join("sr_hub/orders");
    // Copies bytes alone, no attributes.
    copy(&whole, &plain);
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_723_652_491);
    let at_backup = |path: &Path| std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    tree(&plain).keys().for_each(|path| at_backup(&plain.join(path)));
    let damage = |path: &str| {
        let mut bytes = std::fs::read(whole.join(path)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(plain.join(path), bytes).unwrap();
        at_backup(&plain.join(path));
    };
    let wanted = tablet_files(&whole);
    wanted.keys().filter(|path| path.ends_with(".dat")).for_each(|path| damage(path));

    let stopped = async |limit: u64| {
        let cancel = Cancel::default();
        let progress = Arc::new(AfterFiles { files: AtomicU64::new(0), limit, cancel: cancel.clone() });
        restore(options(Source::directory(&plain).unwrap(), &second), progress, cancel).await.unwrap()
    };
    assert_eq!(stopped(wanted.len() as u64 - 1).await.status, JobStatus::Interrupted);
    // One repaired in place, the others exchanged.
    for (nth, path) in wanted.keys().filter(|path| path.ends_with(".dat")).enumerate() {
        if nth > 0 {
            std::fs::remove_file(plain.join(path)).unwrap();
        }
        std::fs::write(plain.join(path), std::fs::read(whole.join(path)).unwrap()).unwrap();
        at_backup(&plain.join(path));
    }
    let report = stopped(u64::MAX).await;
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");
    assert!(report.reused_files > 0, "what did not change is kept: {report:#?}");
    assert!(tablet_files(&second.join("sr_hub/orders")) == wanted, "what was damaged is restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_restore_goes_on_where_it_stopped() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    for pause in [1, 5, 20, 50, 90, 150] {
        let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
        job.max_speed_bytes_per_second = Some(1_000_000);
        let _ = tokio::time::timeout(Duration::from_millis(pause), run(job)).await;
        whole_or_not_at_all(&repository, warehouse.path()).await;
    }
    // The locks go when the last writes that were under way have ended.
    let until = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let report = run(options(source(&repository, "sr_hub_full").await, warehouse.path())).await.unwrap();
        let busy = |table: &TableReport| table.problems.iter().any(|problem| problem.contains("another starsnap"));
        if report.status == JobStatus::Done {
            break;
        }
        assert!(report.tables.iter().any(busy) && std::time::Instant::now() < until, "{report:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn two_restores_of_one_table_exclude_each_other() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
    job.tables = table("orders");
    let gate = Arc::new(Gate::default());
    let first = tokio::spawn(restore(job.clone(), gate.clone(), Cancel::default()));
    gate.reached.notified().await;
    let second = run(job).await.unwrap();
    assert_eq!(second.status, JobStatus::Failed);
    assert!(second.tables[0].problems[0].contains("another starsnap"), "{second:#?}");
    let held = run_backup(&repository, "x", warehouse.path(), "sr_hub", table("orders")).await.unwrap_err();
    assert!(matches!(held.kind, ErrorKind::NoSuchObject | ErrorKind::Busy), "{held}");
    gate.open();
    assert_eq!(first.await.unwrap().unwrap().status, JobStatus::Done);
}

/// Tells that bytes come, and holds the job there until it is opened.
#[derive(Default)]
struct Gate {
    reached: tokio::sync::Notify,
    is_open: std::sync::Mutex<bool>,
    opened: std::sync::Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Progress for Gate {
    fn advanced(&self, _: u64) {
        self.reached.notify_one();
        let patience = Duration::from_secs(60);
        let waiting = self.opened.wait_timeout_while(self.is_open.lock().unwrap(), patience, |open| !*open);
        drop(waiting.unwrap());
    }
}

/// Remembers how many bytes came when.
struct Meter(std::time::Instant, std::sync::Mutex<Vec<(Duration, u64)>>);

impl Progress for Meter {
    fn advanced(&self, bytes: u64) {
        self.1.lock().unwrap().push((self.0.elapsed(), bytes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_speed_limit_holds_for_all_workers_of_a_restore_together() {
    let repository = open(&location("sr33/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let begun = std::time::Instant::now();
    let mut job = options(source(&repository, "sr_hub_full").await, &warehouse.path().join("unlimited"));
    run(job.clone()).await.unwrap();
    let unlimited = begun.elapsed().as_secs_f64();
    job.warehouse = warehouse.path().join("limited");
    job.workers = 8;
    job.max_speed_bytes_per_second = Some(400_000);
    let meter = Arc::new(Meter(std::time::Instant::now(), Default::default()));
    let report = restore(job, meter.clone(), Cancel::default()).await.unwrap();
    assert_eq!(report.status, JobStatus::Done);
    let bytes: u64 = meter.1.lock().unwrap().iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(bytes, report.bytes);
    let ideal = bytes as f64 / 400_000.0;
    let taken = meter.0.elapsed().as_secs_f64();
    // Never faster; slower only by what the machine takes, which others may load.
    assert!(taken >= ideal * 0.95 && taken <= ideal * 2.0 + 3.0 + 5.0 * unlimited, "{taken} s for {bytes} bytes");
}
