//! Damaged and hostile repositories: what is wrong is named, the rest is there, nothing outside is read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/fixtures.rs"]
mod support;

use proptest::prelude::*;
use starsnap_repository::repository::INCOMPLETE;
use starsnap_repository::{OpenSnapshot, md5};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use support::{Copy, files_below, open};

const LABEL: &str = "sr_member_backup";

async fn opened(copy: &Copy) -> OpenSnapshot {
    open(copy.dir.path()).await.snapshot(LABEL, None, None).await.unwrap()
}

fn says(snapshot: &OpenSnapshot, words: &[&str]) {
    let found = snapshot.problems.iter().any(|problem| words.iter().all(|word| problem.contains(word)));
    assert!(found, "{words:?} in {:#?}", snapshot.problems);
}

fn named(dir: &Path, base: &str, bytes: &[u8]) {
    fs::write(dir.join(format!("{base}.{}", md5::of(bytes))), bytes).unwrap();
}

fn tail(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[tokio::test]
async fn a_damaged_info_leaves_the_catalog_of_meta() {
    let damages: [fn(&mut Vec<u8>); 3] = [|b| b.truncate(100), |b| b[50] ^= 1, |b| b.clear()];
    for damage in damages {
        let copy = Copy::of("sr35/hub", LABEL);
        let whole = opened(&copy).await;
        let info = copy.file("__info_");
        let mut bytes = fs::read(&info).unwrap();
        damage(&mut bytes);
        fs::write(&info, bytes).unwrap();
        let snapshot = opened(&copy).await;
        says(&snapshot, &[tail(&info), "is damaged"]);
        assert_eq!(snapshot.timestamp, whole.timestamp);
        assert_eq!(snapshot.tablets, whole.tablets);
        assert_eq!(snapshot.catalog.database_id, whole.catalog.database_id);
        assert!(snapshot.info.is_empty());
        assert_eq!(snapshot.catalog.tables[0].name, "sr_member");
        assert_eq!(snapshot.catalog.tables[0].catalog, whole.catalog.tables[0].catalog);
    }
}

#[tokio::test]
async fn a_damaged_or_missing_meta_leaves_the_tablets_of_info() {
    for damage in ["truncate", "remove"] {
        let copy = Copy::of("sr35/hub", LABEL);
        let whole = opened(&copy).await;
        let meta = copy.file("__meta.");
        match damage {
            "truncate" => fs::OpenOptions::new().write(true).open(&meta).unwrap().set_len(1000).unwrap(),
            _ => fs::remove_file(&meta).unwrap(),
        }
        let snapshot = opened(&copy).await;
        says(&snapshot, &["__meta"]);
        assert_eq!(snapshot.tablets, whole.tablets);
        assert_eq!(snapshot.info, whole.info);
        assert_eq!(snapshot.catalog.tables[0].partitions.len(), whole.catalog.tables[0].partitions.len());
        assert!(snapshot.catalog.tables[0].catalog.is_none());
    }
}

#[tokio::test]
async fn well_named_garbage_is_refused_by_the_parsers() {
    let garbage: [&[u8]; 5] = [b"", b"{", b"\xff\xff\xff\xff{}", b"\x7f\xff\xff\xff{\"a\":1}", &[b'['; 100_000]];
    for bytes in garbage {
        let copy = Copy::of("sr35/hub", LABEL);
        for (file, base) in [(copy.file("__meta."), "__meta"), (copy.file("__info_"), "__info_2024-08-15-09-05-07-003")]
        {
            fs::remove_file(file).unwrap();
            named(&copy.label, base, bytes);
        }
        let snapshot = opened(&copy).await;
        says(&snapshot, &["__info"]);
        says(&snapshot, &["__meta"]);
        assert!(!snapshot.tablets.is_empty());
        assert_eq!(snapshot.catalog.tables.len(), 0);
    }
}

#[tokio::test]
async fn a_huge_meta_is_refused_by_its_size() {
    let copy = Copy::of("sr35/hub", LABEL);
    let meta = copy.file("__meta.");
    // Sparse: it has the size, and no bytes on disk.
    fs::OpenOptions::new().write(true).open(&meta).unwrap().set_len(1 << 40).unwrap();
    says(&opened(&copy).await, &["__meta", "1099511627776 bytes"]);
}

#[tokio::test]
async fn two_metas_and_two_infos_are_named_and_the_fitting_one_is_used() {
    let copy = Copy::of("sr35/hub", LABEL);
    let whole = opened(&copy).await;
    let other = Copy::of("sr35/hub", "sr_hub_full");
    let meta = other.file("__meta.");
    fs::copy(&meta, copy.label.join(tail(&meta))).unwrap();
    let info = fs::read(other.file("__info_")).unwrap();
    named(&copy.label, "__info_2024-08-15-09-05-07-003", &info);
    let snapshot = opened(&copy).await;
    says(&snapshot, &["2 `__meta` files"]);
    says(&snapshot, &["2 `__info_2024-08-15-09-05-07-003` files"]);
    assert_eq!(snapshot.catalog.tables.len(), whole.catalog.tables.len());
    let label = open(copy.dir.path()).await.label(LABEL).await.unwrap();
    assert_eq!((label.metas.len(), label.timestamps.len(), label.timestamps[0].infos.len()), (2, 1, 2));
}

#[tokio::test]
async fn strange_names_in_a_label_are_named() {
    let copy = Copy::of("sr35/hub", LABEL);
    for name in [
        "__meta.part",
        "__info_2024-01-01-00-00-00-000.part",
        "README",
        "__info_latest.0123456789abcdef0123456789abcdef",
    ] {
        fs::write(copy.label.join(name), "x").unwrap();
    }
    fs::write(copy.label.join(OsStr::from_bytes(b"__info_\xff")), "x").unwrap();
    let label = open(copy.dir.path()).await.label(LABEL).await.unwrap();
    assert_eq!(label.timestamps.len(), 1);
    assert_eq!(label.problems.len(), 5, "{:#?}", label.problems);
    assert_eq!(label.problems.iter().filter(|problem| problem.contains("unfinished upload")).count(), 2);
    let snapshot = opened(&copy).await;
    assert_eq!(snapshot.problems, label.problems);
}

#[tokio::test]
async fn missing_and_empty_tablets_are_told_apart_and_counted() {
    let copy = Copy::of("sr35/hub", LABEL);
    let whole = opened(&copy).await;
    let dirs: Vec<_> = whole.tablets.iter().map(|t| copy.label.join("__ss_content").join(t.key.path())).collect();
    fs::remove_dir_all(&dirs[0]).unwrap();
    for file in files_below(&dirs[1]) {
        fs::remove_file(file).unwrap();
    }
    fs::remove_file(files_below(&dirs[2]).into_iter().find(|path| path.to_str().unwrap().contains(".hdr.")).unwrap())
        .unwrap();
    let snapshot = opened(&copy).await;
    let id = |at: usize| whole.tablets[at].key.tablet.to_string();
    says(&snapshot, &["table `sr_member`", "partition `", &id(0), "is missing"]);
    says(&snapshot, &["table `sr_member`", &id(1), "is empty"]);
    says(&snapshot, &["table `sr_member`", &id(2), "header"]);
    assert_eq!(snapshot.problems.len(), 3, "{:#?}", snapshot.problems);
    assert_eq!(snapshot.tablets.len(), whole.tablets.len() - 2);
    fs::remove_dir_all(copy.label.join("__ss_content")).unwrap();
    let snapshot = opened(&copy).await;
    assert_eq!(snapshot.problems.len(), 1);
    says(&snapshot, &["none of the"]);
}

#[tokio::test]
async fn many_faults_are_counted_not_listed() {
    let copy = Copy::of("sr35/hub", "sr_hub_full");
    let repository = open(copy.dir.path()).await;
    let whole = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    assert!(whole.tablets.len() > 45);
    for tablet in whole.tablets.iter().skip(1) {
        fs::remove_dir_all(copy.label.join("__ss_content").join(tablet.key.path())).unwrap();
    }
    let snapshot = repository.snapshot("sr_hub_full", None, None).await.unwrap();
    assert_eq!(snapshot.problems.len(), 21, "{:#?}", snapshot.problems);
    says(&snapshot, &[&format!("{} more tablets", whole.tablets.len() - 21)]);
}

#[tokio::test]
async fn strange_files_in_a_tablet_are_named_and_not_taken() {
    let copy = Copy::of("sr35/hub", LABEL);
    let whole = opened(&copy).await;
    let dir = copy.label.join("__ss_content").join(whole.tablets[0].key.path());
    fs::write(dir.join("x.dat.part"), "x").unwrap();
    fs::write(dir.join("_SUCCESS"), "").unwrap();
    fs::write(dir.join("y.dat.ABCDEFABCDEFABCDEFABCDEFABCDEFAB"), "").unwrap();
    fs::write(dir.join(OsStr::from_bytes(b"z\xff.dat")), "").unwrap();
    symlink("/etc/passwd", dir.join("p.dat.0123456789abcdef0123456789abcdef")).unwrap();
    let snapshot = opened(&copy).await;
    assert_eq!(snapshot.tablets[0].files, whole.tablets[0].files);
    let problems = &snapshot.tablets[0].problems;
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.contains("x.dat.part") && problem.contains("unfinished")));
    assert!(problems.iter().any(|problem| problem.contains("_SUCCESS") && problem.contains("no md5")));
    assert_eq!(problems.iter().filter(|problem| problem.contains("symbolic link")).count(), 2);
    says(&snapshot, &["table `sr_member`", "x.dat.part"]);
}

