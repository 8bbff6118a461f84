//! Which rows of a segment a filter can possibly want, by zone maps.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Decimal128Array};

use crate::codec::Codec;
use crate::column;
use crate::encoding::binary::BinaryPlain;
use crate::error::{Result, Within};
use crate::filter::{Bound, Zone};
use crate::page::{self, DataPage, OrdinalIndex};
use crate::proto;
use crate::proto::segment::{ColumnMetaPb, IndexedColumnMetaPb, ZoneMapPb};
use crate::schema::{Column, DecimalKind, LogicalType, TabletSchema};
use crate::segment::Segment;
use crate::types::{cast, parse};

const PLAIN: i32 = 2;

/// Row ranges that may hold wanted rows, ascending. `replaced` says of a unique id that the segment's own values do not count.
pub(super) fn ranges(
    segment: &Segment,
    schema: &TabletSchema,
    written: &TabletSchema,
    filter: &Bound,
    replaced: impl Fn(u32) -> bool,
) -> Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = std::iter::once(0..segment.num_rows()).collect();
    for conjunct in filter.conjuncts() {
        let mut columns = Vec::new();
        conjunct.columns(&mut columns);
        columns.dedup();
        let [column] = columns.as_slice() else { continue };
        let Some(column) = schema.columns.get(*column).filter(|c| !replaced(c.unique_id as u32)) else { continue };
        let Some(meta) = segment.column(column.unique_id) else { continue };
        let hint = written.by_unique_id(column.unique_id).unwrap_or(column);
        let Ok(stored) = column::stored_type(meta, &hint.ty) else { continue };
        if !can_prune(column, &stored) {
            continue;
        }
        let found = column_ranges(segment, meta, &stored, conjunct);
        if let Some(found) = found.within(|| format!("zone maps of column {}", column.name))? {
            ranges = intersection(&ranges, &found);
        }
    }
    Ok(ranges)
}

/// StarRocks' zone maps of floating-point columns are wrong where there is a NaN.
fn can_prune(column: &Column, stored: &LogicalType) -> bool {
    cast::same(stored, &column.ty) && !matches!(stored, LogicalType::Float | LogicalType::Double)
}

fn column_ranges(
    segment: &Segment,
    meta: &ColumnMetaPb,
    ty: &LogicalType,
    test: &Bound,
) -> Result<Option<Vec<Range<u64>>>> {
    let Some(index) = meta.indexes.iter().find_map(|i| i.zone_map_index.as_ref()) else { return Ok(None) };
    let may_match = |zone: &ZoneMapPb| zone_of(zone, ty).is_none_or(|zone| test.may_match(&zone));
    if index.segment_zone_map.as_ref().is_some_and(|zone| !may_match(zone)) {
        return Ok(Some(Vec::new()));
    }
    let root = meta.indexes.iter().find_map(|i| i.ordinal_index.as_ref()).and_then(|i| i.root_page.as_ref());
    let Some(zones) = index.page_zone_maps.as_ref().filter(|z| z.encoding == Some(PLAIN)) else { return Ok(None) };
    if root.is_some_and(|r| r.is_root_data_page == Some(true)) {
        // One page, of which the segment's own zone has said everything.
        return Ok(None);
    }
    let pages = OrdinalIndex::read(segment.file.as_ref(), root)?.pages;
    let zones = page_zones(segment, zones)?;
    if zones.len() != pages.len() {
        return Ok(None);
    }
    let ends = pages.iter().skip(1).map(|(first, _)| *first).chain([segment.num_rows()]);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for ((_, (start, _)), end) in zones.iter().zip(&pages).zip(ends).filter(|((zone, _), _)| may_match(zone)) {
        match ranges.last_mut().filter(|last| last.end == *start) {
            Some(last) => last.end = end,
            None => ranges.push(*start..end),
        }
    }
    Ok(Some(ranges))
}

/// The zone map of every data page of a column.
fn page_zones(segment: &Segment, index: &IndexedColumnMetaPb) -> Result<Vec<ZoneMapPb>> {
    let file = segment.file.as_ref();
    let codec = Codec::from_pb(index.compression.unwrap_or(2))?;
    let mut zones = Vec::new();
    for (_, pointer) in OrdinalIndex::read(file, index.ordinal_index_meta.as_ref())?.pages {
        let page = DataPage::parse(page::read(file, pointer, codec)?)?;
        let values = BinaryPlain::parse(page.values, 0)?;
        for value in (0..values.len()).filter_map(|at| values.get(at)) {
            zones.push(proto::decode(value, "ZoneMapPB")?);
        }
    }
    Ok(zones)
}

/// Reads a zone map; nothing if its bounds do not parse, so that it excludes nothing.
fn zone_of(pb: &ZoneMapPb, ty: &LogicalType) -> Option<Zone> {
    let has_null = pb.has_null.unwrap_or(true);
    if pb.has_not_null == Some(false) {
        return Some(Zone { range: None, has_null });
    }
    Some(Zone { range: Some((bound(pb.min.as_deref()?, ty)?, bound(pb.max.as_deref()?, ty)?)), has_null })
}

fn bound(text: &[u8], ty: &LogicalType) -> Option<ArrayRef> {
    match ty {
        // Padded to the declared length.
        LogicalType::Char(_) => {
            let len = text.iter().position(|&b| b == 0).unwrap_or(text.len());
            parse::one(&text[..len], ty).ok()
        }
        // Unscaled, unlike everywhere else.
        LogicalType::Decimal { kind, precision, scale } if *kind != DecimalKind::V2 => {
            let value = std::str::from_utf8(text).ok()?.parse::<i128>().ok()?;
            if *kind == DecimalKind::D256 {
                return None;
            }
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(*precision, *scale).ok()?;
            Some(Arc::new(array))
        }
        LogicalType::Varchar(_)
        | LogicalType::Boolean
        | LogicalType::TinyInt
        | LogicalType::SmallInt
        | LogicalType::Int
        | LogicalType::BigInt
        | LogicalType::LargeInt
        | LogicalType::Date
        | LogicalType::DateTime
        | LogicalType::Decimal { .. } => parse::one(text, ty).ok().filter(|a| a.is_valid(0)),
        _ => None,
    }
}

fn intersection(a: &[Range<u64>], b: &[Range<u64>]) -> Vec<Range<u64>> {
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let both = x.start.max(y.start)..x.end.min(y.end);
        if !both.is_empty() {
            out.push(both);
        }
        if x.end <= y.end { i += 1 } else { j += 1 }
    }
    out
}
