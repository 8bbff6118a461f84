//! What is restored from: a snapshot in a repository, or a directory of the same shape as the mount's. The jobs see both alike.

mod directory;
mod repository;

use crate::error::{RestoreError, Result};
use bytes::Bytes;
use directory::DirectorySource;
pub(crate) use directory::{Stamp, is_tablet};
use repository::RepositorySource;
pub(crate) use repository::tablet_of;
use starsnap_catalog::layout::TabletPlace;
use starsnap_catalog::snapshot::{CatalogText, TableEntry};
use starsnap_catalog::table_file::TableFile;
use starsnap_repository::cache::IndexCache;
use starsnap_repository::limiter::Limiter;
use starsnap_repository::md5::Md5;
use starsnap_repository::reading::{Access, FileReader};
use starsnap_repository::storage::Storage;
use starsnap_repository::{OpenSnapshot, Repository};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is restored from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    inner: Inner,
}

#[derive(Debug, Clone)]
enum Inner {
    Repository(Arc<RepositorySource>),
    Directory(Arc<DirectorySource>),
}

/// A file of a tablet, where it can be fetched.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// A safe path component.
    pub(crate) name: String,
    /// Unknown where the source is a plain copy without extended attributes.
    pub(crate) md5: Option<Md5>,
    /// Bytes.
    pub(crate) size: u64,
    /// Where the md5 is unknown.
    pub(crate) stamp: Option<Stamp>,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    /// Path in the store.
    Store(String),
    Local(PathBuf),
}

impl SourceFile {
    /// Where it is, for messages: the repository's path, or the local one.
    pub(crate) fn shown(&self) -> String {
        match &self.place {
            Place::Store(path) => path.clone(),
            Place::Local(path) => path.display().to_string(),
        }
    }
}

/// The files of one tablet; or what is wrong with it, one sentence each.
pub(crate) type TabletListing = Result<Vec<SourceFile>, Vec<String>>;

/// What stands where a tablet should be.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The directory, for messages.
    pub(crate) shown: String,
    /// Those that could be told apart, sound or not.
    pub(crate) files: Vec<SourceFile>,
    /// What is wrong with the listing, one sentence each.
    pub(crate) problems: Vec<String>,
    /// Files that are listed elsewhere and not there, `<name>.<md5>`.
    pub(crate) lost: Vec<String>,
}

impl Source {
    /// A snapshot of a repository; `timestamp` as in [`Repository::snapshot`].
    pub async fn repository(
        repository: &Repository,
        label: &str,
        timestamp: Option<&str>,
        cache: Option<&IndexCache>,
    ) -> Result<Source> {
        let snapshot = repository.snapshot(label, timestamp, cache).await?;
        Ok(Source::opened(repository, Arc::new(snapshot)))
    }

    /// A snapshot that is open already.
    pub fn opened(repository: &Repository, snapshot: Arc<OpenSnapshot>) -> Source {
        let source = RepositorySource { repository: repository.clone(), snapshot };
        Source { inner: Inner::Repository(Arc::new(source)) }
    }

    /// A directory: a snapshot of a mount (`<label>/<timestamp>`; `<label>` is its latest), a database of a warehouse, one of their tables,
    /// or a partition of one.
    ///
    /// Files of a mount tell their md5 in the extended attribute `user.starsnap.md5`, and are checked against it. In a plain copy there is
    /// nothing to check against: what is read is what is restored.
    pub fn directory(path: &Path) -> Result<Source> {
        Ok(Source { inner: Inner::Directory(Arc::new(DirectorySource::open(path)?)) })
    }

    /// The directory of one tablet, as a BE's snapshot has it, and what stands in it. The source has no tables.
    pub(crate) fn tablet_dir(path: &Path) -> Result<(Source, Stored)> {
        let source = DirectorySource::tablet_dir(path)?;
        let stored = source.stored_tablet();
        Ok((Source { inner: Inner::Directory(Arc::new(source)) }, stored))
    }

