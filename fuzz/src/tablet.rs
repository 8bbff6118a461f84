//! What is tried with bytes that claim to be parts of a tablet. Every function takes any bytes at all, must return, and must not
//! need more memory than a few hundred megabytes; where a result can be checked for sense, it is.
//!
//! Checksums would stop nearly all input at the door, so they are made right here, as an attacker would. Included by the fuzz
//! targets and, with the kept corpus, by `cargo test` of the tablet crate.

use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use prost::Message;
use starsnap_tablet::delvec::DeleteVector;
use starsnap_tablet::encoding::{self, binary::BinaryPlain, bitshuffle as shuffled, rle::RleBits};
use starsnap_tablet::proto::segment::*;
use starsnap_tablet::proto::tablet::{ColumnPb, RowsetMetaPb, TabletMetaPb, TabletSchemaPb};
use starsnap_tablet::types::{bitmap as bitmaps, hll as hlls, percentile as percentiles};
use starsnap_tablet::{LargeIntAs, ReadAt, ReadOptions, Result, Segment, Tablet, TabletMeta, TextAs, expected_files};

/// Rows that are read of anything: runs and NULLs make billions of rows of a few bytes.
const MAX_ROWS: usize = 1 << 16;

/// Takes `n` bytes from the front, or zeros where there are not so many.
fn head<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let n = N.min(data.len());
    out[..n].copy_from_slice(&data[..n]);
    *data = &data[n..];
    out
}

/// Element size (byte 0), count (bytes 1 and 2), then a page or a stream.
pub fn bitshuffle(mut data: &[u8]) {
    let [element, low, high] = head(&mut data);
    let element = [1, 2, 3, 4, 8, 12, 16, 32][usize::from(element % 8)];
    let padded = usize::from(u16::from_le_bytes([low, high])) / 8 * 8;
    if let Ok(out) = shuffled::decode_stream(data, padded, element) {
        assert_eq!(out.len(), padded * element);
    }
    if let Ok(out) = shuffled::decode_page(data, element) {
        assert_eq!(out.len() % element, 0);
    }
}

/// A page of runs, read in pieces of changing length.
pub fn rle(data: &[u8]) {
    let Ok((mut bits, count)) = RleBits::page(data) else { return };
    let (mut all, mut step) = (Vec::new(), 1);
    while all.len() < (count as usize).min(MAX_ROWS) {
        let before = all.len();
        if bits.take(step, &mut all).is_err() {
            return;
        }
        assert_eq!(all.len(), before + step);
        step = step * 3 % 101 + 1;
    }
    let mut again = Vec::new();
    let (mut bits, _) = RleBits::page(data).expect("it did before");
    bits.take(all.len(), &mut again).expect("it did before");
    assert!(all == again && all.iter().all(|&b| b < 2));
}

/// Element size (byte 0), then a page.
pub fn frame_of_reference(mut data: &[u8]) {
    let [element] = head(&mut data);
    let element = [1, 2, 4, 8, 16][usize::from(element % 5)];
    let _ = encoding::frame_of_reference::decode(data, element);
}

pub fn prefix(data: &[u8]) {
    if let Ok(strings) = encoding::prefix::decode(data) {
        assert!(strings.len() <= data.len());
    }
}

/// How many bytes are skipped (byte 0, modulo 8), then a page of strings; the same as a page of fixed-size values.
pub fn plain(mut data: &[u8]) {
    let [skip] = head(&mut data);
    let (skip, element) = (usize::from(skip % 8), 1 << (skip % 6));
    if let Ok(strings) = BinaryPlain::parse(data.to_vec(), skip) {
        let bytes: usize = (0..strings.len()).map(|at| strings.get(at).expect("it says so").len()).sum();
        assert!(bytes <= data.len() && strings.get(strings.len()).is_none());
    }
    if let Ok(values) = encoding::plain_fixed(data, element) {
        assert_eq!(values.len() % element, 0);
    }
}

pub fn delete_vector(data: &[u8]) {
    let _ = DeleteVector::parse(data, 1);
}

pub fn json(data: &[u8]) {
    let mut text = Vec::new();
    let _ = starsnap_tablet::json::text::write(data, &mut text);
    // A number of nine bytes has at most some hundred digits, and a byte of a name at most six.
    assert!(text.len() <= 1024 + data.len() * 512, "{} bytes of {}", text.len(), data.len());
}

pub fn bitmap(data: &[u8]) {
    let Ok(set) = bitmaps::parse(data) else { return };
    let bytes = bitmaps::to_bytes(&set).expect("a set can be stored");
    assert!(bitmaps::parse(&bytes).expect("what we store we read") == set);
}

