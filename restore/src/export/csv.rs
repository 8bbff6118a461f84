//! CSV: fields are quoted where they must be (RFC 4180), NULL is told from text by its missing quotes.

use super::cells::{Cells, Dialect};
use super::format::CsvOptions;
use arrow_schema::Schema;

/// Writes lines of one dialect.
#[derive(Debug, Clone)]
pub(super) struct Csv {
    options: CsvOptions,
}

impl Csv {
    pub(super) fn new(options: &CsvOptions) -> Csv {
        Csv { options: options.clone() }
    }

    /// The line with the column names; empty where none is wanted.
    pub(super) fn header(&self, schema: &Schema) -> Vec<u8> {
        let mut out = Vec::new();
        if self.options.header {
            for (at, field) in schema.fields().iter().enumerate() {
                self.separate(at, &mut out);
                self.field(field.name().as_bytes(), schema.fields().len() == 1, &mut out);
            }
            out.push(b'\n');
        }
        out
    }

    /// Appends the lines of `rows` rows.
    pub(super) fn lines(&self, columns: &[Cells<'_>], rows: usize, out: &mut Vec<u8>) {
        let mut field = Vec::new();
        for row in 0..rows {
            for (at, cells) in columns.iter().enumerate() {
                self.separate(at, out);
                if cells.is_null(row) {
                    out.extend_from_slice(&self.options.null);
                } else {
                    field.clear();
                    cells.write_plain(row, Dialect::Csv, &mut field);
                    self.field(&field, columns.len() == 1, out);
                }
            }
            out.push(b'\n');
        }
    }

    fn separate(&self, at: usize, out: &mut Vec<u8>) {
        if at > 0 {
            out.extend_from_slice(&self.options.separator);
        }
    }

    fn field(&self, text: &[u8], alone: bool, out: &mut Vec<u8>) {
        // Readers skip empty lines, so that an only field is never written as one.
        if !(self.special(text) || (alone && text.is_empty())) {
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
    fn special(&self, text: &[u8]) -> bool {
        let first = self.options.separator.first();
        let byte = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r') || Some(byte) == first;
        text == self.options.null || text.iter().any(byte)
    }
}
