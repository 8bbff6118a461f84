//! A run: segments that follow one another, with what deletes and delta columns have made of them.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray};

use crate::delvec::DeleteVector;
use crate::error::{Result, TabletError, Within};
use crate::filter::Bound;
use crate::predicate::DeletePredicate;
use crate::rowset::RowsetMeta;
use crate::schema::TabletSchema;
use crate::segment::Segment;

use super::segment_rows::{BatchSize, Delta, Rest, SegmentRows, Test};
use super::stats::Counts;
use super::{Tablet, prune};

/// What all runs of one scan share.
pub(super) struct Scan {
    pub tablet: Tablet,
    /// The tablet's, and behind its columns those that only deletes still speak of.
    pub schema: TabletSchema,
    /// Schema positions of the columns that are read, in the order of the arrays.
    pub positions: Vec<usize>,
    pub predicates: Vec<DeletePredicate>,
    /// What rows must meet before they are merged.
    pub filter: Option<Bound>,
    pub size: BatchSize,
    /// Whether runs keep nothing open between two batches.
    pub closes: bool,
    pub counts: Counts,
}

impl Scan {
    fn rowset(&self, at: usize) -> Result<&RowsetMeta> {
        let missing = || TabletError::damaged(format!("there is no rowset number {at}"));
        self.tablet.meta.rowsets.get(at).ok_or_else(missing)
    }

    /// Where the column at a schema position is among the arrays.
    fn index(&self, position: usize) -> Option<usize> {
        self.positions.iter().position(|&at| at == position)
    }

    /// Positions in the arrays of the columns that the filter and these predicates look at.
    fn looked_at(&self, predicates: &[usize]) -> Vec<usize> {
        let predicates = predicates.iter().filter_map(|&at| self.predicates.get(at));
        let mut columns: Vec<usize> = predicates.flat_map(|p| &p.conditions).map(|c| c.column).collect();
        self.filter.iter().for_each(|filter| filter.columns(&mut columns));
        let mut found: Vec<usize> = columns.into_iter().filter_map(|column| self.index(column)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

pub(super) struct Run {
    scan: Arc<Scan>,
    /// Rowset and segment numbers still to come.
    segments: VecDeque<(usize, usize)>,
    current: Option<Current>,
}

struct Current {
    name: String,
    rowset: usize,
    segment: usize,
    /// Nothing while it is closed.
    rows: Option<SegmentRows>,
    /// Where it was closed.
    rest: Rest,
    deleted: Option<DeleteVector>,
    /// Positions of the predicates that apply.
    predicates: Vec<usize>,
    /// Positions in the arrays of the columns that predicates and the filter look at.
    looked_at: Vec<usize>,
}

impl Run {
    pub fn new(scan: Arc<Scan>, segments: impl IntoIterator<Item = (usize, usize)>) -> Self {
        Run { scan, segments: segments.into_iter().collect(), current: None }
    }

    /// The next live rows as one array per column that is read, and how many (not 0); nothing at the end.
    pub fn next_arrays(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.next_arrays(&self.scan)? {
                    Some((_, 0)) => continue,
                    Some(found) => return Ok(Some(found)),
                    None => self.current = None,
                }
            }
            let Some((rowset, segment)) = self.segments.pop_front() else { return Ok(None) };
            self.current = Some(Current::open(&self.scan, rowset, segment)?);
        }
    }
}

impl Current {
    fn open(scan: &Scan, rowset: usize, segment: usize) -> Result<Self> {
        let meta = &scan.tablet.meta;
        let (number, rowset) = (rowset, scan.rowset(rowset)?);
        let name = rowset.id.segment_file(segment);
        let opened = scan.tablet.open_segment(rowset, segment)?;
        scan.counts.opened(number, rowset, opened.num_rows())?;
        let deltas = open_deltas(scan, rowset, segment)?;
        let written = rowset.schema.as_ref().unwrap_or(&meta.schema);
        let rows = open_rows(scan, rowset, &opened, &deltas);
        let deleted = rowset.segments.get(segment).and_then(|s| s.delete_vector.clone());
        if let Some(last) = deleted.as_ref().and_then(|d| d.rows.max())
            && u64::from(last) >= opened.num_rows()
        {
            let rows = opened.num_rows();
            return Err(TabletError::damaged(format!("row {last} is deleted of {rows} rows")).within(name));
        }
        let mut rows = rows.within(|| name.clone())?;
        let mut left = opened.num_rows();
        if let Some(filter) = &scan.filter {
            let replaced = |id| deltas.iter().any(|d| d.column_unique_ids.contains(&id));
            let ranges = prune::ranges(&opened, &scan.schema, written, filter, &replaced);
            let ranges = ranges.within(|| name.clone())?;
            left = ranges.iter().map(|range| range.end - range.start).sum();
            rows.keep(ranges);
        }
        scan.counts.segment(opened.num_rows(), left);
        let end_version = rowset.end_version;
        let applies = |at: &usize| scan.predicates.get(*at).is_some_and(|p| p.version >= end_version);
        let predicates: Vec<usize> = (0..scan.predicates.len()).filter(applies).collect();
        let looked_at = scan.looked_at(&predicates);
        let deleted = deleted.filter(|d| !d.rows.is_empty());
        let rows = Some(rows);
        Ok(Current { name, rowset: number, segment, rows, rest: Rest::default(), deleted, predicates, looked_at })
    }

