//! `starsnap export`.

use super::Stop;
use crate::cli::{ExportArgs, ExportFormat, Globals, LargeInt, Text};
use crate::failure::Outcome;
use crate::logging;
use crate::output::{Output, printable, size};
use crate::progress::{self, count};
use rustix::fs::OFlags;
use rustix::io::Errno;
use starsnap_restore::condition::Condition;
use starsnap_restore::export::{CsvOptions, ExportOptions, ExportSource, Format, LargeIntAs, Target, TextAs, Types};
use starsnap_restore::report::{ExportReport, JobStatus, TableStatus};
use starsnap_restore::{ErrorKind, RestoreError};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exports, and says what was exported.
pub async fn export(args: ExportArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let format = format(&args)?;
    let to = target(&args, &format, globals)?;
    let condition = args.condition.as_deref().map(condition).transpose()?;
    let cache = super::index_cache(globals);
    let access = super::access(args.repository_name.as_deref(), globals);
    let source = ExportSource::resolve(&args.source, &access, cache.as_ref()).await?;
    let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let options = ExportOptions {
        source,
        format,
        types: types(&args),
        columns: args.columns,
        condition,
        limit: args.limit,
        split: args.split,
        shard: args.shard,
        physical: args.physical,
        index: args.index,
        workers: args.workers.map_or_else(processors, NonZeroUsize::get),
    };
    let target = match to {
        To::Target(target) => target,
        To::Pipe(path) => Target::Pipe(pipe(&path, &stop).await?, path),
    };
    let is_stream = matches!(target, Target::Stream(_));
    let report = starsnap_restore::export::export(options, target, progress::listener(globals), stop.cancel()).await?;
    print(&report, &args.to, is_stream, globals)?;
    Ok(Outcome::Job(report.status))
}

fn condition(text: &str) -> Result<Condition, RestoreError> {
    Condition::parse(text).map_err(|error| {
        RestoreError::new(ErrorKind::Usage, "understand --where", text, error.to_string())
            .advise("conditions are written as after WHERE in SQL, such as id > 5 AND name LIKE 'a%'")
    })
}

fn format(args: &ExportArgs) -> Result<Format, RestoreError> {
    Ok(match args.format {
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Arrow => Format::Arrow,
        ExportFormat::Jsonl => Format::JsonLines,
        ExportFormat::Csv => {
            let separator = unescape(&args.csv_separator);
            let special = |byte: &u8| matches!(byte, b'"' | b'\n' | b'\r');
            let Some(separator) = separator.filter(|bytes| !bytes.is_empty() && !bytes.iter().any(special)) else {
                let reason = "it must be text without quotes and line ends; \\t, \\xHH and \\\\ stand for bytes";
                return Err(RestoreError::new(ErrorKind::Usage, "separate CSV by", &args.csv_separator, reason));
            };
            let null = args.csv_null.as_bytes().to_vec();
            if null.iter().any(|byte| special(byte) || separator.first() == Some(byte)) {
                let reason = "it must be text without quotes, line ends and separators";
                return Err(RestoreError::new(ErrorKind::Usage, "write NULL as", &args.csv_null, reason));
            }
            Format::Csv(CsvOptions { separator, null, header: args.csv_header })
        }
    })
}

/// Bytes of a text with `\t`, `\xHH` and `\\` in it.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let mut chars = after.chars();
        rest = match chars.next()? {
            't' => {
                bytes.push(b'\t');
                chars.as_str()
            }
            '\\' => {
                bytes.push(b'\\');
                chars.as_str()
            }
            'x' => {
                let (digits, rest) = chars.as_str().split_at_checked(2)?;
                let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| hex)?);
                rest
            }
            _ => return None,
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

fn types(args: &ExportArgs) -> Types {
    Types {
        large_int: match args.largeint {
            LargeInt::Decimal128 => LargeIntAs::Decimal128,
            LargeInt::Decimal256 => LargeIntAs::Decimal256,
            LargeInt::Text => LargeIntAs::Text,
        },
        text: match args.text {
            Text::Utf8 => TextAs::Utf8,
            Text::Lossy => TextAs::Utf8Lossy,
            Text::Binary => TextAs::Binary,
        },
    }
}

