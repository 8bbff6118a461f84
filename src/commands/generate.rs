//! `starsnap completions` and `starsnap man`: made from the command line's definition.

use crate::cli::{self, CompletionsArgs, ManArgs};
use crate::failure::Outcome;
use crate::mount_helper;
use crate::output::Output;
use anyhow::Context as _;
use std::io;
use std::path::Path;

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
            clap_mangen::Man::new(pages()).render(&mut page)?;
            print(&page)
        }
        Some(dir) => {
            clap_mangen::generate_to(pages(), dir)
                .and_then(|()| helper_page(dir))
                .with_context(|| format!("cannot write man pages into {}", dir.display()))?;
            Ok(Outcome::Done)
        }
    }
}

/// The definition without `help`, which needs no page.
fn pages() -> clap::Command {
    cli::definition().disable_help_subcommand(true)
}

/// The page of mount(8)'s helper, which is in section 8 as mount is.
fn helper_page(dir: &Path) -> io::Result<()> {
    let page = clap_mangen::Man::new(mount_helper::definition()).section("8");
    page.generate_to(dir).map(drop)
}

fn print(bytes: &[u8]) -> anyhow::Result<Outcome> {
    let mut out = Output::stdout();
    out.raw(bytes)?;
    out.finish()?;
    Ok(Outcome::Done)
}
