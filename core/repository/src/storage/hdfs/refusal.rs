//! What HDFS, Kerberos, or the way to them, said no with, in words that help.

use crate::error::{ErrorKind, RepositoryError};
use crate::storage::path::ROOT;
use hdfs_native::HdfsError;
use std::io::ErrorKind as Io;

/// Why something failed, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) reason: String,
    pub(super) advice: &'static str,
    pub(super) again: Again,
}

/// Whether it may go better next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    /// As it is.
    Same,
    /// With new connections: those that there are broke, or lead nowhere.
    Anew,
    /// The same, but nobody is there: at a first contact that is more likely a slip of the pen than a failure.
    Nobody,
    /// As [`Again::Anew`], and it is worth waiting for, at a first contact too.
    Failover,
}

const AGAIN: &str = "try again; if it stays so, look at the NameNode's and the DataNodes' own messages";

impl Refusal {
    /// One that stays.
    pub(super) fn new(kind: ErrorKind, reason: impl Into<String>, advice: &'static str) -> Refusal {
        Refusal { kind, reason: reason.into(), advice, again: Again::Never }
    }

    pub(super) fn property(name: &str, reason: &str) -> Refusal {
        Refusal::new(ErrorKind::Invalid, format!("the property `{name}` cannot be used: {reason}"), "")
    }

    /// One that new connections may cure.
    pub(super) fn unavailable(reason: impl Into<String>, advice: &'static str) -> Refusal {
        Refusal { kind: ErrorKind::Unavailable, reason: reason.into(), advice, again: Again::Anew }
    }

    /// One where nobody is.
    pub(super) fn nobody(reason: impl Into<String>, advice: &'static str) -> Refusal {
        Refusal { again: Again::Nobody, ..Refusal::unavailable(reason, advice) }
    }

    pub(super) fn on(self, action: &'static str, path: &str) -> RepositoryError {
        let shown = if path.is_empty() { ROOT } else { path };
        RepositoryError::new(self.kind, action, shown, self.reason.clone()).advise(self.advice).caused_by(self)
    }
}

impl From<HdfsError> for Refusal {
    fn from(error: HdfsError) -> Refusal {
        match error {
            HdfsError::FileNotFound(_) => Refusal::new(ErrorKind::NotFound, "there is no such file or directory", ""),
            HdfsError::AlreadyExists(said) => Refusal::new(ErrorKind::Exists, first_line(&said), ""),
            HdfsError::IsADirectoryError(_) => Refusal::new(ErrorKind::Invalid, "it is not a regular file", ""),
            HdfsError::RPCError(class, said) | HdfsError::FatalRPCError(class, said) => of_exception(&class, &said),
            HdfsError::IOError(error) => of_io(&error),
            HdfsError::GSSAPIError(_, _, said) => of_kerberos(&said),
            HdfsError::SASLError(said) => of_kerberos(&said),
            HdfsError::NoSASLMechanism => Refusal::new(
                ErrorKind::PermissionDenied,
                "the NameNode offers no kind of authentication that is supported",
                "Kerberos and simple authentication are",
            ),
            HdfsError::OperationFailed(said) if said.contains("libgssapi") => Refusal::new(
                ErrorKind::Unsupported,
                "Kerberos needs the library libgssapi_krb5.so.2, which is not installed",
                "install libgssapi-krb5-2 (Debian, Ubuntu) or krb5-libs (Red Hat, SUSE: krb5)",
            ),
            HdfsError::ChecksumError => {
                Refusal { kind: ErrorKind::Damaged, ..of_data("the checksum of a block is wrong") }
            }
            HdfsError::DataTransferError(said) => of_data(&said),
            HdfsError::BlocksNotFound(_) => of_data("All DataNodes failed: []"),
            HdfsError::UnsupportedFeature(said)
            | HdfsError::UnsupportedErasureCodingPolicy(said)
            | HdfsError::ErasureCodingError(said) => Refusal::new(
                ErrorKind::Unsupported,
                first_line(&said),
                "copy it with `hdfs dfs -cp` to a directory outside encryption zones and without that policy",
            ),
            HdfsError::InvalidArgument(said) | HdfsError::InvalidPath(said) => {
                Refusal::new(ErrorKind::Invalid, first_line(&said), "")
            }
            error => Refusal::unavailable(first_line(&error.to_string()), AGAIN),
        }
    }
}

