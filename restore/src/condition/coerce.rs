//! Values of a condition in the type of their column.
//!
//! As StarRocks' analyzer has it: exact numbers are compared exactly, whatever the two types; with a DOUBLE, or by a FLOAT or DOUBLE column,
//! as DOUBLE; text that is compared with a number or a date is read as one, and with a DATE column its time of day is left out. Text that
//! is no such value, for which StarRocks would compare with NULL, is an error, as are numbers that are compared with text, about which its
//! versions differ.

use super::{At, Compare, Leaf, Literal, StatementError, Test, Value};
use starsnap_tablet::types::number::{MICROS_PER_DAY, civil_from_days, days_from_civil};
use starsnap_tablet::types::text;
use starsnap_tablet::{Column, Filter, LogicalType, Op};

type Result<T> = std::result::Result<T, StatementError>;

/// The condition on `column`.
pub(super) fn leaf(leaf: &Leaf, column: &Column) -> Result<Filter> {
    let name = || column.name.clone();
    match &leaf.test {
        Test::IsNull { negated } => Ok(Filter::IsNull { column: name(), negated: *negated }),
        Test::IsTrue => match column.ty {
            LogicalType::Boolean => Ok(Filter::Compare { column: name(), op: Op::Eq, value: b"true".to_vec() }),
            _ => Err(leaf.at.error(format!("{} is {}; compare it with a value", leaf.column, column.ty.sql()))),
        },
        Test::Compare(Compare::NullSafe, Value { literal: Literal::Null, .. }) => {
            Ok(Filter::IsNull { column: name(), negated: false })
        }
        Test::Compare(Compare::NullSafe, value) => {
            let not_null = Filter::IsNull { column: name(), negated: true };
            Ok(Filter::And(vec![compare(column, Op::Eq, value)?, not_null]))
        }
        Test::Compare(Compare::Op(op), value) => compare(column, *op, value),
        Test::In(values) => list(column, values),
        Test::Like(value) => like(column, value),
    }
}

fn list(column: &Column, values: &[Value]) -> Result<Filter> {
    let (mut plain, mut any) = (Vec::new(), Vec::new());
    for value in values {
        match compare(column, Op::Eq, value)? {
            Filter::Compare { op: Op::Eq, value, .. } => plain.push(value),
            other => any.push(other),
        }
    }
    if !plain.is_empty() {
        any.push(Filter::In { column: column.name.clone(), values: plain, negated: false });
    }
    Ok(Filter::Or(any))
}

fn like(column: &Column, value: &Value) -> Result<Filter> {
    if !matches!(column.ty, LogicalType::Char(_) | LogicalType::Varchar(_)) {
        let reason = format!("{} is {}, and LIKE is for CHAR and VARCHAR", column.name, column.ty.sql());
        return Err(value.at.error(reason));
    }
    let (pattern, column) = match &value.literal {
        Literal::Text(pattern) => (pattern.as_bytes().to_vec(), column.name.clone()),
        Literal::Null => return Ok(Filter::Constant(None)),
        _ => return Err(value.at.error("the pattern of LIKE is a string")),
    };
    Ok(match pattern.split_last() {
        Some((b'%', prefix)) if !prefix.iter().any(|byte| matches!(byte, b'%' | b'_' | b'\\')) => {
            Filter::StartsWith { column, prefix: prefix.to_vec() }
        }
        _ => Filter::Like { column, pattern },
    })
}

