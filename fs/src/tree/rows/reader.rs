//! Reading rows at offsets: a decoder, and a window over what it has decoded.

use super::RowsFile;
use super::decode::{From, Piece, run};
use crate::error::{FsError, Result};
use bytes::{Bytes, BytesMut};
use starsnap_repository::reading::Reading;
use std::collections::VecDeque;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Duration, Instant, timeout_at};

/// Bytes that stay at hand behind a read, for readers that step back a little.
const BEHIND: u64 = 1 << 20;

/// One reader of a file of rows, with a decoder of its own. Reading in sequence decodes each row once; reading on further ahead decodes what
/// lies between and drops it; reading from before the window decodes again from the first row. Concurrent reads wait for each other.
#[derive(Debug)]
pub struct RowsReader {
    file: RowsFile,
    from: From,
    state: Mutex<State>,
    patience: Duration,
}

/// How long one read may take, as any read of a store that is far away: what waits in the kernel for an answer cannot even be killed.
const PATIENCE: Duration = Duration::from_secs(300);

/// The window, and what comes after it.
#[derive(Debug, Default)]
struct State {
    kept: VecDeque<Bytes>,
    /// Offsets of the first byte that is kept, and of the first that is not decoded yet.
    start: u64,
    end: u64,
    /// None before the first read. Dropping it stops the decoder, at its next piece at the latest.
    pieces: Option<Receiver<Piece>>,
    /// What stands at `end`: the end of the file, or what went wrong there.
    over: Option<Result<(), FsError>>,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Piece::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Piece::End => f.write_str("End"),
            Piece::Failed(error) => write!(f, "Failed({error})"),
        }
    }
}

impl RowsReader {
    /// Reads nothing yet; what `reading` keeps is shared with all others that read through it. Must be called inside a runtime, on which the
    /// store is then read.
    pub fn new(file: RowsFile, reading: &Reading) -> RowsReader {
        let from = From { runtime: Handle::current(), reading: reading.clone() };
        RowsReader { file, from, state: Mutex::default(), patience: PATIENCE }
    }

    /// The same, with another bound for one read.
    #[must_use]
    pub fn patience(self, patience: Duration) -> RowsReader {
        RowsReader { patience, ..self }
    }

    /// Bytes at `offset`; fewer than `size` only at the end, and before something that cannot be decoded, which is then an error. One that
    /// takes too long is an error too, but what it decoded is not lost: the next goes on from there.
    pub async fn read(&self, offset: u64, size: usize) -> Result<Bytes> {
        let end = offset.saturating_add(size as u64);
        let deadline = Instant::now() + self.patience;
        let late =
            || FsError::RowsLate { path: self.file.shown().to_owned(), offset: end, seconds: self.patience.as_secs() };
        let mut state = timeout_at(deadline, self.state.lock()).await.map_err(|_| late())?;
        if offset < state.start {
            *state = State::default();
        }
        while state.end < end && state.over.is_none() {
            state.forget(offset.saturating_sub(BEHIND));
            // Not left to the timeout alone: it lets everything through that is there already.
            let next = if Instant::now() < deadline { self.next(&mut state) } else { return Err(late()) };
            match timeout_at(deadline, next).await.map_err(|_| late())?? {
                Piece::Text(text) => state.take(text),
                Piece::End => state.over = Some(Ok(())),
                Piece::Failed(error) => state.over = Some(Err(error)),
            }
        }
        let bytes = state.copy(offset, end);
        match &state.over {
            Some(Err(error)) if bytes.is_empty() && size > 0 => Err(error.clone()),
            _ => Ok(bytes),
        }
    }

    /// What the decoder says next; starts it where there is none.
    async fn next(&self, state: &mut State) -> Result<Piece> {
        let pieces = match &mut state.pieces {
            Some(pieces) => pieces,
            None => state.pieces.insert(self.start()?),
        };
        let ended = || Piece::Failed(self.file.failed("its decoder broke off"));
        Ok(pieces.recv().await.unwrap_or_else(ended))
    }

    fn start(&self) -> Result<Receiver<Piece>> {
        let (to, pieces) = channel(1);
        let (file, from) = (self.file.clone(), self.from.clone());
        let thread = std::thread::Builder::new().name("starsnap-rows".into());
        let started = thread.spawn(move || run(&file, &from, &to));
        started.map_err(|error| self.file.failed(format!("no thread can be started: {error}")))?;
        Ok(pieces)
    }
}

impl State {
    fn take(&mut self, text: Bytes) {
        self.end += text.len() as u64;
        self.kept.push_back(text);
    }

    /// Drops the pieces that lie before `offset`.
    fn forget(&mut self, offset: u64) {
        while let Some(first) = self.kept.front()
            && self.start + first.len() as u64 <= offset
        {
            self.start += first.len() as u64;
            self.kept.pop_front();
        }
    }

    /// What is kept of a range.
    fn copy(&self, from: u64, to: u64) -> Bytes {
        let mut out = BytesMut::new();
        let mut start = self.start;
        for piece in &self.kept {
            let end = start + piece.len() as u64;
            let (first, last) = (from.max(start), to.min(end));
            if first < last {
                out.extend_from_slice(&piece[(first - start) as usize..(last - start) as usize]);
            }
            start = end;
        }
        out.freeze()
    }
}
