//! A location in HDFS, and everything its properties say. What a cluster's configuration files say is read when the store is first used.

use super::properties::{Secret, invalid};
use crate::error::{ErrorKind, RepositoryError, Result};
use crate::nearest::distance;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A path in HDFS, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HdfsLocation {
    /// The NameNode, or a nameservice.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// Without slashes at its ends; empty for the root itself.
    pub(crate) root: String,
    /// Whom a cluster without Kerberos takes us for.
    pub(crate) user: Option<String>,
    pub(crate) principal: Option<String>,
    pub(crate) keytab: Option<Keytab>,
    /// Files and directories of configuration that were named; none for those of the environment.
    pub(crate) resources: Vec<PathBuf>,
    /// Hadoop's own properties, by name; they win over configuration files.
    pub(crate) hadoop: BTreeMap<String, Secret>,
}

/// Where the principal's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keytab {
    File(PathBuf),
    /// A keytab file's content as base64.
    Content(Secret),
}

pub(crate) const AUTHENTICATION: &str = "hadoop.security.authentication";
const RESOURCES: &str = "hadoop.config.resources";

/// Names that StarRocks or we give a meaning of our own.
const OWN: [&str; 8] = [
    "username",
    "password",
    "kerberos_principal",
    "kerberos_keytab",
    "kerberos_keytab_content",
    "hadoop.kerberos.principal",
    "hadoop.kerberos.keytab",
    RESOURCES,
];

/// Hadoop's names that do something here: a name close to one of them is taken for a slip.
const HADOOP: [&str; 21] = [
    AUTHENTICATION,
    "hadoop.rpc.protection",
    "fs.defaultFS",
    "fs.permissions.umask-mode",
    "dfs.nameservices",
    "dfs.namenode.rpc-address",
    "dfs.replication",
    "dfs.blocksize",
    "dfs.data.transfer.protection",
    "dfs.client.use.datanode.hostname",
    "dfs.client.socket-timeout",
    "dfs.client.failover.max.attempts",
    "dfs.client.failover.sleep.base.millis",
    "dfs.client.failover.sleep.max.millis",
    "dfs.client.block.write.replace-datanode-on-failure.enable",
    "dfs.client.block.write.replace-datanode-on-failure.policy",
    "dfs.client.block.write.replace-datanode-on-failure.best-effort",
    "ipc.client.connect.timeout",
    "ipc.client.rpc-timeout.ms",
    "dfs.encrypt.data.transfer.cipher.suites",
    "hadoop.security.auth_to_local",
];

/// The same for names that end in a nameservice (and a NameNode's id).
const FAMILIES: [&str; 6] = [
    "dfs.ha.namenodes",
    "dfs.namenode.rpc-address",
    "dfs.client.failover.proxy.provider",
    "dfs.client.failover.resolve-needed",
    "dfs.client.failover.resolver.useFQDN",
    "dfs.client.failover.random.order",
];

/// Hadoop's: passed on whatever they are called.
const PASSED_ON: [&str; 5] = ["dfs.", "hadoop.", "ipc.", "io.", "fs."];

impl HdfsLocation {
    /// `rest` is what follows `hdfs://`.
    pub(super) fn parse(rest: &str, given: &[(String, String)]) -> Result<HdfsLocation> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = authority_of(authority)?;
        let root = path.trim_matches('/');
        let odd = root.split('/').any(|part| matches!(part, "." | "..")) || root.contains("//");
        if odd || root.contains(|c: char| c.is_control()) {
            return Err(wrong("the path has empty components, `.` or `..`"));
        }
        let mut location = HdfsLocation {
            host: host.to_owned(),
            port,
            root: root.to_owned(),
            user: None,
            principal: None,
            keytab: None,
            resources: Vec::new(),
            hadoop: BTreeMap::new(),
        };
        for (name, value) in given {
            location.take(name, value)?;
        }
        Ok(location)
    }

    /// Takes one property.
    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        if value.contains(|c: char| c.is_control() && !c.is_whitespace()) {
            return Err(check_name(name).err().unwrap_or_else(|| invalid(name, "its value holds control characters")));
        }
        let value = value.trim();
        let stated = (!value.is_empty()).then(|| value.to_owned());
        match name {
            "username" => self.user = stated,
            // Without Kerberos HDFS knows no passwords: StarRocks takes one and does nothing with it.
            "password" => {}
            "kerberos_principal" | "hadoop.kerberos.principal" => set(&mut self.principal, stated, name)?,
            "kerberos_keytab" | "hadoop.kerberos.keytab" => {
                set(&mut self.keytab, stated.map(|path| Keytab::File(path.into())), name)?;
            }
            "kerberos_keytab_content" => {
                set(&mut self.keytab, stated.map(|text| Keytab::Content(Secret::new(text))), name)?;
            }
            RESOURCES => {
                self.resources = value.split(',').map(str::trim).filter(|p| !p.is_empty()).map(PathBuf::from).collect()
            }
            _ => {
                check_name(name)?;
                self.hadoop.insert(name.to_owned(), Secret::new(value.to_owned()));
            }
        }
        Ok(())
    }

    /// The location as the user wrote it.
    pub(crate) fn url(&self) -> String {
        let (host, root) = (&self.host, &self.root);
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        if root.is_empty() { format!("hdfs://{host}{port}") } else { format!("hdfs://{host}{port}/{root}") }
    }
}

