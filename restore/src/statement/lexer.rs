//! Text to tokens, by the rules of StarRocks' lexer: backquoted names with doubled backquotes, strings in either quote with backslash
//! escapes and doubled quotes, `--`, `#` and `/* */` comments.

use super::StatementError;

/// A token and where it starts (line and column from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub line: usize,
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word: keyword, name or number.
    Word(String),
    /// A name in backquotes: never a keyword.
    Quoted(String),
    /// A string.
    Text(String),
    /// One of `( ) , ; = .`
    Symbol(char),
    /// `\G`, which ends a statement as `;` does, and asks for its rows one below the other.
    Vertical,
    /// A number without a sign, in a condition.
    Number(String),
    /// What compares, in a condition: one of [`OPERATORS`].
    Operator(&'static str),
}

/// Longer ones first.
const OPERATORS: [&str; 12] = ["<=>", "<=", ">=", "<>", "!=", "&&", "||", "<", ">", "!", "-", "+"];

/// An error, and whether more text could mend it.
#[derive(Debug)]
pub(crate) struct LexError {
    pub error: StatementError,
    pub unfinished: bool,
}

struct Cursor<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    /// True if the character behind the next one is a digit.
    fn digit_follows(&self) -> bool {
        self.rest.clone().nth(1).is_some_and(|c| c.is_ascii_digit())
    }

    /// True if the character behind the next one is `wanted`.
    fn follows(&self, wanted: char) -> bool {
        self.rest.clone().nth(1) == Some(wanted)
    }
}

/// All tokens of statements.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, LexError> {
    lex(text, false)
}

/// All tokens of a condition, which has numbers and operators that statements have not.
pub(crate) fn condition(text: &str) -> Result<Vec<Token>, LexError> {
    lex(text, true)
}

fn lex(text: &str, condition: bool) -> Result<Vec<Token>, LexError> {
    let mut cursor = Cursor { rest: text.chars().peekable(), line: 1, column: 1 };
    let mut tokens = Vec::new();
    while let Some(c) = cursor.peek() {
        let (line, column) = (cursor.line, cursor.column);
        let fail = |unfinished, reason: String| LexError { error: StatementError { line, column, reason }, unfinished };
        let kind = match c {
            c if c.is_whitespace() => {
                cursor.next();
                continue;
            }
            '#' => {
                skip_line(&mut cursor);
                continue;
            }
            c if condition && (c.is_ascii_digit() || c == '.' && cursor.digit_follows()) => {
                let number = number(&mut cursor).ok_or_else(|| fail(false, "this is no number".into()))?;
                tokens.push(Token { kind: Kind::Number(number), line, column });
                continue;
            }
            '-' | '/' => {
                cursor.next();
                match (c, cursor.peek()) {
                    ('-', Some('-')) => skip_line(&mut cursor),
                    ('/', Some('*')) => {
                        if !skip_block(&mut cursor) {
                            return Err(fail(true, "this comment is never closed".into()));
                        }
                    }
                    ('-', _) if condition => tokens.push(Token { kind: Kind::Operator("-"), line, column }),
                    ('-', Some(digit)) if digit.is_ascii_digit() => {
                        let number = format!("-{}", word(&mut cursor));
                        tokens.push(Token { kind: Kind::Word(number), line, column });
                    }
                    _ => return Err(fail(false, format!("`{c}` is not expected here"))),
                }
                continue;
            }
            '`' => Kind::Quoted(backquoted(&mut cursor).ok_or_else(|| fail(true, "this name is never closed".into()))?),
            '"' | '\'' => {
                Kind::Text(string(&mut cursor, c).ok_or_else(|| fail(true, "this string is never closed".into()))?)
            }
            '(' | ')' | ',' | ';' | '=' | '.' => {
                cursor.next();
                Kind::Symbol(c)
            }
            '\\' if !condition && cursor.follows('G') => {
                cursor.next();
                cursor.next();
                Kind::Vertical
            }
            c if is_word(c) => Kind::Word(word(&mut cursor)),
            c if condition => {
                Kind::Operator(operator(&mut cursor).ok_or_else(|| fail(false, format!("{c:?} is not expected here")))?)
            }
            c => return Err(fail(false, format!("{c:?} is not expected here"))),
        };
        tokens.push(Token { kind, line, column });
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@') || !c.is_ascii() && !c.is_control()
}

fn word(cursor: &mut Cursor) -> String {
    let mut word = String::new();
    while let Some(c) = cursor.peek().filter(|c| is_word(*c)) {
        word.push(c);
        cursor.next();
    }
    word
}

/// `12`, `1.5`, `.5`, `1e-3`; nothing where more follows than that.
fn number(cursor: &mut Cursor) -> Option<String> {
    fn digits(cursor: &mut Cursor, out: &mut String) -> bool {
        let before = out.len();
        while let Some(digit) = cursor.peek().filter(char::is_ascii_digit) {
            out.push(digit);
            cursor.next();
        }
        out.len() > before
    }
    let mut out = String::new();
    let mut any = digits(cursor, &mut out);
    if cursor.peek() == Some('.') {
        cursor.next();
        out.push('.');
        any |= digits(cursor, &mut out);
    }
    if let Some('e' | 'E') = cursor.peek() {
        cursor.next();
        out.push('e');
        if let Some(sign @ ('-' | '+')) = cursor.peek() {
            cursor.next();
            out.push(sign);
        }
        any &= digits(cursor, &mut out);
    }
    let ends = cursor.peek().is_none_or(|c| !is_word(c) && c != '.');
    (any && ends).then_some(out)
}

fn operator(cursor: &mut Cursor) -> Option<&'static str> {
    let found = OPERATORS.into_iter().find(|operator| {
        let mut rest = cursor.rest.clone();
        operator.chars().all(|c| rest.next() == Some(c))
    })?;
    for _ in found.chars() {
        cursor.next();
    }
    Some(found)
}

fn skip_line(cursor: &mut Cursor) {
    while cursor.next().is_some_and(|c| c != '\n') {}
}

fn skip_block(cursor: &mut Cursor) -> bool {
    cursor.next();
    let mut star = false;
    while let Some(c) = cursor.next() {
        if star && c == '/' {
            return true;
        }
        star = c == '*';
    }
    false
}

fn backquoted(cursor: &mut Cursor) -> Option<String> {
    cursor.next();
    let mut name = String::new();
    loop {
        match cursor.next()? {
            '`' if cursor.peek() == Some('`') => name.push(cursor.next()?),
            '`' => return Some(name),
            c => name.push(c),
        }
    }
}

fn string(cursor: &mut Cursor, quote: char) -> Option<String> {
    cursor.next();
    let mut text = String::new();
    loop {
        match cursor.next()? {
            c if c == quote && cursor.peek() == Some(quote) => text.push(cursor.next()?),
            c if c == quote => return Some(text),
            '\\' => match cursor.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'b' => text.push('\u{8}'),
                '0' => text.push('\0'),
                'Z' => text.push('\u{1a}'),
                // `\%` and `\_` keep their backslash, as they mean something to LIKE.
                c @ ('%' | '_') => text.extend(['\\', c]),
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
}
