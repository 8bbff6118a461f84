//! Which bucket a row belongs to: the hash of its distribution columns, as loads compute it.
//!
//! Standard CRC-32 (as zlib's), each column's bytes going on from the one before, from 0. The bucket is the hash modulo the number of
//! buckets, and its number is the tablet's position in its index.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, RecordBatch};
use arrow_buffer::ToByteSlice;

use crate::error::{Result, TabletError};
use crate::schema::{DecimalKind, LogicalType};
use crate::types::text;
use crate::{LargeIntAs, ReadOptions, TextAs};

/// What stands for NULL of any type.
const NULL: [u8; 4] = [0; 4];

/// 10⁹: the two parts of DECIMAL(27, 9) are hashed apart.
const BILLION: i128 = 1_000_000_000;

/// True when a table can be distributed by columns of this type.
pub fn can_distribute(ty: &LogicalType) -> bool {
    use LogicalType as T;
    let decimal = |kind: &DecimalKind| *kind != DecimalKind::D256;
    match ty {
        T::Boolean | T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::LargeInt | T::Date | T::DateTime => true,
        T::Char(_) | T::Varchar(_) => true,
        T::Decimal { kind, .. } => decimal(kind),
        _ => false,
    }
}

/// How columns must be read to be hashed: with every value there is, byte for byte.
pub fn read_options() -> ReadOptions {
    ReadOptions { text: TextAs::Binary, large_int: LargeIntAs::Decimal256, ..ReadOptions::default() }
}

/// The hash of each row of `batch`, whose columns are the distribution columns in the order of DISTRIBUTED BY HASH, read with
/// [`read_options`]; `types` are those of the schema. `Unsupported` for a type that no table is distributed by.
pub fn hashes(batch: &RecordBatch, types: &[LogicalType]) -> Result<Vec<u32>> {
    let mut out = vec![0; batch.num_rows()];
    for (column, ty) in batch.columns().iter().zip(types) {
        add(column, ty, &mut out)?;
    }
    Ok(out)
}

fn add(column: &ArrayRef, ty: &LogicalType, out: &mut [u32]) -> Result<()> {
    match ty {
        LogicalType::Boolean => {
            let values = column.as_boolean_opt().ok_or_else(|| other(ty))?;
            each(out, column, |row, hasher| hasher.update(&[u8::from(values.value(row))]));
            Ok(())
        }
        LogicalType::TinyInt => integers::<Int8Type>(column, ty, out),
        LogicalType::SmallInt => integers::<Int16Type>(column, ty, out),
        LogicalType::Int => integers::<Int32Type>(column, ty, out),
        LogicalType::BigInt => integers::<Int64Type>(column, ty, out),
        LogicalType::LargeInt => {
            let values = column.as_primitive_opt::<Decimal256Type>().ok_or_else(|| other(ty))?;
            // A LARGEINT has 128 bits: what Arrow's wider type holds beyond them is its sign.
            each(out, column, |row, hasher| hasher.update(&values.value(row).as_i128().to_le_bytes()));
            Ok(())
        }
        LogicalType::Date => texts::<Date32Type>(column, ty, out, text::date),
        LogicalType::DateTime => texts::<TimestampMicrosecondType>(column, ty, out, text::datetime),
        LogicalType::Char(_) | LogicalType::Varchar(_) => {
            let values = column.as_binary_opt::<i32>().ok_or_else(|| other(ty))?;
            each(out, column, |row, hasher| hasher.update(values.value(row)));
            Ok(())
        }
        LogicalType::Decimal { kind, precision, scale } => {
            let values = column.as_primitive_opt::<Decimal128Type>().ok_or_else(|| other(ty))?;
            let apart = *kind == DecimalKind::V2 || (*kind == DecimalKind::D128 && (*precision, *scale) == (27, 9));
            let bytes = match kind {
                DecimalKind::D32 => 4,
                DecimalKind::D64 => 8,
                DecimalKind::D128 | DecimalKind::V2 => 16,
                DecimalKind::D256 => return Err(other(ty)),
            };
            each(out, column, |row, hasher| {
                let value = values.value(row);
                if apart {
                    // Both parts fit: 27 digits are 18 before the point and 9 behind it.
                    hasher.update(&((value / BILLION) as i64).to_le_bytes());
                    hasher.update(&((value % BILLION) as i32).to_le_bytes());
                } else if let Some(stored) = value.to_le_bytes().get(..bytes) {
                    hasher.update(stored);
                }
            });
            Ok(())
        }
        _ => Err(other(ty)),
    }
}