#[tokio::test]
async fn of_two_md5s_the_listed_then_the_right_one_is_used() {
    // `__info` of 2.3 lists the files.
    let copy = Copy::of("sr23/old", "old_part");
    let repository = open(copy.dir.path()).await;
    let whole = repository.snapshot("old_part", None, None).await.unwrap();
    let file = copy.tablet_file(".hdr");
    named(file.parent().unwrap(), tail(&file.with_extension("")), b"another, whose content has its md5");
    assert_eq!(repository.snapshot("old_part", None, None).await.unwrap(), whole);

    // Later ones do not.
    let copy = Copy::of("sr35/hub", LABEL);
    let whole = opened(&copy).await;
    let file = copy.tablet_file(".hdr");
    let wrong = format!("{}.{}", tail(&file.with_extension("")), md5::of(b"what it should hold"));
    fs::write(file.with_file_name(&wrong), "what it does hold").unwrap();
    let snapshot = opened(&copy).await;
    says(&snapshot, &[".hdr", "2 times", "only its content has its md5"]);
    let files = |snapshot: &OpenSnapshot| snapshot.tablets.iter().map(|t| t.files.clone()).collect::<Vec<_>>();
    assert_eq!(files(&snapshot), files(&whole));
    assert_eq!(snapshot.tablets.iter().filter(|tablet| !tablet.problems.is_empty()).count(), 1);
}

