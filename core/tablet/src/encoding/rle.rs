//! RLE of single bits: BOOLEAN pages and the null maps of page format 1.

use crate::error::{Result, TabletError};

use super::{u32_at, varint};

/// A stream of runs, read as far as wanted: a run may be longer than anything that should be held in memory.
#[derive(Debug, Clone, Default)]
pub struct RleBits {
    data: Vec<u8>,
    at: usize,
    repeat: u64,
    value: bool,
    /// Literal bits left, and the position of the next one in bits.
    literal: u64,
    bit: usize,
}

impl RleBits {
    /// A stream without any header (null maps).
    pub fn new(data: Vec<u8>) -> Self {
        RleBits { data, ..Self::default() }
    }

    /// A page: a count, then the stream. Returns the count too.
    pub fn page(body: &[u8]) -> Result<(Self, u32)> {
        let count = u32_at(body, 0)?;
        Ok((Self::new(body[4..].to_vec()), count))
    }

    /// Takes the next `n` bits, as bytes 0 and 1, to the end of `out`.
    pub fn take(&mut self, n: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut left = n as u64;
        while left > 0 {
            if self.repeat > 0 {
                let run = self.repeat.min(left);
                out.resize(out.len() + run as usize, u8::from(self.value));
                self.repeat -= run;
                left -= run;
            } else if self.literal > 0 {
                let run = self.literal.min(left);
                for bit in self.bit..self.bit + run as usize {
                    out.push(self.data[bit / 8] >> (bit % 8) & 1);
                }
                self.bit += run as usize;
                self.literal -= run;
                left -= run;
            } else {
                self.next_run()?;
            }
        }
        Ok(())
    }

    fn next_run(&mut self) -> Result<()> {
        let cut = || TabletError::damaged("run-length stream ends too early");
        let mut rest = self.data.get(self.at..).unwrap_or_default();
        let header = varint(&mut rest).map_err(|_| cut())?;
        self.at = self.data.len() - rest.len();
        // A run of nothing would never end the loop that asks for more.
        if header >> 1 == 0 {
            return Err(TabletError::damaged("empty run in a run-length stream"));
        }
        if header & 1 == 1 {
            let bytes = usize::try_from(header >> 1).ok().filter(|&n| n <= rest.len()).ok_or_else(cut)?;
            self.bit = self.at * 8;
            self.literal = bytes as u64 * 8;
            self.at += bytes;
        } else {
            // Old writers stored any non-zero byte for true.
            self.value = *rest.first().ok_or_else(cut)? != 0;
            self.repeat = header >> 1;
            self.at += 1;
        }
        Ok(())
    }
}
