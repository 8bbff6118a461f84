//! The backup job: from the warehouse into a new snapshot of a repository.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::objects::{self, Objects};
use crate::progress::{Cancel, Progress};
use crate::report::{BackupReport, ObjectKind, TableReport, TableStatus};
use crate::restore::TableChoice;
use crate::source::{Source, SourceFile};
use crate::time::utc_timestamp;
use crate::wanted::Wanted;
use crate::warehouse::{self, TableLock};
use futures::{StreamExt, TryStreamExt};
use starsnap_catalog::layout::TableLayout;
use starsnap_catalog::snapshot::{PartitionKind, TableEntry, TableKind};
use starsnap_catalog::write::{self, NewSnapshot};
use starsnap_repository::limiter::Limiter;
use starsnap_repository::md5::Hasher;
use starsnap_repository::reading::Access;
use starsnap_repository::writer::SnapshotWriter;
use starsnap_repository::{Location, Repository, TabletKey};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Makes an empty repository at `location`.
pub async fn init(location: &Location, name: &str) -> Result<Repository> {
    Ok(starsnap_repository::writer::init(location, name).await?)
}

/// What to back up, where to, how fast.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    pub repository: Repository,
    /// The new snapshot's name.
    pub label: String,
    pub warehouse: PathBuf,
    pub database: String,
    /// Empty: the whole database, with the views and functions that restores brought along. An alias is not allowed here.
    pub tables: Vec<TableChoice>,
    /// Partitions for a choice that names none itself; wants exactly one table.
    pub partitions: Vec<String>,
    /// Files in transfer at once; at least 1.
    pub workers: usize,
    /// For all workers together: of what is written. Files that the repository holds already are not, nor is what is read for their md5.
    pub max_speed_bytes_per_second: Option<u64>,
}

/// Files in transfer at once where nobody says how many: as many as there are processors, 4 at least; more where the store has each wait.
pub fn default_workers(repository: &Repository) -> usize {
    repository.storage().writers().unwrap_or_else(crate::default_workers)
}

/// A table on its way into the snapshot.
struct Part {
    kind: ObjectKind,
    /// Cut down to the chosen partitions.
    entry: TableEntry,
    /// By tablet directory below the table's.
    tablets: Vec<(String, Vec<SourceFile>)>,
    _lock: Option<TableLock>,
}

/// A file on its way.
struct Upload {
    table: usize,
    key: TabletKey,
    file: SourceFile,
    path: String,
}

