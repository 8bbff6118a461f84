//! BIT_SHUFFLE: elements transposed bit by bit, then compressed with LZ4 in blocks.

use crate::codec::lz4_block;
use crate::error::{Result, TabletError};

use super::u32_at;

const HEADER_LEN: usize = 16;

/// Decodes a page: a 16-byte header (element count; compressed length with this header; count rounded up to 8; element size),
/// then the stream. Returns the elements, little-endian, without the padding.
pub fn decode_page(body: &[u8], element: usize) -> Result<Vec<u8>> {
    let count = u32_at(body, 0)? as usize;
    let (stored, padded, size) = (u32_at(body, 4)? as usize, u32_at(body, 8)? as usize, u32_at(body, 12)? as usize);
    if size != element || padded != count.next_multiple_of(8) || stored < HEADER_LEN {
        let says = format!("{count} elements of {size}, padded to {padded}, in {stored} bytes");
        return Err(TabletError::damaged(format!("bitshuffle header says {says}; elements have {element}")));
    }
    let stream =
        body.get(HEADER_LEN..stored).ok_or_else(|| TabletError::damaged("bitshuffle stream ends too early"))?;
    let mut out = decode_stream(stream, padded, element)?;
    out.truncate(count * element);
    Ok(out)
}

/// Decodes `padded` elements (a multiple of 8) from a stream without header; what follows them is ignored.
pub fn decode_stream(mut stream: &[u8], padded: usize, element: usize) -> Result<Vec<u8>> {
    let len = padded.checked_mul(element).filter(|&len| len / 256 <= stream.len());
    let len = len.ok_or_else(|| TabletError::damaged(format!("{padded} elements in {} bytes", stream.len())))?;
    let mut out = vec![0; len];
    let mut planes = vec![0; block_len(element).min(padded) * element];
    for block in out.chunks_mut(block_len(element) * element) {
        let packed = next_block(&mut stream)?;
        let planes = &mut planes[..block.len()];
        let expanded = lz4_block(packed, planes)?;
        if expanded != planes.len() {
            let wanted = planes.len();
            return Err(TabletError::damaged(format!("bitshuffle block of {expanded} bytes instead of {wanted}")));
        }
        unshuffle(planes, block, element);
    }
    Ok(out)
}

/// Elements in a full block.
fn block_len(element: usize) -> usize {
    (8192 / element / 8 * 8).max(128)
}

/// Takes one block with its big-endian length from the front.
fn next_block<'a>(stream: &mut &'a [u8]) -> Result<&'a [u8]> {
    let cut = || TabletError::damaged("bitshuffle stream ends too early");
    let (len, rest) = stream.split_first_chunk::<4>().ok_or_else(cut)?;
    let (block, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or_else(cut)?;
    *stream = rest;
    Ok(block)
}

/// Turns bit planes back into elements. Plane 8·b+k holds bit k of byte b of every element, eight elements to a byte.
fn unshuffle(planes: &[u8], out: &mut [u8], element: usize) {
    let groups = out.len() / element / 8;
    for byte in 0..element {
        let planes = &planes[byte * 8 * groups..(byte + 1) * 8 * groups];
        for group in 0..groups {
            let mut rows = 0u64;
            for plane in 0..8 {
                rows |= u64::from(planes[plane * groups + group]) << (8 * plane);
            }
            // High bytes of small numbers are all zero, and `out` starts as zeros.
            if rows == 0 {
                continue;
            }
            let columns = transpose(rows).to_le_bytes();
            let at = group * 8 * element + byte;
            for (element_at, value) in (at..).step_by(element).zip(columns) {
                out[element_at] = value;
            }
        }
    }
}

/// Transposes an 8×8 bit matrix: bit c of byte r becomes bit r of byte c.
fn transpose(mut x: u64) -> u64 {
    let mut swap = |shift: u32, mask: u64| {
        let t = (x ^ (x >> shift)) & mask;
        x ^= t ^ (t << shift);
    };
    swap(7, 0x00aa_00aa_00aa_00aa);
    swap(14, 0x0000_cccc_0000_cccc);
    swap(28, 0x0000_0000_f0f0_f0f0);
    x
}
