//! Threads that encode the columns of one Parquet file together.

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::ParquetError;
use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The threads beside the one that owns the file.
pub(super) struct Team {
    helpers: Vec<Helper>,
}

struct Helper {
    stretches: Option<SyncSender<Arc<Stretch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Team {
    /// So many threads, of which the caller is one.
    pub(super) fn of(threads: usize) -> Team {
        let start = |_| {
            let (sender, receiver) = sync_channel::<Arc<Stretch>>(2);
            let work = move || {
                for stretch in receiver {
                    stretch.work();
                }
            };
            let thread = std::thread::Builder::new().name("encode".into()).spawn(work);
            // Where the system gives no more threads, fewer do the work.
            thread.ok().map(|thread| Helper { stretches: Some(sender), thread: Some(thread) })
        };
        Team { helpers: (1..threads).map_while(start).collect() }
    }

    /// True if nobody works beside the caller.
    pub(super) fn is_alone(&self) -> bool {
        self.helpers.is_empty()
    }

    /// Begins a stretch; the caller must complete it before it begins another of the same columns.
    pub(super) fn begin(&self, columns: Arc<Columns>, batches: Vec<RecordBatch>, close: bool) -> Arc<Stretch> {
        // Whoever comes last is waited for, which is short if the last columns are those that take least. Those that are closed are wanted
        // one after another.
        let order = if close { (0..columns.0.len()).collect() } else { columns.longest_first() };
        let done = Mutex::new(vec![false; columns.0.len()]);
        let stretch = Stretch { columns, batches, close, order, next: AtomicUsize::new(0), done, one: Condvar::new() };
        let stretch = Arc::new(stretch);
        for helper in self.helpers.iter().filter_map(|helper| helper.stretches.as_ref()) {
            // A helper that is busy or gone leaves its part to the others.
            let _ = helper.try_send(stretch.clone());
        }
        stretch
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for helper in &mut self.helpers {
            helper.stretches.take();
        }
        for helper in &mut self.helpers {
            let _ = helper.thread.take().map(JoinHandle::join);
        }
    }
}

/// The columns of a row group.
pub(super) struct Columns(Vec<Mutex<Column>>);

/// A column with all its leaves, which for nested types are several.
struct Column {
    field: FieldRef,
    writers: Vec<ArrowColumnWriter>,
    chunks: Vec<ArrowColumnChunk>,
    failed: Option<ParquetError>,
    /// How long the last stretch took.
    took: Duration,
}

impl Columns {
    /// `writers` are those of all leaves, in order.
    pub(super) fn new(schema: &Schema, writers: Vec<ArrowColumnWriter>) -> Result<Columns, ParquetError> {
        let mut writers = writers.into_iter();
        let columns = schema.fields().iter().map(|field| -> Result<_, ParquetError> {
            // What a column without rows is made of tells how many leaves it has.
            let leaves = compute_leaves(field, &arrow_array::new_empty_array(field.data_type()))?.len();
            let writers = writers.by_ref().take(leaves).collect();
            let took = Duration::ZERO;
            Ok(Mutex::new(Column { field: field.clone(), writers, chunks: Vec::new(), failed: None, took }))
        });
        columns.collect::<Result<_, ParquetError>>().map(Columns)
    }

    /// Encoded bytes, by estimate.
    pub(super) fn estimated_bytes(&self) -> usize {
        let bytes =
            |column: &Mutex<Column>| lock(column).writers.iter().map(|w| w.get_estimated_total_bytes()).sum::<usize>();
        self.0.iter().map(bytes).sum()
    }

    /// What a column has become, if it is closed; or its error.
    fn take(&self, at: usize) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
        let Some(mut column) = self.0.get(at).map(lock) else { return Ok(Vec::new()) };
        column.failed.take().map_or_else(|| Ok(std::mem::take(&mut column.chunks)), Err)
    }

    /// Their numbers, those first that took longest in the last stretch.
    fn longest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_cached_key(|&at| self.0.get(at).map(|column| Reverse(lock(column).took)));
        order
    }
}

impl Column {
    fn encode(&mut self, at: usize, batches: &[RecordBatch], close: bool) -> Result<(), ParquetError> {
        let begun = Instant::now();
        for batch in batches {
            let array = batch.columns().get(at).ok_or_else(|| ParquetError::General(format!("no column {at}")))?;
            for (writer, leaf) in self.writers.iter_mut().zip(compute_leaves(&self.field, array)?) {
                writer.write(&leaf)?;
            }
        }
        if close {
            let closed = std::mem::take(&mut self.writers).into_iter().map(ArrowColumnWriter::close);
            self.chunks = closed.collect::<Result<_, _>>()?;
        }
        self.took = begun.elapsed();
        Ok(())
    }
}

/// Rows that all columns of a row group take in.
pub(super) struct Stretch {
    columns: Arc<Columns>,
    batches: Vec<RecordBatch>,
    /// Whether they are the last.
    close: bool,
    /// The columns in the order that they are taken in.
    order: Vec<usize>,
    /// How many have been taken.
    next: AtomicUsize,
    /// Which columns are done.
    done: Mutex<Vec<bool>>,
    one: Condvar,
}

impl Stretch {
    /// Encodes columns until all are taken.
    fn work(&self) {
        while self.work_on_one() {}
    }

    /// Encodes the next column; says whether there was one.
    fn work_on_one(&self) -> bool {
        let taken = self.order.get(self.next.fetch_add(1, Ordering::Relaxed));
        let Some((at, column)) = taken.and_then(|&at| Some((at, self.columns.0.get(at)?))) else { return false };
        // Even a panic must not leave the owner waiting.
        let _done = Done(self, at);
        let mut column = lock(column);
        if column.failed.is_none() {
            column.failed = Some(ParquetError::General("a thread that encoded it has died".into()));
            column.failed = column.encode(at, &self.batches, self.close).err();
        }
        true
    }

    /// Helps until all columns are done. An error of any of them is the error of the file.
    pub(super) fn complete(&self) -> Result<(), ParquetError> {
        self.each(|_| Ok(()))
    }

    /// Helps until all columns are done, and hands what those that are closed have become to `take`, in order, each as soon as it is there.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(ArrowColumnChunk) -> Result<(), ParquetError>,
    ) -> Result<(), ParquetError> {
        let mut result = Ok(());
        for at in 0..self.columns.0.len() {
            while !self.is_done(at) && self.work_on_one() {}
            let mut done = lock(&self.done);
            while !done.get(at).is_none_or(|&done| done) {
                done = self.one.wait(done).unwrap_or_else(PoisonError::into_inner);
            }
            drop(done);
            // After an error, nobody may be left at work all the same.
            if result.is_ok() {
                result = self.columns.take(at).and_then(|chunks| chunks.into_iter().try_for_each(&mut take));
            }
        }
        result
    }

    fn is_done(&self, at: usize) -> bool {
        lock(&self.done).get(at).is_none_or(|&done| done)
    }
}

/// Marks a column as done, however that ended.
struct Done<'a>(&'a Stretch, usize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if let Some(done) = lock(&self.0.done).get_mut(self.1) {
            *done = true;
        }
        self.0.one.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
