//! All rows of a table into one output, in the table's order, while tablets are read in parallel.

use super::encode::{Encoder, EncoderOptions};
use super::output::{at_once, encoders};
use super::plan::{Content, TablePlan};
use super::tablet::tablet_error;
use super::{ExportOptions, Job, Written, at_most};
use crate::error::{ErrorKind, RestoreError, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use starsnap_tablet::ScanStats;
use starsnap_tablet::render::TextFormat;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Tablets read ahead, at most: each may hold a few batches, however many processors there are.
const MAX_READERS: usize = 8;
/// Encoded bytes of a Parquet row group.
const GROUP_BYTES: usize = 128 << 20;

/// What a reader hands to the writer.
enum Piece {
    Schema(SchemaRef),
    Batch(RecordBatch),
    /// Lines of so many rows.
    Lines(Vec<u8>, u64),
    /// The end of a tablet.
    End(ScanStats),
}

/// Writes every row to `out`; returns it with the number of rows.
pub(super) fn write<W: Write + Send>(
    plan: &TablePlan,
    out: W,
    stream: bool,
    shown: &str,
    options: &ExportOptions,
    job: &Job<'_>,
) -> Result<(W, Written)> {
    let Some(content) = &plan.content else {
        let reason = "it has no tablets, so that nothing tells its columns";
        return Err(RestoreError::new(ErrorKind::Unsupported, "read table", &plan.name, reason));
    };
    let mut sink = Sink { out: Some(out), encoder: None, stream, shown, options, rows: 0, scan: ScanStats::default() };
    sink.put(Piece::Schema(content.arrow_schema(&plan.name, options)?))?;
    // With a limit, what is read ahead is most often read in vain.
    let readers = if options.limit.is_some() { 1 } else { options.workers.min(MAX_READERS).min(plan.units.len()) };
    let readers = at_once(content, readers);
    if readers <= 1 {
        one_by_one(plan, content, &mut sink, options, job)?;
    } else {
        side_by_side(plan, content, &mut sink, readers, options, job)?;
    }
    sink.finish()
}

fn one_by_one<W: Write + Send>(
    plan: &TablePlan,
    content: &Content,
    sink: &mut Sink<'_, W>,
    options: &ExportOptions,
    job: &Job<'_>,
) -> Result<()> {
    for (at, unit) in plan.units.iter().enumerate() {
        let left = |rows: u64| options.limit.map(|limit| limit.saturating_sub(rows));
        if left(sink.rows) == Some(0) {
            job.advance(plan, at, u64::MAX, &mut 0);
            continue;
        }
        let rows = content.rows(unit, options, job)?;
        let (mut count, mut told) = (0, 0);
        let mut rows = rows;
        while left(sink.rows) != Some(0) {
            job.check(&plan.name)?;
            let Some(batch) = rows.next() else { break };
            let batch = at_most(batch?, left(sink.rows));
            count += batch.num_rows() as u64;
            sink.put(Piece::Batch(batch))?;
            job.advance(plan, at, count, &mut told);
        }
        sink.scan.add(&rows.stats());
        job.advance(plan, at, u64::MAX, &mut told);
    }
    Ok(())
}

/// Each tablet has a channel of its own; readers fill them, tablet after tablet, and the writer empties them in order.
fn side_by_side<W: Write + Send>(
    plan: &TablePlan,
    content: &Content,
    sink: &mut Sink<'_, W>,
    readers: usize,
    options: &ExportOptions,
    job: &Job<'_>,
) -> Result<()> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (senders, receivers): (Vec<_>, Vec<_>) = plan.units.iter().map(|_| sync_channel(1)).unzip();
    let senders: Vec<Mutex<Option<SyncSender<Result<Piece>>>>> =
        senders.into_iter().map(|sender| Mutex::new(Some(sender))).collect();
    let text = options.format.text();
    let reader = || {
        let _guard = Guard(&senders);
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(sender) = senders.get(at).and_then(|sender| sender.lock().ok()?.take()) else { break };
            if let Err(error) = read(plan, content, at, text.as_ref(), &sender, options, job) {
                // Nobody waits for it any more when the writer has failed.
                let _ = sender.send(Err(error));
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(reader);
        }
        let written = drain(plan, receivers, sink, job);
        stop.store(true, Ordering::Relaxed);
        written
    })
}

