//! Shards of one export that write into one directory, on one host or many.
//!
//! Nothing but the directory joins them. Each writes its tablets' files into the table's staging directory, whose name tells the whole export
//! (source, format, columns, condition, number of shards) but not the shard, and leaves a note there when it is done. Whoever finds the notes of
//! all shards renames the staging directory: a table appears once, and whole. As each leaves its own note before it looks for the
//! others', the last one finds all of them.

use super::Written;
use super::output::{check_free, locked, remove_journals, rename_new, sync_dir};
use super::shard::Shard;
use crate::error::{RestoreError, Result};
use std::path::{Path, PathBuf};

pub(super) struct Together<'a> {
    pub(super) shard: Shard,
    pub(super) target: &'a Path,
    pub(super) staging: &'a Path,
    /// Of the whole export.
    pub(super) digest: &'a str,
}

/// Stands in the finished table's directory and tells the export that it is of.
const EXPORT: &str = ".export";

impl Together<'_> {
    /// Has `write` write the shard's files, given a place for its journals, and finishes the table if it was the last.
    pub(super) fn export(&self, write: impl FnOnce(&Path) -> Result<Written>) -> Result<Written> {
        if let Some(written) = self.finished_before()? {
            return Ok(written);
        }
        std::fs::create_dir_all(self.staging).map_err(|error| RestoreError::io("make", self.staging, error))?;
        let lock = match locked(&self.own(self.staging, "lock")) {
            // Another shard has just finished the table.
            Err(_) if self.is_finished() => return self.finished_before().map(Option::unwrap_or_default),
            lock => lock?,
        };
        if let Some(written) = self.finished_before()? {
            return Ok(written);
        }
        let mut written = match self.note(self.staging) {
            Some(before) => before,
            None => {
                let journals = self.own(self.staging, "journals");
                let written = write(&journals)?;
                self.leave_note(&written)?;
                remove_journals(&journals)?;
                written
            }
        };
        written.missing_shards = self.publish()?;
        drop(lock);
        Ok(written)
    }

    /// A file of this shard's own.
    fn own(&self, dir: &Path, what: &str) -> PathBuf {
        self.of(dir, self.shard.index, what)
    }

    fn of(&self, dir: &Path, index: u32, what: &str) -> PathBuf {
        dir.join(format!(".shard-{index}.{what}"))
    }

    /// What the shard wrote, if the table stands there already: a job that is started again must not fail because it was done.
    fn finished_before(&self) -> Result<Option<Written>> {
        if !self.is_finished() {
            check_free(self.target)?;
            return Ok(None);
        }
        let written = self.note(self.target).unwrap_or_default();
        self.clean();
        Ok(Some(written))
    }

    fn is_finished(&self) -> bool {
        std::fs::read_to_string(self.target.join(EXPORT)).is_ok_and(|digest| digest.trim() == self.digest)
    }

    /// The shard's note of an earlier run.
    fn note(&self, dir: &Path) -> Option<Written> {
        let text = std::fs::read_to_string(self.own(dir, "done")).ok()?;
        let (files, bytes) = text.strip_suffix('\n')?.split_once(' ')?;
        let (files, bytes) = (files.parse().ok()?, bytes.parse().ok()?);
        Some(Written { files, bytes, reused_files: files, ..Written::default() })
    }

    fn leave_note(&self, written: &Written) -> Result<()> {
        self.put(
            self.staging,
            &format!(".shard-{}.done", self.shard.index),
            &format!("{} {}\n", written.files, written.bytes),
        )
    }

    /// Writes a small file that is there whole or not at all.
    fn put(&self, dir: &Path, name: &str, text: &str) -> Result<()> {
        let (path, part) = (dir.join(name), self.own(dir, "part"));
        let failed = |error| RestoreError::io("write", &path, error);
        std::fs::write(&part, text).map_err(failed)?;
        std::fs::File::open(&part).and_then(|file| file.sync_all()).map_err(failed)?;
        std::fs::rename(&part, &path).map_err(failed)?;
        sync_dir(dir)
    }

    /// Gives the table its name if all shards are done; how many are not.
    fn publish(&self) -> Result<u32> {
        match self.try_publish() {
            // Another shard was quicker.
            _ if self.is_finished() => {
                self.clean();
                Ok(0)
            }
            other => other,
        }
    }

    fn try_publish(&self) -> Result<u32> {
        let failed = |error| RestoreError::io("list", self.staging, error);
        let mut names = std::collections::HashSet::new();
        for entry in std::fs::read_dir(self.staging).map_err(failed)? {
            names.insert(entry.map_err(failed)?.file_name());
        }
        let done =
            |index: &u32| self.of(Path::new(""), *index, "done").file_name().is_some_and(|name| names.contains(name));
        let missing = (0..self.shard.count).filter(|index| !done(index)).count();
        if missing > 0 {
            return Ok(u32::try_from(missing).unwrap_or(u32::MAX));
        }
        self.put(self.staging, EXPORT, &format!("{}\n", self.digest))?;
        rename_new(self.staging, self.target)?;
        match self.target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => sync_dir(dir)?,
            _ => sync_dir(Path::new("."))?,
        }
        self.clean();
        Ok(0)
    }

    /// Removes what only the shards needed. Others may be doing the same; what cannot be removed does no harm.
    fn clean(&self) {
        for index in 0..self.shard.count {
            for what in ["lock", "part", "done"] {
                let _ = std::fs::remove_file(self.of(self.target, index, what));
            }
            let _ = std::fs::remove_dir_all(self.of(self.target, index, "journals"));
        }
        // Made again by a shard that was started twice.
        let _ = std::fs::remove_dir_all(self.staging);
    }
}
