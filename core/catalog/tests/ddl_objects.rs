//! Statements of which StarRocks prints none, or a wrong one: what follows a table, functions, external catalogs, RESTORE.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "ddl/fixtures.rs"]
mod fixtures;
#[path = "ddl/lexer.rs"]
mod lexer;

use fixtures::Fixture;
use starsnap_catalog::ddl;
use starsnap_catalog::snapshot::{CatalogText, Snapshot, TableEntry, TableKind};
use std::path::Path;

fn fixture(version: &str, end: &str) -> Fixture {
    fixtures::of_version(version).into_iter().find(|fixture| fixture.name.ends_with(end)).expect("the fixture")
}

fn schema_sql(fixture: &Fixture, table: &str) -> String {
    ddl::schema_sql(&fixture.meta.tbl_name_map[table], &fixture.context).unwrap()
}

#[track_caller]
fn holds(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text}");
}

#[test]
fn maxvalue_of_several_columns_is_a_list() {
    let gallery = fixture("sr35", "gallery");
    let count =
        gallery.tables().filter(|table| schema_sql(&gallery, &table.name).contains("(MAXVALUE, MAXVALUE)")).count();
    let printed = gallery.blocks.values().filter(|block| block.contains("(MAXVALUEMAXVALUE)")).count();
    assert_eq!((count, printed), (3, 3));
}

#[test]
fn lists_hold_null_and_escaped_quotes() {
    let extras = fixture("sr35", "extras");
    holds(&schema_sql(&extras, "list_null"), "PARTITION l1 VALUES IN ('a', NULL)");
    holds(&schema_sql(&extras, "list_multi"), "(('u\\'s', '2024-01-01'))");
    holds(&schema_sql(&extras, "list_types"), "(('TRUE', '2024-01-01 00:00:00'))");
}

#[test]
fn comments_hold_no_raw_control_character() {
    let sql = schema_sql(&fixture("sr35", "extras"), "cmt");
    for part in ["\"tab\\there\"", "\"new\\nline\"", "\"cr\\r\\n\"", "\"nul\\0x\"", "\"pct % _ \\\\% \\\\_\""] {
        holds(&sql, part);
    }
    assert!(!sql.contains(['\t', '\r', '\0']));
}

#[test]
fn a_sort_key_of_a_view_stands_between_backticks_where_needed() {
    let gallery = fixture("sr35", "gallery");
    holds(&schema_sql(&gallery, "MV größe 7"), "\nORDER BY (`select`)\n");
    holds(&schema_sql(&gallery, "mv-17"), "\nORDER BY (amount)\n");
}

#[test]
fn rollups_views_and_temporary_partitions_follow_as_comments() {
    let extras = fixture("sr35", "extras");
    let after = |table: &str| {
        let sql = schema_sql(&extras, table);
        sql[sql.find(");\n").unwrap() + 3..].to_owned()
    };
    assert_eq!(
        after("evo_agg"),
        "-- ALTER TABLE `evo_agg` ADD ROLLUP `r1` (`k2`, `v1`, `v3`);\n-- ALTER TABLE `evo_agg` ADD ROLLUP `r3` (`k1`, `h`);\n"
    );
    assert_eq!(
        after("base2"),
        "-- CREATE MATERIALIZED VIEW sync3 AS SELECT country, city FROM base2 ORDER BY country;\n"
    );
    holds(&after("tmp_range"), "-- ALTER TABLE `tmp_range` ADD TEMPORARY PARTITION `tp2` VALUES [(\"");
    holds(&after("tmp_list"), "-- ALTER TABLE `tmp_list` ADD TEMPORARY PARTITION ");
    holds(&after("tmp_list"), " VALUES IN ('");
    assert_eq!(after("fk_child"), "");
}

