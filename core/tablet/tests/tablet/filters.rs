//! Filters against a plain evaluation of the same condition on rows that were read without one.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::Value;
use starsnap_tablet::predicate::Op;
use starsnap_tablet::{Column, Filter, LogicalType, ReadAt, Tablet};

use super::common::{self, Case};
use super::render::{options, render};

const OPS: [Op; 6] = [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge];

/// Whether this test knows how values of a type are ordered.
fn comparable(ty: &LogicalType) -> bool {
    use LogicalType::*;
    let known = [Boolean, TinyInt, SmallInt, Int, BigInt, LargeInt, Date, DateTime];
    known.contains(ty) || matches!(ty, Char(_) | Varchar(_) | Decimal { .. })
}

/// The text of a value, as an operand has it; nothing for text that is not UTF-8.
fn operand(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn order(a: &Value, b: &str, ty: &LogicalType) -> Option<Ordering> {
    let a = operand(a)?;
    let number = |text: &str| text.replace('.', "").parse::<i128>().unwrap();
    Some(match ty {
        LogicalType::Char(_) | LogicalType::Varchar(_) | LogicalType::Date | LogicalType::DateTime => a.as_str().cmp(b),
        LogicalType::Boolean => (a == "true").cmp(&(b == "true")),
        // Both have the same number of digits behind the point.
        _ => number(&a).cmp(&number(b)),
    })
}

fn holds(op: Op, order: Ordering) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
    }
}

/// True, false or unknown, as SQL has it.
fn truth(filter: &Filter, row: &Value, ty: &LogicalType) -> Option<bool> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match filter {
        Filter::IsNull { negated, .. } => Some(row.is_null() != *negated),
        Filter::Not(filter) => truth(filter, row, ty).map(|t| !t),
        Filter::And(filters) => {
            let all: Vec<_> = filters.iter().map(|f| truth(f, row, ty)).collect();
            if all.contains(&Some(false)) { Some(false) } else { (!all.contains(&None)).then_some(true) }
        }
        Filter::Or(filters) => {
            let all: Vec<_> = filters.iter().map(|f| truth(f, row, ty)).collect();
            if all.contains(&Some(true)) { Some(true) } else { (!all.contains(&None)).then_some(false) }
        }
        _ if row.is_null() => None,
        Filter::Compare { op, value, .. } => Some(holds(*op, order(row, &text(value), ty)?)),
        Filter::In { values, negated, .. } => {
            let found = values.iter().any(|v| order(row, &text(v), ty).is_some_and(Ordering::is_eq));
            Some(found != *negated)
        }
        Filter::StartsWith { prefix, .. } => Some(operand(row)?.as_bytes().starts_with(prefix)),
        Filter::Like { pattern, .. } => Some(like(operand(row)?.as_bytes(), pattern)),
        Filter::CompareDouble { op, value, .. } => {
            let number = if let Value::Bool(truth) = row { f64::from(u8::from(*truth)) } else { double(row)? };
            Some(number.partial_cmp(value).map_or(*op == Op::Ne, |order| holds(*op, order)))
        }
        Filter::Constant(truth) => *truth,
    }
}

fn double(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| operand(value)?.parse().ok())
}

/// LIKE over patterns of `%`, `_` and ASCII.
fn like(text: &[u8], pattern: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'%', rest @ ..] => (0..=text.len()).any(|at| like(&text[at..], rest)),
        [b'_', rest @ ..] => {
            let character = text.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count() + 1;
            !text.is_empty() && like(&text[character..], rest)
        }
        [byte, rest @ ..] => text.first() == Some(byte) && like(&text[1..], rest),
    }
}

/// Truth of a condition on several columns, by the values of one row.
fn truth_of_row(filter: &Filter, row: &[Value], columns: &[Column]) -> Option<bool> {
    let column = match filter {
        Filter::And(filters) | Filter::Or(filters) => {
            let all: Vec<_> = filters.iter().map(|f| truth_of_row(f, row, columns)).collect();
            let decides = Some(matches!(filter, Filter::Or(_)));
            return match all.contains(&decides) {
                true => decides,
                false if all.contains(&None) => None,
                false => decides.map(|d| !d),
            };
        }
        Filter::Not(filter) => return truth_of_row(filter, row, columns).map(|t| !t),
        Filter::Constant(truth) => return *truth,
        Filter::Compare { column, .. }
        | Filter::In { column, .. }
        | Filter::IsNull { column, .. }
        | Filter::StartsWith { column, .. }
        | Filter::Like { column, .. }
        | Filter::CompareDouble { column, .. } => column,
    };
    let at = columns.iter().position(|c| c.name == *column).unwrap();
    truth(filter, &row[at], &columns[at].ty)
}