    /// The next live rows, which may be none; nothing at the end.
    fn next_arrays(&mut self, scan: &Scan) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let mut rows = match self.rows.take() {
            Some(rows) => rows,
            None if self.rest.is_done() => return Ok(None),
            None => self.reopen(scan).within(|| self.name.clone())?,
        };
        let mut found = self.read(&mut rows, scan).within(|| self.name.clone())?;
        if let Some((arrays, count)) = &mut found {
            if scan.closes {
                arrays.iter_mut().for_each(Array::shrink_to_fit);
            }
            rows.learn(arrays, *count);
        }
        if scan.closes {
            self.rest = rows.close();
        } else {
            self.rows = Some(rows);
        }
        Ok(found)
    }

    /// Opens it again where it was closed.
    fn reopen(&mut self, scan: &Scan) -> Result<SegmentRows> {
        let rowset = scan.rowset(self.rowset)?;
        let opened = scan.tablet.open_segment(rowset, self.segment)?;
        let deltas = open_deltas(scan, rowset, self.segment)?;
        let mut rows = open_rows(scan, rowset, &opened, &deltas)?;
        rows.resume(std::mem::take(&mut self.rest))?;
        Ok(rows)
    }

    fn read(&self, rows: &mut SegmentRows, scan: &Scan) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        if self.predicates.is_empty() && self.deleted.is_none() && scan.filter.is_none() {
            return Ok(rows.next_arrays()?.map(|(arrays, _, rows)| (arrays, rows)));
        }
        let narrow = |start: u64, keep: &mut [bool], arrays: &[Option<ArrayRef>]| {
            if let Some(deleted) = &self.deleted {
                // A segment has at most 2^32 rows.
                let range = start as u32..=(start + keep.len() as u64 - 1) as u32;
                for row in deleted.rows.range(range) {
                    if let Some(keep) = keep.get_mut((u64::from(row) - start) as usize) {
                        *keep = false;
                    }
                }
            }
            let array = |position| arrays.get(scan.index(position)?)?.as_ref();
            for predicate in self.predicates.iter().filter_map(|&at| scan.predicates.get(at)) {
                predicate.apply(keep, array)?;
            }
            match &scan.filter {
                Some(filter) => filter.apply(keep, &array),
                None => Ok(()),
            }
        };
        rows.next_wanted(&Test { columns: &self.looked_at, narrow: &narrow })
    }
}

/// The rows of all arrays that are to be kept.
pub(super) fn filter_arrays(arrays: &[ArrayRef], keep: Vec<bool>) -> Result<Vec<ArrayRef>> {
    let keep = BooleanArray::from(keep);
    let filtered = arrays.iter().map(|array| arrow_select::filter::filter(array, &keep)).collect::<Result<_, _>>();
    filtered.map_err(|e| TabletError::damaged(e.to_string()))
}

/// The rows of a segment that is open.
fn open_rows(scan: &Scan, rowset: &RowsetMeta, opened: &Segment, deltas: &[Delta]) -> Result<SegmentRows> {
    let written = rowset.schema.as_ref().unwrap_or(&scan.tablet.meta.schema);
    SegmentRows::open(opened, deltas, &scan.schema, written, &scan.positions, scan.size, &scan.counts.pages)
}

/// Opens those delta files of a segment that have a column that is read, newest first.
fn open_deltas(scan: &Scan, rowset: &RowsetMeta, segment: usize) -> Result<Vec<Delta>> {
    let schema = &scan.schema;
    let wanted =
        |id: &u32| scan.positions.iter().any(|&at| schema.columns.get(at).is_some_and(|c| c.unique_id as u32 == *id));
    let groups = rowset.segments.get(segment).map_or(&[][..], |s| &s.delta_columns);
    let files = groups.iter().flat_map(|g| &g.files).filter(|f| f.column_unique_ids.iter().any(wanted));
    let open = |file: &crate::delta::DeltaFile| {
        let segment = scan.tablet.open_file(&file.name, file.encrypted)?;
        Ok(Delta { column_unique_ids: file.column_unique_ids.clone(), segment })
    };
    files.map(open).collect()
}
