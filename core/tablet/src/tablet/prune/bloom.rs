//! Bloom filters: one per data page, of split blocks as Parquet has them.

use super::Own;
use super::zones::PLAIN;
use crate::codec::Codec;
use crate::encoding::binary::BinaryPlain;
use crate::error::Result;
use crate::page::{self, DataPage, OrdinalIndex};
use crate::proto::segment::{IndexedColumnMetaPb, PagePointerPb};
use crate::segment::Segment;

const SEED: u64 = 1_575_457_558;
const BLOCK_LEN: usize = 32;
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The filters of a column, read as they are asked for.
pub(super) struct Blooms<'a> {
    segment: &'a Segment,
    codec: Codec,
    count: u64,
    pages: Vec<(u64, PagePointerPb)>,
    /// The page that was read last: position in `pages`, and its values.
    current: Option<(usize, BinaryPlain)>,
}

/// A bloom filter, without the flag behind it that tells of NULLs.
pub(super) struct Filter<'a>(&'a [u8]);

impl<'a> Blooms<'a> {
    /// Opens the index of a column; nothing if there is none whose filters are of whole values.
    pub fn open(segment: &'a Segment, own: &Own<'_>) -> Result<Option<Blooms<'a>>> {
        let index = own.meta.indexes.iter().find_map(|i| i.bloom_filter_index.as_ref());
        // Other hash functions and algorithms are not written. An n-gram index puts pieces of text into the same filters.
        let index = index.filter(|i| i.hash_strategy.unwrap_or(0) == 0 && i.algorithm.unwrap_or(0) == 0);
        let whole = own.written.has_bloom_filter && !own.written.has_ngram_filter && !own.column.has_ngram_filter;
        let meta = index.and_then(|i| i.bloom_filter).filter(|m| whole && m.encoding == Some(PLAIN));
        let Some(meta) = meta else { return Ok(None) };
        let IndexedColumnMetaPb { compression, num_values, ordinal_index_meta, .. } = meta;
        let pages = OrdinalIndex::read(segment.file.as_ref(), ordinal_index_meta.as_ref())?.pages;
        let count = u64::try_from(num_values.unwrap_or(0)).unwrap_or(0);
        Ok(Some(Blooms { segment, codec: Codec::from_pb(compression.unwrap_or(2))?, count, pages, current: None }))
    }

    /// How many filters there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// The filter of a data page; nothing if it makes no sense.
    pub fn get(&mut self, page: u64) -> Result<Option<Filter<'_>>> {
        let at = self.pages.partition_point(|(first, _)| *first <= page).saturating_sub(1);
        let Some((first, pointer)) = self.pages.get(at).copied() else { return Ok(None) };
        if self.current.as_ref().is_none_or(|(current, _)| *current != at) {
            let read = DataPage::parse(page::read(self.segment.file.as_ref(), pointer, self.codec)?)?;
            self.current = Some((at, BinaryPlain::parse(read.values, 0)?));
        }
        let Some((_, values)) = &self.current else { return Ok(None) };
        let bytes = page.checked_sub(first).and_then(|at| values.get(usize::try_from(at).ok()?));
        Ok(bytes.and_then(Filter::parse))
    }
}

impl<'a> Filter<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (_, blocks) = bytes.split_last()?;
        let count = blocks.len() / BLOCK_LEN;
        (blocks.len() % BLOCK_LEN == 0 && count.is_power_of_two()).then_some(Filter(blocks))
    }

    /// Whether the page may hold the value with these bytes.
    pub fn may_hold(&self, value: &[u8]) -> bool {
        let hash = murmur(value);
        let blocks = (self.0.len() / BLOCK_LEN) as u64;
        let at = ((hash >> 32) & (blocks - 1)) as usize * BLOCK_LEN;
        let Some(block) = self.0.get(at..at + BLOCK_LEN) else { return true };
        block.chunks_exact(4).zip(SALTS).all(|(word, salt)| {
            let word = word.first_chunk().map_or(u32::MAX, |word| u32::from_le_bytes(*word));
            word & 1 << ((hash as u32).wrapping_mul(salt) >> 27) != 0
        })
    }
}

/// MurmurHash3 in its form with 64 bits of state.
fn murmur(bytes: &[u8]) -> u64 {
    let mix = |word: u64| word.wrapping_mul(0x87c3_7b91_1142_53d5).rotate_left(31).wrapping_mul(0x4cf5_ad43_2745_937f);
    let mut hash = SEED;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        hash = (hash ^ mix(word)).rotate_left(27).wrapping_mul(5).wrapping_add(0x52dc_e729);
    }
    if !words.remainder().is_empty() {
        hash ^= mix(words.remainder().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    hash ^= bytes.len() as u64;
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}
