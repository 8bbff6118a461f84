//! The fuzz targets of the tablet format with the inputs that fuzzing has kept (`fuzz/corpus`), without a nightly compiler.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../fuzz/src/tablet.rs"]
mod targets;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use prost::Message;
use starsnap_tablet::proto::segment::{PageFooterPb, PagePointerPb, ZoneMapPb};
use starsnap_tablet::proto::tablet::{BinaryPredicatePb, DeletePredicatePb, InPredicatePb, IsNullPredicatePb};
use starsnap_tablet::{BitmapAs, HllAs, LogicalType, ReadAt, ReadOptions, Segment, Tablet, TabletMeta};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tablets");

/// Name and work of a fuzz target.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 19] = [
    ("bitshuffle", targets::bitshuffle),
    ("rle", targets::rle),
    ("frame_of_reference", targets::frame_of_reference),
    ("prefix", targets::prefix),
    ("plain", targets::plain),
    ("page", targets::page),
    ("footer", targets::footer),
    ("header", targets::header),
    ("snapshot_meta", targets::snapshot_meta),
    ("delta_columns", targets::delta_columns),
    ("delete_vector", targets::delete_vector),
    ("json", targets::json),
    ("bitmap", targets::bitmap),
    ("hll", targets::hll),
    ("percentile", targets::percentile),
    ("tablet", targets::tablet),
    ("indexes", targets::indexes),
    ("flat_json", targets::flat_json),
    ("delete_predicate", targets::delete_predicate),
];

#[test]
fn kept_inputs_do_no_harm() {
    let mut tried = 0;
    for (name, target) in TARGETS {
        let inputs = fs::read_dir(Path::new(CORPUS).join(name)).unwrap_or_else(|e| panic!("corpus of {name}: {e}"));
        let mut any = false;
        for input in inputs {
            let path = input.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let done = std::panic::catch_unwind(|| target(&bytes));
            assert!(done.is_ok(), "{} is too much for {name}", path.display());
            any = true;
            tried += 1;
        }
        assert!(any, "no input for {name}");
    }
    println!("{tried} inputs");
}

/// Changes of the kept inputs, the same ones each time; `STARSNAP_MUTATIONS` asks for more of them per target.
#[test]
fn changed_inputs_do_no_harm() {
    let wanted = std::env::var("STARSNAP_MUTATIONS").map_or(300, |n| n.parse().unwrap());
    let artifacts = Path::new(CORPUS).join("../artifacts");
    let mut harmful = Vec::new();
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> =
            fs::read_dir(Path::new(CORPUS).join(name)).unwrap().map(|e| e.unwrap().path()).collect();
        inputs.sort();
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|p| fs::read(p).unwrap()).collect();
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for _ in 0..wanted {
            let mut input = inputs[dice.below(inputs.len())].clone();
            for _ in 0..=dice.below(6) {
                change(&mut input, &inputs, &mut dice);
            }
            if std::panic::catch_unwind(|| target(&input)).is_err() {
                let path = artifacts.join(name).join(format!("crash-{:08x}", crc32c::crc32c(&input)));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &input).unwrap();
                harmful.push(path.display().to_string());
            }
        }
    }
    assert!(harmful.is_empty(), "{}", harmful.join("\n"));
}

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    const WORDS: [u32; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let at = dice.below(input.len());
    let to = (at + 1 + dice.below(16)).min(input.len());
    match dice.below(7) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = dice.next() as u8,
        2 if at < to => drop(input.drain(at..to)),
        3 if at < to => {
            let copy = input[at..to].to_vec();
            drop(input.splice(at..at, copy));
        }
        4 => {
            let word = WORDS[dice.below(WORDS.len())].to_le_bytes();
            let word = if dice.below(2) == 0 { word } else { [word[3], word[2], word[1], word[0]] };
            input.iter_mut().skip(at).zip(word).for_each(|(old, new)| *old = new);
        }
        5 => {
            let other = &others[dice.below(others.len())];
            input.truncate(at);
            input.extend_from_slice(&other[dice.below(other.len())..]);
        }
        _ => input.truncate(input.len() - dice.below(input.len() / 4)),
    }
}

