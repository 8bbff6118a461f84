//! A repository on S3 in every command: by a registered name, by a URL with properties, and with keys from where AWS' tools have them;
//! and secrets, which are in no command line and no list of mounts.

use crate::common::{Ran, World, assert_same_tree, eventually, is_mounted, require_fuse, same, tree, unmount};
use crate::genuine;
use crate::store::{ACCESS, SECRET, Store};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const URL: &str = "s3a://bucket/backup/hub";

fn hub() -> Store {
    Store::holding(&genuine::one("sr35/hub").location(), "backup/hub")
}

fn run(world: &World, args: &[&str], more: &[String]) -> Ran {
    world.run(args.iter().map(|arg| (*arg).to_owned()).chain(more.iter().cloned()))
}

/// The command line of every process that has `marker` in its own.
fn command_lines(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(marker) {
            found.push(line);
        }
    }
    found
}

/// Every command with `place`, against the same on local disk.
fn every_command(world: &World, store: &Store, place: &str, more: &[String], name: &str) {
    let local = genuine::one("sr35/hub").location();
    let local = local.to_str().unwrap();
    let listed = |ran: Ran| ran.ok().json()["snapshots"].clone();
    let without_age = |mut value: serde_json::Value| {
        for snapshot in value.as_array_mut().unwrap() {
            snapshot.as_object_mut().unwrap().remove("age_seconds");
        }
        value
    };
    let here = without_age(listed(world.run(["snapshots", local, "--json"])));
    assert_eq!(without_age(listed(run(world, &["snapshots", place, "--json"], more))), here);
    let tree_of = |ran: Ran| ran.ok().stdout;
    assert_eq!(
        tree_of(run(world, &["ls", place, "sr_hub_full", "-R"], more)),
        tree_of(world.run(["ls", local, "sr_hub_full", "-R"]))
    );
    let verified = run(world, &["verify", place, "sr_hub_full", "--pages", "--json"], more).ok().json();
    assert_eq!(verified["status"], "done");

    let warehouse = world.path(&format!("warehouse-{name}"));
    let reference = world.path("reference");
    let (to, from) = (warehouse.to_str().unwrap(), reference.to_str().unwrap());
    world.run(["restore", local, "sr_hub_full", "--warehouse", from]).ok();
    run(world, &["restore", place, "sr_hub_full", "--warehouse", to], more).ok();
    same(&reference.join("sr_hub"), &warehouse.join("sr_hub"), &[crate::common::STATE]);
    run(world, &["restore", place, "--warehouse", to], more).code(2).says("it is a repository");

    let rows = |source: &str, more: &[String]| {
        let args = ["export", source, "--format", "csv", "--to", "-"];
        run(world, &args, more).ok().stdout
    };
    let expected = rows(&format!("{local}/sr_hub_full@latest/orders"), &[]);
    assert!(expected.lines().count() > 10);
    assert_eq!(rows(&format!("{place}/sr_hub_full@latest/orders"), more), expected);
    let export = ["export", place, "--format", "csv", "--to", "-"];
    assert_ne!(run(world, &export, more).code, 0);

    let label = format!("again_{name}");
    let backup = ["backup", place, &label, "--warehouse", from, "--database", "sr_hub", "--table", "orders", "--json"];
    let backed_up = run(world, &backup, more).ok().json();
    assert_eq!(backed_up["files"], backed_up["reused_files"], "the store has all of it");
    assert!(store.server.keys().iter().any(|key| key.contains(&format!("__ss_{label}/__info_"))));
    for key in store.server.keys().iter().filter(|key| key.contains(&format!("__ss_{label}/"))) {
        store.server.remove(key);
    }

    require_fuse();
    let point = world.dir(&format!("mnt-{name}"));
    run(world, &["mount", place, point.to_str().unwrap()], more).ok();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mounted =
        mounts.lines().find(|line| line.split(' ').nth(1) == point.to_str()).expect("it is mounted").to_owned();
    assert!(mounted.starts_with(&format!("{URL} ")) || mounted.starts_with("starsnap"), "{mounted}");
    let lines = command_lines(point.to_str().unwrap());
    assert!(!lines.is_empty(), "the serving process is found");
    let table = point.join("sr_hub_full/latest/sr_member");
    let stored = |dir: &Path| {
        let mut found = tree(dir);
        // It names the repository as this one found it.
        found.remove("table.json");
        found.retain(|path, _| !crate::common::is_rows(path));
        found
    };
    assert_same_tree(&stored(&table), &stored(&reference.join("sr_hub/sr_member")), "the mount");
    unmount(&point);
    for line in lines.iter().chain([&mounted]) {
        assert!(!line.contains(ACCESS) && !line.contains(SECRET), "{line}");
    }
}

