//! The five CREATE REPOSITORY statements of StarRocks' manual, as they stand there but for addresses, keys and the role, against servers that
//! look at them; and every credential that is wrong, with a message that names the cause.

use crate::common::{Ran, World, assert_same_tree, tree};
use crate::genuine;
use crate::remote::{self, create, sql};
use crate::test_stores::{TestStore, not_run};
use std::io::Write as _;
use std::process::{Command, Stdio};

const KEYS: &str = r#"CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "s3a://bucket_s3/backup"
PROPERTIES(
"aws.s3.access_key" = "XXXXXXXXXXXXXXXXX",
"aws.s3.secret_key" = "yyyyyyyyyyyyyyyyyyyyyyyy",
"aws.s3.endpoint" = "s3.us-east-1.amazonaws.com"
);"#;

const INSTANCE: &str = r#"CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "s3a://bucket_s3/backup"
PROPERTIES(
"aws.s3.use_instance_profile" = "true",
"aws.s3.region" = "us-east-1"
);"#;

const ROLE: &str = r#"CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "s3a://bucket_s3/backup"
PROPERTIES(
"aws.s3.use_instance_profile" = "true",
"aws.s3.iam_role_arn" = "arn:aws:iam::xxxxxxxxxx:role/yyyyyyyy",
"aws.s3.region" = "us-east-1"
);"#;

const GCS: &str = r#"CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "s3a://bucket_gcs/backup"
PROPERTIES(
"fs.s3a.access.key" = "xxxxxxxxxxxxxxxxxxxx",
"fs.s3a.secret.key" = "yyyyyyyyyyyyyyyyyyyy",
"fs.s3a.endpoint" = "storage.googleapis.com"
);"#;

const HDFS: &str = r#"CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "hdfs://<hdfs_host>:<hdfs_port>/repo_dir/backup"
PROPERTIES(
"username" = "<hdfs_username>",
"password" = "<hdfs_password>"
);"#;

