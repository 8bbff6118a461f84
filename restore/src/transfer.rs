//! One file from the source into the staging directory: every byte goes into the md5 while it is written, the file gets its name only
//! when it is durable and its md5 is right.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::limiter::Limiter;
use crate::progress::{Cancel, Progress};
use crate::source::{Source, SourceFile};
use crate::staging::{Finished, Staging};
use bytes::Bytes;
use starsnap_repository::md5::{Hasher, Md5};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The extended attribute that keeps a restored file's md5, where the file system can.
pub(crate) const MD5_ATTRIBUTE: &str = "user.starsnap.md5";

/// What all transfers of a job share.
pub(crate) struct Transfer {
    pub(crate) source: Source,
    pub(crate) limiter: Limiter,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) cancel: Cancel,
}

impl Transfer {
    /// Fetches `file` to `path` below the staged table, unless an earlier run did.
    /// Stops early, as if by the user, when `stop` says that another file of the table failed.
    pub(crate) async fn fetch(
        &self,
        staging: &Arc<Staging>,
        file: &SourceFile,
        path: &str,
        stop: &AtomicBool,
    ) -> Result<()> {
        let target = staging.table().join(path);
        let mut reader = self.source.open(file).await?;
        let mut sink = Sink { target: target.clone(), open: None, hasher: Hasher::default() };
        let mut left = file.size;
        loop {
            let piece = self.limiter.piece().min(left);
            self.pause(piece, path).await?;
            if stop.load(Ordering::Relaxed) {
                return Err(RestoreError::interrupted(path));
            }
            let bytes = reader.next(piece).await?;
            left -= piece;
            let expected = (left == 0).then(|| (file.md5, file.shown()));
            let (staging, path, size, stamp) = (staging.clone(), path.to_owned(), file.size, file.stamp);
            let write = move || -> Result<Option<Sink>> {
                sink.write(&bytes)?;
                let Some((expected, shown)) = expected else { return Ok(Some(sink)) };
                let md5 = sink.finish(expected, &shown)?;
                staging.note(&Finished { path, md5, size, stamp })?;
                Ok(None)
            };
            let written = crate::blocking(write).await.map_err(|error| RestoreError::io("write", &target, error))??;
            self.progress.advanced(piece);
            match written {
                Some(open) => sink = open,
                None => return Ok(()),
            }
        }
    }

    /// Waits for the limiter, or stops.
    async fn pause(&self, bytes: u64, path: &str) -> Result<()> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(RestoreError::interrupted(path)),
            () = self.limiter.wait(bytes) => Ok(()),
        }
    }
}

/// A file being written under a temporary name beside its own, which goes with the value unless it is finished.
struct Sink {
    target: PathBuf,
    open: Option<(File, PathBuf)>,
    hasher: Hasher,
}

impl Sink {
    fn write(&mut self, bytes: &Bytes) -> Result<()> {
        self.hasher.update(bytes);
        let failed = |error| RestoreError::io("write", &self.target, error);
        let (file, _) = match &mut self.open {
            Some(open) => open,
            none => none.insert(create(&self.target).map_err(failed)?),
        };
        file.write_all(bytes).map_err(failed)
    }

    fn finish(mut self, expected: Option<Md5>, shown: &str) -> Result<Md5> {
        let md5 = std::mem::take(&mut self.hasher).finish();
        if let Some(expected) = expected.filter(|expected| *expected != md5) {
            let reason = format!("its md5 is {md5}, expected {expected}");
            return Err(RestoreError::new(ErrorKind::Damaged, "restore", shown, reason));
        }
        let failed = |error| RestoreError::io("write", &self.target, error);
        if let Some((file, temporary)) = &self.open {
            let name = md5.to_string();
            // A file system without extended attributes keeps none.
            let _ = rustix::fs::fsetxattr(file, MD5_ATTRIBUTE, name.as_bytes(), rustix::fs::XattrFlags::empty());
            file.sync_all().map_err(failed)?;
            std::fs::rename(temporary, &self.target).map_err(failed)?;
            self.open = None;
        }
        Ok(md5)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some((_, temporary)) = &self.open {
            let _ = std::fs::remove_file(temporary);
        }
    }
}

fn create(target: &Path) -> io::Result<(File, PathBuf)> {
    if let Some(dir) = target.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".starsnap-part");
    let temporary = target.with_file_name(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).custom_flags(libc::O_NOFOLLOW).open(&temporary)?;
    Ok((file, temporary))
}

/// md5 of a local file.
pub(crate) fn md5_of(path: &Path) -> io::Result<Md5> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
