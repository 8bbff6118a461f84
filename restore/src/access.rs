//! How a repository is reached that a person names: by a registered name, by a path, or by a URL with properties.

use crate::error::{ErrorKind, RestoreError, Result};
use crate::registry::{Registered, Registry, Secrets};
use crate::statement::Properties;
use starsnap_repository::reading::Reading;
use starsnap_repository::{Location, Repository};

/// What is needed to go from a name, a path or a URL to a repository.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Without one, all names are directories.
    pub registry: Option<Registry>,
    /// Of locations that are not registered.
    pub properties: Properties,
    /// Which repository, where a location holds several.
    pub repository_name: Option<String>,
    /// The memory and the caches to read with; none: the usual memory.
    pub reading: Option<Reading>,
    /// Tells the user what is not done that the properties say; maybe more than once. None: nobody is told.
    pub warn: Option<fn(&str)>,
}

/// Names the properties that were given with a location and mean nothing there.
pub(crate) fn passed_over(location: &Location) -> Option<String> {
    let names: Vec<String> = location.passed_over().iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| format!("passed over, as they tune Hadoop and nothing else: {}", names.join(", ")))
}

impl Access {
    /// What is registered under `text`, if that can be a name at all. Properties for it are `Usage`: it has its own.
    pub fn registered(&self, text: &str) -> Result<Option<Registered>> {
        let found = self.registry.as_ref().map_or(Ok(None), |registry| registry.resolve(text))?;
        let refuse = |reason: String, advice: &str| {
            Err(RestoreError::new(ErrorKind::Usage, "open repository", text, reason).advise(advice))
        };
        match (&found, &self.repository_name) {
            (Some(_), _) if !self.properties.0.is_empty() => refuse(
                "properties are given, but it is registered with its own".to_owned(),
                "leave them out, or give the location itself (with ./ before it, if it is a directory)",
            ),
            (Some(registered), Some(name)) if *name != registered.name => {
                refuse(format!("the name is registered for one repository, and another, {name:?}, is asked for"), "")
            }
            _ => Ok(found),
        }
    }

    /// The location meant by `text`, registered or not.
    pub fn location(&self, text: &str) -> Result<Location> {
        match self.registered(text)? {
            Some(registered) => registered.to_location(),
            None => self.unregistered(text),
        }
    }

    fn unregistered(&self, text: &str) -> Result<Location> {
        let location = Location::with_properties(text, &self.properties.0);
        let location = location.map_err(|error| self.clean(text, error.into()))?;
        if let (Some(warn), Some(warning)) = (self.warn, passed_over(&location)) {
            warn(&warning);
        }
        Ok(location)
    }

    /// The repository meant by `text`.
    pub async fn open(&self, text: &str) -> Result<Repository> {
        let opened = match self.registered(text)? {
            Some(registered) => registered.open().await?,
            None => {
                let opened = Repository::open(&self.unregistered(text)?, self.repository_name.as_deref()).await;
                opened.map_err(|error| self.clean(text, error.into()))?
            }
        };
        self.say_note_of(&opened);
        Ok(match &self.reading {
            Some(reading) => opened.read_with(reading.clone()),
            None => opened,
        })
    }

    /// All repositories at the location `text`, which is no registered name.
    pub(crate) async fn find(&self, text: &str) -> Result<Vec<Repository>> {
        let found = Repository::find(&self.unregistered(text)?).await;
        let found = found.map_err(|error| self.clean(text, error.into()))?;
        found.iter().take(1).for_each(|one| self.say_note_of(one));
        Ok(found)
    }

    /// Of the store, which is the same for all repositories in it.
    fn say_note_of(&self, repository: &Repository) {
        if let (Some(warn), Some(note)) = (self.warn, repository.storage().note()) {
            warn(&note);
        }
    }

    /// `error` without any secret of `text` and the properties.
    fn clean(&self, text: &str, error: RestoreError) -> RestoreError {
        Secrets::of(text, &self.properties.0).clean(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_registered_name_has_its_own_properties() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::at(dir.path().join("r.json"));
        registry.add(Registered::new("one", false, None, "/backup", &Properties::default()).unwrap()).unwrap();
        let mut access = Access { registry: Some(registry), ..Access::default() };
        assert_eq!(access.location("one").unwrap().path(), Some("/backup".as_ref()));
        assert_eq!(access.location("./one").unwrap().path(), Some("./one".as_ref()));
        access.repository_name = Some("two".to_owned());
        assert_eq!(access.location("one").unwrap_err().kind, ErrorKind::Usage);
        access.repository_name = None;
        access.properties = Properties(vec![("aws.s3.region".to_owned(), "x".to_owned())]);
        assert_eq!(access.location("one").unwrap_err().kind, ErrorKind::Usage);
    }

    #[tokio::test]
    async fn errors_hold_no_secret() {
        let given = [("aws.s3.secret_key", "s3cr3t-value"), ("aws.s3.access_key", "AKIDSECRET")];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let access = Access { properties: Properties(given), ..Access::default() };
        let error = access.open("s3a://user:url-secret@bucket/x").await.unwrap_err();
        let shown = format!("{error} {error:?} {access:?}");
        for secret in ["AKIDSECRET", "s3cr3t-value", "url-secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
