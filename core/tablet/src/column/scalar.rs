//! Scalar columns: pages, their encodings and null maps.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::ArrayRef;

use crate::codec::Codec;
use crate::encoding::binary::BinaryPlain;
use crate::encoding::rle::RleBits;
use crate::encoding::{self, Encoding, bitshuffle};
use crate::error::{Result, TabletError, Within};
use crate::page::{self, DataPage, Nulls, OrdinalIndex};
use crate::proto::segment::{ColumnMetaPb, PagePointerPb};

use super::out::{Out, Values};
use super::{ColumnReader, Context, any_set, null_buffer, stored};

/// Pages that stand next to each other are fetched together: at first this many bytes, then twice as many each time (up to [`Context::max_fetch`]), so that
/// little is fetched in vain where only a few rows are wanted.
const FIRST_FETCH_LEN: u64 = 32 << 10;

/// Values that room is made for before they are seen: elements of nested columns are as many as the sizes claim.
const MAX_RESERVE: usize = 64 << 10;

pub(crate) struct ScalarReader {
    pages: Pages,
    decoder: Decoder,
    out: Box<dyn Out>,
    cursor: Option<Cursor>,
    /// Ordinal of the next row.
    ordinal: u64,
}

impl ScalarReader {
    pub fn open(context: &Context, meta: &ColumnMetaPb, out: Box<dyn Out>) -> Result<Self> {
        let root = meta.indexes.iter().find_map(|i| i.ordinal_index.as_ref());
        let index = OrdinalIndex::read(context.file.as_ref(), root.and_then(|r| r.root_page.as_ref()))?;
        if !context.counted {
            context.pages.all.fetch_add(index.pages.len() as u64, Ordering::Relaxed);
        }
        let codec = Codec::from_pb(meta.compression.unwrap_or(0))?;
        let decoder = Decoder {
            context: context.clone(),
            encoding: column_encoding(meta)?,
            codec,
            element: out.element(),
            // SMALLINT columns have 16-bit dictionary codes.
            code_len: if meta.r#type == Some(stored::SMALLINT) { 2 } else { 4 },
            dictionary_page: meta.dict_page,
            dictionary: None,
            spare: Spare::default(),
        };
        let pages = Pages {
            context: context.clone(),
            codec,
            index,
            next: 0,
            fetched: Vec::new(),
            fetched_at: 0,
            fetch_len: FIRST_FETCH_LEN,
        };
        Ok(ScalarReader { pages, decoder, out, cursor: None, ordinal: 0 })
    }

    /// Makes the cursor stand on a row that is still to be read.
    fn advance(&mut self) -> Result<&mut Cursor> {
        while self.cursor.as_ref().is_none_or(|c| c.left == 0) {
            if let Some(cursor) = self.cursor.take() {
                self.decoder.spare.take_back(cursor);
            }
            let (page, offset) = self.pages.next_page(self.ordinal, self.decoder.spare.give())?;
            self.cursor = Some(self.decoder.cursor(page).within(|| format!("page at {offset}"))?);
        }
        self.cursor.as_mut().ok_or_else(|| TabletError::damaged("no page"))
    }
}

impl ColumnReader for ScalarReader {
    fn read(&mut self, rows: usize) -> Result<ArrayRef> {
        let mut all_nulls = Vec::new();
        let mut nulls = Vec::new();
        let mut done = 0;
        self.out.reserve(rows.min(MAX_RESERVE));
        while done < rows {
            self.advance()?;
            let Some(cursor) = self.cursor.as_mut() else { break };
            let take = cursor.left.min((rows - done) as u64) as usize;
            nulls.clear();
            cursor.read(take, &mut nulls, self.out.as_mut())?;
            if any_set(&nulls) {
                all_nulls.resize(done, 0);
                all_nulls.extend_from_slice(&nulls);
            }
            done += take;
            self.ordinal += take as u64;
        }
        if !all_nulls.is_empty() {
            all_nulls.resize(rows, 0);
        }
        self.out.finish(null_buffer(&all_nulls))
    }

    fn skip(&mut self, rows: u64) -> Result<()> {
        let target = self.ordinal.saturating_add(rows);
        if self.cursor.as_ref().is_none_or(|c| c.left < rows) {
            self.cursor = None;
            self.ordinal = self.pages.seek(target);
        }
        let mut scratch = Vec::new();
        while self.ordinal < target {
            let left = target - self.ordinal;
            let cursor = self.advance()?;
            // Bounded steps: flags of long runs are not kept.
            let take = cursor.left.min(left).min(1 << 16) as usize;
            scratch.clear();
            cursor.skip(take, &mut scratch)?;
            self.ordinal += take as u64;
        }
        Ok(())
    }
}

