//! Hadoop's configuration: `core-site.xml` and `hdfs-site.xml`, and over them the properties of the location. The client of HDFS would read
//! the files by itself, but takes lists with blanks in them wrongly and knows no `${…}`.

use super::refusal::Refusal;
use crate::error::ErrorKind;
use crate::location::{AUTHENTICATION, HdfsLocation};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];
/// Longest configuration file we read.
const MAX_FILE: u64 = 16 << 20;
/// `${…}` in a value are replaced so often, as in Hadoop.
const MAX_SUBSTITUTIONS: usize = 20;
const MAX_VALUE: usize = 64 << 10;
/// Where a NameNode listens unless the configuration says otherwise.
const DEFAULT_PORT: u16 = 8020;
const UMASK: &str = "fs.permissions.umask-mode";
/// Longest time we wait for anything.
const LONGEST: Duration = Duration::from_secs(3600);

/// Values by name, trimmed.
#[derive(Clone, Default)]
pub(super) struct Config(BTreeMap<String, String>);

/// A NameNode to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameNode {
    /// Its id in the nameservice; none where it stands alone.
    pub(super) id: Option<String>,
    /// `host:port`.
    pub(super) address: String,
}

impl Config {
    /// Of the location, and of the files that it or else `HADOOP_CONF_DIR` or `HADOOP_HOME` names.
    pub(super) fn load(location: &HdfsLocation) -> Result<Config, Refusal> {
        let environment = environment_dir();
        let mut config = Config::default();
        if location.resources.is_empty()
            && let Some(dir) = &environment
        {
            config.read_dir(dir)?;
        }
        for path in &location.resources {
            // StarRocks has the names of files here, which stand beside its other configuration.
            let path = match &environment {
                Some(dir) if path.is_relative() => dir.join(path),
                _ => path.clone(),
            };
            match path.is_dir() {
                true => config.read_dir(&path)?,
                false => config.read_file(&path)?,
            }
        }
        for (name, value) in &location.hadoop {
            config.0.insert(name.clone(), value.reveal().to_owned());
        }
        config.substitute();
        // As in Hadoop, whoever only reads hears of it too.
        if let Some(umask) = config.get(UMASK).map(str::to_owned) {
            let odd = || Refusal::property(UMASK, "it is an octal umask such as 022, or a mode such as u=rwx,g=rx,o=");
            let umask = octal(&umask).or_else(|| symbolic(&umask)).ok_or_else(odd)?;
            config.set(UMASK, format!("{umask:03o}"));
        }
        Ok(config)
    }

