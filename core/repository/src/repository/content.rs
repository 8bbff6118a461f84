//! What stands below `__ss_content`: one listing, sorted into tablets, and compared with what the catalog says should be there.

use super::problems::Problems;
use super::{CONTENT, Repository};
use crate::error::{ErrorKind, Result};
use crate::md5::{Md5, split_name};
use crate::snapshot::{FileEntry, TabletFiles, TabletKey};
use crate::storage::path::is_temporary;
use crate::storage::{Entry, EntryKind, digest};
use starsnap_catalog::snapshot::{IndexEntry, PartitionEntry, Snapshot, TableEntry, TabletEntry};
use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

/// Of several files with one name, each larger one is not read to see which is right.
const MAX_COMPARED: u64 = 64 << 20;

/// So much is read of all of them while a snapshot is opened.
const MAX_COMPARED_IN_ALL: u64 = 1 << 30;

/// What a read counts for at least: each is a request to the store.
const LEAST_COMPARED: u64 = 64 << 10;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// By key.
    pub tablets: Vec<TabletFiles>,
    /// Paths below the label directory, with their sizes.
    pub strays: Vec<(String, u64)>,
    pub problems: Vec<String>,
}

/// A file with a name of StarRocks' form.
struct Found {
    key: TabletKey,
    name: Box<str>,
    md5: Md5,
    size: u64,
    modified: Option<SystemTime>,
}

/// Sorts a listing of the label directory `dir`'s content into tablets.
pub(super) async fn read(
    repository: &Repository,
    dir: &str,
    catalog: &Snapshot,
    listed: Vec<Entry>,
) -> Result<Content> {
    let label = repository.path(dir);
    let mut content = Content::default();
    let mut found = Vec::with_capacity(listed.len());
    let mut foreign: HashMap<TabletKey, Problems> = HashMap::new();
    for entry in listed {
        if entry.kind == EntryKind::File && is_temporary(entry.name()) {
            continue;
        }
        let path = entry.path.strip_prefix(&label).map_or(entry.path.as_str(), |path| path.trim_start_matches('/'));
        let Some((key, name)) = path.strip_prefix(CONTENT).and_then(|path| tablet_file(path.strip_prefix('/')?)) else {
            content.strays.push((path.to_owned(), entry.size));
            continue;
        };
        match split_name(name) {
            Some((name, md5)) if entry.kind == EntryKind::File => {
                found.push(Found { key, name: name.into(), md5, size: entry.size, modified: entry.modified });
            }
            _ => foreign.entry(key).or_default().add(|| match entry.kind {
                EntryKind::File if name.ends_with(".part") => {
                    format!("`{path}` is an unfinished upload: StarRocks does not restore the tablet beside it")
                }
                EntryKind::File => {
                    format!("`{path}` has no md5 in its name: StarRocks does not restore the tablet beside it")
                }
                _ => format!("`{path}` is a symbolic link, a device or has a name that is not UTF-8: it is not opened"),
            }),
        }
    }
    found.sort_unstable_by(|a, b| (a.key, &a.name, a.md5).cmp(&(b.key, &b.name, b.md5)));
    content.tablets = group(repository, dir, catalog, found).await?;
    add_problems(&mut content.tablets, foreign);
    content.strays.sort();
    note_lake(&mut content);
    Ok(content)
}

/// Adds problems to the tablets, which are sorted and stay so; a tablet that has nothing else is new.
fn add_problems(tablets: &mut Vec<TabletFiles>, foreign: HashMap<TabletKey, Problems>) {
    let mut alone = Vec::new();
    for (key, problems) in foreign {
        let problems = Vec::from(problems);
        let found = tablets.binary_search_by_key(&key, |tablet| tablet.key);
        match found.ok().and_then(|at| tablets.get_mut(at)) {
            Some(tablet) => tablet.problems.extend(problems),
            None => alone.push(TabletFiles { key, files: Vec::new(), problems }),
        }
    }
    tablets.extend(alone);
    tablets.sort_unstable_by_key(|tablet| tablet.key);
}

