//! Conditions on rows that a caller asks for.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};

use crate::error::{Result, TabletError, Within};
use crate::predicate::{Op, Test, compare};
use crate::schema::{LogicalType, TabletSchema};
use crate::types::parse;

/// A condition; rows for which it is true are wanted, with SQL's rules for NULL. Operands are the text of values, as a DELETE or a
/// default has them: `42`, `1.5`, `2024-01-31`, `2024-01-31 12:00:00`, `true`, text verbatim.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    Compare {
        column: String,
        op: Op,
        value: Vec<u8>,
    },
    In {
        column: String,
        values: Vec<Vec<u8>>,
        negated: bool,
    },
    IsNull {
        column: String,
        negated: bool,
    },
    /// `LIKE 'prefix%'`.
    StartsWith {
        column: String,
        prefix: Vec<u8>,
    },
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
}

/// A filter with its columns found and its operands parsed.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    Test { column: usize, test: Test },
    StartsWith { column: usize, prefix: Vec<u8> },
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

impl Filter {
    pub(crate) fn bind(&self, schema: &TabletSchema) -> Result<Bound> {
        let all = |filters: &[Filter]| filters.iter().map(|f| f.bind(schema)).collect::<Result<Vec<_>>>();
        Ok(match self {
            Filter::Compare { column, op, value } => {
                let column = find(schema, column)?;
                Bound::Test { column, test: Test::Compare(*op, operand(schema, column, value)?) }
            }
            Filter::In { column, values, negated } => {
                let column = find(schema, column)?;
                let values = values.iter().map(|v| operand(schema, column, v)).collect::<Result<_>>()?;
                Bound::Test { column, test: Test::In { values, negated: *negated } }
            }
            Filter::IsNull { column, negated } => {
                Bound::Test { column: find(schema, column)?, test: Test::IsNull { negated: *negated } }
            }
            Filter::StartsWith { column, prefix } => {
                let column = find(schema, column)?;
                match schema.columns.get(column).map(|c| &c.ty) {
                    Some(LogicalType::Char(_) | LogicalType::Varchar(_)) => {}
                    _ => return Err(TabletError::request("LIKE is for CHAR and VARCHAR columns")),
                }
                Bound::StartsWith { column, prefix: prefix.clone() }
            }
            Filter::And(filters) => Bound::And(all(filters)?),
            Filter::Or(filters) => Bound::Or(all(filters)?),
            Filter::Not(filter) => Bound::Not(Box::new(filter.bind(schema)?)),
        })
    }
}

fn find(schema: &TabletSchema, name: &str) -> Result<usize> {
    schema.position(name).ok_or_else(|| TabletError::request(format!("no column {name} to filter by")))
}

fn operand(schema: &TabletSchema, column: usize, text: &[u8]) -> Result<ArrayRef> {
    let missing = || TabletError::request("no column to filter by");
    let column = schema.columns.get(column).ok_or_else(missing)?;
    let sketch = matches!(
        column.ty,
        LogicalType::Json | LogicalType::Hll | LogicalType::Bitmap | LogicalType::Percentile | LogicalType::Unknown(_)
    );
    if sketch {
        return Err(TabletError::request(format!("{} cannot be compared: it is {}", column.name, column.ty.sql())));
    }
    let value = parse::one(text, &column.ty);
    let text = String::from_utf8_lossy(text);
    value.map_err(|e| TabletError::request(e.to_string())).within(|| format!("{} compared with {text:?}", column.name))
}

impl Bound {
    /// Schema positions of the columns it looks at.
    pub fn columns(&self, out: &mut Vec<usize>) {
        match self {
            Bound::Test { column, .. } | Bound::StartsWith { column, .. } => out.push(*column),
            Bound::And(bounds) | Bound::Or(bounds) => bounds.iter().for_each(|b| b.columns(out)),
            Bound::Not(bound) => bound.columns(out),
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
            Bound::Test { column, test } => test_truth(test, get(*column)?),
        }
    }

    /// Whether any row of a zone may pass. All tests must be of the zone's column.
    pub fn may_match(&self, zone: &Zone) -> bool {
        match self {
            Bound::And(bounds) => bounds.iter().all(|b| b.may_match(zone)),
            Bound::Or(bounds) => bounds.iter().any(|b| b.may_match(zone)),
            // That all rows pass the inner condition is not known.
            Bound::Not(_) => true,
            Bound::Test { test: Test::IsNull { negated: false }, .. } => zone.has_null,
            Bound::Test { test: Test::IsNull { negated: true }, .. } => zone.range.is_some(),
            Bound::StartsWith { prefix, .. } => zone.range.as_ref().is_some_and(|(min, max)| {
                let text =
                    |a: &ArrayRef| a.as_binary_opt::<i32>().filter(|a| a.len() == 1).map(|a| a.value(0).to_vec());
                let (Some(min), Some(max)) = (text(min), text(max)) else { return true };
                max.as_slice() >= prefix.as_slice() && min.get(..prefix.len()).unwrap_or(&min) <= prefix.as_slice()
            }),
            Bound::Test { test: Test::Compare(op, value), .. } => zone.may_hold(*op, value),
            Bound::Test { test: Test::In { values, negated: false }, .. } => {
                values.iter().any(|value| zone.may_hold(Op::Eq, value))
            }
            Bound::Test { test: Test::In { values, negated: true }, .. } => {
                values.iter().all(|value| zone.may_hold(Op::Ne, value))
            }
        }
    }
}

impl Zone {
    /// Whether a value of the zone may stand to `value` as `op` says.
    fn may_hold(&self, op: Op, value: &ArrayRef) -> bool {
        let Some((min, max)) = &self.range else { return false };
        let order = |bound: &ArrayRef| compare(bound, value).ok().and_then(|order| order(0));
        let (Some(min), Some(max)) = (order(min), order(max)) else { return true };
        match op {
            Op::Eq => min != Ordering::Greater && max != Ordering::Less,
            Op::Ne => min != Ordering::Equal || max != Ordering::Equal,
            Op::Lt => min == Ordering::Less,
            Op::Le => min != Ordering::Greater,
            Op::Gt => max == Ordering::Greater,
            Op::Ge => max != Ordering::Less,
        }
    }
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
