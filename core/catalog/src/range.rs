//! The bounds of range partitions: the bytes in `serializedIdToRange` and, the same, in the binary form of `__meta`.

use crate::error::{CatalogError, Result};
use crate::model::PartitionInfo;
use crate::wire::{Reader, put_text};
use std::cmp::Ordering;
use std::fmt;

const WHAT: &str = "the range of a partition";

/// From `lower` to `upper`. An end that is not there is unbounded; StarRocks writes `[lower, upper)` with both there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    pub lower: Option<End>,
    pub upper: Option<End>,
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The key itself belongs to the range.
    pub closed: bool,
    pub key: PartitionKey,
}

/// One bound for each partition column.
pub type PartitionKey = Vec<Bound>;

/// A bound of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Primitive type as `__meta` spells it: `INT`, `DATE`, `VARCHAR`, …
    pub primitive: String,
    pub value: BoundValue,
}

/// The value of a bound; `Display` gives it as plain text, `MAXVALUE` for the greatest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundValue {
    Max,
    /// TINYINT to BIGINT.
    Int(i64),
    /// LARGEINT, in decimal.
    LargeInt(String),
    /// `0000-00-00` (all zero) stands in shadow partitions alone.
    Date(Date),
    DateTime(DateTime),
    /// CHAR and VARCHAR.
    Text(String),
    /// A DATE or DATETIME that is none. StarRocks itself writes such: it shifts a bound that has microseconds by too many bits, and
    /// nothing can tell what it was. Some come out as a date all the same: a multiple of 64 microseconds is just lost, 999999 halves the
    /// year. Those are read as what they say.
    NoDate {
        datetime: bool,
        packed: i64,
    },
}

/// A calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

/// A calendar day and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime {
    pub date: Date,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub microsecond: u32,
}

impl Range {
    /// Reads all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Range> {
        let mut reader = Reader::new(WHAT, bytes);
        let range = Range::read(&mut reader)?;
        reader.end()?;
        Ok(range)
    }

    /// Reads the signed bytes that JSON holds.
    pub fn decode_signed(bytes: &[i8]) -> Result<Range> {
        Range::decode(&bytes.iter().map(|byte| byte.cast_unsigned()).collect::<Vec<_>>())
    }

    /// Reads one where its length is not known.
    pub(crate) fn read(reader: &mut Reader) -> Result<Range> {
        Ok(Range { lower: End::read(reader)?, upper: End::read(reader)? })
    }

    /// The bytes; fails for a text longer than 2 GiB.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for end in [&self.lower, &self.upper] {
            out.push(u8::from(end.is_some()));
            if let Some(end) = end {
                end.write(&mut out)?;
            }
        }
        Ok(out)
    }

    /// The bytes, signed as JSON holds them.
    pub fn encode_signed(&self) -> Result<Vec<i8>> {
        Ok(self.encode()?.iter().map(|byte| byte.cast_signed()).collect())
    }

    /// `[0000-00-00, 0000-00-00)`: the range of a shadow partition.
    pub fn is_shadow(&self) -> bool {
        let zero = |end: &Option<End>| {
            end.as_ref()
                .is_some_and(|end| !end.key.is_empty() && end.key.iter().all(|bound| bound.value.is_zero_date()))
        };
        zero(&self.lower) && zero(&self.upper)
    }

    /// What is wrong with a bound, in words; none when all are good.
    pub fn problem(&self) -> Option<String> {
        let bounds = [&self.lower, &self.upper].into_iter().flatten().flat_map(|end| &end.key);
        bounds.into_iter().find_map(|bound| match &bound.value {
            BoundValue::NoDate { packed, .. } => Some(format!(
                "a bound holds {packed:#018x}, which is no {}: StarRocks damages bounds with microseconds when it stores them",
                bound.primitive
            )),
            _ => None,
        })
    }

    /// The order in which StarRocks lists partitions: by lower end, then by upper end.
    pub fn order(&self, other: &Range) -> Ordering {
        let ends = |a: &Option<End>, b: &Option<End>, unbounded: Ordering| match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => unbounded,
            (Some(_), None) => unbounded.reverse(),
            (Some(a), Some(b)) => order_keys(&a.key, &b.key),
        };
        ends(&self.lower, &other.lower, Ordering::Less).then_with(|| ends(&self.upper, &other.upper, Ordering::Greater))
    }
}

