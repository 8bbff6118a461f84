//! A column of the catalog in the schema that the tablets have.

use crate::ddl::signature_type;
use crate::model::Column;
use starsnap_tablet::{AddedColumn, TabletSchema, UniqueIds};

impl Column {
    /// The name that tablets with this schema have the column by: that which it was made with, or another by its unique id. One that was added
    /// after the last load, and that no tablet knows yet, is added to the schema, with its default in all rows. None where that default is not
    /// stored.
    pub fn stored_in(&self, schema: &mut TabletSchema) -> Option<String> {
        if let Some(found) = schema.locate(self.stored_names(), self.unique_id) {
            return Some(found.name.clone());
        }
        let added = AddedColumn {
            name: self.id(),
            // Without one of its own it could be any of those that were dropped.
            unique_id: self.unique_id.filter(|id| *id >= 0)?,
            ty: &signature_type(&self.ty).ok()?,
            aggregation: self.aggregation_type.as_deref().filter(|_| !self.is_key),
            nullable: self.is_allow_null,
            default_value: self.default_of_old_rows().filter(|_| self.materialized_column_expr.is_none())?,
        };
        schema.add(&added).ok()
    }
}

/// Within what the columns of an index have the same unique ids in its tablets: a table that was made before 3.2 has none in its catalog, or −1.
pub fn unique_ids(columns: &[Column]) -> UniqueIds {
    let given = columns.iter().any(|column| column.unique_id.is_some_and(|id| id >= 0));
    if given { UniqueIds::OfTable } else { UniqueIds::OfTablet }
}
