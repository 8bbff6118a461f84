//! Columns, keys, secondary indexes.

use super::expr::{self, Named, Quoting};
use super::{quote, types};
use crate::error::{CatalogError, Result};
use crate::model::{Column, IndexMeta, SecondaryIndex, Table};
use std::collections::HashMap;

/// The schema of the base index, which is the table's.
pub fn base_index(table: &Table) -> Result<&IndexMeta> {
    table
        .base_index_id
        .and_then(|id| table.index_id_to_meta.get(&id))
        .ok_or_else(|| super::inconsistent(table, "its base index has no schema"))
}

/// What the expressions of one clause may cost: their bytes, times the columns to look for and the bytes of the same expression, as every
/// quote and parenthesis in it may be looked for to its end. A thousand columns and a hundred expressions are far from it, and so is
/// a single one of ten thousand bytes.
const MAX_COST: usize = 128 << 20;

/// What the stored expressions `texts` call the columns, and what they are called now. None where finding that would take long: then they
/// are printed as stored.
pub fn named<'a>(schema: &'a [Column], texts: impl IntoIterator<Item = &'a str>) -> Option<Vec<Named<'a>>> {
    let cost = |text: &str| text.len().saturating_mul(schema.len().saturating_add(text.len()));
    let costs = texts.into_iter().map(cost).fold(0usize, usize::saturating_add);
    (costs <= MAX_COST).then(|| schema.iter().map(|column| Named { id: column.id(), name: &column.name }).collect())
}

/// The same for the expressions of all generated columns.
pub fn named_by_generated(schema: &[Column]) -> Option<Vec<Named<'_>>> {
    named(schema, schema.iter().filter_map(|column| Some(column.materialized_column_expr.as_ref()?.expr.as_str())))
}

/// The column that `id` names: ids first, then names, both without regard to case.
fn find_known<'a>(schema: &'a [Column], id: &str) -> Option<&'a Column> {
    let by_id = schema.iter().find(|column| column.id().eq_ignore_ascii_case(id));
    by_id.or_else(|| schema.iter().find(|column| column.name.eq_ignore_ascii_case(id)))
}

/// The same; or, as 2023-12 knows no ids, by the name on disk, which a rename leaves.
pub fn find<'a>(schema: &'a [Column], id: &str) -> Option<&'a Column> {
    find_known(schema, id).or_else(|| {
        let names = schema.iter().filter_map(|column| Some((column.physical_name.as_deref()?, column)));
        names
            .filter(|(name, _)| !name.is_empty())
            .find(|(name, _)| name.eq_ignore_ascii_case(id))
            .map(|(_, found)| found)
    })
}

/// The current name of the column that `id` names; of one that is gone, `id`.
pub fn resolve<'a>(schema: &'a [Column], id: &'a str) -> &'a str {
    find(schema, id).map_or(id, |column| &column.name)
}

/// Current names by what [`find`] knows columns by, for where many are looked up.
pub struct Names<'a>(HashMap<String, &'a str>);

impl<'a> Names<'a> {
    pub fn of(schema: &'a [Column]) -> Names<'a> {
        let mut names = HashMap::with_capacity(schema.len());
        let ids = schema.iter().map(|column| (column.id(), column));
        let current = schema.iter().map(|column| (column.name.as_str(), column));
        let on_disk = schema.iter().filter_map(|column| Some((column.physical_name.as_deref()?, column)));
        for (id, column) in ids.chain(current).chain(on_disk).filter(|(id, _)| !id.is_empty()) {
            names.entry(id.to_ascii_lowercase()).or_insert(column.name.as_str());
        }
        Names(names)
    }

    pub fn get(&self, id: &str) -> Option<&'a str> {
        self.0.get(&id.to_ascii_lowercase()).copied()
    }
}

/// One line of CREATE TABLE.
pub fn definition(table: &Table, column: &Column, names: Option<&[Named]>) -> Result<String> {
    let mut out = format!("{} {}", quote::name(&column.name), types::column_type(&column.ty)?);
    if let Some(aggregation) = aggregation(table, column)? {
        out.push(' ');
        out.push_str(&aggregation);
    }
    out.push_str(if column.is_allow_null { " NULL" } else { " NOT NULL" });
    if column.is_auto_increment == Some(true) {
        out.push_str(" AUTO_INCREMENT");
    }
    if let Some(generated) = &column.materialized_column_expr {
        out.push_str(&format!(" AS {}", generated_expression(table, &generated.expr, names)));
    } else if let Some(default) = default(column) {
        out.push_str(&format!(" DEFAULT {default}"));
    }
    out.push_str(&format!(" COMMENT {}", quote::double(column.comment.as_deref().unwrap_or_default())));
    Ok(out)
}

