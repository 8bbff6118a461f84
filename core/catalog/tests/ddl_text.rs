//! Names, comments and defaults come back from our statements through StarRocks' lexer as they were.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "ddl/fixtures.rs"]
mod fixtures;
#[path = "ddl/lexer.rs"]
mod lexer;

use lexer::Token;
use proptest::prelude::*;
use starsnap_catalog::ddl::{self, Context};
use starsnap_catalog::model::{Catalog, Column, SecondaryIndex, Table};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A text that is hard on quoting.
fn text() -> impl Strategy<Value = String> {
    let hard = prop::sample::select(vec![
        "'", "\"", "`", "\\", "\n", "\r", "\t", "\0", "\u{8}", "\u{1a}", "%", "_", "--", ";", "😀", " ",
    ]);
    prop::collection::vec(prop_oneof![hard.prop_map(String::from), any::<char>().prop_map(String::from)], 0..12)
        .prop_map(|parts| parts.concat())
}

/// A name; the first letter keeps those of different objects apart.
fn name(first: char) -> impl Strategy<Value = String> {
    text().prop_map(move |text| format!("{first}{text}"))
}

/// A table of the fixtures.
fn genuine(name: &str) -> Table {
    static TABLES: LazyLock<BTreeMap<String, Table>> = LazyLock::new(|| {
        fixtures::of_version("sr35").into_iter().flat_map(|fixture| fixture.meta.tbl_name_map).collect()
    });
    TABLES[name].clone()
}

fn base_schema(table: &mut Table) -> &mut Vec<Column> {
    let id = table.base_index_id.unwrap();
    &mut table.index_id_to_meta.get_mut(&id).unwrap().schema
}

/// What stands after each occurrence of `words`.
fn following(tokens: &[Token], words: &[&str]) -> Vec<Token> {
    let word = |token: &Token, word: &&str| matches!(token, Token::Word(text) if text == word);
    let found = |window: &[Token]| window.iter().zip(words).all(|(token, text)| word(token, text));
    tokens
        .windows(words.len() + 1)
        .filter(|window| found(&window[..words.len()]))
        .map(|window| window[words.len()].clone())
        .collect()
}

proptest! {
    #[test]
    fn what_a_table_prints_comes_back(
        table_name in name('t'), column in name('c'), comment in text(), table_comment in text(), default in text(), index in name('i'),
        index_comment in text(),
    ) {
        let mut table = genuine("tmp_ints");
        table.name = table_name.clone();
        table.comment = Some(table_comment.clone());
        let schema = base_schema(&mut table);
        schema[1].name = column.clone();
        schema[1].column_id = Some(column.clone());
        schema[1].comment = Some(comment.clone());
        schema[1].default_value = Some(default.clone());
        let secondary = SecondaryIndex {
            index_name: index.clone(),
            columns: vec![column.clone()],
            index_type: "BITMAP".into(),
            comment: Some(index_comment.clone()),
            ..SecondaryIndex::default()
        };
        table.indexes.get_or_insert_default().indexes = vec![secondary];
        let sql = ddl::schema_sql(&table, &Context::default()).unwrap();
        let tokens = lexer::tokens(&sql).map_err(|at| TestCaseError::fail(format!("not closed at {at}: {sql}")))?;
        prop_assert_eq!(following(&tokens, &["CREATE", "TABLE"]), vec![Token::Name(table_name)]);
        let at = tokens.iter().position(|token| *token == Token::Name(column.clone())).unwrap();
        // `c` int(11) NULL DEFAULT "…" COMMENT "…"
        let column_tokens = &tokens[at..at + 10];
        prop_assert_eq!(following(column_tokens, &["DEFAULT"]), vec![Token::Text(default)]);
        prop_assert_eq!(following(column_tokens, &["COMMENT"]), vec![Token::Text(comment)]);
        let comments = following(&tokens, &["COMMENT"]);
        prop_assert!(comments.contains(&Token::Text(index_comment)));
        let has_comment = table_comment.is_empty() || comments.contains(&Token::Text(table_comment));
        prop_assert!(has_comment);
        let plain = |token: Token| match token { Token::Name(name) | Token::Word(name) => name == index, _ => false };
        prop_assert!(following(&tokens, &["INDEX"]).into_iter().all(plain), "{}", sql);
        prop_assert!(!tokens.iter().any(|token| matches!(token, Token::Comment(_))));
    }

    #[test]
    fn list_values_come_back(value in text()) {
        let mut table = genuine("list_null");
        let info = table.partition_info.as_mut().unwrap();
        let values = info.id_to_values.as_mut().unwrap();
        values.values_mut().next().unwrap()[0] = value.clone();
        let sql = ddl::schema_sql(&table, &Context::default()).unwrap();
        let tokens = lexer::tokens(&sql).map_err(|at| TestCaseError::fail(format!("not closed at {at}: {sql}")))?;
        prop_assert!(tokens.contains(&Token::Text(value)));
    }

    #[test]
    fn what_follows_a_statement_is_a_comment(rollup in name('r'), statement in text()) {
        let mut table = genuine("evo_agg");
        let base = table.base_index_id;
        let id = *table.index_id_to_meta.keys().find(|id| Some(**id) != base).unwrap();
        table.index_name_to_id.retain(|_, other| *other != id);
        table.index_name_to_id.insert(rollup, id);
        table.index_id_to_meta.get_mut(&id).unwrap().define_stmt.get_or_insert_default().origin_stmt = statement;
        let sql = ddl::schema_sql(&table, &Context::default()).unwrap();
        let (_, after) = sql.split_once(");\n").unwrap();
        prop_assert!(after.split(['\n', '\r']).all(|line| line.is_empty() || line.starts_with("-- ")), "{:?}", after);
    }

    #[test]
    fn no_secret_of_a_catalog_is_printed(key in "[a-z._]{0,9}(key|secret|password|token|credential)[a-z._]{0,9}", secret in "[a-zA-Z0-9+/=]{12,30}") {
        let catalog = Catalog { name: "c".into(), config: [(key, secret.clone())].into(), ..Catalog::default() };
        prop_assert!(!ddl::catalog_sql(&catalog).unwrap().contains(&secret));
    }
}

#[test]
fn every_genuine_statement_is_closed() {
    let mut count = 0;
    for version in ["sr23", "sr33", "sr35", "sr40"] {
        for fixture in fixtures::of_version(version) {
            for table in fixture.tables() {
                let sql = ddl::schema_sql(table, &fixture.context).unwrap();
                let tokens =
                    lexer::tokens(&sql).unwrap_or_else(|at| panic!("{}: not closed at {at}: {sql}", table.name));
                let base = table.base_index_id.and_then(|id| table.index_id_to_meta.get(&id));
                for column in base.map(|base| base.schema.as_slice()).unwrap_or_default() {
                    let comment = column.comment.clone().unwrap_or_default();
                    let shown = table.clazz == "OlapTable"
                        || (!comment.is_empty() && column.materialized_column_expr.is_none());
                    assert!(!shown || tokens.contains(&Token::Text(comment)), "{}: {}: {sql}", table.name, column.name);
                }
                count += 1;
            }
        }
    }
    println!("{count} statements read back");
    assert!(count > 900, "only {count}");
}
