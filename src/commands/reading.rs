//! `--memory`, `--cache` and `--cache-size`: what repositories are read with.

use crate::cli::Globals;
use starsnap_repository::reading::{ReadOptions, Reading};
use starsnap_restore::{ErrorKind, RestoreError};

/// Size of the cache on disk where none is given.
const USUAL_CACHE: u64 = 10 << 30;

/// Takes the options into `globals.reading`.
pub fn prepare(globals: &mut Globals) -> anyhow::Result<()> {
    if globals.cache_size.is_some() && globals.cache.is_none() {
        let reason = "it says how large a cache may be that is not asked for";
        return Err(RestoreError::new(ErrorKind::Usage, "use", "--cache-size", reason)
            .advise("say where: --cache DIR")
            .into());
    }
    if globals.memory.is_none() && globals.cache.is_none() {
        return Ok(());
    }
    let mut options = ReadOptions::default();
    options.memory = globals.memory.unwrap_or(options.memory);
    options.disk = globals.cache.clone().map(|dir| (dir, globals.cache_size.unwrap_or(USUAL_CACHE)));
    globals.reading = Some(Reading::new(&options).map_err(RestoreError::from)?);
    Ok(())
}
