//! Expressions as `__meta` stores them, rewritten into text that parses and reads as SHOW CREATE TABLE prints it.
//!
//! Since 3.3.1 they name columns by id (the name at creation), between backticks where a name is not one plain word; 2023-12 stored every
//! name bare, odd ones too. So columns are recognized by the table's own list, never by guessing at words.

use super::quote;

/// A column: what an expression calls it, and what it is called now.
pub struct Named<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

/// How column names are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// Every column between backticks.
    Always,
    /// Only where needed.
    WhereNeeded,
}

/// Expressions longer than this are printed as stored: nobody writes such. How much there may be in all, `columns::named` decides.
const MAX_LENGTH: usize = 64 << 10;

/// Casts within casts beyond this keep their parentheses.
const MAX_DEPTH: usize = 64;

/// The expression with current column names.
pub fn rename(text: &str, columns: &[Named], quoting: Quoting) -> String {
    if text.len() > MAX_LENGTH {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut last_word = String::new();
    let mut previous = ' ';
    while let Some(char) = rest.chars().next() {
        let length = match char {
            '\'' | '"' | '`' => quoted_length(rest, char),
            _ => 0,
        };
        if length > 0 {
            let (token, after) = rest.split_at(length);
            match token.strip_prefix('`').and_then(|token| token.strip_suffix('`')) {
                Some(inner) => out.push_str(&quote::name(&current(&inner.replace("``", "`"), columns))),
                None => out.push_str(token),
            }
            (rest, previous) = (after, char);
            continue;
        }
        let may_be_column = !is_word(previous) && !names_no_column(&last_word);
        if let Some(column) = column_at(rest, columns).filter(|_| may_be_column) {
            out.push_str(&match quoting {
                Quoting::Always => quote::name(column.name),
                Quoting::WhereNeeded => quote::bare(column.name),
            });
            rest = rest.get(column.id.len()..).unwrap_or_default();
            (previous, last_word) = ('x', String::new());
            continue;
        }
        let length = if is_word(char) { word_length(rest) } else { char.len_utf8() };
        let (token, after) = rest.split_at(length);
        out.push_str(token);
        if is_word(char) && !(is_interval_count(token, &last_word)) {
            last_word = token.to_ascii_uppercase();
        } else if !char.is_whitespace() && !is_word(char) && last_word != "INTERVAL" {
            last_word = String::new();
        }
        previous = token.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    out
}

/// After these words stands a type (`CAST(x AS DATE)`) or a unit (`INTERVAL 1 day`), whatever columns are called.
fn names_no_column(last_word: &str) -> bool {
    matches!(last_word, "AS" | "INTERVAL")
}

/// The number between INTERVAL and its unit.
fn is_interval_count(token: &str, last_word: &str) -> bool {
    last_word == "INTERVAL" && token.bytes().all(|byte| byte.is_ascii_digit())
}

fn current(id: &str, columns: &[Named]) -> String {
    let same = |column: &&Named| column.id == id;
    let alike = |column: &&Named| column.id.eq_ignore_ascii_case(id);
    let found = columns.iter().find(same).or_else(|| columns.iter().find(alike));
    found.map_or(id, |column| column.name).to_owned()
}

/// The longest column id that `rest` begins with, as a whole word and not a function's name.
fn column_at<'a>(rest: &str, columns: &'a [Named<'a>]) -> Option<&'a Named<'a>> {
    let fits = |column: &&Named| {
        let Some(after) = rest.strip_prefix(column.id) else { return false };
        let ends = !column.id.ends_with(is_word) || !after.starts_with(is_word);
        ends && !after.starts_with('(') && !column.id.is_empty() && !is_keyword(column.id)
    };
    columns.iter().filter(fits).max_by_key(|column| column.id.len())
}

/// Words of expressions. A column of such a name can only be meant where it stands between backticks.
fn is_keyword(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "AND", "AS", "BETWEEN", "CASE", "DIV", "ELSE", "END", "FALSE", "IN", "INTERVAL", "IS", "LIKE", "MOD", "NOT",
        "NULL", "OR", "REGEXP", "RLIKE", "THEN", "TRUE", "WHEN", "CEIL", "FLOOR",
    ];
    WORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '$') || char > '\u{ffff}'
}

