//! Damaged and hostile repositories: a clear error that names the object, the other snapshots still usable, no crash, nothing read or
//! written outside, no unbounded memory, nothing half-restored in sight.

use crate::common::{Ran, World, content, files, unmount};
use crate::genuine;
use md5::{Digest, Md5};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands outside of the repository and must never be seen.
const OUTSIDE: &str = "what stands outside of the repository";

/// The label that is damaged.
const VICTIM: &str = "sr_hub_full";

/// A copy of a genuine repository, to be damaged.
struct Victim {
    world: World,
    location: PathBuf,
}

impl Victim {
    fn new() -> Victim {
        let world = World::new();
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(genuine::one("sr35/hub").location()).arg(world.path("location"));
        Ran::of(copy).ok();
        fs::create_dir(world.path("outside")).unwrap();
        fs::write(world.path("outside/secret"), OUTSIDE).unwrap();
        Victim { location: world.path("location"), world }
    }

    fn label(&self) -> PathBuf {
        self.location.join("__starrocks_repository_hub_repo").join(format!("__ss_{VICTIM}"))
    }

    /// `__meta` or `__info` of the label.
    fn file(&self, beginning: &str) -> PathBuf {
        let entries = fs::read_dir(self.label()).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| entry.path()).find(|path| name(path).starts_with(beginning)).unwrap()
    }

    /// Gives `__meta` or `__info` other content, under a name with its md5.
    fn replace(&self, beginning: &str, bytes: &[u8]) {
        let old = self.file(beginning);
        let base = name(&old).rsplit_once('.').unwrap().0.to_owned();
        fs::remove_file(&old).unwrap();
        fs::write(old.with_file_name(format!("{base}.{}", hex::encode(Md5::digest(bytes)))), bytes).unwrap();
    }

    /// A tablet of table `users`.
    fn tablet(&self) -> PathBuf {
        self.label().join("__ss_content/__db_10001/__tbl_10054/__part_10056/__idx_10055/__10057")
    }

    /// One of the tablet's segments.
    fn segment(&self) -> PathBuf {
        segments_of(&self.tablet()).remove(0)
    }

    /// Exports `users` into a pipe.
    fn export(&self) -> Ran {
        let source = format!("{}/{VICTIM}/users", self.location.display());
        self.run(["export", &source, "--format", "csv", "--to", "-"])
    }

    fn verify(&self, level: &str) -> Ran {
        self.run(["verify".as_ref(), self.location.as_os_str(), VICTIM.as_ref(), level.as_ref()])
    }

    /// Runs with little memory; must not crash.
    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.world.environment(Command::new("sh"));
        command.args(["-c", "ulimit -v 2000000; exec \"$0\" \"$@\"", crate::common::binary()]).args(args);
        let ran = Ran::of(command);
        assert!([0, 1, 2, 3, 10].contains(&ran.code), "crashed with {}: {}", ran.code, ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        ran
    }

    fn restore(&self, label: &str) -> Ran {
        let warehouse = self.world.path("warehouse");
        let args = ["restore".as_ref(), self.location.as_os_str(), label.as_ref(), "--warehouse".as_ref()];
        self.run(args.into_iter().chain([warehouse.as_os_str()]))
    }

    /// Whatever is wrong with the victim, all else works, and nothing is seen of the outside.
    fn others_are_usable(&self) {
        self.run(["ls".as_ref(), self.location.as_os_str(), "-R".as_ref(), "--json".as_ref()]);
        let listing = self.run(["snapshots".as_ref(), self.location.as_os_str(), "--json".as_ref()]).ok().json();
        let listed = listing["snapshots"].as_array().unwrap();
        for label in ["orders_two_partitions", "sr_member_backup", "sr_member_backup2"] {
            let other = listed.iter().find(|snapshot| snapshot["label"] == label).unwrap();
            assert_eq!(other["status"], "ok", "{other}");
        }
        self.restore("orders_two_partitions").ok();

        let point = self.world.dir("mnt");
        self.run(["mount".as_ref(), self.location.as_os_str(), point.as_os_str()]).ok();
        let label = genuine::one("sr35/hub").labels().remove("sr_member_backup").unwrap();
        for (path, expected) in &label.files {
            assert_eq!(content(&point.join("sr_member_backup/latest").join(path)), *expected, "{path}");
        }
        let mut grep = Command::new("grep");
        let found = Ran::of({
            grep.args(["-r", "-l", OUTSIDE]).arg(&point);
            grep
        });
        unmount(&point);
        assert_eq!(found.stdout, "", "the mount shows the outside");
        assert_eq!(fs::read_dir(self.world.path("outside")).unwrap().count(), 1, "something was written outside");
    }

    /// The victim is listed as broken; `named` is in what is said of it.
    fn is_broken(&self, named: &str) {
        let listing = self.run(["snapshots".as_ref(), self.location.as_os_str(), "--json".as_ref()]).ok().json();
        let listed = listing["snapshots"].as_array().unwrap().iter().find(|snapshot| snapshot["label"] == VICTIM);
        let listed = listed.unwrap();
        assert_eq!(listed["status"], "broken", "{listed}");
        assert!(listed["problems"].to_string().contains(named), "{named} is not named: {listed}");
    }

    /// A restore of all says what is wrong with `users`, restores the rest, and leaves nothing of it in sight.
    fn users_cannot_be_restored(&self, named: &str) {
        self.restore(VICTIM).code(3).says("users").says(named);
        let database = self.world.path("warehouse/sr_hub");
        assert!(!database.join("users").exists(), "a damaged table is in the warehouse");
        assert!(database.join("sr_member/schema.sql").exists());
        let table = self.world.run([
            "restore".as_ref(),
            self.location.as_os_str(),
            VICTIM.as_ref(),
            "--table".as_ref(),
            "users".as_ref(),
            "--warehouse".as_ref(),
            self.world.path("warehouse").as_os_str(),
        ]);
        table.code(1).says(named);
        assert!(!database.join("users").exists());
    }
}

