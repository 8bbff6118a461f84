//! Values that are easily lost or misread, in tablets written by hand.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use starsnap_tablet::predicate::Op;
use starsnap_tablet::proto::segment::*;
use starsnap_tablet::proto::tablet::*;
use starsnap_tablet::render::{CsvOptions, TextFormat};
use starsnap_tablet::{ErrorKind, Filter, ReadOptions, Result, Tablet, TextAs};

use super::build::*;

/// A tablet of one segment, which holds one column.
fn of_column(column: ColumnPb, segment: &mut Segment, meta: ColumnMetaPb, rows: u32) -> Tablet {
    segment.add(column.unique_id, meta);
    tablet(&header(0, vec![column], vec![rowset(2, 1)]), vec![(segment_name(2, 0), segment.finish(rows))])
}

fn csv(tablet: &Tablet) -> Vec<u8> {
    let format = TextFormat::Csv(CsvOptions::default());
    let rows = tablet.rows(None, &format.read_options()).unwrap();
    rows.flat_map(|batch| format.lines(&batch.unwrap()).unwrap()).collect()
}

/// The null flags of a STRUCT have its own id, its fields none where they were written before fields had ids.
#[test]
fn fields_without_ids_are_told_by_their_places() {
    for (ids, nullable) in [([-1, -1], true), ([-1, -1], false), ([10, 11], true), ([11, 10], true)] {
        let mut segment = Segment::default();
        let with_id = |id: i32, meta| ColumnMetaPb { unique_id: Some(id as u32), ..meta };
        let first = with_id(ids[0], segment.plain(5, &[1i32.to_le_bytes(), 2i32.to_le_bytes()]));
        let second = with_id(ids[1], segment.plain(5, &[3i32.to_le_bytes(), 4i32.to_le_bytes()]));
        let flags = with_id(16, segment.plain(1, &[[0u8], [1]]));
        let children = if nullable { vec![first, second, flags] } else { vec![first, second] };
        let fields = vec![column(10, "a", "INT"), column(11, "b", "INT")];
        let tablet = of_column(parent(16, "s", "STRUCT", fields), &mut segment, nested(18, children, nullable), 2);
        let one = if ids[0] == 11 { r#"{"s":{"a":3,"b":1}}"# } else { r#"{"s":{"a":1,"b":3}}"# };
        let two = if nullable { r#"{"s":null}"# } else { r#"{"s":{"a":2,"b":4}}"# };
        assert_eq!(json_lines(&tablet).unwrap(), [one, two], "{ids:?} {nullable}");
    }
}

/// A JSON column of one path, flattened.
fn flat(segment: &mut Segment, name: &str, path: ColumnMetaPb, rows: u32) -> Tablet {
    let path = ColumnMetaPb { name: Some(name.into()), ..path };
    let json_meta = JsonMetaPb { format_version: Some(1), is_flat: Some(true), has_remain: Some(false) };
    let root = ColumnMetaPb { json_meta: Some(json_meta), ..nested(54, vec![path], false) };
    of_column(column(0, "j", "JSON"), segment, root, rows)
}

#[test]
fn flattened_numbers_are_never_left_out() {
    let of = |values: &[i128]| {
        let mut segment = Segment::default();
        let stored: Vec<_> = values.iter().map(|value| value.to_le_bytes()).collect();
        let path = segment.plain(9, &stored);
        json_lines(&flat(&mut segment, "n", path, values.len() as u32))
    };
    let values = [i128::from(u64::MAX), 0, -5, i128::from(i64::MIN)];
    let wanted = values.map(|value| format!("{{\"j\":{{\"n\": {value}}}}}"));
    assert_eq!(of(&values).unwrap(), wanted);
    for wide in [i128::from(u64::MAX) + 1, i128::from(i64::MIN) - 1, i128::MIN] {
        let error = of(&[1, wide]).unwrap_err();
        assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(&wide.to_string()), "{error}");
    }
}

/// StarRocks does not look at what strings in JSON are made of.
#[test]
fn json_need_not_be_utf8() {
    let whole = {
        let mut segment = Segment::default();
        let meta = segment.strings(54, &[Some(b"\x43a\xffb"), Some(b"\x31"), None]);
        of_column(column(0, "j", "JSON"), &mut segment, meta, 3)
    };
    let flattened = {
        let mut segment = Segment::default();
        let path = segment.strings(17, &[Some(b"a\xffb"), Some(b"c"), None]);
        flat(&mut segment, "p", path, 3)
    };
    let read = |tablet: &Tablet, text: TextAs| -> Result<RecordBatch> {
        let mut rows = tablet.rows(None, &ReadOptions { text, ..ReadOptions::default() })?;
        rows.next().unwrap()
    };
    for (tablet, first, second) in
        [(&whole, &b"\"a\xffb\""[..], "1"), (&flattened, &b"{\"p\": \"a\xffb\"}"[..], "{\"p\": \"c\"}")]
    {
        let error = read(tablet, TextAs::Utf8).unwrap_err();
        assert!(error.kind() == ErrorKind::Unrepresentable && error.to_string().contains("UTF-8"), "{error}");
        let lossy = read(tablet, TextAs::Utf8Lossy).unwrap();
        let lossy = lossy.column(0).as_string::<i32>();
        assert_eq!((lossy.value(0), lossy.value(1)), (&*String::from_utf8_lossy(first), second));
        let binary = read(tablet, TextAs::Binary).unwrap();
        let binary = binary.column(0).as_binary::<i32>();
        assert_eq!((binary.value(0), binary.value(1)), (first, second.as_bytes()));
        let lines = json_lines(tablet).unwrap();
        let hex: String = first.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(lines[..2], [format!("{{\"j\":{{\"hex\":\"{hex}\"}}}}"), format!("{{\"j\":{second}}}")]);
        let quoted: Vec<u8> = first.iter().flat_map(|&b| if b == b'"' { vec![b'"', b'"'] } else { vec![b] }).collect();
        assert!(csv(tablet).starts_with(&[b"\"", &quoted[..], b"\""].concat()), "{:?}", csv(tablet));
    }
}

/// Days that no calendar has, and that are too far away to be counted in microseconds.
#[test]
fn dates_too_far_away_are_no_times() {
    let mut segment = Segment::default();
    let days = segment.plain(50, &[2_440_588i32, i32::MAX, i32::MIN].map(i32::to_le_bytes));
    let tablet = of_column(column(0, "t", "DATETIME"), &mut segment, days, 3);
    let lines = json_lines(&tablet).unwrap();
    assert_eq!(lines, [r#"{"t":"1970-01-01 00:00:00"}"#, r#"{"t":null}"#, r#"{"t":null}"#]);
}

/// A column that became VARCHAR has the text that it had before.
#[test]
fn numbers_become_the_text_that_they_are_shown_as() {
    let decimals = [1_500_000_000i128, -7_000_000_000, 1, 0].map(i128::to_le_bytes);
    let doubles = [0.1f64, 1e300, 1e16, 1e-5, f64::NAN, f64::NEG_INFINITY, -0.0, 12345.0].map(f64::to_le_bytes);
    let floats = [0.1f32, 1e30, 1e-7, f32::INFINITY, 16_777_216.0].map(f32::to_le_bytes);
    type Stored<'a> = &'a dyn Fn(&mut Segment) -> ColumnMetaPb;
    let columns: [(&str, Stored<'_>, u32); 3] = [
        ("DECIMAL", &|segment| segment.plain(52, &decimals), 4),
        ("DOUBLE", &|segment| segment.plain(11, &doubles), 8),
        ("FLOAT", &|segment| segment.plain(10, &floats), 5),
    ];
    for (ty, stored, rows) in columns {
        let of = |ty: &str| {
            let mut segment = Segment::default();
            let meta = stored(&mut segment);
            let declared = ColumnPb { precision: Some(27), frac: Some(9), length: Some(100), ..column(0, "v", ty) };
            String::from_utf8(csv(&of_column(declared, &mut segment, meta, rows))).unwrap()
        };
        let text = of("VARCHAR").replace('"', "");
        assert_eq!(text, of(ty), "{ty}");
        assert!(ty != "DECIMAL" || text == "1.5\n-7\n0.000000001\n0\n", "{text}");
    }
}

/// Newer versions store the beginning of a long greatest value and 0xFF, which is not the greatest byte string that begins so.
#[test]
fn shortened_bounds_exclude_nothing_that_is_there() {
    for (max, value) in
        [(&b"b\xff"[..], &b"b\xff\xff\x01"[..]), (b"\xff\xff", b"\xff\xff\xff"), (b"b\xff\xff", b"b\xff\xff\xff\xff")]
    {
        let mut segment = Segment::default();
        let mut meta = segment.strings(17, &[Some(b"a"), Some(value)]);
        let zone = ZoneMapPb {
            min: Some(b"a".to_vec()),
            max: Some(max.to_vec()),
            has_null: Some(false),
            has_not_null: Some(true),
        };
        let zones = ZoneMapIndexPb { segment_zone_map: Some(zone), page_zone_maps: None };
        meta.indexes.push(ColumnIndexMetaPb { r#type: Some(2), zone_map_index: Some(zones), ..Default::default() });
        let tablet = of_column(column(0, "v", "VARCHAR"), &mut segment, meta, 2);
        let count = |op: Op, value: &[u8]| -> usize {
            let filter = Filter::Compare { column: "v".into(), op, value: value.to_vec() };
            let options = ReadOptions { text: TextAs::Binary, ..ReadOptions::default() };
            let rows = tablet.rows_where(None, Some(&filter), &options).unwrap();
            rows.map(|batch| batch.unwrap().num_rows()).sum()
        };
        assert_eq!(count(Op::Eq, value), 1, "{max:?}");
        assert_eq!(count(Op::Gt, max), 1, "{max:?}");
        assert_eq!(count(Op::Eq, b"a"), 1, "{max:?}");
    }
}
