//! Repositories by name: the CREATE REPOSITORY statements of this user, kept in a file of mode 0600, as they hold secrets.
//!
//! Nothing here shows a secret: `Debug` prints the names of properties alone, errors about the file say where it is wrong and never what
//! stands there, and what stores say is cleaned of every secret of the repository before it goes on.

mod secrets;

pub(crate) use secrets::Secrets;

use crate::commit::{sync_dir, write_durably};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::statement::Properties;
use crate::warehouse;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use starsnap_catalog::ddl::{MASK, is_secret_property as is_secret, mask_url};
use starsnap_repository::{Location, Repository};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
/// Far more than thousands of statements need.
const LIMIT: u64 = 16 << 20;
const FILE: &str = "repositories.json";

/// A repository as CREATE REPOSITORY stated it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// As SHOW REPOSITORIES numbers them.
    pub id: u64,
    /// As `__repo_info` states it.
    pub name: String,
    pub read_only: bool,
    /// Empty without one.
    pub broker: String,
    /// Verbatim; a relative path made absolute.
    pub location: String,
    /// In order; secrets in clear text.
    properties: Vec<(String, String)>,
    /// Of the repository, from its `__repo_info`.
    pub create_time: String,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("read_only", &self.read_only)
            .field("location", &self.shown_location())
            .field("properties", &Properties(self.properties.clone()))
            .finish_non_exhaustive()
    }
}

impl Registered {
    /// What a statement says, before anything is connected to. `Usage` for a name that StarRocks would refuse.
    pub fn new(
        name: &str,
        read_only: bool,
        broker: Option<&str>,
        location: &str,
        properties: &Properties,
    ) -> Result<Registered> {
        if !is_name(name) {
            let reason = "it is no repository's name: letters, digits and _ make one, it begins with a letter (or _ and then no second _), and has at most 64 characters";
            return Err(RestoreError::new(ErrorKind::Usage, "create repository", format!("{name:?}"), reason));
        }
        // A registered name means the same from every directory.
        let directory = Location::parse(location).ok().and_then(|parsed| parsed.path().map(Path::to_owned));
        let absolute = directory.filter(|path| path.is_relative()).and_then(|path| std::path::absolute(path).ok());
        let absolute = absolute.and_then(|path| path.into_os_string().into_string().ok());
        Ok(Registered {
            id: 0,
            name: name.to_owned(),
            read_only,
            broker: broker.unwrap_or_default().to_owned(),
            location: absolute.unwrap_or_else(|| location.to_owned()),
            properties: properties.0.clone(),
            create_time: String::new(),
        })
    }

    /// The location without credentials that may stand in it.
    pub fn shown_location(&self) -> String {
        mask_url(&self.location)
    }

    /// The properties with secrets masked.
    pub fn shown_properties(&self) -> Vec<(String, String)> {
        let shown = |key: &str, value: &str| if is_secret(key) { MASK.to_owned() } else { mask_url(value) };
        self.properties.iter().map(|(key, value)| (key.clone(), shown(key, value))).collect()
    }

    /// Where it is, with the right to go there.
    pub fn to_location(&self) -> Result<Location> {
        Location::with_properties(&self.location, &self.properties).map_err(|error| self.clean(error.into()))
    }

    /// Connects, and opens the repository.
    pub async fn open(&self) -> Result<Repository> {
        let opened = Repository::open(&self.to_location()?, Some(&self.name)).await;
        opened.map_err(|error| self.clean(error.into()))
    }

    /// `error` without any secret of this repository, whoever put one there.
    pub fn clean(&self, error: RestoreError) -> RestoreError {
        Secrets::of(&self.location, &self.properties).clean(error)
    }
}

/// True for what StarRocks takes as a repository's name: `^[a-zA-Z]\w{0,63}$|^_[a-zA-Z0-9]\w{0,62}$`.
pub fn is_name(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.len() <= 64
        && match text.as_bytes() {
            [b'_', second, rest @ ..] => second.is_ascii_alphanumeric() && rest.iter().all(word),
            [first, rest @ ..] => first.is_ascii_alphabetic() && rest.iter().all(word),
            [] => false,
        }
}

/// The file of registered repositories.
#[derive(Debug, Clone)]
pub struct Registry {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    format: u32,
    next_id: u64,
    repositories: Vec<Registered>,
}