#[test]
fn a_location_with_properties_in_every_command() {
    let (world, store) = (World::new(), hub());
    let file = store.properties_file(&world, "store.properties", &[]);
    every_command(&world, &store, URL, &["--properties-file".to_owned(), file.clone()], "url");

    let new = ["init", "s3a://bucket/new", "--name", "made", "--properties-file", &file];
    world.run(new).ok();
    assert!(store.server.get("new/__starrocks_repository_made/__repo_info").is_some());
    world.run(new).code(1).says("there already");
}

#[test]
fn a_registered_name_in_every_command() {
    let (world, store) = (World::new(), hub());
    let properties: Vec<String> =
        store.server.properties().iter().map(|(name, value)| format!("\"{name}\" = \"{value}\"")).collect();
    let statement =
        format!("CREATE REPOSITORY hub_repo WITH BROKER ON LOCATION \"{URL}\" PROPERTIES ({});", properties.join(", "));
    fs::write(world.path("create.sql"), statement).unwrap();
    world.run(["sql".as_ref(), world.path("create.sql").as_os_str()]).ok();
    every_command(&world, &store, "hub_repo", &[], "name");
    let file = store.properties_file(&world, "store.properties", &[]);
    world.run(["snapshots", "hub_repo", "--properties-file", &file]).code(2).says("registered with its own");
    world.run(["export", "hub_repo/a/b/c/d", "--format", "csv", "--to", "-"]).code(2).says("hub_repo/LABEL");
    world.run(["sql", "-e", "SHOW REPOSITORIES", "--properties-file", &file]).code(2).says("CREATE REPOSITORY");
}

#[test]
fn keys_come_from_the_environment_or_a_profile() {
    let (world, store) = (World::new(), hub());
    let bare = store.bare_arguments();
    let with = |environment: &[(&str, &str)]| {
        let mut command = world.command();
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied());
        command.args(["snapshots", URL, "--json"]).args(&bare);
        Ran::of(command)
    };
    with(&[]).code(1).says("there are no credentials");
    with(&[("AWS_ACCESS_KEY_ID", ACCESS), ("AWS_SECRET_ACCESS_KEY", SECRET)]).ok();
    with(&[("AWS_ACCESS_KEY_ID", ACCESS), ("AWS_SECRET_ACCESS_KEY", "wrong")]).code(1).says("the secret key is wrong");
    fs::create_dir_all(world.path(".aws")).unwrap();
    let profile = format!("[nightly]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n");
    fs::write(world.path(".aws/credentials"), profile).unwrap();
    with(&[("AWS_PROFILE", "nightly")]).ok();
}

#[test]
fn a_file_of_secrets_that_others_may_read_is_refused() {
    let (world, store) = (World::new(), hub());
    let file = store.properties_file(&world, "store.properties", &[]);
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let ran = world.run(["snapshots", URL, "--properties-file", &file]).code(2).says("chmod 600");
        assert!(!ran.stderr.contains(ACCESS) && !ran.stderr.contains(SECRET), "{}", ran.stderr);
    }
    world.run(["snapshots", URL, "--properties-file", "/there/is/none"]).code(1).says("/there/is/none");
    world.run(["snapshots", URL, "--property", "aws.s3.regoin=x"]).code(2).says("`aws.s3.region` is the nearest");
    let ran = world.run(["snapshots", URL, "--property", "no-value-here"]).code(2).says("NAME=VALUE");
    assert!(!ran.stderr.contains("no-value-here"), "{}", ran.stderr);
}

