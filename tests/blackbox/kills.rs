//! SIGKILL at random moments: at none of them does a half-restored table stand under its name, nor does a label look complete that is not;
//! after a rerun everything is right.

use crate::common::{STATE, World, same};
use crate::genuine;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Random moments; the seed is in the output of a failed test.
struct Moments(u64);

impl Moments {
    fn new() -> Moments {
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let seed = std::env::var("STARSNAP_TEST_SEED").map_or(random, |seed| seed.parse().unwrap());
        println!("STARSNAP_TEST_SEED={seed}");
        Moments(seed | 1)
    }

    /// From 0 to `limit`.
    fn next(&mut self, limit: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        limit.mul_f64((self.0 % 10_000) as f64 / 10_000.0)
    }
}

/// Sizes by path.
type Sizes = BTreeMap<String, u64>;

/// Files below an open directory, and their sizes. `None` when something went away meanwhile.
fn sizes(dir: &Path) -> Option<Sizes> {
    let (mut found, mut left) = (Sizes::new(), vec![String::new()]);
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(dir.join(&at)).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let path = if at.is_empty() { name } else { format!("{at}/{name}") };
            let metadata = entry.metadata().ok()?;
            match metadata.is_dir() {
                true => left.push(path),
                false => drop(found.insert(path, metadata.len())),
            }
        }
    }
    Some(found)
}