/// Two names state the same: they must agree.
fn set<T: PartialEq>(place: &mut Option<T>, stated: Option<T>, name: &str) -> Result<()> {
    match (&place, stated) {
        (Some(before), Some(stated)) if *before != stated => {
            Err(invalid(name, "another property states another value for the same"))
        }
        (_, Some(stated)) => {
            *place = Some(stated);
            Ok(())
        }
        (_, None) => Ok(()),
    }
}

fn wrong(reason: &str) -> RepositoryError {
    // Whatever stands there may hold secrets, so it is not repeated.
    RepositoryError::new(ErrorKind::Invalid, "use location", "hdfs://…", reason)
        .advise("write hdfs://HOST:PORT/PATH or hdfs://NAMESERVICE/PATH, and the user as property `username`")
}

fn authority_of(text: &str) -> Result<(&str, Option<u16>)> {
    if text.contains('@') {
        return Err(wrong("a user in a location is not accepted"));
    }
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address stand within brackets.
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, Some(port.ok_or_else(|| wrong("what follows the host is no port"))?))
        }
        _ => (text, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let plain = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)),
    };
    match host {
        "" => Err(wrong("it names no NameNode and no nameservice")),
        _ if host.len() > 255 || !plain => Err(wrong("that is no name of a host or a nameservice")),
        _ => Ok((host, port)),
    }
}

/// An unknown name is an error that names the nearest one. Hadoop has hundreds of its own, which pass unless they look like a slip.
fn check_name(name: &str) -> Result<()> {
    // A name may be anything, a secret too where the equals sign was forgotten: only what looks like a name is repeated.
    let plain = name.len() <= 160 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !plain || name.len() < 3 {
        return Err(invalid("…", "what was given is no property's name"));
    }
    if OWN.contains(&name) || HADOOP.contains(&name) || FAMILIES.iter().any(|family| member(name, family)) {
        return Ok(());
    }
    let exact = OWN.iter().chain(&HADOOP).map(|known| ((*known).to_owned(), distance(name, known)));
    let members = FAMILIES.iter().map(|family| {
        let cut = name.match_indices('.').nth(family.matches('.').count()).map_or(name.len(), |(at, _)| at);
        let (head, tail) = name.split_at_checked(cut).unwrap_or((name, ""));
        (format!("{family}{}", if tail.is_empty() { ".NAMESERVICE" } else { tail }), distance(head, family))
    });
    let (nearest, far) = exact.chain(members).min_by_key(|(_, far)| *far).unwrap_or_default();
    if far > 2 && PASSED_ON.iter().any(|prefix| name.starts_with(prefix)) {
        return Ok(());
    }
    let reason = if far <= name.len() / 3 {
        format!("there is no such property; `{nearest}` is the nearest")
    } else {
        "there is no such property of HDFS".to_owned()
    };
    Err(invalid(name, &reason).advise("write them as in CREATE REPOSITORY: `username`, `kerberos_principal`, `kerberos_keytab`, or as in Hadoop's core-site.xml and hdfs-site.xml"))
}

