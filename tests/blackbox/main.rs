//! Black-box tests: the real binary over genuine repositories, real mounts, real signals.
//!
//! They mount, so they need /dev/fuse; those that mount as mount(8) does need root. Where that is missing they fail and say so: a test that
//! skips itself proves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod genuine;

mod comparing;
mod copies;
mod documents;
mod dropping;
mod exit_codes;
mod exporting;
mod faults;
mod gallery;
mod generated;
mod hdfs;
mod hdfs_faults;
mod hdfs_way;
mod hostile;
mod kills;
mod limits;
mod listing;
mod locations;
mod looking;
mod memory;
mod mounting;
mod remote;
mod remote_copies;
mod remote_credentials;
mod remote_dropping;
mod remote_reading;
mod remote_sessions;
mod rows;
mod scale_out;
mod sql;
mod statements;
mod store;
mod trees;
mod verifying;

#[path = "../../core/repository/tests/support/hdfs_cluster.rs"]
mod hdfs_cluster;
#[path = "../../core/repository/tests/support/test_stores.rs"]
mod test_stores;
