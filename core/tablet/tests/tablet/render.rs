//! Values as the fixtures render them, and how two renderings are compared.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use serde_json::{Value, json};
use starsnap_tablet::schema::DecimalKind;
use starsnap_tablet::types::{bitmap, hll::Hll, text};
use starsnap_tablet::{BitmapAs, Column, HllAs, LargeIntAs, LogicalType, ReadOptions, TextAs};

/// Everything as close to what is stored as it comes.
pub fn options() -> ReadOptions {
    ReadOptions {
        text: TextAs::Binary,
        large_int: LargeIntAs::Text,
        hll: HllAs::Binary,
        bitmap: BitmapAs::Binary,
        ..ReadOptions::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn float(value: f64, number: Value) -> Value {
    match value {
        v if v.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => number,
    }
}

/// The value at `row` of an array read with [`options`].
pub fn render(array: &ArrayRef, column: &Column, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match &column.ty {
        LogicalType::Boolean => json!(array.as_boolean().value(row)),
        LogicalType::TinyInt => json!(array.as_primitive::<Int8Type>().value(row)),
        LogicalType::SmallInt => json!(array.as_primitive::<Int16Type>().value(row)),
        LogicalType::Int => json!(array.as_primitive::<Int32Type>().value(row)),
        LogicalType::BigInt => json!(array.as_primitive::<Int64Type>().value(row)),
        LogicalType::LargeInt => json!(array.as_string::<i32>().value(row)),
        LogicalType::Float => {
            let value = array.as_primitive::<Float32Type>().value(row);
            float(f64::from(value), json!(value))
        }
        LogicalType::Double => {
            let value = array.as_primitive::<Float64Type>().value(row);
            float(value, json!(value))
        }
        LogicalType::Date => json!(text::date(array.as_primitive::<Date32Type>().value(row))),
        LogicalType::DateTime => json!(text::datetime(array.as_primitive::<TimestampMicrosecondType>().value(row))),
        LogicalType::Char(_) | LogicalType::Varchar(_) => {
            let bytes = array.as_binary::<i32>().value(row);
            std::str::from_utf8(bytes).map_or_else(|_| json!({"hex": hex(bytes)}), |text| json!(text))
        }
        LogicalType::Varbinary(_) => json!(hex(array.as_binary::<i32>().value(row))),
        LogicalType::Decimal { kind: DecimalKind::D256, scale, .. } => {
            let value = array.as_primitive::<Decimal256Type>().value(row);
            json!(text::decimal(&value.to_string(), *scale as usize))
        }
        LogicalType::Decimal { scale, .. } => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            json!(text::decimal(&value.to_string(), *scale as usize))
        }
        LogicalType::Json => json!({"json": std::str::from_utf8(array.as_binary::<i32>().value(row)).unwrap()}),
        LogicalType::Hll => {
            let bytes = array.as_binary::<i32>().value(row);
            json!({"hll_card": Hll::parse(bytes).unwrap().cardinality(), "hex": hex(bytes)})
        }
        LogicalType::Bitmap => {
            let bytes = array.as_binary::<i32>().value(row);
            let values: Vec<u64> = bitmap::parse(bytes).unwrap().into_iter().collect();
            json!({"bitmap": values, "hex": hex(bytes)})
        }
        LogicalType::Percentile => json!({"hex": hex(array.as_binary::<i32>().value(row))}),
        LogicalType::Array(element) => {
            let values = array.as_list::<i32>().value(row);
            (0..values.len()).map(|at| render(&values, element, at)).collect()
        }
        LogicalType::Map(key, value) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            (0..entries.len()).map(|at| json!([render(keys, key, at), render(values, value, at)])).collect()
        }
        LogicalType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let members = fields.iter().zip(columns).map(|(f, c)| (f.name.clone(), render(c, f, row)));
            Value::Object(members.collect())
        }
        LogicalType::Unknown(name) => panic!("{name}"),
    }
}

/// Whether a rendered value is what the fixture has. Fixtures may hold members that are not compared (raw VelocyPack, a
/// percentile's median); decimals of the old types are printed with and without zeros at the end.
pub fn same(ours: &Value, expected: &Value, column: &Column) -> bool {
    match (&column.ty, ours, expected) {
        (_, Value::Null, Value::Null) => true,
        (LogicalType::Json | LogicalType::Percentile, Value::Object(ours), Value::Object(expected)) => {
            ours.iter().all(|(key, value)| expected.get(key) == Some(value))
        }
        // Both are sets, which readers write again in an order of their own.
        (LogicalType::Hll, Value::Object(a), Value::Object(b)) => {
            a["hll_card"] == b["hll_card"]
                && Hll::parse(&unhex(&a["hex"])).unwrap() == Hll::parse(&unhex(&b["hex"])).unwrap()
        }
        (LogicalType::Bitmap, Value::Object(a), Value::Object(b)) => {
            a["bitmap"] == b["bitmap"]
                && bitmap::parse(&unhex(&a["hex"])).unwrap() == bitmap::parse(&unhex(&b["hex"])).unwrap()
        }
        (LogicalType::Decimal { kind: DecimalKind::V2, .. }, Value::String(a), Value::String(b)) => {
            let plain = |text: &str| match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text.to_owned(),
            };
            plain(a) == plain(b)
        }
        (LogicalType::Float, Value::Number(a), Value::Number(b)) => {
            (a.as_f64().unwrap() as f32).to_bits() == (b.as_f64().unwrap() as f32).to_bits()
        }
        (LogicalType::Double, Value::Number(a), Value::Number(b)) => {
            a.as_f64().unwrap().to_bits() == b.as_f64().unwrap().to_bits()
        }
        (LogicalType::Array(element), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, element))
        }
        (LogicalType::Map(key, value), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a[0], &b[0], key) && same(&a[1], &b[1], value))
        }
        (LogicalType::Struct(fields), Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && fields.iter().all(|f| same(&a[&f.name], &b[&f.name], f))
        }
        (_, a, b) => a == b,
    }
}
