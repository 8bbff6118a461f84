//! A location in an object store that speaks S3, and everything its properties say.

use super::properties::{Asking, Properties, Secret, Setting, invalid};
use crate::error::{ErrorKind, RepositoryError, Result};
use reqwest::Url;
use std::time::Duration;

/// Stands in a root for a component that is empty.
pub(crate) const HOLLOW: &str = "__starsnap_hollow__";

/// A bucket, a path in it, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Location {
    /// As the user wrote it: `s3a`, `s3` or `s3n`.
    pub(crate) scheme: String,
    pub(crate) bucket: String,
    /// Without slashes at its ends; empty for the bucket itself.
    pub(crate) root: String,
    /// `http(s)://host[:port]`, without the bucket.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) path_style: bool,
    pub(crate) keys: Option<StaticKeys>,
    /// Where credentials are looked for when there are no keys, or instead of them.
    pub(crate) asked: Asked,
    pub(crate) role: Option<Role>,
    pub(crate) patience: Patience,
    /// The names of properties that mean nothing here.
    pub(crate) passed_over: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticKeys {
    pub(crate) access: Secret,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
}

/// Whose credentials are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Those that are given; else the first that the surroundings have.
    Any,
    WebIdentity,
    Instance,
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) external_id: Option<Secret>,
    pub(crate) session_name: String,
    /// Where AssumeRole is asked for.
    pub(crate) sts_endpoint: String,
    pub(crate) sts_region: String,
}

/// How long to wait and how often to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub(crate) interval: Duration,
    pub(crate) connect: Duration,
    /// Without a single byte.
    pub(crate) idle: Duration,
    /// One attempt, from the first byte sent to the last received.
    pub(crate) request: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let seconds = Duration::from_secs;
        Patience {
            attempts: 6,
            interval: Duration::from_millis(300),
            connect: seconds(10),
            idle: seconds(20),
            request: seconds(120),
        }
    }
}