/// Where fuzzing begins: parts of the genuine tablets, small ones. To be run by hand when targets change; fuzzing adds to them.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_seeds() {
    let mut seeds = Seeds::default();
    for version in ["sr23", "sr33", "sr35"] {
        for case in fs::read_dir(Path::new(FIXTURES).join(version)).unwrap() {
            seeds.case(&case.unwrap().path().join("tablet"));
        }
    }
    seeds.vectors();
    seeds.predicates();
    index_seeds();
    flat_json_seeds();
}

/// One of each index, of numbers and of texts.
fn index_seeds() {
    // Pages of 1000 rows that hold every third number.
    let zone = |first: i64, last: i64, text: bool| {
        let bound = |value: i64| Some(if text { format!("{value:06}") } else { value.to_string() }.into_bytes());
        ZoneMapPb { min: bound(first), max: bound(last), has_null: Some(false), has_not_null: Some(true) }
            .encode_to_vec()
    };
    // Values, then where each starts, then how many there are.
    let plain = |values: &[Vec<u8>]| {
        let mut at = 0u32;
        let mut starts = Vec::new();
        for value in values {
            starts.extend(at.to_le_bytes());
            at += value.len() as u32;
        }
        [values.concat(), starts, (values.len() as u32).to_le_bytes().to_vec()].concat()
    };
    for text in [false, true] {
        let zones = plain(&[zone(0, 2997, text), zone(3000, 5997, text), zone(6000, 8997, text)]);
        let all = zone(0, 8997, text);
        // A block that lets all pass, one that lets nothing pass; behind each whether there are NULLs.
        let blooms = plain(&[vec![0xff; 33], vec![0; 33], vec![0xff; 33]]);
        let key = |row: i64| match text {
            true => [&[2][..], format!("{:06}", row * 3).as_bytes()].concat(),
            false => [&[2][..], &((row * 3) as u64 ^ 1 << 63).to_be_bytes()].concat(),
        };
        let keys = [key(0), key(1024), key(2048)];
        let len = keys[0].len() as u8;
        let keys = [keys.concat(), vec![0, len, 2 * len]].concat();
        for op in 0..6 {
            for parts in [2, 4, 8, 14] {
                let head = targets::IndexHead {
                    flags: op | u8::from(text) << 3 | parts << 4,
                    value: 4503,
                    segment_zone: all.len() as u8,
                    page_zones: zones.len() as u16,
                    blooms: blooms.len() as u16,
                    keys: 3 * len,
                    ..targets::IndexHead::default()
                };
                keep("indexes", &head.seed([b"", &all, &zones, &blooms, &keys]));
            }
        }
    }
}

/// Objects with members of all types, and with some of them left.
fn flat_json_seeds() {
    // {"a": [1, 2, 3], "b": 1, "c": {"y": true, "z": null}}
    let remain = unhex("0b1d034162314161020531323341630b0b02417a1841791a060306030d");
    for flags in 0..8 {
        let members = vec![(0, 3, 1), (1, 1, 2), (2, 3, 8), (3, 1, 8), (4, 1, 16), (5, 1, 1)];
        let head = targets::FlatJsonHead { flags, remain_len: remain.len() as u16, members };
        let bytes = [
            &b"a.b\x31"[..],
            b"cxy",
            b"d.e\x07\0\0\0\0\0\0\0",
            b"f\0\0\0\0\0\0\xf0\x3f",
            b"g\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0",
            b"h\0",
        ];
        keep("flat_json", &head.seed(&remain, &bytes.concat()));
    }
}

#[derive(Default)]
struct Seeds {
    /// What pages were taken of: one of each type, encoding, codec and page format is enough.
    pages: std::collections::BTreeSet<(i32, i32, i32, u32, bool)>,
}

fn keep(target: &str, bytes: &[u8]) {
    let dir = Path::new(CORPUS).join(target);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(format!("seed-{:08x}", crc32c::crc32c(bytes))), bytes).unwrap();
}

