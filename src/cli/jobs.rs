//! Arguments of the subcommands that read or write whole snapshots.

use super::values::{TableChoice, parse_percent, parse_table};
use super::{DownloadArgs, RepositoryArgs, SpeedArgs, UploadArgs, WorkersArgs};
use clap::{Args, ValueHint};
use starsnap_restore::verify::Level;
use std::path::PathBuf;

/// Restore tables into a warehouse
///
/// The warehouse is a directory that holds databases, which hold table directories. A table appears whole or not at all; an existing table
/// with the same schema is replaced in one step, one with another schema is refused. A restore that was killed goes on where it was when
/// it is run again.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The repository, or a path in a mounted one: a timestamp's directory, a table, a partition
    #[arg(value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// LABEL, LABEL@latest or LABEL@TIMESTAMP; not with a path in a mounted repository
    pub snapshot: Option<String>,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME", requires = "snapshot")]
    pub repository_name: Option<String>,
    /// Only this table, under another name if one is given; again for more tables
    #[arg(long = "table", value_name = "TABLE[=ALIAS]", value_parser = parse_table)]
    pub tables: Vec<TableChoice>,
    /// Only this partition of the one table that is restored; again for more partitions
    #[arg(long = "partition", value_name = "PARTITION")]
    pub partitions: Vec<String>,
    /// Where restored databases are
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub warehouse: PathBuf,
    /// Restore into this database instead of the one that was backed up
    #[arg(long)]
    pub database: Option<String>,
    /// Read once more what an interrupted restore has finished, instead of trusting its journal
    #[arg(long)]
    pub recheck: bool,
    #[command(flatten)]
    pub speed: SpeedArgs,
    #[command(flatten)]
    pub download: DownloadArgs,
}

/// Verify that what stands in a repository is what StarRocks wrote, and all of it
///
/// Table by table; what is wrong is named with its path. Ends with 3 when something is missing, damaged, contradictory or could not be
/// looked at, and also when a backup was not completed, unless another snapshot is named.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The repository; or a directory of tables, a table or a partition in a mount or a warehouse, or a tablet's directory
    #[arg(value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// LABEL, LABEL@latest or LABEL@TIMESTAMP [default: all snapshots of the repository]
    pub snapshot: Option<String>,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
    /// Only this table; again for more tables
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    #[command(flatten)]
    pub level: LevelArgs,
    /// Read the files of this share of the tablets only, the same ones each time; names are looked at in all
    #[arg(long, value_name = "N%", value_parser = parse_percent)]
    pub sample: Option<f64>,
    #[command(flatten)]
    pub speed: SpeedArgs,
}

/// How closely to look; each level does what those before it do.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub struct LevelArgs {
    /// Names and completeness: catalog and headers, and every file that they name
    #[arg(long)]
    pub quick: bool,
    /// Also every file's md5 (this is the default)
    #[arg(long)]
    pub md5: bool,
    /// Also the checksum of every page
    #[arg(long)]
    pub pages: bool,
    /// Also every value decoded, and rows counted
    #[arg(long)]
    pub rows: bool,
}

impl LevelArgs {
    /// The level that is asked for.
    pub fn level(self) -> Level {
        match self {
            LevelArgs { rows: true, .. } => Level::Rows,
            LevelArgs { pages: true, .. } => Level::Pages,
            LevelArgs { quick: true, .. } => Level::Quick,
            _ => Level::Md5,
        }
    }
}

/// Make an empty repository
#[derive(Debug, Args)]
pub struct InitArgs {
    /// A directory or a URL, as in ON LOCATION; the repository's own directory is made in it
    #[arg(value_hint = ValueHint::DirPath)]
    pub location: String,
    /// The repository's name, as in CREATE REPOSITORY
    #[arg(long)]
    pub name: String,
}

/// Back up table directories into a new snapshot that StarRocks can restore
///
/// Files that the repository already holds with the same md5 are not written twice. A backup that was killed leaves a label that counts as
/// incomplete; running it again finishes it.
#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// The new snapshot's label; one in use is refused
    pub label: String,
    /// Where the table directories are: DIR/DATABASE/TABLE
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub warehouse: PathBuf,
    /// The database in the warehouse
    #[arg(long)]
    pub database: String,
    /// Only this table; again for more tables
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Only this partition of the one table that is backed up; again for more partitions
    #[arg(long = "partition", value_name = "PARTITION")]
    pub partitions: Vec<String>,
    #[command(flatten)]
    pub speed: SpeedArgs,
    #[command(flatten)]
    pub upload: UploadArgs,
}

/// Run StarRocks' statements: CREATE REPOSITORY, SHOW SNAPSHOT, BACKUP, RESTORE and their like
///
/// Repositories that CREATE REPOSITORY registers are known by name to every command. BACKUP takes tables from a warehouse, RESTORE puts
/// them there; both run to their end. On a terminal, without statements, there is a prompt.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// A file of statements; - or none: standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// The statements
    #[arg(long, short = 'e', value_name = "STATEMENTS", conflicts_with = "file")]
    pub execute: Option<String>,
    /// Where databases are: DIR/DATABASE/TABLE; SET warehouse = 'DIR' names another
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub warehouse: Option<PathBuf>,
    /// The database that statements mean when they name none, as USE says
    #[arg(long, short = 'D')]
    pub database: Option<String>,
}

/// Drop a snapshot from its repository, which StarRocks cannot
///
/// All that its backup wrote under the label goes, `__info` first, so that what a killed drop leaves never looks complete; what no backup writes
/// stays, and is named. Asks for the label before it begins. A repository that was created READ ONLY is refused.
#[derive(Debug, Args)]
pub struct DropArgs {
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// LABEL, or LABEL@TIMESTAMP to be sure which one it is
    pub snapshot: String,
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Also a backup that was not completed and was written to in the last 24 hours: it may still be running
    #[arg(long)]
    pub unfinished: bool,
    #[command(flatten)]
    pub speed: WorkersArgs,
}
