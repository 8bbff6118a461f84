//! Unique and foreign keys. They are properties whose text names columns by id and, in foreign keys, tables and databases too.

use super::Context;
use super::columns::Names;
use crate::model::{Column, Table};

/// Longer ones are printed as stored: nobody writes such.
const MAX_LENGTH: usize = 64 << 10;

/// As are those that would become longer than this: a short id may stand for a name of any length, as often as there is place.
const MAX_PRINTED: usize = 1 << 20;

/// The only catalog in which databases and tables are stored by id.
const INTERNAL: &str = "default_catalog";

const REFERENCES: &str = " REFERENCES ";

/// The unique keys of a table: 2023-12 and older store `a,b;c`, later versions `catalog.database.table.a,b;…`, which we always print, as
/// the table's own: the stored database and table may be those before a rename. None where nothing is left of them.
pub fn unique(table: &Table, schema: &[Column], context: &Context, value: &str) -> Option<String> {
    if value.len() > MAX_LENGTH {
        return Some(value.to_owned());
    }
    let path = match context.database.as_str() {
        // The backup has crashed, so nothing states the name: without one, StarRocks takes the table that is made.
        "" => String::new(),
        database => format!("{INTERNAL}.{database}.{}.", table.name),
    };
    let known = Names::of(schema);
    let mut left = MAX_PRINTED;
    let mut printed = Vec::new();
    for constraint in parts(value) {
        let (path, columns) = match current_columns(constraint, &known, &path, &table.name) {
            Some(columns) if columns.is_empty() => continue,
            Some(columns) => (path.as_str(), columns),
            None => ("", vec![constraint]),
        };
        let Some(rest) = left.checked_sub(path.len() + length(&columns)) else { return Some(value.to_owned()) };
        left = rest;
        printed.push(format!("{path}{}", columns.join(",")));
    }
    joined(printed)
}

/// Of the columns with what separates them.
fn length(columns: &[&str]) -> usize {
    columns.iter().map(|column| column.len() + 1).sum()
}

/// What the columns of a unique key are called now, without those that are gone; none where it cannot be told which they are.
fn current_columns<'a>(constraint: &str, known: &Names<'a>, path: &str, table: &str) -> Option<Vec<&'a str>> {
    // Names may hold dots, so the text is not taken apart at them where the path is known.
    let list = constraint.trim_start().strip_prefix(path).filter(|_| !path.is_empty());
    let list = list.or_else(|| after_path(constraint.trim_start(), table));
    if let Some(list) = list {
        let names: Vec<_> = list.split(',').filter_map(|id| known.get(id.trim())).collect();
        // All gone, unless an older name of the table begins like this one, with a dot behind it.
        if !names.is_empty() || list.split(',').next().and_then(|id| behind_path(id, known)).is_none() {
            return Some(names);
        }
    }
    let mut names = Vec::new();
    for (at, id) in constraint.split(',').enumerate() {
        match known.get(id.trim()) {
            Some(name) => names.push(name),
            // The path of another name stands before the first column only.
            None if at == 0 && id.contains('.') => names.push(behind_path(id, known)?),
            None if at == 0 => return None,
            None => {}
        }
    }
    Some(names)
}

/// What stands behind `default_catalog.<any database>.<table>.`: databases have no dots in their names.
pub fn after_path<'a>(constraint: &'a str, table: &str) -> Option<&'a str> {
    let (_, rest) = constraint.strip_prefix(INTERNAL)?.strip_prefix('.')?.split_once('.')?;
    rest.strip_prefix(table)?.strip_prefix('.')
}

/// The column at the end of `catalog.database.table.column`; as tables have dots too, the longest that there is.
fn behind_path<'a>(text: &str, known: &Names<'a>) -> Option<&'a str> {
    const MOST_DOTS: usize = 64;
    let mut dots: Vec<usize> = text.rmatch_indices('.').map(|(at, _)| at).take(MOST_DOTS).collect();
    dots.reverse();
    dots.into_iter().find_map(|at| known.get(text.get(at + 1..)?.trim()))
}

/// Foreign keys, `(a) REFERENCES catalog.<database id>.<table id>(b);…`, those of materialized views with the child's path before its
/// columns: with names for ids, and of the table's own columns the current ones. One whose table is not in the snapshot becomes a note, as
/// no cluster could resolve it.
pub fn foreign(
    table: &Table,
    schema: &[Column],
    context: &Context,
    value: &str,
    notes: &mut Vec<String>,
) -> Option<String> {
    if value.len() > MAX_LENGTH {
        return Some(value.to_owned());
    }
    let known = Names::of(schema);
    let mut left = MAX_PRINTED;
    let mut resolved = Vec::new();
    for constraint in parts(value) {
        match one_foreign(table, &known, context, constraint) {
            Some(Printed::Gone) => {}
            Some(Printed::Whole(text)) => {
                let Some(rest) = left.checked_sub(text.len()) else { return Some(value.to_owned()) };
                left = rest;
                resolved.push(text);
            }
            Some(Printed::TooLong) => return Some(value.to_owned()),
            None => notes.push(format!("The foreign key {constraint} refers to a table that is not in this snapshot.")),
        }
    }
    joined(resolved)
}