fn aggregation(table: &Table, column: &Column) -> Result<Option<String>> {
    let Some(kind) = column.aggregation_type.as_deref() else { return Ok(None) };
    if table.keys_type.as_deref() != Some("AGG_KEYS") || column.is_key || kind == "NONE" {
        return Ok(None);
    }
    let Some(state) = column.agg_state_desc.as_ref().filter(|_| kind == "AGG_STATE_UNION") else {
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return if word(kind) {
            Ok(Some(kind.to_owned()))
        } else {
            Err(super::inconsistent(table, format!("column {:?} has the aggregation {kind:?}", column.name)))
        };
    };
    let arguments = state.arg_types.iter().map(types::column_type).collect::<Result<Vec<_>>>()?.join(", ");
    Ok(Some(format!("{}({arguments})", quote::bare_function(&state.function_name))))
}

/// StarRocks prints the expression of a primary-key table as stored but for needless parentheses, of other tables with backticks.
fn generated_expression(table: &Table, text: &str, names: Option<&[Named]>) -> String {
    let Some(names) = names else { return text.to_owned() };
    if table.keys_type.as_deref() == Some("PRIMARY_KEYS") {
        expr::plain_casts(&expr::rename(text, names, Quoting::WhereNeeded))
    } else {
        expr::rename(text, names, Quoting::Always)
    }
}

fn default(column: &Column) -> Option<String> {
    // These have no value a statement could write; an added column holds an internal one (`\0`).
    if matches!(column.ty.primitive.as_deref(), Some("HLL" | "BITMAP" | "PERCENTILE")) {
        return None;
    }
    let default = match &column.default_expr {
        Some(default) => default,
        None => return column.default_value.as_deref().map(quote::double),
    };
    // A complex default (an array, map or struct) stands in `serializedExpr`.
    let text = default.expr.as_deref().filter(|text| !text.is_empty());
    let Some(text) = text else {
        return default.serialized_expr.clone().or_else(|| column.default_value.as_deref().map(quote::double));
    };
    let lower = text.to_ascii_lowercase();
    Some(match lower.as_str() {
        "now()" | "current_timestamp()" | "now" | "current_timestamp" => "CURRENT_TIMESTAMP".into(),
        _ if lower.starts_with("current_timestamp(") => text.to_owned(),
        _ => match lower.strip_prefix("now(") {
            Some(precision) => format!("current_timestamp({precision}"),
            None => format!("({text})"),
        },
    })
}

/// `DUPLICATE KEY(...)`; none where a table has no key column.
pub fn keys(table: &Table, schema: &[Column]) -> Result<Option<String>> {
    let word = match table.keys_type.as_deref() {
        Some("DUP_KEYS") => "DUPLICATE",
        Some("AGG_KEYS") => "AGGREGATE",
        Some("UNIQUE_KEYS") => "UNIQUE",
        Some("PRIMARY_KEYS") => "PRIMARY",
        other => {
            let other = other.unwrap_or("none");
            return Err(CatalogError::Unsupported {
                what: format!("table {:?}", table.name),
                reason: format!("its key model is {other}"),
            });
        }
    };
    let keys = quote::names(
        schema.iter().filter(|column| column.is_key && !column.is_hidden()).map(|column| column.name.as_str()),
        ", ",
    );
    Ok((!keys.is_empty()).then(|| format!("{word} KEY({keys})")))
}

/// `ORDER BY(...)` where the table has a sort key of its own.
pub fn order_by(table: &Table, base: &IndexMeta) -> Result<Option<String>> {
    let Some(positions) = base.sort_key_idxes.as_deref().filter(|positions| !positions.is_empty()) else {
        return Ok(None);
    };
    let column = |position: &i32| {
        let column = usize::try_from(*position).ok().and_then(|position| base.schema.get(position));
        column.map(|column| column.name.as_str()).ok_or_else(|| {
            super::inconsistent(table, format!("its sort key names column {position}, which is not there"))
        })
    };
    let names = positions.iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(Some(format!("ORDER BY({})", quote::names(names, ", "))))
}

/// `INDEX i (c) USING BITMAP COMMENT ''`.
pub fn index(index: &SecondaryIndex, schema: &[Column]) -> Result<String> {
    // 2023-12 forgets indexes when it renames a column, and prints the old name too.
    let names = index.columns.iter().map(|id| find_known(schema, id).map_or(id.as_str(), |column| &column.name));
    let columns = quote::names(names, ", ");
    let kind = &index.index_type;
    if !kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let reason = format!("its kind is {kind:?}");
        return Err(CatalogError::Inconsistent { what: format!("index {:?}", index.index_name), reason });
    }
    let properties = match &index.properties {
        Some(properties) if !properties.is_empty() => format!("({})", quote::pairs(properties, ", ")),
        _ => String::new(),
    };
    let comment = quote::single(index.comment.as_deref().unwrap_or_default());
    Ok(format!("INDEX {} ({columns}) USING {kind}{properties} COMMENT {comment}", quote::bare(&index.index_name)))
}

/// All indexes.
pub fn indexes(table: &Table, schema: &[Column]) -> Result<Vec<String>> {
    let list = table.indexes.as_ref().map(|indexes| indexes.indexes.as_slice()).unwrap_or_default();
    list.iter().map(|entry| index(entry, schema)).collect()
}
