//! From tablets to text, one piece after another, on a thread of its own.

use super::RowsFile;
use super::files::{Opener, forget, metadata};
use crate::error::{FsError, Result};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use starsnap_catalog::model;
use starsnap_catalog::stored::unique_ids;
use starsnap_repository::reading::Reading;
use starsnap_repository::snapshot::TabletFiles;
use starsnap_tablet::meta::{is_delta_columns, is_header};
use starsnap_tablet::render::TextFormat;
use starsnap_tablet::{Named, Tablet, TabletMeta, TabletSchema, UniqueIds};
use std::collections::HashMap;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

/// Bytes of the first piece, which is often all that is wanted.
const FIRST_PIECE: usize = 8 << 10;
/// Bytes of a piece, more or less: a row is never cut.
const LARGEST_PIECE: usize = 256 << 10;
/// Rows are written in steps of about so many bytes.
const STEP: usize = 16 << 10;
/// Headers fetched at once where all of them are needed.
const HEADERS_AT_ONCE: usize = 8;

/// What the decoder hands over.
pub(super) enum Piece {
    Text(Bytes),
    /// All rows were handed over. A decoder that goes without a word has failed.
    End,
    Failed(FsError),
}

/// How the store is read.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub runtime: Handle,
    pub reading: Reading,
}

/// Nobody reads the rows any more.
struct Unwanted;

/// Decodes until all is handed over, something fails, or nobody reads any more.
pub(super) fn run(file: &RowsFile, from: &From, to: &Sender<Piece>) {
    let mut pieces = Pieces { to, text: Vec::new(), size: FIRST_PIECE };
    let last = match decode(file, from, &mut pieces) {
        Ok(Ok(())) => Piece::End,
        Ok(Err(Unwanted)) => return,
        // What was decoded before is right, and read first.
        Err(error) => match pieces.send() {
            Ok(()) => Piece::Failed(error),
            Err(Unwanted) => return,
        },
    };
    // Nobody may be there to hear it.
    let _ = to.blocking_send(last);
}

/// Text on its way to the reader. There is room for one piece, so that the decoder is one piece ahead at most.
struct Pieces<'a> {
    to: &'a Sender<Piece>,
    text: Vec<u8>,
    size: usize,
}

impl Pieces<'_> {
    /// Sends what there is when it makes a piece.
    fn offer(&mut self) -> Result<(), Unwanted> {
        if self.text.len() < self.size {
            return Ok(());
        }
        self.size = (self.size * 2).min(LARGEST_PIECE);
        self.send()
    }

    fn send(&mut self) -> Result<(), Unwanted> {
        if self.text.is_empty() {
            return Ok(());
        }
        let text = Bytes::from(std::mem::take(&mut self.text));
        self.to.blocking_send(Piece::Text(text)).map_err(|_| Unwanted)
    }
}

fn decode(file: &RowsFile, from: &From, pieces: &mut Pieces<'_>) -> Result<Result<(), Unwanted>> {
    let From { runtime, reading } = from;
    let tablets = file.tablets()?;
    let Some(first) = tablets.first() else { return Ok(Ok(())) };
    let mut meta = Some(runtime.block_on(read_meta(file, *first, reading))?);
    let Head { schema, ids, columns } = columns(file, &tablets, meta.as_ref(), from)?;
    let stored: Vec<&str> = columns.iter().map(|column| &*column.stored).collect();
    let format = file.format();
    for tablet in &tablets {
        let mut meta = match meta.take() {
            Some(first) => first,
            None => runtime.block_on(read_meta(file, *tablet, reading))?,
        };
        let id = meta.tablet_id;
        let failed = |error: starsnap_tablet::TabletError| {
            if error.kind() == starsnap_tablet::ErrorKind::Damaged {
                runtime.block_on(forget(&file.0, *tablet, reading));
            }
            file.failed(format!("tablet {id}: {error}"))
        };
        check(file, &meta, &schema, ids)?;
        meta.present_with(&schema, ids);
        let opener = Opener::new(file.0.clone(), *tablet, runtime.clone(), reading.clone());
        let rows = Tablet::new(meta, opener).rows(Some(&stored), &format.read_options()).map_err(failed)?;
        let schema = rows.schema();
        let rows = Named::new(rows, &schema, columns.iter().map(|column| &*column.name));
        for batch in rows {
            if let Err(Unwanted) = write(&format, &batch.map_err(failed)?, pieces).map_err(failed)? {
                return Ok(Err(Unwanted));
            }
        }
    }
    Ok(pieces.send())
}

