//! Open files and directories.

use super::check::Check;
use crate::error::{FsError, Result};
use crate::tree::{Child, Content, NodeId, RowsReader, Tree};
use bytes::Bytes;
use fuser::BackingId;
use starsnap_repository::reading::{Access, FileReader, Reading, StoredFile};
use starsnap_repository::storage::Storage;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub node: NodeId,
    content: Content,
    /// Where the stored bytes come from.
    stored: Stored,
    /// Of a local file; others are checked where they are read.
    check: Option<Check>,
    rows: Option<OpenRows>,
    /// Keeps the kernel's own reference, while it reads the file past us.
    pub backing: Option<Arc<BackingId>>,
}

/// How a stored file is read.
#[derive(Debug)]
pub(super) enum Stored {
    /// It is on local disk.
    Local(Local),
    /// It is far away: fetched ahead, and kept.
    Far(Box<FileReader>),
    /// It is no stored file.
    None,
}

impl Stored {
    /// A file of a store that is not on local disk.
    pub fn far(content: &Content, storage: &Arc<dyn Storage>, reading: &Reading, verify: bool) -> Stored {
        let Content::Stored { path, size, md5 } = content else { return Stored::None };
        let file = StoredFile { path: path.clone(), size: *size, md5: *md5, modified: None };
        let access = if verify { Access::Checked } else { Access::Any };
        Stored::Far(Box::new(reading.open(storage.clone(), file, access)))
    }
}

/// An open file of rows, and its place among those that may be open.
#[derive(Debug)]
pub(super) struct OpenRows {
    reader: RowsReader,
    _place: OwnedSemaphorePermit,
}

/// The places of files of rows that may be open.
#[derive(Debug)]
pub(super) struct RowsPlaces(Arc<Semaphore>);

/// Files of rows that may be open at once: each may keep a thread, and some ten megabytes for what it decodes.
const MOST_ROWS: usize = 32;

impl Default for RowsPlaces {
    fn default() -> Self {
        RowsPlaces(Arc::new(Semaphore::new(MOST_ROWS)))
    }
}

impl RowsPlaces {
    /// Takes a place where `content` is rows.
    pub fn open(&self, content: &Content, reading: &Reading) -> Result<Option<OpenRows>> {
        let Content::Rows(file) = content else { return Ok(None) };
        let full = |_| FsError::TooManyRows { path: file.shown().to_owned(), limit: MOST_ROWS };
        let place = self.0.clone().try_acquire_owned().map_err(full)?;
        Ok(Some(OpenRows { reader: RowsReader::new(file.clone(), reading), _place: place }))
    }
}

#[derive(Debug)]
pub(super) struct Local {
    pub file: File,
    /// Modification time and inode when it was opened.
    stamp: (i64, i64, u64),
}

impl Local {
    /// Takes a stored file, if it still has the size that it was listed with.
    pub fn new(file: File, path: &str, size: u64) -> Result<Local> {
        let metadata = file.metadata().map_err(|error| changed(path, &error))?;
        if metadata.len() != size {
            return Err(changed(path, &format!("it has {} bytes now, the snapshot lists {size}", metadata.len())));
        }
        Ok(Local { file, stamp: stamp(&metadata) })
    }
}

