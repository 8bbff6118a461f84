//! Zone maps: the least and the greatest value of a segment, and of each data page.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Decimal128Array};

use super::Own;
use crate::codec::Codec;
use crate::encoding::binary::BinaryPlain;
use crate::error::Result;
use crate::filter::Zone;
use crate::page::{self, DataPage, OrdinalIndex};
use crate::proto;
use crate::proto::segment::{IndexedColumnMetaPb, ZoneMapPb};
use crate::schema::{DecimalKind, LogicalType};
use crate::segment::Segment;
use crate::types::parse;

/// EncodingTypePB of the values of index columns.
pub(super) const PLAIN: i32 = 2;

/// One zone map per data page.
pub(super) struct PageZones(Vec<Option<Zone>>);

impl PageZones {
    /// What is known of a page's values.
    pub fn get(&self, page: usize) -> Option<&Zone> {
        self.0.get(page)?.as_ref()
    }
}

/// What is known of all values of a column.
pub(super) fn of_segment(own: &Own<'_>) -> Option<Zone> {
    let index = own.meta.indexes.iter().find_map(|i| i.zone_map_index.as_ref())?;
    zone_of(index.segment_zone_map.as_ref()?, &own.stored)
}

/// The zone maps of a column's `count` data pages.
pub(super) fn of_pages(segment: &Segment, own: &Own<'_>, count: usize) -> Result<Option<PageZones>> {
    let index = own.meta.indexes.iter().find_map(|i| i.zone_map_index.as_ref());
    let pages = index.and_then(|i| i.page_zone_maps.as_ref()).filter(|z| z.encoding == Some(PLAIN));
    // Of one page, the segment's own zone says everything.
    let Some(pages) = pages.filter(|_| count > 1) else { return Ok(None) };
    let zones = page_zones(segment, pages)?;
    if zones.len() != count {
        return Ok(None);
    }
    Ok(Some(PageZones(zones.iter().map(|zone| zone_of(zone, &own.stored)).collect())))
}

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
    let max = pb.max.as_deref()?;
    let max = match ty {
        LogicalType::Char(_) | LogicalType::Varchar(_) if max.ends_with(b"\xff") => bound(&above(max)?, ty)?,
        _ => bound(max, ty)?,
    };
    Some(Zone { range: Some((bound(pb.min.as_deref()?, ty)?, max)), has_null })
}

/// What is greater than everything that begins like `max`, but for its ends of 0xFF; nothing if there are no other bytes. Newer versions store
/// the beginning of a long greatest value and 0xFF, which a value that goes on with 0xFF and more is greater than.
fn above(max: &[u8]) -> Option<Vec<u8>> {
    let (last, rest) = max.get(..=max.iter().rposition(|&byte| byte != 0xff)?)?.split_last()?;
    Some([rest, &[last + 1]].concat())
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
        LogicalType::Date | LogicalType::DateTime => {
            // Years of the old types are not filled up, and those of two digits would be read as others.
            let year = text.iter().position(|&b| b == b'-')?;
            parse::one(&[b"0000".get(year..).unwrap_or_default(), text].concat(), ty).ok()
        }
        LogicalType::Varchar(_)
        | LogicalType::Boolean
        | LogicalType::TinyInt
        | LogicalType::SmallInt
        | LogicalType::Int
        | LogicalType::BigInt
        | LogicalType::LargeInt
        | LogicalType::Decimal { .. } => parse::one(text, ty).ok().filter(|a| a.is_valid(0)),
        _ => None,
    }
}
