//! Sessions that end in the middle of work, on a real server that then refuses them.

use crate::common::{Ran, STATE, World, assert_same_tree, same, tree};
use crate::genuine;
use crate::remote::{self, create, sql, upload};
use crate::test_stores::TestStore;
use std::path::Path;

/// A repository that is restored so slowly, with the credentials of the store `special`, that its sessions end several times. What was
/// said of the credentials.
fn slow_restore(special: &str) -> Option<String> {
    let whole = remote::store("s3")?;
    let store = TestStore::special(special).expect("the S3 server has such a store");
    let genuine = genuine::one("sr35/hub");
    let location = whole.fresh();
    upload(&genuine.location(), &location, &whole);
    let world = remote::world(&store);
    sql(&world, &create("READ ONLY REPOSITORY", "hub_repo", &location, &store.properties), &[]).ok();

    let (local, far) = (world.path("local"), world.path("far"));
    let restore = |world: &World, repository: &Path, to: &Path, more: &[&str]| {
        let mut command = world.command();
        command.arg("restore").arg(repository).args(["sr_hub_full", "--warehouse"]).arg(to).args(more);
        command.env("RUST_LOG", "starsnap_repository=debug");
        Ran::of(command).ok()
    };
    restore(&world, &genuine.location(), &local, &[]);
    // Some ten seconds.
    let ran = restore(&world, Path::new("hub_repo"), &far, &["--max-speed", "90KiB", "--workers", "2"]);
    same(&local, &far, &[STATE]);
    Some(ran.stderr)
}

/// The same for a backup, which is then restored.
fn slow_backup(special: &str) -> Option<String> {
    let whole = remote::store("s3")?;
    let store = TestStore::special(special).expect("the S3 server has such a store");
    let (location, world) = (whole.fresh(), remote::world(&store));
    let restore = |repository: &Path, label: &str, to: &Path| {
        let mut command = world.command();
        command.arg("restore").arg(repository).args([label, "--warehouse"]).arg(to);
        Ran::of(command).ok()
    };
    let (local, far) = (world.path("local"), world.path("far"));
    restore(&genuine::one("sr35/hub").location(), "sr_hub_full", &local);
    sql(&world, &create("REPOSITORY", "slow", &location, &store.properties), &[]).ok();
    let mut command = world.command();
    command.args(["backup", "slow", "again", "--database", "sr_hub", "--max-speed", "90KiB", "--workers", "2"]);
    command.arg("--warehouse").arg(&local).env("RUST_LOG", "starsnap_repository=debug");
    let ran = Ran::of(command).ok();
    restore(Path::new("slow"), "again", &far);
    let tablets = |warehouse: &Path| {
        let files = tree(&warehouse.join("sr_hub"));
        files.into_iter().filter(|(path, _)| path.split('/').count() > 2).collect()
    };
    assert_same_tree(&tablets(&far), &tablets(&local), special);
    Some(ran.stderr)
}

/// Times that credentials were got, and times that a refusal was the reason.
fn count(said: &str) -> (usize, usize) {
    (said.matches("new session credentials").count(), said.matches("the session is renewed after a refusal").count())
}

#[test]
fn sessions_are_renewed_before_they_end() {
    let Some(said) = slow_restore("s3-instance-brief") else { return };
    let (got, refused) = count(&said);
    assert!(got >= 2 && refused == 0, "{got} sessions, {refused} refused: {said}");
}

#[test]
fn sessions_that_end_early_are_renewed_when_they_are_refused() {
    let Some(said) = slow_restore("s3-instance-early") else { return };
    let (got, refused) = count(&said);
    assert!(got >= 2 && refused >= 1, "{got} sessions, {refused} refused: {said}");
}

#[test]
fn a_backup_goes_on_when_its_sessions_end_early() {
    let Some(said) = slow_backup("s3-instance-early") else { return };
    let (got, refused) = count(&said);
    assert!(got >= 2 && refused >= 1, "{got} sessions, {refused} refused: {said}");
}
