//! What is to be done for one table, worked out and checked before anything is fetched.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::merge::{self, Merge};
use crate::restore::TableChoice;
use crate::source::{Source, SourceFile};
use crate::staging::{Finished, Staging, Work};
use crate::transfer::{finish_file, md5_of};
use crate::warehouse;
use starsnap_catalog::layout::{self, TableLayout};
use starsnap_catalog::model::Table;
use starsnap_catalog::snapshot::{TableEntry, TableKind};
use starsnap_catalog::table_file::TableFile;
use starsnap_catalog::write;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file to fetch.
#[derive(Debug)]
pub(crate) struct PlanFile {
    pub(crate) source: SourceFile,
    /// Below the table directory.
    pub(crate) path: String,
}

/// One tablet's files, by their place in the table directory.
#[derive(Debug)]
pub(crate) struct PlanTablet {
    /// Below the table directory.
    pub(crate) dir: String,
    /// Names there.
    pub(crate) names: HashSet<String>,
}

/// What becomes of the table directory that stands under the name.
#[derive(Debug)]
pub(crate) enum Existing {
    None,
    /// Exchanged whole.
    Replace,
    /// Exchanged with a table that has its other partitions as well.
    Merge(Box<Merge>),
}

/// All that is to be done for a table.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) target: PathBuf,
    /// Of the table as it will stand there, after alias, choice of partitions and merge.
    pub(crate) table_file: TableFile,
    pub(crate) existing: Existing,
    pub(crate) tablets: Vec<PlanTablet>,
    /// To fetch.
    pub(crate) files: Vec<PlanFile>,
    /// Finished by an earlier run.
    pub(crate) reused_files: u64,
    pub(crate) total_files: u64,
    pub(crate) total_bytes: u64,
    /// Partitions restored.
    pub(crate) partitions: u64,
    pub(crate) staging: Arc<Staging>,
    pub(crate) notes: Vec<String>,
}

impl Plan {
    /// Bytes to fetch.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.source.size).sum()
    }
}

/// Plans the restore of `source.tables()[table]`. Blocks: lists directories, takes the table's lock. All that is wrong is in the errors.
pub(crate) fn plan(
    source: &Source,
    table: usize,
    choice: &TableChoice,
    database_dir: &Path,
    recheck: bool,
) -> Result<Plan, Vec<RestoreError>> {
    let one = |error| vec![error];
    let original = source.table_file(table).ok_or_else(|| one(no_table(&choice.name)))?;
    let mut file = original.clone();
    file.problems = Vec::new();
    let target = choice.alias.as_deref().unwrap_or(&choice.name);
    reduce(&mut file.entry, choice, "restore table").map_err(one)?;
    let fetched = listed(source, table, &original.entry, &file.entry)?;
    let partitions = file.entry.partitions.len() as u64;

    let work = Work {
        source: source.identity(table),
        table: choice.name.clone(),
        target: target.to_owned(),
        partitions: choice.partitions.clone(),
    };
    let staging = Staging::open(database_dir, &work).map_err(one)?;
    let target = database_dir.join(layout::escape(target));
    let mut notes = Vec::new();
    let existing = existing(&target, &mut file, choice, &mut notes).inspect_err(|_| {
        // Nothing is gained by keeping what has no place to go; the refusal is what counts.
        let _ = staging.remove();
    })?;
    let mut plan = Plan {
        target,
        table_file: file,
        existing,
        tablets: Vec::new(),
        files: Vec::new(),
        reused_files: 0,
        total_files: 0,
        total_bytes: 0,
        partitions,
        staging: Arc::new(staging),
        notes,
    };
    place_files(&mut plan, fetched, recheck).map_err(one)?;
    Ok(plan)
}

fn no_table(name: &str) -> RestoreError {
    RestoreError::new(ErrorKind::NoSuchObject, "restore table", name, "the source has no such table")
}

