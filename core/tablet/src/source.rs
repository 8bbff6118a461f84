//! Where the bytes of a segment file come from.

use std::io;
use std::sync::Arc;

/// A file of known length that can be read at any offset. Implemented for byte containers here, and by callers for whatever
/// they keep their files in.
pub trait ReadAt: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with the bytes from `offset` on, or fails; a range that reaches past the end is an error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

fn read_slice(bytes: &[u8], offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(buf.len())?));
    match range.and_then(|range| bytes.get(range)) {
        Some(part) => {
            buf.copy_from_slice(part);
            Ok(())
        }
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

macro_rules! read_at_bytes {
    ($($container:ty),*) => {$(
        impl ReadAt for $container {
            fn len(&self) -> u64 {
                <[u8]>::len(self) as u64
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                read_slice(self, offset, buf)
            }
        }
    )*};
}

read_at_bytes!([u8], Vec<u8>, bytes::Bytes);

macro_rules! read_at_pointer {
    ($($pointer:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $pointer {
            fn len(&self) -> u64 {
                (**self).len()
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
                (**self).read_at(offset, buf)
            }
        }
    )*};
}

read_at_pointer!(Arc<T>, Box<T>);
