//! The tree as a FUSE filesystem: mounting, being ready, unmounting.

mod check;
mod filesystem;
mod handles;
mod mountpoint;
mod table;

pub use mountpoint::MountError;

use crate::signals::ignored;
use crate::tree::Tree;
use fuser::{Config, MountOption, Session, SessionACL};
use starsnap_repository::reading::Reading;
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How to mount.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// An empty directory.
    pub mountpoint: PathBuf,
    /// Others than the mounter may look too: modes 0444 and 0555 instead of 0400 and 0500.
    pub allow_other: bool,
    /// Mount over a directory that is not empty.
    pub nonempty: bool,
    /// Let the kernel read local files past us, where it can and we are root.
    pub passthrough: bool,
    /// Check the md5 of files that are read from start to end, where the kernel does not read past us.
    pub verify: bool,
    /// Threads that answer the kernel; `None`: as many as processors, from 2 to 8.
    pub threads: Option<usize>,
    /// How far the kernel reads ahead, in KiB; taken only from root. `None`: 1 MiB, for stores that are far away 8 MiB, and less where
    /// there is little memory to read with.
    pub read_ahead: Option<u32>,
    /// The memory and the caches to read with, where the store is not on local disk.
    pub reading: Reading,
    /// Paths that are used while it is mounted, as caches: they must not lie below the mount point. That of a local repository need not be told.
    pub uses: Vec<PathBuf>,
    /// Source of the mount in `mount` and `df`.
    pub name: String,
}

impl MountOptions {
    /// The defaults for a mount point.
    pub fn new(mountpoint: impl Into<PathBuf>) -> MountOptions {
        MountOptions {
            mountpoint: mountpoint.into(),
            allow_other: false,
            nonempty: false,
            passthrough: true,
            verify: true,
            threads: None,
            read_ahead: None,
            reading: Reading::default(),
            uses: Vec::new(),
            name: "starsnap".into(),
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::RO,
            MountOption::NoSuid,
            MountOption::NoDev,
            MountOption::NoExec,
            MountOption::DefaultPermissions,
            MountOption::FSName(self.name.replace(',', " ")),
            // The kernel takes the subtype as an option too: the type is then shown as fuse.starsnap.
            MountOption::CUSTOM("subtype=starsnap".into()),
        ];
        config.acl = if self.allow_other { SessionACL::All } else { SessionACL::Owner };
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        config.n_threads = Some(self.threads.unwrap_or(processors.clamp(2, 8)).max(1));
        config.clone_fd = true;
        config
    }
}

/// A mounted tree. Dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    mountpoint: PathBuf,
    /// By which it is found again, as its path may change.
    device: Option<String>,
    attached: bool,
    /// Becomes the outcome when the session ended.
    ended: watch::Receiver<Option<Result<(), String>>>,
}

/// Mounts; returns once the mount answers. Must be called inside a tokio runtime, whose threads then serve the mount; that of a
/// `current_thread` runtime only while it is driven.
pub async fn mount(tree: Arc<Tree>, options: &MountOptions) -> Result<Mounted, MountError> {
    let mountpoint = mountpoint::check(&options.mountpoint, options.nonempty)?;
    // A store either has all its files on local disk or none: it says so of any path.
    let storage = tree.source().storage();
    let far = storage.local_file("").is_none();
    let location = (!far).then(|| PathBuf::from(storage.describe()));
    let uses: Vec<PathBuf> = location.into_iter().chain(options.uses.iter().cloned()).collect();
    mountpoint::holds_none(&mountpoint, &uses)?;
    raise_file_limit();
    let filesystem = filesystem::StarsnapFs::new(tree, options, tokio::runtime::Handle::current());
    let greeted = filesystem.greeted();
    let session = Session::new(filesystem, &mountpoint, &options.config())
        .map_err(|error| mountpoint::refused(&mountpoint, options.allow_other, &error))?;
    let device = table::at(&mountpoint).map(|entry| entry.device);
    let no_thread = |error| MountError::new(&mountpoint, format!("no thread can be started: {error}"), "");
    // Never dropped, as it would unmount by path once more, and so what others have mounted there meanwhile, or the autofs beneath. What
    // stays is a descriptor.
    let session = ManuallyDrop::new(session.spawn().map_err(no_thread)?);
    // SAFETY: the handle is taken out once, of what is never dropped and not used again.
    let guard = unsafe { std::ptr::read(&session.guard) };
    let (tell, ended) = watch::channel(None);
    let serve = move || {
        let outcome = match guard.join() {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("its thread ended unexpectedly".into()),
        };
        let _ = tell.send(Some(outcome));
    };
    if let Err(error) = std::thread::Builder::new().name("starsnap-mount".into()).spawn(serve) {
        let _ = mountpoint::unmount(&mountpoint, device.as_deref());
        return Err(no_thread(error));
    }
    let mut mounted = Mounted { mountpoint: mountpoint.clone(), device, attached: false, ended };
    mountpoint::greeted(&mountpoint, mounted.device.as_deref(), &greeted, mounted.ended.clone()).await?;
    mounted.attached = true;
    let read_ahead = options.read_ahead.unwrap_or_else(|| if far { far_read_ahead(&options.reading) } else { 1024 });
    if let Some(device) = &mounted.device {
        mountpoint::read_ahead(device, read_ahead);
    }
    tracing::info!(mountpoint = %mountpoint.display(), "mounted");
    Ok(mounted)
}

