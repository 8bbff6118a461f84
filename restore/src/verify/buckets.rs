//! Whether rows are in the buckets that their distribution columns choose, which shows that a partition's tablets are in order.

use starsnap_catalog::model::{Column, DistributionInfo, Table};
use starsnap_tablet::{LogicalType, TabletError, TabletSchema, bucket};
use std::collections::HashMap;
use std::sync::Arc;

/// By which columns rows are spread over the buckets of the base index.
#[derive(Debug, Default)]
pub(super) struct Distribution {
    by_partition: HashMap<i64, Arc<Vec<Column>>>,
}

/// The bucket that a tablet is, where its rows can be checked.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    columns: Arc<Vec<Column>>,
    number: usize,
    of: usize,
}

impl Distribution {
    /// Nothing for partitions whose rows are spread at random, or by what the catalog does not tell.
    pub(super) fn of(table: &Table) -> Distribution {
        let base = table.base_index_id.and_then(|id| table.index_id_to_meta.get(&id));
        let Some(schema) = base.map(|meta| meta.schema.as_slice()) else { return Distribution::default() };
        let default = table.default_distribution_info.as_ref();
        let partitions = table.id_to_partition.iter().filter_map(|(id, partition)| {
            // ALTER TABLE may have given a partition another distribution than those before it.
            let info = partition.distribution_info.as_ref().or(default)?;
            Some((*id, Arc::new(columns(info, schema)?)))
        });
        Distribution { by_partition: partitions.collect() }
    }

    /// The bucket `number` of `of`; none where there is nothing to check.
    pub(super) fn bucket(&self, partition: i64, number: usize, of: usize) -> Option<Bucket> {
        let columns = self.by_partition.get(&partition).filter(|_| of > 1)?;
        Some(Bucket { columns: Arc::clone(columns), number, of })
    }
}

/// The columns of the base index's schema by which rows are hashed.
fn columns(info: &DistributionInfo, schema: &[Column]) -> Option<Vec<Column>> {
    if info.kind != "HASH" {
        return None;
    }
    let stored = info.distribution_columns.iter().flatten().map(Column::id);
    let ids: Vec<&str> = match &info.col_ids {
        Some(ids) if !ids.is_empty() => ids.iter().map(String::as_str).collect(),
        _ => stored.collect(),
    };
    let find = |id: &str| {
        let by_id = schema.iter().find(|column| column.id().eq_ignore_ascii_case(id));
        by_id.or_else(|| schema.iter().find(|column| column.name.eq_ignore_ascii_case(id))).cloned()
    };
    let found: Option<Vec<Column>> = ids.into_iter().map(find).collect();
    found.filter(|columns| !columns.is_empty())
}

/// Counts the rows of a tablet that belong into other buckets.
#[derive(Debug)]
pub(super) struct Misplaced {
    bucket: Bucket,
    positions: Vec<usize>,
    types: Vec<LogicalType>,
    rows: u64,
    misplaced: u64,
}

impl Misplaced {
    /// For rows of all columns of `schema`; none where a column is not there, or of a type that no table is distributed by.
    pub(super) fn new(bucket: Bucket, schema: &TabletSchema) -> Option<Misplaced> {
        let (mut positions, mut types) = (Vec::new(), Vec::new());
        for column in bucket.columns.iter() {
            let found = schema.locate(column.stored_names(), column.unique_id)?;
            positions.push(schema.position(&found.name)?);
            types.push(Some(found.ty.clone()).filter(bucket::can_distribute)?);
        }
        Some(Misplaced { bucket, positions, types, rows: 0, misplaced: 0 })
    }

    /// Looks at some rows.
    pub(super) fn add(&mut self, batch: &arrow_array::RecordBatch) -> Result<(), TabletError> {
        let Ok(columns) = batch.project(&self.positions) else { return Ok(()) };
        let (number, of) = (self.bucket.number as u64, self.bucket.of as u64);
        let hashes = bucket::hashes(&columns, &self.types)?;
        self.rows += hashes.len() as u64;
        self.misplaced += hashes.iter().filter(|hash| u64::from(**hash) % of != number).count() as u64;
        Ok(())
    }

    /// A sentence, when rows were misplaced.
    pub(super) fn said(&self) -> Option<String> {
        let Misplaced { bucket: Bucket { columns, number, of }, rows, misplaced, .. } = self;
        let names = columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        (*misplaced > 0).then(|| {
            format!(
                "{misplaced} of its {rows} stored rows do not belong into bucket {number} of {of} by HASH({names}): the tablets are not in order, \
                 and a cluster would not find these rows"
            )
        })
    }
}