fn integers<T: ArrowPrimitiveType>(column: &ArrayRef, ty: &LogicalType, out: &mut [u32]) -> Result<()>
where
    T::Native: ToByteSlice,
{
    let values = column.as_primitive_opt::<T>().ok_or_else(|| other(ty))?;
    // Little-endian, as every machine is that Arrow's buffers are read on.
    each(out, column, |row, hasher| hasher.update(values.value(row).to_byte_slice()));
    Ok(())
}

fn texts<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    ty: &LogicalType,
    out: &mut [u32],
    text: impl Fn(T::Native) -> String,
) -> Result<()> {
    let values = column.as_primitive_opt::<T>().ok_or_else(|| other(ty))?;
    each(out, column, |row, hasher| hasher.update(text(values.value(row)).as_bytes()));
    Ok(())
}

/// Goes on with each row's hash; `value` is asked for rows that are not NULL alone.
fn each(out: &mut [u32], column: &ArrayRef, value: impl Fn(usize, &mut crc32fast::Hasher)) {
    for (row, hash) in out.iter_mut().enumerate() {
        let mut hasher = crc32fast::Hasher::new_with_initial(*hash);
        if column.is_null(row) {
            hasher.update(&NULL);
        } else {
            value(row, &mut hasher);
        }
        *hash = hasher.finalize();
    }
}

