//! The tree as `fuser` wants it. Nothing is decided here but modes and owners: names, sizes and errors come from the tree.

use super::MountOptions;
use super::handles::{Handles, Local, Modes, OpenDirectory, OpenFile, RowsPlaces, Stored};
use crate::error::{FsError, Result};
use crate::tree::{Attributes, Content, NodeId, NodeKind, Tree};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request, TimeOrNow,
};
use starsnap_repository::reading::Reading;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// A name that is not there may be looked up again after this long.
const MISSING: Duration = Duration::from_secs(1);

pub(super) struct StarsnapFs(Arc<Shared>);

struct Shared {
    tree: Arc<Tree>,
    runtime: tokio::runtime::Handle,
    uid: u32,
    gid: u32,
    allow_other: bool,
    verify: bool,
    passthrough: AtomicBool,
    reading: Reading,
    files: Handles<OpenFile>,
    directories: Handles<OpenDirectory>,
    modes: Modes,
    rows: RowsPlaces,
    /// Files whose bytes turned out wrong: what the kernel cached of them is dropped when they are opened again.
    damaged: Mutex<HashSet<NodeId>>,
    greeted: Arc<Notify>,
}

impl StarsnapFs {
    pub fn new(tree: Arc<Tree>, options: &MountOptions, runtime: tokio::runtime::Handle) -> StarsnapFs {
        // SAFETY: neither call can fail or touches memory.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        StarsnapFs(Arc::new(Shared {
            tree,
            runtime,
            uid,
            gid,
            allow_other: options.allow_other,
            verify: options.verify,
            passthrough: AtomicBool::new(options.passthrough && uid == 0),
            reading: options.reading.clone(),
            files: Handles::default(),
            directories: Handles::default(),
            modes: Modes::default(),
            rows: RowsPlaces::default(),
            damaged: Mutex::default(),
            greeted: Arc::default(),
        }))
    }

    /// Told once the kernel has greeted.
    pub fn greeted(&self) -> Arc<Notify> {
        self.0.greeted.clone()
    }

    /// Answers on this thread when nothing must be waited for, else from the runtime: a slow store holds up nobody else.
    fn answer<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Arc<Shared>) -> F) {
        let _inside = self.0.runtime.enter();
        let mut work = Box::pin(work(self.0.clone()));
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.0.runtime.spawn(work);
        }
    }
}

