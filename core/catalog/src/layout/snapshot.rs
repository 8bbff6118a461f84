//! Names in the directory of one snapshot.

use super::names::{Names, escape};
use crate::ddl::function_signature;
use crate::model::{Catalog, Function};
use crate::snapshot::{CatalogText, Snapshot, TableKind};
use std::collections::HashMap;

/// Layout of one snapshot's directory (`<label>/<timestamp>/`).
///
/// Who keeps its name where two meet: tables, then views, then functions, then our own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLayout {
    /// For each entry of `tables`: a directory name, or `<name>.sql` for views.
    pub tables: Vec<String>,
    /// For each of `functions`: a file name, `<name>.sql`, with argument types where overloaded.
    pub functions: Vec<String>,
    /// For each of `catalogs`: a file name below `catalogs_dir`.
    pub catalogs: Vec<String>,
    pub catalogs_dir: String,
    pub snapshot_json: String,
    pub restore_sql: String,
}

impl SnapshotLayout {
    /// The layout of `snapshot`'s directory.
    pub fn of(snapshot: &Snapshot) -> SnapshotLayout {
        let mut names = Names::default();
        let tables = table_names(snapshot, &mut names);
        let functions = function_names(&snapshot.functions, &mut names);
        let mut in_catalogs = Names::default();
        let catalogs = snapshot.catalogs.iter().map(|text| {
            let base = text.parse::<Catalog>().map_or_else(|_| "%catalog".into(), |catalog| escape(&catalog.name));
            in_catalogs.claim(&base, ".sql")
        });
        let catalogs = catalogs.collect();
        SnapshotLayout {
            snapshot_json: names.ours("snapshot.json"),
            restore_sql: names.ours("restore.sql"),
            catalogs_dir: names.ours("catalogs"),
            tables,
            functions,
            catalogs,
        }
    }
}

/// Directories take their names first; then views, which become `<name>%view.sql` beside a table `<name>.sql`.
fn table_names(snapshot: &Snapshot, taken: &mut Names) -> Vec<String> {
    let mut names = vec![String::new(); snapshot.tables.len()];
    let of_kind =
        |view: bool| snapshot.tables.iter().enumerate().filter(move |(_, t)| (t.kind == TableKind::View) == view);
    for (at, table) in of_kind(false) {
        names[at] = taken.claim(&escape(&table.name), "");
    }
    for (at, view) in of_kind(true) {
        names[at] = claim_sql(taken, &escape(&view.name), "%view");
    }
    names
}

/// `<name>.sql`, or `<name>(<types>).sql` where several functions share the name or something else has it.
fn function_names(functions: &[CatalogText], taken: &mut Names) -> Vec<String> {
    let functions: Vec<Option<Function>> = functions.iter().map(|text| text.parse().ok()).collect();
    let mut overloads: HashMap<&str, usize> = HashMap::new();
    for function in functions.iter().flatten() {
        *overloads.entry(&function.name.name).or_default() += 1;
    }
    let name_of = |function: &Option<Function>| {
        let Some(function) = function else {
            // Not readable as a function: still shown, and told apart by number.
            return taken.claim("%function", ".sql");
        };
        let name = escape(&function.name.name);
        let overloaded = overloads.get(function.name.name.as_str()).is_some_and(|count| *count > 1);
        if !overloaded && taken.take(&format!("{name}.sql")) {
            return format!("{name}.sql");
        }
        claim_sql(taken, &escape(&function_signature(function)), "%function")
    };
    functions.iter().map(name_of).collect()
}

/// Takes `<name>.sql`, else `<name><mark>.sql`, else that with a number.
fn claim_sql(taken: &mut Names, name: &str, mark: &str) -> String {
    let plain = format!("{name}.sql");
    if taken.take(&plain) { plain } else { taken.claim(&format!("{name}{mark}"), ".sql") }
}
