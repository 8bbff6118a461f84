//! The names of `PROPERTIES (…)` in CREATE REPOSITORY, in StarRocks' and in Hadoop's spelling.

use super::foreign;
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::nearest::distance;
use std::collections::HashMap;
use std::fmt;

/// What a property states. Several names may state the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Setting {
    AccessKey,
    SecretKey,
    SessionToken,
    Endpoint,
    Region,
    PathStyle,
    Ssl,
    InstanceProfile,
    WebIdentity,
    Surroundings,
    Providers,
    RoleArn,
    ExternalId,
    SessionName,
    StsEndpoint,
    StsRegion,
    Attempts,
    RetryInterval,
    ConnectTimeout,
    IdleTimeout,
    RequestTimeout,
}

/// Whose credentials are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Those that are given; else the first that the surroundings have.
    Any,
    /// Those that are given, and no others.
    Keys,
    /// Those of a role that is given too.
    Role,
    Surroundings,
    WebIdentity,
    Instance,
}

/// Every name we act on. `aws.s3.*` is how StarRocks spells them, `fs.s3a.*` how Hadoop does; `fs.oss.*` and `fs.cosn.*` are those of
/// StarRocks' manual (CREATE REPOSITORY) and of Hadoop's connectors, `fs.obs.*` those of Huawei's.
const NAMES: &[(&str, Setting)] = &[
    ("aws.s3.access_key", Setting::AccessKey),
    ("aws.s3.secret_key", Setting::SecretKey),
    ("aws.s3.session_token", Setting::SessionToken),
    ("aws.s3.endpoint", Setting::Endpoint),
    ("aws.s3.region", Setting::Region),
    ("aws.s3.enable_path_style_access", Setting::PathStyle),
    ("aws.s3.enable_ssl", Setting::Ssl),
    ("aws.s3.use_instance_profile", Setting::InstanceProfile),
    ("aws.s3.use_web_identity_token_file", Setting::WebIdentity),
    ("aws.s3.use_aws_sdk_default_behavior", Setting::Surroundings),
    ("aws.s3.iam_role_arn", Setting::RoleArn),
    ("aws.s3.external_id", Setting::ExternalId),
    ("aws.s3.role_session_name", Setting::SessionName),
    ("aws.s3.sts_endpoint", Setting::StsEndpoint),
    ("aws.s3.sts.endpoint", Setting::StsEndpoint),
    ("aws.s3.sts.region", Setting::StsRegion),
    ("fs.s3a.access.key", Setting::AccessKey),
    ("fs.s3a.secret.key", Setting::SecretKey),
    ("fs.s3a.session.token", Setting::SessionToken),
    ("fs.s3a.endpoint", Setting::Endpoint),
    ("fs.s3a.endpoint.region", Setting::Region),
    ("fs.s3a.path.style.access", Setting::PathStyle),
    ("fs.s3a.connection.ssl.enabled", Setting::Ssl),
    ("fs.s3a.aws.credentials.provider", Setting::Providers),
    ("fs.s3a.assumed.role.arn", Setting::RoleArn),
    ("fs.s3a.assumed.role.external.id", Setting::ExternalId),
    ("fs.s3a.assumed.role.session.name", Setting::SessionName),
    ("fs.s3a.assumed.role.sts.endpoint", Setting::StsEndpoint),
    ("fs.s3a.assumed.role.sts.endpoint.region", Setting::StsRegion),
    ("fs.oss.accessKeyId", Setting::AccessKey),
    ("fs.oss.accessKeySecret", Setting::SecretKey),
    ("fs.oss.securityToken", Setting::SessionToken),
    ("fs.oss.endpoint", Setting::Endpoint),
    ("fs.cosn.userinfo.secretId", Setting::AccessKey),
    ("fs.cosn.userinfo.secretKey", Setting::SecretKey),
    ("fs.cosn.bucket.endpoint_suffix", Setting::Endpoint),
    ("fs.cosn.bucket.region", Setting::Region),
    ("fs.obs.access.key", Setting::AccessKey),
    ("fs.obs.secret.key", Setting::SecretKey),
    ("fs.obs.session.token", Setting::SessionToken),
    ("fs.obs.endpoint", Setting::Endpoint),
    ("fs.s3a.attempts.maximum", Setting::Attempts),
    ("fs.s3a.retry.interval", Setting::RetryInterval),
    ("fs.s3a.connection.establish.timeout", Setting::ConnectTimeout),
    ("fs.s3a.connection.timeout", Setting::IdleTimeout),
    ("fs.s3a.connection.request.timeout", Setting::RequestTimeout),
];

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The properties that were given, by what they state.
#[derive(Debug)]
pub(super) struct Properties {
    stated: HashMap<Setting, (&'static str, Secret)>,
    /// The names of those that mean nothing here.
    passed_over: Vec<String>,
}

impl Properties {
    /// A name we do not know is an error that names the nearest one. Other settings of Hadoop's connectors are passed over, as they tune
    /// Hadoop, or refused, where they decide more than that.
    pub(super) fn read(given: &[(String, String)]) -> Result<Properties> {
        let mut found: HashMap<Setting, (&'static str, Secret)> = HashMap::new();
        let mut passed_over: Vec<String> = Vec::new();
        for (name, value) in given {
            let Some(&(name, key)) = NAMES.iter().find(|(known, _)| known == name) else {
                unknown(name, value)?;
                if !value.trim().is_empty() && !passed_over.contains(name) {
                    passed_over.push(name.clone());
                }
                continue;
            };
            // Hadoop's lists have a line for each.
            let lines = key == Setting::Providers;
            let value = if lines { value.split_whitespace().collect() } else { value.clone() };
            if value.contains(|c: char| c.is_control()) {
                return Err(invalid(name, "its value holds control characters"));
            }
            match found.insert(key, (name, Secret(value.trim().to_owned()))) {
                Some((before, stated)) if stated.0 != value.trim() => {
                    return Err(invalid(name, &format!("`{before}` states another value for the same")));
                }
                _ => {}
            }
        }
        found.retain(|_, (_, value)| !value.0.is_empty());
        Ok(Properties { stated: found, passed_over })
    }

    /// The names of those that mean nothing here.
    pub(super) fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// Whose credentials are asked for, by StarRocks' properties in its order, and by Hadoop's.
    pub(super) fn asking(&self) -> Result<Asking> {
        for (key, asking) in [
            (Setting::Surroundings, Asking::Surroundings),
            (Setting::WebIdentity, Asking::WebIdentity),
            (Setting::InstanceProfile, Asking::Instance),
        ] {
            if self.flag(key)? == Some(true) {
                return Ok(asking);
            }
        }
        match self.stated.get(&Setting::Providers) {
            Some((name, value)) => foreign::providers(name, value.reveal()),
            None => Ok(Asking::Any),
        }
    }

    pub(super) fn secret(&self, key: Setting) -> Option<Secret> {
        self.stated.get(&key).map(|(_, value)| value.clone())
    }

    pub(super) fn text(&self, key: Setting) -> Option<&str> {
        self.stated.get(&key).map(|(_, value)| value.reveal())
    }

    /// How the user spelled it.
    pub(super) fn name(&self, key: Setting) -> &'static str {
        self.stated.get(&key).map_or("", |(name, _)| name)
    }

