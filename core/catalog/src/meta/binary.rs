//! The binary form of `__meta`, written by StarRocks 1.19 to 3.1.3.

use crate::error::{CatalogError, Result};
use crate::model::BackupMeta;

pub(super) fn read(_bytes: &[u8]) -> Result<BackupMeta> {
    Err(CatalogError::Unsupported {
        what: "__meta".into(),
        reason: "the binary form (up to StarRocks 3.1.3) is not read yet".into(),
    })
}
