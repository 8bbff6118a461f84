//! Damaged and hostile files: an error or a result, never a panic, a hang or a large allocation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use starsnap_catalog::ddl::{Context, catalog_sql, function_sql, restore_sql, schema_sql};
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::layout::{SnapshotLayout, TableLayout};
use starsnap_catalog::meta::{self, MetaForm};
use starsnap_catalog::model::{Catalog, Function};
use starsnap_catalog::repo_info::RepoInfo;
use starsnap_catalog::snapshot::Snapshot;
use starsnap_catalog::table_file::TableFile;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashSet;

/// Notes the largest single allocation of each thread.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: hands everything on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Reads, joins and writes again whatever can be read; true when it was an error. No allocation may be far above the file's size.
fn survive(bytes: &[u8]) -> bool {
    LARGEST.set(0);
    let result = meta::read(bytes);
    let failed = result.is_err();
    if let Ok(meta) = &result {
        for table in meta.tbl_name_map.values() {
            let info = table.partition_info.as_ref();
            for id in table.id_to_partition.keys() {
                let _ = info.map(|info| info.range(*id));
            }
        }
        if let Ok(snapshot) = Snapshot::join(None, Some(meta)) {
            assert_eq!(snapshot.tables.len(), meta.tbl_name_map.len());
            show(&snapshot);
        }
    }
    let limit = 64 * 1024 + 20 * bytes.len();
    assert!(LARGEST.get() <= limit, "{} bytes at once for a file of {}", LARGEST.get(), bytes.len());
    failed
}

/// Everything that is made of a catalog: names, statements, `table.json`. Whatever it says, names are single components of a path, each
/// once, and what is written is read.
fn show(snapshot: &Snapshot) {
    let layout = SnapshotLayout::of(snapshot);
    let ours = [&layout.catalogs_dir, &layout.snapshot_json, &layout.restore_sql];
    let names: Vec<&String> = layout.tables.iter().chain(&layout.functions).chain(ours).collect();
    assert!(
        names.iter().chain(&layout.catalogs.iter().collect::<Vec<_>>()).all(|name| is_component(name)),
        "{names:?}"
    );
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
    restore_sql(snapshot, "repository", "2024-01-01-00-00-00-000");
    for text in &snapshot.functions {
        let _ = text.parse::<Function>().and_then(|function| function_sql(&function));
    }
    for text in &snapshot.catalogs {
        let _ = text.parse::<Catalog>().and_then(|catalog| catalog_sql(&catalog));
    }
    for entry in &snapshot.tables {
        let layout = TableLayout::of(entry);
        let paths: HashSet<String> = layout.tablets.iter().map(|place| place.path()).collect();
        assert_eq!(paths.len(), layout.tablets.len(), "two tablets in one directory");
        let mut components = paths.iter().flat_map(|path| path.split('/'));
        assert!(components.all(is_component) && layout.partition_dirs.iter().all(|name| is_component(name)));
        if let Ok(Some(table)) = entry.parse() {
            let _ = schema_sql(&table, &Context::default());
        }
        let file = TableFile::of(snapshot, entry, "repository", "2024-01-01-00-00-00-000");
        if let Ok(text) = file.to_json() {
            // One that contradicts itself is refused.
            let _ = TableFile::parse(text.as_bytes());
        }
    }
}

fn is_component(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// The smallest genuine `__meta` of each form that has a table.
fn smallest(form: MetaForm) -> Vec<u8> {
    let metas = common::all().into_iter().filter_map(|case| case.meta);
    let metas = metas.filter(|bytes| !meta::read(bytes).unwrap().tbl_name_map.is_empty());
    metas.filter(|bytes| meta::form(bytes) == form).min_by_key(Vec::len).unwrap()
}

/// Numbers that look random and are the same every time.
fn sequence(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    }
}

#[test]
fn every_truncation_of_a_binary_meta() {
    let bytes = smallest(MetaForm::Binary);
    assert!(!survive(&bytes));
    for cut in 0..bytes.len() {
        assert!(survive(&bytes[..cut]), "{cut} bytes");
    }
}

#[test]
fn every_truncation_of_a_json_meta() {
    let bytes = smallest(MetaForm::Json);
    assert!(!survive(&bytes));
    for cut in 0..bytes.len() {
        assert!(survive(&bytes[..cut]), "{cut} bytes");
        // The length put right, so that the JSON itself breaks off.
        if cut >= 5 {
            let mut framed = bytes[..cut].to_vec();
            framed[..4].copy_from_slice(&(cut as i32 - 4).to_be_bytes());
            assert!(survive(&framed), "{cut} bytes, framed");
        }
    }
}

#[test]
fn flipped_bytes() {
    for form in [MetaForm::Binary, MetaForm::Json] {
        let genuine = smallest(form);
        let mut next = sequence(7);
        let mut failed = 0;
        for _ in 0..3000 {
            let mut bytes = genuine.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] = match next(4) {
                    0 => 0xff,
                    1 => 0x7f,
                    2 => bytes[at] ^ (1 << next(8)),
                    _ => next(256) as u8,
                };
            }
            failed += usize::from(survive(&bytes));
        }
        assert!(failed > 100, "{form:?}: only {failed} were errors");
    }
}

#[test]
fn every_count_and_length_made_huge() {
    let genuine = smallest(MetaForm::Binary);
    for at in 0..genuine.len() - 4 {
        for huge in [i32::MAX, i32::MIN, 0x0100_0000] {
            let mut bytes = genuine.clone();
            bytes[at..at + 4].copy_from_slice(&huge.to_be_bytes());
            survive(&bytes);
        }
    }
}

