//! PERCENTILE values: t-digests.

use std::f64::consts::PI;

use crate::error::{Result, TabletError};

/// A mean and how many values it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Centroid {
    pub mean: f32,
    pub weight: f32,
}

/// A t-digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Percentile {
    pub compression: f32,
    pub min: f32,
    pub max: f32,
    max_processed: u64,
    max_unprocessed: u64,
    pub centroids: Vec<Centroid>,
}

impl Percentile {
    /// Parses a stored value: kind 0, compression, smallest and largest value, limits of both lists, weights, the lists of
    /// merged and of unmerged centroids, running sums. The unused bytes behind them are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let cut = || TabletError::damaged(format!("a PERCENTILE value of {} bytes", bytes.len()));
        let Some((&kind, mut rest)) = bytes.split_first() else {
            return Ok(Percentile {
                compression: 1000.0,
                min: f32::MAX,
                max: f32::MIN,
                max_processed: 2000,
                max_unprocessed: 8000,
                centroids: Vec::new(),
            });
        };
        if kind != 0 {
            return Err(TabletError::unsupported(format!("PERCENTILE kind {kind}")));
        }
        fn word<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
            let (word, after) = rest.split_first_chunk::<N>()?;
            *rest = after;
            Some(*word)
        }
        let float = |rest: &mut &[u8]| word::<4>(rest).map(f32::from_le_bytes);
        let (compression, min, max) = (float(&mut rest), float(&mut rest), float(&mut rest));
        let limits = (word::<8>(&mut rest), word::<8>(&mut rest));
        let _weights = (float(&mut rest), float(&mut rest));
        let mut centroids = Vec::new();
        for _ in 0..2 {
            let n = word::<4>(&mut rest).map(u32::from_le_bytes).ok_or_else(cut)? as usize;
            let list = n.checked_mul(8).and_then(|len| rest.split_at_checked(len));
            let (list, after) = list.ok_or_else(cut)?;
            rest = after;
            centroids.extend(list.chunks_exact(8).map(|c| Centroid {
                mean: f32::from_le_bytes([c[0], c[1], c[2], c[3]]),
                weight: f32::from_le_bytes([c[4], c[5], c[6], c[7]]),
            }));
        }
        Ok(Percentile {
            compression: compression.ok_or_else(cut)?,
            min: min.ok_or_else(cut)?,
            max: max.ok_or_else(cut)?,
            max_processed: limits.0.map(u64::from_le_bytes).ok_or_else(cut)?,
            max_unprocessed: limits.1.map(u64::from_le_bytes).ok_or_else(cut)?,
            centroids,
        })
    }

    /// How many values it has seen.
    pub fn count(&self) -> u64 {
        self.centroids.iter().map(|c| f64::from(c.weight)).sum::<f64>().round() as u64
    }

    /// Adds what `other` has seen.
    pub fn union(&mut self, other: &Percentile) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.centroids.extend_from_slice(&other.centroids);
        if self.centroids.len() as f64 > 8.0 * f64::from(self.compression.clamp(20.0, 10_000.0)) {
            self.compress();
        }
    }

    /// Merges neighbours as far as the scale of t-digests allows: the closer to the middle, the more.
    fn compress(&mut self) {
        let compression = f64::from(self.compression.clamp(20.0, 10_000.0));
        let quantile = |k: f64| ((k.min(compression) * PI / compression - PI / 2.0).sin() + 1.0) / 2.0;
        let location = |q: f64| compression * ((2.0 * q.clamp(0.0, 1.0) - 1.0).asin() + PI / 2.0) / PI;
        self.centroids.sort_by(|a, b| a.mean.total_cmp(&b.mean));
        let total: f64 = self.centroids.iter().map(|c| f64::from(c.weight)).sum();
        let mut merged: Vec<Centroid> = Vec::new();
        let (mut before, mut limit) = (0.0, total * quantile(1.0));
        for centroid in &self.centroids {
            let until = before + f64::from(centroid.weight);
            match merged.last_mut().filter(|_| until <= limit) {
                Some(last) => {
                    last.weight += centroid.weight;
                    last.mean += (centroid.mean - last.mean) * centroid.weight / last.weight;
                }
                None => {
                    limit = total * quantile(location(before / total) + 1.0);
                    merged.push(*centroid);
                }
            }
            before = until;
        }
        self.centroids = merged;
    }

    /// The stored form, all centroids as unmerged ones, which every reader merges first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0];
        for value in [self.compression, self.min, self.max] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&self.max_processed.to_le_bytes());
        bytes.extend_from_slice(&self.max_unprocessed.to_le_bytes());
        let weight: f32 = self.centroids.iter().map(|c| c.weight).sum();
        bytes.extend_from_slice(&0f32.to_le_bytes());
        bytes.extend_from_slice(&weight.to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&(self.centroids.len() as u32).to_le_bytes());
        for centroid in &self.centroids {
            bytes.extend_from_slice(&centroid.mean.to_le_bytes());
            bytes.extend_from_slice(&centroid.weight.to_le_bytes());
        }
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes
    }
}
