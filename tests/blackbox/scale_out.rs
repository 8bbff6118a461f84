//! Exports on many hosts, as schedulers run them: processes of their own that share a directory, told their part by variables.

use crate::common::{World, binary};
use crate::genuine;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A world whose PATH has the binary, and the genuine snapshot to export.
fn world() -> (World, String) {
    let world = World::new();
    std::os::unix::fs::symlink(binary(), world.dir("bin").join("starsnap")).unwrap();
    (world, genuine::one("sr35/hub").location().join("sr_hub_full").display().to_string())
}

fn start(world: &World, command: Command, variables: &[(&str, String)]) -> Child {
    let mut command = world.environment(command);
    let path = format!("{}:{}", world.path("bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).envs(variables.iter().map(|(name, value)| (*name, value)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for all parts; what they said.
fn finish(parts: Vec<Child>) -> Vec<String> {
    let wait = |part: Child| {
        let output = part.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{}: {said}", output.status);
        said
    };
    parts.into_iter().map(wait).collect()
}

/// Paths and contents of the Parquet files, and every other name that stands there.
fn files(dir: &Path) -> (BTreeMap<PathBuf, Vec<u8>>, Vec<PathBuf>) {
    let (mut found, mut other, mut dirs) = (BTreeMap::new(), Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(dir).unwrap().to_owned();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.insert(below, fs::read(&path).unwrap());
            } else if !path.ends_with(".export") {
                other.push(below);
            }
        }
    }
    (found, other)
}

#[track_caller]
fn assert_whole(world: &World, source: &str, parts: &Path) {
    let one = world.path("one");
    world.run(["export", source, "--format", "parquet", "--to", &format!("{}/", one.display())]).code(0);
    let ((whole, _), (found, other)) = (files(&one), files(parts));
    assert!(whole.len() > 20);
    assert!(found == whole, "{:?} and {:?}", found.keys(), whole.keys());
    assert!(other.is_empty(), "{other:?}");
}

#[test]
fn a_slurm_array_exports_a_snapshot_once_and_whole() {
    let (world, source) = world();
    let target = world.path("exported");
    // An array of 4 that counts 10, 12, 14, 16; the third task is requeued after it was done.
    let task = |at: u32| {
        let mut command = Command::new("bash");
        command.arg(project().join("docs/scale-out/slurm.sh")).args([&source, target.to_str().unwrap()]);
        let variable = |name, value: u32| (name, value.to_string());
        let variables = [
            variable("SLURM_ARRAY_TASK_ID", 10 + 2 * at),
            variable("SLURM_ARRAY_TASK_MIN", 10),
            variable("SLURM_ARRAY_TASK_MAX", 16),
            variable("SLURM_ARRAY_TASK_STEP", 2),
            variable("SLURM_ARRAY_TASK_COUNT", 4),
            variable("SLURM_CPUS_PER_TASK", 2),
        ];
        start(&world, command, &variables)
    };
    finish(vec![task(2)]);
    assert!(files(&target).0.keys().all(|path| path.to_str().unwrap().starts_with('.')));
    finish((0..4).map(task).collect());
    finish(vec![task(2)]);
    assert_whole(&world, &source, &target);
}

#[test]
fn a_kubernetes_job_exports_a_snapshot_once_and_whole() {
    let (world, source) = world();
    let manifest = fs::read_to_string(project().join("docs/scale-out/kubernetes.yaml")).unwrap();
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let begin = lines.iter().position(|line| *line == "- >-").unwrap() + 1;
    let script: Vec<&str> = lines[begin..].iter().take_while(|line| **line != "env:").copied().collect();
    assert!(script[0].starts_with("exec starsnap export"));
    let number =
        |key: &str| lines.iter().find_map(|line| line.strip_prefix(key)).unwrap().trim_matches([' ', '"']).to_owned();
    let parts_at = lines.iter().position(|line| *line == "- name: PARTS").unwrap();
    assert_eq!(lines[parts_at + 1], format!("value: \"{}\"", number("completions:")));
    let target = world.path("exported");
    let pod = |index: u32| {
        let mut command = Command::new("sh");
        command.args(["-c", &script.join(" ")]);
        let variables = [
            ("SOURCE", source.clone()),
            ("TARGET", target.display().to_string()),
            ("PARTS", number("completions:")),
            ("JOB_COMPLETION_INDEX", index.to_string()),
        ];
        start(&world, command, &variables)
    };
    let count: u32 = number("completions:").parse().unwrap();
    finish((0..count).map(pod).collect());
    assert_whole(&world, &source, &target);
}

#[test]
fn a_part_that_is_killed_goes_on_and_nothing_appears_before() {
    let (world, source) = world();
    let target = world.path("exported");
    let part = |index: u32| {
        let mut command = Command::new(binary());
        let to = format!("{}/", target.display());
        command.args(["export", &source, "--format", "parquet", "--to", &to, "--workers", "1", "--split", "rows=50"]);
        command.args(["--shard", &format!("{index}/2")]);
        start(&world, command, &[])
    };
    finish(vec![part(0)]);
    for _ in 0..5 {
        let mut child = part(1);
        std::thread::sleep(std::time::Duration::from_millis(30));
        let _ = child.kill();
        child.wait().unwrap();
    }
    finish(vec![part(1)]);
    let (found, other) = files(&target);
    assert!(found.keys().all(|path| !path.to_str().unwrap().starts_with('.')), "{:?}", found.keys());
    assert!(other.is_empty(), "{other:?}");
    let one = world.path("one");
    let to = format!("{}/", one.display());
    world.run(["export", &source, "--format", "parquet", "--to", &to, "--split", "rows=50"]).code(0);
    assert!(found == files(&one).0);
}
