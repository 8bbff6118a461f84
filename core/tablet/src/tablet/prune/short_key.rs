//! The short key index: the first columns of the sort key of every 1024th row or so, in bytes that are ordered as the rows are.

use std::cmp::Ordering;
use std::ops::Range;

use arrow_array::ArrayRef;

use super::{Indexes, Own, key, zones};
use crate::codec::Codec;
use crate::column::stored;
use crate::encoding;
use crate::error::Result;
use crate::filter::{Bound, Zone};
use crate::page::{self, Page};
use crate::predicate::{Op, Test};

const SHORT_KEY_PAGE: i32 = 4;
const NULL: u8 = 1;
const VALUE: u8 = 2;
/// Segments of fewer rows are not worth it.
pub(super) const MIN_ROWS: u64 = 2048;

/// Rows outside of which the condition is not true; nothing if the index says nothing.
pub(super) fn range(indexes: &Indexes<'_>, filter: &Bound) -> Result<Option<Range<u64>>> {
    let Some(pointer) = indexes.segment.footer().short_key_index_page else { return Ok(None) };
    let conjuncts = filter.conjuncts();
    let Some((low, high)) = bounds(indexes, &conjuncts) else { return Ok(None) };
    let page = page::read(indexes.segment.file.as_ref(), pointer, Codec::None)?;
    let Some(items) = Items::parse(&page, indexes.segment.num_rows()) else { return Ok(None) };
    let Some(columns) = columns(indexes) else { return Ok(None) };
    let Some(keys) = items.keys(&columns) else { return Ok(None) };
    if !agrees_with_zone(&keys, &columns) {
        return Ok(None);
    }
    // Of the rows behind an item nothing is known but that they are not less; so the rows from the item before on may be wanted.
    let first = keys.iter().rposition(|key| against(key, &low) == Some(Ordering::Less)).map_or(0, |at| at + 1);
    let last = keys.iter().position(|key| against(key, &high) == Some(Ordering::Greater)).unwrap_or(keys.len());
    let start = (first as u64).saturating_sub(1).saturating_mul(items.rows_per_item);
    let end = (last as u64).saturating_mul(items.rows_per_item).min(indexes.segment.num_rows());
    Ok(Some(start.min(end)..end))
}

/// A bound on the leading columns of the key: each NULL or a value.
type Bounds = Vec<Edge>;

#[derive(Debug, Clone, PartialEq)]
enum Edge {
    Null,
    /// In the index's own bytes.
    Value(Vec<u8>),
    /// The beginning of a text.
    Text(Vec<u8>),
}

/// A key as an item has it: column by column, nothing for NULL.
type Key<'a> = Vec<Option<&'a [u8]>>;

/// How a key stands to a bound, which may be of fewer columns; nothing (or equal) where the index does not tell.
fn against(key: &Key<'_>, bound: &[Edge]) -> Option<Ordering> {
    for (is, edge) in key.iter().zip(bound) {
        let order = match (is, edge) {
            (None, Edge::Null) => Ordering::Equal,
            (None, _) => Ordering::Less,
            (Some(_), Edge::Null) => Ordering::Greater,
            (Some(is), Edge::Value(value)) => is[..].cmp(value),
            // What the index has of a text may be its beginning only.
            (Some(is), Edge::Text(text)) => match is[..].cmp(text) {
                Ordering::Less if text.starts_with(is) => return None,
                Ordering::Equal => return None,
                other => other,
            },
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

/// Columns of the short key that can be told apart in an item.
fn columns<'a>(indexes: &Indexes<'a>) -> Option<Vec<Own<'a>>> {
    let written = indexes.written;
    let count = written.num_short_key_columns.min(written.sort_key.len());
    let mut columns = Vec::with_capacity(count);
    for &at in written.sort_key.get(..count)? {
        let id = written.columns.get(at)?.unique_id;
        let now = indexes.schema.columns.iter().position(|c| c.unique_id == id)?;
        columns.push(indexes.own(now)?);
    }
    (!columns.is_empty()).then_some(columns)
}

/// Least and greatest key that rows can have for which all conditions are true; both empty conditions are none.
fn bounds(indexes: &Indexes<'_>, conjuncts: &[&Bound]) -> Option<(Bounds, Bounds)> {
    let written = indexes.written;
    let (mut low, mut high) = (Bounds::new(), Bounds::new());
    let count = written.num_short_key_columns.min(written.sort_key.len());
    for &at in written.sort_key.get(..count)? {
        let id = written.columns.get(at)?.unique_id;
        let position = indexes.schema.columns.iter().position(|c| c.unique_id == id)?;
        let own = indexes.own(position)?;
        let (least, greatest) = column_bounds(position, &own, conjuncts);
        let fixed = least.is_some() && least == greatest;
        low.extend(least);
        high.extend(greatest);
        // Of the columns that follow, nothing is ordered unless this one has one value only.
        if !fixed || matches!(low.last(), Some(Edge::Text(_))) {
            break;
        }
    }
    (!low.is_empty() || !high.is_empty()).then_some((low, high))
}

/// The least and the greatest value that the conditions leave to a column.
fn column_bounds(position: usize, own: &Own<'_>, conjuncts: &[&Bound]) -> (Option<Edge>, Option<Edge>) {
    let (mut least, mut greatest): (Option<Edge>, Option<Edge>) = (None, None);
    let mut narrow = |low: Option<Edge>, high: Option<Edge>| {
        if let Some(low) = low.filter(|low| least.as_ref().is_none_or(|is| less(is, low))) {
            least = Some(low);
        }
        if let Some(high) = high.filter(|high| greatest.as_ref().is_none_or(|is| less(high, is))) {
            greatest = Some(high);
        }
    };
    let edge = |value: &ArrayRef| match own.meta.r#type {
        Some(stored::CHAR | stored::VARCHAR) => key::text(value).map(|text| Edge::Text(text.to_vec())),
        _ => key::ordered(value, own.meta).map(Edge::Value),
    };
    for conjunct in conjuncts {
        match conjunct {
            Bound::Test { column, test } if *column == position => match test {
                Test::Compare(op, value) => {
                    let edge = edge(value);
                    match op {
                        Op::Eq => narrow(edge.clone(), edge),
                        Op::Lt | Op::Le => narrow(None, edge),
                        Op::Gt | Op::Ge => narrow(edge, None),
                        Op::Ne => {}
                    }
                }
                Test::In { values, negated: false } => {
                    let edges: Option<Vec<Edge>> = values.iter().map(edge).collect();
                    let order = |a: &Edge, b: &Edge| if less(a, b) { Ordering::Less } else { Ordering::Greater };
                    if let Some(edges) = edges {
                        let least = edges.iter().cloned().min_by(order);
                        narrow(least, edges.into_iter().max_by(order));
                    }
                }
                Test::IsNull { negated: false } => narrow(Some(Edge::Null), Some(Edge::Null)),
                _ => {}
            },
            Bound::StartsWith { column, prefix } if *column == position => {
                narrow(Some(Edge::Text(prefix.clone())), after(prefix).map(Edge::Text));
            }
            Bound::Like { column, pattern } if *column == position => {
                let prefix = pattern.prefix();
                narrow(Some(Edge::Text(prefix.clone())), after(&prefix).map(Edge::Text));
            }
            _ => {}
        }
    }
    (least, greatest)
}

