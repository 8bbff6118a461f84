//! Real mounts of genuine repositories. Each promise of docs/SEMANTICS.md has its test here, by name.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use starsnap_repository::md5;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "{what} within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The first stored file of a tablet below `dir`, at least `size` bytes long.
fn stored(dir: &Path, size: u64) -> PathBuf {
    let is_stored =
        |path: &PathBuf| xattr(path, "user.starsnap.md5").is_ok() && fs::metadata(path).unwrap().len() >= size;
    files(dir).into_iter().find(is_stored).unwrap()
}

fn every_file_is_the_stored_one(which: &str, passthrough: bool) {
    let mount = mount_with(&genuine(which), |options| options.passthrough = passthrough);
    let mut seen = BTreeMap::new();
    for path in files(mount.path()) {
        let Ok(remote) = xattr(&path, "user.starsnap.path") else { continue };
        let bytes = fs::read(&path).unwrap();
        let md5 = md5::of(&bytes).to_string();
        assert_eq!(bytes.len() as u64, fs::metadata(&path).unwrap().len(), "{}", path.display());
        assert_eq!(xattr(&path, "user.starsnap.md5").unwrap(), md5, "{}", path.display());
        let (directory, stored_name) = remote.rsplit_once('/').unwrap();
        assert_eq!(stored_name, format!("{}.{md5}", path.file_name().unwrap().to_str().unwrap()));
        let tablet = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert!(directory.ends_with(&format!("/__{tablet}")), "{} is below its tablet", path.display());
        assert_eq!(seen.insert(remote, (bytes.len() as u64, md5)), None, "shown once");
    }
    assert_eq!(seen, manifest(which));
}

#[test]
fn content_is_the_repository_s_read_past_the_mount() {
    GENUINE.iter().for_each(|which| every_file_is_the_stored_one(which, true));
}

#[test]
fn content_is_the_repository_s_read_through_the_mount() {
    GENUINE.iter().for_each(|which| every_file_is_the_stored_one(which, false));
}

#[test]
fn tree_is_labels_timestamps_tables() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let labels = ["broken_upload", "orders_two_partitions", "sr_hub_full", "sr_member_backup", "sr_member_backup2"];
    assert_eq!(names(mount.path()), labels.map(String::from).into());
    let full = mount.at("sr_hub_full/latest");
    let shown = names(&full);
    for name in ["sr_member", "orders", "events", "member_by_city", "v_member.sql", "snapshot.json", "restore.sql"] {
        assert!(shown.contains(name), "{name} in {shown:?}");
    }
    let member = names(&full.join("sr_member"));
    let ours = ["rows.csv", "rows.jsonl", "schema.sql", "table.json"];
    let with_ours = |names: &[&str]| -> BTreeSet<String> { names.iter().chain(&ours).map(|n| (*n).into()).collect() };
    assert_eq!(member, with_ours(&["p1", "p2", "p3", "p4", "p5"]));
    let two = names(&mount.at("sr_member_backup2/latest/sr_member"));
    assert_eq!(two, with_ours(&["p1", "p4"]), "only what was backed up");
}

#[test]
fn latest_is_a_relative_link() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let link = mount.at("sr_member_backup/latest");
    let target = fs::read_link(&link).unwrap();
    assert_eq!(target.components().count(), 1);
    assert!(mount.at("sr_member_backup").join(&target).is_dir());
    assert_eq!(fs::symlink_metadata(&link).unwrap().len() as usize, target.as_os_str().len());
    assert!(!names(&mount.at("broken_upload")).contains("latest"), "nothing is complete there");
}

