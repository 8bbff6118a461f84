//! What an attacker can do: the same changes with the checksum made right again. Rows may be other ones; nothing may panic, hang or
//! need more memory than the bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use starsnap_tablet::Segment;

use super::{counting, half, in_parallel, read, slice, small_cases};

/// Memory of anything at all: lying lengths and counts must not get further than this.
const MEMORY: usize = 256 << 20;
/// How many bytes of a file are changed, about.
const SAMPLE: usize = 150;

/// The parts of a file that a checksum covers, and where the checksum stands.
fn covered(name: &str, bytes: &[u8]) -> Vec<(usize, usize, usize)> {
    if name.ends_with(".hdr") || name.ends_with(".dcgs_snapshot") {
        return vec![(40, bytes.len(), 32)];
    }
    let Ok(segment) = Segment::open(Arc::new(bytes.to_vec())) else { return Vec::new() };
    let trailer = bytes.len() - 12;
    let footer = u32::from_le_bytes(bytes[trailer..][..4].try_into().unwrap()) as usize;
    let mut found = vec![(trailer - footer, trailer, trailer + 4)];
    let mut columns: Vec<_> = segment.footer().columns.iter().collect();
    while let Some(column) = columns.pop() {
        columns.extend(&column.children_columns);
        let roots = column.indexes.iter().flat_map(|i| {
            let ordinal = i.ordinal_index.and_then(|i| i.root_page);
            let zones = i.zone_map_index.as_ref().and_then(|z| z.page_zone_maps).and_then(|z| z.ordinal_index_meta);
            ordinal.into_iter().chain(zones).filter_map(|r| r.root_page)
        });
        for page in roots.chain(column.dict_page) {
            let end = page.offset as usize + page.size as usize;
            found.push((page.offset as usize, end - 4, end - 4));
        }
    }
    found
}

fn repair(bytes: &mut [u8], (start, end, at): (usize, usize, usize)) {
    let sum = match at {
        32 if start == 40 => adler2::adler32_slice(&bytes[start..end]),
        _ => crc32c::crc32c(&bytes[start..end]),
    };
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fn check(step_of: impl Fn(usize) -> usize, (part, of): (usize, usize)) -> usize {
    let mut tried = 0;
    for (case, files) in small_cases() {
        let filter = half(&files);
        let mut all = Vec::new();
        for (name, bytes) in &files {
            let mut at = 0;
            for part in covered(name, bytes) {
                let step = step_of(bytes.as_slice().len());
                while at < part.1 - part.0 {
                    all.push((name, part, part.0 + at));
                    at += step;
                }
                // Goes on evenly in the next part.
                at -= part.1 - part.0;
            }
        }
        let mut number = 0..;
        all.retain(|_| number.next().is_some_and(|number| number % of == part));
        in_parallel(&all, |&(name, part, at)| {
            let mut bytes = files[name].to_vec();
            bytes[at] = bytes[at].wrapping_add(1 + (at % 255) as u8);
            repair(&mut bytes, part);
            let mut damaged = files.clone();
            damaged.insert(name.clone(), Arc::new(bytes.clone()));
            counting::start();
            let done = catch_unwind(AssertUnwindSafe(|| {
                let _ = read(&damaged, &filter);
                let _ = Segment::open(Arc::new(bytes)).and_then(|s| s.verify_pages());
            }));
            assert!(done.is_ok(), "{case}: byte {at} of {name}: panics");
            assert!(counting::peak() <= MEMORY, "{case}: byte {at} of {name}: {} bytes", counting::peak());
        });
        tried += all.len();
    }
    tried
}

#[test]
fn a_changed_byte_with_its_checksum_made_right_does_no_harm() {
    let tried = check(|len| len.div_ceil(SAMPLE), (0, 1));
    println!("{tried} damaged tablets");
    assert!(tried > 5_000, "{tried}");
}

#[test]
#[ignore = "takes minutes: every byte that a checksum covers"]
fn every_changed_byte_with_its_checksum_made_right_does_no_harm() {
    let tried = check(|_| 1, slice());
    println!("{tried} damaged tablets");
    assert!(tried * slice().1 > 200_000, "{tried}");
}