/// The least text that is greater than everything with this beginning.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let at = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut text = prefix[..=at].to_vec();
    *text.last_mut()? += 1;
    Some(text)
}

fn less(a: &Edge, b: &Edge) -> bool {
    match (a, b) {
        (Edge::Null, Edge::Null) => false,
        (Edge::Null, _) => true,
        (_, Edge::Null) => false,
        (Edge::Value(a) | Edge::Text(a), Edge::Value(b) | Edge::Text(b)) => a < b,
    }
}

/// The items of the index.
struct Items<'a> {
    bytes: &'a [u8],
    /// Where each item starts, and where the last one ends.
    offsets: Vec<usize>,
    rows_per_item: u64,
}

impl<'a> Items<'a> {
    /// Keys one after another, then where each starts; nothing if that does not fit together.
    fn parse(page: &'a Page, rows: u64) -> Option<Self> {
        let footer = page.footer.short_key_page_footer.filter(|_| page.footer.r#type == Some(SHORT_KEY_PAGE))?;
        let count = footer.num_items? as usize;
        let rows_per_item = u64::from(footer.num_rows_per_block.filter(|n| *n > 0)?);
        let key_bytes = footer.key_bytes? as usize;
        let (bytes, mut rest) = page.body.split_at_checked(key_bytes)?;
        let fits = footer.num_segment_rows.is_none_or(|n| u64::from(n) == rows);
        if !fits || count as u64 != rows.div_ceil(rows_per_item) || count > rest.len() {
            return None;
        }
        let mut offsets = Vec::with_capacity(count + 1);
        for _ in 0..count {
            offsets.push(usize::try_from(encoding::varint(&mut rest).ok()?).ok()?);
        }
        offsets.push(key_bytes);
        let ascends = offsets.first() == Some(&0) && offsets.is_sorted();
        (ascends && rest.is_empty()).then_some(Items { bytes, offsets, rows_per_item })
    }

    /// Every item taken apart; nothing if one is not of these columns, or out of order.
    fn keys(&self, columns: &[Own<'_>]) -> Option<Vec<Key<'a>>> {
        let items = self.offsets.windows(2).map(|at| self.bytes.get(at[0]..at[1])).collect::<Option<Vec<_>>>()?;
        if !items.is_sorted() {
            return None;
        }
        items.into_iter().map(|item| split(item, columns)).collect()
    }
}

fn split<'a>(mut item: &'a [u8], columns: &[Own<'_>]) -> Option<Key<'a>> {
    let mut key = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let (marker, rest) = item.split_first()?;
        item = rest;
        match *marker {
            NULL => key.push(None),
            VALUE => {
                let value = match key::ordered_len(column.meta) {
                    Some(len) => item.split_off(..len)?,
                    // Where a text ends shows only at the end of the item. CHAR is filled up with zeros.
                    None if at + 1 == columns.len() => match column.meta.r#type {
                        Some(stored::CHAR | stored::VARCHAR) => {
                            let text = std::mem::take(&mut item);
                            let zero = || text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
                            if column.meta.r#type == Some(stored::CHAR) { &text[..zero()] } else { text }
                        }
                        _ => return None,
                    },
                    None => return None,
                };
                key.push(Some(value));
            }
            _ => return None,
        }
    }
    item.is_empty().then_some(key)
}

/// Whether the first column's values lie where its zone map says that they do: what was taken for it could be something else.
fn agrees_with_zone(keys: &[Key<'_>], columns: &[Own<'_>]) -> bool {
    let Some(own) = columns.first() else { return false };
    let Some(Zone { range: Some((min, max)), .. }) = zones::of_segment(own) else { return true };
    let values = || keys.iter().filter_map(|key| key.first().copied().flatten());
    match (key::ordered(&min, own.meta), key::ordered(&max, own.meta)) {
        (Some(min), Some(max)) => values().all(|value| (&*min..=&*max).contains(&value)),
        _ => match (key::text(&min), key::text(&max)) {
            (Some(min), Some(max)) => values().all(|value| value <= max && (value >= min || min.starts_with(value))),
            _ => true,
        },
    }
}
