//! Bytes to rows: StarRocks' tablet headers, rowsets, segments and delete vectors, to Arrow.
//!
//! This room knows bytes that it is given through a small `ReadAt` trait. It must not know paths, stores, networks, or async.
