//! Rowsets: what one load, delete or compaction left behind, and how their files are named.

use std::fmt;

use crate::delta::DeltaColumnGroup;
use crate::delvec::DeleteVector;
use crate::error::{Result, TabletError, Within};
use crate::proto::tablet::{DeletePredicatePb, RowsetMetaPb};
use crate::schema::TabletSchema;

/// More segments than any rowset has; a count above it is damage, not data.
const MAX_SEGMENTS: i64 = 100_000;
/// More files than any tablet has. A rowset is a few bytes of a header, whatever it claims to have, and a tablet may have many.
const MAX_FILES: i64 = 1_000_000;

/// A rowset's name, the first part of its files' names: 48 hexadecimal digits, or a decimal number in very old tablets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowsetId(String);

impl RowsetId {
    fn from_pb(pb: &RowsetMetaPb) -> Result<Self> {
        if pb.deprecated_rowset_id > 0 {
            return Ok(RowsetId(pb.deprecated_rowset_id.to_string()));
        }
        let id = pb.rowset_id.as_deref().unwrap_or_default();
        // The name becomes part of a file name, so nothing but digits may pass.
        let hex = id.len() == 48 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let decimal = !id.is_empty() && id.len() < 20 && id.bytes().all(|b| b.is_ascii_digit());
        if hex || decimal {
            Ok(RowsetId(id.to_owned()))
        } else {
            Err(TabletError::damaged(format!("rowset id {id:?}")))
        }
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of segment file `n`, `<id>_<n>.dat`.
    pub fn segment_file(&self, n: usize) -> String {
        format!("{}_{n}.dat", self.0)
    }

    /// Name of the `n`-th file of deleted primary keys, `<id>_<n>.del`.
    pub fn delete_file(&self, n: usize) -> String {
        format!("{}_{n}.del", self.0)
    }

    /// Name of the `n`-th file of a column-mode partial update, `<id>_<n>.upt`.
    pub fn update_file(&self, n: usize) -> String {
        format!("{}_{n}.upt", self.0)
    }
}

impl fmt::Display for RowsetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a rowset's segments are one sorted run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentsOverlap {
    Unknown,
    Overlapping,
    NonOverlapping,
}

/// One segment file of a rowset and what applies to it.
#[derive(Debug, Clone, Default)]
pub struct SegmentMeta {
    /// Rows that are dead (PRIMARY KEY tables).
    pub delete_vector: Option<DeleteVector>,
    /// Columns that other files replace, newest first.
    pub delta_columns: Vec<DeltaColumnGroup>,
    /// The file is encrypted with keys that only its cluster has.
    pub encrypted: bool,
}

/// A rowset as the tablet's metadata describes it.
#[derive(Debug, Clone)]
pub struct RowsetMeta {
    pub id: RowsetId,
    /// First and last version, inclusive.
    pub start_version: i64,
    pub end_version: i64,
    /// Rows in all segments, as counted when they were written; 0 where that is not known.
    pub num_rows: i64,
    /// Bytes of the segment files, as counted when they were written.
    pub data_disk_size: i64,
    pub creation_time: i64,
    pub segments: Vec<SegmentMeta>,
    pub num_delete_files: usize,
    pub num_update_files: usize,
    pub segments_overlap: SegmentsOverlap,
    /// Global id of segment 0 (PRIMARY KEY tables).
    pub rowset_seg_id: u32,
    /// A DELETE statement, stored as a rowset without segments.
    pub delete_predicate: Option<DeletePredicatePb>,
    /// The schema it was written with, where it differs in time from the tablet's (since 3.2).
    pub schema: Option<TabletSchema>,
    /// A row-mode partial update that was never applied: its segments hold only some columns.
    pub partial: bool,
}

