//! PARTITION BY and DISTRIBUTED BY.

use super::columns::{named, resolve};
use super::expr::{self, Quoting};
use super::{literal, quote};
use crate::error::{CatalogError, Result};
use crate::model::{Column, DistributionInfo, Partition, PartitionInfo, Table};
use crate::range::{BoundValue, End, Range};
use std::collections::BTreeMap;

/// What a NULL in a list is stored as, in any case.
const NULL: &str = "__STARROCKS_DEFAULT_PARTITION__";

/// The PARTITION BY clause; none for an unpartitioned table.
pub fn clause(table: &Table, schema: &[Column]) -> Result<Option<String>> {
    let Some(info) = &table.partition_info else { return Ok(None) };
    Ok(match info.clazz.as_str() {
        "SinglePartitionInfo" => None,
        "RangePartitionInfo" => {
            let columns = quote::names(column_names(info, schema), ", ");
            Some(format!("PARTITION BY RANGE({columns})\n({})", ranges(table, info)?))
        }
        "ExpressionRangePartitionInfo" => Some(format!("PARTITION BY {}", range_expression(info, schema))),
        "ExpressionRangePartitionInfoV2" => {
            let texts = info.serialized_partition_exprs.as_deref().unwrap_or_default();
            let names = named(schema, texts.iter().map(String::as_str));
            let plain = |text: &String| {
                let Some(names) = &names else { return text.clone() };
                let text = expr::plain_casts(&expr::rename(text, names, Quoting::WhereNeeded));
                expr::without_cast(&text, &["from_unixtime", "from_unixtime_ms"]).to_owned()
            };
            let expressions = texts.iter().map(plain).collect::<Vec<_>>().join(", ");
            if info.automatic_partition == Some(true) {
                Some(format!("PARTITION BY {expressions}"))
            } else {
                Some(format!("PARTITION BY RANGE({expressions})\n({})", ranges(table, info)?))
            }
        }
        "ListPartitionInfo" => {
            let columns = quote::names(column_names(info, schema), ",");
            if info.automatic_partition == Some(true) {
                Some(format!("PARTITION BY ({columns})"))
            } else {
                Some(format!("PARTITION BY LIST({columns})({}\n)", lists(table, info, schema)))
            }
        }
        other => {
            let reason = format!("it is partitioned by {other:?}");
            return Err(CatalogError::Unsupported { what: format!("table {:?}", table.name), reason });
        }
    })
}

/// The PARTITION BY clause of a materialized view.
pub fn view_clause(table: &Table, schema: &[Column], database: &str) -> Result<Option<String>> {
    let Some(info) = &table.partition_info else { return Ok(None) };
    let items: Vec<String> = match info.clazz.as_str() {
        "SinglePartitionInfo" => return Ok(None),
        "ExpressionRangePartitionInfo" => {
            let expressions = info.partition_exprs.as_deref().unwrap_or_default();
            let names = named(schema, expressions.iter().map(|text| text.expr.as_str()));
            let plain = |text: &crate::model::Expr| match &names {
                Some(names) => expr::unqualified(&text.expr, names, database, &table.name),
                None => text.expr.clone(),
            };
            expressions.iter().map(plain).collect()
        }
        // A generated column is not among the view's own columns: its expression stands for it.
        "ListPartitionInfo" => {
            let columns = column_names(info, schema);
            let generated = |name: &str| {
                let column = schema.iter().find(|column| column.name == name)?;
                column.materialized_column_expr.as_ref().map(|generated| generated.expr.as_str())
            };
            let names = named(schema, columns.iter().filter_map(|name| generated(name)));
            let item = |name: &str| match (generated(name), &names) {
                (Some(text), Some(names)) => expr::rename(text, names, Quoting::WhereNeeded),
                (Some(text), None) => text.to_owned(),
                (None, _) => quote::name(name),
            };
            columns.into_iter().map(item).collect()
        }
        _ => column_names(info, schema).into_iter().map(quote::name).collect(),
    };
    Ok((!items.is_empty()).then(|| format!("PARTITION BY ({})", items.join(","))))
}

fn range_expression(info: &PartitionInfo, schema: &[Column]) -> String {
    let expressions = info.partition_exprs.as_deref().unwrap_or_default();
    let names = named(schema, expressions.iter().map(|text| text.expr.as_str()));
    let plain = |text: &crate::model::Expr| match &names {
        Some(names) => expr::time_slice_arguments(&expr::rename(&text.expr, names, Quoting::WhereNeeded)),
        None => text.expr.clone(),
    };
    expressions.iter().map(plain).collect::<Vec<_>>().join(", ")
}

