//! `schema.sql` and the `.sql` files of views in a mount, against what StarRocks printed of the very objects.

use crate::common::World;
use crate::gallery;
use crate::genuine::{self, fixtures};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// StarRocks' statements by name: blocks start with a line `-- <name>`.
fn printed(folder: &Path) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(&fs::read(folder.join("show_create.sql")).unwrap()).into_owned();
    let mut blocks: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("-- ") {
            Some(next) => name = next.trim_end_matches('\n').to_owned(),
            None => blocks.entry(name.clone()).or_default().push_str(line),
        }
    }
    blocks
}

/// Without comments after the statement, with properties in order and white space as one blank.
fn plain(text: &str) -> String {
    let statement: Vec<&str> = text.lines().filter(|line| !line.starts_with("-- ")).collect();
    let statement = statement.join("\n");
    let ordered = match statement.split_once("PROPERTIES (\n") {
        Some((before, rest)) => {
            let (list, after) = rest.split_once("\n)").unwrap_or((rest, ""));
            let mut list: Vec<&str> = list.lines().map(|line| line.trim_end_matches(',')).collect();
            list.sort_unstable();
            format!("{before}PROPERTIES ({}){after}", list.join(", "))
        }
        None => statement,
    };
    ordered.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")")
}

/// How many statements below `snapshot` are StarRocks' own, of how many; and the first that is not.
fn compare(snapshot: &Path, printed: &BTreeMap<String, String>) -> (usize, usize, String) {
    let (mut same, mut all, mut first) = (0, 0, String::new());
    for (name, theirs) in printed {
        // Names that are not safe components have files of other names.
        let ours = [format!("{name}/schema.sql"), format!("{name}.sql")];
        let Some(text) = ours.iter().find_map(|path| fs::read_to_string(snapshot.join(path)).ok()) else { continue };
        all += 1;
        let (ours, theirs) = (plain(&text), plain(theirs));
        if ours == theirs {
            same += 1;
        } else if first.is_empty() {
            first = format!("{name}\n  ours   {ours}\n  theirs {theirs}");
        }
    }
    (same, all, first)
}

#[test]
fn statements_in_a_mount_are_those_that_starrocks_printed() {
    let world = World::new();
    let hub = genuine::one("sr35/hub");
    let mount = world.mount(&hub.location());
    let blocks = printed(&fixtures().join("repositories/sr35/hub"));
    let (same, all, first) = compare(&mount.path("sr_hub_full/latest"), &blocks);
    assert_eq!((same, all), (8, 8), "{first}");
    // Of the gallery all but those that StarRocks itself prints wrongly, in names, comments and values: a test of the catalog
    // names each kind of them and compares the rest of their statements.
    let (location, labels) = gallery::repository(&world);
    let mount = world.mount(&location);
    for (folder, least) in [("sr35/gallery", 115), ("sr35/extras", 95)] {
        let label = labels.iter().find_map(|label| label.strip_prefix(&format!("{folder} "))).unwrap();
        let blocks = printed(&fixtures().join("catalogs").join(folder));
        let (same, all, first) = compare(&mount.path(&format!("{label}/latest")), &blocks);
        assert!(same >= least, "{folder}: {same} of {all}: {first}");
    }
}
