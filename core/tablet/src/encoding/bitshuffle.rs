//! BIT_SHUFFLE: elements transposed bit by bit, then compressed with LZ4 in blocks.

use crate::codec::{lz4_block, resize};
use crate::error::{Result, TabletError};

use super::u32_at;

const HEADER_LEN: usize = 16;

/// Bytes of a page's elements. Writers fill pages with 64 KiB of them and dictionaries with 1 MiB; what is more is not made room for, as
/// compression within compression lets a few bytes stand for any number of elements.
pub(crate) const MAX_PAGE_BYTES: usize = 16 << 20;

/// Decodes a page: a 16-byte header (element count; compressed length with this header; count rounded up to 8; element size),
/// then the stream. Returns the elements, little-endian, without the padding.
pub fn decode_page(body: &[u8], element: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decode_page_into(body, element, u64::MAX, &mut out)?;
    Ok(out)
}

/// The same, in place of what is in `out`; an error if there are more elements than `most`.
pub(crate) fn decode_page_into(body: &[u8], element: usize, most: u64, out: &mut Vec<u8>) -> Result<()> {
    let count = u32_at(body, 0)? as usize;
    let (stored, padded, size) = (u32_at(body, 4)? as usize, u32_at(body, 8)? as usize, u32_at(body, 12)? as usize);
    if size != element || padded != count.next_multiple_of(8) || stored < HEADER_LEN {
        let says = format!("{count} elements of {size}, padded to {padded}, in {stored} bytes");
        return Err(TabletError::damaged(format!("bitshuffle header says {says}; elements have {element}")));
    }
    if count as u64 > most || padded.checked_mul(element).is_none_or(|len| len > MAX_PAGE_BYTES) {
        let than = most.min((MAX_PAGE_BYTES / element.max(1)) as u64);
        return Err(TabletError::damaged(format!("{count} elements in a bitshuffle page of at most {than}")));
    }
    let stream =
        body.get(HEADER_LEN..stored).ok_or_else(|| TabletError::damaged("bitshuffle stream ends too early"))?;
    decode_stream_into(stream, padded, element, out)?;
    out.truncate(count * element);
    Ok(())
}

/// Decodes `padded` elements (a multiple of 8) from a stream without header; what follows them is ignored.
pub fn decode_stream(stream: &[u8], padded: usize, element: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decode_stream_into(stream, padded, element, &mut out)?;
    Ok(out)
}

