//! Every page of a segment, read for its checksum and its compression only.

use crate::codec::Codec;
use crate::error::{Result, Within};
use crate::page::{self, OrdinalIndex};
use crate::proto::segment::{BTreeMetaPb, ColumnIndexMetaPb, ColumnMetaPb, IndexedColumnMetaPb, PagePointerPb};

use super::Segment;

/// What [`Segment::verify_pages`] has looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PageCount {
    pub pages: u64,
    /// As they are stored.
    pub bytes: u64,
}

impl Segment {
    /// Reads every page that the footer leads to, data and indexes alike, verifies its checksum and expands it; values are not
    /// decoded. Fails at the first page that is not right.
    pub fn verify_pages(&self) -> Result<PageCount> {
        let mut verify = Verify { segment: self, count: PageCount::default() };
        for column in &self.footer().columns {
            verify.column(column).within(|| format!("column {}", column.unique_id.unwrap_or(0)))?;
        }
        if let Some(pointer) = self.footer().short_key_index_page {
            verify.page(pointer, Codec::None).within(|| "short key index")?;
        }
        Ok(verify.count)
    }
}

struct Verify<'a> {
    segment: &'a Segment,
    count: PageCount,
}

impl Verify<'_> {
    fn page(&mut self, pointer: PagePointerPb, codec: Codec) -> Result<()> {
        page::read(self.segment.file.as_ref(), pointer, codec)?;
        self.count.pages += 1;
        self.count.bytes += u64::from(pointer.size);
        Ok(())
    }

    fn column(&mut self, column: &ColumnMetaPb) -> Result<()> {
        let codec = Codec::from_pb(column.compression.unwrap_or(0))?;
        if let Some(pointer) = column.dict_page {
            self.page(pointer, codec).within(|| "dictionary")?;
        }
        for index in &column.indexes {
            self.index(index, codec)?;
        }
        for (at, child) in column.children_columns.iter().enumerate() {
            self.column(child).within(|| format!("child {at}"))?;
        }
        Ok(())
    }

    fn index(&mut self, index: &ColumnIndexMetaPb, codec: Codec) -> Result<()> {
        if let Some(ordinal) = &index.ordinal_index {
            self.data_pages(ordinal.root_page.as_ref(), codec)?;
        }
        if let Some(zones) = index.zone_map_index.as_ref().and_then(|z| z.page_zone_maps) {
            self.indexed(&zones).within(|| "zone maps")?;
        }
        let inverted = index.builtin_inverted_index.and_then(|inverted| inverted.bitmap_index);
        for (bitmap, name) in [(index.bitmap_index, "bitmap index"), (inverted, "inverted index")] {
            let Some(bitmap) = bitmap else { continue };
            let ngrams = bitmap.ngram_dict_column.iter().chain(&bitmap.ngram_bitmap_column);
            for part in bitmap.dict_column.iter().chain(&bitmap.bitmap_column).chain(ngrams) {
                self.indexed(part).within(|| name)?;
            }
        }
        if let Some(filters) = index.bloom_filter_index.and_then(|b| b.bloom_filter) {
            self.indexed(&filters).within(|| "bloom filters")?;
        }
        Ok(())
    }

    fn data_pages(&mut self, root: Option<&BTreeMetaPb>, codec: Codec) -> Result<()> {
        let index = OrdinalIndex::read(self.segment.file.as_ref(), root)?;
        if let Some(root) = root.filter(|r| r.is_root_data_page != Some(true)).and_then(|r| r.root_page) {
            self.count.pages += 1;
            self.count.bytes += u64::from(root.size);
        }
        index.pages.iter().try_for_each(|(_, pointer)| self.page(*pointer, codec))
    }

    /// An index that is stored like a column, with an order by ordinal and perhaps one by value.
    fn indexed(&mut self, column: &IndexedColumnMetaPb) -> Result<()> {
        let codec = Codec::from_pb(column.compression.unwrap_or(2))?;
        if column.ordinal_index_meta.is_some() {
            self.data_pages(column.ordinal_index_meta.as_ref(), codec)?;
        }
        match column.value_index_meta {
            // The only data page has just been read.
            Some(BTreeMetaPb { is_root_data_page: Some(true), .. }) if column.ordinal_index_meta.is_some() => Ok(()),
            Some(BTreeMetaPb { root_page: Some(pointer), is_root_data_page: Some(true) }) => self.page(pointer, codec),
            Some(BTreeMetaPb { root_page: Some(pointer), .. }) => self.page(pointer, Codec::None),
            _ => Ok(()),
        }
    }
}
