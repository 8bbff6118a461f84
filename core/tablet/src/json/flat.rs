//! Rows of flat JSON: objects put together again from flattened members and what remained.

use std::io::Write as _;

use crate::error::{Result, TabletError};

use super::text::{MAX_DEPTH, write_at, write_string};
use super::vpack::{Value, take};

/// A flattened member of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leaf<'a> {
    Int(i64),
    /// A number between 2^63 and 2^64.
    UInt(u64),
    Double(f64),
    String(&'a [u8]),
    /// A VelocyPack value.
    Json(&'a [u8]),
}

enum Node<'a> {
    Leaf(Leaf<'a>),
    Object(Vec<(&'a [u8], Node<'a>)>),
}

/// Appends the text of one row: the members of `remain`, and the leaves at their paths where nothing remained there.
pub(crate) fn write_row<'a>(
    remain: &'a [u8],
    leaves: impl Iterator<Item = Result<(&'a [u8], Leaf<'a>)>>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut members = Vec::new();
    match take(remain)?.0 {
        Value::None => {}
        Value::Object(items) => {
            let mut items = items;
            while let Some((key, value)) = items.next_item()? {
                members.push((key, Node::Leaf(Leaf::Json(value))));
            }
            // An empty object is a value of its own only if nothing was flattened out of it.
        }
        // An array or a scalar is the whole row.
        _ => return write_at(remain, out, 0),
    }
    for leaf in leaves {
        let (path, leaf) = leaf?;
        insert(&mut members, path, leaf)?;
    }
    write_object(&mut members, out, 0)
}

/// Puts a leaf at a path of names joined by dots, making objects on the way; what is there already stays.
fn insert<'a>(mut members: &mut Vec<(&'a [u8], Node<'a>)>, path: &'a [u8], leaf: Leaf<'a>) -> Result<()> {
    let mut rest = path;
    if path.iter().filter(|&&b| b == b'.').count() >= MAX_DEPTH {
        return Err(TabletError::unsupported(format!("a flattened path of more than {MAX_DEPTH} names")));
    }
    loop {
        let (name, after) = match rest.iter().position(|&b| b == b'.') {
            Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
            None => (rest, None),
        };
        let at = members.iter().position(|(key, _)| *key == name);
        let Some(after) = after else {
            if at.is_none() {
                members.push((name, Node::Leaf(leaf)));
            }
            return Ok(());
        };
        let at = at.unwrap_or_else(|| {
            members.push((name, Node::Object(Vec::new())));
            members.len() - 1
        });
        let node = &mut members[at].1;
        if let Node::Leaf(Leaf::Json(value)) = *node {
            // What remained of an inner object is opened up; a remaining array or scalar hides the flattened leaf.
            let (Value::Object(mut items), _) = take(value)? else { return Ok(()) };
            let mut inner = Vec::new();
            while let Some((key, value)) = items.next_item()? {
                inner.push((key, Node::Leaf(Leaf::Json(value))));
            }
            *node = Node::Object(inner);
        }
        let Node::Object(inner) = node else { return Ok(()) };
        members = inner;
        rest = after;
    }
}

fn write_object(members: &mut [(&[u8], Node<'_>)], out: &mut Vec<u8>, depth: usize) -> Result<()> {
    // Stable, so that members of the same name keep their order.
    members.sort_by(|a, b| a.0.cmp(b.0));
    out.push(b'{');
    for (at, (key, node)) in members.iter_mut().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        write_string(key, out);
        out.extend_from_slice(b": ");
        let _ = match node {
            Node::Object(inner) => {
                write_object(inner, out, depth + 1)?;
                Ok(())
            }
            Node::Leaf(Leaf::Json(value)) => {
                write_at(value, out, depth + 1)?;
                Ok(())
            }
            Node::Leaf(Leaf::Int(value)) => write!(out, "{value}"),
            Node::Leaf(Leaf::UInt(value)) => write!(out, "{value}"),
            Node::Leaf(Leaf::Double(value)) => {
                super::number::write(*value, out);
                Ok(())
            }
            Node::Leaf(Leaf::String(value)) => {
                write_string(value, out);
                Ok(())
            }
        };
    }
    out.push(b'}');
    Ok(())
}
