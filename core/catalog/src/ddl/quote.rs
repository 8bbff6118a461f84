//! Names and strings as StarRocks' lexer reads them back.

/// A name between backticks; a backtick inside is doubled.
pub fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A name as StarRocks prints partitions, indexes, struct fields and sort keys: bare where its grammar reads it as one word, else between
/// backticks.
pub fn bare(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { name(text) }
}

/// A list of names between backticks.
pub fn names<'a>(list: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    list.into_iter().map(name).collect::<Vec<_>>().join(separator)
}

/// A string between double quotes.
pub fn double(text: &str) -> String {
    format!("\"{}\"", escape(text, '"'))
}

/// A string between single quotes.
pub fn single(text: &str) -> String {
    format!("'{}'", escape(text, '\''))
}

/// A list of `"key" = "value"` pairs.
pub fn pairs<'a>(list: impl IntoIterator<Item = (&'a String, &'a String)>, separator: &str) -> String {
    let pair = |(key, value): (&String, &String)| format!("{} = {}", double(key), double(value));
    list.into_iter().map(pair).collect::<Vec<_>>().join(separator)
}

/// The text as `-- ` comment lines: nothing in it can end the comment and become a statement.
pub fn comment(text: &str) -> String {
    text.split(['\n', '\r']).filter(|line| !line.is_empty()).map(|line| format!("-- {line}\n")).collect()
}

/// A function name: words are printed bare even where reserved, as a parenthesis follows.
pub fn bare_function(text: &str) -> String {
    let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if word && !text.is_empty() { text.to_owned() } else { name(text) }
}

// Only the quote that delimits is escaped. `%` and `_` need nothing: a backslash before them is kept by the lexer, and ours are doubled.
fn escape(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\0' => out.push_str("\\0"),
            '\u{1a}' => out.push_str("\\Z"),
            char if char == quote => out.extend(['\\', char]),
            char => out.push(char),
        }
    }
    out
}

/// One word of StarRocks' grammar, and not reserved: letters (ASCII, `$`, `_`, U+0080 to U+FFFF) and digits. It may begin with a digit
/// where a letter follows that does not make it a number (`1st`, but not `1e5` or `0xff`).
fn is_plain(text: &str) -> bool {
    let visible = |char: char| !char.is_whitespace() && !char.is_control();
    let letter =
        |char: char| char.is_ascii_alphabetic() || (matches!(char, '$' | '_' | '\u{80}'..='\u{ffff}') && visible(char));
    let word = text.chars().all(|char| letter(char) || char.is_ascii_digit());
    let after_digits = text.trim_start_matches(|char: char| char.is_ascii_digit());
    let first = after_digits.chars().next();
    let number =
        after_digits.len() < text.len() && first.is_some_and(|char| matches!(char, 'e' | 'E' | 'x' | 'X' | 'l' | 'L'));
    word && first.is_some() && !number && RESERVED.binary_search(&text.to_ascii_uppercase().as_str()).is_err()
}

/// Words that StarRocks' grammar does not take as a name, sorted.
const RESERVED: &[&str] = &[
    "ADD",
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BIGINT",
    "BITMAP",
    "BOTH",
    "BY",
    "CASE",
    "CHAR",
    "CHARACTER",
    "CHECK",
    "COLLATE",
    "COLUMN",
    "COMPACTION",
    "CONVERT",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT_DATE",
    "CURRENT_ROLE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "DATABASE",
    "DATABASES",
    "DECIMAL",
    "DECIMAL128",
    "DECIMAL256",
    "DECIMAL32",
    "DECIMAL64",
    "DECIMALV2",
    "DEFAULT",
    "DEFERRED",
    "DELETE",
    "DENSE_RANK",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "DUAL",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FIRST_VALUE",
    "FLOAT",
    "FOR",
    "FORCE",
    "FROM",
    "FULL",
    "FUNCTION",
    "GRANT",
    "GROUP",
    "GROUPING",
    "GROUPING_ID",
    "GROUPS",
    "HAVING",
    "HLL",
    "IF",
    "IGNORE",
    "IMMEDIATE",
    "IN",
    "INDEX",
    "INFILE",
    "INNER",
    "INSERT",
    "INT",
    "INTEGER",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "JSON",
    "KEY",
    "KEYS",
    "KILL",
    "LAG",
    "LARGEINT",
    "LAST_VALUE",
    "LATERAL",
    "LEAD",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOAD",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "MAXVALUE",
    "MOD",
    "NOT",
    "NTILE",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OUTFILE",
    "OVER",
    "PARTITION",
    "PERCENTILE",
    "PRIMARY",
    "PROCEDURE",
    "RANGE",
    "READ",
    "REGEXP",
    "RELEASE",
    "RENAME",
    "REPLACE",
    "REVOKE",
    "RIGHT",
    "RLIKE",
    "ROWS",
    "ROW_NUMBER",
    "SCHEMA",
    "SCHEMAS",
    "SELECT",
    "SET",
    "SET_VAR",
    "SHOW",
    "SMALLINT",
    "SYSTEM",
    "TABLE",
    "TERMINATED",
    "TEXT",
    "THEN",
    "TINYINT",
    "TO",
    "TRUE",
    "UNION",
    "UNIQUE",
    "UNSIGNED",
    "UPDATE",
    "USE",
    "USING",
    "VALUES",
    "VARCHAR",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What Java's CASE_INSENSITIVE_ORDER compares: UTF-16 units, each in upper case and then in lower.
pub fn without_case(text: &str) -> Vec<u16> {
    // Only characters that stay one are changed, as in Java.
    fn single(char: char, mut changed: impl Iterator<Item = char>) -> char {
        match (changed.next(), changed.next()) {
            (Some(changed), None) => changed,
            _ => char,
        }
    }
    let fold = |char: char| {
        let upper = single(char, char.to_uppercase());
        single(upper, upper.to_lowercase())
    };
    text.chars().map(fold).collect::<String>().encode_utf16().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted() {
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn only_one_word_stands_bare() {
        for plain in ["p1", "_x", "größe", "订单号", "tab$", "1st", "2024_01"] {
            assert_eq!(bare(plain), plain);
        }
        for quoted in ["", "1e5", "2024", "0xff", "a b", "select", "Order", "x-y", "dq\"dq", "emoji😀", "a`b"] {
            assert!(bare(quoted).starts_with('`'), "{quoted}");
        }
    }

    #[test]
    fn a_comment_stays_a_comment() {
        assert_eq!(comment("a\r\nDROP TABLE t;\rb"), "-- a\n-- DROP TABLE t;\n-- b\n");
    }
}
