#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn one(text: &str) -> Statement {
    let mut statements = parse(text).unwrap();
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

fn item(kind: ItemKind, name: &str, partitions: &[&str], alias: Option<&str>) -> Item {
    let partitions = partitions.iter().map(|p| p.to_string()).collect();
    Item { kind, name: name.into(), partitions, alias: alias.map(Into::into) }
}

#[test]
fn the_manuals_create_repository() {
    let text = r#"CREATE REPOSITORY test_repo
WITH BROKER
ON LOCATION "s3a://bucket_s3/backup"
PROPERTIES(
"aws.s3.access_key" = "XXXXXXXXXXXXXXXXX",
"aws.s3.secret_key" = "yyyyyyyyyyyyyyyyyyyyyyyy",
"aws.s3.endpoint" = "s3.us-east-1.amazonaws.com"
);"#;
    let statement = one(text);
    let Statement::CreateRepository { read_only, name, broker, location, properties } = &statement else { panic!() };
    assert_eq!(
        (*read_only, name.as_str(), broker, location.as_str()),
        (false, "test_repo", &None, "s3a://bucket_s3/backup")
    );
    assert_eq!(properties.get("aws.s3.secret_key"), Some("yyyyyyyyyyyyyyyyyyyyyyyy"));
    assert!(!format!("{statement:?}").contains("yyyy"), "a secret reached Debug");
}

#[test]
fn read_only_with_a_broker_and_no_properties() {
    let statement = one("create read only repository `r` with broker 'b' on location 'hdfs://h:1/p'");
    assert!(matches!(statement, Statement::CreateRepository { read_only: true, broker: Some(b), .. } if b == "b"));
}