    /// A database of a warehouse, which may be empty.
    pub(crate) fn database_dir(path: &Path) -> Result<Source> {
        Ok(Source { inner: Inner::Directory(Arc::new(DirectorySource::database_dir(path)?)) })
    }

    /// Where from, in words.
    pub fn describe(&self) -> String {
        match &self.inner {
            Inner::Repository(source) => source.describe(),
            Inner::Directory(source) => source.path.display().to_string(),
        }
    }

    /// Label and timestamp; empty for a database of a warehouse, whose tables may have several.
    pub(crate) fn label_and_timestamp(&self) -> (&str, &str) {
        match &self.inner {
            Inner::Repository(source) => (&source.snapshot.label, &source.snapshot.timestamp),
            Inner::Directory(source) => source.label_and_timestamp(),
        }
    }

    /// The database's name; empty when there is none.
    pub fn database(&self) -> &str {
        match &self.inner {
            Inner::Repository(source) => &source.snapshot.catalog.database,
            Inner::Directory(source) => source.database(),
        }
    }

    /// What tells this source from any other, for one table.
    pub(crate) fn identity(&self, table: usize) -> Vec<String> {
        match &self.inner {
            Inner::Repository(source) => source.identity(),
            Inner::Directory(source) => source.identity(table),
        }
    }

    /// Tables, materialized views and views.
    pub(crate) fn tables(&self) -> Vec<&TableEntry> {
        match &self.inner {
            Inner::Repository(source) => source.snapshot.catalog.tables.iter().collect(),
            Inner::Directory(source) => {
                let views = source.mounted.iter().flat_map(|mounted| &mounted.objects.views);
                source.tables.iter().map(|table| &table.file.entry).chain(views).collect()
            }
        }
    }

    /// The table and partition that the source itself is limited to.
    pub(crate) fn limit(&self) -> (Option<&str>, Option<&str>) {
        match &self.inner {
            Inner::Repository(_) => (None, None),
            Inner::Directory(source) => (
                source.single.then(|| source.tables.first().map(|table| &*table.file.entry.name)).flatten(),
                source.partition.as_deref(),
            ),
        }
    }

    /// `table.json` as it stands in the source (`tables()[table]`), problems left out.
    pub(crate) fn table_file(&self, table: usize) -> Option<TableFile> {
        match &self.inner {
            Inner::Repository(source) => source.table_file(table),
            Inner::Directory(source) => source.tables.get(table).map(|table| table.file.clone()),
        }
    }

    /// Ids and names of the tables, which statements refer to.
    pub(crate) fn context(&self) -> starsnap_catalog::ddl::Context {
        let (database, database_id) = match &self.inner {
            Inner::Repository(source) => {
                (source.snapshot.catalog.database.clone(), source.snapshot.catalog.database_id)
            }
            Inner::Directory(source) => (source.database().to_owned(), source.database_id()),
        };
        let tables = self.tables().iter().map(|table| (table.id, table.name.clone())).collect();
        starsnap_catalog::ddl::Context { database, database_id, tables }
    }

    /// The catalog objects of functions and external catalogs. Of a mount, external catalogs are not among them; none for a directory
    /// that has no catalog objects.
    pub(crate) fn functions_and_catalogs(&self) -> Option<(&[CatalogText], &[CatalogText])> {
        match &self.inner {
            Inner::Repository(source) => Some((&source.snapshot.catalog.functions, &source.snapshot.catalog.catalogs)),
            Inner::Directory(source) => {
                source.mounted.as_ref().map(|mounted| (&*mounted.objects.functions, &[] as &[_]))
            }
        }
    }

    /// `.sql` files that stand beside the tables of a directory: path below it, and path.
    pub(crate) fn sql_files(&self) -> Result<Vec<(String, PathBuf)>> {
        match &self.inner {
            Inner::Repository(_) => Ok(Vec::new()),
            Inner::Directory(source) => source.sql_files(),
        }
    }

