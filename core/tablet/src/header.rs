//! The framing of `.hdr` and `.dcgs_snapshot`: a 40-byte header, then one protobuf message.

use crate::error::{Result, TabletError};

const HEADER_LEN: usize = 40;

/// Checks the frame of a whole `.hdr` or `.dcgs_snapshot` file and returns the message in it.
///
/// Little-endian: magic 0 (8 bytes), version (4), file length (8), a checksum of what follows the message (4), message length
/// (8), adler32 of the message (4), a flag (4).
pub fn body(bytes: &[u8]) -> Result<&[u8]> {
    let Some((header, body)) = bytes.split_at_checked(HEADER_LEN) else {
        return Err(TabletError::damaged(format!(
            "{} bytes are less than the file header's {HEADER_LEN}",
            bytes.len()
        )));
    };
    let word = |at: usize| u64::from(u32_at(header, at)) | u64::from(u32_at(header, at + 4)) << 32;
    if word(0) != 0 {
        return Err(TabletError::damaged(format!("file header starts with {:#x} instead of 0", word(0))));
    }
    if word(24) != body.len() as u64 {
        let (is, says) = (body.len(), word(24));
        return Err(TabletError::damaged(format!("{is} bytes after the file header, which says {says}")));
    }
    let (is, says) = (adler2::adler32_slice(body), u32_at(header, 32));
    if is != says {
        return Err(TabletError::damaged(format!("adler32 is {is:08x}, the file header says {says:08x}")));
    }
    Ok(body)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}
