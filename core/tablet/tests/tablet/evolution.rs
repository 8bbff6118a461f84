//! Columns whose type has changed since their segments were written: genuine segments read with another schema.

use arrow_array::cast::AsArray;
use serde_json::{Value, json};
use starsnap_tablet::schema::DecimalKind;
use starsnap_tablet::{Column, LogicalType, Tablet, TabletMeta};

use super::common::{self, Case};
use super::render::{options, render, same};

/// What a value becomes in a wider type, from the rendered one; nothing where this test knows no answer.
fn cast(value: &Value, from: &LogicalType, to: &LogicalType) -> Option<Value> {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    Some(match (from, to) {
        _ if value.is_null() => Value::Null,
        (LogicalType::Date, LogicalType::DateTime) => json!(format!("{} 00:00:00", value.as_str()?)),
        (LogicalType::DateTime, LogicalType::Date) => json!(&value.as_str()?[..10]),
        (LogicalType::Boolean, LogicalType::Int) => json!(i64::from(value.as_bool()?)),
        (LogicalType::Float, LogicalType::Double) => match value.as_f64() {
            Some(number) => json!(f64::from(number as f32)),
            None => value.clone(),
        },
        (_, LogicalType::LargeInt) => json!(text(value)),
        (_, LogicalType::Double) => json!(text(value).parse::<f64>().ok()?),
        (LogicalType::Decimal { scale: a, .. }, LogicalType::Decimal { scale: b, .. }) => {
            let zeros = "0".repeat((b - a) as usize);
            json!(format!("{}{}{zeros}", text(value), if *a == 0 && *b > 0 { "." } else { "" }))
        }
        (_, LogicalType::Decimal { scale, .. }) => json!(format!("{}.{}", text(value), "0".repeat(*scale as usize))),
        (LogicalType::Char(_) | LogicalType::Varchar(_), LogicalType::Int) => {
            text(value).trim().parse::<i32>().map_or(Value::Null, |n| json!(n))
        }
        (_, LogicalType::Varchar(_)) => json!(text(value)),
        _ => value.clone(),
    })
}

/// Types that a column of `ty` can be changed to.
fn wider(ty: &LogicalType) -> Vec<LogicalType> {
    use LogicalType::*;
    let decimal = |kind, precision, scale| Decimal { kind, precision, scale };
    match ty {
        Boolean => vec![Int],
        TinyInt => vec![SmallInt, Int, BigInt, LargeInt, Double, Varchar(10), decimal(DecimalKind::D64, 18, 4)],
        SmallInt => vec![Int, BigInt, LargeInt, Double, Varchar(10)],
        Int => vec![BigInt, LargeInt, Double, Varchar(20), decimal(DecimalKind::D128, 38, 2)],
        BigInt => vec![LargeInt, Varchar(20), decimal(DecimalKind::D256, 76, 3)],
        LargeInt => vec![Varchar(40)],
        Float => vec![Double],
        Date => vec![DateTime, Varchar(10)],
        DateTime => vec![Date, Varchar(30)],
        Char(_) => vec![Varchar(100), Int],
        Varchar(n) => vec![Varchar(n + 100), Int],
        Decimal { kind: DecimalKind::D32, scale, .. } => {
            vec![decimal(DecimalKind::D64, 18, *scale), decimal(DecimalKind::D128, 30, scale + 2), Varchar(30)]
        }
        Decimal { kind: DecimalKind::D64, scale, .. } => {
            vec![decimal(DecimalKind::D128, 38, scale + 5), decimal(DecimalKind::D256, 76, scale + 5)]
        }
        _ => Vec::new(),
    }
}

fn with_schema(case: &Case, columns: Vec<Column>) -> Tablet {
    let meta = case.meta();
    let mut rowsets = meta.rowsets.clone();
    // Segments keep the schema that they were written with.
    rowsets.iter_mut().for_each(|r| r.schema = Some(meta.schema.clone()));
    let mut changed = TabletMeta { rowsets, ..meta };
    changed.schema.columns = columns;
    case.open_with(changed)
}

#[test]
fn changed_types_hold_the_same_values() {
    let mut seen = 0;
    for case in common::cases().into_iter().filter(Case::is_small) {
        let stored = case.meta().schema.columns;
        let expected = case.expected();
        let rounds = stored.iter().map(|c| wider(&c.ty).len()).max().unwrap_or(0);
        for round in 0..rounds {
            let change = |c: &Column| {
                // A default is the text of a value of the old type.
                let ty = wider(&c.ty).get(round).cloned().filter(|_| c.default_value.is_none());
                Column { ty: ty.unwrap_or_else(|| c.ty.clone()), nullable: true, ..c.clone() }
            };
            let columns: Vec<Column> = stored.iter().map(change).collect();
            let rows = with_schema(&case, columns.clone()).physical_rows(None, &options()).unwrap();
            let batch = common::concat(rows);
            for ((array, column), from) in
                batch.columns().iter().zip(&columns).zip(&stored).filter(|((_, a), b)| a.ty != b.ty)
            {
                for (row, expected) in expected.iter().enumerate() {
                    // A column that segments lack has a default of the old type.
                    let Some(value) = expected.get(&from.name).filter(|_| from.default_value.is_none()) else {
                        continue;
                    };
                    let Some(wanted) = cast(value, &from.ty, &column.ty) else { continue };
                    let ours = render(array, column, row);
                    let (a, b) = (from.ty.sql(), column.ty.sql());
                    assert!(same(&ours, &wanted, column), "{case}: {a} to {b}: {ours} is not {wanted}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 10_000, "{seen} values");
}

/// Dropped columns are gone, renamed ones keep their values, added ones have their default, in whatever order they stand.
#[test]
fn columns_are_told_by_their_unique_ids() {
    for case in common::cases().into_iter().filter(|c| c.is_tiny()) {
        let mut columns = case.meta().schema.columns;
        let expected = case.expected();
        let dropped = columns.remove(3);
        let renamed = std::mem::replace(&mut columns[1].name, "renamed".to_owned());
        columns.reverse();
        columns.push(Column {
            unique_id: 10_000,
            name: dropped.name.clone(),
            ty: LogicalType::Varchar(10),
            default_value: Some(b"added".to_vec()),
            nullable: false,
            ..dropped.clone()
        });
        let batch = common::concat(with_schema(&case, columns.clone()).physical_rows(None, &options()).unwrap());
        assert_eq!(batch.num_rows(), expected.len(), "{case}");
        let added = batch.column_by_name(&dropped.name).unwrap().as_binary::<i32>();
        assert!(added.iter().all(|v| v == Some(b"added")), "{case}");
        let at = columns.iter().position(|c| c.name == "renamed").unwrap();
        for (row, expected) in expected.iter().enumerate() {
            let ours = render(batch.column(at), &columns[at], row);
            assert!(same(&ours, &expected[&renamed], &columns[at]), "{case}: {ours}");
        }
    }
}