/// A random condition on some columns, with values of the rows in it.
fn any_filter(columns: &[Column], rows: &[Vec<Value>], depth: u32) -> BoxedStrategy<Filter> {
    let texts: Vec<Vec<String>> =
        (0..columns.len()).map(|at| rows.iter().take(500).filter_map(|row| operand(&row[at])).collect()).collect();
    let columns: Vec<Column> = columns.to_vec();
    let leaf = (0..columns.len(), 0usize..9, 0usize..6, prop::collection::vec(any::<prop::sample::Index>(), 3));
    let leaf = leaf.prop_map(move |(at, kind, op, picks)| {
        let (column, ty) = (columns[at].name.clone(), &columns[at].ty);
        let text = |pick: usize| match texts[at].is_empty() {
            true => None,
            false => Some(picks[pick].get(&texts[at]).clone().into_bytes()),
        };
        let is_text = matches!(ty, LogicalType::Char(_) | LogicalType::Varchar(_));
        let is_date = matches!(ty, LogicalType::Date | LogicalType::DateTime);
        match (kind, text(0)) {
            (0, _) | (_, None) => Filter::IsNull { column, negated: op % 2 == 0 },
            (1, _) => Filter::Constant([Some(true), Some(false), None][op % 3]),
            (2 | 3, Some(first)) => {
                let values = [first].into_iter().chain(text(1)).chain(text(2)).collect();
                Filter::In { column, values, negated: kind == 3 }
            }
            (4, Some(value)) if is_text => {
                let (start, end) = (value.len().min(op % 3), value.len().saturating_sub(op % 2));
                let middle = &value[start.min(end)..end];
                let clean = middle.iter().all(|byte| byte.is_ascii() && !b"%_\\".contains(byte));
                let middle: &[u8] = if clean { middle } else { b"a" };
                let parts: [&[u8]; 3] = [["_", "%", ""][op % 3].as_bytes(), middle, ["%", "_", ""][op / 2].as_bytes()];
                Filter::Like { column, pattern: parts.concat() }
            }
            (5, Some(value)) if is_text => {
                let text = String::from_utf8(value).unwrap();
                let prefix = text.chars().take(op).collect::<String>().into_bytes();
                Filter::StartsWith { column, prefix }
            }
            (6, Some(value)) if !is_text && !is_date => {
                let text = String::from_utf8(value).unwrap();
                let value = match text.as_str() {
                    "true" => 1.0,
                    "false" => 0.0,
                    number => number.parse::<f64>().unwrap(),
                };
                Filter::CompareDouble { column, op: OPS[op], value }
            }
            (_, Some(value)) => Filter::Compare { column, op: OPS[op], value },
        }
    });
    leaf.prop_recursive(depth, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::Or),
            inner.prop_map(|f| Filter::Not(Box::new(f))),
        ]
    })
    .boxed()
}

fn read_rows(
    batches: impl Iterator<Item = starsnap_tablet::Result<arrow_array::RecordBatch>>,
    columns: &[Column],
) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let cells = |row| batch.columns().iter().zip(columns).map(move |(array, column)| render(array, column, row));
        rows.extend((0..batch.num_rows()).map(|row| cells(row).collect::<Vec<_>>()));
    }
    rows
}

