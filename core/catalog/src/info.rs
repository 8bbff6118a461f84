//! The job info `__info_<timestamp>`: which tablets belong to which index, in bucket order, and the versions. Shapes A (1.19 to 2.1.4),
//! B (2.1.5 to 3.1), C (3.2, 3.3) and D (3.4 and later) differ by which keys are there, and are told apart by that alone.
//!
//! Fields stand in the order in which StarRocks writes their keys.

use crate::error::{CatalogError, Result};
use crate::model::Extra;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobInfo {
    /// Bare database name; empty for snapshots of external catalogs.
    pub database: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_version: Option<i32>,
    /// Milliseconds since the epoch.
    pub backup_time: i64,
    /// The label.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starrocks_meta_version: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_result: Option<String>,
    /// Database id; −1 for snapshots of external catalogs.
    pub id: i64,
    /// By name. Where a charset lost the names of two of them (both `??`), the second is filed under `??#<id>`.
    #[serde(default, deserialize_with = "keep_all")]
    pub backup_objects: BTreeMap<String, InfoTable>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A table, materialized view or view (`partitions` empty).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoTable {
    #[serde(default, deserialize_with = "keep_all")]
    pub partitions: BTreeMap<String, InfoPartition>,
    #[serde(rename = "autoIncrementId", default, skip_serializing_if = "Option::is_none")]
    pub auto_increment_id: Option<i64>,
    pub id: i64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A logical partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoPartition {
    /// Index name to index; empty when the physical partitions are listed below.
    #[serde(default, deserialize_with = "keep_all")]
    pub indexes: BTreeMap<String, InfoIndex>,
    pub id: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_hash: Option<i64>,
    pub version: i64,
    /// Physical partitions (3.2 and later), keyed by id.
    #[serde(rename = "subPartitions", default, skip_serializing_if = "Option::is_none")]
    pub sub_partitions: Option<BTreeMap<String, InfoSubPartition>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A physical partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoSubPartition {
    #[serde(default, deserialize_with = "keep_all")]
    pub indexes: BTreeMap<String, InfoIndex>,
    pub id: i64,
    pub version: i64,
    #[serde(flatten)]
    pub extra: Extra,
}

/// An index of a partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InfoIndex {
    #[serde(default)]
    pub schema_hash: i64,
    /// Tablet ids in bucket order; strings in StarRocks, numbers in Doris, absent in shape A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablets_order: Option<Vec<serde_json::Value>>,
    pub id: i64,
    /// Tablet id to `<file>.<md5>` names; the lists are empty since 3.3.1.
    #[serde(default)]
    pub tablets: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What the maps by name hold.
trait Identified {
    fn id(&self) -> i64;
}

impl Identified for InfoTable {
    fn id(&self) -> i64 {
        self.id
    }
}

impl Identified for InfoPartition {
    fn id(&self) -> i64 {
        self.id
    }
}

impl Identified for InfoIndex {
    fn id(&self) -> i64 {
        self.id
    }
}

/// Reads a map by name without losing one of two objects whose names became the same on the way (`名前` and `住所` are both `??` in
/// ASCII): serde's own map would keep only the last.
fn keep_all<'de, D: Deserializer<'de>, T: Deserialize<'de> + Identified>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    struct Named<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de> + Identified> Visitor<'de> for Named<T> {
        type Value = BTreeMap<String, T>;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((mut name, object)) = access.next_entry::<String, T>()? {
                if all.contains_key(&name) {
                    name = format!("{name}#{}", object.id());
                }
                if all.contains_key(&name) {
                    return Err(serde::de::Error::custom(format_args!("{name:?} is there twice")));
                }
                all.insert(name, object);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_map(Named(PhantomData))
}

impl JobInfo {
    /// Reads the file's bytes. Text that is not UTF-8 (an FE with another default charset) is read lossily: names come from `__meta`.
    pub fn parse(bytes: &[u8]) -> Result<JobInfo> {
        serde_json::from_str(&String::from_utf8_lossy(bytes))
            .map_err(|source| CatalogError::Json { what: "the job info (__info)", source })
    }

    /// The file's bytes.
    #[allow(clippy::expect_used)] // Strings and numbers under string keys: nothing that could fail to become JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a job info is plain data")
    }
}

impl InfoIndex {
    /// Tablet ids in bucket order: `tablets_order`, or sorted numerically where it is missing or empty.
    pub fn ordered_tablets(&self) -> Result<Vec<i64>> {
        let damaged = |id: &dyn std::fmt::Display| CatalogError::Inconsistent {
            what: format!("index {} in the job info (__info)", self.id),
            reason: format!("`{id}` is no tablet id"),
        };
        match self.tablets_order.as_deref() {
            None | Some([]) => {
                let mut ids = Vec::with_capacity(self.tablets.len());
                for id in self.tablets.keys() {
                    ids.push(id.parse().map_err(|_| damaged(id))?);
                }
                ids.sort_unstable();
                Ok(ids)
            }
            Some(order) => order
                .iter()
                .map(|id| match id {
                    serde_json::Value::String(text) => text.parse().map_err(|_| damaged(text)),
                    other => other.as_i64().ok_or_else(|| damaged(other)),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn index(text: &str) -> InfoIndex {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn order_is_given_or_numeric() {
        let tablets = r#""tablets":{"10":[],"9":["9.hdr.x"],"100":[]}"#;
        assert_eq!(index(&format!(r#"{{"id":1,{tablets}}}"#)).ordered_tablets().unwrap(), [9, 10, 100]);
        assert_eq!(
            index(&format!(r#"{{"id":1,{tablets},"tablets_order":[]}}"#)).ordered_tablets().unwrap(),
            [9, 10, 100]
        );
        let given = format!(r#"{{"id":1,{tablets},"tablets_order":["100",9,"10"]}}"#);
        assert_eq!(index(&given).ordered_tablets().unwrap(), [100, 9, 10]);
    }

    #[test]
    fn order_of_no_numbers_is_an_error() {
        for order in [r#"["x"]"#, "[1.5]", "[null]", r#"["99999999999999999999"]"#] {
            let error = index(&format!(r#"{{"id":77,"tablets_order":{order}}}"#)).ordered_tablets().unwrap_err();
            assert!(error.to_string().contains("index 77"), "{error}");
        }
        assert!(index(r#"{"id":1,"tablets":{"a":[]}}"#).ordered_tablets().is_err());
    }

    #[test]
    fn lost_names_keep_their_objects() {
        let text = r#"{"name":"s","database":"d","id":1,"backup_time":5,"backup_objects":{
            "??":{"id":7,"partitions":{"??":{"id":70,"version":1},"??":{"id":71,"version":2}}},"??":{"id":8}}}"#;
        let info = JobInfo::parse(text.as_bytes()).unwrap();
        assert_eq!(info.backup_objects.values().map(|table| table.id).collect::<Vec<_>>(), [7, 8]);
        let versions: Vec<_> = info.backup_objects["??"].partitions.values().map(|p| (p.id, p.version)).collect();
        assert_eq!(versions, [(70, 1), (71, 2)]);
        assert_eq!(JobInfo::parse(&info.to_bytes()).unwrap(), info);
        let twice =
            text.replace("\"id\":8", "\"id\":7").replace("\"??\":{\"id\":7}", "\"??\":{\"id\":7},\"??\":{\"id\":7}");
        assert!(JobInfo::parse(twice.as_bytes()).unwrap_err().to_string().contains("job info"));
    }

    #[test]
    fn other_charsets_are_read() {
        let mut bytes =
            br#"{"name":"s","database":"d","id":1,"backup_time":5,"backup_objects":{"XX":{"id":7}}}"#.to_vec();
        let at = bytes.windows(2).position(|two| two == b"XX").unwrap();
        bytes[at..at + 2].copy_from_slice(&[0xc3, 0xfb]); // a GBK character
        assert_eq!(JobInfo::parse(&bytes).unwrap().backup_objects.values().next().unwrap().id, 7);
    }
}
