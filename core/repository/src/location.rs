//! Where a repository is, as a user writes it.

mod foreign;
mod hdfs;
mod properties;
mod s3;

pub(crate) use hdfs::{AUTHENTICATION, HdfsLocation, Keytab};
#[cfg(test)]
pub(crate) use properties::Secret;
pub(crate) use s3::{Asked, HOLLOW, Patience, Role, S3Location};

use crate::error::{ErrorKind, RepositoryError, Result};
use crate::storage::doubled::Doubled;
use crate::storage::{HdfsStorage, LocalStorage, Storage, s3 as s3_storage};
use properties::Properties;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a repository is, as a user writes it: a local path, a `file://` URL, `s3a://BUCKET/PATH` (`oss://`, `cosn://`, `obs://`) or
/// `hdfs://HOST:PORT/PATH` with properties.
/// Secrets in the properties are never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Directory(PathBuf),
    S3(Box<S3Location>),
    Hdfs(Box<HdfsLocation>),
}

impl Location {
    /// As [`Location::with_properties`], without properties.
    pub fn parse(text: &str) -> Result<Location> {
        Location::with_properties(text, &[])
    }

    /// Checks the scheme and the properties, given as CREATE REPOSITORY has them. A scheme we do not serve is `Unsupported`, saying so; a
    /// property that does not exist, or a value that cannot be meant, is `Invalid`. As in Hadoop, what follows `file:` is the path
    /// verbatim: `%20` in it is no blank. A directory needs no properties: what is given for it is ignored, as StarRocks does with a
    /// broker's user name and password there.
    pub fn with_properties(text: &str, properties: &[(String, String)]) -> Result<Location> {
        let invalid = |reason: &str| {
            RepositoryError::new(ErrorKind::Invalid, "use location", format!("{text:?}"), reason).advise(
                "give a directory, such as /backup or file:///backup, s3a://BUCKET/PATH or hdfs://HOST:PORT/PATH",
            )
        };
        if text.is_empty() || text.contains('\0') {
            return Err(invalid("it is no path"));
        }
        let path = match text.split_once("://") {
            Some((scheme, rest)) if s3::is_served(scheme) => {
                let location = S3Location::parse(&scheme.to_ascii_lowercase(), rest, &Properties::read(properties)?)?;
                return Ok(Location(Place::S3(Box::new(location))));
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("hdfs") => {
                return Ok(Location(Place::Hdfs(Box::new(HdfsLocation::parse(rest, properties)?))));
            }
            Some(("file", rest)) => {
                match rest.strip_prefix("localhost/").map_or(rest, |_| &rest["localhost".len()..]) {
                    path if path.starts_with('/') => path,
                    _ => return Err(invalid("a file URL has three slashes and an absolute path")),
                }
            }
            // Whatever stands behind another scheme may hold secrets, so it is not repeated.
            Some((scheme, _)) if is_scheme(scheme) => return Err(unsupported(scheme)),
            _ if is_url_without_slashes(text) => {
                let scheme = text.split(':').next().unwrap_or_default();
                let reason = "two slashes are missing behind the scheme";
                return Err(RepositoryError::new(ErrorKind::Invalid, "use location", format!("{scheme}:…"), reason)
                    .advise("write s3a://BUCKET/PATH or hdfs://HOST:PORT/PATH; a directory of that name is ./NAME"));
            }
            _ => match text.strip_prefix("file:") {
                Some(path) if path.starts_with('/') => path,
                _ => text,
            },
        };
        Ok(Location(Place::Directory(PathBuf::from(path))))
    }

    /// The names of properties that were given with it and mean nothing here: they tune Hadoop's connector. The user is to be told.
    pub fn passed_over(&self) -> &[String] {
        match &self.0 {
            Place::S3(location) => &location.passed_over,
            Place::Directory(_) | Place::Hdfs(_) => &[],
        }
    }

    /// The directory, where it is one on local disk.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Directory(path) => Some(path),
            Place::S3(_) | Place::Hdfs(_) => None,
        }
    }

    /// The store rooted at the location. One that is not local is not asked anything yet.
    pub fn storage(&self) -> Result<Arc<dyn Storage>> {
        match &self.0 {
            Place::Directory(path) => Ok(Arc::new(LocalStorage::open(absolute(path))?)),
            Place::S3(location) => Ok(Arc::new(s3_storage::open(location)?)),
            Place::Hdfs(location) => Ok(Arc::new(HdfsStorage::open(location, false)?)),
        }
    }

    /// As [`Location::storage`], with keys of both forms where some have two slashes; the store is asked whether there are.
    pub(crate) async fn whole_storage(&self) -> Result<Arc<dyn Storage>> {
        let plain = self.storage()?;
        let Place::S3(location) = &self.0 else { return Ok(plain) };
        let other: Arc<dyn Storage> = Arc::new(s3_storage::open(&location.hollow())?);
        match other.list("").await {
            Ok(found) if !found.is_empty() => Ok(Arc::new(Doubled::new(plain, other))),
            // Who cannot be reached now may have such keys; who refuses to name them has none.
            Err(error) if error.kind == ErrorKind::Unavailable => Err(error),
            _ => Ok(plain),
        }
    }

    /// As [`Location::storage`], for writing: directories that are missing are made; in HDFS when they are first looked at. A bucket must be there.
    pub fn make(&self) -> Result<Arc<dyn Storage>> {
        match &self.0 {
            Place::Directory(path) => Ok(Arc::new(LocalStorage::create(absolute(path))?)),
            Place::S3(_) => self.storage(),
            Place::Hdfs(location) => Ok(Arc::new(HdfsStorage::open(location, true)?)),
        }
    }
}

