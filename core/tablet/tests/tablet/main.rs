//! The crate against genuine tablets, and against damaged ones.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod build;
mod cells;
mod common;
mod damage;
mod evolution;
mod filters;
mod logical;
mod made;
mod matrix;
mod merging;
mod metadata;
mod render;
mod shared;
mod values;
mod vectors;