impl Registry {
    /// The registry in the file `path`, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Registry {
        Registry { path: path.into() }
    }

    /// `$XDG_CONFIG_HOME/starsnap/repositories.json`, else in `~/.config`, else, for a root without a home (as systemd starts mounts), in
    /// /etc. `Usage` when none of them is known.
    pub fn of_user() -> Result<Registry> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let dir = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))
            .or_else(|| rustix::process::geteuid().is_root().then(|| PathBuf::from("/etc")))
            .ok_or_else(|| {
                let reason = "neither XDG_CONFIG_HOME nor HOME is set";
                RestoreError::new(ErrorKind::Usage, "find", "the registered repositories", reason)
                    .advise("name their file with --config FILE")
            })?;
        Ok(Registry::at(dir.join("starsnap").join(FILE)))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All repositories, by name. A file that is not there holds none; one that others may read is refused.
    pub fn all(&self) -> Result<Vec<Registered>> {
        Ok(self.load()?.repositories)
    }

    /// The repository called `name`.
    pub fn get(&self, name: &str) -> Result<Option<Registered>> {
        Ok(self.load()?.repositories.into_iter().find(|one| one.name == name))
    }

    /// What a user means where a repository is asked for: text with `/` or `.` is a path or URL and none of ours; else a registered name
    /// counts, and without one it is a path again.
    pub fn resolve(&self, text: &str) -> Result<Option<Registered>> {
        if text.contains(['/', '.']) || !is_name(text) { Ok(None) } else { self.get(text) }
    }

    /// Adds a repository and gives it its number. One of that name: `Exists`.
    pub fn add(&self, mut new: Registered) -> Result<Registered> {
        let _lock = self.lock()?;
        let mut stored = self.load()?;
        if stored.repositories.iter().any(|one| one.name == new.name) {
            let reason = "a repository of that name is registered already";
            return Err(RestoreError::new(ErrorKind::Exists, "create repository", &new.name, reason)
                .advise("SHOW REPOSITORIES lists all; DROP REPOSITORY forgets one and keeps its content"));
        }
        stored.next_id = stored.next_id.max(stored.repositories.iter().map(|one| one.id).max().unwrap_or(0)) + 1;
        new.id = stored.next_id;
        stored.repositories.push(new.clone());
        stored.repositories.sort_by(|a, b| a.name.cmp(&b.name));
        self.store(stored)?;
        Ok(new)
    }

    /// Forgets a repository; its content stays where it is.
    pub fn remove(&self, name: &str) -> Result<Registered> {
        let _lock = self.lock()?;
        let mut stored = self.load()?;
        let at = stored.repositories.iter().position(|one| one.name == name);
        let removed = stored.repositories.remove(at.ok_or_else(|| not_registered("drop repository", name))?);
        self.store(stored)?;
        Ok(removed)
    }

    fn load(&self) -> Result<Stored> {
        let metadata = match self.path.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Stored::default()),
            Err(error) => return Err(RestoreError::io("read", &self.path, error)),
            Ok(metadata) => metadata,
        };
        let shown = self.path.display().to_string();
        let refused = |reason: String| RestoreError::new(ErrorKind::Usage, "read", &shown, reason);
        if !metadata.is_file() {
            return Err(refused("it is no file".into()).advise("name another file with --config FILE"));
        }
        if metadata.mode() & 0o077 != 0 {
            let reason =
                format!("its mode is {:03o}: others may use it, and it holds secrets", metadata.mode() & 0o777);
            return Err(refused(reason).advise(format!("chmod 600 {shown}")));
        }
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us && metadata.uid() != 0 && us != 0 {
            return Err(refused("it belongs to another user".into()).advise("name another file with --config FILE"));
        }
        let path = self.path.canonicalize().map_err(|error| RestoreError::io("read", &self.path, error))?;
        let bytes = warehouse::read_file(&path, LIMIT)?;
        let damaged = |reason: String| {
            RestoreError::new(ErrorKind::Damaged, "read", &shown, reason)
                .advise("put a sound copy in its place, or move it away and say CREATE REPOSITORY again: what it names is not changed by that")
        };
        // The parser's own message may quote what stands there, so only the place is told.
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| {
            damaged(format!("line {}, column {} is not what starsnap writes", error.line(), error.column()))
        })?;
        if stored.format != FORMAT {
            return Err(damaged(format!("its format is {}, this starsnap knows {FORMAT}", stored.format)));
        }
        Ok(stored)
    }

    fn store(&self, mut stored: Stored) -> Result<()> {
        stored.format = FORMAT;
        let failed = |error: std::io::Error| RestoreError::io("write", &self.path, error);
        let mut bytes = serde_json::to_vec_pretty(&stored).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        // A link to the file stays one.
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        write_durably(&path, &bytes, 0o600)?;
        path.parent().map_or(Ok(()), sync_dir).map_err(failed)
    }

    /// One writer at a time; readers see the old file or the new one.
    fn lock(&self) -> Result<File> {
        let failed = |error: std::io::Error| RestoreError::io("lock", &self.path, error);
        if let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        }
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(file)
    }
}

