//! The text of values that the genuine tables do not have together.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{CsvOptions, TextFormat};
use crate::types::TYPE_METADATA;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array as _, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, ListArray,
    RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;
use std::sync::Arc;

/// A batch of columns with their StarRocks types.
fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field = |(at, (sql, array)): (usize, &(&str, ArrayRef))| {
        let metadata = [(TYPE_METADATA.to_owned(), (*sql).to_owned())];
        Field::new(format!("c{at}"), array.data_type().clone(), true).with_metadata(metadata)
    };
    let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect()).unwrap()
}

fn text(format: &TextFormat, batch: &RecordBatch) -> String {
    let lines = format.lines(batch).unwrap();
    String::from_utf8_lossy(&lines).into_owned()
}

fn csv() -> TextFormat {
    TextFormat::Csv(CsvOptions::default())
}

#[test]
fn values_stand_alone() {
    let one = batch(vec![
        ("FLOAT", Arc::new(Float32Array::from(vec![0.1, f32::NAN, f32::NEG_INFINITY]))),
        ("DOUBLE", Arc::new(Float64Array::from(vec![1e300, f64::INFINITY, -0.0]))),
        ("DATE", Arc::new(Date32Array::from(vec![Some(0), None, Some(19_000)]))),
        ("DATETIME", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1_000_000)]))),
        (
            "DECIMAL64(9,2)",
            Arc::new(Decimal128Array::from(vec![Some(-5), Some(100), None]).with_precision_and_scale(9, 2).unwrap()),
        ),
        (
            "LARGEINT",
            Arc::new(StringArray::from(vec![Some("-170141183460469231731687303715884105728"), None, Some("7")])),
        ),
        ("JSON", Arc::new(BinaryArray::from(vec![Some(&b"{\"a\": 1}"[..]), Some(b""), None]))),
        ("VARCHAR(9)", Arc::new(BinaryArray::from(vec![Some(&b"a\"b"[..]), Some(b"\xff\x01"), None]))),
        ("VARBINARY(9)", Arc::new(BinaryArray::from(vec![Some(&b"\xfb\x68"[..]), Some(b""), None]))),
        ("PERCENTILE", Arc::new(BinaryArray::from(vec![Some(&b"\x01"[..]), None, None]))),
    ]);
    let expected = "\
{\"c0\":0.1,\"c1\":1e+300,\"c2\":\"1970-01-01\",\"c3\":\"1970-01-01 00:00:00.000001\",\"c4\":\"-0.05\",\"c5\":\"-170141183460469231731687303715884105728\",\"c6\":{\"a\": 1},\"c7\":\"a\\\"b\",\"c8\":\"fb68\",\"c9\":\"01\"}
{\"c0\":\"NaN\",\"c1\":\"Infinity\",\"c2\":null,\"c3\":null,\"c4\":\"1.00\",\"c5\":null,\"c6\":\"\",\"c7\":{\"hex\":\"ff01\"},\"c8\":\"\",\"c9\":null}
{\"c0\":\"-Infinity\",\"c1\":-0,\"c2\":\"2022-01-08\",\"c3\":\"1969-12-31 23:59:59\",\"c4\":null,\"c5\":\"7\",\"c6\":null,\"c7\":null,\"c8\":null,\"c9\":null}
";
    assert_eq!(text(&TextFormat::JsonLines, &one), expected);
    let expected = "\
0.1,1e+300,1970-01-01,1970-01-01 00:00:00.000001,-0.05,-170141183460469231731687303715884105728,\"{\"\"a\"\": 1}\",\"a\"\"b\",+2g=,01
NaN,Infinity,\\N,\\N,1.00,\\N,,\u{fffd}\u{1},,\\N
-Infinity,-0,2022-01-08,1969-12-31 23:59:59,\\N,7,\\N,\\N,\\N,\\N
";
    assert_eq!(text(&csv(), &one), expected);
}

#[test]
fn numbers_are_as_short_as_they_read_back() {
    let doubles = [
        (0.0, "0"),
        (-884.0, "-884"),
        (0.5, "0.5"),
        (0.0001, "0.0001"),
        (0.00006681373400087749, "6.681373400087749e-05"),
        (-1e-5, "-1e-05"),
        (1.25e-9, "1.25e-09"),
        (5e-324, "5e-324"),
        (100_000.0, "100000"),
        (1e15, "1000000000000000"),
        (1e16, "1e+16"),
        (123_456_789_012_345_680_000.0, "1.2345678901234568e+20"),
        (f64::MAX, "1.7976931348623157e+308"),
    ];
    let floats = [
        (0.000_008_057_957_5, "8.0579575e-06"),
        (1e-7, "1e-07"),
        (16_777_216.0, "16777216"),
        (f32::MAX, "3.4028235e+38"),
        (-0.1, "-0.1"),
    ];
    let lines = |array: ArrayRef, sql| text(&csv(), &batch(vec![(sql, array)]));
    let (values, texts): (Vec<f64>, Vec<&str>) = doubles.into_iter().unzip();
    assert_eq!(lines(Arc::new(Float64Array::from(values)), "DOUBLE"), texts.join("\n") + "\n");
    let (values, texts): (Vec<f32>, Vec<&str>) = floats.into_iter().unzip();
    assert_eq!(lines(Arc::new(Float32Array::from(values)), "FLOAT"), texts.join("\n") + "\n");
}

#[test]
fn decimals_of_the_old_type_end_without_zeros() {
    let values = vec![0, 808_108_509_022_721_798_770, -500_000_000, 5_000_000_000, 1];
    let array = Decimal128Array::from(values).with_precision_and_scale(27, 9).unwrap();
    let lines = text(&csv(), &batch(vec![("DECIMALV2(27,9)", Arc::new(array))]));
    assert_eq!(lines, "0\n808108509022.72179877\n-0.5\n5\n0.000000001\n");
}

#[test]
fn values_stand_within_others() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), Some(vec![]), None]);
    let values = UInt64Array::from(vec![1, u64::MAX]);
    let bitmap = ListArray::new(
        Arc::new(Field::new("item", DataType::UInt64, false)),
        arrow_buffer::OffsetBuffer::new(vec![0, 2, 2, 2].into()),
        Arc::new(values),
        None,
    );
    let varchar = [(TYPE_METADATA.to_owned(), "VARCHAR(9)".to_owned())];
    let keys = BinaryArray::from(vec![Some(&b"k,1"[..]), Some(b"k2"), None]);
    let entries = StructArray::from(vec![
        (Arc::new(Field::new("key", DataType::Binary, true).with_metadata(varchar)), Arc::new(keys) as ArrayRef),
        (
            Arc::new(Field::new("value", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![Some(7), None, Some(9)])) as ArrayRef,
        ),
    ]);
    let map = ListArray::new(
        Arc::new(Field::new("entries", entries.data_type().clone(), false)),
        arrow_buffer::OffsetBuffer::new(vec![0, 3, 3, 3].into()),
        Arc::new(entries),
        Some(vec![true, true, false].into()),
    );
    let structure = StructArray::from(vec![(
        Arc::new(Field::new("a \"b\"", DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])) as ArrayRef,
    )]);
    let one = batch(vec![
        ("ARRAY<INT>", Arc::new(list)),
        ("BITMAP", Arc::new(bitmap)),
        ("MAP<VARCHAR(9),INT>", Arc::new(map)),
        ("STRUCT<a INT>", Arc::new(structure)),
    ]);
    let expected = "\
{\"c0\":[1,null],\"c1\":[1,18446744073709551615],\"c2\":[[\"k,1\",7],[\"k2\",null],[null,9]],\"c3\":{\"a \\\"b\\\"\":1}}
{\"c0\":[],\"c1\":[],\"c2\":[],\"c3\":{\"a \\\"b\\\"\":null}}
{\"c0\":null,\"c1\":[],\"c2\":null,\"c3\":{\"a \\\"b\\\"\":3}}
";
    assert_eq!(text(&TextFormat::JsonLines, &one), expected);
    let expected = "\
\"[1,null]\",\"1,18446744073709551615\",\"{\"\"k,1\"\":7,\"\"k2\"\":null,null:9}\",\"{\"\"a \\\"\"b\\\"\"\"\":1}\"
[],,{},\"{\"\"a \\\"\"b\\\"\"\"\":null}\"
\\N,,\\N,\"{\"\"a \\\"\"b\\\"\"\"\":3}\"
";
    assert_eq!(text(&csv(), &one), expected);
    // A part of a batch is written as it stands in the whole.
    let rest: String = text(&TextFormat::JsonLines, &one).lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert_eq!(text(&TextFormat::JsonLines, &one.slice(1, 2)), rest);
}

/// Reads CSV as RFC 4180 says: fields, and whether each was quoted.
fn parse(bytes: &[u8], separator: &[u8]) -> Vec<Vec<(Vec<u8>, bool)>> {
    let (mut rows, mut row, mut field, mut at) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut quoted = false;
    while at < bytes.len() {
        if field.is_empty() && !quoted && bytes[at] == b'"' {
            quoted = true;
            at += 1;
            loop {
                match (bytes[at], bytes.get(at + 1)) {
                    (b'"', Some(b'"')) => {
                        field.push(b'"');
                        at += 2;
                    }
                    (b'"', _) => {
                        at += 1;
                        break;
                    }
                    (byte, _) => {
                        field.push(byte);
                        at += 1;
                    }
                }
            }
        } else if bytes[at..].starts_with(separator) {
            row.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
            at += separator.len();
        } else if bytes[at] == b'\n' {
            row.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
            rows.push(std::mem::take(&mut row));
            at += 1;
        } else {
            field.push(bytes[at]);
            at += 1;
        }
    }
    assert!(row.is_empty() && field.is_empty());
    rows
}

proptest! {
    #[test]
    fn floats_read_back_as_they_were(bits: u64) {
        let (double, float) = (f64::from_bits(bits), f32::from_bits((bits >> 32) as u32));
        let one = batch(vec![
            ("DOUBLE", Arc::new(Float64Array::from(vec![double]))),
            ("FLOAT", Arc::new(Float32Array::from(vec![float]))),
        ]);
        let line = text(&csv(), &one);
        let (first, second) = line.trim_end().split_once(',').unwrap();
        prop_assert!(double.is_nan() || first.parse::<f64>().unwrap().to_bits() == double.to_bits(), "{first}");
        prop_assert!(float.is_nan() || second.parse::<f32>().unwrap().to_bits() == float.to_bits(), "{second}");
    }

    #[test]
    fn csv_reads_back_as_it_was(
        rows in prop::collection::vec(prop::collection::vec(prop::option::of("[ab,;|\\\\N\"\n\r\t é]{0,4}"), 3), 0..5),
        separator in prop::sample::select(vec![",", "\t", ";", "||", "\u{1}", "ab"]),
        null in prop::sample::select(vec!["\\N", "", "NULL"]),
    ) {
        let options = CsvOptions { separator: separator.into(), null: null.into(), header: false };
        let column = |at: usize| rows.iter().map(|row| row[at].as_deref().map(str::as_bytes)).collect::<BinaryArray>();
        let columns = (0..3).map(|at| ("VARCHAR(9)", Arc::new(column(at)) as ArrayRef)).collect();
        let lines = TextFormat::Csv(options).lines(&batch(columns)).unwrap();
        let read = parse(&lines, separator.as_bytes()).into_iter().map(|row| {
            let value = |(text, quoted): (Vec<u8>, bool)| {
                (quoted || text != null.as_bytes()).then(|| String::from_utf8(text).unwrap())
            };
            row.into_iter().map(value).collect::<Vec<_>>()
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), rows);
    }
}