/// Backs up. On any error the label does not look complete; the same job run again finishes it.
pub async fn backup(options: BackupOptions, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<BackupReport> {
    backup_wanted(options, None, progress, cancel).await
}

/// As [`backup`], of what a statement names instead of `options.tables`; none: everything.
pub(crate) async fn backup_wanted(
    options: BackupOptions,
    wanted: Option<Wanted>,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
) -> Result<BackupReport> {
    let begun = Instant::now();
    // First of all, as a label in use makes all else pointless.
    let limiter = Arc::new(Limiter::new(options.max_speed_bytes_per_second));
    let repository = options.repository.limited(None, Some(limiter));
    let writer = SnapshotWriter::begin(&repository, &options.label).await?;
    let gathered = {
        let options = options.clone();
        let dir = warehouse::database_dir(&options.warehouse, &options.database);
        let gathering = crate::blocking(move || gather(&options, wanted.as_ref())).await;
        gathering.map_err(|error| RestoreError::io("read", &dir, error))??
    };
    let (source, mut parts, extras, notes) = gathered;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let new = new_snapshot(&options, &source, &mut parts, extras, now)?;
    let failed = |error| RestoreError::catalog("back up", &options.database, error);
    let (info, meta) = write::build(&new).map_err(failed)?;
    let uploads = uploads(&parts, new.database_id)?;
    writer.plan(&uploads.iter().map(|upload| upload.key).collect())?;
    progress.started(uploads.len() as u64, uploads.iter().map(|upload| upload.file.size).sum());

    let mut tables: Vec<TableReport> = parts.iter().map(report).collect();
    let job = Job { source, writer, progress, cancel };
    let tallies: Vec<Tally> = tables.iter().map(|_| Tally::default()).collect();
    let sent = futures::stream::iter(uploads).map(|upload| {
        let (job, parts, tallies) = (&job, &parts, &tallies);
        async move {
            let begun = Instant::now();
            let name = parts.get(upload.table).map_or("", |part| &part.entry.name);
            let written = job.put(&upload, name).await?;
            if let Some(tally) = tallies.get(upload.table) {
                tally.count(written, begun);
            }
            Ok::<(), RestoreError>(())
        }
    });
    sent.buffer_unordered(options.workers.max(1)).try_collect::<Vec<()>>().await?;
    if job.cancel.is_cancelled() {
        return Err(stopped(&options.label));
    }
    let timestamp = utc_timestamp(now);
    let meta = starsnap_catalog::meta::write(&meta).map_err(failed)?;
    let Job { writer, progress, .. } = job;
    writer.commit(meta.into(), info.to_bytes().into(), &timestamp).await?;
    for (table, tally) in tables.iter_mut().zip(&tallies) {
        table.reused_files = tally.reused.load(Ordering::Relaxed);
        table.seconds = tally.seconds();
        progress.table_done(table);
    }
    Ok(BackupReport {
        repository: options.repository.name().to_owned(),
        label: options.label,
        timestamp,
        database: new.database,
        files: tables.iter().map(|table| table.files).sum(),
        bytes: tables.iter().map(|table| table.bytes).sum(),
        reused_files: tables.iter().map(|table| table.reused_files).sum(),
        tables,
        seconds: begun.elapsed().as_secs_f64(),
        notes,
    })
}

fn stopped(label: &str) -> RestoreError {
    RestoreError::interrupted(format!("the backup {label}"))
        .advise("run the same command again: it goes on where it stopped; until then the label counts as incomplete")
}

/// What is counted of a table.
#[derive(Default)]
struct Tally {
    /// Files that were there already.
    reused: AtomicU64,
    /// When its first file was begun, and its last one done.
    span: Mutex<Option<(Instant, Instant)>>,
}

impl Tally {
    fn count(&self, written: bool, begun: Instant) {
        self.reused.fetch_add(u64::from(!written), Ordering::Relaxed);
        let mut span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        let first = span.map_or(begun, |(first, _)| first.min(begun));
        *span = Some((first, Instant::now()));
    }

    fn seconds(&self) -> f64 {
        let span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        span.map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64())
    }
}

/// Bytes that are read at a time for a file's md5.
const PIECE: u64 = 1 << 20;

/// What all uploads share.
struct Job {
    source: Source,
    writer: SnapshotWriter,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
}

impl Job {
    /// Reads a file for its md5, then hands it to the repository. Returns whether its bytes were sent.
    async fn put(&self, upload: &Upload, table: &str) -> Result<bool> {
        let file = &upload.file;
        let mut reader = self.source.open(file, Access::Once, &Limiter::new(None)).await?;
        let (mut hasher, mut left) = (Hasher::default(), file.size);
        while left > 0 {
            if self.cancel.is_cancelled() {
                return Err(RestoreError::interrupted(&upload.path));
            }
            let piece = PIECE.min(left);
            let bytes = reader.next(piece).await?;
            hasher = crate::blocking(move || {
                hasher.update(&bytes);
                hasher
            })
            .await
            .map_err(|error| RestoreError::io("read", Path::new(&file.shown()), error))?;
            left -= piece;
        }
        let md5 = hasher.finish();
        if let Some(known) = file.md5.filter(|known| *known != md5) {
            let reason = format!("its md5 is {md5}, but {known} when it was restored");
            return Err(RestoreError::new(ErrorKind::Damaged, "back up", file.shown(), reason).advise(
                "restore the table again; if the change is meant, remove the file's attribute user.starsnap.md5",
            ));
        }
        let shown = file.shown();
        let advanced = |bytes| self.progress.advanced(bytes);
        let put = self.writer.put_telling(&upload.key, &file.name, md5, file.size, Path::new(&shown), &advanced);
        // One that is given up leaves nothing under its name.
        let written = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(RestoreError::interrupted(&upload.path)),
            written = put => written?,
        };
        if !written {
            self.progress.advanced(file.size);
        }
        self.progress.file_done(table, &upload.path);
        Ok(written)
    }
}

type Gathered = (Source, Vec<Part>, Objects, Vec<String>);

