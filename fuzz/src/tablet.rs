//! What is tried with bytes that claim to be parts of a tablet. Every function takes any bytes at all, must return, and must not
//! need more memory than a few hundred megabytes; where a result can be checked for sense, it is.
//!
//! Checksums would stop nearly all input at the door, so they are made right here, as an attacker would. Included by the fuzz
//! targets and, with the kept corpus, by `cargo test` of the tablet crate.

#[path = "indexes.rs"]
mod indexes;
#[path = "make.rs"]
mod make;
#[path = "segment.rs"]
mod segment;

use prost::Message;
use starsnap_tablet::delvec::DeleteVector;
use starsnap_tablet::encoding::{self, binary::BinaryPlain, bitshuffle as shuffled, rle::RleBits};
use starsnap_tablet::predicate::conditions;
use starsnap_tablet::proto::segment::SegmentFooterPb;
use starsnap_tablet::proto::tablet::{ColumnPb, DeletePredicatePb, RowsetMetaPb, TabletMetaPb};
use starsnap_tablet::types::{bitmap as bitmaps, hll as hlls, percentile as percentiles};
use starsnap_tablet::{TabletMeta, expected_files};

pub use indexes::{IndexHead, indexes};
use make::*;
pub use segment::{FlatJsonHead, PageHead, flat_json, footer, page};

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
    while all.len() < (count as usize).min(make::MAX_ROWS) {
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
    let tablet = one_file(meta, file);
    let _ = read(&tablet);
    read_filtered(&tablet);
}

/// A DeletePredicatePB that speaks of columns `c0`, `c1`, … of every type that conditions may be on. The segment has none of them, so
/// that its rows hold their defaults.
pub fn delete_predicate(data: &[u8]) {
    const TYPES: [&str; 13] = [
        "BOOLEAN",
        "TINYINT",
        "INT",
        "BIGINT",
        "LARGEINT",
        "DOUBLE",
        "DATE_V2",
        "TIMESTAMP",
        "DECIMAL_V2",
        "DECIMAL32",
        "DECIMAL128",
        "CHAR",
        "VARCHAR",
    ];
    let Ok(predicate) = DeletePredicatePb::decode(data) else { return };
    let _ = conditions(&predicate);
    let column = |(at, name): (usize, &&str)| ColumnPb {
        unique_id: at as i32,
        name: Some(format!("c{at}")),
        r#type: (*name).into(),
        is_nullable: Some(true),
        precision: Some(9),
        frac: Some(3),
        length: Some(16),
        default_value: (*name == "VARCHAR" || *name == "INT").then(|| b"17".to_vec()),
        ..ColumnPb::default()
    };
    let mut pb = tablet_of(ColumnPb::default());
    pb.schema.as_mut().expect("it has one").column = TYPES.iter().enumerate().map(column).collect();
    pb.rs_metas.push(RowsetMetaPb {
        start_version: Some(3),
        end_version: Some(3),
        num_segments: None,
        rowset_id: Some("1".into()),
        delete_predicate: Some(predicate),
        ..rowset()
    });
    let mut file = Vec::new();
    end_segment(&mut file, &SegmentFooterPb { num_rows: Some(3), ..SegmentFooterPb::default() }.encode_to_vec());
    let meta = TabletMeta::from_header(&framed(&pb.encode_to_vec())).expect("a good header");
    let _ = read(&one_file(meta, file));
}