/// The encoding of a column's pages; where it says nothing, the default of its type.
fn column_encoding(meta: &ColumnMetaPb) -> Result<Encoding> {
    Ok(match (Encoding::from_pb(meta.encoding.unwrap_or(0))?, meta.r#type.unwrap_or(0)) {
        (Encoding::Default, stored::BOOLEAN) => Encoding::Rle,
        (Encoding::Default, stored::CHAR | stored::VARCHAR) => Encoding::Dict,
        (Encoding::Default, stored::HLL | stored::OBJECT | stored::PERCENTILE | stored::JSON | stored::VARBINARY) => {
            Encoding::Plain
        }
        (Encoding::Default, _) => Encoding::BitShuffle,
        (other, _) => other,
    })
}

/// The data pages of a column in order.
struct Pages {
    context: Context,
    codec: Codec,
    index: OrdinalIndex,
    /// Position in the index of the next page.
    next: usize,
    fetched: Vec<u8>,
    fetched_at: u64,
    fetch_len: u64,
}

impl Pages {
    /// Reads the next page, which must start at `ordinal`, into the memory of `body`.
    fn next_page(&mut self, ordinal: u64, body: Vec<u8>) -> Result<(DataPage, u64)> {
        let Some(&(first, pointer)) = self.index.pages.get(self.next) else {
            return Err(TabletError::damaged(format!("the column's pages end at row {ordinal}")));
        };
        // The last page must end where the segment does: rows behind that would be lost in silence.
        let following = self.index.pages.get(self.next + 1).map(|(first, _)| *first).or(self.context.rows);
        self.next += 1;
        self.context.pages.read.fetch_add(1, Ordering::Relaxed);
        let page = self.read(pointer, body).within(|| format!("page at {}", pointer.offset))?;
        let end = ordinal.checked_add(page.rows);
        let right = first == ordinal && page.footer.first_ordinal.unwrap_or(0) == ordinal;
        if !right || end.is_none() || following.is_some_and(|f| Some(f) != end) {
            let says = format!("{} rows from {:?}", page.rows, page.footer.first_ordinal);
            return Err(TabletError::damaged(format!("page of {says}, where the index has {first} to {following:?}"))
                .within(format!("page at {}", pointer.offset)));
        }
        Ok((page, pointer.offset))
    }

    fn read(&mut self, pointer: PagePointerPb, body: Vec<u8>) -> Result<DataPage> {
        let len = u64::from(pointer.size);
        let have = |at: u64, fetched: &[u8]| {
            let start = usize::try_from(pointer.offset.checked_sub(at)?).ok()?;
            Some(start..start.checked_add(pointer.size as usize)?).filter(|r| r.end <= fetched.len())
        };
        let range = match have(self.fetched_at, &self.fetched) {
            Some(range) => range,
            None => {
                let ahead = self.adjacent_len(pointer).max(len);
                self.fetched_at = u64::MAX;
                page::read_into(self.context.file.as_ref(), pointer.offset, ahead, &mut self.fetched)?;
                self.fetched_at = pointer.offset;
                self.fetch_len = (self.fetch_len * 2).min(self.context.max_fetch);
                0..pointer.size as usize
            }
        };
        DataPage::parse(page::Page::parse_into(&self.fetched[range], self.codec, body)?)
    }

    /// Bytes of this page and of those right behind it, as far as they are worth fetching at once.
    fn adjacent_len(&self, pointer: PagePointerPb) -> u64 {
        let mut end = pointer.offset.saturating_add(u64::from(pointer.size));
        for (_, next) in self.index.pages.get(self.next..).unwrap_or_default() {
            let next_end = end.saturating_add(u64::from(next.size));
            if next.offset != end || next_end - pointer.offset > self.fetch_len || next_end > self.context.file.len() {
                break;
            }
            end = next_end;
        }
        end - pointer.offset
    }

    /// Moves to the last page that starts at or before `ordinal` and returns where it starts.
    fn seek(&mut self, ordinal: u64) -> u64 {
        let at = self.index.pages.partition_point(|(first, _)| *first <= ordinal).saturating_sub(1);
        if at != self.next {
            self.fetch_len = FIRST_FETCH_LEN;
        }
        self.next = at;
        self.index.pages.get(at).map_or(0, |(first, _)| *first)
    }
}

/// Turns page bodies into values.
struct Decoder {
    context: Context,
    encoding: Encoding,
    codec: Codec,
    /// Bytes of a fixed-size element; 0 for strings.
    element: usize,
    code_len: usize,
    dictionary_page: Option<PagePointerPb>,
    dictionary: Option<Dictionary>,
    spare: Spare,
}

