//! UNIQUE and AGGREGATE tables: sorted runs merged by key, rows of one key combined.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_row::{RowConverter, Rows, SortField};

use crate::error::{Result, TabletError, Within};
use crate::schema::TabletSchema;
use crate::types::stored_field;

use super::combine::{self, Combine, Place};
use super::run::{Run, Scan};

/// A run and its current batch.
struct Cursor {
    run: Run,
    /// Number of the current batch among those that are held.
    batch: usize,
    /// The keys of its rows in comparable form; nothing behind the last batch.
    keys: Option<Arc<Rows>>,
    /// No key of the batch is that of the row before.
    distinct: bool,
    row: usize,
}

pub(super) struct Merge {
    cursors: Vec<Cursor>,
    /// Cursors that have a row, as a binary heap: the one with the least key first, of equal keys the oldest run's.
    heap: Vec<usize>,
    converter: RowConverter,
    /// Where the key columns are among the arrays, in sort order.
    keys: Vec<usize>,
    columns: Vec<Combine>,
    /// Where the oldest and the newest row of each key of the output under way are: batch and row.
    first: Vec<(usize, usize)>,
    last: Vec<(usize, usize)>,
    /// Batches that rows of the output under way are in.
    held: Vec<Arc<Vec<ArrayRef>>>,
    batch_rows: usize,
}

/// How many batches a merge of so many runs holds at most, but for one row's key that is in more: several of each of a few runs, little more
/// than one of each of many.
pub(super) fn most_held(runs: usize) -> usize {
    runs + (runs / 4).max(runs.min(8))
}

fn arrow(e: arrow_schema::ArrowError) -> TabletError {
    TabletError::damaged(e.to_string())
}

/// Schema positions of the key columns in the order that segments are sorted by.
fn key_order(schema: &TabletSchema) -> Vec<usize> {
    let is_key = |at: &usize| schema.columns.get(*at).is_some_and(|c| c.is_key);
    let mut order: Vec<usize> = schema.sort_key.iter().copied().filter(is_key).collect();
    for at in (0..schema.columns.len()).filter(is_key) {
        if !order.contains(&at) {
            order.push(at);
        }
    }
    order
}

