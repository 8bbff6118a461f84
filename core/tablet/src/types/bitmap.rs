//! BITMAP values: sets of unsigned 64-bit numbers.

use roaring::{RoaringBitmap, RoaringTreemap};

use crate::encoding;
use crate::error::{Result, TabletError};

/// Parses a stored value.
pub fn parse(bytes: &[u8]) -> Result<RoaringTreemap> {
    let damaged = || TabletError::damaged(format!("a BITMAP value of {} bytes", bytes.len()));
    let Some((&kind, mut rest)) = bytes.split_first() else { return Ok(RoaringTreemap::new()) };
    let mut set = RoaringTreemap::new();
    match kind {
        0 => {}
        1 => {
            let (value, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
            set.insert(u64::from(u32::from_le_bytes(*value)));
            rest = after;
        }
        3 => {
            let (value, after) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
            set.insert(u64::from_le_bytes(*value));
            rest = after;
        }
        2 | 12 => add(&mut set, 0, roaring(&mut rest, kind == 12)?),
        4 | 13 => {
            for _ in 0..encoding::varint(&mut rest)? {
                let (high, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
                rest = after;
                add(&mut set, u32::from_le_bytes(*high), roaring(&mut rest, kind == 13)?);
            }
        }
        10 => {
            let (n, values) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
            if Some(values.len()) != (u32::from_le_bytes(*n) as usize).checked_mul(8) {
                return Err(damaged());
            }
            let values = values.chunks_exact(8).filter_map(|b| b.first_chunk());
            set.extend(values.map(|b| u64::from_le_bytes(*b)));
            rest = &[];
        }
        other => return Err(TabletError::unsupported(format!("BITMAP kind {other}"))),
    }
    if rest.is_empty() { Ok(set) } else { Err(damaged()) }
}

fn add(set: &mut RoaringTreemap, high: u32, low: RoaringBitmap) {
    *set |= RoaringTreemap::from_bitmaps([(high, low)]);
}

/// Takes one 32-bit bitmap from the front; CRoaring's own serialization is an array, or the portable one behind a byte.
fn roaring(bytes: &mut &[u8], native: bool) -> Result<RoaringBitmap> {
    let damaged = || TabletError::damaged("BITMAP value ends too early");
    if native {
        let (&kind, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        if kind == 1 {
            let (n, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
            let len = (u32::from_le_bytes(*n) as usize).checked_mul(4).ok_or_else(damaged)?;
            let (values, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
            *bytes = rest;
            return Ok(values
                .chunks_exact(4)
                .filter_map(|b| b.first_chunk())
                .map(|b| u32::from_le_bytes(*b))
                .collect());
        }
        if kind != 2 {
            return Err(TabletError::damaged(format!("Roaring bitmap of kind {kind}")));
        }
    }
    RoaringBitmap::deserialize_from(bytes).map_err(|e| TabletError::damaged(format!("Roaring bitmap: {e}")))
}

/// The stored form. Which of the equivalent kinds StarRocks would choose depends on a value's history; this takes the smallest
/// that fits: nothing, a single value, a 32-bit bitmap, a 64-bit one.
pub fn to_bytes(set: &RoaringTreemap) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| TabletError::unrepresentable(format!("BITMAP value: {e}"));
    let max = set.max().unwrap_or(0);
    if set.is_empty() {
        return Ok(vec![0]);
    }
    if set.len() == 1 {
        return Ok(match u32::try_from(max) {
            Ok(value) => [&[1][..], &value.to_le_bytes()].concat(),
            Err(_) => [&[3][..], &max.to_le_bytes()].concat(),
        });
    }
    let mut bytes = Vec::new();
    if max <= u64::from(u32::MAX) {
        bytes.push(2);
        for (_, bitmap) in set.bitmaps() {
            bitmap.serialize_into(&mut bytes).map_err(failed)?;
        }
        return Ok(bytes);
    }
    bytes.push(4);
    let mut n = set.bitmaps().count();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    for (high, bitmap) in set.bitmaps() {
        bytes.extend_from_slice(&high.to_le_bytes());
        bitmap.serialize_into(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}