impl Mounted {
    /// The mount point, absolute.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Returns when the mount was unmounted, by whomever.
    pub async fn wait(&mut self) -> Result<(), MountError> {
        let outcome = match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ok(())),
            Err(_) => Err("its thread ended unexpectedly".into()),
        };
        outcome.map_err(|reason| MountError::new(&self.mountpoint, format!("the mount broke off: {reason}"), ""))
    }

    /// Unmounts. A mount in use is detached: nobody finds it any more, and who has files open there loses them when the process ends.
    pub async fn unmount(mut self) -> Result<(), MountError> {
        let detached = self.detach()?;
        if !detached {
            self.wait().await?;
        }
        tracing::info!(mountpoint = %self.mountpoint.display(), "unmounted");
        Ok(())
    }

    /// Takes the mount away; whether it still serves somebody.
    fn detach(&mut self) -> Result<bool, MountError> {
        // One that broke off is still there.
        if matches!(*self.ended.borrow(), Some(Ok(()))) || !std::mem::take(&mut self.attached) {
            return Ok(false);
        }
        mountpoint::unmount(&self.mountpoint, self.device.as_deref())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.detach() {
            tracing::warn!(%error, "the mount stays behind");
        }
    }
}

/// Mounts and serves until somebody unmounts, or SIGTERM, SIGINT or SIGHUP asks for it; of these, signals that are ignored already stay so.
/// `ready` is called when the mount can be used; where it fails, as nobody waits for the mount any more, it is taken away again.
pub async fn run_foreground(
    tree: Arc<Tree>,
    options: &MountOptions,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), MountError> {
    // Before the mount is there: a signal that comes early must not leave it behind.
    let mut asked = pin!(Stop::new(&options.mountpoint)?.asked());
    let mut mounted = mount(tree, options).await?;
    let early = tokio::select! {
        biased;
        name = &mut asked => Some(name),
        () = std::future::ready(()) => None,
    };
    let name = match early {
        Some(name) => name,
        None => {
            if let Err(error) = ready() {
                let mountpoint = mounted.mountpoint.clone();
                end(mounted).await?;
                let reason = format!("whoever asked for the mount cannot be told that it is ready: {error}");
                return Err(MountError::new(&mountpoint, reason, ""));
            }
            tokio::select! {
                ended = mounted.wait() => return ended,
                name = &mut asked => name,
            }
        }
    };
    tracing::info!(read = ?options.reading.usage(), "{name}: unmounting");
    end(mounted).await
}

async fn end(mounted: Mounted) -> Result<(), MountError> {
    tokio::select! {
        ended = mounted.unmount() => ended,
        // The last user of a busy mount may never let go; the mount point is free already.
        () = tokio::time::sleep(Duration::from_secs(5)) => Ok(()),
    }
}

/// The signals that ask for an end.
struct Stop(Vec<(&'static str, Signal)>);

impl Stop {
    fn new(mountpoint: &Path) -> Result<Stop, MountError> {
        let kinds = [
            ("SIGTERM", SignalKind::terminate()),
            ("SIGINT", SignalKind::interrupt()),
            ("SIGHUP", SignalKind::hangup()),
        ];
        let heeded = kinds.into_iter().filter(|(_, kind)| !ignored(kind.as_raw_value()));
        let signals = heeded.map(|(name, kind)| Ok((name, signal(kind)?))).collect::<io::Result<_>>();
        signals
            .map(Stop)
            .map_err(|error| MountError::new(mountpoint, format!("signals cannot be handled: {error}"), ""))
    }

    /// The name of the first that comes.
    async fn asked(mut self) -> &'static str {
        std::future::poll_fn(|context| {
            for (name, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*name);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// KiB that the kernel reads ahead of a store that is far away: of one reader, a small part of the memory.
fn far_read_ahead(reading: &Reading) -> u32 {
    let part = (reading.usage().memory / 48) >> 10;
    u32::try_from(part).unwrap_or(u32::MAX).clamp(1024, 8192)
}

/// Open files of a local repository take a descriptor each.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given a valid pointer to `limit`.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
