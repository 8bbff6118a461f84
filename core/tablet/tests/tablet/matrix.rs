//! Every type in every encoding, codec, page format and null map that a segment can have, written by hand.

use starsnap_tablet::Tablet;
use starsnap_tablet::proto::tablet::ColumnPb;

use super::build::*;

/// A small generator, so that the test does the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A type: its number, its name in schemas, and some values as they are stored with their JSON.
struct Kind {
    number: i32,
    column: ColumnPb,
    element: usize,
    values: Vec<(Vec<u8>, String)>,
}

fn integers(number: i32, ty: &str, element: usize, quoted: bool) -> Kind {
    let bits = 8 * element as u32;
    let (min, max) = (i128::MIN >> (128 - bits), i128::MAX >> (128 - bits));
    let text = |value: i128| if quoted { format!("\"{value}\"") } else { value.to_string() };
    let value = |value: i128| (value.to_le_bytes()[..element].to_vec(), text(value));
    let values = [0, 1, -1, 7, -100, min, max].map(value).to_vec();
    Kind { number, column: column(0, "v", ty), element, values }
}

fn decimal(number: i32, ty: &str, element: usize, precision: i32, scale: i32) -> Kind {
    let digits = "9".repeat(precision as usize);
    let point = |digits: &str| {
        let digits = format!("{digits:0>width$}", width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let text = format!("{whole}.{fraction}");
        // The old type is printed without the zeros at its end.
        if ty == "DECIMAL_V2" { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    let mut values = Vec::new();
    for text in ["0", "1", "12345", &digits] {
        // Schoolbook multiplication, so that 76 digits fit too.
        let mut bytes = vec![0u8; element];
        for digit in text.bytes() {
            let mut carry = u32::from(digit - b'0');
            for byte in &mut bytes {
                carry += u32::from(*byte) * 10;
                *byte = carry as u8;
                carry >>= 8;
            }
        }
        let mut carry = true;
        let negative: Vec<u8> = bytes
            .iter()
            .map(|byte| {
                let (value, more) = (!byte).overflowing_add(u8::from(carry));
                carry = more;
                value
            })
            .collect();
        values.push((bytes, format!("\"{}\"", point(text))));
        if text != "0" {
            values.push((negative, format!("\"-{}\"", point(text))));
        }
    }
    let column = ColumnPb { precision: Some(precision), frac: Some(scale), ..column(0, "v", ty) };
    Kind { number, column, element, values }
}

fn listed(number: i32, column: ColumnPb, element: usize, values: &[(&[u8], &str)]) -> Kind {
    let values = values.iter().map(|(bytes, text)| (bytes.to_vec(), (*text).to_owned())).collect();
    Kind { number, column, element, values }
}

fn number(ty: &str) -> ColumnPb {
    column(0, "v", ty)
}

fn kinds() -> Vec<Kind> {
    let day = |day: i32| (day + 2_440_588).to_le_bytes();
    let time = |day: i64, micros: i64| ((day + 2_440_588) << 40 | micros).to_le_bytes();
    let old_day = |year: u32, month: u32, day: u32| (year << 9 | month << 5 | day).to_le_bytes();
    let old = |whole: i64, fraction: i32| [&whole.to_le_bytes()[..], &fraction.to_le_bytes()].concat();
    vec![
        integers(1, "TINYINT", 1, false),
        integers(3, "SMALLINT", 2, false),
        integers(5, "INT", 4, false),
        integers(7, "BIGINT", 8, false),
        integers(9, "LARGEINT", 16, true),
        decimal(47, "DECIMAL32", 4, 9, 2),
        decimal(48, "DECIMAL64", 8, 18, 6),
        decimal(49, "DECIMAL128", 16, 38, 10),
        decimal(26, "DECIMAL256", 32, 76, 30),
        decimal(52, "DECIMAL_V2", 16, 27, 9),
        listed(
            10,
            number("FLOAT"),
            4,
            &[
                (&1.5f32.to_le_bytes(), "1.5"),
                (&0.1f32.to_le_bytes(), "0.1"),
                (&f32::NAN.to_le_bytes(), "\"NaN\""),
                (&f32::NEG_INFINITY.to_le_bytes(), "\"-Infinity\""),
            ],
        ),
        listed(
            11,
            number("DOUBLE"),
            8,
            &[
                (&(-0.25f64).to_le_bytes(), "-0.25"),
                (&0.1f64.to_le_bytes(), "0.1"),
                (&f64::INFINITY.to_le_bytes(), "\"Infinity\""),
            ],
        ),
        listed(
            50,
            number("DATE_V2"),
            4,
            &[
                (&day(0), "\"1970-01-01\""),
                (&day(-1), "\"1969-12-31\""),
                (&5_373_484i32.to_le_bytes(), "\"9999-12-31\""),
                (&1_721_060i32.to_le_bytes(), "\"0000-01-01\""),
            ],
        ),
        listed(
            51,
            number("TIMESTAMP"),
            8,
            &[
                (&time(0, 0), "\"1970-01-01 00:00:00\""),
                (&time(-1, 86_399_999_999), "\"1969-12-31 23:59:59.999999\""),
                (&time(19_000, 1_000_000), "\"2022-01-08 00:00:01\""),
            ],
        ),
        listed(
            14,
            number("DATE"),
            3,
            &[(&old_day(2024, 2, 29)[..3], "\"2024-02-29\""), (&old_day(1, 1, 1)[..3], "\"0001-01-01\"")],
        ),
        listed(
            15,
            number("DATETIME"),
            8,
            &[
                (&20_240_229_235_958i64.to_le_bytes(), "\"2024-02-29 23:59:58\""),
                (&10_101_000_000i64.to_le_bytes(), "\"0001-01-01 00:00:00\""),
            ],
        ),
        listed(
            16,
            number("DECIMAL"),
            12,
            &[
                (&old(0, -500_000_000), "\"-0.5\""),
                (&old(-925, -444_000_000), "\"-925.444\""),
                (&old(999_999_999_999_999_999, 999_999_999), "\"999999999999999999.999999999\""),
            ],
        ),
        listed(24, number("BOOLEAN"), 1, &[(&[0], "false"), (&[1], "true")]),
        listed(
            13,
            ColumnPb { length: Some(4), ..number("CHAR") },
            0,
            &[(b"ab\0\0", "\"ab\""), (b"abcd", "\"abcd\""), (b"\0\0\0\0", "\"\"")],
        ),
        listed(
            17,
            number("VARCHAR"),
            0,
            &[
                (b"", "\"\""),
                (b"a\0b", "\"a\\u0000b\""),
                ("äöü\n\"".as_bytes(), "\"äöü\\n\\\"\""),
                (b"\xff", "{\"hex\":\"ff\"}"),
            ],
        ),
        listed(46, number("VARBINARY"), 0, &[(b"", "\"\""), (b"\x00\xff", "\"00ff\"")]),
        listed(54, number("JSON"), 0, &[(b"\x18", "null"), (b"\x31", "1"), (b"\x41a", "\"a\""), (b"\x0a", "{}")]),
        listed(23, number("HLL"), 0, &[(b"\x00", "0"), (b"", "0"), (b"\x01\x01\0\0\0\0\0\0\0\0", "1")]),
        listed(
            25,
            number("OBJECT"),
            0,
            &[
                (b"\x00", "[]"),
                (b"", "[]"),
                (b"\x01\x07\0\0\0", "[7]"),
                (b"\x03\xff\xff\xff\xff\xff\xff\xff\xff", "[18446744073709551615]"),
                (b"\x0a\x02\0\0\0\x09\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", "[2,9]"),
                (b"\x0c\x01\x02\0\0\0\x05\0\0\0\x06\0\0\0", "[5,6]"),
                (b"\x0d\x01\x01\0\0\0\x01\x01\0\0\0\x05\0\0\0", "[4294967301]"),
            ],
        ),
        listed(53, number("PERCENTILE"), 0, &[(b"\x00\x01", "\"0001\"")]),
    ]
}

/// Rows of pages: of each, which of the kind's values it has, nothing for NULL.
type Rows = Vec<Vec<Option<usize>>>;

fn rows(kind: &Kind, dice: &mut Dice) -> Rows {
    let lengths = [1, 7, 0, 300, 64, 9000];
    let rows = lengths.map(|len| {
        let nulls = dice.below(4);
        let mut row = || if dice.below(4) < nulls { None } else { Some(dice.below(kind.values.len())) };
        (0..len).map(|_| row()).collect::<Vec<_>>()
    });
    // A page of NULLs only, too.
    rows.into_iter().chain([vec![None; 500]]).collect()
}

/// The values of a page as they are stored: one for each row, or only those that are not NULL.
fn stored<'a>(kind: &'a Kind, rows: &[Option<usize>], map: NullMap, garbage: &'a [u8]) -> Vec<&'a [u8]> {
    let value = |row: &Option<usize>| match row {
        Some(at) => Some(&*kind.values[*at].0),
        None if map == NullMap::Runs && rows.contains(&None) => None,
        None => Some(garbage),
    };
    rows.iter().filter_map(value).collect()
}

fn page_body(kind: &Kind, encoding: i32, values: &[&[u8]], dictionary: &[&[u8]], dice: &mut Dice) -> Vec<u8> {
    let count = (values.len() as u32).to_le_bytes();
    let bytes = values.concat();
    match (encoding, kind.element) {
        (PLAIN, 0) => strings(values),
        (PLAIN, _) => [&count[..], &bytes].concat(),
        (RLE, _) => rle(&values.iter().map(|value| value[0] & 1 == 1).collect::<Vec<_>>()),
        (BIT_SHUFFLE, element) => shuffled(&bytes, element),
        // A page of a column with a dictionary may be without it.
        (DICT, 0) if dice.below(3) == 0 => [&2u32.to_le_bytes()[..], &strings(values)].concat(),
        (DICT, 1..) if dice.below(3) == 0 => [&6u32.to_le_bytes()[..], &shuffled(&bytes, kind.element)].concat(),
        _ => {
            // What stands under a NULL is no code either.
            let code = |value: &&[u8]| dictionary.iter().position(|entry| entry == value).unwrap_or(60_000) as u32;
            let short = kind.number == 3;
            let codes = values.iter().map(code);
            let codes: Vec<u8> = match short {
                true => codes.flat_map(|code| (code as u16).to_le_bytes()).collect(),
                false => codes.flat_map(u32::to_le_bytes).collect(),
            };
            [&5u32.to_le_bytes()[..], &shuffled(&codes, if short { 2 } else { 4 })].concat()
        }
    }
}

/// The encodings that a column of the kind can have.
fn encodings(kind: &Kind) -> &'static [i32] {
    match (kind.number, kind.element) {
        (13 | 17 | 54, _) => &[PLAIN, DICT],
        (_, 0) => &[PLAIN],
        (24, _) => &[PLAIN, RLE, BIT_SHUFFLE],
        (3 | 5 | 7 | 9 | 10 | 11 | 47..=52, _) => &[PLAIN, BIT_SHUFFLE, DICT],
        _ => &[PLAIN, BIT_SHUFFLE],
    }
}

fn made(kind: &Kind, encoding: i32, codec: i32, rows: &Rows, dice: &mut Dice) -> Tablet {
    let mut segment = Segment::with_codec(codec);
    let dictionary: Vec<&[u8]> = kind.values.iter().map(|(bytes, _)| &**bytes).collect();
    let dictionary_body = match kind.element {
        0 => strings(&dictionary),
        element => shuffled(&dictionary.concat(), element),
    };
    let garbage = vec![0xcd; if kind.element == 0 { 5 } else { kind.element }];
    let page = |rows: &Vec<Option<usize>>| {
        let map = [NullMap::Runs, NullMap::Bitshuffle, NullMap::Lz4][dice.below(3)];
        let values = stored(kind, rows, map, &garbage);
        let values = page_body(kind, encoding, &values, &dictionary, dice);
        Page { values, nulls: rows.iter().map(Option::is_none).collect(), map }
    };
    let pages: Vec<Page> = rows.iter().map(page).collect();
    let meta = segment.column(kind.number, encoding, &pages, (encoding == DICT).then_some(&dictionary_body[..]));
    segment.add(0, meta);
    let header = header(0, vec![kind.column.clone()], vec![rowset(2, 1)]);
    let count = rows.iter().map(Vec::len).sum::<usize>() as u32;
    tablet(&header, vec![(segment_name(2, 0), segment.finish(count))])
}

#[test]
fn every_type_in_every_encoding_reads_as_it_was_written() {
    let mut dice = Dice(7);
    let mut seen = 0;
    for kind in kinds() {
        for &encoding in encodings(&kind) {
            for codec in [2, 3, 4, 5, 6, 7, 8] {
                let rows = rows(&kind, &mut dice);
                let tablet = made(&kind, encoding, codec, &rows, &mut dice);
                let text = |row: &Option<usize>| row.map_or("null", |at| &kind.values[at].1);
                let wanted = rows.iter().flatten().map(|row| format!("{{\"v\":{}}}", text(row)));
                let read = json_lines(&tablet);
                let what = format!("{} in encoding {encoding}, codec {codec}", kind.column.r#type);
                let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(read.iter().eq(wanted.collect::<Vec<_>>().iter()), "{what}");
                seen += 1;
            }
        }
    }
    assert!(seen > 250, "{seen}");
}
