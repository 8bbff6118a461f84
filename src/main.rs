//! The `starsnap` binary: arguments in, one call into a command, exit code out.

mod cli;
mod commands;
mod failure;
mod logging;
mod mount_helper;
mod output;
mod progress;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    without_core_dumps();
    if mount_helper::is_running() {
        return commands::mount_helper();
    }
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("starsnap: {}", failure::describe(&error));
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

/// A core dump would hold keys and passwords in clear text. Of 1 byte, and not of 0: that is what programs heed too to which the kernel
/// hands core dumps (`|…` in core_pattern), which have no other limit. The process stays its user's own otherwise: what cannot be dumped at
/// all cannot look into its own /proc either.
fn without_core_dumps() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    let current = Some(maximum.map_or(1, |maximum| maximum.min(1)));
    // Only more than the maximum is refused.
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
}
