//! The rows that SELECT returns.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;

use crate::error::{Result, Within};
use crate::filter::{Bound, Filter};
use crate::meta::TabletMeta;
use crate::predicate::DeletePredicate;
use crate::rowset::RowsetMeta;
use crate::schema::{Column, KeysType, LogicalType, TabletSchema};
use crate::types::ReadOptions;

use super::merge::{self, Merge};
use super::run::{Run, Scan, filter_arrays};
use super::segment_rows::BatchSize;
use super::stats::{Counts, ScanStats};
use super::{Output, Tablet, projection};

/// Rows of a tablet, batch by batch; see [`Tablet::rows`].
pub struct Rows {
    output: Output,
    /// The wanted columns are the first of those that are read.
    wanted: usize,
    source: Source,
    /// What merged rows must meet, and the schema positions of the arrays.
    after_merge: Option<(Bound, Vec<usize>)>,
    counts: Counts,
}

/// Columns of all runs of a merge that may be open, with a page and a dictionary in memory, which most often are less than 200 KiB together.
const MOST_OPEN: usize = 1024;

enum Source {
    /// Runs one after another.
    Union(VecDeque<Run>),
    Merge(Box<Merge>),
    /// After an error: what would follow could be wrong.
    Failed,
}

impl Tablet {
    /// The rows that a SELECT of the tablet returns: deleted rows left out, delta columns applied, and rows of one key merged as the
    /// table model says. Rows of one segment keep their order; nothing else is promised about it. `columns` names the wanted
    /// ones, in that order; nothing means all.
    pub fn rows(&self, columns: Option<&[&str]>, options: &ReadOptions) -> Result<Rows> {
        self.rows_where(columns, None, options)
    }

    /// As [`Self::rows`], but only rows for which `filter` is true. Parts of segments whose zone maps, bloom filters or short key
    /// index say that they cannot hold any are not read, and of columns that are not filtered by, only the pages of wanted rows.
    pub fn rows_where(&self, columns: Option<&[&str]>, filter: Option<&Filter>, options: &ReadOptions) -> Result<Rows> {
        let schema = &self.meta.schema;
        let columns = projection(schema, columns)?;
        let output = Output::new(schema, &columns, options)?;
        let runs = runs(&self.meta);
        let merges = matches!(schema.keys_type, KeysType::Unique | KeysType::Aggregate) && runs.len() > 1;
        let (scanned, predicates) = delete_predicates(&self.meta)?;
        let mut positions = columns.clone();
        let keys = (0..schema.columns.len()).filter(|&at| merges && schema.columns[at].is_key);
        let conditions = predicates.iter().flat_map(|p| &p.conditions).map(|c| c.column);
        let filter = filter.map(|f| f.bind(schema)).transpose()?;
        let mut filtered = Vec::new();
        filter.iter().for_each(|f| f.columns(&mut filtered));
        for at in keys.chain(conditions).chain(filtered) {
            if !positions.contains(&at) {
                positions.push(at);
            }
        }
        // Every run of a merge holds a batch, so that many runs must hold small ones.
        let batches = if merges { merge::most_held(runs.len()) } else { 1 };
        let size = BatchSize::shared(&output.options, batches);
        // Of each column it holds a page and a dictionary too; where these would be too many, it opens its file again for every batch.
        let closes = merges && runs.len().saturating_mul(positions.len()) > MOST_OPEN;
        let after_merge = filter.clone().filter(|_| merges).map(|f| (f, positions.clone()));
        let filter = if merges { filter.and_then(|f| of_keys(&f, schema)) } else { filter };
        let counts = Counts::default();
        counts.begin(&self.meta)?;
        let counting = counts.clone();
        let (tablet, schema) = (self.clone(), scanned);
        let scan = Arc::new(Scan { tablet, schema, positions, predicates, filter, size, closes, counts: counting });
        let runs: Vec<_> = runs.into_iter().map(|segments| Run::new(scan.clone(), segments)).collect();
        let wanted = columns.len();
        let source = if merges {
            Source::Merge(Box::new(Merge::new(&scan, runs, output.options.batch_rows)?))
        } else {
            Source::Union(runs.into())
        };
        Ok(Rows { output, wanted, source, after_merge, counts })
    }
}

