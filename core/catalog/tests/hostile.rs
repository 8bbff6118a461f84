//! Damaged and hostile files: an error or a result, never a panic, a hang or a large allocation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta::{self, MetaForm};
use starsnap_catalog::repo_info::RepoInfo;
use starsnap_catalog::snapshot::Snapshot;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

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
        }
    }
    let limit = 64 * 1024 + 20 * bytes.len();
    assert!(LARGEST.get() <= limit, "{} bytes at once for a file of {}", LARGEST.get(), bytes.len());
    failed
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
