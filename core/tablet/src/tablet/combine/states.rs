//! States of aggregate functions (`agg_state_union`, 3.4 and later): the intermediate values of a function, which merge as the function
//! merges them. Source: StarRocks, `be/src/exprs/agg`. Of others than these the bytes are not the same in all versions, or depend on more
//! than is stored.

use arrow_buffer::i256;
use roaring::RoaringTreemap;

use super::sketches::{Sketch, Sketches};
use super::{Combiner, NotNull};
use crate::error::{Result, TabletError};
use crate::schema::{Aggregation, Column, LogicalType};
use crate::types::hll::Hll;

/// What merges a function's states; none where that is not known.
pub(super) fn combiner(column: &Column, function: &str) -> Option<Result<Box<dyn Combiner>>> {
    use LogicalType as T;
    let function = function.to_ascii_lowercase();
    if let Some(plain) = of_values(&function, &column.ty) {
        return Some(super::combiner(column, &plain));
    }
    let bytes = matches!(column.ty, T::Varchar(_) | T::Varbinary(_));
    Some(Ok(match function.as_str() {
        "any_value" => Box::new(NotNull::oldest()),
        "bitmap_agg" | "bitmap_union_int" if column.ty == T::Bitmap => Box::new(Sketches::<RoaringTreemap>::default()),
        "ndv" | "approx_count_distinct" if bytes || column.ty == T::Hll => Box::new(Sketches::<Hll>::default()),
        "avg" if bytes => Box::new(Sketches::<Average>::default()),
        "variance" | "variance_pop" | "var_pop" | "variance_samp" | "var_samp" | "std" | "stddev" | "stddev_pop"
        | "stddev_samp"
            if bytes =>
        {
            Box::new(Sketches::<Deviation>::default())
        }
        _ => return None,
    }))
}

/// The aggregation that merges the states of a function which are values of a type that can be aggregated without it: functions of these
/// names, whose intermediate type is that of their result, and whose `merge` does what their `update` does (COUNT's adds).
fn of_values(function: &str, ty: &LogicalType) -> Option<Aggregation> {
    use LogicalType as T;
    let number = matches!(
        ty,
        T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::LargeInt | T::Float | T::Double | T::Decimal { .. }
    );
    let ordered = number || matches!(ty, T::Boolean | T::Date | T::DateTime | T::Char(_) | T::Varchar(_));
    match (function, ty) {
        ("sum" | "count" | "count_if", _) if number => Some(Aggregation::Sum),
        ("min", _) if ordered => Some(Aggregation::Min),
        ("max", _) if ordered => Some(Aggregation::Max),
        ("bool_or" | "boolor_agg", T::Boolean) => Some(Aggregation::Max),
        ("hll_union", T::Hll) => Some(Aggregation::HllUnion),
        ("bitmap_union", T::Bitmap) => Some(Aggregation::BitmapUnion),
        ("percentile_union", T::Percentile) => Some(Aggregation::PercentileUnion),
        _ => None,
    }
}

/// What is added up in AVG: DOUBLE of numbers and dates, DECIMAL128 or 256 of DECIMALs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Total {
    Double(f64),
    Decimal(i128),
    Wide(i256),
}

/// AVG. Stored: the total (8, 16 or 32 bytes), then the count (8), little endian. Source: `avg.h`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Average {
    total: Total,
    count: i64,
}

impl Sketch for Average {
    fn read(bytes: &[u8]) -> Result<Self> {
        let odd = || TabletError::damaged(format!("a state of AVG has {} bytes, not 16, 24 or 40", bytes.len()));
        let (total, count) = bytes.split_last_chunk().ok_or_else(odd)?;
        let total = match total.len() {
            8 => total.try_into().ok().map(|total| Total::Double(f64::from_le_bytes(total))),
            16 => total.try_into().ok().map(|total| Total::Decimal(i128::from_le_bytes(total))),
            32 => total.try_into().ok().map(|total| Total::Wide(i256::from_le_bytes(total))),
            _ => None,
        };
        Ok(Average { total: total.ok_or_else(odd)?, count: i64::from_le_bytes(*count) })
    }

    fn unite(&mut self, other: Self) -> Result<()> {
        self.total = match (self.total, other.total) {
            (Total::Double(a), Total::Double(b)) => Total::Double(a + b),
            (Total::Decimal(a), Total::Decimal(b)) => Total::Decimal(a.wrapping_add(b)),
            (Total::Wide(a), Total::Wide(b)) => Total::Wide(a.wrapping_add(b)),
            _ => return Err(TabletError::damaged("states of AVG of one key have different lengths")),
        };
        self.count = self.count.wrapping_add(other.count);
        Ok(())
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = match self.total {
            Total::Double(total) => total.to_le_bytes().to_vec(),
            Total::Decimal(total) => total.to_le_bytes().to_vec(),
            Total::Wide(total) => total.to_le_bytes().to_vec(),
        };
        bytes.extend(self.count.to_le_bytes());
        Ok(bytes)
    }
}

