//! A segment whose rows are known, with indexes that are made of the bytes that are tried.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use prost::Message;
use starsnap_tablet::predicate::Op;
use starsnap_tablet::proto::segment::*;
use starsnap_tablet::proto::tablet::ColumnPb;
use starsnap_tablet::{Filter, TabletMeta};

use super::make::*;

/// Rows of a data page, of which there are three. More rows than the short key index is asked for.
const PAGE_ROWS: u64 = 1000;
const PAGES: u64 = 3;
/// Row `n` holds `n * STEP`, so that there are values which no row has.
const STEP: i64 = 3;

/// What stands in front of the indexes that [`indexes`] is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct IndexHead {
    /// Bits 0 to 2 the operator; bit 3 text instead of numbers; bits 4 to 7 whether ordinal index, zone maps, bloom filters and short key index are
    /// the input's: without its ordinal index the right one is there, without the others none.
    pub flags: u8,
    /// What is looked for.
    pub value: i16,
    pub ordinals: u8,
    /// Entries that the ordinal index says to have.
    pub entries: u8,
    pub segment_zone: u8,
    pub page_zones: u16,
    pub blooms: u16,
    /// Bytes of the short key index that are keys; the others are offsets.
    pub keys: u8,
}

impl IndexHead {
    fn take(data: &mut &[u8]) -> Self {
        let [flags] = head(data);
        let value = i16::from_le_bytes(head(data));
        let [ordinals, entries, segment_zone, keys] = head(data);
        let (page_zones, blooms) = (u16::from_le_bytes(head(data)), u16::from_le_bytes(head(data)));
        IndexHead { flags, value, ordinals, entries, segment_zone, page_zones, blooms, keys }
    }

    /// The input that means this and these parts: ordinal index, the segment's zone map, those of pages, bloom filters, short keys.
    #[allow(dead_code, reason = "the fuzz targets make no seeds")]
    pub fn seed(&self, parts: [&[u8]; 5]) -> Vec<u8> {
        let mut out = vec![self.flags];
        out.extend(self.value.to_le_bytes());
        out.extend([self.ordinals, self.entries, self.segment_zone, self.keys]);
        out.extend(self.page_zones.to_le_bytes());
        out.extend(self.blooms.to_le_bytes());
        [&out, &parts.concat()[..]].concat()
    }

    fn is_text(&self) -> bool {
        self.flags & 8 != 0
    }

    fn has(&self, part: u8) -> bool {
        self.flags & 16 << part != 0
    }
}

/// A condition on a column whose indexes are the input's: whatever they say, every row that is found meets it, and if none of them is
/// the input's, every row that meets it is found.
pub fn indexes(mut data: &[u8]) {
    let index = IndexHead::take(&mut data);
    let ops = [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge];
    let op = ops[usize::from(index.flags & 7) % ops.len()];
    let number = i64::from(index.value);
    let value = text(number, index.is_text());
    let tablet = one_file(meta(&index), segment(&index, data));
    let filter = Filter::Compare { column: "c".into(), op, value: value.clone() };
    let Ok(batches) = tablet.rows_where(None, Some(&filter), &options()) else { return };
    let mut found = 0;
    for batch in batches {
        let Ok(batch) = batch else { return };
        let column = batch.column(0);
        for at in 0..batch.num_rows() {
            let order = match column.as_string_opt::<i32>() {
                Some(texts) => texts.value(at).as_bytes().cmp(&value),
                None => column.as_primitive::<Int64Type>().value(at).cmp(&number),
            };
            // Text that is not UTF-8 is not what was compared any more.
            assert!(meets(op, order) || index.is_text() && index.has(0), "{order:?} {op:?} {number}");
            found += 1;
        }
    }
    if index.flags & 0xf0 == 0 {
        let rows = (0..(PAGES * PAGE_ROWS) as i64).map(|row| text(row * STEP, index.is_text()));
        let order = |row: &Vec<u8>| match index.is_text() {
            true => row.cmp(&value),
            false => String::from_utf8_lossy(row).parse::<i64>().expect("a number").cmp(&number),
        };
        assert_eq!(found, rows.filter(|row| meets(op, order(row))).count());
    }
}

fn meets(op: Op, order: Ordering) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
    }
}

/// Texts are ordered as the numbers are, with leading zeros.
fn text(value: i64, padded: bool) -> Vec<u8> {
    if padded { format!("{value:06}").into_bytes() } else { value.to_string().into_bytes() }
}

fn meta(index: &IndexHead) -> TabletMeta {
    let mut pb = tablet_of(ColumnPb {
        name: Some("c".into()),
        r#type: if index.is_text() { "VARCHAR" } else { "BIGINT" }.into(),
        is_key: Some(true),
        length: Some(20),
        is_bf_column: Some(true),
        ..ColumnPb::default()
    });
    pb.schema.as_mut().expect("it has one").num_short_key_columns = Some(1);
    TabletMeta::from_header(&framed(&pb.encode_to_vec())).expect("a good header")
}