/// Two values, the first of as many bytes as the first two say; both alone and united.
pub fn hll(mut data: &[u8]) {
    let len = usize::from(u16::from_le_bytes(head(&mut data)));
    let (one, two) = data.split_at(len.min(data.len()));
    let Ok(mut one) = hlls::Hll::parse(one) else { return };
    assert!(hlls::Hll::parse(&one.to_bytes()).expect("what we store we read").cardinality() == one.cardinality());
    let Ok(two) = hlls::Hll::parse(two) else { return };
    one.union(&two);
    let _ = one.cardinality();
}

/// As [`hll`].
pub fn percentile(mut data: &[u8]) {
    let len = usize::from(u16::from_le_bytes(head(&mut data)));
    let (one, two) = data.split_at(len.min(data.len()));
    let Ok(mut one) = percentiles::Percentile::parse(one) else { return };
    let Ok(two) = percentiles::Percentile::parse(two) else { return };
    one.union(&two);
    percentiles::Percentile::parse(&one.to_bytes()).expect("what we store we read");
}

/// The message in a `.hdr`.
pub fn header(data: &[u8]) {
    if let Ok(meta) = TabletMeta::from_header(&framed(data)) {
        names(&meta);
    }
}

/// A whole `meta` file, with its last eight bytes, the length, made right.
pub fn snapshot_meta(data: &[u8]) {
    let mut bytes = data.to_vec();
    if let Some(at) = bytes.len().checked_sub(8) {
        let len = bytes.len() as u64;
        bytes[at..].copy_from_slice(&len.to_be_bytes());
    }
    if let Ok(meta) = TabletMeta::from_snapshot_meta(&bytes) {
        names(&meta);
    }
}