/// Cuts the entry down to the chosen partitions, and gives it its new name.
pub(crate) fn reduce(entry: &mut TableEntry, choice: &TableChoice, action: &'static str) -> Result<()> {
    let failed = |error| RestoreError::catalog(action, &choice.name, error);
    if entry.kind == TableKind::Other {
        let reason = "it is a shared-data or external table, whose data no backup holds";
        return Err(RestoreError::new(ErrorKind::Unsupported, action, &choice.name, reason));
    }
    if entry.catalog.is_none() {
        let reason = "its catalog object is missing: the snapshot's __meta is lost or damaged";
        return Err(RestoreError::new(ErrorKind::Damaged, action, &choice.name, reason)
            .advise("the files themselves can be copied out of the mount"));
    }
    for wanted in &choice.partitions {
        if !entry.partitions.iter().any(|partition| partition.name == *wanted) {
            let names: Vec<&str> = entry.partitions.iter().map(|partition| &*partition.name).collect();
            return Err(RestoreError::new(
                ErrorKind::NoSuchObject,
                action,
                &choice.name,
                format!("it has no partition {wanted}"),
            )
            .advise(format!("it has {}", names.join(", "))));
        }
    }
    if !choice.partitions.is_empty() {
        write::keep_partitions(entry, |name| choice.partitions.iter().any(|wanted| wanted == name)).map_err(failed)?;
    }
    if let Some(alias) = choice.alias.as_deref().filter(|alias| *alias != entry.name) {
        write::rename(entry, alias).map_err(failed)?;
    }
    Ok(())
}

/// The files of each tablet of `reduced`, in its layout's order. `reduced` is `original` with fewer partitions and other names, so
/// that its tablets are those of `original`, in the same order, that are still there.
pub(crate) fn listed(
    source: &Source,
    table: usize,
    original: &TableEntry,
    reduced: &TableEntry,
) -> Result<Vec<Vec<SourceFile>>, Vec<RestoreError>> {
    let kept: HashSet<i64> = reduced.partitions.iter().map(|partition| partition.id).collect();
    let layout = TableLayout::of(original);
    let places = layout
        .tablets
        .iter()
        .filter(|place| original.partitions.get(place.partition).is_some_and(|partition| kept.contains(&partition.id)));
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for place in places {
        match source.tablet(table, place) {
            Ok(found) => files.push(found),
            Err(found) => problems.extend(found),
        }
    }
    let damaged = |reason| RestoreError::new(ErrorKind::Damaged, "restore table", &original.name, reason);
    if !problems.is_empty() {
        return Err(problems.into_iter().map(damaged).collect());
    }
    Ok(files)
}

/// Looks at what stands under the name; for a merge, `file` becomes the merged table's. With another schema, each difference is an error.
fn existing(
    target: &Path,
    file: &mut TableFile,
    choice: &TableChoice,
    notes: &mut Vec<String>,
) -> Result<Existing, Vec<RestoreError>> {
    let one = |error| vec![error];
    let Some(standing) = standing(target).map_err(one)? else { return Ok(Existing::None) };
    let differences = differences(&standing, file).map_err(one)?;
    if !differences.is_empty() {
        return Err(other_schema(target, choice, differences));
    }
    if choice.partitions.is_empty() {
        let there = |name: &str| file.entry.partitions.iter().any(|partition| partition.name == name);
        let lost = standing.entry.partitions.iter().filter(|partition| !there(&partition.name));
        let lost: Vec<&str> = lost.map(|partition| &*partition.name).collect();
        if !lost.is_empty() {
            notes.push(format!(
                "the table that stood there had partitions that the snapshot lacks: {}",
                lost.join(", ")
            ));
        }
        return Ok(Existing::Replace);
    }
    let merge = merge::merge(target, &standing, file).map_err(one)?;
    Ok(Existing::Merge(Box::new(merge)))
}

/// The table that stands at `target`; none when nothing does.
fn standing(target: &Path) -> Result<Option<TableFile>> {
    let meta = match target.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RestoreError::io("look at", target, error)),
        Ok(meta) => meta,
    };
    let standing = if meta.is_dir() { warehouse::read_table_json(target)? } else { None };
    let no_table = || {
        let reason = "something stands there that is no table";
        RestoreError::new(ErrorKind::Exists, "restore to", target.display().to_string(), reason)
            .advise("remove it, or restore under another name with --table NAME=ALIAS")
    };
    standing.ok_or_else(no_table).map(Some)
}

/// What keeps the table from being replaced, one line each.
fn differences(standing: &TableFile, file: &TableFile) -> Result<Vec<String>> {
    let name = &file.entry.name;
    let parsed = |entry: &TableEntry| -> Result<Table> {
        entry.parse().map_err(|error| RestoreError::catalog("read the schema of", name, error))?.ok_or_else(|| {
            RestoreError::new(ErrorKind::Damaged, "read the schema of", name, "there is no catalog object")
        })
    };
    Ok(write::schema_differences(&parsed(&standing.entry)?, &parsed(&file.entry)?))
}