/// All rowsets of a tablet.
pub(crate) fn all(pbs: &[RowsetMetaPb]) -> Result<Vec<RowsetMeta>> {
    let files = |pb: &RowsetMetaPb| {
        let others = i64::from(pb.num_delete_files.unwrap_or(0)) + i64::from(pb.num_update_files.unwrap_or(0));
        pb.num_segments.unwrap_or(0).max(0).saturating_add(others)
    };
    let files = pbs.iter().map(files).fold(0, i64::saturating_add);
    if files > MAX_FILES {
        return Err(TabletError::damaged(format!("{files} files of {} rowsets", pbs.len())));
    }
    pbs.iter().map(RowsetMeta::from_pb).collect()
}

impl RowsetMeta {
    fn from_pb(pb: &RowsetMetaPb) -> Result<Self> {
        let id = RowsetId::from_pb(pb)?;
        Self::with_id(id.clone(), pb).within(|| format!("rowset {id}"))
    }

    fn with_id(id: RowsetId, pb: &RowsetMetaPb) -> Result<Self> {
        // Absent means ALPHA up to 2.3 and BETA since; writers of all versions read here store it.
        if pb.rowset_type == Some(0) {
            return Err(TabletError::unsupported("an ALPHA rowset, the format before StarRocks 1.19"));
        }
        let (start_version, end_version) = match (pb.start_version, pb.end_version) {
            (Some(start), Some(end)) if start <= end => (start, end),
            versions => return Err(TabletError::damaged(format!("versions {versions:?}"))),
        };
        let num_segments = count(pb.num_segments.unwrap_or(0), "segments")?;
        let num_update_files = count(i64::from(pb.num_update_files.unwrap_or(0)), "update files")?;
        let mut segments = vec![SegmentMeta::default(); num_segments];
        for (segment, meta) in segments.iter_mut().zip(&pb.segment_encryption_metas) {
            segment.encrypted = !meta.is_empty();
        }
        let footers = pb.txn_meta.as_ref().map_or(0, |t| t.partial_rowset_footers.len());
        Ok(RowsetMeta {
            start_version,
            end_version,
            num_rows: pb.num_rows.unwrap_or(0),
            data_disk_size: pb.data_disk_size.unwrap_or(0),
            creation_time: pb.creation_time.unwrap_or(0),
            num_delete_files: count(i64::from(pb.num_delete_files.unwrap_or(0)), "delete files")?,
            num_update_files,
            segments_overlap: match pb.segments_overlap {
                Some(1) => SegmentsOverlap::Overlapping,
                Some(2) => SegmentsOverlap::NonOverlapping,
                _ => SegmentsOverlap::Unknown,
            },
            rowset_seg_id: pb.rowset_seg_id.unwrap_or(0),
            delete_predicate: pb.delete_predicate.clone(),
            schema: pb.tablet_schema.as_ref().map(TabletSchema::from_pb).transpose()?,
            partial: num_segments > 0 && footers > 0 && num_update_files == 0,
            segments,
            id,
        })
    }

    /// Whether segments with so many rows altogether can be all that the rowset has.
    pub(crate) fn check_rows(&self, rows: u64) -> Result<()> {
        // Of a partial update by column the rows stand in its update files.
        if self.num_rows <= 0 || self.num_update_files > 0 || u64::try_from(self.num_rows) == Ok(rows) {
            return Ok(());
        }
        let (segments, says) = (self.segments.len(), self.num_rows);
        Err(TabletError::damaged(format!("{rows} rows in {segments} segments, where the rowset has {says}")))
            .within(|| format!("rowset {}", self.id))
    }

    /// Whether keys of one segment may lie among those of another of this rowset.
    pub fn overlapping(&self) -> bool {
        // Compactions leave one sorted run. That a rowset of several versions says that its segments overlap is not to be
        // expected, but merging them is right whatever they are.
        let overlap = match self.segments_overlap {
            SegmentsOverlap::Overlapping => true,
            SegmentsOverlap::NonOverlapping => false,
            SegmentsOverlap::Unknown => self.start_version == self.end_version,
        };
        overlap && self.segments.len() > 1
    }
}

fn count(value: i64, what: &str) -> Result<usize> {
    if (0..=MAX_SEGMENTS).contains(&value) {
        Ok(value as usize)
    } else {
        Err(TabletError::damaged(format!("{value} {what}")))
    }
}
