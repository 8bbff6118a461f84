//! Jobs over StarRocks backup repositories: restore and backup, the survey of what is there; and the warehouse, the directory of restored
//! databases (`<warehouse>/<database>/<table>/`), made of table directories.
//!
//! This room knows repositories, catalogs and local directories. It must not know terminals, command lines or what is mounted: it takes
//! options and listeners, and returns reports.
//!
//! * [`source`]: what is restored from.
//! * [`restore`], [`backup`], [`export`], [`survey`], [`verify`], [`diff`], [`drop`](mod@drop): the jobs; [`head`] and [`inspect`](export::inspect): a look inside.
//! * [`condition`]: which rows an export takes.
//! * [`statement`]: the manual's statements, from text; [`session`]: running them; [`registry`]: repositories by name.
//! * [`report`], [`progress`], [`error`]: what they say.

pub mod access;
pub mod backup;
mod choices;
mod commit;
mod complete;
pub mod condition;
pub mod diff;
pub mod drop;
pub mod error;
pub mod export;
pub mod head;
mod merge;
mod objects;
mod plan;
pub mod progress;
pub mod registry;
pub mod report;
pub mod restore;
mod select;
pub mod session;
pub mod source;
mod staging;
pub mod statement;
pub mod survey;
pub mod time;
mod transfer;
pub mod verify;
pub mod wanted;
mod warehouse;

pub use error::{ErrorKind, RestoreError, Result};
pub use progress::{Cancel, Progress, Silent};

/// Files worked on at once where nobody says how many: as many as there are processors, 4 at least.
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(4, |count| count.get().max(4))
}

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)
}