/// The refusal, then each difference.
fn other_schema(target: &Path, choice: &TableChoice, differences: Vec<String>) -> Vec<RestoreError> {
    const MOST: usize = 50;
    let shown = target.display().to_string();
    let error = |reason: String| RestoreError::new(ErrorKind::SchemaDiffers, "restore to", &shown, reason);
    let count = differences.len();
    let plural = if count == 1 { "" } else { "s" };
    let first = error(format!("a table with another schema stands there, with {count} difference{plural}"))
        .advise(format!("restore under another name with --table {}=ALIAS, or remove the table", choice.name));
    let more = count.checked_sub(MOST).filter(|more| *more > 0).map(|more| error(format!("{more} more differences")));
    std::iter::once(first).chain(differences.into_iter().take(MOST).map(&error)).chain(more).collect()
}

/// Gives each fetched file its path in the table as it will stand, and drops what an earlier run finished.
fn place_files(plan: &mut Plan, fetched: Vec<Vec<SourceFile>>, recheck: bool) -> Result<()> {
    let dirs = match &plan.existing {
        Existing::Merge(merge) => merge.fetched_dirs.clone(),
        _ => TableLayout::of(&plan.table_file.entry).tablets.iter().map(layout::TabletPlace::path).collect(),
    };
    if dirs.len() != fetched.len() {
        let reason = format!("its catalog has {} tablets where {} were expected", dirs.len(), fetched.len());
        return Err(RestoreError::new(ErrorKind::Damaged, "restore table", &plan.table_file.entry.name, reason));
    }
    let mut wanted: HashMap<String, SourceFile> = HashMap::new();
    let mut order = Vec::new();
    for (dir, files) in dirs.into_iter().zip(fetched) {
        plan.total_files += files.len() as u64;
        plan.total_bytes += files.iter().map(|file| file.size).sum::<u64>();
        plan.tablets.push(PlanTablet { names: files.iter().map(|file| file.name.clone()).collect(), dir: dir.clone() });
        for file in files {
            let path = format!("{dir}/{}", file.name);
            order.push(path.clone());
            wanted.insert(path, file);
        }
    }
    plan.staging.prune(&|path| wanted.contains_key(path))?;
    let mut anew = Vec::new();
    for path in order {
        let Some(source) = wanted.remove(&path) else { continue };
        if is_finished(&plan.staging, &path, &source, recheck) || keep_whole(&plan.staging, &path, &source)? {
            plan.reused_files += 1;
        } else {
            anew.push(path.clone());
            plan.files.push(PlanFile { source, path });
        }
    }
    plan.staging.forget(&anew)
}

/// True when an earlier run finished the very file.
fn is_finished(staging: &Staging, path: &str, source: &SourceFile, recheck: bool) -> bool {
    let Some(finished) = staging.finished(path).filter(|finished| finished.size == source.size) else { return false };
    let same = match source.md5 {
        Some(md5) => finished.md5 == md5,
        None => finished.stamp.is_some() && finished.stamp == source.stamp,
    };
    same && (!recheck || md5_of(&staging.table().join(path)).is_ok_and(|md5| md5 == finished.md5))
}

/// True when an earlier run wrote the file and was killed before it was known to be durable: it is read, and kept if its md5 is right.
fn keep_whole(staging: &Staging, path: &str, source: &SourceFile) -> Result<bool> {
    let Some(expected) = source.md5 else { return Ok(false) };
    let staged = staging.table().join(path);
    let same_size = staged.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == source.size);
    if staging.finished(path).is_some() || !same_size || !md5_of(&staged).is_ok_and(|md5| md5 == expected) {
        return Ok(false);
    }
    let file = std::fs::File::open(&staged).map_err(|error| RestoreError::io("read", &staged, error))?;
    finish_file(staging, &file, expected).map_err(|error| RestoreError::io("make durable", &staged, error))?;
    staging.note(Finished {
        path: path.to_owned(),
        md5: expected,
        size: source.size,
        stamp: source.stamp,
        gone: false,
    })?;
    Ok(true)
}