/// What becomes of a foreign key.
enum Printed {
    Whole(String),
    /// No column is left.
    Gone,
    TooLong,
}

/// None where a table is unknown.
fn one_foreign<'a>(table: &Table, known: &Names<'a>, context: &Context, constraint: &'a str) -> Option<Printed> {
    let (child, parent) = constraint.split_once(REFERENCES)?;
    let (child_path, child_columns) = child.split_once('(')?;
    let (parent_path, parent_columns) = parent.split_once('(')?;
    let parent = readable(context, parent_path.trim())?;
    if !child_path.trim().is_empty() {
        // Of other tables only the names are known.
        let child = readable(context, child_path.trim())?;
        return Some(Printed::Whole(format!("{child}({child_columns}{REFERENCES}{parent}({parent_columns}")));
    }
    let list = |text| str::trim_end(text).strip_suffix(')').map(|list| list.split(',').collect());
    let (children, parents): (Vec<&str>, Vec<&str>) = (list(child_columns)?, list(parent_columns)?);
    if children.len() != parents.len() {
        return Some(Printed::Whole(format!("({child_columns}{REFERENCES}{parent}({parent_columns}")));
    }
    let of_itself = is_table(context, parent_path.trim(), table);
    let pair = |(child, parent): (&str, &'a str)| {
        let parent = if of_itself { known.get(parent.trim())? } else { parent };
        Some((known.get(child.trim())?, parent))
    };
    let (children, parents): (Vec<&str>, Vec<&str>) = children.into_iter().zip(parents).filter_map(pair).unzip();
    if children.is_empty() {
        return Some(Printed::Gone);
    }
    if length(&children) + length(&parents) > MAX_PRINTED {
        return Some(Printed::TooLong);
    }
    Some(Printed::Whole(format!("({}){REFERENCES}{parent}({})", children.join(","), parents.join(","))))
}

/// `default_catalog.<database id>.<table id>` with names; one of another catalog has them already. None for a table not in the snapshot.
fn readable(context: &Context, path: &str) -> Option<String> {
    let mut parts = path.splitn(3, '.');
    let (catalog, database, table) = (parts.next()?, parts.next()?, parts.next()?);
    if catalog != INTERNAL {
        // A table that was made anew under its name is told apart by what follows a colon.
        let table = table.split_once(':').map_or(table, |(name, _)| name);
        return Some(format!("{catalog}.{database}.{table}"));
    }
    let here = match database.parse::<i64>() {
        Ok(id) if id == context.database_id || context.database.is_empty() => true,
        Ok(_) => return None,
        Err(_) => false,
    };
    let table = match table.parse::<i64>() {
        Ok(id) if here => context.tables.get(&id)?,
        _ => table,
    };
    Some(match (here, context.database.as_str()) {
        // Without a path, it is a table beside the one that is made.
        (true, "") => table.to_owned(),
        (true, database) => format!("{INTERNAL}.{database}.{table}"),
        (false, _) => format!("{INTERNAL}.{database}.{table}"),
    })
}

fn is_table(context: &Context, path: &str, table: &Table) -> bool {
    let ids = path.strip_prefix(INTERNAL).and_then(|path| path.strip_prefix('.')).and_then(|path| path.split_once('.'));
    ids.is_some_and(|(database, id)| {
        let here = context.database.is_empty() || database.parse() == Ok(context.database_id);
        here && id.parse() == Ok(table.id)
    })
}

fn parts(value: &str) -> impl Iterator<Item = &str> {
    value.split(';').filter(|constraint| !constraint.trim().is_empty())
}

fn joined(parts: Vec<String>) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(";"))
}

/// The unique keys of a table that is called `new` from now on. What names another than `old` stays.
pub fn renamed(value: &str, old: &str, new: &str) -> String {
    let one = |constraint: &str| match after_path(constraint, old) {
        Some(columns) => {
            let database = constraint.get(..constraint.len() - columns.len() - old.len() - 1).unwrap_or_default();
            format!("{database}{new}.{columns}")
        }
        None => constraint.to_owned(),
    };
    value.split(';').map(one).collect::<Vec<_>>().join(";")
}
