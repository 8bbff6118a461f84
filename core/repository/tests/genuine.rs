//! Genuine repositories of four StarRocks versions, against what StarRocks and the file system said of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/fixtures.rs"]
mod support;

use starsnap_catalog::snapshot::Snapshot;
use starsnap_repository::repository::INCOMPLETE;
use starsnap_repository::storage::digest;
use starsnap_repository::{ErrorKind, Location, OpenSnapshot, Repository, TabletKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use support::{GENUINE, fixtures, genuine, open, rows};

async fn snapshots(repository: &Repository) -> Vec<OpenSnapshot> {
    let mut all = Vec::new();
    for label in repository.labels().await.unwrap() {
        let timestamps: Vec<_> = label.timestamps.iter().map(|one| one.text.as_str()).collect();
        for timestamp in if timestamps.is_empty() { vec![INCOMPLETE] } else { timestamps } {
            all.push(repository.snapshot(&label.name, Some(timestamp), None).await.unwrap());
        }
    }
    all
}

#[tokio::test]
async fn labels_and_timestamps_are_those_of_show_snapshot() {
    for which in GENUINE {
        let repository = open(&genuine(which).join("location")).await;
        let mut shown = BTreeSet::new();
        for label in repository.labels().await.unwrap() {
            assert_eq!(label.problems, [""; 0], "{which} {}", label.name);
            match label.timestamps.as_slice() {
                [] => shown.insert((label.name, String::new(), "ERROR: no snapshot".to_owned())),
                [one] => shown.insert((label.name, one.text.clone(), "OK".to_owned())),
                more => panic!("{more:?}"),
            };
        }
        let expected: BTreeSet<_> = rows(&genuine(which).join("show_snapshot.tsv"))
            .into_iter()
            .skip(1)
            .map(|row| (row[0].clone(), row[1].clone(), row[2].clone()))
            .collect();
        assert_eq!(shown, expected, "{which}");
    }
}

#[tokio::test]
async fn the_tree_is_that_on_disk() {
    for which in GENUINE {
        let repository = open(&genuine(which).join("location")).await;
        let storage = repository.storage();
        let mut shown: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let info = repository.path("__repo_info");
        let size = storage.stat(&info).await.unwrap().size;
        shown.insert(info.clone(), (size, digest(storage.as_ref(), &info, size).await.unwrap().to_string()));
        for label in repository.labels().await.unwrap() {
            let infos =
                label.timestamps.iter().flat_map(|t| t.infos.iter().map(|md5| (format!("__info_{}", t.text), *md5)));
            for (base, md5) in label.metas.iter().map(|md5| ("__meta".to_owned(), *md5)).chain(infos) {
                let path = repository.path(&format!("__ss_{}/{base}.{md5}", label.name));
                shown.insert(path.clone(), (storage.stat(&path).await.unwrap().size, md5.to_string()));
            }
        }
        for snapshot in snapshots(&repository).await {
            assert_eq!(snapshot.strays, []);
            for tablet in &snapshot.tablets {
                for file in &tablet.files {
                    let path = repository.path(&snapshot.file_path(&tablet.key, file));
                    shown.insert(path, (file.size, file.md5.to_string()));
                }
            }
        }
        let expected: BTreeMap<_, _> = rows(&genuine(which).join("tree.tsv"))
            .into_iter()
            .filter(|row| row[0].starts_with("__"))
            .map(|row| (row[0].clone(), (row[1].parse().unwrap(), row[2].clone())))
            .collect();
        assert!(expected.len() > 40);
        assert_eq!(shown, expected, "{which}");
    }
}

fn keys(catalog: &Snapshot) -> BTreeSet<TabletKey> {
    let mut keys = BTreeSet::new();
    for table in &catalog.tables {
        for physical in table.partitions.iter().flat_map(|partition| &partition.physicals) {
            for index in &physical.indexes {
                for tablet in &index.tablets {
                    keys.insert(TabletKey {
                        database: catalog.database_id,
                        table: table.id,
                        physical: physical.id,
                        index: index.id,
                        tablet: tablet.id,
                    });
                }
            }
        }
    }
    keys
}

#[tokio::test]
async fn every_tablet_of_a_complete_snapshot_has_its_directory_and_nothing_is_wrong() {
    for which in GENUINE {
        for snapshot in snapshots(&open(&genuine(which).join("location")).await).await {
            let what = format!("{which} {}", snapshot.label);
            let found: BTreeSet<_> = snapshot.tablets.iter().map(|tablet| tablet.key).collect();
            if snapshot.timestamp == INCOMPLETE {
                assert!(snapshot.problems.iter().any(|problem| problem.contains("`__info`")), "{what}");
                assert!(found.is_subset(&keys(&snapshot.catalog)) && !found.is_empty(), "{what}");
                assert!(found.len() < keys(&snapshot.catalog).len(), "{what}");
                assert!(snapshot.info.is_empty() && !snapshot.catalog.tables.is_empty());
                continue;
            }
            assert_eq!(snapshot.problems, [""; 0], "{what}");
            assert_eq!(found, keys(&snapshot.catalog), "{what}");
            assert!(!found.is_empty());
            for tablet in &snapshot.tablets {
                assert_eq!(tablet.problems, [""; 0], "{what}");
                assert_eq!(snapshot.tablet(&tablet.key), Some(tablet));
                assert!(tablet.files.is_sorted_by(|a, b| a.name < b.name));
            }
            assert_eq!(snapshot.catalog.label, snapshot.label);
        }
    }
}

#[tokio::test]
async fn a_repository_opens_from_its_own_directory_too() {
    for (which, directory, name) in [
        ("sr23/old", "__palo_repository_old_repo", "old_repo"),
        ("sr40/hub", "__starrocks_repository_hub_repo", "hub_repo"),
    ] {
        let location = genuine(which).join("location");
        let (outer, inner) = (open(&location).await, open(&location.join(directory)).await);
        assert_eq!((outer.name(), inner.name()), (name, name));
        assert_eq!(outer.create_time(), inner.create_time());
        assert_eq!((outer.path("x"), inner.path("x")), (format!("{directory}/x"), "x".to_owned()));
        assert_eq!(snapshots(&outer).await, snapshots(&inner).await);
        assert!(outer.problems().is_empty() && inner.problems().is_empty());
    }
}

#[tokio::test]
async fn latest_is_the_newest_and_what_is_not_there_is_not_found() {
    let repository = open(&genuine("sr35/hub").join("location")).await;
    for timestamp in [None, Some("latest")] {
        let snapshot = repository.snapshot("sr_hub_full", timestamp, None).await.unwrap();
        assert_eq!(snapshot.timestamp, "2024-08-14-16-20-31-129");
        let broken = repository.snapshot("broken_upload", timestamp, None).await.unwrap();
        assert_eq!(broken.timestamp, INCOMPLETE);
    }
    for (label, timestamp) in [
        ("sr_hub_full", "2024"),
        ("sr_hub_full", INCOMPLETE),
        ("broken_upload", "2024"),
        ("none", "latest"),
        ("", "latest"),
    ] {
        let error = repository.snapshot(label, Some(timestamp), None).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    }
    for label in ["../x", "a/b", "..", "sr_hub_full/__ss_content", "\0"] {
        assert!(repository.snapshot(label, None, None).await.is_err(), "{label:?}");
    }
}

#[tokio::test]
async fn several_repositories_at_one_location() {
    let dir = tempfile::tempdir().unwrap();
    let make = |directory: &str, info: &str| {
        fs::create_dir_all(dir.path().join(directory).join("__ss_label")).unwrap();
        if !info.is_empty() {
            fs::write(dir.path().join(directory).join("__repo_info"), info).unwrap();
        }
    };
    let info = |name: &str| format!(r#"{{"create_time":"2024-01-01 00:00:00","name":"{name}"}}"#);
    make("__starrocks_repository_a", &info("a"));
    make("__palo_repository_b", &info("b"));
    make("__starrocks_repository_both", &info("both"));
    make("__palo_repository_both", &info("both"));
    make("__starrocks_repository_renamed", &info("before"));
    make("__starrocks_repository_lost", "");
    make("__starrocks_repository_garbage", "{");
    fs::create_dir(dir.path().join("__starrocks_repository_")).unwrap();
    fs::create_dir(dir.path().join("__starrocks_repository_empty")).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::write(dir.path().join("__starrocks_repository_file"), "").unwrap();
    let location = Location::from(dir.path().to_owned());
    let found = Repository::find(&location).await.unwrap();
    let shown: Vec<_> = found.iter().map(|r| (r.name(), r.path(""), r.problems().len())).collect();
    let expected = [
        ("a", "__starrocks_repository_a", 0),
        ("b", "__palo_repository_b", 0),
        ("before", "__starrocks_repository_renamed", 1),
        ("both", "__palo_repository_both", 1),
        ("garbage", "__starrocks_repository_garbage", 1),
        ("lost", "__starrocks_repository_lost", 1),
    ];
    assert_eq!(shown, expected.map(|(name, root, problems)| (name, root.to_owned(), problems)));
    let several = Repository::open(&location, None).await.unwrap_err();
    assert_eq!(several.kind, ErrorKind::Invalid);
    assert!(several.to_string().contains("`a`, `b`, `before`"), "{several}");
    assert_eq!(Repository::open(&location, Some("both")).await.unwrap().path(""), "__palo_repository_both");
    assert_eq!(Repository::open(&location, Some("renamed")).await.unwrap().name(), "before");
    assert_eq!(Repository::open(&location, Some("before")).await.unwrap().name(), "before");
    assert_eq!(Repository::open(&location, Some("none")).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_location_without_a_repository_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = Repository::find(&Location::from(dir.path().to_owned())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.to_string().contains("CREATE REPOSITORY"), "{error}");
    let error = Repository::find(&Location::from(dir.path().join("no"))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    fs::create_dir(dir.path().join("__starrocks_repository_x")).unwrap();
    let error = Repository::find(&Location::from(dir.path().to_owned())).await.unwrap_err();
    assert!(error.to_string().contains("__repo_info"), "{error}");
    fs::write(dir.path().join("__starrocks_repository_x/__repo_info"), "[]").unwrap();
    let error = Repository::find(&Location::from(dir.path().to_owned())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
}

#[tokio::test]
async fn a_catalog_without_content_opens_and_says_what_is_missing() {
    let catalogs = fixtures().join("catalogs");
    let mut seen = 0;
    for gallery in ["sr23/gallery", "sr33/gallery", "sr33/noparts", "sr35/gallery", "sr35/catalogs", "sr40/gallery"] {
        let dir = tempfile::tempdir().unwrap();
        let label = dir.path().join("__starrocks_repository_r/__ss_gallery");
        fs::create_dir_all(&label).unwrap();
        for entry in fs::read_dir(catalogs.join(gallery)).unwrap().map(Result::unwrap) {
            if entry.file_name().to_str().unwrap().starts_with("__") {
                fs::copy(entry.path(), label.join(entry.file_name())).unwrap();
            }
        }
        let snapshot = open(dir.path()).await.snapshot("gallery", None, None).await.unwrap();
        let tablets = keys(&snapshot.catalog).len();
        let missing = format!("none of the {tablets} tablets has files");
        assert_eq!(snapshot.problems.iter().any(|problem| problem.contains(&missing)), tablets > 0, "{gallery}");
        assert!(snapshot.problems.len() <= 2, "{:?}", snapshot.problems);
        seen += snapshot.catalog.tables.len() + snapshot.catalog.catalogs.len();
    }
    assert!(seen > 100, "{seen}");
}
