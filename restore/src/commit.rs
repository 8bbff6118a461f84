//! The last steps of a table's restore: the rest of the directory is written, everything made durable, then one rename puts it in place.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::plan::{Existing, Plan};
use crate::transfer::MD5_ATTRIBUTE;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use starsnap_catalog::ddl::{self, Context};
use starsnap_catalog::layout::TableLayout;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a commit did.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Worth knowing though nothing failed.
    pub(crate) notes: Vec<String>,
}

/// Puts the staged table, whose files are all there, under its name. Blocks.
pub(crate) fn commit(plan: Plan, context: &Context) -> Result<Committed> {
    let staged = plan.staging.table();
    let mut notes = Vec::new();
    std::fs::create_dir_all(&staged).map_err(|error| RestoreError::io("make", &staged, error))?;
    if let Existing::Merge(merge) = &plan.existing {
        for (from, to) in &merge.kept_dirs {
            take_over(&plan.target.join(from), &staged.join(to), plan.staging.wants_sync())?;
        }
    }
    notes.extend(write_ours(&plan, &staged, context)?);
    if plan.staging.wants_sync() {
        sync_dirs(&staged).map_err(|error| RestoreError::io("make durable", &staged, error))?;
    } else {
        plan.staging.sync()?;
    }
    let database = plan.target.parent().unwrap_or(Path::new("."));
    let Plan { target, existing, staging, .. } = &plan;
    let replaced = !matches!(existing, Existing::None);
    if replaced {
        staging.mark_exchange()?;
        renameat_with(CWD, &staged, CWD, target, RenameFlags::EXCHANGE)
            .map_err(|error| cannot_exchange(target, error))?;
    } else {
        renameat_with(CWD, &staged, CWD, target, RenameFlags::NOREPLACE)
            .map_err(|error| RestoreError::io("put in place", target, error.into()))?;
    }
    sync_dir(database)
        .and_then(|()| sync_dir(staging.dir()))
        .map_err(|error| RestoreError::io("make durable", target, error))?;
    // The table stands; what cannot be cleared away does not undo that.
    if let Err(error) = staging.remove() {
        notes.push(format!("what stood there before is left in {}: {error}", staging.dir().display()));
    }
    Ok(Committed { notes })
}

fn cannot_exchange(target: &Path, error: rustix::io::Errno) -> RestoreError {
    let mut failed = RestoreError::io("put in place", target, error.into());
    if matches!(error, rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) {
        failed.kind = ErrorKind::Unsupported;
        failed.reason = "the file system cannot exchange two directories in one step".into();
        failed.advice =
            "remove the table that stands there, and run the same command again: it goes on where it stopped".into();
    }
    failed
}

/// Takes over a tablet's files from the standing table: linked, as they never change, or copied where that fails.
fn take_over(from: &Path, to: &Path, sync: bool) -> Result<()> {
    let failed = |error| RestoreError::io("take over", from, error);
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other(format!("{:?} is not a regular file", entry.file_name()))));
        }
        let target = to.join(entry.file_name());
        // A former run, killed just here, may have left one.
        let _ = std::fs::remove_file(&target);
        if std::fs::hard_link(entry.path(), &target).is_err() {
            std::fs::copy(entry.path(), &target).map_err(failed)?;
            copy_md5(&entry.path(), &target);
            if sync {
                File::open(&target).and_then(|file| file.sync_all()).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// Gives a copy the md5 that its original has beside its bytes, where the file system can.
fn copy_md5(from: &Path, to: &Path) {
    let mut md5 = [0; 32];
    if let Ok(length) = rustix::fs::lgetxattr(from, MD5_ATTRIBUTE, &mut md5)
        && let Some(md5) = md5.get(..length)
    {
        let _ = rustix::fs::lsetxattr(to, MD5_ATTRIBUTE, md5, rustix::fs::XattrFlags::empty());
    }
}

/// Writes `schema.sql` and, last, `table.json`.
fn write_ours(plan: &Plan, staged: &Path, context: &Context) -> Result<Option<String>> {
    let entry = &plan.table_file.entry;
    let layout = TableLayout::of(entry);
    let shown = plan.target.display().to_string();
    let failed = |error| RestoreError::catalog("describe", &shown, error);
    let mut context = context.clone();
    context.tables.insert(entry.id, entry.name.clone());
    let statement = entry.parse().and_then(|table| table.map(|table| ddl::schema_sql(&table, &context)).transpose());
    let note = match statement {
        Ok(Some(text)) => {
            write_durably(&staged.join(&layout.schema_sql), text.as_bytes(), 0o666)?;
            None
        }
        Ok(None) => Some(format!("there is no {}: no catalog object", layout.schema_sql)),
        Err(error) => Some(format!("there is no {}: {error}", layout.schema_sql)),
    };
    let text = plan.table_file.to_json().map_err(failed)?;
    write_durably(&staged.join(&layout.table_json), text.as_bytes(), 0o666)?;
    Ok(note)
}

/// Writes a file under a temporary name, makes it durable, and renames it into place.
pub(crate) fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let write = || -> io::Result<()> {
        let mut name = std::ffi::OsString::from(".starsnap-");
        name.push(path.file_name().unwrap_or_default());
        let temporary = path.with_file_name(name);
        let _ = std::fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| RestoreError::io("write", path, error))
}

/// Makes the directories of a tree durable, the deepest first; its files are already.
fn sync_dirs(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_dirs(&entry.path())?;
        }
    }
    sync_dir(dir)
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