/// Key and file name of a path below `__ss_content`; none unless it has exactly StarRocks' form.
pub(crate) fn tablet_file(path: &str) -> Option<(TabletKey, &str)> {
    let mut parts = path.split('/');
    let mut id = |prefix: &str| canonical(parts.next()?.strip_prefix(prefix)?);
    let key = TabletKey {
        database: id("__db_")?,
        table: id("__tbl_")?,
        physical: id("__part_")?,
        index: id("__idx_")?,
        tablet: id("__")?,
    };
    let name = parts.next()?;
    parts.next().is_none().then_some((key, name))
}

/// A number as StarRocks writes ids: the only text that gives the same path back.
fn canonical(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok()?;
    (digits && (text == "0" || !text.starts_with('0'))).then_some(number)
}

/// Groups sorted files by tablet, each name once.
async fn group(repository: &Repository, dir: &str, catalog: &Snapshot, found: Vec<Found>) -> Result<Vec<TabletFiles>> {
    let mut listed: Option<HashMap<i64, HashSet<&str>>> = None;
    let mut budget = MAX_COMPARED_IN_ALL;
    let mut tablets: Vec<TabletFiles> = Vec::new();
    let mut found = found.into_iter().peekable();
    while let Some(first) = found.next() {
        let key = first.key;
        let mut variants = vec![first];
        while let Some(next) = found.next_if(|next| next.key == key && next.name == variants[0].name) {
            variants.push(next);
        }
        let mut problem = None;
        if variants.len() > 1 {
            // Rare, so the names in `__info` are gathered only then.
            let listed = listed.get_or_insert_with(|| listed_files(catalog));
            (variants, problem) = choose(repository, dir, listed.get(&key.tablet), variants, &mut budget).await?;
        }
        if tablets.last().is_none_or(|last| last.key != key) {
            if let Some(last) = tablets.last_mut() {
                last.files.shrink_to_fit();
            }
            tablets.push(TabletFiles { key, files: Vec::new(), problems: Vec::new() });
        }
        if let Some(tablet) = tablets.last_mut() {
            tablet.files.extend(variants.into_iter().map(|Found { name, md5, size, .. }| FileEntry {
                name,
                md5,
                size,
            }));
            tablet.problems.extend(problem);
        }
    }
    tablets.shrink_to_fit();
    Ok(tablets)
}

/// The `<file>.<md5>` names that `__info` lists, by tablet.
fn listed_files(catalog: &Snapshot) -> HashMap<i64, HashSet<&str>> {
    let mut listed: HashMap<i64, HashSet<&str>> = HashMap::new();
    each_tablet(catalog, |_, place| {
        if !place.tablet.listed_files.is_empty() {
            listed.entry(place.tablet.id).or_default().extend(place.tablet.listed_files.iter().map(String::as_str));
        }
    });
    listed
}

/// Of several files with one name, the one to use: what `__info` lists; else the only one whose content has its md5; else, with nothing
/// to tell them apart, or more of them than `budget` lets read, the newest. Unless `__info` decides, a sentence says so, as StarRocks does not restore such a tablet.
async fn choose(
    repository: &Repository,
    dir: &str,
    listed: Option<&HashSet<&str>>,
    mut variants: Vec<Found>,
    budget: &mut u64,
) -> Result<(Vec<Found>, Option<String>)> {
    if let Some(listed) = listed {
        let named = |found: &Found| listed.contains(format!("{}.{}", found.name, found.md5).as_str());
        if variants.iter().filter(|found| named(found)).count() == 1 {
            variants.retain(named);
            return Ok((variants, None));
        }
    }
    let all: Vec<_> = variants.iter().map(|found| found.md5.to_string()).collect();
    let compared: Vec<u64> = variants.iter().map(|found| found.size).filter(|size| *size <= MAX_COMPARED).collect();
    let cost = compared.iter().map(|size| (*size).max(LEAST_COMPARED)).fold(0, u64::saturating_add);
    let affordable = cost <= *budget;
    if affordable {
        *budget -= cost;
    }
    let mut right = Vec::new();
    for found in &variants {
        let unread = !affordable || found.size > MAX_COMPARED;
        right.push(unread || content_matches(repository, dir, found).await?);
    }
    let matching = right.iter().filter(|right| **right).count();
    if matching > 0 {
        let mut right = right.into_iter();
        variants.retain(|_| right.next().unwrap_or(false));
    }
    variants.sort_by_key(|found| (found.modified, found.md5));
    let used = variants.split_off(variants.len() - 1);
    let problem = used.first().map(|used| {
        let why = match matching {
            1 if used.size > MAX_COMPARED => "the content of the others has not theirs",
            1 => "only its content has its md5",
            0 => "though the content of none has its md5",
            _ => "it is the newest",
        };
        format!(
            "`{}/{}` is there {} times, with md5 {}: StarRocks does not restore the tablet; {} is used, {why}",
            used.key.path(),
            used.name,
            all.len(),
            all.join(", "),
            used.md5
        )
    });
    Ok((used, problem))
}