fn word_length(text: &str) -> usize {
    text.find(|char| !is_word(char)).unwrap_or(text.len())
}

/// Length of the quoted text at the start of `text`, both quotes included; 0 when it is not closed.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' && quote != '`' {
            chars.next();
        } else if char == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + char.len_utf8();
            }
        }
    }
    0
}

/// `CAST((f(x)) AS T)` as `CAST(f(x) AS T)`: the stored text puts needless parentheses there.
pub fn plain_casts(text: &str) -> String {
    if text.len() > MAX_LENGTH { text.to_owned() } else { casts_within(text, MAX_DEPTH) }
}

fn casts_within(text: &str, depth: usize) -> String {
    const CAST: &str = "CAST((";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        if depth > 0 && rest.starts_with(CAST) && !out.ends_with(is_word) {
            let inner = &rest[CAST.len()..];
            if let Some((body, after)) = split_at_closing(inner).filter(|(_, after)| after.starts_with(" AS ")) {
                // Only the outermost parenthesis goes; what is inside may hold further casts.
                out.push_str("CAST(");
                out.push_str(&casts_within(body, depth - 1));
                rest = after;
                continue;
            }
        }
        let length = match char {
            '\'' | '"' | '`' => quoted_length(rest, char).max(1),
            _ => char.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        out.push_str(token);
        rest = after;
    }
    out
}

/// Splits at the parenthesis that closes the one before `text`: what is inside, what comes after.
fn split_at_closing(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1usize;
    let mut at = 0;
    while let Some(char) = text.get(at..)?.chars().next() {
        match char {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\'' | '"' | '`' => {
                at += quoted_length(&text[at..], char).max(1);
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
        at += char.len_utf8();
    }
    None
}

/// The argument of an outermost cast whose argument is one of `functions`: StarRocks casts `from_unixtime(ts)` itself.
pub fn without_cast<'a>(text: &'a str, functions: &[&str]) -> &'a str {
    let Some((body, after)) = text.strip_prefix("CAST(").and_then(split_at_closing) else { return text };
    let function = |argument: &str| {
        argument
            .split_once('(')
            .is_some_and(|(name, _)| functions.iter().any(|function| function.eq_ignore_ascii_case(name)))
    };
    match body.rsplit_once(" AS ") {
        Some((argument, _)) if after.is_empty() && function(argument) => argument,
        _ => text,
    }
}

/// `time_slice(d, INTERVAL 7 day, floor)` as `time_slice(d, 7, 'day', 'floor')`, the form that PARTITION BY takes.
pub fn time_slice_arguments(text: &str) -> String {
    let Some(arguments) = text.strip_prefix("time_slice(").and_then(|text| text.strip_suffix(')')) else {
        return text.to_owned();
    };
    let Some((column, interval)) = arguments.rsplit_once(", INTERVAL ") else { return text.to_owned() };
    let mut words = interval.split([' ', ',']).filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(count), Some(unit), Some(boundary), None) => {
            format!(
                "time_slice({column}, {count}, '{}', '{}')",
                unit.to_ascii_lowercase(),
                boundary.to_ascii_lowercase()
            )
        }
        _ => text.to_owned(),
    }
}

/// The expression of a materialized view's partition clause: `` `db`.`mv`.`d` `` loses its qualifiers, the column stands between backticks.
/// 2023-12 stored `db.mv.d` bare, so qualifiers are found before a known column's name.
pub fn unqualified(text: &str, columns: &[Named], database: &str, table: &str) -> String {
    if text.len() > MAX_LENGTH {
        return text.to_owned();
    }
    let mut text = text.to_owned();
    for qualifier in [
        format!("{}.{}.", quote::name(database), quote::name(table)),
        format!("{database}.{table}."),
        format!("{}.", quote::name(table)),
        format!("{table}."),
    ] {
        for column in columns {
            for name in [quote::name(column.id), column.id.to_owned()] {
                text = text.replace(&format!("{qualifier}{name}"), &name);
            }
        }
    }
    rename(&chain_ends(&text), columns, Quoting::Always)
}