fn node(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

/// The errno of an error, told the log.
fn errno(error: &FsError) -> Errno {
    if !error.is_ordinary() {
        tracing::error!(%error, "a request failed");
    }
    Errno::from_i32(error.errno())
}

impl Shared {
    fn attr(&self, node: NodeId, attributes: &Attributes) -> FileAttr {
        let (kind, owner, all) = match attributes.kind {
            NodeKind::Directory => (FileType::Directory, 0o500, 0o555),
            NodeKind::File => (FileType::RegularFile, 0o400, 0o444),
            NodeKind::Symlink => (FileType::Symlink, 0o777, 0o777),
        };
        FileAttr {
            ino: INodeNo(node.0),
            size: attributes.size,
            blocks: attributes.size.div_ceil(512),
            atime: attributes.mtime,
            mtime: attributes.mtime,
            ctime: attributes.mtime,
            crtime: attributes.mtime,
            kind,
            perm: if self.allow_other { all } else { owner },
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 128 << 10,
            flags: 0,
        }
    }

    async fn find(&self, parent: NodeId, name: Option<&str>) -> Result<(NodeId, Attributes)> {
        let Some(name) = name else { return Err(FsError::NotFound("a name that is not UTF-8".into())) };
        let child = self.tree.child(parent, name).await?;
        Ok((child, self.tree.attributes(child).await?))
    }

    /// Opens a file; where it is local, root, and the kernel can, its reads go past us.
    async fn open(&self, node: NodeId, reply: &ReplyOpen) -> Result<(u64, FopenFlags)> {
        let content = self.tree.content(node).await?;
        let rows = self.rows.open(&content, &self.reading)?;
        let storage = self.tree.source().storage();
        let mut stored = Stored::None;
        if let Content::Stored { path, size, .. } = &content {
            stored = match storage.local_file(path) {
                Some(file) => Stored::Local(Local::new(file?, path, *size)?),
                None => Stored::far(&content, storage, &self.reading, self.verify),
            };
        }
        let backing = self.modes.open(node, || {
            let Stored::Local(local) = &stored else { return None };
            if !self.passthrough.load(Ordering::Relaxed) {
                return None;
            }
            match reply.open_backing(&local.file) {
                Ok(backing) => Some(backing),
                Err(error) => {
                    tracing::debug!(%error, "the kernel does not read files past the mount, they go through it");
                    self.passthrough.store(false, Ordering::Relaxed);
                    None
                }
            }
        });
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner).contains(&node);
        let mut flags = FopenFlags::empty();
        if rows.is_some() {
            // Its size is not known, so that the kernel must neither believe one nor keep anything.
            flags |= FopenFlags::FOPEN_DIRECT_IO;
        } else if !damaged && backing.is_none() {
            flags |= FopenFlags::FOPEN_KEEP_CACHE;
        }
        Ok((self.files.add(OpenFile::new(node, content, stored, self.verify, backing, rows)), flags))
    }

    async fn read(&self, handle: u64, offset: u64, size: u32) -> Result<bytes::Bytes> {
        let Some(file) = self.files.get(handle) else { return Err(FsError::Stale(format!("handle {handle}"))) };
        let read = file.read(&self.tree, offset, size).await;
        if read.is_err() && file.damaged() {
            self.damaged.lock().unwrap_or_else(PoisonError::into_inner).insert(file.node);
        }
        read
    }

    async fn open_directory(&self, node: NodeId) -> Result<u64> {
        let children = self.tree.children(node).await?;
        let parent = self.tree.parent(node).await?;
        Ok(self.directories.add(OpenDirectory { node, parent, children }))
    }
}

/// The entries from `offset` on, each with the offset that continues after it: `.` and `..` first.
fn entries(directory: &OpenDirectory, offset: u64) -> impl Iterator<Item = (u64, NodeId, NodeKind, &str)> {
    let dots = [(directory.node, NodeKind::Directory, "."), (directory.parent, NodeKind::Directory, "..")];
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let children = directory.children.get(skipped.saturating_sub(2)..).unwrap_or_default();
    let children = children.iter().map(|child| (child.node, child.kind, &*child.name));
    let all = dots.into_iter().skip(skipped.min(2)).chain(children).zip(offset.saturating_add(1)..);
    all.map(|((node, kind, name), next)| (next, node, kind, name))
}

fn file_type(kind: NodeKind) -> FileType {
    match kind {
        NodeKind::Directory => FileType::Directory,
        NodeKind::File => FileType::RegularFile,
        NodeKind::Symlink => FileType::Symlink,
    }
}

/// The protocol of `getxattr` and `listxattr`: size 0 asks for the size, one too small is ERANGE.
fn reply_xattr(reply: ReplyXattr, value: &[u8], size: u32) {
    match u32::try_from(value.len()) {
        Ok(needed) if size == 0 => reply.size(needed),
        Ok(needed) if needed <= size => reply.data(value),
        _ => reply.error(Errno::ERANGE),
    }
}

