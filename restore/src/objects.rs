//! Views, functions and external catalogs of a database in the warehouse: `.sql` files for people, and their catalog objects in
//! `.starsnap/objects.json`, from which a backup of the database takes them. External catalogs keep their secrets there: mode 0600.

use crate::commit::{sync_dir, write_durably};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::warehouse::{self, OBJECTS, TableLock};
use serde::{Deserialize, Serialize};
use starsnap_catalog::ddl::{self, Context};
use starsnap_catalog::layout::{self, SnapshotLayout};
use starsnap_catalog::model::{Catalog, Function};
use starsnap_catalog::snapshot::{CatalogText, Snapshot, TableEntry, TableKind};
use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FORMAT: u32 = 1;
const LIMIT: u64 = 1 << 28;
/// Lock of the objects; no table has the empty name.
const LOCK: &str = "";

/// What `.starsnap/objects.json` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Objects {
    format: u32,
    pub(crate) views: Vec<TableEntry>,
    pub(crate) functions: Vec<CatalogText>,
    #[serde(default)]
    pub(crate) catalogs: Vec<CatalogText>,
    /// The `.sql` files that stand for them, below the database's directory.
    #[serde(default)]
    files: Vec<String>,
}

/// What is read of a mount's `snapshot.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct MountedSnapshot {
    pub(crate) label: String,
    pub(crate) timestamp: String,
    pub(crate) database: String,
    pub(crate) objects: Objects,
}

/// Reads the `snapshot.json` of a snapshot's directory in a mount, or of a copy of it; none where there is none.
pub(crate) fn read_mounted(dir: &Path) -> Result<Option<MountedSnapshot>> {
    let kind = |name: &str| dir.join(name).symlink_metadata().ok();
    let is_file = |name: &str| kind(name).is_some_and(|meta| meta.is_file());
    let Some(name) = layout::find_ours("snapshot.json", is_file, |name| kind(name).is_some()) else { return Ok(None) };
    let path = dir.join(name);
    let bytes = warehouse::read_file(&path, LIMIT)?;
    let damaged = |reason: String| RestoreError::new(ErrorKind::Damaged, "read", path.display().to_string(), reason);
    let mounted: MountedSnapshot = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if mounted.objects.format != FORMAT {
        return Err(damaged(format!("its format is {}, this starsnap knows {FORMAT}", mounted.objects.format)));
    }
    Ok(Some(mounted))
}

fn path(database_dir: &Path) -> PathBuf {
    database_dir.join(OBJECTS).join("objects.json")
}

/// Reads the objects of a database; none stored is none.
pub(crate) fn read(database_dir: &Path) -> Result<Objects> {
    let path = path(database_dir);
    if !path.exists() {
        return Ok(Objects::default());
    }
    let bytes = warehouse::read_file(&path, LIMIT)?;
    let damaged = |reason: String| RestoreError::new(ErrorKind::Damaged, "read", path.display().to_string(), reason);
    let objects: Objects = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if objects.format != FORMAT {
        return Err(damaged(format!("its format is {}, this starsnap knows {FORMAT}", objects.format)));
    }
    Ok(objects)
}

/// What is to be added.
#[derive(Debug, Default)]
pub(crate) struct Addition {
    pub(crate) views: Vec<TableEntry>,
    pub(crate) functions: Vec<CatalogText>,
    pub(crate) catalogs: Vec<CatalogText>,
}

