//! The directory of this server's output files, and how many bytes are in it.
//!
//! Each server has a directory of its own under the root, with a lock file that it holds as long as it lives. A
//! directory whose lock can be taken therefore belongs to a dead server, and is swept by whichever server comes next.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::disk::Disk;

const DIRECTORY_PREFIX: &str = "server-";
const LOCK_FILE: &str = "lock";

/// Where output goes and what bounds it in all.
#[derive(Debug)]
pub(crate) struct Store {
    roots: Vec<PathBuf>,
    directory: OnceLock<Arc<Directory>>,
    /// Held while the directory is made, as `OnceLock` would if it could fail: by threads alone that wait for the disk in
    /// any case.
    making: Mutex<()>,
    disk: Disk,
    /// Bytes that are stored, or about to be.
    retained: AtomicU64,
    max_total: u64,
    pressure: Notify,
    made: Notify,
}

impl Store {
    /// Creates nothing: the directory comes with the first job.
    pub(crate) fn new(output_dir: Option<&Path>, max_total: u64) -> Self {
        Self {
            roots: output_dir.map_or_else(default_roots, |dir| vec![dir.to_owned()]),
            directory: OnceLock::new(),
            making: Mutex::default(),
            disk: Disk::default(),
            retained: AtomicU64::new(0),
            max_total,
            pressure: Notify::new(),
            made: Notify::new(),
        }
    }

    /// Under which directory output will go, if that can be.
    pub(crate) fn root(&self) -> &Path {
        &self.roots[0]
    }

    /// What is asked of the disk goes through here.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// This server's own directory, made when it is first asked for. Blocks.
    pub(crate) fn directory(&self) -> io::Result<Arc<Directory>> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory.clone());
        }
        let _turn = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = self.directory.get() {
            return Ok(directory.clone());
        }
        let directory = Arc::new(Directory::create_in_first(&self.roots, &self.disk)?);
        // Whose turn it is, is the only one who sets it.
        drop(self.directory.set(directory.clone()));
        self.made.notify_one();
        Ok(directory)
    }

    /// This server's directory, if anything was ever stored.
    pub(crate) fn existing(&self) -> Option<Arc<Directory>> {
        self.directory.get().cloned()
    }

    /// Resolves, for one caller, when the directory has been made, which may be long after it was first needed.
    pub(crate) async fn made(&self) {
        self.made.notified().await;
    }

    /// Takes room for up to so many bytes as long as no more than `limit` are retained in all; says for how many. Near the
    /// bound the sweeper is woken to evict finished jobs.
    pub(crate) fn reserve(&self, wanted: usize, limit: u64) -> usize {
        let mut reserved = 0;
        let grow = |retained: u64| {
            let room = usize::try_from(limit.saturating_sub(retained)).unwrap_or(usize::MAX);
            reserved = wanted.min(room);
            (reserved > 0).then_some(retained + reserved as u64)
        };
        let (Ok(before) | Err(before)) =
            self.retained
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        if before + reserved as u64 > self.soft_limit() {
            self.pressure.notify_one();
        }
        reserved
    }

    /// Gives room back, once what was in it is gone.
    pub(crate) fn subtract(&self, bytes: u64) {
        self.retained.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn max_total(&self) -> u64 {
        self.max_total
    }

    pub(crate) fn retained(&self) -> u64 {
        self.retained.load(Ordering::Relaxed)
    }

    /// Where eviction of finished jobs starts: below the bound, so that there is room while it is under way.
    pub(crate) fn soft_limit(&self) -> u64 {
        // Several pipes full can come before the sweeper has its turn.
        let room = (self.max_total / 16).max(1 << 20);
        self.max_total - room.min(self.max_total / 2)
    }

    /// Where streams that can make room by giving up what they have do so, once no finished job is left to evict: what is
    /// beyond is for those that have just begun, whose few words a flood of others must not drown.
    pub(crate) fn limit_for_large(&self) -> u64 {
        self.soft_limit().midpoint(self.max_total)
    }

    /// Resolves when the store has grown beyond its soft limit.
    pub(crate) async fn under_pressure(&self) {
        self.pressure.notified().await;
    }
}

/// One server's directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    disk: Disk,
    /// Held, never read: the lock on it says that this server lives.
    lock: Mutex<File>,
}

