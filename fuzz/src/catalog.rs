//! What is tried with bytes that claim to be metadata of a backup. Included by the fuzz targets and, with the kept corpus, by
//! `cargo test` of the catalog crate.

use starsnap_catalog::ddl::{Context, schema_sql};
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::meta;
use starsnap_catalog::range::Range;
use starsnap_catalog::repo_info::RepoInfo;
use starsnap_catalog::snapshot::Snapshot;
use starsnap_catalog::table_file::TableFile;

/// `__info` and `__repo_info`.
pub fn info(data: &[u8]) {
    if let Ok(info) = JobInfo::parse(data) {
        assert!(JobInfo::parse(&info.to_bytes()).expect("what we write we read") == info);
        join(Snapshot::join(Some(&info), None).ok());
    }
    if let Ok(info) = RepoInfo::parse(data) {
        RepoInfo::parse(&info.to_bytes()).expect("what we write we read");
    }
}

/// `__meta`, binary or JSON.
pub fn backup_meta(data: &[u8]) {
    if let Ok(meta) = meta::read(data) {
        join(Snapshot::join(None, Some(&meta)).ok());
        if let Ok(written) = meta::write(&meta) {
            meta::read(&written).expect("what we write we read");
        }
    }
}

/// The range of a partition, as it is stored inside `__meta`.
pub fn range(data: &[u8]) {
    if let Ok(range) = Range::decode(data) {
        let _ = (range.is_shadow(), range.problem(), range.order(&range));
        let written = range.encode().expect("a range can be written");
        assert!(Range::decode(&written).expect("what we write we read") == range);
    }
}

/// The `table.json` of a table directory.
pub fn table_file(data: &[u8]) {
    if let Ok(file) = TableFile::parse(data)
        && let Ok(text) = file.to_json()
    {
        assert!(TableFile::parse(text.as_bytes()).expect("what we write we read") == file);
    }
}

/// Statements of everything that is in a snapshot.
fn join(snapshot: Option<Snapshot>) {
    for entry in snapshot.iter().flat_map(|s| &s.tables) {
        if let Ok(Some(table)) = entry.parse() {
            let _ = schema_sql(&table, &Context::default());
        }
    }
}
