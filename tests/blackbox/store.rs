//! A store that speaks S3, in the test's own process; the binary connects to it.

#[path = "../../core/repository/tests/support/s3_server.rs"]
mod s3_server;

pub use s3_server::{ACCESS, Fault, Moved, SECRET, Server};

use crate::common::{World, files};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

/// A running server.
pub struct Store {
    pub server: Arc<Server>,
    /// Serves until dropped.
    _runtime: tokio::runtime::Runtime,
}

impl Store {
    pub fn new() -> Store {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = {
            let _inside = runtime.enter();
            Server::start()
        };
        Store { server, _runtime: runtime }
    }

    /// With everything below `dir` as objects below `prefix`.
    pub fn holding(dir: &Path, prefix: &str) -> Store {
        let store = Store::new();
        for path in files(dir) {
            store.server.put(&format!("{prefix}/{path}"), &fs::read(dir.join(&path)).unwrap());
        }
        store
    }

    /// A file of mode 600 with all properties, keys too; `more` counts more than the usual ones.
    pub fn properties_file(&self, world: &World, name: &str, more: &[(&str, &str)]) -> String {
        let mut text = "# of the test's store\n".to_owned();
        for (name, value) in self.server.properties() {
            if !more.iter().any(|(other, _)| *other == name) {
                text += &format!("{name} = {value}\n");
            }
        }
        for (name, value) in more {
            text += &format!("{name} = {value}\n");
        }
        let path = world.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `--property` for everything but the keys.
    pub fn bare_arguments(&self) -> Vec<String> {
        let properties = self.server.bare_properties().into_iter();
        properties.flat_map(|(name, value)| ["--property".to_owned(), format!("{name}={value}")]).collect()
    }
}
