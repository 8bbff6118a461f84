//! What SET sets.

use crate::error::{ErrorKind, RestoreError, Result};
use std::path::PathBuf;

/// Options of a session, under the names that the manual gives them where it has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `upload_worker_count`: files that a BACKUP sends at once. None: see [`crate::backup::default_workers`].
    pub upload_workers: Option<usize>,
    /// `download_worker_count`: files that a RESTORE fetches at once. None: see [`crate::restore::default_workers`].
    pub download_workers: Option<usize>,
    /// `max_upload_speed_kbps`, in bytes per second. None: no limit.
    pub max_upload_speed: Option<u64>,
    /// `max_download_speed_kbps`, in bytes per second. None: no limit.
    pub max_download_speed: Option<u64>,
    /// `warehouse`: the directory that holds databases.
    pub warehouse: Option<PathBuf>,
}

/// More workers than this are a mistake.
const MAX_WORKERS: u64 = 1024;

impl Options {
    /// `SET name = value`; names are not case-sensitive, as in StarRocks. 0 stands for no limit of speed.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let wrong = |reason: String| Err(RestoreError::new(ErrorKind::Usage, "set", name, reason));
        let number = value.trim().parse::<u64>();
        let workers = || match &number {
            // Since 3.4, 0 stands for the number of processors.
            Ok(0) => Ok(None),
            Ok(count @ 1..=MAX_WORKERS) => Ok(Some(*count as usize)),
            _ => wrong(format!(
                "{value:?} is no number of workers: 1 to {MAX_WORKERS}, or 0 for as many as there are processors"
            ))
            .map(|()| None),
        };
        // Kilobytes per second, of 1024 bytes as StarRocks counts them.
        let speed = || match number.as_ref().map(|kilobytes| kilobytes.checked_mul(1024)) {
            Ok(Some(bytes)) => Ok((bytes > 0).then_some(bytes)),
            _ => wrong(format!("{value:?} is no speed: KB per second, 0 for no limit")).map(|()| None),
        };
        match name.to_ascii_lowercase().as_str() {
            "upload_worker_count" => self.upload_workers = workers()?,
            "download_worker_count" => self.download_workers = workers()?,
            "max_upload_speed_kbps" => self.max_upload_speed = speed()?,
            "max_download_speed_kbps" => self.max_download_speed = speed()?,
            "warehouse" if value.is_empty() => return wrong("it wants a directory".into()),
            "warehouse" => self.warehouse = Some(PathBuf::from(value)),
            _ => {
                let advice = "there are upload_worker_count, download_worker_count, max_upload_speed_kbps, max_download_speed_kbps and warehouse";
                return Err(RestoreError::new(ErrorKind::Usage, "set", name, "there is no such option").advise(advice));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn values_mean_what_the_manual_says() {
        let mut options = Options::default();
        options.set("UPLOAD_worker_count", "3").unwrap();
        options.set("download_worker_count", "1").unwrap();
        options.set("max_download_speed_kbps", "50000").unwrap();
        options.set("max_upload_speed_kbps", "7").unwrap();
        options.set("warehouse", "/w").unwrap();
        let expected = Options {
            upload_workers: Some(3),
            download_workers: Some(1),
            max_upload_speed: Some(7 * 1024),
            max_download_speed: Some(50_000 * 1024),
            warehouse: Some("/w".into()),
        };
        assert_eq!(options, expected);
        options.set("max_upload_speed_kbps", "0").unwrap();
        options.set("upload_worker_count", "0").unwrap();
        assert_eq!((options.max_upload_speed, options.upload_workers), (None, None));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let mut options = Options::default();
        for (name, value) in [
            ("upload_worker_count", "-1"),
            ("download_worker_count", "1025"),
            ("max_download_speed_kbps", "fast"),
            ("max_upload_speed_kbps", "18446744073709551615"),
            ("warehouse", ""),
            ("query_timeout", "1"),
        ] {
            assert_eq!(options.set(name, value).unwrap_err().kind, ErrorKind::Usage, "{name} {value}");
        }
        assert_eq!(options, Options::default());
    }
}
