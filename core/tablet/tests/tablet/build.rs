//! Tablets written by hand from the format's description, for what no genuine tablet has.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use prost::Message as _;
use starsnap_tablet::proto::segment::*;
use starsnap_tablet::proto::tablet::*;
use starsnap_tablet::render::TextFormat;
use starsnap_tablet::{ReadAt, Result, Tablet, TabletMeta};

pub const PLAIN: i32 = 2;
pub const RLE: i32 = 4;
pub const DICT: i32 = 5;
pub const BIT_SHUFFLE: i32 = 6;

/// How NULLs of a page are told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NullMap {
    /// Page format 1: only values that are not NULL are stored.
    Runs,
    /// Page format 2: a value for each row.
    Bitshuffle,
    Lz4,
}

/// One data page: encoded values, and which of its rows are NULL.
#[derive(Debug, Clone)]
pub struct Page {
    pub values: Vec<u8>,
    pub nulls: Vec<bool>,
    pub map: NullMap,
}

impl Page {
    /// A page of `rows` rows none of which is NULL.
    pub fn whole(values: Vec<u8>, rows: usize) -> Page {
        Page { values, nulls: vec![false; rows], map: NullMap::Lz4 }
    }
}

pub struct Segment {
    bytes: Vec<u8>,
    columns: Vec<ColumnMetaPb>,
    /// CompressionTypePB of the pages.
    codec: i32,
}

impl Default for Segment {
    fn default() -> Self {
        Segment { bytes: Vec::new(), columns: Vec::new(), codec: 2 }
    }
}

impl Segment {
    /// A segment whose pages are compressed.
    pub fn with_codec(codec: i32) -> Self {
        Segment { codec, ..Segment::default() }
    }

    fn page(&mut self, body: &[u8], footer: PageFooterPb, codec: i32) -> PagePointerPb {
        let packed = compress(body, codec);
        // The only sign of compression is that the sizes differ.
        let packed = if packed.len() == body.len() { body } else { &packed };
        let footer = PageFooterPb { uncompressed_size: Some(body.len() as u32), ..footer }.encode_to_vec();
        let mut page = [packed, &footer, &(footer.len() as u32).to_le_bytes()].concat();
        page.extend_from_slice(&crc32c::crc32c(&page).to_le_bytes());
        let pointer = PagePointerPb { offset: self.bytes.len() as u64, size: page.len() as u32 };
        self.bytes.extend_from_slice(&page);
        pointer
    }

