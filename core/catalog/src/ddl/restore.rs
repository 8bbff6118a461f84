//! RESTORE SNAPSHOT for everything in a snapshot.

use super::quote;
use crate::model::{Catalog, Function};
use crate::snapshot::{Snapshot, TableKind};

/// The statement, with a comment on what it takes to run it. Where the snapshot holds tables and materialized views alone it is in
/// the form that every version knows; views, functions and external catalogs need that of 3.4.
pub fn statement(snapshot: &Snapshot, repository: &str, timestamp: &str) -> String {
    if snapshot.label.is_empty() {
        return "-- There is no statement: this backup did not finish (it has no __info), so StarRocks cannot restore it.\n".into();
    }
    let of = |kinds: &[TableKind]| -> Vec<&str> {
        let entries = snapshot.tables.iter().filter(|table| kinds.contains(&table.kind));
        entries.map(|table| table.name.as_str()).collect()
    };
    let tables = of(&[TableKind::Table, TableKind::Other]);
    let (materialized, views) = (of(&[TableKind::MaterializedView]), of(&[TableKind::View]));
    let mut functions: Vec<String> = snapshot
        .functions
        .iter()
        .filter_map(|text| text.parse::<Function>().ok())
        .map(|function| function.name.name)
        .collect();
    functions.sort();
    // One name stands for all functions of that name.
    functions.dedup();
    let catalogs: Vec<String> =
        snapshot.catalogs.iter().filter_map(|text| text.parse::<Catalog>().ok()).map(|catalog| catalog.name).collect();

    let mut out = String::from(
        "-- Makes everything in this snapshot again, with StarRocks' default number of replicas: set \"replication_num\" for another.\n",
    );
    let properties = format!("PROPERTIES (\n  \"backup_timestamp\" = {}\n);\n", quote::double(timestamp));
    let (label, repository) = (quote::name(&snapshot.label), quote::name(repository));
    if !catalogs.is_empty() {
        let list = quote::names(catalogs.iter().map(String::as_str), ", ");
        out.push_str(&format!("RESTORE SNAPSHOT {label} FROM {repository}\nEXTERNAL CATALOGS ({list})\n{properties}"));
        return out;
    }
    let database = quote::name(&snapshot.database);
    if views.is_empty() && functions.is_empty() {
        let list = quote::names(tables.iter().chain(&materialized).copied(), ",\n  ");
        let on = if list.is_empty() { String::new() } else { format!("ON (\n  {list}\n)\n") };
        out.push_str(&format!("RESTORE SNAPSHOT {database}.{label} FROM {repository}\n{on}{properties}"));
        return out;
    }
    let function_names: Vec<&str> = functions.iter().map(String::as_str).collect();
    let kinds: [(&str, &[&str]); 4] =
        [("TABLE", &tables), ("MATERIALIZED VIEW", &materialized), ("VIEW", &views), ("FUNCTION", &function_names)];
    let objects =
        kinds.iter().flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {}", quote::name(name))));
    let list = objects.collect::<Vec<_>>().join(",\n  ");
    out.push_str("-- It takes StarRocks 3.4 or later.\n");
    out.push_str(&format!(
        "RESTORE SNAPSHOT {label} FROM {repository}\nDATABASE {database}\nON (\n  {list}\n)\n{properties}"
    ));
    out
}
