//! What can be wrong with the catalog part of a snapshot.

/// Result of this crate.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// An error in `__info`, `__meta`, `__repo_info` or `table.json`. The caller knows the object's path and adds it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// Not the JSON that is expected here (or nested too deeply); `what` names the object.
    #[error("{what} is not valid: {source}")]
    Json {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// The binary form breaks off or holds an impossible value at `offset`.
    #[error("{what} is damaged at byte {offset}: {reason}")]
    Binary { what: &'static str, offset: u64, reason: String },
    /// Well-formed, but contradicts itself or the format.
    #[error("{what} is inconsistent: {reason}")]
    Inconsistent { what: String, reason: String },
    /// Understood, but not supported.
    #[error("{what} is not supported: {reason}")]
    Unsupported { what: String, reason: String },
}
