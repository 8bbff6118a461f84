//! What is printed: aligned tables for people, JSON for scripts, and names that cannot drive a terminal.

use serde::Serialize;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Standard output. A reader that goes away (`starsnap ls | head`) is no failure.
pub struct Output {
    out: io::BufWriter<io::Stdout>,
    closed: bool,
}

impl Output {
    /// Standard output, buffered.
    pub fn stdout() -> Self {
        Output { out: io::BufWriter::with_capacity(64 << 10, io::stdout()), closed: false }
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.out.write_all(bytes);
        self.forgive(result)
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.raw(text.as_bytes())?;
        self.raw(b"\n")
    }

    /// Writes a value as indented JSON.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(&text)
    }

    /// Writes out what is buffered.
    pub fn finish(mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.forgive(result)
    }

    /// True when nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn forgive(&mut self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other,
        }
    }
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Lays rows out in columns two blanks apart; the first row holds the headings. Nothing is padded at the end of a line.
pub fn table(columns: &[Align], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.width();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let start = text.len();
        for ((cell, align), &column) in row.iter().zip(columns).zip(&widths) {
            if text.len() > start {
                text.push_str("  ");
            }
            let pad = " ".repeat(column.saturating_sub(width(cell)));
            match align {
                Align::Left => text.extend([cell.as_str(), &pad]),
                Align::Right => text.extend([&pad, cell.as_str()]),
            }
        }
        text.truncate(text.trim_end_matches(' ').len().max(start));
        text.push('\n');
    }
    text
}

/// `text` cut off so that it takes `width` columns at most, the last one then a `…`.
pub fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut short, mut taken) = (String::new(), 1);
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// Columns of the terminal that standard output is.
pub fn terminal_width() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0).max(20))
}

/// A size for people: `17 B`, `4.2 KiB`, `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        // What would be printed as 1024.0 belongs to the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A span of time for people, in its largest unit: `12 s`, `3 h`, `41 d`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time as `2024-08-14 16:20:31` in UTC.
pub fn time(at: SystemTime) -> String {
    let span = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    starsnap_restore::time::utc_time(match at.duration_since(UNIX_EPOCH) {
        Ok(after) => span(after),
        Err(before) => -span(before.duration()),
    })
}

/// A name or message that may come from a repository, made harmless for a terminal: control characters are escaped, also those that
/// change the direction of text.
pub fn printable(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        match harmful(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_723_623_631, "2024-08-14 08:20:31"),
            (4_107_542_399, "2100-02-28 23:59:59"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(time(UNIX_EPOCH - Duration::from_secs(1)), "1969-12-31 23:59:59");
    }

    #[test]
    fn tables_are_aligned_without_trailing_blanks() {
        let rows = [vec!["NAME", "SIZE", "WHY"], vec!["a", "1024", ""], vec!["表格é", "7", "x"]]
            .map(|row| row.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let text = table(&[Align::Left, Align::Right, Align::Left], &rows);
        assert_eq!(text, "NAME   SIZE  WHY\na      1024\n表格é     7  x\n");
    }

    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(printable("ok 名前"), "ok 名前");
        assert_eq!(printable("a\x1b[2Jb\u{202e}\n"), "a\\u{1b}[2Jb\\u{202e}\\n");
    }
}