/// Whether the file's content has the md5 in its name. A file that cannot be read has not.
async fn content_matches(repository: &Repository, dir: &str, found: &Found) -> Result<bool> {
    let path = repository.path(&format!("{dir}/{CONTENT}/{}/{}.{}", found.key.path(), found.name, found.md5));
    match digest(repository.storage().as_ref(), &path, found.size).await {
        Ok(md5) => Ok(md5 == found.md5),
        Err(error) if error.kind == ErrorKind::Unavailable => Err(error),
        Err(_) => Ok(false),
    }
}

/// Shared-data backups of the few builds that wrote them hold `<tablet id>_<version>.meta`, both as 16 upper-case hex digits.
fn note_lake(content: &mut Content) {
    let is_lake = |name: &str| {
        let hex = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'A'..=b'F'));
        name.strip_suffix(".meta")
            .and_then(|name| name.split_once('_'))
            .is_some_and(|(id, version)| hex(id) && hex(version))
    };
    let lake = content
        .tablets
        .iter()
        .filter(|tablet| !has_header(tablet) && tablet.files.iter().any(|file| is_lake(&file.name)))
        .count();
    if lake > 0 {
        content.problems.push(format!(
            "{lake} tablets are of a shared-data cluster (a backup of 2.4 or 2.5): such backups are not supported"
        ));
    }
}

fn has_header(tablet: &TabletFiles) -> bool {
    tablet.files.iter().any(|file| &*file.name == "meta" || file.name.ends_with(".hdr"))
}

/// The database whose directory stands alone.
pub(super) fn only_database(tablets: &[TabletFiles]) -> Option<i64> {
    let (first, last) = (tablets.first()?, tablets.last()?);
    (first.key.database == last.key.database).then_some(first.key.database)
}

/// Where a tablet stands in the catalog.
struct Place<'a> {
    table: &'a TableEntry,
    partition: &'a PartitionEntry,
    index: &'a IndexEntry,
    tablet: &'a TabletEntry,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table `{}`, partition `{}`", self.table.name, self.partition.name)?;
        if !self.index.base {
            write!(f, ", index `{}`", self.index.name)?;
        }
        write!(f, ", tablet {}", self.tablet.id)
    }
}

/// True for a sentence of [`OpenSnapshot::problems`](crate::OpenSnapshot::problems) on one tablet, or on how many there are more: what
/// `tablets` and the catalog tell too.
pub fn names_tablet(problem: &str) -> bool {
    let one = problem.starts_with("table `") && problem.contains("`, partition `") && problem.contains(", tablet ");
    one || problem.starts_with("… and ") || problem.starts_with("none of the ")
}

fn each_tablet<'a>(catalog: &'a Snapshot, mut see: impl FnMut(TabletKey, Place<'a>)) {
    for table in &catalog.tables {
        for partition in &table.partitions {
            for physical in &partition.physicals {
                for index in &physical.indexes {
                    for tablet in &index.tablets {
                        let key = TabletKey {
                            database: catalog.database_id,
                            table: table.id,
                            physical: physical.id,
                            index: index.id,
                            tablet: tablet.id,
                        };
                        see(key, Place { table, partition, index, tablet });
                    }
                }
            }
        }
    }
}