#[test]
fn incomplete_backups_are_shown_as_such() {
    for which in ["sr33/hub", "sr35/hub", "sr40/hub"] {
        let mount = mount_with(&genuine(which), |_| {});
        assert_eq!(names(&mount.at("broken_upload")), ["incomplete".to_string()].into());
        let found = files(&mount.at("broken_upload/incomplete"));
        let stored = manifest(which).keys().filter(|path| path.contains("/__ss_broken_upload/")).count();
        assert_eq!(found.iter().filter(|path| xattr(path, "user.starsnap.md5").is_ok()).count(), stored);
        let summary = fs::read_to_string(mount.at("broken_upload/incomplete/snapshot.json")).unwrap();
        assert!(summary.contains("\"timestamp\": \"incomplete\""), "{summary}");
    }
}

#[test]
fn lost_meta_shows_stored_directories() {
    let location = copy("sr35/hub");
    let label = root(location.path()).join("__ss_broken_upload");
    for entry in fs::read_dir(&label).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    let mount = mount_with(location.path(), |_| {});
    let content = mount.at("broken_upload/incomplete/_content");
    let shown = files(&content);
    let expected = files(&label);
    assert_eq!(shown.len(), expected.len());
    for (shown, stored) in shown.iter().zip(expected) {
        let below = stored.strip_prefix(&label).unwrap().to_str().unwrap();
        let shown_below = shown.strip_prefix(&content).unwrap().to_str().unwrap();
        assert!(below.starts_with(shown_below), "{shown_below} mirrors {below}");
        assert_eq!(fs::read(shown).unwrap(), fs::read(stored).unwrap());
    }
}

#[test]
fn sizes_are_real() {
    for which in GENUINE {
        let mount = mount_with(&genuine(which), |_| {});
        // Those of rows have no size that anybody knows.
        for path in files(mount.path()).into_iter().filter(|path| !is_rows(path)) {
            let said = fs::symlink_metadata(&path).unwrap().len();
            let read = fs::read(&path).unwrap().len() as u64;
            assert_eq!(said, read, "{}", path.display());
            assert!(read > 0 || xattr(&path, "user.starsnap.md5").is_ok(), "{} has a text", path.display());
        }
    }
}

#[test]
fn generated_files_say_what_the_catalog_says() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let dir = mount.at("sr_hub_full/latest");
    let table =
        starsnap_catalog::table_file::TableFile::parse(&fs::read(dir.join("orders/table.json")).unwrap()).unwrap();
    assert_eq!((table.entry.name.as_str(), table.origin.database.as_str()), ("orders", "sr_hub"));
    assert_eq!(table.problems, Vec::<String>::new());
    let schema = fs::read_to_string(dir.join("orders/schema.sql")).unwrap();
    assert!(schema.starts_with("CREATE TABLE `orders`") && schema.contains("PRIMARY KEY"), "{schema}");
    assert!(fs::read_to_string(dir.join("v_member.sql")).unwrap().starts_with("CREATE VIEW `v_member`"));
    let restore = fs::read_to_string(dir.join("restore.sql")).unwrap();
    let timestamp = fs::read_link(&dir).unwrap().to_str().unwrap().to_owned();
    assert!(restore.contains("RESTORE SNAPSHOT") && restore.contains(&timestamp), "{restore}");
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("snapshot.json")).unwrap()).unwrap();
    assert_eq!(summary["database"], "sr_hub");
    assert_eq!(summary["timestamp"], timestamp.as_str());
    assert_eq!(summary["job_info"]["name"], "sr_hub_full");
}

#[test]
fn missing_content_is_named() {
    let location = copy("sr35/hub");
    let mount = mount_with(location.path(), |_| {});
    let p1 = mount.at("sr_member_backup/latest/sr_member/p1");
    let tablet = names(&p1).into_iter().next().unwrap();
    let remote = xattr(&p1.join(&tablet), "user.starsnap.path").unwrap();
    drop(mount);
    fs::remove_dir_all(location.path().join(remote)).unwrap();
    let mount = mount_with(location.path(), |_| {});
    let table = mount.at("sr_member_backup/latest/sr_member");
    assert!(!names(&table.join("p1")).contains(&tablet));
    let table = starsnap_catalog::table_file::TableFile::parse(&fs::read(table.join("table.json")).unwrap()).unwrap();
    assert!(table.problems.iter().any(|problem| problem.contains("partition p1")), "{:?}", table.problems);
}