/// Orders keys bound by bound; the shorter one first where it begins the other.
pub fn order_keys(a: &[Bound], b: &[Bound]) -> Ordering {
    let bounds = a.iter().zip(b).map(|(a, b)| a.value.order(&b.value));
    bounds.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

impl End {
    fn read(reader: &mut Reader) -> Result<Option<End>> {
        if !reader.bool()? {
            return Ok(None);
        }
        let closed = reader.bool()?;
        // The shortest bound is an empty type name and a flag.
        let count = reader.count(5, "bounds")?;
        let mut key = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            key.push(Bound::read(reader)?);
        }
        Ok(Some(End { closed, key }))
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(u8::from(self.closed));
        let count = i32::try_from(self.key.len()).map_err(|_| CatalogError::Unsupported {
            what: WHAT.into(),
            reason: format!("{} bounds are more than StarRocks can hold", self.key.len()),
        })?;
        out.extend(count.to_be_bytes());
        self.key.iter().try_for_each(|bound| bound.write(out))
    }
}

impl Bound {
    fn read(reader: &mut Reader) -> Result<Bound> {
        let at = reader.at();
        let primitive = reader.text()?;
        if reader.bool()? {
            return Ok(Bound { primitive: primitive.into(), value: BoundValue::Max });
        }
        let value = match primitive {
            "TINYINT" | "SMALLINT" | "INT" | "BIGINT" => BoundValue::Int(reader.i64()?),
            "LARGEINT" => BoundValue::LargeInt(reader.text()?.into()),
            "DATE" | "DATETIME" => {
                let at = reader.at();
                match reader.i16()? {
                    0 => BoundValue::unpack(true, reader.i64()?),
                    1 => BoundValue::unpack(false, reader.i64()?),
                    other => return Err(reader.damage(at, format!("{other} is no kind of date"))),
                }
            }
            "CHAR" | "VARCHAR" => BoundValue::Text(reader.text()?.into()),
            other => return Err(reader.damage(at, format!("{other:?} is no type that a bound can have"))),
        };
        Ok(Bound { primitive: primitive.into(), value })
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        put_text(out, &self.primitive)?;
        out.push(u8::from(self.value == BoundValue::Max));
        match &self.value {
            BoundValue::Max => {}
            BoundValue::Int(value) => out.extend(value.to_be_bytes()),
            BoundValue::LargeInt(text) | BoundValue::Text(text) => put_text(out, text)?,
            BoundValue::Date(_) | BoundValue::DateTime(_) | BoundValue::NoDate { .. } => {
                let (datetime, packed) = self.value.pack().unwrap_or_default();
                out.extend(i16::from(!datetime).to_be_bytes());
                out.extend(packed.to_be_bytes());
            }
        }
        Ok(())
    }
}

impl BoundValue {
    /// From the packed form: year × 13 + month, day (5 bits), hour (5), minute (6), second (6), microsecond (24).
    fn unpack(datetime: bool, packed: i64) -> BoundValue {
        let none = BoundValue::NoDate { datetime, packed };
        let bits = |shift: u32, count: u32| (packed >> shift) & ((1 << count) - 1);
        let months = packed >> 46;
        let (Ok(year), Ok(month), Ok(day)) =
            (u16::try_from(months.div_euclid(13)), u8::try_from(months.rem_euclid(13)), u8::try_from(bits(41, 5)))
        else {
            return none;
        };
        let date = Date { year, month, day };
        if packed != 0 && !date.is_valid() {
            return none;
        }
        // The widths bound these; the ranges are checked below.
        let time = DateTime {
            date,
            hour: bits(36, 5) as u8,
            minute: bits(30, 6) as u8,
            second: bits(24, 6) as u8,
            microsecond: bits(0, 24) as u32,
        };
        if time.hour > 23 || time.minute > 59 || time.second > 59 || time.microsecond > 999_999 {
            return none;
        }
        let value = if datetime { BoundValue::DateTime(time) } else { BoundValue::Date(date) };
        if value.pack() == Some((datetime, packed)) { value } else { none }
    }

