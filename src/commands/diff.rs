//! `starsnap diff`.

use super::Stop;
use crate::cli::{DiffArgs, Globals};
use crate::failure::Outcome;
use crate::logging;
use crate::output::{Align, Output, printable, size, table};
use crate::progress::count;
use starsnap_restore::diff::{Change, DiffOptions, DiffReport, DiffSource, FileDiff, ObjectDiff, PartitionDiff, Side};
use starsnap_restore::report::ObjectKind;
use std::fmt::Write as _;

/// Compares, and says what differs.
pub async fn diff(args: DiffArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let stop = Stop::on_signals()?;
    let cache = super::index_cache(globals);
    let access = super::access(args.repository_name.as_deref(), globals);
    let options = DiffOptions {
        old: DiffSource::resolve(&args.old, &access, cache.as_ref()).await?,
        new: DiffSource::resolve(&args.new, &access, cache.as_ref()).await?,
        tables: args.tables,
        files: args.files,
    };
    let report = starsnap_restore::diff::diff(options, stop.cancel()).await?;
    let mut out = Output::stdout();
    if globals.json {
        out.json(&report)?;
    } else if !globals.quiet {
        out.raw(people(&report).as_bytes())?;
    }
    out.finish()?;
    for problem in &report.problems {
        logging::line(&format!("starsnap: {}", printable(problem)));
    }
    super::print_notes(&report.notes, globals);
    Ok(Outcome::Code(report.exit_code()))
}

fn people(report: &DiffReport) -> String {
    let mut text = format!("old: {}\nnew: {}\n", side(&report.old), side(&report.new));
    let differing: Vec<&ObjectDiff> = report.objects.iter().filter(|object| object.change != Change::Same).collect();
    let same = report.objects.len() - differing.len();
    if !differing.is_empty() {
        text.push_str(&overview(&differing));
        differing.iter().for_each(|object| details(object, &mut text));
    }
    let _ = match differing.len() {
        0 => writeln!(text, "nothing differs: {}", count(same as u64, "object")),
        many => {
            let verb = if many == 1 { "differs" } else { "differ" };
            writeln!(text, "{many} of {} {verb}", count(report.objects.len() as u64, "object"))
        }
    };
    text
}

fn side(side: &Side) -> String {
    let database = if side.database.is_empty() { String::new() } else { format!(", database {}", side.database) };
    printable(&format!("{}{database}", side.source))
}

/// A line per object.
fn overview(objects: &[&ObjectDiff]) -> String {
    const COLUMNS: [(&str, Align); 8] = [
        ("OBJECT", Align::Left),
        ("KIND", Align::Left),
        ("CHANGE", Align::Left),
        ("SCHEMA", Align::Left),
        ("PARTITIONS", Align::Left),
        ("FILES", Align::Left),
        ("OLD", Align::Right),
        ("NEW", Align::Right),
    ];
    let mut rows = vec![COLUMNS.map(|(heading, _)| heading.to_owned()).to_vec()];
    for object in objects {
        let name = match &object.new_name {
            Some(new) => format!("{} -> {new}", object.name),
            None => object.name.clone(),
        };
        let stored = matches!(object.kind, ObjectKind::Table | ObjectKind::MaterializedView);
        let both = object.change == Change::Changed;
        let schema = match (both, object.schema.is_empty()) {
            (false, _) => "-",
            (true, true) => "same",
            (true, false) => "changed",
        };
        let of = |change| object.partitions.iter().filter(|partition| partition.change == change).count() as u64;
        let partitions = tally(of(Change::Added), of(Change::Removed), of(Change::Changed));
        let FileDiff { added, removed, changed, old_bytes, new_bytes, .. } = object.files;
        let stored = |text: String| if stored { text } else { "-".to_owned() };
        rows.push(vec![
            printable(&name),
            object.kind.name().to_owned(),
            word(object.change).to_owned(),
            schema.to_owned(),
            stored(partitions),
            stored(tally(added, removed, changed)),
            stored(size(old_bytes)),
            stored(size(new_bytes)),
        ]);
    }
    table(&COLUMNS.map(|(_, align)| align), &rows)
}

/// `+1 -2 ~3`; `same` when nothing differs.
fn tally(added: u64, removed: u64, changed: u64) -> String {
    let parts = [('+', added), ('-', removed), ('~', changed)].into_iter().filter(|(_, number)| *number > 0);
    let text = parts.map(|(sign, number)| format!("{sign}{number}")).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "same".to_owned() } else { text }
}

/// What differs in one object: lines of its statement, partitions, files.
fn details(object: &ObjectDiff, out: &mut String) {
    if object.change != Change::Changed {
        return;
    }
    let _ = writeln!(out, "{} {}", object.kind.name(), printable(&object.name));
    for line in &object.schema {
        let _ = writeln!(out, "  {} {}", sign(line.change), printable(line.text.trim()));
    }
    for partition in &object.partitions {
        let _ = writeln!(out, "  {}", printable(&of_partition(partition)));
        for file in &partition.files.list {
            let _ = writeln!(out, "    {} {} ({})", sign(file.change), printable(&file.path), size(file.bytes));
        }
    }
}

fn of_partition(partition: &PartitionDiff) -> String {
    let FileDiff { added, added_bytes, removed, removed_bytes, changed, .. } = partition.files;
    let mut parts = Vec::new();
    match (&partition.old, &partition.new) {
        (Some(old), Some(new)) => {
            if old.version != new.version {
                parts.push(format!("version {} -> {}", old.version, new.version));
            }
            if old.values != new.values {
                let shown = |values: &Option<String>| values.clone().unwrap_or_else(|| "no values".to_owned());
                parts.push(format!("{} -> {}", shown(&old.values), shown(&new.values)));
            }
            if old.tablets != new.tablets {
                parts.push(format!("{} -> {} tablets", old.tablets, new.tablets));
            }
        }
        (Some(only), None) | (None, Some(only)) => {
            parts.push(format!("version {}", only.version));
            parts.push(count(only.tablets, "tablet"));
        }
        (None, None) => {}
    }
    for (number, bytes, what) in
        [(added, Some(added_bytes), "added"), (removed, Some(removed_bytes), "removed"), (changed, None, "changed")]
    {
        if number > 0 {
            let bytes = bytes.map(|bytes| format!(" ({})", size(bytes))).unwrap_or_default();
            parts.push(format!("{} {what}{bytes}", count(number, "file")));
        }
    }
    let change = if partition.change == Change::Changed { "" } else { word(partition.change) };
    let comma = if change.is_empty() { "" } else { ", " };
    format!("partition {}: {change}{comma}{}", partition.name, parts.join(", "))
}

fn sign(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
        Change::Same => ' ',
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Same => "same",
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    }
}
