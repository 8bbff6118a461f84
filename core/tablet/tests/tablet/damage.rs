//! Damaged segments as `verify` looks at them. What reading does with damage: `tests/every_byte`.

use std::fs;
use std::sync::Arc;

use starsnap_tablet::Segment;

use super::common;

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
