//! Where the bytes of an answer gather. Large ones have memory of their own, mapped for them: what is let go goes back to the system at once,
//! whatever lies beside it, so that the process takes what is counted and not more. In huge pages where the system has them, which saves a
//! fault for every 4 KiB.

use bytes::{Bytes, BytesMut};
use memmap2::{Advice, MmapMut};

/// Shorter answers come in ordinary memory: a process may have some ten thousand mappings only.
const LARGE: u64 = 1 << 20;

#[derive(Debug)]
pub(super) enum Gathered {
    Ordinary(BytesMut),
    Mapped(Filled),
}

/// Mapped memory, and how much of it is filled.
#[derive(Debug)]
pub(super) struct Filled(MmapMut, usize);

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }
}

impl Gathered {
    /// For so many bytes, if they are known; `most` at most.
    pub(super) fn new(bytes: Option<u64>, most: usize) -> Gathered {
        let expected = bytes.unwrap_or(0);
        let length = usize::try_from(expected).map_or(most, |length| length.min(most));
        if expected < LARGE {
            return Gathered::Ordinary(BytesMut::with_capacity(length));
        }
        match MmapMut::map_anon(length) {
            Ok(map) => {
                // Without them it is only slower.
                let _ = map.advise(Advice::HugePage);
                Gathered::Mapped(Filled(map, 0))
            }
            Err(_) => Gathered::Ordinary(BytesMut::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Gathered::Ordinary(bytes) => bytes.len(),
            Gathered::Mapped(Filled(_, filled)) => *filled,
        }
    }

    pub(super) fn extend(&mut self, piece: &[u8]) {
        match self {
            Gathered::Ordinary(bytes) => bytes.extend_from_slice(piece),
            Gathered::Mapped(filled) => match filled.0.get_mut(filled.1..filled.1 + piece.len()) {
                Some(free) => {
                    free.copy_from_slice(piece);
                    filled.1 += piece.len();
                }
                // More than was announced.
                None => {
                    let mut bytes = BytesMut::from(filled.as_ref());
                    bytes.extend_from_slice(piece);
                    *self = Gathered::Ordinary(bytes);
                }
            },
        }
    }

    pub(super) fn freeze(self) -> Bytes {
        match self {
            Gathered::Ordinary(bytes) => bytes.freeze(),
            Gathered::Mapped(filled) => Bytes::from_owner(filled),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn it_holds_what_came_whatever_was_announced() {
        let came: Vec<u8> = (0..3_000_000u32).map(|n| ((n * 7) >> 3) as u8).collect();
        for announced in [None, Some(0), Some(5), Some(1 << 20), Some(3_000_000), Some(1 << 40)] {
            let mut buffer = Gathered::new(announced, 4 << 20);
            for piece in came.chunks(99_999) {
                buffer.extend(piece);
            }
            assert_eq!(buffer.len(), came.len());
            assert!(buffer.freeze() == came, "{announced:?}");
        }
    }
}
