//! Reading and writing loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use serde_json::Value;
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta::{self, MetaForm};
use starsnap_catalog::repo_info::RepoInfo;

#[test]
fn every_info_survives() {
    for case in common::all() {
        let Some(bytes) = &case.info else { continue };
        let info = case.info().unwrap();
        let written = info.to_bytes();
        assert_eq!(JobInfo::parse(&written).unwrap(), info, "{}", case.name);
        let (before, after): (Value, Value) =
            (serde_json::from_slice(bytes).unwrap(), serde_json::from_slice(&written).unwrap());
        assert_eq!(after, before, "{}", case.name);
    }
}

#[test]
fn every_meta_survives() {
    for case in common::all() {
        let Some(bytes) = &case.meta else { continue };
        let meta = case.meta().unwrap();
        let written = meta::write(&meta).unwrap();
        assert_eq!(meta::form(&written), MetaForm::Json);
        assert!(meta::read(&written).unwrap() == meta, "{}", case.name);
        if meta::form(bytes) == MetaForm::Json {
            let (before, after): (Value, Value) =
                (serde_json::from_slice(&bytes[4..]).unwrap(), serde_json::from_slice(&written[4..]).unwrap());
            contains(&before, &after, &case.name);
        }
    }
}

/// `after` holds everything of `before`; what it has more must be a default that the writer spells out.
fn contains(before: &Value, after: &Value, at: &str) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let Some(other) = after.get(key) else {
                    let nothing = value.as_object().is_some_and(|map| map.is_empty())
                        || value.as_array().is_some_and(|list| list.is_empty());
                    assert!(nothing, "{at}/{key} is lost: {value}");
                    continue;
                };
                contains(value, other, &format!("{at}/{key}"));
            }
            for (key, value) in after {
                let default = [Value::from(0), Value::from(0.0), false.into(), "".into(), "ScalarType".into()];
                let default =
                    default.contains(value) || *value == serde_json::json!({}) || *value == serde_json::json!([]);
                assert!(before.contains_key(key) || default, "{at}/{key} is new: {value}");
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len(), "{at}");
            for (i, (before, after)) in before.iter().zip(after).enumerate() {
                contains(before, after, &format!("{at}/{i}"));
            }
        }
        _ => assert_eq!(before, after, "{at}"),
    }
}

#[test]
fn every_repo_info_survives() {
    let mut seen = 0;
    for case in common::repositories() {
        let bytes = std::fs::read(case.dir.parent().unwrap().join("__repo_info")).unwrap();
        assert_eq!(RepoInfo::parse(&bytes).unwrap().to_bytes(), bytes, "{}", case.name);
        seen += 1;
    }
    assert!(seen > 10);
}
