//! `starsnap drop` on real servers: what a backup wrote goes, in every form that StarRocks gives its keys, and nothing else.

use crate::common::{World, files};
use crate::genuine;
use crate::remote::{create, sql, store, stores, upload, world};
use crate::test_stores::TestStore;
use starsnap_repository::Location;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const LABEL: &str = "orders_two_partitions";
const OTHERS: [&str; 4] = ["broken_upload", "sr_hub_full", "sr_member_backup", "sr_member_backup2"];

/// Every file of a store below `location`, with its size.
fn stored(location: &str, store: &TestStore) -> BTreeSet<(String, u64)> {
    let storage = Location::with_properties(location, &store.properties).unwrap().storage().unwrap();
    let listed = tokio::runtime::Runtime::new().unwrap().block_on(storage.list_recursive("")).unwrap();
    listed.into_iter().map(|entry| (entry.path, entry.size)).collect()
}

fn labels(world: &World, repository: &str) -> Vec<String> {
    let listing = world.run(["snapshots", repository, "--json"]).ok().json();
    let labels = listing["snapshots"].as_array().unwrap().iter().map(|one| one["label"].as_str().unwrap().to_owned());
    labels.collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Drops the label, and looks at what is left with `look`: everything that is stored.
fn drop_one<T: Ord + std::fmt::Debug>(world: &World, what: &str, look: impl Fn() -> BTreeSet<T>, path: fn(&T) -> &str) {
    let before = look();
    let of_label = |entry: &&T| path(entry).contains(&format!("/__ss_{LABEL}/"));
    let doomed = before.iter().filter(of_label).count();
    let report = world.run(["drop", "hub_repo", LABEL, "--dry-run", "--json"]).ok().json();
    assert_eq!((&report["files"], &report["removed"]), (&doomed.into(), &0.into()), "{what}: {report}");
    assert_eq!(look(), before, "{what}: a dry run removes nothing");
    world.run(["drop", "hub_repo", LABEL]).code(2).says("--yes");
    let report = world.run(["drop", "hub_repo", LABEL, "--yes", "--json"]).ok().json();
    assert_eq!((&report["removed"], &report["left"]), (&doomed.into(), &serde_json::json!([])), "{what}: {report}");
    let kept: BTreeSet<T> = before.into_iter().filter(|entry| !of_label(&entry)).collect();
    assert_eq!(look(), kept, "{what}");
    world.run(["drop", "hub_repo", LABEL, "--yes"]).code(10).says(LABEL);
    assert_eq!(labels(world, "hub_repo"), OTHERS, "{what}");
    for label in ["sr_hub_full", "sr_member_backup"] {
        world.run(["restore", "hub_repo", label, "--warehouse", text(&world.path("warehouse"))]).ok();
    }
}

#[test]
fn a_snapshot_goes_and_the_others_stay_on_every_server() {
    for store in stores().into_iter().filter(|store| store.name == "hdfs-ha" || !store.name.contains('-')) {
        let (world, location) = (world(&store), store.fresh());
        upload(&genuine::one("sr35/hub").location(), &location, &store);
        sql(&world, &create("REPOSITORY", "hub_repo", &location, &store.properties), &[]).ok();
        drop_one(&world, &store.name, || stored(&location, &store), |(path, _)| path);
        sql(&world, "DROP REPOSITORY hub_repo;", &[]).ok();
        sql(&world, &create("READ ONLY REPOSITORY", "hub_repo", &location, &store.properties), &[]).ok();
        world.run(["drop", "hub_repo", "sr_hub_full", "--yes"]).code(2).says("READ ONLY");
    }
}

/// A bucket, to which keys of any form are written.
struct Bucket<'a> {
    name: String,
    store: &'a TestStore,
}

/// `put BUCKET` with a line `KEY TAB FILE` for each, `list BUCKET`, `make BUCKET`.
const SCRIPT: &str = r"
import sys, re, urllib.parse, aws
host, access, secret, what, bucket = sys.argv[1:]
def ask(method, key='', query='', body=b''):
    path = f'/{bucket}/' + urllib.parse.quote(key, safe='/-_.~') if key else f'/{bucket}'
    status, answer = aws.request(host, [access, secret], method, path, query, body)
    if status != 200:
        raise SystemExit(f'{method} {path} was answered {status}: {answer.decode()}')
    return answer.decode()
if what == 'make':
    ask('PUT')
elif what == 'put':
    for line in sys.stdin:
        key, file = line.rstrip('\n').split('\t')
        ask('PUT', key, body=open(file, 'rb').read())
else:
    answer = ask('GET', query='list-type=2')
    assert '<IsTruncated>false' in answer
    print('\n'.join(re.findall('<Key>(.*?)</Key>', answer)))
";

impl Bucket<'_> {
    /// A new one.
    fn make<'a>(name: &str, store: &'a TestStore) -> Bucket<'a> {
        let fresh = store.fresh();
        let bucket = Bucket { name: format!("{name}-{}", fresh.rsplit('/').next().unwrap()), store };
        bucket.ask("make", "");
        bucket
    }

    fn ask(&self, what: &str, lines: &str) -> String {
        let endpoint = self.store.get("aws.s3.endpoint").strip_prefix("http://").unwrap();
        let keys = [self.store.get("aws.s3.access_key"), self.store.get("aws.s3.secret_key")];
        let mut command = Command::new("python3");
        command.args(["-B", "-c", SCRIPT, endpoint]).args(keys).args([what, &self.name]);
        command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{what}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self) -> BTreeSet<String> {
        self.ask("list", "").lines().map(str::to_owned).collect()
    }
}

/// As StarRocks writes it where the location ends in a slash: its BE puts one more before what it writes.
#[test]
fn keys_with_two_slashes_go_too() {
    let Some(store) = store("s3") else { return };
    let genuine = genuine::one("sr35/hub").location();
    for (above, path) in [("backup/hub/", "backup/hub/"), ("", "")] {
        let bucket = Bucket::make("slashes", &store);
        let lines = files(&genuine).into_iter().filter(|file| !file.contains("/__ss_sr_hub_full/")).map(|file| {
            let doubled = if file.contains("/__ss_content/") { "/" } else { "" };
            format!("{above}{doubled}{file}\t{}\n", genuine.join(&file).display())
        });
        // That one as a client of ours writes it, so that both forms stand side by side.
        let whole = files(&genuine).into_iter().filter(|file| file.contains("/__ss_sr_hub_full/"));
        let whole = whole.map(|file| format!("{above}{file}\t{}\n", genuine.join(&file).display()));
        bucket.ask("put", &lines.chain(whole).collect::<String>());
        let doubled = |key: &String| key.contains("//") || key.starts_with('/');
        assert!(bucket.keys().iter().any(|key| doubled(key) && key.contains(LABEL)));
        let world = world(&store);
        let location = format!("s3a://{}/{path}", bucket.name);
        sql(&world, &create("REPOSITORY", "hub_repo", &location, &store.properties), &[]).ok();
        drop_one(&world, &location, || bucket.keys(), |key| key);
    }
}
