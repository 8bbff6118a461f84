//! Backups: what was restored goes into a new repository, and comes back the same; what cannot be backed up is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use starsnap_catalog::snapshot::TableKind;
use starsnap_catalog::write::as_written;
use starsnap_repository::{Location, Repository};
use starsnap_restore::ErrorKind;
use starsnap_restore::report::JobStatus;
use starsnap_restore::survey::{SnapshotStatus, snapshots};
use std::path::Path;

async fn new_repository(dir: &Path) -> Repository {
    let location = Location::parse(dir.to_str().unwrap()).unwrap();
    starsnap_restore::backup::init(&location, "written").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_and_backed_up_reads_back_the_same() {
    for (name, label) in [
        ("sr23/old", "old_full"),
        ("sr33/hub", "sr_hub_full"),
        ("sr35/hub", "sr_hub_full"),
        ("sr40/hub", "sr_hub_full"),
    ] {
        let repository = open(&location(name)).await;
        let original = repository.snapshot(label, None, None).await.unwrap();
        let database = &original.catalog.database;
        let (warehouse, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(options(source(&repository, label).await, warehouse.path())).await.unwrap();
        let written = new_repository(target.path()).await;
        let report = run_backup(&written, "again", warehouse.path(), database, Vec::new()).await.unwrap();
        let back = written.snapshot("again", None, None).await.unwrap();
        assert_eq!(back.problems, Vec::<String>::new());
        assert_eq!(back.catalog.disagreements, []);
        assert_eq!(back.timestamp, report.timestamp);
        assert_eq!(back.catalog.functions, original.catalog.functions);
        let names = |snapshot: &starsnap_repository::OpenSnapshot| -> Vec<String> {
            snapshot.catalog.tables.iter().map(|table| table.name.clone()).collect()
        };
        assert_eq!(names(&back), names(&original), "{name}");
        for table in &original.catalog.tables {
            let again = back.catalog.table(&table.name).unwrap();
            if table.kind == TableKind::View {
                assert_eq!(again.kind, TableKind::View);
                continue;
            }
            // Ids, columns, partitions, versions, tablets in bucket order: all as the original would be written.
            let (mut wanted, mut again) = (as_written(table).unwrap(), as_written(again).unwrap());
            for entry in [&mut wanted, &mut again] {
                let tablets = entry.partitions.iter_mut().flat_map(|partition| &mut partition.physicals);
                let tablets = tablets.flat_map(|physical| &mut physical.indexes).flat_map(|index| &mut index.tablets);
                // The lists of file names are of old versions only.
                tablets.for_each(|tablet| tablet.listed_files.clear());
            }
            assert_eq!(wanted.parse().unwrap(), again.parse().unwrap(), "{name} {}", table.name);
            (wanted.catalog, again.catalog) = (None, None);
            assert_eq!(wanted, again, "{name}");
            assert_eq!(
                expected(&back, &table.name, None),
                expected(&original, &table.name, None),
                "{name} {}",
                table.name
            );
        }
        let summaries = snapshots(&written).await.unwrap();
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].status, SnapshotStatus::Ok, "{summaries:#?}");
        assert_eq!((summaries[0].files, summaries[0].bytes), (report.files, report.bytes));

        // Once more, into the same repository: its files are there already.
        let second = run_backup(&written, "third", warehouse.path(), database, Vec::new()).await.unwrap();
        // All but a few tiny ones, whose content stands there under another name only.
        assert!(second.reused_files * 10 >= second.files * 9, "{second:#?}");
        // And restored from what was written.
        let third = tempfile::tempdir().unwrap();
        let report = run(options(source(&written, "again").await, third.path())).await.unwrap();
        assert_eq!(report.status, JobStatus::Done);
        for table in original.catalog.tables.iter().filter(|table| table.kind != TableKind::View) {
            let dir = |warehouse: &Path| tablet_files(&warehouse.join(database).join(&table.name));
            assert_eq!(dir(third.path()), dir(warehouse.path()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_backed_up_is_refused_and_leaves_no_snapshot() {
    let repository = open(&location("sr35/hub")).await;
    let (warehouse, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let written = new_repository(target.path()).await;
    run(options(source(&repository, "sr_member_backup").await, warehouse.path())).await.unwrap();
    let refused =
        async |label: &str, tables| run_backup(&written, label, warehouse.path(), "sr_hub", tables).await.unwrap_err();

    assert_eq!(
        run_backup(&written, "x", warehouse.path(), "nope", Vec::new()).await.unwrap_err().kind,
        ErrorKind::NoSuchObject
    );
    std::fs::create_dir(warehouse.path().join("empty")).unwrap();
    let empty = run_backup(&written, "x", warehouse.path(), "empty", Vec::new()).await.unwrap_err();
    assert!(empty.to_string().contains("empty"), "{empty}");
    assert_eq!(refused("x", table("nope")).await.kind, ErrorKind::NoSuchObject);
    assert_eq!(refused("x", table_as("sr_member", "other")).await.exit_code(), 2);

    let header = find(warehouse.path(), |path| path.ends_with(".hdr"));
    let foreign = header.with_file_name("_SUCCESS");
    std::fs::write(&foreign, "").unwrap();
    let error = refused("x", Vec::new()).await;
    assert!(error.to_string().contains("_SUCCESS"), "{error}");
    std::fs::remove_file(&foreign).unwrap();

    let away = header.parent().unwrap().with_file_name("away");
    std::fs::rename(header.parent().unwrap(), &away).unwrap();
    let error = refused("x", Vec::new()).await;
    assert!(error.to_string().contains("missing"), "{error}");
    std::fs::rename(&away, header.parent().unwrap()).unwrap();

    assert_eq!(snapshots(&written).await.unwrap(), []);
    run_backup(&written, "x", warehouse.path(), "sr_hub", Vec::new()).await.unwrap();
    let error = refused("x", Vec::new()).await;
    assert_eq!(error.kind, ErrorKind::Exists);
    assert!(error.to_string().contains("in use"), "{error}");
}

/// A restore that ends while a backup begins: the backup takes either table whole, never one's catalog with the other's files.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_replaced_before_its_lock_is_taken_is_read_again() {
    let repository = open(&location("sr35/hub")).await;
    let (warehouse, other, target) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (label, name, to) in [
        ("sr_hub_full", "orders", warehouse.path()),
        ("sr_member_backup2", "sr_member", warehouse.path()),
        ("sr_hub_full", "sr_member", other.path()),
    ] {
        let mut job = options(source(&repository, label).await, to);
        job.tables = table(name);
        assert_eq!(run(job).await.unwrap().status, JobStatus::Done);
    }
    // As its lock is a pipe, the backup waits where it takes it, until somebody reads.
    let locks = warehouse.path().join("sr_hub/.starsnap-staging");
    std::fs::create_dir(&locks).unwrap();
    let (before, pipe) = (locks.join("orders.lock"), locks.join("sr_member.lock"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let written = new_repository(target.path()).await;
    let (to, from) = (written.clone(), warehouse.path().to_owned());
    let backup = tokio::spawn(async move { run_backup(&to, "x", &from, "sr_hub", Vec::new()).await });
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !before.exists() {
        assert!(std::time::Instant::now() < until && !backup.is_finished(), "the backup takes no locks");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let standing = warehouse.path().join("sr_hub/sr_member");
    std::fs::rename(&standing, other.path().join("replaced")).unwrap();
    std::fs::rename(other.path().join("sr_hub/sr_member"), &standing).unwrap();
    let reading = tokio::task::spawn_blocking(move || std::fs::File::open(pipe).unwrap());
    backup.await.unwrap().unwrap();
    reading.await.unwrap();

    let (back, original) = (
        written.snapshot("x", None, None).await.unwrap(),
        repository.snapshot("sr_hub_full", None, None).await.unwrap(),
    );
    assert!(expected(&back, "sr_member", None) == expected(&original, "sr_member", None));
    let as_parsed = |snapshot: &starsnap_repository::OpenSnapshot| {
        as_written(snapshot.catalog.table("sr_member").unwrap()).unwrap().parse().unwrap()
    };
    assert_eq!(as_parsed(&back), as_parsed(&original), "its catalog is another's");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_genuine_snapshots_are_surveyed_as_show_snapshot_does() {
    for name in REPOSITORIES {
        let repository = open(&location(name)).await;
        let shown = std::fs::read_to_string(location(name).with_file_name("show_snapshot.tsv")).unwrap();
        let summaries = snapshots(&repository).await.unwrap();
        let found: Vec<String> = summaries
            .iter()
            .map(|summary| {
                let status = match summary.status {
                    SnapshotStatus::Ok => "OK",
                    SnapshotStatus::Incomplete => "ERROR: no snapshot",
                    SnapshotStatus::Broken => "broken",
                };
                format!("{}\t{}\t{status}", summary.label, summary.timestamp.as_deref().unwrap_or_default())
            })
            .collect();
        let wanted: Vec<&str> = shown.lines().skip(1).collect();
        assert_eq!(found, wanted, "{summaries:#?}");
        for broken in summaries.iter().filter(|summary| summary.status == SnapshotStatus::Incomplete) {
            // A few sentences, however many tablets it lacks, and each thing once.
            assert!((1..=4).contains(&broken.problems.len()), "{broken:#?}");
            let infos = broken.problems.iter().filter(|problem| problem.contains("__info")).count();
            assert_eq!(infos, 1, "{broken:#?}");
        }
        let ok = summaries.iter().filter(|summary| summary.status == SnapshotStatus::Ok);
        for summary in ok {
            assert!(summary.problems.is_empty() && summary.tablets > 0 && summary.files > summary.tablets - 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn external_catalogs_keep_their_secrets_for_the_backup_and_show_none() {
    use std::os::unix::fs::PermissionsExt;
    let (from, warehouse, target) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let repository = new_repository(from.path()).await;
    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/catalogs/sr35/catalogs"));
    let info = find(fixture, |path| path.starts_with("__info_"));
    let info: serde_json::Value = serde_json::from_slice(&std::fs::read(info).unwrap()).unwrap();
    let label = info["name"].as_str().unwrap();
    copy(fixture, &from.path().join("__starrocks_repository_written").join(format!("__ss_{label}")));
    let mut job = options(source(&repository, label).await, warehouse.path());
    assert_eq!(run(job.clone()).await.unwrap_err().exit_code(), 2, "there is no database to restore to");
    job.database = Some("outside".into());
    let report = run(job).await.unwrap();
    assert_eq!(report.status, JobStatus::Done, "{report:#?}");

    let original = repository.snapshot(label, None, None).await.unwrap();
    assert!(!original.catalog.catalogs.is_empty());
    let dir = warehouse.path().join("outside");
    let objects = dir.join(".starsnap/objects.json");
    assert_eq!(objects.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut secrets = 0;
    for text in &original.catalog.catalogs {
        let catalog: starsnap_catalog::model::Catalog = text.parse().unwrap();
        let shown = std::fs::read_to_string(dir.join(format!("catalogs/{}.sql", catalog.name))).unwrap();
        for (key, secret) in
            catalog.config.iter().filter(|(key, _)| key.ends_with("secret_key") || key.ends_with("password"))
        {
            assert!(!shown.contains(secret.as_str()), "{key} of {}", catalog.name);
            secrets += 1;
        }
    }
    assert!(secrets > 0);
    let written = new_repository(target.path()).await;
    run_backup(&written, "again", warehouse.path(), "outside", Vec::new()).await.unwrap();
    let back = written.snapshot("again", None, None).await.unwrap();
    assert_eq!((&*back.catalog.database, back.catalog.database_id), ("", -1));
    let parsed = |snapshot: &starsnap_repository::OpenSnapshot| -> Vec<starsnap_catalog::model::Catalog> {
        snapshot.catalog.catalogs.iter().map(|text| text.parse().unwrap()).collect()
    };
    assert_eq!(parsed(&back), parsed(&original));
}
