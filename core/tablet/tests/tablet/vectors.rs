//! Decoders against the outputs of StarRocks' own encoders.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;
use starsnap_tablet::delvec::DeleteVector;
use starsnap_tablet::encoding::binary::BinaryPlain;
use starsnap_tablet::encoding::rle::RleBits;
use starsnap_tablet::encoding::{bitshuffle, frame_of_reference, prefix};
use starsnap_tablet::types::{bitmap, hll, percentile};
use starsnap_tablet::{ErrorKind, json};

use super::render::unhex;

fn lines(name: &str) -> Vec<Vec<String>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/vectors");
    let text = std::fs::read_to_string(format!("{dir}/{name}")).unwrap();
    text.lines().map(|l| l.split('\t').map(str::to_owned).collect()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    unhex(&Value::from(hex))
}

#[test]
fn bitshuffle_streams_expand_to_their_elements() {
    let lines = lines("bitshuffle.tsv");
    assert!(lines.len() > 20);
    for line in lines {
        let (element, count) = (line[0].parse().unwrap(), line[1].parse().unwrap());
        let stream = bytes(&line[3]);
        assert_eq!(bitshuffle::decode_stream(&stream, count, element).unwrap(), bytes(&line[2]), "{element} x {count}");
        for len in 0..stream.len() {
            assert!(bitshuffle::decode_stream(&stream[..len], count, element).is_err(), "cut to {len}");
        }
    }
}

#[test]
fn run_lengths_expand_to_their_bits() {
    let mut seen = 0;
    for line in lines("rle_for.tsv").iter().filter(|l| l[0].starts_with("RLE")) {
        let body = bytes(&line[2]);
        let wanted: Vec<u8> = line[1].bytes().map(|b| b - b'0').collect();
        for step in [1, 3, 8, wanted.len()] {
            let mut bits = if line[0] == "RLEP" { RleBits::page(&body).unwrap().0 } else { RleBits::new(body.clone()) };
            let mut out = Vec::new();
            while out.len() < wanted.len() {
                bits.take(step.min(wanted.len() - out.len()), &mut out).unwrap();
            }
            assert_eq!(out, wanted);
        }
        seen += 1;
    }
    assert_eq!(seen, 60);
}

#[test]
fn frames_of_reference_expand_to_their_numbers() {
    let (mut seen, mut refused) = (0, 0);
    for line in lines("rle_for.tsv").iter().filter(|l| l[0].starts_with("FOR")) {
        let element = line[0][3..4].parse().unwrap();
        let wanted: Vec<i128> = line[1].split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
        match frame_of_reference::decode(&bytes(&line[2]), element) {
            Ok(values) => assert_eq!(values, wanted, "{line:?}"),
            // Numbers behind a frame that StarRocks itself misreads.
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Unsupported);
                refused += 1;
            }
        }
        seen += 1;
    }
    assert_eq!((seen, refused), (22, 1));
}

#[test]
fn velocypack_prints_as_starrocks_prints_it() {
    let lines = lines("vpack.tsv");
    assert!(lines.len() > 10);
    for line in lines {
        let value = bytes(&line[0]);
        let mut text = Vec::new();
        json::text::write(&value, &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), line[1]);
        for len in 1..value.len() {
            assert!(json::text::write(&value[..len], &mut Vec::new()).is_err(), "{} cut to {len}", line[0]);
        }
        for at in 0..value.len() {
            for flip in 1..=255 {
                let mut changed = value.clone();
                changed[at] ^= flip;
                let _ = json::text::write(&changed, &mut Vec::new());
            }
        }
    }
}

