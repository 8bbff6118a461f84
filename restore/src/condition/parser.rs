//! Text to conditions.

use super::{At, Compare, Leaf, Literal, Node, StatementError, Test, Value, coerce};
use crate::statement::lexer::{self, Kind, Token};
use starsnap_tablet::Op;

type Result<T> = std::result::Result<T, StatementError>;

/// Parentheses and NOTs within each other, at most.
const MAX_DEPTH: usize = 64;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Behind the last character.
    end: At,
}

/// What stands on a side of an operator.
enum Term {
    Column(String, At),
    Value(Value),
    Condition(Node),
}

pub(super) fn parse(text: &str) -> Result<Node> {
    let tokens = lexer::condition(text).map_err(|error| error.error)?;
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let mut parser = Parser { tokens, at: 0, depth: 0, end: At(line, column) };
    let node = parser.any()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.unexpected("AND, OR or the end")),
    }
}

impl Parser {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn here(&self) -> At {
        self.tokens.get(self.at).map_or(self.end, |token| At(token.line, token.column))
    }

    fn unexpected(&self, wanted: &str) -> StatementError {
        let found = match self.peek() {
            None => "the end".into(),
            Some(Kind::Word(word)) => format!("`{word}`"),
            Some(Kind::Quoted(name)) => format!("the name `{name}`"),
            Some(Kind::Text(_)) => "a string".into(),
            Some(Kind::Number(number)) => format!("the number {number}"),
            Some(Kind::Symbol(symbol)) => format!("`{symbol}`"),
            Some(Kind::Operator(operator)) => format!("`{operator}`"),
            // Of statements, which conditions have not.
            Some(Kind::Vertical) => "`\\G`".into(),
        };
        self.here().error(format!("expected {wanted}, not {found}"))
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Kind::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(keyword);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, keyword: &str) -> Result<()> {
        if self.keyword(keyword) { Ok(()) } else { Err(self.unexpected(keyword)) }
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Kind::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn operator(&mut self, operator: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Operator(is)) if *is == operator);
        self.at += usize::from(found);
        found
    }

    /// Does what goes one level deeper.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.here().error(format!("more than {MAX_DEPTH} levels of parentheses and NOT")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn any(&mut self) -> Result<Node> {
        let mut nodes = vec![self.all()?];
        while self.keyword("OR") || self.operator("||") {
            nodes.push(self.all()?);
        }
        Ok(one_or(nodes, Node::Or))
    }

    fn all(&mut self) -> Result<Node> {
        let mut nodes = vec![self.negation()?];
        while self.keyword("AND") || self.operator("&&") {
            nodes.push(self.negation()?);
        }
        Ok(one_or(nodes, Node::And))
    }

    fn negation(&mut self) -> Result<Node> {
        if self.keyword("NOT") {
            return Ok(Node::Not(Box::new(self.deeper(Self::negation)?)));
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<Node> {
        let at = self.here();
        let left = self.term()?;
        if let Some(compare) = self.compare() {
            let right_at = self.here();
            let right = self.term()?;
            return match (left, right) {
                (Term::Column(column, at), Term::Value(value)) => leaf(column, at, Test::Compare(compare, value)),
                (Term::Value(value), Term::Column(column, at)) => {
                    leaf(column, at, Test::Compare(flipped(compare), value))
                }
                (Term::Column(..), Term::Column(..)) => {
                    Err(right_at.error("a column cannot be compared with another, only with a value"))
                }
                _ => Err(at.error("a comparison must have a column on one side and a value on the other")),
            };
        }
        if self.keyword("IS") {
            let negated = self.keyword("NOT");
            self.expect("NULL")?;
            let (column, at) = self.column(left, at)?;
            return leaf(column, at, Test::IsNull { negated });
        }
        let not_at = self.at;
        let negated = self.keyword("NOT");
        let node = if self.keyword("IN") {
            let (column, at) = self.column(left, at)?;
            leaf(column, at, Test::In(self.list()?))?
        } else if self.keyword("BETWEEN") {
            let (column, at) = self.column(left, at)?;
            let low = self.value()?;
            self.expect("AND")?;
            let high = self.value()?;
            let side = |op, value| leaf(column.clone(), at, Test::Compare(Compare::Op(op), value));
            Node::And(vec![side(Op::Ge, low)?, side(Op::Le, high)?])
        } else if self.keyword("LIKE") {
            let (column, at) = self.column(left, at)?;
            leaf(column, at, Test::Like(self.value()?))?
        } else if negated {
            self.at = not_at + 1;
            return Err(self.unexpected("IN, BETWEEN or LIKE"));
        } else {
            return match left {
                Term::Condition(node) => Ok(node),
                Term::Column(column, at) => leaf(column, at, Test::IsTrue),
                Term::Value(Value { literal: Literal::Bool(truth), .. }) => Ok(Node::Constant(Some(truth))),
                Term::Value(Value { literal: Literal::Null, .. }) => Ok(Node::Constant(None)),
                Term::Value(_) => Err(self.unexpected("an operator")),
            };
        };
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn compare(&mut self) -> Option<Compare> {
        if self.symbol('=') {
            return Some(Compare::Op(Op::Eq));
        }
        let Some(Kind::Operator(operator)) = self.peek() else { return None };
        let compare = match *operator {
            "<=>" => Compare::NullSafe,
            "!=" | "<>" => Compare::Op(Op::Ne),
            "<" => Compare::Op(Op::Lt),
            "<=" => Compare::Op(Op::Le),
            ">" => Compare::Op(Op::Gt),
            ">=" => Compare::Op(Op::Ge),
            _ => return None,
        };
        self.at += 1;
        Some(compare)
    }

    fn column(&self, term: Term, at: At) -> Result<(String, At)> {
        match term {
            Term::Column(column, at) => Ok((column, at)),
            _ => Err(at.error("expected a column here")),
        }
    }

    fn term(&mut self) -> Result<Term> {
        let at = self.here();
        if self.operator("!") {
            let negated = self.deeper(|parser| {
                Ok(match parser.term()? {
                    Term::Condition(node) => node,
                    Term::Column(column, at) => leaf(column, at, Test::IsTrue)?,
                    Term::Value(Value { literal: Literal::Bool(truth), .. }) => Node::Constant(Some(truth)),
                    Term::Value(value) => return Err(value.at.error("`!` stands before conditions only")),
                })
            })?;
            return Ok(Term::Condition(Node::Not(Box::new(negated))));
        }
        if self.symbol('(') {
            let node = self.deeper(Self::any)?;
            if !self.symbol(')') {
                return Err(self.unexpected("`)`"));
            }
            // A column in parentheses may still be compared.
            return Ok(match node {
                Node::Leaf(Leaf { column, at, test: Test::IsTrue }) => Term::Column(column, at),
                node => Term::Condition(node),
            });
        }
        if let Some(Kind::Quoted(name)) = self.peek() {
            let name = name.clone();
            self.at += 1;
            return self.name(name, at);
        }
        if let Some(value) = self.literal()? {
            return Ok(Term::Value(value));
        }
        match self.peek() {
            Some(Kind::Word(word)) if !is_reserved(word) => {
                let name = word.clone();
                self.at += 1;
                if self.peek() == Some(&Kind::Symbol('(')) {
                    return Err(at.error(format!("functions such as {name}(…) are not known here")));
                }
                self.name(name, at)
            }
            _ => Err(self.unexpected("a column or a value")),
        }
    }

    fn name(&mut self, name: String, at: At) -> Result<Term> {
        match self.peek() {
            Some(Kind::Symbol('.')) => Err(self.here().error("columns are named without their table")),
            _ => Ok(Term::Column(name, at)),
        }
    }

    fn list(&mut self) -> Result<Vec<Value>> {
        if !self.symbol('(') {
            return Err(self.unexpected("`(`"));
        }
        let mut values = vec![self.value()?];
        while self.symbol(',') {
            values.push(self.value()?);
        }
        if self.symbol(')') { Ok(values) } else { Err(self.unexpected("`,` or `)`")) }
    }

    fn value(&mut self) -> Result<Value> {
        match self.literal()? {
            Some(value) => Ok(value),
            None => Err(self.unexpected("a value")),
        }
    }

    /// A value, if one stands here.
    fn literal(&mut self) -> Result<Option<Value>> {
        let at = self.here();
        let found = |literal| Ok(Some(Value { literal, at }));
        let mut sign = "";
        let mut signed = false;
        while let Some(Kind::Operator(operator @ ("-" | "+"))) = self.peek() {
            if signed {
                return Err(self.unexpected("a number"));
            }
            (signed, sign) = (true, if *operator == "-" { "-" } else { "" });
            self.at += 1;
        }
        match self.peek().cloned() {
            Some(Kind::Number(digits)) => {
                self.at += 1;
                let number = format!("{sign}{digits}");
                found(if digits.contains('e') {
                    let value = number.parse::<f64>().ok().filter(|value| value.is_finite());
                    Literal::Double(value.ok_or_else(|| at.error(format!("{number} is no DOUBLE")))?)
                } else {
                    Literal::Number(number)
                })
            }
            _ if signed => Err(self.unexpected("a number")),
            Some(Kind::Text(text)) => {
                self.at += 1;
                found(Literal::Text(text))
            }
            Some(Kind::Word(word)) => {
                let next = match self.tokens.get(self.at + 1).map(|token| &token.kind) {
                    Some(Kind::Text(text)) => Some(text.clone()),
                    _ => None,
                };
                let literal = match (word.to_ascii_uppercase().as_str(), next) {
                    ("NULL", _) => Literal::Null,
                    ("TRUE", _) => Literal::Bool(true),
                    ("FALSE", _) => Literal::Bool(false),
                    ("DATE", Some(text)) => {
                        let micros = coerce::datetime(&text).map(coerce::midnight);
                        Literal::Date(micros.ok_or_else(|| at.error(format!("{text:?} is no DATE")))?)
                    }
                    ("DATETIME" | "TIMESTAMP", Some(text)) => {
                        let micros = coerce::datetime(&text);
                        Literal::DateTime(micros.ok_or_else(|| at.error(format!("{text:?} is no DATETIME")))?)
                    }
                    ("X", Some(text)) => {
                        Literal::Bytes(bytes(&text).ok_or_else(|| at.error("x'…' has an even number of hex digits"))?)
                    }
                    _ => return Ok(None),
                };
                let words = if matches!(literal, Literal::Null | Literal::Bool(_)) { 1 } else { 2 };
                self.at += words;
                found(literal)
            }
            _ => Ok(None),
        }
    }
}

fn leaf(column: String, at: At, test: Test) -> Result<Node> {
    Ok(Node::Leaf(Leaf { column, at, test }))
}

fn one_or(mut nodes: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            join(nodes)
        }
    }
}

/// The comparison with its sides changed.
fn flipped(compare: Compare) -> Compare {
    match compare {
        Compare::Op(Op::Lt) => Compare::Op(Op::Gt),
        Compare::Op(Op::Le) => Compare::Op(Op::Ge),
        Compare::Op(Op::Gt) => Compare::Op(Op::Lt),
        Compare::Op(Op::Ge) => Compare::Op(Op::Le),
        same => same,
    }
}

/// Words that are no names without backquotes.
fn is_reserved(word: &str) -> bool {
    ["AND", "OR", "NOT", "IN", "IS", "LIKE", "BETWEEN", "NULL", "TRUE", "FALSE", "REGEXP", "RLIKE", "CASE", "EXISTS"]
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let pairs = digits.chunks(2).map(|pair| u8::try_from(pair.first()? << 4 | pair.get(1)?).ok());
    pairs.collect()
}
