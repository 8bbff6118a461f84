//! `starsnap sql`: the manual's statements as they stand there, with the location replaced by a directory; registered names in every
//! command; and secrets, which are in the registry and nowhere else.

use crate::common::{Ran, World, assert_same_tree, eventually, tree};
use crate::genuine;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Secrets of the manual's statements, replaced by what can be searched for.
const SECRETS: [&str; 3] = ["AKIAMUSTNOTBESEEN", "sEcReT/kEy+MuStNoTbEsEeN", "hdfs-password-must-not-be-seen"];

/// The manual's CREATE REPOSITORY.
fn create(location: &Path) -> String {
    format!(
        r#"CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "file://{}"
PROPERTIES(
"aws.s3.access_key" = "{}",
"aws.s3.secret_key" = "{}",
"aws.s3.endpoint" = "s3.us-east-1.amazonaws.com",
"username" = "<hdfs_username>",
"password" = "{}"
);"#,
        location.display(),
        SECRETS[0],
        SECRETS[1],
        SECRETS[2]
    )
}

/// Runs the binary with `text` on its standard input.
fn piped(world: &World, args: &[&str], text: &str) -> Ran {
    let mut command = world.command();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Ran::wait(child)
}

fn registry(world: &World) -> PathBuf {
    world.path(".config/starsnap/repositories.json")
}

/// No file below the world but the registry holds a secret.
fn assert_secrets_are_kept(world: &World, said: &[&Ran]) {
    for ran in said {
        for secret in SECRETS {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
        }
    }
    let root = registry(world).parent().unwrap().parent().unwrap().parent().unwrap().to_owned();
    for path in crate::common::files(&root) {
        let bytes = fs::read(root.join(&path)).unwrap();
        let found = SECRETS.iter().any(|secret| bytes.windows(secret.len()).any(|at| at == secret.as_bytes()));
        assert_eq!(found, root.join(&path) == registry(world), "{path}");
    }
}

/// Rows of the only statement, by column.
fn rows(ran: &Ran) -> Vec<Value> {
    let answers = ran.json();
    assert_eq!(answers.as_array().unwrap().len(), 1, "{answers}");
    answers[0]["rows"].as_array().unwrap().clone()
}

