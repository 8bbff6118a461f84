//! The text of JSON values as StarRocks prints it: `{"a": 1, "b": [1, 2]}`.

use std::io::Write as _;

use crate::error::{Result, TabletError};

use super::number;
use super::vpack::{Items, Value, take};

/// Deeper values are refused; StarRocks' own parser stops far earlier.
pub(super) const MAX_DEPTH: usize = 256;

/// Appends the text of one whole VelocyPack value.
pub fn write(value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    write_at(value, out, 0)
}

pub(super) fn write_at(value: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(TabletError::unsupported(format!("JSON nested deeper than {MAX_DEPTH} levels")));
    }
    let (value, rest) = take(value)?;
    if !rest.is_empty() {
        return Err(TabletError::damaged(format!("{} bytes after a JSON value", rest.len())));
    }
    // Writing to a vector does not fail.
    let _ = match value {
        Value::None => Ok(()),
        Value::Null => out.write_all(b"null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Double(value) => {
            number::write(value, out);
            Ok(())
        }
        Value::UtcDate(value) | Value::Int(value) => write!(out, "{value}"),
        Value::UInt(value) => write!(out, "{value}"),
        Value::String(text) => {
            write_string(text, out);
            Ok(())
        }
        Value::Binary => return Err(TabletError::unsupported("binary data inside a JSON value")),
        Value::Array(items) => return write_items(items, b"[]", false, out, depth),
        Value::Object(members) => return write_items(members, b"{}", true, out, depth),
    };
    Ok(())
}

fn write_items(mut items: Items<'_>, brackets: &[u8; 2], named: bool, out: &mut Vec<u8>, depth: usize) -> Result<()> {
    out.push(brackets[0]);
    let mut first = true;
    while let Some((key, value)) = items.next_item()? {
        if !std::mem::take(&mut first) {
            out.extend_from_slice(b", ");
        }
        if named {
            write_string(key, out);
            out.extend_from_slice(b": ");
        }
        write_at(value, out, depth + 1)?;
    }
    out.push(brackets[1]);
    Ok(())
}

/// Appends a string in quotes; only what JSON demands is escaped.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    let special = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    out.push(b'"');
    // To look at all bytes is quicker than to stop at the first, and nearly always enough.
    if !text.iter().fold(false, |any, &byte| any | special(byte)) {
        out.extend_from_slice(text);
        out.push(b'"');
        return;
    }
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        if !special(byte) {
            continue;
        }
        out.extend_from_slice(&text[plain..at]);
        plain = at + 1;
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            _ => {
                let _ = write!(out, "\\u{byte:04X}");
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&text[plain..]);
    out.push(b'"');
}

/// The text of a parsed value, as StarRocks prints it after storing it: members sorted by name.
pub fn of(value: &serde_json::Value) -> String {
    let mut out = Vec::new();
    write_parsed(value, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn write_parsed(value: &serde_json::Value, out: &mut Vec<u8>) {
    use serde_json::Value;
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Number(value) => match value.as_f64().filter(|_| value.is_f64()) {
            Some(value) => number::write(value, out),
            None => out.extend_from_slice(value.to_string().as_bytes()),
        },
        Value::String(value) => write_string(value.as_bytes(), out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                out.extend_from_slice(if at > 0 { b", " } else { b"" });
                write_parsed(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                out.extend_from_slice(if at > 0 { b", " } else { b"" });
                write_string(name.as_bytes(), out);
                out.extend_from_slice(b": ");
                write_parsed(member, out);
            }
            out.push(b'}');
        }
    }
}
