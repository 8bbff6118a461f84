//! The files of a tablet in the repository, as the decoder reads them: from a thread that may block.

use super::Inner;
use crate::tree::source::Source;
use starsnap_repository::reading::{Access, FileReader, Reading, StoredFile};
use starsnap_repository::snapshot::{FileEntry, TabletFiles};
use starsnap_repository::storage::Storage;
use starsnap_repository::{RepositoryError, md5};
use starsnap_tablet::ReadAt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Largest metadata file that is read. That of a tablet with millions of deleted rows has a few hundred megabytes.
const METADATA_LIMIT: u64 = 2 << 30;

/// Opens the files of one tablet.
pub(super) struct Opener {
    inner: Arc<Inner>,
    tablet: usize,
    runtime: Handle,
    reading: Reading,
}

impl Opener {
    pub fn new(inner: Arc<Inner>, tablet: usize, runtime: Handle, reading: Reading) -> Opener {
        Opener { inner, tablet, runtime, reading }
    }
}

impl starsnap_tablet::TabletFiles for Opener {
    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadAt>> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the repository lacks it");
        let tablet = self.inner.snapshot.open.tablets.get(self.tablet).ok_or_else(missing)?;
        let file = find(tablet, name).ok_or_else(missing)?;
        let (storage, stored) = stored(&self.inner, tablet, file);
        match storage.local_file(&stored.path) {
            Some(local) => Ok(Arc::new(Local::new(local.map_err(io::Error::other)?, stored.size)?)),
            None => {
                let reader = self.reading.open(storage, stored, Access::Any);
                Ok(Arc::new(Remote { reader, runtime: self.runtime.clone() }))
            }
        }
    }
}

/// Drops what is kept of a tablet's files, as it could not be read: another file with the same md5 may be the damaged one.
pub(super) async fn forget(inner: &Inner, tablet: usize, reading: &Reading) {
    let Some(tablet) = inner.snapshot.open.tablets.get(tablet) else { return };
    for file in &tablet.files {
        let (storage, stored) = stored(inner, tablet, file);
        reading.forget(storage, stored).await;
    }
}

fn find<'a>(tablet: &'a TabletFiles, name: &str) -> Option<&'a FileEntry> {
    let at = tablet.files.binary_search_by(|file| (*file.name).cmp(name)).ok()?;
    tablet.files.get(at)
}

/// Where a file is, and what is known of it.
fn stored(inner: &Inner, tablet: &TabletFiles, file: &FileEntry) -> (Arc<dyn Storage>, StoredFile) {
    let source: &dyn Source = &*inner.source;
    let path = source.path(&inner.snapshot.open.file_path(&tablet.key, file));
    (source.storage().clone(), StoredFile { path, size: file.size, md5: Some(file.md5), modified: None })
}

/// A metadata file of a tablet, checked against its md5; the error is a sentence.
pub(super) async fn metadata(
    inner: &Inner,
    tablet: &TabletFiles,
    name: &str,
    reading: &Reading,
) -> Result<Vec<u8>, String> {
    let file = find(tablet, name).ok_or_else(|| format!("{name}: the repository lacks it"))?;
    if file.size > METADATA_LIMIT {
        return Err(format!("{name}: it has {} bytes, a header at most {METADATA_LIMIT}", file.size));
    }
    let (storage, stored) = stored(inner, tablet, file);
    let (path, size) = (stored.path.clone(), stored.size);
    // Files of rows are opened again and again: what is far away is asked for once.
    let read = match storage.local_file(&path) {
        Some(_) if size == 0 => Ok(bytes::Bytes::new()),
        Some(_) => storage.read(&path, 0..size).await,
        None => {
            // Checked, so that what is wrong is not kept.
            reading.open(storage, stored, Access::Checked).read(0..size).await
        }
    };
    let bytes = read.map_err(|error: RepositoryError| format!("{name}: {error}"))?;
    let found = md5::of(&bytes);
    if found != file.md5 {
        return Err(format!("{path}: its md5 is {found}, expected {}", file.md5));
    }
    Ok(bytes.into())
}

/// A file on local disk.
struct Local {
    file: File,
    size: u64,
}

impl Local {
    fn new(file: File, size: u64) -> io::Result<Local> {
        let found = file.metadata()?.len();
        if found != size {
            return Err(io::Error::other(format!("it has {found} bytes now, the snapshot lists {size}")));
        }
        Ok(Local { file, size })
    }
}

impl ReadAt for Local {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

/// A file of a store that is not local: fetched in blocks, ahead, and kept, as all others are.
struct Remote {
    reader: FileReader,
    runtime: Handle,
}

impl ReadAt for Remote {
    fn len(&self) -> u64 {
        self.reader.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.reader.size());
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.runtime.block_on(self.reader.read_into(offset, buf)).map_err(io::Error::other)
    }
}
