//! One module per subcommand: options in, calls into the libraries, printed results out.

mod backup;
mod diff;
mod drop;
mod export;
mod generate;
mod head;
mod hidden;
mod init;
mod inspect;
mod ls;
mod mount;
mod properties;
mod reading;
mod restore;
mod snapshots;
mod sql;
mod verify;

use crate::cli::{Cli, Command, Globals};
use crate::failure::Outcome;
use crate::logging::{self, LevelFilter};
use crate::output::printable;
use starsnap_repository::Repository;
use starsnap_repository::cache::IndexCache;
use starsnap_restore::access::Access;
use starsnap_restore::registry::Registry;
use starsnap_restore::report::TableReport;
use starsnap_restore::{Cancel, ErrorKind, RestoreError};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the command.
pub fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let mut globals = cli.globals;
    // A mount has nothing but its log to say what is wrong; other commands print it.
    let is_mount = matches!(cli.command, Command::Mount(_));
    logging::start(&globals, if is_mount { LevelFilter::WARN } else { LevelFilter::ERROR });
    properties::load(&mut globals)?;
    if !is_mount {
        reading::prepare(&mut globals)?;
    }
    if !globals.properties.0.is_empty()
        && matches!(cli.command, Command::Sql(_) | Command::Completions(_) | Command::Man(_))
    {
        let reason = "it takes no properties";
        let advice = "in SQL, CREATE REPOSITORY has them";
        return Err(RestoreError::new(ErrorKind::Usage, "run", "the command", reason).advise(advice).into());
    }
    match cli.command {
        Command::Mount(args) => mount::mount(args, globals),
        Command::Ls(args) => wait(ls::ls(&args, &globals)),
        Command::Snapshots(args) => wait(snapshots::snapshots(&args, &globals)),
        Command::Restore(args) => wait(restore::restore(args, &globals)),
        Command::Verify(args) => wait(verify::verify(args, &globals)),
        Command::Diff(args) => wait(diff::diff(args, &globals)),
        Command::Drop(args) => wait(drop::drop_snapshot(args, &globals)),
        Command::Init(args) => wait(init::init(&args, &globals)),
        Command::Backup(args) => wait(backup::backup(args, &globals)),
        Command::Sql(args) => sql::sql(args, &globals),
        Command::Export(args) => wait(export::export(args, &globals)),
        Command::Head(args) => wait(head::head_command(args, &globals)),
        Command::Inspect(args) => wait(inspect::inspect(args, &globals)),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    }
}

/// Runs as mount(8)'s helper.
pub use mount::helper as mount_helper;

/// Runs a command's future on a runtime of its own.
fn wait(command: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

/// The repository registered under the name `given`; else the only one at the location `given`, or the one called `name` there.
/// What is wrong with it is a warning.
async fn open_repository(given: &str, name: Option<&str>, globals: &Globals) -> anyhow::Result<Repository> {
    let repository = find_repository(given, name, globals).await?;
    if !globals.quiet {
        for problem in repository.problems() {
            logging::line(&format!("starsnap: warning: {}", printable(problem)));
        }
    }
    Ok(repository)
}

async fn find_repository(given: &str, name: Option<&str>, globals: &Globals) -> anyhow::Result<Repository> {
    Ok(access(name, globals).open(given).await?)
}

/// How the repository called `name`, or the only one, is reached.
fn access(name: Option<&str>, globals: &Globals) -> Access {
    Access {
        // Without a home there is no registry, and paths are still paths.
        registry: globals.config.as_ref().map_or_else(|| Registry::of_user().ok(), |file| Some(Registry::at(file))),
        properties: globals.properties.clone(),
        repository_name: name.map(str::to_owned),
        reading: globals.reading.clone(),
        warn: (!globals.quiet).then_some(warn_once),
    }
}

/// A warning, where it was not said before.
fn warn_once(warning: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(warning.to_owned()) {
        logging::line(&format!("starsnap: warning: {}", printable(warning)));
    }
}

/// Where parsed snapshots are kept: as the options say, else in the user's cache, else in the system's for a root without a home (as
/// systemd starts mounts), else nowhere.
fn index_cache(globals: &Globals) -> Option<IndexCache> {
    if globals.no_cache {
        return None;
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let is_root = || rustix::process::geteuid().is_root();
    let dir = globals.cache_dir.clone().or_else(|| {
        absolute("XDG_CACHE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
            .or_else(|| is_root().then(|| PathBuf::from("/var/cache")))
            .map(|caches| caches.join("starsnap"))
    })?;
    // Absolute, as a mount in the background leaves the working directory.
    Some(IndexCache::new(std::path::absolute(&dir).unwrap_or(dir)))
}

/// Stops a job on SIGINT, SIGTERM or SIGHUP; on the second one the process ends at once, as the job is safe to kill. One that was ignored
/// from the start, as `nohup` has it, stays so: a handler would take that back.
struct Stop(Cancel);

impl Stop {
    fn on_signals() -> anyhow::Result<Stop> {
        let cancel = Cancel::default();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        for kind in kinds.into_iter().filter(|kind| !starsnap_fs::signals::ignored(kind.as_raw_value())) {
            let (mut signals, cancel) = (signal(kind)?, cancel.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if cancel.is_cancelled() {
                        std::process::exit(starsnap_restore::error::exit::INTERRUPTED.into());
                    }
                    cancel.cancel();
                }
            });
        }
        Ok(Stop(cancel))
    }

    fn cancel(&self) -> Cancel {
        self.0.clone()
    }
}

fn print_notes(notes: &[String], globals: &Globals) {
    if !globals.quiet {
        notes.iter().for_each(|note| logging::line(&format!("note: {}", printable(note))));
    }
}

fn print_problems(tables: &[TableReport]) {
    for table in tables {
        for problem in &table.problems {
            logging::line(&format!("starsnap: {}: {}", printable(&table.name), printable(problem)));
        }
    }
}
