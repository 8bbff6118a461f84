//! Unique and foreign keys. They are properties whose text names columns by id and, in foreign keys, tables and databases too.

use super::Context;
use super::columns::find;
use crate::model::{Column, Table};

/// Longer ones are printed as stored: nobody writes such, and the work grows with their length times the columns.
const MAX_LENGTH: usize = 64 << 10;

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
    let one = |constraint: &str| match current_columns(constraint, schema, &path, &table.name) {
        Some(columns) if columns.is_empty() => None,
        Some(columns) => Some(format!("{path}{}", columns.join(","))),
        None => Some(constraint.to_owned()),
    };
    joined(parts(value).filter_map(one).collect())
}

/// What the columns of a unique key are called now, without those that are gone; none where it cannot be told which they are.
fn current_columns<'a>(constraint: &str, schema: &'a [Column], path: &str, table: &str) -> Option<Vec<&'a str>> {
    // Names may hold dots, so the text is not taken apart at them where the path is known.
    let known = constraint.trim_start().strip_prefix(path).filter(|_| !path.is_empty());
    let known = known.or_else(|| after_path(constraint.trim_start(), table));
    if let Some(list) = known {
        let names: Vec<_> = list.split(',').filter_map(|id| name_of(id, schema)).collect();
        // All gone, unless an older name of the table begins like this one, with a dot behind it.
        if !names.is_empty() || list.split(',').next().and_then(|id| behind_path(id, schema)).is_none() {
            return Some(names);
        }
    }
    let mut names = Vec::new();
    for (at, id) in constraint.split(',').enumerate() {
        match name_of(id, schema) {
            Some(name) => names.push(name),
            // The path of another name stands before the first column only.
            None if at == 0 && id.contains('.') => names.push(behind_path(id, schema)?),
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
fn behind_path<'a>(text: &str, schema: &'a [Column]) -> Option<&'a str> {
    const MOST_DOTS: usize = 64;
    let mut dots: Vec<usize> = text.rmatch_indices('.').map(|(at, _)| at).take(MOST_DOTS).collect();
    dots.reverse();
    dots.into_iter().find_map(|at| name_of(text.get(at + 1..)?, schema))
}

fn name_of<'a>(id: &str, schema: &'a [Column]) -> Option<&'a str> {
    find(schema, id.trim()).map(|column| column.name.as_str())
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
    let mut resolved = Vec::new();
    for constraint in parts(value) {
        match one_foreign(table, schema, context, constraint) {
            Some(text) => resolved.extend(text),
            None => notes.push(format!("The foreign key {constraint} refers to a table that is not in this snapshot.")),
        }
    }
    joined(resolved)
}

/// None where a table is unknown; none inside where all columns are gone.
fn one_foreign(table: &Table, schema: &[Column], context: &Context, constraint: &str) -> Option<Option<String>> {
    let (child, parent) = constraint.split_once(REFERENCES)?;
    let (child_path, child_columns) = child.split_once('(')?;
    let (parent_path, parent_columns) = parent.split_once('(')?;
    let parent = readable(context, parent_path.trim())?;
    if !child_path.trim().is_empty() {
        // Of other tables only the names are known.
        let child = readable(context, child_path.trim())?;
        return Some(Some(format!("{child}({child_columns}{REFERENCES}{parent}({parent_columns}")));
    }
    let list = |text: &str| text.trim_end().strip_suffix(')').map(|list| list.split(',').map(str::to_owned).collect());
    let (children, parents): (Vec<String>, Vec<String>) = (list(child_columns)?, list(parent_columns)?);
    if children.len() != parents.len() {
        return Some(Some(format!("({child_columns}{REFERENCES}{parent}({parent_columns}")));
    }
    let of_itself = is_table(context, parent_path.trim(), table);
    let pair = |(child, parent): (&String, &String)| {
        let child = name_of(child, schema)?.to_owned();
        let parent = if of_itself { name_of(parent, schema)?.to_owned() } else { parent.clone() };
        Some((child, parent))
    };
    let (children, parents): (Vec<_>, Vec<_>) = children.iter().zip(&parents).filter_map(pair).unzip();
    if children.is_empty() {
        return Some(None);
    }
    Some(Some(format!("({}){REFERENCES}{parent}({})", children.join(","), parents.join(","))))
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
