//! `starsnap inspect`.

use super::Stop;
use crate::cli::{Globals, InspectArgs};
use crate::failure::Outcome;
use crate::output::{Align, Output, printable, shorten, size, table};
use crate::progress::count;
use starsnap_restore::export::ExportSource;
use starsnap_restore::export::inspect::{
    ColumnView, InspectOptions, Inspection, RowsetView, TableView, TabletLine, TabletView, inspect as look,
};
use starsnap_restore::report::JobStatus;

/// Widest value of a zone map that is printed.
const WIDEST: usize = 24;

/// Prints what tablets are made of.
pub async fn inspect(args: InspectArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let cache = super::index_cache(globals);
    let access = super::access(args.repository_name.as_deref(), globals);
    let source = ExportSource::resolve(&args.source, &access, cache.as_ref()).await?;
    let options = InspectOptions { source, index: args.index, tablet: args.tablet, pages: args.pages, workers: 8 };
    let found = look(options, stop.cancel()).await?;
    let mut out = Output::stdout();
    let mut status = JobStatus::Done;
    if let Inspection::Tables(tables) = &found
        && tables.iter().any(|table| table.problem.is_some())
    {
        status = JobStatus::Partial;
    }
    if globals.json {
        out.json(&found)?;
    } else {
        let text = match &found {
            Inspection::Tablet(tablet) => show_tablet(tablet),
            Inspection::Tables(tables) => tables.iter().map(show_table).collect::<Vec<_>>().join("\n"),
        };
        out.raw(text.as_bytes())?;
    }
    out.finish()?;
    Ok(Outcome::Job(status))
}

fn show_table(view: &TableView) -> String {
    let mut text = match &view.problem {
        Some(problem) => format!("table {}: {}\n", printable(&view.name), printable(problem)),
        None => format!("table {}: {}\n", printable(&view.name), count(view.tablets.len() as u64, "tablet")),
    };
    if view.tablets.is_empty() {
        return text;
    }
    let headings = ["TABLET", "VERSION", "SCHEMA", "ROWSETS", "SEGMENTS", "ROWS", "SIZE", "DELETES", "DELETED ROWS"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(view.tablets.iter().map(|tablet| {
        let TabletLine { path, version, schema_version, rowsets, segments, rows, bytes, .. } = tablet;
        vec![
            printable(path),
            version.to_string(),
            schema_version.to_string(),
            rowsets.to_string(),
            segments.to_string(),
            rows.to_string(),
            size(*bytes),
            tablet.delete_predicates.to_string(),
            tablet.deleted_rows.to_string(),
        ]
    }));
    let mut align = [Align::Right; 9];
    align[0] = Align::Left;
    text.push_str(&table(&align, &rows));
    text
}

fn show_tablet(view: &TabletView) -> String {
    let line = &view.line;
    let mut text = format!(
        "tablet {} ({}), version {}, schema version {}: {}, {} in {}, {}\n",
        line.id,
        view.model,
        line.version,
        line.schema_version,
        count(line.rowsets as u64, "rowset"),
        count(line.rows, "row"),
        count(line.segments as u64, "segment"),
        size(line.bytes)
    );
    for rowset in &view.rowsets_in_detail {
        text.push('\n');
        text.push_str(&show_rowset(rowset));
    }
    text
}

fn show_rowset(rowset: &RowsetView) -> String {
    let bytes = u64::try_from(rowset.bytes).unwrap_or(0);
    let mut text = format!(
        "rowset {}, versions {} to {}: {} rows, {}, {}\n",
        printable(&rowset.id),
        rowset.start_version,
        rowset.end_version,
        rowset.rows,
        size(bytes),
        rowset.overlap
    );
    if !rowset.deletes.is_empty() {
        text.push_str(&format!("  deletes rows where {}\n", printable(&rowset.deletes.join(" AND "))));
    }
    for (files, what) in [(rowset.delete_files, "deleted keys"), (rowset.update_files, "updates")] {
        if files > 0 {
            text.push_str(&format!("  {} of {what}\n", count(files as u64, "file")));
        }
    }
    for segment in &rowset.segments {
        text.push_str(&format!(
            "  segment {}: {}, {}, footer version {}",
            printable(&segment.file),
            count(segment.rows, "row"),
            size(segment.bytes),
            segment.footer_version
        ));
        if let Some(vector) = &segment.delete_vector {
            text.push_str(&format!(", {} deleted as of version {}", count(vector.rows, "row"), vector.version));
        }
        text.push('\n');
        for delta in &segment.delta_columns {
            let columns = printable(&delta.columns.join(", "));
            let file = printable(&delta.file);
            text.push_str(&format!("    newer values of {columns}, as of version {}, in {file}\n", delta.version));
        }
        for line in show_columns(&segment.columns).lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

fn show_columns(columns: &[ColumnView]) -> String {
    let with_expanded = columns.iter().any(|column| column.expanded_bytes.is_some());
    let headings =
        ["COLUMN", "TYPE", "ENCODING", "CODEC", "PAGES", "SIZE", "EXPANDED", "NULLS", "MIN", "MAX", "INDEXES"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(columns.iter().map(|column| {
        if !column.stored {
            let mut row =
                vec![printable(&column.name), printable(&column.ty), "not stored: the default value".to_owned()];
            row.resize(headings.len(), String::new());
            return row;
        }
        let bound = |bound: &Option<String>| bound.as_ref().map_or("-".to_owned(), |b| shorten(&printable(b), WIDEST));
        let encoding = if column.dictionary { format!("{} +dict", column.encoding) } else { column.encoding.clone() };
        let nulls = match (column.nullable, column.has_null) {
            (false, _) => "never",
            (true, Some(false)) => "none",
            (true, Some(true)) => "some",
            (true, None) => "?",
        };
        let indexes: Vec<&str> = column.indexes.iter().copied().filter(|index| *index != "ordinal").collect();
        vec![
            printable(&column.name),
            printable(&column.ty),
            encoding,
            column.codec.clone(),
            column.pages.to_string(),
            size(column.bytes),
            column.expanded_bytes.map(size).unwrap_or_default(),
            nulls.to_owned(),
            bound(&column.min),
            bound(&column.max),
            indexes.join(", "),
        ]
    }));
    let mut align = [Align::Left; 11];
    (align[4], align[5], align[6]) = (Align::Right, Align::Right, Align::Right);
    if !with_expanded {
        rows.iter_mut().for_each(|row| drop(row.remove(6)));
        return table(&[&align[..6], &align[7..]].concat(), &rows);
    }
    table(&align, &rows)
}
