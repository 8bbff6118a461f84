//! Reads a tablet directory as often as asked and says how fast that was: `scan DIR [times] [column …]`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use starsnap_tablet::{LargeIntAs, ReadAt, ReadOptions, Tablet, TabletMeta};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("the directory of a tablet is wanted")?);
    let times: u32 = args.next().map_or(Ok(1), |n| n.parse())?;
    let columns: Vec<String> = args.collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut meta = None;
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "hdr") {
            meta = Some(TabletMeta::from_header(&fs::read(path)?)?);
        } else if path.file_name().is_some_and(|n| n == "meta") {
            meta = Some(TabletMeta::from_snapshot_meta(&fs::read(path)?)?);
        }
    }
    let meta = meta.ok_or("no .hdr and no meta in the directory")?;
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
    let options = ReadOptions { large_int: LargeIntAs::Decimal256, ..ReadOptions::default() };
    let columns = (!columns.is_empty()).then_some(columns.as_slice());
    for _ in 0..times {
        let start = Instant::now();
        let (mut rows, mut memory) = (0, 0);
        for batch in tablet.rows(columns, &options)? {
            let batch = batch?;
            rows += batch.num_rows();
            memory += batch.get_array_memory_size();
        }
        let seconds = start.elapsed().as_secs_f64();
        let per = |n: usize| n as f64 / seconds / 1e6;
        println!(
            "{rows} rows in {seconds:.3} s: {:.2} million rows/s, {:.0} MB/s stored, {:.0} MB/s of Arrow",
            per(rows),
            per(stored),
            per(memory)
        );
    }
    Ok(())
}
