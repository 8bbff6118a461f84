//! SHOW SNAPSHOT, in StarRocks' columns.

use super::{Answer, details};
use crate::error::{ErrorKind, RestoreError, Result};
use starsnap_repository::Repository;
use starsnap_repository::md5;
use starsnap_repository::repository::{Label, Timestamp};

/// Largest `__info` that is read: it may name each file of each tablet.
const INFO_LIMIT: u64 = 1 << 30;

/// All labels, or those asked for; with `timestamp`, what that one backup holds.
pub(super) async fn show(repository: &Repository, labels: &[String], timestamp: Option<&str>) -> Result<Answer> {
    if let (Some(timestamp), [label]) = (timestamp, labels) {
        let row = detailed(repository, label, timestamp).await;
        return Ok(Answer::rows(&["Snapshot", "Timestamp", "Database", "Details", "Status"], vec![row]));
    }
    let found = if labels.is_empty() {
        repository.labels().await?
    } else {
        let mut found = Vec::new();
        for label in labels {
            match repository.label(label).await {
                Ok(one) => found.push(one),
                // As StarRocks shows it: a label of which nothing is there.
                Err(error) if error.kind == starsnap_repository::ErrorKind::NotFound => {
                    found.push(Label { name: label.clone(), timestamps: vec![], metas: vec![], problems: vec![] });
                }
                Err(error) => return Err(error.into()),
            }
        }
        found
    };
    let notes = found.iter().flat_map(|label| label.problems.iter().map(|text| format!("{}: {text}", label.name)));
    let notes = notes.collect();
    let rows = found.iter().map(brief).collect();
    Ok(Answer { notes, ..Answer::rows(&["Snapshot", "Timestamp", "Status"], rows) })
}

fn brief(label: &Label) -> Vec<Option<String>> {
    let timestamps: Vec<&str> = label.timestamps.iter().map(|timestamp| timestamp.text.as_str()).collect();
    let status = if timestamps.is_empty() { "ERROR: no snapshot" } else { "OK" };
    vec![Some(label.name.clone()), Some(timestamps.join("\n")), Some(status.to_owned())]
}

/// One backup; what cannot be read is told in its status.
async fn detailed(repository: &Repository, label: &str, timestamp: &str) -> Vec<Option<String>> {
    let shown = |text: &str| Some(text.to_owned());
    match details_of(repository, label, timestamp).await {
        Ok((database, details)) => vec![shown(label), shown(timestamp), Some(database), Some(details), shown("OK")],
        Err(error) => {
            vec![shown(label), shown(timestamp), None, None, Some(format!("Failed to get info: {error}"))]
        }
    }
}

async fn details_of(repository: &Repository, label: &str, timestamp: &str) -> Result<(String, String)> {
    let found = repository.label(label).await?;
    let of_time = found.timestamps.iter().find(|one| one.text == timestamp);
    let failed = |kind, reason: String| RestoreError::new(kind, "show snapshot", label, reason);
    let Some(Timestamp { infos, .. }) = of_time else {
        let all: Vec<&str> = found.timestamps.iter().map(|one| one.text.as_str()).collect();
        let advice = if all.is_empty() { "it has none".into() } else { format!("it has {}", all.join(", ")) };
        return Err(failed(ErrorKind::NotFound, format!("it has no timestamp {timestamp}")).advise(advice));
    };
    let [stored] = infos.as_slice() else {
        return Err(failed(ErrorKind::Damaged, format!("it has {} __info files of that timestamp", infos.len())));
    };
    let path = repository.path(&format!("__ss_{label}/__info_{timestamp}.{stored}"));
    let bytes = repository.storage().read_all(&path, INFO_LIMIT).await?;
    if md5::of(&bytes) != *stored {
        return Err(failed(ErrorKind::Damaged, format!("the content of {path} is not that of its md5")));
    }
    details::of(&bytes).map_err(|reason| failed(ErrorKind::Damaged, reason))
}
