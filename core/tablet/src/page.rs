//! Pages: the unit of compression and checksums.

use crate::codec::Codec;
use crate::encoding::{self, bitshuffle, rle::RleBits};
use crate::error::{Result, TabletError, Within};
use crate::proto;
use crate::proto::segment::{BTreeMetaPb, DataPageFooterPb, PageFooterPb, PagePointerPb};
use crate::source::ReadAt;

/// Nothing StarRocks writes comes near this; a page is 64 KiB and at most one value longer.
const MAX_PAGE_LEN: u32 = 1 << 30;

/// Null flags of a page, a byte for each row. A page of BOOLEAN runs may have as many rows as its segment, and no other page nearly as many.
const MAX_FLAGS: u64 = 256 << 20;

const DATA_PAGE: i32 = 1;
const INDEX_PAGE: i32 = 2;
const DICTIONARY_PAGE: i32 = 3;

/// A page with its checksum verified and its body expanded.
#[derive(Debug)]
pub(crate) struct Page {
    pub body: Vec<u8>,
    pub footer: PageFooterPb,
}

impl Page {
    /// Parses the bytes that a page pointer spans: body, footer message, its length, CRC32C of all before.
    pub fn parse(raw: &[u8], codec: Codec) -> Result<Self> {
        Self::parse_into(raw, codec, Vec::new())
    }

    /// The same, with the memory of `body` for the body.
    pub fn parse_into(raw: &[u8], codec: Codec, mut body: Vec<u8>) -> Result<Self> {
        let short = || TabletError::damaged(format!("a page of {} bytes", raw.len()));
        let (covered, crc) = raw.split_last_chunk::<4>().ok_or_else(short)?;
        let (is, says) = (crc32c::crc32c(covered), u32::from_le_bytes(*crc));
        if is != says {
            return Err(TabletError::damaged(format!("CRC32C is {is:08x}, the page says {says:08x}")));
        }
        let (front, len) = covered.split_last_chunk::<4>().ok_or_else(short)?;
        let body_len = front.len().checked_sub(u32::from_le_bytes(*len) as usize).ok_or_else(short)?;
        let (stored, footer) = front.split_at(body_len);
        let footer: PageFooterPb = proto::decode(footer, "PageFooterPB")?;
        let len = footer.uncompressed_size.unwrap_or(0);
        if len > MAX_PAGE_LEN {
            return Err(TabletError::damaged(format!("a page body of {len} bytes")));
        }
        // Nothing else tells whether a body is compressed.
        if len as usize == stored.len() {
            body.clear();
            body.extend_from_slice(stored);
        } else {
            codec.decompress_into(stored, len as usize, &mut body)?;
        }
        Ok(Page { body, footer })
    }

    fn expect(self, kind: i32, name: &str) -> Result<Self> {
        match self.footer.r#type {
            Some(is) if is == kind => Ok(self),
            other => Err(TabletError::damaged(format!("page type {other:?} where a {name} page is expected"))),
        }
    }
}

/// Reads and parses the page that `pointer` spans.
pub(crate) fn read(file: &dyn ReadAt, pointer: PagePointerPb, codec: Codec) -> Result<Page> {
    let raw = read_bytes(file, pointer.offset, u64::from(pointer.size)).map_err(|error| error.at(pointer.offset))?;
    let page = Page::parse(&raw, codec).map_err(|error| error.at(pointer.offset));
    page.within(|| format!("page at {}", pointer.offset))
}

/// Reads the dictionary page that `pointer` spans.
pub(crate) fn read_dictionary(file: &dyn ReadAt, pointer: PagePointerPb, codec: Codec) -> Result<Page> {
    read(file, pointer, codec)?.expect(DICTIONARY_PAGE, "dictionary")
}

/// Reads `len` bytes, refusing ranges outside the file before anything is allocated.
pub(crate) fn read_bytes(file: &dyn ReadAt, offset: u64, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(file, offset, len, &mut bytes)?;
    Ok(bytes)
}

/// The same, into a buffer that is used again and again: fresh memory costs more than what is read into it.
pub(crate) fn read_into(file: &dyn ReadAt, offset: u64, len: u64, bytes: &mut Vec<u8>) -> Result<()> {
    if offset.checked_add(len).is_none_or(|end| end > file.len()) || len > u64::from(MAX_PAGE_LEN) {
        return Err(TabletError::damaged(format!("{len} bytes at {offset} of a file of {}", file.len())));
    }
    bytes.resize(len as usize, 0);
    file.read_at(offset, bytes).map_err(|e| TabletError::io(format!("reading {len} bytes at {offset}"), e))
}

/// Where each data page of a column stands and which ordinal it starts at.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrdinalIndex {
    pub pages: Vec<(u64, PagePointerPb)>,
}

impl OrdinalIndex {
    pub fn read(file: &dyn ReadAt, root: Option<&BTreeMetaPb>) -> Result<Self> {
        let missing = || TabletError::damaged("no ordinal index");
        let root = root.ok_or_else(missing)?;
        let pointer = root.root_page.ok_or_else(missing)?;
        if root.is_root_data_page == Some(true) {
            return Ok(OrdinalIndex { pages: vec![(0, pointer)] });
        }
        Self::parse(read(file, pointer, Codec::None)?.expect(INDEX_PAGE, "index")?).within(|| "ordinal index")
    }

