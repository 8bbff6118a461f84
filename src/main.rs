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