/// The segments of a tablet, the largest first.
fn segments_of(tablet: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(tablet).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = entries.filter(|path| name(path).contains(".dat.")).collect();
    segments.sort_by_key(|path| std::cmp::Reverse((fs::metadata(path).unwrap().len(), path.clone())));
    segments
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// `__meta` around JSON text.
fn meta(json: &[u8]) -> Vec<u8> {
    [&u32::try_from(json.len()).unwrap().to_be_bytes(), json].concat()
}

#[test]
fn a_flipped_byte_is_found_and_named() {
    let victim = Victim::new();
    let segment = victim.segment();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    victim.users_cannot_be_restored(name(&segment).rsplit_once('.').unwrap().0);
    victim.others_are_usable();
}

#[test]
fn a_truncated_file_is_found_and_named() {
    let victim = Victim::new();
    let segment = victim.segment();
    fs::File::options().write(true).open(&segment).unwrap().set_len(100).unwrap();
    victim.users_cannot_be_restored(name(&segment).rsplit_once('.').unwrap().0);
    victim.others_are_usable();
}

#[test]
fn files_that_took_each_others_places_are_found() {
    // Their contents only: the names still have the md5 of what was there.
    let victim = Victim::new();
    let one = victim.segment();
    let bytes = fs::read(&one).unwrap();
    let other = segments_of(&victim.tablet().with_file_name("__10058")).remove(0);
    let others = fs::read(&other).unwrap();
    fs::write(&one, &others).unwrap();
    fs::write(&other, &bytes).unwrap();
    victim.verify("--md5").code(3).says(&name(&one)).says(&name(&other)).says("md5");
    victim.users_cannot_be_restored(name(&one).rsplit_once('.').unwrap().0);
    victim.others_are_usable();

    // Under a name with the right md5, so that only the number of its rows is not that of its rowset.
    let victim = Victim::new();
    let one = victim.segment();
    let base = name(&one).rsplit_once('.').unwrap().0.to_owned();
    // The smallest has other rows than the largest.
    let other = segments_of(&victim.tablet().with_file_name("__10058")).pop().unwrap();
    let bytes = fs::read(&other).unwrap();
    fs::remove_file(&one).unwrap();
    fs::write(one.with_file_name(format!("{base}.{}", hex::encode(Md5::digest(&bytes)))), bytes).unwrap();
    victim.verify("--pages").ok();
    victim.verify("--rows").code(3).says("users").says("not as many").says(base.rsplit_once('_').unwrap().0);
    victim.export().code(1).says("where the rowset has").says(base.rsplit_once('_').unwrap().0);
    victim.others_are_usable();
}

#[test]
fn an_info_of_any_length_is_refused_before_it_is_read() {
    for length in [600 << 20, 1 << 40] {
        let victim = Victim::new();
        let info = fs::File::options().write(true).open(victim.file("__info_")).unwrap();
        // Nothing but a hole on the disk.
        info.set_len(length).unwrap();
        victim.is_broken("__info");
        assert_ne!(victim.restore(VICTIM).says("__info").code, 0);
        // `__meta` knows the tablets too, and what is odd is said.
        victim.export().code(0).says("__info");
        victim.others_are_usable();
    }
}

#[test]
fn an_empty_or_missing_tablet_is_named() {
    for empty in [true, false] {
        let victim = Victim::new();
        fs::remove_dir_all(victim.tablet()).unwrap();
        if empty {
            fs::create_dir(victim.tablet()).unwrap();
        }
        victim.is_broken("10057");
        victim.users_cannot_be_restored("10057");
        victim.others_are_usable();
    }
}

#[test]
fn a_stray_part_file_and_two_variants_of_one_file_are_named() {
    let victim = Victim::new();
    let segment = victim.segment();
    fs::write(format!("{}.part", segment.display()), "half").unwrap();
    victim.is_broken(".part");
    victim.others_are_usable();

    let victim = Victim::new();
    let segment = name(&victim.segment()).rsplit_once('.').unwrap().0.to_owned();
    fs::write(victim.tablet().join(format!("{segment}.{}", hex::encode(Md5::digest(b"other")))), "other").unwrap();
    victim.is_broken(&segment);
    victim.users_cannot_be_restored(&segment);
    victim.others_are_usable();
}

#[test]
fn a_truncated_or_senseless_meta_is_named() {
    let deep = [b"{\"tblNameMap\":".to_vec(), vec![b'['; 3_000_000]].concat();
    let genuine = fs::read(Victim::new().file("__meta.")).unwrap();
    let two_gib = [&[0x7f, 0xff, 0xff, 0xff], &genuine[4..]].concat();
    let strings = [b"\x00\x00\x00\x01\x7f\xff\xff\xff".as_slice(), &[0; 64]].concat();
    let cases: [&[u8]; 7] =
        [b"", b"\0\0\0\x02{", &genuine[..genuine.len() / 2], &two_gib, &meta(&deep), &strings, &[0xff; 4096]];
    for bytes in cases {
        let victim = Victim::new();
        victim.replace("__meta.", bytes);
        victim.is_broken("__meta");
        for path in [VICTIM, &format!("{VICTIM}/latest")] {
            let args = ["ls".as_ref(), victim.location.as_os_str(), path.as_ref(), "-R".as_ref()];
            victim.run(args).code(3).says("__meta");
        }
        assert_ne!(victim.restore(VICTIM).says("__meta").code, 0);
        let database = victim.world.path("warehouse/sr_hub");
        let restored = fs::read_dir(&database).map(|entries| {
            entries.filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count()
        });
        assert_eq!(restored.unwrap_or(0), 0, "something was restored without a catalog");
        victim.others_are_usable();
    }
}

#[test]
fn a_senseless_info_is_named() {
    let deep = [b"{\"name\":".to_vec(), vec![b'{'; 1_000_000]].concat();
    let cases: [&[u8]; 4] = [b"", b"{\"name\":\"x\"", &deep, b"{\"backup_objects\":{\"users\":{\"id\":\"\"}}}"];
    for bytes in cases {
        let victim = Victim::new();
        victim.replace("__info_", bytes);
        victim.is_broken("__info");
        assert_ne!(victim.restore(VICTIM).says("__info").code, 0);
        victim.others_are_usable();
    }
}

#[test]
fn wrong_md5_of_meta_is_found() {
    let victim = Victim::new();
    let file = victim.file("__meta.");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(5).position(|window| window == b"users").unwrap();
    bytes[at] = b'U';
    fs::write(&file, bytes).unwrap();
    victim.is_broken("__meta");
    victim.others_are_usable();
}

#[test]
fn symbolic_links_are_not_followed() {
    let victim = Victim::new();
    let outside = victim.world.path("outside");
    let segment = victim.segment();
    fs::remove_file(&segment).unwrap();
    symlink(outside.join("secret"), &segment).unwrap();
    victim.users_cannot_be_restored("10057");
    victim.others_are_usable();

    let victim = Victim::new();
    let outside = victim.world.path("outside");
    fs::remove_dir_all(victim.tablet()).unwrap();
    symlink(&outside, victim.tablet()).unwrap();
    symlink(&outside, victim.location.join("__starrocks_repository_hub_repo/__ss_evil")).unwrap();
    symlink(&outside, victim.location.join("__starrocks_repository_evil")).unwrap();
    victim.users_cannot_be_restored("10057");
    victim.others_are_usable();
}

#[test]
fn names_that_are_paths_stay_names() {
    for evil in ["../us", "a/../", "..\\u0000", ".\\u001bx", "/etc/"] {
        let victim = Victim::new();
        let rename =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace("\"users\"", &format!("\"{evil}\""));
        let bytes = fs::read(victim.file("__meta.")).unwrap();
        victim.replace("__meta.", &meta(rename(&bytes[4..]).as_bytes()));
        let bytes = fs::read(victim.file("__info_")).unwrap();
        victim.replace("__info_", rename(&bytes).as_bytes());
        let before = files(victim.world.path("").as_path()).len();
        victim.restore(VICTIM);
        let all = files(victim.world.path("").as_path());
        let outside = all.iter().filter(|path| {
            let inside = ["warehouse/sr_hub/", "location/", "cache/", "outside/secret", "warehouse/"];
            !inside.iter().any(|dir| path.starts_with(dir))
        });
        assert_eq!(outside.count(), 0, "{evil}: files outside of the warehouse, {before} files before");
        let listing =
            victim.run(["ls".as_ref(), victim.location.as_os_str(), "sr_hub_full/latest".as_ref()]).ok().stdout;
        assert!(!listing.contains('\u{1b}') && !listing.contains('\0') && !listing.contains("../"), "{listing:?}");
        victim.others_are_usable();
    }
}

#[test]
fn strange_names_of_files_are_survived() {
    let victim = Victim::new();
    let label = victim.label();
    let bytes = |name: &[u8]| OsStr::from_bytes(name).to_owned();
    fs::write(victim.tablet().join(bytes(b"\xff\xfe.dat.00000000000000000000000000000000")), "x").unwrap();
    fs::write(label.join(bytes(b"new\nline\x1b[2J")), "x").unwrap();
    fs::create_dir(label.parent().unwrap().join(bytes(b"__ss_\xff"))).unwrap();
    fs::create_dir(label.parent().unwrap().join(bytes(b"__ss_a\nb\x1b[31m"))).unwrap();
    fs::create_dir(label.parent().unwrap().join("__ss_")).unwrap();
    fs::create_dir(label.parent().unwrap().join(format!("__ss_{}", "é".repeat(125)))).unwrap();
    for path in ["..", "."] {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(label.with_file_name("__ss_sr_member_backup2"));
        copy.arg(label.with_file_name(format!("__ss_{path}")));
        Ran::of(copy).ok();
    }
    fs::write(label.parent().unwrap().join("__ss_file"), "no directory").unwrap();
    let text = victim.run(["snapshots".as_ref(), victim.location.as_os_str()]).ok().stdout;
    assert!(!text.contains('\u{1b}'), "{text:?}");
    // What cannot be listed is named, all else is listed.
    let ran = victim.run(["ls".as_ref(), victim.location.as_os_str(), "-R".as_ref()]).code(3);
    assert!(ran.stdout.contains("sr_member_backup2/2024-08-17-23-59-59-999/sr_member/p4/10024/10024.hdr\n"));
    let text = ran.stdout + &ran.stderr;
    assert!(!text.contains('\u{1b}'), "{text:?}");
    victim.others_are_usable();
}

#[test]
fn without_repo_info_the_snapshots_are_there_all_the_same() {
    for bytes in [None, Some(b"".as_slice()), Some(b"{"), Some(&[b'['; 200_000])] {
        let victim = Victim::new();
        let info = victim.location.join("__starrocks_repository_hub_repo/__repo_info");
        match bytes {
            None => fs::remove_file(&info).unwrap(),
            Some(bytes) => fs::write(&info, bytes).unwrap(),
        }
        victim.others_are_usable();
        let listed = victim.run(["snapshots".as_ref(), victim.location.as_os_str(), "--json".as_ref()]).ok();
        assert_eq!(listed.stderr.matches("warning").count(), 1, "said once: {}", listed.stderr);
        assert!(listed.stderr.contains("/__repo_info"), "{}", listed.stderr);
        let problems = listed.json()["problems"].as_array().unwrap().clone();
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

#[test]
fn what_was_lost_since_the_last_look_is_noticed() {
    let victim = Victim::new();
    let status =
        || victim.run(["snapshots".as_ref(), victim.location.as_os_str(), VICTIM.as_ref(), "--json".as_ref()]).ok();
    // Looking fills the cache.
    victim.run(["ls".as_ref(), "-R".as_ref(), victim.location.as_os_str()]).code(0);
    assert_eq!(status().json()["snapshots"][0]["status"], "ok");
    let meta = victim.file("__meta.");
    let bytes = fs::read(&meta).unwrap();
    fs::write(&meta, &bytes[..3000]).unwrap();
    assert_eq!(status().json()["snapshots"][0]["status"], "broken", "a truncated __meta");
    fs::write(&meta, &bytes).unwrap();
    assert_eq!(status().json()["snapshots"][0]["status"], "ok", "repaired");
    fs::remove_dir_all(victim.tablet()).unwrap();
    assert_eq!(status().json()["snapshots"][0]["status"], "broken", "a tablet that is gone");
}

#[test]
fn each_fault_is_said_once() {
    let victim = Victim::new();
    fs::remove_file(victim.file("__info_")).unwrap();
    let gone = victim.tablet();
    fs::remove_dir_all(&gone).unwrap();
    let listed =
        victim.run(["snapshots".as_ref(), victim.location.as_os_str(), VICTIM.as_ref(), "--json".as_ref()]).ok().json();
    let problems = listed["snapshots"][0]["problems"].as_array().unwrap().clone();
    let about = |what: &str| problems.iter().filter(|problem| problem.as_str().unwrap().contains(what)).count();
    assert_eq!((about("__info"), about(&name(&gone))), (1, 1), "{problems:?}");
}

#[test]
fn a_label_that_cannot_be_looked_into_is_not_called_incomplete() {
    let victim = Victim::new();
    let elsewhere = victim.world.path("elsewhere");
    fs::rename(victim.label(), &elsewhere).unwrap();
    symlink(&elsewhere, victim.label()).unwrap();
    let listed =
        victim.run(["snapshots".as_ref(), victim.location.as_os_str(), VICTIM.as_ref(), "--json".as_ref()]).ok().json();
    assert_eq!(listed["snapshots"][0]["status"], "broken", "{listed}");
    assert!(!listed.to_string().contains("crashed"), "{listed}");
}
