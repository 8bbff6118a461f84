//! Column types as SQL text.

use super::quote;
use crate::error::{CatalogError, Result};
use crate::model::Type;

/// The type as SHOW CREATE TABLE prints it in 3.5: lower case with MySQL's display widths (`int(11)`, `decimal(10, 2)`).
///
/// StarRocks prints a decimal as the element of an ARRAY with its storage width (`DECIMAL64(10,2)`); its parser takes both.
pub fn column_type(ty: &Type) -> Result<String> {
    print(ty, Style::Column, 0)
}

/// The type as it stands in a function's signature: upper case, without widths (`VARCHAR(65533)`, `INT`, `ARRAY<BIGINT>`).
pub fn signature_type(ty: &Type) -> Result<String> {
    print(ty, Style::Signature, 0)
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Column,
    Signature,
}

/// StarRocks refuses types nested deeper than 15; readers of JSON stop at 128.
const MAX_DEPTH: usize = 130;

fn print(ty: &Type, style: Style, depth: usize) -> Result<String> {
    if depth > MAX_DEPTH {
        return Err(CatalogError::Unsupported {
            what: "a column type".into(),
            reason: "it is nested too deeply".into(),
        });
    }
    let inner = |ty: &Option<Box<Type>>, what: &str| match ty {
        Some(ty) => print(ty, style, depth + 1),
        None => Err(damaged(format!("its {what} type is missing"))),
    };
    let case = |word: &str| if style == Style::Column { word.to_ascii_lowercase() } else { word.to_owned() };
    Ok(match ty.clazz.as_str() {
        "ArrayType" => {
            let item = match (&ty.item_type, style) {
                (Some(item), Style::Column) => decimal_with_width(item),
                _ => None,
            };
            format!("{}<{}>", case("ARRAY"), item.map_or_else(|| inner(&ty.item_type, "item"), Ok)?)
        }
        "MapType" => {
            format!("{}<{},{}>", case("MAP"), inner(&ty.key_type, "key")?, inner(&ty.value_type, "value")?)
        }
        "StructType" => {
            let fields = ty.fields.as_deref().unwrap_or_default();
            let field = |field: &crate::model::StructField| {
                Ok(format!("{} {}", field_name(&field.name), print(&field.ty, style, depth + 1)?))
            };
            format!("{}<{}>", case("STRUCT"), fields.iter().map(field).collect::<Result<Vec<_>>>()?.join(", "))
        }
        "AnyElementType" => "ANY_ELEMENT".into(),
        "AnyArrayType" => "ANY_ARRAY".into(),
        "PseudoType" => "ANY".into(),
        "ScalarType" => scalar(ty, style)?,
        other => return Err(damaged(format!("its class {other:?} is unknown"))),
    })
}

/// 2023-12 stored a field's name with the backticks it was written in.
fn field_name(stored: &str) -> String {
    match stored.strip_prefix('`').and_then(|name| name.strip_suffix('`')) {
        Some(name) if !name.is_empty() => quote::name(name),
        _ => quote::bare(stored),
    }
}

fn scalar(ty: &Type, style: Style) -> Result<String> {
    let Some(primitive) = ty.primitive.as_deref() else {
        return Err(damaged("it names no primitive type".into()));
    };
    if !primitive.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(damaged(format!("{primitive:?} is no type")));
    }
    let length = ty.len.filter(|length| *length > 0);
    let decimal = || (ty.precision.unwrap_or_default(), ty.scale.unwrap_or_default());
    let column = style == Style::Column;
    let width = match primitive {
        "TINYINT" => 4,
        "SMALLINT" => 6,
        "INT" => 11,
        "BIGINT" => 20,
        "LARGEINT" => 40,
        _ => 0,
    };
    let text = match primitive {
        "CHAR" | "VARCHAR" => format!("{primitive}({})", length.unwrap_or(1)),
        "VARBINARY" | "BINARY" => match length {
            Some(length) => format!("{primitive}({length})"),
            None => primitive.into(),
        },
        "DECIMALV2" | "DECIMAL32" | "DECIMAL64" | "DECIMAL128" | "DECIMAL256" if column => {
            let (precision, scale) = decimal();
            format!("DECIMAL({precision}, {scale})")
        }
        "DECIMAL32" | "DECIMAL64" | "DECIMAL128" | "DECIMAL256" | "DECIMALV2" => {
            let (precision, scale) = decimal();
            format!("{primitive}({precision},{scale})")
        }
        _ if column && width > 0 => format!("{primitive}({width})"),
        _ => primitive.into(),
    };
    Ok(if column { text.to_ascii_lowercase() } else { text })
}

fn decimal_with_width(ty: &Type) -> Option<String> {
    let primitive = ty.primitive.as_deref().filter(|_| ty.clazz == "ScalarType")?;
    matches!(primitive, "DECIMAL32" | "DECIMAL64" | "DECIMAL128" | "DECIMAL256")
        .then(|| format!("{primitive}({},{})", ty.precision.unwrap_or_default(), ty.scale.unwrap_or_default()))
}

fn damaged(reason: String) -> CatalogError {
    CatalogError::Inconsistent { what: "a column type".into(), reason }
}
