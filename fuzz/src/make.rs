//! Tablets and segments around bytes that are tried, and reading them.

use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use prost::Message;
use starsnap_tablet::predicate::Op;
use starsnap_tablet::proto::segment::*;
use starsnap_tablet::proto::tablet::{ColumnPb, RowsetMetaPb, TabletMetaPb, TabletSchemaPb};
use starsnap_tablet::{Filter, LargeIntAs, ReadAt, ReadOptions, Result, Tablet, TabletMeta, TextAs};

/// Rows that are read of anything: runs and NULLs make billions of rows of a few bytes.
pub const MAX_ROWS: usize = 1 << 16;

/// Takes `n` bytes from the front, or zeros where there are not so many.
pub fn head<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let n = N.min(data.len());
    out[..n].copy_from_slice(&data[..n]);
    *data = &data[n..];
    out
}

/// A tablet whose files are all the same.
pub fn one_file(meta: TabletMeta, file: Vec<u8>) -> Tablet {
    let file: Arc<dyn ReadAt> = Arc::new(file);
    Tablet::new(meta, move |_: &str| -> io::Result<Arc<dyn ReadAt>> { Ok(file.clone()) })
}

/// Small batches of types that hold any value.
pub fn options() -> ReadOptions {
    ReadOptions {
        batch_rows: 256,
        text: TextAs::Utf8Lossy,
        large_int: LargeIntAs::Decimal256,
        ..ReadOptions::default()
    }
}

fn count(batches: &mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<usize> {
    let mut rows = 0;
    for batch in batches {
        rows += batch?.num_rows();
        if rows > MAX_ROWS {
            break;
        }
    }
    Ok(rows)
}

/// Reads stored and logical rows; how many are stored, if none fails.
pub fn read(tablet: &Tablet) -> Result<usize> {
    let options = options();
    let physical = tablet.physical_rows(None, &options).and_then(|mut rows| count(&mut rows));
    let logical = tablet.rows(None, &options).and_then(|mut rows| count(&mut rows));
    if let (Ok(physical), Ok(logical)) = (&physical, &logical) {
        assert!(logical <= physical || *physical > MAX_ROWS, "{logical} rows of {physical} stored ones");
    }
    physical
}

/// Reads rows with conditions on the first column, for which indexes are asked.
pub fn read_filtered(tablet: &Tablet) {
    let Some(column) = tablet.meta().schema.columns.first().map(|column| column.name.clone()) else { return };
    let compare = |op, value: &[u8]| Filter::Compare { column: column.clone(), op, value: value.to_vec() };
    let null = Filter::IsNull { column: column.clone(), negated: false };
    for filter in [compare(Op::Ge, b"1"), compare(Op::Eq, b"2000-01-01"), null] {
        let _ = tablet.rows_where(None, Some(&filter), &options()).and_then(|mut rows| count(&mut rows));
    }
}

/// A DUPLICATE KEY tablet of one rowset.
pub fn tablet_of(column: ColumnPb) -> TabletMetaPb {
    TabletMetaPb {
        tablet_id: Some(1),
        schema: Some(TabletSchemaPb { keys_type: Some(0), column: vec![column], ..TabletSchemaPb::default() }),
        rs_metas: vec![rowset()],
        ..TabletMetaPb::default()
    }
}

/// A rowset called `0` of one segment.
pub fn rowset() -> RowsetMetaPb {
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
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 40];
    file[8] = 1;
    file[12..20].copy_from_slice(&(40 + message.len() as u64).to_le_bytes());
    file[24..32].copy_from_slice(&(message.len() as u64).to_le_bytes());
    file[32..36].copy_from_slice(&adler2::adler32_slice(message).to_le_bytes());
    file.extend_from_slice(message);
    file
}

/// Appends a page with its footer and checksum.
pub fn add_page(file: &mut Vec<u8>, body: &[u8], footer: &PageFooterPb) -> PagePointerPb {
    let offset = file.len();
    file.extend_from_slice(body);
    let footer = footer.encode_to_vec();
    file.extend_from_slice(&footer);
    file.extend((footer.len() as u32).to_le_bytes());
    file.extend(crc32c::crc32c(&file[offset..]).to_le_bytes());
    PagePointerPb { offset: offset as u64, size: (file.len() - offset) as u32 }
}

/// Appends a footer, its checksum and the magic.
pub fn end_segment(file: &mut Vec<u8>, footer: &[u8]) {
    file.extend_from_slice(footer);
    file.extend((footer.len() as u32).to_le_bytes());
    file.extend(crc32c::crc32c(footer).to_le_bytes());
    file.extend_from_slice(b"D0R1");
}

/// Makes the checksums of a segment file's footer and of the pages that it names right.
pub fn repair(file: &mut [u8]) {
    let Some(trailer) = file.len().checked_sub(12) else { return };
    let word =
        |at: usize, file: &[u8]| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize;
    let Some(start) = trailer.checked_sub(word(trailer, file)) else { return };
    file[trailer + 8..].copy_from_slice(b"D0R1");
    let crc = crc32c::crc32c(&file[start..trailer]);
    file[trailer + 4..trailer + 8].copy_from_slice(&crc.to_le_bytes());
    let Ok(footer) = SegmentFooterPb::decode(&file[start..trailer]) else { return };
    footer.short_key_index_page.iter().for_each(|page| repair_page(file, *page));
    let mut columns: Vec<&ColumnMetaPb> = footer.columns.iter().collect();
    while let Some(column) = columns.pop() {
        columns.extend(&column.children_columns);
        column.dict_page.iter().for_each(|page| repair_page(file, *page));
        for index in &column.indexes {
            let zones = index.zone_map_index.as_ref().and_then(|zones| zones.page_zone_maps);
            let blooms = index.bloom_filter_index.and_then(|blooms| blooms.bloom_filter);
            let indexed = zones.into_iter().chain(blooms).filter_map(|indexed| indexed.ordinal_index_meta);
            for tree in index.ordinal_index.and_then(|ordinals| ordinals.root_page).into_iter().chain(indexed) {
                let Some(root) = tree.root_page else { continue };
                repair_page(file, root);
                if tree.is_root_data_page != Some(true) {
                    leaves(file, root).into_iter().for_each(|page| repair_page(file, page));
                }
            }
        }
    }
}

fn stored(file: &[u8], page: PagePointerPb) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(page.offset).ok()?;
    Some(start..start.checked_add(page.size as usize)?).filter(|range| range.end <= file.len())
}

fn repair_page(file: &mut [u8], page: PagePointerPb) {
    let Some(bytes) = stored(file, page).and_then(|range| file.get_mut(range)) else { return };
    if let Some((covered, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32c::crc32c(covered).to_le_bytes();
    }
}

/// The pages that an ordinal index leads to, as far as it makes sense.
fn leaves(file: &[u8], root: PagePointerPb) -> Vec<PagePointerPb> {
    let mut pages = Vec::new();
    let mut rest = stored(file, root).map_or(&[][..], |range| &file[range]);
    while let Some((&[8, ..], after)) = rest.split_first_chunk::<9>() {
        rest = after;
        let (Ok(offset), Ok(size)) =
            (prost::encoding::decode_varint(&mut rest), prost::encoding::decode_varint(&mut rest))
        else {
            break;
        };
        pages.push(PagePointerPb { offset, size: size as u32 });
    }
    pages
}
