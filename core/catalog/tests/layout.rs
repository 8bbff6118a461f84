//! Names of the table and snapshot directories: distinct, safe, reversible, whatever the stored names are.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use starsnap_catalog::layout::*;
use starsnap_catalog::model::{Catalog, Function, FunctionName, Type};
use starsnap_catalog::snapshot::*;
use std::collections::HashSet;

/// Names that hurt, and any others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "", ".", "..", "...", "/", "a/b", "\0", "%", "%25", "%2F", "%41", "%~", "%#2", "%temporary", "p%temporary", ".p1", "p1", " p1", "p1 ", "\u{a0}x",
            "table.json", "_table.json", "schema.sql", "rows.csv", "rows.jsonl", "snapshot.json", "restore.sql", "catalogs", "_catalogs", "10023", "-5", "5",
            "$shadow_automatic_partition", ".$shadow_automatic_partition", "v", "v.sql", "v.sql.sql", "v%view", "Straße", "表", "😀", "a\u{202e}b", "a\nb", "\u{7f}",
        ]).prop_map(String::from),
        2 => "[.%/ v_\\-0-9a-c\u{1}é表]{0,12}",
        1 => any::<String>(),
        1 => "[é/a]{60,300}",
        1 => "x{215,225}",
    ]
}

fn partition_kind() -> impl Strategy<Value = PartitionKind> {
    prop::sample::select(vec![PartitionKind::Normal, PartitionKind::Shadow, PartitionKind::Temporary])
}

