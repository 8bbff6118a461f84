//! Values that unite with others of their kind: sketches, and states of aggregate functions.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray};
use roaring::RoaringTreemap;

use super::{Combiner, Place};
use crate::error::{Result, TabletError};
use crate::types::bitmap;
use crate::types::hll::Hll;
use crate::types::percentile::Percentile;

/// A value that unites with others of its kind.
pub(super) trait Sketch: Sized + Send {
    fn read(bytes: &[u8]) -> Result<Self>;
    fn unite(&mut self, other: Self) -> Result<()>;
    fn bytes(&self) -> Result<Vec<u8>>;
}

impl Sketch for Hll {
    fn read(bytes: &[u8]) -> Result<Self> {
        Hll::parse(bytes)
    }

    fn unite(&mut self, other: Self) -> Result<()> {
        self.union(&other);
        Ok(())
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        Ok(self.to_bytes())
    }
}

impl Sketch for RoaringTreemap {
    fn read(bytes: &[u8]) -> Result<Self> {
        bitmap::parse(bytes)
    }

    fn unite(&mut self, other: Self) -> Result<()> {
        *self |= other;
        Ok(())
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        bitmap::to_bytes(self)
    }
}

impl Sketch for Percentile {
    fn read(bytes: &[u8]) -> Result<Self> {
        Percentile::parse(bytes)
    }

    fn unite(&mut self, other: Self) -> Result<()> {
        self.union(&other);
        Ok(())
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        Ok(self.to_bytes())
    }
}

/// HLL_UNION, BITMAP_UNION, PERCENTILE_UNION, and states. NULL is no value.
pub(super) struct Sketches<S> {
    /// Finished values, and the only value so far of the current key, as they are stored.
    values: Vec<Option<Vec<u8>>>,
    /// The union of the current key, once it has more than one value.
    union: Option<S>,
}

impl<S> Default for Sketches<S> {
    fn default() -> Self {
        Sketches { values: Vec::new(), union: None }
    }
}

impl<S: Sketch> Sketches<S> {
    fn value(array: &ArrayRef, row: usize) -> Result<Option<&[u8]>> {
        let array = array.as_binary_opt::<i32>().ok_or_else(|| TabletError::damaged("a sketch of another type"))?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    fn close(&mut self) -> Result<()> {
        if let (Some(union), Some(last)) = (self.union.take(), self.values.last_mut()) {
            *last = Some(union.bytes()?);
        }
        Ok(())
    }
}

impl<S: Sketch> Combiner for Sketches<S> {
    fn start(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        self.close()?;
        self.values.push(Self::value(array, place.row)?.map(<[u8]>::to_vec));
        Ok(())
    }

    fn add(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        let Some(value) = Self::value(array, place.row)? else { return Ok(()) };
        let Some(last) = self.values.last_mut() else { return Ok(()) };
        match (&mut self.union, last.as_deref()) {
            (Some(union), _) => union.unite(S::read(value)?)?,
            (None, Some(first)) => {
                let mut union = S::read(first)?;
                union.unite(S::read(value)?)?;
                self.union = Some(union);
            }
            (None, None) => *last = Some(value.to_vec()),
        }
        Ok(())
    }

    fn finish(&mut self, _: &[&ArrayRef]) -> Result<ArrayRef> {
        self.close()?;
        Ok(Arc::new(std::mem::take(&mut self.values).into_iter().collect::<BinaryArray>()))
    }
}
