//! How much memory an export takes: less than it may, and no more for a larger table.

use super::common::World;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

/// What any export must stay below, in KiB.
const MOST: u64 = 512 << 10;
/// What an export may take more for a table four times as large: threads meet in different states, and allocators keep what is freed.
const PLAY: u64 = 40 << 10;

/// What a run of a merge may take of its own: what the header says of it, its place in its files, and the frame of its batch.
const RUN: u64 = 64;

/// Tablets of tests/fixtures, by what they hold.
const WIDE: &str = "sr33/scalars_5k";
const NESTED: &str = "sr35/complex_100k";
const JSON: &str = "sr35/json_30k_flat";

const DUPLICATE_KEYS: u8 = 0;
const UNIQUE_KEYS: u8 = 1;

#[test]
fn an_export_takes_no_more_memory_for_a_larger_table() {
    let world = World::new();
    for (case, times, formats) in
        [(WIDE, 20, &["csv", "arrow"][..]), (NESTED, 2, &["jsonl", "arrow"]), (JSON, 2, &["csv", "arrow"])]
    {
        for format in formats {
            let peak = |times| peak(&world, case, times, DUPLICATE_KEYS, &["--format", format]);
            bounded(&format!("{case} as {format}"), peak(times), peak(4 * times));
        }
    }
}

/// A Parquet row group is kept until it is whole, so that only tables of several row groups are compared.
#[test]
fn an_export_to_parquet_takes_no_more_memory_for_more_row_groups() {
    let world = World::new();
    for (workers, times) in [("1", 11), ("2", 11)] {
        let options = ["--format", "parquet", "--columns", "k", "--workers", workers];
        let peak = |times| peak(&world, NESTED, times, DUPLICATE_KEYS, &options);
        bounded(&format!("{workers} workers"), peak(times), peak(4 * times));
    }
    for (case, times) in [(WIDE, 40), (NESTED, 4), (JSON, 4)] {
        let peak = peak(&world, case, times, DUPLICATE_KEYS, &["--format", "parquet"]);
        println!("{case}: {peak} KiB");
        assert!(peak < MOST, "{case}: {peak} KiB");
    }
}

#[test]
fn a_merge_takes_little_more_memory_for_more_loads() {
    let world = World::new();
    let peak =
        |times, options: &[&str]| peak(&world, WIDE, times, UNIQUE_KEYS, &[&["--format", "csv"], options].concat());
    // Few runs keep their pages, many do not even keep their files open.
    let (few, several) = (peak(16, &[]), peak(40, &[]));
    assert!(few.max(several) < MOST, "{few} KiB, {several} KiB");
    // With so many, what the batches of all may hold is used up. The first rows want two batches of each run and more, and later ones no other.
    let (some, more) = (peak(160, &[]), peak(640, &["--limit", "300"]));
    println!("a merge of 16 runs: {few} KiB, of 40 {several} KiB, of 160 {some} KiB, of 640 {more} KiB");
    assert!(more < MOST, "{more} KiB");
    assert!(more <= some + PLAY + 480 * RUN, "{some} KiB, but {more} KiB for four times as many runs");
}

fn bounded(what: &str, some: u64, more: u64) {
    println!("{what}: {some} KiB, four times as large {more} KiB");
    assert!(more < MOST, "{what}: {more} KiB");
    assert!(more <= some + PLAY, "{what}: {some} KiB, but {more} KiB for a table four times as large");
}

/// Peak memory in KiB of the export of a genuine tablet that is made so many times as large.
fn peak(world: &World, case: &str, times: usize, keys: u8, options: &[&str]) -> u64 {
    let tablet = grown(world, case, times, keys);
    let to = world.path("out");
    let _ = fs::remove_dir_all(&to);
    let mut export = world.command();
    export.args(["--quiet", "export", tablet.to_str().unwrap(), "--to", to.to_str().unwrap()]).args(options);
    export.args(["--largeint", "decimal256"]);
    let (status, peak) = watched(export.stdout(Stdio::null()).spawn().unwrap());
    assert!(status.success(), "{case} {options:?}");
    assert!(fs::read_dir(&to).unwrap().next().is_some());
    peak
}

/// Exit status of a child, and the most memory it had, in KiB, as the system says it as long as the child is there. (What it says afterwards
/// counts the memory of the parent that the child was a copy of.)
fn watched(mut child: Child) -> (ExitStatus, u64) {
    let (file, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    loop {
        let status = fs::read_to_string(&file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(peak > 0, "it was gone before it was looked at");
            return (status, peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A tablet's directory with a header that lists its rowsets so many times, one version after another, in a table of such keys. The
/// files are there once: that several rowsets have the same does not matter to who reads them.
fn grown(world: &World, case: &str, times: usize, keys: u8) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tablets").join(case).join("tablet");
    let to = world.dir(&format!("{}_{times}_{keys}", case.replace('/', "_")));
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        fs::write(to.join(&name), if name.ends_with(".hdr") { grown_header(&bytes, times, keys) } else { bytes })
            .unwrap();
    }
    to
}

/// Fields of TabletMetaPB, TabletSchemaPB and RowsetMetaPB.
const SCHEMA: u8 = 9;
const ROWSETS: u8 = 10;
const KEYS_TYPE: u8 = 1;
const START_VERSION: u8 = 8;
const END_VERSION: u8 = 9;

/// Of fields that are there twice, the last counts; messages that are there twice are merged. So all that is needed stands behind the
/// message as it is.
fn grown_header(header: &[u8], times: usize, keys: u8) -> Vec<u8> {
    let message = &header[40..];
    let rowsets: Vec<&[u8]> =
        fields(message).into_iter().filter(|(field, _)| *field == ROWSETS).map(|(_, of)| of).collect();
    let mut grown = message.to_vec();
    const FIRST: u64 = 1000;
    // What spans all versions before the first that is added.
    let mut gap = rowsets[0].to_vec();
    gap.extend(number(START_VERSION, 0));
    gap.extend(number(END_VERSION, FIRST - 1));
    grown.extend(bytes(ROWSETS, &gap));
    for (version, rowset) in (FIRST..).zip(rowsets.iter().cycle().take(rowsets.len() * times)) {
        let mut rowset = rowset.to_vec();
        rowset.extend(number(START_VERSION, version));
        rowset.extend(number(END_VERSION, version));
        grown.extend(bytes(ROWSETS, &rowset));
    }
    grown.extend(bytes(SCHEMA, &number(KEYS_TYPE, keys.into())));
    let mut out = header[..8].to_vec();
    out.extend(&header[8..12]);
    out.extend((grown.len() as u64 + 40).to_le_bytes());
    out.extend(&header[20..24]);
    out.extend((grown.len() as u64).to_le_bytes());
    out.extend(adler32(&grown).to_le_bytes());
    out.extend(&header[36..40]);
    out.extend(grown);
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(value.len() as u64), value.to_vec()].concat()
}

/// The fields of a message that are strings or messages, as far as their numbers are below 16.
fn fields(mut message: &[u8]) -> Vec<(u8, &[u8])> {
    fn take(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = take(&mut message);
        let len = match key & 7 {
            0 => {
                take(&mut message);
                continue;
            }
            1 => 8,
            5 => 4,
            _ => take(&mut message) as usize,
        };
        if key & 7 == 2 && key >> 3 < 16 {
            found.push(((key >> 3) as u8, &message[..len]));
        }
        message = &message[len..];
    }
    found
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in bytes {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}
