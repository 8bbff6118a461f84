//! The command line, defined once: help, shell completions and man pages are made from it.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use starsnap_restore::verify::Level;
use std::num::NonZeroUsize;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    done in part: what could not be done is named on standard error
  10   no such repository or snapshot
  130  interrupted";

/// Opens StarRocks backup repositories without StarRocks: mount them, look into them, restore from them, write them
#[derive(Debug, Parser)]
#[command(name = "starsnap", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every subcommand.
#[derive(Debug, Clone, Default, Args)]
pub struct Globals {
    /// Print JSON for scripts: sizes in bytes, times in milliseconds since the epoch
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print errors only
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: bool,
    /// One line per step instead of progress bars
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_progress: bool,
    /// Log what is being done (twice: in detail); RUST_LOG chooses more finely
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// Where parsed snapshots are kept, so that a large repository opens at once the second time
    /// [default: $XDG_CACHE_HOME/starsnap]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Global options")]
    pub cache_dir: Option<PathBuf>,
    /// Keep no parsed snapshots
    #[arg(long, global = true, conflicts_with = "cache_dir", help_heading = "Global options")]
    pub no_cache: bool,
    /// The file of repositories that CREATE REPOSITORY has registered
    /// [default: $XDG_CONFIG_HOME/starsnap/repositories.json]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Global options")]
    pub config: Option<PathBuf>,
}

/// Which repository.
#[derive(Debug, Clone, Args)]
pub struct RepositoryArgs {
    /// A registered name, or a directory or file:// URL: the repository's directory (`__starrocks_repository_…`), or the one that holds
    /// it, as in ON LOCATION. What has a / or . in it is no name
    #[arg(value_hint = ValueHint::DirPath)]
    pub repository: String,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
}

/// How fast.
#[derive(Debug, Clone, Copy, Args)]
pub struct SpeedArgs {
    /// Files worked on at once [default: the number of processors, 4 at least]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Bytes per second at most, over all workers: 500KiB, 50MiB, 1.5GiB
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub max_speed: Option<u64>,
}

impl SpeedArgs {
    /// Files worked on at once.
    pub fn workers(&self) -> usize {
        self.workers
            .map_or_else(|| std::thread::available_parallelism().map_or(4, |n| n.get().max(4)), NonZeroUsize::get)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Mount(MountArgs),
    Snapshots(SnapshotsArgs),
    Ls(LsArgs),
    Restore(RestoreArgs),
    Verify(VerifyArgs),
    Init(InitArgs),
    Backup(BackupArgs),
    Sql(SqlArgs),
    Export(ExportArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

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
    /// Options as mount(8) writes them, separated by commas: ro, allow_other, nonempty, repository_name=…, cache_dir=…, no_cache, config=…
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
}

/// Verify that what stands in a repository is what StarRocks wrote, and all of it
///
/// Table by table; what is wrong is named with its path. Ends with 3 when something is missing, damaged, contradictory or could not be
/// looked at, and also when a backup was not completed, unless another snapshot is named.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The repository; or a directory of tables, a table or a partition in a mount or a warehouse
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
    /// A directory or file:// URL, as in ON LOCATION; the repository's own directory is made in it
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

/// Export rows as Parquet, CSV, JSON lines or Arrow
///
/// What SELECT * would have returned at the moment of the backup. Into a directory, each tablet becomes a file of its own, and a table appears
/// whole or not at all; an export that was killed goes on where it was when it is run again. Into a file or a pipe, all rows follow each
/// other in the table's order.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A table, partition, tablet, database or snapshot directory (of a mount, a warehouse, a BE), or a path into a repository:
    /// REPOSITORY/LABEL or REPOSITORY/LABEL@TIMESTAMP, and below it /TABLE or /TABLE/PARTITION
    #[arg(value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
    /// What to write
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// A directory, made where missing; or a file for one table, when the name has an extension; or - for a pipe
    #[arg(long, value_name = "DIR|FILE|-", value_hint = ValueHint::AnyPath)]
    pub to: String,
    /// Only these columns, in this order, separated by commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// At most so many rows of each table
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Every stored row of every segment, in order: not merged by key, deleted ones too, without later column updates
    #[arg(long)]
    pub physical: bool,
    /// Read this rollup or synchronous materialized view instead of the table's base index
    #[arg(long, value_name = "NAME")]
    pub index: Option<String>,
    /// Tablets worked on at once [default: the number of processors]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Between CSV fields; \t and \xHH stand for bytes
    #[arg(long, value_name = "TEXT", default_value = ",", help_heading = "CSV")]
    pub csv_separator: String,
    /// NULL in CSV
    #[arg(long, value_name = "TEXT", default_value = "\\N", help_heading = "CSV")]
    pub csv_null: String,
    /// Column names in the first line of each CSV file
    #[arg(long, help_heading = "CSV")]
    pub csv_header: bool,
    /// LARGEINT in Parquet and Arrow: decimal128 is refused where a value has 39 digits
    #[arg(long, value_enum, default_value_t = LargeInt::Decimal128, help_heading = "Parquet and Arrow")]
    pub largeint: LargeInt,
    /// CHAR and VARCHAR in Parquet and Arrow: utf8 is refused where a value is none, lossy puts U+FFFD there
    #[arg(long, value_enum, default_value_t = Text::Utf8, help_heading = "Parquet and Arrow")]
    pub text: Text,
}

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Parquet,
    Csv,
    Jsonl,
    Arrow,
}

