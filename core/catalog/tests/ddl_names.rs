//! Properties name columns and tables by what they were called once: what they are called now is printed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "ddl/fixtures.rs"]
mod fixtures;

use starsnap_catalog::ddl::{self, Context};
use starsnap_catalog::model::{Column, Expr, Table};
use starsnap_catalog::snapshot::{CatalogText, TableEntry};
use starsnap_catalog::write;

/// A table of the fixtures, with the columns that are asked for, as (id, current name).
fn table(columns: &[(&str, &str)]) -> Table {
    let extras = fixtures::of_version("sr35").into_iter().find(|fixture| fixture.name.ends_with("extras")).unwrap();
    let mut table = extras.meta.tbl_name_map["tmp_ints"].clone();
    table.name = "t".into();
    table.id = 7;
    let id = table.base_index_id.unwrap();
    let schema = &mut table.index_id_to_meta.get_mut(&id).unwrap().schema;
    let model = schema[1].clone();
    schema.extend(columns.iter().map(|(id, name)| Column {
        name: (*name).to_owned(),
        column_id: Some((*id).to_owned()),
        ..model.clone()
    }));
    table
}

fn last_column(table: &mut Table) -> &mut Column {
    let id = table.base_index_id.unwrap();
    table.index_id_to_meta.get_mut(&id).unwrap().schema.last_mut().unwrap()
}

fn context() -> Context {
    Context { database: "db".into(), database_id: 1, tables: [(7, "t".into()), (8, "parent".into())].into() }
}

fn set(table: &mut Table, key: &str, value: &str) {
    table.table_property.get_or_insert_default().properties.insert(key.into(), value.into());
}

/// The value that is printed for a property.
fn printed(table: &Table, context: &Context, key: &str) -> Option<String> {
    let sql = ddl::schema_sql(table, context).unwrap();
    let start = format!("\"{key}\" = \"");
    let line = sql.lines().find_map(|line| line.trim().strip_prefix(&start).map(str::to_owned))?;
    Some(line.trim_end_matches(',').strip_suffix('"').unwrap().to_owned())
}

#[track_caller]
fn unique(table: &mut Table, context: &Context, stored: &str) -> Option<String> {
    set(table, "unique_constraints", stored);
    printed(table, context, "unique_constraints")
}

#[test]
fn bloom_filter_columns_are_sorted_and_those_that_are_gone_left_out() {
    let mut table = table(&[("x", "Zeta"), ("y", "alpha"), ("m", "Mid")]);
    table.bf_columns = Some(["x", "gone", "m", "y", "M"].map(String::from).into());
    assert_eq!(printed(&table, &context(), "bloom_filter_columns").as_deref(), Some("alpha, Mid, Zeta"));
    table.bf_columns = Some(vec!["gone".into()]);
    assert_eq!(printed(&table, &context(), "bloom_filter_columns"), None);
}

#[test]
fn columns_of_2023_are_found_by_their_name_on_disk() {
    let mut table = table(&[("x", "renamed")]);
    let column = last_column(&mut table);
    column.column_id = None;
    column.physical_name = Some("before".into());
    table.bf_columns = Some(vec!["before".into()]);
    assert_eq!(printed(&table, &context(), "bloom_filter_columns").as_deref(), Some("renamed"));
    assert_eq!(unique(&mut table, &context(), "before").as_deref(), Some("default_catalog.db.t.renamed"));
}

#[test]
fn unique_keys_have_the_current_names_of_columns_and_table() {
    let mut table = table(&[("a", "first"), ("b.c", "dot.ted"), ("first", "second")]);
    let context = context();
    let mut one = |stored: &str| unique(&mut table, &context, stored);
    let path = "default_catalog.db.t.";
    assert_eq!(one("default_catalog.db.t.a,b.c"), Some(format!("{path}first,dot.ted")));
    assert_eq!(one("default_catalog.db.t.first;a"), Some(format!("{path}second;{path}first")));
    // Before a rename of the table or the database; of a name with dots; of one that begins like the new.
    assert_eq!(one("default_catalog.db.old.a,b.c"), Some(format!("{path}first,dot.ted")));
    assert_eq!(one("default_catalog.before.t.b.c,a"), Some(format!("{path}dot.ted,first")));
    assert_eq!(one("default_catalog.db.T.64.b.c"), Some(format!("{path}dot.ted")));
    assert_eq!(one("default_catalog.db.t.x.a"), Some(format!("{path}first")));
    // Columns that are gone.
    assert_eq!(one("default_catalog.db.t.gone,a"), Some(format!("{path}first")));
    assert_eq!(one("default_catalog.db.t.gone"), None);
    // What is none of the forms stays.
    assert_eq!(one("what.is,this").as_deref(), Some("what.is,this"));
    let long = format!("a{}", ",a".repeat(40_000));
    assert_eq!(one(&long), Some(long));
}

#[test]
fn a_renamed_table_takes_its_unique_keys_along() {
    let stored = "default_catalog.db.t.a;default_catalog.db.t.b,t;b;default_catalog.db.t2.a";
    for (clazz, expected) in [
        ("OlapTable", "default_catalog.db.ot her.a;default_catalog.db.ot her.b,t;b;default_catalog.db.t2.a"),
        ("MaterializedView", stored),
    ] {
        let mut table = table(&[]);
        table.clazz = clazz.into();
        set(&mut table, "unique_constraints", stored);
        let catalog = Some(CatalogText::of(&table).unwrap());
        let mut entry = TableEntry { id: 7, name: "t".into(), catalog, ..entry() };
        write::rename(&mut entry, "ot her").unwrap();
        let table = entry.parse().unwrap().unwrap();
        assert_eq!(table.table_property.unwrap().properties["unique_constraints"], expected);
    }
}

