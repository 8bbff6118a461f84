//! Opening a snapshot: its `__info` and `__meta`, checked against the md5 in their names and joined, and what stands in its content.

use super::{CONTENT, INCOMPLETE, INFO_PREFIX, LABEL_PREFIX, LATEST, Label, META, Repository, content};
use crate::blocking::blocking;
use crate::cache::{CacheKey, IndexCache};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::md5::{self, Md5};
use crate::snapshot::OpenSnapshot;
use starsnap_catalog::info::JobInfo;
use starsnap_catalog::model::BackupMeta;
use starsnap_catalog::snapshot::Snapshot;

/// A million tablets with their files fit.
const MAX_INFO: u64 = 512 << 20;
/// The length in front of the JSON form is a signed 32-bit number.
const MAX_META: u64 = (1 << 31) - 1;

impl Repository {
    /// Opens a snapshot: `timestamp` may be a timestamp, `latest`, or [`INCOMPLETE`]; `None` is `latest`. Uses and fills `cache`.
    /// Whatever of it can be read is there; what cannot is in [`OpenSnapshot::problems`]. An error only when nothing can be shown.
    ///
    /// Only a snapshot without a fault in its files is kept in `cache`, so a repair is seen by the next call.
    pub async fn snapshot(
        &self,
        label: &str,
        timestamp: Option<&str>,
        cache: Option<&IndexCache>,
    ) -> Result<OpenSnapshot> {
        let label = self.label(label).await?;
        let (timestamp, infos) = chosen(&label, timestamp)?;
        let key = match (infos, label.metas.as_slice()) {
            ([info], [meta]) => Some(CacheKey {
                location: self.storage().identity(),
                root: self.path(""),
                label: label.name.clone(),
                timestamp: timestamp.to_owned(),
                info: *info,
                meta: *meta,
            }),
            _ => None,
        };
        if let (Some(cache), Some(key)) = (cache, &key)
            && let Some(snapshot) = cache.load(key).await
        {
            return Ok(snapshot);
        }
        let (snapshot, healthy) = self.read_snapshot(&label, timestamp, infos).await?;
        if let (Some(cache), Some(key), true) = (cache, &key, healthy) {
            return Ok(cache.store(key, snapshot).await);
        }
        Ok(snapshot)
    }

    /// Reads and lists everything; says whether all files are as they should be.
    async fn read_snapshot(&self, label: &Label, timestamp: &str, infos: &[Md5]) -> Result<(OpenSnapshot, bool)> {
        let mut problems = label.problems.clone();
        let mut healthy = problems.is_empty();
        let dir = format!("{LABEL_PREFIX}{}", label.name);
        if infos.is_empty() {
            problems.push("there is no `__info`: the backup was not completed, or is still running".to_owned());
            if label.metas.is_empty() {
                problems
                    .push("there is no `__meta` either: which tables the tablets belong to is not known".to_owned());
            }
        }

        let info_base = format!("{dir}/{INFO_PREFIX}{timestamp}");
        let info_files = self.verified(&info_base, infos, MAX_INFO, &mut problems).await?;
        let meta_files = self.verified(&format!("{dir}/{META}"), &label.metas, MAX_META, &mut problems).await?;
        let info_bytes = info_files.into_iter().next();
        healthy &= meta_files.len() == 1;

        let read = blocking(move || Ok(read_catalog(info_bytes, meta_files))).await?;
        problems.extend(read.problems);
        healthy &= read.whole;
        let mut catalog = read.catalog;
        if read.info_read && catalog.label != label.name {
            problems.push(format!(
                "the directory's label is `{}`, but `__info` says `{}`: StarRocks restores it only under the latter",
                label.name, catalog.label
            ));
        }

        let listed = match self.storage().list_recursive(&self.path(&format!("{dir}/{CONTENT}"))).await {
            Ok(entries) => entries,
            Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
            Err(error) if error.kind == ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                problems.push(error.to_string());
                healthy = false;
                Vec::new()
            }
        };
        let mut content = content::read(self, &dir, &catalog, listed).await?;
        if !read.info_read {
            // `__meta` does not know the database's id; the directories do.
            if let Some(database) = content::only_database(&content.tablets) {
                catalog.database_id = database;
            }
        }
        let absent = content::compare(self, &dir, &catalog, &mut content).await?;
        healthy &= content.problems.is_empty() && absent.is_empty() && content.strays.is_empty();
        healthy &= content.tablets.iter().all(|tablet| tablet.problems.is_empty());
        problems.extend(content.problems);
        problems.extend(absent);
        let (label, timestamp) = (label.name.clone(), timestamp.to_owned());
        let (tablets, strays, info) = (content.tablets, content.strays, read.info_bytes);
        Ok((OpenSnapshot { label, timestamp, catalog, tablets, strays, problems, info }, healthy))
    }

    /// The bytes of each `<base>.<md5>` whose content has that md5. What is wrong with the others goes to `problems`; only a store that
    /// does not answer is an error, as nothing can be said about the file then.
    async fn verified(&self, base: &str, md5s: &[Md5], limit: u64, problems: &mut Vec<String>) -> Result<Vec<Vec<u8>>> {
        let mut good = Vec::new();
        for named in md5s {
            let path = self.path(&format!("{base}.{named}"));
            let bytes = match self.storage().read_all(&path, limit).await {
                Ok(bytes) => bytes,
                Err(error) if error.kind == ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let (found, bytes) = blocking(move || Ok((md5::of(&bytes), bytes))).await?;
            if found == *named {
                good.push(Vec::from(bytes));
            } else {
                problems.push(format!("`{path}` is damaged: the md5 of its {} bytes is {found}", bytes.len()));
            }
        }
        Ok(good)
    }
}

