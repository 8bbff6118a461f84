//! The fuzz targets' work, one function per decoder. A crate outside of the workspace, because it needs a nightly compiler.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod catalog;
#[cfg(feature = "jobs")]
pub mod location;
#[cfg(feature = "jobs")]
pub mod statement;
pub mod tablet;