impl Merge {
    /// Merges runs, oldest first.
    pub fn new(scan: &Scan, runs: Vec<Run>, batch_rows: usize) -> Result<Self> {
        let schema = &scan.schema;
        let order = key_order(schema);
        let find = |position: &usize| scan.positions.iter().position(|at| at == position);
        let keys: Vec<usize> = order.iter().filter_map(find).collect();
        if keys.is_empty() || keys.len() != order.len() {
            return Err(TabletError::damaged("a table that is merged by key, but has no key"));
        }
        let mut fields = Vec::with_capacity(order.len());
        for column in order.iter().filter_map(|&at| schema.columns.get(at)) {
            fields.push(SortField::new(stored_field(column)?.data_type().clone()));
        }
        let columns = scan.positions.iter().filter_map(|&at| schema.columns.get(at));
        let columns = columns.map(|c| combine::for_column(c, schema.keys_type)).collect::<Result<_>>()?;
        let cursor = |run| Cursor { run, batch: 0, keys: None, distinct: false, row: 0 };
        let mut merge = Merge {
            cursors: runs.into_iter().map(cursor).collect(),
            heap: Vec::new(),
            converter: RowConverter::new(fields).map_err(arrow)?,
            keys,
            columns,
            first: Vec::new(),
            last: Vec::new(),
            held: Vec::new(),
            batch_rows,
        };
        for cursor in 0..merge.cursors.len() {
            if merge.load(cursor)? {
                merge.heap.push(cursor);
            }
        }
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sink(at);
        }
        Ok(merge)
    }

    /// Loads the next batch of a run; says whether there was one.
    fn load(&mut self, at: usize) -> Result<bool> {
        let Some(cursor) = self.cursors.get_mut(at) else { return Ok(false) };
        let Some((arrays, _)) = cursor.run.next_arrays()? else {
            cursor.keys = None;
            return Ok(false);
        };
        let columns: Vec<ArrayRef> = self.keys.iter().filter_map(|&key| arrays.get(key).cloned()).collect();
        let keys = self.converter.convert_columns(&columns).map_err(arrow)?;
        let before = cursor.keys.as_ref().filter(|k| k.num_rows() > 0);
        cursor.distinct = check_order(before.map(AsRef::as_ref), &keys)?;
        cursor.keys = Some(Arc::new(keys));
        cursor.row = 0;
        cursor.batch = self.held.len();
        self.held.push(Arc::new(arrays));
        Ok(true)
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let key = |at: usize| self.cursors.get(at).and_then(|c| Some(c.keys.as_ref()?.row(c.row)));
        key(a).cmp(&key(b)).then(a.cmp(&b))
    }

    /// Moves a heap entry down to where it belongs.
    fn sink(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.compare(self.heap[child], self.heap[least]).is_lt() {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    /// Moves the first cursor of the heap on to a row.
    fn advance(&mut self, row: usize) -> Result<()> {
        let Some(&at) = self.heap.first() else { return Ok(()) };
        let Some(cursor) = self.cursors.get_mut(at) else { return Ok(()) };
        cursor.row = row;
        let more = cursor.keys.as_ref().is_some_and(|keys| cursor.row < keys.num_rows());
        if !more && !self.load(at)? {
            self.heap.swap_remove(0);
        }
        self.sink(0);
        Ok(())
    }

    /// The first row behind the first cursor's of which the key is not less than those of all other cursors; the cursor's next, if
    /// they have its key too.
    fn stretch_end(&self, keys: &Rows, row: usize) -> usize {
        let key = |at: usize| {
            let cursor = self.cursors.get(*self.heap.get(at)?)?;
            Some(cursor.keys.as_ref()?.row(cursor.row))
        };
        // The least of the others is one of the two below the top of the heap.
        let least = [key(1), key(2)].into_iter().flatten().min();
        let Some(least) = least else { return keys.num_rows() };
        // Rows behind one another are most often a few, or very many.
        let (mut low, mut step) = (row + 1, 1);
        while low + step <= keys.num_rows() && keys.row(low + step - 1) < least {
            low += step;
            step *= 2;
        }
        let mut high = (low + step - 1).min(keys.num_rows());
        while low < high {
            let middle = low + (high - low) / 2;
            if keys.row(middle) < least { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The next merged rows as one array per column that is read, and how many; nothing at the end.
    pub fn next_arrays(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        self.release();
        // Many rows of one key come to few: what they are in must not pile up. See `BatchSize::shared` in [`Tablet::rows_where`].
        let most_held = most_held(self.cursors.len());
        let mut before: Option<(Arc<Rows>, usize)> = None;
        while let Some(cursor) = self.heap.first().and_then(|&at| self.cursors.get(at)) {
            let (Some(keys), Some(arrays)) = (cursor.keys.clone(), self.held.get(cursor.batch).cloned()) else { break };
            let (batch, begin, distinct) = (cursor.batch, cursor.row, cursor.distinct);
            let end = self.stretch_end(&keys, begin);
            let mut row = begin;
            while row < end {
                let same = if row > begin {
                    !distinct && keys.row(row - 1) == keys.row(row)
                } else {
                    before.as_ref().is_some_and(|(before, at)| before.row(*at) == keys.row(row))
                };
                if !same && (self.first.len() == self.batch_rows || self.held.len() > most_held) {
                    break;
                }
                self.take(&arrays, Place { batch, row }, same)?;
                row += 1;
            }
            let full = row < end;
            if row > begin {
                before = Some((keys, row - 1));
                self.advance(row)?;
            }
            if full {
                break;
            }
        }
        self.finish()
    }

    /// Takes a row into the output: of the key of the row before, or of a new one.
    fn take(&mut self, arrays: &[ArrayRef], place: Place, same: bool) -> Result<()> {
        let at = (place.batch, place.row);
        match self.last.last_mut().filter(|_| same) {
            Some(last) => *last = at,
            None => {
                self.first.push(at);
                self.last.push(at);
            }
        }
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            if let Combine::With(combiner) = column {
                if same { combiner.add(array, place) } else { combiner.start(array, place) }?;
            }
        }
        Ok(())
    }

    /// The rows that were taken.
    fn finish(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let rows = self.first.len();
        if rows == 0 {
            return Ok(None);
        }
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter_mut().enumerate() {
            let held: Vec<&ArrayRef> = self.held.iter().filter_map(|batch| batch.get(at)).collect();
            arrays.push(match column {
                Combine::First => combine::gather(&held, &self.first)?,
                Combine::Last => combine::gather(&held, &self.last)?,
                Combine::With(combiner) => combiner.finish(&held)?,
            });
        }
        self.first.clear();
        self.last.clear();
        Ok(Some((arrays, rows)))
    }

    /// Lets go of the batches that no cursor stands in any more.
    fn release(&mut self) {
        let mut held = Vec::with_capacity(self.cursors.len());
        for cursor in self.cursors.iter_mut().filter(|c| c.keys.is_some()) {
            if let Some(batch) = self.held.get(cursor.batch) {
                held.push(batch.clone());
                cursor.batch = held.len() - 1;
            }
        }
        self.held = held;
    }
}

/// Rows that are not in key order would be merged wrongly, and silently. Says whether no two rows have the same key.
fn check_order(before: Option<&Rows>, keys: &Rows) -> Result<bool> {
    let unordered = || Err(TabletError::damaged("rows are not in the order of their key"));
    if before.is_some_and(|b| b.row(b.num_rows() - 1) > keys.row(0)) {
        return unordered().within(|| "merge");
    }
    let mut distinct = true;
    for row in 1..keys.num_rows() {
        match keys.row(row - 1).cmp(&keys.row(row)) {
            Ordering::Greater => return unordered().within(|| "merge"),
            Ordering::Equal => distinct = false,
            Ordering::Less => {}
        }
    }
    Ok(distinct)
}
