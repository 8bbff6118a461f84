//! The Details of SHOW SNAPSHOT: the job info without ids, versions and indexes, laid out as StarRocks does.
//!
//! Keys keep the order of the stored file. StarRocks prints them in its own hash order, and has written them in that order too.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// The database's name, and the text.
pub(super) fn of(info: &[u8]) -> Result<(String, String), String> {
    // Names that are not UTF-8 come from an FE with another default charset.
    let text = String::from_utf8_lossy(info);
    let info: Value = serde_json::from_str(&text).map_err(|error| format!("its __info is no JSON: {error}"))?;
    let Value::Object(info) = info else { return Err("its __info is no JSON object".into()) };
    let brief: Map<String, Value> =
        info.iter().filter_map(|(key, value)| Some((key.clone(), top(key, value)?))).collect();
    let database = info.get("database").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut text = String::new();
    object(&mut text, &brief, 0);
    Ok((database, text))
}

fn top(key: &str, value: &Value) -> Option<Value> {
    match key {
        "name" | "database" | "backup_time" | "meta_version" | "starrocks_meta_version" | "backup_result" => {
            Some(value.clone()).filter(|value| !value.is_object() && !value.is_array())
        }
        "backup_objects" => Some(each(value, table)),
        _ => None,
    }
}

fn table(value: &Value) -> Value {
    let partitions = value
        .get("partitions")
        .map_or_else(|| Value::Object(Map::new()), |all| each(all, |_| Value::Object(Map::new())));
    Value::Object(Map::from_iter([("partitions".to_owned(), partitions)]))
}

/// An object with the same keys.
fn each(value: &Value, change: impl Fn(&Value) -> Value) -> Value {
    let entries = value.as_object().into_iter().flatten();
    Value::Object(entries.map(|(key, value)| (key.clone(), change(value))).collect())
}

/// One blank per level; what has one entry stays on its line, and adds no level.
fn object(out: &mut String, entries: &Map<String, Value>, indent: usize) {
    out.push('{');
    let inner = indent + 1;
    for (at, (key, entry)) in entries.iter().enumerate() {
        if entries.len() > 1 {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\n{:inner$}", "");
        }
        quoted(out, key);
        out.push_str(": ");
        let indent = if entries.len() > 1 { inner } else { indent };
        // No deeper than what was built above.
        match entry {
            Value::Object(entries) => object(out, entries, indent),
            Value::String(text) => quoted(out, text),
            other => {
                let _ = write!(out, "{other}");
            }
        }
    }
    if entries.len() > 1 {
        let _ = write!(out, "\n{:indent$}", "");
    }
    out.push('}');
}

/// A string in quotes. Besides what JSON asks for, StarRocks escapes `</` and some invisible characters.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut last = '\0';
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '/' if last == '<' => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..' ' | '\u{80}'..'\u{a0}' | '\u{2000}'..'\u{2100}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
        last = c;
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn ids_versions_and_indexes_are_left_out_and_order_is_kept() {
        let info = r#"{"name":"l","id":7,"database":"d","backup_objects":{"b":{"id":1,"partitions":{"p":{"version":2,"indexes":{}}}},
            "a":{"partitions":{}}},"unknown":{"x":1}}"#;
        let (database, text) = of(info.as_bytes()).unwrap();
        let expected = "{\n \"name\": \"l\",\n \"database\": \"d\",\n \"backup_objects\": {\n  \"b\": {\"partitions\": {\"p\": {}}},\n  \"a\": {\"partitions\": {}}\n }\n}";
        assert_eq!((database.as_str(), text.as_str()), ("d", expected));
    }

    #[test]
    fn odd_names_are_escaped() {
        let mut text = String::new();
        quoted(&mut text, "a\"\\</\u{1}\u{85}\u{2028}\u{540d}");
        assert_eq!(text, "\"a\\\"\\\\<\\/\\u0001\\u0085\\u2028\u{540d}\"");
    }

    #[test]
    fn what_is_no_job_info_is_refused() {
        for text in ["", "[]", "1", "{"] {
            assert!(of(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(
            of(br#"{"backup_objects":[1],"name":{"a":1}}"#).unwrap(),
            (String::new(), "{\"backup_objects\": {}}".into())
        );
    }
}
