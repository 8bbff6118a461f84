//! Secrets in the command line, which all users of the host can see: the program starts again in the same process, without them, and finds
//! them in memory.

use crate::logging;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;

/// Stands in the command line for what was taken out of it.
pub const HIDDEN: &str = "***";

/// What may be taken out of the command line.
pub struct Hidden {
    /// Of the file in memory.
    pub name: &'static str,
    /// The variable that names its descriptor.
    pub variable: &'static str,
    /// How secrets are given that nobody sees.
    pub better: &'static str,
}

impl Hidden {
    /// Runs this program again with `secrets` in memory and `args` instead of its own. Returns only when that fails.
    pub fn hide(&self, secrets: &[u8], args: impl Fn(OsString) -> OsString, quiet: bool) -> io::Error {
        if !quiet {
            logging::line(&format!(
                "starsnap: warning: other users could see the secrets in the command line for a moment: {}",
                self.better
            ));
        }
        self.again(secrets, args).unwrap_or_else(|error| error)
    }

    fn again(&self, secrets: &[u8], args: impl Fn(OsString) -> OsString) -> io::Result<io::Error> {
        // Inherited by what runs next, which is this program, and closed by it.
        let mut memory = File::from(rustix::fs::memfd_create(self.name, rustix::fs::MemfdFlags::empty())?);
        memory.write_all(secrets)?;
        memory.rewind()?;
        let mut given = std::env::args_os();
        let program = given.next().unwrap_or_default();
        let mut again = std::process::Command::new("/proc/self/exe");
        Ok(again.arg0(program).args(given.map(args)).env(self.variable, memory.as_raw_fd().to_string()).exec())
    }

    /// What [`Hidden::hide`] has put into memory, if this is the program that it started. The descriptor is closed, as programs that are
    /// started from here must not have it.
    pub fn taken_out(&self) -> io::Result<Option<String>> {
        let Some(descriptor) = std::env::var(self.variable).ok().and_then(|text| text.parse::<i32>().ok()) else {
            return Ok(None);
        };
        let name = std::fs::read_link(format!("/proc/self/fd/{descriptor}"))?;
        if !name.to_string_lossy().starts_with(&format!("/memfd:{} ", self.name)) {
            return Err(io::Error::other("what was taken out of it is not there"));
        }
        // SAFETY: it is the descriptor that this program left open when it started itself again, and nothing else here knows of it.
        let mut memory = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        let mut text = String::new();
        memory.read_to_string(&mut text)?;
        Ok(Some(text))
    }
}
