//! A tablet's schema: columns, their logical types, keys and aggregations.

mod added;
mod shared;

pub use added::AddedColumn;
pub use shared::UniqueIds;

use std::collections::{HashMap, HashSet};

use crate::error::{Result, TabletError, Within};
use crate::proto::tablet::{ColumnPb, TabletSchemaPb};

/// IndexType of indexes that are not kept in bloom filters; n-gram filters have 3.
const INDEX_BITMAP: i32 = 0;
const INDEX_GIN: i32 = 1;

/// The hidden last column of tables that are stored both ways (`storage_type` COLUMN_WITH_ROW): a copy of the value columns of each row. No
/// table can have a column of that name.
const ROW_COLUMN: &str = "__row";

/// The table model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysType {
    Duplicate,
    Unique,
    Aggregate,
    Primary,
}

impl KeysType {
    pub(crate) fn from_pb(value: Option<i32>) -> Result<Self> {
        match value.unwrap_or(0) {
            0 => Ok(KeysType::Duplicate),
            1 => Ok(KeysType::Unique),
            2 => Ok(KeysType::Aggregate),
            10 => Ok(KeysType::Primary),
            other => Err(TabletError::unsupported(format!("keys type {other}"))),
        }
    }
}

/// How values of one key are combined, per value column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aggregation {
    /// Key columns, and every column of a DUPLICATE KEY table.
    None,
    Sum,
    Min,
    Max,
    /// The last row wins, NULL included.
    Replace,
    /// The last row that is not NULL wins.
    ReplaceIfNotNull,
    HllUnion,
    BitmapUnion,
    PercentileUnion,
    /// A generic aggregate state, by the name of its function.
    StateUnion(String),
    /// Something this crate does not know, by its stored name.
    Other(String),
}

impl Aggregation {
    fn from_pb(column: &ColumnPb) -> Self {
        let function = || column.agg_state_desc.as_ref().and_then(|d| d.agg_func_name.clone()).unwrap_or_default();
        Aggregation::named(column.aggregation.as_deref().unwrap_or("none"), function)
    }

    /// By its stored name: upper case in files of 2.3, lower case later. `function` is that of an aggregate state.
    fn named(name: &str, function: impl FnOnce() -> String) -> Self {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "none" | "" => Aggregation::None,
            "sum" => Aggregation::Sum,
            "min" => Aggregation::Min,
            "max" => Aggregation::Max,
            "replace" => Aggregation::Replace,
            "replace_if_not_null" => Aggregation::ReplaceIfNotNull,
            "hll_union" => Aggregation::HllUnion,
            "bitmap_union" => Aggregation::BitmapUnion,
            "percentile_union" => Aggregation::PercentileUnion,
            "agg_state_union" => Aggregation::StateUnion(function()),
            _ => Aggregation::Other(name),
        }
    }
}

/// The width of a DECIMAL's stored integer; V2 is the fixed DECIMAL(27, 9) kept as 128 bits with scale 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalKind {
    V2,
    D32,
    D64,
    D128,
    D256,
}

/// A column's type as the schema declares it.
#[derive(Debug, Clone, PartialEq)]
pub enum LogicalType {
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    LargeInt,
    Float,
    Double,
    Date,
    DateTime,
    /// Longest length in bytes.
    Char(u32),
    /// Longest length in bytes, without the four that StarRocks adds in the stored schema.
    Varchar(u32),
    Varbinary(u32),
    Decimal {
        kind: DecimalKind,
        precision: u8,
        scale: i8,
    },
    Json,
    Hll,
    Bitmap,
    Percentile,
    /// The element.
    Array(Box<Column>),
    /// Key and value.
    Map(Box<Column>, Box<Column>),
    /// The fields.
    Struct(Vec<Column>),
    /// A type that this crate does not know, by its stored name: the tablet opens, the column does not.
    Unknown(String),
}