/// Without symbolic links where it exists: one directory has one name, in messages and in the index cache.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

impl From<PathBuf> for Location {
    /// A directory whose name need not be UTF-8.
    fn from(path: PathBuf) -> Location {
        Location(Place::Directory(path))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Directory(path) => path.display().fmt(f),
            Place::S3(location) => f.write_str(&location.url()),
            Place::Hdfs(location) => f.write_str(&location.url()),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// A path may have a colon, but hardly one behind such a word.
fn is_url_without_slashes(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    s3::is_served(scheme) || ["hdfs", "gs"].iter().any(|other| scheme.eq_ignore_ascii_case(other))
}

fn unsupported(scheme: &str) -> RepositoryError {
    let (reason, advice) = match scheme.to_ascii_lowercase().as_str() {
        "gs" | "gcs" => (
            "Google Cloud Storage is reached by its S3 interoperability",
            "write s3a:// instead of gs://, with `fs.s3a.endpoint` = storage.googleapis.com and an HMAC key as `fs.s3a.access.key` and `fs.s3a.secret.key`",
        ),
        "cos" => ("this scheme is not supported", "write cosn://BUCKET/PATH, as StarRocks' manual does"),
        "tos" | "ks3" => (
            "this scheme is not supported in this release",
            "where the store has an S3 endpoint, write s3a:// with `aws.s3.endpoint`",
        ),
        "viewfs" | "webhdfs" | "swebhdfs" | "hftp" | "har" | "ofs" | "o3fs" => (
            "of Hadoop's filesystems only HDFS itself is supported",
            "write hdfs://HOST:PORT/PATH or hdfs://NAMESERVICE/PATH, where it leads to an HDFS cluster",
        ),
        "wasb" | "wasbs" | "abfs" | "abfss" | "adl" => ("Azure storage is not supported in this release", COPY),
        _ => ("this scheme is not supported in this release", "give a directory, file://, s3a:// or hdfs://"),
    };
    RepositoryError::new(ErrorKind::Unsupported, "use location", format!("{scheme}://…"), reason).advise(advice)
}

const COPY: &str = "copy the repository's directory to a local disk or an S3 store, or mount the store as a filesystem";

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
            assert_eq!(Location::parse(text).unwrap().path(), Some(Path::new(path)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_said_without_secrets() {
        for text in ["", "file://host/x", "file://", "a\0b", "hdfs://", "HDFS://user@host/x", "hdfs:/x"] {
            assert_eq!(Location::parse(text).unwrap_err().kind, ErrorKind::Invalid, "{text:?}");
        }
        let slip = Location::parse("s3a:/key:hidden@bucket").unwrap_err();
        assert!(slip.to_string().contains("two slashes") && !slip.to_string().contains("hidden"), "{slip}");
        for scheme in ["viewfs", "webhdfs", "tos", "gs", "wasb", "abfss", "webdav"] {
            let error = Location::parse(&format!("{scheme}://user:secret@host/path")).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unsupported);
            assert!(error.to_string().contains(scheme) && !error.to_string().contains("secret@"), "{error}");
        }
    }
}
