//! DELETE statements that were stored as conditions and never applied to the data.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

use crate::error::{Result, TabletError, Within};
use crate::proto::tablet::DeletePredicatePb;
use crate::schema::{LogicalType, TabletSchema};
use crate::types::parse;

/// One DELETE: rows of rowsets up to its version that meet all conditions are gone.
#[derive(Debug, Clone)]
pub struct DeletePredicate {
    pub version: i64,
    pub conditions: Vec<Condition>,
}

/// A condition on one column. It is not met where the column is NULL, unless it asks for that.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Position in the tablet's schema, or behind it for a column that was dropped later.
    pub column: usize,
    pub test: Test,
}

#[derive(Debug, Clone)]
pub enum Test {
    /// The operand is an array of one value.
    Compare(Op, ArrayRef),
    /// In the list, or not in it if negated.
    In {
        values: Vec<ArrayRef>,
        negated: bool,
    },
    IsNull {
        negated: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    fn sign(self) -> &'static str {
        match self {
            Op::Eq => "=",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
        }
    }

    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Op::Eq => ordering.is_eq(),
            Op::Ne => ordering.is_ne(),
            Op::Lt => ordering.is_lt(),
            Op::Le => ordering.is_le(),
            Op::Gt => ordering.is_gt(),
            Op::Ge => ordering.is_ge(),
        }
    }
}

/// A stored text condition, taken apart.
#[derive(Debug, PartialEq)]
enum TextCondition<'a> {
    Compare(&'a [u8], Op, &'a [u8]),
    IsNull(&'a [u8], bool),
}

/// Splits `<column><op><value>` or `<column> IS [NOT] NULL`. The column's name reaches as far as it can without any of the
/// characters of operators; the value is everything behind the operator, verbatim.
fn split(text: &[u8]) -> Option<TextCondition<'_>> {
    const OPS: [(&[u8], Op); 7] = [
        (b"=", Op::Eq),
        (b"!=", Op::Ne),
        (b">>", Op::Gt),
        (b"<<", Op::Lt),
        (b">=", Op::Ge),
        (b"<=", Op::Le),
        (b"*=", Op::Eq),
    ];
    let len = text.iter().position(|b| b"\0=<>!*".contains(b)).unwrap_or(text.len());
    let (name, rest) = text.split_at(len);
    let op = OPS.iter().find_map(|(sign, op)| Some((*op, rest.strip_prefix(*sign)?)));
    if let Some((op, value)) = op.filter(|_| !name.is_empty()) {
        return Some(TextCondition::Compare(name, op, value));
    }
    let at = name.windows(4).rposition(|w| w == b" IS ")?;
    let negated = match text.get(at + 4..)?.trim_ascii().to_ascii_uppercase().as_slice() {
        b"NULL" => false,
        b"NOT NULL" => true,
        _ => return None,
    };
    (at > 0).then_some(TextCondition::IsNull(&name[..at], negated))
}

/// The conditions of a stored predicate as text, for people; all of them must be met.
pub fn conditions(pb: &DeletePredicatePb) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let compare = |stored: &Vec<u8>| match split(stored) {
        Some(TextCondition::Compare(name, op, value)) => format!("{} {} {}", text(name), op.sign(), text(value)),
        Some(TextCondition::IsNull(name, negated)) => format!("{} IS {}NULL", text(name), not(negated)),
        None => text(stored),
    };
    let mut all: Vec<String> = pb.sub_predicates.iter().map(compare).collect();
    all.extend(pb.in_predicates.iter().map(|list| {
        let values: Vec<String> = list.values.iter().map(|value| text(value)).collect();
        let negated = list.is_not_in.unwrap_or(false);
        format!("{} {}IN ({})", name(&list.column_name), not(negated), values.join(", "))
    }));
    all.extend(pb.binary_predicates.iter().map(|binary| {
        let (op, value) = (binary.op.as_deref().unwrap_or_default(), binary.value.as_deref().unwrap_or_default());
        format!("{} {op} {}", name(&binary.column_name), text(value))
    }));
    all.extend(pb.is_null_predicates.iter().map(|null| {
        let negated = null.is_not_null.unwrap_or(false);
        format!("{} IS {}NULL", name(&null.column_name), not(negated))
    }));
    all
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

