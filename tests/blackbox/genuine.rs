//! The genuine repositories in tests/fixtures, and what must be seen of them: worked out from the manifests and from how the databases
//! were made, without any code of ours that reads repositories.

use crate::common::{Content, Tree};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// A genuine repository.
pub struct Genuine {
    dir: PathBuf,
    /// `sr35/hub`
    pub name: &'static str,
    /// Where its ids are described.
    ids: &'static str,
}

const ALL: [(&str, &str); 4] =
    [("sr23/old", "sr23/old"), ("sr33/hub", "sr33/hub"), ("sr35/hub", "sr35/hub"), ("sr40/hub", "sr35/hub")];

/// All of them.
pub fn all() -> Vec<Genuine> {
    ALL.iter().map(|(name, ids)| Genuine { dir: fixtures().join("repositories").join(name), name, ids }).collect()
}

/// The one called `name`.
pub fn one(name: &str) -> Genuine {
    all().into_iter().find(|genuine| genuine.name == name).unwrap()
}

/// tests/fixtures
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A file of the manifest.
pub struct Stored {
    /// From the location.
    pub path: String,
    pub content: Content,
}

/// A label, as the manifest tells.
#[derive(Debug, Clone, Default)]
pub struct Label {
    /// None: incomplete.
    pub timestamp: Option<String>,
    /// Tablet files by their path in the table directory's shape: `<table>/<partition>/[<rollup>/]<tablet>/<file>`.
    pub files: Tree,
}

impl Label {
    /// Tables that have tablet files.
    pub fn tables(&self) -> Vec<String> {
        let mut tables: Vec<_> = self.files.keys().map(|path| path.split('/').next().unwrap().to_owned()).collect();
        tables.dedup();
        tables
    }

    /// The directory's name in the mount.
    pub fn dir(&self) -> &str {
        self.timestamp.as_deref().unwrap_or("incomplete")
    }
}

/// What SHOW SNAPSHOT said of one snapshot.
#[derive(Debug)]
pub struct Shown {
    pub label: String,
    pub timestamp: String,
    pub status: String,
    /// The details of its own statement; none for an incomplete one.
    pub details: Option<Value>,
}

impl Genuine {
    /// What stands under ON LOCATION.
    pub fn location(&self) -> PathBuf {
        self.dir.join("location")
    }

    /// The repository's name.
    pub fn repository(&self) -> String {
        let path = self.manifest().remove(0).path;
        path.split('/').next().unwrap().rsplit_once("repository_").unwrap().1.to_owned()
    }

    /// The database that was backed up.
    pub fn database(&self) -> String {
        self.ids()["db_name"].as_str().unwrap().to_owned()
    }

    fn ids(&self) -> Value {
        let text = fs::read_to_string(fixtures().join("repositories").join(self.ids).join("ids.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The manifest.
    pub fn manifest(&self) -> Vec<Stored> {
        let text = fs::read_to_string(self.dir.join("tree.tsv")).unwrap();
        let stored = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let content = Content { size: fields[1].parse().unwrap(), md5: fields[2].to_owned() };
            Stored { path: fields[0].to_owned(), content }
        };
        text.lines().map(stored).collect()
    }

    /// Labels, and where their tablet files must be seen.
    pub fn labels(&self) -> BTreeMap<String, Label> {
        let names = Names::of(&self.ids());
        let mut labels: BTreeMap<String, Label> = BTreeMap::new();
        for Stored { path, content } in self.manifest() {
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            let Some(label) = parts[0].strip_prefix("__ss_") else {
                assert_eq!(parts, ["__repo_info"]);
                continue;
            };
            let label = labels.entry(label.to_owned()).or_default();
            if let Some(info) = parts[1].strip_prefix("__info_") {
                label.timestamp = Some(info.split('.').next().unwrap().to_owned());
            } else if parts[1] == "__ss_content" {
                label.files.insert(names.path(&parts[2..]), content);
            } else {
                assert!(parts[1].starts_with("__meta."), "{path}");
            }
        }
        labels
    }

    /// The tree that the mount must show of tablet files.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        for (name, label) in self.labels() {
            tree.extend(
                label.files.iter().map(|(path, content)| (format!("{name}/{}/{path}", label.dir()), content.clone())),
            );
        }
        tree
    }

    /// What SHOW SNAPSHOT ON and SHOW SNAPSHOT … WHERE said.
    pub fn shown(&self) -> Vec<Shown> {
        let rows = |name: &str| -> Vec<Vec<String>> {
            let text = fs::read_to_string(self.dir.join(name)).unwrap();
            text.lines().skip(1).map(|line| line.split('\t').map(unescape).collect()).collect()
        };
        let details: HashMap<(String, String), Value> = rows("show_snapshot_detail.tsv")
            .into_iter()
            .map(|row| ((row[0].clone(), row[1].clone()), serde_json::from_str(&row[3]).unwrap()))
            .collect();
        let shown = |row: Vec<String>| Shown {
            details: details.get(&(row[0].clone(), row[1].clone())).cloned(),
            label: row[0].clone(),
            timestamp: row[1].clone(),
            status: row[2].clone(),
        };
        rows("show_snapshot.tsv").into_iter().map(shown).collect()
    }
}

fn unescape(field: &str) -> String {
    let mut out = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|c| match c {
                'n' => '\n',
                't' => '\t',
                other => other,
            })),
            c => out.push(c),
        }
    }
    out
}

/// Names by id, from how the database was made.
struct Names {
    tables: HashMap<i64, String>,
    /// Directory name of the partition that a physical partition belongs to.
    partitions: HashMap<i64, String>,
    /// Directory name of a rollup; none for base indexes.
    indexes: HashMap<i64, Option<String>>,
}

impl Names {
    fn of(ids: &Value) -> Names {
        let mut names = Names { tables: HashMap::new(), partitions: HashMap::new(), indexes: HashMap::new() };
        for table in ids["tables"].as_array().unwrap() {
            let table_name = text(&table["name"]);
            names.tables.insert(id(table), table_name.clone());
            for partition in table["partitions"].as_array().unwrap() {
                // Hidden partitions begin with a dot, so that `ls` does not show them and `cp -r` takes them along.
                let hidden = partition.get("hidden").and_then(Value::as_bool).unwrap_or(false);
                let dir = format!("{}{}", if hidden { "." } else { "" }, text(&partition["name"]));
                for physical in partition["physical_partitions"].as_array().unwrap() {
                    names.partitions.insert(id(physical), dir.clone());
                    for index in physical["indexes"].as_array().unwrap() {
                        let name = text(&index["name"]);
                        names.indexes.insert(id(index), (name != table_name).then_some(name));
                    }
                }
            }
        }
        names
    }

    /// `__db_…/__tbl_…/__part_…/__idx_…/__…/<file>.<md5>` as the path in a snapshot's directory.
    fn path(&self, parts: &[&str]) -> String {
        let number = |at: usize, prefix: &str| parts[at].strip_prefix(prefix).unwrap().parse::<i64>().unwrap();
        let mut path = format!("{}/{}", self.tables[&number(1, "__tbl_")], self.partitions[&number(2, "__part_")]);
        if let Some(rollup) = &self.indexes[&number(3, "__idx_")] {
            path = format!("{path}/{rollup}");
        }
        let file = parts[5].rsplit_once('.').unwrap().0;
        format!("{path}/{}/{file}", number(4, "__"))
    }
}

fn id(object: &Value) -> i64 {
    object["id"].as_i64().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
