//! What other versions may leave out, add or call otherwise: the rest of a catalog is read all the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use serde_json::{Map, Value, json};
use starsnap_catalog::CatalogError;
use starsnap_catalog::ddl::{Context, schema_sql};
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta::{self, MetaForm};
use starsnap_catalog::model::BackupMeta;
use starsnap_catalog::snapshot::{Snapshot, TableKind};
use std::collections::BTreeSet;

/// The catalog in parts: each of one table, and one of all else.
fn parts(mut catalog: Value) -> Vec<Value> {
    let tables = std::mem::take(catalog["tblNameMap"].as_object_mut().unwrap());
    let mut parts: Vec<Value> =
        tables.into_iter().map(|table| json!({"tblNameMap": Map::from_iter([table])})).collect();
    parts.push(catalog);
    parts
}

/// JSON catalogs that hold every kind of object between them.
fn catalogs() -> Vec<(String, Value)> {
    let wanted = ["sr33/extras", "sr35/extras", "sr35/catalogs", "sr40/hub"];
    let cases = common::all().into_iter().filter_map(|case| Some((case.meta?, case.name)));
    let json = cases.filter(|(bytes, _)| meta::form(bytes) == MetaForm::Json);
    let chosen = json.filter(|(_, name)| {
        wanted.iter().any(|part| name.contains(part)) && (!name.contains("hub") || name.contains("sr_hub_full"))
    });
    let found: Vec<_> = chosen.map(|(bytes, name)| (name, serde_json::from_slice(&bytes[4..]).unwrap())).collect();
    assert_eq!(found.len(), 4);
    found
}

fn read(value: &Value) -> Result<BackupMeta, CatalogError> {
    let text = serde_json::to_vec(value).unwrap();
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text);
    meta::read(&bytes)
}

/// True for an object whose keys are ids or names, not fields.
fn is_map(key: &str) -> bool {
    let by_id = key.starts_with("idTo") || key.starts_with("serializedIdTo") || key.starts_with("indexMetaIdTo");
    by_id
        || matches!(
            key,
            "tblNameMap"
                | "indexIdToMeta"
                | "indexNameToId"
                | "properties"
                | "config"
                | "baseTableVisibleVersionMap"
                | "mvPartitionNameRefBaseTablePartitionMap"
        )
}

/// Every field of every kind of object, once, as `idToPartition.*.name`.
fn fields(value: &Value, path: &str, of_map: bool, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let path = if of_map { format!("{path}.*") } else { format!("{path}.{key}") };
                if !of_map {
                    out.insert(path.clone());
                }
                fields(value, &path, !of_map && is_map(key), out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{path}[]"), false, out)),
        _ => {}
    }
}

/// Does `change` to the field wherever it is.
fn each(value: &mut Value, path: &str, of_map: bool, wanted: &str, change: &impl Fn(&mut Value, &str)) {
    match value {
        Value::Object(members) => {
            let keys: Vec<String> = members.keys().cloned().collect();
            for key in keys {
                let path = if of_map { format!("{path}.*") } else { format!("{path}.{key}") };
                if !of_map && path == wanted {
                    change(value, &key);
                    return;
                }
                let Some(inner) = value.get_mut(&key) else { continue };
                each(inner, &path, !of_map && is_map(&key), wanted, change);
            }
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| each(item, &format!("{path}[]"), false, wanted, change));
        }
        _ => {}
    }
}

