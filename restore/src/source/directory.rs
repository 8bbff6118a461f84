//! A directory of the mount's shape as a source: a mount, a copy out of one, a warehouse.

use super::{Place, SourceFile, Stored, TabletListing, check_names, foreign_names};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::objects::{self, MountedSnapshot};
use crate::transfer::MD5_ATTRIBUTE;
use crate::warehouse::{read_table_json, table_dirs};
use serde::{Deserialize, Serialize};
use starsnap_catalog::layout::TabletPlace;
use starsnap_catalog::table_file::{Origin, TableFile};
use starsnap_repository::md5::Md5;
use starsnap_tablet::meta::is_header;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells a changed file where nothing tells its md5.
///
/// Its mtime alone does not: all files of a backup have the backup's, and tools that keep times give it to a repaired file as well. Nothing
/// keeps a ctime or an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Seconds, and nanoseconds of the second.
    mtime: (i64, i64),
    ctime: (i64, i64),
    inode: u64,
}

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Stamp {
        Stamp { mtime: (meta.mtime(), meta.mtime_nsec()), ctime: (meta.ctime(), meta.ctime_nsec()), inode: meta.ino() }
    }

    /// What copies on several hosts share, if they keep times.
    pub(crate) fn of_any_copy(self) -> Stamp {
        Stamp { ctime: (0, 0), inode: 0, ..self }
    }
}

#[derive(Debug)]
pub(super) struct DirectorySource {
    /// As the user gave it, links resolved.
    pub(super) path: PathBuf,
    pub(super) tables: Vec<TableDir>,
    /// The path names one table.
    pub(super) single: bool,
    /// The path names one partition of it.
    pub(super) partition: Option<String>,
    /// What a mount tells of the snapshot.
    pub(super) mounted: Option<MountedSnapshot>,
}

#[derive(Debug)]
pub(super) struct TableDir {
    path: PathBuf,
    pub(super) file: TableFile,
}

