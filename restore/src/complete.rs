//! Whether a tablet's directory holds what its header says: checked once the headers are here, before anything large is fetched.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::plan::PlanTablet;
use crate::warehouse::read_file;
use starsnap_tablet::meta::is_header;
use starsnap_tablet::{TabletMeta, expected_files};
use std::path::Path;

/// Largest header that is read. That of a tablet with millions of deleted rows has a few hundred megabytes.
const HEADER_LIMIT: u64 = 2 << 30;

/// True for files that tell which others must be there.
pub(crate) fn describes(name: &str) -> bool {
    is_header(name) || name.ends_with(".dcgs_snapshot")
}

/// Checks every tablet; returns notes on headers that could not be understood.
pub(crate) fn check(staged: &Path, tablets: &[PlanTablet]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for tablet in tablets {
        let dir = staged.join(&tablet.dir);
        let meta = match read_meta(&dir, tablet)? {
            Ok(meta) => meta,
            Err(reason) => {
                notes.push(format!("{}: whether a file is missing cannot be told: {reason}", tablet.dir));
                continue;
            }
        };
        // Counts come from the file: never more names than could be there.
        let counted: usize = meta
            .rowsets
            .iter()
            .map(|rowset| {
                rowset.segments.len().saturating_add(rowset.num_delete_files).saturating_add(rowset.num_update_files)
            })
            .fold(0, usize::saturating_add);
        let missing = if counted > tablet.names.len().saturating_mul(2).saturating_add(1 << 16) {
            Some(format!("it lists {counted} files, {} are there", tablet.names.len()))
        } else {
            let expected = expected_files(&meta);
            let missing: Vec<String> = expected.into_iter().filter(|name| !tablet.names.contains(name)).collect();
            (!missing.is_empty()).then(|| format!("the tablet's header lists {}, which is missing", missing.join(", ")))
        };
        if let Some(reason) = missing {
            return Err(RestoreError::new(ErrorKind::Damaged, "restore tablet", &tablet.dir, reason));
        }
    }
    Ok(notes)
}

/// The tablet's metadata; the inner error when it is there, its md5 right, but not understood.
fn read_meta(dir: &Path, tablet: &PlanTablet) -> Result<Result<TabletMeta, String>> {
    let name = tablet.names.iter().find(|name| is_header(name)).map_or("", String::as_str);
    let bytes = read_file(&dir.join(name), HEADER_LIMIT)?;
    if name == "meta" {
        return Ok(TabletMeta::from_snapshot_meta(&bytes).map_err(|error| error.to_string()));
    }
    let mut meta = match TabletMeta::from_header(&bytes) {
        Ok(meta) => meta,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if let Some(delta) = tablet.names.iter().find(|name| name.ends_with(".dcgs_snapshot")) {
        let bytes = read_file(&dir.join(delta), HEADER_LIMIT)?;
        if let Err(error) = meta.add_delta_columns(&bytes) {
            return Ok(Err(error.to_string()));
        }
    } else if let Err(error) = meta.check_no_delta_columns(tablet.names.iter().map(String::as_str)) {
        return Ok(Err(error.to_string()));
    }
    Ok(Ok(meta))
}
