//! What all tests share: a temporary world with its own cache, running the binary in it, mounting, and trees of files with md5.

use md5::{Digest, Md5};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A temporary directory, and the binary with its cache and home in it.
pub struct World {
    dir: TempDir,
    /// Variables that the binary gets on top.
    pub variables: Vec<(String, String)>,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; 128 and the signal's number when killed.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    what: String,
}

impl World {
    pub fn new() -> World {
        let dir = tempfile::Builder::new().prefix("starsnap-test-").tempdir().unwrap();
        World { dir, variables: Vec::new() }
    }

    /// A path in the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new directory in the world.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The binary, to be given arguments.
    pub fn command(&self) -> Command {
        self.environment(Command::new(binary()))
    }

    /// `command` with the world's cache and home.
    pub fn environment(&self, mut command: Command) -> Command {
        command.env("XDG_CACHE_HOME", self.path("cache")).env("HOME", self.dir.path()).env_remove("RUST_LOG");
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        // However we were started ourselves (`nohup`, `&` in a script): what is ignored would stay so.
        // SAFETY: the calls between fork and exec may be made there, and touch no memory.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            })
        };
        command
    }

    /// Runs the binary to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.command();
        command.args(args);
        Ran::of(command)
    }

    /// Mounts in the background: a location on local disk, or the name of a repository.
    pub fn mount(&self, repository: &Path) -> Mount {
        require_fuse();
        let point = tempfile::Builder::new().prefix("mnt-").tempdir_in(self.dir.path()).unwrap().keep();
        self.run(["mount".as_ref(), repository.as_os_str(), point.as_os_str()]).ok();
        assert!(is_mounted(&point), "`starsnap mount` returned, but nothing is mounted on {}", point.display());
        Mount { point }
    }
}

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_starsnap")
}

impl Ran {
    /// Runs `command` to its end.
    pub fn of(mut command: Command) -> Ran {
        let what = format!("{command:?}");
        let output = command.output().unwrap_or_else(|error| panic!("cannot run {what}: {error}"));
        Ran::ended(what, &output)
    }

    /// Waits for a spawned `child`.
    pub fn wait(child: Child) -> Ran {
        let what = format!("process {}", child.id());
        Ran::ended(what, &child.wait_with_output().unwrap())
    }

    fn ended(what: String, output: &Output) -> Ran {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code, stdout: text(&output.stdout), stderr: text(&output.stderr), what }
    }

    /// Must have ended with `code`.
    #[track_caller]
    pub fn code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "exit code of {}\nstdout: {}\nstderr: {}", self.what, self.stdout, self.stderr);
        self
    }

    /// Must have ended well.
    #[track_caller]
    pub fn ok(self) -> Ran {
        self.code(0)
    }

    /// Standard error must hold `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(self.stderr.contains(text), "{} did not say {text:?} but: {}", self.what, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{}: {error} in {}", self.what, self.stdout))
    }
}

/// A mounted repository; unmounted when dropped.
pub struct Mount {
    pub point: PathBuf,
}

impl Mount {
    /// A path in it.
    pub fn path(&self, rest: &str) -> PathBuf {
        self.point.join(rest)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(&self.point);
    }
}

/// Unmounts, lazily when busy.
pub fn unmount(point: &Path) {
    for program in [&["umount"][..], &["fusermount3", "-u"], &["umount", "-l"]] {
        if !is_mounted(point) {
            return;
        }
        let _ = Command::new(program[0]).args(&program[1..]).arg(point).stderr(Stdio::null()).status();
    }
}

/// True when something is mounted there.
pub fn is_mounted(point: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == point.to_str())
}

/// Mounting must be possible, or the test fails with the reason.
#[track_caller]
pub fn require_fuse() {
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
        panic!(
            "this test mounts, but /dev/fuse cannot be used: {error} (load the fuse module, give the container the device)"
        );
    }
}

/// The test must run as root, or it fails.
#[track_caller]
pub fn require_root(why: &str) {
    assert_eq!(fs::metadata("/proc/self").unwrap().uid(), 0, "this test needs root: {why}");
}

/// Waits until `happened`, at most for `seconds`.
#[track_caller]
pub fn eventually(what: &str, seconds: u64, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !happened() {
        assert!(Instant::now() < end, "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Size and md5 of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub size: u64,
    pub md5: String,
}

/// Files by path.
pub type Tree = BTreeMap<String, Content>;

/// Reads a file to its end.
pub fn content(path: &Path) -> Content {
    let mut file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut digest, mut size, mut buffer) = (Md5::new(), 0, vec![0; 128 << 10]);
    loop {
        let got = file.read(&mut buffer).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if got == 0 {
            return Content { size, md5: hex::encode(digest.finalize()) };
        }
        size += got as u64;
        digest.update(&buffer[..got]);
    }
}

/// All regular files below `dir` by path, in no order; symbolic links are not followed. `stat` must agree with what is listed.
pub fn files(dir: &Path) -> Vec<String> {
    let (mut found, mut left) = (Vec::new(), vec![String::new()]);
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(dir.join(&at)).unwrap_or_else(|error| panic!("{}/{at}: {error}", dir.display())) {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().expect("UTF-8");
            let path = if at.is_empty() { name } else { format!("{at}/{name}") };
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => left.push(path),
                kind if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found
}

/// True for the files of rows of a mount: they are decoded while they are read, tell no size, and restored tables have none.
pub fn is_rows(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("rows.csv" | "rows.jsonl"))
}

/// For `diff`: without the files of rows, which only a mount has.
pub const ROWS: [&str; 2] = ["--exclude=rows.csv", "--exclude=rows.jsonl"];

/// All regular files below `dir` with their content; the size that `stat` says must be the size that reading gives.
pub fn tree(dir: &Path) -> Tree {
    let read = |path: String| {
        let full = dir.join(&path);
        let content = content(&full);
        let told = full.metadata().unwrap().len();
        let agrees = told == content.size || (is_rows(&path) && told == 0);
        assert!(agrees, "{}: stat and read disagree: {told} and {}", full.display(), content.size);
        (path, content)
    };
    files(dir).into_iter().map(read).collect()
}

/// For `diff`: without what starsnap keeps for itself beside the tables of a database, of which no path shows anything.
pub const STATE: &str = "--exclude=.starsnap*";

/// `diff -r` finds no difference.
#[track_caller]
pub fn same(one: &Path, other: &Path, options: &[&str]) {
    let mut diff = Command::new("diff");
    diff.arg("-r").args(options).arg(one).arg(other);
    let ran = Ran::of(diff);
    let shown: String = ran.stdout.chars().take(4000).collect();
    assert_eq!(ran.code, 0, "{} and {} differ: {shown}{}", one.display(), other.display(), ran.stderr);
}

/// Both trees hold the same files; says which do not.
#[track_caller]
pub fn assert_same_tree(actual: &Tree, expected: &Tree, what: &str) {
    let mut differences = Vec::new();
    for (path, content) in expected {
        match actual.get(path) {
            None => differences.push(format!("missing: {path}")),
            Some(other) if other != content => differences.push(format!("{path}: {other:?} instead of {content:?}")),
            Some(_) => {}
        }
    }
    differences
        .extend(actual.keys().filter(|path| !expected.contains_key(*path)).map(|path| format!("unexpected: {path}")));
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{what}: {} differences:\n{shown}", differences.len());
}
