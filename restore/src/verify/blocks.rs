//! A file read here and there, in blocks of which a few are kept: columns are read side by side, each page by page.

use crate::progress::Cancel;
use starsnap_repository::limiter::Limiter;
use starsnap_tablet::ReadAt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

const BLOCK: u64 = 256 << 10;
/// Blocks kept of one file: 8 MiB.
const KEPT: usize = 32;

/// What all reads of a job obey.
#[derive(Clone)]
pub(super) struct Pace {
    pub(super) limiter: Arc<Limiter>,
    pub(super) cancel: Cancel,
    pub(super) runtime: Handle,
}

impl Pace {
    /// Fills `buf`, in pieces no larger than the speed limit allows.
    fn fill(&self, file: &dyn ReadAt, mut offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let piece = usize::try_from(self.limiter.piece()).unwrap_or(usize::MAX).max(1);
        for part in buf.chunks_mut(piece) {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            self.runtime.block_on(async {
                tokio::select! {
                    () = self.cancel.cancelled() => {}
                    () = self.limiter.wait(part.len() as u64) => {}
                }
            });
            file.read_at(offset, part)?;
            offset += part.len() as u64;
        }
        Ok(())
    }
}

/// A file at the job's pace.
pub(super) struct Blocks<F> {
    file: F,
    pace: Pace,
    /// Offset and bytes of a block; the last one was used last.
    kept: Mutex<Vec<(u64, Arc<Vec<u8>>)>>,
}

impl<F: ReadAt> Blocks<F> {
    pub(super) fn new(file: F, pace: Pace) -> Blocks<F> {
        Blocks { file, pace, kept: Mutex::default() }
    }

    fn block(&self, at: u64) -> io::Result<Arc<Vec<u8>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match kept.iter().position(|(offset, _)| *offset == at) {
            Some(position) => kept.remove(position).1,
            None => {
                let mut bytes = vec![0; BLOCK.min(self.file.len() - at) as usize];
                self.pace.fill(&self.file, at, &mut bytes)?;
                if kept.len() >= KEPT {
                    kept.remove(0);
                }
                Arc::new(bytes)
            }
        };
        kept.push((at, found.clone()));
        Ok(found)
    }
}

impl<F: ReadAt> ReadAt for Blocks<F> {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_at(&self, mut offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.file.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if buf.len() as u64 >= BLOCK {
            return self.pace.fill(&self.file, offset, buf);
        }
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let start = offset - offset % BLOCK;
            let block = self.block(start)?;
            let from = block.get((offset - start) as usize..).filter(|from| !from.is_empty());
            let from = from.ok_or(io::ErrorKind::UnexpectedEof)?;
            let count = rest.len().min(from.len());
            let (Some(to), Some(from)) = (rest.get_mut(..count), from.get(..count)) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            to.copy_from_slice(from);
            filled += count;
            offset += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Counts what is read of it.
    struct Counted(Vec<u8>, Arc<AtomicU64>);

    impl ReadAt for Counted {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
            ReadAt::read_at(&self.0, offset, buf)
        }
    }

    fn pace(runtime: &tokio::runtime::Runtime) -> Pace {
        let limiter = Arc::new(Limiter::new(None));
        Pace { limiter, cancel: Cancel::default(), runtime: runtime.handle().clone() }
    }

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_range_is_what_the_file_holds(
            length in 0usize..3_000_000,
            ranges in proptest::collection::vec((0.0..1.0f64, 0usize..600_000), 1..20),
        ) {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let data = bytes(length);
            let blocks = Blocks::new(data.clone(), pace(&runtime));
            for (start, count) in ranges {
                let start = (start * length as f64) as usize;
                let mut buf = vec![0; count];
                let read = blocks.read_at(start as u64, &mut buf);
                match data.get(start..start + count) {
                    Some(expected) => {
                        read.unwrap();
                        prop_assert!(buf == expected);
                    }
                    None => prop_assert!(read.is_err()),
                }
            }
        }
    }

    #[test]
    fn columns_side_by_side_read_each_block_once() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let read = Arc::new(AtomicU64::new(0));
        let length = 6 << 20;
        let blocks = Blocks::new(Counted(bytes(length), read.clone()), pace(&runtime));
        let mut buf = vec![0; 64 << 10];
        for page in 0..(1 << 20) / buf.len() {
            for column in 0..6 {
                blocks.read_at(((column << 20) + page * buf.len()) as u64, &mut buf).unwrap();
            }
        }
        assert_eq!(read.load(Ordering::Relaxed), length as u64);
    }

    #[test]
    fn a_stopped_job_reads_no_more() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pace = pace(&runtime);
        pace.cancel.cancel();
        assert!(Blocks::new(bytes(10), pace).read_at(0, &mut [0; 4]).is_err());
    }
}