/// A store of its own that also speaks S3, under a scheme of its own.
struct Kin {
    scheme: &'static str,
    /// The properties that state its endpoint and keys.
    endpoint: &'static str,
    keys: [&'static str; 2],
    /// What a host's name begins with before the region, where it has one.
    host: &'static str,
    /// What follows the region.
    domain: &'static str,
}

/// Alibaba's OSS, Tencent's COS, Huawei's OBS. OSS refuses requests with the bucket in the path, and all know it in the host.
const KIN: [Kin; 3] = [
    Kin {
        scheme: "oss",
        endpoint: "fs.oss.endpoint",
        keys: ["fs.oss.accessKeyId", "fs.oss.accessKeySecret"],
        host: "",
        domain: ".aliyuncs.com",
    },
    Kin {
        scheme: "cosn",
        endpoint: "fs.cosn.bucket.endpoint_suffix",
        keys: ["fs.cosn.userinfo.secretId", "fs.cosn.userinfo.secretKey"],
        host: "cos.",
        domain: ".myqcloud.com",
    },
    Kin {
        scheme: "obs",
        endpoint: "fs.obs.endpoint",
        keys: ["fs.obs.access.key", "fs.obs.secret.key"],
        host: "obs.",
        domain: ".myhuaweicloud.com",
    },
];

impl Kin {
    /// As in `oss-cn-hangzhou-internal.aliyuncs.com`, `cos.ap-beijing.myqcloud.com` and `obs.cn-north-4.myhuaweicloud.com`.
    fn region_of(&self, endpoint: &Url) -> Option<String> {
        let host = endpoint.host_str()?;
        let region = host.strip_suffix(self.domain)?.strip_prefix(self.host)?.trim_end_matches("-internal");
        (!region.is_empty() && !region.contains('.')).then(|| region.to_owned())
    }
}

/// Whether a location with that scheme is an object store reached by S3.
pub(super) fn is_served(scheme: &str) -> bool {
    let ours = ["s3a", "s3", "s3n"].iter().any(|served| scheme.eq_ignore_ascii_case(served));
    ours || KIN.iter().any(|kin| scheme.eq_ignore_ascii_case(kin.scheme))
}

const AWS: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

impl S3Location {
    /// `rest` is what follows `<scheme>://`.
    pub(super) fn parse(scheme: &str, rest: &str, properties: &Properties) -> Result<S3Location> {
        let (bucket, root) = rest.split_once('/').unwrap_or((rest, ""));
        check_bucket(scheme, bucket)?;
        let root = root.trim_matches('/');
        if root.split('/').any(|part| matches!(part, "." | "..")) || root.contains("//") || root.contains('\0') {
            let reason = "the path in the bucket has empty components, `.` or `..`";
            return Err(RepositoryError::new(ErrorKind::Invalid, "use location", format!("{scheme}://…"), reason));
        }
        let env =
            |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
        let kin = KIN.iter().find(|kin| kin.scheme == scheme);
        let stated = properties.text(Setting::Region).map(str::to_owned);
        let given = match (properties.text(Setting::Endpoint), kin) {
            (Some(endpoint), _) => Some((endpoint.to_owned(), properties.name(Setting::Endpoint))),
            // Of these, only Tencent's connector takes a region instead.
            (None, Some(kin)) => match stated.as_ref().filter(|_| kin.scheme == "cosn") {
                Some(region) => Some((format!("{}{region}{}", kin.host, kin.domain), "fs.cosn.bucket.region")),
                None => return Err(invalid(kin.endpoint, "it is missing: the store's address")),
            },
            (None, None) => {
                env(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).map(|endpoint| (endpoint, "AWS_ENDPOINT_URL"))
            }
        };
        let ssl = properties.flag(Setting::Ssl)?.unwrap_or(true);
        let given = given.map(|(endpoint, name)| origin(&endpoint, name, ssl, bucket)).transpose()?;
        let region_of = |url: &Url| kin.map_or_else(|| region_of(url), |kin| kin.region_of(url));
        let region = stated
            .or_else(|| given.as_ref().and_then(region_of))
            .or_else(|| env(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let region = checked_region(&region, "aws.s3.region")?;
        let suffix = if region.starts_with("cn-") { AWS[1] } else { AWS[0] };
        let protocol = if ssl { "https" } else { "http" };
        let endpoint = match given {
            Some(url) if url.host_str() != Some("s3.amazonaws.com") => url.as_str().trim_end_matches('/').to_owned(),
            // The global address serves one region only.
            _ => format!("{protocol}://s3.{region}{suffix}"),
        };
        let aws = AWS.iter().any(|aws| endpoint.ends_with(aws));
        // No name can be put before an address.
        let is_address = Url::parse(&endpoint).is_ok_and(|url| url.domain().is_none());
        let path_style = match properties.flag(Setting::PathStyle)? {
            // A certificate of *.s3.… does not cover a bucket with a dot in it.
            Some(false) if !bucket.contains('.') && !is_address => false,
            None if (aws || kin.is_some() && !is_address) && !bucket.contains('.') => false,
            _ => true,
        };
        let mut keys = keys(properties)?;
        if let (Some(kin), None) = (kin, &keys) {
            // What AWS' tools know of keys is not for these.
            let reason = format!("it is missing, and so may be `{}`: the store wants keys", kin.keys[1]);
            return Err(invalid(kin.keys[0], &reason));
        }
        let asked = match properties.asking()? {
            Asking::Any => Asked::Any,
            Asking::Surroundings => {
                // StarRocks does not look at the keys then, either.
                keys = None;
                Asked::Any
            }
            Asking::WebIdentity => Asked::WebIdentity,
            Asking::Instance => Asked::Instance,
            Asking::Keys if keys.is_some() => Asked::Any,
            Asking::Keys => {
                return Err(invalid("fs.s3a.aws.credentials.provider", "it wants keys, but none are given"));
            }
            Asking::Role if properties.text(Setting::RoleArn).is_some() => Asked::Any,
            Asking::Role => {
                return Err(invalid("fs.s3a.aws.credentials.provider", "it wants a role, but none is given"));
            }
        };
        let sts_region = match properties.text(Setting::StsRegion) {
            Some(stated) => Some(checked_region(stated, properties.name(Setting::StsRegion))?),
            None => None,
        };
        let sts = if aws {
            let region = sts_region.as_ref().unwrap_or(&region);
            let suffix = if region.starts_with("cn-") { AWS[1] } else { AWS[0] };
            format!("{protocol}://sts.{region}{suffix}")
        } else {
            endpoint.clone()
        };
        Ok(S3Location {
            scheme: scheme.to_owned(),
            bucket: bucket.to_owned(),
            root: root.to_owned(),
            path_style,
            keys,
            asked,
            role: role(properties, ssl, sts, sts_region, &region)?,
            region,
            patience: patience(properties)?,
            passed_over: properties.passed_over().to_vec(),
            endpoint,
        })
    }

    /// The same place with two slashes where StarRocks' BE puts two: after what was given ON LOCATION, which is the location here, or
    /// what stands above it when it is a repository's own directory.
    pub(crate) fn hollow(&self) -> S3Location {
        let (above, last) = self.root.rsplit_once('/').unwrap_or(("", &self.root));
        let own = last.starts_with(crate::repository::PREFIX) || last.starts_with(crate::repository::OLD_PREFIX);
        let parts = if own { [above, HOLLOW, last] } else { [&self.root, HOLLOW, ""] };
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        S3Location { root: parts.join("/"), ..self.clone() }
    }

    /// The location as the user wrote it.
    pub(crate) fn url(&self) -> String {
        let (scheme, bucket, root) = (&self.scheme, &self.bucket, &self.root);
        if root.is_empty() { format!("{scheme}://{bucket}") } else { format!("{scheme}://{bucket}/{root}") }
    }
}

fn checked_region(region: &str, name: &str) -> Result<String> {
    if region.is_empty() || region.len() > 64 || !region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let reason = "a region consists of letters, digits and hyphens, such as `eu-central-1`";
        return Err(invalid(name, reason));
    }
    Ok(region.to_owned())
}

fn check_bucket(scheme: &str, bucket: &str) -> Result<()> {
    let wrong = |reason: &str| {
        // Whatever stands there may hold secrets, so it is not repeated.
        Err(RepositoryError::new(ErrorKind::Invalid, "use location", format!("{scheme}://…"), reason)
            .advise("write s3a://BUCKET/PATH, and keys as properties"))
    };
    match bucket {
        "" => wrong("it names no bucket"),
        _ if bucket.contains(['@', ':']) => wrong("keys in a location are not accepted"),
        _ if bucket.len() > 255 || !bucket.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) => {
            wrong("a bucket's name consists of letters, digits, dots and hyphens")
        }
        _ if bucket.starts_with('.') || bucket.contains("..") => wrong("a bucket's name has no empty part"),
        _ => Ok(()),
    }
}

/// The origin of an endpoint as it is written: with or without a scheme, a slash, or the bucket in front.
fn origin(text: &str, name: &str, ssl: bool, bucket: &str) -> Result<Url> {
    let wrong = |reason: &str| invalid(name, reason).advise("write a host with an optional port, or an http(s):// URL");
    let whole = match text.split_once("://") {
        Some(("http" | "https", _)) => text.to_owned(),
        Some(_) => return Err(wrong("an endpoint is reached by http or https")),
        None => format!("{}://{text}", if ssl { "https" } else { "http" }),
    };
    let mut url = Url::parse(&whole).map_err(|error| wrong(&format!("it is no address: {error}")))?;
    if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it is no address of a host"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("an endpoint has no path"));
    }
    let bare = url.host_str().and_then(|host| host.strip_prefix(&format!("{bucket}."))).map(str::to_owned);
    if let Some(host) = bare {
        url.set_host(Some(&host)).map_err(|error| wrong(&error.to_string()))?;
    }
    Ok(url)
}

