//! Where this server's output goes, and how many bytes of it there are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use uuid::Uuid;

use super::directory::Directory;
use super::disk::Disk;

/// What may come before the sweeper has its turn: a pipe full of either stream.
const ROOM_AT_ONCE: u64 = 128 << 10;

/// How long output waits for room to be made. Then it takes what room there is: a disk may be slow to give any back.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

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
    swept: Notify,
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
            swept: Notify::new(),
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

    /// Whether finished jobs are to be evicted before more comes.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.retained() > self.soft_limit()
    }

    /// Waits until there is room, or the sweeper has made what room it can.
    pub(crate) async fn room(&self) {
        if !self.is_nearly_full() {
            return;
        }
        let mut swept = std::pin::pin!(self.swept.notified());
        swept.as_mut().enable();
        self.pressure.notify_one();
        let _ = timeout(ROOM_WITHIN, swept).await;
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
        let room = (self.max_total / 16).max(ROOM_AT_ONCE);
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

    /// Finished jobs have been evicted, as far as that was needed and could be.
    pub(crate) fn note_sweep(&self) {
        self.swept.notify_waiters();
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
