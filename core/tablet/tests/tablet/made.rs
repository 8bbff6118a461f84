//! Tablets that no genuine case has the like of, written by hand.

use arrow_array::cast::AsArray as _;
use starsnap_tablet::proto::tablet::*;
use starsnap_tablet::render::TextFormat;
use starsnap_tablet::{AddedColumn, ErrorKind, ReadOptions, Tablet, TabletError, TabletMeta, UniqueIds};

use super::build::*;

const DUPLICATE: i32 = 0;

/// A DUPLICATE KEY tablet of one segment.
fn one_segment(columns: Vec<ColumnPb>, segment: &Segment, rows: u32) -> Tablet {
    let header = header(DUPLICATE, columns, vec![rowset(2, 1)]);
    tablet(&header, vec![(segment_name(2, 0), segment.finish(rows))])
}

fn ints(segment: &mut Segment, values: &[i32]) -> starsnap_tablet::proto::segment::ColumnMetaPb {
    let values: Vec<_> = values.iter().map(|value| value.to_le_bytes()).collect();
    segment.plain(5, &values)
}

/// StarRocks' keys may be NULL, Arrow's may not.
#[test]
fn maps_have_null_keys() {
    let mut segment = Segment::default();
    let nulls = vec![false, true, false];
    let keys = Page { values: fixed(&[1i32, 0, 3].map(i32::to_le_bytes)), nulls, map: NullMap::Lz4 };
    let keys = segment.column(5, PLAIN, &[keys], None);
    let values = segment.strings(17, &[Some(b"a"), Some(b"b"), None]);
    let flags = segment.plain(1, &[[0u8], [1], [0], [0]]);
    let sizes = ints(&mut segment, &[2, 0, 0, 1]);
    segment.add(0, nested(20, vec![keys, values, flags, sizes], true));
    let map = vec![column(-1, "key", "INT"), column(-1, "value", "VARCHAR")];
    let tablet = one_segment(vec![parent(0, "m", "MAP", map)], &segment, 4);
    let lines = json_lines(&tablet).unwrap();
    assert_eq!(lines, [r#"{"m":[[1,"a"],[null,"b"]]}"#, r#"{"m":null}"#, r#"{"m":[]}"#, r#"{"m":[[3,null]]}"#]);

    let error = tablet.rows(None, &ReadOptions::default()).unwrap().find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::Unrepresentable);
    assert!(error.to_string().contains("NULL key"), "{error}");
}

/// A table that is stored both ways has its rows a second time, in a column that nobody asked for.
#[test]
fn the_copy_of_the_rows_is_not_shown() {
    let mut segment = Segment::default();
    let meta = ints(&mut segment, &[1, 2]);
    segment.add(0, meta);
    let copies = segment.strings(17, &[Some(b"\x01\0"), Some(b"\x02\0")]);
    segment.add(1, copies);
    let columns = vec![column(0, "k", "INT"), column(1, "__row", "VARCHAR")];
    assert_eq!(json_lines(&one_segment(columns, &segment, 2)).unwrap(), [r#"{"k":1}"#, r#"{"k":2}"#]);
}

/// Since 3.3 fields have ids: one that was dropped and added again is another.
#[test]
fn fields_are_told_by_their_ids() {
    let mut segment = Segment::default();
    let mut child = |id: i32, values: &[i32]| {
        let meta = ints(&mut segment, values);
        starsnap_tablet::proto::segment::ColumnMetaPb { unique_id: Some(id as u32), ..meta }
    };
    let children = vec![child(10, &[1, 2]), child(11, &[3, 4]), child(12, &[5, 6])];
    segment.add(0, nested(18, children, false));
    let stored = || vec![column(10, "a", "INT"), column(11, "b", "INT"), column(12, "c", "INT")];
    let newest = || vec![column(12, "c", "BIGINT"), column(20, "b", "INT"), column(10, "a", "INT")];
    let files = || vec![(segment_name(2, 0), segment.finish(2))];
    let wanted = [r#"{"s":{"c":5,"b":null,"a":1}}"#, r#"{"s":{"c":6,"b":null,"a":2}}"#];
    // Whether the rowset says what it was written with or not.
    for own in [true, false] {
        let schema = TabletSchemaPb { column: vec![parent(0, "s", "STRUCT", stored())], ..Default::default() };
        let rowset = RowsetMetaPb { tablet_schema: own.then_some(schema), ..rowset(2, 1) };
        let header = header(DUPLICATE, vec![parent(0, "s", "STRUCT", newest())], vec![rowset]);
        assert_eq!(json_lines(&tablet(&header, files())).unwrap(), wanted, "{own}");
    }
    // Same names and types, but another field.
    let header = header(
        DUPLICATE,
        vec![parent(0, "s", "STRUCT", {
            let mut fields = stored();
            fields[1].unique_id = 20;
            fields
        })],
        vec![RowsetMetaPb {
            tablet_schema: Some(TabletSchemaPb {
                column: vec![parent(0, "s", "STRUCT", stored())],
                ..Default::default()
            }),
            ..rowset(2, 1)
        }],
    );
    let lines = json_lines(&tablet(&header, files())).unwrap();
    assert_eq!(lines, [r#"{"s":{"a":1,"b":null,"c":5}}"#, r#"{"s":{"a":2,"b":null,"c":6}}"#]);
}

fn read_bytes(bytes: &[u8]) -> Result<Vec<u8>, TabletError> {
    Ok(bytes.to_vec())
}

#[test]
fn two_headers_are_an_error() {
    let bytes = header(DUPLICATE, vec![column(0, "k", "INT")], Vec::new());
    let of = |names: &[&str]| TabletMeta::of_files(names, |_| read_bytes(&bytes), |error| error);
    assert!(of(&["7.hdr", "a_0.dat"]).is_ok());
    for names in [&["7.hdr", "meta"][..], &["meta", "7.hdr"], &["7.hdr", "8.hdr"]] {
        let error = of(names).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("two headers"), "{error}");
    }
}

fn delete(version: i64, conditions: &[&str]) -> RowsetMetaPb {
    let predicate = DeletePredicatePb {
        version: version as i32,
        sub_predicates: conditions.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ..Default::default()
    };
    RowsetMetaPb { delete_predicate: Some(predicate), ..rowset(version, 0) }
}

/// What is no number differs from every number.
#[test]
fn deletes_compare_what_is_no_number() {
    let doubles = [1.0, f64::NAN, 2.0];
    let mut segment = Segment::default();
    let ids = ints(&mut segment, &[1, 2, 3]);
    segment.add(0, ids);
    let values = segment.plain(11, &doubles.map(f64::to_le_bytes));
    segment.add(1, values);
    let files = || vec![(segment_name(2, 0), segment.finish(3))];
    for (condition, left) in [("v!=1", "1"), ("v=1", "2,3"), ("v>>0", "2"), ("v<=2", "2"), ("v IS NULL", "1,2,3")] {
        let columns = vec![column(0, "k", "INT"), column(1, "v", "DOUBLE")];
        let tablet = tablet(&header(DUPLICATE, columns, vec![rowset(2, 1), delete(3, &[condition])]), files());
        let mut keys = Vec::new();
        for batch in tablet.rows(Some(&["k"]), &ReadOptions::default()).unwrap() {
            let batch = batch.unwrap();
            let ints = batch.column(0).as_primitive::<arrow_array::types::Int32Type>();
            keys.extend((0..ints.len()).map(|row| ints.value(row).to_string()));
        }
        assert_eq!(keys.join(","), left, "{condition}");
    }
}

/// A delete still means the column that it was written for, though the table no longer has it, or has another of its name.
#[test]
fn deletes_outlive_their_columns() {
    let mut old = Segment::default();
    let (keys, gone) = (ints(&mut old, &[1, 2, 3]), ints(&mut old, &[10, 20, 20]));
    old.add(0, keys).add(1, gone);
    let mut new = Segment::default();
    let (keys, other) = (ints(&mut new, &[4]), new.strings(17, &[Some(b"20")]));
    new.add(0, keys).add(5, other);
    let before = TabletSchemaPb {
        column: vec![column(0, "k", "INT"), ColumnPb { is_nullable: Some(false), ..column(1, "d", "INT") }],
        ..Default::default()
    };
    for name in ["d", "other"] {
        let columns = vec![column(0, "k", "INT"), column(5, name, "VARCHAR")];
        let old_schema = |rowset| RowsetMetaPb { tablet_schema: Some(before.clone()), ..rowset };
        let rowsets = vec![old_schema(rowset(2, 1)), old_schema(delete(3, &["d=20"])), rowset(4, 1)];
        let files = vec![(segment_name(2, 0), old.finish(3)), (segment_name(4, 0), new.finish(1))];
        let lines = json_lines(&tablet(&header(DUPLICATE, columns, rowsets), files)).unwrap();
        assert_eq!(lines, [format!("{{\"k\":1,\"{name}\":null}}"), format!("{{\"k\":4,\"{name}\":\"20\"}}")]);
    }
}

/// MIN and MAX take the number where there is one.
#[test]
fn extremes_are_numbers() {
    const AGGREGATE: i32 = 2;
    let values = [[1.0, f64::NAN, f64::NAN, 5.0], [f64::NAN, 2.0, f64::NAN, 4.0]];
    let mut files = Vec::new();
    for (version, values) in (2..).zip(values) {
        let mut segment = Segment::default();
        let keys = ints(&mut segment, &[1, 2, 3, 4]);
        let stored = values.map(f64::to_le_bytes);
        let (min, max) = (segment.plain(11, &stored), segment.plain(11, &stored));
        segment.add(0, keys).add(1, min).add(2, max);
        files.push((segment_name(version, 0), segment.finish(4)));
    }
    let value = |id: i32, name: &str| ColumnPb { aggregation: Some(name.into()), ..column(id, name, "DOUBLE") };
    let key = ColumnPb { is_key: Some(true), ..column(0, "k", "INT") };
    let header = header(AGGREGATE, vec![key, value(1, "min"), value(2, "max")], vec![rowset(2, 1), rowset(3, 1)]);
    assert_eq!(
        json_lines(&tablet(&header, files)).unwrap(),
        [
            r#"{"k":1,"min":1,"max":1}"#,
            r#"{"k":2,"min":2,"max":2}"#,
            r#"{"k":3,"min":"NaN","max":"NaN"}"#,
            r#"{"k":4,"min":4,"max":5}"#
        ]
    );
}

/// States of functions, whose merge is another aggregation's where the state is a value; of others it is named.
#[test]
fn states_that_are_values_are_merged() {
    const AGGREGATE: i32 = 2;
    let mut files = Vec::new();
    for (version, values) in (2..).zip([[1.5, 7.0], [2.0, 3.0]]) {
        let mut segment = Segment::default();
        let keys = ints(&mut segment, &[1, 2]);
        let stored = values.map(f64::to_le_bytes);
        let (sum, max) = (segment.plain(11, &stored), segment.plain(11, &stored));
        segment.add(0, keys).add(1, sum).add(2, max);
        files.push((segment_name(version, 0), segment.finish(2)));
    }
    let state = |id: i32, function: &str| ColumnPb {
        aggregation: Some("agg_state_union".into()),
        agg_state_desc: Some(AggStateDescPb { agg_func_name: Some(function.into()) }),
        ..column(id, function, "DOUBLE")
    };
    let key = || ColumnPb { is_key: Some(true), ..column(0, "k", "INT") };
    let of = |functions: [&str; 2]| {
        let columns = vec![key(), state(1, functions[0]), state(2, functions[1])];
        json_lines(&tablet(&header(AGGREGATE, columns, vec![rowset(2, 1), rowset(3, 1)]), files.clone()))
    };
    let rows = of(["sum", "max"]).unwrap();
    assert_eq!(rows, [r#"{"k":1,"sum":3.5,"max":2}"#, r#"{"k":2,"sum":10,"max":7}"#]);
    let error = of(["sum", "min_by"]).unwrap_err().to_string();
    assert!(error.contains("the aggregate state of min_by"), "{error}");
}

/// States whose bytes are known: AVG of a DOUBLE and of a DECIMAL, STDDEV; and the oldest of ANY_VALUE. A load may bring NULL.
#[test]
fn states_in_bytes_are_merged() {
    const AGGREGATE: i32 = 2;
    const VARBINARY: i32 = 46;
    let average = |total: f64, count: i64| [total.to_le_bytes(), count.to_le_bytes()].concat();
    let decimal = |total: i128, count: i64| [&total.to_le_bytes()[..], &count.to_le_bytes()].concat();
    let deviation =
        |mean: f64, squares: f64, count: i64| [mean.to_le_bytes(), squares.to_le_bytes(), count.to_le_bytes()].concat();
    // Of 1 and 3; of 7; of nothing: 3 values whose mean is 11 / 3 and whose squared differences are 56 / 3.
    let loads = [
        [Some(average(4.0, 2)), Some(decimal(400, 2)), Some(deviation(2.0, 2.0, 2)), None],
        [Some(average(7.0, 1)), Some(decimal(-700, 1)), Some(deviation(7.0, 0.0, 1)), Some(b"old".to_vec())],
        [None, None, None, Some(b"new".to_vec())],
    ];
    let mut files = Vec::new();
    for (version, values) in (2..).zip(&loads) {
        let mut segment = Segment::default();
        let keys = ints(&mut segment, &[1]);
        segment.add(0, keys);
        for (id, value) in (1..).zip(values) {
            let column = segment.strings(VARBINARY, &[value.as_deref()]);
            segment.add(id, column);
        }
        files.push((segment_name(version, 0), segment.finish(1)));
    }
    let state = |id: i32, name: &str, function: &str| ColumnPb {
        aggregation: Some("agg_state_union".into()),
        agg_state_desc: Some(AggStateDescPb { agg_func_name: Some(function.into()) }),
        ..column(id, name, "VARBINARY")
    };
    let columns = vec![
        ColumnPb { is_key: Some(true), ..column(0, "k", "INT") },
        state(1, "a", "avg"),
        state(2, "d", "avg"),
        state(3, "s", "stddev_samp"),
        state(4, "v", "any_value"),
    ];
    let rowsets = vec![rowset(2, 1), rowset(3, 1), rowset(4, 1)];
    let tablet = tablet(&header(AGGREGATE, columns, rowsets), files);
    let batch = crate::common::concat(tablet.rows(None, &ReadOptions::default()).unwrap());
    let bytes = |at: usize| batch.column(at).as_binary::<i32>().value(0).to_vec();
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(bytes(1), average(11.0, 3));
    assert_eq!(bytes(2), decimal(-300, 3));
    let merged = bytes(3);
    let number = |at: usize| f64::from_le_bytes(merged[at..at + 8].try_into().unwrap());
    assert!((number(0) - 11.0 / 3.0).abs() < 1e-12 && (number(8) - 56.0 / 3.0).abs() < 1e-12, "{merged:?}");
    assert_eq!(merged[16..], 3i64.to_le_bytes());
    assert_eq!(bytes(4), b"old");
}

/// A column that ALTER TABLE added to the catalog alone.
#[test]
fn columns_that_no_tablet_knows_have_their_default() {
    let mut segment = Segment::default();
    let (keys, dropped) = (ints(&mut segment, &[1, 2]), ints(&mut segment, &[10, 20]));
    segment.add(0, keys).add(1, dropped);
    let columns = vec![column(0, "k", "INT"), column(1, "d", "INT")];
    let bytes = header(DUPLICATE, columns, vec![rowset(2, 1), delete(3, &["d=20"])]);
    let mut meta = TabletMeta::from_header(&bytes).unwrap();
    let mut schema = meta.schema.clone();
    let added = |unique_id, name, ty, default_value: Option<&'static str>| {
        let nullable = default_value.is_none();
        AddedColumn { unique_id, name, ty, aggregation: None, nullable, default_value }
    };
    let amount = schema.add(&added(7, "amount", "DECIMAL64(10,2)", Some("1.5"))).unwrap();
    // Of the same name as one that was dropped, and that a delete still means.
    let list = schema.add(&added(8, "d", "ARRAY<INT>", None)).unwrap();
    meta.present_with(&schema, UniqueIds::OfTable);
    let tablet = open(meta, vec![(segment_name(2, 0), segment.finish(2))]);
    let format = TextFormat::JsonLines;
    let rows = tablet.rows(Some(&["k", &amount, &list]), &format.read_options()).unwrap();
    let text: Vec<u8> = rows.flat_map(|batch| format.lines(&batch.unwrap()).unwrap()).collect();
    assert_eq!(String::from_utf8(text).unwrap(), "{\"k\":1,\"amount\":\"1.50\",\"d#8\":null}\n");
}

/// In page format 1 a page of NULLs has no end but the column's.
#[test]
fn pages_may_span_any_number_of_rows() {
    const ROWS: usize = 300_000;
    let mut nulls = vec![true; ROWS];
    nulls[ROWS - 1] = false;
    let mut segment = Segment::default();
    let ids = Page { values: shuffled(&7i64.to_le_bytes(), 8), nulls: nulls.clone(), map: NullMap::Runs };
    let ids = segment.column(7, BIT_SHUFFLE, &[ids], None);
    let texts = Page { values: strings(&[b"end"]), nulls, map: NullMap::Runs };
    let texts = segment.column(17, PLAIN, &[texts], None);
    segment.add(0, ids).add(1, texts);
    let tablet = one_segment(vec![column(0, "n", "BIGINT"), column(1, "t", "VARCHAR")], &segment, ROWS as u32);
    let lines = json_lines(&tablet).unwrap();
    assert_eq!(lines.len(), ROWS);
    assert!(lines[..ROWS - 1].iter().all(|line| line == r#"{"n":null,"t":null}"#));
    assert_eq!(lines[ROWS - 1], r#"{"n":7,"t":"end"}"#);
}

/// A load that was filtered out leaves a segment of no rows, and no pages.
#[test]
fn segments_may_have_no_rows() {
    let mut empty = Segment::default();
    let ids = empty.column(5, PLAIN, &[], None);
    empty.add(0, ids);
    let mut full = Segment::default();
    let ids = ints(&mut full, &[1]);
    full.add(0, ids);
    for keys_type in [DUPLICATE, 1] {
        let key = ColumnPb { is_key: Some(true), ..column(0, "k", "INT") };
        let header = header(keys_type, vec![key], vec![rowset(2, 2), rowset(3, 1)]);
        let files = vec![
            (segment_name(2, 0), empty.finish(0)),
            (segment_name(2, 1), full.finish(1)),
            (segment_name(3, 0), empty.finish(0)),
        ];
        assert_eq!(json_lines(&tablet(&header, files)).unwrap(), [r#"{"k":1}"#]);
    }
}
