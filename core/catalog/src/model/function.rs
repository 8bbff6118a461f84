//! Functions and external catalogs.

use super::{Extra, Type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A user-defined function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// `ScalarFunction`, `AggregateFunction`, `TableFunction`, `SqlFunction`.
    pub clazz: String,
    #[serde(default)]
    pub fid: i64,
    pub name: FunctionName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret_type: Option<Type>,
    #[serde(default)]
    pub arg_types: Vec<Type>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arg_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_var_args: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Uri>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolated: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_type: Option<String>,
    /// Inline source of a Python function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermediate_type: Option<Type>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_analytic_fn: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_column_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_fn_return_types: Option<Vec<Type>>,
    /// Body of a SqlFunction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A function's name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionName {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db: Option<String>,
    #[serde(rename = "fn")]
    pub name: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where a function's code is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Uri {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// An external catalog.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    #[serde(default)]
    pub id: i64,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Properties, secrets in clear text.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl std::fmt::Debug for Catalog {
    // The configuration holds secrets, which must not reach a log through `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