#[test]
fn any_condition_selects_the_rows_that_meet_it() {
    let (mut seen, mut found, mut skipped) = (0, 0, 0);
    for case in common::cases() {
        let tablet = case.open();
        let columns = &tablet.meta().schema.columns;
        let columns: Vec<Column> = columns.iter().filter(|c| comparable(&c.ty)).cloned().collect();
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let logical = read_rows(tablet.rows(Some(&names), &options()).unwrap(), &columns);
        let physical = read_rows(tablet.physical_rows(Some(&names), &options()).unwrap(), &columns);
        // Text that is not UTF-8 cannot be rendered into an operand; its columns are tested one by one.
        let any = any_filter(&columns, &physical, 3);
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let rounds = match logical.len() {
            100_000.. => 2,
            10_000.. => 4,
            _ => 40,
        };
        for round in 0..rounds {
            let filter = any.new_tree(&mut runner).unwrap().current();
            let wanted = |rows: &[Vec<Value>]| {
                let meets = |row: &&Vec<Value>| truth_of_row(&filter, row, &columns) == Some(true);
                // Only some of the columns are wanted, perhaps none that is filtered by.
                let some = |row: &Vec<Value>| row.iter().skip(round % columns.len()).cloned().collect::<Vec<_>>();
                rows.iter().filter(meets).map(some).collect::<Vec<_>>()
            };
            let (wanted_names, wanted_columns) = (&names[round % columns.len()..], &columns[round % columns.len()..]);
            let mut rows = tablet.rows_where(Some(wanted_names), Some(&filter), &options()).unwrap();
            let ours = read_rows(&mut rows, wanted_columns);
            let theirs = wanted(&logical);
            assert!(ours == theirs, "{case}: {filter:?}: {} of {} rows", ours.len(), logical.len());
            found += ours.len();
            skipped += rows.stats().rows_skipped;
            let rows = tablet.physical_rows_where(Some(wanted_names), Some(&filter), &options()).unwrap();
            let theirs = if physical == logical { theirs } else { wanted(&physical) };
            assert!(read_rows(rows, wanted_columns) == theirs, "{case}: physical, {filter:?}");
            seen += 1;
        }
    }
    println!("{seen} conditions, {found} rows, {skipped} rows skipped by indexes");
    assert!(seen > 800 && found > 10_000 && skipped > 10_000);
}

fn filters(column: &Column, values: &[Value]) -> Vec<Filter> {
    let name = || column.name.clone();
    // Some thousands are enough to choose from.
    let mut texts: Vec<String> = values.iter().step_by(values.len() / 5000 + 1).filter_map(operand).collect();
    let compare = |op, text: &str| Filter::Compare { column: name(), op, value: text.into() };
    let mut filters =
        vec![Filter::IsNull { column: name(), negated: false }, Filter::IsNull { column: name(), negated: true }];
    if texts.is_empty() {
        return filters;
    }
    texts.sort_by(|a, b| order(&Value::from(a.as_str()), b, &column.ty).unwrap());
    let pick = |part: usize| texts[(texts.len() - 1) * part / 4].as_str();
    let (low, middle, high) = (pick(0), pick(2), pick(4));
    for text in [low, middle, high] {
        filters.extend(OPS.iter().map(|op| compare(*op, text)));
    }
    let list = vec![low.into(), middle.into()];
    for negated in [false, true] {
        filters.push(Filter::In { column: name(), values: list.clone(), negated });
    }
    let between = Filter::And(vec![compare(Op::Ge, pick(1)), compare(Op::Lt, middle)]);
    let outside = Filter::Or(vec![compare(Op::Lt, pick(1)), compare(Op::Gt, pick(3))]);
    filters.extend([Filter::Not(Box::new(between.clone())), between, outside.clone(), Filter::Not(Box::new(outside))]);
    if matches!(column.ty, LogicalType::Char(_) | LogicalType::Varchar(_)) {
        for text in [low, middle, high] {
            let prefix: String = text.chars().take(1).collect();
            filters.push(Filter::StartsWith { column: name(), prefix: prefix.into_bytes() });
        }
    }
    filters
}

fn read(tablet: &Tablet, column: &Column, filter: Option<&Filter>) -> Vec<Value> {
    let mut values = Vec::new();
    for batch in tablet.rows_where(Some(&[&column.name]), filter, &options()).unwrap() {
        let batch = batch.unwrap();
        values.extend((0..batch.num_rows()).map(|row| render(batch.column(0), column, row)));
    }
    values
}

#[test]
fn filtered_rows_are_those_that_meet_the_condition() {
    let (mut seen, mut found) = (0, 0);
    for case in common::cases() {
        let tablet = case.open();
        for column in tablet.meta().schema.columns.iter().filter(|c| comparable(&c.ty)) {
            let all = read(&tablet, column, None);
            // Large cases have much the same in every column; a part of the filters will do.
            let step = match all.len() {
                100_000.. => 11,
                10_000.. => 7,
                _ => 1,
            };
            for filter in filters(column, &all).into_iter().step_by(step) {
                let wanted: Vec<_> = all.iter().filter(|v| truth(&filter, v, &column.ty) == Some(true)).collect();
                let ours = read(&tablet, column, Some(&filter));
                assert!(ours.iter().collect::<Vec<_>>() == wanted, "{case}: {filter:?}");
                seen += 1;
                found += wanted.len();
            }
            // More columns than the one that is asked about.
            let filter = Filter::IsNull { column: column.name.clone(), negated: true };
            let rows = tablet.rows_where(None, Some(&filter), &options()).unwrap();
            if case.is_small() {
                let count: usize = rows.map(|b| b.unwrap().num_rows()).sum();
                assert_eq!(count, all.iter().filter(|v| !v.is_null()).count(), "{case}");
            }
        }
    }
    println!("{seen} filters, {found} rows");
    assert!(seen > 5_000);
}

