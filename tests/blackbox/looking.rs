//! `starsnap head` and `starsnap inspect`: a look into tables and tablets from wherever they are.

use crate::common::{Ran, World};
use crate::genuine;
use serde_json::Value;
use std::fs;

fn head(world: &World, source: &str, more: &[&str]) -> Ran {
    let mut args = vec!["head", source];
    args.extend(more);
    world.run(args)
}

#[test]
fn head_shows_the_first_rows() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let mount = world.mount(&location);
    let table = mount.path("sr_hub_full/latest/sr_member");
    let inside = format!("{}/sr_hub_full/sr_member", location.display());
    let all = fs::read_to_string(table.join("rows.jsonl")).unwrap();
    let first: String = all.lines().take(4).map(|line| format!("{line}\n")).collect();
    for source in [inside.as_str(), table.to_str().unwrap()] {
        assert_eq!(head(&world, source, &["-n", "4", "--json"]).ok().stdout, first, "{source}");
    }
    let text = head(&world, &inside, &["-n", "4"]).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    let rows: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), names);
    for (line, row) in lines[1..].iter().zip(&rows) {
        for value in row.as_object().unwrap().values() {
            let shown = match value {
                Value::Null => "NULL".to_owned(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert!(line.contains(&shown), "{shown} is not in {line}");
        }
    }
    let some = head(&world, &inside, &["-n", "2", "--columns", "name,sr_id"]).ok().stdout;
    assert_eq!(some.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["name", "sr_id"]);
    assert_eq!(some.lines().count(), 3);
    let none = head(&world, &inside, &["-n", "0"]).ok().stdout;
    assert_eq!(none.lines().count(), 1, "the names alone: {none}");
    head(&world, &inside, &["--columns", "no_such"]).code(1).says("no_such");
    head(&world, &format!("{}/sr_hub_full", location.display()), &[]).code(2).says("name one table");
    head(&world, &format!("{}/sr_hub_full/no_table", location.display()), &[]).says("no_table");
}

#[test]
fn inspect_tells_what_tablets_are_made_of() {
    let world = World::new();
    let location = genuine::one("sr35/hub").location();
    let inside = format!("{}/sr_hub_full/sr_member", location.display());
    let run = |args: &[&str]| {
        let mut all = vec!["inspect"];
        all.extend(args);
        world.run(all)
    };
    let tables = run(&[&inside, "--json"]).ok().json();
    let tablets = tables["tables"][0]["tablets"].as_array().unwrap();
    assert_eq!(tablets.len(), 15);
    let (mut rows, mut mins, mut maxs) = (0, Vec::new(), Vec::new());
    for tablet in tablets {
        let id = tablet["id"].to_string();
        let found = run(&[&inside, "--json", "--tablet", &id, "--pages"]).ok().json();
        let found = &found["tablet"];
        assert_eq!((&found["rows"], &found["version"]), (&tablet["rows"], &tablet["version"]));
        let rowsets = found["rowsets_in_detail"].as_array().unwrap();
        assert_eq!(rowsets.len() as u64, tablet["rowsets"].as_u64().unwrap());
        for segment in rowsets.iter().flat_map(|rowset| rowset["segments"].as_array().unwrap()) {
            rows += segment["rows"].as_u64().unwrap();
            let columns = segment["columns"].as_array().unwrap();
            assert_eq!(columns.len(), 5);
            let stored: u64 = columns.iter().map(|column| column["bytes"].as_u64().unwrap()).sum();
            assert!(stored > 0 && stored < segment["bytes"].as_u64().unwrap(), "{segment}");
            for column in columns {
                assert!(column["pages"].as_u64().unwrap() >= 1 && column["expanded_bytes"].as_u64().is_some());
            }
            assert_eq!((&columns[0]["name"], &columns[0]["type"]), (&"sr_id".into(), &"INT".into()));
            mins.push(columns[0]["min"].as_str().unwrap().parse::<i64>().unwrap());
            maxs.push(columns[0]["max"].as_str().unwrap().parse::<i64>().unwrap());
        }
    }
    let physical = head(&world, &inside, &["-n", "1000000", "--physical", "--json"]).ok().stdout;
    let ids: Vec<Option<i64>> =
        physical.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["sr_id"].as_i64()).collect();
    assert!(ids.len() > 1000 && rows == ids.len() as u64, "{rows} and {}", ids.len());
    let known = || ids.iter().flatten();
    assert_eq!((mins.iter().min(), maxs.iter().max()), (known().min(), known().max()));

    let mount = world.mount(&location);
    let table = mount.path("sr_hub_full/latest/sr_member");
    let text = run(&[&inside]).ok().stdout;
    assert!(text.starts_with("table sr_member: 15 tablets\nTABLET"), "{text}");
    let tablet = table.join("p1/10010");
    let text = run(&[tablet.to_str().unwrap()]).ok().stdout;
    assert!(text.starts_with("tablet 10010 (Duplicate)") && text.contains("\n    sr_id"), "{text}");
    run(&[&inside, "--tablet", "1"]).code(1).says("tablet 1");
    // A DELETE, and delete vectors.
    let events = run(&[&format!("{}/sr_hub_full", location.display()), "--json"]).ok().json();
    let tables = events["tables"].as_array().unwrap();
    let sum = |key: &str| -> u64 {
        let tablets = tables.iter().flat_map(|table| table["tablets"].as_array().unwrap());
        tablets.map(|tablet| tablet[key].as_u64().unwrap()).sum()
    };
    assert!(tables.len() >= 6 && sum("rows") > 1000 && sum("deleted_rows") > 0, "{tables:?}");
}