/// Writes a batch a few rows at a time, as a row may be of any size.
fn write(
    format: &TextFormat,
    batch: &arrow_array::RecordBatch,
    pieces: &mut Pieces<'_>,
) -> starsnap_tablet::Result<Result<(), Unwanted>> {
    let lines = format.of(batch)?;
    let (mut at, mut step) = (0, 1);
    while at < batch.num_rows() {
        let end = batch.num_rows().min(at + step);
        let before = pieces.text.len();
        lines.write(at..end, &mut pieces.text);
        let wrote = pieces.text.len() - before;
        step = if wrote < STEP { step * 2 } else { (step / 2).max(1) };
        at = end;
        if let Err(Unwanted) = pieces.offer() {
            return Ok(Err(Unwanted));
        }
    }
    Ok(Ok(()))
}

/// A column: its name in the tablets, and its name in the table.
struct Column {
    stored: String,
    name: String,
}

/// What all tablets of a table share.
struct Head {
    /// The newest of theirs.
    schema: TabletSchema,
    ids: UniqueIds,
    columns: Vec<Column>,
}

/// The newest schema of the tablets, and the columns of the table in it.
fn columns(file: &RowsFile, tablets: &[usize], first: Option<&TabletMeta>, from: &From) -> Result<Head> {
    let index = file.entry()?.index_meta(None).map_err(|error| file.failed(error))?;
    // Where the catalog tells the newest version, most often the first tablet has it, and no other need be asked.
    let known = index.as_ref().and_then(|index| index.schema_version).filter(|version| *version >= 0);
    let mut schema = match first.map(|first| &first.schema) {
        Some(schema) if tablets.len() == 1 || known == Some(schema.version) => schema.clone(),
        _ => newest_schema(file, tablets, from)?,
    };
    let ids = index.as_ref().map_or(UniqueIds::OfTable, |index| unique_ids(&index.schema));
    let columns = match index {
        Some(index) => {
            let selected = index.schema.iter().filter(|column| column.is_selected_by_star());
            selected.map(|column| find(file, column, &mut schema)).collect::<Result<_>>()?
        }
        None => {
            let own = |name: &String| Column { stored: name.clone(), name: name.clone() };
            schema.columns.iter().map(|column| own(&column.name)).collect()
        }
    };
    Ok(Head { schema, ids, columns })
}

/// A column of the catalog in the tablets' schema; one that was added after the last load has its default in all rows.
fn find(file: &RowsFile, column: &model::Column, schema: &mut TabletSchema) -> Result<Column> {
    let stored = column
        .stored_in(schema)
        .ok_or_else(|| file.failed(format!("no tablet knows column {} of the catalog yet", column.name)))?;
    Ok(Column { stored, name: column.name.clone() })
}

/// The schema of the greatest version among all tablets.
fn newest_schema(file: &RowsFile, tablets: &[usize], From { runtime, reading }: &From) -> Result<TabletSchema> {
    let schemas = futures::stream::iter(tablets.to_vec())
        .map(|tablet| async move { read_meta(file, tablet, reading).await.map(|meta| meta.schema) })
        .buffered(HEADERS_AT_ONCE)
        .try_fold(None::<TabletSchema>, |newest, schema| async move {
            Ok(match newest {
                Some(newest) if newest.version > schema.version => Some(newest),
                _ => Some(schema),
            })
        });
    runtime.block_on(schemas)?.ok_or_else(|| file.failed("there are no tablets"))
}

/// Whether a tablet can be read with the schema of its table.
fn check(file: &RowsFile, meta: &TabletMeta, schema: &TabletSchema, ids: UniqueIds) -> Result<()> {
    let reason = if meta.schema.version > schema.version {
        Some(format!("its schema has version {}, that of the table {}", meta.schema.version, schema.version))
    } else {
        meta.schema.contradiction(schema, ids)
    };
    reason.map_or(Ok(()), |reason| Err(file.failed(format!("tablet {}: {reason}", meta.tablet_id))))
}

async fn read_meta(file: &RowsFile, tablet: usize, reading: &Reading) -> Result<TabletMeta> {
    let inner = &*file.0;
    let Some(tablet) = inner.snapshot.open.tablets.get(tablet) else { return Err(file.failed("a tablet is gone")) };
    let failed = |reason: String| file.failed(format!("tablet {}: {reason}", tablet.key.tablet));
    let mut found = fetch(inner, tablet, reading).await.map_err(failed)?;
    let names: Vec<&str> = tablet.files.iter().map(|file| &*file.name).collect();
    let take = |name: &str| found.remove(name).ok_or_else(|| failed(format!("{name} is missing")));
    TabletMeta::of_files(&names, take, |error| failed(error.to_string()))
}

/// The metadata files of a tablet.
async fn fetch(
    inner: &super::Inner,
    tablet: &TabletFiles,
    reading: &Reading,
) -> Result<HashMap<String, Vec<u8>>, String> {
    let mut found = HashMap::new();
    for file in &tablet.files {
        if is_header(&file.name) || is_delta_columns(&file.name) {
            found.insert(file.name.to_string(), metadata(inner, tablet, &file.name, reading).await?);
        }
    }
    Ok(found)
}