/// Reads and checks the table directories. Blocks.
fn gather(options: &BackupOptions, wanted: Option<&Wanted>) -> Result<Gathered> {
    let dir = warehouse::database_dir(&options.warehouse, &options.database);
    let shown = dir.display().to_string();
    if !dir.is_dir() {
        let reason = "there is no such database in the warehouse";
        return Err(RestoreError::new(ErrorKind::NoSuchObject, "back up", shown, reason));
    }
    let objects = objects::read(&dir)?;
    let whole = options.tables.is_empty() && wanted.is_none();
    let choices = choices(options, wanted, &Source::database_dir(&dir)?, &objects)?;
    let view_of = |choice: &TableChoice| objects.views.iter().find(|view| view.name == choice.name);
    let tables = choices.iter().filter(|choice| view_of(choice).is_none());
    let locks = tables.map(|choice| TableLock::shared(&dir, &choice.name)).collect::<Result<Vec<_>>>()?;
    let mut locks = locks.into_iter();
    // Again, as a restore may have ended meanwhile: a table's catalog must not be paired with another's files.
    let source = Source::database_dir(&dir)?;
    let (mut parts, mut extras, mut notes) = (Vec::new(), Objects::default(), Vec::new());
    for choice in &choices {
        if let Some(view) = view_of(choice) {
            parts.push(Part { kind: ObjectKind::View, entry: view.clone(), tablets: Vec::new(), _lock: None });
            continue;
        }
        parts.push(part(&source, choice, locks.next().flatten())?);
    }
    if let Some(wanted) = wanted {
        extras.functions = wanted.functions(&objects.functions, "back up")?;
        extras.catalogs = wanted.catalogs(&objects.catalogs, "back up")?;
    } else if whole {
        extras.functions = objects.functions;
        // A snapshot holds a database or external catalogs, never both.
        if parts.is_empty() && extras.functions.is_empty() {
            extras.catalogs = objects.catalogs;
        } else if !objects.catalogs.is_empty() {
            notes.push(
                "the external catalogs of this database are left out: a snapshot holds a database or catalogs".into(),
            );
        }
    }
    if parts.is_empty() && extras.functions.is_empty() && extras.catalogs.is_empty() {
        let reason = "the database is empty: it has no table directory with a table.json";
        return Err(RestoreError::new(ErrorKind::NoSuchObject, "back up", shown, reason));
    }
    Ok((source, parts, extras, notes))
}

/// The tables meant, each with its partitions.
fn choices(
    options: &BackupOptions,
    wanted: Option<&Wanted>,
    source: &Source,
    objects: &Objects,
) -> Result<Vec<TableChoice>> {
    let entries = source.tables();
    let names = || entries.iter().map(|entry| &entry.name).chain(objects.views.iter().map(|view| &view.name));
    let mut choices = options.tables.clone();
    if let Some(wanted) = wanted {
        let views = objects.views.iter().map(|view| (&*view.name, TableKind::View));
        let known: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.kind)).chain(views).collect();
        choices = wanted.choices(&known, "back up")?;
    } else if choices.is_empty() {
        choices = names().map(|name| TableChoice { name: name.clone(), ..TableChoice::default() }).collect();
    }
    if !options.partitions.is_empty() {
        let [choice] = choices.as_mut_slice() else {
            let reason = format!("partitions are given, but {} tables", choices.len());
            return Err(RestoreError::new(ErrorKind::Usage, "back up", &options.database, reason)
                .advise("name the one table they belong to with --table"));
        };
        if choice.partitions.is_empty() {
            choice.partitions.clone_from(&options.partitions);
        }
    }
    let mut seen = std::collections::HashSet::new();
    for choice in &choices {
        let refuse = |kind, reason: &str| Err(RestoreError::new(kind, "back up table", &choice.name, reason));
        if choice.alias.is_some() {
            return refuse(ErrorKind::Usage, "a backup has no aliases: a table is backed up under its name");
        }
        if !seen.insert(&choice.name) {
            return refuse(ErrorKind::Usage, "it is named twice");
        }
        if !names().any(|name| *name == choice.name) {
            return refuse(ErrorKind::NoSuchObject, "the database has no such table");
        }
    }
    Ok(choices)
}