fn stamp(metadata: &std::fs::Metadata) -> (i64, i64, u64) {
    (metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
}

fn changed(path: &str, reason: &dyn std::fmt::Display) -> FsError {
    FsError::Changed { path: path.to_owned(), reason: reason.to_string() }
}

impl OpenFile {
    pub fn new(
        node: NodeId,
        content: Content,
        stored: Stored,
        verify: bool,
        backing: Option<Arc<BackingId>>,
        rows: Option<OpenRows>,
    ) -> Self {
        let check = match &content {
            Content::Stored { size, md5: Some(md5), .. }
                if verify && backing.is_none() && matches!(stored, Stored::Local(_)) =>
            {
                Some(Check::new(*size, *md5))
            }
            _ => None,
        };
        OpenFile { node, content, stored, check, rows, backing }
    }

    /// Bytes at `offset`, checked. Waits for the store only where the file is not local.
    pub async fn read(&self, tree: &Tree, offset: u64, size: u32) -> Result<Bytes> {
        if let Some(rows) = &self.rows {
            return rows.reader.read(offset, size as usize).await;
        }
        let range = offset..offset.saturating_add(u64::from(size));
        let bytes = match (&self.content, &self.stored) {
            (Content::Stored { size, .. }, Stored::Far(reader)) => {
                let end = range.end.min(*size);
                return Ok(reader.read(offset.min(end)..end).await?);
            }
            (Content::Stored { path, size, .. }, Stored::Local(local)) => {
                let end = range.end.min(*size);
                let mut bytes = vec![0; end.saturating_sub(offset) as usize];
                local.file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
                    std::io::ErrorKind::UnexpectedEof => changed(path, &"it became shorter while it was read"),
                    _ => changed(path, &error),
                })?;
                Bytes::from(bytes)
            }
            _ => tree.read_content(&self.content, range).await?,
        };
        if let (Some(check), Content::Stored { path, .. }) = (&self.check, &self.content) {
            check.saw(offset, &bytes).map_err(|reason| changed(path, &reason))?;
        }
        Ok(bytes)
    }

    /// When a reader closes a file that the kernel read past us: whether it is still the one that was opened.
    pub fn unchanged(&self) -> Result<()> {
        let (Some(_), Stored::Local(local), Content::Stored { path, size, .. }) =
            (&self.backing, &self.stored, &self.content)
        else {
            return Ok(());
        };
        let metadata = local.file.metadata().map_err(|error| changed(path, &error))?;
        if metadata.len() != *size || stamp(&metadata) != local.stamp {
            return Err(changed(path, &"it was written to while it was read"));
        }
        Ok(())
    }

    /// Whether the bytes turned out not to be those of the md5.
    pub fn damaged(&self) -> bool {
        let far = matches!(&self.stored, Stored::Far(reader) if reader.damaged());
        far || self.check.as_ref().is_some_and(Check::failed)
    }
}

/// An open directory: its entries as they were when it was opened, so that a listing is one moment's.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub node: NodeId,
    pub parent: NodeId,
    pub children: Vec<Child>,
}

/// Everything that is open, by handle.
#[derive(Debug)]
pub(super) struct Handles<T> {
    open: RwLock<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Handles { open: RwLock::default(), next: AtomicU64::new(1) }
    }
}

impl<T> Handles<T> {
    pub fn add(&self, opened: T) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(handle, Arc::new(opened));
        handle
    }

    pub fn get(&self, handle: u64) -> Option<Arc<T>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(&handle).cloned()
    }

    pub fn remove(&self, handle: u64) -> Option<Arc<T>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&handle)
    }
}

/// How each inode that is open is read: the kernel takes it all through us or all past us, never both at once.
#[derive(Debug, Default)]
pub(super) struct Modes(Mutex<HashMap<NodeId, Mode>>);

#[derive(Debug)]
enum Mode {
    /// Number of opens.
    Through(usize),
    Past(Weak<BackingId>),
}

impl Modes {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Mode>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides how an open is read; `register` asks the kernel and is called only where that is a choice.
    pub fn open(&self, node: NodeId, register: impl FnOnce() -> Option<BackingId>) -> Option<Arc<BackingId>> {
        let mut modes = self.lock();
        match modes.get_mut(&node) {
            Some(Mode::Through(opens)) => {
                *opens += 1;
                return None;
            }
            Some(Mode::Past(backing)) => {
                if let Some(backing) = backing.upgrade() {
                    return Some(backing);
                }
            }
            None => {}
        }
        let backing = register().map(Arc::new);
        let mode = match &backing {
            Some(backing) => Mode::Past(Arc::downgrade(backing)),
            None => Mode::Through(1),
        };
        modes.insert(node, mode);
        backing
    }

    /// An open ended.
    pub fn close(&self, opened: Arc<OpenFile>) {
        let mut modes = self.lock();
        let node = opened.node;
        drop(opened);
        let over = match modes.get_mut(&node) {
            Some(Mode::Through(opens)) => {
                *opens = opens.saturating_sub(1);
                *opens == 0
            }
            Some(Mode::Past(backing)) => backing.strong_count() == 0,
            None => false,
        };
        if over {
            modes.remove(&node);
        }
    }
}
