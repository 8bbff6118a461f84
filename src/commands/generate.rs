//! `starsnap completions` and `starsnap man`: made from the command line's definition.

use crate::cli::{self, CompletionsArgs, ManArgs};
use crate::failure::Outcome;
use crate::output::Output;
use anyhow::Context as _;

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::definition(), "starsnap", &mut script);
    print(&script)
}

/// Prints the main page, or writes all pages into a directory.
pub fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    match &args.dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(cli::definition()).render(&mut page)?;
            print(&page)
        }
        Some(dir) => {
            clap_mangen::generate_to(cli::definition(), dir)
                .with_context(|| format!("cannot write man pages into {}", dir.display()))?;
            Ok(Outcome::Done)
        }
    }
}

fn print(bytes: &[u8]) -> anyhow::Result<Outcome> {
    let mut out = Output::stdout();
    out.raw(bytes)?;
    out.finish()?;
    Ok(Outcome::Done)
}
