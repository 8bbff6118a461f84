//! The protobuf messages of the storage format, declared in Rust. Field numbers have been stable over all releases; text fields
//! that StarRocks does not guarantee to be UTF-8 are kept as bytes. Only what a reader needs, or what is worth showing, is here.

pub mod segment;
pub mod tablet;

use crate::error::{Result, TabletError};

/// Decodes `bytes` as `M`; `what` names the message in the error.
pub(crate) fn decode<M: prost::Message + Default>(bytes: &[u8], what: &str) -> Result<M> {
    M::decode(bytes).map_err(|e| TabletError::damaged(format!("{what} does not parse: {e}")))
}
