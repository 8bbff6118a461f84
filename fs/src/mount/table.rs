//! The kernel's table of mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What the table says of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Major and minor number: `0:52`.
    pub device: String,
    pub path: PathBuf,
    pub kind: String,
}

/// All mounts that this process can reach, those on top last. Empty where there is no `/proc`.
pub(super) fn read() -> Vec<Entry> {
    parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
}

/// What is mounted exactly at `path`; the topmost where there are several.
pub(super) fn at(path: &Path) -> Option<Entry> {
    read().into_iter().rfind(|entry| entry.path == path)
}

/// Bytes, as paths need not be UTF-8.
fn parse(table: &[u8]) -> Vec<Entry> {
    let entry = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = String::from_utf8(fields.nth(2)?.to_vec()).ok()?;
        let path = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(Entry { device, path, kind: String::from_utf8_lossy(kind).into_owned() })
    };
    table.split(|byte| *byte == b'\n').filter_map(entry).collect()
}

/// Blanks, newlines and backslashes stand as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = || {
            let digits = std::str::from_utf8(after.get(..3)?).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        match (*first == b'\\').then(octal).flatten() {
            Some(byte) => {
                out.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo_are_understood() {
        let table = b"22 1 0:21 / /a\\040b\\134 rw shared:1 master:2 - fuse.starsnap x ro\nno line\n23 1 0:22 / /\xff rw - ext4 y rw\n";
        let entries = parse(table);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries.first().map(|entry| (&*entry.device, &*entry.kind)), Some(("0:21", "fuse.starsnap")));
        assert_eq!(entries.first().map(|entry| entry.path.as_path()), Some(Path::new("/a b\\")));
        assert_eq!(entries.last().map(|entry| &*entry.kind), Some("ext4"));
        assert_eq!(unescape(b"\\04\\9"), b"\\04\\9");
    }
}
