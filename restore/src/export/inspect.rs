//! What tablets are made of: their rowsets and segments, and how each column is stored there.

use super::parallel::parallel;
use super::plan::plan;
use super::tablet::Unit;
use super::{ExportOptions, Format, Job};
use crate::error::{ErrorKind, RestoreError, Result};
use crate::export::ExportSource;
use crate::export::tablet::tablet_error;
use crate::progress::{Cancel, Silent};
use serde::Serialize;
use starsnap_tablet::delta::{DeltaColumnGroup, DeltaFile};
use starsnap_tablet::rowset::SegmentsOverlap;
use starsnap_tablet::segment::ColumnDescription;
use starsnap_tablet::{Column, RowsetMeta, Tablet, TabletMeta, UniqueIds, predicate};
use tokio::runtime::Handle;

/// What to look at.
#[derive(Debug, Clone)]
pub struct InspectOptions {
    pub source: ExportSource,
    /// The rollup instead of the base index.
    pub index: Option<String>,
    /// Only this tablet.
    pub tablet: Option<i64>,
    /// Read every page of a tablet, to tell expanded sizes.
    pub pages: bool,
    /// Headers read at once.
    pub workers: usize,
}

/// What is there: one tablet in detail, or several in one line each.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Inspection {
    Tablet(Box<TabletView>),
    Tables(Vec<TableView>),
}

/// A table, or what was chosen of it.
#[derive(Debug, Clone, Serialize)]
pub struct TableView {
    pub name: String,
    pub tablets: Vec<TabletLine>,
    /// Why its tablets cannot be told.
    pub problem: Option<String>,
}

/// A tablet's metadata in numbers.
#[derive(Debug, Clone, Serialize)]
pub struct TabletLine {
    /// Below the table's directory.
    pub path: String,
    pub id: i64,
    pub version: i64,
    pub schema_version: i32,
    pub rowsets: usize,
    pub segments: usize,
    /// As counted when they were written: not merged, deleted ones too.
    pub rows: u64,
    pub bytes: u64,
    /// DELETE statements that rows are still tested against.
    pub delete_predicates: usize,
    /// Rows that delete vectors say are gone.
    pub deleted_rows: u64,
}

/// A tablet in detail.
#[derive(Debug, Clone, Serialize)]
pub struct TabletView {
    #[serde(flatten)]
    pub line: TabletLine,
    /// The table model: `Duplicate`, `Unique`, `Aggregate`, `Primary`.
    pub model: String,
    pub partition_id: i64,
    pub rowsets_in_detail: Vec<RowsetView>,
}

/// A rowset.
#[derive(Debug, Clone, Serialize)]
pub struct RowsetView {
    pub id: String,
    pub start_version: i64,
    pub end_version: i64,
    pub rows: i64,
    pub bytes: i64,
    /// `unknown`, `overlapping`, `non-overlapping`.
    pub overlap: &'static str,
    /// Conditions of a DELETE that it stands for, all of which a row must meet.
    pub deletes: Vec<String>,
    pub delete_files: usize,
    pub update_files: usize,
    pub segments: Vec<SegmentView>,
}

/// A segment file.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentView {
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    pub footer_version: u32,
    /// Of a PRIMARY KEY table: rows that are gone, and the version that says so.
    pub delete_vector: Option<DeleteVectorView>,
    /// Files that hold newer values of some columns.
    pub delta_files: Vec<String>,
    /// The same files, newest first, with their columns: of a column, the first file that has it counts.
    pub delta_columns: Vec<DeltaView>,
    pub columns: Vec<ColumnView>,
}

/// A file with newer values of some columns.
#[derive(Debug, Clone, Serialize)]
pub struct DeltaView {
    pub file: String,
    pub version: i64,
    /// By name; by unique id, where the schema has them no more.
    pub columns: Vec<String>,
}

/// A delete vector.
#[derive(Debug, Clone, Serialize)]
pub struct DeleteVectorView {
    pub version: i64,
    pub rows: u64,
}

/// A column in a segment; parts of nested columns follow theirs.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnView {
    /// `a`, and `a.1` for its first part, or `a.name` where that has a name.
    pub name: String,
    pub unique_id: Option<u32>,
    /// Of the schema; empty for parts of nested columns.
    #[serde(rename = "type")]
    pub ty: String,
    /// False where the column was added later: its rows have the default value.
    pub stored: bool,
    pub encoding: String,
    pub codec: String,
    pub nullable: bool,
    pub pages: u64,
    pub bytes: u64,
    pub expanded_bytes: Option<u64>,
    pub dictionary: bool,
    pub min: Option<String>,
    pub max: Option<String>,
    /// By the zone map, where there is one.
    pub has_null: Option<bool>,
    pub indexes: Vec<&'static str>,
}