/// Compares the catalog with the content: sentences on tablets without files, and on directories that belong to none. What is wrong
/// within a tablet goes to the tablet.
pub(super) async fn compare(
    repository: &Repository,
    dir: &str,
    catalog: &Snapshot,
    content: &mut Content,
) -> Result<Vec<String>> {
    let mut absent = Problems::default();
    let mut asked: Vec<(TabletKey, String)> = Vec::new();
    let mut incomplete = Problems::default();
    let mut known = vec![false; content.tablets.len()];
    let mut total = 0usize;
    each_tablet(catalog, |key, place| {
        total += 1;
        let found = content.tablets.binary_search_by_key(&key, |tablet| tablet.key);
        let Some(tablet) = found.ok().and_then(|at| {
            if let Some(known) = known.get_mut(at) {
                *known = true;
            }
            content.tablets.get_mut(at)
        }) else {
            if absent.keeps() {
                asked.push((key, place.to_string()));
            }
            return absent.add(String::new);
        };
        check_tablet(tablet, place.tablet);
        if !tablet.problems.is_empty() {
            incomplete.add(|| format!("{place}: {}", tablet.problems.join("; ")));
        }
    });
    let mut problems = Vec::new();
    if total > 0 && absent.count() == total {
        problems.push(format!("none of the {total} tablets has files in `{dir}/{CONTENT}`"));
    } else {
        let more = absent.count().saturating_sub(asked.len());
        for (key, place) in asked {
            problems.push(say_absent(repository, dir, &key, &place).await?);
        }
        if more > 0 {
            problems.push(format!("… and {more} more tablets without files"));
        }
    }
    problems.extend(Vec::from(incomplete));
    let strangers = known.iter().filter(|known| !**known).count();
    if strangers > 0 && !catalog.tables.is_empty() {
        problems.push(match strangers {
            1 => "one tablet directory belongs to no table of the snapshot".to_owned(),
            _ => format!("{strangers} tablet directories belong to no table of the snapshot"),
        });
    }
    if !content.strays.is_empty() {
        let (first, count) = (content.strays.first().map_or("", |(path, _)| path), content.strays.len());
        problems.push(match count {
            1 => format!("`{first}` belongs to no tablet"),
            _ => format!("{count} files below `{CONTENT}` belong to no tablet, such as `{first}`"),
        });
    }
    Ok(problems)
}

/// Adds what is wrong with a tablet's files as a whole.
fn check_tablet(tablet: &mut TabletFiles, entry: &TabletEntry) {
    let there: HashSet<String> = match entry.listed_files.is_empty() {
        true => HashSet::new(),
        false => tablet.files.iter().map(|file| format!("{}.{}", file.name, file.md5)).collect(),
    };
    let mut missing = Problems::default();
    for name in entry.listed_files.iter().filter(|name| !there.contains(*name)) {
        missing.add(|| format!("`{name}`, which `__info` lists, is missing"));
    }
    tablet.problems.extend(Vec::from(missing));
    if !has_header(tablet) {
        tablet.problems.push("its header (`<tablet>.hdr` or `meta`) is missing".to_owned());
    }
}

/// Says of a tablet without files whether its directory is there.
async fn say_absent(repository: &Repository, dir: &str, key: &TabletKey, place: &str) -> Result<String> {
    let path = format!("{dir}/{CONTENT}/{}", key.path());
    match repository.storage().stat(&repository.path(&path)).await {
        Ok(entry) if entry.kind == EntryKind::Directory => Ok(format!("{place}: the directory `{path}` is empty")),
        Ok(_) => Ok(format!("{place}: `{path}` is no directory")),
        Err(error) if error.kind == ErrorKind::Unavailable => Err(error),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(format!("{place}: the directory `{path}` is missing")),
        Err(error) => Ok(format!("{place}: {error}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_many_tablets_take_no_time() {
        let key = |tablet| TabletKey { database: 1, table: 2, physical: 3, index: 4, tablet };
        let mut tablets: Vec<TabletFiles> =
            (0..100).map(|at| TabletFiles { key: key(at * 1000), files: Vec::new(), problems: Vec::new() }).collect();
        let foreign = (0..300_000).map(|at| {
            let mut problems = Problems::default();
            problems.add(|| at.to_string());
            (key(at), problems)
        });
        let start = std::time::Instant::now();
        add_problems(&mut tablets, foreign.collect());
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
        let expected = |(at, tablet): (usize, &TabletFiles)| {
            tablet.key.tablet == i64::try_from(at).unwrap() && tablet.problems == [at.to_string()]
        };
        assert_eq!(tablets.len(), 300_000);
        assert!(tablets.iter().enumerate().all(expected));
    }
}