#[tokio::test]
async fn more_copies_than_can_be_compared_are_not_read() {
    let copy = Copy::of("sr35/hub", LABEL);
    let file = copy.tablet_file(".dat");
    let base = file.with_extension("");
    // Sparse, each as large as one that is read: together they are more than a gigabyte.
    for number in 0..17 {
        let other = fs::File::create(base.with_added_extension(format!("{number:032x}"))).unwrap();
        other.set_len(64 << 20).unwrap();
        other.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(number == 9))).unwrap();
    }
    fs::remove_file(&file).unwrap();
    let snapshot = opened(&copy).await;
    says(&snapshot, &[".dat", "17 times", &format!("{:032x} is used, it is the newest", 9)]);

    // A large one is not read, but what is said of the others is true.
    let copy = Copy::of("sr35/hub", LABEL);
    let file = copy.tablet_file(".dat");
    let base = file.with_extension("");
    fs::File::create(base.with_added_extension(format!("{:032x}", 1))).unwrap().set_len((64 << 20) + 1).unwrap();
    fs::write(&file, "changed").unwrap();
    says(&opened(&copy).await, &["2 times", "is used, the content of the others has not theirs"]);
}

#[tokio::test]
async fn the_directory_of_a_snapshot_is_no_repository() {
    use starsnap_repository::{Location, Repository};
    let refused = async |path: &Path| {
        let error = Repository::find(&Location::from(path.to_owned())).await.unwrap_err().to_string();
        assert!(error.contains("the directory of a snapshot") && error.contains("directory above"), "{error}");
    };
    let copy = Copy::of("sr35/hub", LABEL);
    refused(&copy.label).await;
    // A crashed backup may have its content only; one of views has none.
    let other = copy.dir.path().join("renamed");
    support::copy_tree(&copy.label, &other);
    fs::remove_dir_all(other.join("__ss_content")).unwrap();
    refused(&other).await;
    for prefix in ["__meta.", "__info_"] {
        fs::remove_file(copy.file(prefix)).unwrap();
    }
    refused(&copy.label).await;

    // A label may be called so.
    let copy = Copy::of("sr35/hub", LABEL);
    fs::rename(&copy.label, copy.root.join("__ss_content")).unwrap();
    for path in [copy.dir.path(), &copy.root] {
        assert_eq!(open(path).await.labels().await.unwrap()[0].name, "content");
    }
}

