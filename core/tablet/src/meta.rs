//! A tablet's metadata as a reader needs it, from `.hdr` (and `.dcgs_snapshot`) or from `meta`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::error::{Result, TabletError, Within};
use crate::proto::tablet::TabletMetaPb;
use crate::rowset::{self, RowsetMeta};
use crate::schema::{KeysType, TabletSchema, UniqueIds};
use crate::snapshot_meta::SnapshotMeta;
use crate::{delta, header, proto};

/// True for the name of the file that says what a tablet holds.
pub fn is_header(name: &str) -> bool {
    name == "meta" || name.ends_with(".hdr")
}

/// True for the name of the file with the delta columns of a tablet that has a `.hdr`.
pub fn is_delta_columns(name: &str) -> bool {
    name.ends_with(".dcgs_snapshot")
}

/// What one tablet directory holds, and which of it is visible at the version of the snapshot.
#[derive(Debug, Clone)]
pub struct TabletMeta {
    pub table_id: i64,
    pub partition_id: i64,
    pub tablet_id: i64,
    pub schema_hash: i32,
    pub shard_id: i32,
    /// Seconds since 1970.
    pub creation_time: i64,
    /// The version that the rows are those of.
    pub version: i64,
    /// The newest schema: what rows are presented with, whatever their rowset was written with.
    pub schema: TabletSchema,
    /// The visible rowsets; in version order, except in PRIMARY KEY tablets, where order does not matter.
    pub rowsets: Vec<RowsetMeta>,
}

impl TabletMeta {
    /// Parses a whole `<tablet_id>.hdr` file. A `.dcgs_snapshot` beside it belongs to it: see [`Self::add_delta_columns`].
    pub fn from_header(bytes: &[u8]) -> Result<Self> {
        let pb: TabletMetaPb = proto::decode(header::body(bytes)?, "TabletMetaPB")?;
        let rowsets = rowset::all(&pb.rs_metas)?;
        let (version, rowsets) = visible_path(rowsets)?;
        let meta = Self::new(&pb, version, rowsets)?;
        if meta.schema.keys_type == KeysType::Primary {
            return Err(TabletError::damaged("a PRIMARY KEY tablet has its metadata in a meta file, not in a .hdr"));
        }
        Ok(meta)
    }

    /// Parses the whole `meta` file of a PRIMARY KEY tablet.
    pub fn from_snapshot_meta(bytes: &[u8]) -> Result<Self> {
        let mut snapshot = SnapshotMeta::parse(bytes)?;
        let mut rowsets = rowset::all(&snapshot.rowsets)?;
        keep_visible(&snapshot.tablet, &mut rowsets)?;
        for rowset in &mut rowsets {
            for (at, segment) in rowset.segments.iter_mut().enumerate() {
                let id = rowset.rowset_seg_id.wrapping_add(at as u32);
                let vector = snapshot.delete_vectors.remove(&id);
                // Without it deleted rows would come back, so its absence is damage even where it would be empty.
                segment.delete_vector = Some(vector.ok_or_else(|| {
                    TabletError::damaged(format!("segment {id} of rowset {} has no delete vector", rowset.id))
                })?);
                segment.delta_columns = snapshot.delta_columns.remove(&id).unwrap_or_default();
            }
        }
        Self::new(&snapshot.tablet, snapshot.version, rowsets)
    }

    /// Finds the metadata among a tablet's files, and parses all of it. `read` gives a whole file; `failed` makes the caller's error.
    pub fn of_files<E>(
        names: &[impl AsRef<str>],
        mut read: impl FnMut(&str) -> Result<Vec<u8>, E>,
        failed: impl Fn(TabletError) -> E,
    ) -> Result<Self, E> {
        let names = || names.iter().map(AsRef::as_ref);
        let mut headers = names().filter(|name| is_header(name));
        let Some(header) = headers.next() else {
            return Err(failed(TabletError::damaged("its header is missing: neither .hdr nor meta is there")));
        };
        if let Some(other) = headers.next() {
            return Err(failed(TabletError::damaged(format!("it has two headers: {header} and {other}"))));
        }
        let bytes = read(header)?;
        if header == "meta" {
            return Self::from_snapshot_meta(&bytes).map_err(failed);
        }
        let mut meta = Self::from_header(&bytes).map_err(&failed)?;
        match names().find(|name| is_delta_columns(name)) {
            Some(delta) => meta.add_delta_columns(&read(delta)?).map_err(failed)?,
            None => meta.check_no_delta_columns(names()).map_err(failed)?,
        }
        Ok(meta)
    }

