//! Which rows of a segment a filter can possibly want: by its zone maps, bloom filters and short key index.
//!
//! An index that cannot be understood excludes nothing; a page of one whose checksum is wrong is an error, as anywhere.

mod bloom;
mod key;
mod short_key;
mod zones;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use crate::column;
use crate::error::{Result, Within};
use crate::filter::Bound;
use crate::page::OrdinalIndex;
use crate::proto::segment::ColumnMetaPb;
use crate::schema::{Column, LogicalType, TabletSchema};
use crate::segment::Segment;
use crate::types::cast;

use zones::PageZones;

type Ranges = Vec<Range<u64>>;

/// Row ranges that may hold wanted rows, ascending. `replaced` says of a unique id that the segment's own values do not count.
pub(super) fn ranges(
    segment: &Segment,
    schema: &TabletSchema,
    written: &TabletSchema,
    filter: &Bound,
    replaced: &dyn Fn(u32) -> bool,
) -> Result<Ranges> {
    let indexes = Indexes { segment, schema, written, replaced, columns: RefCell::default() };
    let mut ranges: Ranges = std::iter::once(0..segment.num_rows()).collect();
    // The page of a small segment is read as quickly as its short key index.
    if indexes.segment.num_rows() > short_key::MIN_ROWS
        && let Some(found) = short_key::range(&indexes, filter).within(|| "short key index")?
    {
        ranges = intersection(&ranges, std::slice::from_ref(&found));
    }
    if !ranges.is_empty()
        && let Some(found) = indexes.by_zones(filter)?
    {
        ranges = intersection(&ranges, &found);
    }
    if !ranges.is_empty()
        && let Some(found) = indexes.by_blooms(filter, &ranges)?
    {
        ranges = intersection(&ranges, &found);
    }
    Ok(ranges)
}

/// The indexes of one segment.
struct Indexes<'a> {
    segment: &'a Segment,
    schema: &'a TabletSchema,
    /// What the segment was written with.
    written: &'a TabletSchema,
    replaced: &'a dyn Fn(u32) -> bool,
    columns: RefCell<HashMap<usize, Rc<ColumnPages>>>,
}

/// A column of the segment whose own values are those of the rows.
struct Own<'a> {
    column: &'a Column,
    written: &'a Column,
    meta: &'a ColumnMetaPb,
    stored: LogicalType,
}

/// Where a column's data pages begin, and the zone map of each.
struct ColumnPages {
    starts: Vec<u64>,
    zones: Option<PageZones>,
}