#[tokio::test]
async fn a_file_that_info_lists_and_is_not_there_is_named() {
    let copy = Copy::of("sr23/old", "old_part");
    let file = copy.tablet_file(".dat");
    fs::remove_file(&file).unwrap();
    let snapshot = open(copy.dir.path()).await.snapshot("old_part", None, None).await.unwrap();
    says(&snapshot, &[tail(&file), "which `__info` lists", "table `"]);
}

#[tokio::test]
async fn paths_of_another_form_are_strays() {
    let copy = Copy::of("sr35/hub", LABEL);
    let whole = opened(&copy).await;
    let content = copy.label.join("__ss_content");
    let good = "0123456789abcdef0123456789abcdef";
    let paths = [
        format!("x.{good}"),
        format!("__db_1/__tbl_2/__part_3/__idx_4/__05/x.dat.{good}"),
        format!("__db_1/__tbl_2/__part_3/__idx_4/__+5/x.dat.{good}"),
        format!("__db_1/__tbl_2/__part_3/__idx_4/__-5/x.dat.{good}"),
        format!("__db_1/__tbl_2/__part_3/__idx_4/__99999999999999999999/x.dat.{good}"),
        format!("__db_1/__tbl_2/__part_3/__idx_4/__5/deeper/x.dat.{good}"),
        format!("__db_1/__tbl_2/__part_3/__idx_4/x.dat.{good}"),
        format!("__db_١/__tbl_2/__part_3/__idx_4/__5/x.dat.{good}"),
    ];
    for path in &paths {
        let path = content.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "abc").unwrap();
    }
    let snapshot = opened(&copy).await;
    assert_eq!(snapshot.tablets, whole.tablets);
    let mut strays: Vec<_> = paths.iter().map(|path| (format!("__ss_content/{path}"), 3)).collect();
    strays.sort();
    assert_eq!(snapshot.strays, strays);
    says(&snapshot, &["8 files", "belong to no tablet"]);
}

#[tokio::test]
async fn tablets_of_no_table_are_counted() {
    let copy = Copy::of("sr35/hub", LABEL);
    let dir = copy.label.join("__ss_content/__db_1/__tbl_2/__part_3/__idx_4/__5");
    fs::create_dir_all(&dir).unwrap();
    named(&dir, "5.hdr", b"x");
    let snapshot = opened(&copy).await;
    says(&snapshot, &["one tablet directory belongs to no table"]);
}

#[tokio::test]
async fn links_out_of_the_repository_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    support::copy_tree(&Copy::of("sr35/hub", LABEL).label, outside.path());
    let copy = Copy::of("sr35/hub", LABEL);
    fs::remove_dir_all(copy.label.join("__ss_content")).unwrap();
    symlink(outside.path().join("__ss_content"), copy.label.join("__ss_content")).unwrap();
    symlink(outside.path(), copy.root.join("__ss_linked")).unwrap();
    let snapshot = opened(&copy).await;
    assert_eq!((snapshot.tablets.len(), snapshot.strays.len()), (0, 0));
    says(&snapshot, &["__ss_content"]);
    let repository = open(copy.dir.path()).await;
    let labels = repository.labels().await.unwrap();
    let linked = labels.iter().find(|label| label.name == "linked").unwrap();
    assert!(linked.timestamps.is_empty() && linked.problems[0].contains("symbolic link"));
    assert!(repository.snapshot("linked", None, None).await.is_err());
}