/// `column op value`.
fn compare(column: &Column, op: Op, value: &Value) -> Result<Filter> {
    if !is_comparable(&column.ty) {
        let reason = format!("{} is {}, of which only IS NULL can be asked", column.name, column.ty.sql());
        return Err(value.at.error(reason));
    }
    if value.literal == Literal::Null {
        return Ok(Filter::Constant(None));
    }
    let plain = |value: Vec<u8>| Ok(Filter::Compare { column: column.name.clone(), op, value });
    match (&column.ty, &value.literal) {
        (LogicalType::Float | LogicalType::Double, literal) => as_double(column, op, literal, value.at),
        (LogicalType::Date | LogicalType::DateTime, literal) => date(column, op, literal, value.at),
        (LogicalType::Char(_) | LogicalType::Varchar(_), Literal::Text(text)) => plain(text.clone().into_bytes()),
        (LogicalType::Char(_) | LogicalType::Varchar(_), Literal::Number(_) | Literal::Double(_)) => {
            Err(mismatch(column, value.at, "put the number in quotes to compare it as text"))
        }
        (LogicalType::Varbinary(_), Literal::Bytes(bytes)) => plain(bytes.clone()),
        (LogicalType::Varbinary(_), Literal::Text(text)) => plain(text.clone().into_bytes()),
        (LogicalType::Boolean, Literal::Text(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => plain(b"true".to_vec()),
            "false" | "0" => plain(b"false".to_vec()),
            _ => Err(value.at.error(format!("{text:?} is no BOOLEAN"))),
        },
        (LogicalType::Char(_) | LogicalType::Varchar(_) | LogicalType::Varbinary(_), _) => {
            Err(mismatch(column, value.at, "compare it with a string"))
        }
        (_, Literal::Number(digits)) => number(column, op, digits),
        (_, Literal::Bool(truth)) => number(column, op, if *truth { "1" } else { "0" }),
        (_, Literal::Double(_)) => as_double(column, op, &value.literal, value.at),
        (_, Literal::Text(text)) => match text.trim() {
            digits if is_decimal(digits) => number(column, op, digits),
            _ => as_double(column, op, &value.literal, value.at),
        },
        _ => Err(mismatch(column, value.at, "compare it with a number")),
    }
}

fn mismatch(column: &Column, at: At, advice: &str) -> StatementError {
    at.error(format!("{} is {}; {advice}", column.name, column.ty.sql()))
}

fn is_comparable(ty: &LogicalType) -> bool {
    use LogicalType::*;
    !matches!(ty, Json | Hll | Bitmap | Percentile | Array(_) | Map(..) | Struct(_) | Unknown(_))
}

/// What is true or false of every value, and unknown of NULL.
fn of_every_value(column: &Column, truth: bool) -> Filter {
    let is_null = Filter::IsNull { column: column.name.clone(), negated: truth };
    let both = vec![is_null, Filter::Constant(None)];
    if truth { Filter::Or(both) } else { Filter::And(both) }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    whole.len() + fraction.len() > 0 && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
}

fn as_double(column: &Column, op: Op, literal: &Literal, at: At) -> Result<Filter> {
    let parsed = |text: &str| {
        let number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        text.parse::<f64>().ok().filter(|value| number && value.is_finite())
    };
    let value = match literal {
        Literal::Double(value) => Some(*value),
        Literal::Bool(truth) => Some(f64::from(u8::from(*truth))),
        // A whole number becomes FLOAT where it is compared with one, anything else makes both DOUBLE.
        Literal::Number(digits) if column.ty == LogicalType::Float && !digits.contains('.') => {
            digits.parse::<f32>().ok().map(f64::from)
        }
        Literal::Number(digits) => parsed(digits),
        Literal::Text(text) => parsed(text.trim()),
        _ => None,
    };
    match (value, literal) {
        (Some(value), _) => Ok(Filter::CompareDouble { column: column.name.clone(), op, value }),
        (None, Literal::Text(text)) => Err(at.error(format!("{text:?} is no number, and {} is one", column.name))),
        _ => Err(mismatch(column, at, "compare it with a number")),
    }
}

/// A comparison of a whole number or a decimal with a decimal of any length.
fn number(column: &Column, op: Op, digits: &str) -> Result<Filter> {
    let (negative, unsigned) = match digits.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let scale = match &column.ty {
        LogicalType::Decimal { scale, .. } => usize::from(scale.unsigned_abs()),
        _ => 0,
    };
    let kept = &fraction[..fraction.len().min(scale)];
    let exact = kept.len() == fraction.len();
    // Zero has no sign; `negative` stays, as the digits that have no place may have been below it.
    let minus = if negative && !(whole.is_empty() && kept.bytes().all(|digit| digit == b'0')) { "-" } else { "" };
    if !has_place(&column.ty, negative, whole, scale) {
        // Every value of the column is on the same side of it.
        let truth = match op {
            Op::Eq => false,
            Op::Ne => true,
            Op::Lt | Op::Le => !negative,
            Op::Gt | Op::Ge => negative,
        };
        return Ok(of_every_value(column, truth));
    }
    // Without the digits that have no place, it has come nearer to zero: below, if it is positive.
    let op = match op {
        op if exact => op,
        Op::Eq => return Ok(of_every_value(column, false)),
        Op::Ne => return Ok(of_every_value(column, true)),
        Op::Lt | Op::Le if negative => Op::Lt,
        Op::Lt | Op::Le => Op::Le,
        Op::Gt | Op::Ge if negative => Op::Ge,
        Op::Gt | Op::Ge => Op::Gt,
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut value = format!("{minus}{whole}");
    if !kept.is_empty() {
        value = format!("{value}.{kept}");
    }
    Ok(Filter::Compare { column: column.name.clone(), op, value: value.into_bytes() })
}

/// Whether the type has a place for so many digits before the point; `whole` begins with none that says nothing.
fn has_place(ty: &LogicalType, negative: bool, whole: &str, scale: usize) -> bool {
    let value = || format!("{}{}", if negative { "-" } else { "" }, if whole.is_empty() { "0" } else { whole });
    match ty {
        LogicalType::Boolean => matches!(value().parse::<i128>(), Ok(0 | 1)),
        LogicalType::TinyInt => value().parse::<i8>().is_ok(),
        LogicalType::SmallInt => value().parse::<i16>().is_ok(),
        LogicalType::Int => value().parse::<i32>().is_ok(),
        LogicalType::BigInt => value().parse::<i64>().is_ok(),
        LogicalType::LargeInt => value().parse::<i128>().is_ok(),
        LogicalType::Decimal { kind: starsnap_tablet::schema::DecimalKind::D256, .. } => whole.len() + scale <= 76,
        _ => whole.len() + scale <= 38,
    }
}

fn date(column: &Column, op: Op, literal: &Literal, at: At) -> Result<Filter> {
    let is_date = column.ty == LogicalType::Date;
    let (micros, typed) = match literal {
        Literal::Date(micros) | Literal::DateTime(micros) => (Some(*micros), true),
        Literal::Text(text) => (datetime(text.trim()), false),
        Literal::Number(digits) if matches!(digits.len(), 8 | 14) => (datetime(digits), false),
        _ => return Err(mismatch(column, at, "compare it with a date such as '2024-01-31'")),
    };
    let shown = || match literal {
        Literal::Text(text) => format!("{text:?}"),
        Literal::Number(digits) => digits.clone(),
        _ => String::new(),
    };
    let micros = micros.ok_or_else(|| at.error(format!("{} is no {}", shown(), column.ty.sql())))?;
    if !is_date {
        let value = text::datetime(micros).into_bytes();
        return Ok(Filter::Compare { column: column.name.clone(), op, value });
    }
    // A time of day is later than its day, unless it came as text, of which StarRocks takes the date alone.
    let op = match op {
        op if !typed || midnight(micros) == micros => op,
        Op::Eq => return Ok(of_every_value(column, false)),
        Op::Ne => return Ok(of_every_value(column, true)),
        Op::Lt | Op::Le => Op::Le,
        Op::Gt | Op::Ge => Op::Gt,
    };
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| at.error("no DATE"))?;
    Ok(Filter::Compare { column: column.name.clone(), op, value: text::date(days).into_bytes() })
}

/// The beginning of the day, in microseconds since 1970.
pub(super) fn midnight(micros: i64) -> i64 {
    micros - micros.rem_euclid(MICROS_PER_DAY)
}

/// Microseconds since 1970 of `YYYY-MM-DD`, `YYYYMMDD`, and either with a time of day: `hh:mm:ss`, `hh:mm:ss.ffffff`, `hhmmss`.
pub(super) fn datetime(text: &str) -> Option<i64> {
    let digits = |text: &str, longest: usize| -> Option<i64> {
        let short = !text.is_empty() && text.len() <= longest && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| short)
    };
    let all_digits = text.bytes().all(|b| b.is_ascii_digit());
    let (date, time) = match text.len() {
        8 | 14 if all_digits => text.split_at(8),
        _ => text.split_once([' ', 'T']).unwrap_or((text, "")),
    };
    let (year, month, day) = if date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) {
        (digits(&date[..4], 4)?, digits(&date[4..6], 2)?, digits(&date[6..], 2)?)
    } else {
        let mut parts = date.split('-');
        let year = parts.next().filter(|year| year.len() == 4)?;
        let found = (digits(year, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
        if parts.next().is_some() {
            return None;
        }
        found
    };
    let (year, month, day) = (i32::try_from(year).ok()?, i32::try_from(month).ok()?, i32::try_from(day).ok()?);
    let days = (1..=12).contains(&month).then(|| days_from_civil(year, month, day))?;
    // Days that the month does not have come out as others.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let parts: Vec<&str> = match clock.len() {
        0 if !time.is_empty() || text.ends_with([' ', 'T']) => return None,
        0 => vec!["0", "0", "0"],
        6 if all_digits => vec![&clock[..2], &clock[2..4], &clock[4..]],
        _ => clock.split(':').collect(),
    };
    let [hour, minute, second] = parts[..] else { return None };
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = match fraction {
        "" if time.ends_with('.') => return None,
        "" => 0,
        fraction => {
            digits(fraction, 6)?;
            format!("{fraction:0<6}").parse::<i64>().ok()?
        }
    };
    Some(i64::from(days) * MICROS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
}