#[test]
fn a_meta_that_claims_two_gib() {
    for claim in [i32::MAX, i32::MIN, -1] {
        let json = [&claim.to_be_bytes()[..], br#"{"tblNameMap":{}}"#].concat();
        assert!(survive(&json));
        assert!(meta::read(&json).unwrap_err().to_string().contains("17"), "the true length is named");
        let binary = [&claim.to_be_bytes()[..], &[0, 0, 0, 4], b"OLAP", &[0; 300]].concat();
        assert!(survive(&binary));
    }
}

#[test]
fn deeply_nested_json() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let table = r#"{"clazz":"OlapTable","id":1,"name":"t","type":"OLAP","x":"#;
        for text in [format!(r#"{{"tblNameMap":{deep}}}"#), format!(r#"{{"tblNameMap":{{"t":{table}{deep}}}}}}}"#)] {
            let bytes = [&(text.len() as i32).to_be_bytes()[..], text.as_bytes()].concat();
            assert!(survive(&bytes));
        }
        assert!(JobInfo::parse(deep.as_bytes()).is_err());
        let inside =
            format!(r#"{{"name":"s","database":"d","id":1,"backup_time":1,"backup_objects":{{}},"x":{deep}}}"#);
        assert!(JobInfo::parse(inside.as_bytes()).is_err());
        assert!(RepoInfo::parse(deep.as_bytes()).is_err());
    }
    let mut ty = String::from(r#"{"clazz":"ScalarType","type":"INT"}"#);
    for _ in 0..10_000 {
        ty = format!(r#"{{"clazz":"ArrayType","itemType":{ty}}}"#);
    }
    let text = format!(
        r#"{{"tblNameMap":{{"t":{{"clazz":"View","id":1,"name":"t","type":"VIEW","fullSchema":[{{"name":"c","type":{ty}}}]}}}}}}"#
    );
    assert!(survive(&[&(text.len() as i32).to_be_bytes()[..], text.as_bytes()].concat()));
}

#[test]
fn damaged_infos() {
    let genuine = common::all().into_iter().filter_map(|case| case.info).min_by_key(Vec::len).unwrap();
    for cut in 0..genuine.len() {
        assert!(JobInfo::parse(&genuine[..cut]).is_err());
    }
    for genuine in common::repositories().into_iter().filter_map(|case| case.info) {
        let mut next = sequence(11);
        for _ in 0..300 {
            let mut bytes = genuine.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            if let Ok(info) = JobInfo::parse(&bytes) {
                let _ = Snapshot::join(Some(&info), None);
            }
        }
    }
}

/// What a byte is changed to: single bits, and what has a meaning in JSON and in numbers.
fn changes(old: u8) -> impl Iterator<Item = u8> {
    let all = [old ^ 1, old ^ 0x20, old ^ 0x80, 0, 0xff, b'"', b'-', b'0'];
    all.into_iter().enumerate().filter(move |(at, new)| *new != old && !all[..*at].contains(new)).map(|(_, new)| new)
}

#[test]
fn every_byte_of_a_meta_changed() {
    for form in [MetaForm::Binary, MetaForm::Json] {
        let genuine = smallest(form);
        let (mut failed, mut survived) = (0, 0);
        for (at, old) in genuine.iter().enumerate() {
            // A third of the changes for each byte, others for the next.
            for (_, new) in changes(*old).enumerate().filter(|(number, _)| (number + at) % 3 == 0) {
                let mut bytes = genuine.clone();
                bytes[at] = new;
                if survive(&bytes) { failed += 1 } else { survived += 1 }
            }
        }
        println!("{form:?}: {failed} errors, {survived} catalogs");
        assert!(failed > 1000 && survived > 100, "{form:?}: {failed} errors, {survived} catalogs");
    }
}

/// Alone, and with the `__meta` that belongs to it and now may contradict it.
#[test]
fn every_byte_of_an_info_changed() {
    let of_both = |case: common::Case| Some((case.info?, case.meta?));
    let cases = common::repositories().into_iter().filter_map(of_both);
    let (genuine, meta) = cases.min_by_key(|(info, _)| info.len()).unwrap();
    let meta = meta::read(&meta).unwrap();
    let (mut failed, mut differ, mut told) = (0, 0, 0);
    let whole = JobInfo::parse(&genuine).unwrap();
    let agreed = Snapshot::join(Some(&whole), Some(&meta)).unwrap().disagreements.len();
    for (at, old) in genuine.iter().enumerate() {
        for new in changes(*old) {
            let mut bytes = genuine.clone();
            bytes[at] = new;
            LARGEST.set(0);
            let parsed = JobInfo::parse(&bytes);
            assert!(LARGEST.get() <= 64 * 1024 + 20 * bytes.len(), "{} bytes at once", LARGEST.get());
            let Ok(info) = parsed else {
                failed += 1;
                continue;
            };
            for snapshot in [Snapshot::join(Some(&info), None), Snapshot::join(Some(&info), Some(&meta))] {
                let Ok(snapshot) = snapshot else { continue };
                show(&snapshot);
                told += usize::from(snapshot.disagreements.len() > agreed);
            }
            differ += usize::from(info != whole);
        }
    }
    println!("{failed} errors, {differ} other infos, {told} disagreements");
    assert!(failed > 1000 && differ > 100 && told > 100, "{failed} errors, {differ} other infos, {told} disagreements");
}
