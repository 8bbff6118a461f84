//! Statements of which StarRocks prints none, or a wrong one: what follows a table, functions, external catalogs, RESTORE.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "ddl/fixtures.rs"]
mod fixtures;
#[path = "ddl/lexer.rs"]
mod lexer;

use fixtures::Fixture;
use starsnap_catalog::ddl;
use starsnap_catalog::meta::MetaForm;
use starsnap_catalog::model::PartitionLayout;
use starsnap_catalog::snapshot::{CatalogText, Snapshot, TableEntry, TableKind, Written};
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
fn values_of_lists_are_printed_as_starrocks_reads_them() {
    let mut extras = fixture("sr35", "extras");
    let table = extras.meta.tbl_name_map.get_mut("list_types").unwrap();
    let rows = table.partition_info.as_mut().unwrap().id_to_multi_values.as_mut().unwrap();
    rows.values_mut().next().unwrap()[0] = vec!["1".into(), "2024-1-2".into()];
    holds(&schema_sql(&extras, "list_types"), "(('TRUE', '2024-01-02 00:00:00'))");
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

#[test]
fn a_partition_with_other_replicas_than_its_table_says_so() {
    let extras = fixture("sr35", "extras");
    let with_two = |name: &str| {
        let mut table = extras.meta.tbl_name_map[name].clone();
        let partition = table.id_to_partition.values().find(|partition| !partition.name.starts_with('$')).unwrap();
        let (id, partition) = (partition.id, partition.name.clone());
        table.partition_info.as_mut().unwrap().id_to_replication_num.as_mut().unwrap().insert(id, 2);
        (partition, ddl::schema_sql(&table, &extras.context).unwrap())
    };
    for name in ["tmp_range", "list_null"] {
        assert!(!schema_sql(&extras, name).contains("(\"replication_num\""));
        let (partition, sql) = with_two(name);
        let line = sql.lines().find(|line| line.contains(&format!("PARTITION {partition} VALUES"))).unwrap();
        let line = line.trim_end_matches(',').trim_end_matches(')').trim_end();
        assert!(line.ends_with("(\"replication_num\" = \"2\""), "{line}");
        assert_eq!(sql.matches("(\"replication_num\" = \"2\")").count(), 1, "{sql}");
        lexer::tokens(&sql).unwrap();
    }
}

#[test]
fn hidden_columns_are_in_no_statement() {
    let extras = fixture("sr35", "extras");
    let hide = |name: &str, column: &str| {
        let mut table = extras.meta.tbl_name_map[name].clone();
        let base = table.base_index_id.unwrap();
        let schema = &mut table.index_id_to_meta.get_mut(&base).unwrap().schema;
        schema.iter_mut().find(|one| one.name == column).unwrap().is_hidden = Some(true);
        ddl::schema_sql(&table, &extras.context).unwrap()
    };
    let column = |name: &str| {
        let table = &extras.meta.tbl_name_map[name];
        table.index_id_to_meta[&table.base_index_id.unwrap()].schema[0].name.clone()
    };
    for name in ["base2", "mv_multi"] {
        let column = column(name);
        let definition = |sql: &str| {
            let (columns, _) = sql.split_once("\nDISTRIBUTED BY").unwrap();
            let columns = columns.split_once("\nPARTITION BY").map_or(columns, |(columns, _)| columns);
            columns.contains(&ddl::quote_name(&column))
        };
        assert!(definition(&schema_sql(&extras, name)), "{name}");
        assert!(!definition(&hide(name, &column)), "{name}");
    }
}

#[test]
fn a_table_distributed_by_range_has_no_clause_for_it() {
    let extras = fixture("sr35", "extras");
    let mut table = extras.meta.tbl_name_map["base2"].clone();
    let info = table.default_distribution_info.as_mut().unwrap();
    (info.clazz, info.kind) = ("RangeDistributionInfo".into(), "RANGE".into());
    let sql = ddl::schema_sql(&table, &extras.context).unwrap();
    assert!(sql.starts_with("CREATE TABLE `base2`") && !sql.contains("DISTRIBUTED"), "{sql}");
    lexer::tokens(&sql).unwrap();
}

#[test]
fn restore_says_which_versions_can_run_it() {
    let sql = |written: Written, version: i32, kinds: &[TableKind]| {
        let snapshot = Snapshot {
            label: "l".into(),
            database: "d".into(),
            tables: kinds.iter().map(|kind| entry("t", *kind)).collect(),
            starrocks_meta_version: Some(version),
            written,
            ..Snapshot::default()
        };
        ddl::restore_sql(&snapshot, "r", "ts")
    };
    let json = |layout| Written { form: Some(MetaForm::Json), layout: Some(layout), several_lists: false };
    let binary = Written { form: Some(MetaForm::Binary), layout: Some(PartitionLayout::P1), several_lists: false };
    let table = [TableKind::Table];
    holds(&sql(binary, 3, &table), "-- It takes StarRocks 3.3.1 or earlier");
    assert!(!sql(binary, 3, &table).contains("starrocks_meta_version"));
    // 3.1.3 wrote 4 over the binary form.
    holds(&sql(binary, 4, &table), "\"backup_timestamp\" = \"ts\",\n  \"starrocks_meta_version\" = \"3\"\n);\n");
    assert!(!sql(json(PartitionLayout::P1), 4, &table).contains("starrocks_meta_version"));
    holds(&sql(json(PartitionLayout::P1), 4, &table), "-- It takes StarRocks 3.1.4 or later.\n");
    holds(&sql(json(PartitionLayout::P1Several), 4, &table), "-- It takes StarRocks 3.2 or later.\n");
    holds(&sql(json(PartitionLayout::P1), 4, &[TableKind::MaterializedView]), "-- It takes StarRocks 3.2 or later.\n");
    holds(&sql(json(PartitionLayout::P1), 4, &[TableKind::View]), "-- It takes StarRocks 3.4 or later.\n");
    holds(&sql(json(PartitionLayout::P2), 4, &table), "-- It takes StarRocks 3.4 or later.\n");
    holds(&sql(json(PartitionLayout::P3), 4, &table), "-- It takes StarRocks later than 4.0");
    let lists = |layout| Written { several_lists: true, ..json(layout) };
    holds(&sql(lists(PartitionLayout::P1), 4, &table), "several list partitions");
    assert!(!sql(lists(PartitionLayout::P2), 4, &table).contains("several list partitions"));
}

#[test]
fn layouts_of_genuine_snapshots_are_those_of_their_versions() {
    let expected = [
        ("sr23", PartitionLayout::P1),
        ("sr33", PartitionLayout::P1),
        ("sr35", PartitionLayout::P2),
        ("sr40", PartitionLayout::P3),
    ];
    for (version, layout) in expected {
        let fixtures = fixtures::of_version(version);
        let (mut found, mut lists) = (0, 0);
        for fixture in fixtures {
            let written = Snapshot::join(None, Some(&fixture.meta)).unwrap().written;
            if fixture.tables().any(|table| !table.id_to_partition.is_empty()) {
                let several = version == "sr33" && written.layout == Some(PartitionLayout::P1Several);
                assert!(several || written.layout == Some(layout), "{}: {written:?}", fixture.name);
                found += 1;
            }
            lists += usize::from(written.several_lists);
        }
        assert!(found >= 3, "{version}: {found}");
        assert!(lists >= 1 || version == "sr23", "{version}: {lists}");
    }
}