#[test]
fn the_manuals_statements_from_create_to_drop() {
    let world = World::new();
    let (location, warehouse) = (world.dir("repo_dir/backup"), world.path("warehouse"));
    let warehouse_arg = warehouse.to_str().unwrap();
    let genuine = genuine::one("sr35/hub");
    // The table to back up comes from a backup of StarRocks.
    world
        .run([
            "restore".as_ref(),
            genuine.location().as_os_str(),
            "sr_member_backup".as_ref(),
            "--warehouse".as_ref(),
            warehouse.as_os_str(),
        ])
        .ok();
    let mut said = vec![piped(&world, &["sql", "-v", "-v"], &create(&location)).ok()];
    assert_eq!(registry(&world).metadata().unwrap().mode() & 0o777, 0o600);
    let shown = world.run(["sql", "--json", "-e", "SHOW REPOSITORIES"]).ok();
    assert_eq!(rows(&shown)[0]["RepoName"], "test_repo");
    assert_eq!(rows(&shown)[0]["Location"], format!("file://{}", location.display()));
    said.push(shown);

    let backup = "BACKUP SNAPSHOT sr_hub.sr_member_backup\nTO test_repo\nON (sr_member);";
    said.push(world.run(["sql", "--warehouse", warehouse_arg, "-v", "-e", backup]).ok());
    let shown = world.run(["sql", "--json", "-e", "SHOW SNAPSHOT ON test_repo;"]).ok();
    let row = &rows(&shown)[0];
    assert_eq!((&row["Snapshot"], &row["Status"]), (&Value::from("sr_member_backup"), &Value::from("OK")));
    let timestamp = row["Timestamp"].as_str().unwrap().to_owned();
    let framed = world.run(["sql", "-e", "SHOW SNAPSHOT ON test_repo;"]).ok();
    let expected = format!(
        "+------------------+-------------------------+--------+\n\
         | Snapshot         | Timestamp               | Status |\n\
         +------------------+-------------------------+--------+\n\
         | sr_member_backup | {timestamp} | OK     |\n\
         +------------------+-------------------------+--------+\n1 row in set ("
    );
    assert!(framed.stdout.starts_with(&expected), "{}", framed.stdout);
    let below = world.run(["sql", "-e", "SHOW SNAPSHOT ON test_repo\\G"]).ok();
    let expected =
        format!("1. row {}\n Snapshot: sr_member_backup\nTimestamp: {timestamp}\n   Status: OK\n", "*".repeat(27));
    assert!(below.stdout.contains(&expected), "{}", below.stdout);
    let shown = world.run(["sql", "--json", "-e", "SHOW BACKUP FROM sr_hub"]).ok();
    assert_eq!(
        (rows(&shown)[0]["State"].as_str(), rows(&shown)[0]["SnapshotName"].as_str()),
        (Some("FINISHED"), Some("sr_member_backup"))
    );

    let restore = format!(
        "RESTORE SNAPSHOT sr_hub.sr_member_backup\nFROM test_repo\nON (sr_member AS copy)\nPROPERTIES (\n\"backup_timestamp\"=\"{timestamp}\",\n\"replication_num\" = \"1\"\n);"
    );
    let file = world.path("restore.sql");
    fs::write(
        &file,
        format!("-- bring it back\n{restore}\nSHOW RESTORE;\nCANCEL RESTORE FROM sr_hub;\nSHOW REPOSITORIES;"),
    )
    .unwrap();
    let ran = world.run(["sql", "--warehouse", warehouse_arg, file.to_str().unwrap()]);
    let ran = ran.code(1).says("restore.sql, line 10, column 1").says("no restore job is running");
    assert!(ran.stdout.contains("FINISHED") && !ran.stdout.contains("RepoName"), "{}", ran.stdout);
    said.push(ran);
    let stored = |name: &str| {
        tree(&warehouse.join("sr_hub").join(name)).into_iter().filter(|(path, _)| path.contains('/')).collect()
    };
    assert_same_tree(&stored("copy"), &stored("sr_member"), "copy");
    let parts = restore.replace("sr_member AS copy", "sr_member PARTITION (p1, p4) AS parts");
    said.push(world.run(["sql", "--warehouse", warehouse_arg, "-e", &parts]).ok());
    assert!(warehouse.join("sr_hub/parts/p1").is_dir() && !warehouse.join("sr_hub/parts/p2").exists());

    // Known to every command by its name; what has a slash or a dot in it is a path.
    let listed = world.run(["snapshots", "test_repo", "--json"]).ok();
    assert_eq!(listed.json()["snapshots"][0]["label"], "sr_member_backup");
    world.run(["ls", "test_repo", "sr_member_backup/latest"]).ok();
    world.run(["restore", "test_repo", "sr_member_backup", "--warehouse", world.path("w2").to_str().unwrap()]).ok();
    world
        .run(["backup", "test_repo", "again", "--warehouse", warehouse_arg, "--database", "sr_hub", "--table", "copy"])
        .ok();
    let mount = world.mount(Path::new("test_repo"));
    assert!(mount.path("again/latest/copy/table.json").exists());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(SECRETS.iter().all(|secret| !mounts.contains(secret)));
    drop(mount);
    world.run(["snapshots", "./test_repo"]).code(10);
    world.run(["restore", "test_repo", "--warehouse", warehouse_arg]).code(2).says("it is a repository");

    // A slip in the name makes another repository; it is said what stands beside it.
    let slip = create(&location).replace("test_repo", "tset_repo");
    said.push(piped(&world, &["sql"], &slip).ok().says("there is also `test_repo` at that location"));
    assert_eq!(listed.json()["snapshots"].as_array().unwrap().len(), 1);
    said.push(world.run(["sql", "-e", "DROP REPOSITORY tset_repo"]).ok());
    said.push(world.run(["sql", "-e", "DROP REPOSITORY test_repo"]).ok());
    assert!(said.last().unwrap().stdout.contains("content stays"));
    assert!(location.join("__starrocks_repository_test_repo/__ss_sr_member_backup").is_dir());
    world.run(["sql", "-e", "SHOW SNAPSHOT ON test_repo"]).code(10).says("test_repo");
    world.run(["snapshots", "test_repo"]).code(10);
    piped(&world, &["sql"], &create(&location)).ok();
    assert_secrets_are_kept(&world, &said.iter().collect::<Vec<_>>());
}