/// Adds objects to a database, in place of those that have the same name (functions: the same argument types too). Blocks.
pub(crate) fn add(database_dir: &Path, addition: Addition, context: &Context) -> Result<()> {
    let _lock = lock(database_dir)?;
    let mut objects = read(database_dir)?;
    let stale: BTreeSet<String> = objects.files.drain(..).collect();
    objects.format = FORMAT;
    let names: BTreeSet<&str> = addition.views.iter().map(|view| &*view.name).collect();
    objects.views.retain(|view| !names.contains(&*view.name));
    replace(&mut objects.functions, addition.functions.clone(), |text| {
        text.parse::<Function>().map(|function| ddl::function_signature(&function)).ok()
    });
    replace(&mut objects.catalogs, addition.catalogs.clone(), |text| {
        text.parse::<Catalog>().map(|catalog| catalog.name).ok()
    });
    objects.views.extend(addition.views);
    let files = render(database_dir, &objects, context)?;
    objects.files = files.iter().map(|(name, _)| name.clone()).collect();

    let dir = database_dir.join(OBJECTS);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|error| RestoreError::io("make", &dir, error))?;
    for (name, text) in &files {
        let path = database_dir.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| RestoreError::io("make", parent, error))?;
        }
        write_durably(&path, text.as_bytes(), 0o666)?;
    }
    let path = path(database_dir);
    let text = serde_json::to_vec_pretty(&objects).map_err(|error| RestoreError::io("write", &path, error.into()))?;
    write_durably(&path, &text, 0o600)?;
    for name in stale.iter().filter(|name| !objects.files.contains(name)) {
        let _ = std::fs::remove_file(database_dir.join(name));
    }
    sync_dir(&dir).and_then(|()| sync_dir(database_dir)).map_err(|error| RestoreError::io("make durable", &dir, error))
}

fn replace(into: &mut Vec<CatalogText>, new: Vec<CatalogText>, key: impl Fn(&CatalogText) -> Option<String>) {
    let keys: BTreeSet<Option<String>> = new.iter().map(&key).collect();
    into.retain(|text| !keys.contains(&key(text)));
    into.extend(new);
}

/// Other jobs hold it for moments only.
fn lock(database_dir: &Path) -> Result<TableLock> {
    let mut tries = 0;
    loop {
        match TableLock::exclusive(database_dir, LOCK) {
            Err(error) if error.kind == ErrorKind::Busy && tries < 500 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// The `.sql` files, named as the mount names them beside the tables that stand here.
fn render(database_dir: &Path, objects: &Objects, context: &Context) -> Result<Vec<(String, String)>> {
    let listed = std::fs::read_dir(database_dir).map_err(|error| RestoreError::io("list", database_dir, error))?;
    let dirs = listed.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let catalogs_is_table = warehouse::table_json_name(&database_dir.join("catalogs")).is_some();
    let names = dirs.filter_map(|entry| layout::unescape(entry.file_name().to_str()?));
    let stubs = names.filter(|name| name != "catalogs" || catalogs_is_table).map(|name| TableEntry {
        id: 0,
        name,
        kind: TableKind::Table,
        catalog: None,
        auto_increment_id: None,
        partitions: Vec::new(),
    });
    let mut tables: Vec<TableEntry> = stubs.collect();
    let first_view = tables.len();
    tables.extend(objects.views.iter().cloned());
    let snapshot = Snapshot {
        tables,
        functions: objects.functions.clone(),
        catalogs: objects.catalogs.clone(),
        ..Snapshot::default()
    };
    let layout = SnapshotLayout::of(&snapshot);
    let failed = |error| RestoreError::catalog("describe", database_dir.display().to_string(), error);
    let mut files = Vec::new();
    for (view, name) in objects.views.iter().zip(layout.tables.iter().skip(first_view)) {
        if let Some(table) = view.parse().map_err(failed)? {
            files.push((name.clone(), ddl::schema_sql(&table, context).map_err(failed)?));
        }
    }
    for (text, name) in objects.functions.iter().zip(&layout.functions) {
        let function: Function = text.parse().map_err(failed)?;
        files.push((name.clone(), ddl::function_sql(&function).map_err(failed)?));
    }
    for (text, name) in objects.catalogs.iter().zip(&layout.catalogs) {
        let catalog: Catalog = text.parse().map_err(failed)?;
        files.push((format!("{}/{name}", layout.catalogs_dir), ddl::catalog_sql(&catalog).map_err(failed)?));
    }
    Ok(files)
}

/// Copies the `.sql` files of a directory source, which has no catalog objects.
pub(crate) fn copy_sql(database_dir: &Path, files: &[(String, PathBuf)]) -> Result<()> {
    for (name, from) in files {
        let bytes = warehouse::read_file(from, LIMIT)?;
        let path = database_dir.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| RestoreError::io("make", parent, error))?;
        }
        write_durably(&path, &bytes, 0o666)?;
    }
    Ok(())
}
