//! Rows under the names that a catalog has for their columns.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};

use crate::error::{Result, TabletError};

/// Batches whose columns are called otherwise than in the tablet, which keeps the names that columns were made with.
pub struct Named<I> {
    rows: I,
    schema: SchemaRef,
}

impl<I> Named<I> {
    /// `rows`, of `schema`, with these names for its columns.
    pub fn new<'a>(rows: I, schema: &Schema, names: impl Iterator<Item = &'a str>) -> Self {
        let fields = schema.fields().iter().zip(names);
        let fields: Vec<_> = fields.map(|(field, name)| field.as_ref().clone().with_name(name)).collect();
        Named { rows, schema: Arc::new(Schema::new(fields)) }
    }

    /// The Arrow schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

impl<I: Iterator<Item = Result<RecordBatch>>> Iterator for Named<I> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?;
        Some(batch.and_then(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &options)
                .map_err(|e| TabletError::damaged(e.to_string()))
        }))
    }
}
