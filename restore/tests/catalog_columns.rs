//! Which columns rows have where the catalog and the tablets differ: a restored table whose `table.json` says something else of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::exporting::{self, Pipe};
use common::{open, options, run, source, table};
use serde_json::Value;
use starsnap_catalog::model::{Column, DefaultExpr, Table, Type};
use starsnap_catalog::snapshot::CatalogText;
use starsnap_catalog::table_file::TableFile;
use starsnap_restore::export::{ExportOptions, Format};
use starsnap_restore::report::JobStatus;
use std::path::{Path, PathBuf};

/// The table `name` of sr35's hub restored, with `change` made to its catalog object.
async fn changed(warehouse: &Path, name: &str, change: impl Fn(&mut Vec<Column>)) -> PathBuf {
    let repository = open(&common::location("sr35/hub")).await;
    let restored = options(source(&repository, "sr_hub_full").await, warehouse);
    let report = run(starsnap_restore::restore::RestoreOptions { tables: table(name), ..restored }).await.unwrap();
    assert_eq!(report.status, JobStatus::Done);
    let dir = warehouse.join("sr_hub").join(name);
    let path = dir.join("table.json");
    let mut file = TableFile::parse(&std::fs::read(&path).unwrap()).unwrap();
    let mut table: Table = file.entry.parse().unwrap().unwrap();
    let base = table.base_index_id.unwrap();
    change(&mut table.index_id_to_meta.get_mut(&base).unwrap().schema);
    file.entry.catalog = Some(CatalogText::of(&table).unwrap());
    std::fs::write(path, file.to_json().unwrap()).unwrap();
    dir
}

async fn options_of(dir: &Path) -> ExportOptions {
    exporting::all_rows(dir.to_str().unwrap(), Format::JsonLines).await.unwrap()
}

async fn rows(dir: &Path, columns: &[&str]) -> Vec<Value> {
    let mut options = options_of(dir).await;
    options.columns = columns.iter().map(ToString::to_string).collect();
    let (bytes, _) = exporting::piped(options).await;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn names(row: &Value) -> Vec<&str> {
    row.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_starrocks_made_for_itself_are_exported_only_when_named() {
    let dir = tempfile::tempdir().unwrap();
    let changes: [fn(&mut Column); 2] = [
        // What PARTITION BY date_trunc('month', d), city makes of the expression.
        |column| {
            column.name = "__generated_partition_column_0".into();
            column.materialized_column_expr.get_or_insert_default().expr = "date_trunc('month', `d`)".into();
        },
        |column| column.is_hidden = Some(true),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let warehouse = dir.path().join(number.to_string());
        let table = changed(&warehouse, "sr_member", |schema| change(&mut schema[3])).await;
        let all = rows(&table, &[]).await;
        assert!(all.len() > 10 && all.iter().all(|row| row.as_object().unwrap().len() == 4), "{:?}", all.first());
        assert_eq!(names(&all[0]), ["sr_id", "name", "city_code", "verified"]);
        let name = if number == 0 { "__generated_partition_column_0" } else { "reg_date" };
        let one = rows(&table, &[name]).await;
        assert_eq!(one.len(), all.len());
        assert!(one.iter().all(|row| names(row) == [name]), "{:?}", one.first());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_added_after_the_last_load_have_their_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let before = rows(&changed(&dir.path().join("before"), "users", |_| {}).await, &[]).await;
    let ty = |name: &str, len: i64| Type {
        clazz: "ScalarType".into(),
        primitive: Some(name.into()),
        len: Some(len),
        ..Type::default()
    };
    let column = |name: &str, id: i32, ty: Type, default: Option<&str>| Column {
        name: name.into(),
        column_id: Some(name.into()),
        unique_id: Some(id),
        ty,
        aggregation_type: Some("REPLACE".into()),
        is_allow_null: default.is_none(),
        default_value: default.map(str::to_owned),
        ..Column::default()
    };
    let table = changed(&dir.path().join("after"), "users", |schema| {
        // A dropped column's name again: what tablets have under it is not this one.
        let reused = schema.last().unwrap().name.clone();
        schema.pop();
        schema.push(column("since", 900, ty("DATE", -1), Some("2024-02-29")));
        schema.push(column("note", 901, ty("VARCHAR", 20), None));
        schema.push(column(&reused, 902, ty("INT", -1), Some("-7")));
    })
    .await;
    let after = rows(&table, &[]).await;
    assert!(before.len() > 100 && before.len() == after.len());
    let reused = names(&before[0]).last().unwrap().to_string();
    for (before, after) in before.iter().zip(&after) {
        let (before, after) = (before.as_object().unwrap(), after.as_object().unwrap());
        assert_eq!(after["since"], "2024-02-29");
        assert_eq!(after["note"], Value::Null);
        assert_eq!(after[&reused], -7);
        for (name, value) in before.iter().filter(|(name, _)| **name != reused) {
            assert_eq!(&after[name], value);
        }
    }
    // An expression's value when the column was added is not stored: it is refused, not made up.
    let table = changed(&dir.path().join("expression"), "users", |schema| {
        let mut now = column("at", 900, ty("DATETIME", -1), None);
        now.is_allow_null = false;
        now.default_expr = Some(DefaultExpr { expr: Some("now()".into()), ..DefaultExpr::default() });
        schema.push(now);
    })
    .await;
    let report = exporting::run(options_of(&table).await, Pipe::default().target()).await.unwrap();
    assert!(report.tables[0].problems[0].contains("column at"), "{report:?}");
}
