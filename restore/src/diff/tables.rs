//! Two tables compared: statement, partitions, files.

use super::report::{Change, FileDiff, FileLine, Line, ObjectDiff, PartitionDiff, PartitionSide};
use crate::error::{RestoreError, Result};
use crate::source::{Source, SourceFile};
use crate::transfer::md5_of_file;
use starsnap_catalog::ddl::{self, Context};
use starsnap_catalog::layout::{TableLayout, TabletPlace};
use starsnap_catalog::model::Table;
use starsnap_catalog::snapshot::{PartitionEntry, PartitionKind, TableEntry};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// A table on one side.
pub(super) struct TableSide<'a> {
    source: &'a Source,
    context: &'a Context,
    /// Position in the source.
    at: usize,
    entry: TableEntry,
    /// The only partition that is compared.
    partition: Option<&'a str>,
    /// Its tablets, by the position of their partition.
    places: HashMap<usize, Vec<TabletPlace>>,
}

impl<'a> TableSide<'a> {
    pub(super) fn new(
        source: &'a Source,
        context: &'a Context,
        (at, entry): (usize, TableEntry),
        partition: Option<&'a str>,
    ) -> TableSide<'a> {
        let mut places: HashMap<usize, Vec<TabletPlace>> = HashMap::new();
        for place in TableLayout::of(&entry).tablets {
            places.entry(place.partition).or_default().push(place);
        }
        TableSide { source, context, at, entry, partition, places }
    }

    /// Normal partitions with their positions, by name; that of an unpartitioned table by the empty name, as it has the table's. StarRocks'
    /// own hold no rows, and temporary ones no backup.
    fn partitions(&self) -> BTreeMap<String, usize> {
        let all = self.entry.partitions.iter().enumerate();
        let wanted = all.filter(|(_, partition)| {
            partition.kind == PartitionKind::Normal && self.partition.is_none_or(|only| *only == partition.name)
        });
        let name = |partition: &PartitionEntry| match partition.name == self.entry.name {
            true => String::new(),
            false => partition.name.clone(),
        };
        wanted.map(|(at, partition)| (name(partition), at)).collect()
    }

    fn side(&self, at: usize, table: Option<&Table>) -> Option<PartitionSide> {
        let partition = self.entry.partitions.get(at)?;
        let stored = table.and_then(|table| table.id_to_partition.get(&partition.id));
        let values =
            table.zip(stored).and_then(|(table, stored)| ddl::partition_values_of(table, stored).ok().flatten());
        let base = partition.physicals.iter().flat_map(|p| &p.indexes).filter(|index| index.base);
        let tablets = base.map(|index| index.tablets.len() as u64).sum();
        Some(PartitionSide { version: partition.version, values, tablets })
    }
}