#[test]
fn json_that_is_nested_without_end_is_refused() {
    let mut value = vec![0x01];
    for _ in 0..100_000 {
        let head = [&[0x04][..], &(value.len() as u32 + 5).to_le_bytes()].concat();
        value.splice(0..0, head);
        if value.len() > 400_000 {
            break;
        }
    }
    let error = json::text::write(&value, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// An index may point at the same item again and again; printed, such a value would be exponentially long.
#[test]
fn json_items_that_overlap_are_refused() {
    let mut value = vec![0x06, 5, 1, 0x31, 3];
    for _ in 0..20 {
        let len = (value.len() + 3 + 4) as u8;
        value = [&[0x06, len, 4], &value[..], &[3, 3, 3, 3]].concat();
    }
    assert!(json::text::write(&value, &mut Vec::new()).is_err());
}

/// The estimate is made in single precision, which now and then decides about its last digit.
#[test]
fn sketches_estimate_as_starrocks_does() {
    for (zeros, estimate) in [(15_578, 826), (9_289, 9_298), (4_479, 21_249), (123, 80_149)] {
        let mut sketch = vec![1; 1 + 16_384];
        sketch[0] = 3;
        sketch[1..=zeros].fill(0);
        assert_eq!(hll::Hll::parse(&sketch).unwrap().cardinality(), estimate, "{zeros} empty registers");
    }
}

/// The layout of prefix pages, written down again from its description: every sixteenth string stands in full.
fn prefix_page(strings: &[Vec<u8>]) -> Vec<u8> {
    fn varint(mut n: usize, out: &mut Vec<u8>) {
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
    }
    let (mut body, mut restarts): (Vec<u8>, Vec<u32>) = (Vec::new(), Vec::new());
    for (at, string) in strings.iter().enumerate() {
        let shared = match at % 16 {
            0 => {
                restarts.push(body.len() as u32);
                0
            }
            _ => string.iter().zip(&strings[at - 1]).take_while(|(a, b)| a == b).count(),
        };
        varint(shared, &mut body);
        varint(string.len() - shared, &mut body);
        body.extend_from_slice(&string[shared..]);
    }
    body.extend_from_slice(&(strings.len() as u32).to_le_bytes());
    body.push(16);
    restarts.iter().for_each(|r| body.extend_from_slice(&r.to_le_bytes()));
    body.extend_from_slice(&(restarts.len() as u32).to_le_bytes());
    body
}

proptest! {
    #[test]
    fn prefix_pages_hold_their_strings(set: BTreeSet<Vec<u8>>, damage: (usize, u8)) {
        let strings: Vec<_> = set.into_iter().collect();
        let mut page = prefix_page(&strings);
        prop_assert_eq!(prefix::decode(&page).unwrap(), strings);
        let at = damage.0 % page.len();
        page[at] ^= damage.1;
        let _ = prefix::decode(&page);
        let _ = prefix::decode(&page[..at]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, element in 1usize..33) {
        let _ = prefix::decode(&bytes);
        let _ = frame_of_reference::decode(&bytes, element);
        let _ = bitshuffle::decode_page(&bytes, element);
        let _ = json::text::write(&bytes, &mut Vec::new());
        let _ = hll::Hll::parse(&bytes);
        let _ = bitmap::parse(&bytes);
        let _ = percentile::Percentile::parse(&bytes);
        let _ = DeleteVector::parse(&bytes, 0);
        let _ = BinaryPlain::parse(bytes.clone(), element);
        if let Ok((mut bits, _)) = RleBits::page(&bytes) {
            let _ = bits.take(element * 100, &mut Vec::new());
        }
    }

    /// What a union writes, a reader reads back; uniting in any order comes to the same.
    #[test]
    fn sketches_unite(a: Vec<u64>, b in proptest::collection::vec(any::<u64>(), 0..400)) {
        let explicit = |hashes: &[u64]| {
            let mut all = hll::Hll::default();
            for part in hashes.chunks(100) {
                let bytes: Vec<u8> = part.iter().flat_map(|h| h.to_le_bytes()).collect();
                all.union(&hll::Hll::parse(&[&[1, part.len() as u8], &bytes[..]].concat()).unwrap());
            }
            all
        };
        let (mut left, mut right) = (explicit(&a), explicit(&b));
        let (first, second) = (left.clone(), right.clone());
        left.union(&second);
        right.union(&first);
        prop_assert_eq!(left.cardinality(), right.cardinality());
        prop_assert_eq!(hll::Hll::parse(&left.to_bytes()).unwrap().cardinality(), left.cardinality());
        let set: roaring::RoaringTreemap = a.iter().chain(&b).copied().collect();
        prop_assert_eq!(bitmap::parse(&bitmap::to_bytes(&set).unwrap()).unwrap(), set);
    }
}
