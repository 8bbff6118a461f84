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
        RepoInfo {
            create_time: time_text(seconds.saturating_add(8 * 3600)),
            name: name.into(),
            extra: Extra::default(),
        }
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

/// `yyyy-MM-dd HH:mm:ss` of a number of seconds, within the years 0 to 9999.
fn time_text(seconds: i64) -> String {
    const YEAR_0: i64 = -62_167_219_200;
    const END_OF_9999: i64 = 253_402_300_799;
    let seconds = seconds.clamp(YEAR_0, END_OF_9999);
    let (days, time) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // Eras of 400 years that begin on 1 March have all the same length, and the leap day last.
    let day = days + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
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
    fn times_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (-1, "1969-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (i64::MIN, "0000-01-01 00:00:00"),
            (i64::MAX, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(time_text(seconds), text);
        }
    }

    #[test]
    fn damage_is_named() {
        for text in ["", "{}", "[]", "{\"name\":1,\"create_time\":\"\"}"] {
            assert!(RepoInfo::parse(text.as_bytes()).unwrap_err().to_string().contains("__repo_info"));
        }
    }
}
