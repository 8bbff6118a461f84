//! Values that are more than a word or a number.

use starsnap_restore::export::{Shard, Split};

/// Parts of one export, at most.
const MAX_SHARDS: u32 = 10_000;

/// A table to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChoice {
    pub name: String,
    /// The name to restore it under.
    pub alias: Option<String>,
}

/// `TABLE[=ALIAS]`; `\=` stands for an equals sign in a name.
pub(super) fn parse_table(text: &str) -> Result<TableChoice, String> {
    let mut names = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '=' if !escaped => names.push(String::new()),
            _ => {
                let Some(name) = names.last_mut() else { break };
                if escaped && c != '=' && c != '\\' {
                    name.push('\\');
                }
                name.push(c);
                escaped = false;
            }
        }
    }
    if names.len() > 2 || escaped || names.iter().any(String::is_empty) {
        return Err("expected TABLE or TABLE=ALIAS, with \\= for an equals sign in a name".to_owned());
    }
    let alias = if names.len() == 2 { names.pop() } else { None };
    Ok(TableChoice { name: names.pop().unwrap_or_default(), alias })
}

/// Bytes per second: a number with an optional unit KiB, MiB, GiB (K, M, G mean the same) and an optional `/s`.
pub(super) fn parse_rate(text: &str) -> Result<u64, String> {
    let problem = || format!("`{text}` is no speed: expected bytes per second such as 500KiB, 50MiB, 1.5GiB");
    parse_bytes(text.trim().trim_end_matches("/s")).ok_or_else(problem)
}

/// Bytes, with the units of [`parse_rate`].
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_bytes(text.trim()).ok_or_else(|| format!("`{text}` is no size: expected bytes such as 256MiB, 1.5GiB"))
}

fn parse_bytes(bare: &str) -> Option<u64> {
    let split = bare.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(bare.len());
    let (number, unit) = bare.split_at(split);
    let scale = match unit.trim() {
        "" | "B" => 1.0,
        "K" | "k" | "KiB" => 1024.0,
        "M" | "MiB" => 1024.0 * 1024.0,
        "G" | "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * scale;
    // Beyond this, a limit means nothing; below one byte nothing would ever move.
    (1.0..=1e15).contains(&bytes).then_some(bytes as u64)
}

/// `tablet`, `rows=N` or `bytes=SIZE`.
pub(super) fn parse_split(text: &str) -> Result<Split, String> {
    let problem = || format!("`{text}` is no way to split: expected tablet, rows=1000000 or bytes=256MiB");
    match text.split_once('=') {
        None if text == "tablet" => Ok(Split::Tablet),
        Some(("rows", rows)) => rows.parse().ok().filter(|rows| *rows > 0).map(Split::Rows).ok_or_else(problem),
        Some(("bytes", size)) if !size.contains('/') => parse_rate(size).map(Split::Bytes).map_err(|_| problem()),
        _ => Err(problem()),
    }
}

/// `I/N`, from 0/N to N-1/N.
pub(super) fn parse_shard(text: &str) -> Result<Shard, String> {
    let parsed = text
        .split_once('/')
        .and_then(|(index, count)| Some(Shard { index: index.parse().ok()?, count: count.parse().ok()? }));
    parsed
        .filter(|shard| shard.index < shard.count && shard.count <= MAX_SHARDS)
        .ok_or_else(|| format!("`{text}` is no part: expected I/N with I from 0 to N-1, and N at most {MAX_SHARDS}"))
}

/// More than 0 and at most 100 percent; the sign may be left out.
pub(super) fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').parse::<f64>().ok();
    let percent = number.filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.ok_or_else(|| format!("`{text}` is no share: expected more than 0% and at most 100%, such as 5%"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn splits_and_shards() {
        assert_eq!(parse_split("tablet"), Ok(Split::Tablet));
        assert_eq!(parse_split("rows=10"), Ok(Split::Rows(10)));
        assert_eq!(parse_split("bytes=1.5MiB"), Ok(Split::Bytes(3 << 19)));
        for bad in ["", "rows", "rows=0", "rows=-1", "bytes=", "bytes=1MiB/s", "tablets", "rows=1=2"] {
            assert!(parse_split(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_shard("0/1"), Ok(Shard { index: 0, count: 1 }));
        assert_eq!(parse_shard("7/8"), Ok(Shard { index: 7, count: 8 }));
        for bad in ["", "0", "8/8", "-1/8", "0/0", "1/2/3", "0/10001", "a/b"] {
            assert!(parse_shard(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_and_aliases() {
        let choice = |name: &str, alias: Option<&str>| {
            Ok(TableChoice { name: name.to_owned(), alias: alias.map(str::to_owned) })
        };
        assert_eq!(parse_table("orders"), choice("orders", None));
        assert_eq!(parse_table("orders=old"), choice("orders", Some("old")));
        assert_eq!(parse_table(r"a\=b=c"), choice("a=b", Some("c")));
        assert_eq!(parse_table(r"a\b\\"), choice(r"a\b\", None));
        for bad in ["", "=", "a=", "=b", "a=b=c", r"a\"] {
            assert!(parse_table(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(parse_percent("5%"), Ok(5.0));
        assert_eq!(parse_percent("0.5"), Ok(0.5));
        assert_eq!(parse_percent("100%"), Ok(100.0));
        for bad in ["", "%", "0", "101%", "-1", "nan", "inf", "five"] {
            assert!(parse_percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("1"), Ok(1));
        assert_eq!(parse_rate("500KiB"), Ok(500 << 10));
        assert_eq!(parse_rate("50M"), Ok(50 << 20));
        assert_eq!(parse_rate("1.5 GiB/s"), Ok(3 << 29));
        for bad in ["", "0", "fast", "-1", "1TB", "nan", "1e3", "1.5.5", "0.1"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
