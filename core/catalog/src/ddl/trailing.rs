//! What SHOW CREATE TABLE never shows: rollups, synchronous materialized views and temporary partitions, as the commented-out statements that
//! would make them.

use super::{columns, partitions, quote};
use crate::error::Result;
use crate::model::{IndexMeta, Table};

/// Lines of comments, each ending in a newline; empty when there is nothing.
pub fn comments(table: &Table, notes: &[String]) -> Result<String> {
    let mut out = String::new();
    for (name, id) in &table.index_name_to_id {
        let index = table.index_id_to_meta.get(id).filter(|_| Some(*id) != table.base_index_id);
        if let Some(index) = index {
            out.push_str(&quote::comment(&format!("{};", index_statement(table, name, index))));
        }
    }
    let base = columns::base_index(table)?;
    let temporary = table.temp_partitions.iter().flat_map(|partitions| partitions.id_to_partition.values());
    for partition in temporary {
        if let Some(values) = partitions::temporary_values(table, &base.schema, partition)? {
            let (table, partition) = (quote::name(&table.name), quote::name(&partition.name));
            out.push_str(&quote::comment(&format!(
                "ALTER TABLE {table} ADD TEMPORARY PARTITION {partition} {values};"
            )));
        }
    }
    for note in notes {
        out.push_str(&quote::comment(note));
    }
    Ok(out)
}

fn index_statement(table: &Table, name: &str, index: &IndexMeta) -> String {
    // The user's own statement if there is one: the columns of a synchronous view do not show its query.
    if let Some(statement) = index.define_stmt.as_ref().filter(|statement| !statement.origin_stmt.trim().is_empty()) {
        return statement.origin_stmt.trim_end().trim_end_matches(';').to_owned();
    }
    if let Some(query) = index.view_define_sql.as_deref().filter(|query| !query.is_empty()) {
        return format!("CREATE MATERIALIZED VIEW {} AS {query}", quote::name(name));
    }
    let list = quote::names(index.schema.iter().map(|column| column.name.as_str()), ", ");
    format!("ALTER TABLE {} ADD ROLLUP {} ({list})", quote::name(&table.name), quote::name(name))
}