/// The message in a `.dcgs_snapshot`, for a tablet of one rowset called `0` with three segments.
pub fn delta_columns(data: &[u8]) {
    let pb = TabletMetaPb {
        rs_metas: vec![RowsetMetaPb { num_segments: Some(3), ..rowset() }],
        ..tablet_of(ColumnPb { unique_id: 0, name: Some("c".into()), r#type: "INT".into(), ..ColumnPb::default() })
    };
    let mut meta = TabletMeta::from_header(&framed(&pb.encode_to_vec())).expect("a good header");
    if meta.add_delta_columns(&framed(data)).is_ok() {
        names(&meta);
    }
}

/// Names that callers make paths of.
fn names(meta: &TabletMeta) {
    for rowset in &meta.rowsets {
        // A number of files is a few bytes of a header.
        if rowset.num_delete_files > 1 << 16 || rowset.num_update_files > 1 << 16 {
            return;
        }
    }
    assert!(expected_files(meta).iter().all(|n| !n.contains(['/', '\0'])));
}

/// A SegmentFooterPB, in front of which there is nothing but what the data's own bytes are.
pub fn footer(data: &[u8]) {
    let mut file = data.to_vec();
    end_segment(&mut file, data);
    if let Ok(segment) = Segment::open(Arc::new(file)) {
        let _ = segment.verify_pages();
    }
}

/// Stored types that `page` tries: number, and what the schema says.
const TYPES: [(i32, &str); 22] = [
    (1, "TINYINT"),
    (3, "SMALLINT"),
    (5, "INT"),
    (7, "BIGINT"),
    (9, "LARGEINT"),
    (10, "FLOAT"),
    (11, "DOUBLE"),
    (13, "CHAR"),
    (14, "DATE"),
    (15, "DATETIME"),
    (16, "DECIMAL"),
    (17, "VARCHAR"),
    (23, "HLL"),
    (24, "BOOLEAN"),
    (25, "OBJECT"),
    (46, "VARBINARY"),
    (48, "DECIMAL64"),
    (50, "DATE_V2"),
    (51, "TIMESTAMP"),
    (52, "DECIMAL_V2"),
    (53, "PERCENTILE"),
    (54, "JSON"),
];

/// What stands in front of the pages that [`page`] is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageHead {
    /// Position in [`TYPES`].
    pub ty: u8,
    pub encoding: u8,
    pub codec: u8,
    /// Bits 0 and 1 the page format, bit 2 the null map's encoding, bit 3 whether the dictionary is compressed.
    pub flags: u8,
    pub rows: u16,
    pub null_map_len: u16,
    pub uncompressed_len: u32,
    /// Bytes of the dictionary page, which stands in front of the data page.
    pub dictionary_len: u16,
    pub dictionary_uncompressed_len: u32,
}

impl PageHead {
    fn take(data: &mut &[u8]) -> Self {
        let [ty, encoding, codec, flags] = head(data);
        PageHead {
            ty,
            encoding,
            codec,
            flags,
            rows: u16::from_le_bytes(head(data)),
            null_map_len: u16::from_le_bytes(head(data)),
            uncompressed_len: u32::from_le_bytes(head(data)),
            dictionary_len: u16::from_le_bytes(head(data)),
            dictionary_uncompressed_len: u32::from_le_bytes(head(data)),
        }
    }

    /// The input that means this and the two bodies.
    #[allow(dead_code, reason = "the fuzz targets make no seeds")]
    pub fn seed(&self, dictionary: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = vec![self.ty, self.encoding, self.codec, self.flags];
        out.extend(self.rows.to_le_bytes());
        out.extend(self.null_map_len.to_le_bytes());
        out.extend(self.uncompressed_len.to_le_bytes());
        out.extend(self.dictionary_len.to_le_bytes());
        out.extend(self.dictionary_uncompressed_len.to_le_bytes());
        [&out, dictionary, body].concat()
    }

    /// Position in [`TYPES`] of a stored type.
    #[allow(dead_code, reason = "the fuzz targets make no seeds")]
    pub fn type_of(stored: i32) -> Option<u8> {
        TYPES.iter().position(|(number, _)| *number == stored).map(|at| at as u8)
    }
}

/// One column of one page: [`PageHead`], the dictionary's body, the data page's body.
pub fn page(mut data: &[u8]) {
    let page = PageHead::take(&mut data);
    let (dictionary, body) = data.split_at(usize::from(page.dictionary_len).min(data.len()));
    let (stored, name) = TYPES[usize::from(page.ty) % TYPES.len()];
    let mut file = Vec::new();
    let dictionary_footer = PageFooterPb {
        r#type: Some(3),
        uncompressed_size: Some(page.dictionary_uncompressed_len),
        ..PageFooterPb::default()
    };
    let dict_page = (!dictionary.is_empty()).then(|| add_page(&mut file, dictionary, &dictionary_footer));
    let data_footer = DataPageFooterPb {
        first_ordinal: Some(0),
        num_values: Some(u64::from(page.rows)),
        nullmap_size: Some(u32::from(page.null_map_len)),
        format_version: Some(u32::from(page.flags & 3)),
        null_encoding: Some(i32::from(page.flags >> 2 & 1)),
        ..DataPageFooterPb::default()
    };
    let footer = PageFooterPb {
        r#type: Some(1),
        uncompressed_size: Some(page.uncompressed_len),
        data_page_footer: Some(data_footer),
        ..PageFooterPb::default()
    };
    let root_page = Some(add_page(&mut file, body, &footer));
    let root = BTreeMetaPb { root_page, is_root_data_page: Some(true) };
    let index = ColumnIndexMetaPb {
        r#type: Some(1),
        ordinal_index: Some(OrdinalIndexPb { root_page: Some(root) }),
        ..ColumnIndexMetaPb::default()
    };
    let column = ColumnMetaPb {
        unique_id: Some(0),
        r#type: Some(stored),
        length: Some(16),
        encoding: Some(i32::from(page.encoding)),
        compression: Some(i32::from(page.codec)),
        is_nullable: Some(true),
        indexes: vec![index],
        dict_page,
        ..ColumnMetaPb::default()
    };
    let footer = SegmentFooterPb {
        version: Some(2),
        columns: vec![column],
        num_rows: Some(u32::from(page.rows)),
        ..SegmentFooterPb::default()
    };
    end_segment(&mut file, &footer.encode_to_vec());
    let meta = tablet_of(ColumnPb {
        name: Some("c".into()),
        r#type: name.into(),
        is_nullable: Some(true),
        precision: Some(18),
        frac: Some(3),
        length: Some(16),
        ..ColumnPb::default()
    });
    let meta = TabletMeta::from_header(&framed(&meta.encode_to_vec())).expect("a good header");
    let rows = read(&one_file(meta, file));
    if let Ok(rows) = rows {
        assert_eq!(rows, usize::from(page.rows));
    }
}

/// A whole tablet with one segment file: what is first (0: the message of a `.hdr`, else a `meta` file), length of that (bytes 1
/// and 2), then both.
pub fn tablet(mut data: &[u8]) {
    let [kind, low, high] = head(&mut data);
    let len = usize::from(u16::from_le_bytes([low, high]));
    let (header, file) = data.split_at(len.min(data.len()));
    let meta =
        if kind == 0 { TabletMeta::from_header(&framed(header)) } else { TabletMeta::from_snapshot_meta(header) };
    let Ok(meta) = meta else { return };
    // Every one of them is opened.
    if meta.rowsets.iter().map(|r| r.segments.len()).sum::<usize>() > 100 {
        return;
    }
    let mut file = file.to_vec();
    repair(&mut file);
    let _ = read(&one_file(meta, file));
}

/// A tablet whose files are all the same.
fn one_file(meta: TabletMeta, file: Vec<u8>) -> Tablet {
    let file: Arc<dyn ReadAt> = Arc::new(file);
    Tablet::new(meta, move |_: &str| -> io::Result<Arc<dyn ReadAt>> { Ok(file.clone()) })
}

/// Reads stored and logical rows; how many are stored, if none fails.
fn read(tablet: &Tablet) -> Result<usize> {
    let options = ReadOptions {
        batch_rows: 256,
        text: TextAs::Utf8Lossy,
        large_int: LargeIntAs::Decimal256,
        ..ReadOptions::default()
    };
    let count = |batches: &mut dyn Iterator<Item = Result<RecordBatch>>| -> Result<usize> {
        let mut rows = 0;
        for batch in batches {
            rows += batch?.num_rows();
            if rows > MAX_ROWS {
                break;
            }
        }
        Ok(rows)
    };
    let physical = tablet.physical_rows(None, &options).and_then(|mut rows| count(&mut rows));
    let logical = tablet.rows(None, &options).and_then(|mut rows| count(&mut rows));
    if let (Ok(physical), Ok(logical)) = (&physical, &logical) {
        assert!(logical <= physical || *physical > MAX_ROWS, "{logical} rows of {physical} stored ones");
    }
    physical
}

fn tablet_of(column: ColumnPb) -> TabletMetaPb {
    TabletMetaPb {
        tablet_id: Some(1),
        schema: Some(TabletSchemaPb { keys_type: Some(0), column: vec![column], ..TabletSchemaPb::default() }),
        rs_metas: vec![rowset()],
        ..TabletMetaPb::default()
    }
}

fn rowset() -> RowsetMetaPb {
    RowsetMetaPb {
        rowset_type: Some(1),
        start_version: Some(0),
        end_version: Some(2),
        num_segments: Some(1),
        rowset_id: Some("0".into()),
        ..RowsetMetaPb::default()
    }
}

/// A `.hdr` or `.dcgs_snapshot` around a message.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 40];
    file[8] = 1;
    file[12..20].copy_from_slice(&(40 + message.len() as u64).to_le_bytes());
    file[24..32].copy_from_slice(&(message.len() as u64).to_le_bytes());
    file[32..36].copy_from_slice(&adler2::adler32_slice(message).to_le_bytes());
    file.extend_from_slice(message);
    file
}

