//! What a backup snapshot holds: `__info_*` and `__meta` to and from databases, tables, partitions and types, and the DDL text that
//! would make them again.
//!
//! This room knows bytes and catalog objects. It must not know where they come from: no paths of a store, no network, no async. Of tablets it knows
//! the schema, in which it finds the catalog's columns.
//!
//! * [`model`]: the catalog objects as `__meta` stores them, for every StarRocks version; unknown keys survive a round trip.
//! * [`info`]: the job info `__info_<timestamp>` (shapes A to D).
//! * [`meta`]: `__meta`, binary (1.19 to 3.1.3) and JSON (3.1.4 and later), told apart by content.
//! * [`range`]: the bounds of range partitions.
//! * [`repo_info`]: the name of a repository, `__repo_info`.
//! * [`snapshot`]: both joined by id into one view: tables, partitions, physical partitions, indexes, tablets in bucket order.
//! * [`ddl`]: the statements StarRocks would accept.
//! * [`table_file`]: `table.json`, the catalog object in a table directory.
//! * [`time`]: instants as texts.
//! * [`layout`]: which names stand where in a snapshot and a table directory.
//! * [`mod@write`]: the way back, from table directories to `__info` and `__meta`.

pub mod ddl;
pub mod error;
pub mod info;
pub mod layout;
pub mod meta;
pub mod model;
pub mod range;
pub mod repo_info;
pub mod snapshot;
pub mod stored;
pub mod table_file;
pub mod time;
mod wire;
pub mod write;

pub use error::{CatalogError, Result};