/// The region in a host name such as `s3.eu-central-1.amazonaws.com` or `s3-eu-west-1.amazonaws.com`.
fn region_of(endpoint: &Url) -> Option<String> {
    let host = endpoint.host_str()?;
    let stem = AWS.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let stem = stem.strip_prefix("s3")?;
    stem.split(['.', '-'].as_slice()).next()?;
    let region = stem.trim_start_matches(['.', '-']);
    let region = region.trim_start_matches("dualstack.").trim_start_matches("fips.");
    (!region.is_empty() && region.contains('-') && !region.contains('.')).then(|| region.to_owned())
}

/// The region that AWS' token service at an address wants requests signed for.
fn region_of_sts(endpoint: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    let host = url.host_str()?;
    let stem = AWS.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let labels: Vec<&str> = stem.split('.').collect();
    match labels.as_slice() {
        ["sts"] if host.ends_with(AWS[0]) => Some("us-east-1".to_owned()),
        // The latter is an endpoint of one's own network.
        ["sts" | "sts-fips", region] | [.., "sts", region, "vpce"] => Some((*region).to_owned()),
        _ => None,
    }
}

fn keys(properties: &Properties) -> Result<Option<StaticKeys>> {
    let token = properties.secret(Setting::SessionToken);
    match (properties.secret(Setting::AccessKey), properties.secret(Setting::SecretKey)) {
        (Some(access), Some(secret)) => Ok(Some(StaticKeys { access, secret, token })),
        (None, None) if token.is_none() => Ok(None),
        (None, _) => Err(invalid("aws.s3.access_key", "a secret key or session token is given, but no access key")),
        (_, None) => Err(invalid("aws.s3.secret_key", "an access key is given, but no secret key")),
    }
}