impl LogicalType {
    /// The type's name as StarRocks spells it in SQL.
    pub fn sql(&self) -> String {
        match self {
            LogicalType::Boolean => "BOOLEAN".into(),
            LogicalType::TinyInt => "TINYINT".into(),
            LogicalType::SmallInt => "SMALLINT".into(),
            LogicalType::Int => "INT".into(),
            LogicalType::BigInt => "BIGINT".into(),
            LogicalType::LargeInt => "LARGEINT".into(),
            LogicalType::Float => "FLOAT".into(),
            LogicalType::Double => "DOUBLE".into(),
            LogicalType::Date => "DATE".into(),
            LogicalType::DateTime => "DATETIME".into(),
            LogicalType::Char(n) => format!("CHAR({n})"),
            LogicalType::Varchar(n) => format!("VARCHAR({n})"),
            LogicalType::Varbinary(n) => format!("VARBINARY({n})"),
            LogicalType::Decimal { kind, precision, scale } => match kind {
                DecimalKind::V2 => format!("DECIMALV2({precision},{scale})"),
                DecimalKind::D32 => format!("DECIMAL32({precision},{scale})"),
                DecimalKind::D64 => format!("DECIMAL64({precision},{scale})"),
                DecimalKind::D128 => format!("DECIMAL128({precision},{scale})"),
                DecimalKind::D256 => format!("DECIMAL256({precision},{scale})"),
            },
            LogicalType::Json => "JSON".into(),
            LogicalType::Hll => "HLL".into(),
            LogicalType::Bitmap => "BITMAP".into(),
            LogicalType::Percentile => "PERCENTILE".into(),
            LogicalType::Array(element) => format!("ARRAY<{}>", element.ty.sql()),
            LogicalType::Map(key, value) => format!("MAP<{},{}>", key.ty.sql(), value.ty.sql()),
            LogicalType::Struct(fields) => {
                let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name, f.ty.sql())).collect();
                format!("STRUCT<{}>", fields.join(", "))
            }
            LogicalType::Unknown(name) => name.clone(),
        }
    }

    /// A type that one word says all of, in capitals.
    fn of_word(word: &str) -> Option<LogicalType> {
        Some(match word {
            "BOOLEAN" => LogicalType::Boolean,
            "TINYINT" => LogicalType::TinyInt,
            "SMALLINT" => LogicalType::SmallInt,
            "INT" => LogicalType::Int,
            "BIGINT" => LogicalType::BigInt,
            "LARGEINT" => LogicalType::LargeInt,
            "FLOAT" => LogicalType::Float,
            "DOUBLE" => LogicalType::Double,
            "DATE" => LogicalType::Date,
            "DATETIME" => LogicalType::DateTime,
            "JSON" => LogicalType::Json,
            "HLL" => LogicalType::Hll,
            "BITMAP" => LogicalType::Bitmap,
            "PERCENTILE" => LogicalType::Percentile,
            _ => return None,
        })
    }

    fn from_pb(column: &ColumnPb) -> Result<Self> {
        let length = || u32::try_from(column.length.unwrap_or(0)).unwrap_or(0);
        let decimal = |kind| decimal(kind, column);
        let name = column.r#type.to_ascii_uppercase();
        // The old names DATE, DATETIME and DECIMAL stand for other bytes in old segments, but for the same values.
        Ok(match name.as_str() {
            "DATE_V2" => LogicalType::Date,
            "TIMESTAMP" => LogicalType::DateTime,
            "CHAR" => LogicalType::Char(length()),
            "VARCHAR" => LogicalType::Varchar(length().saturating_sub(4)),
            "VARBINARY" => LogicalType::Varbinary(length().saturating_sub(4)),
            "DECIMAL" | "DECIMALV2" | "DECIMAL_V2" => {
                LogicalType::Decimal { kind: DecimalKind::V2, precision: 27, scale: 9 }
            }
            "DECIMAL32" => decimal(DecimalKind::D32)?,
            "DECIMAL64" => decimal(DecimalKind::D64)?,
            "DECIMAL128" => decimal(DecimalKind::D128)?,
            "DECIMAL256" => decimal(DecimalKind::D256)?,
            "OBJECT" => LogicalType::Bitmap,
            "ARRAY" => match <[Column; 1]>::try_from(children(column)?) {
                Ok([element]) => LogicalType::Array(Box::new(element)),
                Err(c) => return Err(child_count(&name, &c)),
            },
            "MAP" => match <[Column; 2]>::try_from(children(column)?) {
                Ok([key, value]) => LogicalType::Map(Box::new(key), Box::new(value)),
                Err(c) => return Err(child_count(&name, &c)),
            },
            "STRUCT" => LogicalType::Struct(children(column)?),
            _ => LogicalType::of_word(&name).unwrap_or(LogicalType::Unknown(name)),
        })
    }
}

fn child_count(name: &str, children: &[Column]) -> TabletError {
    TabletError::damaged(format!("{name} with {} children", children.len()))
}

fn children(column: &ColumnPb) -> Result<Vec<Column>> {
    column.children_columns.iter().map(Column::from_pb).collect()
}