/// `` `a`.`b`.`c` `` as `` `c` ``.
fn chain_ends(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let length = match char {
            '\'' | '"' | '`' => quoted_length(rest, char).max(1),
            _ => char.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if char == '`' && after.starts_with(".`") {
            rest = &after[1..];
        } else {
            out.push_str(token);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns<'a>(names: &[&'a str]) -> Vec<Named<'a>> {
        names.iter().map(|name| Named { id: name, name }).collect()
    }

    #[test]
    fn units_types_and_texts_are_no_columns() {
        let columns = columns(&["day", "d", "date", "floor", "a b"]);
        let renamed = |text| rename(text, &columns, Quoting::Always);
        assert_eq!(renamed("time_slice(day, INTERVAL 1 day, floor)"), "time_slice(`day`, INTERVAL 1 day, floor)");
        assert_eq!(renamed("CAST(d AS DATE)"), "CAST(`d` AS DATE)");
        assert_eq!(renamed("CAST(d AS date) + date"), "CAST(`d` AS date) + `date`");
        assert_eq!(renamed("date_trunc('day', d)"), "date_trunc('day', `d`)");
        assert_eq!(renamed("date(d)"), "date(`d`)");
        assert_eq!(renamed("concat(a b, 'a b''d', `a b`)"), "concat(`a b`, 'a b''d', `a b`)");
    }

    #[test]
    fn renamed_columns_get_their_current_name() {
        let columns = [Named { id: "old", name: "new" }, Named { id: "old2", name: "zwei 2" }];
        assert_eq!(rename("old + OLD2(old2, `old`)", &columns, Quoting::WhereNeeded), "new + OLD2(`zwei 2`, `new`)");
    }

    #[test]
    fn needless_parentheses_in_casts_go() {
        assert_eq!(
            plain_casts("CAST((f(x, ')')) AS INT) + XCAST((1) AS INT)"),
            "CAST(f(x, ')') AS INT) + XCAST((1) AS INT)"
        );
        assert_eq!(plain_casts("CAST((CAST((f(x)) AS INT)) AS INT)"), "CAST(CAST(f(x) AS INT) AS INT)");
        assert_eq!(plain_casts("CAST((a) + (b) AS INT)"), "CAST((a) + (b) AS INT)");
        assert_eq!(plain_casts("CAST((f("), "CAST((f(");
        assert_eq!(without_cast("CAST(from_unixtime(ts) AS DATETIME)", &["from_unixtime"]), "from_unixtime(ts)");
        assert_eq!(
            without_cast("CAST(substring(s, 3) AS BIGINT)", &["from_unixtime"]),
            "CAST(substring(s, 3) AS BIGINT)"
        );
    }

    #[test]
    fn hostile_expressions_cost_little() {
        let deep = |levels: usize| format!("{}f(x){}", "CAST((".repeat(levels), ") AS INT)".repeat(levels));
        assert!(plain_casts(&deep(1000)).starts_with("CAST(CAST("));
        assert_eq!(plain_casts(&deep(100_000)), deep(100_000));
        for broken in ["'", "`", "\"\\", "CAST((", "CAST(('", "INTERVAL", "((((", "a.`b", "😀'😀"] {
            let _ = unqualified(
                &plain_casts(&rename(broken, &columns(&["a", "b"]), Quoting::Always)),
                &columns(&["a"]),
                "d",
                "t",
            );
        }
    }

    #[test]
    fn qualifiers_go() {
        let columns = columns(&["d", "col.dot"]);
        let plain = |text| unqualified(text, &columns, "db", "m v");
        assert_eq!(plain("date_trunc('month', `db`.`m v`.`col.dot`)"), "date_trunc('month', `col.dot`)");
        assert_eq!(plain("date_trunc('month', db.m v.col.dot)"), "date_trunc('month', `col.dot`)");
        assert_eq!(plain("`db`.`before a rename`.`d`"), "`d`");
    }
}
