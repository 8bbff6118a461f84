//! Columns.

use super::{Extra, Type};
use serde::{Deserialize, Serialize};

/// A column of an index schema.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// Current name.
    pub name: String,
    /// Name at creation time, which survives a rename (3.3.1 and later; absent: the name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column_id: Option<String>,
    #[serde(rename = "type")]
    pub ty: Type,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregation_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agg_state_desc: Option<AggStateDesc>,
    #[serde(default)]
    pub is_aggregation_type_implicit: bool,
    #[serde(default)]
    pub is_key: bool,
    #[serde(default)]
    pub is_allow_null: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_auto_increment: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_expr: Option<DefaultExpr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<ColumnStats>,
    /// Name on disk after a rename in 2023-12; empty in later versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical_name: Option<String>,
    /// Expression of a generated column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub materialized_column_expr: Option<Expr>,
    /// StarRocks' own column, as the row id of an incremental materialized view (4.1 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_hidden: Option<bool>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What the names of columns begin with that StarRocks itself makes of PARTITION BY expressions.
const GENERATED_PARTITION_COLUMN: &str = "__generated_partition_column_";

impl Column {
    /// True for a column that StarRocks made for itself and no statement names.
    pub fn is_hidden(&self) -> bool {
        self.is_hidden == Some(true)
    }

    /// True for what `SELECT *` returns: neither hidden columns, nor those made of partition expressions.
    pub fn is_selected_by_star(&self) -> bool {
        let of_partition = self.materialized_column_expr.is_some() && self.name.starts_with(GENERATED_PARTITION_COLUMN);
        !self.is_hidden() && !of_partition
    }

    /// The id that `colIds`, `bfColumns`, `Index.columns` and partition expressions name: creation-time name, else the name.
    pub fn id(&self) -> &str {
        self.column_id.as_deref().unwrap_or(&self.name)
    }

    /// The value that rows have which were written before the column was added, as text, where it is known; none inside: NULL.
    pub fn default_of_old_rows(&self) -> Option<Option<&str>> {
        match (&self.default_value, &self.default_expr) {
            (Some(value), _) => Some(Some(value)),
            (None, None) if self.is_allow_null => Some(None),
            // The time at which it was added, as expressions mostly are, is not stored.
            _ => None,
        }
    }

    /// The names under which tablets may have the column, likeliest first: they keep the one that it was made with.
    pub fn stored_names(&self) -> impl Iterator<Item = &str> {
        let names = [Some(self.id()), self.physical_name.as_deref(), Some(&*self.name)];
        names.into_iter().flatten().filter(|name| !name.is_empty())
    }
}

/// An expression as SQL text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Expr {
    pub expr: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A default that is an expression, such as `now()`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultExpr {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialized_expr: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Function behind an `AGG_STATE_UNION` column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AggStateDesc {
    #[serde(default)]
    pub function_name: String,
    #[serde(default)]
    pub arg_types: Vec<Type>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_type: Option<Type>,
    #[serde(default)]
    pub result_nullable: bool,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Column statistics of old FEs (up to 4.0); −1 when unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnStats {
    #[serde(default)]
    pub avg_serialized_size: f64,
    #[serde(default)]
    pub max_size: i64,
    #[serde(default)]
    pub num_distinct_values: i64,
    #[serde(default)]
    pub num_nulls: i64,
    #[serde(flatten)]
    pub extra: Extra,
}
