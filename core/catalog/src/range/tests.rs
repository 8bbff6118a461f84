#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use proptest::prelude::*;

fn int(value: i64) -> Bound {
    Bound { primitive: "INT".into(), value: BoundValue::Int(value) }
}

fn end(closed: bool, key: PartitionKey) -> Option<End> {
    Some(End { closed, key })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').map(|b| (b as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn day(year: u16, month: u8, day: u8) -> Bound {
    Bound { primitive: "DATE".into(), value: BoundValue::Date(Date { year, month, day }) }
}

#[test]
fn documented_examples() {
    let january = bytes(
        "01 01 00000001 00000004 44415445 00 0001 19b2420000000000 01 00 00000001 00000004 44415445 00 0001 19b2820000000000",
    );
    let range = Range::decode(&january).unwrap();
    assert_eq!(range, Range { lower: end(true, vec![day(2024, 1, 1)]), upper: end(false, vec![day(2024, 2, 1)]) });
    assert_eq!(range.encode().unwrap(), january);
    assert_eq!(range.encode_signed().unwrap()[18], -78);

    let tens =
        bytes("01 01 00000001 00000003 494e54 00 000000000000000a 01 00 00000001 00000003 494e54 00 0000000000000014");
    assert_eq!(
        Range::decode(&tens).unwrap(),
        Range { lower: end(true, vec![int(10)]), upper: end(false, vec![int(20)]) }
    );
    let max = bytes("00 01 00 00000001 00000004 44415445 01");
    let range = Range::decode(&max).unwrap();
    assert_eq!((range.lower.as_ref(), &range.upper.as_ref().unwrap().key[0].value), (None, &BoundValue::Max));
    assert_eq!(range.encode().unwrap(), max);
}

#[test]
fn shadows_are_known_and_are_no_problem() {
    let zero = bytes(
        "01 01 00000001 00000004 44415445 00 0001 0000000000000000 01 00 00000001 00000004 44415445 00 0001 0000000000000000",
    );
    let range = Range::decode(&zero).unwrap();
    assert!(range.is_shadow() && range.problem().is_none());
    assert_eq!(range.lower.as_ref().unwrap().key[0].value.to_string(), "0000-00-00");
    assert!(!Range::default().is_shadow());
    assert!(!Range { lower: end(true, vec![int(0)]), upper: end(false, vec![int(0)]) }.is_shadow());
}

/// What an FE stores for a bound with microseconds.
fn as_the_fe_packs(time: DateTime) -> i64 {
    let whole = BoundValue::DateTime(DateTime { microsecond: 0, ..time }).pack().unwrap().1 >> 24;
    whole << ((24 + time.microsecond) % 64)
}

#[test]
fn damaged_microseconds_are_reported() {
    let time =
        DateTime { date: Date { year: 2024, month: 5, day: 17 }, hour: 12, minute: 34, second: 56, microsecond: 0 };
    // A multiple of 64: the microseconds are gone, the rest is right.
    let lost = BoundValue::unpack(true, as_the_fe_packs(DateTime { microsecond: 123_456, ..time }));
    assert_eq!(lost, BoundValue::DateTime(time));
    // Shifted out of place.
    for microsecond in [500_000, 20, 30] {
        let packed = as_the_fe_packs(DateTime { microsecond, ..time });
        let value = BoundValue::unpack(true, packed);
        assert_eq!(value, BoundValue::NoDate { datetime: true, packed }, "{microsecond}");
        let bound = Bound { primitive: "DATETIME".into(), value };
        let range = Range { lower: end(true, vec![bound]), upper: None };
        assert!(range.problem().unwrap().contains("DATETIME"));
        assert_eq!(Range::decode(&range.encode().unwrap()).unwrap(), range);
    }
}

#[test]
fn no_day_of_the_calendar() {
    for (year, month, day) in [(2023, 2, 29), (1900, 2, 29), (2024, 0, 1), (2024, 4, 31), (10_000, 1, 1), (2024, 1, 0)]
    {
        let packed = BoundValue::Date(Date { year, month, day }).pack().unwrap().1;
        assert_eq!(BoundValue::unpack(false, packed), BoundValue::NoDate { datetime: false, packed });
    }
    // A DATE with a time of day.
    let packed = (
        as_the_fe_packs(DateTime {
            date: Date { year: 2024, month: 2, day: 29 },
            hour: 1,
            minute: 0,
            second: 0,
            microsecond: 0,
        }),
        false,
    );
    assert!(matches!(BoundValue::unpack(packed.1, packed.0), BoundValue::NoDate { .. }));
    assert!(matches!(BoundValue::unpack(true, packed.0), BoundValue::DateTime(_)));
    assert!(matches!(BoundValue::unpack(true, -1), BoundValue::NoDate { .. }));
}

