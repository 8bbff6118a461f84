//! `starsnap ls`: the mount's tree without a mount.

use super::{index_cache, open_repository};
use crate::cli::{Globals, LsArgs};
use crate::failure::Outcome;
use crate::logging;
use crate::output::{Align, Output, printable, size, table, time};
use serde::Serialize;
use starsnap_fs::FsError;
use starsnap_fs::tree::{Attributes, NodeId, NodeKind, Options, Tree};
use starsnap_restore::report::JobStatus;
use starsnap_restore::{ErrorKind, RestoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// One object of the tree.
#[derive(Serialize)]
struct Object {
    /// From the tree's root.
    path: String,
    kind: &'static str,
    /// Bytes; 0 for directories.
    size: u64,
    /// Milliseconds since the epoch.
    modified: i64,
    /// Of stored files.
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
    /// Of symbolic links.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

/// Lists a directory, everything below it, or one file.
pub async fn ls(args: &LsArgs, globals: &Globals) -> anyhow::Result<Outcome> {
    let repository =
        open_repository(&args.repository.repository, args.repository.repository_name.as_deref(), globals).await?;
    let tree = Tree::new(Arc::new(repository), index_cache(globals), Options::default());
    let path = args.path.trim_matches('/');
    let node = match tree.lookup(path).await {
        Ok(node) => tree.follow(node).await?,
        Err(error) => return Err(not_there(&tree, path, error).await),
    };
    let mut listing = Listing {
        tree: &tree,
        args,
        json: globals.json,
        rows: Vec::new(),
        out: Output::stdout(),
        first: true,
        complete: true,
        told: HashSet::new(),
    };
    if globals.json {
        listing.out.raw(b"[")?;
    }
    let facts = listing.facts(node).await?;
    match facts.attributes.kind {
        NodeKind::Directory => listing.directory(node, path).await?,
        _ => listing.object(path, path, facts)?,
    }
    let status = if listing.complete { JobStatus::Done } else { JobStatus::Partial };
    listing.finish()?;
    Ok(Outcome::Job(status))
}

/// A snapshot that is not there has its own exit code; a path in one that is there has not.
async fn not_there(tree: &Tree, path: &str, error: FsError) -> anyhow::Error {
    let FsError::NotFound(_) = error else { return error.into() };
    let snapshot = path.split('/').take(2).collect::<Vec<_>>().join("/");
    let kind = match tree.lookup(&snapshot).await {
        Ok(_) => ErrorKind::NoSuchObject,
        Err(_) => ErrorKind::NotFound,
    };
    RestoreError::new(kind, "list", path, "there is no such path in the repository")
        .advise("`starsnap ls` without a path lists the snapshots; `latest` stands for a label's newest timestamp")
        .into()
}

/// What is known of an object beside its name.
struct Facts {
    attributes: Attributes,
    target: Option<String>,
    md5: Option<String>,
}

struct Listing<'a> {
    tree: &'a Tree,
    args: &'a LsArgs,
    json: bool,
    /// Rows of a long listing that are to be aligned with each other: those of one directory.
    rows: Vec<Vec<String>>,
    out: Output,
    first: bool,
    complete: bool,
    /// Snapshots of which it is said that their catalog cannot be had.
    told: HashSet<String>,
}

impl Listing<'_> {
    /// Prints what is in `start`, and below it if asked to. Depth first, each directory's entries by name.
    async fn directory(&mut self, start: NodeId, path: &str) -> anyhow::Result<()> {
        let mut open = vec![(start, path.to_owned())];
        while let Some((directory, path)) = open.pop() {
            let mut below = Vec::new();
            let children = match self.tree.children(directory).await {
                Err(error) if directory != start => {
                    self.skip(&path, &error);
                    continue;
                }
                children => children?,
            };
            self.tell_fault(directory).await?;
            for child in children {
                if child.name.starts_with('.') && !(self.args.all || self.json) {
                    continue;
                }
                let full = if path.is_empty() { child.name.to_string() } else { format!("{path}/{}", child.name) };
                match self.facts(child.node).await {
                    Ok(facts) => self.object(&full, if self.args.recursive { &full } else { &child.name }, facts)?,
                    Err(error) => {
                        self.skip(&full, &error);
                        continue;
                    }
                }
                if child.kind == NodeKind::Directory && self.args.recursive {
                    below.push((child.node, full));
                }
            }
            self.flush_rows()?;
            if self.out.is_closed() {
                break;
            }
            open.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// One snapshot that cannot be looked into must not hide the others.
    fn skip(&mut self, path: &str, error: &FsError) {
        logging::line(&format!("starsnap: cannot list {}: {}", printable(path), printable(&error.to_string())));
        self.complete = false;
    }

    /// A listing without names must not look like one that is whole.
    async fn tell_fault(&mut self, directory: NodeId) -> Result<(), FsError> {
        if let Some((snapshot, problems)) = self.tree.without_catalog(directory).await?
            && self.told.insert(snapshot.clone())
        {
            self.complete = false;
            for problem in problems {
                logging::line(&format!("starsnap: {}: {}", printable(&snapshot), printable(&problem)));
            }
        }
        Ok(())
    }

    async fn facts(&self, node: NodeId) -> Result<Facts, FsError> {
        let attributes = self.tree.attributes(node).await?;
        let target = match attributes.kind {
            NodeKind::Symlink => Some(self.tree.read_link(node).await?),
            _ => None,
        };
        let xattrs = if self.json { self.tree.xattrs(node).await? } else { Vec::new() };
        let md5 = xattrs.into_iter().find(|(name, _)| name == "user.starsnap.md5").map(|(_, value)| value);
        Ok(Facts { attributes, target, md5 })
    }

    /// Prints one object, called `shown` for people.
    fn object(&mut self, path: &str, shown: &str, facts: Facts) -> anyhow::Result<()> {
        let kind = facts.attributes.kind;
        if self.json {
            return self.json_line(path, facts);
        }
        let mark = if kind == NodeKind::Directory { "/" } else { "" };
        let name = format!("{}{mark}", printable(shown));
        if !self.args.long {
            return Ok(self.out.line(&name)?);
        }
        let (mode, bytes) = match kind {
            NodeKind::Directory => ("dr-x------", "-".to_owned()),
            NodeKind::File => ("-r--------", size(facts.attributes.size)),
            NodeKind::Symlink => ("lrwxrwxrwx", "-".to_owned()),
        };
        let name = facts.target.map_or(name.clone(), |target| format!("{name} -> {}", printable(&target)));
        self.rows.push(vec![mode.to_owned(), bytes, time(facts.attributes.mtime), name]);
        Ok(())
    }

    fn json_line(&mut self, path: &str, facts: Facts) -> anyhow::Result<()> {
        let modified = facts.attributes.mtime.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let object = Object {
            path: path.to_owned(),
            kind: match facts.attributes.kind {
                NodeKind::Directory => "directory",
                NodeKind::File => "file",
                NodeKind::Symlink => "symlink",
            },
            size: facts.attributes.size,
            modified: i64::try_from(modified).unwrap_or(i64::MAX),
            md5: facts.md5,
            target: facts.target,
        };
        // One object per line, within one array: readable, and never all in memory.
        self.out.raw(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        Ok(self.out.raw(serde_json::to_string(&object)?.as_bytes())?)
    }

    fn flush_rows(&mut self) -> anyhow::Result<()> {
        let text = table(&[Align::Left, Align::Right, Align::Left, Align::Left], &self.rows);
        self.rows.clear();
        Ok(self.out.raw(text.as_bytes())?)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.flush_rows()?;
        if self.json {
            self.out.raw(b"\n]\n")?;
        }
        Ok(self.out.finish()?)
    }
}
