//! The list of labels: refreshed after a few seconds, as new backups appear and others are removed.

use super::Options;
use super::slots::{Key, Slots};
use super::source::Source;
use super::time::of_timestamp;
use crate::error::{FsError, Result};
use starsnap_catalog::layout::escape;
use starsnap_repository::ErrorKind;
use starsnap_repository::repository::{INCOMPLETE, Label};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Name of the link to the newest timestamp of a label.
pub(super) const LATEST: &str = "latest";

/// A label as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub slot: u32,
    pub label: Label,
    /// Directory name to the key of its slot; more than one only after two clusters shared a repository.
    pub snapshots: BTreeMap<String, Key>,
    /// Where `latest` points to; none when nothing is complete or a stored timestamp has that name.
    pub latest: Option<String>,
}

/// All labels by directory name.
#[derive(Debug, Default)]
pub(super) struct List {
    pub shown: BTreeMap<String, Shown>,
    /// Newest time of all.
    pub mtime: Option<SystemTime>,
}

impl List {
    pub fn of_slot(&self, slot: u32) -> Option<&Shown> {
        self.shown.values().find(|shown| shown.slot == slot)
    }
}

#[derive(Debug)]
struct Fetched {
    at: Instant,
    /// How long the list stays good.
    fresh: Duration,
    list: Arc<List>,
}

/// The list, and when to ask again.
#[derive(Debug, Default)]
pub(super) struct Labels {
    fetched: Mutex<Option<Fetched>>,
    failed: Mutex<Option<(Instant, FsError)>>,
    fetching: tokio::sync::Mutex<()>,
}

impl Labels {
    /// The list, not older than a few seconds. While the store cannot be reached the last one serves for a while longer.
    pub async fn list(&self, source: &dyn Source, slots: &Slots, options: &Options) -> Result<Arc<List>> {
        if let Some(list) = self.fresh() {
            return Ok(list);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(list) = self.fresh() {
            return Ok(list);
        }
        if let Some((at, error)) = &*lock(&self.failed)
            && at.elapsed() < options.retry
        {
            return self.last(error.clone(), options);
        }
        let started = Instant::now();
        match source.labels().await {
            Ok(labels) => {
                let list = Arc::new(show(labels, slots));
                // A list that takes long is asked for less often, so that listing never fills more than a tenth of the time.
                let fresh = options.refresh.max(started.elapsed() * 10);
                *lock(&self.fetched) = Some(Fetched { at: Instant::now(), fresh, list: list.clone() });
                *lock(&self.failed) = None;
                Ok(list)
            }
            Err(error) => {
                let error = FsError::from(error);
                tracing::warn!(%error, "the list of snapshots cannot be refreshed");
                *lock(&self.failed) = Some((Instant::now(), error.clone()));
                self.last(error, options)
            }
        }
    }

    /// Makes the next call ask again.
    pub fn expire(&self) {
        if let Some(fetched) = &mut *lock(&self.fetched) {
            fetched.fresh = Duration::ZERO;
        }
    }

    fn fresh(&self) -> Option<Arc<List>> {
        lock(&self.fetched).as_ref().filter(|fetched| fetched.at.elapsed() < fetched.fresh).map(|f| f.list.clone())
    }

    fn last(&self, error: FsError, options: &Options) -> Result<Arc<List>> {
        let passing = matches!(&error, FsError::Repository(e) if e.kind == ErrorKind::Unavailable);
        match &*lock(&self.fetched) {
            Some(last) if passing && last.at.elapsed() < last.fresh + options.outage => Ok(last.list.clone()),
            _ => Err(error),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(labels: Vec<Label>, slots: &Slots) -> List {
    let mut list = List::default();
    for label in labels {
        let mut shown = of_label(label);
        let newest = shown.label.timestamps.iter().filter_map(|timestamp| of_timestamp(&timestamp.text)).max();
        list.mtime = list.mtime.max(newest);
        shown.slot = slots.number(&Key::Label(shown.label.name.clone()), 0, newest);
        let slot = shown.slot;
        for (name, key) in &shown.snapshots {
            slots.number(key, slot, of_timestamp(name));
        }
        list.shown.insert(escape(&shown.label.name), shown);
    }
    list
}

fn of_label(label: Label) -> Shown {
    let key = |timestamp: &str, infos: &[_]| Key::Snapshot {
        label: label.name.clone(),
        timestamp: timestamp.to_owned(),
        metas: label.metas.clone(),
        infos: infos.to_vec(),
    };
    let mut snapshots = BTreeMap::new();
    for timestamp in &label.timestamps {
        snapshots.insert(escape(&timestamp.text), key(&timestamp.text, &timestamp.infos));
    }
    let latest = label.timestamps.last().map(|last| escape(&last.text));
    if snapshots.is_empty() {
        snapshots.insert(INCOMPLETE.to_owned(), key(INCOMPLETE, &[]));
    }
    let latest = latest.filter(|_| !snapshots.contains_key(LATEST));
    Shown { slot: 0, label, snapshots, latest }
}