/// One table directory, cut down to the chosen partitions, every tablet there. The lock was taken before `source` was read.
fn part(source: &Source, choice: &TableChoice, lock: Option<TableLock>) -> Result<Part> {
    let no_table = || RestoreError::new(ErrorKind::NoSuchObject, "back up table", &choice.name, "it is gone");
    let at = source.tables().iter().position(|entry| entry.name == choice.name).ok_or_else(no_table)?;
    let original = source.table_file(at).ok_or_else(no_table)?.entry;
    let kind = match original.kind {
        TableKind::MaterializedView => ObjectKind::MaterializedView,
        _ => ObjectKind::Table,
    };
    let mut entry = original.clone();
    crate::plan::reduce(&mut entry, choice, "back up table")?;
    if entry.partitions.iter().any(|partition| partition.kind == PartitionKind::Temporary) {
        let reason = "it has temporary partitions, which a backup cannot hold";
        return Err(RestoreError::new(ErrorKind::Unsupported, "back up table", &choice.name, reason)
            .advise("name the partitions to back up with --partition"));
    }
    let files = crate::plan::listed(source, at, &original, &entry).map_err(|errors| {
        let reasons: Vec<&str> = errors.iter().take(10).map(|error| &*error.reason).collect();
        let more = errors.len().saturating_sub(reasons.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        RestoreError::new(ErrorKind::Damaged, "back up table", &choice.name, reasons.join("; ") + &more)
    })?;
    let dirs = TableLayout::of(&entry).tablets.iter().map(|place| place.path()).collect::<Vec<_>>();
    Ok(Part { kind, entry, tablets: dirs.into_iter().zip(files).collect(), _lock: lock })
}

fn new_snapshot(
    options: &BackupOptions,
    source: &Source,
    parts: &mut [Part],
    extras: Objects,
    now: i64,
) -> Result<NewSnapshot> {
    let failed = |error| RestoreError::catalog("back up", &options.database, error);
    let mut tables: Vec<TableEntry> = parts.iter().map(|part| part.entry.clone()).collect();
    write::separate_ids(&mut tables).map_err(failed)?;
    for (part, entry) in parts.iter_mut().zip(&tables) {
        part.entry = entry.clone();
    }
    let only_catalogs = !extras.catalogs.is_empty();
    let known = source.context().database_id;
    Ok(NewSnapshot {
        label: options.label.clone(),
        database: if only_catalogs { String::new() } else { options.database.clone() },
        // An id only has to be there: RESTORE gives new ones.
        database_id: if only_catalogs {
            -1
        } else if known > 0 {
            known
        } else {
            10001
        },
        backup_time: now,
        tables,
        functions: extras.functions.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(failed)?,
        catalogs: extras.catalogs.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(failed)?,
    })
}

/// Where each file goes.
fn uploads(parts: &[Part], database_id: i64) -> Result<Vec<Upload>> {
    let mut uploads = Vec::new();
    for (table, part) in parts.iter().enumerate().filter(|(_, part)| part.kind != ObjectKind::View) {
        let name = &part.entry.name;
        let places = write::tablet_ids(&part.entry, database_id);
        let places = places.map_err(|error| RestoreError::catalog("back up table", name, error))?;
        let keys: HashMap<String, TabletKey> =
            places.into_iter().map(|(place, ids)| (place.path(), key(ids))).collect();
        for (dir, files) in &part.tablets {
            let key = *keys.get(dir).ok_or_else(|| {
                let reason = format!("the new snapshot has no place for tablet {dir}");
                RestoreError::new(ErrorKind::Damaged, "back up table", name, reason)
            })?;
            uploads.extend(files.iter().map(|file| {
                let path = format!("{dir}/{}", file.name);
                Upload { table, key, file: file.clone(), path }
            }));
        }
    }
    Ok(uploads)
}

fn key(ids: write::TabletIds) -> TabletKey {
    let write::TabletIds { database, table, physical, index, tablet } = ids;
    TabletKey { database, table, physical, index, tablet }
}

fn report(part: &Part) -> TableReport {
    let mut report = TableReport::new(&part.entry.name, None, part.kind, TableStatus::BackedUp);
    let files = || part.tablets.iter().flat_map(|(_, files)| files);
    report.partitions = part.entry.partitions.len() as u64;
    report.files = files().count() as u64;
    report.bytes = files().map(|file| file.size).sum();
    report
}
