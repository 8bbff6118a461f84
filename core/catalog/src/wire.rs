//! Java's `DataOutput` encodings, big-endian, as the binary parts of `__meta` use them.

use crate::error::{CatalogError, Result};

/// A cursor that never reads, nor promises to read, more than there is.
pub(crate) struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// `what` names the object in errors.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Reader<'a> {
        Reader { what, bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes read since `start`, a former [`Reader::at`].
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// Damage at the byte `at`.
    pub(crate) fn damage(&self, at: usize, reason: impl Into<String>) -> CatalogError {
        CatalogError::Binary { what: self.what, offset: at as u64, reason: reason.into() }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..length)) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.damage(self.at, format!("{length} bytes are due, but only {} are left", self.left()))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64> {
        self.array().map(f64::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.damage(self.at - 1, format!("{other} is neither false nor true"))),
        }
    }

    /// A length or count followed by at least `least` bytes for each one: so much must still be there.
    pub(crate) fn count(&mut self, least: usize, of: &str) -> Result<usize> {
        let at = self.at;
        let count = self.i32()?;
        match usize::try_from(count) {
            Ok(known) if known <= self.left() / least.max(1) => Ok(known),
            _ => Err(self.damage(at, format!("{count} {of} cannot be in the {} bytes that are left", self.left()))),
        }
    }

    /// A text: its length and UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let length = self.count(1, "bytes of text")?;
        let at = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.damage(at, "text that is not UTF-8"))
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.damage(self.at, format!("{left} bytes too many"))),
        }
    }
}

/// Appends a text: its length and UTF-8. Fails for one longer than Java can hold.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    let length = i32::try_from(text.len()).map_err(|_| CatalogError::Unsupported {
        what: "a text".into(),
        reason: format!("{} bytes are more than StarRocks can hold", text.len()),
    })?;
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
    Ok(())
}
