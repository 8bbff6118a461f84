//! The first rows of one table, as text for people.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::export::{CsvOptions, ExportOptions, Format, Target, export};
use crate::progress::{Cancel, Silent};
use crate::report::JobStatus;
use serde::Serialize;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// The first rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    pub columns: Vec<String>,
    /// As CSV writes the values; none for NULL. Bytes that are no UTF-8 are shown as U+FFFD.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The first rows, as many as `options.limit` says; `options.format` does not count. Reads the headers of the table's tablets, and of their
/// rows no more than the beginning.
pub async fn head(options: ExportOptions, cancel: Cancel) -> Result<Head> {
    let csv = CsvOptions { header: true, ..CsvOptions::default() };
    let text = rows(ExportOptions { format: Format::Csv(csv), ..options }, cancel).await?;
    let mut rows = parse(&text).into_iter();
    let columns = rows.next().unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect();
    Ok(Head { columns, rows: rows.collect() })
}

/// The same as JSON lines, one per row.
pub async fn head_json(options: ExportOptions, cancel: Cancel) -> Result<Vec<u8>> {
    rows(ExportOptions { format: Format::JsonLines, ..options }, cancel).await
}

async fn rows(options: ExportOptions, cancel: Cancel) -> Result<Vec<u8>> {
    let kept = Kept::default();
    let report = export(options, Target::Stream(Box::new(kept.clone())), Arc::new(Silent), cancel).await?;
    let problem = report.tables.iter().find_map(|table| Some((table, table.problems.first()?)));
    match (report.status, problem) {
        (JobStatus::Done, _) => {}
        (JobStatus::Interrupted, _) => return Err(RestoreError::interrupted("the first rows")),
        (_, Some((table, problem))) => {
            return Err(RestoreError::new(ErrorKind::Damaged, "read the first rows of", &table.name, problem.clone()));
        }
        (_, None) => {}
    }
    let mut bytes = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *bytes))
}

/// An output that is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The rows of our own CSV: NULL is `\N` without quotes.
fn parse(bytes: &[u8]) -> Vec<Vec<Option<String>>> {
    let (mut rows, mut row) = (Vec::new(), Vec::new());
    let (mut field, mut quoted, mut within) = (Vec::new(), false, false);
    let mut bytes = bytes.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if within && bytes.peek() == Some(&b'"') => {
                bytes.next();
                field.push(b'"');
            }
            b'"' if within => within = false,
            b'"' if field.is_empty() && !quoted => (quoted, within) = (true, true),
            b',' | b'\n' if !within => {
                let is_null = !quoted && field == b"\\N";
                row.push((!is_null).then(|| String::from_utf8_lossy(&field).into_owned()));
                field.clear();
                quoted = false;
                if byte == b'\n' {
                    rows.push(std::mem::take(&mut row));
                }
            }
            byte => field.push(byte),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_told_from_text() {
        let text = |value: &str| Some(value.to_owned());
        let read = parse(b"a,\"b,\"\"c\"\"\n\",\\N,\"\\N\",\n\"\",x\n");
        assert_eq!(read[0], [text("a"), text("b,\"c\"\n"), None, text("\\N"), text("")]);
        assert_eq!(read[1], [text(""), text("x")]);
        assert!(parse(b"").is_empty());
    }
}