/// Joins, and makes every statement: an error that says why is as good as a statement.
fn use_it(meta: &BackupMeta, at: &str) {
    let snapshot = Snapshot::join(None, Some(meta)).unwrap();
    assert_eq!(snapshot.tables.len(), meta.tbl_name_map.len(), "{at}");
    for table in meta.tbl_name_map.values() {
        if let Err(error) = schema_sql(table, &Context::default()) {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Without these nobody could tell what an object is, whose it is, or what it is called.
const REQUIRED: &[&str] = &[
    "tblNameMap",
    "clazz",
    "id",
    "name",
    "type",
    "schema",
    "indexId",
    "fn",
    "columns",
    "indexName",
    "indexType",
    "expr",
];

#[test]
fn whatever_an_object_lacks_the_others_are_read() {
    let mut tried = BTreeSet::new();
    let parts = catalogs()
        .into_iter()
        .flat_map(|(name, catalog)| parts(catalog).into_iter().map(move |part| (name.clone(), part)));
    for (name, catalog) in parts {
        let mut all = BTreeSet::new();
        fields(&catalog, "", false, &mut all);
        for field in all.iter().filter(|field| !tried.contains(*field)) {
            let at = format!("{name}: without {field}");
            let mut without = catalog.clone();
            each(&mut without, "", false, field, &|object, key| drop(object.as_object_mut().unwrap().remove(key)));
            assert_ne!(without, catalog, "{at}: nothing was changed");
            let key = field.rsplit('.').next().unwrap().trim_end_matches("[]");
            match read(&without) {
                Ok(meta) => use_it(&meta, &at),
                Err(error) => assert!(REQUIRED.contains(&key), "{at}: {error}"),
            }
        }
        tried.append(&mut all);
    }
    assert!(tried.len() > 700, "{}", tried.len());
}

#[test]
fn fields_of_versions_to_come_are_kept_and_change_nothing() {
    let future = json!({"clazz": "Thing", "list": [1, null, {"deep": 1e300}], "id": -1});
    for (name, catalog) in catalogs() {
        let mut all = BTreeSet::new();
        fields(&catalog, "", false, &mut all);
        // One field of each kind of object is enough to find it.
        let parents: BTreeSet<&str> = all.iter().map(|field| field.rsplit_once('.').unwrap().0).collect();
        let before = read(&catalog).unwrap();
        let mut after = catalog.clone();
        for parent in &parents {
            let first = all.iter().find(|field| field.rsplit_once('.').unwrap().0 == *parent).unwrap();
            each(&mut after, "", false, first, &|object, _| {
                object.as_object_mut().unwrap().insert("ofTheFuture".into(), future.clone());
            });
        }
        let read_after = read(&after).unwrap_or_else(|error| panic!("{name}: {error}"));
        let statements = |meta: &BackupMeta| -> Vec<String> {
            let context = Context::default();
            meta.tbl_name_map.values().map(|table| schema_sql(table, &context).unwrap_or_default()).collect()
        };
        assert_eq!(statements(&before), statements(&read_after), "{name}");
        let written = meta::write(&read_after).unwrap();
        let count = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("ofTheFuture").count();
        assert_eq!(count(&written), count(&serde_json::to_vec(&after).unwrap()), "{name}: some were lost");
        assert!(count(&written) >= parents.len(), "{name}");
    }
}

#[test]
fn classes_that_nobody_knows_are_named() {
    let (_, catalog) = catalogs().into_iter().find(|(name, _)| name.contains("sr35/extras")).unwrap();
    let unknown = |pointer: &str| {
        let mut changed = catalog.clone();
        let table = &mut changed["tblNameMap"]["base2"];
        *table.pointer_mut(pointer).unwrap() = json!("QuantumThing");
        let meta = read(&changed).unwrap();
        let snapshot = Snapshot::join(None, Some(&meta)).unwrap();
        let kind = snapshot.table("base2").unwrap().kind;
        let others = meta.tbl_name_map.values().filter(|table| table.name != "base2");
        assert!(others.map(|table| schema_sql(table, &Context::default())).filter(Result::is_ok).count() > 80);
        (kind, schema_sql(&meta.tbl_name_map["base2"], &Context::default()).unwrap_err().to_string())
    };
    let (_, error) = unknown("/clazz");
    assert!(error.contains("QuantumThing") && error.contains("base2"), "{error}");
    for pointer in ["/partitionInfo/clazz", "/defaultDistributionInfo/type", "/keysType"] {
        let (kind, error) = unknown(pointer);
        assert_eq!(kind, TableKind::Table);
        assert!(error.contains("QuantumThing") && error.contains("base2"), "{pointer}: {error}");
    }
    let base = catalog["tblNameMap"]["base2"]["baseIndexId"].to_string();
    let (_, error) = unknown(&format!("/indexIdToMeta/{base}/schema/0/type/clazz"));
    assert!(error.contains("QuantumThing"), "{error}");
}

#[test]
fn optional_parts_of_a_job_info_may_lack() {
    let text = r#"{"name":"s","database":"d","id":1,"backup_time":5,"backup_objects":{"t":{"id":2,"partitions":{
        "p":{"id":3,"version":4,"indexes":{"t":{"id":5,"schema_hash":-6,"tablets":{"7":[]}}}}}}},"later":{"x":[]}}"#;
    let snapshot = Snapshot::join(Some(&JobInfo::parse(text.as_bytes()).unwrap()), None).unwrap();
    let physical = &snapshot.tables[0].partitions[0].physicals[0];
    assert_eq!((physical.id, physical.version, physical.indexes[0].schema_hash), (3, 4, -6));
    assert_eq!(physical.indexes[0].tablets[0].id, 7);
    // What a number holds that is far too large is an error that names the file, never another number.
    let huge = text.replace("\"id\":2", "\"id\":99999999999999999999");
    assert!(JobInfo::parse(huge.as_bytes()).unwrap_err().to_string().contains("job info"));
}
