//! The body of a request, handed over in pieces: so that it is known when the store last took something, and so that a limit holds where
//! bytes leave.

use crate::limiter::Limiter;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep};

/// What the connection takes at a time where there is no limit.
const PIECE: u64 = 256 << 10;

/// When the store last took something of a request.
#[derive(Debug, Clone)]
pub(super) struct Sent(Arc<Mutex<Instant>>);

impl Sent {
    pub(super) fn begun() -> Sent {
        Sent(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is taken, or will not be offered before `at`.
    fn note(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// Bytes on their way.
pub(super) struct Pieces {
    left: Bytes,
    limiter: Option<Arc<Limiter>>,
    /// Until the next piece may go, and its length.
    slot: Option<(Pin<Box<Sleep>>, usize)>,
    sent: Sent,
}

impl Pieces {
    pub(super) fn new(bytes: Bytes, limiter: Option<Arc<Limiter>>, sent: Sent) -> Pieces {
        Pieces { left: bytes, limiter, slot: None, sent }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = this.limiter.as_ref().map_or(PIECE, |limiter| limiter.piece().min(PIECE));
        let mut len = usize::try_from(piece).unwrap_or(usize::MAX).min(this.left.len());
        if let Some(limiter) = &this.limiter {
            let (pause, reserved) = this.slot.get_or_insert_with(|| {
                let pause = limiter.slot(len as u64);
                this.sent.note(Instant::now() + pause);
                (Box::pin(sleep(pause)), len)
            });
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            len = *reserved;
            this.slot = None;
        } else {
            this.sent.note(Instant::now());
        }
        Poll::Ready(Some(Ok(Frame::data(this.left.split_to(len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
