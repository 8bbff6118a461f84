//! What a scan has had to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::column::PageCounts;

/// What a scan has come by so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanStats {
    pub segments: u64,
    /// Of `segments`, those of which the indexes say that no row is wanted.
    pub segments_skipped: u64,
    /// Stored rows of the segments, deleted ones too.
    pub rows: u64,
    /// Of `rows`, those of which the indexes say that they are not wanted.
    pub rows_skipped: u64,
    /// Data pages of the columns that were opened; those of a segment without wanted rows are not even counted.
    pub pages: u64,
    /// Of `pages`, those that were read; a merge of very many sorted runs reads pages again, and counts them each time.
    pub pages_read: u64,
}

impl ScanStats {
    /// Adds what another scan has come by.
    pub fn add(&mut self, other: &ScanStats) {
        self.segments += other.segments;
        self.segments_skipped += other.segments_skipped;
        self.rows += other.rows;
        self.rows_skipped += other.rows_skipped;
        self.pages += other.pages;
        self.pages_read += other.pages_read;
    }
}

/// Counts of one scan, shared by what belongs to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub pages: Arc<PageCounts>,
    segments: Arc<[AtomicU64; 4]>,
}

impl Counts {
    /// Notes a segment of `rows` rows, of which `left` may be wanted.
    pub fn segment(&self, rows: u64, left: u64) {
        for (count, add) in self.segments.iter().zip([1, u64::from(left == 0), rows, rows.saturating_sub(left)]) {
            count.fetch_add(add, Ordering::Relaxed);
        }
    }

    pub fn stats(&self) -> ScanStats {
        let [segments, segments_skipped, rows, rows_skipped] = &*self.segments;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ScanStats {
            segments: load(segments),
            segments_skipped: load(segments_skipped),
            rows: load(rows),
            rows_skipped: load(rows_skipped),
            pages: load(&self.pages.all),
            pages_read: load(&self.pages.read),
        }
    }
}