    pub(super) fn flag(&self, key: Setting) -> Result<Option<bool>> {
        match self.stated.get(&key) {
            None => Ok(None),
            Some((_, value)) if value.0.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some((_, value)) if value.0.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some((name, _)) => Err(invalid(name, "it is either `true` or `false`")),
        }
    }

    /// A whole number from 1 to `most`.
    pub(super) fn number(&self, key: Setting, most: u64) -> Result<Option<u64>> {
        let Some((name, value)) = self.stated.get(&key) else { return Ok(None) };
        match value.0.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(name, &format!("it is a whole number from 1 to {most}"))),
        }
    }

    /// A time: milliseconds, or a number with the unit `ms`, `s` or `m`, at most an hour.
    pub(super) fn time(&self, key: Setting) -> Result<Option<std::time::Duration>> {
        let Some((name, value)) = self.stated.get(&key) else { return Ok(None) };
        let split = value.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.0.len());
        let (number, unit) = value.0.split_at(split);
        let scale = match unit {
            "" | "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            _ => None,
        };
        let millis = scale.and_then(|scale| number.parse::<u64>().ok()?.checked_mul(scale));
        match millis {
            Some(millis) if (1..=3_600_000).contains(&millis) => Ok(Some(std::time::Duration::from_millis(millis))),
            _ => Err(invalid(name, "it is a time such as 500ms, 20s or 1m, an hour at most")),
        }
    }
}

