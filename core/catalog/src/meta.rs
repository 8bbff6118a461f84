//! `__meta`: the binary form of 1.19 to 3.1.3, and the JSON form of 3.1.4 and later, told apart by content.

use crate::error::Result;
use crate::model::BackupMeta;

/// Which form a `__meta` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaForm {
    Binary,
    Json,
}

/// Tells the form by content.
pub fn form(bytes: &[u8]) -> MetaForm {
    let _ = bytes;
    todo!()
}

/// Reads a `__meta` of either form. Every length is checked against what is left before anything is allocated.
pub fn read(bytes: &[u8]) -> Result<BackupMeta> {
    let _ = bytes;
    todo!()
}

/// Writes the JSON form: a 4-byte big-endian length and the JSON text.
pub fn write(meta: &BackupMeta) -> Result<Vec<u8>> {
    let _ = meta;
    todo!()
}
