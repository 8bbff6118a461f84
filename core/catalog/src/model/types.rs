//! Column types.

use super::Extra;
use serde::{Deserialize, Serialize};

/// A type: `ScalarType`, `ArrayType`, `MapType`, `StructType` (or a pseudo type in function signatures).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Type {
    /// Missing in some function signatures of 2026's main, where `ScalarType` is the default.
    #[serde(default = "scalar")]
    pub clazz: String,
    /// Primitive type of a scalar: `INT`, `VARCHAR`, `DECIMAL64`, …
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub primitive: Option<String>,
    /// Length of CHAR, VARCHAR and VARBINARY in bytes; −1 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_type: Option<Box<Type>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<Box<Type>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_type: Option<Box<Type>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<StructField>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<bool>,
    #[serde(flatten)]
    pub extra: Extra,
}

fn scalar() -> String {
    "ScalarType".into()
}

/// A field of a STRUCT.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StructField {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: Type,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}
