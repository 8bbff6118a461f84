//! One tablet into one or several files, which are kept when the export is interrupted.

use super::encode::{Counter, Encoder, EncoderOptions, write_error};
use super::plan::{Content, RowStream, TablePlan};
use super::tablet::Unit;
use super::{ExportOptions, Job, Written};
use crate::error::{RestoreError, Result};
use arrow_array::RecordBatch;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// What becomes a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Each tablet.
    Tablet,
    /// So many rows of a tablet, its last file with what is left.
    Rows(u64),
    /// So many bytes of a tablet's output, and the rest of the batch that reaches them.
    Bytes(u64),
}

const BUFFER: usize = 256 << 10;

/// One tablet, and where its files go.
pub(super) struct TabletParts<'a> {
    pub(super) plan: &'a TablePlan,
    pub(super) content: &'a Content,
    pub(super) at: usize,
    pub(super) unit: &'a Unit,
    pub(super) limit: Option<u64>,
    pub(super) group_bytes: usize,
    /// Threads that may encode its files.
    pub(super) threads: usize,
    pub(super) staging: &'a Path,
    /// Where it is noted which parts are whole.
    pub(super) journals: &'a Path,
}

type PartEncoder = Encoder<Counter<BufWriter<File>>>;

/// The part that is being written.
struct Part {
    encoder: PartEncoder,
    shown: String,
    rows: u64,
}

impl TabletParts<'_> {
    /// Writes what an interrupted run has not finished.
    pub(super) fn write(&self, options: &ExportOptions, job: &Job<'_>) -> Result<Written> {
        let journal_path = self.journal();
        // What a limit leaves to this tablet is not known beforehand, so that nothing can be taken up again.
        let known = if self.limit.is_some() { Known::default() } else { Known::read(&journal_path) };
        let known = self.confirmed(known, options);
        let mut done = Written { files: known.parts.len() as u64, bytes: known.bytes(), ..Written::default() };
        done.reused_files = done.files;
        if known.whole {
            job.advance(self.plan, self.at, u64::MAX, &mut 0);
            return Ok(done);
        }
        self.discard_from(known.parts.len(), options)?;
        let mut journal = Journal::create(&journal_path, &known)?;
        let mut rows = self.content.rows(self.unit, options, job)?;
        let (mut pass, mut told, mut seen) = (known.rows(), 0, known.rows());
        let mut number = known.parts.len();
        let mut part: Option<Part> = None;
        while self.limit.is_none_or(|limit| done.rows < limit) {
            job.check(&self.plan.name)?;
            let Some(batch) = rows.next() else { break };
            let mut batch = super::at_most(batch?, self.limit.map(|limit| limit - done.rows));
            let passed = pass.min(batch.num_rows() as u64);
            pass -= passed;
            batch = tail(&batch, passed);
            while batch.num_rows() > 0 {
                let open = match &mut part {
                    Some(open) => open,
                    none => none.insert(self.begin(number, &rows, options)?),
                };
                let place = match options.split {
                    Split::Rows(most) => most.max(1) - open.rows,
                    _ => u64::MAX,
                };
                let head = super::at_most(batch.clone(), Some(place));
                open.encoder.write(&head, &open.shown)?;
                open.rows += head.num_rows() as u64;
                done.rows += head.num_rows() as u64;
                batch = tail(&batch, head.num_rows() as u64);
                let full = match options.split {
                    Split::Tablet => false,
                    Split::Rows(most) => open.rows >= most,
                    Split::Bytes(most) => open.encoder.size() >= most,
                };
                if full && let Some(open) = part.take() {
                    self.finish(open, number, &mut journal, &mut done, options, job)?;
                    number += 1;
                }
            }
            seen = seen.max(known.rows() + done.rows);
            job.advance(self.plan, self.at, seen, &mut told);
        }
        // A tablet without rows has a file all the same, which tells the columns.
        if part.is_none() && number == 0 {
            part = Some(self.begin(number, &rows, options)?);
        }
        if let Some(open) = part {
            self.finish(open, number, &mut journal, &mut done, options, job)?;
        }
        journal.end()?;
        done.scan = rows.stats();
        job.advance(self.plan, self.at, u64::MAX, &mut told);
        Ok(done)
    }

    /// Of what the journal says, the parts that are there.
    fn confirmed(&self, known: Known, options: &ExportOptions) -> Known {
        let is_there = |(number, part): &(usize, Done)| {
            let meta = self.path(*number, options).symlink_metadata();
            meta.is_ok_and(|meta| meta.is_file() && meta.len() == part.bytes)
        };
        let all = known.parts.len();
        let parts: Vec<Done> = known.parts.into_iter().enumerate().take_while(is_there).map(|(_, part)| part).collect();
        Known { whole: known.whole && parts.len() == all, parts }
    }

    fn journal(&self) -> PathBuf {
        self.journals.join(self.at.to_string())
    }

    /// Removes what an interrupted run has left from part `number` on: this run may end with fewer parts, and what is not written over would be
    /// published beside them.
    pub(super) fn discard_from(&self, number: usize, options: &ExportOptions) -> Result<()> {
        // Without a journal, no run has begun with this tablet, and there is nothing to look for.
        if self.journal().symlink_metadata().is_err() {
            return Ok(());
        }
        let first = self.path(0, options);
        let (Some(dir), Some(name)) = (first.parent(), first.file_name().and_then(|name| name.to_str())) else {
            return Ok(());
        };
        let mark = number_mark(0);
        let split = if options.split == Split::Tablet { None } else { name.rsplit_once(mark.as_str()) };
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| RestoreError::io("read", dir, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| RestoreError::io("read", dir, error))?.file_name();
            let Some(found) = entry.to_str().map(|entry| entry.strip_suffix(UNFINISHED).unwrap_or(entry)) else {
                continue;
            };
            let of_number = match split {
                None => (found == name).then_some(0),
                Some((before, after)) => {
                    let digits = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                    digits.and_then(|digits| digits.strip_prefix('-')?.parse().ok())
                }
            };
            if of_number.is_some_and(|found: usize| found >= number) {
                let path = dir.join(&entry);
                std::fs::remove_file(&path).map_err(|error| RestoreError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    fn path(&self, number: usize, options: &ExportOptions) -> PathBuf {
        let extension = options.format.extension();
        self.staging.join(match options.split {
            Split::Tablet => format!("{}.{extension}", self.unit.path),
            _ => format!("{}{}.{extension}", self.unit.path, number_mark(number)),
        })
    }

    fn begin(&self, number: usize, rows: &RowStream, options: &ExportOptions) -> Result<Part> {
        let path = unfinished(&self.path(number, options));
        let parent = path.parent().unwrap_or(self.staging);
        std::fs::create_dir_all(parent).map_err(|error| RestoreError::io("make", parent, error))?;
        let shown = path.display().to_string();
        let file = File::create(&path).map_err(|error| RestoreError::io("write", &path, error))?;
        // Of what several threads encode, the size is not known after each batch.
        let threads = if matches!(options.split, Split::Bytes(_)) { 1 } else { self.threads };
        let settings = EncoderOptions {
            format: &options.format,
            stream: false,
            group_bytes: self.group_bytes,
            threads,
            shown: &shown,
        };
        let out = Counter::new(BufWriter::with_capacity(BUFFER, file));
        Ok(Part { encoder: Encoder::new(out, &rows.schema, &settings)?, rows: 0, shown })
    }

    /// Makes a part durable, gives it its name and notes it.
    fn finish(
        &self,
        part: Part,
        number: usize,
        journal: &mut Journal,
        done: &mut Written,
        options: &ExportOptions,
        job: &Job<'_>,
    ) -> Result<()> {
        let Part { encoder, shown, rows } = part;
        let path = self.path(number, options);
        let file = encoder.finish(&shown)?.out.into_inner();
        let file = file.map_err(|error| write_error(&shown, error.into_error()))?;
        file.sync_all().map_err(|error| write_error(&shown, error))?;
        let bytes = file.metadata().map_err(|error| write_error(&shown, error))?.len();
        std::fs::rename(unfinished(&path), &path).map_err(|error| RestoreError::io("rename to", &path, error))?;
        journal.add(Done { rows, bytes })?;
        done.files += 1;
        done.bytes += bytes;
        job.progress.file_done(&self.plan.name, &self.unit.path);
        Ok(())
    }
}

/// What tells a part of a tablet from the others.
fn number_mark(number: usize) -> String {
    format!("-{number:05}")
}

/// Stands behind the name of a part that is being written.
const UNFINISHED: &str = ".part";

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// What follows the first `rows` rows.
fn tail(batch: &RecordBatch, rows: u64) -> RecordBatch {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX).min(batch.num_rows());
    batch.slice(rows, batch.num_rows() - rows)
}

/// A part that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Done {
    rows: u64,
    bytes: u64,
}