/// The timestamp meant, and the md5 of its `__info` files.
fn chosen<'a>(label: &'a Label, timestamp: Option<&str>) -> Result<(&'a str, &'a [Md5])> {
    let newest = label.timestamps.last();
    let found = match timestamp.unwrap_or(LATEST) {
        LATEST => return Ok(newest.map_or((INCOMPLETE, &[]), |newest| (&newest.text, &newest.infos))),
        INCOMPLETE if newest.is_none() => return Ok((INCOMPLETE, &[])),
        text => label.timestamps.iter().find(|one| one.text == text),
    };
    found.map(|found| (found.text.as_str(), found.infos.as_slice())).ok_or_else(|| {
        let there: Vec<_> = label.timestamps.iter().rev().take(20).map(|one| one.text.as_str()).collect();
        let reason = match there.as_slice() {
            [] => "the backup was not completed".to_owned(),
            there => format!("there is only {}", there.join(", ")),
        };
        let object = format!("{}@{}", label.name, timestamp.unwrap_or_default());
        RepositoryError::new(ErrorKind::NotFound, "open snapshot", object, reason)
            .advise("`latest` is the newest; a backup that was not completed opens as `incomplete`")
    })
}

/// What came of `__info` and `__meta`.
struct ReadCatalog {
    catalog: Snapshot,
    info_bytes: Vec<u8>,
    /// True when `__info` was understood.
    info_read: bool,
    /// True when both were understood and joined.
    whole: bool,
    problems: Vec<String>,
}

fn read_catalog(info_bytes: Option<Vec<u8>>, meta_files: Vec<Vec<u8>>) -> ReadCatalog {
    let mut problems = Vec::new();
    let mut info = info_bytes
        .as_deref()
        .and_then(|bytes| JobInfo::parse(bytes).map_err(|error| problems.push(error.to_string())).ok());
    if let Some(info) = &info {
        if info.starrocks_meta_version.is_none() {
            problems.push(
                "`__info` has no `starrocks_meta_version`: Apache Doris, not StarRocks, seems to have written this backup; its tables \
                 and tablets have another format, which is not supported"
                    .to_owned(),
            );
        }
        if let Some(result) = info.backup_result.as_deref().filter(|result| *result != "succeed") {
            problems.push(format!("`__info` says that the backup ended as `{}`", shortened(result)));
        }
    }
    let mut best: Option<Snapshot> = None;
    for bytes in meta_files {
        let form = starsnap_catalog::meta::form(&bytes);
        let joined = starsnap_catalog::meta::read(&bytes).and_then(|meta| {
            drop(bytes);
            let mut joined = Snapshot::join(info.as_ref(), Some(&meta))?;
            joined.written.form = Some(form);
            Ok(joined)
        });
        match joined {
            // Of several `__meta`, the one that fits `__info` best.
            Ok(joined) => {
                if best.as_ref().is_none_or(|best| joined.disagreements.len() < best.disagreements.len()) {
                    best = Some(joined);
                }
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    let whole = info.is_some() && best.is_some();
    let catalog = best.or_else(|| {
        let alone = info.as_ref()?;
        let meta: Option<&BackupMeta> = None;
        Snapshot::join(Some(alone), meta).map_err(|error| problems.push(error.to_string())).ok()
    });
    if catalog.is_none() {
        info = None;
    }
    let info_read = info.is_some();
    let info_bytes = info_bytes.unwrap_or_default();
    ReadCatalog { catalog: catalog.unwrap_or_default(), info_bytes, info_read, whole, problems }
}

/// Text of a repository, as much as a sentence bears.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
