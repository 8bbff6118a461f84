//! What a scan has had to read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::column::PageCounts;
use crate::error::Result;
use crate::meta::TabletMeta;
use crate::rowset::RowsetMeta;

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
    /// By the rowset's position: how many of its segments were opened, and their rows.
    opened: Arc<Mutex<HashMap<usize, (usize, u64)>>>,
}

impl Counts {
    /// Checks that rowsets without segments have no rows: what was lost would not be missed.
    pub fn begin(&self, meta: &TabletMeta) -> Result<()> {
        meta.rowsets.iter().filter(|rowset| rowset.segments.is_empty()).try_for_each(|rowset| rowset.check_rows(0))
    }

    /// Notes that one more segment of a rowset is open; with the last one, all of its rows must be there. Each is opened once.
    pub fn opened(&self, at: usize, rowset: &RowsetMeta, rows: u64) -> Result<()> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let (segments, all) = opened.entry(at).or_default();
        *segments += 1;
        *all = all.saturating_add(rows);
        if *segments == rowset.segments.len() { rowset.check_rows(*all) } else { Ok(()) }
    }

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