#[test]
fn times_are_the_backup_s() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let dir = mount.at("sr_hub_full/latest");
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("snapshot.json")).unwrap()).unwrap();
    let time = UNIX_EPOCH + Duration::from_millis(summary["backup_time"].as_u64().unwrap());
    for path in files(&fs::canonicalize(&dir).unwrap()).iter().chain([&dir]) {
        assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), time, "{}", path.display());
    }
}

#[test]
fn permissions_are_the_owner_s_only() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    // SAFETY: the call takes nothing and cannot fail.
    let uid = unsafe { libc::geteuid() };
    let file = stored(&mount.at("sr_member_backup"), 1);
    for (path, mode) in [(mount.path(), 0o500), (&mount.at("sr_member_backup/latest"), 0o500), (&file, 0o400)] {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid()), (mode, uid));
    }
    drop(mount);
    let mount = mount_with(&genuine("sr35/hub"), |options| options.allow_other = true);
    let file = stored(&mount.at("sr_member_backup"), 1);
    assert_eq!(fs::metadata(mount.path()).unwrap().permissions().mode() & 0o7777, 0o555);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o444);
}

#[test]
fn mount_options_are_safe() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(mount.path().to_str().unwrap())).unwrap();
    let (head, tail) = line.split_once(" - ").unwrap();
    let flags: Vec<&str> = head.split(' ').nth(5).unwrap().split(',').collect();
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(flags.contains(&flag), "{line}");
    }
    assert!(tail.starts_with("fuse.starsnap starsnap "), "{tail}");
    assert!(tail.contains("default_permissions") && !tail.contains("allow_other"), "{tail}");
}

#[test]
fn writes_are_refused() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let file = stored(&mount.at("sr_member_backup"), 1);
    assert_eq!(errno(fs::write(mount.at("new"), "x")), libc::EROFS);
    assert_eq!(errno(fs::create_dir(mount.at("new"))), libc::EROFS);
    assert_eq!(errno(fs::File::options().write(true).open(&file)), libc::EROFS);
    assert_eq!(errno(fs::remove_file(&file)), libc::EROFS);
    assert_eq!(errno(fs::rename(&file, mount.at("new"))), libc::EROFS);
    assert_eq!(errno(fs::set_permissions(&file, fs::Permissions::from_mode(0o777))), libc::EROFS);
    assert_eq!(errno(std::os::unix::fs::symlink("x", mount.at("new"))), libc::EROFS);
}

#[test]
fn xattrs_tell_origin() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let file = stored(&mount.at("sr_member_backup"), 1);
    let tablet = file.parent().unwrap();
    assert_eq!(xattr(&file, "user.starsnap.tablet").unwrap(), tablet.file_name().unwrap().to_str().unwrap());
    let version = xattr(&file, "user.starsnap.version").unwrap();
    assert_eq!(xattr(tablet.parent().unwrap(), "user.starsnap.version").unwrap(), version);
    assert!(version.parse::<i64>().unwrap() > 0);
    assert_eq!(xattr(mount.path(), "user.starsnap.repository").unwrap(), "hub_repo");
    assert_eq!(xattr(&mount.at("sr_member_backup/latest"), "user.starsnap.database").unwrap(), "sr_hub");
    assert_eq!(xattr(&file, "user.starsnap.nothing"), Err(libc::ENODATA));
    assert_eq!(xattr(&file, "user.other"), Err(libc::ENODATA));
}

#[test]
fn statfs_is_the_snapshot_s_size() {
    let which = "sr35/hub";
    let mount = mount_with(&genuine(which), |_| {});
    for label in ["sr_hub_full", "sr_member_backup2"] {
        let of_label = format!("/__ss_{label}/");
        let sizes: Vec<u64> =
            manifest(which).into_iter().filter(|(path, _)| path.contains(&of_label)).map(|f| f.1.0).collect();
        let found = statfs(&mount.at(label).join("latest").canonicalize().unwrap());
        assert_eq!(found.f_blocks, sizes.iter().sum::<u64>().div_ceil(found.f_frsize), "{label}");
        assert_eq!((found.f_files, found.f_bavail), (sizes.len() as u64, 0));
    }
}