fn decode_stream_into(mut stream: &[u8], padded: usize, element: usize, out: &mut Vec<u8>) -> Result<()> {
    let len = padded.checked_mul(element).filter(|&len| len / 256 <= stream.len());
    let len = len.ok_or_else(|| TabletError::damaged(format!("{padded} elements in {} bytes", stream.len())))?;
    resize(out, len);
    let mut planes = vec![0; block_len(element).min(padded) * element];
    for block in out.chunks_mut(block_len(element) * element) {
        let packed = next_block(&mut stream)?;
        let planes = &mut planes[..block.len()];
        let expanded = lz4_block(packed, planes)?;
        if expanded != planes.len() {
            let wanted = planes.len();
            return Err(TabletError::damaged(format!("bitshuffle block of {expanded} bytes instead of {wanted}")));
        }
        unshuffle(planes, block, element)?;
    }
    Ok(())
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
fn unshuffle(planes: &[u8], out: &mut [u8], element: usize) -> Result<()> {
    match element {
        1 => unshuffle_elements::<1>(planes, out),
        2 => unshuffle_elements::<2>(planes, out),
        3 => unshuffle_elements::<3>(planes, out),
        4 => unshuffle_elements::<4>(planes, out),
        8 => unshuffle_elements::<8>(planes, out),
        12 => unshuffle_elements::<12>(planes, out),
        16 => unshuffle_elements::<16>(planes, out),
        32 => unshuffle_elements::<32>(planes, out),
        _ => return Err(TabletError::unsupported(format!("bitshuffle of elements of {element} bytes"))),
    }
    Ok(())
}

/// So many groups of eight elements are worked on at once. Loops over arrays of this length become instructions of whole vector
/// registers on any processor that has them, so that this needs neither `unsafe` nor a second way.
const LANES: usize = 16;
type Lanes = [u8; LANES];

fn unshuffle_elements<const E: usize>(planes: &[u8], out: &mut [u8]) {
    let groups = out.len() / E / 8;
    for (at, out) in out.chunks_mut(LANES * 8 * E).enumerate() {
        // Byte b of element k of each group becomes row k·E+b.
        let mut rows = [[[0; LANES]; E]; 8];
        for byte in 0..E {
            let mut eight = [[0; LANES]; 8];
            for (plane, lanes) in eight.iter_mut().enumerate() {
                let bits = &planes[(byte * 8 + plane) * groups..][at * LANES..groups];
                match bits.first_chunk() {
                    Some(bits) => *lanes = *bits,
                    None => lanes[..bits.len()].copy_from_slice(bits),
                }
            }
            exchange::<1>(&mut eight, 0x55);
            exchange::<2>(&mut eight, 0x33);
            exchange::<4>(&mut eight, 0x0f);
            for (row, lanes) in rows.iter_mut().zip(eight) {
                row[byte] = lanes;
            }
        }
        if E.is_power_of_two() {
            let mut zipped = [[[0; LANES]; E]; 8];
            let (mut from, mut to) = (&mut rows, &mut zipped);
            for _ in 0..(8 * E).ilog2() {
                zip(from.as_flattened(), to.as_flattened_mut());
                std::mem::swap(&mut from, &mut to);
            }
            out.copy_from_slice(&from.as_flattened().as_flattened()[..out.len()]);
        } else {
            for (row, lanes) in rows.as_flattened().iter().enumerate() {
                for (out, value) in out.iter_mut().skip(row).step_by(8 * E).zip(lanes) {
                    *out = *value;
                }
            }
        }
    }
}

/// One of the three steps that transpose the 8×8 bits of each lane: swaps blocks of `S` bits between rows `S` apart.
#[inline(always)]
fn exchange<const S: usize>(rows: &mut [Lanes; 8], mask: u8) {
    for at in (0..8).filter(|at| at & S == 0) {
        let (mut low, mut high) = (rows[at], rows[at + S]);
        for (low, high) in low.iter_mut().zip(&mut high) {
            let differ = ((*low >> S) ^ *high) & mask;
            *high ^= differ;
            *low ^= differ << S;
        }
        (rows[at], rows[at + S]) = (low, high);
    }
}

/// Shuffles the first half of the rows into the second, lane by lane. Done once per doubling of the number of rows, that makes
/// lanes of rows: all rows' first lane, all rows' second lane, …
#[inline(always)]
fn zip(from: &[Lanes], to: &mut [Lanes]) {
    let (first, second) = from.split_at(from.len() / 2);
    for ((a, b), to) in first.iter().zip(second).zip(to.chunks_exact_mut(2)) {
        let (mut low, mut high) = ([0; LANES], [0; LANES]);
        for at in 0..LANES / 2 {
            (low[2 * at], low[2 * at + 1]) = (a[at], b[at]);
            (high[2 * at], high[2 * at + 1]) = (a[LANES / 2 + at], b[LANES / 2 + at]);
        }
        (to[0], to[1]) = (low, high);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit, as the format says.
    fn model(planes: &[u8], element: usize) -> Vec<u8> {
        let groups = planes.len() / element / 8;
        let mut out = vec![0; planes.len()];
        for bit in 0..planes.len() * 8 {
            let (plane, at) = (bit / 8 / groups, bit % (8 * groups));
            let value = planes[bit / 8] >> (bit % 8) & 1;
            out[at * element + plane / 8] |= value << (plane % 8);
        }
        out
    }

    /// Nothing is made room for, whatever the header says and however long the stream is.
    #[test]
    fn a_page_has_no_more_elements_than_it_may() {
        let header =
            |count: u32, stored: u32| [count, stored, count.next_multiple_of(8), 16].map(u32::to_le_bytes).concat();
        let page = |count: u32| [header(count, (64 << 20) + 16), vec![0; 64 << 20]].concat();
        for (count, most) in [(u32::MAX - 7, u64::MAX), (u32::MAX - 7, 8), ((1 << 20) + 8, u64::MAX), (9, 8)] {
            let mut out = Vec::new();
            let error = decode_page_into(&page(count), 16, most, &mut out).unwrap_err().to_string();
            assert!(error.contains("at most") && out.capacity() == 0, "{count} of {most}: {error}");
        }
    }

    proptest! {
        #[test]
        fn elements_are_the_models(
            element in proptest::sample::select(vec![1usize, 2, 3, 4, 8, 12, 16, 32]),
            groups in 1usize..70,
            seed in proptest::collection::vec(any::<u8>(), 64),
            zeros in 0usize..4,
        ) {
            let mut planes: Vec<u8> = seed.iter().cycle().take(groups * 8 * element).copied().collect();
            for (at, byte) in planes.iter_mut().enumerate() {
                *byte = byte.wrapping_mul(31).wrapping_add((at / 64) as u8);
            }
            // Whole planes of zeros, as small numbers have them.
            let from = planes.len() - planes.len() * zeros / 4;
            planes[from..].fill(0);
            let wanted = model(&planes, element);
            let mut out = vec![0xee; planes.len()];
            unshuffle(&planes, &mut out, element).unwrap();
            prop_assert_eq!(&out, &wanted);
        }
    }
}