/// What stands under `path` now, as one moment's state: a directory that was replaced while it was walked is walked again.
fn look(path: &Path) -> Option<Sizes> {
    loop {
        let open = fs::File::open(path).ok()?;
        let inode = open.metadata().ok()?.ino();
        let seen = sizes(Path::new(&format!("/proc/self/fd/{}", open.as_raw_fd())));
        match fs::metadata(path) {
            Ok(now) if now.ino() == inode => return Some(seen.unwrap_or_default()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Kills `child` after `moment`; true when it was still running.
fn kill_after(mut child: Child, moment: Duration) -> bool {
    std::thread::sleep(moment);
    let running = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    running
}

/// Runs `work` while `observe` looks again and again; `observe` panics when it sees what must not be.
fn observed<R>(observe: impl Fn() + Sync, work: impl FnOnce() -> R) -> R {
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let result = std::thread::scope(|scope| {
        let observer = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                observe();
                looks.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::SeqCst);
        observer.join().unwrap();
        result.unwrap()
    });
    assert!(looks.load(Ordering::Relaxed) > 20, "the observer hardly looked");
    result
}

fn spawn(world: &World, args: &[&str]) -> Child {
    world.command().args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// One kill per entry: the speed, and until when to kill. Slow runs die while they transfer, fast ones while they finish.
fn attempts() -> Vec<(&'static str, Duration)> {
    let slow = ("400KiB", Duration::from_millis(2500));
    let fast = ("1GiB", Duration::from_millis(120));
    [[slow; 4].as_slice(), &[fast; 12], &[slow; 2], &[fast; 6]].concat()
}

#[test]
fn a_killed_restore_leaves_no_half_table_and_goes_on() {
    let (world, mut moments) = (World::new(), Moments::new());
    let location = genuine::one("sr35/hub").location();
    let location = location.to_str().unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let reference = world.path("reference");
    world.run(["restore", location, "sr_hub_full", "--warehouse", &text(&reference)]).ok();
    let reference = reference.join("sr_hub");
    let whole: BTreeMap<String, Sizes> = genuine::one("sr35/hub").labels()["sr_hub_full"]
        .tables()
        .into_iter()
        .map(|table| (table.clone(), sizes(&reference.join(table)).unwrap()))
        .collect();

    // How many are killed depends on how quick they are.
    let (mut killed, mut round) = (0, 0);
    while round < 2 || killed < 10 {
        round += 1;
        assert!(round <= 8, "only {killed} runs were killed");
        let warehouse = world.path(&format!("warehouse-{round}"));
        let database = warehouse.join("sr_hub");
        let warehouse = text(&warehouse);
        // An older state of one table, with the same schema, is replaced.
        world.run(["restore", location, "sr_member_backup2", "--warehouse", &warehouse]).ok();
        let old = sizes(&database.join("sr_member")).unwrap();
        assert_ne!(old, whole["sr_member"]);
        let observe = || {
            for (table, whole) in &whole {
                let Some(seen) = look(&database.join(table)) else {
                    assert_ne!(table, "sr_member", "the table that is replaced was not there for a moment");
                    continue;
                };
                let right = seen == *whole || table == "sr_member" && seen == old;
                assert!(right, "half of {table} is in sight: {} of {} files", seen.len(), whole.len());
            }
        };
        observed(observe, || {
            for (speed, limit) in attempts() {
                let args = ["restore", location, "sr_hub_full", "--warehouse", &warehouse, "--max-speed", speed];
                killed += u32::from(kill_after(spawn(&world, &args), moments.next(limit)));
                observe();
            }
            world.run(["restore", location, "sr_hub_full", "--warehouse", &warehouse]).ok();
        });
        same(&reference, &database, &[STATE]);
    }
}

/// A path of the content without its `__part_…`, which depends on the form of the catalog; tablets' numbers are unique.
fn without_partition(path: &str) -> String {
    path.split('/').filter(|part| !part.starts_with("__part_")).collect::<Vec<_>>().join("/")
}

/// What must stand under a label with an `__info`: the content of the manifest, and a `__meta` and `__info` that are what their names say.
fn complete_or_without_info(label: &Path, content: &BTreeMap<String, u64>) -> bool {
    let Ok(entries) = fs::read_dir(label) else { return false };
    let names: BTreeSet<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let is_named = |name: &&String, beginning: &str| {
        let tail = name.rsplit_once('.').map_or("", |(_, tail)| tail);
        name.starts_with(beginning) && tail.len() == 32 && tail.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let infos: Vec<&String> = names.iter().filter(|name| is_named(name, "__info_")).collect();
    let Some(info) = infos.first() else { return false };
    let metas: Vec<&String> = names.iter().filter(|name| is_named(name, "__meta.")).collect();
    assert_eq!((infos.len(), metas.len()), (1, 1), "{names:?}");
    for name in [info, &metas[0]] {
        let md5 = crate::common::content(&label.join(name)).md5;
        assert!(name.ends_with(&md5), "{name} has md5 {md5}");
    }
    let stored = sizes(&label.join("__ss_content")).expect("the content of a complete label");
    let stored = stored.into_iter().map(|(path, size)| (without_partition(&path), size)).collect();
    assert_eq!(content, &stored, "the label looks complete, but its content is not");
    true
}

#[test]
fn a_killed_backup_leaves_no_label_that_looks_complete_and_goes_on() {
    let (world, mut moments) = (World::new(), Moments::new());
    let genuine = genuine::one("sr35/hub");
    let location = genuine.location();
    let warehouse = world.path("warehouse");
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    world.run(["restore", &text(&location), "sr_hub_full", "--warehouse", &text(&warehouse)]).ok();
    let prefix = "__starrocks_repository_hub_repo/__ss_sr_hub_full/__ss_content/";
    let content: BTreeMap<String, u64> = genuine
        .manifest()
        .iter()
        .filter_map(|stored| Some((without_partition(stored.path.strip_prefix(prefix)?), stored.content.size)))
        .collect();

    // How many kills a label takes is chance: the more a killed run had uploaded, the sooner the next is done. The first one of each is all but sure.
    let (mut killed, mut round) = (0, 0);
    while killed < 4 {
        round += 1;
        assert!(round <= 12, "only {killed} runs were killed");
        let target = world.dir(&format!("target-{round}"));
        world.run(["init", &text(&target), "--name", "new"]).ok();
        let label = target.join("__starrocks_repository_new/__ss_again");
        let target = text(&target);
        let args = ["backup", &target, "again", "--warehouse", &text(&warehouse), "--database", "sr_hub"];
        let observe = || {
            complete_or_without_info(&label, &content);
        };
        observed(observe, || {
            for (speed, limit) in attempts() {
                let limited = [args.as_slice(), &["--max-speed", speed]].concat();
                killed += u32::from(kill_after(spawn(&world, &limited), moments.next(limit)));
                if complete_or_without_info(&label, &content) {
                    break;
                }
                let listing = world.run(["snapshots", &target, "--json"]).ok().json();
                for snapshot in listing["snapshots"].as_array().unwrap() {
                    assert_eq!(snapshot["status"], "incomplete", "{snapshot}");
                }
            }
            if !complete_or_without_info(&label, &content) {
                world.run(args).ok();
            }
        });
        assert!(complete_or_without_info(&label, &content));
        let again = world.path(&format!("again-{round}"));
        world.run(["restore", &target, "again", "--warehouse", &text(&again)]).ok();
        same(&warehouse.join("sr_hub"), &again.join("sr_hub"), &[STATE, "--exclude=table.json"]);
    }
}

#[test]
fn an_interrupted_restore_is_130_and_goes_on() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let location = location.to_str().unwrap();
    let warehouse = world.path("warehouse");
    let warehouse = warehouse.to_str().unwrap();
    let args = ["restore", location, "sr_hub_full", "--table", "orders", "--warehouse", warehouse];
    let staged = || sizes(&world.path("warehouse/sr_hub/.starsnap-staging"));
    for signal in ["-INT", "-TERM"] {
        let before = staged();
        let child = world
            .command()
            .args(args)
            .args(["--max-speed", "20KiB"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Something is fetched: so it listens to signals.
        crate::common::eventually("it restores", 60, || staged().is_some_and(|now| Some(now) != before));
        assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        crate::common::Ran::wait(child).code(130).says("interrupted");
        assert!(!world.path("warehouse/sr_hub/orders").exists());
    }
    world.run(args).ok();
}

/// `nohup`, and a shell without job control that starts a job with `&`, ignore signals for what they start: it goes on when the terminal closes.
#[test]
fn signals_that_are_ignored_from_the_start_stop_nothing() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let warehouse = world.path("warehouse");
    let (location, warehouse) = (location.to_str().unwrap(), warehouse.to_str().unwrap());
    let args =
        ["restore", location, "sr_hub_full", "--table", "orders", "--max-speed", "40KiB", "--warehouse", warehouse];
    let staged = || sizes(&world.path("warehouse/sr_hub/.starsnap-staging")).unwrap_or_default();
    let mut command = world.environment(std::process::Command::new("sh"));
    command.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]).arg(crate::common::binary()).args(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    crate::common::eventually("it restores", 60, || staged().keys().any(|path| path.contains("/table/")));
    for signal in ["-HUP", "-INT", "-HUP", "-INT"] {
        assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
    crate::common::Ran::wait(child).ok();
    assert!(world.path("warehouse/sr_hub/orders").exists());
}
