//! One module per subcommand: options in, calls into the libraries, printed results out.

mod generate;
mod init;

use crate::cli::{Cli, Command};
use crate::failure::Outcome;
use std::future::Future;

/// Runs the command.
pub fn run(cli: Cli) -> anyhow::Result<Outcome> {
    let globals = cli.globals;
    match cli.command {
        Command::Init(args) => wait(init::init(&args, &globals)),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
        other => anyhow::bail!("this build cannot do that yet: {other:?}"),
    }
}

/// Runs a command's future on a runtime of its own.
fn wait(command: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