    /// What is odd about the source as a whole, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        match &self.inner {
            Inner::Repository(source) => source.notes(),
            Inner::Directory(_) => Vec::new(),
        }
    }

    /// Lists the files of `tables()[table]`'s tablet at `place`, a place in the layout of the source's own entry.
    pub(crate) fn tablet(&self, table: usize, place: &TabletPlace) -> TabletListing {
        match &self.inner {
            Inner::Repository(source) => source.tablet(table, place),
            Inner::Directory(source) => source.tablet(table, place),
        }
    }

    /// True when all its files are on local disk, see [`Source::open_local`].
    pub(crate) fn is_local(&self) -> bool {
        match &self.inner {
            Inner::Repository(source) => source.is_local(),
            Inner::Directory(_) => true,
        }
    }

    /// The same source, with what is read from its store held back.
    pub(crate) fn limited(&self, limiter: Arc<Limiter>) -> Source {
        match &self.inner {
            Inner::Repository(source) => {
                Source::opened(&source.repository.limited(Some(limiter), None), Arc::clone(&source.snapshot))
            }
            Inner::Directory(_) => self.clone(),
        }
    }

    /// Opens a file of a source that is local. Blocks.
    pub(crate) fn open_local(&self, file: &SourceFile) -> Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        let elsewhere = |path: &str| RestoreError::new(crate::ErrorKind::Io, "read", path, "it is not on local disk");
        match (&file.place, &self.inner) {
            (Place::Local(path), _) => {
                let opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path);
                opened.map_err(|error| RestoreError::io("read", path, error))
            }
            (Place::Store(path), Inner::Repository(source)) => {
                Ok(source.repository.storage().local_file(path).ok_or_else(|| elsewhere(path))??)
            }
            (Place::Store(path), Inner::Directory(_)) => Err(elsewhere(path)),
        }
    }

    /// What stands where the tablet of `tables()[table]` at `place` should be, sound or not.
    pub(crate) async fn stored(&self, table: usize, place: &TabletPlace) -> Stored {
        match &self.inner {
            Inner::Repository(source) => source.stored(table, place).await,
            Inner::Directory(source) => source.stored(table, place),
        }
    }

    /// Opens a file to read it from its beginning to its end; `pace` says whether it may be fetched ahead, as `access` says.
    pub(crate) async fn open(&self, file: &SourceFile, access: Access, pace: &Limiter) -> Result<Reader> {
        let access = (!pace.is_limited()).then_some(access);
        Ok(Reader { from: self.from(file, access).await?, shown: file.shown(), size: file.size, at: 0 })
    }

    /// Without `access`, exactly what is asked for is fetched when it is asked for.
    async fn from(&self, file: &SourceFile, access: Option<Access>) -> Result<From> {
        Ok(match (&file.place, &self.inner) {
            (Place::Local(path), _) => {
                let opened = open_local(path.clone()).await;
                From::Local(Arc::new(opened.map_err(|error| RestoreError::io("read", path, error))?))
            }
            (Place::Store(_), Inner::Repository(source)) => source.open(file, access).await?,
            (Place::Store(path), Inner::Directory(_)) => {
                return Err(RestoreError::new(crate::ErrorKind::Io, "read", path, "it is not in this source"));
            }
        })
    }

    /// Opens a file that is read here and there. From a thread that may block; `runtime` is what reads of stores run on. `pace` says whether
    /// more may be fetched than is asked for, as `access` says.
    pub(crate) fn open_at(
        &self,
        file: &SourceFile,
        access: Access,
        runtime: &tokio::runtime::Handle,
        pace: Option<&Limiter>,
    ) -> Result<FileAt> {
        let access = pace.is_none_or(|pace| !pace.is_limited()).then_some(access);
        Ok(FileAt { from: runtime.block_on(self.from(file, access))?, size: file.size, runtime: runtime.clone() })
    }

    /// Drops what is kept of a file that turned out damaged: see [`starsnap_repository::reading::Reading::forget`].
    pub(crate) async fn forget(&self, file: &SourceFile) {
        if let (Place::Store(_), Inner::Repository(source)) = (&file.place, &self.inner) {
            source.forget(file).await;
        }
    }
}

async fn open_local(path: PathBuf) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    crate::blocking(move || std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)).await?
}

