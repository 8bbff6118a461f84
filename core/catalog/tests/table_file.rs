//! `table.json`: written and read back, strict about what contradicts itself.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "write/generate.rs"]
mod generate;

use generate::{Ids, spec};
use proptest::prelude::*;
use starsnap_catalog::snapshot::TableEntry;
use starsnap_catalog::table_file::{Origin, TableFile};

fn file(entry: TableEntry) -> TableFile {
    let origin = Origin {
        repository: "hub \"repo\"".into(),
        label: "l'été".into(),
        timestamp: "2024-05-07-10-11-12-000".into(),
        backup_time: 1_715_000_000_000,
        database: "db/1".into(),
        database_id: 10001,
    };
    TableFile { origin, entry, problems: vec!["partition p1: no `__info`".into()] }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_back_what_it_writes(spec in spec(), lost in any::<bool>()) {
        let (_, mut entry) = generate::table(&spec, &mut Ids(10_000));
        if lost {
            entry.catalog = None;
        }
        let file = file(entry);
        let text = file.to_json().unwrap();
        prop_assert!(text.ends_with('\n'));
        prop_assert_eq!(TableFile::parse(text.as_bytes()).unwrap(), file);
    }

    #[test]
    fn no_bytes_make_it_panic(spec in spec(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = file(generate::table(&spec, &mut Ids(1)).1).to_json().unwrap().into_bytes();
        let at = cut.index(text.len());
        prop_assert!(TableFile::parse(&text[..at]).is_err() || text[at..].trim_ascii().is_empty());
        text[at] = byte;
        let _ = TableFile::parse(&text);
    }
}

fn sample() -> String {
    use generate::{Layout, Partitioning, Spec, scalar};
    let spec = Spec {
        name: "orders".into(),
        layout: Layout::P2,
        view: false,
        materialized: false,
        keys_type: "PRIMARY_KEYS",
        partitioning: Partitioning::List,
        columns: vec![("note".into(), scalar("VARCHAR", Some(20), None), true)],
        rollups: ["10023".into()].into(),
        partitions: [("p1".into(), (2, 7)), ("a/b".into(), (1, 3))].into(),
        shadow: true,
        temporary: false,
        random: false,
        buckets: 2,
        auto_increment: Some(5),
        comment: None,
        properties: Default::default(),
        files: false,
    };
    file(generate::table(&spec, &mut Ids(100)).1).to_json().unwrap()
}

#[test]
fn people_can_read_it() {
    let text = sample();
    let head: Vec<&str> = text.lines().collect();
    assert_eq!(head[1], r#"  "starsnap": 1,"#);
    assert_eq!(head[2], r#"  "name": "orders","#);
    assert_eq!(head[3], r#"  "kind": "TABLE","#);
    assert!(text.contains(r#"    {"name": "k", "type": "INT", "key": true, "nullable": false},"#), "{text}");
    assert!(
        text.contains(r#"{"name": "note0", "type": "VARCHAR(20)", "nullable": true, "default": "d'", "comment": "c"}"#),
        "{text}"
    );
    assert!(text.contains(r#""a%2Fb": "a/b""#), "{text}");
    assert!(text.contains(r#"/%310023": "10023""#), "{text}");
    assert!(head[head.len() - 2].starts_with(r#"  "catalog": {"clazz":"OlapTable","#), "{text}");
}

#[test]
fn contradictions_are_refused() {
    let text = sample();
    for (from, to, why) in [
        (r#""starsnap": 1"#, r#""starsnap": 2"#, "form 2"),
        (r#"  "name": "orders""#, r#"  "name": "other""#, "another table"),
        (r#""kind": "TABLE""#, r#""kind": "VIEW""#, "`kind`"),
        (r#"{"name": "k","#, r#"{"name": "kk","#, "`columns`"),
        (r#""a%2Fb": "a/b""#, r#""a": "a/b""#, "`directories`"),
        (r#""problems":"#, r#""problem":"#, "unknown field"),
        (r#""kind": "SHADOW""#, r#""kind": "NORMAL""#, "`directories`"),
    ] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from}");
        let error =
            std::error::Error::source(&TableFile::parse(edited.as_bytes()).unwrap_err()).map(ToString::to_string);
        let error = format!("{} {error:?}", TableFile::parse(edited.as_bytes()).unwrap_err());
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn hostile_input_is_refused() {
    let deep = format!(r#"{{"starsnap": 1, "catalog": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(TableFile::parse(deep.as_bytes()).is_err());
    for text in ["", "null", "[]", "{}", "\u{feff}{}", r#"{"starsnap": 1}"#, r#"{"starsnap": -1}"#] {
        assert!(TableFile::parse(text.as_bytes()).is_err(), "{text}");
    }
    let twice = sample().replacen(r#""id": "#, r#""id": 1, "id": "#, 1);
    assert!(TableFile::parse(twice.as_bytes()).is_err());
    let files = sample().replacen(r#""tablets": ["#, r#""listed_files": [["x"]], "tablets": ["#, 1);
    assert_ne!(files, sample());
    assert!(TableFile::parse(files.as_bytes()).is_err());
}