impl DirectorySource {
    pub(super) fn open(given: &Path) -> Result<DirectorySource> {
        let path = given.canonicalize().map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let mut failed = RestoreError::io("restore from", given, error);
            if missing {
                failed.kind = ErrorKind::NotFound;
            }
            failed
        })?;
        if let Some(file) = read_table_json(&path)? {
            let tables = vec![TableDir { path: path.clone(), file }];
            return Ok(DirectorySource { path, tables, single: true, partition: None, mounted: None });
        }
        if let Some(source) = Self::partition(&path)? {
            return Ok(source);
        }
        let tables = table_dirs(&path)?;
        let mounted = objects::read_mounted(&path)?;
        if !tables.is_empty() || mounted.is_some() {
            let tables = tables.into_iter().map(|(path, file)| TableDir { path, file }).collect();
            return Ok(DirectorySource { path, tables, single: false, partition: None, mounted });
        }
        let latest = path.join("latest");
        if latest.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
            return Self::open(&latest);
        }
        let reason = "it is neither a table directory nor a directory of such: there is no table.json";
        Err(RestoreError::new(ErrorKind::NotFound, "restore from", path.display().to_string(), reason)
            .advise("give <mount>/<label>/<timestamp>, a table below it, or a partition of a table"))
    }

    /// A database of a warehouse, which may have no tables.
    pub(super) fn database_dir(path: &Path) -> Result<DirectorySource> {
        let tables = table_dirs(path)?.into_iter().map(|(path, file)| TableDir { path, file }).collect();
        Ok(DirectorySource { path: path.to_owned(), tables, single: false, partition: None, mounted: None })
    }

    /// The directory of a tablet.
    pub(super) fn tablet_dir(given: &Path) -> Result<DirectorySource> {
        let path = given.canonicalize().map_err(|error| RestoreError::io("read", given, error))?;
        Ok(DirectorySource { path, tables: Vec::new(), single: true, partition: None, mounted: None })
    }

    /// `<table>/<partition>`.
    fn partition(path: &Path) -> Result<Option<DirectorySource>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Ok(None);
        };
        let Some(file) = read_table_json(parent)? else { return Ok(None) };
        let layout = starsnap_catalog::layout::TableLayout::of(&file.entry);
        let at = layout.partition_dirs.iter().position(|dir| dir == name);
        let Some(partition) = at.and_then(|at| file.entry.partitions.get(at)) else { return Ok(None) };
        let partition = Some(partition.name.clone());
        let tables = vec![TableDir { path: parent.to_owned(), file }];
        Ok(Some(DirectorySource { path: path.to_owned(), tables, single: true, partition, mounted: None }))
    }

    fn origin(&self) -> Option<&Origin> {
        self.tables.first().map(|table| &table.file.origin)
    }

    /// As the mount has it; else of the tables' origins, what they share.
    pub(super) fn label_and_timestamp(&self) -> (&str, &str) {
        if let Some(mounted) = &self.mounted {
            return (&mounted.label, &mounted.timestamp);
        }
        match self.origin() {
            Some(first)
                if self.tables.iter().all(|table| {
                    let origin = &table.file.origin;
                    origin.label == first.label && origin.timestamp == first.timestamp
                }) =>
            {
                (&first.label, &first.timestamp)
            }
            _ => ("", ""),
        }
    }

    pub(super) fn database(&self) -> &str {
        let mounted = self.mounted.as_ref().map_or("", |mounted| &mounted.database);
        self.origin().map_or(mounted, |origin| &origin.database)
    }

    pub(super) fn database_id(&self) -> i64 {
        self.origin().map_or(0, |origin| origin.database_id)
    }

    pub(super) fn identity(&self, table: usize) -> Vec<String> {
        let Some(table) = self.tables.get(table) else { return Vec::new() };
        let origin = &table.file.origin;
        vec![
            table.path.display().to_string(),
            origin.repository.clone(),
            origin.label.clone(),
            origin.timestamp.clone(),
        ]
    }

    /// Views, functions and external catalogs: `*.sql` here and in `catalogs/`, files of ours left out. Where the mount tells the objects
    /// themselves, only external catalogs, which it does not tell.
    pub(super) fn sql_files(&self) -> Result<Vec<(String, PathBuf)>> {
        if self.single {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        let places = if self.mounted.is_some() { ["catalogs"].as_slice() } else { &["", "catalogs"] };
        for below in places.iter().copied() {
            let dir = self.path.join(below);
            let is_table = self.tables.iter().any(|table| table.path == dir);
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            for entry in entries.filter(|_| !is_table) {
                let entry = entry.map_err(|error| RestoreError::io("list", &dir, error))?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let ours = below.is_empty() && self.is_ours(&name);
                if name.ends_with(".sql") && !ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    let path = if below.is_empty() { name } else { format!("{below}/{name}") };
                    files.push((path, entry.path()));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// True for the `restore.sql` that the mount adds beside its `snapshot.json`: the one with the most leading `_`, as it gives way to
    /// stored names.
    fn is_ours(&self, name: &str) -> bool {
        name.trim_start_matches('_') == "restore.sql"
            && self.path.join("snapshot.json").exists()
            && !self.path.join(format!("_{name}")).exists()
    }

    pub(super) fn tablet(&self, table: usize, place: &TabletPlace) -> TabletListing {
        let Some(table) = self.tables.get(table) else {
            return Err(vec![format!("{}: no such table in the source", place.path())]);
        };
        let dir = table.path.join(place.path());
        list(&dir).map_err(|error| vec![format!("{}: {error}", dir.display())]).and_then(|(files, mut problems)| {
            let shown = dir.display().to_string();
            problems.extend(check_names(&shown, files.iter().map(|file| &*file.name)));
            // What the mount found wrong in the repository (two md5 variants of a file, a stray `.part`) shows in its table.json alone.
            let named = format!("tablet {}:", place.tablet_dir);
            problems.extend(table.file.problems.iter().filter(|problem| problem.contains(&named)).cloned());
            if problems.is_empty() { Ok(files) } else { Err(problems) }
        })
    }
}

impl DirectorySource {
    pub(super) fn stored(&self, table: usize, place: &TabletPlace) -> Stored {
        let Some(table) = self.tables.get(table) else {
            let problems = vec!["no such table in the source".into()];
            return Stored { shown: place.path(), files: Vec::new(), problems, lost: Vec::new() };
        };
        let mut stored = stored(&table.path.join(place.path()));
        // What a mount found wrong in the repository shows in its table.json alone.
        let named = format!("tablet {}:", place.tablet_dir);
        stored.problems.extend(table.file.problems.iter().filter(|problem| problem.contains(&named)).cloned());
        stored
    }

    /// What stands in the directory itself, see [`DirectorySource::tablet_dir`].
    pub(super) fn stored_tablet(&self) -> Stored {
        stored(&self.path)
    }
}

/// What stands in a tablet's directory.
fn stored(dir: &Path) -> Stored {
    let shown = dir.display().to_string();
    let mut stored = Stored { shown, files: Vec::new(), problems: Vec::new(), lost: Vec::new() };
    match list(dir) {
        Ok((files, problems)) => {
            if files.is_empty() && problems.is_empty() {
                stored.problems.push("the tablet's directory is empty".into());
            }
            stored.problems.extend(problems);
            stored.files = files;
        }
        Err(error) => stored.problems.push(error.to_string()),
    }
    stored.problems.extend(foreign_names(stored.files.iter().map(|file| &*file.name)));
    stored
}

/// True for a directory with a tablet's header in it.
pub(crate) fn is_tablet(path: &Path) -> Result<bool> {
    let failed = |error| RestoreError::io("list", path, error);
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file());
        if entry.file_name().to_str().is_some_and(is_header) && is_file() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files of a tablet's directory, and what in it is no file.
fn list(dir: &Path) -> std::io::Result<(Vec<SourceFile>, Vec<String>)> {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    let entries = std::fs::read_dir(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => std::io::Error::other("the tablet's directory is missing"),
        _ => error,
    })?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type()?.is_file()) else {
            problems.push(format!("{}: not a regular file of a StarRocks tablet", path.display()));
            continue;
        };
        let meta = entry.metadata()?;
        let md5 = match stored_md5(&path) {
            Ok(md5) => md5,
            Err(reason) => {
                problems.push(format!("{}: {reason}", path.display()));
                continue;
            }
        };
        let stamp = md5.is_none().then(|| Stamp::of(&meta));
        files.push(SourceFile { name, md5, size: meta.len(), stamp, place: Place::Local(path) });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((files, problems))
}

/// The md5 that the mount tells of a file; none where it has no such attribute.
fn stored_md5(path: &Path) -> Result<Option<Md5>, String> {
    use rustix::io::Errno;
    let mut value = [0; 64];
    match rustix::fs::getxattr(path, MD5_ATTRIBUTE, &mut value) {
        Ok(length) => {
            let text = value.get(..length).and_then(|text| std::str::from_utf8(text).ok());
            let parsed = text.and_then(|text| text.parse().ok());
            parsed.map(Some).ok_or_else(|| format!("its attribute {MD5_ATTRIBUTE} is no md5"))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(Errno::RANGE) => Err(format!("its attribute {MD5_ATTRIBUTE} is no md5")),
        Err(error) => Err(format!("its attribute {MD5_ATTRIBUTE} cannot be read: {error}")),
    }
}