#[test]
fn labels_appear_and_disappear() {
    let location = copy("sr35/hub");
    let mount = mount_with(location.path(), |_| {});
    let root = root(location.path());
    let file = stored(&mount.at("sr_member_backup"), 1);
    assert!(!mount.at("sr_hub_full_2").exists());
    copy_tree(&root.join("__ss_orders_two_partitions"), &root.join("__ss_sr_hub_full_2"));
    eventually("a new label appears", || mount.at("sr_hub_full_2/latest").is_dir());
    assert!(names(mount.path()).contains("sr_hub_full_2"));
    fs::remove_dir_all(root.join("__ss_sr_member_backup")).unwrap();
    eventually("a removed label disappears", || !mount.at("sr_member_backup").exists());
    assert!(!names(mount.path()).contains("sr_member_backup"));
    assert_eq!(errno(fs::read(&file)), libc::ENOENT);
}

#[test]
fn finished_backup_takes_incomplete_s_place() {
    let location = copy("sr35/hub");
    let label = root(location.path()).join("__ss_sr_member_backup");
    let of_label = |name: &str| {
        fs::read_dir(&label).unwrap().map(|e| e.unwrap().path()).find(|path| path.to_str().unwrap().contains(name))
    };
    let info = of_label("__info_").unwrap();
    let aside = location.path().join("aside");
    fs::rename(&info, &aside).unwrap();
    let mount = mount_with(location.path(), |_| {});
    assert!(mount.at("sr_member_backup/incomplete/snapshot.json").is_file());
    fs::rename(&aside, &info).unwrap();
    eventually("the finished backup is shown", || mount.at("sr_member_backup/latest/sr_member/p1").is_dir());
    eventually("it is no longer incomplete", || !mount.at("sr_member_backup/incomplete").exists());
}

#[test]
fn running_backup_grows() {
    let location = copy("sr35/hub");
    let label = root(location.path()).join("__ss_broken_upload");
    let content = label.join("__ss_content");
    let aside = location.path().join("aside");
    fs::rename(&content, &aside).unwrap();
    fs::create_dir(&content).unwrap();
    let mount = mount_with(location.path(), |_| {});
    let shown = || {
        files(&mount.at("broken_upload/incomplete"))
            .iter()
            .filter(|path| xattr(path, "user.starsnap.md5").is_ok())
            .count()
    };
    assert_eq!(shown(), 0);
    fs::remove_dir(&content).unwrap();
    fs::rename(&aside, &content).unwrap();
    eventually("its files appear", || shown() == files(&content).len());
}

#[test]
fn repository_that_disappears_gives_errors() {
    let location = copy("sr35/hub");
    let mount = mount_with(location.path(), |_| {});
    let path = stored(&mount.at("sr_member_backup"), 1);
    fs::rename(root(location.path()), location.path().join("gone")).unwrap();
    eventually("the root cannot be listed", || fs::read_dir(mount.path()).is_err());
    assert!(fs::File::open(&path).is_err());
    fs::rename(location.path().join("gone"), location.path().join("__starrocks_repository_hub_repo")).unwrap();
    eventually("it is back", || fs::read(&path).is_ok());
}

#[test]
fn location_that_is_deleted_and_made_again_is_found() {
    let (location, other) = (copy("sr35/hub"), copy("sr35/hub"));
    let mount = mount_with(location.path(), |_| {});
    let path = stored(&mount.at("sr_member_backup"), 1);
    fs::remove_dir_all(location.path()).unwrap();
    eventually("the root cannot be listed", || fs::read_dir(mount.path()).is_err());
    assert!(fs::File::open(&path).is_err());
    fs::rename(other.path(), location.path()).unwrap();
    eventually("it is back", || fs::read(&path).is_ok());
}