    fn read_dir(&mut self, dir: &Path) -> Result<(), Refusal> {
        for path in FILES.iter().map(|file| dir.join(file)).filter(|path| path.exists()) {
            self.read_file(&path)?;
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path) -> Result<(), Refusal> {
        let refused = |reason: String| {
            let reason = format!("Hadoop's configuration {} cannot be used: {reason}", path.display());
            Refusal::new(ErrorKind::Invalid, reason, "check `hadoop.config.resources`, HADOOP_CONF_DIR and the file")
        };
        let size = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
        if size > MAX_FILE {
            return Err(refused(format!("it is {size} bytes long")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        self.read_xml(&text).map_err(refused)
    }

    fn read_xml(&mut self, text: &str) -> Result<(), String> {
        let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
        let root = document.root_element();
        if root.tag_name().name() != "configuration" {
            return Err("its first element is not <configuration>".to_owned());
        }
        for property in root.children().filter(|node| node.is_element()) {
            match property.tag_name().name() {
                "property" => {}
                other => {
                    tracing::warn!("<{other}> in Hadoop's configuration is not supported and passed over");
                    continue;
                }
            }
            let text = |name: &str| {
                let element = property.children().find(|node| node.tag_name().name() == name)?;
                Some(element.text().unwrap_or_default().trim().to_owned())
            };
            if let (Some(name), Some(value)) = (text("name"), text("value")) {
                self.0.insert(name, value);
            }
        }
        Ok(())
    }

    /// Replaces `${name}` by the value of `name`, and `${env.NAME}` by the variable's; one that there is not stays.
    fn substitute(&mut self) {
        let names: Vec<_> =
            self.0.iter().filter(|(_, value)| value.contains("${")).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(mut value) = self.0.get(&name).cloned() else { continue };
            for _ in 0..MAX_SUBSTITUTIONS {
                let Some(replaced) = self.replace_one(&value).filter(|text| text.len() <= MAX_VALUE) else { break };
                value = replaced;
            }
            self.0.insert(name, value);
        }
    }

    fn replace_one(&self, value: &str) -> Option<String> {
        let mut from = 0;
        while let Some(start) = value.get(from..)?.find("${").map(|at| from + at) {
            let end = start + value.get(start..)?.find('}')?;
            let name = value.get(start + 2..end)?;
            let found = match name.strip_prefix("env.") {
                Some(variable) => std::env::var(variable).ok(),
                None => self.0.get(name).cloned(),
            };
            if let Some(found) = found {
                return Some(format!("{}{found}{}", value.get(..start)?, value.get(end + 1..)?));
            }
            from = end;
        }
        None
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether Kerberos is asked for.
    pub(super) fn kerberos(&self) -> Result<bool, Refusal> {
        match self.get(AUTHENTICATION).unwrap_or("simple") {
            method if method.eq_ignore_ascii_case("simple") => Ok(false),
            method if method.eq_ignore_ascii_case("kerberos") => Ok(true),
            _ => Err(Refusal::property(AUTHENTICATION, "it is either `simple` or `kerberos`")),
        }
    }

    /// A whole number from 1 to `most`.
    pub(super) fn number(&self, name: &str, most: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.parse() {
            Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::property(name, &format!("it is a whole number from 1 to {most}"))),
        }
    }

    /// How often: a whole number, taken as 1 at least and `most` at most.
    pub(super) fn count(&self, name: &str, most: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let odd = |_| Refusal::property(name, "it is a whole number");
        value.parse::<u64>().map(|number| Some(number.clamp(1, most))).map_err(odd)
    }

    /// A time in Hadoop's words: milliseconds, or a number with a unit. Hadoop's 0 and less, for ever, is no time that we wait; anything else
    /// is taken as a millisecond at least and an hour at most.
    pub(super) fn time(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let lower = value.to_ascii_lowercase();
        let split = lower.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(lower.len());
        let (number, unit) = lower.split_at(split);
        let nanos = match unit {
            "ns" => Some(1),
            "us" => Some(1_000),
            "" | "ms" => Some(1_000_000),
            "s" => Some(1_000_000_000),
            "m" => Some(60_000_000_000),
            "h" => Some(3_600_000_000_000),
            "d" => Some(86_400_000_000_000),
            _ => None,
        };
        match nanos.and_then(|nanos: u64| Some((number.trim().parse::<i64>().ok()?, nanos))) {
            Some((number, _)) if number <= 0 => Ok(None),
            Some((number, nanos)) => {
                let time = Duration::from_nanos(number.unsigned_abs().saturating_mul(nanos));
                Ok(Some(time.clamp(Duration::from_millis(1), LONGEST)))
            }
            None => Err(Refusal::property(name, "it is a time such as 500ms, 20s, 1m or 1h")),
        }
    }

    /// A size: bytes, or a number with k, m, g or t.
    pub(super) fn size(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let lower = value.to_ascii_lowercase();
        let split = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
        let (number, unit) = lower.split_at(split);
        let scale = match unit {
            "" => Some(1u64),
            "k" => Some(1 << 10),
            "m" => Some(1 << 20),
            "g" => Some(1 << 30),
            "t" => Some(1 << 40),
            _ => None,
        };
        match scale.and_then(|scale| number.parse::<u64>().ok()?.checked_mul(scale)) {
            Some(size) if (1..=1 << 40).contains(&size) => Ok(Some(size)),
            _ => Err(Refusal::property(name, "it is a size such as 134217728 or 128m")),
        }
    }

    /// The NameNodes of the location, in the order they are to be tried. A host without a port that is no nameservice is a host, as in
    /// Hadoop; the flag says so.
    pub(super) fn name_nodes(&self, location: &HdfsLocation) -> Result<(Vec<NameNode>, bool), Refusal> {
        let host = &location.host;
        if let Some(port) = location.port {
            return Ok((vec![NameNode { id: None, address: format!("{host}:{port}") }], false));
        }
        let known = self.list("dfs.nameservices").any(|name| name == host);
        let list = format!("dfs.ha.namenodes.{host}");
        if self.get(&list).is_none() {
            if let Some(address) = self.get(&format!("dfs.namenode.rpc-address.{host}")) {
                return Ok((vec![NameNode { id: None, address: with_port(address) }], false));
            }
            if known {
                let reason = format!("there is no NameNode of `{host}`: `{list}` is missing");
                return Err(Refusal::new(ErrorKind::Invalid, reason, HA));
            }
            return Ok((vec![NameNode { id: None, address: format!("{host}:{DEFAULT_PORT}") }], true));
        }
        let mut nodes = Vec::new();
        for id in self.list(&list) {
            let name = format!("dfs.namenode.rpc-address.{host}.{id}");
            let Some(address) = self.get(&name) else {
                let reason = format!("`{list}` names `{id}`, but `{name}` is missing");
                return Err(Refusal::new(ErrorKind::Invalid, reason, HA));
            };
            nodes.push(NameNode { id: Some(id.to_owned()), address: with_port(address) });
        }
        if nodes.is_empty() {
            return Err(Refusal::new(ErrorKind::Invalid, format!("`{list}` names no NameNode"), HA));
        }
        Ok((nodes, false))
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.get(name).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
    }

    /// What new files may not be: Hadoop's umask.
    pub(super) fn umask(&self) -> u32 {
        self.get(UMASK).and_then(octal).unwrap_or(0o022)
    }
}

fn octal(umask: &str) -> Option<u32> {
    u32::from_str_radix(umask, 8).ok().filter(|umask| *umask <= 0o777)
}

/// A umask in Hadoop's symbolic form, which states what new files may be: `u=rwx,g=rx,o=` is 027. Of several clauses about the same class the
/// last one counts, and `a` beside other letters means nothing, as in Hadoop's `UmaskParser`.
fn symbolic(umask: &str) -> Option<u32> {
    let mut mode = [0; 3];
    let clauses = umask.split(',').enumerate().map(|(at, clause)| (at, clause.trim()));
    for (_, clause) in clauses.filter(|(at, clause)| *at == 0 || !clause.is_empty()) {
        let (classes, rest) = clause.split_at(clause.find(['=', '+', '-'])?);
        let permissions = rest.trim_start_matches(['=', '+', '-']);
        let (operators, _) = rest.split_at(rest.len() - permissions.len());
        let mut bits = 0;
        for permission in permissions.chars() {
            bits |= match permission {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                _ => return None,
            };
        }
        // Nothing may be before the first clause, so that taking away leaves nothing, and adding is setting.
        let bits = if operators.ends_with('-') { 0 } else { bits };
        if !classes.chars().all(|class| "ugoa".contains(class)) {
            return None;
        }
        let everybody = classes.chars().all(|class| class == 'a');
        for (class, mode) in ['u', 'g', 'o'].into_iter().zip(&mut mode) {
            if everybody || classes.contains(class) {
                *mode = bits;
            }
        }
    }
    let [user, group, others] = mode;
    Some(!(user << 6 | group << 3 | others) & 0o777)
}

pub(super) const HA: &str = "give `dfs.ha.namenodes.NAMESERVICE` and a `dfs.namenode.rpc-address.NAMESERVICE.ID` for each, or set HADOOP_CONF_DIR to the directory of the cluster's hdfs-site.xml";

fn environment_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("HADOOP_CONF_DIR").or_else(|| Some(set("HADOOP_HOME")?.join("etc/hadoop")))
}

fn with_port(address: &str) -> String {
    let bare = match address.rsplit_once(':') {
        Some((_, port)) => port.ends_with(']') || port.parse::<u16>().is_err(),
        None => true,
    };
    if bare { format!("{address}:{DEFAULT_PORT}") } else { address.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::location::Secret;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let mut config = Config(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        config.substitute();
        config
    }

    fn location(host: &str, port: Option<u16>) -> HdfsLocation {
        HdfsLocation {
            host: host.to_owned(),
            port,
            root: "x".to_owned(),
            user: None,
            principal: None,
            keytab: None,
            resources: Vec::new(),
            hadoop: BTreeMap::<String, Secret>::new(),
        }
    }

    fn addresses(config: &Config, host: &str, port: Option<u16>) -> Vec<String> {
        config.name_nodes(&location(host, port)).unwrap().0.into_iter().map(|node| node.address).collect()
    }

    #[test]
    fn name_nodes_of_lists_with_blanks() {
        let ha = config(&[
            ("dfs.nameservices", "other, c"),
            ("dfs.ha.namenodes.c", " nn1 ,\n nn2,"),
            ("dfs.namenode.rpc-address.c.nn1", " h1:9000 "),
            ("dfs.namenode.rpc-address.c.nn2", "h2"),
        ]);
        assert_eq!(addresses(&ha, "c", None), ["h1:9000", "h2:8020"]);
        // A port means a NameNode, whatever nameservices there are.
        assert_eq!(addresses(&ha, "c", Some(1)), ["c:1"]);
        assert_eq!(addresses(&ha, "host", None), ["host:8020"]);
        assert!(ha.name_nodes(&location("other", None)).is_err());
        let gap = config(&[("dfs.ha.namenodes.c", "nn1,nn2"), ("dfs.namenode.rpc-address.c.nn1", "h1:9000")]);
        let said = gap.name_nodes(&location("c", None)).unwrap_err().reason;
        assert!(said.contains("`dfs.namenode.rpc-address.c.nn2` is missing"), "{said}");
        assert!(config(&[("dfs.ha.namenodes.c", " , ")]).name_nodes(&location("c", None)).is_err());
        let single = config(&[("dfs.nameservices", "c"), ("dfs.namenode.rpc-address.c", "h:1")]);
        assert_eq!(addresses(&single, "c", None), ["h:1"]);
    }

    #[test]
    fn files_as_hadoop_writes_them() {
        let mut read = Config::default();
        let text = "<?xml version=\"1.0\"?>\n<?xml-stylesheet type=\"text/xsl\" href=\"c.xsl\"?>\n<configuration>\n<!-- c -->\n\
            <property>\n <name> a.b </name>\n <value>\n ${c.d}/${nothing}/${c.d} \n</value><final>true</final></property>\
            <property><name>c.d</name><value>x</value></property><property><name>e</name><value/></property>\
            <property><name>loop</name><value>${loop}${loop}</value></property></configuration>";
        read.read_xml(text).unwrap();
        read.substitute();
        assert_eq!(read.get("a.b"), Some("x/${nothing}/x"));
        assert_eq!(read.get("e"), None);
        assert!(read.get("loop").unwrap().len() <= MAX_VALUE);
        for bad in ["", "<configuration>", "<a/>", "<!DOCTYPE a [<!ENTITY b \"c\">]><configuration>&b;</configuration>"]
        {
            assert!(Config::default().read_xml(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn directories_and_files_below_the_properties() {
        let dir = tempfile::tempdir().unwrap();
        let one = |name: &str, value: &str| {
            format!("<configuration><property><name>{name}</name><value>{value}</value></property></configuration>")
        };
        std::fs::write(dir.path().join("core-site.xml"), one("hadoop.security.authentication", "kerberos")).unwrap();
        std::fs::write(dir.path().join("hdfs-site.xml"), one("dfs.nameservices", "c")).unwrap();
        let mut location = location("c", None);
        location.resources = vec![dir.path().to_owned()];
        assert!(Config::load(&location).unwrap().kerberos().unwrap());
        location.hadoop.insert(AUTHENTICATION.to_owned(), Secret::new("Simple".to_owned()));
        let config = Config::load(&location).unwrap();
        assert!(!config.kerberos().unwrap() && config.get("dfs.nameservices") == Some("c"));
        location.resources = vec![dir.path().join("none.xml")];
        assert!(Config::load(&location).is_err());
    }

    #[test]
    fn umasks_as_hadoop_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let umask = |text: &str| {
            let mut location = location("c", Some(1));
            location.resources = vec![dir.path().to_owned()];
            location.hadoop.insert(UMASK.to_owned(), Secret::new(text.to_owned()));
            Config::load(&location).map(|config| config.umask())
        };
        for (text, expected) in [
            ("", 0o022),
            ("077", 0o077),
            ("0027", 0o027),
            ("+022", 0o022),
            ("u=rwx,g=,o=", 0o077),
            ("u=rwx,g=rx,o=", 0o027),
            (" u=rwx , g=rx,o=r ", 0o023),
            ("a=rwx", 0),
            ("=rx", 0o222),
            ("a=rwx,o-rwx", 0o007),
            ("u+rw", 0o177),
            ("ua=rwx", 0o077),
            ("ug=rwx,o=rx", 0o002),
            ("go-w", 0o777),
            ("u=rwx,,g=r,", 0o037),
        ] {
            assert_eq!(umask(text).unwrap(), expected, "{text}");
        }
        for bad in ["u", "rwx", "u=rwX", ",", "u=rwx g=", "z=r", "1777", "-22", "9", "u =r", "07x"] {
            let refusal = umask(bad).unwrap_err();
            assert!(refusal.kind == ErrorKind::Invalid && refusal.reason.contains(UMASK), "{bad}: {refusal}");
        }
    }

    #[test]
    fn times_and_counts_of_a_clusters_own_files() {
        let time = |text: &str| config(&[("t", text)]).time("t");
        for (text, millis) in [
            ("20s", 20_000),
            ("250", 250),
            ("5 MS", 5),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 3_600_000),
            ("9223372036854775807d", 3_600_000),
            ("7200000", 3_600_000),
            ("1500us", 1),
            ("3ns", 1),
        ] {
            let expected = Duration::from_millis(millis);
            assert_eq!(time(text).unwrap().map(|time| time.as_millis()), Some(expected.as_millis()), "{text}");
        }
        for forever in ["0", "-1", "0s"] {
            assert_eq!(time(forever).unwrap(), None, "{forever}");
        }
        for bad in ["x", "s", "1w", "1.5s", "2m5", "99999999999999999999s"] {
            assert!(time(bad).unwrap_err().reason.contains("`t`"), "{bad}");
        }
        let count = |text: &str| config(&[("n", text)]).count("n", 100).map_err(|refusal| refusal.reason);
        assert_eq!((count("0"), count("15"), count("1000")), (Ok(Some(1)), Ok(Some(15)), Ok(Some(100))));
        assert_eq!(count(""), Ok(None));
        assert!(count("-1").is_err() && count("x").is_err());
    }

    #[test]
    fn values() {
        let config = config(&[("n", "3"), ("s", "128m"), ("bad", "x"), (AUTHENTICATION, "none")]);
        assert_eq!(config.time("none").unwrap(), None);
        assert_eq!(config.number("n", 5).unwrap(), Some(3));
        assert_eq!(config.size("s").unwrap(), Some(128 << 20));
        assert!(config.number("n", 2).is_err() && config.time("bad").is_err() && config.size("bad").is_err());
        assert!(config.kerberos().is_err());
        assert_eq!(config.umask(), 0o022);
    }
}
