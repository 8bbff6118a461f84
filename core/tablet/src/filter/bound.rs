//! A filter with its columns found and its operands parsed: what it says of rows, and of parts of segments.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::like::Pattern;
use crate::error::{Result, TabletError};
use crate::predicate::{Op, Test, compare};

/// NOT stands only before conditions that cannot be turned into their opposite.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    Test {
        column: usize,
        test: Test,
    },
    StartsWith {
        column: usize,
        prefix: Vec<u8>,
    },
    Like {
        column: usize,
        pattern: Pattern,
    },
    /// A comparison of numbers as DOUBLE; `floating` if the column's own values may be no numbers.
    Double {
        column: usize,
        op: Op,
        value: f64,
        floating: bool,
    },
    Constant(Option<bool>),
    And(Vec<Bound>),
    Or(Vec<Bound>),
    Not(Box<Bound>),
}

/// What is known of the values of some rows of a column.
#[derive(Debug)]
pub(crate) struct Zone {
    /// Least and greatest value, arrays of one; nothing if all are NULL.
    pub range: Option<(ArrayRef, ArrayRef)>,
    pub has_null: bool,
}

fn opposite(op: Op) -> Op {
    match op {
        Op::Eq => Op::Ne,
        Op::Ne => Op::Eq,
        Op::Lt => Op::Ge,
        Op::Le => Op::Gt,
        Op::Gt => Op::Le,
        Op::Ge => Op::Lt,
    }
}

impl Bound {
    /// Schema positions of the columns it looks at.
    pub fn columns(&self, out: &mut Vec<usize>) {
        match self {
            Bound::Test { column, .. }
            | Bound::StartsWith { column, .. }
            | Bound::Like { column, .. }
            | Bound::Double { column, .. } => out.push(*column),
            Bound::Constant(_) => {}
            Bound::And(bounds) | Bound::Or(bounds) => bounds.iter().for_each(|b| b.columns(out)),
            Bound::Not(bound) => bound.columns(out),
        }
    }

    /// What is true where this is false, false where this is true, and unknown where this is.
    pub fn negated(self) -> Bound {
        let all = |bounds: Vec<Bound>| bounds.into_iter().map(Bound::negated).collect();
        match self {
            Bound::Constant(truth) => Bound::Constant(truth.map(|t| !t)),
            Bound::And(bounds) => Bound::Or(all(bounds)),
            Bound::Or(bounds) => Bound::And(all(bounds)),
            Bound::Not(bound) => *bound,
            Bound::Test { column, test: Test::IsNull { negated } } => {
                Bound::Test { column, test: Test::IsNull { negated: !negated } }
            }
            Bound::Test { column, test: Test::In { values, negated } } => {
                Bound::Test { column, test: Test::In { values, negated: !negated } }
            }
            // What is no number is neither less nor not less.
            Bound::Test { column, test: Test::Compare(op, value) } if !value.data_type().is_floating() => {
                Bound::Test { column, test: Test::Compare(opposite(op), value) }
            }
            Bound::Double { column, op, value, floating: false } if !value.is_nan() => {
                Bound::Double { column, op: opposite(op), value, floating: false }
            }
            other => Bound::Not(Box::new(other)),
        }
    }

