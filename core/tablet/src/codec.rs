//! Page compression.

use std::io::Read;

use crate::error::{Result, TabletError};

/// Bytes that any number of bytes may expand to; the longest values but those of BITMAP have 16 MiB.
const MAX_REPEATED: usize = 64 << 20;

/// How page bodies of one column are compressed (CompressionTypePB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    None,
    Snappy,
    Lz4,
    Lz4Frame,
    Zlib,
    Zstd,
    Gzip,
}

impl Codec {
    /// The codec for a stored number; `None` where the column stores nothing compressed.
    pub(crate) fn from_pb(value: i32) -> Result<Self> {
        Ok(match value {
            0..=2 => Codec::None,
            3 => Codec::Snappy,
            4 => Codec::Lz4,
            5 => Codec::Lz4Frame,
            6 => Codec::Zlib,
            7 => Codec::Zstd,
            8 => Codec::Gzip,
            9 => return Err(TabletError::unsupported("compression DEFLATE")),
            10 => return Err(TabletError::unsupported("compression BZIP2")),
            11 => return Err(TabletError::unsupported("compression LZO")),
            12 => return Err(TabletError::unsupported("compression BROTLI")),
            13 => return Err(TabletError::unsupported("compression LZ4_HADOOP")),
            other => return Err(TabletError::unsupported(format!("compression type {other}"))),
        })
    }

    /// StarRocks' name of the codec.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "NO_COMPRESSION",
            Codec::Snappy => "SNAPPY",
            Codec::Lz4 => "LZ4",
            Codec::Lz4Frame => "LZ4_FRAME",
            Codec::Zlib => "ZLIB",
            Codec::Zstd => "ZSTD",
            Codec::Gzip => "GZIP",
        }
    }

    /// The most output that `len` bytes of input can stand for, so that a lying length is refused before it is allocated.
    fn max_len(self, len: usize) -> usize {
        let most = len.saturating_mul(self.max_ratio()).saturating_add(64);
        // Only a long value that says the same again and again comes near what ZSTD can do, and none is as long as this. What is longer, a
        // BITMAP at most, must be worth the memory.
        most.min(len.saturating_mul(1040).max(MAX_REPEATED))
    }

    /// The most output that a byte of input can stand for.
    fn max_ratio(self) -> usize {
        match self {
            Codec::None => 1,
            Codec::Snappy => 64,
            Codec::Lz4 | Codec::Lz4Frame => 256,
            Codec::Zlib | Codec::Gzip => 1040,
            Codec::Zstd => 1 << 16,
        }
    }

    /// Expands `body` to exactly `len` bytes.
    pub(crate) fn decompress(self, body: &[u8], len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.decompress_into(body, len, &mut out)?;
        Ok(out)
    }

    /// The same, in place of what is in `out`.
    pub(crate) fn decompress_into(self, body: &[u8], len: usize, out: &mut Vec<u8>) -> Result<()> {
        if len > self.max_len(body.len()) {
            let is = body.len();
            return Err(TabletError::damaged(format!("{is} bytes cannot be {len} bytes in {}", self.name())));
        }
        resize(out, len);
        let out = out.as_mut_slice();
        let expanded = match self {
            Codec::None => Err(TabletError::damaged(format!("{} bytes stored for {len}", body.len()))),
            Codec::Snappy => snap::raw::Decoder::new().decompress(body, out).map_err(|e| failed(self, e)),
            Codec::Lz4 => lz4_block(body, out),
            Codec::Lz4Frame => lz4_frame(body, out),
            Codec::Zlib => read_all(flate2::read::ZlibDecoder::new(body), out).map_err(|e| failed(self, e)),
            Codec::Gzip => read_all(flate2::read::GzDecoder::new(body), out).map_err(|e| failed(self, e)),
            Codec::Zstd => zstd::bulk::decompress_to_buffer(body, out).map_err(|e| failed(self, e)),
        }?;
        if expanded == len {
            Ok(())
        } else {
            Err(TabletError::damaged(format!("{} expands to {expanded} bytes instead of {len}", self.name())))
        }
    }
}

/// Gives `out` that length, for bytes that are all about to be written: what is there already is not set to zero first.
pub(crate) fn resize(out: &mut Vec<u8>, len: usize) {
    if out.capacity() < len {
        *out = vec![0; len];
    } else {
        out.resize(len, 0);
    }
}

fn failed(codec: Codec, error: impl std::fmt::Display) -> TabletError {
    TabletError::damaged(format!("{}: {error}", codec.name()))
}

fn read_all(mut reader: impl Read, out: &mut [u8]) -> std::io::Result<usize> {
    reader.read_exact(out)?;
    // The checksum at the end of the stream is only looked at when the end is read.
    Ok(out.len() + reader.read(&mut [0])?)
}

/// One raw LZ4 block; returns how many bytes it expanded to.
pub(crate) fn lz4_block(block: &[u8], out: &mut [u8]) -> Result<usize> {
    lz4_flex::block::decompress_into(block, out).map_err(|e| failed(Codec::Lz4, e))
}

/// One LZ4 frame, read block by block straight into `out`: page bodies nearly always are a single block, and a general frame
/// decoder would allocate and copy buffers of the largest block size for each.
fn lz4_frame(frame: &[u8], out: &mut [u8]) -> Result<usize> {
    const MAGIC: u32 = 0x184d_2204;
    let cut = || TabletError::damaged("LZ4_FRAME ends too early");
    let word = |at: usize| {
        let bytes = frame.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or_else(cut)
    };
    let flags = *frame.get(4).ok_or_else(cut)?;
    if word(0)? != MAGIC || flags >> 6 != 1 {
        return Err(TabletError::damaged("not an LZ4 frame"));
    }
    let has = |bit: u8| usize::from(flags >> bit & 1);
    let (block_checksum, content_checksum) = (has(4), has(2));
    if has(0) == 1 {
        return Err(TabletError::unsupported("an LZ4 frame with a dictionary"));
    }
    let mut at = 4 + 2 + 8 * has(3) + 1;
    let mut done = 0;
    loop {
        let size = word(at)?;
        at += 4;
        if size == 0 {
            break;
        }
        let end = at + (size & 0x7fff_ffff) as usize;
        let block = frame.get(at..end).ok_or_else(cut)?;
        let (before, rest) = out.split_at_mut(done);
        done += if size >> 31 == 1 {
            let plain = rest.get_mut(..block.len()).ok_or_else(|| failed(Codec::Lz4Frame, "more than it should"))?;
            plain.copy_from_slice(block);
            block.len()
        } else {
            // Blocks may refer back to the 64 KiB before them.
            let history = &before[before.len().saturating_sub(1 << 16)..];
            let expanded = lz4_flex::block::decompress_into_with_dict(block, rest, history);
            expanded.map_err(|e| failed(Codec::Lz4Frame, e))?
        };
        at = end + 4 * block_checksum;
    }
    at += 4 * content_checksum;
    if at == frame.len() { Ok(done) } else { Err(TabletError::damaged("bytes after the LZ4 frame")) }
}
