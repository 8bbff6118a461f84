//! The statements StarRocks would accept: CREATE TABLE / MATERIALIZED VIEW / VIEW / FUNCTION / EXTERNAL CATALOG, RESTORE SNAPSHOT.
//! One style whatever version wrote the backup (nothing in a repository names it): that of 3.5, and always a statement that parses.
//!
//! * Where StarRocks itself prints what its parser does not take back, ours is right: a MAXVALUE bound of several columns, odd names in
//!   struct fields and sort keys, quotes and control characters in comments and list values, NULL in lists.
//! * Views and materialized views: the text rewritten by StarRocks' analyzer, never the user's own.
//! * Properties: those that 3.5 shows, sorted by name.
//! * Times are those of an FE in +08:00, StarRocks' default: a snapshot does not say which zone its FE was in.
//! * External catalogs: every property whose name speaks of a key, secret, password, token or credential has the value `***`
//!   ([`is_secret_property`] is the rule), and so have credentials inside URLs, those of functions too.

mod columns;
mod constraints;
mod expr;
mod functions;
mod literal;
mod mask;
mod partitions;
mod properties;
mod quote;
mod restore;
mod trailing;
mod types;
mod view;

pub(crate) use constraints::renamed as renamed_constraints;
pub(crate) use partitions::temporary_values as partition_values;

pub use mask::{MASK, is_secret as is_secret_property, mask_url, masked as masked_properties};
pub use quote::{double as quote_string, name as quote_name};
pub use types::{column_type, signature_type};

use crate::error::{CatalogError, Result};
use crate::model::{Catalog, Function, Partition, Table};
use std::collections::BTreeMap;

/// What a statement needs to know about the object's surroundings.
#[derive(Debug, Clone, Default)]
pub struct Context {
    pub database: String,
    pub database_id: i64,
    /// Table id to name: foreign keys are stored by id.
    pub tables: BTreeMap<i64, String>,
}

/// `schema.sql` of a table, materialized view or view: the CREATE statement with `;` and newline; rollups, synchronous materialized
/// views and temporary partitions follow as `-- ` comments.
pub fn schema_sql(table: &Table, context: &Context) -> Result<String> {
    match table.clazz.as_str() {
        "View" => Ok(format!("{};\n", view::view(table)?)),
        "MaterializedView" => {
            let (statement, notes) = view::materialized_view(table, context)?;
            Ok(format!("{statement};\n{}", trailing::comments(table, &notes)?))
        }
        "OlapTable" => {
            let (statement, notes) = create_table(table, context)?;
            Ok(format!("{statement};\n{}", trailing::comments(table, &notes)?))
        }
        other => Err(CatalogError::Unsupported {
            what: format!("table {:?}", table.name),
            reason: format!(
                "there is no statement for a {other:?}; only native tables, views and materialized views are backed up"
            ),
        }),
    }
}

fn create_table(table: &Table, context: &Context) -> Result<(String, Vec<String>)> {
    let base = columns::base_index(table)?;
    let schema = &base.schema;
    let mut lines = Vec::with_capacity(schema.len());
    let names = columns::named_by_generated(schema);
    for column in schema.iter().filter(|column| !column.is_hidden()) {
        lines.push(format!("  {}", columns::definition(table, column, names.as_deref())?));
    }
    lines.extend(columns::indexes(table, schema)?.into_iter().map(|index| format!("  {index}")));
    let mut clauses =
        vec![format!("CREATE TABLE {} (\n{}\n) ENGINE=OLAP", quote::name(&table.name), lines.join(",\n"))];
    clauses.extend(columns::keys(table, schema)?);
    clauses.extend(comment_clause(table));
    clauses.extend(partitions::clause(table, schema)?);
    clauses.extend(partitions::distribution(table, schema)?);
    clauses.extend(columns::order_by(table, base)?);
    let (list, notes) = properties::of_table(table, schema, context);
    clauses.push(properties::clause(&list));
    Ok((clauses.join("\n"), notes))
}

fn comment_clause(table: &Table) -> Option<String> {
    let comment = table.comment.as_deref().filter(|comment| !comment.is_empty())?;
    Some(format!("COMMENT {}", quote::double(comment)))
}

/// What a partition of `table` holds, as CREATE TABLE has it: `VALUES [("1"), ("2"))`; none where partitions are not made by hand.
pub fn partition_values_of(table: &Table, partition: &Partition) -> Result<Option<String>> {
    partitions::temporary_values(table, &columns::base_index(table)?.schema, partition)
}

/// CREATE FUNCTION.
pub fn function_sql(function: &Function) -> Result<String> {
    Ok(format!("{};\n", functions::create(function)?))
}

/// The function's name with its argument types, as overloads are told apart: `half(DOUBLE)`.
pub fn function_signature(function: &Function) -> String {
    functions::signature(function)
}

/// CREATE EXTERNAL CATALOG, secrets masked.
pub fn catalog_sql(catalog: &Catalog) -> Result<String> {
    Ok(format!("{};\n", mask::catalog(catalog)))
}

/// The RESTORE SNAPSHOT statement that a cluster would need to restore everything in the snapshot, for `restore.sql`.
pub fn restore_sql(snapshot: &crate::snapshot::Snapshot, repository: &str, timestamp: &str) -> String {
    restore::statement(snapshot, repository, timestamp)
}

fn inconsistent(table: &Table, reason: impl Into<String>) -> CatalogError {
    CatalogError::Inconsistent { what: format!("table {:?}", table.name), reason: reason.into() }
}
