//! JSON for people: what fits on a line stands on one, and so do lists of numbers, however long.

use serde_json::Value;

/// Columns that a line may have before an object or a list is spread over several.
const WIDTH: usize = 140;

/// The text of the object `value` with a last member more, whose value's text is `raw`: one line, as StarRocks writes it, as it is for
/// programs. Ends in a newline.
pub fn print(value: &Value, key: &str, raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + (raw.len() >> 1));
    write(value, 0, &mut out);
    // Behind the last member: over the newline and the closing brace.
    out.truncate(out.len().saturating_sub(2));
    out.push_str(",\n");
    indent(1, &mut out);
    push_key(key, &mut out);
    out.push_str(raw);
    out.push_str("\n}\n");
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(members) if depth == 0 => {
            let members = members.iter().map(|(key, value)| (Some(key.as_str()), value));
            spread(members, depth, ['{', '}'], out);
        }
        Value::Object(members) if !fits(value, depth) => {
            spread(members.iter().map(|(key, value)| (Some(key.as_str()), value)), depth, ['{', '}'], out);
        }
        Value::Array(items) if !fits(value, depth) => {
            spread(items.iter().map(|value| (None, value)), depth, ['[', ']'], out);
        }
        _ => inline(value, out),
    }
}

fn spread<'a>(
    members: impl Iterator<Item = (Option<&'a str>, &'a Value)>,
    depth: usize,
    brackets: [char; 2],
    out: &mut String,
) {
    out.push(brackets[0]);
    for (number, (key, value)) in members.enumerate() {
        out.push_str(if number == 0 { "\n" } else { ",\n" });
        indent(depth + 1, out);
        if let Some(key) = key {
            push_key(key, out);
        }
        write(value, depth + 1, out);
    }
    out.push('\n');
    indent(depth, out);
    out.push(brackets[1]);
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn push_key(key: &str, out: &mut String) {
    out.push_str(&Value::from(key).to_string());
    out.push_str(": ");
}

fn inline(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            out.push('{');
            for (number, (key, value)) in members.iter().enumerate() {
                out.push_str(if number == 0 { "" } else { ", " });
                push_key(key, out);
                inline(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (number, value) in items.iter().enumerate() {
                out.push_str(if number == 0 { "" } else { ", " });
                inline(value, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn fits(value: &Value, depth: usize) -> bool {
    if value.as_array().is_some_and(|items| items.iter().all(Value::is_number)) {
        return true;
    }
    let mut left = WIDTH.saturating_sub(2 * depth);
    take(value, &mut left)
}

/// Takes the width of `value` off what is `left`; false when it does not suffice. Stops there: large values cost no more than small ones.
fn take(value: &Value, left: &mut usize) -> bool {
    let mut off = |width: usize| {
        let enough = width <= *left;
        *left = left.saturating_sub(width);
        enough
    };
    match value {
        Value::Object(members) => {
            off(2)
                && members.iter().all(|(key, value)| {
                    let enough = key.len() + 6 <= *left;
                    *left = left.saturating_sub(key.len() + 6);
                    enough && take(value, left)
                })
        }
        Value::Array(items) => off(2) && items.iter().all(|value| take(value, left)),
        Value::String(text) => off(text.len() + 4),
        _ => off(8),
    }
}
