//! Stores on real servers, for tests: one file per store in the directory that `STARSNAP_TEST_STORES` names, as `scripts/servers/*` write
//! them. Its lines are `key = value`: `location` is an empty place for tests, `env.NAME` a variable that the process needs, and every other
//! key a property of CREATE REPOSITORY.
#![allow(dead_code)]

use std::io::Write as _;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// Says so where it is seen: what a passing test prints is not.
pub fn not_run(why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT RUN: {why}");
}

/// A store on a real server.
#[derive(Debug, Clone)]
pub struct TestStore {
    /// The file's name without its ending, such as `s3-role`.
    pub name: String,
    pub location: String,
    pub properties: Vec<(String, String)>,
    /// Variables that the process must have.
    pub environment: Vec<(String, String)>,
}

impl TestStore {
    /// All of them, by name; none, which is said, where the variable is not set. Where it is, there must be one at least.
    pub fn all() -> Vec<TestStore> {
        let Some(dir) = std::env::var_os("STARSNAP_TEST_STORES") else {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                not_run(
                    "tests on real servers: STARSNAP_TEST_STORES is not set; scripts/test starts servers and sets it",
                );
            });
            return Vec::new();
        };
        let mut paths: Vec<_> = std::fs::read_dir(&dir)
            .unwrap_or_else(|error| panic!("STARSNAP_TEST_STORES={dir:?}: {error}"))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "properties"))
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "STARSNAP_TEST_STORES={dir:?}: no store is there");
        paths
            .iter()
            .map(|path| {
                let name = path.file_stem().unwrap().to_str().unwrap();
                TestStore::parse(name, &std::fs::read_to_string(path).unwrap())
            })
            .collect()
    }

    /// One in the directory `special`, whose credentials have the trouble that its name says.
    pub fn special(name: &str) -> Option<TestStore> {
        let dir = std::env::var_os("STARSNAP_TEST_STORES")?;
        let text =
            std::fs::read_to_string(std::path::Path::new(&dir).join(format!("special/{name}.properties"))).ok()?;
        Some(TestStore::parse(name, &text))
    }

    /// The same with other properties; an empty value takes one away.
    pub fn with(mut self, changes: &[(&str, &str)]) -> TestStore {
        for (name, value) in changes {
            self.properties.retain(|(given, _)| given != name);
            if !value.is_empty() {
                self.properties.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        self
    }

    /// A property's value.
    pub fn get(&self, name: &str) -> &str {
        let found = self.properties.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{} has no {name}", self.name))
    }

    /// From the text of its file.
    pub fn parse(name: &str, text: &str) -> TestStore {
        let mut store =
            TestStore { name: name.to_owned(), location: String::new(), properties: vec![], environment: vec![] };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: a line without `=`"));
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            match key.strip_prefix("env.") {
                Some(variable) => store.environment.push((variable.to_owned(), value)),
                None if key == "location" => store.location = value,
                None => store.properties.push((key, value)),
            }
        }
        assert!(!store.location.is_empty(), "{name}: no `location`");
        store
    }

    /// A location below it that nobody else uses.
    pub fn fresh(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let now = UNIX_EPOCH.elapsed().unwrap().as_nanos();
        format!("{}/{now:x}-{}-{next}", self.location.trim_end_matches('/'), std::process::id())
    }

    /// Gives this process the variables of all stores. Call it before a store is opened.
    pub fn set_environment(stores: &[TestStore]) {
        static SET: Once = Once::new();
        SET.call_once(|| {
            for (name, value) in stores.iter().flat_map(|store| &store.environment) {
                let mut given = stores.iter().flat_map(|store| &store.environment).filter(|(given, _)| given == name);
                assert!(given.all(|(_, other)| other == value), "two stores need {name} with different values");
                // SAFETY: whoever reads variables through std takes std's lock; C code that does so runs only once a store is opened.
                unsafe { std::env::set_var(name, value) };
            }
        });
    }
}