#[test]
fn shorter_files_fail() {
    for passthrough in [true, false] {
        let location = copy("sr35/hub");
        let mount = mount_with(location.path(), |options| options.passthrough = passthrough);
        let path = stored(&mount.at("sr_member_backup"), 1000);
        let remote = location.path().join(xattr(&path, "user.starsnap.path").unwrap());
        let size = fs::metadata(&path).unwrap().len();
        let open = fs::File::open(&path).unwrap();
        fs::File::options().write(true).open(&remote).unwrap().set_len(size / 2).unwrap();
        assert_eq!(errno(fs::File::open(&path)), libc::EIO, "opening tells");
        let mut bytes = vec![0; size as usize];
        if passthrough {
            // The kernel reads the file itself; whoever closes it is told.
            // SAFETY: the descriptor is given up and closed once.
            let closed = unsafe { libc::close(std::os::fd::IntoRawFd::into_raw_fd(open)) };
            assert_eq!((closed, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EIO)));
        } else {
            assert_eq!(errno(open.read_exact_at(&mut bytes, 0)), libc::EIO);
        }
        fs::remove_file(&remote).unwrap();
        assert_eq!(errno(fs::File::open(&path)), libc::ENOENT, "as does a file that is gone");
    }
}

#[test]
fn wrong_md5_fails_at_the_end() {
    let location = copy("sr35/hub");
    let mount = mount_with(location.path(), |options| options.passthrough = false);
    let path = stored(&mount.at("sr_hub_full"), 20_000);
    let remote = location.path().join(xattr(&path, "user.starsnap.path").unwrap());
    let mut bytes = fs::read(&remote).unwrap();
    bytes[100] ^= 1;
    fs::write(&remote, &bytes).unwrap();
    for turn in ["first", "cached"] {
        assert_eq!(errno(fs::read(&path)), libc::EIO, "{turn}");
    }
    drop(mount);
    let mount = mount_with(location.path(), |options| (options.passthrough, options.verify) = (false, false));
    let path = stored(&mount.at("sr_hub_full"), 20_000);
    assert!(fs::read(path).is_ok(), "nobody asked for the check");
}

#[test]
fn many_readers_read_the_same() {
    let mount = mount_with(&genuine("sr35/hub"), |options| options.passthrough = false);
    let all: Vec<_> = files(&mount.at("sr_hub_full"));
    std::thread::scope(|scope| {
        for reader in 0..8usize {
            let all = &all;
            scope.spawn(move || {
                for at in 0..all.len() {
                    let path = &all[(at * 7 + reader * 13) % all.len()];
                    let mut bytes = Vec::new();
                    fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
                    if let Ok(md5) = xattr(path, "user.starsnap.md5") {
                        assert_eq!(md5::of(&bytes).to_string(), md5);
                    }
                }
            });
        }
    });
}