/// What LARGEINT becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LargeInt {
    Decimal128,
    Decimal256,
    Text,
}

/// What CHAR and VARCHAR become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Text {
    Utf8,
    Lossy,
    Binary,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    pub shell: Shell,
}

/// Print the man page, or write one page per subcommand into a directory
#[derive(Debug, Args)]
pub struct ManArgs {
    /// An existing directory, man1 of a MANPATH
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

/// A table to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChoice {
    pub name: String,
    /// The name to restore it under.
    pub alias: Option<String>,
}

/// The definition, for completions and man pages.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// `TABLE[=ALIAS]`; `\=` stands for an equals sign in a name.
fn parse_table(text: &str) -> Result<TableChoice, String> {
    let mut names = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '=' if !escaped => names.push(String::new()),
            _ => {
                let Some(name) = names.last_mut() else { break };
                if escaped && c != '=' && c != '\\' {
                    name.push('\\');
                }
                name.push(c);
                escaped = false;
            }
        }
    }
    if names.len() > 2 || escaped || names.iter().any(String::is_empty) {
        return Err("expected TABLE or TABLE=ALIAS, with \\= for an equals sign in a name".to_owned());
    }
    let alias = if names.len() == 2 { names.pop() } else { None };
    Ok(TableChoice { name: names.pop().unwrap_or_default(), alias })
}

/// Bytes per second: a number with an optional unit KiB, MiB, GiB (K, M, G mean the same) and an optional `/s`.
fn parse_rate(text: &str) -> Result<u64, String> {
    let problem = || format!("`{text}` is no speed: expected bytes per second such as 500KiB, 50MiB, 1.5GiB");
    let bare = text.trim().trim_end_matches("/s");
    let split = bare.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(bare.len());
    let (number, unit) = bare.split_at(split);
    let scale = match unit.trim() {
        "" | "B" => 1.0,
        "K" | "k" | "KiB" => 1024.0,
        "M" | "MiB" => 1024.0 * 1024.0,
        "G" | "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(problem()),
    };
    let bytes = number.parse::<f64>().map_err(|_| problem())? * scale;
    // Beyond this, a limit means nothing; below one byte nothing would ever move.
    if !(1.0..=1e15).contains(&bytes) {
        return Err(problem());
    }
    Ok(bytes as u64)
}

/// More than 0 and at most 100 percent; the sign may be left out.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').parse::<f64>().ok();
    let percent = number.filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.ok_or_else(|| format!("`{text}` is no share: expected more than 0% and at most 100%, such as 5%"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn tables_and_aliases() {
        let choice = |name: &str, alias: Option<&str>| {
            Ok(TableChoice { name: name.to_owned(), alias: alias.map(str::to_owned) })
        };
        assert_eq!(parse_table("orders"), choice("orders", None));
        assert_eq!(parse_table("orders=old"), choice("orders", Some("old")));
        assert_eq!(parse_table(r"a\=b=c"), choice("a=b", Some("c")));
        assert_eq!(parse_table(r"a\b\\"), choice(r"a\b\", None));
        for bad in ["", "=", "a=", "=b", "a=b=c", r"a\"] {
            assert!(parse_table(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(parse_percent("5%"), Ok(5.0));
        assert_eq!(parse_percent("0.5"), Ok(0.5));
        assert_eq!(parse_percent("100%"), Ok(100.0));
        for bad in ["", "%", "0", "101%", "-1", "nan", "inf", "five"] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("1"), Ok(1));
        assert_eq!(parse_rate("500KiB"), Ok(500 << 10));
        assert_eq!(parse_rate("50M"), Ok(50 << 20));
        assert_eq!(parse_rate("1.5 GiB/s"), Ok(3 << 29));
        for bad in ["", "0", "fast", "-1", "1TB", "nan", "1e3", "1.5.5", "0.1"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
