//! `--property` and `--properties-file`: what CREATE REPOSITORY says under PROPERTIES, for a location that is not registered.

use super::hidden::{HIDDEN, Hidden};
use crate::cli::Globals;
use anyhow::Context as _;
use starsnap_restore::statement::Properties;
use starsnap_restore::{ErrorKind, RestoreError};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Far more than all properties need.
const LIMIT: u64 = 64 << 10;
const COMMAND_LINE: Hidden = Hidden {
    name: "properties",
    variable: "STARSNAP_PROPERTIES_FD",
    better: "a file of mode 600 and --properties-file keep them",
};

/// Takes the options into `globals.properties`. Secrets in the command line are taken out of it: the program starts again in the same
/// process, with them in memory.
pub fn load(globals: &mut Globals) -> anyhow::Result<()> {
    let mut given = globals.given_properties.clone();
    if given.iter().any(|property| is_hidden(property))
        && let Some(taken_out) = COMMAND_LINE.taken_out().context(FAILED)?
    {
        given = taken_out.split('\0').map(str::to_owned).collect();
    } else if given.iter().any(|property| is_secret(property)) {
        return Err(hide(&given, globals));
    }
    let file = globals.properties_file.clone();
    add(globals, &given, file.as_deref())
}

/// Adds `NAME=VALUE` and those of a file; of one name the former counts.
pub fn add(globals: &mut Globals, given: &[String], file: Option<&Path>) -> anyhow::Result<()> {
    let mut properties = Vec::new();
    for property in given {
        let Some((name, value)) = property.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
            // It may be a secret whose name was forgotten, so it is not repeated.
            let reason = "a property is written NAME=VALUE";
            return Err(RestoreError::new(ErrorKind::Usage, "use", "--property", reason).into());
        };
        properties.push((name.trim().to_owned(), value.to_owned()));
    }
    if let Some(file) = file {
        let names: Vec<String> = properties.iter().map(|(name, _)| name.clone()).collect();
        properties.extend(read(file)?.into_iter().filter(|(name, _)| !names.contains(name)));
    }
    globals.properties.0.extend(properties);
    Ok(())
}

fn is_secret(property: &str) -> bool {
    property.split_once('=').is_some_and(|(name, value)| Properties::is_secret(name.trim()) && !value.is_empty())
}

fn is_hidden(property: &str) -> bool {
    is_secret(property) && property.split_once('=').is_some_and(|(_, value)| value == HIDDEN)
}

/// The properties of a file. One with secrets that others may use is refused.
fn read(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let shown = path.display().to_string();
    let mut file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let metadata = file.metadata().with_context(|| format!("cannot look at {shown}"))?;
    let refused = |reason: String| RestoreError::new(ErrorKind::Usage, "use the properties in", &shown, reason);
    if metadata.is_dir() || metadata.len() > LIMIT {
        return Err(refused(format!("it is no file of at most {LIMIT} bytes")).into());
    }
    let mut text = String::new();
    (&mut file).take(LIMIT).read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
    let properties = parse(&text).map_err(|line| refused(format!("line {line} is not `name = value`")))?;
    if !properties.iter().any(|(name, value)| Properties::is_secret(name) && !value.is_empty()) {
        return Ok(properties);
    }
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        let reason = format!("its mode is {:03o}: others may use it, and it holds secrets", metadata.mode() & 0o777);
        return Err(refused(reason).advise(format!("chmod 600 {shown}")).into());
    }
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us && metadata.uid() != 0 && us != 0 {
        return Err(refused("it belongs to another user, and holds secrets".to_owned()).into());
    }
    Ok(properties)
}

/// Lines `name = value`, blank ones, and comments after `#` at a line's beginning. The error is the number of a line that is none of them.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut properties = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                properties.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => return Err(number + 1),
        }
    }
    Ok(properties)
}

const FAILED: &str = "cannot take secrets out of the command line: give them in a file, with --properties-file";

/// Runs this program again with the secrets in memory. Returns only when that fails.
fn hide(given: &[String], globals: &Globals) -> anyhow::Error {
    let secrets: Vec<&String> = given.iter().filter(|property| is_secret(property)).collect();
    let without = |arg: OsString| {
        let found = secrets.iter().find_map(|secret| Some((secret, arg.as_bytes().strip_suffix(secret.as_bytes())?)));
        let Some((secret, before)) = found else { return arg };
        let name = secret.split_once('=').map_or("", |(name, _)| name);
        OsString::from_vec([before, name.as_bytes(), b"=", HIDDEN.as_bytes()].concat())
    };
    // A value may hold line ends; a zero byte it cannot.
    anyhow::Error::new(COMMAND_LINE.hide(given.join("\0").as_bytes(), without, globals.quiet)).context(FAILED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn files_are_lines_of_names_and_values() {
        let text = "# keys\n\n aws.s3.endpoint = http://h:1/?a=b # no comment\r\nempty=\n  # x\n";
        let pairs = [("aws.s3.endpoint", "http://h:1/?a=b # no comment"), ("empty", "")];
        assert_eq!(parse(text).unwrap(), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(parse("a = b\nsecret"), Err(2));
        assert_eq!(parse("= b"), Err(1));
    }

    #[test]
    fn a_file_with_secrets_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        for (text, mode, good) in [
            ("aws.s3.region = x", 0o644, true),
            ("aws.s3.secret_key =", 0o644, true),
            ("aws.s3.secret_key = x", 0o600, true),
            ("aws.s3.secret_key = x", 0o640, false),
            ("aws.s3.secret_key = x", 0o604, false),
            ("what is this", 0o600, false),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let done = read(&path);
            assert_eq!(done.is_ok(), good, "{text:?} {mode:o}");
            assert!(done.err().is_none_or(|error| !format!("{error:#}").contains("what is this")));
        }
    }

    #[test]
    fn the_command_line_counts_more_than_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "a = file\nb = file").unwrap();
        let mut globals = Globals::default();
        add(&mut globals, &["a=x=y".to_owned()], Some(&path)).unwrap();
        let expected = [("a", "x=y"), ("b", "file")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(globals.properties.0, expected);
        for bad in ["=x", "s3cr3t"] {
            let error = add(&mut globals, &[bad.to_owned()], None).unwrap_err();
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
    }
}