/// Of an exception of the NameNode's: `class` with Java's package, `said` with its stack.
fn of_exception(class: &str, said: &str) -> Refusal {
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    let line = first_line(said);
    let reason = |text: &str| if line.is_empty() { text.to_owned() } else { format!("{text} ({line})") };
    let refused = |kind, text: &str, advice| Refusal::new(kind, reason(text), advice);
    match name {
        _ if said.contains("(is not a directory)") || name == "ParentNotDirectoryException" => {
            refused(ErrorKind::NotFound, "a file stands where a directory should be", "")
        }
        "FileNotFoundException" if said.contains("Path is not a file") => {
            Refusal::new(ErrorKind::Invalid, "it is not a regular file", "")
        }
        "FileNotFoundException" => Refusal::new(ErrorKind::NotFound, "there is no such file or directory", ""),
        "AccessControlException" if said.contains("Permission denied") => refused(
            ErrorKind::PermissionDenied,
            "HDFS denies access",
            "check `username` or the Kerberos principal, and the owner and mode of the directory (`hdfs dfs -ls -d`)",
        ),
        "AccessControlException" | "AuthorizationException" | "AuthenticationException" => refused(
            ErrorKind::PermissionDenied,
            "the NameNode refuses the connection",
            "check `username`, or `hadoop.security.authentication` and the Kerberos properties",
        ),
        "SaslException" | "GSSException" => refused(
            ErrorKind::PermissionDenied,
            "the NameNode does not accept the Kerberos ticket",
            "check the clocks, the principal, and that the NameNode is addressed by the name in its own principal",
        ),
        "InvalidToken" => Refusal {
            again: Again::Anew,
            ..refused(
                ErrorKind::PermissionDenied,
                "the NameNode does not accept the token",
                "get a new token or ticket",
            )
        },
        "StandbyException" | "ObserverRetryOnActiveException" => Refusal {
            again: Again::Failover,
            reason: "only standby NameNodes answer; none is active".to_owned(),
            ..Refusal::unavailable(
                "",
                "look at `hdfs haadmin -getAllServiceState`; with one NameNode in the location, name the active one or the nameservice",
            )
        },
        "SafeModeException" => safe_mode(),
        "RetriableException" if said.contains("safe mode") || said.contains("SafeMode") => safe_mode(),
        "RetriableException" | "RetryStartFileException" => Refusal {
            again: Again::Same,
            ..Refusal::unavailable(reason("the NameNode asks to try again later"), "try again later")
        },
        "NSQuotaExceededException"
        | "DSQuotaExceededException"
        | "QuotaExceededException"
        | "QuotaByStorageTypeExceededException" => refused(
            ErrorKind::Io,
            "the directory's quota is used up",
            "make room, or have the quota raised (`hdfs dfsadmin -setSpaceQuota`)",
        ),
        "PathComponentTooLongException"
        | "InvalidPathException"
        | "MaxDirectoryItemsExceededException"
        | "FSLimitExceededException"
        | "IllegalArgumentException"
        | "HadoopIllegalArgumentException" => refused(ErrorKind::Invalid, "HDFS does not take the name", ""),
        "PathIsNotEmptyDirectoryException" => refused(ErrorKind::Invalid, "it is a directory", ""),
        "LeaseExpiredException" => Refusal {
            again: Again::Same,
            ..Refusal::unavailable(reason("the file was removed while it was written"), AGAIN)
        },
        "UnsupportedOperationException" => refused(ErrorKind::Unsupported, "HDFS does not do that here", ""),
        _ if said.contains("could only be written to") || said.contains("could only be replicated to") => Refusal {
            again: Again::Same,
            ..Refusal::unavailable(
                reason("no DataNode takes the block"),
                "check that DataNodes are up, have room, and can be reached from here",
            )
        },
        _ => Refusal {
            again: Again::Same,
            ..Refusal::unavailable(reason(&format!("the NameNode failed with {name}")), AGAIN)
        },
    }
}

fn safe_mode() -> Refusal {
    let reason = "the NameNode is in safe mode: nothing can be written";
    Refusal {
        again: Again::Same,
        ..Refusal::unavailable(reason, "wait until it has started (`hdfs dfsadmin -safemode get`)")
    }
}

