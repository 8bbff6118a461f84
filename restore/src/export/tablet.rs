//! One tablet of an export: its files, its metadata, its rows.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::source::{Source, SourceFile, Stamp};
use crate::warehouse::read_file;
use starsnap_repository::md5;
use starsnap_repository::reading::Access;
use starsnap_tablet::{ReadAt, Tablet, TabletError, TabletMeta, TabletSchema, UniqueIds};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Largest header that is read. That of a tablet with millions of deleted rows has a few hundred megabytes.
const HEADER_LIMIT: u64 = 2 << 30;

/// A tablet to export.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Below the table directory; the name of its output file without the extension.
    pub(super) path: String,
    pub(super) files: Files,
}

/// Where a tablet's files are.
#[derive(Debug, Clone)]
pub(super) enum Files {
    Source {
        source: Source,
        files: Arc<HashMap<String, SourceFile>>,
    },
    /// A directory, of which only what the metadata names is read.
    Directory(PathBuf),
}

impl Unit {
    /// What tells this content from any other: names, sizes, md5s or stamps. For `many_hosts`, each of which may have a copy of its own,
    /// it is the same in all of them.
    pub(super) fn identity(&self, many_hosts: bool) -> Result<String> {
        let stamp = |stamp: Stamp| if many_hosts { stamp.of_any_copy() } else { stamp };
        let mut files = match &self.files {
            Files::Source { files, .. } => {
                let line = |file: &SourceFile| {
                    format!("{} {} {:?} {:?}", file.name, file.size, file.md5, file.stamp.map(stamp))
                };
                files.values().map(line).collect::<Vec<_>>()
            }
            Files::Directory(dir) => list(dir, stamp)?,
        };
        files.sort();
        Ok(format!("{} {}", self.path, files.join("\n")))
    }

    /// Reads the metadata.
    pub(super) fn meta(&self, runtime: &Handle) -> Result<TabletMeta> {
        let failed = |error: TabletError| tablet_error(&self.path, error);
        TabletMeta::of_files(&self.names()?, |name| self.read(name, runtime), failed)
    }

    /// Drops what is kept of its files if it turned out damaged.
    pub(super) fn distrust(&self, error: &RestoreError, runtime: &Handle) {
        if let (ErrorKind::Damaged, Files::Source { source, files }) = (error.kind, &self.files) {
            runtime.block_on(async {
                for file in files.values() {
                    source.forget(file).await;
                }
            });
        }
    }

    /// The tablet, its rows presented with `schema`, the newest of its table.
    pub(super) fn open(&self, schema: &TabletSchema, ids: UniqueIds, runtime: &Handle) -> Result<Tablet> {
        let mut meta = self.meta(runtime)?;
        meta.present_with(schema, ids);
        let (files, runtime) = (self.files.clone(), runtime.clone());
        Ok(Tablet::new(meta, move |name: &str| files.open(name, &runtime)))
    }

    fn names(&self) -> Result<Vec<String>> {
        match &self.files {
            Files::Source { files, .. } => Ok(files.keys().cloned().collect()),
            Files::Directory(dir) => {
                let failed = |error| RestoreError::io("list", dir, error);
                let mut names = Vec::new();
                for entry in std::fs::read_dir(dir).map_err(failed)? {
                    names.extend(entry.map_err(failed)?.file_name().into_string());
                }
                Ok(names)
            }
        }
    }

