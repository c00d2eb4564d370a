//! Where this server's output goes, and what bounds it in all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use uuid::Uuid;

use super::directory::{Directory, roots, sweep_dead};
use crate::blocking::{lock, run_blocking};

/// How long a read of output may take before its call is answered without it.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// Reads at the same time: those that hang must not take all threads for work that may block.
static READS: Semaphore = Semaphore::const_new(8);

/// How long the capture thread waits for the sweeper when the store is full: less than a drain is given.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(400);

/// Where output goes and what bounds it in all.
#[derive(Debug)]
pub struct Store {
    roots: Vec<PathBuf>,
    /// The name of this server's directory below one of the roots.
    id: Uuid,
    directory: OnceLock<Arc<Directory>>,
    max_bytes: u64,
    /// Bytes that are stored, or about to be.
    stored: AtomicU64,
    /// Told when there is so much that finished results have to go.
    pressure: Notify,
    /// The capture thread, when it waits for a sweep that has not begun yet: until this is dropped.
    waiting: Mutex<Option<SyncSender<()>>>,
}

impl Store {
    /// Creates nothing: the directory comes with the first byte of output.
    pub fn new(output_dir: Option<&Path>, id: Option<Uuid>, max_bytes: u64) -> Self {
        Self {
            roots: roots(output_dir),
            id: id.unwrap_or_else(Uuid::new_v4),
            directory: OnceLock::new(),
            max_bytes,
            stored: AtomicU64::new(0),
            pressure: Notify::new(),
            waiting: Mutex::default(),
        }
    }

    /// Under which directory output will go, if that can be.
    pub fn root(&self) -> &Path {
        &self.roots[0]
    }

    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Where eviction of finished results starts: below the bound, since what is evicted takes a moment to go.
    fn soft_limit(&self) -> u64 {
        self.max_bytes - self.max_bytes / 16
    }

    /// How many bytes of finished results have to go.
    pub fn excess(&self) -> u64 {
        self.stored.load(Ordering::Relaxed).saturating_sub(self.soft_limit())
    }

    fn limit(&self, is_large: bool) -> u64 {
        match is_large {
            true => self.soft_limit().midpoint(self.max_bytes),
            false => self.max_bytes,
        }
    }

    pub fn is_full(&self, is_large: bool) -> bool {
        self.stored.load(Ordering::Relaxed) >= self.limit(is_large)
    }

    /// How many of so many bytes may be stored. They count from now on.
    ///
    /// `is_large` is for a stream that can give up segments of its own. The last part of the room is not for these: it is for
    /// streams that have just begun, whose few words a flood of others must not drown.
    pub fn reserve(&self, wanted: usize, is_large: bool) -> usize {
        let limit = self.limit(is_large);
        let mut granted = 0;
        let reserve = |stored: u64| {
            let room = usize::try_from(limit.saturating_sub(stored)).unwrap_or(usize::MAX);
            granted = wanted.min(room);
            Some(stored + granted as u64)
        };
        let before = self.stored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve);
        if before.unwrap_or_default() + granted as u64 > self.soft_limit() {
            self.pressure.notify_one();
        }
        granted
    }

    /// Bytes that were reserved are gone, or were not stored.
    pub fn release(&self, bytes: u64) {
        self.stored.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// If the store is full, waits on the capture thread until the sweeper has evicted what can go: output of running jobs is
    /// not dropped while there are finished results.
    pub fn wait_for_room(&self, is_large: bool) {
        if self.is_full(is_large) {
            let (waiting, swept) = sync_channel(0);
            *lock(&self.waiting) = Some(waiting);
            self.pressure.notify_one();
            // An error is how the end of the sweep is told, and how time runs out.
            let _ = swept.recv_timeout(WAIT_FOR_ROOM);
        }
    }

    /// Held during a sweep: who has waited for one goes on when it is dropped.
    pub fn sweeping(&self) -> Option<SyncSender<()>> {
        lock(&self.waiting).take()
    }

    /// Resolves when there is so much that finished results have to go.
    pub async fn under_pressure(&self) {
        self.pressure.notified().await;
    }

    /// Reads output on another thread. None if the disk does not answer in time; the thread then goes on alone.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let read = async {
            let turn = READS.acquire().await.ok()?;
            run_blocking(move || {
                let _turn = turn;
                read()
            })
            .await
        };
        timeout(READ_WITHIN, read).await.ok().flatten()
    }

    /// This server's own directory, made when it is first asked for: by the capture thread alone.
    pub fn directory(&self) -> io::Result<Arc<Directory>> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory.clone());
        }
        let made = Arc::new(Directory::create_in_first(&self.roots, self.id)?);
        let directory = self.directory.get_or_init(|| made).clone();
        let swept = directory.clone();
        // Takes as long as there is to remove, and the caller has output to write.
        drop(std::thread::Builder::new().spawn(move || sweep_dead(&swept)));
        Ok(directory)
    }

    /// This server's directory, if anything was ever stored.
    pub fn existing(&self) -> Option<Arc<Directory>> {
        self.directory.get().cloned()
    }
}