#[test]
fn secrets_leave_the_command_line() {
    let (world, store) = (World::new(), hub());
    require_fuse();
    let point = world.dir("mnt");
    let mut args = store.bare_arguments();
    args.extend(["--property".to_owned(), format!("aws.s3.access_key={ACCESS}")]);
    args.push(format!("--property=aws.s3.secret_key={SECRET}"));
    // Where core dumps are usual.
    let mut command = world.environment(Command::new("sh"));
    command.args(["-c", "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$@\"", "sh", crate::common::binary()]);
    command.args(["mount", "-f", URL, point.to_str().unwrap()]).args(&args);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("it is mounted", 60, || is_mounted(&point));
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert!(matches!(core.split_whitespace().next(), Some("0" | "1")), "its core dumps would hold secrets: {core}");
    assert!(point.join("sr_hub_full").is_dir());
    let lines = command_lines(point.to_str().unwrap());
    assert!(lines.iter().any(|line| line.contains("aws.s3.secret_key=***")), "{lines:?}");
    for line in &lines {
        assert!(!line.contains(ACCESS) && !line.contains(SECRET), "{line}");
    }
    let open: Vec<_> = fs::read_dir(format!("/proc/{}/fd", child.id()))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().contains("memfd"))
        .collect();
    assert!(open.is_empty(), "what was taken out is still open: {open:?}");
    unmount(&point);
    let ran = Ran::wait(child).ok().says("--properties-file");
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
}

/// As mount(8) calls its helper for a line of /etc/fstab.
fn helper(world: &World, point: &Path, options: &str) -> Ran {
    let link = world.path("mount.starsnap");
    if !link.exists() {
        symlink(crate::common::binary(), &link).unwrap();
    }
    let mut command = world.environment(Command::new(&link));
    command.arg0(&link).args([OsStr::new(URL), point.as_os_str(), "-o".as_ref(), options.as_ref()]);
    Ran::of(command)
}

#[test]
fn the_helper_of_mount_takes_properties_from_a_file() {
    let (world, store) = (World::new(), hub());
    require_fuse();
    let point = world.dir("mnt");
    let file = store.properties_file(&world, "store.properties", &[("aws.s3.region", "elsewhere-1")]);
    let options = format!("rw,noauto,_netdev,properties_file={file},property=aws.s3.region=us-east-1");
    helper(&world, &point, &options).ok();
    let names: Vec<_> = fs::read_dir(&point).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.contains(&"sr_hub_full".into()), "{names:?}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(SECRET) && !mounts.contains(ACCESS), "{mounts}");
    unmount(&point);
    helper(&world, &point, "property=aws.s3.secret_key=visible").code(1).says("properties_file");
    helper(&world, &point, "properties_file=relative").code(1).says("absolute path");
}

#[test]
fn what_tunes_hadoop_is_passed_over_aloud_and_what_decides_is_refused() {
    let (world, store) = (World::new(), hub());
    let file = store.properties_file(&world, "store.properties", &[("fs.s3a.threads.max", "77")]);
    let said = "passed over, as they tune Hadoop and nothing else: `fs.s3a.threads.max`";
    let ran = world.run(["ls", URL, "--properties-file", &file]).ok().says(said);
    assert!(ran.stderr.matches(said).count() == 1 && !ran.stderr.contains("77"), "{}", ran.stderr);
    let ran = world.run(["ls", URL, "--properties-file", &file, "--quiet"]).ok();
    assert_eq!(ran.stderr, "");
    let create = |more: &str| {
        let properties: Vec<String> =
            store.server.properties().iter().map(|(name, value)| format!("\"{name}\" = \"{value}\"")).collect();
        let properties = properties.join(", ");
        let statement =
            format!("CREATE REPOSITORY r WITH BROKER ON LOCATION \"{URL}\" PROPERTIES ({properties}, {more})");
        let path = world.path("create.sql");
        fs::write(&path, statement).unwrap();
        world.run(["sql", path.to_str().unwrap()])
    };
    let refused = create("\"fs.s3a.encryption.algorithm\" = \"SSE-KMS\"").says("`fs.s3a.encryption.algorithm`");
    assert!(refused.code != 0 && !refused.stderr.contains("SSE-KMS"), "{}", refused.stderr);
    create("\"fs.s3a.threads.max\" = \"77\"").ok().says(said);
}
