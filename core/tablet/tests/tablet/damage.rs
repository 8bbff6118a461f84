//! Damaged segments: an error or the same rows, never anything else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use starsnap_tablet::{ReadAt, Result, Segment, Tablet, TabletMeta};

use super::common;
use super::render::options;

type Files = BTreeMap<String, Arc<Vec<u8>>>;

fn rows(meta: &TabletMeta, files: &Files) -> Result<Vec<RecordBatch>> {
    let files = files.clone();
    let open = move |name: &str| match files.get(name) {
        Some(bytes) => Ok(bytes.clone() as Arc<dyn ReadAt>),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    Tablet::new(meta.clone(), open).physical_rows(None, &options())?.collect()
}

#[test]
fn any_changed_byte_or_truncation_of_a_segment_is_an_error_or_changes_nothing() {
    let mut seen = 0;
    for case in common::cases().into_iter().filter(|c| c.is_tiny()) {
        let meta = case.meta();
        let mut files = Files::new();
        for entry in fs::read_dir(case.tablet()).unwrap() {
            let path = entry.unwrap().path();
            files.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), Arc::new(fs::read(path).unwrap()));
        }
        let whole = rows(&meta, &files).unwrap();
        for (name, bytes) in files.clone().into_iter().filter(|(name, _)| name.ends_with(".dat")) {
            let mut damaged = files.clone();
            let bytes = bytes.to_vec();
            for len in
                (0..bytes.len()).step_by(if bytes.len() > 4000 { 7 } else { 1 }).chain(bytes.len() - 64..bytes.len())
            {
                damaged.insert(name.clone(), Arc::new(bytes[..len].to_vec()));
                assert!(rows(&meta, &damaged).is_err(), "{case}: {name} cut to {len}");
            }
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                damaged.insert(name.clone(), Arc::new(changed));
                match rows(&meta, &damaged) {
                    Ok(rows) => assert!(rows == whole, "{case}: byte {at} of {name} changes rows without an error"),
                    Err(e) => assert!(!e.to_string().is_empty()),
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 20_000, "{seen} bytes");
}

/// The same, with checksums made right again: what an attacker can do. Rows may differ; nothing may panic, hang or grow.
#[test]
fn pages_with_right_checksums_and_wrong_content_do_not_panic() {
    for case in common::cases().into_iter().filter(|c| c.is_tiny()) {
        let meta = case.meta();
        for (rowset, segment) in meta.rowsets.iter().flat_map(|r| (0..r.segments.len()).map(move |s| (r, s))) {
            let name = rowset.id.segment_file(segment);
            let bytes = fs::read(case.tablet().join(&name)).unwrap();
            for (start, end) in pages(&bytes) {
                for at in start..end - 4 {
                    let mut changed = bytes.clone();
                    changed[at] = changed[at].wrapping_add(1 + (at % 255) as u8);
                    let crc = crc32c::crc32c(&changed[start..end - 4]);
                    changed[end - 4..end].copy_from_slice(&crc.to_le_bytes());
                    let files = Files::from([(name.clone(), Arc::new(changed))]);
                    let _ = rows(&meta, &files);
                }
            }
        }
    }
}

/// Ranges of all pages of a segment file: wherever a CRC32C stands behind what it covers.
fn pages(bytes: &[u8]) -> Vec<(usize, usize)> {
    let footer = Segment::open(Arc::new(bytes.to_vec())).unwrap().footer().clone();
    let mut found = Vec::new();
    let mut columns: Vec<_> = footer.columns.iter().collect();
    while let Some(column) = columns.pop() {
        columns.extend(&column.children_columns);
        let index = column.indexes.iter().find_map(|i| i.ordinal_index);
        let root = index.and_then(|i| i.root_page).and_then(|r| r.root_page);
        for page in root.into_iter().chain(column.dict_page) {
            found.push((page.offset as usize, page.offset as usize + page.size as usize));
        }
    }
    found
}

/// Pages tile the file in front of the footer, so that verifying them notices every changed byte.
#[test]
fn verified_pages_are_the_whole_file() {
    for case in common::cases() {
        let meta = case.meta();
        for (rowset, segment) in meta.rowsets.iter().flat_map(|r| (0..r.segments.len()).map(move |s| (r, s))) {
            let bytes = fs::read(case.tablet().join(rowset.id.segment_file(segment))).unwrap();
            let opened = Segment::open(Arc::new(bytes.clone())).unwrap();
            let footer = u32::from_le_bytes(bytes[bytes.len() - 12..][..4].try_into().unwrap());
            let count = opened.verify_pages().unwrap();
            assert_eq!(count.bytes + u64::from(footer) + 12, bytes.len() as u64, "{case}: {count:?}");
            if case.is_tiny() {
                for at in (0..bytes.len()).step_by(3) {
                    let mut changed = bytes.clone();
                    changed[at] ^= 0x10;
                    let verified = Segment::open(Arc::new(changed)).and_then(|s| s.verify_pages());
                    assert!(verified.is_err(), "{case}: byte {at}");
                }
            }
        }
    }
}

/// Footers and headers with right checksums and wrong content: nothing may panic, hang or grow.
#[test]
fn metadata_with_right_checksums_and_wrong_content_does_not_panic() {
    for case in common::cases().into_iter().filter(|c| c.is_tiny()) {
        let meta = case.meta();
        for (rowset, segment) in meta.rowsets.iter().flat_map(|r| (0..r.segments.len()).map(move |s| (r, s))) {
            let name = rowset.id.segment_file(segment);
            let bytes = fs::read(case.tablet().join(&name)).unwrap();
            let trailer = bytes.len() - 12;
            let start = trailer - u32::from_le_bytes(bytes[trailer..][..4].try_into().unwrap()) as usize;
            for at in start..trailer {
                let mut changed = bytes.clone();
                changed[at] = changed[at].wrapping_add(1 + (at % 255) as u8);
                let crc = crc32c::crc32c(&changed[start..trailer]);
                changed[trailer + 4..trailer + 8].copy_from_slice(&crc.to_le_bytes());
                let files = Files::from([(name.clone(), Arc::new(changed.clone()))]);
                let _ = rows(&meta, &files);
                let _ = Segment::open(Arc::new(changed)).and_then(|s| s.verify_pages());
            }
        }
        let (_, header) = case.metadata();
        for at in 40..header.len() {
            let mut changed = header.clone();
            changed[at] = changed[at].wrapping_add(1 + (at % 255) as u8);
            let adler = adler2::adler32_slice(&changed[40..]);
            changed[32..36].copy_from_slice(&adler.to_le_bytes());
            if let Ok(meta) = TabletMeta::from_header(&changed) {
                let files = fs::read_dir(case.tablet()).unwrap().map(|e| e.unwrap().path());
                let files = files.map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), p));
                // Reading the rows for every byte would take minutes.
                let files = files.filter(|_| at % 5 == 0).map(|(n, p)| (n, Arc::new(fs::read(p).unwrap())));
                let _ = rows(&meta, &files.collect());
                let _ = starsnap_tablet::expected_files(&meta);
            }
        }
    }
}
