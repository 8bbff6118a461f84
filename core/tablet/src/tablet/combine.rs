//! How values of one key become one, per column.

mod sketches;
mod states;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_buffer::{ArrowNativeType, NullBuffer, ScalarBuffer, i256};
use arrow_row::{Row, RowConverter, Rows, SortField};
use arrow_schema::DataType;
use roaring::RoaringTreemap;
use sketches::Sketches;

use crate::error::{Result, TabletError, Within};
use crate::schema::{Aggregation, Column, DecimalKind, KeysType, LogicalType};
use crate::types::hll::Hll;
use crate::types::percentile::Percentile;
use crate::types::stored_field;

/// Where a value is: a row of a held batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub batch: usize,
    pub row: usize,
}

/// What becomes of a column's values of one key.
pub(super) enum Combine {
    /// The oldest is taken, whatever they are.
    First,
    /// The newest is taken, whatever they are.
    Last,
    With(Box<dyn Combiner>),
}

/// Combines the values of one column. Values of a key come oldest first.
pub(super) trait Combiner: Send {
    /// The first value of another key.
    fn start(&mut self, array: &ArrayRef, place: Place) -> Result<()>;

    /// One more value of the same key.
    fn add(&mut self, array: &ArrayRef, place: Place) -> Result<()>;

    /// The combined values, one for each key since the last time. `held` are this column's arrays of the held batches.
    fn finish(&mut self, held: &[&ArrayRef]) -> Result<ArrayRef>;
}

pub(super) fn for_column(column: &Column, keys: KeysType) -> Result<Combine> {
    if column.is_key {
        return Ok(Combine::First);
    }
    match &column.aggregation {
        _ if keys == KeysType::Unique => Ok(Combine::Last),
        Aggregation::Replace => Ok(Combine::Last),
        aggregation => combiner(column, aggregation).map(Combine::With),
    }
}

fn combiner(column: &Column, aggregation: &Aggregation) -> Result<Box<dyn Combiner>> {
    if let Aggregation::StateUnion(function) = aggregation
        && let Some(combiner) = states::combiner(column, function)
    {
        return combiner;
    }
    match aggregation {
        Aggregation::ReplaceIfNotNull => Ok(Box::new(NotNull::newest())),
        Aggregation::Min | Aggregation::Max => {
            let ty = stored_field(column)?.data_type().clone();
            let converter = RowConverter::new(vec![SortField::new(ty)]).map_err(arrow)?;
            let max = *aggregation == Aggregation::Max;
            Ok(Box::new(Extreme { converter, max, comparable: Vec::new(), places: Vec::new(), best_is_nan: false }))
        }
        Aggregation::Sum => sum(column),
        Aggregation::HllUnion => Ok(Box::new(Sketches::<Hll>::default())),
        Aggregation::BitmapUnion => Ok(Box::new(Sketches::<RoaringTreemap>::default())),
        Aggregation::PercentileUnion => Ok(Box::new(Sketches::<Percentile>::default())),
        other => {
            let name = match other {
                Aggregation::StateUnion(function) => format!("the aggregate state of {function}"),
                Aggregation::Other(name) => format!("aggregation {name}"),
                _ => "no aggregation".to_owned(),
            };
            Ok(Box::new(Single { name, places: Vec::new() }))
        }
    }
}

fn arrow(e: arrow_schema::ArrowError) -> TabletError {
    TabletError::damaged(e.to_string())
}

/// The values at these places of the held batches, batch and row each.
pub(super) fn gather(held: &[&ArrayRef], places: &[(usize, usize)]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = held.iter().map(|a| a.as_ref()).collect();
    arrow_select::interleave::interleave(&arrays, places).map_err(arrow)
}

fn gather_places(held: &[&ArrayRef], places: &[Place]) -> Result<ArrayRef> {
    let places: Vec<(usize, usize)> = places.iter().map(|p| (p.batch, p.row)).collect();
    gather(held, &places)
}

