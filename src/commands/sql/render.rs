//! Results as the mysql client prints them, and as JSON.

use crate::output::printable;
use serde_json::{Map, Value, json};
use starsnap_restore::session::{Answer, Table};
use starsnap_restore::statement::Located;
use std::time::Duration;
use unicode_width::UnicodeWidthStr as _;

/// A table in a frame. A cell of several lines makes a row of several.
pub fn table(table: &Table) -> String {
    if table.rows.is_empty() {
        return String::new();
    }
    let cell = |cell: &Option<String>| -> Vec<String> {
        cell.as_deref().unwrap_or("NULL").split('\n').map(printable).collect()
    };
    let rows: Vec<Vec<Vec<String>>> = table.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).flatten();
            cells.map(|line| line.width()).max().unwrap_or(0).max(name.width())
        })
        .collect();
    let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
    let mut out = rule.clone();
    line(&mut out, &widths, |at| table.columns.get(at).copied().unwrap_or_default());
    out.push_str(&rule);
    for row in &rows {
        for part in 0..row.iter().map(Vec::len).max().unwrap_or(0) {
            line(&mut out, &widths, |at| row.get(at).and_then(|lines| lines.get(part)).map_or("", String::as_str));
        }
    }
    out + &rule
}

/// Row by row, a line for each column, as `\G` has it.
pub fn vertical(table: &Table) -> String {
    let width = table.columns.iter().map(|name| name.width()).max().unwrap_or(0);
    let mut out = String::new();
    for (number, row) in table.rows.iter().enumerate() {
        let stars = "*".repeat(27);
        out.push_str(&format!("{stars} {}. row {stars}\n", number + 1));
        for (name, cell) in table.columns.iter().zip(row) {
            let lines: Vec<String> = cell.as_deref().unwrap_or("NULL").split('\n').map(printable).collect();
            out.push_str(&format!("{}{name}: {}\n", " ".repeat(width - name.width()), lines.join("\n")));
        }
    }
    out
}

fn line<'a>(out: &mut String, widths: &[usize], cell: impl Fn(usize) -> &'a str) {
    for (at, width) in widths.iter().enumerate() {
        let text = cell(at);
        let pad = width.saturating_sub(text.width());
        out.push_str(&format!("| {text}{} ", " ".repeat(pad)));
    }
    out.push_str("|\n");
}

/// `2 rows in set (0.01 sec)`
pub fn footer(rows: usize, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match rows {
        0 => format!("Empty set ({seconds:.2} sec)"),
        1 => format!("1 row in set ({seconds:.2} sec)"),
        _ => format!("{rows} rows in set ({seconds:.2} sec)"),
    }
}

/// Where the statement began, and its answer; rows are objects by column.
pub fn json(located: &Located, answer: &Answer) -> serde_json::Result<Value> {
    let mut object =
        Map::from_iter([("line".to_owned(), json!(located.line)), ("column".to_owned(), json!(located.column))]);
    if let Value::Object(fields) = serde_json::to_value(answer)? {
        object.extend(fields);
    }
    if let Some(table) = &answer.table {
        let row = |cells: &Vec<Option<String>>| {
            let named = table.columns.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), json!(cell)));
            Value::Object(named.collect())
        };
        object.remove("table");
        object.insert("rows".to_owned(), table.rows.iter().map(row).collect());
    }
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn tables_look_like_those_of_the_mysql_client() {
        let rows =
            vec![vec![Some("a\nb".to_owned()), None], vec![Some("\u{8868}\u{1b}".to_owned()), Some("x".to_owned())]];
        let expected = "+----------+------+\n| Snapshot | Err  |\n+----------+------+\n| a        | NULL |\n| b        |      |\n| \u{8868}\\u{1b} | x    |\n+----------+------+\n";
        assert_eq!(table(&Table { columns: vec!["Snapshot", "Err"], rows }), expected);
        assert_eq!(table(&Table { columns: vec!["Snapshot"], rows: vec![] }), "");
    }

    #[test]
    fn rows_may_stand_one_below_the_other() {
        let rows = vec![vec![Some("a\u{1b}".to_owned()), None], vec![Some("b".to_owned()), Some("x\ny".to_owned())]];
        let stars = "*".repeat(27);
        let expected = format!(
            "{stars} 1. row {stars}\nSnapshot: a\\u{{1b}}\n     Err: NULL\n{stars} 2. row {stars}\nSnapshot: b\n     Err: x\ny\n"
        );
        assert_eq!(vertical(&Table { columns: vec!["Snapshot", "Err"], rows }), expected);
    }
}