/// `statement` makes a repository; a backup of a table goes there and comes back, by the manual's statements. The location is a fixed one,
/// so the label is new each time.
fn through(world: &World, statement: &str) {
    let genuine = genuine::one("sr35/hub");
    let warehouse = world.path("warehouse");
    let args = ["sr_member_backup".as_ref(), "--warehouse".as_ref(), warehouse.as_os_str()];
    let source = genuine.location();
    world.run(["restore".as_ref(), source.as_os_str()].into_iter().chain(args)).ok();
    let warehouse_arg = ["--warehouse", warehouse.to_str().unwrap()];

    sql(world, statement, &[]).ok();
    let shown = sql(world, "SHOW REPOSITORIES;", &["--json"]).ok().json();
    assert_eq!(shown[0]["rows"][0]["RepoName"], "test_repo", "{shown}");
    let label = format!("sr_member_{:x}", std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    sql(world, &format!("BACKUP SNAPSHOT sr_hub.{label}\nTO test_repo\nON (sr_member);"), &warehouse_arg).ok();
    let where_ = format!("SHOW SNAPSHOT ON test_repo WHERE SNAPSHOT = \"{label}\";");
    let shown = sql(world, &where_, &["--json"]).ok().json();
    assert_eq!(shown[0]["rows"][0]["Status"], "OK", "{shown}");
    let timestamp = shown[0]["rows"][0]["Timestamp"].as_str().unwrap();
    let restore = format!(
        "RESTORE SNAPSHOT sr_hub.{label}\nFROM test_repo\nON (sr_member AS again)\nPROPERTIES (\n\"backup_timestamp\"=\"{timestamp}\",\n\"replication_num\" = \"1\"\n);"
    );
    sql(world, &restore, &warehouse_arg).ok();
    let stored = |name: &str| {
        let files = tree(&warehouse.join("sr_hub").join(name));
        files.into_iter().filter(|(path, _)| path.contains('/')).collect()
    };
    assert_same_tree(&stored("again"), &stored("sr_member"), "again");
    sql(world, "DROP REPOSITORY test_repo;", &[]).ok();
}

/// A world in which AWS is the test's server.
fn at_our_aws(store: &TestStore) -> World {
    let mut world = remote::world(store);
    world.variables.push(("AWS_ENDPOINT_URL_S3".to_owned(), store.get("aws.s3.endpoint").to_owned()));
    world
}

#[test]
fn the_manuals_statement_with_keys() {
    let Some(store) = remote::store("s3") else { return };
    let statement = KEYS
        .replace("XXXXXXXXXXXXXXXXX", store.get("aws.s3.access_key"))
        .replace("yyyyyyyyyyyyyyyyyyyyyyyy", store.get("aws.s3.secret_key"))
        .replace("s3.us-east-1.amazonaws.com", store.get("aws.s3.endpoint"));
    through(&remote::world(&store), &statement);
}

#[test]
fn the_manuals_statement_with_the_instances_profile() {
    let Some(store) = remote::store("s3-instance") else { return };
    through(&at_our_aws(&store), INSTANCE);
}

#[test]
fn the_manuals_statement_with_a_role_on_top_of_the_instances_profile() {
    let (Some(store), Some(role)) = (remote::store("s3-instance"), remote::store("s3-role")) else { return };
    let statement = ROLE.replace("arn:aws:iam::xxxxxxxxxx:role/yyyyyyyy", role.get("aws.s3.iam_role_arn"));
    through(&at_our_aws(&store), &statement);
}

#[test]
fn the_manuals_statement_for_google() {
    let Some(store) = remote::store("gcs") else { return };
    let statement = GCS
        .replace("xxxxxxxxxxxxxxxxxxxx", store.get("fs.s3a.access.key"))
        .replace("yyyyyyyyyyyyyyyyyyyy", store.get("fs.s3a.secret.key"))
        .replace("storage.googleapis.com", store.get("fs.s3a.endpoint"));
    through(&remote::world(&store), &statement);
}

#[test]
fn the_manuals_statement_for_hdfs() {
    let Some(store) = remote::store("hdfs") else { return };
    let user = store.properties.iter().find(|(name, _)| name == "username").map_or("root", |(_, value)| value);
    let statement = HDFS
        // The root directory is not this user's.
        .replace("hdfs://<hdfs_host>:<hdfs_port>", &store.location)
        .replace("<hdfs_username>", user)
        .replace("<hdfs_password>", "a password that simple authentication does not look at");
    through(&remote::world(&store), &statement);
}

/// CREATE REPOSITORY there fails with exit code 1, `cause` and `advice` in what it says.
#[track_caller]
fn refused(store: &TestStore, cause: &str, advice: &str) -> Ran {
    refused_as(store, "REPOSITORY", 1).says(cause).says(advice)
}

/// CREATE `what` there fails with this exit code.
#[track_caller]
fn refused_as(store: &TestStore, what: &str, code: i32) -> Ran {
    let mut store = store.clone();
    // What cannot be reached is tried twice, not six times.
    store.properties.push(("fs.s3a.attempts.maximum".to_owned(), "2".to_owned()));
    let world = remote::world(&store);
    let statement = create(what, "test_repo", &store.location, &store.properties);
    let ran = sql(&world, &statement, &[]).code(code);
    let shown = sql(&world, "SHOW REPOSITORIES;", &["--json"]).ok().json();
    assert_eq!(shown[0]["rows"].as_array().unwrap().len(), 0, "what cannot be reached is not kept: {shown}");
    ran
}

/// The S3 server's store and one with a trouble.
fn s3() -> Option<TestStore> {
    remote::store("s3")
}

fn special(name: &str) -> TestStore {
    TestStore::special(name).expect("the S3 server has such a store")
}

#[test]
fn wrong_keys() {
    let Some(s3) = s3() else { return };
    refused(
        &s3.clone().with(&[("aws.s3.secret_key", "no+key/of/anybody")]),
        "the secret key is wrong",
        "aws.s3.secret_key",
    );
    let unknown = s3.clone().with(&[("aws.s3.access_key", "AKIANOBODY")]);
    refused(&unknown, "the store does not know the access key", "aws.s3.access_key");
    let half = s3.with(&[("aws.s3.secret_key", "")]);
    refused_as(&half, "REPOSITORY", 2).says("an access key is given, but no secret key").says("aws.s3.secret_key");
    if let Some(gcs) = remote::store("gcs") {
        let wrong = gcs.clone().with(&[("fs.s3a.secret.key", "no+key/of/anybody")]);
        refused(&wrong, "the secret key is wrong", "secret");
        let unknown = gcs.with(&[("fs.s3a.access.key", "GOOGNOBODY")]);
        refused(&unknown, "the store does not know the access key", "check");
    }
}

#[test]
fn sessions_that_are_none() {
    if s3().is_none() {
        return;
    }
    let ended = special("s3-ended-session");
    refused(&ended, "it has ended", "get new session credentials");
    refused(&ended.clone().with(&[("aws.s3.session_token", "bm9uc2Vuc2U=")]), "session", "belong together");
    refused(
        &ended.with(&[("aws.s3.session_token", "")]),
        "the store does not know the access key",
        "aws.s3.access_key",
    );
}

#[test]
fn roles_that_cannot_be_assumed() {
    let Some(role) = remote::store("s3-role") else { return };
    let with = |name: &str, value: &str| role.clone().with(&[(name, value)]);
    let missing = with("aws.s3.iam_role_arn", "arn:aws:iam:::role/nobody");
    refused(&missing, "the role arn:aws:iam:::role/nobody cannot be assumed: NoSuchEntity", "check the role's name");
    for id in ["another", ""] {
        let ran = refused(&with("aws.s3.external_id", id), "cannot be assumed: AccessDenied", "aws.s3.external_id");
        assert!(ran.stderr.contains("sts:AssumeRole"), "{ran:?}");
    }
    refused(&with("aws.s3.secret_key", "no+key/of/anybody"), "the secret key is wrong", "aws.s3.secret_key");
    refused(&with("aws.s3.access_key", "AKIANOBODY"), "does not know the access key", "aws.s3.access_key");
    let silent = with("aws.s3.sts_endpoint", "http://127.0.0.1:1");
    refused(&silent, "the token service http://127.0.0.1:1 does not answer", "aws.s3.sts_endpoint");
}

#[test]
fn instances_that_give_no_credentials() {
    let Some(mut instance) = remote::store("s3-instance") else { return };
    refused(&special("s3-instance-none"), "no role is attached to this instance", "attach a role to it");
    let ran = {
        instance.environment = vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), "http://127.0.0.1:1".to_owned())];
        refused(
            &instance,
            "the metadata service http://127.0.0.1:1 cannot be reached",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        )
    };
    assert!(ran.stderr.contains("refused"), "{ran:?}");
    instance.environment = vec![("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned())];
    refused(&instance, "AWS_EC2_METADATA_DISABLED", "unset");
}

#[test]
fn places_that_are_not_there() {
    let Some(s3) = s3() else { return };
    let mut nowhere = s3.clone();
    nowhere.location = "s3a://no-such-bucket/backup".to_owned();
    for (what, code) in [("REPOSITORY", 10), ("READ ONLY REPOSITORY", 10)] {
        refused_as(&nowhere, what, code).says("there is no bucket `no-such-bucket`");
    }
    let closed = s3.clone().with(&[("aws.s3.endpoint", "http://127.0.0.1:1")]);
    refused(&closed, "http://127.0.0.1:1 cannot be reached", "aws.s3.endpoint");
    let unnamed = s3.with(&[("aws.s3.endpoint", "http://s3.starsnap.invalid")]);
    refused(&unnamed, "http://s3.starsnap.invalid cannot be reached", "aws.s3.endpoint");
}

#[test]
fn the_wrong_protocol() {
    let Some(s3) = s3() else { return };
    let secure = s3.get("aws.s3.endpoint").replace("http://", "https://");
    let said = "there is no secure connection to https://";
    refused(&s3.with(&[("aws.s3.endpoint", &secure)]), said, "aws.s3.enable_ssl");
    let Some(gcs) = remote::store("gcs") else { return };
    let plain = format!("http://{}", gcs.get("fs.s3a.endpoint"));
    refused(&gcs.clone().with(&[("fs.s3a.endpoint", &plain)]), &plain, "https");
    let mut stranger = gcs;
    stranger.environment = vec![("SSL_CERT_FILE".to_owned(), String::new())];
    refused(&stranger, "there is no secure connection to https://localhost", "SSL_CERT_FILE");
}

#[test]
fn a_clock_that_is_wrong() {
    let Some(s3) = s3() else { return };
    if Command::new("faketime").arg("--version").output().is_err() {
        not_run("a clock that is wrong: the program faketime (Debian: faketime) is missing");
        return;
    }
    let world = World::new();
    let mut command = world.environment(Command::new("faketime"));
    command.args(["--exclude-monotonic", "-f", "-1h", crate::common::binary(), "sql"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let statement = create("READ ONLY REPOSITORY", "test_repo", &s3.location, &s3.properties);
    child.stdin.take().unwrap().write_all(statement.as_bytes()).unwrap();
    let ran = Ran::wait(child).code(1);
    ran.says("the clocks of this machine and the store differ too much").says("set this machine's clock");
}
