//! The genuine tablets: one directory per case, found by looking, never by name.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use serde_json::Value;
use starsnap_tablet::{Column, LogicalType, ReadAt, Tablet, TabletError, TabletMeta};

pub struct Case {
    pub dir: PathBuf,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.dir.iter().rev();
        let name = parts.next().unwrap().to_str().unwrap();
        write!(f, "{}/{name}", parts.next().unwrap().to_str().unwrap())
    }
}

/// All cases of the project, and those of the directory that `STARSNAP_EXTRA_FIXTURES` names.
pub fn cases() -> Vec<Case> {
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tablets"));
    let extra = std::env::var_os("STARSNAP_EXTRA_FIXTURES").map(PathBuf::from);
    let mut cases = Vec::new();
    for root in std::iter::once(own).chain(extra) {
        for version in sorted_dirs(&root) {
            cases.extend(sorted_dirs(&version).into_iter().map(|dir| Case { dir }));
        }
    }
    assert!(cases.len() > 20, "the genuine tablets are missing");
    cases
}

fn sorted_dirs(dir: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    dirs.sort();
    dirs
}

impl Case {
    pub fn tablet(&self) -> PathBuf {
        self.dir.join("tablet")
    }

    /// Name and bytes of the `.hdr` or `meta` file.
    pub fn metadata(&self) -> (String, Vec<u8>) {
        for entry in fs::read_dir(self.tablet()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name == "meta" || name.ends_with(".hdr") {
                let bytes = fs::read(self.tablet().join(&name)).unwrap();
                return (name, bytes);
            }
        }
        panic!("{self} has no metadata");
    }

    /// The protobuf text of the metadata file.
    pub fn metadata_text(&self) -> String {
        fs::read_to_string(self.dir.join("text").join(format!("{}.txt", self.metadata().0))).unwrap()
    }

    pub fn meta(&self) -> TabletMeta {
        let (name, bytes) = self.metadata();
        if name == "meta" {
            return TabletMeta::from_snapshot_meta(&bytes).unwrap();
        }
        let mut meta = TabletMeta::from_header(&bytes).unwrap();
        let delta = self.tablet().join(format!("{}.dcgs_snapshot", meta.tablet_id));
        if delta.exists() {
            meta.add_delta_columns(&fs::read(delta).unwrap()).unwrap();
        }
        meta
    }

    /// The tablet over its files.
    pub fn open(&self) -> Tablet {
        self.open_with(self.meta())
    }

    /// The same files with other metadata.
    pub fn open_with(&self, meta: TabletMeta) -> Tablet {
        let dir = self.tablet();
        Tablet::new(meta, move |name: &str| Ok(Arc::new(fs::read(dir.join(name))?) as Arc<dyn ReadAt>))
    }

    /// The physical rows as StarRocks reads them; some cases share theirs with the newest version's case of the same or the most
    /// similar name.
    pub fn expected(&self) -> Vec<Value> {
        let name = |dir: &Path| dir.file_name().unwrap().to_str().unwrap().to_owned();
        let own = name(&self.dir);
        let common = |dir: &PathBuf| name(dir).bytes().zip(own.bytes()).take_while(|(a, b)| a == b).count();
        let file = Path::new("expected.jsonl.zst");
        let versions = self.dir.ancestors().nth(2).unwrap();
        let dir = if self.dir.join(file).exists() {
            self.dir.clone()
        } else {
            let mut others = sorted_dirs(&versions.join("sr35"));
            others.retain(|d| d.join(file).exists());
            others.into_iter().max_by_key(common).unwrap()
        };
        self.lines(&dir.join(file))
    }

    pub fn lines(&self, file: &Path) -> Vec<Value> {
        let text = zstd::decode_all(fs::File::open(file).unwrap()).unwrap();
        let lines = text.split(|&b| b == b'\n').filter(|l| !l.is_empty());
        lines.map(|l| serde_json::from_slice(l).unwrap()).collect()
    }

    /// Little enough to be read many times over.
    pub fn is_small(&self) -> bool {
        let files = fs::read_dir(self.tablet()).unwrap();
        files.map(|e| e.unwrap().metadata().unwrap().len()).sum::<u64>() < 600_000
    }

    /// A header and few rows: small enough to change every byte in turn.
    pub fn is_tiny(&self) -> bool {
        self.dir.file_name().unwrap().to_str().unwrap().ends_with("_tiny")
    }
}

pub fn flatten_names(column: &Column, names: &mut Vec<String>) {
    names.push(column.name.clone());
    match &column.ty {
        LogicalType::Array(element) => flatten_names(element, names),
        LogicalType::Map(key, value) => {
            flatten_names(key, names);
            flatten_names(value, names);
        }
        LogicalType::Struct(fields) => fields.iter().for_each(|f| flatten_names(f, names)),
        _ => {}
    }
}

/// All rows in one batch.
pub fn concat(batches: impl Iterator<Item = Result<RecordBatch, TabletError>>) -> RecordBatch {
    let batches: Vec<_> = batches.map(Result::unwrap).collect();
    arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// The same, where there may be no batch at all.
pub fn concat_or_empty(rows: starsnap_tablet::Rows) -> RecordBatch {
    let schema = rows.schema();
    let batches: Vec<_> = rows.map(Result::unwrap).collect();
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}
