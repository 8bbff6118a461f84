#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn work(table: &str, label: &str) -> Work {
    Work { source: vec!["/r".into(), label.into()], table: table.into(), target: table.into(), partitions: vec![] }
}

fn stage(staging: &Staging, path: &str, bytes: &[u8]) {
    let target = staging.table().join(path);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::write(&target, bytes).unwrap();
    let (md5, size) = (md5::of(bytes), bytes.len() as u64);
    staging.note(Finished { path: path.into(), md5, size, stamp: None, gone: false }).unwrap();
    staging.flush().unwrap();
}

#[test]
fn finished_files_are_recognised_and_torn_lines_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    stage(&staging, "p/1/x.dat", b"abc");
    stage(&staging, "p/1/y.dat", b"abcd");
    let journal = staging.dir().join(JOURNAL);
    drop(staging);
    let whole = std::fs::read(&journal).unwrap();
    for cut in 0..=whole.len() {
        std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
        std::fs::write(&journal, &whole[..cut]).unwrap();
        std::fs::create_dir_all(journal.with_file_name("table/p/1")).unwrap();
        std::fs::write(journal.with_file_name("table/p/1/x.dat"), b"abc").unwrap();
        let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
        let known = staging.finished.len();
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(known, lines.saturating_sub(1), "cut at {cut}");
        stage(&staging, "p/1/z.dat", b"z");
        drop(staging);
        let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
        assert_eq!(staging.finished.len(), known + 1, "cut at {cut}");
        assert!(staging.finished("p/1/z.dat").is_some());
    }
}

#[test]
fn a_changed_size_is_not_finished() {
    let dir = tempfile::tempdir().unwrap();
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    stage(&staging, "p/1/x.dat", b"abc");
    std::fs::write(staging.table().join("p/1/x.dat"), b"ab").unwrap();
    drop(staging);
    assert!(Staging::open(dir.path(), &work("t", "a")).unwrap().finished("p/1/x.dat").is_none());
}

#[test]
fn other_work_on_the_same_table_is_discarded_and_other_tables_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (first, other) = (work("t", "a"), work("t.x", "a"));
    stage(&Staging::open(dir.path(), &first).unwrap(), "p/1/x.dat", b"abc");
    stage(&Staging::open(dir.path(), &other).unwrap(), "p/1/x.dat", b"abc");
    drop(Staging::open(dir.path(), &work("t", "b")).unwrap());
    assert!(Staging::open(dir.path(), &first).unwrap().finished.is_empty());
    assert_eq!(Staging::open(dir.path(), &other).unwrap().finished.len(), 1);
}

#[test]
fn after_a_kill_behind_the_exchange_the_old_table_is_not_taken_for_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    stage(&staging, "x.dat", b"new");
    staging.mark_exchange().unwrap();
    let (table, staged) = (dir.path().join("t"), staging.table());
    drop(staging);
    // Killed before the exchange: all is still there.
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    assert!(staging.finished("x.dat").is_some());
    staging.mark_exchange().unwrap();
    drop(staging);
    std::fs::rename(&staged, &table).unwrap();
    std::fs::create_dir(&staged).unwrap();
    std::fs::write(staged.join("x.dat"), b"old").unwrap();
    // Killed behind it: `table/` is the old table.
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    assert!(staging.finished("x.dat").is_none());
}

/// Such journals have an mtime alone, which tells too little; what else they say still counts.
#[test]
fn stamps_of_older_journals_match_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    stage(&staging, "x.dat", b"abc");
    stage(&staging, "y.dat", b"abc");
    let journal = staging.dir().join(JOURNAL);
    drop(staging);
    let text = std::fs::read_to_string(&journal).unwrap();
    let older = text.replacen("\"size\":3", "\"size\":3,\"stamp\":1723652491000000000", 1);
    assert_ne!(older, text);
    std::fs::write(&journal, older).unwrap();
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    let (x, y) = (staging.finished("x.dat").unwrap(), staging.finished("y.dat").unwrap());
    assert_eq!((x.stamp, x.md5), (None, y.md5));
}

/// Names below `dir`, in the order in which `work` removes them.
fn removed(dir: &Path, work: impl FnOnce()) -> Vec<String> {
    use rustix::fs::inotify;
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, dir, inotify::WatchFlags::DELETE).unwrap();
    work();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let names = std::iter::from_fn(|| {
        let event = reader.next().ok()?;
        Some(event.file_name().map(|name| name.to_str().unwrap().to_owned()).unwrap_or_default())
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// A journal without its mark, beside the table that was exchanged, would vouch for the old files.
#[test]
fn the_journal_goes_before_all_else() {
    use rustix::fs::{CWD, RenameFlags};
    let dir = tempfile::tempdir().unwrap();
    let exchanged = |work: &Work| {
        let staging = Staging::open(dir.path(), work).unwrap();
        stage(&staging, "x.dat", b"new");
        staging.mark_exchange().unwrap();
        let staged = staging.table();
        // Both at once, or the one could get the other's inode.
        let old = tempfile::tempdir_in(dir.path()).unwrap().keep();
        std::fs::write(old.join("x.dat"), b"old").unwrap();
        rustix::fs::renameat_with(CWD, &staged, CWD, &old, RenameFlags::EXCHANGE).unwrap();
        // Whichever order the directory has, chance does not put the journal first.
        (0..30).for_each(|other| std::fs::write(staging.dir().join(format!("{other}")), "").unwrap());
        staging
    };
    let (ours, other) = (work("t", "a"), work("t", "b"));
    let check = |what: &str, names: &[String]| {
        assert_eq!(names.first().map(String::as_str), Some(JOURNAL), "{what}: {names:?}");
        assert!(names.len() > 1, "{what}: {names:?}");
    };
    let staging = exchanged(&ours);
    let path = staging.dir().to_owned();
    check("removed", &removed(&path, || staging.remove().unwrap()));
    drop(staging);

    drop(exchanged(&ours));
    check("begun anew", &removed(&path, || drop(Staging::open(dir.path(), &ours).unwrap())));

    drop(exchanged(&ours));
    check("discarded", &removed(&path, || drop(Staging::open(dir.path(), &other).unwrap())));

    // Killed behind that first step, with the mark or without.
    for mark in [true, false] {
        let staging = exchanged(&ours);
        std::fs::remove_file(path.join(JOURNAL)).unwrap();
        if !mark {
            std::fs::remove_file(path.join(COMMIT)).unwrap();
        }
        drop(staging);
        let staging = Staging::open(dir.path(), &ours).unwrap();
        assert!(staging.finished("x.dat").is_none() && !staging.table().join("x.dat").exists());
    }
}

#[test]
fn prune_keeps_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let staging = Staging::open(dir.path(), &work("t", "a")).unwrap();
    stage(&staging, "p/1/x.dat", b"abc");
    stage(&staging, "p/2/x.dat", b"abc");
    staging.prune(&|path| path == "p/1/x.dat").unwrap();
    assert!(staging.table().join("p/1/x.dat").exists());
    assert!(!staging.table().join("p/2").exists());
}