    fn parse(page: Page) -> Result<Self> {
        let footer = page.footer.index_page_footer.unwrap_or_default();
        if footer.r#type == Some(2) {
            return Err(TabletError::unsupported("an ordinal index of more than one level"));
        }
        let count = footer.num_entries.unwrap_or(0) as usize;
        // An entry has at least a length, a key, an offset and a size.
        if count > page.body.len() / 4 {
            return Err(TabletError::damaged(format!("{count} entries in {} bytes", page.body.len())));
        }
        let mut rest = page.body.as_slice();
        let mut pages: Vec<(u64, PagePointerPb)> = Vec::with_capacity(count);
        for _ in 0..count {
            let key_len = encoding::varint(&mut rest)?;
            let Some((key, after)) = rest.split_first_chunk::<8>().filter(|_| key_len == 8) else {
                return Err(TabletError::damaged(format!("ordinal key of {key_len} bytes")));
            };
            rest = after;
            let ordinal = u64::from_be_bytes(*key);
            let offset = encoding::varint(&mut rest)?;
            let size = encoding::varint(&mut rest)?;
            let size = u32::try_from(size).map_err(|_| TabletError::damaged(format!("a page of {size} bytes")))?;
            if pages.last().is_some_and(|(last, _)| ordinal < *last) {
                return Err(TabletError::damaged(format!("ordinal {ordinal} is out of order")));
            }
            pages.push((ordinal, PagePointerPb { offset, size }));
        }
        Ok(OrdinalIndex { pages })
    }
}

/// Which rows of a page are NULL, in the order of the rows.
#[derive(Debug)]
pub(crate) enum Nulls {
    None,
    /// A byte per row, not zero for NULL.
    Flags {
        flags: Vec<u8>,
        at: usize,
    },
    /// Page format 1.
    Runs(RleBits),
}

impl Nulls {
    /// Moves the flags of the next `n` rows to `out`, which stays empty if the page has no NULLs.
    pub fn take(&mut self, n: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Nulls::None => Ok(()),
            Nulls::Flags { flags, at } => {
                let next = flags.get(*at..*at + n).ok_or_else(|| TabletError::damaged("null map ends too early"))?;
                out.extend_from_slice(next);
                *at += n;
                Ok(())
            }
            Nulls::Runs(runs) => runs.take(n, out),
        }
    }
}

/// A data page taken apart: encoded values, null map, and what the footer says of them.
#[derive(Debug)]
pub(crate) struct DataPage {
    /// Encoded values only.
    pub values: Vec<u8>,
    pub nulls: Nulls,
    pub footer: DataPageFooterPb,
    /// Rows, NULLs included.
    pub rows: u64,
    /// Whether NULL rows have a (meaningless) value too.
    pub dense: bool,
}

impl DataPage {
    pub fn parse(page: Page) -> Result<Self> {
        let Page { mut body, footer } = page.expect(DATA_PAGE, "data")?;
        let footer = footer.data_page_footer.ok_or_else(|| TabletError::damaged("data page without a footer"))?;
        let rows = footer.num_values.unwrap_or(0);
        if rows > u64::from(u32::MAX) {
            return Err(TabletError::damaged(format!("a page of {rows} rows")));
        }
        let map_len = footer.nullmap_size.unwrap_or(0) as usize;
        let values_len = body.len().checked_sub(map_len);
        let values_len = values_len.ok_or_else(|| TabletError::damaged(format!("a null map of {map_len} bytes")))?;
        let map = body.split_off(values_len);
        let (nulls, dense) = match footer.format_version.unwrap_or(1) {
            // Only stored values have a place in format 1.
            1 if map.is_empty() => (Nulls::None, true),
            1 => (Nulls::Runs(RleBits::new(map)), false),
            2 if map.is_empty() => (Nulls::None, true),
            2 => (Nulls::Flags { flags: flags(&map, rows, footer.null_encoding.unwrap_or(0))?, at: 0 }, true),
            other => return Err(TabletError::unsupported(format!("data page format {other}"))),
        };
        Ok(DataPage { values: body, nulls, footer, rows, dense })
    }
}

fn flags(map: &[u8], rows: u64, encoding: i32) -> Result<Vec<u8>> {
    let allowed = |&rows: &usize| rows as u64 <= MAX_FLAGS && rows / 256 <= map.len();
    let rows = usize::try_from(rows).ok().filter(allowed);
    let rows = rows.ok_or_else(|| TabletError::damaged("more rows than the null map can speak of"))?;
    match encoding {
        // What follows the stream is undefined in files of 3.2 and before.
        0 => bitshuffle::decode_stream(map, rows.next_multiple_of(8), 1),
        1 => Codec::Lz4.decompress(map, rows),
        other => Err(TabletError::unsupported(format!("null map encoding {other}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// However long the map is, which compression can make as long as it likes.
    #[test]
    fn null_flags_are_not_more_than_rows_can_be() {
        let map = vec![0; 16 << 20];
        for encoding in [0, 1] {
            let error = flags(&map, u64::from(u32::MAX - 7), encoding).unwrap_err().to_string();
            assert!(error.contains("more rows"), "{error}");
        }
    }
}