impl<'a> Indexes<'a> {
    /// The column at a position of the schema, if this segment decides its values and they need no cast.
    fn own(&self, column: usize) -> Option<Own<'a>> {
        let column = self.schema.columns.get(column).filter(|c| !(self.replaced)(c.unique_id as u32))?;
        let meta = self.segment.column(column.unique_id)?;
        let written = self.written.by_unique_id(column.unique_id).unwrap_or(column);
        let stored = column::stored_type(meta, &written.ty).ok()?;
        cast::same(&stored, &column.ty).then_some(Own { column, written, meta, stored })
    }

    fn pages(&self, at: usize, own: &Own<'_>) -> Result<Rc<ColumnPages>> {
        if let Some(pages) = self.columns.borrow().get(&at) {
            return Ok(pages.clone());
        }
        let root = own.meta.indexes.iter().find_map(|i| i.ordinal_index.as_ref()).and_then(|i| i.root_page.as_ref());
        let index = OrdinalIndex::read(self.segment.file.as_ref(), root)?;
        let starts: Vec<u64> = index.pages.iter().map(|(first, _)| *first).collect();
        let pages = Rc::new(ColumnPages { zones: zones::of_pages(self.segment, own, starts.len())?, starts });
        self.columns.borrow_mut().insert(at, pages.clone());
        Ok(pages)
    }

    /// Ranges outside of which the condition is not true, by zone maps; nothing if they say nothing.
    fn by_zones(&self, bound: &Bound) -> Result<Option<Ranges>> {
        let by = |column, bound: &Bound| self.zone_ranges(column, bound);
        self.combined(bound, &by)
    }

    /// The same by the bloom filters of pages that have rows in `wanted`.
    fn by_blooms(&self, bound: &Bound, wanted: &[Range<u64>]) -> Result<Option<Ranges>> {
        let by = |column, bound: &Bound| self.bloom_ranges(column, bound, wanted);
        self.combined(bound, &by)
    }

    /// Asks `by` about conditions on one column, and combines what it says.
    fn combined(&self, bound: &Bound, by: &dyn Fn(usize, &Bound) -> Result<Option<Ranges>>) -> Result<Option<Ranges>> {
        let mut columns = Vec::new();
        bound.columns(&mut columns);
        columns.sort_unstable();
        columns.dedup();
        match (bound, columns.as_slice()) {
            (_, []) => Ok(bound.never().then(Ranges::new)),
            (_, [column]) => by(*column, bound),
            (Bound::And(bounds), _) => {
                let mut all: Option<Ranges> = None;
                for bound in bounds {
                    let Some(found) = self.combined(bound, by)? else { continue };
                    all = Some(all.map_or(found.clone(), |all| intersection(&all, &found)));
                }
                Ok(all)
            }
            (Bound::Or(bounds), _) => {
                let mut any = Ranges::new();
                for bound in bounds {
                    let Some(found) = self.combined(bound, by)? else { return Ok(None) };
                    any.extend(found);
                }
                Ok(Some(joined(any)))
            }
            _ => Ok(None),
        }
    }

    fn zone_ranges(&self, at: usize, bound: &Bound) -> Result<Option<Ranges>> {
        let Some(own) = self.own(at) else { return Ok(None) };
        use LogicalType::{Array, Double, Float, Map, Struct};
        // StarRocks' zone maps of floating-point columns are wrong where there is a NaN; nested columns have no pages of their own.
        if matches!(own.stored, Float | Double | Array(_) | Map(..) | Struct(_)) {
            return Ok(None);
        }
        let read = || -> Result<Option<Ranges>> {
            if zones::of_segment(&own).is_some_and(|zone| !bound.may_match(&zone)) {
                return Ok(Some(Ranges::new()));
            }
            let pages = self.pages(at, &own)?;
            let Some(zones) = &pages.zones else { return Ok(None) };
            Ok(Some(
                self.page_ranges(&pages.starts, |page| Ok(zones.get(page).is_none_or(|zone| bound.may_match(zone))))?,
            ))
        };
        read().within(|| format!("zone maps of column {}", own.column.name))
    }

    fn bloom_ranges(&self, at: usize, bound: &Bound, wanted: &[Range<u64>]) -> Result<Option<Ranges>> {
        let Some(own) = self.own(at).filter(|_| bound.asks_for_values()) else { return Ok(None) };
        let read = || -> Result<Option<Ranges>> {
            let Some(mut blooms) = bloom::Blooms::open(self.segment, &own)? else { return Ok(None) };
            let pages = self.pages(at, &own)?;
            if blooms.len() != pages.starts.len() as u64 {
                return Ok(None);
            }
            let ends = self.ends(&pages.starts);
            Ok(Some(self.page_ranges(&pages.starts, |page| {
                let rows = pages.starts.get(page).copied().unwrap_or(0)..ends.get(page).copied().unwrap_or(0);
                if !wanted.iter().any(|w| w.start < rows.end && rows.start < w.end) {
                    return Ok(false);
                }
                let Some(filter) = blooms.get(page as u64)? else { return Ok(true) };
                Ok(bound.may_find(&|value| key::hashed(value, own.meta).is_none_or(|bytes| filter.may_hold(&bytes))))
            })?))
        };
        read().within(|| format!("bloom filters of column {}", own.column.name))
    }

    fn ends(&self, starts: &[u64]) -> Vec<u64> {
        starts.iter().skip(1).copied().chain([self.segment.num_rows()]).collect()
    }

    /// Rows of the pages that are wanted.
    fn page_ranges(&self, starts: &[u64], mut wanted: impl FnMut(usize) -> Result<bool>) -> Result<Ranges> {
        let mut ranges = Ranges::new();
        for (page, (start, end)) in starts.iter().zip(self.ends(starts)).enumerate() {
            if wanted(page)? {
                ranges.push(*start..end);
            }
        }
        Ok(joined(ranges))
    }
}

/// The same rows, ascending, each once.
fn joined(mut ranges: Ranges) -> Ranges {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Ranges = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut().filter(|last| last.end >= range.start) {
            Some(last) => last.end = last.end.max(range.end),
            None => out.push(range),
        }
    }
    out
}

fn intersection(a: &[Range<u64>], b: &[Range<u64>]) -> Ranges {
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
