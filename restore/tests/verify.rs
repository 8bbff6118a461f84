//! Verification of genuine repositories, sound and damaged: every kind of damage is found at its level, and named.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{REPOSITORIES, copy_of, find, location, open, tree};
use starsnap_repository::Repository;
use starsnap_repository::md5;
use starsnap_restore::error::exit;
use starsnap_restore::report::JobStatus;
use starsnap_restore::source::Source;
use starsnap_restore::verify::{
    Finding, FindingKind, Health, Level, SnapshotVerdict, Target, VerifyOptions, VerifyReport, verify,
};
use starsnap_restore::{Cancel, RestoreError, Silent};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LEVELS: [Level; 4] = [Level::Quick, Level::Md5, Level::Pages, Level::Rows];
/// The label that is damaged.
const VICTIM: &str = "sr_hub_full";

fn of(target: Target, level: Level) -> VerifyOptions {
    VerifyOptions { target, tables: Vec::new(), level, sample: None, workers: 4, max_speed_bytes_per_second: None }
}

fn label(repository: &Repository, label: Option<&str>) -> Target {
    Target::Repository { repository: repository.clone(), label: label.map(str::to_owned), timestamp: None }
}

async fn run(options: VerifyOptions) -> Result<VerifyReport, RestoreError> {
    verify(options, Arc::new(Silent), Cancel::default()).await
}

fn said(report: &VerifyReport) -> Vec<String> {
    report.all().map(|(snapshot, table, finding)| format!("{snapshot} {table} {finding}")).collect()
}

/// How many files below `dir` have a name that `wanted` accepts, md5 removed.
fn count(dir: &Path, wanted: impl Fn(&str) -> bool) -> u64 {
    let name = |path: &String| md5::split_name(path.rsplit('/').next().unwrap()).is_some_and(|(base, _)| wanted(base));
    tree(dir).keys().filter(|path| path.contains("__ss_content") && name(path)).count() as u64
}

fn repository_dir(location: &Path) -> PathBuf {
    let entries = fs::read_dir(location).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.is_dir()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn genuine_repositories_are_healthy_at_every_level() {
    for name in REPOSITORIES {
        let location = location(name);
        let repository = open(&location).await;
        for level in LEVELS {
            let report = run(of(label(&repository, None), level)).await.unwrap();
            // The backup that crashed is the only thing that is wrong, and is not called a damage.
            for snapshot in &report.snapshots {
                let crashed = snapshot.label == "broken_upload";
                let health = if crashed { Health::Incomplete } else { Health::Healthy };
                assert_eq!(snapshot.health, health, "{name} {level:?}: {:#?}", said(&report));
                assert_eq!(snapshot.findings.is_empty(), !crashed, "{:?}", snapshot.findings);
                assert!(snapshot.tables.iter().all(|table| table.findings.is_empty()), "{:#?}", said(&report));
            }
            let crashed = report.snapshots.iter().any(|snapshot| snapshot.label == "broken_upload");
            assert_eq!(crashed, name != "sr23/old");
            assert_eq!(report.exit_code(), if crashed { exit::PARTIAL } else { exit::DONE });

            let dir = repository_dir(&location);
            let looked = report.looked;
            assert_eq!(looked.tablets, looked.tablets_read);
            assert_eq!(looked.files, count(&dir, |_| true), "{name}");
            assert_eq!(looked.files_without_md5, 0);
            let segments = count(&dir, |base| base.ends_with(".dat") || base.ends_with(".cols"));
            assert_eq!(looked.segments, if level >= Level::Pages { segments } else { 0 }, "{name}");
            assert_eq!(looked.pages > 10 * segments, level >= Level::Pages, "{name}: {looked:?}");
            assert_eq!(looked.rows > 0, level == Level::Rows, "{name}: {looked:?}");
            eprintln!("{name} {level:?}: {looked:?}");
        }
    }
}

/// Nothing is deleted or merged in `events`, so that what SELECT returns is what is stored.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_as_many_as_were_written() {
    for (name, expected) in [("sr33/hub", "sr33/hub"), ("sr35/hub", "sr35/hub"), ("sr40/hub", "sr35/hub")] {
        let repository = open(&location(name)).await;
        let mut options = of(label(&repository, Some(VICTIM)), Level::Rows);
        options.tables = vec!["events".into()];
        let report = run(options).await.unwrap();
        let mut lines = 0;
        for entry in fs::read_dir(location(expected).parent().unwrap().join("expected")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("events.") {
                lines += fs::read_to_string(path).unwrap().lines().count() as u64;
            }
        }
        assert!(lines > 0);
        assert_eq!(report.looked.rows, lines, "{name}");
        assert_eq!(report.snapshots[0].tables.len(), 1);
        assert_eq!(report.status, JobStatus::Done);
    }
}

