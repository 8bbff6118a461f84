//! `mount.starsnap`: how mount(8) calls us, for `mount -t starsnap`, /etc/fstab and systemd; and the options that `-o` takes.

use crate::cli::parse_size;
use clap::{CommandFactory as _, Parser, ValueHint};
use starsnap_restore::statement::Properties;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The program's name under which it is mount(8)'s helper.
pub const NAME: &str = "mount.starsnap";

/// Mounts a StarRocks backup repository, called by mount(8)
///
/// Install it as /sbin/mount.starsnap, a link to starsnap. A line of /etc/fstab:
///
///   /backup/location  /mnt/backup  starsnap  ro,allow_other,noauto,x-systemd.automount  0  0
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
pub struct MountHelper {
    /// A registered name, the repository's directory or the one that holds it, or a URL such as s3a://BUCKET/PATH
    #[arg(value_hint = ValueHint::DirPath)]
    pub repository: String,
    /// An existing directory
    #[arg(value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
    /// Options, separated by commas: ro, allow_other, nonempty, no_rows, no_md5, repository_name=NAME, cache_dir=DIR, no_cache, memory=SIZE, cache=DIR, cache_size=SIZE, config=FILE, properties_file=FILE, property=NAME=VALUE; those for mount(8) and systemd are ignored
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<String>,
    /// Check everything, mount nothing
    #[arg(short = 'f')]
    pub fake: bool,
    /// Say more
    #[arg(short = 'v')]
    pub verbose: bool,
    /// Tolerate unknown options
    #[arg(short = 's')]
    pub sloppy: bool,
    /// Ignored: there is no /etc/mtab to write
    #[arg(short = 'n')]
    pub no_mtab: bool,
    /// Ignored: always so
    #[arg(short = 'r')]
    pub read_only: bool,
    /// Ignored: mount(8) passes it where nobody asked for anything
    #[arg(short = 'w')]
    pub read_write: bool,
    /// starsnap, or fuse.starsnap
    #[arg(short = 't', value_name = "TYPE")]
    pub file_system_type: Option<String>,
    /// Not supported
    #[arg(short = 'N', value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// True when this process was called as `mount.starsnap`.
pub fn is_running() -> bool {
    std::env::args_os().next().is_some_and(|program| is_helper(&program))
}

/// True when `program`, as the process was called, is a link called `mount.starsnap`.
fn is_helper(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(NAME))
}

/// The definition, for the man page.
pub fn definition() -> clap::Command {
    MountHelper::command()
}

/// What `-o` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub allow_other: bool,
    pub repository_name: Option<String>,
    pub cache_dir: Option<PathBuf>,
    pub no_cache: bool,
    /// The file of registered repositories.
    pub config: Option<PathBuf>,
    /// A file of properties of the location.
    pub properties_file: Option<PathBuf>,
    /// Properties of the location, `NAME=VALUE`; never secrets.
    pub properties: Vec<String>,
    /// Bytes, as `--memory`.
    pub memory: Option<u64>,
    /// As `--cache`.
    pub cache: Option<PathBuf>,
    /// Bytes, as `--cache-size`.
    pub cache_size: Option<u64>,
    /// Mount over a directory that is not empty.
    pub nonempty: bool,
    /// Show no `rows.csv` and `rows.jsonl`.
    pub no_rows: bool,
    /// Do not check the md5 of what is read from start to end.
    pub no_md5: bool,
}

/// Who wrote the options: a person may be told that `rw` cannot be had, mount(8) adds it by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Person,
    Mount,
    /// mount(8) with `-s`.
    SloppyMount,
}

/// Options for mount(8), systemd or the kernel that change nothing here: what they ask for is so anyway, or none of our business.
const IGNORED: &[&str] = &[
    "defaults",
    "ro",
    "nosuid",
    "nodev",
    "noexec",
    "default_permissions",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "_netdev",
    "nofail",
    "async",
    "sync",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "silent",
    "loud",
    "nosymfollow",
];

/// What options begin with that mount(8) and systemd keep for themselves.
const IGNORED_PREFIXES: &[&str] = &["x-", "X-", "comment=", "uhelper=", "helper="];

/// Safety that no option takes away.
const REFUSED: &[&str] = &["suid", "dev", "exec"];

impl Options {
    /// Reads `-o` lists; `\,` stands for a comma in a value. The error is a sentence.
    pub fn parse(lists: &[String], from: From) -> Result<Options, String> {
        let mut options = Options::default();
        for option in lists.iter().flat_map(|list| split(list)).filter(|option| !option.is_empty()) {
            options.take(&option, from)?;
        }
        if options.no_cache && options.cache_dir.is_some() {
            return Err("no_cache and cache_dir contradict each other".to_owned());
        }
        Ok(options)
    }

