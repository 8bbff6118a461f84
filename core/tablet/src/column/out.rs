//! Where decoded values go: one growing Arrow array per scalar column.

use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, PrimitiveArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use crate::encoding::binary::BinaryPlain;
use crate::error::{Result, TabletError};
use crate::json;
use crate::proto::segment::ColumnMetaPb;
use crate::schema::{Column, LogicalType};
use crate::types::arrow_type;
use crate::types::number::*;

use super::stored;

/// Consecutive values of a page.
pub(crate) enum Values<'a> {
    /// Elements of the column's size, or bytes 0 and 1 for BOOLEAN.
    Fixed(&'a [u8]),
    /// Strings `from..to` of a page.
    Strings { page: &'a BinaryPlain, from: usize, to: usize },
    /// Positions in a dictionary of strings, four bytes each.
    Codes { codes: &'a [u8], dictionary: &'a BinaryPlain },
}

/// Takes values and makes an array of them.
pub(crate) trait Out: Send {
    /// Bytes of one stored element; 0 for strings.
    fn element(&self) -> usize;

    /// Makes room for so many rows.
    fn reserve(&mut self, rows: usize);

    /// Appends a value for each row. `nulls` has a flag per row, or is empty if no row is NULL. If `dense`, NULL rows have a
    /// value too, which means nothing.
    fn push(&mut self, values: Values<'_>, nulls: &[u8], dense: bool) -> Result<()>;

    /// The array of everything pushed since the last time.
    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef>;
}

/// The output for a scalar column of a segment, by its stored type.
pub(crate) fn for_type(meta: &ColumnMetaPb, ty: &LogicalType) -> Result<Box<dyn Out>> {
    // Nested types have readers of their own; what is left needs no children.
    let no_child = |_: &Column| Err(TabletError::unsupported("a nested type where a scalar is stored"));
    let ty = arrow_type(ty, &no_child)?;
    let mismatch = || TabletError::damaged(format!("stored type {:?} for {ty}", meta.r#type));
    fn fixed<S: Stored>(ty: &DataType) -> Option<Box<dyn Out>> {
        let fits = PrimitiveArray::<S::Arrow>::is_compatible(ty);
        fits.then(|| Box::new(FixedOut::<S> { values: Vec::new(), ty: ty.clone() }) as Box<dyn Out>)
    }
    let out = match meta.r#type.unwrap_or(0) {
        stored::TINYINT => fixed::<StoredTinyInt>(&ty),
        stored::SMALLINT => fixed::<StoredSmallInt>(&ty),
        stored::INT => fixed::<StoredInt>(&ty),
        stored::BIGINT => fixed::<StoredBigInt>(&ty),
        stored::LARGEINT | stored::DECIMALV2 | stored::DECIMAL128 => fixed::<Stored128>(&ty),
        stored::FLOAT => fixed::<StoredFloat>(&ty),
        stored::DOUBLE => fixed::<StoredDouble>(&ty),
        stored::DATE_V1 => fixed::<StoredDateV1>(&ty),
        stored::DATETIME_V1 => fixed::<StoredDateTimeV1>(&ty),
        stored::DECIMAL_V1 => fixed::<StoredDecimalV1>(&ty),
        stored::DECIMAL32 => fixed::<StoredDecimal32>(&ty),
        stored::DECIMAL64 => fixed::<StoredDecimal64>(&ty),
        stored::DECIMAL256 => fixed::<StoredDecimal256>(&ty),
        stored::DATE => fixed::<StoredDate>(&ty),
        stored::DATETIME => fixed::<StoredDateTime>(&ty),
        stored::BOOLEAN => return Ok(Box::new(BoolOut::default())),
        stored::CHAR => return Ok(Box::new(BinaryOut::new(Content::Char))),
        stored::JSON => return Ok(Box::new(BinaryOut::new(Content::Json))),
        stored::VARCHAR | stored::VARBINARY | stored::HLL | stored::OBJECT | stored::PERCENTILE => {
            return Ok(verbatim());
        }
        other => return Err(TabletError::unsupported(format!("stored type {other}"))),
    };
    out.ok_or_else(mismatch)
}

/// Output of stored bytes as they are.
pub(crate) fn verbatim() -> Box<dyn Out> {
    Box::new(BinaryOut::new(Content::Verbatim))
}

fn mismatch() -> TabletError {
    TabletError::damaged("a page of another kind of values than its column has")
}

fn few_values() -> TabletError {
    TabletError::damaged("fewer values than rows that are not NULL")
}

struct FixedOut<S: Stored> {
    values: Vec<<S::Arrow as ArrowPrimitiveType>::Native>,
    /// The array's type, with the precision and scale of decimals.
    ty: DataType,
}

impl<S: Stored> Out for FixedOut<S> {
    fn element(&self) -> usize {
        S::SIZE
    }

    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    fn push(&mut self, values: Values<'_>, nulls: &[u8], dense: bool) -> Result<()> {
        let Values::Fixed(bytes) = values else { return Err(mismatch()) };
        let elements = bytes.chunks_exact(S::SIZE);
        // Bytes that stand for no value are an error, unless they are under a NULL; to note them and go on, rather than to stop at
        // the first, leaves loops that become vector instructions for the types where all bytes stand for one.
        let mut valid = true;
        if nulls.is_empty() {
            self.values.extend(elements.map(|element| {
                let value = S::value(element);
                valid &= value.is_some();
                value.unwrap_or_default()
            }));
        } else if dense {
            if elements.len() < nulls.len() {
                return Err(few_values());
            }
            self.values.extend(elements.zip(nulls).map(|(element, &null)| {
                let value = S::value(element);
                valid &= value.is_some() | (null != 0);
                // Zero, whatever memory was written there, so that the same rows are the same bytes.
                if null == 0 { value.unwrap_or_default() } else { Default::default() }
            }));
        } else {
            let mut elements = elements;
            self.values.reserve(nulls.len());
            for &null in nulls {
                self.values.push(if null == 0 {
                    let value = S::value(elements.next().ok_or_else(few_values)?);
                    valid &= value.is_some();
                    value.unwrap_or_default()
                } else {
                    Default::default()
                });
            }
        }
        if valid { Ok(()) } else { Err(TabletError::damaged("bytes that stand for no value of the column's type")) }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let values = ScalarBuffer::from(std::mem::take(&mut self.values));
        let array = PrimitiveArray::<S::Arrow>::try_new(values, nulls);
        Ok(Arc::new(array.map_err(|e| TabletError::damaged(e.to_string()))?.with_data_type(self.ty.clone())))
    }
}

#[derive(Default)]
struct BoolOut {
    values: Vec<u8>,
}

impl Out for BoolOut {
    fn element(&self) -> usize {
        1
    }

    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    fn push(&mut self, values: Values<'_>, nulls: &[u8], dense: bool) -> Result<()> {
        let Values::Fixed(bytes) = values else { return Err(mismatch()) };
        if nulls.is_empty() {
            self.values.extend_from_slice(bytes);
            return Ok(());
        }
        let mut bytes = bytes.iter();
        for &null in nulls {
            let byte = if null == 0 || dense { *bytes.next().ok_or_else(few_values)? } else { 0 };
            self.values.push(if null == 0 { byte } else { 0 });
        }
        Ok(())
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let bytes = std::mem::take(&mut self.values);
        let values = BooleanBuffer::collect_bool(bytes.len(), |at| bytes[at] != 0);
        Ok(Arc::new(BooleanArray::new(values, nulls)))
    }
}

/// What the bytes of a string column hold.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    Verbatim,
    /// Padded with NULs to the declared length.
    Char,
    /// VelocyPack, put out as text.
    Json,
}

struct BinaryOut {
    content: Content,
    offsets: Vec<i32>,
    data: Vec<u8>,
    /// Where the values that are being appended are; used again and again.
    places: Vec<(u32, u32)>,
}

/// Strings of up to so many bytes are short.
const SHORT: usize = 16;

fn too_long() -> TabletError {
    TabletError::unrepresentable("more than 2 GiB of strings in one batch; read fewer rows at a time")
}

impl BinaryOut {
    fn new(content: Content) -> Self {
        BinaryOut { content, offsets: vec![0], data: Vec::new(), places: Vec::new() }
    }

    /// Appends a value for each row; `bounds` tells where in `strings` value n is, of `count`.
    fn push_rows(
        &mut self,
        strings: &BinaryPlain,
        bounds: impl Fn(usize) -> Option<(u32, u32)>,
        count: usize,
        nulls: &[u8],
        dense: bool,
    ) -> Result<()> {
        self.places.clear();
        // As with numbers, that there is no such value is noted, and no reason to stop.
        let mut all = true;
        let mut place = |at: usize| {
            let place = bounds(at);
            all &= place.is_some();
            place.unwrap_or_default()
        };
        if nulls.is_empty() {
            self.places.extend((0..count).map(place));
        } else {
            let mut at = 0;
            self.places.extend(nulls.iter().map(|&null| {
                let here = at;
                at += usize::from(dense || null == 0);
                // What is at the same place as its own end is nothing.
                if null == 0 { place(here) } else { (0, 0) }
            }));
        }
        if !all {
            return Err(few_values());
        }
        match self.content {
            Content::Json => self.append_json(strings.body(), nulls),
            Content::Char => {
                for (start, end) in &mut self.places {
                    let padded = strings.body().get(*start as usize..*end as usize).unwrap_or_default();
                    let len = padded.iter().position(|&b| b == 0).unwrap_or(padded.len());
                    *end = *start + len as u32;
                }
                self.append_places(strings.body())
            }
            Content::Verbatim => self.append_places(strings.body()),
        }
    }

    fn append_json(&mut self, body: &[u8], nulls: &[u8]) -> Result<()> {
        for (row, &(start, end)) in self.places.iter().enumerate() {
            if nulls.get(row).is_none_or(|&null| null == 0) {
                json::text::write(body.get(start as usize..end as usize).ok_or_else(few_values)?, &mut self.data)?;
            }
            self.offsets.push(i32::try_from(self.data.len()).map_err(|_| too_long())?);
        }
        Ok(())
    }

    /// Appends the bytes at [`Self::places`] of `body`.
    fn append_places(&mut self, body: &[u8]) -> Result<()> {
        let begin = self.data.len();
        let bytes: usize = self.places.iter().map(|(start, end)| (end - start) as usize).sum();
        let end = begin + bytes;
        i32::try_from(end).map_err(|_| too_long())?;
        // Short strings are copied as if they were of a fixed length, which takes no call and no loop; what is too much of each
        // is overwritten by the next.
        self.data.resize(end + SHORT, 0);
        let mut at = begin;
        for &(start, end) in &self.places {
            let (start, end) = (start as usize, end as usize);
            let len = end - start;
            let short = body.get(start..).and_then(|body| body.first_chunk::<SHORT>()).filter(|_| len <= SHORT);
            let to = self.data.get_mut(at..).unwrap_or_default();
            match (short, to.first_chunk_mut::<SHORT>()) {
                (Some(short), Some(to)) => *to = *short,
                _ => {
                    let to = to.get_mut(..len).ok_or_else(few_values)?;
                    to.copy_from_slice(body.get(start..end).ok_or_else(few_values)?);
                }
            }
            at += len;
            self.offsets.push(at as i32);
        }
        self.data.truncate(end);
        Ok(())
    }
}

impl Out for BinaryOut {
    fn element(&self) -> usize {
        0
    }

    fn reserve(&mut self, rows: usize) {
        self.offsets.reserve(rows);
    }

    fn push(&mut self, values: Values<'_>, nulls: &[u8], dense: bool) -> Result<()> {
        match values {
            Values::Strings { page, from, to } if nulls.is_empty() && self.content == Content::Verbatim => {
                let (bytes, bounds) = page.run(from, to).ok_or_else(few_values)?;
                i32::try_from(self.data.len() + bytes.len()).map_err(|_| too_long())?;
                // Both ends fit in an i32 as was just seen, so every offset between them does.
                let shift = self.data.len() as i64 - i64::from(bounds.first().copied().unwrap_or(0));
                self.offsets.extend(bounds.iter().skip(1).map(|&bound| (i64::from(bound) + shift) as i32));
                self.data.extend_from_slice(bytes);
                Ok(())
            }
            Values::Strings { page, from, to } => {
                self.push_rows(page, |at| page.bounds(from + at).filter(|_| at < to - from), to - from, nulls, dense)
            }
            Values::Codes { codes, dictionary } => {
                let (codes, _) = codes.as_chunks::<4>();
                let bounds = |at: usize| dictionary.bounds(u32::from_le_bytes(*codes.get(at)?) as usize);
                self.push_rows(dictionary, bounds, codes.len(), nulls, dense)
            }
            Values::Fixed(_) => Err(mismatch()),
        }
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let data = Buffer::from_vec(std::mem::take(&mut self.data));
        // Offsets only ever grow, from 0 to the length of the data.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = BinaryArray::try_new(offsets, data, nulls);
        Ok(Arc::new(array.map_err(|e| TabletError::damaged(e.to_string()))?))
    }
}
