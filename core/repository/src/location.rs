//! Where a repository is, as a user writes it.

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::storage::{LocalStorage, Storage};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a repository is, as a user writes it: a local path or `file://` URL in this release; the stores to come have their own schemes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(PathBuf);

impl Location {
    /// Checks the scheme; a scheme we do not serve is `Unsupported`, saying so. As in Hadoop, what follows `file:` is the path verbatim:
    /// `%20` in it is no blank.
    pub fn parse(text: &str) -> Result<Location> {
        let invalid = |reason: &str| {
            RepositoryError::new(ErrorKind::Invalid, "use location", format!("{text:?}"), reason)
                .advise("give a directory, such as /backup or file:///backup")
        };
        if text.is_empty() || text.contains('\0') {
            return Err(invalid("it is no path"));
        }
        let path = match text.split_once("://") {
            Some(("file", rest)) => {
                match rest.strip_prefix("localhost/").map_or(rest, |_| &rest["localhost".len()..]) {
                    path if path.starts_with('/') => path,
                    _ => return Err(invalid("a file URL has three slashes and an absolute path")),
                }
            }
            // Whatever stands behind another scheme may hold secrets, so it is not repeated.
            Some((scheme, _)) if is_scheme(scheme) => return Err(unsupported(scheme)),
            _ => match text.strip_prefix("file:") {
                Some(path) if path.starts_with('/') => path,
                _ => text,
            },
        };
        Ok(Location(PathBuf::from(path)))
    }

    /// As [`Location::parse`], with the properties of CREATE REPOSITORY, which tell a store who asks. A directory needs none: what is given
    /// for it is ignored, as StarRocks does with a broker's user name and password there.
    pub fn with_properties(text: &str, properties: &[(String, String)]) -> Result<Location> {
        let _ = properties;
        Location::parse(text)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The store rooted at the location.
    pub fn storage(&self) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(LocalStorage::open(self.absolute())?))
    }

    /// As [`Location::storage`], for writing: directories that are missing are made.
    pub fn make(&self) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(LocalStorage::create(self.absolute())?))
    }

    /// Without symbolic links where it exists: one directory has one name, in messages and in the index cache.
    fn absolute(&self) -> PathBuf {
        self.0.canonicalize().or_else(|_| std::path::absolute(&self.0)).unwrap_or_else(|_| self.0.clone())
    }
}

impl From<PathBuf> for Location {
    /// A directory whose name need not be UTF-8.
    fn from(path: PathBuf) -> Location {
        Location(path)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn unsupported(scheme: &str) -> RepositoryError {
    let what = match scheme.to_ascii_lowercase().as_str() {
        "hdfs" | "viewfs" => "HDFS is",
        "s3" | "s3a" | "s3n" | "oss" | "cosn" | "ks3" | "obs" | "tos" => "object stores of the S3 kind are",
        "gs" | "gcs" => "Google Cloud Storage is",
        "wasb" | "wasbs" | "abfs" | "abfss" | "adl" => "Azure storage is",
        _ => "this scheme is",
    };
    let reason = format!("{what} not supported in this release, only directories are");
    RepositoryError::new(ErrorKind::Unsupported, "use location", format!("{scheme}://…"), reason)
        .advise("copy the repository's directory to a local disk, or mount the store as a filesystem")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn paths_and_file_urls() {
        let cases = [
            ("/backup", "/backup"),
            ("backup", "backup"),
            ("file:///backup/a b", "/backup/a b"),
            ("file://localhost/backup", "/backup"),
            ("file:/backup", "/backup"),
            ("file:///a%20b", "/a%20b"),
            ("a:b", "a:b"),
            ("./1://x", "./1://x"),
        ];
        for (text, path) in cases {
            assert_eq!(Location::parse(text).unwrap().path(), Path::new(path), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_said_without_secrets() {
        for text in ["", "file://host/x", "file://", "a\0b"] {
            assert_eq!(Location::parse(text).unwrap_err().kind, ErrorKind::Invalid, "{text:?}");
        }
        for scheme in ["hdfs", "s3", "s3a", "oss", "gs", "wasb", "abfss", "webdav", "HDFS"] {
            let error = Location::parse(&format!("{scheme}://user:secret@host/path")).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(error.to_string().contains(scheme) && !error.to_string().contains("secret"), "{error}");
        }
    }
}