/// A copy of a genuine repository, and the directory of the tablet of `users` in it.
struct Victim {
    dir: tempfile::TempDir,
    label: PathBuf,
    tablet: PathBuf,
}

impl Victim {
    fn new() -> Victim {
        let dir = copy_of("sr35/hub");
        let label = repository_dir(dir.path()).join(format!("__ss_{VICTIM}"));
        let tablet = label.join("__ss_content/__db_10001/__tbl_10054/__part_10056/__idx_10055/__10057");
        assert!(tablet.is_dir());
        Victim { dir, label, tablet }
    }

    fn file(&self, wanted: impl Fn(&str) -> bool) -> PathBuf {
        find(&self.tablet, wanted)
    }

    async fn verify(&self, level: Level) -> VerifyReport {
        let repository = open(self.dir.path()).await;
        run(of(label(&repository, Some(VICTIM)), level)).await.unwrap()
    }

    /// Sound before `level`, damaged from there on: findings on `users` alone, one of which is `kind` and says all of `says`. Returns
    /// that of `level`.
    async fn found_from(&self, level: Level, kind: FindingKind, says: &[&str]) -> Finding {
        let mut first = None;
        for at in LEVELS {
            let report = self.verify(at).await;
            let all = said(&report);
            if at < level {
                assert_eq!(report.exit_code(), exit::DONE, "{at:?}: {all:#?}");
                continue;
            }
            assert_eq!(report.exit_code(), exit::PARTIAL, "{at:?}: {all:#?}");
            let snapshot = &report.snapshots[0];
            assert_eq!(snapshot.health, Health::Damaged);
            assert_eq!(snapshot.findings, [], "{at:?}");
            for table in &snapshot.tables {
                let health = if table.name == "users" { Health::Damaged } else { Health::Healthy };
                assert_eq!(table.health, health, "{at:?}, {}: {all:#?}", table.name);
            }
            let users = snapshot.tables.iter().find(|table| table.name == "users").unwrap();
            let fits = |finding: &&Finding| {
                let text = finding.to_string();
                finding.kind == kind && says.iter().all(|part| text.contains(part))
            };
            let found = users.findings.iter().find(fits);
            let found = found.unwrap_or_else(|| panic!("{at:?}: no {kind:?} with {says:?} in {all:#?}"));
            // In the repository, with the label, so that it can be found by hand.
            assert!(found.path.contains("/__ss_sr_hub_full/__ss_content/"), "{}", found.path);
            first.get_or_insert(found.clone());
        }
        first.unwrap()
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Gives a file the name that its content has.
fn rename(path: &Path) -> PathBuf {
    let (base, _) = md5::split_name(name(path)).unwrap();
    let to = path.with_file_name(format!("{base}.{}", md5::of(&fs::read(path).unwrap())));
    fs::rename(path, &to).unwrap();
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_segment_is_found_in_the_listing() {
    let victim = Victim::new();
    let segment = victim.file(|path| path.contains(".dat."));
    fs::remove_file(&segment).unwrap();
    let (base, _) = md5::split_name(name(&segment)).unwrap();
    victim.found_from(Level::Quick, FindingKind::Missing, &[base, "10057.hdr"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_and_an_empty_directory_are_told_apart() {
    let victim = Victim::new();
    fs::remove_dir_all(&victim.tablet).unwrap();
    victim.found_from(Level::Quick, FindingKind::Missing, &["__10057", "directory is missing"]).await;
    fs::create_dir(&victim.tablet).unwrap();
    victim.found_from(Level::Quick, FindingKind::Missing, &["__10057", "directory is empty"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_header_is_found_in_the_listing() {
    let victim = Victim::new();
    fs::remove_file(victim.file(|path| path.contains(".hdr."))).unwrap();
    let found = victim.found_from(Level::Quick, FindingKind::Missing, &["__10057", "header is missing"]).await;
    assert_eq!(found.path.rsplit('/').next().unwrap(), "__10057");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_of_a_segment_shows_in_its_md5() {
    let victim = Victim::new();
    let segment = victim.file(|path| path.contains(".dat."));
    let stated = md5::split_name(name(&segment)).unwrap().1;
    flip(&segment, 40);
    let found = victim.found_from(Level::Md5, FindingKind::Damaged, &[name(&segment), "md5"]).await;
    assert_eq!(found.expected, Some(stated.to_string()));
    assert_eq!(found.actual, Some(md5::of(&fs::read(&segment).unwrap()).to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_segment_shows_in_its_md5() {
    let victim = Victim::new();
    let segment = victim.file(|path| path.contains(".dat."));
    fs::File::options().write(true).open(&segment).unwrap().set_len(100).unwrap();
    victim.found_from(Level::Md5, FindingKind::Damaged, &[name(&segment), "100 bytes"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pages_under_a_right_md5_show_in_their_checksum() {
    let victim = Victim::new();
    let segment = victim.file(|path| path.contains(".dat."));
    flip(&segment, 40);
    let segment = rename(&segment);
    let found = victim.found_from(Level::Pages, FindingKind::Damaged, &[name(&segment), "CRC32C", "column"]).await;
    assert!(found.offset.is_some_and(|offset| offset <= 40), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_read_at_every_level() {
    for (end, kind) in [(".hdr.", "hdr"), (".dcgs_snapshot.", "dcgs_snapshot")] {
        let victim = Victim::new();
        let file = victim.file(|path| path.contains(end));
        let middle = fs::metadata(&file).unwrap().len() / 2;
        flip(&file, usize::try_from(middle).unwrap());
        victim.found_from(Level::Quick, FindingKind::Damaged, &[kind, "md5"]).await;
        // Its own checksum tells, too.
        rename(&file);
        victim.found_from(Level::Quick, FindingKind::Damaged, &[kind]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_of_a_primary_key_tablet_is_read() {
    let victim = Victim::new();
    let meta = find(&victim.label, |path| path.contains("/meta."));
    flip(&meta, 30);
    let report = victim.verify(Level::Quick).await;
    let snapshot = &report.snapshots[0];
    let sick: Vec<_> = snapshot.tables.iter().filter(|table| table.health != Health::Healthy).collect();
    assert_eq!(sick.len(), 1, "{:#?}", said(&report));
    assert_eq!(sick[0].name, "orders");
    assert!(sick[0].findings[0].to_string().contains(name(&meta)), "{:#?}", said(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_another_tablet_is_found() {
    let victim = Victim::new();
    let header = victim.file(|path| path.contains(".hdr."));
    let tablets = victim.tablet.parent().unwrap();
    let other = find(tablets, |path| path.contains(".hdr.") && !path.contains("10057"));
    fs::copy(other, &header).unwrap();
    rename(&header);
    let found = victim.found_from(Level::Quick, FindingKind::Inconsistent, &["header of another tablet"]).await;
    assert_eq!(found.expected.as_deref(), Some("10057"));
    victim.found_from(Level::Quick, FindingKind::Missing, &[".dat", "is missing"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_another_version_is_found() {
    // `__info` of another version than the tablets': nothing else differs.
    let victim = Victim::new();
    let info = find(&victim.label, |path| path.starts_with("__info_"));
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&info).unwrap()).unwrap();
    fn bump(value: &mut serde_json::Value) {
        let Some(object) = value.as_object_mut() else { return };
        if let Some(version) = object.get_mut("version") {
            *version = (version.as_i64().unwrap() + 1).into();
        }
        object.values_mut().for_each(bump);
    }
    bump(&mut json["backup_objects"]["users"]);
    fs::write(&info, serde_json::to_vec(&json).unwrap()).unwrap();
    rename(&info);
    let report = victim.verify(Level::Quick).await;
    let snapshot = &report.snapshots[0];
    let users = snapshot.tables.iter().find(|table| table.name == "users").unwrap();
    let found = users.findings.iter().find(|finding| finding.what.contains("version")).unwrap();
    let (expected, actual): (i64, i64) =
        (found.expected.as_ref().unwrap().parse().unwrap(), found.actual.as_ref().unwrap().parse().unwrap());
    assert_eq!(expected, actual + 1);
    assert!(found.path.contains(".hdr."));
    // That `__meta` says otherwise is told of the snapshot.
    assert!(snapshot.findings.iter().any(|finding| finding.what.contains("table users")), "{:#?}", said(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_the_wrong_bucket_show_that_tablets_are_not_in_order() {
    let victim = Victim::new();
    let info = find(&victim.label, |path| path.starts_with("__info_"));
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&info).unwrap()).unwrap();
    fn swap(value: &mut serde_json::Value) {
        let Some(object) = value.as_object_mut() else { return };
        if let Some(order) = object.get_mut("tablets_order") {
            order.as_array_mut().unwrap().swap(0, 1);
        }
        object.values_mut().for_each(swap);
    }
    swap(&mut json["backup_objects"]["users"]);
    fs::write(&info, serde_json::to_vec(&json).unwrap()).unwrap();
    rename(&info);
    for level in LEVELS {
        let report = victim.verify(level).await;
        let snapshot = &report.snapshots[0];
        // That `__meta` has another order is told of the snapshot, at every level.
        assert!(snapshot.findings.iter().any(|finding| finding.what.contains("another order")));
        for table in &snapshot.tables {
            let misplaced = |finding: &&Finding| finding.what.contains("do not belong into bucket");
            let found: Vec<_> = table.findings.iter().filter(misplaced).collect();
            let expected = if table.name == "users" && level == Level::Rows { 2 } else { 0 };
            assert_eq!(found.len(), expected, "{level:?} {}: {:#?}", table.name, said(&report));
            for finding in found {
                assert!(finding.what.contains("of 3 by HASH(user_id)"), "{finding}");
                assert!(finding.path.contains("/__ss_sr_hub_full/__ss_content/"), "{finding}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_variants_and_a_stray_part_are_found() {
    let victim = Victim::new();
    let segment = victim.file(|path| path.contains(".dat."));
    let (base, _) = md5::split_name(name(&segment)).unwrap();
    let variant = victim.tablet.join(format!("{base}.{}", md5::of(b"other")));
    fs::write(&variant, "other").unwrap();
    victim.found_from(Level::Quick, FindingKind::Inconsistent, &[base, "2 times"]).await;

    let victim = Victim::new();
    fs::write(victim.tablet.join(format!("{base}.part")), "half").unwrap();
    victim.found_from(Level::Quick, FindingKind::Inconsistent, &[".part"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_meta_and_info_are_named() {
    for beginning in ["__meta.", "__info_"] {
        let victim = Victim::new();
        let file = find(&victim.label, |path| path.starts_with(beginning));
        flip(&file, 100);
        let report = victim.verify(Level::Quick).await;
        assert_eq!(report.exit_code(), exit::PARTIAL);
        let of_snapshot = |snapshot: &SnapshotVerdict| {
            let named = |finding: &&Finding| finding.kind == FindingKind::Damaged && finding.what.contains(name(&file));
            snapshot.findings.iter().find(named).cloned()
        };
        assert!(of_snapshot(&report.snapshots[0]).is_some(), "{beginning}: {:#?}", said(&report));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_one_snapshot_is_no_damage_of_the_others() {
    let victim = Victim::new();
    flip(&victim.file(|path| path.contains(".dat.")), 40);
    let repository = open(victim.dir.path()).await;
    let report = run(of(label(&repository, None), Level::Md5)).await.unwrap();
    for snapshot in &report.snapshots {
        let health = match snapshot.label.as_str() {
            VICTIM => Health::Damaged,
            "broken_upload" => Health::Incomplete,
            _ => Health::Healthy,
        };
        assert_eq!(snapshot.health, health, "{}", snapshot.label);
    }
    // Other tables of it are sound on their own.
    let mut options = of(label(&repository, Some(VICTIM)), Level::Rows);
    options.tables = vec!["orders".into(), "events".into()];
    let report = run(options).await.unwrap();
    assert_eq!(report.exit_code(), exit::DONE, "{:#?}", said(&report));
    assert_eq!(report.snapshots[0].tables.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_an_error() {
    let repository = open(&location("sr35/hub")).await;
    let error = run(of(label(&repository, Some("nothing")), Level::Quick)).await.unwrap_err();
    assert_eq!(error.exit_code(), exit::NOT_FOUND);
    let mut options = of(label(&repository, None), Level::Quick);
    options.tables = vec!["no_table".into()];
    assert!(run(options).await.unwrap_err().to_string().contains("no_table"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_reads_its_share_and_looks_at_all_names() {
    let victim = Victim::new();
    let repository = open(victim.dir.path()).await;
    let sample = async |percent| {
        let mut options = of(label(&repository, Some(VICTIM)), Level::Md5);
        options.sample = Some(percent);
        run(options).await.unwrap()
    };
    let first = sample(10.0).await;
    assert_eq!((first.looked.tablets, first.looked.tablets_read), (49, 5));
    assert_eq!(first.exit_code(), exit::DONE);
    let again = sample(10.0).await;
    assert_eq!(first.snapshots, again.snapshots);
    assert_eq!(sample(100.0).await.looked.tablets_read, 49);
    // What the listing shows is found in any tablet.
    fs::remove_dir_all(&victim.tablet).unwrap();
    let report = sample(1.0).await;
    assert_eq!(report.looked.tablets_read, 1);
    assert_eq!(report.exit_code(), exit::PARTIAL);
    assert!(said(&report).iter().any(|text| text.contains("__10057")), "{:#?}", said(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_a_table_and_a_partition_are_verified_as_directories() {
    let warehouse = tempfile::tempdir().unwrap();
    let repository = open(&location("sr35/hub")).await;
    let source = common::source(&repository, VICTIM).await;
    common::run(common::options(source, warehouse.path())).await.unwrap();
    let database = warehouse.path().join("sr_hub");
    let directory =
        async |path: &Path, level| run(of(Target::Directory(Source::directory(path).unwrap()), level)).await;
    let report = directory(&database, Level::Rows).await.unwrap();
    assert_eq!(report.exit_code(), exit::DONE, "{:#?}", said(&report));
    assert_eq!(report.looked.tablets, 49);
    assert!(report.looked.rows > 0);
    let report = directory(&database.join("sr_member/p1"), Level::Pages).await.unwrap();
    assert_eq!((report.looked.tablets, report.snapshots[0].tables.len()), (3, 1));

    // Without md5 pages and rows still tell; a restored file states its md5 where the file system can.
    let segment = find(&database.join("users"), |path| path.ends_with(".dat"));
    flip(&segment, 40);
    let report = directory(&database.join("users"), Level::Pages).await.unwrap();
    assert_eq!(report.exit_code(), exit::PARTIAL);
    assert!(said(&report).iter().any(|text| text.contains(segment.to_str().unwrap()) && text.contains("CRC32C")));
    assert_eq!(directory(&database.join("orders"), Level::Rows).await.unwrap().exit_code(), exit::DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_by_itself_is_verified_and_its_damage_named() {
    let tablets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tablets");
    for case in ["sr33/scalars_tiny", "sr35/pk_delvec", "sr35/pk_dcg", "sr35/dup_dcg", "sr35/unique_multi_rowset"] {
        let dir = tablets.join(case).join("tablet");
        let bare = async |path: &Path, level| run(of(Target::directory(path).unwrap(), level)).await.unwrap();
        for level in LEVELS {
            let report = bare(&dir, level).await;
            assert_eq!(report.exit_code(), exit::DONE, "{case}: {:#?}", said(&report));
            assert_eq!((report.looked.tablets, report.snapshots.len()), (1, 1), "{case}");
            assert_eq!(report.looked.rows > 0, level == Level::Rows, "{case}");
        }
        let copy = tempfile::tempdir().unwrap();
        common::copy(&dir, copy.path());
        let segment = find(copy.path(), |path| path.ends_with(".dat"));
        flip(&segment, 40);
        let report = bare(copy.path(), Level::Pages).await;
        assert_eq!(report.exit_code(), exit::PARTIAL, "{case}");
        assert!(said(&report).iter().any(|text| text.contains(segment.to_str().unwrap())), "{:#?}", said(&report));
        fs::remove_file(&segment).unwrap();
        let report = bare(copy.path(), Level::Quick).await;
        assert!(report.all().any(|(_, _, finding)| finding.kind == FindingKind::Missing), "{:#?}", said(&report));
    }
    let nothing = tempfile::tempdir().unwrap();
    assert!(Target::directory(nothing.path()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_verification_says_so() {
    let repository = open(&location("sr35/hub")).await;
    let cancel = Cancel::default();
    cancel.cancel();
    let report = verify(of(label(&repository, Some(VICTIM)), Level::Rows), Arc::new(Silent), cancel).await.unwrap();
    assert_eq!(report.status, JobStatus::Interrupted);
    assert_eq!(report.exit_code(), exit::INTERRUPTED);
    assert_eq!(report.looked.rows, 0);
    assert_eq!(said(&report), [] as [String; 0]);
}
