//! Bytes to rows: StarRocks' tablet headers, rowsets, segments and delete vectors, to Arrow.
//!
//! This room knows bytes that it is given: whole metadata files as slices, segment files through [`ReadAt`]. It must not know
//! paths, stores, networks, or async.

pub mod codec;
mod column;
pub mod delta;
pub mod delvec;
pub mod encoding;
pub mod error;
pub mod filter;
pub mod header;
pub mod json;
pub mod meta;
mod page;
pub mod predicate;
pub mod proto;
pub mod rowset;
pub mod schema;
pub mod segment;
pub mod snapshot_meta;
pub mod source;
pub mod tablet;
pub mod types;

pub use error::{ErrorKind, Result, TabletError};
pub use filter::Filter;
pub use meta::{TabletMeta, expected_files};
pub use rowset::{RowsetId, RowsetMeta};
pub use schema::{Aggregation, Column, KeysType, LogicalType, TabletSchema};
pub use segment::Segment;
pub use source::ReadAt;
pub use tablet::{PhysicalRows, Rows, Tablet, TabletFiles};
pub use types::{BitmapAs, HllAs, LargeIntAs, ReadOptions, TextAs};
