//! Arguments of the subcommands that look into a repository.

use super::RepositoryArgs;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Mount a repository as a read-only filesystem
///
/// Snapshots are directories, their backup timestamps directories in them, tables directories in those. The mount is ready when the
/// command returns. Unmount with `umount` or `fusermount3 -u`.
#[derive(Debug, Args)]
pub struct MountArgs {
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// An existing, empty directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    /// Stay in the foreground; SIGINT and SIGTERM unmount
    #[arg(long, short)]
    pub foreground: bool,
    /// Let other users see the mount (as non-root this needs user_allow_other in /etc/fuse.conf)
    #[arg(long)]
    pub allow_other: bool,
    /// Show no rows.csv and rows.jsonl in tables and partitions, so that `cp -r` and `grep -r` decode nothing
    #[arg(long)]
    pub no_rows: bool,
    /// Do not check the md5 of files that are read from start to end: for networks that are faster than a processor takes an md5
    #[arg(long)]
    pub no_md5: bool,
    /// Options as mount(8) writes them, separated by commas: ro, allow_other, nonempty, no_rows, no_md5, repository_name=…, cache_dir=…, no_cache, memory=…, cache=…, cache_size=…, config=…,
    /// properties_file=…, property=NAME=VALUE
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<String>,
}

/// List the snapshots of a repository
///
/// Label, timestamp, database, tables, partitions, tablets, files, bytes, age, and whether a restore could use it; broken ones with why.
#[derive(Debug, Args)]
pub struct SnapshotsArgs {
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// Only this label
    pub label: Option<String>,
}

/// List a repository's tree as the mount shows it, without mounting
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// A path in the mount's tree: LABEL/TIMESTAMP/TABLE/PARTITION/…
    #[arg(default_value = "")]
    pub path: String,
    /// Also mode, size and time
    #[arg(short)]
    pub long: bool,
    /// Everything below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Also what begins with a dot: StarRocks' own hidden partitions
    #[arg(short, long)]
    pub all: bool,
}

/// Compare two snapshots, or a snapshot and a restored database
///
/// Tables, views, functions and external catalogs: what only one side has, statements that differ, partitions with other bounds or versions, and
/// stored files by size and md5. Files tell whether stored data changed, not whether rows did: a compaction writes other files of the same
/// rows. Ends with 4 when something differs.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// REPOSITORY/LABEL or REPOSITORY/LABEL@TIMESTAMP (a registered name, a directory or a URL), a table or partition below it; or a directory:
    /// a snapshot in a mount, a database of a warehouse, a table, a partition
    #[arg(value_hint = ValueHint::AnyPath)]
    pub old: String,
    /// The same of the other side. Two tables are compared with each other whatever they are called
    #[arg(value_hint = ValueHint::AnyPath)]
    pub new: String,
    /// Which repository, where a directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
    /// Only this table, view, function or external catalog; again for more
    #[arg(long = "table", value_name = "NAME")]
    pub tables: Vec<String>,
    /// Name each file that differs
    #[arg(long)]
    pub files: bool,
}