fn other(ty: &LogicalType) -> TabletError {
    TabletError::unsupported(format!("distribution by a column of type {}", ty.sql()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::schema::{Aggregation, Column};
    use crate::types::{arrow_field, parse, present};
    use arrow_schema::Schema;
    use std::sync::Arc;

    const CHAR: LogicalType = LogicalType::Char(10);
    const VARCHAR: LogicalType = LogicalType::Varchar(40);

    fn decimal(kind: DecimalKind, precision: u8, scale: i8) -> LogicalType {
        LogicalType::Decimal { kind, precision, scale }
    }

    fn d32() -> LogicalType {
        decimal(DecimalKind::D32, 9, 2)
    }

    fn d64() -> LogicalType {
        decimal(DecimalKind::D64, 12, 2)
    }

    fn d128() -> LogicalType {
        decimal(DecimalKind::D128, 38, 10)
    }

    fn d27() -> LogicalType {
        decimal(DecimalKind::D128, 27, 9)
    }

    fn v2() -> LogicalType {
        decimal(DecimalKind::V2, 27, 9)
    }

    /// One row with these values, read as [`read_options`] say.
    fn row(values: &[(LogicalType, Option<&str>)]) -> RecordBatch {
        let options = read_options();
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (at, (ty, value)) in values.iter().enumerate() {
            let column = Column {
                unique_id: at as i32,
                name: format!("c{at}"),
                ty: ty.clone(),
                is_key: true,
                aggregation: Aggregation::None,
                nullable: true,
                default_value: None,
                auto_increment: false,
                has_bitmap_index: false,
                has_bloom_filter: false,
                has_ngram_filter: false,
            };
            let field = arrow_field(&column, &options).unwrap();
            arrays.push(match value {
                Some(text) => {
                    let stored = parse::one(text.as_bytes(), ty).unwrap();
                    present::present(&stored, &column, &options).unwrap()
                }
                None => arrow_array::new_null_array(field.data_type(), 1),
            });
            fields.push(field);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    #[track_caller]
    fn is(values: &[(LogicalType, Option<&str>)], expected: u32) {
        let types: Vec<LogicalType> = values.iter().map(|(ty, _)| ty.clone()).collect();
        assert_eq!(hashes(&row(values), &types).unwrap(), [expected], "{values:?}");
    }

    #[test]
    fn one_column_hashes_as_in_starrocks() {
        use LogicalType as T;
        let vectors: Vec<(LogicalType, Option<&str>, u32)> = vec![
            (T::Boolean, Some("1"), 2768625435),
            (T::Boolean, Some("0"), 3523407757),
            (T::Boolean, None, 558161692),
            (T::TinyInt, Some("0"), 3523407757),
            (T::TinyInt, Some("1"), 2768625435),
            (T::TinyInt, Some("-1"), 4278190080),
            (T::TinyInt, Some("127"), 314082080),
            (T::TinyInt, Some("-128"), 1069182125),
            (T::TinyInt, None, 558161692),
            (T::SmallInt, Some("0"), 1104745215),
            (T::SmallInt, Some("-1"), 4294901760),
            (T::SmallInt, Some("300"), 267340231),
            (T::Int, Some("0"), 558161692),
            (T::Int, Some("1"), 2583214201),
            (T::Int, Some("-1"), 4294967295),
            (T::Int, Some("1001"), 2289397751),
            (T::Int, Some("2147483647"), 306674911),
            (T::Int, None, 558161692),
            (T::BigInt, Some("0"), 1696784233),
            (T::BigInt, Some("1"), 2844319735),
            (T::BigInt, Some("-1"), 558161692),
            (T::BigInt, Some("1000000000000000"), 3858955739),
            (T::LargeInt, Some("0"), 3971697493),
            (T::LargeInt, Some("-1"), 1068746266),
            (T::LargeInt, Some("170141183460469231731687303715884105727"), 3523953978),
            (T::LargeInt, None, 558161692),
            (T::Date, Some("1970-01-01"), 768334367),
            (T::Date, Some("2022-03-13"), 3896266988),
            (T::Date, Some("0000-01-01"), 1684999779),
            (T::Date, Some("9999-12-31"), 3136690327),
            (T::Date, None, 558161692),
            (T::DateTime, Some("2022-03-13 00:00:00"), 1898886439),
            (T::DateTime, Some("2024-02-29 23:59:59.000001"), 584323736),
            (T::DateTime, Some("2024-02-29 23:59:59.123400"), 4059276793),
            (T::DateTime, None, 558161692),
            (CHAR, Some(""), 0),
            (CHAR, Some("a"), 3904355907),
            (CHAR, Some("beijing"), 1986747517),
            (CHAR, Some("日本"), 3350711756),
            (CHAR, None, 558161692),
            (VARCHAR, Some(""), 0),
            (VARCHAR, Some("São Paulo"), 2474974865),
            (VARCHAR, Some("日本語"), 2819314405),
            (d32(), Some("0.00"), 558161692),
            (d32(), Some("1.50"), 3111084388),
            (d32(), Some("-1.50"), 1969352297),
            (d64(), Some("0.00"), 1696784233),
            (d64(), Some("12345678.90"), 676950087),
            (d64(), Some("-0.01"), 558161692),
            (d128(), Some("0.0000000000"), 3971697493),
            (d128(), Some("1.5000000000"), 3262051568),
            (d128(), Some("-99999999999999999999999999.1234567890"), 3578089926),
            (d27(), Some("0.000000000"), 2077607535),
            (d27(), Some("1.500000000"), 3007202833),
            (d27(), Some("-1.500000000"), 923819869),
            (d27(), Some("123456789012345678.987654321"), 530414931),
            (v2(), Some("0"), 2077607535),
            (v2(), Some("1.5"), 3007202833),
            (v2(), Some("-1.5"), 923819869),
            (v2(), Some("123456789012345678.987654321"), 530414931),
            (v2(), None, 558161692),
        ];
        for (ty, value, expected) in vectors {
            assert!(can_distribute(&ty));
            is(&[(ty, value)], expected);
        }
    }

    #[test]
    fn columns_go_on_from_each_other() {
        use LogicalType as T;
        is(&[(d64(), Some("0.00")), (T::LargeInt, None), (d128(), Some("1.5000000000"))], 2930100300);
        is(&[(T::Date, Some("1970-01-01")), (CHAR, None)], 3304159939);
        is(&[(T::Boolean, Some("1")), (d64(), None)], 4215463597);
        is(&[(T::SmallInt, None), (d27(), Some("1.500000000")), (d128(), Some("0.0000000000"))], 2937838675);
        is(&[(VARCHAR, Some("São Paulo")), (v2(), Some("1.5"))], 1274075921);
        is(&[(T::SmallInt, Some("-1")), (d27(), Some("-1.500000000"))], 2669184002);
        is(&[(T::Int, None), (CHAR, Some("a")), (d32(), Some("1.50"))], 3664835627);
        is(&[(v2(), Some("-1.5")), (T::Date, Some("1970-01-01"))], 3719689143);
        is(&[(T::Date, Some("0000-01-01")), (T::SmallInt, Some("0")), (d27(), Some("-1.500000000"))], 770658420);
    }

    #[test]
    fn no_table_is_distributed_by_other_types() {
        for ty in [LogicalType::Double, LogicalType::Json, decimal(DecimalKind::D256, 40, 2)] {
            assert!(!can_distribute(&ty));
        }
        let batch = row(&[(LogicalType::Int, Some("1"))]);
        assert!(hashes(&batch, &[LogicalType::Double]).unwrap_err().to_string().contains("DOUBLE"));
        assert!(hashes(&batch, &[LogicalType::BigInt]).is_err(), "read as another type");
    }
}