fn member(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn parse(rest: &str, given: &[(&str, &str)]) -> Result<HdfsLocation> {
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        HdfsLocation::parse(rest, &given)
    }

    #[test]
    fn hosts_ports_and_paths() {
        let cases = [
            ("h:9000/repo/backup", "h", Some(9000), "repo/backup", "hdfs://h:9000/repo/backup"),
            ("mycluster/repo/", "mycluster", None, "repo", "hdfs://mycluster/repo"),
            ("name_node-1.example.com", "name_node-1.example.com", None, "", "hdfs://name_node-1.example.com"),
            ("[::1]:8020/a b/ü", "[::1]", Some(8020), "a b/ü", "hdfs://[::1]:8020/a b/ü"),
            ("10.0.0.1:8020//", "10.0.0.1", Some(8020), "", "hdfs://10.0.0.1:8020"),
        ];
        for (text, host, port, root, url) in cases {
            let location = parse(text, &[]).unwrap();
            assert_eq!((location.host.as_str(), location.port, location.root.as_str()), (host, port, root), "{text}");
            assert_eq!(location.url(), url);
        }
        for bad in [
            "",
            "/x",
            "u:hidden@h/x",
            "hidden@h",
            "h:/x",
            "h:0/x",
            "h:70000/x",
            "h:p/x",
            "a b/x",
            "h/a/../b",
            "h/a//b",
            "[::1/x",
            "h/a\nb",
        ] {
            let error = parse(bad, &[]).unwrap_err();
            assert!(error.kind == ErrorKind::Invalid && !error.to_string().contains("hidden"), "{bad}: {error}");
        }
    }

    #[test]
    fn properties_as_in_the_manual_and_in_hadoop() {
        let location = parse(
            "mycluster/x",
            &[
                ("username", " ann "),
                ("password", "hidden"),
                ("hadoop.security.authentication", "kerberos"),
                ("kerberos_principal", "ann@EXAMPLE.COM"),
                ("kerberos_keytab_content", "aGlkZGVu"),
                ("dfs.nameservices", "mycluster"),
                ("dfs.ha.namenodes.mycluster", "nn1, nn2"),
                ("dfs.namenode.rpc-address.mycluster.nn1", "h1:8020"),
                ("dfs.client.failover.proxy.provider.mycluster", "org.apache.hadoop.x.Y"),
                ("dfs.client.read.shortcircuit", "false"),
                ("hadoop.config.resources", "/etc/a, b.xml,"),
            ],
        )
        .unwrap();
        assert_eq!(location.user.as_deref(), Some("ann"));
        assert_eq!(location.principal.as_deref(), Some("ann@EXAMPLE.COM"));
        assert_eq!(location.resources, [PathBuf::from("/etc/a"), PathBuf::from("b.xml")]);
        assert_eq!(location.hadoop.len(), 6);
        let shown = format!("{location:?}");
        assert!(!shown.contains("aGlkZGVu") && !shown.contains("hidden") && !shown.contains("h1:8020"), "{shown}");
    }

    #[test]
    fn a_slip_is_refused_with_the_nearest_name() {
        for (slip, meant) in [
            ("user_name", "`username`"),
            ("usrname", "`username`"),
            ("kerberos_principle", "`kerberos_principal`"),
            ("kerberos-keytab", "`kerberos_keytab`"),
            ("hadoop.security.authentcation", "`hadoop.security.authentication`"),
            ("dfs.nameservice", "`dfs.nameservices`"),
            ("dfs.ha.namenode.mycluster", "`dfs.ha.namenodes.mycluster`"),
            ("dfs.namenode.rpc-adress.mycluster.nn1", "`dfs.namenode.rpc-address.mycluster.nn1`"),
            ("dfs.client.socket.timeout", "`dfs.client.socket-timeout`"),
        ] {
            let said = parse("h:1/x", &[(slip, "hidden")]).unwrap_err().to_string();
            assert!(said.contains(meant) && !said.contains("hidden"), "{slip}: {said}");
        }
        for stranger in ["aws.s3.access_key", "nonsense", "hidden+secret==", "", "x"] {
            let said = parse("h:1/x", &[(stranger, "v")]).unwrap_err().to_string();
            assert!(!said.contains("hidden+"), "{said}");
        }
    }

    #[test]
    fn two_names_for_one_thing_must_agree() {
        assert!(parse("h:1/x", &[("kerberos_principal", "a"), ("hadoop.kerberos.principal", "a")]).is_ok());
        assert!(parse("h:1/x", &[("kerberos_principal", "a"), ("hadoop.kerberos.principal", "b")]).is_err());
        assert!(parse("h:1/x", &[("kerberos_keytab", "/a"), ("kerberos_keytab_content", "YQ==")]).is_err());
        assert!(parse("h:1/x", &[("username", "a\0b")]).is_err());
    }
}
