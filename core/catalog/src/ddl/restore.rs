//! RESTORE SNAPSHOT for everything in a snapshot.

use super::quote;
use crate::meta::MetaForm;
use crate::model::{Catalog, Function, PartitionLayout};
use crate::snapshot::{Snapshot, TableKind, Written};

/// The number by which 3.1.4 to 3.3.1 know that `__meta` is JSON.
const JSON_META: i32 = 4;

/// The statement, with comments on what it takes to run it. Where the snapshot holds tables and materialized views alone it is in
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
    let others = !(views.is_empty() && functions.is_empty() && catalogs.is_empty());
    out.push_str(&takes(snapshot.written, others, !materialized.is_empty()));
    let mut properties = format!("PROPERTIES (\n  \"backup_timestamp\" = {}", quote::double(timestamp));
    // 3.1.3 wrote the number of the form that it did not write yet.
    if snapshot.written.form == Some(MetaForm::Binary)
        && snapshot.starrocks_meta_version.is_some_and(|version| version >= JSON_META)
    {
        properties.push_str(",\n  \"starrocks_meta_version\" = \"3\"");
    }
    properties.push_str("\n);\n");
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
    out.push_str(&format!(
        "RESTORE SNAPSHOT {label} FROM {repository}\nDATABASE {database}\nON (\n  {list}\n)\n{properties}"
    ));
    out
}

/// Which versions can run it, as comments; `others`: there are views, functions or external catalogs.
fn takes(written: Written, others: bool, materialized: bool) -> String {
    let mut out = String::from(match (written.form, written.layout) {
        (Some(MetaForm::Binary), _) => {
            "-- It takes StarRocks 3.3.1 or earlier: later versions cannot read this form of catalog. What starsnap restores from this\n\
             -- snapshot and backs up again, they can.\n"
        }
        (_, Some(PartitionLayout::P3)) => "-- It takes StarRocks later than 4.0, as the one that made the backup.\n",
        (_, Some(PartitionLayout::P2)) => "-- It takes StarRocks 3.4 or later.\n",
        _ if others => "-- It takes StarRocks 3.4 or later.\n",
        (_, Some(PartitionLayout::P1Several)) => "-- It takes StarRocks 3.2 or later.\n",
        _ if materialized => "-- It takes StarRocks 3.2 or later.\n",
        (Some(MetaForm::Json), _) => "-- It takes StarRocks 3.1.4 or later.\n",
        (None, _) => "",
    });
    // Versions with the layouts of 3.4 and later never had the fault.
    if written.several_lists && written.layout < Some(PartitionLayout::P2) {
        out.push_str(
            "-- StarRocks versions made before the end of 2024 refuse tables with several list partitions, or restore one partition alone.\n",
        );
    }
    out
}