    /// The packed form of a date, and whether it is a DATETIME.
    fn pack(&self) -> Option<(bool, i64)> {
        let day = |date: &Date| (i64::from(date.year) * 13 + i64::from(date.month)) << 46 | i64::from(date.day) << 41;
        match self {
            BoundValue::Date(date) => Some((false, day(date))),
            BoundValue::DateTime(time) => {
                let seconds = i64::from(time.hour) << 36 | i64::from(time.minute) << 30 | i64::from(time.second) << 24;
                Some((true, day(&time.date) + seconds + i64::from(time.microsecond)))
            }
            BoundValue::NoDate { datetime, packed } => Some((*datetime, *packed)),
            _ => None,
        }
    }

    fn is_zero_date(&self) -> bool {
        matches!(self.pack(), Some((_, 0)))
    }

    fn order(&self, other: &BoundValue) -> Ordering {
        match (self, other) {
            (BoundValue::Int(a), BoundValue::Int(b)) => a.cmp(b),
            (BoundValue::LargeInt(a), BoundValue::LargeInt(b)) => match (a.parse::<i128>(), b.parse::<i128>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                _ => a.cmp(b),
            },
            (BoundValue::Text(a), BoundValue::Text(b)) => a.cmp(b),
            // The packed form sorts by time, days before their times.
            _ => match (self.pack(), other.pack()) {
                (Some((_, a)), Some((_, b))) => a.cmp(&b),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }

    fn rank(&self) -> u8 {
        match self {
            BoundValue::Int(_) => 0,
            BoundValue::LargeInt(_) => 1,
            BoundValue::Date(_) | BoundValue::DateTime(_) | BoundValue::NoDate { .. } => 2,
            BoundValue::Text(_) => 3,
            BoundValue::Max => 4,
        }
    }
}

impl Date {
    /// A day of the calendar, from year 0 to 9999.
    fn is_valid(&self) -> bool {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let days = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            _ => return false,
        };
        self.year <= 9999 && (1..=days).contains(&self.day)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:02}:{:02}:{:02}", self.date, self.hour, self.minute, self.second)?;
        if self.microsecond != 0 { write!(f, ".{:06}", self.microsecond) } else { Ok(()) }
    }
}

impl fmt::Display for BoundValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundValue::Max => f.write_str("MAXVALUE"),
            BoundValue::Int(value) => write!(f, "{value}"),
            BoundValue::LargeInt(text) | BoundValue::Text(text) => f.write_str(text),
            BoundValue::Date(date) => write!(f, "{date}"),
            BoundValue::DateTime(time) => write!(f, "{time}"),
            BoundValue::NoDate { packed, .. } => write!(f, "{packed:#018x}"),
        }
    }
}

impl PartitionInfo {
    /// The range of a partition, temporary ones included; none when it has none.
    pub fn range(&self, partition: i64) -> Result<Option<Range>> {
        let of = |map: &Option<std::collections::BTreeMap<i64, Vec<i8>>>| {
            map.as_ref().and_then(|map| map.get(&partition)).map(|bytes| Range::decode_signed(bytes))
        };
        of(&self.serialized_id_to_range).or_else(|| of(&self.serialized_id_to_temp_range)).transpose()
    }
}

#[cfg(test)]
mod tests;
