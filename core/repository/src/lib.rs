//! Where snapshots live: locations, storage, layout, listing, reading and writing with md5, and the local index cache.
//!
//! This room knows paths of a repository and bytes of its files. It must not know what is mounted, what is restored where, or what is
//! inside a tablet's files.
//!
//! * [`storage`]: one small trait over every store, and the stores.
//! * [`repository`]: find repositories under a location, list labels and timestamps, open snapshots.
//! * [`snapshot`]: an opened snapshot: its catalog and the files of its tablets.
//! * [`writer`]: new repositories and new snapshots, in StarRocks' order.
//! * [`dropping`]: removing a snapshot.
//! * [`reading`]: files of stores that are far away, fetched ahead and kept, within one amount of memory.
//! * [`limiter`]: how fast, at most.
//! * [`cache`]: parsed snapshots kept on local disk.
//! * [`durability`]: where files become durable together.

mod blocking;
pub mod cache;
pub mod dropping;
pub mod durability;
pub mod error;
pub mod limiter;
mod location;
pub mod md5;
mod nearest;
mod own;
pub mod reading;
pub mod repository;
pub mod snapshot;
pub mod storage;
pub mod writer;

pub use error::{ErrorKind, RepositoryError, Result};
pub use nearest::nearest;
pub use repository::{Location, Repository};
pub use snapshot::{FileEntry, OpenSnapshot, TabletKey};