/// What is known of a tablet's parts, in order.
#[derive(Debug, Default)]
struct Known {
    parts: Vec<Done>,
    /// There are no more.
    whole: bool,
}

impl Known {
    fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Reads a journal as far as it is whole; one that is not there says nothing.
    fn read(path: &Path) -> Known {
        Known::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Known {
        let mut known = Known::default();
        for line in text.split_inclusive('\n') {
            // A line without an end was being written when the process died.
            let Some(line) = line.strip_suffix('\n') else { break };
            if line == "end" {
                known.whole = true;
                break;
            }
            let numbers = line.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            let Some((rows, bytes)) = numbers else { break };
            known.parts.push(Done { rows, bytes });
        }
        known
    }
}

/// Notes parts as they are finished.
struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Begins anew with what is known.
    fn create(path: &Path, known: &Known) -> Result<Journal> {
        let failed = |error| RestoreError::io("write", path, error);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let next = path.with_extension("next");
        let mut file = File::create(&next).map_err(failed)?;
        let lines: String = known.parts.iter().map(|part| format!("{} {}\n", part.rows, part.bytes)).collect();
        file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&next, path).map_err(failed)?;
        Ok(Journal { file, path: path.to_owned() })
    }

    fn add(&mut self, part: Done) -> Result<()> {
        self.line(&format!("{} {}\n", part.rows, part.bytes))
    }

    fn end(mut self) -> Result<()> {
        self.line("end\n")
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| RestoreError::io("write", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_journal_counts_as_far_as_it_is_whole() {
        let part = |rows, bytes| Done { rows, bytes };
        for (text, parts, whole) in [
            ("", vec![], false),
            ("10 20\n5 6\nend\n", vec![part(10, 20), part(5, 6)], true),
            ("10 20\n5 6\nend", vec![part(10, 20), part(5, 6)], false),
            ("10 20\n5 6", vec![part(10, 20)], false),
            ("10 20\nx 6\n7 8\n", vec![part(10, 20)], false),
            ("10\n", vec![], false),
        ] {
            let known = Known::parse(text);
            assert_eq!((known.parts, known.whole), (parts, whole), "{text:?}");
        }
    }

    #[test]
    fn a_journal_begins_with_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deeper").join("7");
        let known = Known { parts: vec![Done { rows: 1, bytes: 2 }], whole: false };
        let mut journal = Journal::create(&path, &known).unwrap();
        journal.add(Done { rows: 3, bytes: 4 }).unwrap();
        journal.end().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1 2\n3 4\nend\n");
        let known = Known::read(&path);
        assert!(known.whole && known.rows() == 4 && known.bytes() == 6);
    }
}
