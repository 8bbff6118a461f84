//! Keytab files. The Kerberos library says "no credentials cache" whether a keytab is missing, cannot be read or holds other principals, so
//! it is looked into before. The format is MIT's, version 2: a version, then entries of a length and so many bytes.

use super::refusal::Refusal;
use crate::error::ErrorKind;
use crate::location::Keytab;
use base64::Engine as _;
use rustix::fs::MemfdFlags;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// Longest keytab we read; real ones have a few kilobytes.
const MAX_KEYTAB: u64 = 4 << 20;
const VERSION: [u8; 2] = [5, 2];

/// A keytab that holds the principal's key.
#[derive(Debug)]
pub(super) struct Checked {
    /// Where the Kerberos library finds it.
    pub(super) path: PathBuf,
    /// What was given as content stands in memory, as a file that only this process sees.
    _memory: Option<File>,
}

/// Looks `principal` up in `keytab`.
pub(super) fn check(keytab: &Keytab, principal: &str) -> Result<Checked, Refusal> {
    match keytab {
        Keytab::File(path) => {
            let plain = path.to_str().and_then(|text| text.strip_prefix("FILE:")).map_or(path.as_path(), Path::new);
            let shown = format!("the keytab {}", plain.display());
            let bytes = read(plain).map_err(|error| {
                let reason = format!("{shown} cannot be read: {error}");
                let kind = match error.kind() {
                    std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                    std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                    _ => ErrorKind::Io,
                };
                Refusal::new(kind, reason, "check `kerberos_keytab`, and that this user may read the file")
            })?;
            look_up(&bytes, principal, &shown)?;
            let path = std::path::absolute(plain).unwrap_or_else(|_| plain.to_owned());
            Ok(Checked { path, _memory: None })
        }
        Keytab::Content(text) => {
            let text: String = text.reveal().chars().filter(|c| !c.is_whitespace()).collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| {
                Refusal::property("kerberos_keytab_content", "it is no base64, as `base64 -w0 FILE` writes it")
            })?;
            look_up(&bytes, principal, "`kerberos_keytab_content`")?;
            let memory = in_memory(&bytes).map_err(|error| {
                Refusal::new(
                    ErrorKind::Io,
                    format!("the keytab cannot be handed on: {error}"),
                    "give `kerberos_keytab`",
                )
            })?;
            let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
            Ok(Checked { path, _memory: Some(memory) })
        }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    file.take(MAX_KEYTAB + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// No name on any disk, and gone with the process.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("keytab", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// A principal without a realm is of the default realm, which the library knows: then any realm will do here.
fn look_up(bytes: &[u8], principal: &str, shown: &str) -> Result<(), Refusal> {
    let there = principals(bytes).ok_or_else(|| {
        let reason = format!("{shown} is no keytab file, or a damaged one");
        Refusal::new(ErrorKind::Invalid, reason, "`klist -kt FILE` shows what a keytab holds")
    })?;
    let same = |held: &String| match principal.contains('@') {
        true => held == principal,
        false => held.rsplit_once('@').is_some_and(|(name, _)| name == principal),
    };
    if there.iter().any(same) {
        return Ok(());
    }
    let held = match there.len() {
        0 => "it holds none".to_owned(),
        count => {
            let some: Vec<_> = there.iter().take(5).map(String::as_str).collect();
            format!("it holds {}{}", some.join(", "), if count > some.len() { ", …" } else { "" })
        }
    };
    let reason = format!("{shown} has no key of the principal {principal}: {held}");
    Err(Refusal::new(
        ErrorKind::PermissionDenied,
        reason,
        "check `kerberos_principal` and the keytab; names are case-sensitive",
    ))
}

/// The principals of a keytab, as `name/instance@REALM`; none when it is no keytab.
fn principals(bytes: &[u8]) -> Option<BTreeSet<String>> {
    if bytes.len() as u64 > MAX_KEYTAB {
        return None;
    }
    let mut rest = bytes.strip_prefix(&VERSION)?;
    let mut found = BTreeSet::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
        // An entry that was deleted leaves a hole of so many bytes.
        let Ok(size) = usize::try_from(length.unsigned_abs()) else { return None };
        if size == 0 {
            break;
        }
        let mut entry = take(&mut rest, size)?;
        if length > 0 {
            found.insert(principal(&mut entry)?);
        }
    }
    Some(found)
}

fn principal(entry: &mut &[u8]) -> Option<String> {
    let count = number(entry)?;
    let realm = text(entry)?;
    let mut name = String::new();
    for part in 0..count {
        if part > 0 {
            name.push('/');
        }
        name.push_str(&text(entry)?);
    }
    Some(format!("{name}@{realm}"))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take(rest, 2)?.try_into().ok()?))
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = number(rest)?;
    let bytes = take(rest, usize::from(length))?;
    Some(String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::location::Secret;
    use proptest::prelude::*;

    /// A keytab as MIT's `ktutil` writes it.
    fn keytab(principals: &[&str]) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        let counted = |out: &mut Vec<u8>, text: &[u8]| {
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text);
        };
        for principal in principals {
            let (name, realm) = principal.split_once('@').unwrap();
            let mut entry = (name.split('/').count() as u16).to_be_bytes().to_vec();
            counted(&mut entry, realm.as_bytes());
            name.split('/').for_each(|part| counted(&mut entry, part.as_bytes()));
            entry.extend([0, 0, 0, 1, 1, 2, 3, 4, 2, 0, 18]);
            counted(&mut entry, &[7; 32]);
            entry.extend([0, 0, 0, 2]);
            bytes.extend((entry.len() as i32).to_be_bytes());
            bytes.extend(entry);
        }
        bytes
    }

    fn said(keytab: &Keytab, principal: &str) -> (ErrorKind, String) {
        let refusal = check(keytab, principal).unwrap_err();
        (refusal.kind, refusal.reason)
    }

    #[test]
    fn principals_are_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let mut bytes = keytab(&["ann@A.COM", "nn/host.a.com@A.COM"]);
        bytes.extend((-6i32).to_be_bytes());
        bytes.extend([0; 6]);
        bytes.extend(&keytab(&["late@A.COM"])[2..]);
        std::fs::write(&path, &bytes).unwrap();
        let file = Keytab::File(path.clone());
        for there in ["ann@A.COM", "ann", "nn/host.a.com@A.COM", "nn/host.a.com", "late@A.COM"] {
            assert_eq!(check(&file, there).unwrap().path, path, "{there}");
        }
        let prefixed = Keytab::File(format!("FILE:{}", path.display()).into());
        assert_eq!(check(&prefixed, "ann@A.COM").unwrap().path, path);
        for missing in ["Ann@A.COM", "ann@B.COM", "nn", "host.a.com", "", "@A.COM"] {
            let (kind, reason) = said(&file, missing);
            assert!(kind == ErrorKind::PermissionDenied && reason.contains("ann@A.COM"), "{missing}: {reason}");
        }
        assert_eq!(said(&Keytab::File(dir.path().join("none")), "ann").0, ErrorKind::NotFound);
        assert_eq!(said(&Keytab::File(dir.path().to_owned()), "ann").0, ErrorKind::Io);
        std::fs::write(&path, "no keytab").unwrap();
        assert_eq!(said(&file, "ann").0, ErrorKind::Invalid);
    }

    #[test]
    fn content_is_held_in_memory() {
        let bytes = keytab(&["ann@A.COM"]);
        let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let (head, tail) = text.split_at(20);
        let checked = check(&Keytab::Content(Secret::new(format!("{head}\n{tail}"))), "ann@A.COM").unwrap();
        assert_eq!(std::fs::read(&checked.path).unwrap(), bytes);
        let (kind, reason) = said(&Keytab::Content(Secret::new("hidden!".to_owned())), "ann");
        assert!(kind == ErrorKind::Invalid && !reason.contains("hidden"), "{reason}");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..100usize) {
            let _ = principals(&bytes);
            let _ = principals(&[VERSION.as_slice(), &bytes].concat());
            let whole = keytab(&["ann@A.COM", "nn/h@A.COM"]);
            let _ = principals(&whole[..cut.min(whole.len())]);
        }
    }
}