    /// A column of stored type `ty`; `dictionary` is the body of its dictionary page.
    pub fn column(&mut self, ty: i32, encoding: i32, pages: &[Page], dictionary: Option<&[u8]>) -> ColumnMetaPb {
        let codec = self.codec;
        let dict_page = dictionary.map(|body| {
            let kind = DictPageFooterPb { encoding: Some(PLAIN) };
            self.page(body, PageFooterPb { r#type: Some(3), dict_page_footer: Some(kind), ..Default::default() }, codec)
        });
        let mut index = Vec::new();
        let (mut row, mut last) = (0u64, None);
        for page in pages {
            let nulls = if page.nulls.contains(&true) { null_map(&page.nulls, page.map) } else { Vec::new() };
            let body = [&page.values[..], &nulls].concat();
            let footer = DataPageFooterPb {
                first_ordinal: Some(row),
                num_values: Some(page.nulls.len() as u64),
                nullmap_size: Some(nulls.len() as u32),
                format_version: Some(if page.map == NullMap::Runs { 1 } else { 2 }),
                null_encoding: Some(i32::from(page.map == NullMap::Lz4)),
                ..Default::default()
            };
            let footer = PageFooterPb { r#type: Some(1), data_page_footer: Some(footer), ..Default::default() };
            let pointer = self.page(&body, footer, codec);
            index.push(8);
            index.extend_from_slice(&row.to_be_bytes());
            varint(pointer.offset, &mut index);
            varint(u64::from(pointer.size), &mut index);
            row += page.nulls.len() as u64;
            last = Some(pointer);
        }
        let root = if pages.len() == 1 {
            last.unwrap()
        } else {
            let footer = IndexPageFooterPb { num_entries: Some(pages.len() as u32), r#type: Some(1) };
            self.page(
                &index,
                PageFooterPb { r#type: Some(2), index_page_footer: Some(footer), ..Default::default() },
                2,
            )
        };
        let root = BTreeMetaPb { root_page: Some(root), is_root_data_page: Some(pages.len() == 1) };
        ColumnMetaPb {
            unique_id: Some(u32::MAX),
            r#type: Some(ty),
            encoding: Some(encoding),
            compression: Some(codec),
            is_nullable: Some(pages.iter().any(|page| page.nulls.contains(&true))),
            indexes: vec![ColumnIndexMetaPb {
                r#type: Some(1),
                ordinal_index: Some(OrdinalIndexPb { root_page: Some(root) }),
                ..Default::default()
            }],
            dict_page,
            num_rows: Some(row),
            ..Default::default()
        }
    }

    /// A column of numbers without NULLs, PLAIN.
    pub fn plain<const N: usize>(&mut self, ty: i32, values: &[[u8; N]]) -> ColumnMetaPb {
        self.column(ty, PLAIN, &[Page::whole(fixed(values), values.len())], None)
    }

    /// A column of strings, PLAIN; nothing for NULL.
    pub fn strings(&mut self, ty: i32, values: &[Option<&[u8]>]) -> ColumnMetaPb {
        let stored: Vec<&[u8]> = values.iter().map(|value| value.unwrap_or(b"garbage")).collect();
        let nulls = values.iter().map(Option::is_none).collect();
        self.column(ty, PLAIN, &[Page { values: strings(&stored), nulls, map: NullMap::Bitshuffle }], None)
    }

    /// Adds a column to the footer.
    pub fn add(&mut self, unique_id: i32, meta: ColumnMetaPb) -> &mut Self {
        self.columns.push(ColumnMetaPb { unique_id: Some(unique_id as u32), ..meta });
        self
    }

    pub fn finish(&self, rows: u32) -> Vec<u8> {
        let footer = SegmentFooterPb {
            version: Some(2),
            columns: self.columns.clone(),
            num_rows: Some(rows),
            ..Default::default()
        };
        let footer = footer.encode_to_vec();
        let mut bytes = [&self.bytes[..], &footer, &(footer.len() as u32).to_le_bytes()].concat();
        bytes.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
        bytes.extend_from_slice(b"D0R1");
        bytes
    }
}

/// A nested column of children.
pub fn nested(ty: i32, children: Vec<ColumnMetaPb>, nullable: bool) -> ColumnMetaPb {
    ColumnMetaPb {
        unique_id: Some(u32::MAX),
        r#type: Some(ty),
        is_nullable: Some(nullable),
        children_columns: children,
        ..Default::default()
    }
}

fn compress(body: &[u8], codec: i32) -> Vec<u8> {
    match codec {
        2 => body.to_vec(),
        3 => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        4 => lz4_flex::block::compress(body),
        5 => {
            let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
            frame.write_all(body).unwrap();
            frame.finish().unwrap()
        }
        6 => {
            let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            stream.write_all(body).unwrap();
            stream.finish().unwrap()
        }
        7 => zstd::encode_all(body, 1).unwrap(),
        8 => {
            let mut stream = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            stream.write_all(body).unwrap();
            stream.finish().unwrap()
        }
        other => panic!("codec {other}"),
    }
}

fn null_map(nulls: &[bool], map: NullMap) -> Vec<u8> {
    let mut flags: Vec<u8> = nulls.iter().map(|&null| u8::from(null)).collect();
    match map {
        NullMap::Runs => runs(nulls),
        NullMap::Lz4 => lz4_flex::block::compress(&flags),
        NullMap::Bitshuffle => {
            flags.resize(flags.len().next_multiple_of(8), 0);
            let mut stream = bitshuffle(&flags, 1);
            // What writers up to 3.2 left behind the stream.
            stream.extend_from_slice(b"\xde\xad\xbe\xef garbage");
            stream
        }
    }
}

/// Runs of single bits: repeats where there are many, literals for the rest.
pub fn runs(bits: &[bool]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bits.len() {
        let same = bits[at..].iter().take_while(|bit| **bit == bits[at]).count();
        if same >= 8 {
            varint((same as u64) << 1, &mut out);
            out.push(u8::from(bits[at]));
            at += same;
        } else {
            // A group of eight; the last one may have bits to spare.
            let byte = (0..8).fold(0, |byte, bit| byte | u8::from(bits.get(at + bit) == Some(&true)) << bit);
            out.extend_from_slice(&[1 << 1 | 1, byte]);
            at += 8;
        }
    }
    out
}

pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A bitshuffle stream of elements, whose number is a multiple of eight.
fn bitshuffle(bytes: &[u8], element: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for block in bytes.chunks((8192 / element / 8 * 8).max(128) * element) {
        let groups = block.len() / element / 8;
        let mut planes = vec![0; block.len()];
        for (at, byte) in block.iter().enumerate() {
            let (item, of) = (at / element, at % element);
            for bit in 0..8 {
                planes[(of * 8 + bit) * groups + item / 8] |= (byte >> bit & 1) << (item % 8);
            }
        }
        let packed = lz4_flex::block::compress(&planes);
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

/// A page body of PLAIN elements.
pub fn fixed<const N: usize>(values: &[[u8; N]]) -> Vec<u8> {
    [&(values.len() as u32).to_le_bytes()[..], values.as_flattened()].concat()
}

/// A page body of PLAIN strings.
pub fn strings(values: &[&[u8]]) -> Vec<u8> {
    let mut body: Vec<u8> = values.concat();
    let mut start = 0u32;
    for value in values {
        body.extend_from_slice(&start.to_le_bytes());
        start += value.len() as u32;
    }
    body.extend_from_slice(&(values.len() as u32).to_le_bytes());
    body
}

/// A page body of BIT_SHUFFLE elements.
pub fn shuffled(values: &[u8], element: usize) -> Vec<u8> {
    let count = values.len() / element;
    let mut padded = values.to_vec();
    padded.resize(count.next_multiple_of(8) * element, 0);
    let stream = bitshuffle(&padded, element);
    let header = [count, stream.len() + 16, count.next_multiple_of(8), element];
    let header: Vec<u8> = header.iter().flat_map(|n| (*n as u32).to_le_bytes()).collect();
    [header, stream].concat()
}

/// A page body of booleans, RLE.
pub fn rle(values: &[bool]) -> Vec<u8> {
    [&(values.len() as u32).to_le_bytes()[..], &runs(values)].concat()
}

/// A nullable value column.
pub fn column(unique_id: i32, name: &str, ty: &str) -> ColumnPb {
    ColumnPb {
        unique_id,
        name: Some(name.into()),
        r#type: ty.into(),
        is_key: Some(false),
        is_nullable: Some(true),
        ..Default::default()
    }
}

pub fn parent(unique_id: i32, name: &str, ty: &str, children: Vec<ColumnPb>) -> ColumnPb {
    ColumnPb { children_columns: children, ..column(unique_id, name, ty) }
}

/// A rowset of one version; `segments` are counted, and named by [`segment_name`].
pub fn rowset(version: i64, segments: i64) -> RowsetMetaPb {
    RowsetMetaPb {
        rowset_id: Some(rowset_id(version)),
        rowset_type: Some(1),
        rowset_state: Some(2),
        start_version: Some(version),
        end_version: Some(version),
        num_segments: Some(segments),
        segments_overlap: Some(1),
        ..Default::default()
    }
}

fn rowset_id(version: i64) -> String {
    format!("{:048x}", 0x0200_0000_0000_0000_i64 + version)
}

pub fn segment_name(version: i64, n: usize) -> String {
    format!("{}_{n}.dat", rowset_id(version))
}

/// Adler32, magic and lengths around a message.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&(message.len() as u64 + 40).to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&(message.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&adler2::adler32_slice(message).to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(message);
    bytes
}

/// The bytes of a `.hdr`; rowset [0-1] is added.
pub fn header(keys_type: i32, columns: Vec<ColumnPb>, mut rowsets: Vec<RowsetMetaPb>) -> Vec<u8> {
    rowsets.insert(0, RowsetMetaPb { start_version: Some(0), ..rowset(1, 0) });
    let schema = TabletSchemaPb { keys_type: Some(keys_type), column: columns, ..Default::default() };
    let meta = TabletMetaPb { tablet_id: Some(7), schema: Some(schema), rs_metas: rowsets, ..Default::default() };
    framed(&meta.encode_to_vec())
}

pub fn tablet(header: &[u8], files: Vec<(String, Vec<u8>)>) -> Tablet {
    open(TabletMeta::from_header(header).unwrap(), files)
}

pub fn open(meta: TabletMeta, files: Vec<(String, Vec<u8>)>) -> Tablet {
    let files: HashMap<String, Vec<u8>> = files.into_iter().collect();
    Tablet::new(meta, move |name: &str| match files.get(name) {
        Some(bytes) => Ok(Arc::new(bytes.clone()) as Arc<dyn ReadAt>),
        None => Err(io::ErrorKind::NotFound.into()),
    })
}

/// The rows that a SELECT returns, as JSON lines.
pub fn json_lines(tablet: &Tablet) -> Result<Vec<String>> {
    let format = TextFormat::JsonLines;
    let mut lines = Vec::new();
    for batch in tablet.rows(None, &format.read_options())? {
        let text = String::from_utf8(format.lines(&batch?)?).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    Ok(lines)
}
