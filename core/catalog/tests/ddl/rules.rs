//! What may differ between StarRocks' printing and ours, one function for each sentence of the fixtures' README. Each rewrites what StarRocks
//! printed into what we print, from the stored values, and touches nothing else.

use starsnap_catalog::ddl;
use starsnap_catalog::model::{Column, Table, Type};

/// "up to white space": runs of it are one blank, none next to a parenthesis or comma.
pub fn white_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let glued = out.ends_with('(') || word.starts_with(')') || out.is_empty();
        if !glued {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// "the order of properties": sorts the lines of the last PROPERTIES clause.
pub fn property_order(text: &str) -> String {
    map_properties(text, |mut lines| {
        lines.sort();
        lines
    })
}

/// Rewrites the lines of the PROPERTIES clause, commas removed.
pub fn map_properties(text: &str, change: impl FnOnce(Vec<String>) -> Vec<String>) -> String {
    const OPEN: &str = "PROPERTIES (\n";
    let Some(start) = text.find(OPEN).map(|at| at + OPEN.len()) else { return text.to_owned() };
    let Some(length) = text[start..].find("\n)") else { return text.to_owned() };
    let lines = text[start..start + length].lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
    format!("{}{}{}", &text[..start], change(lines).join(",\n"), &text[start + length..])
}

/// "a multi-column MAXVALUE bound as `(MAXVALUEMAXVALUE)`".
pub fn maxvalue_of_several_columns(text: &str) -> String {
    text.replace("MAXVALUEMAXVALUE", "MAXVALUE, MAXVALUE")
}

/// "struct fields with a blank without backticks". KEY, which is reserved, does not parse either.
pub fn struct_fields_without_backticks(text: &str, table: &Table) -> String {
    let mut names = Vec::new();
    for column in schema(table) {
        collect_fields(&column.ty, &mut names);
    }
    names.iter().filter(|name| !name.starts_with('`') && name.contains(' ') || name.eq_ignore_ascii_case("key")).fold(
        text.to_owned(),
        |text, name| {
            let quoted = ddl::quote_name(name);
            text.replace(&format!("<{name} "), &format!("<{quoted} "))
                .replace(&format!(", {name} "), &format!(", {quoted} "))
        },
    )
}

fn collect_fields(ty: &Type, names: &mut Vec<String>) {
    for inner in [&ty.item_type, &ty.key_type, &ty.value_type].into_iter().flatten() {
        collect_fields(inner, names);
    }
    for field in ty.fields.iter().flatten() {
        names.push(field.name.clone());
        collect_fields(&field.ty, names);
    }
}

/// "quotes in list values (`'u's'`) … unescaped", and "a NULL in a list as the text `'NULL'`".
pub fn list_values(text: &str, table: &Table) -> String {
    let Some(info) = &table.partition_info else { return text.to_owned() };
    let single = info.id_to_values.iter().flat_map(|map| map.values().flatten());
    let multi = info.id_to_multi_values.iter().flat_map(|map| map.values().flatten().flatten());
    let mut text = text.to_owned();
    for value in single.chain(multi) {
        if value.eq_ignore_ascii_case("__STARROCKS_DEFAULT_PARTITION__") {
            text = text.replace("'NULL'", "NULL");
        } else if value.contains(['\'', '\\']) {
            let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
            text = text.replace(&format!("'{value}'"), &format!("'{escaped}'"));
        }
    }
    text
}

/// "quotes … in index comments unescaped".
pub fn index_comments(text: &str, table: &Table) -> String {
    let indexes = table.indexes.iter().flat_map(|indexes| &indexes.indexes);
    let mut text = text.to_owned();
    let mut done = Vec::new();
    for comment in indexes.filter_map(|index| index.comment.as_deref()) {
        let escaped = with_controls_escaped(comment).replace('\'', "\\'");
        if !done.contains(&comment) {
            text = text.replace(&format!("COMMENT '{comment}'"), &format!("COMMENT '{escaped}'"));
            done.push(comment);
        }
    }
    text
}

/// "newline, tab and NUL raw inside comments". The column comments of a primary-key table are raw as a whole, quotes included, which does
/// not parse either.
pub fn comments(text: &str, table: &Table) -> String {
    let primary = table.keys_type.as_deref() == Some("PRIMARY_KEYS");
    comments_printed(text, table, primary, false)
}

/// "23 always prints a table comment (`"OLAP"`, …), unescaped", and those of columns unescaped too.
pub fn raw_comments(text: &str, table: &Table) -> String {
    let text = comments_printed(text, table, true, true);
    if table.comment.as_deref().unwrap_or_default().is_empty() {
        text.replace("\nCOMMENT \"OLAP\"\n", "\n")
    } else {
        text
    }
}

fn comments_printed(text: &str, table: &Table, primary: bool, raw_table: bool) -> String {
    let mut text = text.to_owned();
    let printed = |comment: &str| comment.replace('\\', "\\\\").replace('"', "\\\"");
    let ours = |comment: &str| with_controls_escaped(comment).replace('"', "\\\"");
    let mut done = Vec::new();
    // A blank goes before the word in a column, a line break in a table's comment.
    for comment in schema(table).iter().filter_map(|column| column.comment.as_deref()) {
        if !done.contains(&comment) {
            let theirs = if primary { comment.to_owned() } else { printed(comment) };
            text = text.replace(&format!(" COMMENT \"{theirs}\""), &format!(" COMMENT \"{}\"", ours(comment)));
            done.push(comment);
        }
    }
    match table.comment.as_deref() {
        Some(comment) => {
            let theirs = if raw_table { comment.to_owned() } else { printed(comment) };
            text.replace(&format!("\nCOMMENT \"{theirs}\""), &format!("\nCOMMENT \"{}\"", ours(comment)))
        }
        None => text,
    }
}

fn with_controls_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t").replace('\0', "\\0")
}

