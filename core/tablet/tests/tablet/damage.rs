//! Damaged segments as `verify` looks at them, and what contradicts itself although every checksum is right. What reading does with
//! changed bytes: `tests/every_byte`.

use std::fs;
use std::sync::Arc;

use arrow_array::RecordBatch;
use prost::Message;
use starsnap_tablet::proto::tablet::{ColumnPb, RowsetMetaPb, TabletMetaPb, TabletSchemaPb};
use starsnap_tablet::{ErrorKind, ReadAt, ReadOptions, Result, Segment, Tablet, TabletError, TabletMeta};

use super::common;

/// Pages tile the file in front of the footer, so that verifying them notices every changed byte.
#[test]
fn verified_pages_are_the_whole_file() {
    for case in common::cases() {
        let meta = case.meta();
        for (rowset, segment) in meta.rowsets.iter().flat_map(|r| (0..r.segments.len()).map(move |s| (r, s))) {
            let bytes = fs::read(case.tablet().join(rowset.id.segment_file(segment))).unwrap();
            let opened = Segment::open(Arc::new(bytes.clone())).unwrap();
            let footer = u32::from_le_bytes(bytes[bytes.len() - 12..][..4].try_into().unwrap());
            let count = opened.verify_pages().unwrap();
            assert_eq!(count.bytes + u64::from(footer) + 12, bytes.len() as u64, "{case}: {count:?}");
            if case.is_tiny() {
                for at in (0..bytes.len()).step_by(3) {
                    let mut changed = bytes.clone();
                    changed[at] ^= 0x10;
                    let verified = Segment::open(Arc::new(changed)).and_then(|s| s.verify_pages());
                    assert!(verified.is_err(), "{case}: byte {at}");
                }
            }
        }
    }
}

fn count(batches: &mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<usize> {
    batches.map(|batch| batch.map(|batch| batch.num_rows())).sum()
}

/// How many stored rows and rows of a SELECT there are.
fn rows(tablet: &Tablet) -> [Result<usize>; 2] {
    let options = ReadOptions::default();
    [
        tablet.physical_rows(Some(&[]), &options).and_then(|mut rows| count(&mut rows)),
        tablet.rows(Some(&[]), &options).and_then(|mut rows| count(&mut rows)),
    ]
}

fn is_damaged<T: std::fmt::Debug>(read: Result<T>, says: &str) {
    let error: TabletError = read.unwrap_err();
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(says), "{error}");
}

/// As a `meta` would that has lost a bit: nothing else tells that a segment is missing.
#[test]
fn a_rowset_that_has_lost_segments_or_rows_is_noticed() {
    let mut tried = 0;
    for case in common::cases().into_iter().filter(|case| case.is_small()) {
        for read in rows(&case.open()) {
            read.unwrap();
        }
        let meta = case.meta();
        for at in (0..meta.rowsets.len()).filter(|at| meta.rowsets[*at].num_rows > 0) {
            let mut changed = meta.clone();
            changed.rowsets[at].segments.pop();
            let mut more = meta.clone();
            more.rowsets[at].num_rows += 1;
            for tablet in [case.open_with(changed), case.open_with(more)] {
                for read in rows(&tablet) {
                    is_damaged(read, "where the rowset has");
                }
            }
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

/// A footer that says less rows than the pages have would hide some.
#[test]
fn a_column_longer_than_its_segment_is_noticed() {
    let mut tried = 0;
    for case in common::cases().into_iter().filter(|case| case.is_small()) {
        let mut meta = case.meta();
        let (rowset, name) =
            meta.rowsets.iter().find(|r| r.num_rows > 2).map(|r| (r.id.clone(), r.id.segment_file(0))).unwrap();
        let bytes = fs::read(case.tablet().join(&name)).unwrap();
        let mut footer = Segment::open(Arc::new(bytes.clone())).unwrap().footer().clone();
        footer.num_rows = footer.num_rows.map(|rows| rows - 1);
        let stored = u32::from_le_bytes(bytes[bytes.len() - 12..][..4].try_into().unwrap()) as usize;
        let mut file = bytes[..bytes.len() - 12 - stored].to_vec();
        let message = footer.encode_to_vec();
        file.extend_from_slice(&message);
        file.extend((message.len() as u32).to_le_bytes());
        file.extend(crc32c::crc32c(&message).to_le_bytes());
        file.extend_from_slice(b"D0R1");
        // Only of this rowset, which no longer says how many rows it has.
        meta.rowsets.retain(|r| r.id == rowset);
        meta.rowsets[0].num_rows = 0;
        meta.rowsets[0].segments.truncate(1);
        meta.rowsets[0].segments[0].delta_columns.clear();
        let tablet = Tablet::new(meta, move |_: &str| Ok(Arc::new(file.clone()) as Arc<dyn ReadAt>));
        let all = tablet.physical_rows(None, &super::render::options()).unwrap().collect::<Result<Vec<_>>>();
        is_damaged(all, "where the index has");
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn replaced_columns_without_the_file_that_says_so_are_noticed() {
    let mut tried = 0;
    for case in common::cases() {
        let names: Vec<String> =
            fs::read_dir(case.tablet()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let lost: Vec<&String> = names.iter().filter(|name| !name.ends_with(".dcgs_snapshot")).collect();
        if lost.len() == names.len() || !names.iter().any(|name| name.ends_with(".cols")) {
            continue;
        }
        let of = |names: &[&String]| {
            let read = |name: &str| Ok(fs::read(case.tablet().join(name)).unwrap());
            TabletMeta::of_files(names, read, |error| error)
        };
        of(&names.iter().collect::<Vec<_>>()).unwrap();
        is_damaged(of(&lost), ".dcgs_snapshot");
        tried += 1;
    }
    assert!(tried > 0);
}

/// A few bytes of a header for each rowset, however many files it claims to have.
#[test]
fn rowsets_that_claim_many_files_are_refused() {
    let rowset = |version: i64| RowsetMetaPb {
        rowset_type: Some(1),
        start_version: Some(version),
        end_version: Some(version),
        num_segments: Some(90_000),
        rowset_id: Some("1".into()),
        ..RowsetMetaPb::default()
    };
    let header = |rowsets: i64| {
        let column = ColumnPb { name: Some("c".into()), r#type: "INT".into(), ..ColumnPb::default() };
        let schema = TabletSchemaPb { keys_type: Some(0), column: vec![column], ..TabletSchemaPb::default() };
        let pb = TabletMetaPb {
            tablet_id: Some(1),
            schema: Some(schema),
            rs_metas: (0..rowsets).map(rowset).collect(),
            ..TabletMetaPb::default()
        };
        let message = pb.encode_to_vec();
        let mut file = vec![0; 40];
        file[24..32].copy_from_slice(&(message.len() as u64).to_le_bytes());
        file[32..36].copy_from_slice(&adler2::adler32_slice(&message).to_le_bytes());
        file.extend(message);
        TabletMeta::from_header(&file)
    };
    assert_eq!(header(3).unwrap().rowsets.len(), 3);
    is_damaged(header(100_000), "files of 100000 rowsets");
}
