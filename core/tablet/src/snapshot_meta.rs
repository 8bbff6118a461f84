//! The `meta` file of a PRIMARY KEY tablet: rowset metas, delete vectors, delta column groups, tablet meta, footer.

use std::collections::BTreeMap;

use crate::delta::{self, DeltaColumnGroup};
use crate::delvec::DeleteVector;
use crate::error::{Result, TabletError, Within};
use crate::proto;
use crate::proto::tablet::{RowsetMetaPb, SnapshotMetaFooterPb, TabletMetaPb};

/// SnapshotTypePB of what clones copy; backups are full.
const INCREMENTAL: i32 = 1;

/// The parts of a `meta` file, keyed as they are stored: by global segment id.
pub(crate) struct SnapshotMeta {
    pub version: i64,
    pub tablet: TabletMetaPb,
    pub rowsets: Vec<RowsetMetaPb>,
    pub delete_vectors: BTreeMap<u32, DeleteVector>,
    pub delta_columns: BTreeMap<u32, Vec<DeltaColumnGroup>>,
}

impl SnapshotMeta {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let footer_at = footer_offset(bytes)?;
        let trailer_at = bytes.len() - 16;
        let footer: SnapshotMetaFooterPb = proto::decode(&bytes[footer_at..trailer_at], "SnapshotMetaFooterPB")?;
        if footer.snapshot_type == Some(INCREMENTAL) {
            return Err(TabletError::unsupported("an incremental snapshot, which has only the newest rowsets"));
        }
        let front = &bytes[..footer_at];
        let tablet_at = footer.tablet_meta_offset.unwrap_or(-1);
        let tablet = proto::decode(section(front, tablet_at, footer_at as i64)?, "TabletMetaPB")?;
        let rowsets = sections(front, &footer.rowset_meta_offsets).within(|| "rowset metas")?;
        let rowsets = rowsets.into_iter().map(|b| proto::decode(b, "RowsetMetaPB")).collect::<Result<_>>()?;
        Ok(SnapshotMeta {
            version: footer.snapshot_version.unwrap_or(0),
            tablet,
            rowsets,
            delete_vectors: delete_vectors(front, &footer).within(|| "delete vectors")?,
            delta_columns: delta_columns(front, &footer).within(|| "delta column groups")?,
        })
    }
}

/// Reads the two big-endian words at the end: where the footer message starts, and the file's length.
fn footer_offset(bytes: &[u8]) -> Result<usize> {
    let Some((front, trailer)) = bytes.split_last_chunk::<16>() else {
        return Err(TabletError::damaged(format!(
            "{} bytes are less than the 16 at the end of a meta file",
            bytes.len()
        )));
    };
    let words = u128::from_be_bytes(*trailer);
    let (footer_at, length) = ((words >> 64) as u64, words as u64);
    if length != bytes.len() as u64 {
        return Err(TabletError::damaged(format!("{} bytes, the end of the meta file says {length}", bytes.len())));
    }
    match usize::try_from(footer_at) {
        Ok(at) if at <= front.len() => Ok(at),
        _ => Err(TabletError::damaged(format!("footer at {footer_at} of {length} bytes"))),
    }
}

fn section(front: &[u8], start: i64, end: i64) -> Result<&[u8]> {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(start, end)| front.get(start..end))
        .ok_or_else(|| TabletError::damaged(format!("section {start}..{end} of {} bytes", front.len())))
}

/// Sections between consecutive offsets; a list of n sections has n + 1 offsets.
fn sections<'a>(front: &'a [u8], offsets: &[i64]) -> Result<Vec<&'a [u8]>> {
    offsets.windows(2).map(|w| section(front, w[0], w[1])).collect()
}

fn segment_id(id: i64) -> Result<u32> {
    u32::try_from(id).map_err(|_| TabletError::damaged(format!("segment id {id}")))
}

fn delete_vectors(front: &[u8], footer: &SnapshotMetaFooterPb) -> Result<BTreeMap<u32, DeleteVector>> {
    let n = footer.delvec_offsets.len();
    if footer.delvec_segids.len() != n || footer.delvec_versions.len() != n {
        return Err(TabletError::damaged("lists of different lengths"));
    }
    let ids = footer.delvec_segids.iter().zip(&footer.delvec_versions);
    let mut vectors = BTreeMap::new();
    for (bytes, (&id, &version)) in sections(front, &footer.delvec_offsets)?.into_iter().zip(ids) {
        let vector = DeleteVector::parse(bytes, version).within(|| format!("segment {id}"))?;
        if vectors.insert(segment_id(id)?, vector).is_some() {
            return Err(TabletError::damaged(format!("segment {id} is listed twice")));
        }
    }
    Ok(vectors)
}

fn delta_columns(front: &[u8], footer: &SnapshotMetaFooterPb) -> Result<BTreeMap<u32, Vec<DeltaColumnGroup>>> {
    if footer.dcg_segids.len() != footer.dcg_offsets.len() {
        return Err(TabletError::damaged("lists of different lengths"));
    }
    let mut columns = BTreeMap::new();
    for (bytes, &id) in sections(front, &footer.dcg_offsets)?.into_iter().zip(&footer.dcg_segids) {
        let groups = delta::groups(&proto::decode(bytes, "DeltaColumnGroupListPB")?)?;
        if columns.insert(segment_id(id)?, groups).is_some() {
            return Err(TabletError::damaged(format!("segment {id} is listed twice")));
        }
    }
    Ok(columns)
}