fn column_names<'a>(info: &'a PartitionInfo, schema: &'a [Column]) -> Vec<&'a str> {
    match (&info.col_ids, &info.partition_columns) {
        (Some(ids), _) if !ids.is_empty() => ids.iter().map(|id| resolve(schema, id)).collect(),
        (_, Some(columns)) => columns.iter().map(|column| resolve(schema, column.id())).collect(),
        _ => Vec::new(),
    }
}

/// Hidden partitions, such as `$shadow_automatic_partition`, are StarRocks' own: it makes them itself.
fn is_hidden(partition: &Partition) -> bool {
    partition.name.starts_with('$')
}

fn ranges(table: &Table, info: &PartitionInfo) -> Result<String> {
    let mut list = Vec::new();
    for partition in table.id_to_partition.values().filter(|partition| !is_hidden(partition)) {
        let range = info
            .range(partition.id)?
            .ok_or_else(|| super::inconsistent(table, format!("partition {:?} has no range", partition.name)))?;
        list.push((range, partition.name.as_str(), own_replication(table, info, partition.id)));
    }
    list.sort_by(|(a, name_a, _), (b, name_b, _)| a.order(b).then_with(|| name_a.cmp(name_b)));
    let item = |(range, name, replication): &(Range, &str, String)| {
        format!("PARTITION {} {}{replication}", quote::bare(name), range_values(range))
    };
    Ok(list.iter().map(item).collect::<Vec<_>>().join(",\n"))
}

/// `("replication_num" = "1")` where a partition has not as many replicas as its table.
fn own_replication(table: &Table, info: &PartitionInfo, partition: i64) -> String {
    let own = info.id_to_replication_num.as_ref().and_then(|map| map.get(&partition)).map(ToString::to_string);
    let own = own.filter(|own| *own != super::properties::replication_num(table));
    own.map(|own| format!(" (\"replication_num\" = \"{own}\")")).unwrap_or_default()
}

/// `VALUES [("1"), (MAXVALUE))`. A missing upper end is MAXVALUE; a missing lower one has only the LESS THAN form.
fn range_values(range: &Range) -> String {
    let upper = range.upper.as_ref().map_or_else(|| "(MAXVALUE)".to_owned(), end);
    match &range.lower {
        Some(lower) => format!("VALUES [{}, {upper})", end(lower)),
        None => format!("VALUES LESS THAN {upper}"),
    }
}

fn end(end: &End) -> String {
    let bound = |bound: &crate::range::Bound| match &bound.value {
        BoundValue::Max => "MAXVALUE".to_owned(),
        value => quote::double(&value.to_string()),
    };
    format!("({})", end.key.iter().map(bound).collect::<Vec<_>>().join(", "))
}

fn lists(table: &Table, info: &PartitionInfo, schema: &[Column]) -> String {
    let types: Vec<&str> = column_names(info, schema)
        .into_iter()
        .map(|name| {
            let column = schema.iter().find(|column| column.name == name);
            column.and_then(|column| column.ty.primitive.as_deref()).unwrap_or_default()
        })
        .collect();
    let items = list_order(info).into_iter().filter_map(|id| {
        let partition = table.id_to_partition.get(&id).filter(|partition| !is_hidden(partition))?;
        let values = list_values(info, id, &types);
        Some(format!(
            "\n  PARTITION {} {values}{}",
            quote::bare(&partition.name),
            own_replication(table, info, partition.id)
        ))
    });
    items.collect::<Vec<_>>().join(",")
}

fn list_values(info: &PartitionInfo, id: i64, types: &[&str]) -> String {
    let value = |text: &String, primitive: &str| {
        if text.eq_ignore_ascii_case(NULL) {
            return "NULL".to_owned();
        }
        quote::single(literal::parsed(primitive, text).as_deref().unwrap_or(text))
    };
    let primitive = |at: usize| types.get(at).copied().unwrap_or_default();
    let single = info.id_to_values.as_ref().and_then(|map| map.get(&id)).filter(|values| !values.is_empty());
    let multi = info.id_to_multi_values.as_ref().and_then(|map| map.get(&id));
    let values: Vec<String> = match (single, multi) {
        (Some(values), _) => values.iter().map(|text| value(text, primitive(0))).collect(),
        (None, Some(rows)) => {
            let row = |row: &Vec<String>| {
                let values = row.iter().enumerate().map(|(at, text)| value(text, primitive(at))).collect::<Vec<_>>();
                if types.len() == 1 { values.join(", ") } else { format!("({})", values.join(", ")) }
            };
            rows.iter().map(row).collect()
        }
        (None, None) => Vec::new(),
    };
    format!("VALUES IN ({})", values.join(", "))
}