fn segment(index: &IndexHead, data: &[u8]) -> Vec<u8> {
    let mut rest = data;
    let mut next = |len: usize| {
        let (part, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        part
    };
    let ordinals = next(index.ordinals.into());
    let zone = next(index.segment_zone.into());
    let (zones, blooms) = (next(index.page_zones.into()), next(index.blooms.into()));
    let keys = rest;
    let mut file = Vec::new();
    let own = data_pages(&mut file, index.is_text());
    let (body, entries) = if index.has(0) { (ordinals, u32::from(index.entries)) } else { (&own[..], PAGES as u32) };
    let mut all = vec![ColumnIndexMetaPb {
        r#type: Some(1),
        ordinal_index: Some(OrdinalIndexPb { root_page: Some(ordinal_index(&mut file, body, entries)) }),
        ..ColumnIndexMetaPb::default()
    }];
    if index.has(1) {
        let zones = ZoneMapIndexPb {
            segment_zone_map: ZoneMapPb::decode(zone).ok(),
            page_zone_maps: Some(indexed(&mut file, zones)),
        };
        all.push(ColumnIndexMetaPb { r#type: Some(2), zone_map_index: Some(zones), ..ColumnIndexMetaPb::default() });
    }
    if index.has(2) {
        let filters = BloomFilterIndexPb {
            hash_strategy: Some(0),
            algorithm: Some(0),
            bloom_filter: Some(indexed(&mut file, blooms)),
        };
        all.push(ColumnIndexMetaPb { bloom_filter_index: Some(filters), ..ColumnIndexMetaPb::default() });
    }
    let short_key_index_page = index.has(3).then(|| short_keys(&mut file, keys, index.keys));
    let column = ColumnMetaPb {
        unique_id: Some(0),
        r#type: Some(if index.is_text() { 17 } else { 7 }),
        length: Some(20),
        encoding: Some(2),
        compression: Some(2),
        indexes: all,
        ..ColumnMetaPb::default()
    };
    let num_rows = Some((PAGES * PAGE_ROWS) as u32);
    let footer =
        SegmentFooterPb { num_rows, columns: vec![column], short_key_index_page, ..SegmentFooterPb::default() };
    end_segment(&mut file, &footer.encode_to_vec());
    file
}

/// Writes the rows; returns the ordinal index of their pages.
fn data_pages(file: &mut Vec<u8>, is_text: bool) -> Vec<u8> {
    let mut index = Vec::new();
    for page in 0..PAGES {
        let first = page * PAGE_ROWS;
        let rows = first as i64..(first + PAGE_ROWS) as i64;
        let count = (PAGE_ROWS as u32).to_le_bytes();
        let body = if is_text {
            let texts: Vec<Vec<u8>> = rows.map(|row| text(row * STEP, true)).collect();
            let offsets = (0..texts.len() as u32).flat_map(|at| (at * 6).to_le_bytes()).collect();
            [texts.concat(), offsets, count.to_vec()].concat()
        } else {
            [count.to_vec(), rows.flat_map(|row| (row * STEP).to_le_bytes()).collect()].concat()
        };
        let at = data_page(file, &body, first, PAGE_ROWS);
        index.push(8);
        index.extend(first.to_be_bytes());
        prost::encoding::encode_varint(at.offset, &mut index);
        prost::encoding::encode_varint(at.size.into(), &mut index);
    }
    index
}

fn data_page(file: &mut Vec<u8>, body: &[u8], first: u64, rows: u64) -> PagePointerPb {
    let data_footer = DataPageFooterPb {
        first_ordinal: Some(first),
        num_values: Some(rows),
        format_version: Some(2),
        ..DataPageFooterPb::default()
    };
    let footer = PageFooterPb {
        r#type: Some(1),
        uncompressed_size: Some(body.len() as u32),
        data_page_footer: Some(data_footer),
        ..PageFooterPb::default()
    };
    add_page(file, body, &footer)
}

fn ordinal_index(file: &mut Vec<u8>, body: &[u8], entries: u32) -> BTreeMetaPb {
    let footer = PageFooterPb {
        r#type: Some(2),
        uncompressed_size: Some(body.len() as u32),
        index_page_footer: Some(IndexPageFooterPb { num_entries: Some(entries), r#type: Some(1) }),
        ..PageFooterPb::default()
    };
    BTreeMetaPb { root_page: Some(add_page(file, body, &footer)), is_root_data_page: Some(false) }
}

/// A column of an index, of one page.
fn indexed(file: &mut Vec<u8>, body: &[u8]) -> IndexedColumnMetaPb {
    let root_page = Some(data_page(file, body, 0, PAGES));
    IndexedColumnMetaPb {
        data_type: Some(17),
        encoding: Some(2),
        num_values: Some(PAGES as i64),
        ordinal_index_meta: Some(BTreeMetaPb { root_page, is_root_data_page: Some(true) }),
        compression: Some(2),
        ..IndexedColumnMetaPb::default()
    }
}

fn short_keys(file: &mut Vec<u8>, body: &[u8], keys: u8) -> PagePointerPb {
    let short_key = ShortKeyFooterPb {
        num_items: Some(3),
        key_bytes: Some(keys.into()),
        num_rows_per_block: Some(1024),
        num_segment_rows: Some((PAGES * PAGE_ROWS) as u32),
        ..ShortKeyFooterPb::default()
    };
    let footer = PageFooterPb {
        r#type: Some(4),
        uncompressed_size: Some(body.len() as u32),
        short_key_page_footer: Some(short_key),
        ..PageFooterPb::default()
    };
    add_page(file, body, &footer)
}
