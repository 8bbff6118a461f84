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
    /// When the store was last asked.
    asked: Mutex<Option<Instant>>,
}

/// What a list is made with, also in a task of its own.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub source: Arc<dyn Source>,
    pub slots: Arc<Slots>,
    pub options: Options,
}

impl Labels {
    /// The list, not older than a few seconds. While the store cannot be reached, or does not answer soon, the last one serves for a while
    /// longer.
    pub async fn list(self: &Arc<Self>, from: &From) -> Result<Arc<List>> {
        let now = Instant::now();
        if let Some(list) = self.aged(now, Duration::ZERO) {
            return Ok(list);
        }
        let Some(last) = self.aged(now, from.options.outage) else { return self.refresh(from, now).await };
        let waited_for = lock(&self.asked).is_some_and(|asked| now.duration_since(asked) >= from.options.patience);
        if waited_for && self.fetching.try_lock().is_err() {
            return Ok(last);
        }
        // In a task, as it goes on when nobody waits for it any more.
        let (labels, task) = (self.clone(), from.clone());
        let refreshed = tokio::spawn(async move { labels.refresh(&task, now).await });
        match tokio::time::timeout(from.options.patience, refreshed).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Ok(last),
        }
    }

    /// Asks the store, for who came at `now`; one at a time.
    async fn refresh(&self, from: &From, now: Instant) -> Result<Arc<List>> {
        let From { source, slots, options } = from;
        let _one_at_a_time = self.fetching.lock().await;
        let started = Instant::now();
        if let Some(list) = self.aged(started, Duration::ZERO) {
            return Ok(list);
        }
        if let Some((at, error)) = &*lock(&self.failed)
            && at.elapsed() < options.retry
        {
            return self.last(error.clone(), now, options);
        }
        *lock(&self.asked) = Some(started);
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
                self.last(error, now, options)
            }
        }
    }

    /// Makes the next call ask again.
    pub fn expire(&self) {
        if let Some(fetched) = &mut *lock(&self.fetched) {
            fetched.fresh = Duration::ZERO;
        }
    }

    /// The list, if by `now` it has not been out of date for longer than `longer`.
    fn aged(&self, now: Instant, longer: Duration) -> Option<Arc<List>> {
        let good = |last: &&Fetched| now.saturating_duration_since(last.at) < last.fresh + longer;
        lock(&self.fetched).as_ref().filter(good).map(|last| last.list.clone())
    }

    /// What serves who came at `now`, where the store cannot be reached: how long it took to fail is not the list's age.
    fn last(&self, error: FsError, now: Instant, options: &Options) -> Result<Arc<List>> {
        let passing = matches!(&error, FsError::Repository(e) if e.kind == ErrorKind::Unavailable);
        self.aged(now, options.outage).filter(|_| passing).ok_or(error)
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
