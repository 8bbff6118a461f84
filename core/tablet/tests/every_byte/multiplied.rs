//! Files of a few kilobytes that stand for gigabytes, with all checksums right: compression within compression.

use std::sync::Arc;

use starsnap_tablet::{ErrorKind, ReadOptions, Segment as Stored};

use super::build::*;
use super::counting;

/// What such a file may need: the page that it does expand to, and the copies on the way.
const MEMORY: usize = 200 << 20;
const ZSTD: i32 = 7;

/// An error, of a small file, in bounded memory.
fn is_refused(ty: i32, name: &str, encoding: i32, page: Page, dictionary: Option<&[u8]>, says: &str) {
    let rows = page.nulls.len() as u32;
    let mut segment = Segment::with_codec(ZSTD);
    let column_meta = segment.column(ty, encoding, &[page], dictionary);
    segment.add(0, column_meta);
    let bytes = segment.finish(rows);
    assert!(bytes.len() < 32 << 10, "{} bytes", bytes.len());
    let tablet =
        tablet(&header(0, vec![column(0, "v", name)], vec![rowset(2, 1)]), vec![(segment_name(2, 0), bytes.clone())]);
    drop(segment);
    counting::start();
    let read = tablet.rows(None, &ReadOptions::default()).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let error = read.unwrap_err();
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(says), "{error}");
    let _ = Stored::open(Arc::new(bytes)).and_then(|segment| segment.verify_pages());
    assert!(counting::peak() <= MEMORY, "{} bytes", counting::peak());
}

/// `count` elements of `element` bytes, in a page body of `len` zeros.
fn zeros(count: u32, element: u32, len: usize) -> Vec<u8> {
    let mut body = [count, len as u32, count.next_multiple_of(8), element].map(u32::to_le_bytes).concat();
    body.resize(len, 0);
    body
}

#[test]
fn pages_that_claim_any_number_of_values_are_refused() {
    for count in [16, 1 << 24, u32::MAX - 7] {
        let page = Page::whole(zeros(count, 16, 48 << 20), 8);
        is_refused(9, "LARGEINT", BIT_SHUFFLE, page, None, "at most 8");
    }
}

#[test]
fn dictionaries_that_claim_any_number_of_values_are_refused() {
    let codes = [&5u32.to_le_bytes()[..], &shuffled(&[0; 32], 4)].concat();
    let dictionary = zeros(u32::MAX - 7, 16, 48 << 20);
    is_refused(9, "LARGEINT", DICT, Page::whole(codes, 8), Some(&dictionary), "at most 1048576");
}

/// Zeros beyond what any value has, of which ZSTD makes a few kilobytes.
#[test]
fn pages_of_more_than_any_value_are_refused() {
    let page = Page::whole(vec![0; 256 << 20], 8);
    is_refused(17, "VARCHAR", PLAIN, page, None, "cannot be");
}
