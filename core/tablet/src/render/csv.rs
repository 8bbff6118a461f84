//! CSV: fields are quoted where they must be (RFC 4180), NULL is told from text by its missing quotes.

use super::CsvOptions;
use super::cells::{Cells, Dialect};
use arrow_schema::Schema;
use std::ops::Range;

/// The line with the column names; empty where none is wanted.
pub(super) fn header(options: &CsvOptions, schema: &Schema) -> Vec<u8> {
    let mut out = Vec::new();
    if options.header {
        for (at, name) in schema.fields().iter().enumerate() {
            separate(options, at, &mut out);
            field(options, name.name().as_bytes(), schema.fields().len() == 1, &mut out);
        }
        out.push(b'\n');
    }
    out
}

/// Appends the lines of `rows`.
pub(super) fn lines(options: &CsvOptions, columns: &[Cells<'_>], rows: Range<usize>, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    for row in rows {
        for (at, cells) in columns.iter().enumerate() {
            separate(options, at, out);
            if cells.is_null(row) {
                out.extend_from_slice(&options.null);
            } else {
                text.clear();
                cells.write_plain(row, Dialect::Csv, &mut text);
                field(options, &text, columns.len() == 1, out);
            }
        }
        out.push(b'\n');
    }
}

fn separate(options: &CsvOptions, at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.extend_from_slice(&options.separator);
    }
}

fn field(options: &CsvOptions, text: &[u8], alone: bool, out: &mut Vec<u8>) {
    // Readers skip empty lines, so that an only field is never written as one.
    if !(special(options, text) || (alone && text.is_empty())) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for &byte in text {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Whether the text would be read as something else without quotes. Of a separator the first byte is enough: it could be completed by
/// what follows the field.
fn special(options: &CsvOptions, text: &[u8]) -> bool {
    let first = options.separator.first();
    let byte = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || Some(byte) == first;
    text == options.null || text.iter().any(byte)
}
