//! Views and asynchronous materialized views.
//!
//! Of the texts that newer versions store, the one rewritten by StarRocks' analyzer is printed, never the user's own: every version stores
//! it, it names the database of each table, and StarRocks cuts the user's text of a materialized view short where it holds an emoji.

use super::{Context, columns, partitions, properties, quote};
use crate::error::Result;
use crate::model::{Column, RefreshScheme, Table};

/// CREATE VIEW, without the final semicolon.
pub fn view(table: &Table) -> Result<String> {
    let Some(query) = table.inline_view_def.as_deref().filter(|query| !query.is_empty()) else {
        return Err(super::inconsistent(table, "the view has no query"));
    };
    let schema = table.full_schema.as_deref().unwrap_or_default();
    let list = schema.iter().map(name_and_comment).collect::<Vec<_>>().join(", ");
    let mut out = format!("CREATE VIEW {} ({list})", quote::name(&table.name));
    if let Some(comment) = super::comment_clause(table) {
        out.push_str(&format!("\n{comment}"));
    }
    let security = if table.security_invoker == Some(true) { "INVOKER" } else { "NONE" };
    out.push_str(&format!(" SECURITY {security} AS {query}"));
    Ok(out)
}

/// CREATE MATERIALIZED VIEW, without the final semicolon, and notes on what could not be printed.
pub fn materialized_view(table: &Table, context: &Context) -> Result<(String, Vec<String>)> {
    let base = columns::base_index(table)?;
    let schema = &base.schema;
    let texts = [&table.simple_define_sql, &table.view_define_sql, &table.original_view_define_sql];
    let Some(query) = texts.into_iter().flatten().find(|query| !query.is_empty()) else {
        return Err(super::inconsistent(table, "the materialized view has no query"));
    };
    let mut list = output_columns(table, schema).into_iter().map(name_and_comment).collect::<Vec<_>>().join(", ");
    for index in columns::indexes(table, schema)? {
        list.push_str(&format!(",\n  {index}"));
    }
    let mut clauses = vec![format!("CREATE MATERIALIZED VIEW {} ({list})", quote::name(&table.name))];
    clauses.extend(super::comment_clause(table));
    clauses.extend(partitions::view_clause(table, schema, &context.database)?);
    clauses.extend(partitions::distribution(table, schema)?);
    clauses.extend(order_by(table));
    clauses.push(refresh(table.refresh_scheme.as_ref()));
    let (list, notes) = properties::of_view(table, schema, context);
    clauses.push(properties::clause(&list));
    clauses.push(format!("AS {query}"));
    Ok((clauses.join("\n"), notes))
}

fn name_and_comment(column: &Column) -> String {
    match column.comment.as_deref() {
        Some(comment) if !comment.is_empty() => {
            format!("{} COMMENT {}", quote::name(&column.name), quote::double(comment))
        }
        _ => quote::name(&column.name),
    }
}

/// Columns in the query's order, which a sort key makes differ from the stored one. Neither a generated nor a hidden column is the query's.
fn output_columns<'a>(table: &Table, schema: &'a [Column]) -> Vec<&'a Column> {
    let positions = table.query_output_indices.as_deref().unwrap_or_default();
    let picked: Option<Vec<&Column>> = positions
        .iter()
        .map(|position| usize::try_from(*position).ok().and_then(|position| schema.get(position)))
        .collect();
    match picked {
        Some(columns) if !columns.is_empty() => columns.into_iter().filter(|column| !column.is_hidden()).collect(),
        _ => {
            let of_the_query = |column: &&Column| column.materialized_column_expr.is_none() && !column.is_hidden();
            schema.iter().filter(of_the_query).collect()
        }
    }
}

/// The sort key is stored as a property, names separated by commas.
fn order_by(table: &Table) -> Option<String> {
    let keys = table.table_property.as_ref()?.properties.get("mv_sort_keys").filter(|keys| !keys.is_empty())?;
    let names = keys.split(',').map(|name| quote::bare(name.trim())).collect::<Vec<_>>().join(",");
    Some(format!("ORDER BY ({names})"))
}

fn refresh(scheme: Option<&RefreshScheme>) -> String {
    let mut out = String::from("REFRESH");
    let Some(scheme) = scheme else { return out + " MANUAL" };
    if scheme.moment.as_deref() == Some("DEFERRED") {
        out.push_str(" DEFERRED");
    }
    let kind = match scheme.kind.as_deref() {
        Some("ASYNC") | None => "ASYNC",
        Some("INCREMENTAL") => "INCREMENTAL",
        Some(_) => "MANUAL",
    };
    out.push_str(&format!(" {kind}"));
    let Some(schedule) = scheme.async_refresh_context.as_ref().filter(|_| kind == "ASYNC") else { return out };
    if let (Some(true), Some(start)) = (schedule.define_start_time, schedule.start_time) {
        out.push_str(&format!(" START(\"{}\")", crate::time::starrocks_time(start)));
    }
    let word = |unit: &&str| !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_alphabetic());
    if let (Some(step), Some(unit)) =
        (schedule.step.filter(|step| *step > 0), schedule.time_unit.as_deref().filter(word))
    {
        out.push_str(&format!(" EVERY(INTERVAL {step} {unit})"));
    }
    out
}