    /// Fails if there are files of replaced columns among a tablet's files, which has no `.dcgs_snapshot`: the segments' own values would be taken
    /// for the rows'.
    pub fn check_no_delta_columns<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Result<()> {
        match names.find(|name| name.ends_with(".cols")).filter(|_| self.schema.keys_type != KeysType::Primary) {
            Some(name) => {
                Err(TabletError::damaged(format!("{name} is there, but no .dcgs_snapshot that says what it replaces")))
            }
            None => Ok(()),
        }
    }

    /// Adds what a whole `<tablet_id>.dcgs_snapshot` file says of this tablet's segments.
    pub fn add_delta_columns(&mut self, bytes: &[u8]) -> Result<()> {
        let lists = delta::parse_snapshot(bytes)?;
        let mut places = HashMap::with_capacity(self.rowsets.len());
        for (at, rowset) in self.rowsets.iter().enumerate() {
            places.entry(rowset.id.as_str().to_owned()).or_insert(at);
        }
        for list in lists {
            // The list may speak of rowsets that are not part of this version.
            let at = places.get(&list.rowset_id).copied();
            let Some(rowset) = at.and_then(|at| self.rowsets.get_mut(at)) else { continue };
            let segment = rowset.segments.get_mut(list.segment as usize).ok_or_else(|| {
                TabletError::damaged(format!("delta columns of segment {} of rowset {}", list.segment, list.rowset_id))
            })?;
            segment.delta_columns = list.groups;
        }
        Ok(())
    }

    /// Presents the rows with `newest`, the newest schema of the tablet's table, whatever the tablet's own.
    pub fn present_with(&mut self, newest: &TabletSchema, ids: UniqueIds) {
        let schema = self.schema.present(newest, ids);
        if self.schema != schema {
            // Rowsets that name no schema of their own were written with the tablet's.
            for rowset in &mut self.rowsets {
                rowset.schema.get_or_insert_with(|| self.schema.clone());
            }
            self.schema = schema;
        }
    }

    fn new(pb: &TabletMetaPb, version: i64, rowsets: Vec<RowsetMeta>) -> Result<Self> {
        let schema = pb.schema.as_ref().ok_or_else(|| TabletError::damaged("TabletMetaPB has no schema"))?;
        Ok(TabletMeta {
            table_id: pb.table_id.unwrap_or(0),
            partition_id: pb.partition_id.unwrap_or(0),
            tablet_id: pb.tablet_id.ok_or_else(|| TabletError::damaged("TabletMetaPB has no tablet id"))?,
            schema_hash: pb.schema_hash.unwrap_or(0),
            shard_id: pb.shard_id.unwrap_or(0),
            creation_time: pb.creation_time.unwrap_or(0),
            version,
            schema: TabletSchema::from_pb(schema).within(|| "tablet schema")?,
            rowsets,
        })
    }
}

/// The consecutive rowsets [0..a], [a+1..b], … that make up the newest version, taking the widest at each step as StarRocks
/// does. A backup holds exactly these; a directory from a BE's trash may hold more.
fn visible_path(mut rowsets: Vec<RowsetMeta>) -> Result<(i64, Vec<RowsetMeta>)> {
    let Some(version) = rowsets.iter().map(|r| r.end_version).max() else {
        return Ok((0, rowsets));
    };
    // The widest of those that start together comes first, of equal ones the last; those that start earlier than the next is to are within another.
    rowsets.reverse();
    rowsets.sort_by_key(|r| (r.start_version, Reverse(r.end_version)));
    let mut path: Vec<RowsetMeta> = Vec::with_capacity(rowsets.len());
    let mut next = 0;
    for rowset in rowsets {
        if rowset.start_version == next {
            next = rowset.end_version.saturating_add(1);
            path.push(rowset);
        }
    }
    if next <= version {
        return Err(TabletError::damaged(format!("no rowset starts at version {next}, the newest is {version}")));
    }
    Ok((version, path))
}

