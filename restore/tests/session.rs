//! The manual's statements, run by a session over genuine repositories and new ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use starsnap_restore::progress::Progress;
use starsnap_restore::registry::Registry;
use starsnap_restore::report::{JobStatus, TableReport, TableStatus};
use starsnap_restore::session::{Answer, Jobs, Session, Setup};
use starsnap_restore::statement::parse;
use starsnap_restore::{Cancel, ErrorKind, Result, Silent};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GENUINE: [(&str, &str); 4] =
    [("sr35/hub", "hub_repo"), ("sr33/hub", "hub_repo"), ("sr40/hub", "hub_repo"), ("sr23/old", "old_repo")];

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/repositories")).join(name)
}

/// A directory with everything a session keeps.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn registry(&self) -> Registry {
        Registry::at(self.path("config/repositories.json"))
    }

    fn session(&self) -> Session {
        Session::new(Setup {
            registry: self.registry(),
            jobs: Jobs::at(self.path("jobs")),
            warehouse: Some(self.path("warehouse")),
            cache: None,
            reading: None,
        })
    }

    /// A session that knows a genuine repository as its own name says.
    async fn genuine(&self, fixture_name: &str, name: &str) -> Session {
        let mut session = self.session();
        let location = fixture(fixture_name).join("location");
        let text = format!(
            "CREATE READ ONLY REPOSITORY {name} WITH BROKER ON LOCATION \"file://{}\" PROPERTIES (\"username\" = \"x\")",
            location.display()
        );
        run(&mut session, &text).await.unwrap();
        session
    }
}

async fn run(session: &mut Session, text: &str) -> Result<Answer> {
    run_with(session, text, Arc::new(Silent), Cancel::default()).await
}

async fn run_with(session: &mut Session, text: &str, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<Answer> {
    let [statement] = <[_; 1]>::try_from(parse(text).unwrap()).unwrap();
    session.run(&statement, progress, cancel).await
}

async fn refused(session: &mut Session, text: &str) -> (ErrorKind, String) {
    let error = run(session, text).await.expect_err(text);
    (error.kind, error.to_string())
}

/// Rows, NULL as `NULL`.
fn rows(answer: &Answer) -> Vec<Vec<String>> {
    let rows = &answer.table.as_ref().unwrap().rows;
    rows.iter().map(|row| row.iter().map(|cell| cell.clone().unwrap_or("NULL".into())).collect()).collect()
}

/// Rows as a map from the column's name.
fn named(answer: &Answer) -> Vec<BTreeMap<&'static str, String>> {
    let columns = answer.table.as_ref().unwrap().columns.clone();
    rows(answer).into_iter().map(|row| columns.iter().copied().zip(row).collect()).collect()
}