/// `sts` and `sts_region`: where it is asked for when nothing else is stated, and the region that is; `region` is the bucket's.
fn role(
    properties: &Properties,
    ssl: bool,
    sts: String,
    sts_region: Option<String>,
    region: &str,
) -> Result<Option<Role>> {
    let Some(arn) = properties.text(Setting::RoleArn) else {
        return match properties.text(Setting::ExternalId) {
            Some(_) => Err(invalid(
                properties.name(Setting::ExternalId),
                "it belongs to a role, but there is no `aws.s3.iam_role_arn`",
            )),
            None => Ok(None),
        };
    };
    if !arn.starts_with("arn:") || arn.split(':').count() < 6 {
        return Err(invalid(properties.name(Setting::RoleArn), "a role is written arn:aws:iam::ACCOUNT:role/NAME"));
    }
    let sts_endpoint = match properties.text(Setting::StsEndpoint) {
        Some(text) => {
            origin(text, properties.name(Setting::StsEndpoint), ssl, "")?.as_str().trim_end_matches('/').to_owned()
        }
        None => sts,
    };
    Ok(Some(Role {
        arn: arn.to_owned(),
        external_id: properties.secret(Setting::ExternalId),
        session_name: properties.text(Setting::SessionName).unwrap_or("starsnap").to_owned(),
        sts_region: sts_region.or_else(|| region_of_sts(&sts_endpoint)).unwrap_or_else(|| region.to_owned()),
        sts_endpoint,
    }))
}

fn patience(properties: &Properties) -> Result<Patience> {
    let usual = Patience::default();
    let attempts = properties.number(Setting::Attempts, 100)?.and_then(|number| u32::try_from(number).ok());
    Ok(Patience {
        attempts: attempts.unwrap_or(usual.attempts),
        interval: properties.time(Setting::RetryInterval)?.unwrap_or(usual.interval),
        connect: properties.time(Setting::ConnectTimeout)?.unwrap_or(usual.connect),
        idle: properties.time(Setting::IdleTimeout)?.unwrap_or(usual.idle),
        request: properties.time(Setting::RequestTimeout)?.unwrap_or(usual.request),
    })
}

#[cfg(test)]
mod tests;
