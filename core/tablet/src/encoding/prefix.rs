//! PREFIX: sorted strings that share their beginnings (dictionaries of bitmap indexes).

use crate::error::{Result, TabletError};

use super::{u32_at, varint};

/// Decodes a whole page: entries of (shared length, own length, own bytes), then the number of entries, the restart interval,
/// the restart offsets, and how many there are.
pub fn decode(body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let cut = || TabletError::damaged("page of prefixed strings ends too early");
    let restarts_at = body.len().checked_sub(4).ok_or_else(cut)?;
    let restarts = u32_at(body, restarts_at)? as usize;
    let trailer = restarts.checked_mul(4).and_then(|n| n.checked_add(5)).ok_or_else(cut)?;
    let trailer_at = restarts_at.checked_sub(trailer).ok_or_else(cut)?;
    let count = u32_at(body, trailer_at)? as usize;
    let mut rest = &body[..trailer_at];
    if count > rest.len() {
        return Err(TabletError::damaged(format!("{count} prefixed strings in {} bytes", rest.len())));
    }
    let mut strings: Vec<Vec<u8>> = Vec::with_capacity(count);
    // Shared beginnings can make the output far larger than the page; nothing genuine comes near this.
    let mut budget = (body.len() as u64).saturating_mul(1024);
    for _ in 0..count {
        let (shared, own) = (varint(&mut rest)?, varint(&mut rest)?);
        let last = strings.last().map_or(&[][..], Vec::as_slice);
        let shared = usize::try_from(shared).ok().and_then(|n| last.get(..n)).ok_or_else(cut)?;
        let (own, after) = usize::try_from(own).ok().and_then(|n| rest.split_at_checked(n)).ok_or_else(cut)?;
        budget = budget.checked_sub(shared.len() as u64).ok_or_else(|| TabletError::damaged("prefixed strings"))?;
        let string = [shared, own].concat();
        rest = after;
        strings.push(string);
    }
    Ok(strings)
}