impl Directory {
    fn create_in_first(roots: &[PathBuf], disk: &Disk) -> io::Result<Self> {
        let mut first_error = None;
        for root in roots {
            match Self::create_in(root, disk) {
                Ok(directory) => return Ok(directory),
                Err(error) => {
                    tracing::warn!(root = %root.display(), %error, "cannot store output here");
                    first_error.get_or_insert_with(|| in_context(&error, root));
                }
            }
        }
        Err(first_error.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn create_in(root: &Path, disk: &Disk) -> io::Result<Self> {
        let path = std::path::absolute(root)?.join(format!("{DIRECTORY_PREFIX}{}", Uuid::new_v4()));
        let lock = make_and_lock(&path)?;
        Ok(Self {
            path,
            disk: disk.clone(),
            lock: Mutex::new(lock),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The one that it is on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a new file for writing; makes the directory again if somebody removed it.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<File> {
        let path = self.file(name);
        let create = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
        };
        let created = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let lock = make_and_lock(&self.path)?;
                // A poisoned lock only means that another thread panicked while swapping a file handle.
                *self
                    .lock
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = lock;
                create()
            }
            other => other,
        };
        created.map_err(|error| in_context(&error, &path))
    }
}

fn in_context(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes the directory with its lock file. A sweeping server may take the fresh lock in the instant before we do and
/// remove both: then the file has no name any more, and we start again.
fn make_and_lock(path: &Path) -> io::Result<File> {
    loop {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = match OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        match lock.try_lock() {
            // A file system without locks: nobody can take ours for a dead server's either.
            Ok(()) | Err(fs::TryLockError::Error(_)) => {}
            Err(fs::TryLockError::WouldBlock) => continue,
        }
        if lock.metadata()?.nlink() > 0 {
            return Ok(lock);
        }
    }
}

/// Removes what servers that are gone have left beside this directory. Only directories of ours that carry a server's name
/// and a lock file that nobody holds are touched: somebody may have chosen a directory with files of his own.
pub(crate) fn sweep_dead(directory: &Directory) {
    let Some(entries) = directory
        .path
        .parent()
        .and_then(|root| fs::read_dir(root).ok())
    else {
        return;
    };
    for entry in entries.flatten() {
        if !is_a_servers(&entry) {
            continue;
        }
        let path = entry.path();
        match OpenOptions::new().write(true).open(path.join(LOCK_FILE)) {
            Ok(lock) if lock.try_lock().is_ok() => {
                tracing::info!(path = %path.display(), "removing the output of a server that is gone");
                remove_directory(&path);
            }
            Ok(_) => {}
            // Left by a server killed between making the directory and its lock. Not empty, it stays.
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(fs::remove_dir(&path)),
            Err(_) => {}
        }
    }
}

/// Whether a server of this user has made it. A link is none, wherever it leads.
fn is_a_servers(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let id = name
        .to_str()
        .and_then(|name| name.strip_prefix(DIRECTORY_PREFIX));
    id.is_some_and(|id| Uuid::try_parse(id).is_ok())
        && entry
            .metadata()
            .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
}

/// Whether a job's output has this name, which begins with the job's id.
fn is_output(name: &OsStr) -> bool {
    let id = name.to_str().and_then(|name| name.split('.').next());
    id.is_some_and(|id| Uuid::try_parse(id).is_ok())
}

/// Removes a server's directory: its lock file last, so that a half-removed one can still be recognised and swept.
pub(crate) fn remove_directory(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if is_output(&entry.file_name()) {
            drop(fs::remove_file(entry.path()));
        }
    }
    drop(fs::remove_file(path.join(LOCK_FILE)));
    if let Err(error) = fs::remove_dir(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove the output directory");
    }
}

/// The user's cache directory, and for users without one the directory for temporary files. If somebody else has made a
/// directory of our name there, one whose name nobody could know.
fn default_roots() -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let name = format!("background-command-mcp-{uid}");
    let temporary = std::env::temp_dir().join(&name);
    let is_ours =
        fs::symlink_metadata(&temporary).map_or(true, |found| found.is_dir() && found.uid() == uid);
    let temporary = if is_ours {
        temporary
    } else {
        temporary.with_file_name(format!("{name}-{}", Uuid::new_v4()))
    };
    let cache = dirs::cache_dir().map(|cache| cache.join("background-command-mcp"));
    cache.into_iter().chain([temporary]).collect()
}
