//! PLAIN of byte strings: the strings one after another, then where each starts, then how many there are.

use crate::error::{Result, TabletError};

use super::u32_at;

/// Strings of one page or dictionary, checked once so that every lookup is cheap and cannot fail.
#[derive(Debug, Clone, Default)]
pub struct BinaryPlain {
    body: Vec<u8>,
    /// count + 1 ascending offsets into `body`.
    offsets: Vec<u32>,
}

impl BinaryPlain {
    /// Takes a page body over, from `skip` bytes on.
    pub fn parse(body: Vec<u8>, skip: usize) -> Result<Self> {
        let short = || TabletError::damaged("page of strings ends too early");
        let count_at = body.len().checked_sub(4).filter(|&at| at >= skip).ok_or_else(short)?;
        let count = u32_at(&body, count_at)? as usize;
        let table_at = count.checked_mul(4).and_then(|n| count_at.checked_sub(n)).filter(|&at| at >= skip);
        let table_at = table_at.ok_or_else(|| TabletError::damaged(format!("{count} strings in {count_at} bytes")))?;
        // A page is at most 4 GiB long, so that its positions fit.
        let (skip, end) = (skip as u32, table_at as u32);
        let mut offsets = Vec::with_capacity(count + 1);
        let mut last = skip;
        for entry in body[table_at..count_at].chunks_exact(4) {
            let offset = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]).saturating_add(skip);
            if offset < last || offset > end {
                return Err(TabletError::damaged(format!("string offset {offset} after {last}, before {end}")));
            }
            offsets.push(offset);
            last = offset;
        }
        offsets.push(end);
        Ok(BinaryPlain { body, offsets })
    }

    /// The page body, to be used for another.
    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// String `at`, or nothing if there are not so many.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let (start, end) = (*self.offsets.get(at)?, *self.offsets.get(at + 1)?);
        self.body.get(start as usize..end as usize)
    }

    /// Where string `at` begins and ends in [`Self::body`], or nothing if there are not so many.
    pub(crate) fn bounds(&self, at: usize) -> Option<(u32, u32)> {
        Some((*self.offsets.get(at)?, *self.offsets.get(at + 1)?))
    }

    /// What [`Self::bounds`] are in; there may be other bytes around the strings.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of the strings `from..to` in one piece, with their boundaries in the piece's own page.
    pub(crate) fn run(&self, from: usize, to: usize) -> Option<(&[u8], &[u32])> {
        let bounds = self.offsets.get(from..=to)?;
        let (first, last) = (*bounds.first()?, *bounds.last()?);
        Some((self.body.get(first as usize..last as usize)?, bounds))
    }
}
