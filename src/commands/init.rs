//! `starsnap init`: an empty repository.

use crate::cli::{Globals, InitArgs};
use crate::failure::Outcome;
use crate::output::Output;
use serde::Serialize;
use starsnap_restore::backup;

#[derive(Serialize)]
struct Made<'a> {
    repository: &'a str,
    location: String,
    directory: String,
    created: &'a str,
}

/// Makes the repository and says where.
pub async fn init(args: &InitArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let location = super::access(None, globals).location(&args.location)?;
    let repository = backup::init(&location, &args.name).await?;
    let made = Made {
        repository: repository.name(),
        location: repository.storage().describe(),
        directory: repository.path(""),
        created: repository.create_time(),
    };
    let mut out = Output::stdout();
    match (globals.json, globals.quiet) {
        (true, _) => out.json(&made)?,
        (false, true) => {}
        (false, false) => {
            out.line(&format!("made repository {} in {}/{}", made.repository, made.location, made.directory))?
        }
    }
    out.finish()?;
    Ok(Outcome::Done)
}
