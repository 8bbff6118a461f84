//! `starsnap mount`, and `mount.starsnap` as mount(8) calls it.

use super::{index_cache, open_repository, wait};
use crate::cli::{Globals, MountArgs};
use crate::failure::{self, Outcome};
use crate::logging;
use crate::mount_helper::{self, MountHelper, Options};
use anyhow::Context as _;
use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;
use starsnap_fs::daemon::{Daemon, daemonize};
use starsnap_fs::mount::{MountOptions, run_foreground};
use starsnap_fs::tree::{self, Tree};
use starsnap_restore::{ErrorKind, RestoreError};
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// What is mounted where, and how.
struct Request {
    repository: String,
    mountpoint: PathBuf,
    options: Options,
    foreground: bool,
}

/// Mounts as the command line asks. In the background the caller returns when the mount can be used.
pub fn mount(args: MountArgs, mut globals: Globals) -> anyhow::Result<Outcome> {
    let mut options = Options::parse(&args.options, mount_helper::From::Person)
        .map_err(|problem| RestoreError::new(ErrorKind::Usage, "mount", &args.repository.repository, problem))?;
    options.allow_other |= args.allow_other;
    options.no_rows |= args.no_rows;
    options.no_md5 |= args.no_md5;
    options.repository_name = args.repository.repository_name.or(options.repository_name);
    globals.no_cache |= options.no_cache;
    globals.cache_dir = globals.cache_dir.or_else(|| options.cache_dir.clone());
    globals.config = globals.config.or_else(|| options.config.clone());
    globals.memory = globals.memory.or(options.memory);
    globals.cache = globals.cache.or_else(|| options.cache.clone());
    globals.cache_size = globals.cache_size.or(options.cache_size);
    super::reading::prepare(&mut globals)?;
    super::properties::add(&mut globals, &options.properties, options.properties_file.as_deref())?;
    let request = Request {
        repository: args.repository.repository,
        mountpoint: args.mountpoint,
        options,
        foreground: args.foreground,
    };
    start(&request, &globals)
}

/// Exit codes of mount(8), which it expects of its helpers.
mod code {
    pub const USAGE: u8 = 1;
    pub const FAILED: u8 = 32;
}

/// Mounts as mount(8) asks.
pub fn helper() -> ExitCode {
    let args = match MountHelper::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Standard error may be gone, and then nobody can be told.
            let _ = error.print();
            let asked = matches!(error.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(code::USAGE) };
        }
    };
    let from = if args.sloppy { mount_helper::From::SloppyMount } else { mount_helper::From::Mount };
    let options = match Options::parse(&args.options, from) {
        Ok(options) if args.namespace.is_none() => options,
        Ok(_) => return refuse("another mount namespace is not supported"),
        Err(problem) => return refuse(&problem),
    };
    let mut globals = Globals {
        verbose: args.verbose.into(),
        cache_dir: options.cache_dir.clone(),
        no_cache: options.no_cache,
        config: options.config.clone(),
        memory: options.memory,
        cache: options.cache.clone(),
        cache_size: options.cache_size,
        ..Globals::default()
    };
    logging::start(&globals, logging::LevelFilter::WARN);
    let request = Request { repository: args.repository, mountpoint: args.mountpoint, options, foreground: false };
    let given = (&request.options.properties, request.options.properties_file.as_deref());
    let done = super::properties::add(&mut globals, given.0, given.1)
        .and_then(|()| super::reading::prepare(&mut globals))
        .and_then(|()| if args.fake { check(&request, &globals) } else { start(&request, &globals) });
    match done {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            logging::line(&format!("{}: {}", mount_helper::NAME, failure::describe(&error)));
            ExitCode::from(code::FAILED)
        }
    }
}

fn refuse(problem: &str) -> ExitCode {
    logging::line(&format!("{}: {problem}", mount_helper::NAME));
    ExitCode::from(code::USAGE)
}

/// All but mounting.
fn check(request: &Request, globals: &Globals) -> anyhow::Result<Outcome> {
    wait(async {
        open_repository(&request.repository, request.options.repository_name.as_deref(), globals).await?;
        let metadata = std::fs::metadata(&request.mountpoint)
            .with_context(|| format!("cannot mount on {}", request.mountpoint.display()))?;
        anyhow::ensure!(metadata.is_dir(), "cannot mount on {}: it is not a directory", request.mountpoint.display());
        Ok(Outcome::Done)
    })
}

fn start(request: &Request, globals: &Globals) -> anyhow::Result<Outcome> {
    if request.foreground {
        let said = || logging::line(&format!("mounted on {}; Ctrl-C unmounts", request.mountpoint.display()));
        return wait(serve(request, globals, || {
            if !globals.quiet {
                said()
            }
            Ok(())
        }));
    }
    // Returns in the background process; the caller's waits for it to be ready, or to fail.
    let daemon = RefCell::new(Some(daemonize().context("cannot start a background process")?));
    let ready = || {
        logging::to_syslog();
        daemon.take().map_or(Ok(()), Daemon::ready)
    };
    let served = wait(serve(request, globals, ready));
    if let Err(error) = &served {
        match daemon.take() {
            Some(daemon) => {
                let helper = crate::mount_helper::is_running();
                let (name, code) = match helper {
                    true => (mount_helper::NAME, code::FAILED),
                    false => ("starsnap", failure::exit_code(error)),
                };
                daemon.fail(code, &format!("{name}: {}\n", failure::describe(error)));
            }
            None => tracing::error!("{}", failure::describe(error)),
        }
    }
    // Whatever happened is said; this process has nobody to say it to.
    std::process::exit(served.is_err().into());
}

/// Mounts and serves until unmounted; calls `ready` when the mount can be used.
async fn serve(
    request: &Request,
    globals: &Globals,
    ready: impl FnOnce() -> io::Result<()>,
) -> anyhow::Result<Outcome> {
    let repository = open_repository(&request.repository, request.options.repository_name.as_deref(), globals).await?;
    let mut options = MountOptions::new(&request.mountpoint);
    options.allow_other = request.options.allow_other;
    options.nonempty = request.options.nonempty;
    options.verify = !request.options.no_md5;
    options.name = repository.storage().describe();
    options.reading = repository.reading().clone();
    let kept = index_cache(globals);
    options.uses = globals.cache.iter().chain(kept.as_ref().map(|kept| &kept.dir)).cloned().collect();
    let tree = Tree::new(
        Arc::new(repository),
        kept,
        tree::Options { rows: !request.options.no_rows, ..tree::Options::default() },
    );
    run_foreground(Arc::new(tree), &options, ready).await?;
    Ok(Outcome::Done)
}
