//! Segments of one column that is made of the bytes that are tried.

use std::sync::Arc;

use prost::Message;
use starsnap_tablet::proto::segment::*;
use starsnap_tablet::proto::tablet::ColumnPb;
use starsnap_tablet::{Segment, TabletMeta};

use super::make::*;

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

/// Types of flattened members, and how many bytes their values have; 0 for any number.
const MEMBERS: [(i32, usize); 6] = [(54, 0), (17, 0), (7, 8), (11, 8), (9, 16), (1, 1)];

/// What stands in front of the bytes that [`flat_json`] is given.
#[derive(Debug, Clone, Default)]
pub struct FlatJsonHead {
    /// Bit 0 whether something remained, bit 1 whether the column may be NULL, bit 2 whether it is.
    pub flags: u8,
    pub remain_len: u16,
    /// Of each member the type's position in [`MEMBERS`], and the lengths of its path and value.
    pub members: Vec<(u8, u8, u8)>,
}

impl FlatJsonHead {
    fn take(data: &mut &[u8]) -> Self {
        let [flags, count] = head(data);
        let remain_len = u16::from_le_bytes(head(data));
        let member = |_| {
            let [ty, path, value] = head(data);
            (ty, path, value)
        };
        FlatJsonHead { flags, remain_len, members: (0..count % 8).map(member).collect() }
    }

    /// The input that means this, what remained, and the members' paths and values.
    #[allow(dead_code, reason = "the fuzz targets make no seeds")]
    pub fn seed(&self, remain: &[u8], members: &[u8]) -> Vec<u8> {
        let mut out = vec![self.flags, self.members.len() as u8];
        out.extend(self.remain_len.to_le_bytes());
        self.members.iter().for_each(|(ty, path, value)| out.extend([*ty, *path, *value]));
        [&out, remain, members].concat()
    }
}

/// One row of flat JSON: [`FlatJsonHead`], what remained, then path and value of each member.
pub fn flat_json(mut data: &[u8]) {
    let flat = FlatJsonHead::take(&mut data);
    let mut next = |len: usize| {
        let (part, rest) = data.split_at(len.min(data.len()));
        data = rest;
        part
    };
    let mut file = Vec::new();
    let mut children = Vec::new();
    let remain = next(usize::from(flat.remain_len));
    if flat.flags & 2 != 0 {
        children.push(child(&mut file, 1, b"nulls", &[u8::from(flat.flags & 4 != 0)]));
    }
    for (ty, path, value) in &flat.members {
        let (stored, len) = MEMBERS[usize::from(*ty) % MEMBERS.len()];
        let (path, mut value) = (next(usize::from(*path)), next(usize::from(*value)).to_vec());
        if len > 0 {
            value.resize(len, 0);
        }
        children.push(child(&mut file, stored, path, &value));
    }
    if flat.flags & 1 != 0 {
        children.push(child(&mut file, 54, b"remain", remain));
    }
    let json_meta = JsonMetaPb { format_version: Some(1), is_flat: Some(true), has_remain: Some(flat.flags & 1 != 0) };
    let column = ColumnMetaPb {
        unique_id: Some(0),
        r#type: Some(54),
        is_nullable: Some(flat.flags & 2 != 0),
        children_columns: children,
        json_meta: Some(json_meta),
        ..ColumnMetaPb::default()
    };
    let footer = SegmentFooterPb { columns: vec![column], num_rows: Some(1), ..SegmentFooterPb::default() };
    end_segment(&mut file, &footer.encode_to_vec());
    let pb = tablet_of(ColumnPb {
        name: Some("c".into()),
        r#type: "JSON".into(),
        is_nullable: Some(true),
        ..ColumnPb::default()
    });
    let meta = TabletMeta::from_header(&framed(&pb.encode_to_vec())).expect("a good header");
    if let Ok(rows) = read(&one_file(meta, file)) {
        assert_eq!(rows, 1);
    }
}

/// A column of one PLAIN value.
fn child(file: &mut Vec<u8>, stored: i32, name: &[u8], value: &[u8]) -> ColumnMetaPb {
    let body = match stored {
        54 | 17 => [value, &0u32.to_le_bytes(), &1u32.to_le_bytes()].concat(),
        _ => [&1u32.to_le_bytes()[..], value].concat(),
    };
    let data_footer = DataPageFooterPb {
        first_ordinal: Some(0),
        num_values: Some(1),
        format_version: Some(2),
        ..DataPageFooterPb::default()
    };
    let footer = PageFooterPb {
        r#type: Some(1),
        uncompressed_size: Some(body.len() as u32),
        data_page_footer: Some(data_footer),
        ..PageFooterPb::default()
    };
    let root_page =
        Some(BTreeMetaPb { root_page: Some(add_page(file, &body, &footer)), is_root_data_page: Some(true) });
    ColumnMetaPb {
        r#type: Some(stored),
        encoding: Some(2),
        compression: Some(2),
        is_nullable: Some(false),
        indexes: vec![ColumnIndexMetaPb {
            r#type: Some(1),
            ordinal_index: Some(OrdinalIndexPb { root_page }),
            ..ColumnIndexMetaPb::default()
        }],
        name: Some(name.to_vec()),
        ..ColumnMetaPb::default()
    }
}
