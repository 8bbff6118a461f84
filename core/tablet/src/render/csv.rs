//! CSV: fields are quoted where they must be (RFC 4180), NULL is told from text by its missing quotes.

use super::CsvOptions;
use super::cells::{Cells, Dialect};
use arrow_buffer::NullBuffer;
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
pub(super) fn lines(
    options: &CsvOptions,
    columns: &[Cells<'_>],
    nulls: &[Option<&NullBuffer>],
    rows: Range<usize>,
    out: &mut Vec<u8>,
) {
    let plain: Vec<bool> = columns.iter().map(|cells| numbers_are_plain(options) && cells.is_number()).collect();
    for row in rows {
        for (at, ((cells, nulls), plain)) in columns.iter().zip(nulls).zip(&plain).enumerate() {
            separate(options, at, out);
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                out.extend_from_slice(&options.null);
                continue;
            }
            let start = out.len();
            cells.write_plain(row, Dialect::Csv, out);
            if !plain && must_be_quoted(options, &out[start..], columns.len() == 1) {
                let text = out.split_off(start);
                quote(&text, out);
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
    if must_be_quoted(options, text, alone) {
        quote(text, out);
    } else {
        out.extend_from_slice(text);
    }
}

/// Whether no number, date or truth value can be read as something else: neither the separator nor NULL is made of what they are made of.
fn numbers_are_plain(options: &CsvOptions) -> bool {
    let of_numbers = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.: ".contains(byte);
    !options.separator.first().is_some_and(of_numbers) && !options.null.iter().all(of_numbers)
}

/// Readers skip empty lines, so that an only field is never written as one.
fn must_be_quoted(options: &CsvOptions, text: &[u8], alone: bool) -> bool {
    special(options, text) || (alone && text.is_empty())
}

fn quote(text: &[u8], out: &mut Vec<u8>) {
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
    let first = options.separator.first().copied().unwrap_or(b'"');
    let special = |byte: u8| (byte == b'"') | (byte == b'\n') | (byte == b'\r') | (byte == first);
    // To look at all bytes is quicker than to stop at the first.
    text.iter().fold(false, |any, &byte| any | special(byte)) || text == options.null
}