/// The order in which StarRocks prints list partitions: that of a Java hash map by id.
fn list_order(info: &PartitionInfo) -> Vec<i64> {
    let mut ids = Vec::new();
    ids.extend(hash_order(info.id_to_values.as_ref().map(BTreeMap::keys).into_iter().flatten().copied().collect()));
    ids.extend(hash_order(
        info.id_to_multi_values.as_ref().map(BTreeMap::keys).into_iter().flatten().copied().collect(),
    ));
    ids
}

/// Orders ids as `java.util.HashMap<Long, …>` walks them: by bucket of a power-of-two table that is at most three quarters full.
fn hash_order(mut ids: Vec<i64>) -> Vec<i64> {
    let mut buckets: u32 = 16;
    while ids.len() as u64 * 4 > u64::from(buckets) * 3 {
        let Some(doubled) = buckets.checked_mul(2) else { break };
        buckets = doubled;
    }
    let bucket = |id: i64| {
        let bits = id.cast_unsigned();
        // The hash of a Long folds its halves, HashMap folds the result once more.
        let hash = (bits ^ (bits >> 32)) as u32;
        (hash ^ (hash >> 16)) & (buckets - 1)
    };
    ids.sort_by_key(|id| (bucket(*id), *id));
    ids
}

/// `VALUES …` of a temporary partition; none where the table is not partitioned by hand.
pub fn temporary_values(table: &Table, schema: &[Column], partition: &Partition) -> Result<Option<String>> {
    let Some(info) = &table.partition_info else { return Ok(None) };
    if info.clazz == "ListPartitionInfo" {
        let types: Vec<&str> = column_names(info, schema)
            .into_iter()
            .filter_map(|name| schema.iter().find(|column| column.name == name))
            .map(|column| column.ty.primitive.as_deref().unwrap_or_default())
            .collect();
        return Ok(Some(list_values(info, partition.id, &types)));
    }
    Ok(info.range(partition.id)?.map(|range| range_values(&range)))
}

/// `DISTRIBUTED BY HASH(...) BUCKETS n`; no bucket number where StarRocks chooses it.
pub fn distribution(table: &Table, schema: &[Column]) -> Result<Option<String>> {
    let Some(info) = &table.default_distribution_info else { return Ok(None) };
    let buckets = |number: Option<i32>| match number.filter(|number| *number > 0) {
        Some(number) => format!(" BUCKETS {number}"),
        None => String::new(),
    };
    match info.kind.as_str() {
        "HASH" => {
            let columns = quote::names(hash_columns(info, schema), ", ");
            Ok(Some(format!("DISTRIBUTED BY HASH({columns}){}", buckets(info.bucket_num))))
        }
        // What tables get that say nothing: it has no clause.
        "RANGE" => Ok(None),
        "RANDOM" => Ok(Some(format!("DISTRIBUTED BY RANDOM{}", buckets(info.b.or(info.bucket_num))))),
        other => Err(CatalogError::Unsupported {
            what: format!("table {:?}", table.name),
            reason: format!("it is distributed by {other:?}, which has no clause in CREATE TABLE"),
        }),
    }
}

fn hash_columns<'a>(info: &'a DistributionInfo, schema: &'a [Column]) -> Vec<&'a str> {
    match (&info.col_ids, &info.distribution_columns) {
        (Some(ids), _) if !ids.is_empty() => ids.iter().map(|id| resolve(schema, id)).collect(),
        (_, Some(columns)) => columns.iter().map(|column| resolve(schema, column.id())).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_in_the_order_of_a_hash_map() {
        assert_eq!(hash_order(vec![7700000000318, 7700000000319]), [7700000000319, 7700000000318]);
        assert_eq!(hash_order(vec![1, 2, 3, 17]), [1, 17, 2, 3]);
        // Thirteen ids need a table of 32.
        let ids: Vec<i64> = (10..23).collect();
        assert_eq!(hash_order(ids.clone()), ids);
    }
}
