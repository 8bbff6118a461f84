//! Reads a tablet directory as often as asked and says how fast that was:
//! `scan DIR [--times N] [--columns a,b] [--from COLUMN VALUE] [--merge N] [--text csv|jsonl]`: `--from` for rows of which COLUMN is at
//! least VALUE; `--merge` as if the rows had been loaded N times into a UNIQUE KEY table; `--text` makes lines of them.
//!
//! Prints one line: rows that came out, rows that are stored, stored bytes, seconds on the clock of the fastest time, seconds on a
//! processor on average.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use starsnap_tablet::predicate::Op;
use starsnap_tablet::render::{CsvOptions, TextFormat};
use starsnap_tablet::{Filter, KeysType, ReadAt, ReadOptions, Tablet, TabletMeta};

type Failure = Box<dyn std::error::Error>;

/// Makes it a UNIQUE KEY table that each rowset was loaded into so many times.
fn repeat(meta: &mut TabletMeta, times: usize) {
    meta.schema.keys_type = KeysType::Unique;
    meta.rowsets = meta.rowsets.iter().flat_map(|rowset| std::iter::repeat_n(rowset.clone(), times)).collect();
}

fn open(dir: &Path, merge: Option<usize>) -> Result<(Tablet, usize), Failure> {
    let mut meta = None;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "hdr") {
            meta = Some(TabletMeta::from_header(&fs::read(path)?)?);
        } else if path.file_name().is_some_and(|n| n == "meta") {
            meta = Some(TabletMeta::from_snapshot_meta(&fs::read(path)?)?);
        }
    }
    let mut meta = meta.ok_or("no .hdr and no meta in the directory")?;
    if let Some(times) = merge {
        repeat(&mut meta, times);
    }
    let mut stored = 0;
    let mut files = std::collections::HashMap::new();
    for name in starsnap_tablet::expected_files(&meta) {
        let bytes = fs::read(dir.join(&name))?;
        stored += bytes.len();
        files.insert(name, Arc::new(bytes));
    }
    let tablet = Tablet::new(meta, move |name: &str| match files.get(name) {
        Some(bytes) => Ok(bytes.clone() as Arc<dyn ReadAt>),
        None => Err(io::ErrorKind::NotFound.into()),
    });
    Ok((tablet, stored))
}

/// Seconds that this thread has been on a processor, to a few milliseconds.
fn processor_seconds() -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("the directory of a tablet is wanted")?);
    let (mut times, mut columns, mut filter, mut merge, mut text) = (1u32, None, None, None, None);
    while let Some(arg) = args.next() {
        let mut next = || args.next().ok_or_else(|| format!("{arg} wants more"));
        match arg.as_str() {
            "--times" => times = next()?.parse()?,
            "--columns" => columns = Some(next()?.split(',').map(str::to_owned).collect::<Vec<_>>()),
            "--from" => filter = Some(Filter::Compare { column: next()?, op: Op::Ge, value: next()?.into_bytes() }),
            "--merge" => merge = Some(next()?.parse()?),
            "--text" if next()? == "csv" => text = Some(TextFormat::Csv(CsvOptions::default())),
            "--text" => text = Some(TextFormat::JsonLines),
            _ => return Err(format!("{arg} is not known").into()),
        }
    }
    let columns: Option<Vec<&str>> = columns.as_ref().map(|c| c.iter().map(String::as_str).collect());
    let (tablet, bytes) = open(&dir, merge)?;
    let stored: u64 = tablet.meta().rowsets.iter().map(|r| r.num_rows.max(0).unsigned_abs()).sum();
    let options = text.as_ref().map_or_else(ReadOptions::default, TextFormat::read_options);
    let (mut rows, mut best, before) = (0, f64::MAX, processor_seconds()?);
    for _ in 0..times.max(1) {
        let start = Instant::now();
        rows = 0;
        for batch in tablet.rows_where(columns.as_deref(), filter.as_ref(), &options)? {
            let batch = batch?;
            rows += batch.num_rows();
            if let Some(text) = &text {
                std::hint::black_box(text.lines(&batch)?);
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let processor = (processor_seconds()? - before) / f64::from(times.max(1));
    println!("{rows} {stored} {bytes} {best:.6} {processor:.6}");
    Ok(())
}