/// Memory of pages that are done with, for those that follow: fresh memory costs more than what is decoded into it.
#[derive(Default)]
struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// So many buffers are kept, and none that one extraordinary page has made large.
    const MOST: usize = 3;
    const LARGEST: usize = 256 << 10;

    /// A buffer with anything in it.
    fn give(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    fn put(&mut self, buffer: Vec<u8>) {
        if self.0.len() < Self::MOST && (1..=Self::LARGEST).contains(&buffer.capacity()) {
            self.0.push(buffer);
        }
    }

    fn take_back(&mut self, cursor: Cursor) {
        match cursor.values {
            PageValues::Fixed { bytes, .. } => self.put(bytes),
            PageValues::Strings(page) => self.put(page.into_body()),
            PageValues::Codes { codes, .. } => self.put(codes),
            PageValues::Runs { .. } => {}
        }
    }
}

#[derive(Clone)]
enum Dictionary {
    Strings(Arc<BinaryPlain>),
    Fixed(Arc<Vec<u8>>),
}

/// A page that is being read.
struct Cursor {
    values: PageValues,
    nulls: Nulls,
    dense: bool,
    /// Rows not read yet.
    left: u64,
    /// Position of the next value, which in a page that is not dense is fewer than the rows read.
    value: usize,
}

enum PageValues {
    Fixed { bytes: Vec<u8>, element: usize },
    Runs { bits: RleBits, left: u64 },
    Strings(BinaryPlain),
    Codes { codes: Vec<u8>, dictionary: Arc<BinaryPlain> },
}

impl PageValues {
    fn len(&self) -> u64 {
        match self {
            PageValues::Fixed { bytes, element } => (bytes.len() / element) as u64,
            PageValues::Runs { left, .. } => *left,
            PageValues::Strings(strings) => strings.len() as u64,
            PageValues::Codes { codes, .. } => codes.len() as u64 / 4,
        }
    }
}

/// Kinds of data pages of a dictionary-encoded column.
const KIND_PLAIN: u32 = 2;
const KIND_DICT: u32 = 5;
const KIND_BIT_SHUFFLE: u32 = 6;

impl Decoder {
    fn cursor(&mut self, page: DataPage) -> Result<Cursor> {
        let DataPage { values, nulls, rows, dense, .. } = page;
        let flags: &[u8] = match &nulls {
            Nulls::Flags { flags, .. } => flags,
            _ => &[],
        };
        let values = self.decode(values, rows, flags)?;
        let stored = values.len();
        if dense && stored != rows || stored > rows {
            return Err(TabletError::damaged(format!("{stored} values for {rows} rows")));
        }
        Ok(Cursor { values, nulls, dense, left: rows, value: 0 })
    }

    /// The values of a page of `rows` rows, which are at most as many.
    fn decode(&mut self, body: Vec<u8>, rows: u64, nulls: &[u8]) -> Result<PageValues> {
        let element = self.element;
        match (self.encoding, element) {
            (Encoding::Plain, 0) => Ok(PageValues::Strings(BinaryPlain::parse(body, 0)?)),
            (Encoding::Plain, _) => {
                Ok(PageValues::Fixed { bytes: encoding::plain_fixed(&body, element)?.to_vec(), element })
            }
            (Encoding::BitShuffle, 1..) => {
                Ok(PageValues::Fixed { bytes: self.unshuffle(body, 0, element, rows)?, element })
            }
            (Encoding::Rle, 1) => {
                let (bits, count) = RleBits::page(&body)?;
                Ok(PageValues::Runs { bits, left: u64::from(count) })
            }
            (Encoding::Dict, _) => self.decode_dict(body, rows, nulls),
            (other, _) => {
                let name = other.name();
                Err(TabletError::unsupported(format!("encoding {name} for elements of {element} bytes")))
            }
        }
    }

    /// The elements of a bitshuffle page, which begins `skip` bytes into `body`.
    fn unshuffle(&mut self, body: Vec<u8>, skip: usize, element: usize, rows: u64) -> Result<Vec<u8>> {
        let mut out = self.spare.give();
        bitshuffle::decode_page_into(body.get(skip..).unwrap_or_default(), element, rows, &mut out)?;
        self.spare.put(body);
        Ok(out)
    }

