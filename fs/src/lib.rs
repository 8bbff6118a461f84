//! StarRocks backup repositories as a read-only filesystem.
//!
//! This room knows names, sizes, times and inode numbers, and how they stand in a tree. It must not know how a repository is stored, what
//! a catalog's bytes look like, or what is inside a tablet's files, whose rows it only hands on: it asks the rooms below.
//!
//! * [`tree`]: the tree of labels, snapshots, tables and files, without FUSE. The mount and `starsnap ls` show the same one.
//! * [`mount`]: the tree as a FUSE filesystem.
//! * [`daemon`]: a background process that says when it is ready.
//! * [`signals`]: which signals are to be left alone.

pub mod daemon;
pub mod error;
pub mod mount;
pub mod signals;
pub mod tree;

pub use error::{FsError, Result};
