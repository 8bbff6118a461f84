//! Filters against a plain evaluation of the same condition on rows that were read without one.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

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
    }
}

fn filters(column: &Column, values: &[Value]) -> Vec<Filter> {
    let name = || column.name.clone();
    let mut texts: Vec<String> = values.iter().filter_map(operand).collect();
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
            let step = if all.len() > 10_000 { 7 } else { 1 };
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
