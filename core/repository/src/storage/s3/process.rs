//! Programs that a profile names as its `credential_process`.

use crate::blocking::blocking;
use crate::error::{ErrorKind, RepositoryError};
use reqsign_core::{CommandExecute, CommandOutput};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// As AWS' own tools, they may ask a user for something; nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Credentials are short.
const MAX_OUTPUT: u64 = 64 << 10;

/// Runs them, and keeps in mind why the last one failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Processes(Arc<Mutex<Option<String>>>);

impl Processes {
    /// Why the last one failed, without its command, which may hold secrets.
    pub(super) fn failure(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, failure: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

impl CommandExecute for Processes {
    async fn command_execute(&self, program: &str, args: &[&str]) -> reqsign_core::Result<CommandOutput> {
        let mut command = Command::new(program);
        command.args(args);
        let failed = |error: std::io::Error| {
            RepositoryError::new(ErrorKind::Io, "run", "the credential process", error.to_string()).caused_by(error)
        };
        let ran = blocking(move || run(command, PATIENCE).map_err(failed)).await;
        self.note(match &ran {
            Err(error) => Some(format!("the credential process cannot be run: {}", error.reason)),
            Ok(output) if output.success() => None,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said: String = said.lines().next().unwrap_or_default().chars().take(200).collect();
                Some(format!("the credential process ended with {}: {said}", output.status))
            }
        });
        ran.map_err(|error| reqsign_core::Error::unexpected(error.reason))
    }
}

/// The program's output; it is ended when it takes too long.
fn run(mut command: Command, patience: Duration) -> std::io::Result<CommandOutput> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (told, heard) = mpsc::channel();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        // What it could not say is missed where it is looked for.
        let _ = from.take(MAX_OUTPUT).read_to_end(&mut bytes);
        bytes
    };
    let reading = told.clone();
    std::thread::spawn(move || reading.send((true, out.map(|mut out| read(&mut out)).unwrap_or_default())));
    std::thread::spawn(move || told.send((false, err.map(|mut err| read(&mut err)).unwrap_or_default())));
    let until = std::time::Instant::now() + patience;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let Ok((is_out, bytes)) = heard.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) else {
            child.kill()?;
            child.wait()?;
            let reason = format!("it has not ended within {patience:?}");
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, reason));
        };
        *(if is_out { &mut stdout } else { &mut stderr }) = bytes;
    }
    let status = child.wait()?.code().unwrap_or(-1);
    Ok(CommandOutput { status, stdout, stderr })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_says_and_how_it_ends() {
        let output = run(shell("echo out; echo err >&2; exit 3"), PATIENCE).unwrap();
        assert_eq!((output.status, &*output.stdout, &*output.stderr), (3, &b"out\n"[..], &b"err\n"[..]));
        assert!(run(Command::new("/there/is/none"), PATIENCE).is_err());
        let error = run(shell("exec sleep 1000"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}
