//! What a segment's footer and indexes say of its columns, for people who look into it. No value is decoded.

use crate::codec::Codec;
use crate::encoding::Encoding;
use crate::error::{Result, Within};
use crate::page::{self, OrdinalIndex};
use crate::proto::segment::{ColumnMetaPb, ZoneMapPb};
use crate::schema::{Column, DecimalKind, LogicalType};
use crate::types::text;

use super::Segment;

/// One column, or a part of a nested one, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDescription {
    pub unique_id: Option<u32>,
    /// Stored names (subcolumns of flat JSON have some), lossy.
    pub name: Option<String>,
    /// StarRocks' name of the encoding, or its number where this crate does not know it.
    pub encoding: String,
    pub codec: String,
    pub nullable: bool,
    /// Data pages.
    pub pages: u64,
    /// Data pages and the dictionary, as they are stored.
    pub bytes: u64,
    /// The same pages expanded; only known when all of them were read.
    pub expanded: Option<u64>,
    pub dictionary: bool,
    pub zone_map: Option<ZoneDescription>,
    /// `ordinal`, `zone map`, `bloom filter`, `bitmap`, `inverted`.
    pub indexes: Vec<&'static str>,
    pub children: Vec<ColumnDescription>,
}

/// The smallest and the largest value of a segment's column, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDescription {
    /// None where all is NULL.
    pub range: Option<(String, String)>,
    pub has_null: bool,
}

impl Segment {
    /// Describes the column with the unique id of `column`, of which the type tells how its zone map reads; none where the segment does not
    /// have it. Reads its ordinal index; all its pages, checking them, only where `pages` asks for expanded sizes.
    pub fn describe(&self, column: &Column, pages: bool) -> Result<Option<ColumnDescription>> {
        let Some(meta) = self.column(column.unique_id) else { return Ok(None) };
        let described = self.describe_meta(meta, Some(&column.ty), pages, 0);
        described.within(|| format!("column {}", column.name)).map(Some)
    }

    fn describe_meta(
        &self,
        meta: &ColumnMetaPb,
        ty: Option<&LogicalType>,
        pages: bool,
        depth: usize,
    ) -> Result<ColumnDescription> {
        let index = |has: bool, name| has.then_some(name);
        let indexes = meta.indexes.iter().flat_map(|found| {
            [
                index(found.ordinal_index.is_some(), "ordinal"),
                index(found.zone_map_index.is_some(), "zone map"),
                index(found.bloom_filter_index.is_some(), "bloom filter"),
                index(found.bitmap_index.is_some(), "bitmap"),
                index(found.builtin_inverted_index.is_some(), "inverted"),
            ]
        });
        let zones = meta.indexes.iter().find_map(|found| found.zone_map_index.as_ref());
        let zones = zones.and_then(|zones| zones.segment_zone_map.as_ref());
        let mut described = ColumnDescription {
            unique_id: meta.unique_id,
            name: meta.name.as_ref().map(|name| String::from_utf8_lossy(name).into_owned()),
            encoding: Encoding::from_pb(meta.encoding.unwrap_or(0))
                .map_or_else(|_| format!("encoding {}", meta.encoding.unwrap_or(0)), |found| found.name().into()),
            codec: Codec::from_pb(meta.compression.unwrap_or(0))
                .map_or_else(|_| format!("codec {}", meta.compression.unwrap_or(0)), |found| found.name().into()),
            nullable: meta.is_nullable.unwrap_or(false),
            pages: 0,
            bytes: 0,
            expanded: None,
            dictionary: meta.dict_page.is_some(),
            zone_map: zones.and_then(|zones| zone(zones, ty)),
            indexes: indexes.flatten().collect(),
            children: Vec::new(),
        };
        self.sizes(meta, pages, &mut described)?;
        // Messages nest no deeper than the decoder of messages allows; this keeps it so.
        for (at, child) in meta.children_columns.iter().enumerate().filter(|_| depth < 32) {
            let child = self.describe_meta(child, None, pages, depth + 1).within(|| format!("child {at}"))?;
            described.children.push(child);
        }
        Ok(described)
    }

    /// Counts the pages of a column.
    fn sizes(&self, meta: &ColumnMetaPb, pages: bool, described: &mut ColumnDescription) -> Result<()> {
        let file = self.file.as_ref();
        let root = meta.indexes.iter().find_map(|index| index.ordinal_index.as_ref());
        let mut pointers = match root {
            Some(index) => {
                let found = OrdinalIndex::read(file, index.root_page.as_ref())?.pages;
                found.into_iter().map(|(_, pointer)| pointer).collect()
            }
            // Structs and the like have pages in their children only.
            None => Vec::new(),
        };
        described.pages = pointers.len() as u64;
        pointers.extend(meta.dict_page);
        described.bytes = pointers.iter().map(|pointer| u64::from(pointer.size)).sum();
        if pages {
            let codec = Codec::from_pb(meta.compression.unwrap_or(0))?;
            let mut expanded = 0;
            for pointer in pointers {
                expanded += page::read(file, pointer, codec)?.body.len() as u64;
            }
            described.expanded = Some(expanded);
        }
        Ok(())
    }
}

fn zone(pb: &ZoneMapPb, ty: Option<&LogicalType>) -> Option<ZoneDescription> {
    let has_null = pb.has_null.unwrap_or(true);
    if pb.has_not_null == Some(false) {
        return Some(ZoneDescription { range: None, has_null });
    }
    let range = (bound(pb.min.as_deref()?, ty), bound(pb.max.as_deref()?, ty));
    Some(ZoneDescription { range: Some(range), has_null })
}

/// A bound as text: stored as such, but for decimals, which are stored unscaled, and CHAR, which is padded.
fn bound(stored: &[u8], ty: Option<&LogicalType>) -> String {
    let verbatim = || String::from_utf8_lossy(stored).into_owned();
    match ty {
        Some(LogicalType::Decimal { kind, scale, .. }) if *kind != DecimalKind::V2 => {
            let digits = std::str::from_utf8(stored).ok().filter(|digits| digits.parse::<i128>().is_ok());
            let scale = usize::try_from(*scale).ok();
            digits.zip(scale).map_or_else(verbatim, |(digits, scale)| text::decimal(digits, scale))
        }
        Some(LogicalType::Char(_)) => verbatim().trim_end_matches('\0').to_owned(),
        _ => verbatim(),
    }
}