fn is_safe(component: &str) -> bool {
    !component.is_empty()
        && component != "."
        && component != ".."
        && component.len() <= 255
        && component.chars().all(|c| c != '/' && !c.is_control())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn escaped_names_are_safe_and_come_back(name in name()) {
        let component = escape(&name);
        prop_assert!(is_safe(&component), "{component:?}");
        prop_assert!(!component.starts_with('.'));
        prop_assert!(component.len() <= MAX_ESCAPED);
        if is_shortened(&component) {
            prop_assert!(name.len() * 3 > MAX_ESCAPED);
            prop_assert_eq!(unescape(&component), None);
        } else {
            prop_assert_eq!(unescape(&component), Some(name));
        }
    }

    #[test]
    fn only_what_escape_makes_unescapes(component in name()) {
        if let Some(name) = unescape(&component) {
            prop_assert_eq!(escape(&name), component);
        }
    }

    #[test]
    fn rollups_never_look_like_tablets(name in name()) {
        let component = escape_rollup(&name);
        prop_assert!(is_safe(&component));
        prop_assert!(component.parse::<i64>().is_err());
        if !is_shortened(&component) {
            prop_assert_eq!(unescape_rollup(&component), Some(name));
        }
    }

    #[test]
    fn partition_directories_come_back(kind in partition_kind(), name in name()) {
        let component = partition_dir(kind, &name);
        prop_assert!(is_safe(&component));
        prop_assert_eq!(component.starts_with('.'), kind == PartitionKind::Shadow);
        if !is_shortened(&component) {
            prop_assert_eq!(partition_of_dir(&component), Some((kind, name)));
        }
    }

    #[test]
    fn nothing_in_a_table_directory_meets(entry in entry()) {
        let layout = TableLayout::of(&entry);
        prop_assert_eq!(layout.partition_dirs.len(), entry.partitions.len());
        let ours = [&layout.table_json, &layout.schema_sql, &layout.rows_csv, &layout.rows_jsonl];
        let mut seen = HashSet::new();
        for name in layout.partition_dirs.iter().chain(ours) {
            prop_assert!(is_safe(name), "{name:?}");
            prop_assert!(seen.insert(name.clone()), "twice: {name:?}");
        }
        // A reader who knows only the directory finds the same file.
        let dirs: HashSet<&str> = layout.partition_dirs.iter().map(String::as_str).collect();
        let found = find_ours(TABLE_JSON, |name| name == layout.table_json, |name| dirs.contains(name) || name == layout.table_json);
        prop_assert_eq!(found.as_deref(), Some(layout.table_json.as_str()));

        let mut paths = HashSet::new();
        let mut rollups = HashSet::new();
        for place in &layout.tablets {
            prop_assert!(paths.insert(place.path()), "twice: {}", place.path());
            let partition = &entry.partitions[place.partition];
            let index = &partition.physicals[place.physical].indexes[place.index];
            prop_assert_eq!(&place.partition_dir, &layout.partition_dirs[place.partition]);
            prop_assert_eq!(place.rollup_dir.is_none(), index.base);
            prop_assert!(place.tablet_dir.starts_with(&index.tablets[place.tablet].id.to_string()));
            if let Some(rollup) = &place.rollup_dir {
                prop_assert!(is_safe(rollup));
                rollups.insert(format!("{}/{rollup}", place.partition_dir));
            }
        }
        prop_assert!(rollups.is_disjoint(&paths));
        let tablets: usize =
            entry.partitions.iter().flat_map(|p| &p.physicals).flat_map(|p| &p.indexes).map(|i| i.tablets.len()).sum();
        prop_assert_eq!(paths.len(), tablets);
    }

    #[test]
    fn nothing_in_a_snapshot_directory_meets(
        tables in prop::collection::vec((name(), prop::sample::select(vec![TableKind::Table, TableKind::View, TableKind::MaterializedView, TableKind::Other])), 0..12),
        catalogs in prop::collection::vec(name(), 0..4),
        functions in prop::collection::vec((name(), 0usize..3), 0..6),
    ) {
        let mut snapshot = Snapshot::default();
        for (id, (name, kind)) in tables.into_iter().enumerate() {
            snapshot.tables.push(TableEntry { id: id as i64, name, kind, catalog: None, auto_increment_id: None, partitions: vec![] });
        }
        for name in catalogs {
            snapshot.catalogs.push(CatalogText::of(&Catalog { name, ..Catalog::default() }).unwrap());
        }
        for (name, arguments) in functions {
            let ty = || Type { clazz: "ScalarType".into(), primitive: Some("INT".into()), ..Type::default() };
            let arg_types = (0..arguments).map(|_| ty()).collect();
            let name = FunctionName { name, ..FunctionName::default() };
            let function = Function { clazz: "ScalarFunction".into(), name, arg_types, ..Function::default() };
            snapshot.functions.push(CatalogText::of(&function).unwrap());
        }
        let layout = SnapshotLayout::of(&snapshot);
        let mut seen = HashSet::new();
        let ours = [&layout.catalogs_dir, &layout.snapshot_json, &layout.restore_sql];
        for name in layout.tables.iter().chain(&layout.functions).chain(ours) {
            prop_assert!(is_safe(name), "{name:?}");
            prop_assert!(seen.insert(name.clone()), "twice: {name:?}");
        }
        let catalogs: HashSet<_> = layout.catalogs.iter().filter(|name| is_safe(name)).collect();
        prop_assert_eq!(catalogs.len(), snapshot.catalogs.len());
        // Tables keep their names; views end in `.sql`.
        let mut stored = HashSet::new();
        for (table, name) in snapshot.tables.iter().zip(&layout.tables) {
            if table.kind == TableKind::View {
                prop_assert!(name.ends_with(".sql"));
            } else if stored.insert(&table.name) {
                prop_assert_eq!(name, &escape(&table.name));
            }
        }
    }
}

prop_compose! {
    fn index()(name in name(), base in any::<bool>(), ids in prop::collection::vec(-3i64..6, 0..4)) -> IndexEntry {
        let tablets = ids.into_iter().map(|id| TabletEntry { id, listed_files: vec![] }).collect();
        IndexEntry { id: 1, name, base, schema_hash: 0, tablets }
    }
}

prop_compose! {
    fn entry()(partitions in prop::collection::vec((partition_kind(), name(), prop::collection::vec(prop::collection::vec(index(), 0..3), 0..3)), 0..8)) -> TableEntry {
        let partitions = partitions.into_iter().map(|(kind, name, physicals)| {
            let physicals = physicals.into_iter().map(|indexes| PhysicalEntry { id: 1, version: 1, indexes }).collect();
            PartitionEntry { id: 1, name, kind, version: 1, physicals }
        });
        TableEntry { id: 1, name: "t".into(), kind: TableKind::Table, catalog: None, auto_increment_id: None, partitions: partitions.collect() }
    }
}

#[test]
fn ordinary_names_stay_as_they_are() {
    for name in [
        "sr_member",
        "Straße",
        "表",
        "emoji😀",
        "a b",
        "q'143",
        "p20240301",
        "v.sql",
        "$x",
        "a.b",
        "-x",
        "~x",
        "back\\slash",
        "[0, 5)",
    ] {
        assert_eq!(escape(name), name);
    }
}

