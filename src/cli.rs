//! The command line, defined once: help, shell completions and man pages are made from it.

mod export;
mod jobs;
mod look;
mod rows;
mod values;

pub use values::parse_size;

pub use export::{ExportArgs, ExportFormat, LargeInt, Text};
pub use jobs::{BackupArgs, DropArgs, InitArgs, RestoreArgs, SqlArgs, VerifyArgs};
pub use look::{DiffArgs, LsArgs, MountArgs, SnapshotsArgs};
pub use rows::{HeadArgs, InspectArgs};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use starsnap_repository::reading::Reading;
use starsnap_restore::statement::Properties;
use std::num::NonZeroUsize;
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    done in part: what could not be done is named on standard error
  4    all was compared, and something differs (diff)
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
    /// Memory for what is read from stores that are not local: what is kept, fetched and fetched ahead, all together
    /// [default: 512MiB, but an eighth of the machine's at most]
    #[arg(long, global = true, value_name = "SIZE", value_parser = values::parse_size, help_heading = "Global options")]
    pub memory: Option<u64>,
    /// A directory in which blocks of what is read from such stores are kept; several processes may share it
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Global options")]
    pub cache: Option<PathBuf>,
    /// How much of that
    /// [default: 10GiB]
    #[arg(long, global = true, value_name = "SIZE", value_parser = values::parse_size, help_heading = "Global options")]
    pub cache_size: Option<u64>,
    /// The file of repositories that CREATE REPOSITORY has registered
    /// [default: $XDG_CONFIG_HOME/starsnap/repositories.json]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// A property of the location, as CREATE REPOSITORY has it; again for more. Other users can see the command line: secrets belong
    /// into --properties-file
    #[arg(long = "property", global = true, value_name = "NAME=VALUE", help_heading = "Global options")]
    pub given_properties: Vec<String>,
    /// A file of properties of the location: lines `name = value`, and comments after #. With secrets in it, it must be yours alone
    /// (chmod 600)
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Global options")]
    pub properties_file: Option<PathBuf>,
    /// What --memory, --cache and --cache-size say.
    #[arg(skip)]
    pub reading: Option<Reading>,
    /// What both say.
    #[arg(skip)]
    pub properties: Properties,
}

/// Which repository.
#[derive(Debug, Clone, Args)]
pub struct RepositoryArgs {
    /// A registered name, or a directory or a URL such as s3a://BUCKET/PATH: the repository's directory (`__starrocks_repository_…`), or
    /// the one that holds it, as in ON LOCATION. What has a / or . in it is no name
    #[arg(value_hint = ValueHint::DirPath)]
    pub repository: String,
    /// Which repository, where the directory holds several
    #[arg(long, value_name = "NAME")]
    pub repository_name: Option<String>,
}

/// How fast.
#[derive(Debug, Clone, Copy, Args)]
pub struct SpeedArgs {
    /// Files worked on at once [default: the number of processors, 4 at least; to restore from a store that is not on local disk 8 at least, to
    /// back up to HDFS 16]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// Bytes per second at most, over all workers: 500KiB, 50MiB, 1.5GiB
    #[arg(long, value_name = "RATE", value_parser = values::parse_rate)]
    pub max_speed: Option<u64>,
}

/// How many at once.
#[derive(Debug, Clone, Copy, Args)]
pub struct WorkersArgs {
    /// Files worked on at once [default: the number of processors, 4 at least]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
}

impl WorkersArgs {
    /// Files worked on at once.
    pub fn workers(&self) -> usize {
        SpeedArgs { workers: self.workers, max_speed: None }.workers()
    }
}

/// How fast, in the manual's words for downloads.
#[derive(Debug, Clone, Copy, Args)]
pub struct DownloadArgs {
    /// As --workers, under StarRocks' name; 0 for as many as there are processors
    #[arg(long, value_name = "N", conflicts_with = "workers")]
    pub download_worker_count: Option<usize>,
    /// As --max-speed, under StarRocks' name: KB (1024 bytes) per second, 0 for no limit
    #[arg(long, value_name = "KBPS", conflicts_with = "max_speed")]
    pub max_download_speed_kbps: Option<u64>,
}

/// How fast, in the manual's words for uploads.
#[derive(Debug, Clone, Copy, Args)]
pub struct UploadArgs {
    /// As --workers, under StarRocks' name; 0 for as many as there are processors
    #[arg(long, value_name = "N", conflicts_with = "workers")]
    pub upload_worker_count: Option<usize>,
    /// As --max-speed, the twin of StarRocks' max_download_speed_kbps: KB (1024 bytes) per second, 0 for no limit
    #[arg(long, value_name = "KBPS", conflicts_with = "max_speed")]
    pub max_upload_speed_kbps: Option<u64>,
}

impl SpeedArgs {
    /// The same, with what StarRocks' names say.
    #[must_use]
    pub fn or(self, workers: Option<usize>, kbps: Option<u64>) -> SpeedArgs {
        let speed = kbps.filter(|kbps| *kbps > 0).map(|kbps| kbps.saturating_mul(1024));
        SpeedArgs { workers: workers.and_then(NonZeroUsize::new).or(self.workers), max_speed: speed.or(self.max_speed) }
    }

    /// Files worked on at once.
    pub fn workers(&self) -> usize {
        self.workers.map_or_else(starsnap_restore::default_workers, NonZeroUsize::get)
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
    Diff(DiffArgs),
    Drop(DropArgs),
    Init(InitArgs),
    Backup(BackupArgs),
    Sql(SqlArgs),
    Export(ExportArgs),
    Head(HeadArgs),
    Inspect(InspectArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
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

/// The definition, for completions and man pages.
pub fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }
}
