//! Conditions on rows, as a WHERE clause of StarRocks has them: from text to what the tablets' reader understands.
//!
//! A condition compares columns with values: `=`, `!=`, `<>`, `<`, `<=`, `>`, `>=`, `<=>`, `[NOT] IN`, `[NOT] BETWEEN`, `[NOT] LIKE`,
//! `IS [NOT] NULL`, joined by `AND`, `OR`, `NOT` and parentheses; a BOOLEAN column is a condition by itself. What is compared becomes of the
//! column's type as in StarRocks (`coerce`); where StarRocks would quietly compare with NULL (`n < 'abc'`), it is refused.

mod coerce;
mod parser;
#[cfg(test)]
mod tests;

pub use crate::statement::StatementError;
use starsnap_tablet::{Column, Filter};

/// A condition that was understood, but not yet of which table.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: String,
    root: Node,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Constant(Option<bool>),
    Leaf(Leaf),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

/// A condition on one column.
#[derive(Debug, Clone, PartialEq)]
struct Leaf {
    column: String,
    at: At,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Compare(Compare, Value),
    In(Vec<Value>),
    Like(Value),
    IsNull {
        negated: bool,
    },
    /// The column alone.
    IsTrue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Op(starsnap_tablet::Op),
    /// `<=>`
    NullSafe,
}

/// Line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At(usize, usize);

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
struct Value {
    literal: Literal,
    at: At,
}

#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Null,
    Bool(bool),
    /// Digits with an optional sign and point.
    Number(String),
    /// A number with an exponent, which is a DOUBLE.
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Microseconds since 1970.
    Date(i64),
    DateTime(i64),
}

impl At {
    fn error(self, reason: impl Into<String>) -> StatementError {
        StatementError { line: self.0, column: self.1, reason: reason.into() }
    }
}

impl Condition {
    /// Understands a condition.
    pub fn parse(text: &str) -> Result<Condition, StatementError> {
        Ok(Condition { text: text.into(), root: parser::parse(text)? })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The condition on a table whose columns `find` gives by their names, as they are called in the tablets.
    pub(crate) fn bind<'a>(&self, find: &dyn Fn(&str) -> Option<&'a Column>) -> Result<Filter, StatementError> {
        bind(&self.root, find)
    }
}

fn bind<'a>(node: &Node, find: &dyn Fn(&str) -> Option<&'a Column>) -> Result<Filter, StatementError> {
    let all = |nodes: &[Node]| nodes.iter().map(|node| bind(node, find)).collect::<Result<Vec<_>, _>>();
    Ok(match node {
        Node::Constant(truth) => Filter::Constant(*truth),
        Node::And(nodes) => Filter::And(all(nodes)?),
        Node::Or(nodes) => Filter::Or(all(nodes)?),
        Node::Not(node) => Filter::Not(Box::new(bind(node, find)?)),
        Node::Leaf(leaf) => {
            let missing = || leaf.at.error(format!("there is no column {}", leaf.column));
            coerce::leaf(leaf, find(&leaf.column).ok_or_else(missing)?)?
        }
    })
}
