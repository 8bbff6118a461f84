//! Batches into one file of any format.

mod parquet;
mod team;

use self::parquet::ParquetFile;
use super::format::Format;
use super::tablet::tablet_error;
use crate::error::{ErrorKind, RestoreError, Result};
use ::parquet::errors::ParquetError;
use arrow_array::RecordBatch;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{ArrowError, SchemaRef};
use starsnap_tablet::render::TextFormat;
use std::io::{self, Write};

/// Writes one file.
pub(super) enum Encoder<W: Write + Send> {
    /// With a buffer for the lines of a batch.
    Text(TextFormat, W, Vec<u8>),
    Parquet(Box<ParquetFile<W>>),
    File(Box<FileWriter<W>>),
    Stream(Box<StreamWriter<W>>),
}

/// How a file is written.
pub(super) struct EncoderOptions<'a> {
    pub(super) format: &'a Format,
    /// To a pipe, of which nothing can be written twice.
    pub(super) stream: bool,
    /// Encoded bytes of a Parquet row group, which is kept in memory until it is full.
    pub(super) group_bytes: usize,
    /// Threads that may encode a Parquet file, the one that writes it included.
    pub(super) threads: usize,
    /// What the file is called in messages.
    pub(super) shown: &'a str,
}

impl<W: Write + Send> Encoder<Counter<W>> {
    /// Bytes of the file so far; of a Parquet row group that is not written yet, as many as it will have by estimate.
    pub(super) fn size(&self) -> u64 {
        match self {
            Encoder::Text(_, out, _) => out.bytes,
            Encoder::Parquet(file) => file.size(),
            Encoder::File(writer) => writer.get_ref().bytes,
            Encoder::Stream(writer) => writer.get_ref().bytes,
        }
    }
}

/// Counts what is written.
pub(super) struct Counter<W> {
    pub(super) out: W,
    pub(super) bytes: u64,
}

impl<W> Counter<W> {
    pub(super) fn new(out: W) -> Self {
        Counter { out, bytes: 0 }
    }
}

impl<W: Write> Write for Counter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write + Send> Encoder<W> {
    /// Writes what stands before the rows.
    pub(super) fn new(mut out: W, schema: &SchemaRef, options: &EncoderOptions<'_>) -> Result<Self> {
        let shown = options.shown;
        if let Some(text) = options.format.text() {
            out.write_all(&text.header(schema)).map_err(|error| write_error(shown, error))?;
            return Ok(Encoder::Text(text, out, Vec::new()));
        }
        Ok(match options.format {
            Format::Arrow if options.stream => {
                let writer = StreamWriter::try_new(out, schema).map_err(|error| arrow_error(shown, error))?;
                Encoder::Stream(Box::new(writer))
            }
            Format::Arrow => {
                let writer = FileWriter::try_new(out, schema).map_err(|error| arrow_error(shown, error))?;
                Encoder::File(Box::new(writer))
            }
            _ => Encoder::Parquet(Box::new(ParquetFile::new(out, schema, options)?)),
        })
    }

    /// Writes the rows of a batch.
    pub(super) fn write(&mut self, batch: &RecordBatch, shown: &str) -> Result<()> {
        match self {
            Encoder::Text(text, out, lines) => {
                lines.clear();
                let of = text.of(batch).map_err(|error| tablet_error(shown, error))?;
                of.write(0..batch.num_rows(), lines);
                out.write_all(lines).map_err(|error| write_error(shown, error))
            }
            Encoder::Parquet(file) => file.write(batch, shown),
            Encoder::File(writer) => writer.write(batch).map_err(|error| arrow_error(shown, error)),
            Encoder::Stream(writer) => writer.write(batch).map_err(|error| arrow_error(shown, error)),
        }
    }

    /// Writes lines that were made elsewhere.
    pub(super) fn write_lines(&mut self, lines: &[u8], shown: &str) -> Result<()> {
        match self {
            Encoder::Text(_, out, _) => out.write_all(lines).map_err(|error| write_error(shown, error)),
            _ => Err(RestoreError::new(ErrorKind::Io, "write", shown, "lines for a format that has none")),
        }
    }

    /// Writes what stands after the rows, and gives the output back.
    pub(super) fn finish(self, shown: &str) -> Result<W> {
        let mut out = match self {
            Encoder::Text(_, out, _) => out,
            Encoder::Parquet(file) => file.finish(shown)?,
            Encoder::File(writer) => writer.into_inner().map_err(|error| arrow_error(shown, error))?,
            Encoder::Stream(writer) => writer.into_inner().map_err(|error| arrow_error(shown, error))?,
        };
        out.flush().map_err(|error| write_error(shown, error))?;
        Ok(out)
    }
}

/// Keeps the error of the output, which the Parquet writer turns into text: a full disk must be told from a bug.
struct Noted<W> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Noted<W> {
    fn new(out: W) -> Self {
        Noted { out, failed: None }
    }

    fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    fn into_inner(self) -> W {
        self.out
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            let kept = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.failed = Some(kept);
        })
    }
}

impl<W: Write> Write for Noted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.note(result)
    }
}

/// An error of the output called `shown`.
pub(super) fn write_error(shown: &str, error: io::Error) -> RestoreError {
    RestoreError::io("write", std::path::Path::new(shown), error)
}

fn arrow_error(shown: &str, error: ArrowError) -> RestoreError {
    match error {
        ArrowError::IoError(_, error) => write_error(shown, error),
        error => RestoreError::new(ErrorKind::Unsupported, "write", shown, error.to_string()),
    }
}

fn parquet_error(shown: &str, error: ParquetError, cause: Option<io::Error>) -> RestoreError {
    match cause {
        Some(cause) => write_error(shown, cause),
        None => RestoreError::new(ErrorKind::Unsupported, "write", shown, error.to_string()),
    }
}