/// Looks. Reads headers; of a tablet in detail footers and ordinal indexes too.
pub async fn inspect(options: InspectOptions, cancel: Cancel) -> Result<Inspection> {
    let runtime = Handle::current();
    let work = move || {
        let job = Job { runtime, progress: &Silent, cancel: &cancel };
        look(&options, &job)
    };
    let failed = |error| RestoreError::io("finish", std::path::Path::new("the inspection"), error);
    crate::blocking(work).await.map_err(failed)?
}

fn look(options: &InspectOptions, job: &Job<'_>) -> Result<Inspection> {
    let planned = ExportOptions {
        physical: true,
        index: options.index.clone(),
        ..ExportOptions::all_rows(options.source.clone(), Format::JsonLines, options.workers)
    };
    let plans = plan(&planned, job)?;
    let all: Vec<&Unit> = plans.iter().filter_map(|plan| plan.as_ref().ok()).flat_map(|plan| &plan.units).collect();
    let chosen = match options.tablet {
        Some(id) => {
            let is_it = |unit: &&&Unit| unit.path.rsplit('/').next() == Some(id.to_string().as_str());
            Some(*all.iter().find(is_it).ok_or_else(|| {
                RestoreError::new(ErrorKind::NoSuchObject, "inspect tablet", id.to_string(), "it is not there")
                    .advise("without --tablet, all are listed")
            })?)
        }
        None if all.len() == 1 && plans.len() == 1 => all.first().copied(),
        None => None,
    };
    if let Some(unit) = chosen {
        return Ok(Inspection::Tablet(Box::new(tablet(unit, options.pages, job)?)));
    }
    let mut tables = Vec::new();
    for plan in &plans {
        tables.push(match plan {
            Ok(plan) => {
                let line = |unit: &Unit| {
                    job.check(&plan.name)?;
                    Ok(line(unit, &unit.meta(&job.runtime)?))
                };
                TableView {
                    name: plan.name.clone(),
                    tablets: parallel(&plan.units, options.workers, line)?,
                    problem: None,
                }
            }
            Err(refused) => {
                TableView { name: refused.name.clone(), tablets: Vec::new(), problem: Some(refused.error.to_string()) }
            }
        });
    }
    Ok(Inspection::Tables(tables))
}

fn line(unit: &Unit, meta: &TabletMeta) -> TabletLine {
    let sum = |count: fn(&RowsetMeta) -> i64| {
        let counts = meta.rowsets.iter().map(|rowset| u64::try_from(count(rowset)).unwrap_or(0));
        counts.fold(0, u64::saturating_add)
    };
    let vectors = meta.rowsets.iter().flat_map(|rowset| &rowset.segments).filter_map(|s| s.delete_vector.as_ref());
    TabletLine {
        path: unit.path.clone(),
        id: meta.tablet_id,
        version: meta.version,
        schema_version: meta.schema.version,
        rowsets: meta.rowsets.len(),
        segments: meta.rowsets.iter().map(|rowset| rowset.segments.len()).sum(),
        rows: sum(|rowset| rowset.num_rows),
        bytes: sum(|rowset| rowset.data_disk_size),
        delete_predicates: meta.rowsets.iter().filter(|rowset| rowset.delete_predicate.is_some()).count(),
        deleted_rows: vectors.map(|vector| vector.rows.len()).sum(),
    }
}

fn tablet(unit: &Unit, pages: bool, job: &Job<'_>) -> Result<TabletView> {
    let meta = unit.meta(&job.runtime)?;
    let opened = unit.open(&meta.schema, UniqueIds::OfTable, &job.runtime)?;
    let mut rowsets = Vec::with_capacity(meta.rowsets.len());
    for rowset in &meta.rowsets {
        job.check(&unit.path)?;
        rowsets.push(rowset_view(unit, &opened, rowset, pages)?);
    }
    Ok(TabletView {
        line: line(unit, &meta),
        model: format!("{:?}", meta.schema.keys_type),
        partition_id: meta.partition_id,
        rowsets_in_detail: rowsets,
    })
}