/// Reads a file from its beginning to its end.
pub(crate) struct Reader {
    from: From,
    shown: String,
    size: u64,
    at: u64,
}

enum From {
    Local(Arc<File>),
    /// Fetched ahead, and kept.
    Ahead(Box<FileReader>),
    Store(Arc<dyn Storage>, String),
}

/// A file that is read here and there; see [`Source::open_at`].
pub(crate) struct FileAt {
    from: From,
    size: u64,
    runtime: tokio::runtime::Handle,
}

impl starsnap_tablet::ReadAt for FileAt {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        match &self.from {
            From::Local(file) => std::os::unix::fs::FileExt::read_exact_at(&**file, buf, offset),
            From::Ahead(reader) => {
                let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
                end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
                self.runtime.block_on(reader.read_into(offset, buf)).map_err(std::io::Error::other)
            }
            From::Store(storage, path) => {
                let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
                let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)?;
                let bytes = self.runtime.block_on(storage.read(path, offset..end)).map_err(std::io::Error::other)?;
                if bytes.len() != buf.len() {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                buf.copy_from_slice(&bytes);
                Ok(())
            }
        }
    }
}

impl Reader {
    /// The next bytes, `piece` of them or what is left; empty at the end. A file that is shorter or longer than it was listed is an error.
    pub(crate) async fn next(&mut self, piece: u64) -> Result<Bytes> {
        let length = piece.min(self.size - self.at);
        let bytes = match &self.from {
            From::Store(storage, path) => storage.read(path, self.at..self.at + length).await?,
            From::Ahead(reader) => reader.read(self.at..self.at + length).await?,
            From::Local(file) => self.next_local(file.clone(), length).await?,
        };
        if bytes.len() as u64 != length {
            return Err(self.truncated(self.at + bytes.len() as u64));
        }
        self.at += length;
        Ok(bytes)
    }

    async fn next_local(&self, file: Arc<File>, length: u64) -> Result<Bytes> {
        use std::os::unix::fs::FileExt;
        let (at, last) = (self.at, self.at + length == self.size);
        let read = move || -> std::io::Result<(Vec<u8>, bool)> {
            let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
            let mut filled = 0;
            while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, at + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            let longer = last && filled as u64 == length && file.read_at(&mut [0], at + length)? != 0;
            Ok((bytes, longer))
        };
        let failed = |error| RestoreError::io("read", Path::new(&self.shown), error);
        let (bytes, longer) = crate::blocking(read).await.map_err(failed)?.map_err(failed)?;
        if longer {
            let reason = format!("it is longer than the {} bytes it was listed with", self.size);
            return Err(RestoreError::new(crate::ErrorKind::Damaged, "read", &self.shown, reason));
        }
        Ok(bytes.into())
    }

    fn truncated(&self, at: u64) -> RestoreError {
        let reason = format!("it ends after {at} bytes, expected {}", self.size);
        RestoreError::new(crate::ErrorKind::Damaged, "read", &self.shown, reason)
    }
}

/// True for a name that is one path component and nothing else.
fn is_component(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// Names that StarRocks would refuse in a tablet's directory.
fn foreign_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let foreign = names.filter(|name| !is_component(name) || !crate::warehouse::tablet_file_name(name));
    foreign.map(|name| format!("{name:?} is no file of a StarRocks tablet")).collect()
}

/// What is wrong with the files of a tablet as a whole: nothing there, no header, a name StarRocks would refuse.
fn check_names<'a>(shown: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let (mut any, mut header, mut problems) = (false, false, Vec::new());
    for name in names {
        any = true;
        header |= starsnap_tablet::meta::is_header(name);
        if !is_component(name) || !crate::warehouse::tablet_file_name(name) {
            problems.push(format!("{shown}: {name:?} is no file of a StarRocks tablet"));
        }
    }
    if !any {
        problems.push(format!("{shown}: the tablet's directory is empty"));
    } else if !header {
        problems.push(format!("{shown}: the tablet's header is missing: neither .hdr nor meta is there"));
    }
    problems
}
