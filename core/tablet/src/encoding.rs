//! How values are laid out in a page body, before they mean anything.

pub mod binary;
pub mod bitshuffle;
pub mod frame_of_reference;
pub mod prefix;
pub mod rle;

use crate::error::{Result, TabletError};

/// EncodingTypePB, as far as it occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not stored in practice: the type's default.
    Default,
    Plain,
    Prefix,
    Rle,
    Dict,
    BitShuffle,
    FrameOfReference,
}

impl Encoding {
    pub(crate) fn from_pb(value: i32) -> Result<Self> {
        Ok(match value {
            0 | 1 => Encoding::Default,
            2 => Encoding::Plain,
            3 => Encoding::Prefix,
            4 => Encoding::Rle,
            5 => Encoding::Dict,
            6 => Encoding::BitShuffle,
            7 => Encoding::FrameOfReference,
            other => return Err(TabletError::unsupported(format!("encoding {other}"))),
        })
    }

    /// StarRocks' name of the encoding.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Default => "DEFAULT_ENCODING",
            Encoding::Plain => "PLAIN_ENCODING",
            Encoding::Prefix => "PREFIX_ENCODING",
            Encoding::Rle => "RLE",
            Encoding::Dict => "DICT_ENCODING",
            Encoding::BitShuffle => "BIT_SHUFFLE",
            Encoding::FrameOfReference => "FOR_ENCODING",
        }
    }
}

/// The little-endian u32 at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..).and_then(|b| b.first_chunk::<4>());
    four.map(|b| u32::from_le_bytes(*b)).ok_or_else(|| TabletError::damaged("page body ends too early"))
}

/// Takes a base-128 number, low group first, from the front of `bytes`.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let Some((&byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(TabletError::damaged("variable-length number does not end"))
}

/// PLAIN of fixed-size elements: a count, then the elements; returns the elements.
pub fn plain_fixed(body: &[u8], element: usize) -> Result<&[u8]> {
    let count = u32_at(body, 0)? as usize;
    let values = &body[4..];
    if Some(values.len()) == count.checked_mul(element) {
        Ok(values)
    } else {
        let is = values.len();
        Err(TabletError::damaged(format!("{is} bytes for {count} plain values of {element}")))
    }
}
