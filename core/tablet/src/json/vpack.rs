//! VelocyPack: a walker over values that never leaves their bytes.

use crate::error::{Result, TabletError};

/// A value; arrays and objects are walked with their iterators.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    /// Nothing at all; prints as the empty text.
    None,
    Null,
    Bool(bool),
    Double(f64),
    /// Milliseconds since 1970.
    UtcDate(i64),
    Int(i64),
    UInt(u64),
    String(&'a [u8]),
    Binary,
    Array(Items<'a>),
    Object(Items<'a>),
}

fn cut() -> TabletError {
    TabletError::damaged("JSON value ends too early")
}

/// Up to eight bytes as a little-endian number.
fn number(bytes: &[u8]) -> Result<u64> {
    let mut wide = [0; 8];
    wide.get_mut(..bytes.len()).ok_or_else(cut)?.copy_from_slice(bytes);
    Ok(u64::from_le_bytes(wide))
}

fn size(bytes: &[u8]) -> Result<usize> {
    usize::try_from(number(bytes)?).map_err(|_| cut())
}

/// Takes the value at the start of `bytes`; returns what is behind it too.
pub(crate) fn take(bytes: &[u8]) -> Result<(Value<'_>, &[u8])> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok((Value::None, bytes)) };
    let fixed = |n: usize| rest.split_at_checked(n).ok_or_else(cut);
    let value = match kind {
        0x00 => Value::None,
        0x01 => Value::Array(Items::empty()),
        0x02..=0x09 | 0x0b..=0x14 => {
            let (body, rest) = bytes.split_at_checked(container_len(kind, bytes)?).ok_or_else(cut)?;
            let pairs = (0x0b..=0x12).contains(&kind) || kind == 0x14;
            let items = Items::new(kind, body, pairs)?;
            return Ok((if pairs { Value::Object(items) } else { Value::Array(items) }, rest));
        }
        0x0a => Value::Object(Items::empty()),
        0x18 => Value::Null,
        0x19 => Value::Bool(false),
        0x1a => Value::Bool(true),
        0x1b..=0x1c => {
            let (bytes, rest) = fixed(8)?;
            let bits = number(bytes)?;
            return Ok((
                if kind == 0x1b { Value::Double(f64::from_bits(bits)) } else { Value::UtcDate(bits as i64) },
                rest,
            ));
        }
        0x20..=0x27 => {
            let (bytes, rest) = fixed(usize::from(kind - 0x1f))?;
            let unused = 64 - 8 * bytes.len() as u32;
            return Ok((Value::Int((number(bytes)? as i64) << unused >> unused), rest));
        }
        0x28..=0x2f => {
            let (bytes, rest) = fixed(usize::from(kind - 0x27))?;
            return Ok((Value::UInt(number(bytes)?), rest));
        }
        0x30..=0x39 => Value::UInt(u64::from(kind - 0x30)),
        0x3a..=0x3f => Value::Int(i64::from(kind) - 0x40),
        0x40..=0xbe => {
            let (text, rest) = fixed(usize::from(kind - 0x40))?;
            return Ok((Value::String(text), rest));
        }
        0xbf => {
            let (len, rest) = fixed(8)?;
            let (text, rest) = rest.split_at_checked(size(len)?).ok_or_else(cut)?;
            return Ok((Value::String(text), rest));
        }
        0xc0..=0xc7 => {
            let (len, rest) = fixed(usize::from(kind - 0xbf))?;
            let (_, rest) = rest.split_at_checked(size(len)?).ok_or_else(cut)?;
            return Ok((Value::Binary, rest));
        }
        other => return Err(TabletError::unsupported(format!("VelocyPack type {other:#04x}"))),
    };
    Ok((value, rest))
}

/// Bytes of the value at the start of `bytes`. Looks at no inner value, however deep they are nested.
fn value_len(bytes: &[u8]) -> Result<usize> {
    let Some(&kind) = bytes.first() else { return Err(cut()) };
    let len = match kind {
        0x02..=0x09 | 0x0b..=0x14 => container_len(kind, bytes)?,
        0x1b..=0x1c => 9,
        0x20..=0x27 => usize::from(kind - 0x1e),
        0x28..=0x2f => usize::from(kind - 0x26),
        0x40..=0xbe => usize::from(kind - 0x3f),
        0xbf => size(bytes.get(1..9).ok_or_else(cut)?)?.checked_add(9).ok_or_else(cut)?,
        0xc0..=0xc7 => {
            let head = 1 + usize::from(kind - 0xbf);
            size(bytes.get(1..head).ok_or_else(cut)?)?.checked_add(head).ok_or_else(cut)?
        }
        _ => 1,
    };
    if len == 0 || len > bytes.len() { Err(cut()) } else { Ok(len) }
}

/// Bytes of an array or object, its type byte included.
fn container_len(kind: u8, bytes: &[u8]) -> Result<usize> {
    if matches!(kind, 0x13 | 0x14) {
        let mut rest = bytes.get(1..).ok_or_else(cut)?;
        return usize::try_from(crate::encoding::varint(&mut rest)?).map_err(|_| cut());
    }
    size(bytes.get(1..1 + width(kind)).ok_or_else(cut)?)
}

/// Width of the length, count and index words of an array or object.
fn width(kind: u8) -> usize {
    let from = match kind {
        0x02..=0x05 => 0x02,
        0x06..=0x09 => 0x06,
        0x0b..=0x0e => 0x0b,
        _ => 0x0f,
    };
    1 << (kind - from)
}

/// Items of an array, or members of an object, in the order that StarRocks prints them.
#[derive(Debug, Clone)]
pub(crate) struct Items<'a> {
    /// The whole container, from its type byte on; what is behind the items is cut off.
    body: &'a [u8],
    /// Offsets of the items, `index_width` bytes each; empty if the items follow one another.
    index: &'a [u8],
    index_width: usize,
    at: usize,
    left: usize,
    /// Bytes that items may still have in sum: an index could otherwise point at the same item again and again, and values
    /// nested like that would be exponentially long.
    budget: usize,
    pairs: bool,
}

impl<'a> Items<'a> {
    fn empty() -> Self {
        Items { body: &[], index: &[], index_width: 1, at: 0, left: 0, budget: 0, pairs: false }
    }

    fn new(kind: u8, body: &'a [u8], pairs: bool) -> Result<Self> {
        match kind {
            0x02..=0x05 => Self::equal_sized(kind, body),
            0x13 | 0x14 => Self::compact(body, pairs),
            _ => Self::indexed(kind, body, pairs),
        }
    }

    /// Items of the same length back to back, perhaps behind padding up to byte 9.
    fn equal_sized(kind: u8, body: &'a [u8]) -> Result<Self> {
        let mut at = 1 + width(kind);
        if body.get(at) == Some(&0) {
            at = 9;
        }
        let items = body.get(at..).ok_or_else(cut)?;
        let item = value_len(items)?;
        if items.len() % item != 0 {
            return Err(TabletError::damaged(format!("JSON array of {} bytes with items of {item}", items.len())));
        }
        let left = items.len() / item;
        Ok(Items { body, index: &[], index_width: 1, at, left, budget: items.len(), pairs: false })
    }

    /// Items back to back, their number at the very end, written backwards.
    fn compact(body: &'a [u8], pairs: bool) -> Result<Self> {
        let mut rest = body.get(1..).ok_or_else(cut)?;
        crate::encoding::varint(&mut rest)?;
        let at = body.len() - rest.len();
        let (mut count, mut shift) = (0u64, 0);
        loop {
            let (&byte, before) = rest.split_last().ok_or_else(cut)?;
            rest = before;
            count |= u64::from(byte & 0x7f).checked_shl(shift).ok_or_else(cut)?;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        let left = usize::try_from(count).ok().filter(|&n| n <= rest.len()).ok_or_else(cut)?;
        let body = &body[..at + rest.len()];
        Ok(Items { body, index: &[], index_width: 1, at, left, budget: body.len(), pairs })
    }

    /// Items anywhere, with a table of their offsets at the end.
    fn indexed(kind: u8, body: &'a [u8], pairs: bool) -> Result<Self> {
        let width = width(kind);
        let (count, end) = if width == 8 {
            let end = body.len().checked_sub(8).ok_or_else(cut)?;
            (size(&body[end..])?, end)
        } else {
            (size(body.get(1 + width..1 + 2 * width).ok_or_else(cut)?)?, body.len())
        };
        let table = count.checked_mul(width).and_then(|len| end.checked_sub(len)).ok_or_else(cut)?;
        let (items, index) = (&body[..table], &body[table..end]);
        Ok(Items { body: items, index, index_width: width, at: 0, left: count, budget: items.len(), pairs })
    }

    /// The next item: its key, if these are members of an object, and the bytes of its value.
    pub fn next_item(&mut self) -> Result<Option<(&'a [u8], &'a [u8])>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if !self.index.is_empty() {
            let (entry, rest) = self.index.split_at_checked(self.index_width).ok_or_else(cut)?;
            self.index = rest;
            self.at = size(entry)?;
        }
        let start = self.body.get(self.at..).filter(|b| !b.is_empty()).ok_or_else(cut)?;
        let (mut key, mut rest): (&[u8], _) = (&[], start);
        if self.pairs {
            let (Value::String(name), behind) = take(start)? else {
                return Err(TabletError::unsupported("a JSON member whose name is not a string"));
            };
            (key, rest) = (name, behind);
        }
        let value = &rest[..value_len(rest)?];
        let len = start.len() - rest.len() + value.len();
        self.budget = self.budget.checked_sub(len).ok_or_else(|| TabletError::damaged("JSON items overlap"))?;
        self.at += len;
        Ok(Some((key, value)))
    }
}
