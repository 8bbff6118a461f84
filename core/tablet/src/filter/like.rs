//! Patterns of LIKE.

/// A pattern, taken apart. `%` stands for any text, `_` for one character, a backslash takes the meaning from what follows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Any,
    One,
    Byte(u8),
}

impl Pattern {
    pub fn parse(text: &[u8]) -> Self {
        let mut parts = Vec::with_capacity(text.len());
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            let part = match byte {
                b'%' => Part::Any,
                b'_' => Part::One,
                // At the end a backslash is one.
                b'\\' => Part::Byte(bytes.next().copied().unwrap_or(b'\\')),
                byte => Part::Byte(byte),
            };
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        Pattern(parts)
    }

    /// What every match begins with.
    pub fn prefix(&self) -> Vec<u8> {
        let bytes = self.0.iter().map_while(|part| if let Part::Byte(byte) = part { Some(*byte) } else { None });
        bytes.collect()
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        // Where to go on when what follows the last `%` does not fit here: one byte later.
        let mut again = None;
        loop {
            let fits = match self.0.get(part) {
                None => at == text.len(),
                Some(Part::Any) => {
                    part += 1;
                    again = Some((part, at));
                    continue;
                }
                Some(Part::One) => at < text.len(),
                Some(Part::Byte(byte)) => text.get(at) == Some(byte),
            };
            if fits {
                match self.0.get(part) {
                    None => return true,
                    Some(Part::One) => at += character_len(&text[at..]),
                    _ => at += 1,
                }
                part += 1;
                continue;
            }
            match &mut again {
                Some((back, from)) if *from < text.len() => {
                    *from += 1;
                    (part, at) = (*back, *from);
                }
                _ => return false,
            }
        }
    }
}

/// Bytes of the first character; a byte that begins none is one of its own.
fn character_len(text: &[u8]) -> usize {
    let len = match text.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    match text.get(..len) {
        Some(first) if std::str::from_utf8(first).is_ok() => len,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn like(text: &str, pattern: &str) -> bool {
        Pattern::parse(pattern.as_bytes()).matches(text.as_bytes())
    }

    #[test]
    fn patterns_match_as_sql_says() {
        for (text, pattern) in [
            ("", ""),
            ("", "%"),
            ("abc", "abc"),
            ("abc", "a%"),
            ("abc", "%c"),
            ("abc", "%b%"),
            ("abc", "___"),
            ("abc", "_b_"),
            ("aXbXc", "a%b%c"),
            ("a%c", r"a\%c"),
            ("a_c", r"a\_c"),
            (r"a\", r"a\"),
            (r"a\b", r"a\\b"),
            ("äöü", "_ö_"),
            ("aab", "%ab"),
            ("mississippi", "m%iss%pi"),
            ("line\nbreak", "line%break"),
        ] {
            assert!(like(text, pattern), "{text:?} LIKE {pattern:?}");
        }
        for (text, pattern) in [
            ("", "_"),
            ("abc", "ab"),
            ("abc", "%b"),
            ("ABC", "abc"),
            ("abc", r"a\%c"),
            ("äöü", "______"),
            ("abc", "____"),
            ("mississippi", "m%iss%pi_"),
        ] {
            assert!(!like(text, pattern), "{text:?} NOT LIKE {pattern:?}");
        }
    }

    /// By recursion over characters.
    fn plain(text: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|at| plain(&text[at..], rest)),
            ['\\', c, rest @ ..] => text.first() == Some(c) && plain(&text[1..], rest),
            ['_', rest @ ..] => !text.is_empty() && plain(&text[1..], rest),
            [c, rest @ ..] => text.first() == Some(c) && plain(&text[1..], rest),
        }
    }

    proptest! {
        #[test]
        fn matching_equals_the_definition(text in "[abä%_\\\\]{0,8}", pattern in "[abä%_\\\\]{0,7}") {
            let (chars, parts): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
            prop_assert_eq!(like(&text, &pattern), plain(&chars, &parts));
        }

        #[test]
        fn matches_begin_with_the_prefix(text in "[ab]{0,8}", pattern in "[ab%_]{0,7}") {
            let pattern = Pattern::parse(pattern.as_bytes());
            prop_assert!(!pattern.matches(text.as_bytes()) || text.as_bytes().starts_with(&pattern.prefix()));
        }
    }
}
