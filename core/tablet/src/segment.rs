//! Segment files (`.dat`, `.cols`): the footer, and the way to a column's pages.

mod describe;
mod verify;

use std::sync::Arc;

use crate::error::{Result, TabletError, Within};
use crate::page;
use crate::proto;
use crate::proto::segment::{ColumnMetaPb, SegmentFooterPb};
use crate::source::ReadAt;

pub use describe::{ColumnDescription, ZoneDescription};
pub use verify::PageCount;

const MAGIC: [u8; 4] = *b"D0R1";
const TRAILER_LEN: u64 = 12;
/// What is read at first from the end of the file; most footers fit.
const TAIL_LEN: u64 = 16 << 10;

/// An open segment file: its footer is read and verified, no data yet.
#[derive(Clone)]
pub struct Segment {
    pub(crate) file: Arc<dyn ReadAt>,
    footer: Arc<SegmentFooterPb>,
}

impl Segment {
    /// Reads and verifies the footer.
    pub fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        let footer = read_footer(file.as_ref()).within(|| "segment footer")?;
        Ok(Segment { file, footer: Arc::new(footer) })
    }

    /// How many rows the segment stores, dead ones included.
    pub fn num_rows(&self) -> u64 {
        u64::from(self.footer.num_rows.unwrap_or(0))
    }

    /// Length of the file in bytes.
    pub fn file_size(&self) -> u64 {
        self.file.len()
    }

    /// The footer as it is stored.
    pub fn footer(&self) -> &SegmentFooterPb {
        &self.footer
    }

    /// The top-level column with this unique id.
    pub fn column(&self, unique_id: i32) -> Option<&ColumnMetaPb> {
        self.footer.columns.iter().find(|c| c.unique_id == Some(unique_id as u32))
    }
}

/// Footer message, its length, its CRC32C, magic.
fn read_footer(file: &dyn ReadAt) -> Result<SegmentFooterPb> {
    let tail_len = file.len().min(TAIL_LEN);
    let tail = page::read_bytes(file, file.len() - tail_len, tail_len)?;
    let Some((before, trailer)) = tail.split_last_chunk::<{ TRAILER_LEN as usize }>() else {
        return Err(TabletError::damaged(format!("a file of {} bytes", file.len())));
    };
    let word = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    if trailer[8..] != MAGIC {
        return Err(TabletError::damaged("the file does not end with D0R1 (it is cut off, or encrypted)"));
    }
    let len = u64::from(word(0));
    let start = (file.len() - TRAILER_LEN).checked_sub(len);
    let start = start.ok_or_else(|| TabletError::damaged(format!("a footer of {len} bytes")))?;
    let fetched;
    let bytes = match before.len().checked_sub(len as usize) {
        Some(at) => &before[at..],
        None => {
            fetched = page::read_bytes(file, start, len)?;
            &fetched
        }
    };
    let (is, says) = (crc32c::crc32c(bytes), word(4));
    if is != says {
        return Err(TabletError::damaged(format!("CRC32C is {is:08x}, the file says {says:08x}")));
    }
    proto::decode(bytes, "SegmentFooterPB")
}