    /// The conditions that must all be true.
    pub fn conjuncts(&self) -> Vec<&Bound> {
        match self {
            Bound::And(bounds) => bounds.iter().flat_map(Bound::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// Sets `keep` to false for every row for which it is not true.
    pub fn apply<'a>(&self, keep: &mut [bool], array: &dyn Fn(usize) -> Option<&'a ArrayRef>) -> Result<()> {
        let truth = self.truth(keep.len(), array)?;
        keep.iter_mut().zip(truth).for_each(|(keep, truth)| *keep &= truth == Some(true));
        Ok(())
    }

    /// For each row true, false, or unknown.
    fn truth<'a>(&self, rows: usize, array: &dyn Fn(usize) -> Option<&'a ArrayRef>) -> Result<Vec<Option<bool>>> {
        let get = |column: usize| array(column).ok_or_else(|| TabletError::request("no column to filter by"));
        let fold = |bounds: &[Bound], start: bool| {
            let mut all = vec![Some(start); rows];
            for bound in bounds {
                for (all, one) in all.iter_mut().zip(bound.truth(rows, array)?) {
                    // The other truth value decides; unknown wins over the one that does not.
                    *all = match (*all, one) {
                        (Some(a), Some(b)) if a == start && b == start => Some(start),
                        (a, b) if a == Some(!start) || b == Some(!start) => Some(!start),
                        _ => None,
                    };
                }
            }
            Ok(all)
        };
        match self {
            Bound::And(bounds) => fold(bounds, true),
            Bound::Or(bounds) => fold(bounds, false),
            Bound::Not(bound) => Ok(bound.truth(rows, array)?.into_iter().map(|t| t.map(|t| !t)).collect()),
            Bound::StartsWith { column, prefix } => {
                let texts = get(*column)?.as_binary_opt::<i32>();
                let texts = texts.ok_or_else(|| TabletError::request("LIKE is for CHAR and VARCHAR columns"))?;
                Ok(texts.iter().map(|t| t.map(|t| t.starts_with(prefix))).collect())
            }
            Bound::Like { column, pattern } => {
                let texts = get(*column)?.as_binary_opt::<i32>();
                let texts = texts.ok_or_else(|| TabletError::request("LIKE is for CHAR and VARCHAR columns"))?;
                Ok(texts.iter().map(|t| t.map(|t| pattern.matches(t))).collect())
            }
            Bound::Double { column, op, value, .. } => {
                let array = get(*column)?;
                let double = doubles(array)?;
                let holds = |row| double(row).partial_cmp(value).map_or(*op == Op::Ne, |order| op.holds(order));
                Ok((0..rows).map(|row| array.is_valid(row).then(|| holds(row))).collect())
            }
            Bound::Constant(truth) => Ok(vec![*truth; rows]),
            Bound::Test { column, test } => test_truth(test, get(*column)?),
        }
    }

    /// Whether it is never true, whatever the rows; only constants tell.
    pub fn never(&self) -> bool {
        match self {
            Bound::Constant(truth) => *truth != Some(true),
            Bound::And(bounds) => bounds.iter().any(Bound::never),
            Bound::Or(bounds) => bounds.iter().all(Bound::never),
            _ => false,
        }
    }

    /// Whether knowing that certain values do not occur can exclude rows.
    pub fn asks_for_values(&self) -> bool {
        match self {
            Bound::Test { test: Test::Compare(Op::Eq, _) | Test::In { negated: false, .. }, .. } => true,
            Bound::And(bounds) => bounds.iter().any(Bound::asks_for_values),
            Bound::Or(bounds) => bounds.iter().all(Bound::asks_for_values),
            _ => false,
        }
    }

    /// Whether any of some rows may pass, of which `holds` says that a value may occur. All tests must be of one column.
    pub fn may_find(&self, holds: &dyn Fn(&ArrayRef) -> bool) -> bool {
        match self {
            Bound::Test { test: Test::Compare(Op::Eq, value), .. } => holds(value),
            Bound::Test { test: Test::In { values, negated: false }, .. } => values.iter().any(holds),
            Bound::And(bounds) => bounds.iter().all(|b| b.may_find(holds)),
            Bound::Or(bounds) => bounds.iter().any(|b| b.may_find(holds)),
            _ => true,
        }
    }

    /// Whether any row of a zone may pass. All tests must be of the zone's column.
    pub fn may_match(&self, zone: &Zone) -> bool {
        match self {
            Bound::And(bounds) => bounds.iter().all(|b| b.may_match(zone)),
            Bound::Or(bounds) => bounds.iter().any(|b| b.may_match(zone)),
            // That all rows pass the inner condition is not known; of NULL it is unknown.
            Bound::Not(_) => zone.range.is_some(),
            Bound::Constant(truth) => *truth == Some(true),
            Bound::Like { pattern, .. } => zone.may_start_with(&pattern.prefix()),
            Bound::Double { op, value, .. } => zone.may_be_double(*op, *value),
            Bound::Test { test: Test::IsNull { negated: false }, .. } => zone.has_null,
            Bound::Test { test: Test::IsNull { negated: true }, .. } => zone.range.is_some(),
            Bound::StartsWith { prefix, .. } => zone.may_start_with(prefix),
            Bound::Test { test: Test::Compare(op, value), .. } => zone.may_compare(*op, value),
            Bound::Test { test: Test::In { values, negated: false }, .. } => {
                values.iter().any(|value| zone.may_compare(Op::Eq, value))
            }
            Bound::Test { test: Test::In { values, negated: true }, .. } => {
                values.iter().all(|value| zone.may_compare(Op::Ne, value))
            }
        }
    }
}

impl Zone {
    fn may_start_with(&self, prefix: &[u8]) -> bool {
        let Some((min, max)) = &self.range else { return false };
        fn text(array: &ArrayRef) -> Option<&[u8]> {
            array.as_binary_opt::<i32>().filter(|a| a.len() == 1).map(|a| a.value(0))
        }
        let (Some(min), Some(max)) = (text(min), text(max)) else { return true };
        max >= prefix && min.get(..prefix.len()).unwrap_or(min) <= prefix
    }