fn decimal(kind: DecimalKind, column: &ColumnPb) -> Result<LogicalType> {
    let widest = match kind {
        DecimalKind::D32 => 9,
        DecimalKind::D64 => 18,
        DecimalKind::D128 | DecimalKind::V2 => 38,
        DecimalKind::D256 => 76,
    };
    let precision = column.precision.unwrap_or(0);
    let scale = column.frac.unwrap_or(0);
    if !(1..=widest).contains(&precision) || !(0..=precision).contains(&scale) {
        return Err(TabletError::damaged(format!("{}({precision}, {scale})", column.r#type)));
    }
    // Both are at most 76 here.
    Ok(LogicalType::Decimal { kind, precision: precision as u8, scale: scale as i8 })
}

/// One column of a schema, or a child of a nested one.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// What ties the column to its data in segments, whatever it is called; −1 for most children.
    pub unique_id: i32,
    pub name: String,
    pub ty: LogicalType,
    pub is_key: bool,
    pub aggregation: Aggregation,
    pub nullable: bool,
    /// What rows hold that were written before the column was added: the text of the value (`NULL` means NULL).
    pub default_value: Option<Vec<u8>>,
    pub auto_increment: bool,
    pub has_bitmap_index: bool,
    pub has_bloom_filter: bool,
    /// Its bloom filters, if any, are of pieces of text.
    pub has_ngram_filter: bool,
}

impl Column {
    fn from_pb(pb: &ColumnPb) -> Result<Self> {
        let name = pb.name.clone().unwrap_or_default();
        let ty = LogicalType::from_pb(pb).within(|| format!("column {name}"))?;
        Ok(Column {
            unique_id: pb.unique_id,
            ty,
            is_key: pb.is_key.unwrap_or(false),
            aggregation: Aggregation::from_pb(pb),
            nullable: pb.is_nullable.unwrap_or(false),
            default_value: pb.default_value.clone(),
            auto_increment: pb.is_auto_increment.unwrap_or(false),
            has_bitmap_index: pb.has_bitmap_index.unwrap_or(false),
            has_bloom_filter: pb.is_bf_column.unwrap_or(false),
            has_ngram_filter: false,
            name,
        })
    }
}

/// A schema: of the tablet, or the one that a rowset was written with.
#[derive(Debug, Clone, PartialEq)]
pub struct TabletSchema {
    pub id: i64,
    pub version: i32,
    pub keys_type: KeysType,
    /// Without the hidden `__row`.
    pub columns: Vec<Column>,
    pub num_short_key_columns: usize,
    /// Positions in `columns` that rows are ordered by within a segment.
    pub sort_key: Vec<usize>,
    /// CompressionTypePB that new segments get; what a segment has is in its own footer.
    pub compression_type: Option<i32>,
}

impl TabletSchema {
    pub(crate) fn from_pb(pb: &TabletSchemaPb) -> Result<Self> {
        let mut columns = pb.column.iter().map(Column::from_pb).collect::<Result<Vec<_>>>()?;
        columns.pop_if(|last| {
            last.name == ROW_COLUMN && matches!(last.ty, LogicalType::Varchar(_) | LogicalType::Varbinary(_))
        });
        // Of an index of a kind that is not known, anything may be said.
        let other = pb.table_indices.iter().filter(|i| !matches!(i.index_type, Some(INDEX_BITMAP | INDEX_GIN)));
        let indexed: HashSet<i32> = other.flat_map(|index| &index.col_unique_id).copied().collect();
        columns.iter_mut().for_each(|c| c.has_ngram_filter = indexed.contains(&c.unique_id));
        let sort_key = sort_key(pb, &columns)?;
        Ok(TabletSchema {
            id: pb.id.unwrap_or(-1),
            version: pb.schema_version.unwrap_or(-1),
            keys_type: KeysType::from_pb(pb.keys_type)?,
            num_short_key_columns: usize::try_from(pb.num_short_key_columns.unwrap_or(0)).unwrap_or(0),
            sort_key,
            compression_type: pb.compression_type,
            columns,
        })
    }

    /// The column with this unique id.
    pub fn by_unique_id(&self, unique_id: i32) -> Option<&Column> {
        self.columns.iter().find(|c| c.unique_id == unique_id)
    }

    /// The position of the column with this name; names are compared without case, as StarRocks does.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// The column that a catalog speaks of: the first of these names that the schema has with that unique id, else the unique id alone.
    pub fn locate<'a>(&self, mut names: impl Iterator<Item = &'a str>, unique_id: Option<i32>) -> Option<&Column> {
        let id = unique_id.filter(|id| *id >= 0);
        let named = |name: &str| self.position(name).and_then(|at| self.columns.get(at));
        let found = names.find_map(|name| named(name).filter(|found| id.is_none_or(|id| found.unique_id == id)));
        found.or_else(|| self.by_unique_id(id?))
    }
}

fn sort_key(pb: &TabletSchemaPb, columns: &[Column]) -> Result<Vec<usize>> {
    let missing = |what: &str, id: u32| TabletError::damaged(format!("sort key {what} {id} is not in the schema"));
    if !pb.sort_key_unique_ids.is_empty() {
        let mut places = HashMap::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            places.entry(i64::from(column.unique_id)).or_insert(at);
        }
        let find = |id: u32| places.get(&i64::from(id)).copied();
        return pb.sort_key_unique_ids.iter().map(|&id| find(id).ok_or_else(|| missing("column id", id))).collect();
    }
    if !pb.sort_key_idxes.is_empty() {
        let check = |&at: &u32| if (at as usize) < columns.len() { Ok(at as usize) } else { Err(missing("index", at)) };
        return pb.sort_key_idxes.iter().map(check).collect();
    }
    Ok(columns.iter().enumerate().filter(|(_, c)| c.is_key).map(|(i, _)| i).collect())
}
