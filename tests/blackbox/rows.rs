//! `rows.csv` and `rows.jsonl` of a real mount, through the tools of every day: the same bytes as exports have.

use crate::common::{Ran, World, is_rows, unmount};
use crate::genuine;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The output of a shell's command, which must end well.
#[track_caller]
fn shell(dir: &Path, script: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(dir).stdin(Stdio::null());
    Ran::of(command).ok().stdout
}

/// Directories with rows: path in the mount, and what `export` calls it.
fn with_rows(dir: &Path) -> Vec<String> {
    let files = crate::common::files(dir);
    files.iter().filter_map(|path| path.strip_suffix("/rows.csv")).map(str::to_owned).collect()
}

#[test]
fn rows_in_the_mount_are_those_of_export() {
    for genuine in genuine::all() {
        let world = World::new();
        let location = genuine.location();
        let mount = world.mount(&location);
        let (mut compared, mut bytes) = (0, 0);
        for (name, label) in genuine.labels() {
            let Some(timestamp) = &label.timestamp else { continue };
            let snapshot = mount.path(&name).join(timestamp);
            for below in with_rows(&snapshot) {
                // Tables of every label, partitions of one of each: an export is a process of its own.
                if below.contains('/') && !name.contains("full") {
                    continue;
                }
                for (format, file) in [("csv", "rows.csv"), ("jsonl", "rows.jsonl")] {
                    let source = format!("{}/{name}@{timestamp}/{below}", location.display());
                    let out = world.path(&format!("out.{format}"));
                    let args = ["export", &source, "--format", format, "--to", out.to_str().unwrap(), "--quiet"];
                    world.run(args).ok();
                    let expected = fs::read(&out).unwrap();
                    let found = fs::read(snapshot.join(&below).join(file)).unwrap();
                    assert!(found == expected, "{} {name}/{below}/{file}", genuine.name);
                    fs::remove_file(out).unwrap();
                    compared += 1;
                    bytes += found.len();
                }
            }
        }
        assert!(compared >= 4 && bytes > 1000, "{}: {compared} files, {bytes} bytes", genuine.name);
    }
}

#[test]
fn everyday_tools_read_rows() {
    let world = World::new();
    let mount = world.mount(&genuine::one("sr35/hub").location());
    let table = mount.path("sr_hub_full/latest/users");
    let right = fs::read_to_string(table.join("rows.jsonl")).unwrap();
    let lines: Vec<&str> = right.lines().collect();
    assert!(lines.len() > 20);
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    assert!(shell(&table, "cat rows.jsonl") == right, "cat");
    assert!(shell(&table, "cat < rows.jsonl | cat") == right, "through pipes");
    assert_eq!(shell(&table, "head -n 3 rows.jsonl"), joined(&lines[..3]));
    assert_eq!(shell(&table, "head -c 10 rows.jsonl"), &right[..10]);
    assert_eq!(shell(&table, "tail -n 2 rows.jsonl"), joined(&lines[lines.len() - 2..]));
    assert_eq!(shell(&table, "tail -c +11 rows.jsonl"), &right[10..]);
    assert_eq!(shell(&table, "wc -l < rows.jsonl").trim(), lines.len().to_string());
    assert_eq!(shell(&table, "wc -c rows.jsonl").trim(), format!("{} rows.jsonl", right.len()));
    let needle = &lines[7][..lines[7].find(',').unwrap()];
    let matching: Vec<&str> = lines.iter().copied().filter(|line| line.contains(needle)).collect();
    assert_eq!(shell(&table, &format!("grep -F '{needle}' rows.jsonl")), joined(&matching));
    let out = world.path("copy");
    for copy in ["cp", "cp --reflink=auto --sparse=always", "cp -a", "install -m 600"] {
        shell(&table, &format!("{copy} rows.jsonl {}", out.display()));
        assert!(fs::read_to_string(&out).unwrap() == right, "{copy}");
        fs::remove_file(&out).unwrap();
    }
    assert!(shell(&table, "dd if=rows.jsonl bs=777 status=none") == right, "dd");
    assert_eq!(shell(&table, "sed -n 5p rows.jsonl"), joined(&lines[4..5]));
    assert_eq!(shell(&table, "stat -c %s rows.jsonl").trim(), "0");
    // What goes by the size takes them for empty, and says nothing.
    shell(&table, &format!("tar cf {} rows.jsonl 2>&1", world.path("tar").display()));
    assert_eq!(shell(world.path("").as_path(), "tar tvf tar | awk '{print $3}'").trim(), "0");
}

#[test]
fn copies_with_rows_in_them_are_table_directories() {
    let world = World::new();
    let genuine = genuine::one("sr35/hub");
    let mount = world.mount(&genuine.location());
    let database = world.dir("copied/sr_hub");
    for table in ["users", "orders"] {
        let source = mount.path("sr_hub_full/latest").join(table);
        shell(&source, &format!("cp -r . {}", database.join(table).display()));
        let (copied, shown) = (database.join(table).join("rows.csv"), source.join("rows.csv"));
        assert!(fs::read(copied).unwrap() == fs::read(shown).unwrap());
    }
    let warehouse = world.path("warehouse");
    let to = warehouse.to_str().unwrap();
    world.run(["verify", database.to_str().unwrap(), "--rows"]).ok();
    world.run(["restore", database.to_str().unwrap(), "--warehouse", to]).ok();
    let stale = crate::common::files(&warehouse).into_iter().filter(|path| is_rows(path));
    assert_eq!(stale.collect::<Vec<_>>(), Vec::<String>::new(), "a restore takes no rows along");
    let location = world.dir("location");
    world.run(["init", location.to_str().unwrap(), "--name", "again"]).ok();
    let copied = world.path("copied");
    let args =
        ["backup", location.to_str().unwrap(), "l", "--warehouse", copied.to_str().unwrap(), "--database", "sr_hub"];
    world.run(args).ok();
    let again = world.mount(&location);
    for file in ["users/rows.csv", "orders/rows.jsonl"] {
        let (one, other) = (mount.path("sr_hub_full/latest").join(file), again.path("l/latest").join(file));
        assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{file}");
    }
    let stored = crate::common::files(&location);
    assert!(stored.iter().all(|path| !path.contains("rows.")), "a backup takes no rows along");
}

#[test]
fn mounts_without_rows() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    for (number, option) in [&["--no-rows"][..], &["-o", "no_rows"]].into_iter().enumerate() {
        let point = world.dir(&format!("mnt{number}"));
        let mut args = vec!["mount", location.to_str().unwrap(), point.to_str().unwrap()];
        args.extend(option);
        world.run(args).ok();
        let found = crate::common::files(&point);
        unmount(&point);
        assert!(found.iter().any(|path| path.ends_with("table.json")));
        assert!(found.iter().all(|path| !is_rows(path)), "{option:?}");
    }
}
