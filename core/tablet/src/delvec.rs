//! Delete vectors: which rows of a PRIMARY KEY segment are dead.

use roaring::RoaringBitmap;

use crate::error::{Result, TabletError};

/// Row ordinals within one segment that a later load or delete has removed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeleteVector {
    /// The version that wrote it.
    pub version: i64,
    pub rows: RoaringBitmap,
}

impl DeleteVector {
    /// Parses the stored form: the byte 1, then nothing or a 32-bit Roaring bitmap in the portable serialization.
    pub fn parse(bytes: &[u8], version: i64) -> Result<Self> {
        let Some((1, mut rest)) = bytes.split_first() else {
            return Err(TabletError::damaged("delete vector does not start with its format byte 1"));
        };
        if rest.is_empty() {
            return Ok(DeleteVector { version, rows: RoaringBitmap::new() });
        }
        let rows = RoaringBitmap::deserialize_from(&mut rest)
            .map_err(|e| TabletError::damaged(format!("delete vector: {e}")))?;
        if !rest.is_empty() {
            return Err(TabletError::damaged(format!("{} bytes after the delete vector", rest.len())));
        }
        Ok(DeleteVector { version, rows })
    }
}