/// The newest that is not NULL (REPLACE_IF_NOT_NULL), or the oldest; NULL if there is none.
struct NotNull {
    newest: bool,
    /// Whether the current key has one.
    any: bool,
    places: Vec<Place>,
}

impl NotNull {
    fn newest() -> NotNull {
        NotNull { newest: true, any: false, places: Vec::new() }
    }

    fn oldest() -> NotNull {
        NotNull { newest: false, ..NotNull::newest() }
    }
}

impl Combiner for NotNull {
    fn start(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        self.places.push(place);
        self.any = array.is_valid(place.row);
        Ok(())
    }

    fn add(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        let better = array.is_valid(place.row) && (self.newest || !self.any);
        if let Some(last) = self.places.last_mut().filter(|_| better) {
            *last = place;
            self.any = true;
        }
        Ok(())
    }

    fn finish(&mut self, held: &[&ArrayRef]) -> Result<ArrayRef> {
        gather_places(held, &std::mem::take(&mut self.places))
    }
}

/// MIN and MAX.
struct Extreme {
    converter: RowConverter,
    max: bool,
    /// The held batches in comparable form, as far as they were needed.
    comparable: Vec<Option<Rows>>,
    /// For each key the best value so far, which is a NULL only while there is nothing else, and no number only while there is none.
    places: Vec<Place>,
    /// Of the current key.
    best_is_nan: bool,
}

fn is_nan(array: &ArrayRef, row: usize) -> bool {
    let double = |array: &PrimitiveArray<Float64Type>| array.is_valid(row) && array.value(row).is_nan();
    let float = |array: &PrimitiveArray<Float32Type>| array.is_valid(row) && array.value(row).is_nan();
    array.as_primitive_opt().is_some_and(double) || array.as_primitive_opt().is_some_and(float)
}

impl Extreme {
    fn load(&mut self, array: &ArrayRef, batch: usize) -> Result<()> {
        if self.comparable.len() <= batch {
            self.comparable.resize_with(batch + 1, || None);
        }
        if let Some(slot @ None) = self.comparable.get_mut(batch) {
            *slot = Some(self.converter.convert_columns(std::slice::from_ref(array)).map_err(arrow)?);
        }
        Ok(())
    }

    /// The comparable form of a single column starts with a byte that is 0 for NULL, which sorts first.
    fn is_null(&self, place: Place) -> bool {
        self.row(place).is_none_or(|row| row.as_ref().first() == Some(&0))
    }

    fn row(&self, place: Place) -> Option<Row<'_>> {
        self.comparable.get(place.batch)?.as_ref().map(|rows| rows.row(place.row))
    }
}

impl Combiner for Extreme {
    fn start(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        self.load(array, place.batch)?;
        self.places.push(place);
        self.best_is_nan = is_nan(array, place.row);
        Ok(())
    }

    fn add(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        self.load(array, place.batch)?;
        let Some(&best) = self.places.last() else { return Ok(()) };
        if array.is_null(place.row) || (is_nan(array, place.row) && !self.is_null(best)) {
            return Ok(());
        }
        // NULL sorts first, so that it loses a MAX by itself; a MIN must be told.
        let better = if self.max {
            self.best_is_nan || self.row(place) > self.row(best)
        } else {
            self.best_is_nan || self.is_null(best) || self.row(place) < self.row(best)
        };
        if better {
            self.best_is_nan = is_nan(array, place.row);
        }
        if let Some(last) = self.places.last_mut().filter(|_| better) {
            *last = place;
        }
        Ok(())
    }

    fn finish(&mut self, held: &[&ArrayRef]) -> Result<ArrayRef> {
        self.comparable.clear();
        gather_places(held, &std::mem::take(&mut self.places))
    }
}

/// SUM in the column's own type, wrapping around as StarRocks does.
struct Sum<T: ArrowPrimitiveType> {
    ty: DataType,
    plus: fn(T::Native, T::Native) -> T::Native,
    sums: Vec<T::Native>,
    valid: Vec<bool>,
}