/// Compares two tables, or tells what one of them is that the other side lacks. What cannot be compared goes to `problems`.
pub(super) fn compare(
    old: Option<TableSide>,
    new: Option<TableSide>,
    list: bool,
    problems: &mut Vec<String>,
) -> Option<ObjectDiff> {
    let shown = old.as_ref().or(new.as_ref())?;
    let name = shown.entry.name.clone();
    let kind = super::kind_of(&shown.entry);
    let new_name = new.as_ref().map(|side| side.entry.name.clone()).filter(|other| old.is_some() && *other != name);
    let mut told = |what: String| problems.push(format!("table {name}: {what}"));
    let parse = |side: &Option<TableSide>, told: &mut dyn FnMut(String)| {
        let side = side.as_ref()?;
        match side.entry.parse() {
            Ok(Some(table)) => Some(table),
            Ok(None) => {
                told("its catalog object is missing".into());
                None
            }
            Err(error) => {
                told(error.to_string());
                None
            }
        }
    };
    let (old_table, new_table) = (parse(&old, &mut told), parse(&new, &mut told));
    let schema = match (&old, &new, &old_table, &new_table) {
        (Some(old), Some(new), Some(old_table), Some(new_table)) => {
            let texts = (statement(old, old_table, &name), statement(new, new_table, &name));
            match texts {
                (Ok(old), Ok(new)) => lines(&old, &new),
                (Err(error), _) | (_, Err(error)) => {
                    told(error.to_string());
                    Vec::new()
                }
            }
        }
        _ => Vec::new(),
    };
    let (mut partitions, mut files) = (Vec::new(), FileDiff::default());
    let named = |side: &Option<TableSide>| side.as_ref().map(TableSide::partitions).unwrap_or_default();
    let (olds, news) = (named(&old), named(&new));
    for key in olds.keys().chain(news.keys()).collect::<BTreeSet<_>>() {
        let old_at = olds.get(key).and_then(|at| Some((old.as_ref()?, *at)));
        let new_at = news.get(key).and_then(|at| Some((new.as_ref()?, *at)));
        let partition = files_of(old_at, new_at, list, &mut told);
        files.add(&partition);
        let side = |found: Option<(&TableSide, usize)>, table: &Option<Table>| {
            found.and_then(|(side, at)| side.side(at, table.as_ref()))
        };
        let (old_side, new_side) = (side(old_at, &old_table), side(new_at, &new_table));
        let change = match (&old_side, &new_side) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            (Some(old), Some(new)) if old != new || !partition.is_same() => Change::Changed,
            _ => Change::Same,
        };
        if change != Change::Same {
            let name = if key.is_empty() { name.clone() } else { key.clone() };
            partitions.push(PartitionDiff { name, change, old: old_side, new: new_side, files: partition });
        }
    }
    let change = match (&old, &new) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ if schema.is_empty() && partitions.is_empty() => Change::Same,
        _ => Change::Changed,
    };
    Some(ObjectDiff { name, new_name, kind, change, schema, partitions, files })
}

/// The CREATE statement under `name`, without partitions: those are compared one by one.
fn statement(side: &TableSide, table: &Table, name: &str) -> Result<String, starsnap_catalog::CatalogError> {
    let mut table = table.clone();
    table.name = name.to_owned();
    table.id_to_partition.clear();
    if let Some(info) = &mut table.partition_info {
        info.id_to_values = info.id_to_values.as_ref().map(|_| BTreeMap::new());
        info.id_to_multi_values = info.id_to_multi_values.as_ref().map(|_| BTreeMap::new());
    }
    ddl::schema_sql(&table, side.context)
}

/// Lines that only one of two statements has; the comma between a line and the next does not count. Where both have the same lines in
/// another order, those from the first difference on.
pub(super) fn lines(old: &str, new: &str) -> Vec<Line> {
    fn trimmed(text: &str) -> Vec<&str> {
        text.lines().map(|line| line.trim_end().trim_end_matches([',', ';'])).collect()
    }
    let (old, new) = (trimmed(old), trimmed(new));
    if old == new {
        return Vec::new();
    }
    let mut count: HashMap<&str, i64> = HashMap::new();
    new.iter().for_each(|line| *count.entry(line).or_default() += 1);
    let mut out = Vec::new();
    let line = |change, text: &str| Line { change, text: text.to_owned() };
    for text in &old {
        let left = count.entry(text).or_default();
        *left -= 1;
        if *left < 0 {
            out.push(line(Change::Removed, text));
        }
    }
    for text in &new {
        if let Some(left) = count.get_mut(text).filter(|left| **left > 0) {
            *left -= 1;
            out.push(line(Change::Added, text));
        }
    }
    if out.is_empty() {
        let differ = |(a, b): &(&&str, &&str)| a != b;
        let moved: Vec<_> = old.iter().zip(&new).filter(differ).collect();
        out.extend(moved.iter().map(|(old, _)| line(Change::Removed, old)));
        out.extend(moved.iter().map(|(_, new)| line(Change::Added, new)));
    }
    out
}

/// A file's place in a partition: rollup (none: the base index), physical partition, bucket, and name without the tablet's id, which a table
/// of another cluster has otherwise.
type Place = (Option<String>, usize, usize, String);

/// A file, and its path below the table's directory.
type Placed = (SourceFile, String);