/// The conditions on key columns only, which decide about rows before they are merged as well as after.
fn of_keys(filter: &Bound, schema: &TabletSchema) -> Option<Bound> {
    let is_key = |bound: &&Bound| {
        let mut columns = Vec::new();
        bound.columns(&mut columns);
        columns.iter().all(|&at| schema.columns.get(at).is_some_and(|c| c.is_key))
    };
    let conjuncts: Vec<Bound> = filter.conjuncts().into_iter().filter(is_key).cloned().collect();
    (!conjuncts.is_empty()).then_some(Bound::And(conjuncts))
}

/// Segments in groups within which keys ascend and do not repeat, oldest first.
fn runs(meta: &TabletMeta) -> Vec<Vec<(usize, usize)>> {
    let mut runs = Vec::new();
    for (at, rowset) in meta.rowsets.iter().enumerate().filter(|(_, r)| !r.segments.is_empty()) {
        let segments = (0..rowset.segments.len()).map(|segment| (at, segment));
        if rowset.overlapping() {
            runs.extend(segments.map(|segment| vec![segment]));
        } else {
            runs.push(segments.collect());
        }
    }
    runs
}

/// The deletes, and the schema that their conditions speak of: the tablet's, and behind its columns those that were dropped since.
fn delete_predicates(meta: &TabletMeta) -> Result<(TabletSchema, Vec<DeletePredicate>)> {
    let keyed = matches!(meta.schema.keys_type, KeysType::Unique | KeysType::Aggregate);
    let mut schema = meta.schema.clone();
    let mut predicates = Vec::new();
    for rowset in &meta.rowsets {
        let Some(pb) = &rowset.delete_predicate else { continue };
        let version = rowset.start_version;
        let find = |name: &str| find_condition(name, rowset, meta, &mut schema);
        let mut predicate = DeletePredicate::parse_with(pb, version, find)
            .within(|| format!("delete predicate of version {version}"))?;
        // Of merged rows only the key is certain before merging; StarRocks takes no notice of other conditions.
        predicate.conditions.retain(|c| !keyed || schema.columns.get(c.column).is_some_and(|c| c.is_key));
        predicates.push(predicate);
    }
    Ok((schema, predicates))
}

/// The column that a condition means by `name`: that of the schema that the delete was stored with, if it says so, else the tablet's, else one
/// of an older schema. One that the tablet no longer has is added to `schema`.
fn find_condition(
    name: &str,
    rowset: &RowsetMeta,
    meta: &TabletMeta,
    schema: &mut TabletSchema,
) -> Option<(usize, LogicalType)> {
    let named = |of: &TabletSchema| of.columns.get(of.position(name)?).cloned();
    let own = rowset.schema.as_ref().and_then(named);
    let older = || meta.rowsets.iter().rev().filter_map(|r| r.schema.as_ref()).find_map(named);
    let column = own.or_else(|| named(&meta.schema)).or_else(older)?;
    let same = |c: &Column| c.unique_id == column.unique_id && (c.unique_id >= 0 || c.name == column.name);
    let at = match schema.columns.iter().position(same) {
        Some(at) => at,
        None => {
            // Rows that were written since it was dropped are no matter of the delete, whatever they hold.
            schema.columns.push(Column { is_key: false, nullable: true, ..column });
            schema.columns.len() - 1
        }
    };
    schema.columns.get(at).map(|column| (at, column.ty.clone()))
}

impl Rows {
    /// The Arrow schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.output.schema.clone()
    }

    /// What has been read so far.
    pub fn stats(&self) -> ScanStats {
        self.counts.stats()
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some((mut arrays, mut rows)) = self.next_arrays()? else { return Ok(None) };
            if let Some((filter, positions)) = &self.after_merge {
                let mut keep = vec![true; rows];
                let index = |position: usize| positions.iter().position(|&at| at == position);
                filter.apply(&mut keep, &|position| arrays.get(index(position)?))?;
                rows = keep.iter().filter(|&&k| k).count();
                arrays = filter_arrays(&arrays, keep)?;
            }
            arrays.truncate(self.wanted);
            if rows > 0 {
                return Ok(Some(self.output.batch(&arrays, rows)?));
            }
        }
    }

    fn next_arrays(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        match &mut self.source {
            Source::Union(runs) => loop {
                let Some(run) = runs.front_mut() else { return Ok(None) };
                match run.next_arrays()? {
                    Some(found) => return Ok(Some(found)),
                    None => drop(runs.pop_front()),
                }
            },
            Source::Merge(merge) => merge.next_arrays(),
            Source::Failed => Ok(None),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            self.source = Source::Failed;
        }
        next.transpose()
    }
}