impl Filesystem for StarsnapFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = [
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_DIO,
        ];
        for capability in wanted {
            // Each is only a matter of speed.
            let _ = config.add_capabilities(capability);
        }
        let _ = config.set_max_background(64);
        if self.0.passthrough.load(Ordering::Relaxed)
            && (config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_err() || config.set_max_stack_depth(1).is_err())
        {
            self.0.passthrough.store(false, Ordering::Relaxed);
        }
        self.0.greeted.notify_one();
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.to_str().map(str::to_owned);
        self.answer(|fs| async move {
            match fs.find(node(parent), name.as_deref()).await {
                Ok((child, attributes)) => {
                    let fresh = fs.tree.names_fresh(node(parent));
                    reply.entry_with_ttls(&attributes.fresh, &fresh, &fs.attr(child, &attributes), Generation(0));
                }
                // Inode 0 says that the name is not there, and for how long that may be believed.
                Err(FsError::NotFound(_)) => {
                    reply.entry(&MISSING, &fs.attr(NodeId(0), &fs.tree.nothing()), Generation(0));
                }
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.answer(|fs| async move {
            match fs.tree.attributes(node(ino)).await {
                Ok(attributes) => reply.attr(&attributes.fresh, &fs.attr(node(ino), &attributes)),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        self.answer(|fs| async move {
            match fs.tree.read_link(node(ino)).await {
                Ok(target) => reply.data(target.as_bytes()),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        self.answer(|fs| async move {
            match fs.open(node(ino), &reply).await {
                Ok((handle, flags)) => {
                    let backing = fs.files.get(handle).and_then(|file| file.backing.clone());
                    match backing {
                        Some(backing) => reply.opened_passthrough(FileHandle(handle), flags, &backing),
                        None => reply.opened(FileHandle(handle), flags),
                    }
                }
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.answer(|fs| async move {
            match fs.read(fh.0, offset, size).await {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, fh: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        match self.0.files.get(fh.0).map_or(Ok(()), |file| file.unchanged()) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        if let Some(file) = self.0.files.remove(fh.0) {
            self.0.modes.close(file);
        }
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.answer(|fs| async move {
            match fs.open_directory(node(ino)).await {
                Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn readdir(&self, _: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some(directory) = self.0.directories.get(fh.0) else { return reply.error(Errno::EBADF) };
        for (next, node, kind, name) in entries(&directory, offset) {
            if reply.add(INodeNo(node.0), next, file_type(kind), name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let Some(directory) = self.0.directories.get(fh.0) else { return reply.error(Errno::EBADF) };
        let names = self.0.tree.names_fresh(directory.node);
        for (next, node, kind, name) in entries(&directory, offset) {
            // What is not known without work is told when somebody asks for it: listing names must not generate files.
            let known = self.0.tree.known_attributes(node);
            let fresh = known.map_or(Duration::ZERO, |known| known.fresh.min(names));
            let attributes = known.unwrap_or(Attributes { kind, ..self.0.tree.nothing() });
            if reply.add(INodeNo(node.0), next, name, &fresh, &self.0.attr(node, &attributes), Generation(0)) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.0.directories.remove(fh.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        const BLOCK: u32 = 4096;
        self.answer(|fs| async move {
            match fs.tree.totals(node(ino)).await {
                Ok((bytes, files)) => {
                    reply.statfs(bytes.div_ceil(u64::from(BLOCK)), 0, 0, files, 0, BLOCK, 255, BLOCK);
                }
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let Some(name) = name.to_str().filter(|name| name.starts_with(crate::tree::xattrs::PREFIX)) else {
            return reply.error(Errno::NO_XATTR);
        };
        let name = name.to_owned();
        self.answer(|fs| async move {
            match fs.tree.xattrs(node(ino)).await {
                Ok(found) => match found.iter().find(|(key, _)| *key == name) {
                    Some((_, value)) => reply_xattr(reply, value.as_bytes(), size),
                    None => reply.error(Errno::NO_XATTR),
                },
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.answer(|fs| async move {
            match fs.tree.xattrs(node(ino)).await {
                Ok(found) => {
                    let names: String = found.iter().flat_map(|(name, _)| [name.as_str(), "\0"]).collect();
                    reply_xattr(reply, names.as_bytes(), size);
                }
                Err(error) => reply.error(errno(&error)),
            }
        });
    }

    // The mount is read-only, so the kernel refuses all that follows itself, unless somebody remounts it.

    fn setattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn rename(&self, _: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::EROFS);
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }
}
