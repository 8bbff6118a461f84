//! What is made from the command line's definition: help, completions, man pages.

use crate::common::{Ran, World};
use std::process::{Command, Stdio};

const SUBCOMMANDS: [&str; 13] = [
    "mount",
    "snapshots",
    "ls",
    "restore",
    "init",
    "backup",
    "sql",
    "export",
    "verify",
    "diff",
    "drop",
    "completions",
    "man",
];

#[test]
fn every_subcommand_has_help() {
    let world = World::new();
    let help = world.run(["--help"]).ok().stdout;
    for name in SUBCOMMANDS {
        assert!(help.contains(&format!("\n  {name} ")), "{name} is not in the help");
        let own = world.run([name, "--help"]).ok().stdout;
        assert!(own.contains(&format!("Usage: starsnap {name}")), "{own}");
    }
    // What this release does not do is not offered.
    for name in ["import", "jobs"] {
        assert!(!help.contains(&format!("\n  {name} ")), "{name} is offered");
        world.run([name]).code(2);
    }
}

#[test]
fn completions_for_every_shell_name_every_subcommand() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(["completions", shell]).ok().stdout;
        for name in SUBCOMMANDS {
            assert!(script.contains(name), "{name} is missing for {shell}");
        }
        assert!(script.contains("max-speed"), "options are missing for {shell}");
    }
    // Bash at least is there everywhere: it must take the script and complete with it.
    let script = world.path("completions.bash");
    std::fs::write(&script, world.run(["completions", "bash"]).ok().stdout).unwrap();
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(
        "source \"$0\"; COMP_WORDS=(starsnap sna); COMP_CWORD=1; _starsnap starsnap sna starsnap; echo \"${COMPREPLY[@]}\"",
    );
    let completed = Ran::of({
        bash.arg(&script);
        bash
    });
    assert_eq!(completed.ok().stdout.trim(), "snapshots");
}

#[test]
fn man_pages_for_every_subcommand() {
    let world = World::new();
    let dir = world.dir("man1");
    world.run(["man".as_ref(), dir.as_os_str()]).ok();
    for name in SUBCOMMANDS {
        let page = std::fs::read_to_string(dir.join(format!("starsnap-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    let helper = std::fs::read_to_string(dir.join("mount.starsnap.8")).unwrap();
    assert!(helper.contains("fstab"), "{helper}");
    let main = world.run(["man"]).ok().stdout;
    assert_eq!(main, std::fs::read_to_string(dir.join("starsnap.1")).unwrap());
    assert!(main.contains("Exit codes"), "{main}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::new();
    let mut child = world.command().args(["completions", "zsh"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::wait(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}