fn entry() -> TableEntry {
    let extras = fixtures::of_version("sr35").into_iter().find(|fixture| fixture.name.ends_with("extras")).unwrap();
    let meta = extras.meta;
    let snapshot = starsnap_catalog::snapshot::Snapshot::join(None, Some(&meta)).unwrap();
    TableEntry { partitions: Vec::new(), ..snapshot.tables.into_iter().next().unwrap() }
}

#[test]
fn foreign_keys_have_names_on_both_sides() {
    let mut table = table(&[("a", "first"), ("b", "second")]);
    let mut context = context();
    let one = |table: &mut Table, context: &Context, stored: &str| {
        set(table, "foreign_key_constraints", stored);
        printed(table, context, "foreign_key_constraints")
    };
    assert_eq!(
        one(&mut table, &context, "(a,b) REFERENCES default_catalog.1.8(x,y);(a) REFERENCES hive.d.p:17(z)").as_deref(),
        Some("(first,second) REFERENCES default_catalog.db.parent(x,y);(first) REFERENCES hive.d.p(z)")
    );
    // Of a table that refers to itself, both sides are known; a pair that has lost a column goes.
    assert_eq!(
        one(&mut table, &context, "(a,gone,b) REFERENCES default_catalog.1.7(b,a,gone)").as_deref(),
        Some("(first) REFERENCES default_catalog.db.t(second)")
    );
    assert_eq!(one(&mut table, &context, "(gone) REFERENCES default_catalog.1.8(x)"), None);
    // A materialized view's has the child's path.
    let of_view = "default_catalog.1.7(a) REFERENCES default_catalog.1.8(x)";
    assert_eq!(
        one(&mut table, &context, of_view).as_deref(),
        Some("default_catalog.db.t(a) REFERENCES default_catalog.db.parent(x)")
    );
    context.tables.remove(&7);
    assert_eq!(one(&mut table, &context, of_view), None);
    let sql = ddl::schema_sql(&table, &context).unwrap();
    assert!(sql.contains(&format!("-- The foreign key {of_view} refers to a table that is not")), "{sql}");
    context.tables.clear();
    assert_eq!(one(&mut table, &context, "(a) REFERENCES default_catalog.1.8(x)"), None);
    let long = format!("(a) REFERENCES default_catalog.1.8({})", "x,".repeat(40_000));
    assert_eq!(one(&mut table, &context, &long), Some(long));
}

#[test]
fn without_a_database_no_path_is_printed() {
    let mut table = table(&[("a", "first")]);
    let context = Context { database: String::new(), database_id: 0, ..context() };
    let one = unique(&mut table, &context, "default_catalog.db.t.a;default_catalog.db.old.a;a");
    assert_eq!(one.as_deref(), Some("first;first;first"));
    set(&mut table, "foreign_key_constraints", "(a) REFERENCES default_catalog.1.8(x)");
    assert_eq!(printed(&table, &context, "foreign_key_constraints").as_deref(), Some("(first) REFERENCES parent(x)"));
}

#[test]
fn expressions_that_take_long_are_printed_as_stored() {
    // Each is short enough; together they would take minutes.
    let ids: Vec<String> = (0..300).map(|at| format!("c{at}")).collect();
    let columns: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "new")).collect();
    for text in ["c0 + ".repeat(12_000), "\\'".repeat(30_000), "CAST((".repeat(10_000)] {
        let mut table = table(&columns);
        let id = table.base_index_id.unwrap();
        for column in &mut table.index_id_to_meta.get_mut(&id).unwrap().schema {
            column.materialized_column_expr = Some(Expr { expr: text.clone(), ..Expr::default() });
        }
        let start = std::time::Instant::now();
        let sql = ddl::schema_sql(&table, &context()).unwrap();
        assert!(sql.contains(&text) && start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
    let mut table = table(&columns);
    last_column(&mut table).materialized_column_expr = Some(Expr { expr: "c0 + 1".into(), ..Expr::default() });
    assert!(ddl::schema_sql(&table, &context()).unwrap().contains("AS `new` + 1"));
}

#[test]
fn keys_that_would_become_huge_are_printed_as_stored() {
    let name = "x".repeat(1 << 20);
    let mut table = table(&[("a", &name), ("b", "b")]);
    let context = context();
    for stored in ["a,a".repeat(10_000), "a;".repeat(20_000)] {
        assert_eq!(unique(&mut table, &context, &stored).as_ref(), Some(&stored));
    }
    let columns = |column: &str| vec![column; 10_000].join(",");
    for stored in [
        format!("({}) REFERENCES default_catalog.1.8({})", columns("a"), columns("b")),
        format!("({}) REFERENCES default_catalog.1.7({})", columns("b"), columns("a")),
        "(a) REFERENCES default_catalog.1.8(b);".repeat(1000),
    ] {
        set(&mut table, "foreign_key_constraints", &stored);
        assert_eq!(printed(&table, &context, "foreign_key_constraints"), Some(stored));
    }
}
