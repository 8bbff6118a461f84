//! Bytes to rows: StarRocks' tablet headers, rowsets, segments and delete vectors, to Arrow.
//!
//! This room knows bytes that it is given: whole metadata files as slices, segment files through [`ReadAt`]. It must not know
//! paths, stores, networks, or async.
//!
//! A tablet is what one directory of a backup holds. Its metadata ([`TabletMeta`]) is in `<tablet_id>.hdr`, with
//! `<tablet_id>.dcgs_snapshot` beside it since 3.1, or in `meta` if the table has a PRIMARY KEY; [`expected_files`] names everything
//! else that must be there. [`Tablet`] reads the rows: those that a SELECT returns ([`Tablet::rows`], [`Tablet::rows_where`]) or all
//! that are stored ([`Tablet::physical_rows`]). Rollups are tablets of their own.
//!
//! ```no_run
//! use std::sync::Arc;
//! use starsnap_tablet::{ReadAt, ReadOptions, Tablet, TabletMeta};
//!
//! let meta = TabletMeta::from_header(&std::fs::read("10023/10023.hdr")?)?;
//! let files = |name: &str| Ok(Arc::new(std::fs::read(format!("10023/{name}"))?) as Arc<dyn ReadAt>);
//! for batch in Tablet::new(meta, files).rows(None, &ReadOptions::default())? {
//!     println!("{} rows", batch?.num_rows());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Layers, each knowing only those before it: `proto` (messages), `encoding`, `codec`, `page`; `schema`, `rowset`, `meta` (what there
//! is); `types`, `json` (what values mean); `column`, `segment` (columns of one file); `predicate`, `filter`; `tablet` (rows of all
//! files together); `render` (rows as text).
//!
//! No input makes it panic: every length is checked before it is allocated, every page's checksum before it is used. Not read: GIN,
//! vector, n-gram and bitmap indexes (rows do not need them), encrypted files, rowsets older than 1.19, generic aggregate
//! states that would have to be merged; each of them is refused by name.

pub mod bucket;
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
pub mod render;
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
pub use predicate::Op;
pub use rowset::{RowsetId, RowsetMeta};
pub use schema::{AddedColumn, Aggregation, Column, KeysType, LogicalType, TabletSchema, UniqueIds};
pub use segment::Segment;
pub use source::ReadAt;
pub use tablet::{Named, PhysicalRows, Rows, ScanStats, Tablet, TabletFiles};
pub use types::{BitmapAs, HllAs, LargeIntAs, MapAs, ReadOptions, TextAs};
