//! FOR: numbers in frames of 128, each as differences to the frame's smallest (dictionaries of bitmap indexes).

use crate::error::{Result, TabletError};

use super::u32_at;

/// Bytes of a frame's smallest value: 16 for 128-bit elements, 8 for 64-bit ones, else 4.
fn min_len(element: usize) -> usize {
    match element {
        16 => 16,
        8 => 8,
        _ => 4,
    }
}

/// Decodes a whole page of integers of `element` bytes to sign-extended values.
///
/// Frames, then two bytes per frame (kind, bit width), then the frame length (a byte) and the number of values. Kind 0 stores
/// differences to the smallest, 1 differences to the value before, 2 the values themselves. StarRocks' writer pads frames of
/// kind 2 so that its own reader misplaces the frames behind them; those are refused rather than misread.
pub fn decode(body: &[u8], element: usize) -> Result<Vec<i128>> {
    let cut = || TabletError::damaged("frame-of-reference page ends too early");
    let count = u32_at(body, body.len().checked_sub(4).ok_or_else(cut)?)? as usize;
    let frame_len = *body.get(body.len().wrapping_sub(5)).ok_or_else(cut)? as usize;
    if count == 0 {
        return Ok(Vec::new());
    }
    if frame_len == 0 || count / frame_len > body.len() {
        return Err(TabletError::damaged(format!("{count} values in frames of {frame_len} in {} bytes", body.len())));
    }
    let frames = count.div_ceil(frame_len);
    let kinds_at = (body.len() - 5).checked_sub(2 * frames).ok_or_else(cut)?;
    // Each frame has at least its smallest value, so that no more values are made room for than there can be.
    if frames * min_len(element) > kinds_at {
        return Err(cut());
    }
    let kinds = &body[kinds_at..body.len() - 5];
    let mut values = Vec::with_capacity(count);
    let mut at = 0;
    for (frame, kind) in kinds.chunks_exact(2).enumerate() {
        let len = (count - values.len()).min(frame_len);
        let (kind, width) = (kind[0], usize::from(kind[1]));
        if width > element * 8 || kind > 2 {
            return Err(TabletError::damaged(format!("frame of kind {kind} with {width} bits a value")));
        }
        if kind == 2 && frame + 1 < frames {
            return Err(TabletError::unsupported("values after a frame that StarRocks itself cannot read past"));
        }
        let bits_at = at + min_len(element);
        let min = body.get(at..bits_at).ok_or_else(cut)?;
        let packed = body.get(bits_at..bits_at + (len * width).div_ceil(8)).ok_or_else(cut)?;
        unpack_frame(kind, signed(min), packed, width, len, element, &mut values);
        at = bits_at + (width * frame_len) / 8;
    }
    Ok(values)
}

fn unpack_frame(kind: u8, min: i128, packed: &[u8], width: usize, len: usize, element: usize, out: &mut Vec<i128>) {
    let mut last = min;
    for i in 0..len {
        let mut bits = 0u128;
        for bit in i * width..(i + 1) * width {
            bits = bits << 1 | u128::from(packed[bit / 8] >> (7 - bit % 8) & 1);
        }
        let value = match kind {
            0 => min.wrapping_add(bits as i128),
            1 => last.wrapping_add(bits as i128),
            _ => bits as i128,
        };
        last = value;
        // Differences wrap around in the element's own width.
        let shift = 128 - 8 * element.clamp(1, 16) as u32;
        out.push(value << shift >> shift);
    }
}

/// A little-endian two's complement number of up to 16 bytes.
fn signed(bytes: &[u8]) -> i128 {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(wide)
}