pub(super) fn of_io(error: &std::io::Error) -> Refusal {
    match error.kind() {
        Io::ConnectionRefused => Refusal::nobody(
            "the connection was refused",
            "check host and port (often 8020 or 9000) and that the NameNode runs",
        ),
        Io::TimedOut => {
            Refusal::unavailable("it took too long to answer", "check the network and the cluster; try again")
        }
        _ => Refusal::unavailable(format!("the connection broke: {}", first_line(&error.to_string())), AGAIN),
    }
}

fn of_data(said: &str) -> Refusal {
    let advice = "check `hdfs fsck PATH`, that DataNodes are up, and that their addresses can be reached from here (`dfs.client.use.datanode.hostname` = true uses their names)";
    let reason = match said {
        "All DataNodes failed: []" => "no DataNode has a block of the file".to_owned(),
        // What follows are the nodes in the client's own terms, at length.
        said if said.starts_with("All DataNodes failed") => {
            "none of the DataNodes that have a block could be read from".to_owned()
        }
        said => first_line(said),
    };
    Refusal::unavailable(reason, advice)
}

/// What the Kerberos library says, with its likely cause.
fn of_kerberos(said: &str) -> Refusal {
    let line = first_line(said);
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    let (kind, text, advice) = if has(&["Clock skew"]) {
        (
            ErrorKind::PermissionDenied,
            "the clocks of this machine and the KDC differ too much",
            "set this machine's clock",
        )
    } else if has(&["Cannot contact any KDC", "Cannot find KDC", "Cannot resolve", "unreachable"]) {
        (
            ErrorKind::Unavailable,
            "no KDC of the realm can be reached",
            "check the realm in the principal, and /etc/krb5.conf (KRB5_CONFIG names another file)",
        )
    } else if has(&["Server not found in Kerberos database", "Server krbtgt"]) {
        (
            ErrorKind::PermissionDenied,
            "the KDC knows no such NameNode",
            "address the NameNode by the full name that its principal has",
        )
    } else if has(&["Client not found", "Client '"]) && has(&["not found in Kerberos"]) {
        (ErrorKind::PermissionDenied, "the KDC does not know the principal", "check `kerberos_principal`")
    } else if has(&["Preauthentication failed", "Password incorrect", "Decrypt integrity", "etype"]) {
        (
            ErrorKind::PermissionDenied,
            "the KDC does not accept the key",
            "the keytab may be older than the principal's last change of key: get a new one",
        )
    } else if has(&["expired"]) {
        (
            ErrorKind::PermissionDenied,
            "the ticket has expired",
            "run kinit, or give `kerberos_principal` and `kerberos_keytab`, which are renewed",
        )
    } else if has(&[
        "No credentials cache",
        "No Kerberos credentials",
        "No credentials were supplied",
        "Credentials cache",
        "Can't find client principal",
        "Matching credential not found",
    ]) {
        (
            ErrorKind::PermissionDenied,
            "there is no Kerberos ticket",
            "with a keytab: check that /etc/krb5.conf knows the principal's realm and its KDC answers (`kinit -kt KEYTAB PRINCIPAL`); without: run kinit, or give `kerberos_principal` and `kerberos_keytab`",
        )
    } else {
        (
            ErrorKind::PermissionDenied,
            "Kerberos authentication failed",
            "`KRB5_TRACE=/dev/stderr` shows what the Kerberos library does",
        )
    };
    let again = if kind == ErrorKind::Unavailable { Again::Anew } else { Again::Never };
    Refusal { again, ..Refusal::new(kind, format!("{text} ({line})"), advice) }
}