/// Nested columns too, which have no pages of their own.
#[test]
fn columns_of_any_type_are_asked_for_null() {
    let mut nested = 0;
    for case in common::cases().into_iter().filter(|case| case.is_small()) {
        let tablet = case.open();
        for column in &tablet.meta().schema.columns {
            let all = read(&tablet, column, None);
            for negated in [false, true] {
                let filter = Filter::IsNull { column: column.name.clone(), negated };
                let ours = read(&tablet, column, Some(&filter));
                let wanted: Vec<_> = all.iter().filter(|value| value.is_null() != negated).cloned().collect();
                assert!(ours == wanted, "{case}: {filter:?}: {} of {} rows", ours.len(), all.len());
            }
            let is_nested = matches!(column.ty, LogicalType::Array(_) | LogicalType::Map(..) | LogicalType::Struct(_));
            nested += usize::from(is_nested);
        }
    }
    assert!(nested > 20, "{nested}");
}

/// Bytes that were asked for.
struct Counted(Vec<u8>, Arc<AtomicU64>);

impl ReadAt for Counted {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.1.fetch_add(buf.len() as u64, Atomic::Relaxed);
        self.0.read_at(offset, buf)
    }
}

#[test]
fn projections_and_zone_maps_save_reading() {
    let largest = |case: &Case| {
        std::fs::metadata(case.tablet())
            .unwrap()
            .len()
            .max(case.meta().rowsets.iter().map(|r| r.data_disk_size as u64).max().unwrap_or(0))
    };
    let case = common::cases().into_iter().max_by_key(largest).unwrap();
    let bytes = Arc::new(AtomicU64::new(0));
    let (dir, counter) = (case.tablet(), bytes.clone());
    let tablet = Tablet::new(case.meta(), move |name: &str| {
        Ok(Arc::new(Counted(std::fs::read(dir.join(name))?, counter.clone())) as Arc<dyn ReadAt>)
    });
    let key = tablet.meta().schema.columns[0].clone();
    let read = |columns: Option<&[&str]>, filter: Option<&Filter>| {
        bytes.store(0, Atomic::Relaxed);
        let rows: usize = tablet.rows_where(columns, filter, &options()).unwrap().map(|b| b.unwrap().num_rows()).sum();
        (rows, bytes.load(Atomic::Relaxed))
    };
    let (rows, everything) = read(None, None);
    let (same_rows, one_column) = read(Some(&[&key.name]), None);
    assert_eq!(rows, same_rows);
    assert!(one_column * 3 < everything, "{one_column} of {everything} bytes for one column");
    let nothing = Filter::Compare { column: key.name.clone(), op: Op::Lt, value: b"-9000000000000000000".to_vec() };
    let (none, few) = read(None, Some(&nothing));
    assert_eq!(none, 0);
    assert!(few * 10 < everything, "{few} of {everything} bytes for no rows");
    // The first thousandth of the keys.
    let few = Filter::Compare { column: key.name.clone(), op: Op::Lt, value: (rows / 1000).to_string().into_bytes() };
    let (some, part) = read(None, Some(&few));
    assert!(some > 0 && some < rows / 100, "{some} of {rows} rows");
    // Dictionaries are read whole.
    assert!(part * 10 < everything * 7, "{part} of {everything} bytes for {some} of {rows} rows");
}