#[tokio::test]
async fn other_vendors_and_shared_data_are_recognized() {
    let copy = Copy::of("sr35/hub", LABEL);
    let info = copy.file("__info_");
    let text = fs::read_to_string(&info).unwrap();
    fs::remove_file(&info).unwrap();
    let doris = text.replace("\"starrocks_meta_version\":4,", "");
    assert_ne!(doris, text);
    named(&copy.label, "__info_2024-08-15-09-05-07-003", doris.as_bytes());
    says(&opened(&copy).await, &["Apache Doris", "not supported"]);

    let copy = Copy::of("sr35/hub", LABEL);
    let tablet = opened(&copy).await.tablets[0].key;
    let dir = copy.label.join("__ss_content").join(tablet.path());
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    named(&dir, &format!("{:016X}_{:016X}.meta", tablet.tablet, 2), b"lake");
    says(&opened(&copy).await, &["1 tablets", "shared-data", "not supported"]);
}

#[tokio::test]
async fn a_renamed_label_is_read_and_the_name_in_info_is_told() {
    let copy = Copy::of("sr35/hub", LABEL);
    fs::rename(&copy.label, copy.root.join("__ss_Über mut\u{1}")).unwrap();
    let snapshot = open(copy.dir.path()).await.snapshot("Über mut\u{1}", None, None).await.unwrap();
    says(&snapshot, &["`__info` says `sr_member_backup`"]);
    assert_eq!(snapshot.problems.len(), 1);
}

#[tokio::test]
async fn a_damaged_snapshot_does_not_hide_the_others() {
    let copy = Copy::of("sr35/hub", LABEL);
    support::copy_tree(&Copy::of("sr35/hub", "sr_member_backup2").label, &copy.root.join("__ss_good"));
    fs::create_dir(copy.root.join("__ss_empty")).unwrap();
    fs::write(copy.root.join("__ss_file"), "").unwrap();
    fs::create_dir(copy.root.join(OsStr::from_bytes(b"__ss_\xff"))).unwrap();
    for path in files_below(&copy.label) {
        fs::write(path, "garbage").unwrap();
    }
    let repository = open(copy.dir.path()).await;
    let labels: Vec<_> = repository.labels().await.unwrap().into_iter().map(|label| label.name).collect();
    assert_eq!(labels, ["empty", "good", LABEL, "\u{fffd}"]);
    let good = repository.snapshot("good", None, None).await.unwrap();
    assert_eq!(good.problems.len(), 1, "{:?}", good.problems);
    let empty = repository.snapshot("empty", None, None).await.unwrap();
    assert_eq!((empty.timestamp.as_str(), empty.problems.len()), (INCOMPLETE, 2));
    assert!(opened(&copy).await.problems.len() >= 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is done to the bytes of `__info` and `__meta`, opening ends with what is wrong being told.
    #[test]
    fn any_damage_is_survived(file in 0..2usize, at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..9), right_name: bool) {
        let copy = Copy::of("sr35/hub", LABEL);
        let path = copy.file(["__info_", "__meta."][file]);
        let mut content = fs::read(&path).unwrap();
        let before = content.clone();
        let at = at.index(content.len());
        content.truncate(content.len().max(at));
        content.splice(at..(at + bytes.len()).min(before.len()), bytes);
        fs::remove_file(&path).unwrap();
        let target = if right_name { path.with_extension(md5::of(&content).to_string()) } else { path };
        fs::write(target, &content).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let snapshot = runtime.block_on(opened(&copy));
        prop_assert_eq!(snapshot.tablets.is_empty(), false);
        if !right_name && content != before {
            prop_assert!(!snapshot.problems.is_empty());
        }
    }
}
