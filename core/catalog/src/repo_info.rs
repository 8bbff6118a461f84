//! `__repo_info`: the file that makes a directory a repository.

use crate::error::{CatalogError, Result};
use crate::model::Extra;
use serde::{Deserialize, Serialize};

/// Name and creation time of a repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RepoInfo {
    /// `yyyy-MM-dd HH:mm:ss`. Informational: FEs up to 4.0 write it in their own time zone and read it as +08:00.
    pub create_time: String,
    /// The repository's name. It counts more than the name of the directory: StarRocks builds its paths with it.
    pub name: String,
    #[serde(flatten)]
    pub extra: Extra,
}

impl RepoInfo {
    /// For a new repository, created `seconds` after the epoch. The time is written in +08:00, as newer FEs do and all FEs read it.
    pub fn new(name: impl Into<String>, seconds: i64) -> RepoInfo {
        RepoInfo { create_time: crate::time::starrocks_time(seconds), name: name.into(), extra: Extra::default() }
    }

    /// Reads the file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<RepoInfo> {
        serde_json::from_slice(bytes).map_err(|source| CatalogError::Json { what: "__repo_info", source })
    }

    /// The file's bytes, without a final newline, as StarRocks writes them.
    #[allow(clippy::expect_used)] // Strings under string keys: nothing that could fail to become JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a repository's info is plain data")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn reads_and_writes_the_genuine_form() {
        let text = br#"{"create_time":"2024-08-01 09:00:00","name":"hub_repo"}"#;
        let info = RepoInfo::parse(text).unwrap();
        assert_eq!((info.name.as_str(), info.create_time.as_str()), ("hub_repo", "2024-08-01 09:00:00"));
        assert_eq!(info.to_bytes(), text);
        assert_eq!(RepoInfo::new("hub_repo", 1_722_474_000), info);
    }

    #[test]
    fn damage_is_named() {
        for text in ["", "{}", "[]", "{\"name\":1,\"create_time\":\"\"}"] {
            assert!(RepoInfo::parse(text.as_bytes()).unwrap_err().to_string().contains("__repo_info"));
        }
    }
}
