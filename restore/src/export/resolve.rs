//! What the rows are read from: paths as a person writes them.

use crate::access::Access;
use crate::choices::choices;
use crate::error::{ErrorKind, RestoreError, Result};
use crate::source::{Source, is_tablet};
use starsnap_catalog::layout::{self, TableLayout};
use starsnap_catalog::snapshot::{PartitionKind, TableEntry};
use starsnap_repository::cache::IndexCache;
use starsnap_repository::{Location, Repository};
use std::path::{Path, PathBuf};

/// Tables, one table, one partition, or one tablet.
#[derive(Debug, Clone)]
pub struct ExportSource(pub(super) What);

#[derive(Debug, Clone)]
pub(crate) enum What {
    Tables {
        source: Source,
        /// Position of the only one.
        table: Option<usize>,
        /// Position of the only one of it.
        partition: Option<usize>,
    },
    /// The directory of one tablet, with nothing around it.
    Tablet(PathBuf),
}

/// Components of a path into a repository: snapshot, table, partition.
const DEEPEST: usize = 3;

impl ExportSource {
    pub(crate) fn into_inner(self) -> What {
        self.0
    }

    /// What `text` names: a directory (a tablet, a partition, a table, a snapshot of a mount or a database of a warehouse), or
    /// `REPOSITORY/LABEL[@TIMESTAMP][/TABLE[/PARTITION]]`, where the repository is a registered name, a path or a URL.
    pub async fn resolve(text: &str, access: &Access, cache: Option<&IndexCache>) -> Result<ExportSource> {
        let path = Path::new(text);
        if path.is_dir() {
            if is_tablet(path)? {
                return Ok(ExportSource(What::Tablet(path.to_owned())));
            }
            return directory(path, access.repository_name.as_deref()).await;
        }
        let (first, rest) = text.split_once('/').unwrap_or((text, ""));
        if access.registered(first)?.is_some() {
            let below: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
            if !(1..=DEEPEST).contains(&below.len()) {
                return Err(RestoreError::new(
                    ErrorKind::Usage,
                    "read rows from",
                    text,
                    "it is no path into a repository",
                )
                .advise(format!("write {first}/LABEL[@TIMESTAMP][/TABLE[/PARTITION]]")));
            }
            return in_repository(&access.open(first).await?, &below, cache).await;
        }
        let trimmed = text.trim_end_matches('/');
        let mut repository = trimmed;
        for _ in 0..DEEPEST {
            // What is before the first slash of a URL is no place.
            let shorter = repository.rsplit_once('/').map(|(shorter, _)| shorter.trim_end_matches('/'));
            let Some(shorter) = shorter.filter(|shorter| !shorter.is_empty() && !shorter.ends_with(':')) else { break };
            repository = shorter;
            let below: Vec<&str> = trimmed[shorter.len()..].split('/').filter(|part| !part.is_empty()).collect();
            match access.find(shorter).await {
                Ok(found) if found.is_empty() => {}
                Ok(_) => return in_repository(&access.open(shorter).await?, &below, cache).await,
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let reason = "there is no such directory, and no repository on the way to it";
        Err(RestoreError::new(ErrorKind::NotFound, "read rows from", text, reason).advise(
            "give a table, partition or tablet directory, or a path into a repository: REPOSITORY/LABEL[@TIMESTAMP]/TABLE",
        ))
    }
}

/// A directory of the mount's shape.
async fn directory(path: &Path, repository_name: Option<&str>) -> Result<ExportSource> {
    // A repository alone is easily given by mistake, and looks like an empty directory.
    let location = Location::from(path.to_owned());
    if let Ok(found) = Repository::find(&location).await
        && !found.is_empty()
    {
        let shown = path.display().to_string();
        let name = repository_name.map_or_else(|| shown.clone(), |name| format!("{shown} ({name})"));
        let reason = "it is a repository, which may hold many snapshots";
        return Err(RestoreError::new(ErrorKind::Usage, "read rows from", name, reason)
            .advise(format!("add the snapshot's label; `starsnap snapshots {shown}` lists them")));
    }
    let source = Source::directory(path)?;
    let (table, partition) = source.limit();
    let found = match table {
        None => (None, None),
        Some(_) => {
            let entry = source.tables().first().copied();
            let position = |name: &str| entry.and_then(|entry| entry.partitions.iter().position(|p| p.name == name));
            (Some(0), partition.and_then(position))
        }
    };
    let (table, partition) = found;
    Ok(ExportSource(What::Tables { source, table, partition }))
}

async fn in_repository(repository: &Repository, below: &[&str], cache: Option<&IndexCache>) -> Result<ExportSource> {
    let snapshot = below.first().copied().unwrap_or_default();
    let (label, timestamp) = match snapshot.rsplit_once('@') {
        Some((label, timestamp)) => (label, Some(timestamp)),
        None => (snapshot, None),
    };
    let source = Source::repository(repository, label, timestamp, cache).await?;
    let table = below.get(1).map(|name| find_table(&source, name)).transpose()?;
    let partition = match (table, below.get(2)) {
        (Some(table), Some(name)) => source.tables().get(table).map(|entry| find_partition(entry, name)).transpose()?,
        _ => None,
    };
    Ok(ExportSource(What::Tables { source, table, partition }))
}

/// By name, or by name as a path component.
fn find_table(source: &Source, name: &str) -> Result<usize> {
    let tables = source.tables();
    let exact = tables.iter().position(|table| table.name == name);
    let found = exact.or_else(|| tables.iter().position(|table| layout::escape(&table.name) == name));
    found.ok_or_else(|| {
        let names: Vec<&str> = tables.iter().filter(|table| table.holds_rows()).map(|table| &*table.name).collect();
        let reason = format!("{} has no such table", source.describe());
        RestoreError::new(ErrorKind::NoSuchObject, "read table", name, reason).advise(choices(name, &names))
    })
}

fn find_partition(entry: &TableEntry, name: &str) -> Result<usize> {
    let exact = entry.partitions.iter().position(|partition| partition.name == name);
    let found = exact.or_else(|| TableLayout::of(entry).partition_dirs.iter().position(|dir| dir == name));
    found.ok_or_else(|| {
        let shown = entry.partitions.iter().filter(|partition| partition.kind == PartitionKind::Normal);
        let names: Vec<&str> = shown.map(|partition| &*partition.name).collect();
        let reason = format!("table {} has no such partition", entry.name);
        RestoreError::new(ErrorKind::NoSuchObject, "read partition", name, reason).advise(choices(name, &names))
    })
}