/// Nobody has registered `name`.
pub(crate) fn not_registered(action: &'static str, name: &str) -> RestoreError {
    RestoreError::new(ErrorKind::NotFound, action, name, "no repository of that name is registered")
        .advise("SHOW REPOSITORIES lists all, CREATE REPOSITORY registers one")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn secret(name: &str) -> Registered {
        let pairs = [("aws.s3.access_key", "AKIDSECRET"), ("aws.s3.secret_key", "s3cr3t-value"), ("username", "bob")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        Registered::new(name, false, None, "s3a://user:url-secret@bucket/backup", &Properties(pairs)).unwrap()
    }

    #[test]
    fn names_are_those_of_starrocks() {
        let long = |n: usize| "a".repeat(n);
        for good in ["a", "Test_repo1", "_1", "_a_", &long(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "_", "__a", "1a", "a-b", "a.b", "\u{e4}", "a b", &long(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        // A relative path is made absolute, a URL with a slip in it is no path.
        let stored = |location| Registered::new("a", false, None, location, &Properties::default()).unwrap().location;
        assert_eq!(stored("s3a:/bucket/x"), "s3a:/bucket/x");
        assert!(stored("dir").ends_with("/dir") && Path::new(&stored("dir")).is_absolute());
        let error = Registered::new("a/b", false, None, "/x", &Properties::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage);
    }

    #[test]
    fn what_is_added_is_found_in_a_file_of_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::at(dir.path().join("new/repositories.json"));
        assert_eq!(registry.all().unwrap(), []);
        let (b, a) = (registry.add(secret("b")).unwrap(), registry.add(secret("a")).unwrap());
        assert_eq!((b.id, a.id), (1, 2));
        assert_eq!(registry.all().unwrap(), [a.clone(), b]);
        assert_eq!(registry.add(secret("a")).unwrap_err().kind, ErrorKind::Exists);
        assert_eq!(registry.path().metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(registry.path().parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(registry.resolve("a").unwrap(), Some(a));
        for path in ["./a", "/a", "a.b", "c", "file:///a"] {
            assert_eq!(registry.resolve(path).unwrap(), None, "{path}");
        }
        assert_eq!(registry.remove("a").unwrap().name, "a");
        assert_eq!(registry.remove("a").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(registry.add(secret("a")).unwrap().id, 3, "a number is never given twice");
    }

    #[test]
    fn writers_wait_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::at(dir.path().join("r.json"));
        std::thread::scope(|scope| {
            for n in 0..16 {
                let registry = &registry;
                scope.spawn(move || registry.add(secret(&format!("r{n}"))).unwrap());
            }
        });
        let mut ids: Vec<u64> = registry.all().unwrap().iter().map(|one| one.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=16).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::at(dir.path().join("r.json"));
        registry.add(secret("a")).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610, 0o666] {
            std::fs::set_permissions(registry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let error = registry.all().unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
            assert!(registry.add(secret("b")).is_err());
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let one = secret("a");
        let error = RestoreError::new(ErrorKind::Io, "open", "AKIDSECRET", "s3cr3t-value for user:url-secret");
        let shown = format!("{one:?} {:?} {} {:?}", one.shown_properties(), one.shown_location(), one.clean(error));
        for secret in ["AKIDSECRET", "s3cr3t-value", "url-secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("bob"));
    }

    #[test]
    fn damage_is_told_without_quoting_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        for text in ["", "{", r#"{"format":1,"next_id":"s3cr3t","repositories":[]}"#, r#"{"s3cr3t":1}"#, "[\"s3cr3t\"]"]
        {
            write_durably(&path, text.as_bytes(), 0o600).unwrap();
            let error = format!("{:?}", Registry::at(&path).all().unwrap_err());
            assert!(!error.contains("s3cr3t") && error.contains("r.json"), "{error}");
        }
    }
}