    fn decode_dict(&mut self, body: Vec<u8>, rows: u64, nulls: &[u8]) -> Result<PageValues> {
        let element = self.element;
        match (encoding::u32_at(&body, 0)?, element) {
            (KIND_PLAIN, 0) => Ok(PageValues::Strings(BinaryPlain::parse(body, 4)?)),
            (KIND_DICT, 0) => {
                let codes = self.unshuffle(body, 4, 4, rows)?;
                match self.dictionary()? {
                    Dictionary::Strings(dictionary) => Ok(PageValues::Codes { codes, dictionary }),
                    Dictionary::Fixed(_) => Err(TabletError::damaged("a dictionary of numbers for strings")),
                }
            }
            (KIND_BIT_SHUFFLE, 1..) => {
                Ok(PageValues::Fixed { bytes: self.unshuffle(body, 4, element, rows)?, element })
            }
            (KIND_DICT, 1..) => {
                let codes = self.unshuffle(body, 4, self.code_len, rows)?;
                let Dictionary::Fixed(dictionary) = self.dictionary()? else {
                    return Err(TabletError::damaged("a dictionary of strings for numbers"));
                };
                Ok(PageValues::Fixed { bytes: gather(&codes, self.code_len, &dictionary, element, nulls)?, element })
            }
            (kind, _) => Err(TabletError::unsupported(format!("dictionary page of kind {kind}"))),
        }
    }

    fn dictionary(&mut self) -> Result<Dictionary> {
        if let Some(dictionary) = &self.dictionary {
            return Ok(dictionary.clone());
        }
        let pointer = self.dictionary_page.ok_or_else(|| TabletError::damaged("no dictionary page"))?;
        let page = page::read_dictionary(self.context.file.as_ref(), pointer, self.codec);
        let body = page.within(|| "dictionary")?.body;
        let dictionary = if self.element == 0 {
            Dictionary::Strings(Arc::new(BinaryPlain::parse(body, 0).within(|| "dictionary")?))
        } else {
            Dictionary::Fixed(Arc::new(bitshuffle::decode_page(&body, self.element).within(|| "dictionary")?))
        };
        self.dictionary = Some(dictionary.clone());
        Ok(dictionary)
    }
}

/// Looks codes up. Those of NULL rows mean nothing, so that they may lie outside the dictionary; they become zeros.
fn gather(codes: &[u8], code_len: usize, dictionary: &[u8], element: usize, nulls: &[u8]) -> Result<Vec<u8>> {
    let len = (codes.len() / code_len).checked_mul(element).filter(|&len| len <= bitshuffle::MAX_PAGE_BYTES);
    let len = len.ok_or_else(|| TabletError::damaged(format!("a page of {} bytes of codes", codes.len())))?;
    let mut values = Vec::with_capacity(len);
    for (row, code) in codes.chunks_exact(code_len).enumerate() {
        if nulls.get(row).is_some_and(|&n| n != 0) {
            values.resize(values.len() + element, 0);
            continue;
        }
        let at = code.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
        let value = at.checked_mul(element).and_then(|start| dictionary.get(start..start.checked_add(element)?));
        let value = value.ok_or_else(|| TabletError::damaged(format!("code {at} is not in the dictionary")))?;
        values.extend_from_slice(value);
    }
    Ok(values)
}

impl Cursor {
    /// Moves the next `rows` rows into `out`, their null flags into `nulls`.
    fn read(&mut self, rows: usize, nulls: &mut Vec<u8>, out: &mut dyn Out) -> Result<()> {
        let count = self.count(rows, nulls)?;
        let (from, to) = (self.value, self.value + count);
        let short = || TabletError::damaged("fewer values than rows that are not NULL");
        match &mut self.values {
            PageValues::Fixed { bytes, element } => {
                let values = bytes.get(from * *element..to * *element).ok_or_else(short)?;
                out.push(Values::Fixed(values), nulls, self.dense)?;
            }
            PageValues::Runs { bits, left } => {
                *left = left.checked_sub(count as u64).ok_or_else(short)?;
                let mut values = Vec::new();
                bits.take(count, &mut values)?;
                out.push(Values::Fixed(&values), nulls, self.dense)?;
            }
            PageValues::Strings(page) => out.push(Values::Strings { page, from, to }, nulls, self.dense)?,
            PageValues::Codes { codes, dictionary } => {
                let codes = codes.get(from * 4..to * 4).ok_or_else(short)?;
                out.push(Values::Codes { codes, dictionary }, nulls, self.dense)?;
            }
        }
        self.value = to;
        self.left -= rows as u64;
        Ok(())
    }

    fn skip(&mut self, rows: usize, scratch: &mut Vec<u8>) -> Result<()> {
        let count = self.count(rows, scratch)?;
        if let PageValues::Runs { bits, left } = &mut self.values {
            scratch.clear();
            *left = left.saturating_sub(count as u64);
            bits.take(count, scratch)?;
        }
        self.value += count;
        self.left -= rows as u64;
        Ok(())
    }

    /// How many stored values the next `rows` rows have; their null flags go to `nulls`.
    fn count(&mut self, rows: usize, nulls: &mut Vec<u8>) -> Result<usize> {
        self.nulls.take(rows, nulls)?;
        Ok(if self.dense { rows } else { nulls.iter().filter(|&&n| n == 0).count() })
    }
}