/// VARIANCE, STDDEV and their likes. Stored: the mean, the sum of squares of differences from it (DOUBLE each), and the count (8 bytes),
/// little endian. Source: `variance.h`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Deviation {
    mean: f64,
    squares: f64,
    count: i64,
}

impl Sketch for Deviation {
    fn read(bytes: &[u8]) -> Result<Self> {
        let number = |at: usize| bytes.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        match (number(0), number(8), number(16), bytes.len()) {
            (Some(mean), Some(squares), Some(count), 24) => Ok(Deviation {
                mean: f64::from_le_bytes(mean),
                squares: f64::from_le_bytes(squares),
                count: i64::from_le_bytes(count),
            }),
            (.., 40) => Err(TabletError::unsupported("merging states of VARIANCE or STDDEV of a DECIMAL")),
            _ => Err(TabletError::damaged(format!("a state of VARIANCE or STDDEV has {} bytes, not 24", bytes.len()))),
        }
    }

    fn unite(&mut self, other: Self) -> Result<()> {
        let apart = self.mean - other.mean;
        let (ours, both) = (self.count as f64, self.count.wrapping_add(other.count) as f64);
        self.mean = other.mean + apart * (ours / both);
        let weight = other.count.wrapping_mul(self.count) as f64 / both;
        self.squares = other.squares + self.squares + (apart * apart) * weight;
        self.count = self.count.wrapping_add(other.count);
        Ok(())
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let parts = [self.mean.to_le_bytes(), self.squares.to_le_bytes(), self.count.to_le_bytes()];
        Ok(parts.concat())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// The state of some values, by its definition.
    fn deviation(values: &[f64]) -> Deviation {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum();
        Deviation { mean, squares, count: values.len() as i64 }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
    }

    proptest! {
        #[test]
        fn deviations_of_parts_make_that_of_all(
            parts in proptest::collection::vec(proptest::collection::vec(-1e3..1e3f64, 1..20), 1..6),
        ) {
            let mut states = parts.iter().map(|part| deviation(part));
            let mut state = states.next().unwrap();
            for other in states {
                let stored = other.bytes().unwrap();
                prop_assert_eq!(stored.len(), 24);
                state.unite(Deviation::read(&stored).unwrap()).unwrap();
            }
            let all = deviation(&parts.concat());
            prop_assert!(near(state.mean, all.mean) && near(state.squares, all.squares), "{state:?} {all:?}");
            prop_assert_eq!(state.count, all.count);
        }

        #[test]
        fn averages_add_up(parts in proptest::collection::vec((any::<i64>(), 0..1000i64), 1..6)) {
            let states = [
                |total: i64, count| Average { total: Total::Decimal(total.into()), count },
                |total: i64, count| Average { total: Total::Wide(i256::from_i128(total.into())), count },
                // Whole numbers, whose sum a DOUBLE holds.
                |total: i64, count| Average { total: Total::Double((total >> 20) as f64), count },
            ];
            for (state, length) in states.into_iter().zip([24, 40, 16]) {
                let total = |low: u32| parts.iter().map(|(total, _)| i128::from(total >> low)).sum::<i128>();
                let mut sum = state(parts[0].0, parts[0].1);
                for (total, count) in &parts[1..] {
                    let stored = state(*total, *count).bytes().unwrap();
                    sum.unite(Average::read(&stored).unwrap()).unwrap();
                }
                prop_assert_eq!(sum.count, parts.iter().map(|(_, count)| count).sum::<i64>());
                prop_assert_eq!(sum.bytes().unwrap().len(), length);
                prop_assert_eq!(sum.total, match sum.total {
                    Total::Decimal(_) => Total::Decimal(total(0)),
                    Total::Wide(_) => Total::Wide(i256::from_i128(total(0))),
                    Total::Double(_) => Total::Double(total(20) as f64),
                });
            }
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let known = [16, 24, 40].contains(&bytes.len());
            prop_assert_eq!(Average::read(&bytes).is_ok(), known);
            prop_assert_eq!(Deviation::read(&bytes).is_ok(), bytes.len() == 24);
        }
    }

    #[test]
    fn states_of_different_types_are_not_added() {
        let mut state = Average { total: Total::Double(1.0), count: 1 };
        assert!(state.unite(Average { total: Total::Decimal(1), count: 1 }).is_err());
    }
}