/// Closes the channels that nobody has begun to fill when a reader panics: the writer would wait for them for ever.
struct Guard<'a>(&'a [Mutex<Option<SyncSender<Result<Piece>>>>]);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for sender in self.0 {
                sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
            }
        }
    }
}

/// Reads a tablet into its channel. A channel whose other end is gone is no error: the writer says what happened.
fn read(
    plan: &TablePlan,
    content: &Content,
    at: usize,
    text: Option<&TextFormat>,
    sender: &SyncSender<Result<Piece>>,
    options: &ExportOptions,
    job: &Job<'_>,
) -> Result<()> {
    let Some(unit) = plan.units.get(at) else { return Ok(()) };
    let mut rows = content.rows(unit, options, job)?;
    for batch in &mut rows {
        job.check(&plan.name)?;
        let batch = batch?;
        let piece = match text {
            Some(text) => Piece::Lines(
                text.lines(&batch).map_err(|error| tablet_error(&unit.path, error))?,
                batch.num_rows() as u64,
            ),
            None => Piece::Batch(batch),
        };
        if sender.send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
    let _ = sender.send(Ok(Piece::End(rows.stats())));
    Ok(())
}

/// Writes what the channels hold. Takes them by value: when it returns early, the readers' sends fail, and they end.
fn drain<W: Write + Send>(
    plan: &TablePlan,
    receivers: Vec<Receiver<Result<Piece>>>,
    sink: &mut Sink<'_, W>,
    job: &Job<'_>,
) -> Result<()> {
    for (at, pieces) in receivers.into_iter().enumerate() {
        let (before, mut told, mut any) = (sink.rows, 0, false);
        for piece in pieces {
            job.check(&plan.name)?;
            sink.put(piece?)?;
            any = true;
            job.advance(plan, at, sink.rows - before, &mut told);
        }
        if !any {
            // Only a reader that ended before its time leaves a channel without even an end.
            return Err(RestoreError::interrupted(&plan.name));
        }
        job.advance(plan, at, u64::MAX, &mut told);
    }
    Ok(())
}

/// The one output; it begins with the first schema.
struct Sink<'a, W: Write + Send> {
    out: Option<W>,
    encoder: Option<Encoder<W>>,
    stream: bool,
    shown: &'a str,
    options: &'a ExportOptions,
    rows: u64,
    scan: ScanStats,
}

impl<W: Write + Send> Sink<'_, W> {
    fn put(&mut self, piece: Piece) -> Result<()> {
        let shown = self.shown;
        match (piece, &mut self.encoder) {
            (Piece::Schema(schema), None) => {
                let out = self.out.take().ok_or_else(|| no_schema(shown))?;
                let options = EncoderOptions {
                    format: &self.options.format,
                    stream: self.stream,
                    group_bytes: GROUP_BYTES,
                    threads: encoders(self.options, 1),
                    shown,
                };
                self.encoder = Some(Encoder::new(out, &schema, &options)?);
                Ok(())
            }
            (Piece::Schema(_), Some(_)) => Ok(()),
            (Piece::End(stats), _) => {
                self.scan.add(&stats);
                Ok(())
            }
            (Piece::Batch(batch), Some(encoder)) => {
                self.rows += batch.num_rows() as u64;
                encoder.write(&batch, shown)
            }
            (Piece::Lines(lines, rows), Some(encoder)) => {
                self.rows += rows;
                encoder.write_lines(&lines, shown)
            }
            (_, None) => Err(no_schema(shown)),
        }
    }

    fn finish(self) -> Result<(W, Written)> {
        let encoder = self.encoder.ok_or_else(|| no_schema(self.shown))?;
        let done = Written { rows: self.rows, scan: self.scan, ..Written::default() };
        Ok((encoder.finish(self.shown)?, done))
    }
}

fn no_schema(shown: &str) -> RestoreError {
    RestoreError::new(ErrorKind::Io, "write", shown, "there are no columns")
}
