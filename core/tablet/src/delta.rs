//! Delta column groups: `.cols` files that hold newer values of some columns of a segment.

use crate::error::{Result, TabletError};
use crate::proto::tablet::{DeltaColumnGroupListPb, DeltaColumnGroupPb, DeltaColumnGroupSnapshotPb};
use crate::{header, proto};

/// One file with replacement columns.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaFile {
    /// Its name beside the segment.
    pub name: String,
    /// Unique ids of the columns that are read from it.
    pub column_unique_ids: Vec<u32>,
    /// The file is encrypted with keys that only its cluster has.
    pub encrypted: bool,
}

/// What one version replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaColumnGroup {
    pub version: i64,
    pub files: Vec<DeltaFile>,
}

/// Groups of one segment, in stored order: newest first, the first that lists a column wins.
pub(crate) fn groups(list: &DeltaColumnGroupListPb) -> Result<Vec<DeltaColumnGroup>> {
    if list.dcgs.len() != list.versions.len() {
        let (groups, versions) = (list.dcgs.len(), list.versions.len());
        return Err(TabletError::damaged(format!("{groups} delta column groups with {versions} versions")));
    }
    list.dcgs.iter().zip(&list.versions).map(|(group, &version)| one_group(group, version)).collect()
}

fn one_group(group: &DeltaColumnGroupPb, version: i64) -> Result<DeltaColumnGroup> {
    if group.column_ids.len() != group.column_files.len() {
        let (ids, files) = (group.column_ids.len(), group.column_files.len());
        return Err(TabletError::damaged(format!("delta column group with {files} files for {ids} lists of columns")));
    }
    let file = |(at, (name, ids)): (usize, (&String, &proto::tablet::DeltaColumnGroupColumnIdsPb))| {
        // The name becomes part of a path in the caller's hands.
        if name.is_empty() || name.contains(['/', '\\', '\0']) || !name.ends_with(".cols") {
            return Err(TabletError::damaged(format!("delta column file name {name:?}")));
        }
        Ok(DeltaFile {
            name: name.clone(),
            column_unique_ids: ids.column_ids.clone(),
            encrypted: group.encryption_metas.get(at).is_some_and(|meta| !meta.is_empty()),
        })
    };
    let files = group.column_files.iter().zip(&group.column_ids).enumerate().map(file).collect::<Result<_>>()?;
    Ok(DeltaColumnGroup { version, files })
}

/// The groups of one segment of one rowset, as `.dcgs_snapshot` lists them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SegmentDelta {
    pub rowset_id: String,
    pub segment: u32,
    pub groups: Vec<DeltaColumnGroup>,
}

/// Parses a whole `<tablet_id>.dcgs_snapshot` file.
pub(crate) fn parse_snapshot(bytes: &[u8]) -> Result<Vec<SegmentDelta>> {
    let pb: DeltaColumnGroupSnapshotPb = proto::decode(header::body(bytes)?, "DeltaColumnGroupSnapshotPB")?;
    let n = pb.dcg_lists.len();
    if pb.rowset_id.len() != n || pb.segment_id.len() != n {
        let (rowsets, segments) = (pb.rowset_id.len(), pb.segment_id.len());
        return Err(TabletError::damaged(format!("{n} delta lists for {rowsets} rowsets and {segments} segments")));
    }
    let lists = pb.rowset_id.into_iter().zip(pb.segment_id).zip(&pb.dcg_lists);
    lists.map(|((rowset_id, segment), list)| Ok(SegmentDelta { rowset_id, segment, groups: groups(list)? })).collect()
}