impl Seeds {
    fn case(&mut self, dir: &Path) {
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let header = files.iter().find(|f| f.ends_with("meta") || f.extension().is_some_and(|e| e == "hdr")).unwrap();
        let first = fs::read(files.iter().find(|f| f.extension().is_some_and(|e| e == "dat")).unwrap()).unwrap();
        for path in &files {
            let bytes = fs::read(path).unwrap();
            match path.extension().and_then(|e| e.to_str()) {
                Some("hdr") if bytes.len() < 3000 => keep("header", &bytes[40..]),
                Some("dcgs_snapshot") => keep("delta_columns", &bytes[40..]),
                Some("dat" | "cols") => self.segment(&bytes),
                None => keep("snapshot_meta", &bytes),
                _ => {}
            }
        }
        let head = fs::read(header).unwrap();
        let (kind, head) = if header.ends_with("meta") { (1, &head[..]) } else { (0, &head[40..]) };
        if head.len() + first.len() < 7000 {
            keep("tablet", &[&[kind][..], &(head.len() as u16).to_le_bytes(), head, &first].concat());
        }
        if kind == 0 {
            self.sketches(dir, TabletMeta::from_header(&fs::read(header).unwrap()).unwrap());
        } else {
            let meta = TabletMeta::from_snapshot_meta(head).unwrap();
            for vector in meta.rowsets.iter().flat_map(|r| &r.segments).filter_map(|s| s.delete_vector.as_ref()) {
                let mut bytes = vec![1];
                vector.rows.serialize_into(&mut bytes).unwrap();
                keep("delete_vector", &bytes);
            }
        }
    }

    fn segment(&mut self, bytes: &[u8]) {
        let footer = Segment::open(Arc::new(bytes.to_vec())).unwrap().footer().clone();
        let message = footer.encode_to_vec();
        if message.len() < 1500 {
            keep("footer", &message);
        }
        let mut columns: Vec<_> = footer.columns.iter().collect();
        while let Some(column) = columns.pop() {
            columns.extend(&column.children_columns);
            let root = column.indexes.iter().find_map(|i| i.ordinal_index?.root_page);
            let stored = column.r#type.unwrap();
            let Some((ty, root)) = targets::PageHead::type_of(stored).zip(root) else { continue };
            if root.is_root_data_page != Some(true) {
                continue;
            }
            let dictionary = column.dict_page.map(|p| parts(bytes, p)).unwrap_or_default();
            let (body, page) = parts(bytes, root.root_page.unwrap());
            let data = page.data_page_footer.unwrap();
            let (Ok(rows), Ok(null_map_len)) =
                (u16::try_from(data.num_values.unwrap_or(0)), u16::try_from(data.nullmap_size.unwrap_or(0)))
            else {
                continue;
            };
            let head = targets::PageHead {
                ty,
                encoding: column.encoding.unwrap() as u8,
                codec: column.compression.unwrap() as u8,
                flags: data.format_version.unwrap_or(1) as u8 | (data.null_encoding.unwrap_or(0) as u8) << 2,
                rows,
                null_map_len,
                uncompressed_len: page.uncompressed_size.unwrap(),
                dictionary_len: dictionary.0.len() as u16,
                dictionary_uncompressed_len: dictionary.1.uncompressed_size.unwrap_or(0),
            };
            let seed = head.seed(dictionary.0, body);
            let plain = page.uncompressed_size == Some(body.len() as u32);
            let (encoding, codec) = (column.encoding.unwrap(), column.compression.unwrap());
            let kind = (stored, encoding, codec, u32::from(head.flags), plain);
            if seed.len() < 3000 && self.pages.insert(kind) {
                keep("page", &seed);
            }
        }
    }

    /// Conditions of deletes, with the names that the target's columns have.
    fn predicates(&self) {
        let text = |text: &str| text.as_bytes().to_vec();
        let conditions =
            ["c2<<50", "c11=x", "c7>=2000-01-01 00:00:00", "c12 IS NOT NULL", "c9!=1.5", "c4*=3", "c6>>2020-02-30"];
        for condition in conditions {
            let pb = DeletePredicatePb { version: 3, sub_predicates: vec![text(condition)], ..Default::default() };
            keep("delete_predicate", &pb.encode_to_vec());
        }
        let list = InPredicatePb {
            column_name: Some("c2".into()),
            is_not_in: Some(true),
            values: vec![text("1"), text("17"), text("-3")],
        };
        let binary =
            BinaryPredicatePb { column_name: Some("c5".into()), op: Some("<=".into()), value: Some(text("1e3")) };
        let null = IsNullPredicatePb { column_name: Some("c0".into()), is_not_null: Some(false) };
        let pb = DeletePredicatePb {
            version: 3,
            in_predicates: vec![list],
            binary_predicates: vec![binary],
            is_null_predicates: vec![null],
            ..Default::default()
        };
        keep("delete_predicate", &pb.encode_to_vec());
    }