#[test]
fn escapes_are_as_documented() {
    for (name, component) in [
        ("", "%"),
        (".", "%2E"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("a/b", "a%2Fb"),
        ("50%", "50%25"),
        ("nul\0", "nul%00"),
        (" x ", "%20x%20"),
        ("\u{85}", "%C2%85"),
    ] {
        assert_eq!(escape(name), component);
    }
    let long = "ü".repeat(400);
    assert_eq!(escape(&long), format!("{}%~{}", "ü".repeat(90), &escape(&long)[182..]));
    assert_eq!(escape(&long).len(), 214);
    assert_ne!(escape(&long), escape(&format!("{long}x")));
    assert_eq!(escape_rollup("10023"), "%310023");
    assert_eq!(escape_rollup("7"), "%37");
    assert_eq!(partition_dir(PartitionKind::Shadow, "$shadow_automatic_partition"), ".$shadow_automatic_partition");
    assert_eq!(partition_dir(PartitionKind::Temporary, "p1"), "p1%temporary");
    assert_eq!(unescape("%2e"), None);
    assert_eq!(unescape("%41"), None);
    assert_eq!(unescape("a%"), None);
}

#[test]
fn stored_names_win_over_ours_and_tables_over_views() {
    let table = |name: &str, kind| TableEntry {
        id: 1,
        name: name.into(),
        kind,
        catalog: None,
        auto_increment_id: None,
        partitions: vec![],
    };
    let snapshot = Snapshot {
        tables: vec![
            table("v", TableKind::View),
            table("v.sql", TableKind::Table),
            table("restore.sql", TableKind::Table),
            table("snapshot.json", TableKind::MaterializedView),
            table("_snapshot.json", TableKind::Table),
            table("catalogs", TableKind::Table),
        ],
        ..Snapshot::default()
    };
    let layout = SnapshotLayout::of(&snapshot);
    assert_eq!(layout.tables, ["v%view.sql", "v.sql", "restore.sql", "snapshot.json", "_snapshot.json", "catalogs"]);
    assert_eq!(layout.snapshot_json, "__snapshot.json");
    assert_eq!(layout.restore_sql, "_restore.sql");
    assert_eq!(layout.catalogs_dir, "_catalogs");
}

#[test]
fn overloads_are_told_apart_and_give_way() {
    let function = |name: &str, arguments: &[&str]| {
        let name = FunctionName { name: name.into(), ..FunctionName::default() };
        let ty = |name: &&str| Type { clazz: "ScalarType".into(), primitive: Some((*name).into()), ..Type::default() };
        let arg_types = arguments.iter().map(ty).collect();
        CatalogText::of(&Function { clazz: "ScalarFunction".into(), name, arg_types, ..Function::default() }).unwrap()
    };
    let view = |name: &str| TableEntry {
        id: 1,
        name: name.into(),
        kind: TableKind::View,
        catalog: None,
        auto_increment_id: None,
        partitions: vec![],
    };
    let snapshot = Snapshot {
        tables: vec![view("v"), view("w"), view("w(INT)")],
        functions: vec![
            function("half", &["DOUBLE"]),
            function("half", &["INT"]),
            function("one", &["INT"]),
            function("v", &["INT"]),
            function("w", &["INT"]),
            CatalogText("[]".into()),
        ],
        ..Snapshot::default()
    };
    assert_eq!(
        SnapshotLayout::of(&snapshot).functions,
        ["half(DOUBLE).sql", "half(INT).sql", "one.sql", "v(INT).sql", "w(INT)%function.sql", "%function.sql"]
    );
}

#[test]
fn very_many_of_one_name_cost_no_more() {
    let partition =
        |id| PartitionEntry { id, name: "p".into(), kind: PartitionKind::Normal, version: 1, physicals: vec![] };
    let entry = TableEntry {
        id: 1,
        name: "t".into(),
        kind: TableKind::Table,
        catalog: None,
        auto_increment_id: None,
        partitions: (0..100_000).map(partition).collect(),
    };
    let start = std::time::Instant::now();
    let layout = TableLayout::of(&entry);
    assert_eq!(layout.partition_dirs[0], "p");
    assert_eq!(layout.partition_dirs[99_999], "p%#100000");
    // Trying all numbers for each would take minutes.
    assert!(start.elapsed().as_secs() < 20);
}
