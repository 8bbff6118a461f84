//! Tablets of one table: which schemas go together, and how rows of one tablet are presented with the schema of another.

use super::{Column, TabletSchema};

/// Within what a column has the same unique id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueIds {
    /// The table: its catalog gives them out.
    OfTable,
    /// A tablet, and those that came of it. Of a table that was made before 3.2, for good, the backends number the columns: those of a new
    /// tablet from 0 on; those of a tablet that a schema change makes as they were in the old one, and further ones behind them. So the same
    /// column has one id in older partitions and another in newer ones. Source: StarRocks, `TabletManager::_create_tablet_meta_unlocked`.
    OfTablet,
}

impl TabletSchema {
    /// Why a tablet with this schema cannot be of one table with a tablet that has `newest`; nothing when it can. A column that was
    /// added by metadata alone reaches each tablet with its next load, so that tablets of one table may have older and newer schemas.
    pub fn contradiction(&self, newest: &TabletSchema, ids: UniqueIds) -> Option<String> {
        let same = |a: &Column, b: &Column| {
            (&a.name, &a.ty, a.is_key, &a.aggregation, a.nullable)
                == (&b.name, &b.ty, b.is_key, &b.aggregation, b.nullable)
                && (a.unique_id == b.unique_id || ids == UniqueIds::OfTablet)
        };
        let same_columns = || {
            let mut columns = self.columns.iter().zip(&newest.columns);
            self.columns.len() == newest.columns.len() && columns.all(|(a, b)| same(a, b))
        };
        // Without ids of the table there are no columns that only some tablets have.
        let lacking = || newest.columns.iter().find(|column| self.position(&column.name).is_none());
        if self.keys_type != newest.keys_type {
            Some(format!("its tablets have different models: {:?} and {:?}", newest.keys_type, self.keys_type))
        } else if self.version == newest.version && !same_columns() {
            Some(format!("its tablets have different columns in schema version {}", self.version))
        } else {
            let lacking = lacking().filter(|_| ids == UniqueIds::OfTablet);
            lacking.map(|column| format!("not all of its tablets have column {}", column.name))
        }
    }

    /// `newest`, the schema of the tablet's table, as it is for rows of a tablet with this schema: with this one's unique ids where they are
    /// the tablet's own, and always with the values that this one has for rows that were written before a column was added. Each tablet
    /// keeps those from when it was altered (`DEFAULT CURRENT_TIMESTAMP`).
    pub(crate) fn present(&self, newest: &TabletSchema, ids: UniqueIds) -> TabletSchema {
        let mut shown = newest.clone();
        for column in &mut shown.columns {
            let own = match ids {
                UniqueIds::OfTable => self.by_unique_id(column.unique_id),
                UniqueIds::OfTablet => self.position(&column.name).and_then(|at| self.columns.get(at)),
            };
            if let Some(own) = own {
                column.unique_id = own.unique_id;
                column.default_value.clone_from(&own.default_value);
                column.has_ngram_filter = own.has_ngram_filter;
            }
        }
        shown
    }
}