    fn take(&mut self, option: &str, from: From) -> Result<(), String> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value) {
            ("allow_other", None) => self.allow_other = true,
            ("nonempty", None) => self.nonempty = true,
            ("no_rows", None) => self.no_rows = true,
            ("no_md5", None) => self.no_md5 = true,
            ("no_cache", None) => self.no_cache = true,
            ("repository_name", Some(value)) if !value.is_empty() => self.repository_name = Some(value.to_owned()),
            ("cache_dir", Some(value)) if value.starts_with('/') => self.cache_dir = Some(value.into()),
            ("memory", Some(value)) => self.memory = Some(parse_size(value)?),
            ("cache_size", Some(value)) => self.cache_size = Some(parse_size(value)?),
            ("cache", Some(value)) if value.starts_with('/') => self.cache = Some(value.into()),
            ("cache", _) => return Err("cache wants an absolute path".to_owned()),
            ("config", Some(value)) if value.starts_with('/') => self.config = Some(value.into()),
            ("properties_file", Some(value)) if value.starts_with('/') => self.properties_file = Some(value.into()),
            ("property", Some(value)) => match value.split_once('=') {
                Some((name, _)) if Properties::is_secret(name) => {
                    return Err("everybody can read mount options: secrets belong into properties_file=FILE".to_owned());
                }
                Some(_) => self.properties.push(value.to_owned()),
                None => return Err("property wants NAME=VALUE".to_owned()),
            },
            ("properties_file", _) => return Err("properties_file wants an absolute path".to_owned()),
            ("config", _) => return Err("config wants an absolute path".to_owned()),
            ("cache_dir", _) => return Err("cache_dir wants an absolute path".to_owned()),
            ("rw", None) if from == From::Person => {
                return Err("rw cannot be had: a backup is mounted read-only".to_owned());
            }
            ("rw", None) => {}
            _ if REFUSED.contains(&option) => {
                return Err(format!("{option} cannot be had: a backup is always mounted nosuid, nodev and noexec"));
            }
            _ if IGNORED.contains(&option) || IGNORED_PREFIXES.iter().any(|prefix| option.starts_with(prefix)) => {}
            _ if from == From::SloppyMount => {}
            // Without its value, which may be a secret: this goes into the system's log.
            _ => {
                return Err(format!(
                    "option `{}` is unknown; known are ro, allow_other, nonempty, no_rows, no_md5, repository_name=NAME, cache_dir=DIR, no_cache, memory=SIZE, cache=DIR, cache_size=SIZE, config=FILE, properties_file=FILE, property=NAME=VALUE",
                    crate::output::printable(name)
                ));
            }
        }
        Ok(())
    }
}

/// Splits at commas that have no backslash before them.
fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            (',', _) => parts.push(String::new()),
            ('\\', Some(',')) => parts.last_mut().into_iter().for_each(|part| part.extend(chars.next())),
            _ => parts.last_mut().into_iter().for_each(|part| part.push(c)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(text: &str, from: From) -> Result<Options, String> {
        Options::parse(&[text.to_owned()], from)
    }

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn what_fstab_and_systemd_say() {
        let options = parse(
            "rw,_netdev,noauto,nofail,x-systemd.automount,x-systemd.idle-timeout=60,comment=a,allow_other,cache_dir=/var/c\\,d",
            From::Mount,
        );
        let expected = Options { allow_other: true, cache_dir: Some("/var/c,d".into()), ..Options::default() };
        assert_eq!(options.unwrap(), expected);
        assert_eq!(parse("", From::Person).unwrap(), Options::default());
        let options = parse("properties_file=/p,property=a.b=c=d", From::Mount).unwrap();
        assert_eq!((options.properties_file, options.properties), (Some("/p".into()), vec!["a.b=c=d".to_owned()]));
        assert_eq!(parse("repository_name=a=b", From::Person).unwrap().repository_name.as_deref(), Some("a=b"));
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for option in [
            "suid",
            "exec",
            "dev",
            "uid=0",
            "allow_other=1",
            "cache_dir=x",
            "repository_name=",
            "no_cache,cache_dir=/x",
            "properties_file=x",
            "property=aws.s3.region",
            "property=aws.s3.secret_key=x",
        ] {
            assert!(parse(option, From::Mount).is_err(), "{option}");
        }
        assert!(parse("rw", From::Person).is_err());
        assert!(parse("uid=0", From::SloppyMount).is_ok());
        assert!(parse("exec", From::SloppyMount).is_err());
    }

    #[test]
    fn values_of_unknown_options_are_not_repeated() {
        let said = parse("username=u,password=s3cr3t", From::Mount).unwrap_err();
        assert!(said.contains("`username` is unknown"), "{said}");
        for option in ["password=s3cr3t", "allow_other=s3cr3t", "repository_name=,pass=s3cr3t=x"] {
            let said = parse(option, From::Mount).unwrap_err();
            assert!(said.contains("is unknown") && !said.contains("s3cr3t"), "{said}");
        }
    }

    #[test]
    fn the_helper_is_known_by_its_name() {
        assert!(is_helper(OsStr::new("/sbin/mount.starsnap")));
        assert!(!is_helper(OsStr::new("/usr/bin/starsnap")));
    }
}
