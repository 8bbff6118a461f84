//! How strongly connections are protected. The client of HDFS takes the strongest way that a server offers, and no notice of what was asked
//! for; so what a NameNode offers is looked at before, and one that offers less is not used.

use super::config::Config;
use super::refusal::Refusal;
use crate::error::ErrorKind;
use crate::location::AUTHENTICATION;

const RPC: &str = "hadoop.rpc.protection";
pub(super) const DATA: &str = "dfs.data.transfer.protection";

/// Hadoop's words for SASL's `auth`, `auth-int` and `auth-conf`, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Authentication,
    Integrity,
    Privacy,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Authentication => "authentication",
            Level::Integrity => "integrity",
            Level::Privacy => "privacy",
        }
    }

    /// The weakest that the property allows, which may name several; nothing said allows all.
    fn least(config: &Config, name: &str) -> Result<Level, Refusal> {
        let mut least = None;
        for word in config.get(name).into_iter().flat_map(|text| text.split(',')).map(str::trim) {
            let levels = [Level::Authentication, Level::Integrity, Level::Privacy];
            let level = levels.into_iter().find(|level| level.word().eq_ignore_ascii_case(word));
            let level = level.ok_or_else(|| {
                Refusal::property(name, "it is `authentication`, `integrity` or `privacy`, or several with commas")
            })?;
            least = Some(least.map_or(level, |least: Level| least.min(level)));
        }
        Ok(least.unwrap_or(Level::Authentication))
    }

    /// The strongest that the challenge of a DIGEST-MD5 server offers (RFC 2831, 2.1.1). Hadoop's servers offer the same with Kerberos.
    pub(super) fn offered(challenge: &[u8]) -> Option<Level> {
        let text = std::str::from_utf8(challenge).ok()?;
        let mut quoted = false;
        let directives = text.split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let offers =
            directives.filter_map(|directive| directive.split_once('=')).find(|(name, _)| name.trim() == "qop");
        let Some((_, offers)) = offers else { return Some(Level::Authentication) };
        let levels = offers.trim().trim_matches('"').split(',').filter_map(|word| match word.trim() {
            "auth" => Some(Level::Authentication),
            "auth-int" => Some(Level::Integrity),
            "auth-conf" => Some(Level::Privacy),
            _ => None,
        });
        levels.max()
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protection {
    /// Of the NameNode's connections, at least.
    rpc: Level,
    /// Of the DataNodes', at least.
    data: Level,
}

impl Protection {
    /// Only Kerberos brings any.
    pub(super) fn of(config: &Config, kerberos: bool) -> Result<Protection, Refusal> {
        let of = |name| {
            let least = Level::least(config, name)?;
            if least > Level::Authentication && !kerberos {
                let reason = format!("{} needs `{AUTHENTICATION}` to be kerberos", least.word());
                return Err(Refusal::property(name, &reason));
            }
            Ok(least)
        };
        Ok(Protection { rpc: of(RPC)?, data: of(DATA)? })
    }

    /// Refuses the NameNode at `address`, which offers so much at most; none: it does not say.
    pub(super) fn check(self, address: &str, offered: Option<Level>) -> Result<(), Refusal> {
        if self.rpc == Level::Authentication || offered.is_some_and(|offered| offered >= self.rpc) {
            return Ok(());
        }
        let asked = self.rpc.word();
        let reason = match offered {
            Some(offered) => {
                format!("`{RPC}` asks for {asked}, but the NameNode {address} offers {} at most", offered.word())
            }
            None => format!("`{RPC}` asks for {asked}, but the NameNode {address} does not say what it offers"),
        };
        Err(Refusal::new(
            ErrorKind::PermissionDenied,
            reason,
            "set `hadoop.rpc.protection` of the NameNode, or ask for less",
        ))
    }

    /// What the user must know, as it is not looked at: a DataNode is only known where a block is.
    pub(super) fn note(self) -> Option<String> {
        let asked = self.data.word();
        (self.data > Level::Authentication).then(|| {
            format!(
                "`{DATA}` asks for {asked}, which is not enforced: each DataNode uses the strongest protection that it offers, and that may be less"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn protection(rpc: &str, data: &str, kerberos: bool) -> Result<Protection, Refusal> {
        let mut config = Config::default();
        config.set(RPC, rpc);
        config.set(DATA, data);
        Protection::of(&config, kerberos)
    }

    #[test]
    fn what_challenges_offer() {
        // As Hadoop 3.4 sends them.
        let hadoop = |qop: &str| {
            format!("realm=\"default\",nonce=\"Iuk,qop=auth\",qop=\"{qop}\",charset=utf-8,algorithm=md5-sess")
        };
        for (challenge, offered) in [
            (hadoop("auth"), Some(Level::Authentication)),
            (hadoop("auth-conf,auth-int,auth"), Some(Level::Privacy)),
            (hadoop("auth , auth-int"), Some(Level::Integrity)),
            (hadoop("new"), None),
            ("realm=\"a\", qop=auth-int".to_owned(), Some(Level::Integrity)),
            ("realm=\"default\",nonce=\"x\"".to_owned(), Some(Level::Authentication)),
        ] {
            assert_eq!(Level::offered(challenge.as_bytes()), offered, "{challenge}");
        }
        assert_eq!(Level::offered(&[0xff]), None);
    }

    #[test]
    fn a_name_node_that_offers_less_is_not_used() {
        let check = |asked: &str, offered| protection(asked, "", true).unwrap().check("h:1", offered);
        for asked in ["", "authentication", "privacy, authentication"] {
            check(asked, None).unwrap();
        }
        check("integrity", Some(Level::Privacy)).unwrap();
        check("Privacy,INTEGRITY", Some(Level::Integrity)).unwrap();
        let refusal = check("privacy", Some(Level::Integrity)).unwrap_err();
        assert!(refusal.reason.contains("h:1 offers integrity at most"), "{refusal}");
        assert!(check("integrity", None).is_err());
    }

    #[test]
    fn what_is_asked_for_must_be_possible() {
        for (rpc, data) in [("privacy", ""), ("", "integrity")] {
            assert!(protection(rpc, data, false).unwrap_err().reason.contains("kerberos"), "{rpc} {data}");
        }
        protection("authentication", "authentication,privacy", false).unwrap();
        assert!(protection("secret", "", true).unwrap_err().reason.contains(RPC));
        assert_eq!(protection("privacy", "authentication,privacy", true).unwrap().note(), None);
        assert!(protection("", "privacy", true).unwrap().note().unwrap().contains("not enforced"));
    }
}