#[test]
fn every_index_and_temporary_partition_is_named() {
    for version in ["sr23", "sr33", "sr35", "sr40"] {
        for fixture in fixtures::of_version(version) {
            for table in fixture.tables().filter(|table| table.clazz == "OlapTable") {
                let sql = schema_sql(&fixture, &table.name);
                let comments =
                    sql.lines().filter(|line| line.starts_with("-- ALTER") || line.starts_with("-- CREATE")).count();
                let temporary = table.temp_partitions.as_ref().map_or(0, |partitions| partitions.id_to_partition.len());
                assert_eq!(comments, table.index_id_to_meta.len() - 1 + temporary, "{sql}");
            }
        }
    }
}

#[test]
fn a_foreign_key_to_a_table_elsewhere_is_a_note() {
    let mut extras = fixture("sr35", "extras");
    extras.context.tables.retain(|_, name| name != "fk_parent");
    let sql = schema_sql(&extras, "fk_child");
    holds(
        &sql,
        "\"foreign_key_constraints\" = \"(p1,p2) REFERENCES default_catalog.gallery_extras.fk_parent2(id,id2)\"",
    );
    holds(&sql, "-- The foreign key (pid) REFERENCES default_catalog.");
}

#[test]
fn signatures_are_those_of_starrocks() {
    let extras = fixture("sr35", "extras");
    let tsv = std::fs::read_to_string(Path::new(&extras.name).join("functions.tsv")).unwrap();
    let mut expected: Vec<&str> = tsv.lines().skip(1).map(|line| line.split('\t').next().unwrap()).collect();
    let mut ours: Vec<String> = extras.meta.functions.iter().map(ddl::function_signature).collect();
    expected.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, expected);
    assert_eq!(ours.len(), 7);
}

#[test]
fn functions_are_made_as_they_were() {
    let extras = fixture("sr35", "extras");
    let of = |name: &str| {
        let function = extras.meta.functions.iter().find(|function| function.name.name == name).unwrap();
        ddl::function_sql(function).unwrap()
    };
    assert_eq!(
        of("cat_fn"),
        "CREATE FUNCTION `cat_fn`(VARCHAR(65533), INT)\nRETURNS VARCHAR(65533)\nPROPERTIES (\n\"file\" = \"file:///opt/starrocks/ex1.jar\",\n\
         \"isolation\" = \"shared\",\n\"symbol\" = \"com.ex.Cat\",\n\"type\" = \"StarrocksJar\"\n);\n"
    );
    assert_eq!(
        of("win_sum"),
        "CREATE AGGREGATE FUNCTION `win_sum`(INT)\nRETURNS INT\nPROPERTIES (\n\"analytic\" = \"true\",\n\
         \"file\" = \"file:///opt/starrocks/ex1.jar\",\n\"symbol\" = \"com.ex.WinSum\",\n\"type\" = \"StarrocksJar\"\n);\n"
    );
    holds(&of("my_split"), "CREATE TABLE FUNCTION `my_split`(VARCHAR(65533))\nRETURNS VARCHAR(65533)\n");
    holds(&of("py_add"), "\"input\" = \"arrow\"");
    assert_eq!(
        of("py_up"),
        "CREATE FUNCTION `py_up`(VARCHAR(65533))\nRETURNS VARCHAR(65533)\nfile = 'inline'\ninput = 'scalar'\nsymbol = 'up'\n\
         type = 'Python'\nAS $$\ndef up(x):\n    return x.upper() + \"it's\"\n$$;\n"
    );
}

