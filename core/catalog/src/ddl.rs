//! The statements StarRocks would accept: CREATE TABLE / MATERIALIZED VIEW / VIEW / FUNCTION / EXTERNAL CATALOG, RESTORE SNAPSHOT.
//! One style whatever version wrote the backup (nothing in a repository names it): that of 3.5, and always a statement that parses.

use crate::error::Result;
use crate::model::{Catalog, Function, Table};
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
    let _ = (table, context);
    todo!()
}

/// CREATE FUNCTION.
pub fn function_sql(function: &Function) -> Result<String> {
    let _ = function;
    todo!()
}

/// The function's name with its argument types, as overloads are told apart: `half(DOUBLE)`.
pub fn function_signature(function: &Function) -> String {
    let _ = function;
    todo!()
}

/// CREATE EXTERNAL CATALOG, secrets masked.
pub fn catalog_sql(catalog: &Catalog) -> Result<String> {
    let _ = catalog;
    todo!()
}

/// The RESTORE SNAPSHOT statement that a cluster would need to restore everything in the snapshot, for `restore.sql`.
pub fn restore_sql(snapshot: &crate::snapshot::Snapshot, repository: &str, timestamp: &str) -> String {
    let _ = (snapshot, repository, timestamp);
    todo!()
}
