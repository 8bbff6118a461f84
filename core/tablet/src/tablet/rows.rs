//! The rows that SELECT returns.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;

use crate::error::{Result, Within};
use crate::meta::TabletMeta;
use crate::predicate::DeletePredicate;
use crate::rowset::RowsetMeta;
use crate::schema::KeysType;
use crate::types::ReadOptions;

use super::merge::Merge;
use super::run::{Run, Scan};
use super::segment_rows::BatchSize;
use super::{Output, Tablet, projection};

/// Rows of a tablet, batch by batch; see [`Tablet::rows`].
pub struct Rows {
    output: Output,
    /// Where the wanted columns are among the arrays that are read.
    wanted: Vec<usize>,
    source: Source,
}

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
        let schema = &self.meta.schema;
        let columns = projection(schema, columns)?;
        let output = Output::new(schema, &columns, options)?;
        let runs = runs(&self.meta);
        let merges = matches!(schema.keys_type, KeysType::Unique | KeysType::Aggregate) && runs.len() > 1;
        let predicates = delete_predicates(&self.meta)?;
        let mut positions = columns.clone();
        let keys = (0..schema.columns.len()).filter(|&at| merges && schema.columns[at].is_key);
        let conditions = predicates.iter().flat_map(|p| &p.conditions).map(|c| c.column);
        for at in keys.chain(conditions) {
            if !positions.contains(&at) {
                positions.push(at);
            }
        }
        // Every run of a merge holds a batch, so that many runs must hold small ones.
        let batches = if merges { 2 * runs.len() } else { 1 };
        let size = BatchSize::shared(output.options.batch_rows, batches);
        let scan = Arc::new(Scan { tablet: self.clone(), positions, predicates, size });
        let runs: Vec<_> = runs.into_iter().map(|segments| Run::new(scan.clone(), segments)).collect();
        let wanted = (0..columns.len()).collect();
        let source = if merges {
            Source::Merge(Box::new(Merge::new(&scan, runs, output.options.batch_rows)?))
        } else {
            Source::Union(runs.into())
        };
        Ok(Rows { output, wanted, source })
    }
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

fn delete_predicates(meta: &TabletMeta) -> Result<Vec<DeletePredicate>> {
    let keyed = matches!(meta.schema.keys_type, KeysType::Unique | KeysType::Aggregate);
    let mut predicates = Vec::new();
    let stored = |rowset: &RowsetMeta| rowset.delete_predicate.clone().map(|p| (p, rowset.start_version));
    for (pb, version) in meta.rowsets.iter().filter_map(stored) {
        let mut predicate = DeletePredicate::parse(&pb, version, &meta.schema)
            .within(|| format!("delete predicate of version {version}"))?;
        // Of merged rows only the key is certain before merging; StarRocks takes no notice of other conditions.
        predicate.conditions.retain(|c| !keyed || meta.schema.columns.get(c.column).is_some_and(|c| c.is_key));
        predicates.push(predicate);
    }
    Ok(predicates)
}

impl Rows {
    /// The Arrow schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.output.schema.clone()
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let next = match &mut self.source {
            Source::Union(runs) => loop {
                let Some(run) = runs.front_mut() else { break None };
                match run.next_arrays()? {
                    Some(found) => break Some(found),
                    None => drop(runs.pop_front()),
                }
            },
            Source::Merge(merge) => merge.next_arrays()?,
            Source::Failed => None,
        };
        let Some((arrays, rows)) = next else { return Ok(None) };
        let arrays: Vec<ArrayRef> = self.wanted.iter().filter_map(|&at| arrays.get(at).cloned()).collect();
        Ok(Some(self.output.batch(&arrays, rows)?))
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