fn rowset_view(unit: &Unit, tablet: &Tablet, rowset: &RowsetMeta, pages: bool) -> Result<RowsetView> {
    let mut segments = Vec::with_capacity(rowset.segments.len());
    for (at, meta) in rowset.segments.iter().enumerate() {
        let file = rowset.id.segment_file(at);
        let failed = |error: starsnap_tablet::TabletError| tablet_error(&unit.path, error);
        let opened = tablet.open_segment(rowset, at).map_err(failed)?;
        let mut columns = Vec::new();
        for column in &tablet.meta().schema.columns {
            let described = opened.describe(column, pages).map_err(|error| failed(error.within(file.clone())))?;
            column_views(column, described, &mut columns);
        }
        let vector = meta.delete_vector.as_ref();
        segments.push(SegmentView {
            rows: opened.num_rows(),
            bytes: opened.file_size(),
            footer_version: opened.footer().version.unwrap_or(0),
            delete_vector: vector.map(|found| DeleteVectorView { version: found.version, rows: found.rows.len() }),
            delta_files: meta.delta_columns.iter().flat_map(|group| &group.files).map(|f| f.name.clone()).collect(),
            delta_columns: deltas(tablet, &meta.delta_columns),
            columns,
            file,
        });
    }
    Ok(RowsetView {
        id: rowset.id.to_string(),
        start_version: rowset.start_version,
        end_version: rowset.end_version,
        rows: rowset.num_rows,
        bytes: rowset.data_disk_size,
        overlap: match rowset.segments_overlap {
            SegmentsOverlap::Unknown => "unknown",
            SegmentsOverlap::Overlapping => "overlapping",
            SegmentsOverlap::NonOverlapping => "non-overlapping",
        },
        deletes: rowset.delete_predicate.as_ref().map(predicate::conditions).unwrap_or_default(),
        delete_files: rowset.num_delete_files,
        update_files: rowset.num_update_files,
        segments,
    })
}

fn deltas(tablet: &Tablet, groups: &[DeltaColumnGroup]) -> Vec<DeltaView> {
    let schema = &tablet.meta().schema;
    let name = |id: &u32| {
        let known = schema.columns.iter().find(|column| u32::try_from(column.unique_id).is_ok_and(|own| own == *id));
        known.map_or_else(|| id.to_string(), |column| column.name.clone())
    };
    let files = groups.iter().flat_map(|group| group.files.iter().map(move |file| (group.version, file)));
    let view = |(version, file): (i64, &DeltaFile)| DeltaView {
        file: file.name.clone(),
        version,
        columns: file.column_unique_ids.iter().map(name).collect(),
    };
    files.map(view).collect()
}

/// A column and the parts of it.
fn column_views(column: &Column, described: Option<ColumnDescription>, out: &mut Vec<ColumnView>) {
    let absent = ColumnView {
        name: column.name.clone(),
        unique_id: u32::try_from(column.unique_id).ok(),
        ty: column.ty.sql(),
        stored: false,
        encoding: String::new(),
        codec: String::new(),
        nullable: column.nullable,
        pages: 0,
        bytes: 0,
        expanded_bytes: None,
        dictionary: false,
        min: None,
        max: None,
        has_null: None,
        indexes: Vec::new(),
    };
    match described {
        Some(described) => stored_views(column.name.clone(), column.ty.sql(), described, out),
        None => out.push(absent),
    }
}

fn stored_views(name: String, ty: String, described: ColumnDescription, out: &mut Vec<ColumnView>) {
    let zone = described.zone_map;
    let range = zone.as_ref().and_then(|zone| zone.range.clone());
    out.push(ColumnView {
        name: name.clone(),
        unique_id: described.unique_id,
        ty,
        stored: true,
        encoding: described.encoding,
        codec: described.codec,
        nullable: described.nullable,
        pages: described.pages,
        bytes: described.bytes,
        expanded_bytes: described.expanded,
        dictionary: described.dictionary,
        min: range.as_ref().map(|(min, _)| min.clone()),
        max: range.map(|(_, max)| max),
        has_null: zone.map(|zone| zone.has_null),
        indexes: described.indexes,
    });
    for (at, child) in described.children.into_iter().enumerate() {
        let part = child.name.clone().unwrap_or_else(|| (at + 1).to_string());
        stored_views(format!("{name}.{part}"), String::new(), child, out);
    }
}
