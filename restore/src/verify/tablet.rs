//! One tablet: its header, its files, their pages, their rows.

use super::blocks::{Blocks, Pace};
use super::buckets::{Bucket, Misplaced};
use super::report::{Finding, FindingKind, Level, Looked};
use crate::error::RestoreError;
use crate::progress::Progress;
use crate::source::{Source, SourceFile, Stored};
use starsnap_repository::md5::{self, Hasher};
use starsnap_repository::reading::Access;
use starsnap_tablet::meta::{is_delta_columns, is_header};
use starsnap_tablet::{
    BitmapAs, ErrorKind, KeysType, MapAs, ReadAt, ReadOptions, RowsetMeta, Segment, Tablet, TabletError, TabletMeta,
    bucket, expected_files,
};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

/// Largest header that is read. That of a tablet with millions of deleted rows has a few hundred megabytes.
const HEADER_LIMIT: u64 = 1 << 30;
/// Bytes that go into a digest at a time.
const DIGEST_PIECE: u64 = 1 << 20;

/// What the catalog says of the tablet.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) tablet: i64,
    pub(super) version: i64,
    pub(super) schema_hash: i64,
    /// Where its rows can be checked to be in the right one.
    pub(super) bucket: Option<Bucket>,
}

/// What was found, and what was looked at.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    pub(super) looked: Looked,
    pub(super) interrupted: bool,
}

/// What looking at a tablet needs.
pub(super) struct Examiner {
    pub(super) source: Source,
    pub(super) level: Level,
    pub(super) pace: Pace,
    pub(super) progress: Arc<dyn Progress>,
    /// For the progress.
    pub(super) table: String,
}

impl Examiner {
    /// Looks at the tablet; `wanted` where there is a catalog, `read` false where only its names count. From a thread that may block.
    pub(super) fn tablet(&self, stored: &Stored, wanted: Option<&Wanted>, read: bool) -> Found {
        let mut look = Look { examiner: self, stored, found: Found::default(), bad: HashSet::new() };
        look.names();
        if read {
            look.found.looked.tablets_read = 1;
            look.files(wanted);
        }
        look.found.looked.tablets = 1;
        if self.pace.cancel.is_cancelled() {
            // What was read when the job was stopped says nothing.
            look.found.interrupted = true;
            look.found.findings.retain(|finding| finding.kind != FindingKind::Unchecked);
        }
        look.found
    }

    fn open(&self, file: &SourceFile) -> io::Result<Blocks<crate::source::FileAt>> {
        let opened = self
            .source
            .open_at(file, Access::Own, &self.pace.runtime, Some(&self.pace.limiter))
            .map_err(io::Error::other)?;
        Ok(Blocks::new(opened, self.pace.clone()))
    }
}

struct Look<'a> {
    examiner: &'a Examiner,
    stored: &'a Stored,
    found: Found,
    /// Names of files with findings.
    bad: HashSet<String>,
}

