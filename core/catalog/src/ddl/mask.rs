//! External catalogs, without their secrets.

use super::quote;
use crate::model::Catalog;
use std::collections::BTreeMap;

/// What stands for a secret.
pub const MASK: &str = "***";

/// Parts of property names whose values are secrets. It errs on the safe side: `aws.s3.access_key` or `hive.metastore.sasl.keytab` would
/// help an attacker little, but nobody restores a catalog from a masked statement anyway.
const SECRET: &[&str] = &[
    "key",
    "secret",
    "password",
    "passwd",
    "pwd",
    "token",
    "credential",
    "private",
    "signature",
    "sas",
    "auth_string",
    "passphrase",
    "jaas",
    // What a role's owner agreed with its user: whoever knows it may assume the role for another.
    "external_id",
    "external.id",
    // Headers of HTTP, as in `iceberg.catalog.header.Authorization`.
    "authorization",
    "cookie",
];

/// Names that hold such a part by chance, and are no secrets; a keytab's path must be seen by whoever looks why it cannot be used.
const HARMLESS: &[&str] = &[
    "enable_keyword_sniff",
    "kerberos_keytab",
    "hadoop.kerberos.keytab",
    // Switches.
    "hadoop.security.authorization",
    "hive.security.authorization.enabled",
];

/// True when the value of the property `key` must not be shown: its name holds key, secret, password, token, credential or the like.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    !HARMLESS.contains(&key.as_str()) && SECRET.iter().any(|part| key.contains(part))
}

/// The properties with secrets masked. Of other values, what looks like credentials inside a URL (`//user:password@`, `password=…`) is masked.
pub fn masked(config: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let value = |key: &String, value: &String| if is_secret(key) { MASK.to_owned() } else { mask_url(value) };
    config.iter().map(|(key, text)| (key.clone(), value(key, text))).collect()
}

/// A URL without the credentials in it; other text as it is.
pub fn mask_url(text: &str) -> String {
    let mut out = text.to_owned();
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if let Some((_, host)) = authority.rsplit_once('@') {
            out = format!("{scheme}://{MASK}@{host}{}", rest.get(authority.len()..).unwrap_or_default());
        }
    }
    let Some((path, query)) = out.split_once(['?', ';']) else { return out };
    let separator = out.get(path.len()..path.len() + 1).unwrap_or_default();
    let mut masked = format!("{path}{separator}");
    for piece in query.split_inclusive(['&', ';']) {
        match piece.split_once('=') {
            Some((key, value)) if is_secret(key) => {
                let end = value.chars().next_back().filter(|end| matches!(end, '&' | ';'));
                masked.push_str(&format!("{key}={MASK}{}", end.map(String::from).unwrap_or_default()));
            }
            _ => masked.push_str(piece),
        }
    }
    masked
}

/// CREATE EXTERNAL CATALOG, without the final semicolon.
pub fn catalog(catalog: &Catalog) -> String {
    let mut out = format!("CREATE EXTERNAL CATALOG {}", quote::name(&catalog.name));
    if let Some(comment) = catalog.comment.as_deref().filter(|comment| !comment.is_empty()) {
        out.push_str(&format!("\nCOMMENT {}", quote::double(comment)));
    }
    out.push_str(&format!("\nPROPERTIES (\n{}\n)", quote::pairs(&masked(&catalog.config), ",\n")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in [
            "aws.s3.access_key",
            "AWS.S3.SECRET_KEY",
            "password",
            "azure.blob.shared_key",
            "client.secret",
            "iceberg.catalog.oauth2.token",
            "gcp.gcs.service_account_private_key",
            "azure.blob.sas_token",
            "iceberg.catalog.oauth2.credential",
            "aws.s3.external_id",
            "aws.glue.external_id",
            "fs.s3a.assumed.role.external.id",
            "iceberg.catalog.header.Authorization",
            "iceberg.catalog.header.Cookie",
            "Proxy-Authorization",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        assert!(is_secret("kerberos_keytab_content"));
        for open in [
            "type",
            "kerberos_keytab",
            "hive.metastore.uris",
            "user",
            "hosts",
            "enable_keyword_sniff",
            "hadoop.security.authorization",
            "driver_url",
            "checksum",
        ] {
            assert!(!is_secret(open), "{open}");
        }
    }

    #[test]
    fn credentials_in_urls_are_masked() {
        assert_eq!(
            mask_url("jdbc:mysql://u:p@h:3306/d?user=u&password=p&x=1"),
            "jdbc:mysql://***@h:3306/d?user=u&password=***&x=1"
        );
        assert_eq!(mask_url("jdbc:sqlserver://h;user=u;password=p"), "jdbc:sqlserver://h;user=u;password=***");
        assert_eq!(mask_url("thrift://127.0.0.1:9083"), "thrift://127.0.0.1:9083");
        assert_eq!(mask_url("plain text"), "plain text");
    }
}