/// The first line of what may be a Java stack, without control characters, capped.
pub(super) fn first_line(said: &str) -> String {
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(400).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn exception(class: &str, said: &str) -> Refusal {
        HdfsError::RPCError(class.to_owned(), said.to_owned()).into()
    }

    #[test]
    fn exceptions_of_the_name_node() {
        let stack = "Permission denied: user=ann, access=WRITE, inode=\"/\":hdfs:supergroup:drwxr-xr-x\n\tat org.apache.hadoop.X.y(X.java:1)\n\tat z";
        let denied = exception("org.apache.hadoop.security.AccessControlException", stack);
        assert_eq!(denied.kind, ErrorKind::PermissionDenied);
        assert!(denied.reason.contains("user=ann") && !denied.reason.contains("X.java"), "{denied}");
        let cases = [
            ("java.io.FileNotFoundException", "File does not exist: /x", ErrorKind::NotFound, Again::Never),
            ("java.io.FileNotFoundException", "Path is not a file: /x", ErrorKind::Invalid, Again::Never),
            (
                "org.apache.hadoop.fs.ParentNotDirectoryException",
                "/a/f (is not a directory)",
                ErrorKind::NotFound,
                Again::Never,
            ),
            (
                "org.apache.hadoop.security.AccessControlException",
                "/a/f (is not a directory)",
                ErrorKind::NotFound,
                Again::Never,
            ),
            (
                "org.apache.hadoop.ipc.StandbyException",
                "Operation category READ",
                ErrorKind::Unavailable,
                Again::Failover,
            ),
            ("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "x", ErrorKind::Unavailable, Again::Same),
            ("org.apache.hadoop.ipc.RetriableException", "NameNode in safe mode", ErrorKind::Unavailable, Again::Same),
            ("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "q", ErrorKind::Io, Again::Never),
            (
                "org.apache.hadoop.security.token.SecretManager$InvalidToken",
                "t",
                ErrorKind::PermissionDenied,
                Again::Anew,
            ),
            (
                "java.io.IOException",
                "File /x could only be written to 0 of the 1 minReplication nodes",
                ErrorKind::Unavailable,
                Again::Same,
            ),
            ("java.lang.NullPointerException", "", ErrorKind::Unavailable, Again::Same),
            ("", "", ErrorKind::Unavailable, Again::Same),
        ];
        for (class, said, kind, again) in cases {
            let refusal = exception(class, said);
            assert_eq!((refusal.kind, refusal.again), (kind, again), "{class}: {refusal}");
        }
    }

    #[test]
    fn failures_of_the_client() {
        let io = |kind| Refusal::from(HdfsError::IOError(std::io::Error::from(kind)));
        assert_eq!(io(Io::ConnectionRefused).again, Again::Nobody);
        assert_eq!(io(Io::ConnectionReset).again, Again::Anew);
        assert!(io(Io::ConnectionRefused).advice.contains("8020"));
        let nodes =
            Refusal::from(HdfsError::DataTransferError("All DataNodes failed: [DatanodeInfoProto { … }]".to_owned()));
        assert!(nodes.kind == ErrorKind::Unavailable && !nodes.reason.contains("Proto"), "{nodes}");
        let library = Refusal::from(HdfsError::OperationFailed("Failed to load libgssapi_krb".to_owned()));
        assert!(
            library.kind == ErrorKind::Unsupported
                && library.advice.contains("libgssapi-krb5-2")
                && library.advice.contains("krb5-libs")
        );
        assert_eq!(Refusal::from(HdfsError::AlreadyExists("/x".to_owned())).kind, ErrorKind::Exists);
    }

    #[test]
    fn what_kerberos_says() {
        for (said, kind, part) in [
            ("Unspecified GSS failure: Clock skew too great", ErrorKind::PermissionDenied, "clock"),
            ("Cannot contact any KDC for realm 'A.COM'", ErrorKind::Unavailable, "krb5.conf"),
            (
                "Server nn/h@A.COM not found in Kerberos database: Server not found in Kerberos database",
                ErrorKind::PermissionDenied,
                "full name",
            ),
            ("No credentials cache found (filename: MEMORY:x)", ErrorKind::PermissionDenied, "kinit"),
            ("Ticket expired", ErrorKind::PermissionDenied, "kinit"),
            ("something new", ErrorKind::PermissionDenied, "KRB5_TRACE"),
        ] {
            let refusal = of_kerberos(said);
            assert!(
                refusal.kind == kind && refusal.advice.contains(part) && refusal.reason.contains(said),
                "{refusal}"
            );
        }
    }

    #[test]
    fn one_line_of_a_stack() {
        assert_eq!(first_line("\n  a\x1b[31m b \nat c"), "a[31m b");
        assert_eq!(first_line(&"x".repeat(9_000)).len(), 400);
    }
}