fn sum(column: &Column) -> Result<Box<dyn Combiner>> {
    let ty = stored_field(column)?.data_type().clone();
    fn of<T: ArrowPrimitiveType>(ty: &DataType, plus: fn(T::Native, T::Native) -> T::Native) -> Box<dyn Combiner> {
        Box::new(Sum::<T> { ty: ty.clone(), plus, sums: Vec::new(), valid: Vec::new() })
    }
    Ok(match (&column.ty, &ty) {
        (_, DataType::Int8) => of::<Int8Type>(&ty, i8::wrapping_add),
        (_, DataType::Int16) => of::<Int16Type>(&ty, i16::wrapping_add),
        (_, DataType::Int32) => of::<Int32Type>(&ty, i32::wrapping_add),
        (_, DataType::Int64) => of::<Int64Type>(&ty, i64::wrapping_add),
        (_, DataType::Float32) => of::<Float32Type>(&ty, |a, b| a + b),
        (_, DataType::Float64) => of::<Float64Type>(&ty, |a, b| a + b),
        (LogicalType::Decimal { kind: DecimalKind::D32, .. }, _) => {
            of::<Decimal128Type>(&ty, |a, b| i128::from(a.wrapping_add(b) as i32))
        }
        (LogicalType::Decimal { kind: DecimalKind::D64, .. }, _) => {
            of::<Decimal128Type>(&ty, |a, b| i128::from(a.wrapping_add(b) as i64))
        }
        (_, DataType::Decimal128(..)) => of::<Decimal128Type>(&ty, i128::wrapping_add),
        (_, DataType::Decimal256(..)) => of::<Decimal256Type>(&ty, i256::wrapping_add),
        (other, _) => return Err(TabletError::unsupported(format!("SUM of {}", other.sql()))),
    })
}

impl<T: ArrowPrimitiveType> Sum<T> {
    fn value(array: &ArrayRef, row: usize) -> Result<Option<T::Native>> {
        let array = array.as_primitive_opt::<T>().ok_or_else(|| TabletError::damaged("a sum of another type"))?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }
}

impl<T: ArrowPrimitiveType> Combiner for Sum<T> {
    fn start(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        let value = Self::value(array, place.row)?;
        self.valid.push(value.is_some());
        self.sums.push(value.unwrap_or_else(|| T::Native::usize_as(0)));
        Ok(())
    }

    fn add(&mut self, array: &ArrayRef, place: Place) -> Result<()> {
        let value = Self::value(array, place.row)?;
        if let (Some(value), Some(sum), Some(valid)) = (value, self.sums.last_mut(), self.valid.last_mut()) {
            *sum = if *valid { (self.plus)(*sum, value) } else { value };
            *valid = true;
        }
        Ok(())
    }

    fn finish(&mut self, _: &[&ArrayRef]) -> Result<ArrayRef> {
        let values = ScalarBuffer::from(std::mem::take(&mut self.sums));
        let nulls = NullBuffer::from(std::mem::take(&mut self.valid));
        let array = PrimitiveArray::<T>::try_new(values, Some(nulls).filter(|n| n.null_count() > 0)).map_err(arrow)?;
        Ok(Arc::new(array.with_data_type(self.ty.clone())))
    }
}

/// An aggregation that this crate cannot do: fine as long as no key has more than one value.
struct Single {
    name: String,
    places: Vec<Place>,
}

impl Combiner for Single {
    fn start(&mut self, _: &ArrayRef, place: Place) -> Result<()> {
        self.places.push(place);
        Ok(())
    }

    fn add(&mut self, _: &ArrayRef, _: Place) -> Result<()> {
        Err(TabletError::unsupported(format!("merging rows of one key with {}", self.name)))
    }

    fn finish(&mut self, held: &[&ArrayRef]) -> Result<ArrayRef> {
        gather_places(held, &std::mem::take(&mut self.places)).within(|| self.name.clone())
    }
}