/// Names of standard output, which may be redirected to a file that stands already.
const STANDARD_OUTPUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where the rows go, before anything is opened.
enum To {
    Target(Target),
    Pipe(PathBuf),
}

/// Standard output, where it is named; a named pipe or a device where one stands; a directory where one stands, where nothing stands and the
/// name ends in a slash or has no extension; else a file.
fn target(args: &ExportArgs, format: &Format, globals: &Globals) -> Result<To, RestoreError> {
    if !STANDARD_OUTPUT.contains(&&*args.to) {
        let path = Path::new(&args.to);
        let kind = path.metadata().map(|meta| meta.file_type()).ok();
        if kind.is_some_and(|kind| kind.is_fifo() || kind.is_char_device()) {
            return Ok(To::Pipe(path.to_owned()));
        }
        let is_dir = match kind {
            Some(kind) => kind.is_dir() || args.to.ends_with('/'),
            None => args.to.ends_with('/') || path.extension().is_none(),
        };
        let path = path.to_owned();
        return Ok(To::Target(if is_dir { Target::Directory(path) } else { Target::File(path) }));
    }
    let refused = |reason: &str| RestoreError::new(ErrorKind::Usage, "export to", "standard output", reason);
    if globals.json {
        return Err(refused("the report of --json goes there").advise("export to a file"));
    }
    let binary = matches!(format, Format::Parquet | Format::Arrow);
    if binary && std::io::stdout().is_terminal() {
        return Err(refused("it is a terminal, and the format is binary").advise("pipe it, or export to a file"));
    }
    Ok(To::Target(Target::Stream(Box::new(io::stdout()))))
}

/// Opens a named pipe or a device; waits for the pipe's reader as long as nobody stops us.
async fn pipe(path: &Path, stop: &Stop) -> Result<File, RestoreError> {
    let failed = |kind, reason: String| RestoreError::new(kind, "write", path.display().to_string(), reason);
    let io = |error: io::Error| failed(ErrorKind::Io, error.to_string());
    loop {
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        match OpenOptions::new().write(true).custom_flags(nonblocking).open(path) {
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                if stop.cancel().is_cancelled() {
                    return Err(failed(ErrorKind::Interrupted, "interrupted before anybody read it".into()));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => {
                let file = opened.map_err(io)?;
                let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| io(error.into()))?;
                rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| io(error.into()))?;
                return Ok(file);
            }
        }
    }
}

fn print(report: &ExportReport, to: &str, is_stream: bool, globals: &Globals) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    if globals.json {
        out.json(report)?;
    } else if !globals.quiet && !report.unread {
        let to = if is_stream { "standard output".to_owned() } else { printable(to) };
        let line = summary(report, &to);
        // What stands on standard output is the rows' alone.
        if is_stream { logging::line(&line) } else { out.line(&line)? }
    }
    if !globals.json && !report.unread {
        super::print_notes(&report.notes, globals);
    }
    // Progress lines name the problems of each table; without them they must be said here.
    if globals.quiet {
        super::print_problems(&report.tables);
    }
    if report.status == JobStatus::Interrupted {
        logging::line("starsnap: interrupted; into a directory, the same command goes on where this one stopped");
    }
    Ok(out.finish()?)
}

/// What was exported, in a line.
fn summary(report: &ExportReport, to: &str) -> String {
    let all = count(report.tables.len() as u64, "table");
    let tables = match report.tables.iter().filter(|table| table.status == TableStatus::Exported).count() {
        0 if !report.tables.is_empty() => return format!("exported none of {all} to {to}"),
        done if done == report.tables.len() => all,
        done => format!("{done} of {all}"),
    };
    let (rows, files, bytes) = (count(report.rows, "row"), count(report.files, "file"), size(report.bytes));
    format!("exported {rows} of {tables} to {to}: {files}, {bytes}, {:.1} s", report.seconds)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn separators_may_be_any_bytes() {
        for (text, bytes) in
            [(",", &b","[..]), (r"\t", b"\t"), (r"\x01", b"\x01"), (r"a\\b", br"a\b"), ("é", "é".as_bytes())]
        {
            assert_eq!(unescape(text).as_deref(), Some(bytes), "{text}");
        }
        for bad in [r"\", r"\n", r"\x1", r"\xzz", r"\x+1"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