#[test]
fn the_manuals_backup_and_restore() {
    let Statement::Backup { database, label, repository, selection, .. } =
        one("BACKUP SNAPSHOT sr_hub.sr_member_backup TO test_repo ON (sr_member);")
    else {
        panic!()
    };
    assert_eq!(
        (database.as_deref(), label.as_str(), repository.as_str()),
        (Some("sr_hub"), "sr_member_backup", "test_repo")
    );
    assert_eq!(selection.items, [item(ItemKind::Any, "sr_member", &[], None)]);
    let Statement::Restore { selection, properties, .. } =
        one(r#"RESTORE SNAPSHOT sr_hub.sr_member_backup FROM test_repo
        ON (sr_member PARTITION (p1, `p 2`) AS other, t2)
        PROPERTIES ("backup_timestamp"="2023-02-07-14-45-53-143", "replication_num" = "1");"#)
    else {
        panic!()
    };
    let expected =
        [item(ItemKind::Any, "sr_member", &["p1", "p 2"], Some("other")), item(ItemKind::Any, "t2", &[], None)];
    assert_eq!(selection.items, expected);
    assert_eq!(properties.get("backup_timestamp"), Some("2023-02-07-14-45-53-143"));
}

#[test]
fn the_forms_of_3_4() {
    let Statement::Restore { database, database_alias, selection, .. } = one(
        "RESTORE SNAPSHOT l FROM r DATABASE d AS e ON (ALL TABLES, MATERIALIZED VIEW m AS n, VIEW v, ALL FUNCTIONS, TABLE t PARTITION (p))",
    ) else {
        panic!()
    };
    assert_eq!((database.as_deref(), database_alias.as_deref()), (Some("d"), Some("e")));
    assert!(selection.all_tables && selection.all_functions && !selection.all_views);
    let expected = [
        item(ItemKind::MaterializedView, "m", &[], Some("n")),
        item(ItemKind::View, "v", &[], None),
        item(ItemKind::Table, "t", &["p"], None),
    ];
    assert_eq!(selection.items, expected);
    let Statement::Backup { catalogs, .. } = one("BACKUP EXTERNAL CATALOGS (a, b) SNAPSHOT l TO r") else { panic!() };
    assert_eq!(catalogs, Catalogs::Named(vec![("a".into(), None), ("b".into(), None)]));
    let Statement::Restore { catalogs, .. } = one("RESTORE SNAPSHOT l FROM r ALL EXTERNAL CATALOGS") else { panic!() };
    assert_eq!(catalogs, Catalogs::All);
}

#[test]
fn a_table_may_be_called_like_a_kind() {
    let Statement::Backup { selection, .. } = one("BACKUP SNAPSHOT d.l TO r ON (view, `table`, all)") else { panic!() };
    let names: Vec<_> = selection.items.iter().map(|item| (item.kind, item.name.as_str())).collect();
    assert_eq!(names, [(ItemKind::Any, "view"), (ItemKind::Any, "table"), (ItemKind::Any, "all")]);
}

#[test]
fn show_cancel_use_set() {
    assert_eq!(one("show repositories"), Statement::ShowRepositories);
    assert_eq!(
        one(r#"SHOW SNAPSHOT ON r WHERE SNAPSHOT = "l" AND TIMESTAMP = "t""#),
        Statement::ShowSnapshot { repository: "r".into(), labels: vec!["l".into()], timestamp: Some("t".into()) }
    );
    assert_eq!(
        one(r#"SHOW SNAPSHOT ON r WHERE SNAPSHOT IN ("a", "b")"#),
        Statement::ShowSnapshot { repository: "r".into(), labels: vec!["a".into(), "b".into()], timestamp: None }
    );
    assert_eq!(one("SHOW RESTORE FROM d"), Statement::ShowRestore { database: Some("d".into()) });
    assert_eq!(one("SHOW BACKUP"), Statement::ShowBackup { database: None });
    assert_eq!(
        one("CANCEL BACKUP FOR EXTERNAL CATALOG"),
        Statement::CancelBackup { database: None, external_catalog: true }
    );
    assert_eq!(
        one("CANCEL RESTORE IN d"),
        Statement::CancelRestore { database: Some("d".into()), external_catalog: false }
    );
    assert_eq!(one("use d"), Statement::Use { database: "d".into() });
    assert_eq!(
        one("SET upload_worker_count = 4"),
        Statement::Set { name: "upload_worker_count".into(), value: "4".into() }
    );
}

#[test]
fn several_statements_comments_and_quotes() {
    let text = "-- first\nDROP REPOSITORY `a``b`; /* ; */ # x\n;;USE \u{fc}n\u{ef};";
    assert_eq!(
        parse(text).unwrap(),
        [Statement::DropRepository { name: "a`b".into() }, Statement::Use { database: "\u{fc}n\u{ef}".into() }]
    );
    let Statement::CreateRepository { location, .. } =
        one(r#"CREATE REPOSITORY r WITH BROKER ON LOCATION "a""b\"c\n" "#)
    else {
        panic!()
    };
    assert_eq!(location, "a\"b\"c\n");
}

#[test]
fn errors_say_where_and_never_repeat_a_string() {
    let error = parse("BACKUP SNAPSHOT d.l\nTO 'hunter2'").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 4: expected a repository's name, found a string");
    for unquoted in ["('password' hunter2)", "('password' = x hunter2)", "('password' = `hunter2` = 1)", "(hunter2)"] {
        let error =
            parse(&format!("CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' PROPERTIES {unquoted}")).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    assert_eq!(parse("SHOW").unwrap_err().to_string(), "line 1, column 5: expected SNAPSHOT, found the end");
    for wrong in [
        "BACKUP DATABASE d SNAPSHOT d.l TO r",
        "BACKUP ALL EXTERNAL CATALOGS DATABASE d SNAPSHOT l TO r",
        "BACKUP SNAPSHOT d.l TO r ON (t AS u)",
        "BACKUP SNAPSHOT d.l TO r ON ()",
        "SHOW SNAPSHOT ON r WHERE TIMESTAMP = 't'",
        "SELECT 1",
        "USE d d",
        "CREATE REPOSITORY r WITH BROKER ON LOCATION 'x' PROPERTIES ('a')",
        "USE `d",
        "/* ",
        "DROP REPOSITORY ?",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn statements_know_where_they_begin() {
    let found = parse_located("USE a;\n\n  -- x\n  USE b;;USE c").unwrap();
    let places: Vec<_> = found.iter().map(|located| (located.line, located.column)).collect();
    assert_eq!(places, [(1, 1), (4, 3), (4, 10)]);
    let found = parse_located("SHOW BACKUP\\G SHOW RESTORE;\nUSE c\\G;").unwrap();
    let ends: Vec<_> = found.iter().map(|located| (located.line, located.column, located.vertical)).collect();
    assert_eq!(ends, [(1, 1, true), (1, 15, false), (2, 1, true)]);
    for wrong in ["\\G", "SHOW BACKUP\\g", "SHOW\\G BACKUP", "SHOW BACKUP;\\G"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_prompt_knows_when_to_wait() {
    for (text, unfinished) in [
        ("USE d;", false),
        ("USE d", true),
        ("USE 'd;", true),
        ("/* ;", true),
        ("", false),
        ("?", false),
        ("SHOW BACKUP\\G", false),
        ("SHOW '\\G", true),
    ] {
        assert_eq!(is_unfinished(text), unfinished, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,200}") {
        let _ = parse(&text);
        let _ = is_unfinished(&text);
    }

    #[test]
    fn words_of_the_grammar_in_any_order(words in proptest::collection::vec(
        proptest::sample::select(vec!["BACKUP", "RESTORE", "SNAPSHOT", "ON", "(", ")", ",", "ALL", "TABLES", "VIEW", "AS", "x", "'s'", "=",
            "PROPERTIES", "DATABASE", "FROM", "TO", "EXTERNAL", "CATALOG", "PARTITION", ";", "."]), 0..24)) {
        let _ = parse(&words.join(" "));
    }
}
