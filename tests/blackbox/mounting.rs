//! Mounting and unmounting: background and foreground, signals, mount(8) and fstab.

use crate::common::{Ran, World, binary, eventually, is_mounted, require_fuse, require_root, unmount};
use crate::genuine;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SNAPSHOT: &str = "sr_hub_full/latest/sr_member/schema.sql";

fn foreground(world: &World, location: &Path, point: &Path) -> Child {
    require_fuse();
    let mut command = world.command();
    command.args(["mount".as_ref(), location.as_os_str(), point.as_os_str(), "-f".as_ref()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the mount appears", 60, || is_mounted(point));
    child
}

fn kill(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn signals_unmount() {
    let location = genuine::one("sr35/hub").location();
    for signal in ["-TERM", "-INT"] {
        let world = World::new();
        let point = world.dir("mnt");
        let child = foreground(&world, &location, &point);
        assert!(fs::read_to_string(point.join(SNAPSHOT)).unwrap().contains("CREATE TABLE"));
        kill(&child, signal);
        Ran::wait(child).ok();
        assert!(!is_mounted(&point), "{signal} left the mount");
        assert_eq!(fs::read_dir(&point).unwrap().count(), 0);
    }
}

#[test]
fn unmounting_ends_the_process() {
    let location = genuine::one("sr35/hub").location();
    for program in [&["umount"][..], &["fusermount3", "-u"]] {
        let world = World::new();
        let point = world.dir("mnt");
        let child = foreground(&world, &location, &point);
        assert!(Command::new(program[0]).args(&program[1..]).arg(&point).status().unwrap().success());
        Ran::wait(child).ok();
    }
}

#[test]
fn a_background_mount_is_ready_when_the_command_returns_and_goes_on_sigterm() {
    let world = World::new();
    // Relative paths mean the caller's directory, also for the process in the background.
    let (location, point) = (genuine::one("sr35/hub").location(), world.dir("mnt"));
    require_fuse();
    let mut command = world.command();
    command.current_dir(location.parent().unwrap()).args(["mount", "location", point.to_str().unwrap()]);
    Ran::of(command).ok();
    assert!(fs::read_to_string(point.join(SNAPSHOT)).unwrap().contains("CREATE TABLE"));
    assert!(fs::write(point.join("x"), "").is_err(), "the mount can be written");

    let daemon = daemon_of(&point);
    assert!(Command::new("kill").arg(&daemon).status().unwrap().success());
    eventually("the daemon unmounts and ends", 60, || {
        !is_mounted(&point) && !Path::new("/proc").join(&daemon).exists()
    });
}

/// The process whose command line names `point`.
fn daemon_of(point: &Path) -> String {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if name.bytes().all(|b| b.is_ascii_digit())
            && line.split(|b| *b == 0).any(|arg| arg == point.as_os_str().as_encoded_bytes())
            && line.starts_with(binary().as_bytes())
        {
            return name;
        }
    }
    panic!("no process serves {}", point.display());
}

#[test]
fn what_cannot_be_mounted_fails_in_the_foreground() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let point = world.dir("mnt");
    let mount = |args: &[&OsStr]| world.run([&["mount".as_ref()], args].concat());
    mount(&["/there/is/nothing".as_ref(), point.as_os_str()]).code(10).says("/there/is/nothing");
    let missing = world.path("no_such_directory");
    mount(&[location.as_os_str(), missing.as_os_str()]).code(1).says("no_such_directory");
    let file = world.path("file");
    fs::write(&file, "").unwrap();
    mount(&[location.as_os_str(), file.as_os_str()]).code(1);
    mount(&[location.as_os_str(), point.as_os_str(), "-o".as_ref(), "rw".as_ref()]).code(2).says("read-only");
    mount(&[location.as_os_str(), point.as_os_str(), "-o".as_ref(), "frob".as_ref()]).code(2).says("frob");
    assert!(!is_mounted(&point));
}

#[test]
fn a_mount_over_what_it_needs_itself_is_refused() {
    let world = World::new();
    let point = world.dir("mnt");
    let (outside, inside) = (genuine::one("sr35/hub").location(), point.join("location"));
    assert!(Command::new("cp").arg("-r").args([&outside, &inside]).status().unwrap().success());
    std::os::unix::fs::symlink(&point, world.path("link")).unwrap();
    let linked = world.path("link").join("not yet/there");
    let mount = |location: &Path, args: &[&OsStr]| {
        let all = ["mount".as_ref(), location.as_os_str(), point.as_os_str(), "-o".as_ref(), "nonempty".as_ref()];
        world.run([&all[..], args].concat())
    };
    for (location, args) in [
        (&inside, &[][..]),
        (&outside, &["--cache".as_ref(), point.as_os_str()]),
        (&outside, &["--cache-dir".as_ref(), linked.as_os_str()]),
    ] {
        mount(location, args).code(1).says("would lie below the mount").says("somewhere else");
        assert!(!is_mounted(&point));
    }
    mount(&outside, &["--cache".as_ref(), world.path("blocks").as_os_str()]).ok();
    unmount(&point);
}

#[test]
fn mount_options_say_what_is_safe() {
    let world = World::new();
    let mount = world.mount(&genuine::one("sr35/hub").location());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(1) == mount.point.to_str()).unwrap();
    let fields: Vec<&str> = line.split(' ').collect();
    let options: Vec<&str> = fields[3].split(',').collect();
    for option in ["ro", "nosuid", "nodev", "noexec", "default_permissions"] {
        assert!(options.contains(&option), "{line}");
    }
    assert!(!options.contains(&"allow_other"), "{line}");
    assert!(fields[2].starts_with("fuse"), "{line}");
}

