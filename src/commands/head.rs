//! `starsnap head`.

use super::Stop;
use crate::cli::{Globals, HeadArgs};
use crate::failure::Outcome;
use crate::output::{Align, Output, printable, shorten, table};
use starsnap_restore::export::{ExportOptions, ExportSource, Format};
use starsnap_restore::head::{Head, head, head_json};
use starsnap_restore::report::JobStatus;
use std::io::IsTerminal as _;

/// Widest column on a terminal; without one, values are shown whole.
const WIDEST: usize = 40;

/// Prints the first rows.
pub async fn head_command(args: HeadArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let cache = super::index_cache(globals);
    let access = super::access(args.repository_name.as_deref(), globals);
    let source = ExportSource::resolve(&args.source, &access, cache.as_ref()).await?;
    let options = ExportOptions {
        columns: args.columns,
        limit: Some(args.rows),
        physical: args.physical,
        index: args.index,
        // Headers are read side by side, rows are not.
        ..ExportOptions::all_rows(source, Format::JsonLines, 8)
    };
    let mut out = Output::stdout();
    if globals.json {
        out.raw(&head_json(options, stop.cancel()).await?)?;
    } else {
        let width = std::io::stdout().is_terminal().then(crate::output::terminal_width);
        out.raw(show(&head(options, stop.cancel()).await?, width).as_bytes())?;
    }
    out.finish()?;
    Ok(Outcome::Job(JobStatus::Done))
}

/// Rows below their columns' names; on a terminal, of `width` columns, cut off to fit.
fn show(head: &Head, width: Option<usize>) -> String {
    let cell = |text: &str| match width {
        Some(_) => shorten(&printable(text), WIDEST),
        None => printable(text),
    };
    let value = |value: &Option<String>| match value.as_deref() {
        None => "NULL".to_owned(),
        // Text that reads like NULL is told from it.
        Some("NULL") => "\"NULL\"".to_owned(),
        Some(text) => cell(text),
    };
    let mut rows = vec![head.columns.iter().map(|name| cell(name)).collect::<Vec<_>>()];
    rows.extend(head.rows.iter().map(|row| row.iter().map(value).collect()));
    let numeric = |at: usize| {
        let mut values = head.rows.iter().filter_map(|row| row.get(at)?.as_deref()).peekable();
        values.peek().is_some() && values.all(|value| value.parse::<f64>().is_ok())
    };
    let align = (0..head.columns.len()).map(|at| if numeric(at) { Align::Right } else { Align::Left });
    let text = table(&align.collect::<Vec<_>>(), &rows);
    match width {
        Some(width) => text.lines().map(|line| shorten(line, width) + "\n").collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Head {
        let text = |value: &str| Some(value.to_owned());
        Head {
            columns: ["id", "城市"].map(str::to_owned).into(),
            rows: vec![
                vec![text("1"), text("北京")],
                vec![text("20"), None],
                vec![None, text("NULL")],
                vec![text("-3.5"), text("a\nb")],
            ],
        }
    }

    #[test]
    fn rows_are_aligned_and_null_is_seen() {
        let expected = "  id  城市\n   1  北京\n  20  NULL\nNULL  \"NULL\"\n-3.5  a\\nb\n";
        assert_eq!(show(&example(), None), expected);
    }

    #[test]
    fn a_terminal_cuts_what_is_too_long() {
        let mut long = example();
        long.rows[0][1] = Some("很".repeat(100));
        let text = show(&long, Some(30));
        assert!(text.lines().nth(1).is_some_and(|line| line.ends_with('…')), "{text}");
        assert!(text.lines().all(|line| unicode_width::UnicodeWidthStr::width(line) <= 30), "{text}");
    }
}
