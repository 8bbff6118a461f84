//! Conditions on rows that a caller asks for.

mod bound;
mod like;

use arrow_array::ArrayRef;

use crate::error::{Result, TabletError, Within};
use crate::predicate::{Op, Test};
use crate::schema::{LogicalType, TabletSchema};
use crate::types::parse;

pub(crate) use bound::{Bound, Zone};
use like::Pattern;

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
    /// `LIKE 'pattern'`: `%` stands for any text, `_` for one character, a backslash takes the meaning from what follows it.
    Like {
        column: String,
        pattern: Vec<u8>,
    },
    /// A comparison of the column's number, as the nearest DOUBLE, with another.
    CompareDouble {
        column: String,
        op: Op,
        value: f64,
    },
    /// The same for every row: true, false or unknown.
    Constant(Option<bool>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
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
                Bound::StartsWith { column: text_column(schema, column)?, prefix: prefix.clone() }
            }
            Filter::Like { column, pattern } => {
                Bound::Like { column: text_column(schema, column)?, pattern: Pattern::parse(pattern) }
            }
            Filter::CompareDouble { column, op, value } => {
                let column = find(schema, column)?;
                let ty = schema.columns.get(column).map(|c| &c.ty);
                match ty {
                    Some(
                        LogicalType::Boolean
                        | LogicalType::TinyInt
                        | LogicalType::SmallInt
                        | LogicalType::Int
                        | LogicalType::BigInt
                        | LogicalType::LargeInt
                        | LogicalType::Decimal { .. },
                    ) => Bound::Double { column, op: *op, value: *value, floating: false },
                    Some(LogicalType::Float | LogicalType::Double) => {
                        Bound::Double { column, op: *op, value: *value, floating: true }
                    }
                    _ => return Err(TabletError::request("only numbers can be compared with a DOUBLE")),
                }
            }
            Filter::Constant(truth) => Bound::Constant(*truth),
            Filter::And(filters) => Bound::And(all(filters)?),
            Filter::Or(filters) => Bound::Or(all(filters)?),
            Filter::Not(filter) => filter.bind(schema)?.negated(),
        })
    }
}

fn text_column(schema: &TabletSchema, name: &str) -> Result<usize> {
    let column = find(schema, name)?;
    match schema.columns.get(column).map(|c| &c.ty) {
        Some(LogicalType::Char(_) | LogicalType::Varchar(_)) => Ok(column),
        _ => Err(TabletError::request("LIKE is for CHAR and VARCHAR columns")),
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