#[test]
fn hostile_names_and_links_stay_inside() {
    let location = copy("sr35/hub");
    let root = root(location.path());
    fs::write(location.path().join("secret"), "outside").unwrap();
    std::os::unix::fs::symlink("/etc", root.join("__ss_link")).unwrap();
    fs::create_dir(root.join("__ss_new\nline")).unwrap();
    fs::create_dir(root.join("__ss_..")).unwrap();
    fs::create_dir(root.join("__ss_")).unwrap();
    fs::create_dir(root.join(std::ffi::OsStr::new("__ss_\u{202e}gnp"))).unwrap();
    let content = root.join("__ss_broken_upload/__ss_content");
    std::os::unix::fs::symlink("../../../secret", content.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", content.join("directory")).unwrap();
    let mount = mount_with(location.path(), |_| {});
    for name in names(mount.path()) {
        assert!(!name.contains(['\n', '/', '\u{202e}']) && !name.starts_with('.'), "{name:?}");
    }
    assert!(names(mount.path()).contains("sr_hub_full"));
    assert!(fs::read_dir(mount.at("link/incomplete")).is_err(), "a link is listed, not followed");
    let mut seen = 0;
    for label in names(mount.path()) {
        if label == "link" {
            continue;
        }
        for path in files(&mount.at(&label)) {
            let bytes = fs::read(&path).unwrap_or_default();
            assert_ne!(bytes, b"outside", "{}", path.display());
            assert!(!path.ends_with("passwd"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > manifest("sr35/hub").len());
}

#[test]
fn damaged_snapshot_leaves_the_others_usable() {
    let location = copy("sr35/hub");
    let label = root(location.path()).join("__ss_sr_hub_full");
    for entry in fs::read_dir(&label).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, [0xff; 100]).unwrap();
        }
    }
    let mount = mount_with(location.path(), |_| {});
    let _ = fs::read_dir(mount.at("sr_hub_full/latest")).map(|dir| dir.count());
    assert!(mount.at("sr_member_backup/latest/sr_member/p1").is_dir());
    assert!(names(mount.path()).contains("sr_hub_full"), "and it is listed");
}

#[test]
fn unknown_names_are_not_there() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    for path in
        ["x", "sr_hub_full/x", "sr_hub_full/latest/x", "sr_hub_full/latest/orders/x", "sr_hub_full/latest/orders/p1/x"]
    {
        assert_eq!(errno(fs::metadata(mount.at(path))), libc::ENOENT, "{path}");
    }
    assert_eq!(errno(fs::metadata(mount.at("sr_hub_full/latest/restore.sql/x"))), libc::ENOTDIR);
}

#[test]
fn inodes_are_stable_and_unique() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let listing = || -> BTreeMap<PathBuf, u64> {
        files(mount.path()).into_iter().map(|path| (path.clone(), fs::symlink_metadata(path).unwrap().ino())).collect()
    };
    let first = listing();
    assert_eq!(first.values().collect::<BTreeSet<_>>().len(), first.len());
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap_or_default();
    assert_eq!(listing(), first);
}

#[test]
fn unsuitable_mountpoints_are_refused() {
    require_fuse();
    let (runtime, tree) = tree_of(&genuine("sr35/hub"), quick());
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| {
        let options = starsnap_fs::mount::MountOptions::new(path);
        runtime.block_on(starsnap_fs::mount::mount(tree.clone(), &options)).map(drop).unwrap_err().to_string()
    };
    assert!(refused(&dir.path().join("none")).contains("mkdir"));
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(refused(&dir.path().join("file")).contains("not a directory"));
    assert!(refused(dir.path()).contains("not empty"));
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    assert!(refused(mount.path()).contains("already"), "{}", refused(mount.path()));
}

#[test]
fn unmount_of_a_busy_mount_frees_the_mountpoint() {
    let mount = mount_with(&genuine("sr35/hub"), |_| {});
    let path = mount.path().to_owned();
    let busy = fs::File::open(mount.at("sr_hub_full/latest/restore.sql")).unwrap();
    let Mount { dir, .. } = &mount;
    assert!(dir.path().join("sr_hub_full").exists());
    drop(mount);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(path.to_str().unwrap()));
    drop(busy);
}

#[test]
fn unmount_from_outside_ends_the_mount() {
    require_fuse();
    let (runtime, tree) = tree_of(&genuine("sr35/hub"), quick());
    let dir = tempfile::tempdir().unwrap();
    let options = starsnap_fs::mount::MountOptions::new(dir.path());
    let mut mounted = runtime.block_on(starsnap_fs::mount::mount(tree, &options)).unwrap();
    let status = std::process::Command::new("fusermount3")
        .arg("-u")
        .arg(dir.path())
        .status()
        .expect("fusermount3 (package fuse3) is needed");
    assert!(status.success());
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), mounted.wait()).await });
    ended.expect("the mount notices").unwrap();
}