/// What StarRocks printed: the columns, then the rows.
fn printed(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let unescape = |cell: &str| {
        let (mut out, mut chars) = (String::new(), cell.chars());
        while let Some(c) = chars.next() {
            match (c, if c == '\\' { chars.next() } else { None }) {
                ('\\', Some('n')) => out.push('\n'),
                ('\\', Some('t')) => out.push('\t'),
                ('\\', Some(other)) => out.push(other),
                (c, _) => out.push(c),
            }
        }
        out
    };
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split('\t').map(unescape).collect::<Vec<_>>());
    (lines.next().unwrap(), lines.collect())
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn show_snapshot_is_what_starrocks_printed() {
    for (name, repository) in GENUINE {
        let world = World::new();
        let mut session = world.genuine(name, repository).await;
        let (columns, expected) = printed(&fixture(name).join("show_snapshot.tsv"));
        let shown = run(&mut session, &format!("SHOW SNAPSHOT ON {repository}")).await.unwrap();
        assert_eq!(
            (shown.table.as_ref().unwrap().columns.to_vec(), rows(&shown)),
            (columns.iter().map(|c| c.as_str()).collect(), expected.clone())
        );

        let (columns, details) = printed(&fixture(name).join("show_snapshot_detail.tsv"));
        assert!(!details.is_empty());
        for row in details {
            let text =
                format!("SHOW SNAPSHOT ON {repository} WHERE SNAPSHOT = \"{}\" AND TIMESTAMP = \"{}\"", row[0], row[1]);
            let shown = run(&mut session, &text).await.unwrap();
            assert_eq!(shown.table.as_ref().unwrap().columns, columns);
            assert_eq!(rows(&shown), [row]);
        }
        let some: Vec<_> = expected.iter().take(2).map(|row| format!("\"{}\"", row[0])).collect();
        let text = format!("SHOW SNAPSHOT ON {repository} WHERE SNAPSHOT IN ({})", some.join(","));
        assert_eq!(rows(&run(&mut session, &text).await.unwrap()), expected[..2]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_shown_as_starrocks_does() {
    let world = World::new();
    let mut session = world.genuine("sr35/hub", "hub_repo").await;
    let shown = run(&mut session, "SHOW SNAPSHOT ON hub_repo WHERE SNAPSHOT = 'none'").await.unwrap();
    assert_eq!(rows(&shown), [["none", "", "ERROR: no snapshot"]]);
    let text = "SHOW SNAPSHOT ON hub_repo WHERE SNAPSHOT = 'sr_hub_full' AND TIMESTAMP = '2000'";
    let shown = rows(&run(&mut session, text).await.unwrap());
    assert_eq!(shown[0][..4], ["sr_hub_full", "2000", "NULL", "NULL"]);
    assert!(shown[0][4].contains("2024-08-14-16-20-31-129"), "{shown:?}");
    assert_eq!(refused(&mut session, "SHOW SNAPSHOT ON other").await.0, ErrorKind::NotFound);
}

#[tokio::test]
async fn repositories_are_made_found_shown_and_forgotten() {
    let world = World::new();
    let mut session = world.session();
    let location = world.path("location");
    let create = format!(
        "CREATE REPOSITORY test_repo WITH BROKER ON LOCATION \"file://{}\" PROPERTIES(\"username\" = \"<hdfs_username>\", \"password\" = \"hunter2-pass\")",
        location.display()
    );
    let answer = run(&mut session, &create).await.unwrap();
    assert!(answer.message.unwrap().starts_with("made repository test_repo"));
    let info = location.join("__starrocks_repository_test_repo/__repo_info");
    let stored = std::fs::read_to_string(&info).unwrap();
    assert!(!stored.contains("hunter2"));
    assert_eq!(refused(&mut session, &create).await.0, ErrorKind::Exists);

    let shown = named(&run(&mut session, "SHOW REPOSITORIES").await.unwrap());
    assert_eq!(shown.len(), 1);
    let row = &shown[0];
    assert_eq!(
        (row["RepoId"].as_str(), row["RepoName"].as_str(), row["IsReadOnly"].as_str()),
        ("1", "test_repo", "false")
    );
    assert_eq!((row["Location"].clone(), row["ErrMsg"].as_str()), (format!("file://{}", location.display()), "NULL"));
    assert!(stored.contains(&row["CreateTime"]));

    let answer = run(&mut session, "DROP REPOSITORY test_repo").await.unwrap();
    assert!(answer.message.unwrap().contains("content stays"));
    assert!(info.exists());
    assert_eq!(refused(&mut session, "DROP REPOSITORY test_repo").await.0, ErrorKind::NotFound);

    // What is there already is adopted, with its time, and not written.
    std::fs::write(&info, r#"{"create_time":"2001-02-03 04:05:06","name":"test_repo"}"#).unwrap();
    let answer = run(&mut session, &create).await.unwrap();
    assert!(answer.message.unwrap().starts_with("found repository"));
    assert_eq!(named(&run(&mut session, "SHOW REPOSITORIES").await.unwrap())[0]["CreateTime"], "2001-02-03 04:05:06");
    // One that is gone is still listed, with why.
    std::fs::remove_dir_all(&location).unwrap();
    assert!(named(&run(&mut session, "SHOW REPOSITORIES").await.unwrap())[0]["ErrMsg"].contains("location"));
}

#[tokio::test]
async fn what_cannot_be_created_is_refused_and_not_remembered() {
    let world = World::new();
    let mut session = world.session();
    let nowhere = world.path("nowhere");
    let read_only = format!("CREATE READ ONLY REPOSITORY r WITH BROKER ON LOCATION '{}'", nowhere.display());
    let (kind, said) = refused(&mut session, &read_only).await;
    assert_eq!(kind, ErrorKind::NotFound, "{said}");
    assert!(!nowhere.exists(), "READ ONLY made something");
    std::fs::create_dir(&nowhere).unwrap();
    assert_eq!(refused(&mut session, &read_only).await.0, ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(&nowhere).unwrap().count(), 0, "READ ONLY made something");

    std::fs::write(world.path("file"), "").unwrap();
    let in_file = format!("CREATE REPOSITORY r WITH BROKER ON LOCATION '{}'", world.path("file").display());
    refused(&mut session, &in_file).await;
    for name in ["`a-b`", "`1a`", "__a", "`a.b`", "`..`"] {
        let text = format!("CREATE REPOSITORY {name} WITH BROKER ON LOCATION '{}'", nowhere.display());
        assert_eq!(refused(&mut session, &text).await.0, ErrorKind::Usage, "{name}");
    }
    // A damaged one is neither taken nor replaced.
    let damaged = world.path("damaged/__starrocks_repository_r");
    std::fs::create_dir_all(&damaged).unwrap();
    std::fs::write(damaged.join("__repo_info"), "{").unwrap();
    let text = format!("CREATE REPOSITORY r WITH BROKER ON LOCATION '{}'", world.path("damaged").display());
    assert_eq!(refused(&mut session, &text).await.0, ErrorKind::Damaged);
    assert_eq!(std::fs::read(damaged.join("__repo_info")).unwrap(), b"{");
    assert!(rows(&run(&mut session, "SHOW REPOSITORIES").await.unwrap()).is_empty());
}

#[tokio::test]
async fn a_repositorys_own_directory_is_known_by_the_name_in_it() {
    let world = World::new();
    let mut session = world.session();
    let own = fixture("sr35/hub").join("location/__starrocks_repository_hub_repo");
    let text = format!("CREATE READ ONLY REPOSITORY other WITH BROKER ON LOCATION '{}'", own.display());
    let answer = run(&mut session, &text).await.unwrap();
    assert!(answer.notes[0].contains("hub_repo"), "{answer:?}");
    assert_eq!(named(&run(&mut session, "SHOW REPOSITORIES").await.unwrap())[0]["RepoName"], "hub_repo");
    assert!(!rows(&run(&mut session, "SHOW SNAPSHOT ON hub_repo").await.unwrap()).is_empty());
}

/// The manual's RESTORE and BACKUP, and back again: the same bytes.
#[tokio::test]
async fn the_manuals_round_trip() {
    let world = World::new();
    let mut session = world.genuine("sr35/hub", "hub_repo").await;
    let restore = r#"RESTORE SNAPSHOT sr_hub.sr_member_backup
FROM hub_repo
ON (sr_member)
PROPERTIES (
"backup_timestamp"="2024-08-15-09-05-07-003",
"replication_num" = "1"
)"#;
    let answer = run(&mut session, restore).await.unwrap();
    assert_eq!(answer.status(), JobStatus::Done);
    let table = world.path("warehouse/sr_hub/sr_member");
    assert!(table.join("table.json").exists());
    let shown = named(&run(&mut session, "SHOW RESTORE FROM sr_hub").await.unwrap());
    let row = &shown[0];
    let told =
        ["Label", "Timestamp", "DbName", "State", "AllowLoad", "ReplicationNum", "RestoreObjs", "Status", "Timeout"];
    assert_eq!(
        told.map(|column| row[column].as_str()),
        [
            "sr_member_backup",
            "2024-08-15-09-05-07-003",
            "sr_hub",
            "FINISHED",
            "false",
            "1",
            "[sr_hub.sr_member]",
            "[OK]",
            "86400"
        ]
    );
    assert!(row["CreateTime"] <= row["DownloadFinishedTime"] && row["DownloadFinishedTime"] <= row["FinishedTime"]);

    let create = format!("CREATE REPOSITORY test_repo WITH BROKER ON LOCATION '{}'", world.path("new").display());
    run(&mut session, &create).await.unwrap();
    let backup = "BACKUP SNAPSHOT sr_hub.sr_member_backup\nTO test_repo\nON (sr_member)";
    let report = run(&mut session, backup).await.unwrap().backup.unwrap();
    assert_eq!(refused(&mut session, backup).await.0, ErrorKind::Exists);
    let shown = named(&run(&mut session, "SHOW BACKUP").await.unwrap());
    let told = ["SnapshotName", "DbName", "State", "BackupObjs"].map(|column| shown[0][column].as_str());
    assert_eq!(told, ["sr_member_backup", "sr_hub", "CANCELLED", "[sr_hub.sr_member]"], "the last one was refused");
    assert!(shown[0]["TaskErrMsg"].contains("in use"));
    let shown = rows(&run(&mut session, "SHOW SNAPSHOT ON test_repo").await.unwrap());
    assert_eq!(shown, [["sr_member_backup", &report.timestamp, "OK"]]);

    let again = restore
        .replace("hub_repo", "test_repo")
        .replace("sr_hub.", "other.")
        .replace("2024-08-15-09-05-07-003", &report.timestamp)
        .replace("(sr_member)", "(sr_member AS member2)");
    run(&mut session, &again).await.unwrap();
    let tablets = |dir: &Path| -> BTreeMap<String, Vec<u8>> {
        files(dir).into_iter().filter(|(path, _)| path.contains('/')).collect()
    };
    let (first, second) = (tablets(&table), tablets(&world.path("warehouse/other/member2")));
    assert!(!first.is_empty());
    assert_eq!(first, second);
    run(&mut session, "DROP REPOSITORY test_repo").await.unwrap();
    assert!(world.path("new/__starrocks_repository_test_repo/__ss_sr_member_backup").is_dir());
}

#[tokio::test]
async fn partitions_databases_and_kinds_of_objects() {
    let world = World::new();
    let mut session = world.genuine("sr35/hub", "hub_repo").await;
    let properties = "PROPERTIES (\"backup_timestamp\" = \"2024-08-14-16-20-31-129\")";
    let objects = |database: &str| -> Vec<String> {
        let dir = world.path("warehouse").join(database);
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    };
    let restore = |text: &str| format!("RESTORE SNAPSHOT sr_hub_full FROM hub_repo {text} {properties}");
    let text = restore(
        "DATABASE sr_hub AS parts ON (TABLE orders PARTITION (p202401, p202403, p202401) AS o, sr_member PARTITION (p1))",
    );
    run(&mut session, &text).await.unwrap();
    assert_eq!(objects("parts"), ["o", "sr_member"]);
    assert!(world.path("warehouse/parts/o/p202403").is_dir() && !world.path("warehouse/parts/o/p202402").exists());

    run(&mut session, &restore("DATABASE sr_hub AS mv ON (ALL MATERIALIZED VIEWS, VIEW v_member AS v2)"))
        .await
        .unwrap();
    assert_eq!(objects("mv"), ["member_by_city", "v2.sql"]);
    run(&mut session, &restore("DATABASE sr_hub AS tables ON (ALL TABLES)")).await.unwrap();
    assert_eq!(objects("tables"), ["events", "orders", "page_views", "sales", "sr_member", "users"]);
    run(&mut session, &restore("DATABASE sr_hub AS views ON (ALL VIEWS)")).await.unwrap();
    assert_eq!(objects("views"), ["v_member.sql"]);
    // Without a database: USE's, else the snapshot's own.
    run(&mut session, &restore("")).await.unwrap();
    assert_eq!(objects("sr_hub").len(), 8);
    run(&mut session, "USE used").await.unwrap();
    run(&mut session, &restore("ON (users)")).await.unwrap();
    assert_eq!(objects("used"), ["users"]);

    let missing = ErrorKind::NoSuchObject;
    for (text, kind) in [
        ("DATABASE nope AS x", missing),
        ("ON (nope)", missing),
        ("ON (VIEW users)", missing),
        ("ON (TABLE v_member)", missing),
        ("ON (MATERIALIZED VIEW users)", missing),
        ("ON (FUNCTION f)", missing),
        ("EXTERNAL CATALOG (c)", missing),
        ("ALL EXTERNAL CATALOGS", missing),
    ] {
        assert_eq!(refused(&mut session, &restore(text)).await.0, kind, "{text}");
    }
    let failed = run(&mut session, &restore("ON (users PARTITION (nope))")).await.unwrap();
    assert_eq!(failed.status(), JobStatus::Failed);
}

#[tokio::test]
async fn properties_are_checked() {
    let world = World::new();
    let mut session = world.genuine("sr35/hub", "hub_repo").await;
    for (properties, said) in [
        ("", "backup_timestamp is missing"),
        ("PROPERTIES ('backup_timestamp' = '2024')", "2024-08-15-09-05-07-003"),
        ("PROPERTIES ('backup_timestamp' = '2024-08-15-09-05-07-003', 'colour' = 'red')", "\"colour\" is unknown"),
        ("PROPERTIES ('backup_timestamp' = '2024-08-15-09-05-07-003', 'timeout' = '599')", "600"),
        ("PROPERTIES ('backup_timestamp' = '2024-08-15-09-05-07-003', 'replication_num' = '0')", "replication_num"),
        ("PROPERTIES ('backup_timestamp' = '2024-08-15-09-05-07-003', 'allow_load' = 'maybe')", "allow_load"),
        ("PROPERTIES ('backup_timestamp' = '2024-08-15-09-05-07-003', 'meta_version' = 'x')", "meta_version"),
    ] {
        let text = format!("RESTORE SNAPSHOT sr_hub.sr_member_backup FROM hub_repo ON (sr_member) {properties}");
        let (_, error) = refused(&mut session, &text).await;
        assert!(error.contains(said), "{properties}: {error}");
    }
    assert!(!world.path("warehouse").exists(), "a refused restore made a warehouse");
    let (_, error) = refused(&mut session, "BACKUP SNAPSHOT d.l TO hub_repo").await;
    assert!(error.contains("READ ONLY"), "{error}");

    let create = format!("CREATE REPOSITORY w WITH BROKER ON LOCATION '{}'", world.path("new").display());
    run(&mut session, &create).await.unwrap();
    for (properties, said) in
        [("'type' = 'incremental'", "full"), ("'timeout' = '1'", "600"), ("'backup_timestamp' = '1'", "unknown")]
    {
        let (_, error) = refused(&mut session, &format!("BACKUP SNAPSHOT d.l TO w PROPERTIES ({properties})")).await;
        assert!(error.contains(said), "{properties}: {error}");
    }
    let (_, error) = refused(&mut session, "BACKUP SNAPSHOT l TO w").await;
    assert!(error.contains("no database"), "{error}");
    // Accepted, and said to mean nothing here.
    let text = "RESTORE SNAPSHOT sr_hub.sr_member_backup FROM hub_repo ON (sr_member) PROPERTIES ('backup_timestamp' = '2024-08-15-09-05-07-003',
        'replication_num' = '3', 'allow_load' = 'true', 'meta_version' = '92', 'starrocks_meta_version' = '4', 'timeout' = '700')";
    let answer = run(&mut session, text).await.unwrap();
    assert_eq!(answer.notes.iter().filter(|note| note.contains("is ignored")).count(), 4, "{:?}", answer.notes);
    let row = &named(&run(&mut session, "SHOW RESTORE").await.unwrap())[0];
    assert_eq!(
        (row["ReplicationNum"].as_str(), row["AllowLoad"].as_str(), row["Timeout"].as_str()),
        ("3", "true", "700")
    );
}

/// Tells a session of the same user to cancel when the first file is done, as soon as there is one.
struct Meanwhile {
    first: tokio::sync::Notify,
}

impl Progress for Meanwhile {
    fn started(&self, _files: u64, _bytes: u64) {
        self.first.notify_one();
    }

    fn table_done(&self, _table: &TableReport) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_restore_is_seen_alone_and_cancelled_from_another_session() {
    let world = World::new();
    let mut session = world.genuine("sr35/hub", "hub_repo").await;
    // Slow enough to be met.
    run(&mut session, "SET max_download_speed_kbps = 5").await.unwrap();
    let text =
        "RESTORE SNAPSHOT sr_hub.sr_hub_full FROM hub_repo PROPERTIES ('backup_timestamp' = '2024-08-14-16-20-31-129')";
    let meanwhile = Arc::new(Meanwhile { first: Default::default() });
    let listener = meanwhile.clone();
    let restoring = tokio::spawn(async move {
        let result = run_with(&mut session, text, listener, Cancel::default()).await;
        (session, result)
    });
    meanwhile.first.notified().await;
    let mut other = world.session();
    assert_eq!(refused(&mut other, text).await.0, ErrorKind::Busy);
    let mut state = String::new();
    for _ in 0..600 {
        state.clone_from(&named(&run(&mut other, "SHOW RESTORE FROM sr_hub").await.unwrap())[0]["State"]);
        if state == "DOWNLOADING" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(state, "DOWNLOADING");
    assert_eq!(refused(&mut other, "CANCEL BACKUP FROM sr_hub").await.0, ErrorKind::NoSuchObject);
    run(&mut other, "CANCEL RESTORE FROM sr_hub").await.unwrap();
    let (mut session, result) = restoring.await.unwrap();
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Interrupted);
    assert!(error.to_string().contains("CANCEL RESTORE"), "{error}");
    let row = &named(&run(&mut other, "SHOW RESTORE FROM sr_hub").await.unwrap())[0];
    assert_eq!(row["State"], "CANCELLED");
    assert!(row["Status"].contains("CANCEL RESTORE"), "{row:?}");
    assert_eq!(refused(&mut other, "CANCEL RESTORE FROM sr_hub").await.0, ErrorKind::NoSuchObject);

    run(&mut session, "SET max_download_speed_kbps = 0").await.unwrap();
    let report = run(&mut session, text).await.unwrap().restore.unwrap();
    assert!(report.tables.iter().all(|table| table.status == TableStatus::Restored), "it goes on where it stopped");
    let row = &named(&run(&mut other, "SHOW RESTORE").await.unwrap())[0];
    assert_eq!(row["State"], "FINISHED");
}

#[tokio::test]
async fn what_is_wrong_with_a_repository_is_said_once_in_a_session() {
    let world = World::new();
    let mut session = world.session();
    let location = world.path("location");
    let create = format!("CREATE REPOSITORY r WITH BROKER ON LOCATION \"{}\"", location.display());
    run(&mut session, &create).await.unwrap();
    // A label, and a name that is not the directory's.
    let root = location.join("__starrocks_repository_r");
    std::fs::create_dir(root.join("__ss_l")).unwrap();
    std::fs::remove_file(root.join("__repo_info")).unwrap();
    let mut session = world.session();
    let warned = run(&mut session, "SHOW SNAPSHOT ON r").await.unwrap().notes;
    assert!(warned.iter().any(|note| note.contains("repository r") && note.contains("__repo_info")), "{warned:?}");
    let again = run(&mut session, "SHOW SNAPSHOT ON r").await.unwrap().notes;
    assert!(!again.iter().any(|note| note.contains("__repo_info")), "{again:?}");
}

#[tokio::test]
async fn a_session_without_a_warehouse_says_how_to_name_one() {
    let world = World::new();
    drop(world.genuine("sr35/hub", "hub_repo").await);
    let (registry, jobs) = (world.registry(), Jobs::at(world.path("jobs")));
    let mut session = Session::new(Setup { registry, jobs, warehouse: None, cache: None, reading: None });
    let text =
        "RESTORE SNAPSHOT sr_member_backup FROM hub_repo PROPERTIES ('backup_timestamp' = '2024-08-15-09-05-07-003')";
    let (kind, error) = refused(&mut session, text).await;
    assert!(kind == ErrorKind::Usage && error.contains("SET warehouse"), "{error}");
    run(&mut session, &format!("SET warehouse = '{}'", world.path("set").display())).await.unwrap();
    run(&mut session, text).await.unwrap();
    assert!(world.path("set/sr_hub/sr_member").is_dir());
}
