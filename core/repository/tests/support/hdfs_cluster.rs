//! The clusters of `scripts/servers/hdfs`, for tests that break one or ask its superuser for something.
#![allow(dead_code)]

use crate::test_stores::TestStore;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cluster. The breakable one is held by one test at a time, and mended before and after it.
pub struct Cluster {
    kind: &'static str,
    /// What `scripts/servers/hdfs start` was given.
    dir: PathBuf,
    pub store: TestStore,
    held: Option<File>,
}

impl Cluster {
    /// The one that may be broken, as long as the value lives; none, which is said, where there is no HDFS server.
    pub fn breakable() -> Option<Cluster> {
        let dir = servers()?;
        let state = dir.join("hdfs/breakable");
        let lock = File::create(state.join("lock")).unwrap();
        lock.lock().unwrap();
        let text = std::fs::read_to_string(state.join("properties")).unwrap();
        let store = TestStore::parse("hdfs-breakable", &text);
        let cluster = Cluster { kind: "breakable", dir, store, held: Some(lock) };
        cluster.tell("mend");
        Some(cluster)
    }

    /// The one with Kerberos, which everybody shares.
    pub fn kerberos() -> Option<Cluster> {
        Cluster::shared("kerberos", "hdfs-kerberos")
    }

    /// The plain one, which everybody shares.
    pub fn simple() -> Option<Cluster> {
        Cluster::shared("simple", "hdfs")
    }

    fn shared(kind: &'static str, store: &str) -> Option<Cluster> {
        let dir = servers()?;
        let store = TestStore::all()
            .into_iter()
            .find(|given| given.name == store)
            .unwrap_or_else(|| panic!("{} has no {store}", dir.display()));
        Some(Cluster { kind, dir, store, held: None })
    }

    /// Gives a command, as `scripts/servers/hdfs` describes them; what it answers.
    #[track_caller]
    pub fn tell(&self, command: &str) -> String {
        self.told(command).unwrap_or_else(|error| panic!("{}: {command}: {error}", self.kind))
    }

    fn told(&self, command: &str) -> Result<String, String> {
        let mut script = Command::new(script());
        script.arg("tell").arg(&self.dir).arg(self.kind).args(command.split(' '));
        let output = script.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// All files below a directory of the cluster, as `LENGTH:PATH`.
    #[track_caller]
    pub fn files(&self, dir: &str) -> Vec<String> {
        let found = self.tell(&format!("find {dir}"));
        found.split(' ').filter(|entry| !entry.is_empty() && !entry.starts_with("d:")).map(str::to_owned).collect()
    }

    /// The path in the cluster of a location of the store.
    pub fn path_of(location: &str) -> String {
        let rest = location.strip_prefix("hdfs://").unwrap();
        rest[rest.find('/').unwrap()..].to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.held.is_some()
            && let Err(error) = self.told("mend")
        {
            let _ = writeln!(std::io::stderr(), "the breakable cluster does not mend: {error}");
        }
    }
}

/// Where the servers' state is, if HDFS is among them. That it is not although there are servers is said too: `scripts/test` says why.
fn servers() -> Option<PathBuf> {
    if TestStore::all().is_empty() {
        return None;
    }
    let stores = PathBuf::from(std::env::var_os("STARSNAP_TEST_STORES")?);
    let dir = stores.parent().unwrap().to_owned();
    if !dir.join("hdfs").is_dir() {
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: tests on HDFS: scripts/servers/hdfs did not start in {}",
            dir.display()
        );
        return None;
    }
    Some(dir)
}

fn script() -> PathBuf {
    let script = |dir: &Path| Some(dir.join("scripts/servers/hdfs")).filter(|script| script.exists());
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find_map(script).unwrap()
}
