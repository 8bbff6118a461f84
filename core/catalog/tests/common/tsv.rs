//! The `.tsv` files beside the genuine catalogs.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::collections::BTreeMap;
use std::path::Path;

/// A row by column name; `None` is null.
pub type Row = BTreeMap<String, Option<String>>;

/// The rows of a file; none when it is not there.
pub fn read(path: &Path) -> Option<Vec<Row>> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut lines = text.split('\n').filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.next()?.split('\t').collect();
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        assert_eq!(cells.len(), names.len(), "{}: {line}", path.display());
        names.iter().map(|name| name.to_string()).zip(cells.into_iter().map(cell)).collect()
    });
    Some(rows.collect())
}

fn cell(text: &str) -> Option<String> {
    if text == "\\N" {
        return None;
    }
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap() {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    Some(out)
}

/// Collects differences, to show several at once.
#[derive(Default)]
pub struct Differences {
    compared: usize,
    found: Vec<String>,
}

impl Differences {
    /// The cell `column` of `row` against what was read.
    pub fn cell(&mut self, at: &str, row: &Row, column: &str, read: Option<String>) {
        self.compared += 1;
        let expected = row.get(column).unwrap_or_else(|| panic!("{at}: no column {column}"));
        if *expected != read {
            self.found.push(format!("{at} {column}: {expected:?} is expected, {read:?} was read"));
        }
    }

    pub fn note(&mut self, what: String) {
        self.found.push(what);
    }

    /// Panics with the first differences; also when hardly anything was compared.
    pub fn done(self, least: usize) {
        let shown = self.found.iter().take(30).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(self.found.is_empty(), "{} of {} differ:\n{shown}", self.found.len(), self.compared);
        assert!(self.compared >= least, "only {} cells were compared", self.compared);
    }
}
