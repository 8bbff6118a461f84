//! Restores of genuine repositories: what stands in the warehouse afterwards, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use starsnap_repository::md5;
use starsnap_restore::report::{JobStatus, TableStatus};
use starsnap_restore::restore::restore;
use starsnap_restore::source::Source;
use starsnap_restore::{Cancel, ErrorKind, Progress};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[tokio::test(flavor = "multi_thread")]
async fn every_table_of_every_genuine_snapshot_has_the_repositorys_bytes() {
    for name in REPOSITORIES {
        let repository = open(&location(name)).await;
        let manifest = std::fs::read_to_string(location(name).with_file_name("tree.tsv")).unwrap();
        for label in repository.labels().await.unwrap() {
            if label.timestamps.is_empty() {
                continue;
            }
            let warehouse = tempfile::tempdir().unwrap();
            let snapshot = repository.snapshot(&label.name, None, None).await.unwrap();
            let report = run(options(source(&repository, &label.name).await, warehouse.path())).await.unwrap();
            assert_eq!(report.status, JobStatus::Done, "{name} {}: {report:#?}", label.name);
            assert_eq!(report.notes, Vec::<String>::new(), "{name} {}", label.name);
            let database = warehouse.path().join(&snapshot.catalog.database);
            let mut listed = 0;
            for entry in &snapshot.catalog.tables {
                assert_eq!(report_of(&report, &entry.name).notes, Vec::<String>::new(), "{name} {}", entry.name);
                if is_view(&snapshot, &entry.name) {
                    assert!(database.join(format!("{}.sql", entry.name)).is_file());
                    continue;
                }
                let dir = database.join(&entry.name);
                let wanted = expected(&snapshot, &entry.name, None);
                assert_eq!(tablet_files(&dir), wanted, "{name} {} {}", label.name, entry.name);
                assert!(dir.join("table.json").is_file() && dir.join("schema.sql").is_file());
                listed += wanted.len();
            }
            // The repository's own listing is not the judge of itself: the manifest lists as many files.
            let content = format!("__ss_{}/__ss_content/", label.name);
            assert_eq!(
                listed,
                manifest.lines().filter(|line| line.contains(&content)).count(),
                "{name} {}",
                label.name
            );
            assert!(!database.join(".starsnap-staging").exists());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_from_a_directory_equals_the_direct_one() {
    let repository = open(&location("sr35/hub")).await;
    let (first, second, third) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(options(source(&repository, "sr_hub_full").await, first.path())).await.unwrap();
    let from = first.path().join("sr_hub");
    let report = run(options(Source::directory(&from).unwrap(), second.path())).await.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");
    let mut wanted = tree(&from);
    wanted.retain(|path, _| !path.starts_with(".starsnap/"));
    assert_eq!(tree(&second.path().join("sr_hub")), wanted);

    // A plain copy has no extended attributes; one partition of one table of it.
    let copied = tempfile::tempdir().unwrap();
    let to = copied.path().join("orders");
    std::fs::create_dir(&to).unwrap();
    for (path, _) in tree(&from.join("orders")) {
        std::fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        std::fs::write(to.join(&path), std::fs::read(from.join("orders").join(&path)).unwrap()).unwrap();
    }
    let source = Source::directory(&to.join("p202402")).unwrap();
    let report = run(options(source, third.path())).await.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    let restored = tablet_files(&third.path().join("sr_hub/orders"));
    assert_eq!(restored, expected(&snapshot, "orders", Some(&["p202402"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_of_a_restored_table_is_noticed_by_its_md5() {
    let repository = open(&location("sr33/hub")).await;
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(options(source(&repository, "sr_member_backup2").await, first.path())).await.unwrap();
    let file = find(first.path(), |path| path.ends_with(".dat"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let source = Source::directory(&first.path().join("sr_hub")).unwrap();
    let report = run(options(source, second.path())).await.unwrap();
    // Where the file system keeps no extended attributes there is nothing to check against.
    let mut value = [0; 64];
    if rustix::fs::getxattr(&file, "user.starsnap.md5", &mut value).is_ok() {
        assert_eq!(report.status, JobStatus::Failed);
        let problem = &report.tables[0].problems[0];
        assert!(problem.contains(file.file_name().unwrap().to_str().unwrap()) && problem.contains("md5"), "{problem}");
        nothing_of(second.path(), "sr_hub", "sr_member");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_table_with_the_same_schema_is_replaced() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    run(options(source(&repository, "sr_member_backup").await, warehouse.path())).await.unwrap();
    let dir = warehouse.path().join("sr_hub/sr_member");
    std::fs::write(dir.join("p1/stray"), "of the old one").unwrap();
    let report = run(options(source(&repository, "sr_member_backup2").await, warehouse.path())).await.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");
    assert_eq!(report.tables[0].status, TableStatus::Replaced);
    assert!(report.tables[0].notes[0].contains("p2, p3, p5"), "{report:#?}");
    let snapshot = repository.snapshot("sr_member_backup2", None, None).await.unwrap();
    assert_eq!(tablet_files(&dir), expected(&snapshot, "sr_member", None));
    assert!(!warehouse.path().join("sr_hub/.starsnap-staging").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_table_with_another_schema_is_refused_column_by_column() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let mut first = options(source(&repository, "sr_hub_full").await, warehouse.path());
    first.tables = table_as("users", "orders");
    assert_eq!(run(first).await.unwrap().status, JobStatus::Done);
    let before = tree(warehouse.path());
    let mut second = options(source(&repository, "sr_hub_full").await, warehouse.path());
    second.tables = [table("orders"), table("sales")].concat();
    let report = run(second).await.unwrap();
    assert_eq!((report.status, report.exit_code()), (JobStatus::Partial, 3));
    let problems = &report_of(&report, "orders").problems;
    for part in ["another schema", "--table orders=ALIAS"] {
        assert!(problems[0].contains(part), "{part} in {problems:#?}");
    }
    // One line for each.
    for part in [": column 1", ": key model"] {
        assert_eq!(problems[1..].iter().filter(|line| line.contains(part)).count(), 1, "{part} in {problems:#?}");
    }
    assert!(problems[0].contains(&format!("{} difference", problems.len() - 1)), "{problems:#?}");
    let mut after = tree(warehouse.path());
    after.retain(|path, _| !path.starts_with("sr_hub/sales/"));
    assert_eq!(after, before);

    std::fs::create_dir(warehouse.path().join("sr_hub/events")).unwrap();
    let mut third = options(source(&repository, "sr_hub_full").await, warehouse.path());
    third.tables = table("events");
    let report = run(third).await.unwrap();
    assert!(report.tables[0].problems[0].contains("no table"), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_names_directory_and_catalog() {
    let repository = open(&location("sr40/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
    job.tables = table_as("sales", "a/b");
    job.database = Some("other".into());
    assert_eq!(run(job).await.unwrap().status, JobStatus::Done);
    let dir = warehouse.path().join("other/a%2Fb");
    let text = std::fs::read_to_string(dir.join("schema.sql")).unwrap();
    assert!(text.contains("`a/b`") && !text.contains("`sales`"), "{text}");
    let again = run(options(Source::directory(&dir).unwrap(), &warehouse.path().join("second"))).await.unwrap();
    assert_eq!((again.status, &*again.tables[0].name), (JobStatus::Done, "a/b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_go_into_an_existing_table_in_one_step() {
    for name in ["sr33/hub", "sr35/hub", "sr40/hub"] {
        let repository = open(&location(name)).await;
        let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
        for (table_name, first, second) in
            [("sr_member", "p2", "p1"), ("orders", "p202403", "p202401"), ("sales", "p_us", "p_asia")]
        {
            let warehouse = tempfile::tempdir().unwrap();
            for (partition, status) in
                [(first, TableStatus::Restored), (second, TableStatus::Merged), (first, TableStatus::Merged)]
            {
                let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
                job.tables = table(table_name);
                job.partitions = vec![partition.into()];
                let report = run(job).await.unwrap();
                assert_eq!((report.status, report.tables[0].status), (JobStatus::Done, status), "{name} {report:#?}");
                assert_eq!(report.tables[0].partitions, 1);
            }
            let dir = warehouse.path().join("sr_hub").join(table_name);
            assert_eq!(tablet_files(&dir), expected(&snapshot, table_name, Some(&[first, second])), "{name}");
            // The merged catalog is one that a backup accepts, and that gives the same again.
            let target = tempfile::tempdir().unwrap();
            let location = starsnap_repository::Location::parse(target.path().to_str().unwrap()).unwrap();
            let written = starsnap_restore::backup::init(&location, "r").await.unwrap();
            run_backup(&written, "merged", warehouse.path(), "sr_hub", Vec::new()).await.unwrap();
            let back = written.snapshot("merged", None, None).await.unwrap();
            assert_eq!(back.catalog.disagreements, []);
            let table = back.catalog.table(table_name).unwrap();
            let mut names: Vec<&str> = table.partitions.iter().map(|partition| &*partition.name).collect();
            names.sort_unstable();
            let mut wanted = [first, second];
            wanted.sort_unstable();
            assert_eq!(names, wanted);
            let original = snapshot.catalog.table(table_name).unwrap();
            for partition in &table.partitions {
                let same = original.partitions.iter().find(|other| other.name == partition.name).unwrap();
                assert_eq!((partition.id, partition.version), (same.id, same.version), "{name} {table_name}");
            }
            assert_eq!(expected(&back, table_name, None), expected(&snapshot, table_name, Some(&[first, second])));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_another_cluster_get_ids_of_their_own() {
    // The same database was written by two versions, with other ids: the partition of one goes into the table of the other.
    let (from, into) = (open(&location("sr40/hub")).await, open(&location("sr35/hub")).await);
    let warehouse = tempfile::tempdir().unwrap();
    let mut job = options(source(&into, "sr_hub_full").await, warehouse.path());
    job.tables = table("sr_member");
    job.partitions = vec!["p1".into(), "p2".into()];
    run(job).await.unwrap();
    let mut job = options(source(&from, "sr_hub_full").await, warehouse.path());
    job.tables = table("sr_member");
    job.partitions = vec!["p2".into(), "p3".into()];
    let report = run(job).await.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");
    let dir = warehouse.path().join("sr_hub/sr_member");
    let (one, other) = (
        into.snapshot("sr_hub_full", None, None).await.unwrap(),
        from.snapshot("sr_hub_full", None, None).await.unwrap(),
    );
    let mut wanted = expected(&one, "sr_member", Some(&["p1"]));
    wanted.extend(expected(&other, "sr_member", Some(&["p2", "p3"])));
    assert_eq!(tablet_files(&dir), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_partition_does_not_reach_into_links_of_the_old_one() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    run(options(source(&repository, "sr_member_backup").await, warehouse.path())).await.unwrap();
    let before = tree(&warehouse.path().join("sr_hub/sr_member/p1"));
    let mut job = options(source(&repository, "sr_member_backup2").await, warehouse.path());
    job.tables = table("sr_member");
    job.partitions = vec!["p4".into()];
    let report = run(job).await.unwrap();
    assert_eq!(report.tables[0].status, TableStatus::Merged, "{report:#?}");
    assert_eq!(tree(&warehouse.path().join("sr_hub/sr_member/p1")), before);
}

/// Damages a copy of a repository and restores from it: `orders` must fail with all of `says`, `users` must be there.
async fn damaged(damage: impl Fn(&Path), says: &[&str]) {
    let copied = copy_of("sr35/hub");
    let content = copied.path().join("__starrocks_repository_hub_repo/__ss_sr_hub_full/__ss_content");
    let snapshot = open(copied.path()).await.snapshot("sr_hub_full", None, None).await.unwrap();
    let orders = content.join(format!(
        "__db_{}/__tbl_{}",
        snapshot.catalog.database_id,
        snapshot.catalog.table("orders").unwrap().id
    ));
    damage(&orders);
    let warehouse = tempfile::tempdir().unwrap();
    let mut job = options(source(&open(copied.path()).await, "sr_hub_full").await, warehouse.path());
    job.tables = [table("orders"), table("users")].concat();
    let report = run(job).await.unwrap();
    assert_eq!((report.status, report.exit_code(), report.partial()), (JobStatus::Partial, 3, true), "{report:#?}");
    assert_eq!(report_of(&report, "users").status, TableStatus::Restored);
    let problems = report_of(&report, "orders").problems.join("\n");
    for part in says {
        assert!(problems.contains(part), "{part} in {problems}");
    }
    nothing_of(warehouse.path(), "sr_hub", "orders");
}

fn a_segment(dir: &Path) -> std::path::PathBuf {
    find(dir, |path| path.contains("_0.dat."))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named() {
    damaged(|orders| std::fs::remove_file(a_segment(orders)).unwrap(), &["_0.dat", "missing"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_md5_is_named_with_both() {
    let wrong = std::sync::Mutex::new(String::new());
    damaged(
        |orders| {
            let path = a_segment(orders);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[7] ^= 0x40;
            *wrong.lock().unwrap() = md5::of(&bytes).to_string();
            std::fs::write(path, bytes).unwrap();
        },
        &["__ss_sr_hub_full/__ss_content/__db_", "_0.dat.", "its md5 is", "expected"],
    )
    .await;
    assert!(!wrong.into_inner().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_named() {
    damaged(
        |orders| {
            let file = std::fs::OpenOptions::new().write(true).open(a_segment(orders)).unwrap();
            file.set_len(100).unwrap();
        },
        &["_0.dat.", "expected"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_part_is_named() {
    damaged(
        |orders| std::fs::write(a_segment(orders).with_file_name("x_0.dat.part"), "half").unwrap(),
        &["x_0.dat.part"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_variants_of_a_file_are_named() {
    damaged(
        |orders| {
            let path = a_segment(orders);
            let name = path.file_name().unwrap().to_str().unwrap().rsplit_once('.').unwrap().0.to_owned();
            std::fs::write(path.with_file_name(format!("{name}.{}", md5::of(b"other"))), "other").unwrap();
        },
        &["_0.dat", &md5::of(b"other").to_string()],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_tablet_directory_is_named() {
    damaged(
        |orders| {
            let tablet = a_segment(orders).parent().unwrap().to_owned();
            std::fs::remove_dir_all(&tablet).unwrap();
            std::fs::create_dir(&tablet).unwrap();
        },
        &["tablet"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_before_anything_is_written() {
    let repository = open(&location("sr35/hub")).await;
    let warehouse = tempfile::tempdir().unwrap();
    let full = source(&repository, "sr_hub_full").await;
    let mut job = options(full.clone(), warehouse.path());
    job.tables = table("order");
    let error = run(job).await.unwrap_err();
    assert_eq!((error.kind, error.exit_code()), (ErrorKind::NoSuchObject, 1));
    assert!(error.to_string().contains("orders"), "{error}");
    let mut job = options(full.clone(), warehouse.path());
    job.partitions = vec!["p1".into()];
    assert_eq!(run(job).await.unwrap_err().exit_code(), 2);
    let mut job = options(full.clone(), warehouse.path());
    job.tables = [table("orders"), table_as("users", "orders")].concat();
    assert_eq!(run(job).await.unwrap_err().exit_code(), 2);
    let mut job = options(full, warehouse.path());
    job.tables = table("orders");
    job.partitions = vec!["nope".into()];
    let report = run(job).await.unwrap();
    assert_eq!(report.exit_code(), 1);
    assert!(report.tables[0].problems[0].contains("p202401"), "{report:#?}");
    assert_eq!(tree(warehouse.path()), Default::default());
    let missing = Source::repository(&repository, "nope", None, None).await.unwrap_err();
    assert_eq!(missing.exit_code(), 10);
    assert_eq!(Source::directory(Path::new("/nope")).unwrap_err().exit_code(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_before_anything_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(dir.path()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("not root: cannot mount a small disk");
        return;
    }
    let repository = open(&location("sr35/hub")).await;
    let result = run(options(source(&repository, "sr_hub_full").await, dir.path())).await;
    let left = tree(dir.path());
    assert!(std::process::Command::new("umount").arg(dir.path()).status().unwrap().success());
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSpace);
    assert!(error.to_string().contains("bytes are needed"), "{error}");
    assert_eq!(left, Default::default());
}

/// Fills the disk when so many files are done.
struct Filler {
    files: AtomicU64,
    path: std::path::PathBuf,
}

impl Progress for Filler {
    fn file_done(&self, _: &str, _: &str) {
        if self.files.fetch_add(1, Ordering::SeqCst) + 1 == 5 {
            let mut file = std::fs::File::create(&self.path).unwrap();
            while file.write_all(&[1; 4096]).is_ok() {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_in_the_middle_leaves_no_table_and_the_restore_goes_on_later() {
    let disk = tempfile::tempdir().unwrap();
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(disk.path()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("not root: cannot mount a small disk");
        return;
    }
    let repository = open(&location("sr35/hub")).await;
    let (warehouse, filler) = (disk.path().join("w"), disk.path().join("filler"));
    let mut job = options(source(&repository, "sr_hub_full").await, &warehouse);
    (job.tables, job.workers) = (table("orders"), 1);
    let progress = Arc::new(Filler { files: AtomicU64::new(0), path: filler.clone() });
    let report = restore(job.clone(), progress, Cancel::default()).await;
    let stands = warehouse.join("sr_hub/orders").exists();
    std::fs::remove_file(filler).unwrap();
    let again = run(job).await;
    let restored = tablet_files(&warehouse.join("sr_hub/orders"));
    assert!(std::process::Command::new("umount").arg(disk.path()).status().unwrap().success());

    let report = report.unwrap();
    assert_eq!((report.status, report.exit_code()), (JobStatus::Failed, 1), "{report:#?}");
    assert!(!stands);
    let problem = &report.tables[0].problems[0];
    assert!(problem.contains("No space left") && problem.contains("free some space"), "{problem}");
    let again = again.unwrap();
    assert_eq!(again.status, JobStatus::Done);
    assert!(again.reused_files > 0, "{again:#?}");
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    assert_eq!(restored, expected(&snapshot, "orders", None));
}

/// Counts the transfers that are under way at once, each held up a little.
#[derive(Default)]
struct Together {
    now: AtomicU64,
    most: AtomicU64,
}

impl Progress for Together {
    fn advanced(&self, _: u64) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(3));
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn as_many_files_are_in_transfer_as_there_are_workers_and_never_more() {
    let repository = open(&location("sr35/hub")).await;
    for workers in [1, 3] {
        let warehouse = tempfile::tempdir().unwrap();
        let mut job = options(source(&repository, "sr_hub_full").await, warehouse.path());
        job.workers = workers;
        let together = Arc::new(Together::default());
        let report = restore(job, together.clone(), Cancel::default()).await.unwrap();
        assert_eq!(report.status, JobStatus::Done);
        assert_eq!(together.most.load(Ordering::SeqCst), workers as u64);
    }
}