#[test]
fn order_is_by_value() {
    let key = |values: &[i64]| values.iter().copied().map(int).collect::<Vec<_>>();
    let range = |lower: Option<Vec<Bound>>, upper: Option<Vec<Bound>>| Range {
        lower: lower.and_then(|key| end(true, key)),
        upper: upper.and_then(|key| end(false, key)),
    };
    let max = vec![Bound { primitive: "INT".into(), value: BoundValue::Max }];
    let sorted = [
        range(None, Some(key(&[1]))),
        range(None, None),
        range(Some(key(&[-5])), Some(key(&[1]))),
        range(Some(key(&[9])), Some(key(&[10]))),
        range(Some(key(&[9])), Some(max.clone())),
        range(Some(key(&[10])), Some(max.clone())),
        range(Some(key(&[10, 3])), Some(max.clone())),
        range(Some(max), None),
    ];
    for (i, a) in sorted.iter().enumerate() {
        for (j, b) in sorted.iter().enumerate() {
            assert_eq!(a.order(b), i.cmp(&j), "{i} {j}");
        }
    }
    let large = |text: &str| BoundValue::LargeInt(text.into());
    assert_eq!(large("-170141183460469231731687303715884105728").order(&large("-9")), Ordering::Less);
    assert_eq!(large("10").order(&large("9")), Ordering::Greater);
}

#[test]
fn hostile_bytes_are_refused() {
    for (hex, reason) in [
        ("", "1 bytes are due"),
        ("02", "neither"),
        ("01 01 7fffffff 00000003 494e54 01", "bounds cannot be"),
        ("01 01 ffffffff", "bounds cannot be"),
        ("01 01 00000001 7fffffff 494e54 01", "bytes of text cannot be"),
        ("01 01 00000001 00000003 494e58 00 00", "INX"),
        ("01 01 00000001 00000003 494eff 00 00", "UTF-8"),
        ("01 01 00000001 00000004 44415445 00 0002 0000000000000000 00", "kind of date"),
        ("00 00 00", "1 bytes too many"),
    ] {
        let error = Range::decode(&bytes(hex)).unwrap_err().to_string();
        assert!(error.contains(reason), "{hex}: {error}");
    }
}

fn bound() -> impl Strategy<Value = Bound> {
    let time = (0u16..10_000, 1u8..13, 1u8..29, 0u8..24, 0u8..60, 0u8..60, 0u32..1_000_000).prop_map(
        |(year, month, day, hour, minute, second, microsecond)| DateTime {
            date: Date { year, month, day },
            hour,
            minute,
            second,
            microsecond,
        },
    );
    let named = |name: &'static str| move |value| Bound { primitive: name.into(), value };
    prop_oneof![
        any::<i64>().prop_map(BoundValue::Int).prop_map(named("BIGINT")),
        any::<i128>().prop_map(|value| BoundValue::LargeInt(value.to_string())).prop_map(named("LARGEINT")),
        time.clone().prop_map(|time| BoundValue::Date(time.date)).prop_map(named("DATE")),
        time.prop_map(BoundValue::DateTime).prop_map(named("DATETIME")),
        any::<i64>().prop_map(|packed| BoundValue::unpack(true, packed)).prop_map(named("DATETIME")),
        any::<i64>().prop_map(|packed| BoundValue::unpack(false, packed)).prop_map(named("DATE")),
        ".*".prop_map(BoundValue::Text).prop_map(named("VARCHAR")),
        Just(BoundValue::Max).prop_map(named("DATE")),
    ]
}

fn range() -> impl Strategy<Value = Range> {
    let end = || {
        prop::option::of(
            (any::<bool>(), prop::collection::vec(bound(), 0..4)).prop_map(|(closed, key)| End { closed, key }),
        )
    };
    (end(), end()).prop_map(|(lower, upper)| Range { lower, upper })
}

proptest! {
    #[test]
    fn any_range_survives(range in range()) {
        let bytes = range.encode().unwrap();
        prop_assert_eq!(&Range::decode(&bytes).unwrap(), &range);
        for cut in 0..bytes.len() {
            prop_assert!(Range::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(range) = Range::decode(&bytes) {
            prop_assert_eq!(range.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn order_is_an_order(a in range(), b in range(), c in range()) {
        prop_assert_eq!(a.order(&b), b.order(&a).reverse());
        prop_assert_eq!(a.order(&a), Ordering::Equal);
        if a.order(&b).is_le() && b.order(&c).is_le() {
            prop_assert!(a.order(&c).is_le());
        }
    }
}
