//! Properties of Hadoop's connectors that mean nothing here. What tunes Hadoop is passed over, and the user is told; without what decides
//! who one is, what others may see, or where it goes, nothing is done at all.

use super::properties::Asking;
use crate::error::{ErrorKind, RepositoryError, Result};
use starsnap_catalog::ddl::is_secret_property;

/// How the names of Hadoop's connectors begin.
const CONNECTORS: [&str; 6] = ["fs.s3a.", "fs.s3.", "fs.s3n.", "fs.oss.", "fs.cosn.", "fs.obs."];

/// Beginnings of what follows that, why it is refused, and what to do.
const REFUSED: &[(&str, &str, &str)] = &[
    ("encryption.", ENCRYPTED, BUCKET_ENCRYPTS),
    ("server-side-encryption", ENCRYPTED, BUCKET_ENCRYPTS),
    ("sse-", ENCRYPTED, BUCKET_ENCRYPTS),
    ("cse-", ENCRYPTED, "leave it out, if what is stored need not be encrypted by who writes it"),
    ("acl.", "who else may use what is written is left to the bucket", "leave it out, and set a policy of the bucket"),
    (
        "canned.acl",
        "who else may use what is written is left to the bucket",
        "leave it out, and set a policy of the bucket",
    ),
    ("bucket.", "properties for one bucket alone are not read", "write it without `bucket.` and the bucket's name"),
    ("proxy.", "a proxy is not taken from properties", "set HTTPS_PROXY or HTTP_PROXY, and NO_PROXY"),
    ("security.", IDENTITY, GIVE_KEYS),
    ("credentials.provider", IDENTITY, GIVE_KEYS),
    ("delegation.token", IDENTITY, GIVE_KEYS),
    ("access.grants.", IDENTITY, GIVE_KEYS),
    ("assumed.role.credentials.provider", IDENTITY, GIVE_KEYS),
    (
        "assumed.role.policy",
        "the role's session would have more rights than that",
        "leave it out, or restrict the role itself",
    ),
    ("accesspoint.", "access points are not asked", "name the bucket itself, and leave it out"),
    ("endpoint.fips", "AWS' endpoints are not chosen by it", "name the FIPS endpoint in `aws.s3.endpoint`"),
];

const ENCRYPTED: &str = "nothing is written encrypted because of it";
const BUCKET_ENCRYPTS: &str = "leave it out, and let the bucket encrypt what comes (its default encryption)";
const IDENTITY: &str = "credentials are not looked for in that way";
const GIVE_KEYS: &str =
    "give keys, `aws.s3.use_instance_profile`, `aws.s3.use_web_identity_token_file` or `aws.s3.iam_role_arn`";

/// Checks a property that is none of ours. True: it tunes Hadoop. False: it is not Hadoop's either.
pub(super) fn is_passed_over(name: &str, value: &str) -> Result<bool> {
    let Some(rest) = CONNECTORS.iter().find_map(|connector| name.strip_prefix(connector)) else {
        if name == "hadoop.security.credential.provider.path" && !says_nothing(value) {
            return Err(refused(name, IDENTITY, GIVE_KEYS));
        }
        return Ok(name.starts_with("hadoop."));
    };
    if says_nothing(value) {
        return Ok(true);
    }
    match REFUSED.iter().find(|(beginning, ..)| rest.starts_with(beginning)) {
        Some((_, reason, advice)) => Err(refused(name, reason, advice)),
        None if is_secret_property(name) => Err(refused(name, IDENTITY, GIVE_KEYS)),
        None => Ok(true),
    }
}

/// With such a value, a property has no effect in Hadoop either.
fn says_nothing(value: &str) -> bool {
    ["", "false", "none"].iter().any(|nothing| value.trim().eq_ignore_ascii_case(nothing))
}

fn refused(name: &str, reason: &str, advice: &'static str) -> RepositoryError {
    RepositoryError::new(ErrorKind::Unsupported, "use property", format!("`{name}`"), reason).advise(advice)
}

/// Whose credentials Hadoop's `fs.s3a.aws.credentials.provider` means: the names of classes, tried one after the other.
pub(super) fn providers(name: &str, value: &str) -> Result<Asking> {
    let mut asked = Vec::new();
    for class in value.split(',').map(str::trim).filter(|class| !class.is_empty()) {
        asked.push(match class.rsplit('.').next().unwrap_or_default() {
            "SimpleAWSCredentialsProvider" | "TemporaryAWSCredentialsProvider" => Asking::Keys,
            // It asks with what the other properties state.
            "AssumedRoleCredentialProvider" => Asking::Role,
            "EnvironmentVariableCredentialsProvider"
            | "ProfileCredentialsProvider"
            | "DefaultCredentialsProvider"
            | "DefaultAWSCredentialsProviderChain" => Asking::Surroundings,
            "WebIdentityTokenCredentialsProvider" | "WebIdentityTokenFileCredentialsProvider" => Asking::WebIdentity,
            "IAMInstanceCredentialsProvider" | "InstanceProfileCredentialsProvider" => Asking::Instance,
            _ => return Err(refused(name, "it names a provider of credentials that is not known here", GIVE_KEYS)),
        });
    }
    match asked.as_slice() {
        [] => Ok(Asking::Any),
        [first, others @ ..] if others.iter().all(|other| other == first) => Ok(*first),
        _ => Ok(Asking::Any),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_tunes_hadoop_is_passed_over_and_what_decides_is_refused() {
        for name in [
            "fs.s3a.threads.max",
            "fs.s3a.impl",
            "fs.obs.readahead.range",
            "hadoop.tmp.dir",
            "fs.s3a.connection.maximum",
        ] {
            assert!(is_passed_over(name, "x").unwrap(), "{name}");
        }
        assert!(!is_passed_over("dfs.replication", "x").unwrap());
        for name in [
            "fs.s3a.encryption.algorithm",
            "fs.s3a.server-side-encryption-algorithm",
            "fs.s3a.server-side-encryption.key",
            "fs.s3a.bucket.nightly.endpoint",
            "fs.s3a.proxy.host",
            "fs.s3a.acl.default",
            "fs.s3a.security.credential.provider.path",
            "hadoop.security.credential.provider.path",
            "fs.s3a.assumed.role.policy",
            "fs.oss.credentials.provider",
            "fs.s3n.awsAccessKeyId",
            "fs.cosn.userinfo.sessionToken",
        ] {
            let error = is_passed_over(name, "hidden").unwrap_err();
            assert!(error.kind == ErrorKind::Unsupported && !error.to_string().contains("hidden"), "{error}");
            assert!(is_passed_over(name, "").unwrap() && is_passed_over(name, " False").unwrap(), "{name}");
        }
    }

    #[test]
    fn providers_of_credentials() {
        let asked = |value: &str| providers("fs.s3a.aws.credentials.provider", value);
        let simple = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider";
        let temporary = "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider";
        let instance = "org.apache.hadoop.fs.s3a.auth.IAMInstanceCredentialsProvider";
        assert_eq!(asked(&format!("{simple},\n {temporary}")).unwrap(), Asking::Keys);
        assert_eq!(asked(instance).unwrap(), Asking::Instance);
        assert_eq!(asked(&format!("{simple}, {instance}")).unwrap(), Asking::Any);
        assert_eq!(asked("com.amazonaws.auth.WebIdentityTokenCredentialsProvider").unwrap(), Asking::WebIdentity);
        for unknown in ["org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider", "com.example.Vault"] {
            assert_eq!(asked(&format!("{simple},{unknown}")).unwrap_err().kind, ErrorKind::Unsupported);
        }
    }
}