    /// A whole metadata file, checked against its md5 where that is known.
    fn read(&self, name: &str, runtime: &Handle) -> Result<Vec<u8>> {
        let (source, file) = match &self.files {
            Files::Directory(dir) => return read_file(&dir.join(name), HEADER_LIMIT),
            Files::Source { source, files } => match files.get(name) {
                Some(file) => (source, file),
                None => return Err(RestoreError::new(ErrorKind::Damaged, "read", name, "it is not in the tablet")),
            },
        };
        let shown = file.shown();
        let damaged = |reason: String| RestoreError::new(ErrorKind::Damaged, "read", &shown, reason);
        if file.size > HEADER_LIMIT {
            return Err(damaged(format!("it has {} bytes, a header at most {HEADER_LIMIT}", file.size)));
        }
        let opened = source.open_at(file, Access::Any, runtime, None)?;
        let mut bytes = vec![0; usize::try_from(file.size).map_err(|error| damaged(error.to_string()))?];
        let read = opened.read_at(0, &mut bytes);
        read.map_err(|error| RestoreError::io("read", std::path::Path::new(&shown), error))?;
        match file.md5 {
            Some(expected) if md5::of(&bytes) != expected => {
                Err(damaged(format!("its md5 is {}, expected {expected}", md5::of(&bytes))))
            }
            _ => Ok(bytes),
        }
    }
}

impl Files {
    fn open(&self, name: &str, runtime: &Handle) -> io::Result<Arc<dyn ReadAt>> {
        match self {
            Files::Source { source, files } => {
                let file = files.get(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is missing"))?;
                Ok(Arc::new(source.open_at(file, Access::Any, runtime, None).map_err(io::Error::other)?))
            }
            Files::Directory(dir) => Ok(Arc::new(LocalFile::open(dir.join(name))?)),
        }
    }
}

/// A file of a bare tablet directory.
struct LocalFile {
    file: std::fs::File,
    size: u64,
}

impl LocalFile {
    fn open(path: PathBuf) -> io::Result<LocalFile> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(LocalFile { file, size: meta.len() })
    }
}

impl ReadAt for LocalFile {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buf, offset)
    }
}

/// Name, size and stamp of what stands in a directory.
fn list(dir: &PathBuf, stamp: impl Fn(Stamp) -> Stamp) -> Result<Vec<String>> {
    let failed = |error| RestoreError::io("list", dir, error);
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let meta = entry.metadata().map_err(failed)?;
        lines.push(format!("{:?} {} {:?}", entry.file_name(), meta.len(), stamp(Stamp::of(&meta))));
    }
    Ok(lines)
}

/// An error in the tablet at `path`.
pub(super) fn tablet_error(path: &str, error: TabletError) -> RestoreError {
    use starsnap_tablet::ErrorKind as Tablet;
    let kind = match error.kind() {
        Tablet::Io => ErrorKind::Io,
        Tablet::Damaged => ErrorKind::Damaged,
        Tablet::Request => ErrorKind::Usage,
        _ => ErrorKind::Unsupported,
    };
    let mut made = RestoreError::new(kind, "read tablet", path, error.to_string());
    if error.kind() == Tablet::Unrepresentable {
        made =
            made.advise("--largeint decimal256 or text, --text lossy or binary hold it, and so do CSV and JSON lines");
    }
    made.source = Some(Box::new(error));
    made
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// A repaired file, as `cp -p` leaves it, has the size and the time of the damaged one.
    #[test]
    fn a_file_that_changed_under_its_time_makes_another_export() {
        let dir = tempfile::tempdir().unwrap();
        let write = |to: &str, text: &str| {
            std::fs::create_dir_all(dir.path().join(to)).unwrap();
            let path = dir.path().join(to).join("1.dat");
            std::fs::write(&path, text).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_723_652_491);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        };
        let identities = |at: &str, hosts: bool| {
            let at = dir.path().join(at);
            let (source, stored) = Source::tablet_dir(&at).unwrap();
            let files = stored.files.into_iter().map(|file| (file.name.clone(), file)).collect();
            let of = |files| Unit { path: "1".into(), files }.identity(hosts).unwrap();
            [of(Files::Source { source, files: Arc::new(files) }), of(Files::Directory(at))]
        };
        write("here", "damaged");
        write("there", "damaged");
        let before = identities("here", false);
        assert_eq!(before, identities("here", false));
        // Of many hosts, each may have a copy.
        assert_eq!(identities("here", true), identities("there", true));
        std::thread::sleep(std::time::Duration::from_millis(20));
        write("here", "repairs");
        let after = identities("here", false);
        assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    }
}