    /// Whether a value of the zone, as DOUBLE, may stand to `value` as `op` says. Rounding keeps the order of what is rounded.
    fn may_be_double(&self, op: Op, value: f64) -> bool {
        let Some((min, max)) = &self.range else { return false };
        let order = |bound: &ArrayRef| doubles(bound).ok().and_then(|double| double(0).partial_cmp(&value));
        let (Some(min), Some(max)) = (order(min), order(max)) else { return true };
        op.may_hold(min, max)
    }

    /// Whether a value of the zone may stand to `value` as `op` says.
    fn may_compare(&self, op: Op, value: &ArrayRef) -> bool {
        let Some((min, max)) = &self.range else { return false };
        let order = |bound: &ArrayRef| compare(bound, value).ok().and_then(|order| order(0));
        let (Some(min), Some(max)) = (order(min), order(max)) else { return true };
        op.may_hold(min, max)
    }
}

impl Op {
    /// Whether it may hold for a value between two that stand to the other operand like this.
    fn may_hold(self, min: Ordering, max: Ordering) -> bool {
        match self {
            Op::Eq => min != Ordering::Greater && max != Ordering::Less,
            Op::Ne => min != Ordering::Equal || max != Ordering::Equal,
            Op::Lt => min == Ordering::Less,
            Op::Le => min != Ordering::Greater,
            Op::Gt => max == Ordering::Greater,
            Op::Ge => max != Ordering::Less,
        }
    }
}

/// The number of each row as the nearest DOUBLE.
fn doubles(array: &ArrayRef) -> Result<Box<dyn Fn(usize) -> f64 + '_>> {
    macro_rules! primitive {
        ($arrow:ty) => {{
            let array = array.as_primitive::<$arrow>();
            Box::new(move |row| array.value(row) as f64)
        }};
    }
    let power = |scale: i8| 10f64.powi(i32::from(scale));
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row| f64::from(u8::from(array.value(row))))
        }
        DataType::Int8 => primitive!(Int8Type),
        DataType::Int16 => primitive!(Int16Type),
        DataType::Int32 => primitive!(Int32Type),
        DataType::Int64 => primitive!(Int64Type),
        DataType::Float32 => primitive!(Float32Type),
        DataType::Float64 => primitive!(Float64Type),
        DataType::Decimal128(_, scale) => {
            let (array, power) = (array.as_primitive::<Decimal128Type>(), power(*scale));
            Box::new(move |row| array.value(row) as f64 / power)
        }
        DataType::Decimal256(_, scale) => {
            let (array, power) = (array.as_primitive::<Decimal256Type>(), power(*scale));
            // The text of a whole number is always a number.
            Box::new(move |row| array.value(row).to_string().parse::<f64>().unwrap_or(f64::NAN) / power)
        }
        other => return Err(TabletError::request(format!("{other} is no number"))),
    })
}

fn test_truth(test: &Test, array: &ArrayRef) -> Result<Vec<Option<bool>>> {
    let rows = 0..array.len();
    Ok(match test {
        Test::IsNull { negated } => rows.map(|row| Some(array.is_null(row) != *negated)).collect(),
        Test::Compare(op, value) => {
            let order = compare(array, value)?;
            // A number that is none differs from everything.
            let holds = |row| order(row).map_or(*op == Op::Ne, |order| op.holds(order));
            rows.map(|row| array.is_valid(row).then(|| holds(row))).collect()
        }
        Test::In { values, negated } => {
            let orders = values.iter().map(|value| compare(array, value)).collect::<Result<Vec<_>>>()?;
            let found = |row| orders.iter().any(|order| order(row) == Some(Ordering::Equal));
            rows.map(|row| array.is_valid(row).then(|| found(row) != *negated)).collect()
        }
    })
}
