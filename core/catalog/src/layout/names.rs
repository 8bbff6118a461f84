//! Stored names as path components: percent escapes, and the marks that no stored name can produce.
//!
//! A `%` in a component is either followed by two upper-case hex digits (an escaped byte), or it begins a mark of ours: `%~` (shortened),
//! `%#` (told apart by number), `%temporary`, `%view`, `%function`, or it stands alone (the empty name). So marked components never meet
//! escaped ones. The same goes for components with a leading dot, as a stored leading dot is escaped.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// Longest escaped name in bytes. The rest of the 255 bytes that file systems allow is room for marks and extensions.
pub const MAX_ESCAPED: usize = 220;

/// What an escaped name that is too long keeps of itself, before `%~` and 32 hex digits.
const KEPT: usize = 180;

/// The mark of a shortened name.
const SHORTENED: &str = "%~";

/// Escapes a stored name into one safe path component of at most [`MAX_ESCAPED`] bytes.
///
/// `%`, `/`, control characters, a leading dot, blanks at either end, and characters that reorder text become `%XX` per UTF-8 byte; the
/// empty name becomes `%`; everything else stays as it is. [`unescape`] gives the name back. A name whose escaped form would be too
/// long becomes `<beginning>%~<hash>`, which cannot be turned back: `table.json` holds the true name.
pub fn escape(name: &str) -> String {
    if name.is_empty() {
        return "%".into();
    }
    let end = name.len();
    let mut out = String::with_capacity(end);
    let mut keep = 0;
    for (at, c) in name.char_indices() {
        let edge = at == 0 || at + c.len_utf8() == end;
        if must_escape(c) || (at == 0 && c == '.') || (edge && c.is_whitespace()) {
            push_escaped(&mut out, c);
        } else {
            out.push(c);
        }
        if out.len() <= KEPT {
            keep = out.len();
        } else if out.len() > MAX_ESCAPED {
            // Names come from files: hash all of it, but do not build what is thrown away.
            out.truncate(keep);
            let _ = write!(out, "{SHORTENED}{:032x}", fnv1a(name.as_bytes()));
            return out;
        }
    }
    out
}

/// The stored name of a path component; `None` when no stored name escapes to it, or the name was shortened.
pub fn unescape(component: &str) -> Option<String> {
    if component == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(component.len());
    let mut rest = component.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => bytes.push(hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?),
            byte => bytes.push(byte),
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    // Several components could decode to one name; only the one that `escape` makes counts.
    (!name.is_empty() && escape(&name) == component).then_some(name)
}

/// True when `component` is a shortened name: only `table.json` or `snapshot.json` know the whole.
pub fn is_shortened(component: &str) -> bool {
    component.contains(SHORTENED)
}

/// Escapes the name of a rollup, whose directory stands beside tablet ids: a name that reads like a number gets its first character
/// escaped.
pub fn escape_rollup(name: &str) -> String {
    if !reads_like_id(name) {
        return escape(name);
    }
    let mut out = String::with_capacity(name.len() + 2);
    let mut chars = name.chars();
    if let Some(first) = chars.next() {
        push_escaped(&mut out, first);
    }
    out.push_str(chars.as_str());
    out
}

/// The rollup's name of a directory beside tablet ids; `None` for tablet ids and for what no rollup's name escapes to.
pub fn unescape_rollup(component: &str) -> Option<String> {
    if let Some(name) = unescape(component) {
        return (!reads_like_id(&name)).then_some(name);
    }
    let (first, rest) = component.strip_prefix('%')?.split_at_checked(2)?;
    let first = char::from(u8::from_str_radix(first, 16).ok()?);
    let name = format!("{first}{rest}");
    (reads_like_id(&name) && escape_rollup(&name) == component).then_some(name)
}

/// `ours`, with as many leading `_` as it takes to be free: our files give way to stored names.
pub fn give_way(ours: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = ours.to_owned();
    while taken(&name) {
        name.insert(0, '_');
    }
    name
}

/// The names of one directory.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// The number to try next, by base and extension: a damaged file may have very many objects of one name.
    next: HashMap<(String, &'static str), u64>,
}

impl Names {
    /// True when something has the name.
    pub fn has(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// Takes a name; false when something has it.
    pub fn take(&mut self, name: &str) -> bool {
        !self.has(name) && self.taken.insert(name.to_owned())
    }

    /// Takes `base` + `extension` for an object, or with `%#2`, `%#3`, … before the extension what is still free. Needed only where a
    /// repository contradicts itself (two tables of one name), or the hashes of shortened names meet.
    pub fn claim(&mut self, base: &str, extension: &'static str) -> String {
        let mut name = format!("{base}{extension}");
        if self.take(&name) {
            return name;
        }
        let number = self.next.entry((base.to_owned(), extension)).or_insert(2);
        loop {
            name = format!("{base}%#{number}{extension}");
            *number += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Takes a name for a file of ours, which gives way.
    pub fn ours(&mut self, name: &str) -> String {
        let name = give_way(name, |name| self.has(name));
        self.take(&name);
        name
    }
}

/// Digits, perhaps with a sign: what a tablet id looks like. No id has 32 of them.
fn reads_like_id(name: &str) -> bool {
    let digits = name.strip_prefix('-').unwrap_or(name);
    !digits.is_empty() && digits.len() < 32 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Characters that are never shown raw: the escape character, the separator, controls, and invisible ones that reorder or break lines,
/// which would make a listing lie.
fn must_escape(c: char) -> bool {
    matches!(c, '%' | '/' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c.is_control()
}

fn push_escaped(out: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let _ = write!(out, "%{byte:02X}");
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// FNV-1a, 128 bits: tells names apart that share a beginning. Names made to collide are told apart by number.
fn fnv1a(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}
