//! The one error of this crate: what kind of thing went wrong, where, and what exactly.

use std::fmt;

/// `Result` with [`TabletError`].
pub type Result<T, E = TabletError> = std::result::Result<T, E>;

/// What a caller can decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes could not be fetched; trying again may help.
    Io,
    /// The bytes are not what StarRocks writes: a truncated or altered file. Another copy of the backup may help.
    Damaged,
    /// The bytes are valid, but hold something that this crate cannot read (an encrypted segment, an extinct type).
    Unsupported,
    /// A value has no place in the Arrow type that was asked for; another [`crate::ReadOptions`] choice helps.
    Unrepresentable,
    /// The caller asked for something that is not there, such as a column name that the table does not have.
    Request,
}

/// An error with the trail of objects it happened in, outermost first (`rowset … segment 0: column k: page at 64: …`).
pub struct TabletError(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    trail: Vec<String>,
    detail: String,
    offset: Option<u64>,
    source: Option<std::io::Error>,
}

impl TabletError {
    fn new(kind: ErrorKind, detail: String) -> Self {
        TabletError(Box::new(Inner { kind, trail: Vec::new(), detail, offset: None, source: None }))
    }

    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, detail.into())
    }

    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, detail.into())
    }

    pub(crate) fn unrepresentable(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unrepresentable, detail.into())
    }

    pub(crate) fn request(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, detail.into())
    }

    pub(crate) fn io(detail: impl Into<String>, source: std::io::Error) -> Self {
        let mut error = Self::new(ErrorKind::Io, detail.into());
        error.0.source = Some(source);
        error
    }

    /// Adds an enclosing object to the trail.
    #[must_use]
    pub fn within(mut self, object: impl Into<String>) -> Self {
        self.0.trail.push(object.into());
        self
    }

    /// Notes where in the file it happened.
    #[must_use]
    pub(crate) fn at(mut self, offset: u64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Offset in the file of the page that is not right, where it is known.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for TabletError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in self.0.trail.iter().rev() {
            write!(f, "{object}: ")?;
        }
        match self.0.kind {
            ErrorKind::Damaged => write!(f, "damaged: ")?,
            ErrorKind::Unsupported => write!(f, "not supported: ")?,
            _ => {}
        }
        write!(f, "{}", self.0.detail)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for TabletError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TabletError({:?}, {self})", self.0.kind)
    }
}

impl std::error::Error for TabletError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}

/// Names the object that a result belongs to; the name is only made when there is an error.
pub(crate) trait Within<T> {
    fn within<S: Into<String>>(self, object: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Within<T> for Result<T> {
    fn within<S: Into<String>>(self, object: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| e.within(object()))
    }
}