impl DeletePredicate {
    /// Reads a stored predicate with the tablet's schema; `version` is that of its rowset.
    pub fn parse(pb: &DeletePredicatePb, version: i64, schema: &TabletSchema) -> Result<Self> {
        let find = |name: &str| {
            let at = schema.position(name)?;
            schema.columns.get(at).map(|column| (at, column.ty.clone()))
        };
        Self::parse_with(pb, version, find)
    }

    /// The same, where `find` tells of a name the position and the type of its column.
    pub(crate) fn parse_with(
        pb: &DeletePredicatePb,
        version: i64,
        mut find: impl FnMut(&str) -> Option<(usize, LogicalType)>,
    ) -> Result<Self> {
        let mut column = |name: &[u8]| {
            let name = String::from_utf8_lossy(name);
            let found = find(&name);
            found.ok_or_else(|| TabletError::damaged(format!("a condition on {name}, which is no column of the table")))
        };
        let value = |name: &[u8], text: &[u8], ty: &LogicalType| {
            parse::one(text, ty).within(|| format!("condition on {}", String::from_utf8_lossy(name)))
        };
        let mut conditions = Vec::new();
        for text in &pb.sub_predicates {
            let split = split(text);
            let unclear = || TabletError::unsupported(format!("the condition {:?}", String::from_utf8_lossy(text)));
            conditions.push(match split.ok_or_else(unclear)? {
                TextCondition::Compare(name, op, text) => {
                    let (column, ty) = column(name)?;
                    Condition { column, test: Test::Compare(op, value(name, text, &ty)?) }
                }
                TextCondition::IsNull(name, negated) => {
                    Condition { column: column(name)?.0, test: Test::IsNull { negated } }
                }
            });
        }
        for list in &pb.in_predicates {
            let name = list.column_name.as_deref().unwrap_or_default().as_bytes();
            let (column, ty) = column(name)?;
            let values = list.values.iter().map(|text| value(name, text, &ty)).collect::<Result<_>>()?;
            conditions.push(Condition { column, test: Test::In { values, negated: list.is_not_in.unwrap_or(false) } });
        }
        for binary in &pb.binary_predicates {
            let op = binary.op.as_deref().unwrap_or_default();
            let text = [b"c", op.as_bytes(), binary.value.as_deref().unwrap_or_default()].concat();
            let Some(TextCondition::Compare(_, op, text)) = split(&text) else {
                return Err(TabletError::unsupported(format!("the operator {op:?} in a condition")));
            };
            let name = binary.column_name.as_deref().unwrap_or_default().as_bytes();
            let (column, ty) = column(name)?;
            conditions.push(Condition { column, test: Test::Compare(op, value(name, text, &ty)?) });
        }
        for null in &pb.is_null_predicates {
            let (column, _) = column(null.column_name.as_deref().unwrap_or_default().as_bytes())?;
            conditions.push(Condition { column, test: Test::IsNull { negated: null.is_not_null.unwrap_or(false) } });
        }
        Ok(DeletePredicate { version, conditions })
    }

    /// Sets `keep` to false for every row that meets all conditions. `array` gives the rows' column at a schema position.
    pub(crate) fn apply<'a>(&self, keep: &mut [bool], array: impl Fn(usize) -> Option<&'a ArrayRef>) -> Result<()> {
        if self.conditions.is_empty() {
            return Ok(());
        }
        let mut met = vec![true; keep.len()];
        for condition in &self.conditions {
            let array = array(condition.column).ok_or_else(|| TabletError::damaged("a condition on no column"))?;
            condition.test.narrow(array, &mut met)?;
        }
        keep.iter_mut().zip(met).for_each(|(keep, met)| *keep &= !met);
        Ok(())
    }
}