#[test]
fn catalogs_hide_their_secrets_and_nothing_else() {
    let catalogs = fixture("sr35", "catalogs");
    let secrets =
        ["ACCESSKEYEXAMPLE12", "very/secret+key==", "p@ss'w\"ord", "abcdefghij", "\"pw\"", "\"client.secret\" = \"x\""];
    let mut hidden = 0;
    for catalog in &catalogs.meta.catalogs {
        let sql = ddl::catalog_sql(catalog).unwrap();
        lexer::tokens(&sql).unwrap();
        for secret in secrets {
            assert!(!sql.contains(secret), "{sql}");
        }
        for (key, value) in &catalog.config {
            let shown = if ddl::is_secret_property(key) { "***" } else { value };
            holds(&sql, &format!("\"{key}\" = {}", ddl::quote_string(shown)));
            hidden += usize::from(shown == "***");
        }
    }
    assert_eq!((catalogs.meta.catalogs.len(), hidden), (9, 6));
    let hive = catalogs.meta.catalogs.iter().find(|catalog| catalog.name == "hive_cat").unwrap();
    holds(
        &ddl::catalog_sql(hive).unwrap(),
        "CREATE EXTERNAL CATALOG `hive_cat`\nCOMMENT \"hive \\\"c\\\"\"\nPROPERTIES (\n",
    );
}

fn entry(name: &str, kind: TableKind) -> TableEntry {
    TableEntry { id: 1, name: name.into(), kind, catalog: None, auto_increment_id: None, partitions: Vec::new() }
}

#[test]
fn restore_of_tables_is_in_the_form_of_every_version() {
    let snapshot = Snapshot {
        label: "sr_member_backup".into(),
        database: "sr_hub".into(),
        tables: vec![
            entry("m", TableKind::MaterializedView),
            entry("sr_member", TableKind::Table),
            entry("a`b", TableKind::Table),
        ],
        ..Snapshot::default()
    };
    let sql = ddl::restore_sql(&snapshot, "test_repo", "2023-02-07-14-45-53-143");
    holds(&sql, "replication_num");
    assert!(sql.ends_with(
        "RESTORE SNAPSHOT `sr_hub`.`sr_member_backup` FROM `test_repo`\nON (\n  `sr_member`,\n  `a``b`,\n  `m`\n)\nPROPERTIES (\n  \
         \"backup_timestamp\" = \"2023-02-07-14-45-53-143\"\n);\n"
    ));
}

#[test]
fn an_unfinished_backup_has_no_restore() {
    let sql = ddl::restore_sql(&Snapshot::default(), "r", "incomplete");
    assert!(sql.starts_with("-- There is no statement") && sql.lines().count() == 1, "{sql}");
}

#[test]
fn restore_of_other_objects_takes_3_4() {
    let extras = fixture("sr35", "extras");
    let half = extras.meta.functions.iter().find(|function| function.name.name == "half").unwrap();
    let snapshot = Snapshot {
        label: "l".into(),
        database: "d".into(),
        tables: vec![
            entry("v", TableKind::View),
            entry("t", TableKind::Table),
            entry("m", TableKind::MaterializedView),
        ],
        // Overloads go by one name.
        functions: vec![CatalogText::of(half).unwrap(), CatalogText::of(half).unwrap()],
        ..Snapshot::default()
    };
    let sql = ddl::restore_sql(&snapshot, "r", "ts");
    holds(
        &sql,
        "RESTORE SNAPSHOT `l` FROM `r`\nDATABASE `d`\nON (\n  TABLE `t`,\n  MATERIALIZED VIEW `m`,\n  VIEW `v`,\n  FUNCTION `half`\n)\n",
    );
    let catalogs = fixture("sr35", "catalogs");
    let snapshot = Snapshot {
        label: "c".into(),
        catalogs: catalogs.meta.catalogs.iter().take(2).map(|catalog| CatalogText::of(catalog).unwrap()).collect(),
        ..Snapshot::default()
    };
    let names: Vec<String> =
        catalogs.meta.catalogs.iter().take(2).map(|catalog| ddl::quote_name(&catalog.name)).collect();
    let sql = ddl::restore_sql(&snapshot, "r", "ts");
    holds(&sql, &format!("RESTORE SNAPSHOT `c` FROM `r`\nEXTERNAL CATALOGS ({})\nPROPERTIES", names.join(", ")));
}
