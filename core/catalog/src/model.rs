//! The catalog objects, shaped as `__meta` stores them (GSON keys of the FE's classes).
//!
//! One struct serves every StarRocks version: keys that only some versions write are optional, keys unknown to us are kept in
//! `extra` and written back. Polymorphic objects keep their discriminator in `clazz` and the union of their kinds' keys.

mod column;
mod function;
mod partition;
mod physical;
mod table;
mod types;

pub use column::{AggStateDesc, Column, ColumnStats, DefaultExpr, Expr};
pub use function::{Catalog, Function, FunctionName, Uri};
pub use partition::{
    DataProperty, DistributionInfo, MaterializedIndex, Partition, PartitionInfo, PhysicalPartition, Replica, Tablet,
};
pub use physical::{IndexView, PartitionLayout, PhysicalView};
pub use table::{
    AsyncRefreshContext, BaseTableInfo, IndexMeta, OriginStatement, RefreshScheme, SecondaryIndex, Table, TableIndexes,
    TableProperty, TempPartitions,
};
pub use types::{StructField, Type};

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Root of `__meta` (`BackupMeta` in the FE).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupMeta {
    pub tbl_name_map: BTreeMap<String, Table>,
    /// 3.4 and later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// External catalogs, 3.4 and later. Their configuration holds secrets in clear text: never show it unmasked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<Catalog>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The keys of a JSON object that we do not know. Costs one pointer when there are none, as there are many objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra(Option<Box<Map<String, Value>>>);

impl Extra {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.as_ref()?.get(key)
    }

    /// Sets `key`.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) {
        self.0.get_or_insert_default().insert(key.into(), value);
    }

    /// Removes `key` and returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let map = self.0.as_mut()?;
        let value = map.remove(key);
        if map.is_empty() {
            self.0 = None;
        }
        value
    }

    /// True when every key was known.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().flat_map(|map| map.iter())
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.0.as_ref().map_or(0, |map| map.len())))?;
        for (key, value) in self.iter() {
            out.serialize_entry(key, value)?;
        }
        out.end()
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Extra;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Extra, A::Error> {
                let mut extra = Extra::default();
                while let Some((key, value)) = access.next_entry::<String, Value>()? {
                    extra.insert(key, value);
                }
                Ok(extra)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