impl Look<'_> {
    fn add(&mut self, finding: Finding) {
        self.found.findings.push(finding);
    }

    /// A finding on one of the tablet's files.
    fn bad(&mut self, file: &SourceFile, finding: Finding) {
        self.bad.insert(file.name.clone());
        self.add(finding);
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.stored.shown)
    }

    /// What the listing shows.
    fn names(&mut self) {
        let stored = self.stored;
        let kind = if stored.files.is_empty() { FindingKind::Missing } else { FindingKind::Inconsistent };
        for problem in &stored.problems {
            self.add(Finding::new(kind, &stored.shown, problem));
        }
        for lost in &stored.lost {
            self.add(Finding::new(FindingKind::Missing, self.path(lost), "the file, which `__info` lists, is missing"));
        }
        let headers = stored.files.iter().filter(|file| is_header(&file.name)).count();
        if headers == 0 && !stored.files.is_empty() {
            let what = "the tablet's header is missing: neither .hdr nor meta is there";
            self.add(Finding::new(FindingKind::Missing, &stored.shown, what));
        } else if headers > 1 {
            let what = format!("the tablet has {headers} headers");
            self.add(Finding::new(FindingKind::Inconsistent, &stored.shown, what));
        }
    }

    fn files(&mut self, wanted: Option<&Wanted>) {
        let (stored, level) = (self.stored, self.examiner.level);
        let meta = self.meta(wanted);
        for file in &stored.files {
            self.found.looked.files += 1;
            self.found.looked.bytes += file.size;
            if level >= Level::Md5 {
                // Those were digested when they were read.
                if !is_metadata(&file.name) {
                    self.digest(file);
                }
                self.found.looked.files_without_md5 += u64::from(file.md5.is_none());
            }
        }
        let encrypted = meta.as_ref().map(encrypted_files).unwrap_or_default();
        if level >= Level::Pages {
            for file in stored.files.iter().filter(|file| is_segment(&file.name)) {
                if encrypted.contains(&file.name) {
                    let what = "it is encrypted with keys that only its cluster has: its pages cannot be looked at";
                    self.bad(file, Finding::new(FindingKind::Unchecked, file.shown(), what));
                } else {
                    self.pages(file);
                }
            }
        }
        if let (Some(meta), Level::Rows) = (&meta, level) {
            self.rows(meta, wanted);
        }
        for file in &stored.files {
            self.examiner.progress.advanced(file.size);
            self.examiner.progress.file_done(&self.examiner.table, &file.name);
        }
    }

    /// Reads the header and what belongs to it; compares it with the catalog, where there is one, and with the files.
    fn meta(&mut self, wanted: Option<&Wanted>) -> Option<TabletMeta> {
        let stored = self.stored;
        let header = stored.files.iter().find(|file| is_header(&file.name))?;
        let bytes = self.whole(header)?;
        let parsed = match header.name.as_str() {
            "meta" => TabletMeta::from_snapshot_meta(&bytes),
            _ => TabletMeta::from_header(&bytes),
        };
        drop(bytes);
        let mut meta = match parsed {
            Ok(meta) => meta,
            Err(error) => {
                self.bad(header, self.tablet_error(&header.shown(), &error));
                return None;
            }
        };
        let deltas = || stored.files.iter().filter(|file| is_delta_columns(&file.name));
        if deltas().next().is_none()
            && let Err(error) = meta.check_no_delta_columns(stored.files.iter().map(|file| file.name.as_str()))
        {
            self.add(Finding::new(FindingKind::Missing, &stored.shown, error.to_string()));
        }
        for file in deltas() {
            let Some(bytes) = self.whole(file) else { continue };
            if let Err(error) = meta.add_delta_columns(&bytes) {
                self.bad(file, self.tablet_error(&file.shown(), &error));
            }
        }
        if let Some(wanted) = wanted {
            self.compare(header, &meta, wanted);
        }
        let there: HashSet<&str> = stored.files.iter().map(|file| file.name.as_str()).collect();
        for name in expected_files(&meta).into_iter().filter(|name| !there.contains(name.as_str())) {
            let said = |lost: &String| md5::split_name(lost).is_some_and(|(base, _)| base == name);
            if !stored.lost.iter().any(said) {
                let what = format!("the file, which {} names, is missing", header.name);
                self.add(Finding::new(FindingKind::Missing, self.path(&name), what));
            }
        }
        Some(meta)
    }

    fn compare(&mut self, header: &SourceFile, meta: &TabletMeta, wanted: &Wanted) {
        let mut differs = |what: &str, expected: i64, actual: i64| {
            if expected != actual {
                let finding = Finding::new(FindingKind::Inconsistent, header.shown(), what);
                self.found.findings.push(finding.differs(expected, actual));
            }
        };
        differs("it is the header of another tablet", wanted.tablet, meta.tablet_id);
        differs("its version is not the catalog's", wanted.version, meta.version);
        if meta.schema.keys_type == KeysType::Primary {
            // StarRocks refuses such a tablet; those of other models are given the table's.
            differs("its schema hash is not the catalog's", wanted.schema_hash, i64::from(meta.schema_hash));
        }
    }

    /// All bytes of a metadata file, if they are those that were written.
    fn whole(&mut self, file: &SourceFile) -> Option<Vec<u8>> {
        if file.size > HEADER_LIMIT {
            let what = format!("it has {} bytes, metadata at most {HEADER_LIMIT}", file.size);
            self.bad(file, Finding::new(FindingKind::Damaged, file.shown(), what));
            return None;
        }
        let mut bytes = vec![0; usize::try_from(file.size).ok()?];
        let read = self.examiner.open(file).and_then(|opened| opened.read_at(0, &mut bytes));
        if let Err(error) = read {
            self.unreadable(file, &error);
            return None;
        }
        self.check_md5(file, md5::of(&bytes)).then_some(bytes)
    }

    fn digest(&mut self, file: &SourceFile) {
        match self.digested(file) {
            Ok(found) => drop(self.check_md5(file, found)),
            Err(error) => self.unreadable(file, &error),
        }
    }

    fn digested(&self, file: &SourceFile) -> io::Result<md5::Md5> {
        let opened = self.examiner.open(file)?;
        let (mut hasher, mut at) = (Hasher::default(), 0);
        let mut piece = vec![0; DIGEST_PIECE.min(file.size) as usize];
        while at < file.size {
            let length = (file.size - at).min(DIGEST_PIECE) as usize;
            let part = piece.get_mut(..length).ok_or(io::ErrorKind::UnexpectedEof)?;
            opened.read_at(at, part)?;
            hasher.update(part);
            at += length as u64;
        }
        Ok(hasher.finish())
    }

    fn check_md5(&mut self, file: &SourceFile, found: md5::Md5) -> bool {
        let right = file.md5.is_none_or(|stated| stated == found);
        if let Some(stated) = file.md5.filter(|_| !right) {
            let what = format!("the md5 of its {} bytes is wrong", file.size);
            self.bad(file, Finding::new(FindingKind::Damaged, file.shown(), what).differs(stated, found));
        }
        right
    }

    fn pages(&mut self, file: &SourceFile) {
        let opened = match self.examiner.open(file) {
            Ok(opened) => opened,
            Err(error) => return self.unreadable(file, &error),
        };
        match Segment::open(Arc::new(opened)).and_then(|segment| segment.verify_pages()) {
            Ok(count) => {
                self.found.looked.segments += 1;
                self.found.looked.pages += count.pages;
            }
            Err(error) => self.bad(file, self.tablet_error(&file.shown(), &error)),
        }
    }

    /// Decodes each rowset by itself, so that a damaged one hides no other.
    fn rows(&mut self, meta: &TabletMeta, wanted: Option<&Wanted>) {
        let stored = self.stored;
        let mut misplaced = wanted.and_then(|wanted| Misplaced::new(wanted.bucket.clone()?, &meta.schema));
        let mut hollow = meta.clone();
        let rowsets = std::mem::take(&mut hollow.rowsets);
        for rowset in rowsets {
            let mut one = hollow.clone();
            one.rowsets = vec![rowset];
            let files = expected_files(&one);
            let sound = |name: &String| !self.bad.contains(name) && stored.files.iter().any(|file| file.name == *name);
            // What is wrong with the others has been said.
            if files.iter().all(sound) && !self.examiner.pace.cancel.is_cancelled() {
                self.rowset(one, misplaced.as_mut());
            }
        }
        if let Some(what) = misplaced.and_then(|misplaced| misplaced.said()) {
            self.add(Finding::new(FindingKind::Inconsistent, &stored.shown, what));
        }
    }

    fn rowset(&mut self, mut meta: TabletMeta, misplaced: Option<&mut Misplaced>) {
        let Some(rowset) = meta.rowsets.first().cloned() else { return };
        // They are compared below, so that the finding has both numbers.
        meta.rowsets.iter_mut().for_each(|rowset| rowset.num_rows = 0);
        let tablet = self.opened(meta);
        let path = self.path(&format!("{}_*.dat", rowset.id));
        let decoded = match self.decode(&tablet, misplaced) {
            Ok(rows) => rows,
            Err(error) => return self.add(self.tablet_error(&path, &error)),
        };
        self.found.looked.rows += decoded;
        // Rows of a partial update by column are counted where the updates stand, not in segments.
        if rowset.num_update_files == 0 && u64::try_from(rowset.num_rows).ok() != Some(decoded) {
            let finding = Finding::new(FindingKind::Inconsistent, &path, "its rows are not as many as the header says");
            self.add(finding.differs(rowset.num_rows, decoded));
        }
        if let Err(error) = self.with_deltas(&tablet, &rowset) {
            self.add(self.tablet_error(&path, &error));
        }
    }

    fn opened(&self, meta: TabletMeta) -> Tablet {
        let files: HashMap<String, SourceFile> =
            self.stored.files.iter().map(|file| (file.name.clone(), file.clone())).collect();
        let (source, pace) = (self.examiner.source.clone(), self.examiner.pace.clone());
        Tablet::new(meta, move |name: &str| -> io::Result<Arc<dyn ReadAt>> {
            let file = files.get(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is missing"))?;
            let opened =
                source.open_at(file, Access::Own, &pace.runtime, Some(&pace.limiter)).map_err(io::Error::other)?;
            Ok(Arc::new(Blocks::new(opened, pace.clone())))
        })
    }

    /// Decodes all columns of all segments; returns the rows.
    fn decode(&self, tablet: &Tablet, mut misplaced: Option<&mut Misplaced>) -> Result<u64, TabletError> {
        let mut rows = 0;
        for batch in tablet.physical_rows(None, &every_value())? {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            if let Some(misplaced) = &mut misplaced {
                misplaced.add(&batch)?;
            }
        }
        Ok(rows)
    }

    /// Decodes the columns that delta files replace.
    fn with_deltas(&self, tablet: &Tablet, rowset: &RowsetMeta) -> Result<(), TabletError> {
        if rowset.segments.iter().any(|segment| !segment.delta_columns.is_empty()) {
            tablet.rows(None, &every_value())?.try_for_each(|batch| batch.map(drop))?;
        }
        Ok(())
    }

    fn tablet_error(&self, path: &str, error: &TabletError) -> Finding {
        let kind = match error.kind() {
            ErrorKind::Damaged => FindingKind::Damaged,
            _ => FindingKind::Unchecked,
        };
        let mut finding = Finding::new(kind, path, error.to_string());
        finding.offset = error.offset();
        finding
    }

    fn unreadable(&mut self, file: &SourceFile, error: &io::Error) {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<RestoreError>());
        let what = cause.map_or_else(|| format!("it cannot be read: {error}"), |cause| cause.to_string());
        self.bad(file, Finding::new(FindingKind::Unchecked, file.shown(), what));
    }
}

/// Types that hold every value there is, as hashing asks for too: what StarRocks stores without looking is no damage.
fn every_value() -> ReadOptions {
    ReadOptions { bitmap: BitmapAs::Cardinality, map: MapAs::Entries, ..bucket::read_options() }
}

fn encrypted_files(meta: &TabletMeta) -> HashSet<String> {
    let rowsets = meta.rowsets.iter();
    let segments =
        rowsets.flat_map(|rowset| rowset.segments.iter().enumerate().map(move |(at, one)| (rowset, at, one)));
    segments.filter(|(_, _, one)| one.encrypted).map(|(rowset, at, _)| rowset.id.segment_file(at)).collect()
}

fn is_segment(name: &str) -> bool {
    name.ends_with(".dat") || name.ends_with(".cols")
}

/// Files that are read whole.
fn is_metadata(name: &str) -> bool {
    is_header(name) || is_delta_columns(name)
}
