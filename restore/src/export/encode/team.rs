//! Threads that encode the columns of one Parquet file together.

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::ParquetError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

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
        let stretch =
            Stretch { columns, batches, close, next: AtomicUsize::new(0), done: Mutex::new(0), all: Condvar::new() };
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
}

impl Columns {
    /// `writers` are those of all leaves, in order.
    pub(super) fn new(schema: &Schema, writers: Vec<ArrowColumnWriter>) -> Result<Columns, ParquetError> {
        let mut writers = writers.into_iter();
        let columns = schema.fields().iter().map(|field| -> Result<_, ParquetError> {
            // What a column without rows is made of tells how many leaves it has.
            let leaves = compute_leaves(field, &arrow_array::new_empty_array(field.data_type()))?.len();
            let writers = writers.by_ref().take(leaves).collect();
            Ok(Mutex::new(Column { field: field.clone(), writers, chunks: Vec::new(), failed: None }))
        });
        columns.collect::<Result<_, ParquetError>>().map(Columns)
    }

    /// Encoded bytes, by estimate.
    pub(super) fn estimated_bytes(&self) -> usize {
        let bytes =
            |column: &Mutex<Column>| lock(column).writers.iter().map(|w| w.get_estimated_total_bytes()).sum::<usize>();
        self.0.iter().map(bytes).sum()
    }

    /// What closed columns have become, in order.
    pub(super) fn take_chunks(&self) -> Vec<ArrowColumnChunk> {
        self.0.iter().flat_map(|column| std::mem::take(&mut lock(column).chunks)).collect()
    }
}

impl Column {
    fn encode(&mut self, at: usize, batches: &[RecordBatch], close: bool) -> Result<(), ParquetError> {
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
        Ok(())
    }
}

/// Rows that all columns of a row group take in.
pub(super) struct Stretch {
    columns: Arc<Columns>,
    batches: Vec<RecordBatch>,
    /// Whether they are the last.
    close: bool,
    /// The next column that nobody has taken.
    next: AtomicUsize,
    /// How many columns are done.
    done: Mutex<usize>,
    all: Condvar,
}

impl Stretch {
    /// Encodes columns until all are taken.
    fn work(&self) {
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(column) = self.columns.0.get(at) else { break };
            // Even a panic must not leave the owner waiting.
            let _done = Done(self);
            let mut column = lock(column);
            if column.failed.is_none() {
                column.failed = Some(ParquetError::General("a thread that encoded it has died".into()));
                column.failed = column.encode(at, &self.batches, self.close).err();
            }
        }
    }

    /// Helps until all columns are done. An error of any of them is the error of the file.
    pub(super) fn complete(&self) -> Result<(), ParquetError> {
        self.work();
        let mut done = lock(&self.done);
        while *done < self.columns.0.len() {
            done = self.all.wait(done).unwrap_or_else(PoisonError::into_inner);
        }
        drop(done);
        self.columns.0.iter().find_map(|column| lock(column).failed.take()).map_or(Ok(()), Err)
    }
}

/// Counts a column as done, however that ended.
struct Done<'a>(&'a Stretch);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        *lock(&self.0.done) += 1;
        self.0.all.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
