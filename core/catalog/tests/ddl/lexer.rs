//! Names and strings of a statement as StarRocks' lexer reads them: a doubled quote is one; in strings a backslash makes `\n`, `\t`, `\r`,
//! `\b`, `\0`, `\Z`, stays before `%` and `_`, and goes before anything else.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Between backticks.
    Name(String),
    /// Between single or double quotes.
    Text(String),
    /// Any other run without blanks, and each sign.
    Word(String),
    /// After `--`.
    Comment(String),
}

/// All tokens; an error names the byte where something is not closed.
pub fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            char if char.is_ascii_whitespace() => at += 1,
            '-' if chars.get(at + 1) == Some(&'-') => {
                let end = chars[at..]
                    .iter()
                    .position(|char| *char == '\n' || *char == '\r')
                    .map_or(chars.len(), |length| at + length);
                out.push(Token::Comment(chars[at..end].iter().collect()));
                at = end;
            }
            quote @ ('`' | '"' | '\'') => {
                let (token, end) = quoted(&chars, at, quote)?;
                out.push(token);
                at = end;
            }
            char if is_word(char) => {
                let end = chars[at..].iter().position(|char| !is_word(*char));
                let end = end.map_or(chars.len(), |length| at + length);
                out.push(Token::Word(chars[at..end].iter().collect()));
                at = end;
            }
            sign => {
                out.push(Token::Word(sign.to_string()));
                at += 1;
            }
        }
    }
    Ok(out)
}

/// A letter of StarRocks' grammar, or a digit.
fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '$' | '\u{80}'..='\u{ffff}')
}

fn quoted(chars: &[char], start: usize, quote: char) -> Result<(Token, usize), usize> {
    let mut raw = String::new();
    let mut at = start + 1;
    loop {
        match *chars.get(at).ok_or(start)? {
            '\\' if quote != '`' => {
                raw.push('\\');
                raw.push(*chars.get(at + 1).ok_or(start)?);
                at += 2;
            }
            char if char == quote && chars.get(at + 1) == Some(&quote) => {
                raw.push(quote);
                at += 2;
            }
            char if char == quote => break,
            char => {
                raw.push(char);
                at += 1;
            }
        }
    }
    let token = if quote == '`' { Token::Name(raw) } else { Token::Text(unescaped(&raw)) };
    Ok((token, at + 1))
}

fn unescaped(raw: &str) -> String {
    let mut out = String::new();
    let mut chars = raw.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('0') => out.push('\0'),
            Some('Z') => out.push('\u{1a}'),
            Some(wildcard @ ('%' | '_')) => out.extend(['\\', wildcard]),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}