/// "bounds with microseconds (`range_us`: the stored value has lost them)".
pub fn microseconds(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('.') {
        let (before, after) = rest.split_at(at);
        let digits = after[1..].bytes().take_while(u8::is_ascii_digit).count();
        let time = before.len() >= 3 && before.as_bytes()[before.len() - 3] == b':';
        let cut = if time && digits == 6 && after[7..].starts_with('"') { 7 } else { 1 };
        out.push_str(before);
        if cut == 1 {
            out.push('.');
        }
        rest = &after[cut..];
    }
    out + rest
}

/// "except where StarRocks itself prints what its parser does not take back": the sort key of a materialized view, bare whatever its name.
pub fn sort_key_of_a_view(text: &str, table: &Table) -> String {
    let keys = table.table_property.as_ref().and_then(|property| property.properties.get("mv_sort_keys"));
    let Some(keys) = keys.filter(|keys| needs_quoting(keys)) else { return text.to_owned() };
    text.replace(&format!("\nORDER BY ({keys})"), &format!("\nORDER BY ({})", ddl::quote_name(keys)))
}

/// Whether one of the gallery's names is no plain word.
fn needs_quoting(name: &str) -> bool {
    let word = name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '$'));
    !word || matches!(name, "select" | "Order")
}

/// The same: a backslash in a property's value is not escaped, so that `back\slash` would come back as `backslash`.
pub fn backslash_in_properties(text: &str) -> String {
    map_properties(text, |lines| {
        let escape = |line: String| match line.split_once(" = ") {
            Some((key, value)) => format!("{key} = {}", value.replace('\\', "\\\\").replace("\\\\\"", "\\\"")),
            None => line,
        };
        lines.into_iter().map(escape).collect()
    })
}

fn schema(table: &Table) -> &[Column] {
    let base = table.base_index_id.and_then(|id| table.index_id_to_meta.get(&id));
    base.map(|base| base.schema.as_slice()).or(table.full_schema.as_deref()).unwrap_or_default()
}

