//! The statements of StarRocks' manual on backup and restore, from text to [`Statement`]: the grammar of 1.19 to 2.4, of 2.5 to 3.3, and the
//! `DATABASE … ON (TABLE …)` forms of 3.4 and later. Pure text work: running them is another module's.

pub(crate) mod lexer;
mod parser;
mod selection;

pub use selection::{Catalogs, Item, ItemKind, Selection};

use starsnap_catalog::ddl::{is_secret_property, mask_url};
use std::fmt;

/// `PROPERTIES ("key" = "value", …)`, in order. Values may be secrets: `Debug` shows keys only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(String, String)>);

impl Properties {
    /// The last value given for `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Whether the value of `key` is a secret, by its name.
    pub fn is_secret(key: &str) -> bool {
        is_secret_property(key)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    CreateRepository {
        read_only: bool,
        name: String,
        /// Name of a broker; StarRocks 2.5 and later need none, and neither do we.
        broker: Option<String>,
        location: String,
        properties: Properties,
    },
    DropRepository {
        name: String,
    },
    ShowRepositories,
    ShowSnapshot {
        repository: String,
        /// `WHERE SNAPSHOT = …` or `SNAPSHOT IN (…)`; empty for all.
        labels: Vec<String>,
        timestamp: Option<String>,
    },
    Backup {
        database: Option<String>,
        label: String,
        repository: String,
        selection: Selection,
        catalogs: Catalogs,
        properties: Properties,
    },
    Restore {
        /// Database the snapshot's must be (3.4: `DATABASE db AS …`), or the target (`db.label`, `DATABASE db`).
        database: Option<String>,
        database_alias: Option<String>,
        label: String,
        repository: String,
        selection: Selection,
        catalogs: Catalogs,
        properties: Properties,
    },
    ShowBackup {
        database: Option<String>,
    },
    ShowRestore {
        database: Option<String>,
    },
    CancelBackup {
        database: Option<String>,
        external_catalog: bool,
    },
    CancelRestore {
        database: Option<String>,
        external_catalog: bool,
    },
    /// `USE db`: the database that later statements mean when they name none.
    Use {
        database: String,
    },
    /// `SET option = value`.
    Set {
        name: String,
        value: String,
    },
}

impl Statement {
    /// True when it holds a secret: credentials in PROPERTIES, or in the location.
    pub fn has_secret(&self) -> bool {
        match self {
            Statement::CreateRepository { location, properties, .. } => {
                mask_url(location) != *location
                    || properties.0.iter().any(|(key, value)| is_secret_property(key) || mask_url(value) != *value)
            }
            Statement::Backup { properties, .. } | Statement::Restore { properties, .. } => {
                properties.0.iter().any(|(key, _)| is_secret_property(key))
            }
            _ => false,
        }
    }
}

/// Why a text is not a statement we know. `line` and `column` count from 1, in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct StatementError {
    pub line: usize,
    pub column: usize,
    pub reason: String,
}

/// Largest text we parse, in bytes: a statement that names every table of a large database fits many times over.
pub const MAX_TEXT: usize = 16 << 20;

/// A statement, and where in the text it begins; both count from 1, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub line: usize,
    pub column: usize,
    pub statement: Statement,
    /// It ends with `\G`: its rows are wanted one below the other.
    pub vertical: bool,
}

/// Parses statements that end with `;` or `\G`. Empty ones are skipped; the last needs no `;`.
pub fn parse(text: &str) -> Result<Vec<Statement>, StatementError> {
    Ok(parse_located(text)?.into_iter().map(|located| located.statement).collect())
}

/// As [`parse`], with the place of each statement.
pub fn parse_located(text: &str) -> Result<Vec<Located>, StatementError> {
    if text.len() > MAX_TEXT {
        let reason = format!("the text is {} bytes long; at most {MAX_TEXT} are read", text.len());
        return Err(StatementError { line: 1, column: 1, reason });
    }
    parser::Parser::new(text)?.statements()
}

/// True when `text` ends inside a quote, a comment or a statement without its `;`: an interactive prompt then waits for more.
pub fn is_unfinished(text: &str) -> bool {
    match lexer::tokens(text) {
        Ok(tokens) => {
            tokens.last().is_some_and(|last| !matches!(last.kind, lexer::Kind::Symbol(';') | lexer::Kind::Vertical))
        }
        Err(error) => error.unfinished,
    }
}

#[cfg(test)]
mod tests;
