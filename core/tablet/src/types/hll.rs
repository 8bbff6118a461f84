//! HLL sketches: reading, union, cardinality.

use crate::error::{Result, TabletError};

const REGISTERS: usize = 16_384;
const MAX_EXPLICIT: usize = 160;

/// A HyperLogLog sketch of 2^14 registers, or the hashes themselves while they are few.
#[derive(Debug, Clone, PartialEq)]
pub enum Hll {
    /// Ascending, each once.
    Explicit(Vec<u64>),
    Registers(Box<[u8]>),
}

impl Default for Hll {
    fn default() -> Self {
        Hll::Explicit(Vec::new())
    }
}

impl Hll {
    /// Parses a stored value.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = || TabletError::damaged(format!("an HLL value of {} bytes", bytes.len()));
        let Some((&kind, rest)) = bytes.split_first() else { return Ok(Hll::default()) };
        match kind {
            0 if rest.is_empty() => Ok(Hll::default()),
            1 => {
                let (&n, hashes) = rest.split_first().ok_or_else(damaged)?;
                if hashes.len() != usize::from(n) * 8 {
                    return Err(damaged());
                }
                let mut hashes: Vec<_> = hashes.chunks_exact(8).map(u64_of).collect();
                hashes.sort_unstable();
                hashes.dedup();
                Ok(Hll::Explicit(hashes))
            }
            2 => {
                let (n, pairs) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
                if Some(pairs.len()) != (u32::from_le_bytes(*n) as usize).checked_mul(3) {
                    return Err(damaged());
                }
                let mut registers = vec![0; REGISTERS].into_boxed_slice();
                for pair in pairs.chunks_exact(3) {
                    let at = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
                    *registers.get_mut(at).ok_or_else(damaged)? = pair[2];
                }
                Ok(Hll::Registers(registers))
            }
            3 if rest.len() == REGISTERS => Ok(Hll::Registers(rest.into())),
            _ => Err(damaged()),
        }
    }

    /// Adds what `other` has seen.
    pub fn union(&mut self, other: &Hll) {
        match (&mut *self, other) {
            (Hll::Explicit(own), Hll::Explicit(others)) => {
                own.extend_from_slice(others);
                own.sort_unstable();
                own.dedup();
                if own.len() > MAX_EXPLICIT {
                    *self = Hll::Registers(registers(own));
                }
            }
            (Hll::Explicit(own), Hll::Registers(others)) => {
                let mut registers = others.clone();
                own.iter().for_each(|&hash| update(&mut registers, hash));
                *self = Hll::Registers(registers);
            }
            (Hll::Registers(own), Hll::Explicit(others)) => others.iter().for_each(|&hash| update(own, hash)),
            (Hll::Registers(own), Hll::Registers(others)) => {
                own.iter_mut().zip(others.iter()).for_each(|(a, b)| *a = (*a).max(*b));
            }
        }
    }

    /// The stored form, in the smallest of the kinds StarRocks chooses from.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Hll::Explicit(hashes) if hashes.is_empty() => vec![0],
            Hll::Explicit(hashes) => {
                // Unions keep at most 160 of them, parsing at most 255.
                let mut bytes = vec![1, hashes.len() as u8];
                hashes.iter().for_each(|h| bytes.extend_from_slice(&h.to_le_bytes()));
                bytes
            }
            Hll::Registers(registers) => {
                let used = registers.iter().filter(|&&r| r != 0).count();
                if used > 4096 {
                    let mut bytes = vec![3];
                    bytes.extend_from_slice(registers);
                    return bytes;
                }
                let mut bytes = vec![2];
                bytes.extend_from_slice(&(used as u32).to_le_bytes());
                for (at, &value) in registers.iter().enumerate().filter(|(_, v)| **v != 0) {
                    bytes.extend_from_slice(&(at as u16).to_le_bytes());
                    bytes.push(value);
                }
                bytes
            }
        }
    }

    /// The estimated number of distinct values, as StarRocks computes it.
    pub fn cardinality(&self) -> i64 {
        match self {
            Hll::Explicit(hashes) => hashes.len() as i64,
            Hll::Registers(registers) => estimate(registers),
        }
    }
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

fn registers(hashes: &[u64]) -> Box<[u8]> {
    let mut registers = vec![0; REGISTERS].into_boxed_slice();
    hashes.iter().for_each(|&hash| update(&mut registers, hash));
    registers
}

fn update(registers: &mut [u8], hash: u64) {
    let at = (hash % REGISTERS as u64) as usize;
    let value = 1 + ((hash >> 14) | 1 << 50).trailing_zeros() as u8;
    if let Some(register) = registers.get_mut(at) {
        *register = value.max(*register);
    }
}

/// HyperLogLog with linear counting for small numbers and the empirical bias polynomial that StarRocks inherited.
fn estimate(registers: &[u8]) -> i64 {
    let m = REGISTERS as f32;
    let alpha = 0.7213 / (1.0 + 1.079 / m);
    let (mut sum, mut zeros) = (0f32, 0u32);
    for &register in registers {
        sum += 2f32.powi(-i32::from(register));
        zeros += u32::from(register == 0);
    }
    let raw = f64::from(alpha * m * m * (1.0 / sum));
    if raw <= f64::from(m) * 2.5 && zeros != 0 {
        // In single precision, which decides about the last digit.
        return (f64::from(m * (m / zeros as f32).ln()) + 0.5) as i64;
    }
    if raw < 72_000.0 {
        let bias = 5.9119 * 1.0e-18 * (raw * raw * raw * raw) - 1.4253 * 1.0e-12 * (raw * raw * raw)
            + 1.2940 * 1.0e-7 * (raw * raw)
            - 5.2921 * 1.0e-3 * raw
            + 83.3216;
        return (raw - raw * (bias / 100.0) + 0.5) as i64;
    }
    (raw + 0.5) as i64
}