/// A partial backup lacks partitions that its table had: "`sr_member_backup2` (only p1, p4)".
pub fn partitions_backed_up(text: &str, table: &Table) -> String {
    let Some((before, rest)) = text.split_once("\n(PARTITION ") else { return text.to_owned() };
    let Some((list, after)) = rest.split_once(")\nDISTRIBUTED") else { return text.to_owned() };
    let kept = |item: &&str| {
        item.split(' ')
            .next()
            .is_some_and(|name| table.id_to_partition.values().any(|partition| partition.name == name))
    };
    let list: Vec<&str> = list.split(",\nPARTITION ").filter(kept).collect();
    format!("{before}\n(PARTITION {})\nDISTRIBUTED{after}", list.join(",\nPARTITION "))
}

/// "sr40 differs from it by: the user's original text of views (`o`) and MVs (`originalViewDefineSql`) instead of the rewritten one".
pub fn rewritten_query(text: &str, table: &Table) -> String {
    let replace = |original: &Option<String>, rewritten: &Option<String>| match (original, rewritten) {
        (Some(original), Some(rewritten)) => text.replace(&format!("AS {original};"), &format!("AS {rewritten};")),
        _ => text.to_owned(),
    };
    match table.clazz.as_str() {
        "View" => replace(&table.original_view_def, &table.inline_view_def),
        _ => replace(&table.original_view_define_sql, &table.simple_define_sql),
    }
}

