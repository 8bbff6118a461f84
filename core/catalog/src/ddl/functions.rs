//! User-defined functions.

use super::{mask, quote, types};
use crate::error::{CatalogError, Result};
use crate::model::{Function, Type};
use std::collections::BTreeMap;

/// The name with argument types, as StarRocks tells overloads apart: `half(DOUBLE)`, `cat(VARCHAR(65533), ...)`.
pub fn signature(function: &Function) -> String {
    // A type that cannot be printed must not make two overloads look alike: it stands as stored.
    let one = |ty: &Type| {
        types::signature_type(ty).unwrap_or_else(|_| ty.primitive.clone().unwrap_or_else(|| ty.clazz.clone()))
    };
    let mut arguments: Vec<String> = function.arg_types.iter().map(one).collect();
    if function.has_var_args == Some(true) {
        arguments.push("...".into());
    }
    format!("{}({})", function.name.name, arguments.join(", "))
}

/// CREATE FUNCTION, without the final semicolon.
pub fn create(function: &Function) -> Result<String> {
    if function.clazz == "SqlFunction" {
        return sql_function(function);
    }
    let word = match function.clazz.as_str() {
        "ScalarFunction" => "",
        "AggregateFunction" => "AGGREGATE ",
        "TableFunction" => "TABLE ",
        other => return Err(unsupported(function, format!("its class is {other:?}"))),
    };
    let returns = match (function.clazz.as_str(), function.table_fn_return_types.as_deref()) {
        ("TableFunction", Some([ty])) => Some(ty),
        ("TableFunction", Some(types)) => {
            return Err(unsupported(
                function,
                format!("it returns {} columns, CREATE FUNCTION takes one", types.len()),
            ));
        }
        _ => function.ret_type.as_ref(),
    };
    let Some(returns) = returns else {
        return Err(CatalogError::Inconsistent { what: what(function), reason: "its return type is missing".into() });
    };
    let mut arguments = function.arg_types.iter().map(types::signature_type).collect::<Result<Vec<_>>>()?;
    if function.has_var_args == Some(true) {
        arguments.push("...".into());
    }
    let head = format!(
        "CREATE {word}FUNCTION {}({})\nRETURNS {}",
        quote::name(&function.name.name),
        arguments.join(", "),
        types::signature_type(returns)?
    );
    let properties = properties(function)?;
    match function.content.as_deref().filter(|content| !content.is_empty()) {
        None => Ok(format!("{head}\nPROPERTIES (\n{}\n)", quote::pairs(&properties, ",\n"))),
        Some(content) if content.contains("$$") => Err(unsupported(
            function,
            "its source holds `$$`, which ends an inline source and cannot be escaped".into(),
        )),
        Some(content) => {
            let pair = |(key, value): (&String, &String)| format!("{key} = {}\n", quote::single(value));
            let properties: String = properties.iter().map(pair).collect();
            Ok(format!("{head}\n{properties}AS $${content}$$"))
        }
    }
}

fn properties(function: &Function) -> Result<BTreeMap<String, String>> {
    let kind = match function.binary_type.as_deref() {
        Some("SRJAR") => "StarrocksJar",
        Some("PYTHON") => "Python",
        other => {
            let other = other.unwrap_or("missing");
            return Err(unsupported(function, format!("its kind is {other}, which CREATE FUNCTION does not take")));
        }
    };
    let mut out = BTreeMap::from([("type".to_owned(), kind.to_owned())]);
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.insert(key.into(), value.into());
        }
    };
    put("symbol", function.symbol_name.as_deref());
    let file = function.location.as_ref().and_then(|uri| uri.location.as_deref()).map(mask::mask_url);
    put("file", file.as_deref());
    put("input", function.input_type.as_deref());
    if function.is_analytic_fn == Some(true) {
        put("analytic", Some("true"));
    }
    // Functions are isolated unless they ask not to be.
    if function.isolated == Some(false) && kind == "StarrocksJar" {
        put("isolation", Some("shared"));
    }
    Ok(out)
}

/// A function whose body is an expression over its named arguments (2026's main).
fn sql_function(function: &Function) -> Result<String> {
    let Some(sql) = function.sql.as_deref().filter(|sql| !sql.is_empty()) else {
        return Err(CatalogError::Inconsistent { what: what(function), reason: "its body is missing".into() });
    };
    let names = function.arg_names.as_deref().unwrap_or_default();
    if names.len() != function.arg_types.len() {
        let reason = format!("it has {} argument types and {} names", function.arg_types.len(), names.len());
        return Err(CatalogError::Inconsistent { what: what(function), reason });
    }
    let argument = |(name, ty): (&String, &Type)| Ok(format!("{} {}", quote::bare(name), types::signature_type(ty)?));
    let arguments = names.iter().zip(&function.arg_types).map(argument).collect::<Result<Vec<_>>>()?.join(", ");
    Ok(format!("CREATE FUNCTION {}({arguments})\nRETURNS {sql}", quote::name(&function.name.name)))
}

fn what(function: &Function) -> String {
    format!("function {:?}", function.name.name)
}

fn unsupported(function: &Function, reason: String) -> CatalogError {
    CatalogError::Unsupported { what: what(function), reason }
}
