//! Columns that a catalog has and tablets do not know yet: ALTER TABLE changes the catalog alone, and a tablet hears of it with its next load.

use super::{Aggregation, Column, DecimalKind, KeysType, LogicalType, TabletSchema};
use crate::error::{Result, TabletError};

/// Types within types, at most: more than StarRocks takes.
const DEEPEST: usize = 32;

/// A column as a catalog describes it.
#[derive(Debug, Clone, Copy)]
pub struct AddedColumn<'a> {
    pub name: &'a str,
    pub unique_id: i32,
    /// As SQL spells it, decimals by their width: `INT`, `VARCHAR(20)`, `DECIMAL64(10,2)`, `ARRAY<INT>`.
    pub ty: &'a str,
    /// `SUM`, `REPLACE`, …; none for a key, and in a table that does not merge.
    pub aggregation: Option<&'a str>,
    pub nullable: bool,
    /// The text of what rows hold that were written before; none: NULL.
    pub default_value: Option<&'a str>,
}

impl TabletSchema {
    /// Adds a column that no rowset has, so that all rows have its default. Returns its name in this schema, which is another where an older
    /// column has its name that was dropped.
    pub fn add(&mut self, added: &AddedColumn<'_>) -> Result<String> {
        if added.default_value.is_none() && !added.nullable {
            return Err(TabletError::unsupported(format!("column {} without a default value", added.name)));
        }
        let taken = self.position(added.name).is_some();
        let name = if taken { format!("{}#{}", added.name, added.unique_id) } else { added.name.to_owned() };
        // All rows have one value: as a key it tells none of them apart.
        let aggregation = match (self.keys_type, added.aggregation) {
            (KeysType::Duplicate, _) => Aggregation::None,
            (_, Some(name)) => Aggregation::named(name, String::new),
            (_, None) => Aggregation::Replace,
        };
        self.columns.push(Column {
            unique_id: added.unique_id,
            ty: LogicalType::from_sql(added.ty)?,
            is_key: false,
            aggregation,
            nullable: added.nullable,
            default_value: added.default_value.map(|text| text.as_bytes().to_vec()),
            ..Column::child(name.clone(), LogicalType::Boolean)
        });
        Ok(name)
    }
}

impl Column {
    /// A part of a nested type.
    pub(crate) fn child(name: String, ty: LogicalType) -> Column {
        Column {
            unique_id: -1,
            name,
            ty,
            is_key: false,
            aggregation: Aggregation::None,
            nullable: true,
            default_value: None,
            auto_increment: false,
            has_bitmap_index: false,
            has_bloom_filter: false,
            has_ngram_filter: false,
        }
    }
}

impl LogicalType {
    /// The type that `sql` spells, as [`LogicalType::sql`] writes it.
    pub fn from_sql(sql: &str) -> Result<LogicalType> {
        let mut text = Text { sql, rest: sql };
        let ty = text.ty(0)?;
        if text.rest.trim().is_empty() { Ok(ty) } else { Err(text.wrong()) }
    }
}

/// A type's text while it is read.
struct Text<'a> {
    sql: &'a str,
    rest: &'a str,
}

impl<'a> Text<'a> {
    fn wrong(&self) -> TabletError {
        TabletError::unsupported(format!("type {}", self.sql))
    }

