//! What must not be seen of a location and its properties.

use crate::error::RestoreError;
use starsnap_catalog::ddl::{MASK, is_secret_property};

/// The secrets of one location, the longest first: one may be a part of another.
pub(crate) struct Secrets<'a>(Vec<&'a str>);

impl<'a> Secrets<'a> {
    /// Values that must not be seen. Very short ones are no secrets, and masking them would garble everything.
    pub(crate) fn of(location: &'a str, properties: &'a [(String, String)]) -> Secrets<'a> {
        let values = properties.iter().filter(|(key, _)| is_secret_property(key)).map(|(_, value)| value.as_str());
        let authority = location.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
        let parts = user.into_iter().flat_map(|user| std::iter::once(user).chain(user.split(':')));
        let mut secrets: Vec<&str> = values.chain(parts).filter(|value| value.len() >= 4).collect();
        secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Secrets(secrets)
    }

    /// `error` without any of them, whoever put one there.
    pub(crate) fn clean(&self, mut error: RestoreError) -> RestoreError {
        // A cause may repeat what is masked here; what it says is in the reason already.
        error.source = None;
        for text in [&mut error.object, &mut error.reason, &mut error.advice] {
            for secret in &self.0 {
                if text.contains(secret) {
                    *text = text.replace(secret, MASK);
                }
            }
        }
        error
    }
}