impl Test {
    /// Sets `met` to false for every row of `array` that does not pass.
    fn narrow(&self, array: &ArrayRef, met: &mut [bool]) -> Result<()> {
        match self {
            Test::IsNull { negated } => {
                met.iter_mut().enumerate().for_each(|(row, met)| *met &= array.is_null(row) != *negated);
            }
            Test::Compare(op, value) => {
                let ordering = compare(array, value)?;
                // A number that is none differs from everything.
                let holds = |row| ordering(row).map_or(*op == Op::Ne, |o| op.holds(o));
                let passes = |row| array.is_valid(row) && holds(row);
                met.iter_mut().enumerate().for_each(|(row, met)| *met = *met && passes(row));
            }
            Test::In { values, negated } => {
                let orderings = values.iter().map(|value| compare(array, value)).collect::<Result<Vec<_>>>()?;
                let found = |row| orderings.iter().any(|ordering| ordering(row) == Some(Ordering::Equal));
                let passes = |row| array.is_valid(row) && found(row) != *negated;
                met.iter_mut().enumerate().for_each(|(row, met)| *met = *met && passes(row));
            }
        }
        Ok(())
    }
}

/// How the value of each row stands to the one value of `value`; undecided for floating-point numbers that are none.
pub(crate) fn compare<'a>(
    array: &'a ArrayRef,
    value: &'a ArrayRef,
) -> Result<Box<dyn Fn(usize) -> Option<Ordering> + 'a>> {
    macro_rules! primitive {
        ($arrow:ty) => {{
            let (array, value) = (array.as_primitive::<$arrow>(), value.as_primitive::<$arrow>().value(0));
            Box::new(move |row| array.value(row).partial_cmp(&value))
        }};
    }
    let (is, wanted) = (array.data_type(), value.data_type());
    if is != wanted || value.len() != 1 || value.is_null(0) {
        return Err(TabletError::damaged(format!("a comparison of {is} with {wanted}")));
    }
    Ok(match is {
        DataType::Boolean => {
            let (array, value) = (array.as_boolean(), value.as_boolean().value(0));
            Box::new(move |row| Some(array.value(row).cmp(&value)))
        }
        DataType::Int8 => primitive!(Int8Type),
        DataType::Int16 => primitive!(Int16Type),
        DataType::Int32 => primitive!(Int32Type),
        DataType::Int64 => primitive!(Int64Type),
        DataType::Float32 => primitive!(Float32Type),
        DataType::Float64 => primitive!(Float64Type),
        DataType::Date32 => primitive!(Date32Type),
        DataType::Timestamp(TimeUnit::Microsecond, None) => primitive!(TimestampMicrosecondType),
        DataType::Decimal128(..) => primitive!(Decimal128Type),
        DataType::Decimal256(..) => primitive!(Decimal256Type),
        DataType::Binary => {
            let (array, value) = (array.as_binary::<i32>(), value.as_binary::<i32>().value(0));
            Box::new(move |row| Some(array.value(row).cmp(value)))
        }
        other => return Err(TabletError::unsupported(format!("a condition on a column of {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_conditions_split_as_starrocks_splits_them() {
        let compare = |name: &'static str, op, value: &'static str| {
            Some(TextCondition::Compare(name.as_bytes(), op, value.as_bytes()))
        };
        assert_eq!(split(b"k1<<50"), compare("k1", Op::Lt, "50"));
        assert_eq!(split(b"k1>>=50"), compare("k1", Op::Gt, "=50"));
        assert_eq!(split(b"k1>=50"), compare("k1", Op::Ge, "50"));
        assert_eq!(split(b"k1!=a=b"), compare("k1", Op::Ne, "a=b"));
        assert_eq!(split(b"k1*=x"), compare("k1", Op::Eq, "x"));
        assert_eq!(split(b"a b=\nx IS NULL"), compare("a b", Op::Eq, "\nx IS NULL"));
        assert_eq!(split(b"k1="), compare("k1", Op::Eq, ""));
        assert_eq!(split(b"k2 IS NULL"), Some(TextCondition::IsNull(b"k2", false)));
        assert_eq!(split(b"a IS b IS NOT NULL"), Some(TextCondition::IsNull(b"a IS b", true)));
        for unclear in [&b""[..], b"k1", b"=5", b"k1>5", b"k1 IS 5", b" IS NULL"] {
            assert_eq!(split(unclear), None, "{}", String::from_utf8_lossy(unclear));
        }
    }
}