    fn take(&mut self, char: char) -> bool {
        match self.rest.trim_start().strip_prefix(char) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, char: char) -> Result<()> {
        if self.take(char) { Ok(()) } else { Err(self.wrong()) }
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest.trim_start();
        let (taken, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        self.rest = rest;
        taken
    }

    /// Numbers between parentheses; none where there are no parentheses.
    fn numbers(&mut self) -> Result<Vec<u32>> {
        if !self.take('(') {
            return Ok(Vec::new());
        }
        let mut numbers = Vec::new();
        loop {
            let digits = self.until(|char| !char.is_ascii_digit());
            numbers.push(digits.parse().map_err(|_| self.wrong())?);
            if !self.take(',') {
                break;
            }
        }
        self.expect(')')?;
        Ok(numbers)
    }

    /// The name of a field, between backticks where it is no plain word.
    fn name(&mut self) -> Result<String> {
        if !self.take('`') {
            let name = self.until(char::is_whitespace);
            return if name.is_empty() { Err(self.wrong()) } else { Ok(name.to_owned()) };
        }
        let mut name = String::new();
        loop {
            let end = self.rest.find('`').ok_or_else(|| self.wrong())?;
            let (part, rest) = self.rest.split_at(end);
            name.push_str(part);
            match rest.strip_prefix("``") {
                Some(rest) => {
                    name.push('`');
                    self.rest = rest;
                }
                None => {
                    self.rest = rest.get(1..).unwrap_or_default();
                    return Ok(name);
                }
            }
        }
    }

    fn child(&mut self, name: &str, depth: usize) -> Result<Column> {
        Ok(Column::child(name.to_owned(), self.ty(depth + 1)?))
    }

    fn ty(&mut self, depth: usize) -> Result<LogicalType> {
        if depth > DEEPEST {
            return Err(self.wrong());
        }
        let word = self.until(|char| !char.is_ascii_alphanumeric() && char != '_').to_ascii_uppercase();
        match word.as_str() {
            "ARRAY" => {
                self.expect('<')?;
                let element = self.child("element", depth)?;
                self.expect('>')?;
                Ok(LogicalType::Array(Box::new(element)))
            }
            "MAP" => {
                self.expect('<')?;
                let key = self.child("key", depth)?;
                self.expect(',')?;
                let value = self.child("value", depth)?;
                self.expect('>')?;
                Ok(LogicalType::Map(Box::new(key), Box::new(value)))
            }
            "STRUCT" => {
                self.expect('<')?;
                let mut fields = Vec::new();
                loop {
                    let name = self.name()?;
                    fields.push(self.child(&name, depth)?);
                    if !self.take(',') {
                        break;
                    }
                }
                self.expect('>')?;
                Ok(LogicalType::Struct(fields))
            }
            _ => LogicalType::of_word(&word).map_or_else(|| self.sized(&word), Ok),
        }
    }

    /// A type with numbers behind its name.
    fn sized(&mut self, word: &str) -> Result<LogicalType> {
        let numbers = self.numbers()?;
        let decimal = |kind, most: u32| match numbers.as_slice() {
            [precision, scale] if (1..=most).contains(precision) && scale <= precision => {
                // Both are at most 76 here.
                Ok(LogicalType::Decimal { kind, precision: *precision as u8, scale: *scale as i8 })
            }
            _ => Err(self.wrong()),
        };
        match (word, numbers.as_slice()) {
            ("CHAR", [length]) => Ok(LogicalType::Char(*length)),
            ("VARCHAR", [length]) => Ok(LogicalType::Varchar(*length)),
            ("VARBINARY" | "BINARY", [length]) => Ok(LogicalType::Varbinary(*length)),
            ("VARBINARY" | "BINARY", []) => Ok(LogicalType::Varbinary(0)),
            ("DECIMALV2", _) => Ok(LogicalType::Decimal { kind: DecimalKind::V2, precision: 27, scale: 9 }),
            ("DECIMAL32", _) => decimal(DecimalKind::D32, 9),
            ("DECIMAL64", _) => decimal(DecimalKind::D64, 18),
            ("DECIMAL128", _) => decimal(DecimalKind::D128, 38),
            ("DECIMAL256", _) => decimal(DecimalKind::D256, 76),
            _ => Err(self.wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn types_come_back_from_their_sql() {
        for sql in [
            "BOOLEAN",
            "LARGEINT",
            "DATETIME",
            "CHAR(3)",
            "VARCHAR(1048576)",
            "VARBINARY(20)",
            "DECIMALV2(27,9)",
            "DECIMAL32(9,2)",
            "DECIMAL256(76,76)",
            "ARRAY<INT>",
            "MAP<VARCHAR(10),ARRAY<DECIMAL64(18,0)>>",
            "STRUCT<a INT, b STRUCT<c JSON, d MAP<INT,DOUBLE>>>",
        ] {
            assert_eq!(LogicalType::from_sql(sql).unwrap().sql(), sql);
        }
        let LogicalType::Struct(fields) = LogicalType::from_sql("STRUCT<`a b``c` INT, größe DATE>").unwrap() else {
            panic!()
        };
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["a b`c", "größe"]);
    }

    #[test]
    fn what_is_no_type_is_an_error() {
        let deep = format!("{}INT{}", "ARRAY<".repeat(200), ">".repeat(200));
        for sql in [
            "",
            "INTEGER",
            "VARCHAR",
            "CHAR()",
            "CHAR(x)",
            "CHAR(1",
            "DECIMAL32(10,2)",
            "DECIMAL64(2,3)",
            "ARRAY",
            "ARRAY<",
            "ARRAY<INT",
            "MAP<INT>",
            "STRUCT<>",
            "STRUCT<`a INT>",
            "INT INT",
            "VARIANT",
            "CHAR(99999999999)",
            &deep,
        ] {
            assert!(LogicalType::from_sql(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn an_added_column_never_takes_the_place_of_a_dropped_one() {
        let old = Column { unique_id: 2, ..Column::child("v".into(), LogicalType::Int) };
        let mut schema = TabletSchema {
            id: 1,
            version: 1,
            keys_type: KeysType::Aggregate,
            columns: vec![old],
            num_short_key_columns: 1,
            sort_key: vec![],
            compression_type: None,
        };
        let sum = AddedColumn {
            name: "V",
            unique_id: 5,
            ty: "BIGINT",
            aggregation: Some("SUM"),
            nullable: false,
            default_value: Some("7"),
        };
        assert_eq!(schema.add(&sum).unwrap(), "V#5");
        let added = schema.by_unique_id(5).unwrap();
        assert_eq!((&added.aggregation, added.default_value.as_deref()), (&Aggregation::Sum, Some(&b"7"[..])));
        assert_eq!(schema.add(&AddedColumn { name: "w", unique_id: 6, ..sum }).unwrap(), "w");
        assert!(schema.add(&AddedColumn { name: "x", default_value: None, ..sum }).is_err());
    }
}