pub(super) fn invalid(name: &str, reason: &str) -> RepositoryError {
    RepositoryError::new(ErrorKind::Invalid, "use property", format!("`{name}`"), reason)
}

fn unknown(name: &str, value: &str) -> Result<()> {
    // A name may be anything, a secret too where the equals sign was forgotten: only what looks like a name is repeated.
    let plain =
        name.len() <= 80 && name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !plain {
        return Err(invalid("…", "what was given is no property's name"));
    }
    let (nearest, distance) =
        NAMES.iter().map(|(known, _)| (*known, distance(name, known))).min_by_key(|(_, far)| *far).unwrap_or(("", 0));
    if distance > 2 && foreign::is_passed_over(name, value)? {
        return Ok(());
    }
    let reason = if distance <= name.len() / 3 {
        format!("there is no such property; `{nearest}` is the nearest")
    } else {
        "there is no such property".to_owned()
    };
    Err(invalid(name, &reason).advise("write `aws.s3.…` as in CREATE REPOSITORY, or Hadoop's `fs.s3a.…`"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Properties> {
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Properties::read(&given)
    }

    #[test]
    fn names_in_both_spellings() {
        let properties =
            read(&[("aws.s3.access_key", "a"), ("fs.s3a.secret.key", "b"), ("fs.s3a.threads.max", "9")]).unwrap();
        assert_eq!(properties.text(Setting::AccessKey), Some("a"));
        assert_eq!(properties.text(Setting::SecretKey), Some("b"));
        assert_eq!(properties.text(Setting::Region), None);
        assert!(read(&[("aws.s3.access_key", "a"), ("fs.s3a.access.key", "a")]).is_ok());
        assert!(read(&[("aws.s3.access_key", "a"), ("fs.s3a.access.key", "b")]).is_err());
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let said = |name: &str| read(&[(name, "hidden")]).unwrap_err().to_string();
        assert!(said("aws.s3.acess_key").contains("`aws.s3.access_key`"), "{}", said("aws.s3.acess_key"));
        assert!(said("fs.s3a.secretkey").contains("`fs.s3a.secret.key`"));
        assert!(said("nonsense.of.no.kind").contains("no such property"));
        for name in ["aws.s3.acess_key", "AKIA/secret+value=="] {
            assert!(!said(name).contains("hidden") && !said(name).contains("value=="));
        }
    }

    #[test]
    fn values() {
        let properties = read(&[("aws.s3.enable_ssl", "FALSE"), ("fs.s3a.connection.timeout", "2s")]).unwrap();
        assert_eq!(properties.flag(Setting::Ssl).unwrap(), Some(false));
        assert_eq!(properties.time(Setting::IdleTimeout).unwrap(), Some(std::time::Duration::from_secs(2)));
        assert!(read(&[("aws.s3.enable_ssl", "1")]).unwrap().flag(Setting::Ssl).is_err());
        for bad in ["0", "-1", "2h", "s", "99999999999999999999m", "2m5"] {
            assert!(read(&[("fs.s3a.connection.timeout", bad)]).unwrap().time(Setting::IdleTimeout).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", read(&[("aws.s3.secret_key", "hidden")]).unwrap()).contains("hidden"));
    }
}