fn add_page(file: &mut Vec<u8>, body: &[u8], footer: &PageFooterPb) -> PagePointerPb {
    let offset = file.len();
    file.extend_from_slice(body);
    let footer = footer.encode_to_vec();
    file.extend_from_slice(&footer);
    file.extend((footer.len() as u32).to_le_bytes());
    file.extend(crc32c::crc32c(&file[offset..]).to_le_bytes());
    PagePointerPb { offset: offset as u64, size: (file.len() - offset) as u32 }
}

fn end_segment(file: &mut Vec<u8>, footer: &[u8]) {
    file.extend_from_slice(footer);
    file.extend((footer.len() as u32).to_le_bytes());
    file.extend(crc32c::crc32c(footer).to_le_bytes());
    file.extend_from_slice(b"D0R1");
}

/// Makes the checksums of a segment file's footer and of the pages that it names right.
fn repair(file: &mut [u8]) {
    let Some(trailer) = file.len().checked_sub(12) else { return };
    let word =
        |at: usize, file: &[u8]| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize;
    let Some(start) = trailer.checked_sub(word(trailer, file)) else { return };
    file[trailer + 8..].copy_from_slice(b"D0R1");
    let crc = crc32c::crc32c(&file[start..trailer]);
    file[trailer + 4..trailer + 8].copy_from_slice(&crc.to_le_bytes());
    let Ok(footer) = SegmentFooterPb::decode(&file[start..trailer]) else { return };
    let mut columns: Vec<&ColumnMetaPb> = footer.columns.iter().collect();
    while let Some(column) = columns.pop() {
        columns.extend(&column.children_columns);
        let roots = column.indexes.iter().filter_map(|i| i.ordinal_index?.root_page?.root_page);
        for page in roots.chain(column.dict_page) {
            let range = usize::try_from(page.offset).ok().and_then(|at| Some(at..at.checked_add(page.size as usize)?));
            let Some(bytes) = range.and_then(|r| file.get_mut(r)) else { continue };
            let Some((covered, crc)) = bytes.split_last_chunk_mut::<4>() else { continue };
            *crc = crc32c::crc32c(covered).to_le_bytes();
        }
    }
}