/// Each bloom filter lets every value of its page through, and hardly any other.
#[test]
fn bloom_filters_skip_pages_without_the_value() {
    let mut columns = 0;
    for case in common::cases() {
        let tablet = case.open();
        let schema = &tablet.meta().schema;
        for column in schema.columns.iter().filter(|c| c.has_bloom_filter && comparable(&c.ty)) {
            let values: Vec<String> = read(&tablet, column, None).iter().filter_map(operand).collect();
            let equal = |value: &str| Filter::Compare { column: column.name.clone(), op: Op::Eq, value: value.into() };
            let ask = |value: &str| {
                let mut rows = tablet.rows_where(Some(&[&column.name]), Some(&equal(value)), &options()).unwrap();
                let found: usize = rows.by_ref().map(|batch| batch.unwrap().num_rows()).sum();
                (found, rows.stats())
            };
            for value in values.iter().step_by(values.len() / 7 + 1) {
                assert_eq!(
                    ask(value).0,
                    values.iter().filter(|v| *v == value).count(),
                    "{case}: {} = {value}",
                    column.name
                );
            }
            // What is between the values, so that zone maps know nothing of it.
            let mut missing: Vec<String> = match column.ty {
                LogicalType::Char(_) | LogicalType::Varchar(_) => {
                    values.iter().take(40).map(|v| format!("{v}!")).collect()
                }
                LogicalType::Int | LogicalType::BigInt | LogicalType::LargeInt => {
                    let step = |v: &String| v.parse::<i128>().unwrap() / 2 + 1;
                    values.iter().take(40).map(|v| step(v).to_string()).collect()
                }
                _ => continue,
            };
            missing.retain(|value| {
                !values.contains(value) && value.len() < 10 || !matches!(column.ty, LogicalType::Char(_))
            });
            missing.retain(|value| !values.contains(value));
            if missing.len() < 10 {
                continue;
            }
            let stats: Vec<_> = missing.iter().map(|value| ask(value)).collect();
            assert!(stats.iter().all(|(found, _)| *found == 0), "{case}: {}", column.name);
            let (all, skipped) =
                stats.iter().fold((0, 0), |(a, s), (_, stats)| (a + stats.rows, s + stats.rows_skipped));
            // One in twenty is let through by mistake.
            assert!(skipped * 10 > all * 8, "{case}: {} skipped {skipped} of {all} rows", column.name);
            columns += 1;
        }
    }
    assert!(columns > 2, "{columns} columns with bloom filters");
}

/// Files of which one has a byte turned over.
fn damaged(case: &Case, file: String, at: u64) -> Tablet {
    let dir = case.tablet();
    Tablet::new(case.meta(), move |name: &str| {
        let mut bytes = std::fs::read(dir.join(name))?;
        if name == file {
            bytes[at as usize] ^= 0x24;
        }
        Ok(Arc::new(bytes) as Arc<dyn ReadAt>)
    })
}

#[test]
fn a_damaged_index_is_an_error_or_changes_nothing() {
    let (mut errors, mut same) = (0, 0);
    for case in common::cases() {
        let tablet = case.open();
        let meta = tablet.meta().clone();
        let Some(column) = meta.schema.sort_key.first().map(|at| meta.schema.columns[*at].clone()) else { continue };
        let segments = meta.rowsets.iter().flat_map(|r| (0..r.segments.len()).map(move |n| (r, n)));
        let opened = segments.map(|(r, n)| (r.id.segment_file(n), tablet.open_segment(r, n).unwrap()));
        let Some((file, segment)) = opened.max_by_key(|(_, segment)| segment.num_rows()) else { continue };
        if segment.num_rows() < 5000 || !comparable(&column.ty) {
            continue;
        }
        let values: Vec<String> = read(&tablet, &column, None).iter().filter_map(operand).collect();
        let value = values[values.len() / 3].clone().into_bytes();
        let filter = Filter::Compare { column: column.name.clone(), op: Op::Eq, value };
        let wanted = read(&tablet, &column, Some(&filter));
        let zones = segment.column(column.unique_id).unwrap().indexes.iter().filter_map(|i| i.zone_map_index.as_ref());
        let zones = zones.filter_map(|z| z.page_zone_maps.as_ref()?.ordinal_index_meta?.root_page);
        for page in segment.footer().short_key_index_page.into_iter().chain(zones) {
            for at in (0..u64::from(page.size)).step_by(page.size as usize / 12 + 1) {
                let tablet = damaged(&case, file.clone(), page.offset + at);
                let rows = tablet.rows_where(Some(&[&column.name]), Some(&filter), &options()).unwrap();
                match rows.collect::<Result<Vec<_>, _>>() {
                    Err(error) => {
                        assert_eq!(error.kind(), starsnap_tablet::ErrorKind::Damaged, "{case}: {error}");
                        errors += 1;
                    }
                    Ok(batches) => {
                        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
                        assert_eq!(rows, wanted.len(), "{case}: byte {at}");
                        same += 1;
                    }
                }
            }
        }
    }
    assert!(errors > 20, "{errors} errors, {same} times the same rows");
}