/// Runs a script as root in mount and process-private surroundings where /sbin/mount.starsnap is our binary.
fn with_helper(world: &World, script: &str) -> Ran {
    require_fuse();
    require_root("it installs /sbin/mount.starsnap, in a mount namespace of its own");
    // /sbin cannot be written without changing the machine: a copy of it, with the helper, is laid over it.
    let prelude = r#"
        set -eu
        cp -a "$(readlink -f /sbin)/." "$WORLD/sbin"
        ln -s "$STARSNAP" "$WORLD/sbin/mount.starsnap"
        mount --bind "$WORLD/sbin" "$(readlink -f /sbin)"
    "#;
    world.dir("sbin");
    let mut command = world.environment(Command::new("unshare"));
    command.args(["--mount", "--propagation", "private", "sh", "-c", &format!("{prelude}\n{script}")]);
    command.env("WORLD", world.path("")).env("STARSNAP", binary());
    command.env("LOCATION", genuine::one("sr35/hub").location()).env("POINT", world.dir("mnt"));
    Ran::of(command)
}

#[test]
fn mount_dash_t_starsnap() {
    let world = World::new();
    let script = r#"
        mount -t starsnap "$LOCATION" "$POINT" -o ro,allow_other
        grep " $POINT " /proc/self/mounts >&2
        head -n 1 "$POINT/sr_hub_full/latest/sr_member/schema.sql"
        umount "$POINT"
        ! grep -q " $POINT " /proc/self/mounts
    "#;
    let ran = with_helper(&world, script).ok().says("allow_other").says("ro,");
    assert!(ran.stdout.contains("CREATE TABLE `sr_member`"), "{}", ran.stdout);
}

#[test]
fn a_line_in_fstab() {
    let world = World::new();
    let script = r#"
        printf '%s %s starsnap defaults,noauto,_netdev,nofail,x-systemd.automount 0 0\n' "$LOCATION" "$POINT" > "$WORLD/fstab"
        mount --bind "$WORLD/fstab" /etc/fstab
        mount "$POINT"
        ls "$POINT"
        umount "$POINT"
        ! grep -q " $POINT " /proc/self/mounts
    "#;
    let ran = with_helper(&world, script).ok();
    assert!(ran.stdout.contains("sr_hub_full"), "{}", ran.stdout);
}

#[test]
fn the_helper_refuses_as_mount_expects() {
    let world = World::new();
    let script = r#"
        set +e
        mount -t starsnap "$LOCATION" "$POINT" -o ro,frobnicate; echo "unknown option: $?"
        mount -t starsnap /there/is/nothing "$POINT"; echo "no repository: $?"
        mount -f -t starsnap "$LOCATION" "$POINT"; echo "fake: $?"
        /sbin/mount.starsnap "$LOCATION"; echo "usage: $?"
        grep -c " $POINT " /proc/self/mounts
    "#;
    let ran = with_helper(&world, script).says("frobnicate").says("/there/is/nothing");
    assert_eq!(ran.stdout, "unknown option: 1\nno repository: 32\nfake: 0\nusage: 1\n0\n", "{}", ran.stderr);
}

#[test]
fn an_ordinary_user_mounts() {
    let world = World::new();
    require_fuse();
    require_root("it becomes another user, and makes /dev/fuse usable for all in a mount namespace of its own");
    let script = r#"
        set -eu
        mknod "$WORLD/fuse" c 10 229
        chmod 0666 "$WORLD/fuse"
        mount --bind -o dev "$WORLD/fuse" /dev/fuse 2>/dev/null || mount --bind "$WORLD/fuse" /dev/fuse
        chmod 0711 "$WORLD"
        chown nobody "$POINT" && mkdir -p "$WORLD/home" && chown nobody "$WORLD/home"
        export HOME="$WORLD/home" XDG_CACHE_HOME="$WORLD/home/cache"
        cp "$STARSNAP" "$WORLD/starsnap" && chmod 0755 "$WORLD/starsnap"
        cp -r "$LOCATION" "$WORLD/location" && chmod -R a+rX "$WORLD/location"
        setpriv --reuid=nobody --clear-groups -- "$WORLD/starsnap" mount "$WORLD/location" "$POINT"
        setpriv --reuid=nobody --clear-groups -- head -n 1 "$POINT/sr_hub_full/latest/sr_member/schema.sql"
        ls "$POINT" 2>&1 || echo "root is kept out"
        setpriv --reuid=nobody --clear-groups -- fusermount3 -u "$POINT"
        ! grep -q " $POINT " /proc/self/mounts
    "#;
    let mut command = world.environment(Command::new("unshare"));
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
    command.env("WORLD", world.path("")).env("STARSNAP", binary());
    command.env("LOCATION", genuine::one("sr35/hub").location()).env("POINT", world.dir("mnt"));
    let ran = Ran::of(command).ok();
    assert!(ran.stdout.contains("CREATE TABLE `sr_member`"), "{}", ran.stdout);
    assert!(ran.stdout.contains("root is kept out"), "{}", ran.stdout);
}

#[test]
fn a_killed_mount_can_be_removed_and_mounted_again() {
    let world = World::new();
    let (location, point) = (genuine::one("sr35/hub").location(), world.dir("mnt"));
    // As early as can be, too: whoever waits for an answer of his own mount then cannot end.
    for millis in [0, 0, 0, 0, 1, 2, 4, 8, 100] {
        let mut child = foreground(&world, &location, &point);
        std::thread::sleep(std::time::Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        unmount(&point);
        assert!(!is_mounted(&point));
    }
    let child = foreground(&world, &location, &point);
    kill(&child, "-TERM");
    Ran::wait(child).ok();
}