fn placed(side: &TableSide, partition: usize, told: &mut impl FnMut(String)) -> BTreeMap<Place, Placed> {
    let mut out = BTreeMap::new();
    for place in side.places.get(&partition).into_iter().flatten() {
        let physical = side.entry.partitions.get(partition).and_then(|one| one.physicals.get(place.physical));
        let Some(index) = physical.and_then(|physical| physical.indexes.get(place.index)) else { continue };
        let Some(tablet) = index.tablets.get(place.tablet) else { continue };
        let rollup = (!index.base).then(|| index.name.clone());
        match side.source.tablet(side.at, place) {
            Ok(files) => out.extend(files.into_iter().map(|file| {
                let own = format!("{}.", tablet.id);
                let name = file.name.strip_prefix(&own).map_or_else(|| file.name.clone(), |rest| format!(".{rest}"));
                let path = format!("{}/{}", place.path(), file.name);
                ((rollup.clone(), place.physical, place.tablet, name), (file, path))
            })),
            Err(problems) => problems.into_iter().for_each(&mut *told),
        }
    }
    out
}

fn files_of(
    old: Option<(&TableSide, usize)>,
    new: Option<(&TableSide, usize)>,
    list: bool,
    told: &mut impl FnMut(String),
) -> FileDiff {
    let olds = old.map(|(side, at)| placed(side, at, told)).unwrap_or_default();
    let mut news = new.map(|(side, at)| placed(side, at, told)).unwrap_or_default();
    let mut diff = FileDiff::default();
    let mut differs = |change, (file, path): &Placed| {
        if list {
            diff.list.push(FileLine { change, path: path.clone(), bytes: file.size });
        }
    };
    let (mut same, mut added, mut removed, mut changed) = (0, (0, 0), (0, 0), 0);
    let (mut old_bytes, new_bytes) = (0, news.values().map(|(file, _)| file.size).sum());
    for (place, old_file) in &olds {
        old_bytes += old_file.0.size;
        let Some(new_file) = news.remove(place) else {
            removed = (removed.0 + 1, removed.1 + old_file.0.size);
            differs(Change::Removed, old_file);
            continue;
        };
        let equal = match (old, new) {
            (Some((old, _)), Some((new, _))) => equal(old.source, &old_file.0, new.source, &new_file.0),
            _ => Ok(false),
        };
        match equal {
            Ok(true) => same += 1,
            Ok(false) => {
                changed += 1;
                differs(Change::Changed, &new_file);
            }
            Err(error) => told(error.to_string()),
        }
    }
    for new_file in news.values() {
        added = (added.0 + 1, added.1 + new_file.0.size);
        differs(Change::Added, new_file);
    }
    diff.list.sort_by(|a, b| a.path.cmp(&b.path));
    (diff.same, diff.changed) = (same, changed);
    ((diff.added, diff.added_bytes), (diff.removed, diff.removed_bytes)) = (added, removed);
    (diff.old_bytes, diff.new_bytes) = (old_bytes, new_bytes);
    diff
}

/// Whether two files have the same content; one whose md5 nothing tells is read.
fn equal(old_source: &Source, old: &SourceFile, new_source: &Source, new: &SourceFile) -> Result<bool> {
    if old.size != new.size {
        return Ok(false);
    }
    let digest = |source: &Source, file: &SourceFile| match file.md5 {
        Some(md5) => Ok(md5),
        None => {
            let read = md5_of_file(source.open_local(file)?);
            read.map_err(|error| RestoreError::io("read", Path::new(&file.shown()), error))
        }
    };
    Ok(digest(old_source, old)? == digest(new_source, new)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        let sign = |line: &Line| if line.change == Change::Added { '+' } else { '-' };
        lines(old, new).iter().map(|line| format!("{}{}", sign(line), line.text)).collect()
    }

    #[test]
    fn lines_of_one_statement_alone_are_told() {
        assert_eq!(shown("a,\nb\n);\n", "a,\nb\n);"), [""; 0]);
        // A column more gives the one before a comma, which is no change.
        assert_eq!(shown("a,\nb\n)", "a,\nb,\nc\n)"), ["+c"]);
        assert_eq!(shown("a\nb\nb", "b\na\nc"), ["-b", "+c"]);
        assert_eq!(shown("k int\nv int", "k int\nv bigint"), ["-v int", "+v bigint"]);
    }

    #[test]
    fn another_order_is_a_change() {
        assert_eq!(shown("k\na\nb\nz", "k\nb\na\nz"), ["-a", "-b", "+b", "+a"]);
    }
}