/// Files without a name that the process has open.
fn open_memory(proc: &Path) -> Vec<PathBuf> {
    let open = fs::read_dir(proc.join("fd")).unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    open.filter(|target| target.to_string_lossy().contains("memfd")).collect()
}

#[test]
fn secrets_do_not_stay_in_the_command_line() {
    let world = World::new();
    let location = world.dir("location");
    // Whoever holds the registry's lock makes the command wait where it can be looked at.
    fs::create_dir_all(registry(&world).parent().unwrap()).unwrap();
    let lock = fs::File::create(registry(&world).with_extension("json.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut command = world.command();
    command.args(["sql", "-q", "-e", &create(&location)]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    eventually("the repository is made", 60, || location.join("__starrocks_repository_test_repo/__repo_info").exists());
    let seen = [fs::read(proc.join("cmdline")).unwrap(), fs::read(proc.join("environ")).unwrap()].concat();
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(seen.contains("sql\0-q\0-e\0***"), "{seen:?}");
    assert!(SECRETS.iter().all(|secret| !seen.contains(secret)), "{seen:?}");
    let open = open_memory(&proc);
    assert!(open.is_empty(), "programs that are started would have it: {open:?}");
    drop(lock);
    let ran = Ran::wait(child).ok();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert_secrets_are_kept(&world, &[&ran]);
    let ran = world.run(["sql", "-e", &create(&location).replace("test_repo", "loud")]).ok();
    assert_secrets_are_kept(&world, &[&ran.says("other users could see the secrets").says("standard input")]);
}

#[test]
fn one_signal_ends_a_statement_that_waits_for_a_store() {
    let world = World::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "CREATE REPOSITORY r WITH BROKER ON LOCATION 's3a://bucket/x' PROPERTIES ('aws.s3.endpoint' = 'http://{}', 'aws.s3.access_key' = 'a', 'aws.s3.secret_key' = 'b'); SHOW REPOSITORIES",
        silent.local_addr().unwrap()
    );
    let file = world.path("create.sql");
    fs::write(&file, text).unwrap();
    let mut command = world.command();
    command.args(["sql", file.to_str().unwrap()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let connection = silent.accept().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    Ran::wait(child).code(130).says("create.sql, line 1, column 1").says("interrupted");
    drop(connection);
    assert!(!registry(&world).exists());
}

#[test]
fn errors_keep_secrets_and_say_where() {
    let world = World::new();
    let location = world.dir("location");
    let good = create(&location);
    let mut said = vec![piped(&world, &["sql"], &good).ok()];
    // Twice; with a mistake behind the secrets; with one among them; at a place that is none.
    said.push(piped(&world, &["sql", "-vv"], &good).code(1).says("line 1, column 1").says("registered already"));
    said.push(piped(&world, &["sql"], &good.replace(");", ") nonsense;")).code(2).says("line 10, column 3"));
    said.push(
        piped(&world, &["sql"], &good.replace("\"password\" = \"", "\"password\" \""))
            .code(2)
            .says("line 9, column 12"),
    );
    let bad = good.replace("test_repo", "other").replace("file://", "s3a://user:hdfs-password-must-not-be-seen@");
    said.push(piped(&world, &["sql", "-vv"], &bad));
    assert_ne!(said.last().unwrap().code, 0);
    let none_run = piped(&world, &["sql"], "DROP REPOSITORY test_repo;\nSELECT 1").code(2).says("line 2, column 1");
    said.push(none_run);
    assert_eq!(rows(&world.run(["sql", "--json", "-e", "SHOW REPOSITORIES"]).ok()).len(), 1, "something ran");
    assert_secrets_are_kept(&world, &said.iter().collect::<Vec<_>>());

    fs::set_permissions(registry(&world), fs::Permissions::from_mode(0o644)).unwrap();
    said.push(world.run(["sql", "-e", "SHOW REPOSITORIES"]).code(2).says("chmod 600"));
    world.run(["snapshots", "test_repo"]).code(2).says("chmod 600");
    world.run(["snapshots", location.to_str().unwrap()]).ok();
}

#[test]
fn another_registry_and_read_only() {
    let world = World::new();
    let config = world.path("other.json");
    let config = config.to_str().unwrap();
    let location = genuine::one("sr35/hub").location();
    let text = format!("CREATE READ ONLY REPOSITORY hub_repo WITH BROKER ON LOCATION '{}'", location.display());
    world.run(["sql", "--config", config, "-e", &text]).ok();
    assert!(!registry(&world).exists());
    world.run(["snapshots", "hub_repo"]).code(10);
    world.run(["snapshots", "hub_repo", "--config", config]).ok();
    let args = ["backup", "hub_repo", "l", "--warehouse", "/nowhere", "--database", "d", "--config", config];
    world.run(args).code(2).says("READ ONLY");
    let piped = piped(&world, &["--json", "sql", "--config", config, "-"], "show repositories; use d").ok().json();
    assert_eq!(piped[0]["rows"][0]["IsReadOnly"], "true");
    assert_eq!(piped[1]["message"], "Database changed");
}

#[test]
fn a_running_job_is_cancelled_from_another_process() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let warehouse = world.path("warehouse");
    let warehouse = warehouse.to_str().unwrap();
    let text = format!("CREATE READ ONLY REPOSITORY hub_repo WITH BROKER ON LOCATION '{}'", location.display());
    world.run(["sql", "-e", &text]).ok();
    let restore =
        "RESTORE SNAPSHOT sr_hub.sr_hub_full FROM hub_repo PROPERTIES ('backup_timestamp' = '2024-08-14-16-20-31-129')";
    let slow = format!("SET max_download_speed_kbps = 5; {restore}; DROP REPOSITORY hub_repo");
    let mut command = world.command();
    command.args(["sql", "--warehouse", warehouse, "-e", &slow]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    eventually("the restore runs", 60, || {
        let shown = rows(&world.run(["sql", "--json", "-e", "SHOW RESTORE FROM sr_hub"]).ok());
        shown.first().is_some_and(|row| row["State"] == "DOWNLOADING")
    });
    world.run(["sql", "--warehouse", warehouse, "-e", restore]).code(1).says("CANCEL RESTORE");
    world.run(["sql", "-e", "USE sr_hub; CANCEL RESTORE"]).ok();
    Ran::wait(child).code(130).says("another session said CANCEL RESTORE");
    let shown = rows(&world.run(["sql", "--json", "-e", "SHOW RESTORE FROM sr_hub"]).ok());
    assert_eq!(shown[0]["State"], "CANCELLED");
    assert_eq!(rows(&world.run(["sql", "--json", "-e", "SHOW REPOSITORIES"]).ok()).len(), 1, "the batch went on");
    world.run(["sql", "--warehouse", warehouse, "-e", restore]).ok();
}

#[test]
fn the_prompt_keeps_a_history_without_secrets() {
    let world = World::new();
    let location = world.dir("location");
    let mut command = world.environment(Command::new("script"));
    // script(1) gives the command a terminal.
    let run = format!("{} sql", crate::common::binary());
    command.args(["-q", "-e", "-c", &run, "/dev/null"]).env("TERM", "dumb");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let typed = format!("{}\nSHOW\n REPOSITORIES;\nSHWO;\nquit\n", create(&location));
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let ran = Ran::wait(child).ok();
    assert!(ran.stdout.contains("made repository test_repo") && ran.stdout.contains("1 row in set"), "{}", ran.stdout);
    assert!(ran.stdout.contains("error: "), "{}", ran.stdout);
    let history = world.path(".local/state/starsnap/history");
    assert_eq!(history.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&history).unwrap(), "SHOW\\n REPOSITORIES;\nSHWO;\n");
    // The terminal itself showed what was typed; no file holds it.
    assert_secrets_are_kept(&world, &[]);
}