    /// Sketches, a few of each kind.
    fn sketches(&self, dir: &Path, meta: TabletMeta) {
        let columns: Vec<_> = meta.schema.columns.iter().map(|c| (c.name.clone(), c.ty.clone())).collect();
        let dir = dir.to_path_buf();
        let open = move |name: &str| Ok(Arc::new(fs::read(dir.join(name))?) as Arc<dyn ReadAt>);
        let tablet = Tablet::new(meta, open);
        let options = ReadOptions { hll: HllAs::Binary, bitmap: BitmapAs::Binary, ..ReadOptions::default() };
        for (name, ty) in columns {
            let target = match ty {
                LogicalType::Hll => "hll",
                LogicalType::Bitmap => "bitmap",
                LogicalType::Percentile => "percentile",
                _ => continue,
            };
            let mut kept = 0;
            for batch in tablet.physical_rows(Some(&[&name]), &options).unwrap() {
                for value in batch.unwrap().column(0).as_binary::<i32>().iter().flatten() {
                    if value.len() > 500 || kept >= 25 {
                        continue;
                    }
                    kept += 1;
                    match target {
                        "bitmap" => keep(target, value),
                        _ => keep(target, &[&(value.len() as u16).to_le_bytes()[..], value, value].concat()),
                    }
                }
            }
        }
    }

    /// The outputs of StarRocks' own encoders.
    fn vectors(&self) {
        let lines = |name: &str| {
            let text = fs::read_to_string(Path::new(FIXTURES).join("../vectors").join(name)).unwrap();
            text.lines().map(|l| l.split('\t').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        for line in lines("bitshuffle.tsv") {
            let element: usize = line[0].parse().unwrap();
            let (count, stream) = (line[1].parse::<u16>(), unhex(&line[3]));
            if let (Some(at), Ok(count)) = ([1, 2, 3, 4, 8, 12, 16, 32].iter().position(|&e| e == element), count)
                && stream.len() < 2000
            {
                keep("bitshuffle", &[&[at as u8][..], &count.to_le_bytes(), &stream].concat());
            }
        }
        for line in lines("rle_for.tsv").iter().filter(|l| l[2].len() < 2000) {
            match line[0].as_str() {
                "RLEP" => keep("rle", &unhex(&line[2])),
                name if name.starts_with("RLE") => keep("rle", &[&64u32.to_le_bytes()[..], &unhex(&line[2])].concat()),
                _ => keep("frame_of_reference", &[&[2][..], &unhex(&line[2])].concat()),
            }
        }
        for line in lines("vpack.tsv").iter().filter(|l| l[0].len() < 1000) {
            keep("json", &unhex(&line[0]));
        }
        // No genuine file of the project has this encoding: two strings that share their beginning.
        keep("prefix", b"\0\x03abc\x02\x01d\x02\0\0\0\x10\0\0\0\0\x01\0\0\0");
        keep("plain", b"\0abcde\0\0\0\0\x03\0\0\0\x02\0\0\0");
        keep("plain", b"\x02\x02\0\0\0abcdefgh");
        keep("bitmap", &[1, 7, 0, 0, 0]);
        keep("bitmap", &[3, 7, 0, 0, 0, 1, 0, 0, 0]);
        keep("bitmap", &[10, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        keep("hll", &[2, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

/// Stored body and footer of a page.
fn parts(bytes: &[u8], pointer: PagePointerPb) -> (&[u8], PageFooterPb) {
    let page = &bytes[pointer.offset as usize..][..pointer.size as usize];
    let footer_at = page.len() - 8;
    let len = u32::from_le_bytes(page[footer_at..][..4].try_into().unwrap()) as usize;
    (&page[..footer_at - len], PageFooterPb::decode(&page[footer_at - len..footer_at]).unwrap())
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
