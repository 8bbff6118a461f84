//! Worlds whose repositories are on real servers: a fresh place in a store, what is put there, and the statement that makes it known.

use crate::common::{Ran, World, files};
use crate::test_stores::{TestStore, not_run};
use starsnap_repository::Location;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

/// Variables of the surroundings from which credentials would come.
const SURROUNDINGS: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ENDPOINT_URL_S3",
];

/// The stores of servers, ready for this process too.
pub fn stores() -> Vec<TestStore> {
    let stores = TestStore::all();
    TestStore::set_environment(&stores);
    stores
}

/// The store called `name`; none, which is said, where its server is not there.
pub fn store(name: &str) -> Option<TestStore> {
    let stores = stores();
    let found = stores.iter().find(|store| store.name == name).cloned();
    if found.is_none() && !stores.is_empty() {
        not_run(&format!("a test on the store {name}: its server is not there"));
    }
    found
}

/// A world whose binary has the variables that the store needs.
pub fn world(store: &TestStore) -> World {
    let mut world = World::new();
    world.variables = store.environment.clone();
    world
}

/// Every file below `dir`, written to `location` as a backup would write it.
pub fn upload(dir: &Path, location: &str, store: &TestStore) {
    let storage = Location::with_properties(location, &store.properties).unwrap().make().unwrap();
    let gate = Arc::new(tokio::sync::Semaphore::new(16));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for path in files(dir) {
            let (storage, gate, bytes) = (Arc::clone(&storage), Arc::clone(&gate), fs::read(dir.join(&path)).unwrap());
            tasks.spawn(async move {
                let _permit = gate.acquire().await.unwrap();
                let mut writer = storage.writer(&path).await.unwrap();
                writer.write(bytes.into()).await.unwrap();
                writer.finish().await.unwrap_or_else(|error| panic!("{path}: {error}"));
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}

/// CREATE REPOSITORY as one would write it; `what` is `REPOSITORY` or `READ ONLY REPOSITORY`.
pub fn create(what: &str, name: &str, location: &str, properties: &[(String, String)]) -> String {
    let properties: Vec<String> = properties.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
    let properties = properties.join(",\n");
    format!("CREATE {what} {name}\nWITH BROKER\nON LOCATION \"{location}\"\nPROPERTIES(\n{properties}\n);")
}

/// `starsnap sql` with `text` on its standard input: secrets are no arguments. None of its secrets may be seen in what it says.
pub fn sql(world: &World, text: &str, more: &[&str]) -> Ran {
    let mut command = world.command();
    for name in SURROUNDINGS.iter().filter(|name| !world.variables.iter().any(|(given, _)| given == *name)) {
        command.env_remove(name);
    }
    command.arg("sql").args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ran = Ran::wait(child);
    for secret in secrets(text) {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "a secret is said: {ran:?}");
    }
    ran
}

/// The values in a statement whose keys say that they are secret.
fn secrets(statement: &str) -> impl Iterator<Item = &str> {
    statement.lines().filter_map(|line| {
        let (key, value) = line.trim().trim_end_matches(',').split_once(" = ")?;
        let secret = ["secret", "token", "external", "password"].iter().any(|word| key.contains(word));
        secret.then(|| value.trim_matches('"')).filter(|value| !value.is_empty())
    })
}

/// A genuine repository in a fresh place of the store, known in the world by its own name: that name, and the place.
pub fn registered(world: &World, genuine: &crate::genuine::Genuine, store: &TestStore) -> (String, String) {
    let location = store.fresh();
    upload(&genuine.location(), &location, store);
    let name = genuine.repository();
    sql(world, &create("READ ONLY REPOSITORY", &name, &location, &store.properties), &[]).ok();
    (name, location)
}
