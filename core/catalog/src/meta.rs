//! `__meta`: the binary form of 1.19 to 3.1.3, and the JSON form of 3.1.4 and later, told apart by content.

mod binary;

use crate::error::{CatalogError, Result};
use crate::model::BackupMeta;
use serde::{Deserialize, Serialize};

const WHAT: &str = "__meta";

/// FEs refuse to write, and to read, a longer text.
const MAX_JSON: usize = 1 << 30;

/// Which form a `__meta` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaForm {
    Binary,
    Json,
}

/// Tells the form by content: 3.1.3 wrote the version number of the JSON form over the binary one. The fifth byte of the JSON form opens
/// an object; in the binary form it belongs to the length of a short text.
pub fn form(bytes: &[u8]) -> MetaForm {
    if bytes.get(4) == Some(&b'{') { MetaForm::Json } else { MetaForm::Binary }
}

/// Reads a `__meta` of either form. Every length is checked against what is left before anything is allocated.
pub fn read(bytes: &[u8]) -> Result<BackupMeta> {
    match form(bytes) {
        MetaForm::Json => read_json(bytes),
        MetaForm::Binary => binary::read(bytes),
    }
}

fn read_json(bytes: &[u8]) -> Result<BackupMeta> {
    let damaged = |reason| CatalogError::Binary { what: WHAT, offset: 0, reason };
    let Some((length, text)) = bytes.split_first_chunk::<4>() else {
        return Err(damaged("it breaks off within its length".into()));
    };
    let length = i32::from_be_bytes(*length);
    if usize::try_from(length) != Ok(text.len()) {
        return Err(damaged(format!("it says to hold {length} bytes of JSON, but holds {}", text.len())));
    }
    serde_json::from_slice(text).map_err(|source| CatalogError::Json { what: WHAT, source })
}

/// Writes the JSON form: a 4-byte big-endian length and the JSON text.
pub fn write(meta: &BackupMeta) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, meta).map_err(|source| CatalogError::Json { what: WHAT, source })?;
    let length = bytes.len() - 4;
    match i32::try_from(length) {
        Ok(prefix) if length <= MAX_JSON => bytes[..4].copy_from_slice(&prefix.to_be_bytes()),
        _ => {
            return Err(CatalogError::Unsupported {
                what: WHAT.into(),
                reason: format!(
                    "{length} bytes of JSON are more than the 1 GiB that StarRocks reads; back up fewer tables at once"
                ),
            });
        }
    }
    Ok(bytes)
}