/// Keeps the rowsets that the snapshot's version lists, and makes sure that all of them are there.
fn keep_visible(tablet: &TabletMetaPb, rowsets: &mut Vec<RowsetMeta>) -> Result<()> {
    let updates = tablet.updates.as_ref().ok_or_else(|| TabletError::damaged("TabletMetaPB has no updates"))?;
    let [version] = updates.versions.as_slice() else {
        return Err(TabletError::damaged(format!("{} versions in a snapshot of one", updates.versions.len())));
    };
    let mut listed: BTreeSet<u32> = version.rowsets.iter().copied().collect();
    rowsets.retain(|r| listed.remove(&r.rowset_seg_id));
    match listed.first() {
        Some(id) => Err(TabletError::damaged(format!("rowset {id} is visible, but has no rowset meta"))),
        None => Ok(()),
    }
}

/// Names of all files that must stand beside the metadata file: segments, and `.del`, `.upt` and `.cols` files. Index files
/// (`.vi`, CLucene) may stand there too; their names cannot be told from the metadata alone.
pub fn expected_files(meta: &TabletMeta) -> Vec<String> {
    let mut names = BTreeSet::new();
    for rowset in &meta.rowsets {
        names.extend((0..rowset.segments.len()).map(|n| rowset.id.segment_file(n)));
        names.extend((0..rowset.num_delete_files).map(|n| rowset.id.delete_file(n)));
        names.extend((0..rowset.num_update_files).map(|n| rowset.id.update_file(n)));
        let groups = rowset.segments.iter().flat_map(|s| &s.delta_columns);
        names.extend(groups.flat_map(|g| &g.files).map(|f| f.name.clone()));
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::proto::tablet::RowsetMetaPb;
    use proptest::prelude::*;

    /// Step by step, as StarRocks finds its path: the versions of each rowset, or where none starts.
    fn model(versions: &[(i64, i64)]) -> Result<Vec<(i64, i64)>, i64> {
        let newest = versions.iter().map(|v| v.1).max().unwrap_or(-1);
        let (mut path, mut next) = (Vec::new(), 0);
        while next <= newest {
            let widest = versions.iter().filter(|v| v.0 == next).max_by_key(|v| v.1).ok_or(next)?;
            next = widest.1 + 1;
            path.push(*widest);
        }
        Ok(path)
    }

    proptest! {
        #[test]
        fn the_path_takes_the_widest_at_each_step(
            versions in prop::collection::vec((0i64..9, 0i64..4), 0..14),
            whole: bool,
        ) {
            let mut versions: Vec<_> = versions.into_iter().map(|(start, more)| (start, start + more)).collect();
            if whole {
                // So that there mostly is a path.
                versions.extend((0..13).map(|version| (version, version)));
            }
            let pb = |&(start, end): &(i64, i64)| RowsetMetaPb {
                start_version: Some(start),
                end_version: Some(end),
                rowset_id: Some("1".into()),
                ..RowsetMetaPb::default()
            };
            let rowsets = rowset::all(&versions.iter().map(pb).collect::<Vec<_>>()).unwrap();
            match (visible_path(rowsets), model(&versions)) {
                (Ok((version, path)), Ok(wanted)) => {
                    let path: Vec<_> = path.iter().map(|r| (r.start_version, r.end_version)).collect();
                    prop_assert_eq!(version, versions.iter().map(|v| v.1).max().unwrap_or(0));
                    prop_assert_eq!(path, wanted);
                }
                (Err(error), Err(next)) => {
                    prop_assert!(error.to_string().contains(&format!("starts at version {next},")), "{}", error);
                }
                (is, wanted) => prop_assert!(false, "{:?}, not {:?}", is, wanted),
            }
        }
    }
}
