//! What can go wrong in the tree, and which errno that is. The errno is decided here, once.

use starsnap_catalog::CatalogError;
use starsnap_repository::{ErrorKind, RepositoryError};
use std::sync::Arc;

/// Result of this crate.
pub type Result<T, E = FsError> = std::result::Result<T, E>;

/// An error at one object of the tree. Cheap to clone, as a failed snapshot tells everyone who asks the same.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FsError {
    #[error("cannot find {0}: there is no such file or directory")]
    NotFound(String),
    #[error("cannot look into {0}: it is not a directory")]
    NotDirectory(String),
    #[error("cannot read {0}: it is a directory")]
    IsDirectory(String),
    #[error("cannot read {0}: it is not a symbolic link")]
    NotLink(String),
    /// The number was handed out for a snapshot whose content is another one by now.
    #[error("cannot use {0}: the snapshot was replaced in the repository (look it up again by its path)")]
    Stale(String),
    /// The stored file is not what it was when the snapshot was listed.
    #[error("cannot read {path}: {reason} (`starsnap snapshots` lists the repository anew and says what is missing)")]
    Changed { path: String, reason: String },
    /// Rows that cannot be decoded: damaged, missing, or nothing that can be read.
    #[error(
        "cannot read the rows of {path}: {reason} (`starsnap verify` says what is sound; an undamaged partition has its own rows)"
    )]
    Rows { path: String, reason: String },
    /// A read far ahead, or of a store that is slow.
    #[error(
        "cannot read the rows of {path}: what stands before byte {offset} is not decoded after {seconds} seconds (the same read again goes on from there; `starsnap export` has no such limit)"
    )]
    RowsLate { path: String, offset: u64, seconds: u64 },
    /// Each open file of rows may keep a decoder and its memory.
    #[error(
        "cannot open {path}: {limit} files of rows are open already (close some; `starsnap export` writes many tables at once)"
    )]
    TooManyRows { path: String, limit: usize },
    #[error(transparent)]
    Repository(Arc<RepositoryError>),
    #[error("cannot make {object}: {source}")]
    Catalog {
        object: String,
        #[source]
        source: Arc<CatalogError>,
    },
}

impl FsError {
    /// What a system call that meets this error returns.
    pub fn errno(&self) -> i32 {
        match self {
            FsError::NotFound(_) => libc::ENOENT,
            FsError::NotDirectory(_) => libc::ENOTDIR,
            FsError::IsDirectory(_) => libc::EISDIR,
            FsError::NotLink(_) => libc::EINVAL,
            FsError::Stale(_) => libc::ESTALE,
            FsError::Changed { .. } | FsError::Catalog { .. } | FsError::Rows { .. } | FsError::RowsLate { .. } => {
                libc::EIO
            }
            FsError::TooManyRows { .. } => libc::ENFILE,
            FsError::Repository(error) => match error.kind {
                ErrorKind::NotFound => libc::ENOENT,
                ErrorKind::PermissionDenied => libc::EACCES,
                ErrorKind::Exists => libc::EEXIST,
                ErrorKind::Unsupported => libc::EOPNOTSUPP,
                _ => libc::EIO,
            },
        }
    }

    /// Whether nothing is wrong but the name: not worth a line in the log.
    pub fn is_ordinary(&self) -> bool {
        matches!(
            self,
            FsError::NotFound(_)
                | FsError::NotDirectory(_)
                | FsError::IsDirectory(_)
                | FsError::NotLink(_)
                | FsError::Stale(_)
        )
    }
}

impl From<RepositoryError> for FsError {
    fn from(error: RepositoryError) -> Self {
        FsError::Repository(Arc::new(error))
    }
}
