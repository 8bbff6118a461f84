//! What the bytes of files are, and reading them.

use super::rows::{RowsFile, RowsReader};
use super::slots::Slot;
use super::snapshot::{Item, Place, SnapshotTree};
use super::{At, Content, LATEST, NodeId, Tree, generated, give_back, name_of, stale};
use crate::error::{FsError, Result};
use bytes::Bytes;
use starsnap_repository::reading::Reading;
use std::ops::Range;

impl Tree {
    /// What a file's bytes are.
    pub async fn content(&self, node: NodeId) -> Result<Content> {
        match self.at(node).await? {
            At::Snapshot(slot, tree, local) => {
                let open = &tree.open;
                match tree.place(local) {
                    None => Err(stale(&slot)),
                    Some(Place::File { tablet, file, .. }) => Ok(Content::Stored {
                        path: self.source.path(&open.file_path(&tablet.key, file)),
                        size: file.size,
                        md5: Some(file.md5),
                    }),
                    Some(Place::Record(record)) => match record.item {
                        Item::Stray(at) => {
                            let (path, size) = open.strays.get(at as usize).ok_or_else(|| stale(&slot))?;
                            let path = self.source.path(&format!("__ss_{}/{path}", open.label));
                            Ok(Content::Stored { path, size: *size, md5: None })
                        }
                        Item::Rows(item) => {
                            Ok(Content::Rows(RowsFile::new(self.source.clone(), tree.clone(), local, item)?))
                        }
                        item if item.is_directory() => Err(FsError::IsDirectory(name_of(&tree, local))),
                        item => Ok(Content::Generated(self.text(node, &tree, local, item)?)),
                    },
                }
            }
            At::Link(_) => Err(FsError::NotFound(LATEST.into())),
            At::Root | At::Label(_) => Err(FsError::IsDirectory("a directory of snapshots".into())),
        }
    }

    /// Bytes of a file; fewer than asked for only at its end.
    pub async fn read(&self, node: NodeId, range: Range<u64>) -> Result<Bytes> {
        let content = self.content(node).await?;
        self.read_content(&content, range).await
    }

    /// Bytes of [`Tree::content`].
    pub async fn read_content(&self, content: &Content, range: Range<u64>) -> Result<Bytes> {
        match content {
            Content::Generated(text) => {
                let end = range.end.min(text.len() as u64) as usize;
                let start = (range.start.min(end as u64)) as usize;
                Ok(text.slice(start..end))
            }
            Content::Stored { path, size, .. } => {
                let end = range.end.min(*size);
                if range.start >= end {
                    return Ok(Bytes::new());
                }
                Ok(self.source.storage().read(path, range.start..end).await?)
            }
            Content::Rows(file) => {
                let size = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
                RowsReader::new(file.clone(), &Reading::default()).read(range.start, size).await
            }
        }
    }

    /// Size of a file that is no tablet's.
    pub(super) fn record_size(&self, slot: &Slot, tree: &SnapshotTree, local: u32, item: Item) -> Result<u64> {
        if let Item::Stray(at) = item {
            return tree.open.strays.get(at as usize).map(|stray| stray.1).ok_or_else(|| stale(slot));
        }
        if let Item::Rows(_) = item {
            return Ok(0);
        }
        if let Some(size) = tree.generated_size(local) {
            return Ok(size);
        }
        Ok(self.text(NodeId::new(slot.number, local), tree, local, item)?.len() as u64)
    }

    fn text(&self, node: NodeId, tree: &SnapshotTree, local: u32, item: Item) -> Result<Bytes> {
        if let Some(text) = self.texts.get(node.0) {
            return Ok(text);
        }
        let text = generated::text(tree, item, self.source.name())?;
        if text.len() >= 1 << 20 {
            give_back();
        }
        tree.set_generated_size(local, text.len() as u64);
        self.texts.put(node.0, &text);
        Ok(text)
    }
}
