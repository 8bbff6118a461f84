//! MD5 digests, which StarRocks puts into every file name.

use std::fmt;
use std::str::FromStr;

/// An md5 digest. Displays as 32 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Md5(pub [u8; 16]);

impl fmt::Display for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Md5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Md5 {
    type Err = hex::FromHexError;

    /// Exactly 32 lowercase hex digits, as StarRocks compares case-sensitively.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(hex::FromHexError::InvalidStringLength);
        }
        let mut digest = [0; 16];
        hex::decode_to_slice(text, &mut digest)?;
        Ok(Md5(digest))
    }
}

/// Digest of `bytes`.
pub fn of(bytes: &[u8]) -> Md5 {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// An incremental digest.
#[derive(Default, Clone)]
pub struct Hasher(md5::Md5);

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        md5::Digest::update(&mut self.0, bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Md5 {
        Md5(md5::Digest::finalize(self.0).into())
    }
}

/// Splits `<base>.<md5>`; `None` when the tail is not 32 lowercase hex digits.
pub fn split_name(name: &str) -> Option<(&str, Md5)> {
    let (base, tail) = name.rsplit_once('.')?;
    if base.is_empty() || tail.len() != 32 {
        return None;
    }
    Some((base, tail.parse().ok()?))
}
