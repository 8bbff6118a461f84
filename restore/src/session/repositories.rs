//! CREATE REPOSITORY, SHOW REPOSITORIES, DROP REPOSITORY.

use super::Answer;
use crate::access::passed_over;
use crate::error::{ErrorKind, RestoreError, Result};
use crate::registry::{Registered, Registry};
use futures::{StreamExt, stream};
use starsnap_repository::{Location, Repository};
use std::time::Duration;

/// How long SHOW REPOSITORIES waits for one that does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects, makes what is new, adopts what is there, and remembers it.
pub(super) async fn create(registry: &Registry, mut new: Registered) -> Result<Answer> {
    // Before anything is made in the store.
    if registry.get(&new.name)?.is_some() {
        return registry.add(new).map(|_| Answer::default());
    }
    let (repository, made) = connect(&new).await.map_err(|error| new.clean(error))?;
    let mut notes: Vec<String> = passed_over(&new.to_location()?).into_iter().collect();
    notes.extend(repository.storage().note());
    notes.extend_from_slice(repository.problems());
    if repository.name() != new.name {
        notes.push(format!("the repository there is called {}: it is known by that name", repository.name()));
        new.name = repository.name().to_owned();
    }
    if made {
        notes.extend(beside(&new).await);
    }
    new.create_time = repository.create_time().to_owned();
    let kind = if new.read_only { "read-only repository" } else { "repository" };
    let done = if made { "made" } else { "found" };
    let added = registry.add(new)?;
    let message = format!("{done} {kind} {} in {}", added.name, added.shown_location());
    Ok(Answer { message: Some(message), notes, ..Answer::default() })
}

/// The repository that stands there, or else a new one; and whether it is new.
async fn connect(new: &Registered) -> Result<(Repository, bool)> {
    let location = new.to_location()?;
    match Repository::open(&location, Some(&new.name)).await {
        Ok(repository) => return Ok((repository, false)),
        Err(error) if error.kind != starsnap_repository::ErrorKind::NotFound => return Err(error.into()),
        Err(error) => {
            if let Some(itself) = itself(&location).await {
                return Ok((itself, false));
            }
            if new.read_only {
                return Err(RestoreError::from(error)
                    .advise("CREATE READ ONLY REPOSITORY makes nothing: name one that is there"));
            }
        }
    }
    Ok((starsnap_repository::writer::init(&location, &new.name).await?, true))
}

/// What else stands at the location of a new repository: its name may be a slip, and then the backups that one looks for are there.
async fn beside(new: &Registered) -> Option<String> {
    let found = Repository::find(&new.to_location().ok()?).await.ok()?;
    let others = found.iter().map(Repository::name).filter(|name| *name != new.name);
    let others: Vec<String> = others.take(20).map(|name| format!("`{name}`")).collect();
    let many = if others.len() == 1 { "there is" } else { "there are" };
    let note = format!(
        "{many} also {} at that location: backups are found under their repository's own name only, and this one is new and empty",
        others.join(", ")
    );
    (!others.is_empty()).then_some(note)
}

/// The repository whose own directory the location is, if it is one: its name is then the one in `__repo_info`.
async fn itself(location: &Location) -> Option<Repository> {
    let mut found = Repository::find(location).await.ok()?;
    let only = found.pop()?;
    (found.is_empty() && only.path("").is_empty()).then_some(only)
}

/// Forgets a repository.
pub(super) fn drop(registry: &Registry, name: &str) -> Result<Answer> {
    let dropped = registry.remove(name)?;
    Ok(Answer::said(format!(
        "forgot repository {}; its content stays in {}, where nothing is deleted",
        dropped.name,
        dropped.shown_location()
    )))
}

/// All repositories, and why one cannot be reached.
pub(super) async fn show(registry: &Registry) -> Result<Answer> {
    const COLUMNS: [&str; 7] = ["RepoId", "RepoName", "CreateTime", "IsReadOnly", "Location", "Broker", "ErrMsg"];
    let rows = stream::iter(registry.all()?).map(|one| async move {
        let failure = match tokio::time::timeout(PATIENCE, one.open()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => {
                let reason = format!("no answer within {} s", PATIENCE.as_secs());
                Some(RestoreError::new(ErrorKind::Unavailable, "open repository", &one.name, reason).to_string())
            }
        };
        vec![
            Some(one.id.to_string()),
            Some(one.name.clone()),
            Some(one.create_time.clone()).filter(|time| !time.is_empty()),
            Some(one.read_only.to_string()),
            Some(one.shown_location()),
            Some(one.broker.clone()),
            failure,
        ]
    });
    Ok(Answer::rows(&COLUMNS, rows.buffered(8).collect().await))
}