/// "booleans' defaults as `"1"`": as stored.
pub fn boolean_defaults(text: &str, table: &Table) -> String {
    let lines = text.lines().map(|line| {
        let column =
            schema(table).iter().find(|column| line.starts_with(&format!("  {} ", ddl::quote_name(&column.name))));
        match column
            .filter(|column| column.ty.primitive.as_deref() == Some("BOOLEAN"))
            .and_then(|column| column.default_value.as_deref())
        {
            Some(stored) => {
                let number = if stored == "1" || stored.eq_ignore_ascii_case("true") { "1" } else { "0" };
                line.replace(&format!("DEFAULT \"{number}\""), &format!("DEFAULT \"{stored}\""))
            }
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Leaves out properties by name.
pub fn without_properties(text: &str, unwanted: impl Fn(&str) -> bool) -> String {
    map_properties(text, |mut lines| {
        lines.retain(|line| !unwanted(line.trim_start_matches('"').split('"').next().unwrap_or_default()));
        lines
    })
}

/// "types: 23 and 33 `decimal64(10, 2)`, 3.5 `decimal(10, 2)` (inside ARRAY and MAP `DECIMAL64(10,2)`)": all as `decimal(10, 2)`.
pub fn decimals(text: &str) -> String {
    let mut text = text.to_owned();
    for word in ["decimal32(", "decimal64(", "decimal128(", "decimalv2("] {
        text = text.replace(word, "decimal(");
        let upper = word.to_uppercase();
        while let Some((before, rest)) = text.split_once(upper.as_str()) {
            let (numbers, after) = rest.split_once(')').unwrap();
            text = format!("{before}decimal({}){after}", numbers.replace(',', ", "));
        }
    }
    text
}

/// "defaults raw in 33 and 23, escaped from 3.5 on".
pub fn defaults(text: &str, table: &Table) -> String {
    let defaults = schema(table).iter().filter_map(|column| column.default_value.as_deref());
    defaults.filter(|default| default.contains(['"', '\\', '\n', '\t'])).fold(text.to_owned(), |text, default| {
        text.replace(&format!("DEFAULT \"{default}\""), &format!("DEFAULT {}", ddl::quote_string(default)))
    })
}

/// "33 prints partition expressions with bare columns", and so those of generated columns: backticks go on both sides.
pub fn bare_expressions(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("NULL AS ") {
        Some((before, after)) => format!("{before}NULL AS {}", after.replace('`', "")),
        None if line.starts_with("PARTITION BY ") => line.replace('`', ""),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// "33 lists an MV's columns in storage order", and "an MV's `ORDER BY` (`mvSortKeys`) is not serialized in 2023-12".
pub fn columns_of_a_view(text: &str, table: &Table) -> String {
    if table.clazz != "MaterializedView" {
        return text.to_owned();
    }
    let text: String = text.split_inclusive('\n').filter(|line| !line.starts_with("ORDER BY (")).collect();
    let name = |column: &Column| match column.comment.as_deref().filter(|comment| !comment.is_empty()) {
        Some(comment) => format!("{} COMMENT {}", ddl::quote_name(&column.name), ddl::quote_string(comment)),
        None => ddl::quote_name(&column.name),
    };
    let stored: Vec<String> = schema(table).iter().map(name).collect();
    let positions = table.query_output_indices.clone().unwrap_or_default();
    if positions.is_empty() {
        return text;
    }
    let queried: Vec<&str> = positions.iter().map(|position| stored[*position as usize].as_str()).collect();
    text.replacen(&stored.join(", "), &queried.join(", "), 1)
}

/// "`generated` differs from `__meta` in four tables of sr33 whose expressions StarRocks changed while copying".
pub fn expressions_changed_while_copying(text: &str, table: &Table) -> String {
    if !["under__score_76", "q'206", "q'143", "q'156"].contains(&table.name.as_str()) {
        return text.to_owned();
    }
    let lines = text.lines().map(|line| {
        let column =
            schema(table).iter().find(|column| line.starts_with(&format!("  {} ", ddl::quote_name(&column.name))));
        let stored = column.and_then(|column| column.materialized_column_expr.as_ref());
        match (line.split_once(" AS "), line.rsplit_once(" COMMENT "), stored) {
            (Some((before, _)), Some((_, after)), Some(stored)) => {
                format!("{before} AS {} COMMENT {after}", stored.expr)
            }
            _ => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// "33 prints `unique_constraints` as typed" (and does not escape a quote in it), "later ones as `catalog.db.table.column`".
pub fn unique_constraints(text: &str, table: &Table, database: &str) -> String {
    let qualifier = ddl::quote_string(&format!("default_catalog.{database}.{}.", table.name));
    let qualifier = qualifier.trim_matches('"');
    map_properties(text, |lines| {
        let bare = |line: String| match line
            .strip_prefix("\"unique_constraints\" = \"")
            .and_then(|line| line.strip_suffix('"'))
        {
            Some(value) => value.replace(qualifier, "").replace("\\\"", "\""),
            None => line,
        };
        lines.into_iter().map(bare).collect()
    })
}

/// "23 quotes dates in range bounds with `'…'`".
pub fn dates_in_bounds(text: &str) -> String {
    let bounds = |line: &str| {
        if line.contains("PARTITION ") && line.contains(" VALUES [") {
            line.replace('\'', "\"")
        } else {
            line.to_owned()
        }
    };
    text.lines().map(bounds).collect::<Vec<_>>().join("\n") + "\n"
}

/// "23 prints `ARRAY<…>` in upper case".
pub fn arrays_in_lower_case(text: &str, table: &Table) -> String {
    let lines = text.lines().map(|line| {
        let column = schema(table)
            .iter()
            .find(|column| line.starts_with(&format!("  {} ARRAY<", ddl::quote_name(&column.name))));
        match (column, line.rsplit_once('>')) {
            (Some(_), Some((ty, rest))) => {
                let (name, ty) = ty.split_once(" ARRAY<").unwrap();
                format!("{name} array<{}>{rest}", ty.to_lowercase())
            }
            _ => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// 2.3 prints no comment of an index that has none.
pub fn empty_index_comments(text: &str) -> String {
    text.lines().map(|line| line.replace(" COMMENT ''", "")).collect::<Vec<_>>().join("\n") + "\n"
}

/// 2.3 does not escape a quote in a property's value.
pub fn quotes_in_properties(text: &str) -> String {
    map_properties(text, |lines| {
        let escape = |line: String| match line.split_once(" = \"").map(|(key, value)| (key, value.strip_suffix('"'))) {
            Some((key, Some(value))) => format!("{key} = \"{}\"", value.replace("\\\"", "\"").replace('"', "\\\"")),
            _ => line,
        };
        lines.into_iter().map(escape).collect()
    })
}

/// 2.3 leaves the default CURRENT_TIMESTAMP of a primary-key table out, which is stored all the same.
pub fn without_current_timestamp(text: &str, table: &Table) -> String {
    let primary = table.keys_type.as_deref() == Some("PRIMARY_KEYS");
    if primary { text.replace(" DEFAULT CURRENT_TIMESTAMP", "") } else { text.to_owned() }
}
