//! What a job is: its identity, its record, and how it is asked to end. No I/O, nothing of the crate.

mod error;
mod record;
mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
pub use error::JobError;
pub use record::{Captured, Cause, Exit, Finished, Force, Record};
pub use snapshot::Snapshot;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc, oneshot, watch};
use uuid::Uuid;

/// One point in time on both clocks: the wall clock is for display only, every duration comes from the monotonic one.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub wall: DateTime<Utc>,
    pub monotonic: Instant,
}

impl Moment {
    pub fn now() -> Self {
        Self { wall: Utc::now(), monotonic: Instant::now() }
    }
}

/// A handle to one job. Clones are cheap and all look at the same record, which only the job's watcher writes.
#[derive(Clone, Debug)]
pub struct Job(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: Uuid,
    command: Box<str>,
    cwd: PathBuf,
    pid: u32,
    created: Moment,
    record: watch::Receiver<Record>,
    stop: mpsc::UnboundedSender<StopRequest>,
    /// Whether a reply has told of this job's end.
    end_told: AtomicBool,
    /// Read-locked while the output files are read, write-locked while they are removed.
    files: RwLock<()>,
}

/// What a job's watcher is born with to write the record and to hear requests.
#[derive(Debug)]
pub struct WatcherSide {
    pub record: watch::Sender<Record>,
    pub stop: mpsc::UnboundedReceiver<StopRequest>,
}

/// A request to end the whole tree: TERM now, KILL at `kill_at`.
#[derive(Debug)]
pub struct StopRequest {
    pub kill_at: Instant,
    /// Receives the pids of processes that could not be ended, once the others are gone.
    pub survivors: oneshot::Sender<Vec<u32>>,
}

impl Job {
    /// A job whose process has just been started, and the other side of it for the watcher.
    pub fn new(
        id: Uuid,
        command: &str,
        cwd: PathBuf,
        pid: u32,
        created: Moment,
    ) -> (Self, WatcherSide) {
        let (record, record_seen) = watch::channel(Record::default());
        let (stop, stop_seen) = mpsc::unbounded_channel();
        let inner = Inner {
            id,
            command: command.into(),
            cwd,
            pid,
            created,
            record: record_seen,
            stop,
            end_told: AtomicBool::new(false),
            files: RwLock::default(),
        };
        (Self(Arc::new(inner)), WatcherSide { record, stop: stop_seen })
    }

    pub fn id(&self) -> Uuid {
        self.0.id
    }

    pub fn command(&self) -> &str {
        &self.0.command
    }

    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    pub fn created(&self) -> Moment {
        self.0.created
    }

    pub fn cwd(&self) -> &Path {
        &self.0.cwd
    }

    pub fn is_running(&self) -> bool {
        self.0.record.borrow().finished.is_none()
    }

    /// Whether the command has ended, and with it, if it is being stopped, the rest of its tree.
    pub fn is_over(&self) -> bool {
        self.0.record.borrow().is_over()
    }

    /// Whether any process of the job is alive.
    pub fn is_alive(&self) -> bool {
        self.0.record.borrow().gone_at.is_none()
    }

    /// When the command ended, if it has.
    pub fn finished_at(&self) -> Option<Instant> {
        self.0.record.borrow().finished.as_ref().map(|finished| finished.at.monotonic)
    }

    /// When the last of the job had ended, its command or a process that it left, if all of its output is stored: only such
    /// a job can be evicted.
    pub fn released_at(&self) -> Option<Instant> {
        let record = self.0.record.borrow();
        let ended_at = record.finished.as_ref()?.at.monotonic;
        record.gone_at.filter(|_| record.has_all_output()).map(|gone_at| gone_at.max(ended_at))
    }

    /// Bytes of output that this job has on disk.
    pub fn retained_bytes(&self) -> u64 {
        let record = self.0.record.borrow();
        record.stdout.retained() + record.stderr.retained()
    }

    /// The record, to wait on: it changes with every piece of output and with every change of state.
    pub fn record(&self) -> watch::Receiver<Record> {
        self.0.record.clone()
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            job: self.clone(),
            record: self.0.record.borrow().clone(),
            taken: Instant::now(),
        }
    }

    /// Asks the watcher to end the whole tree: TERM now, KILL after the grace period. Asking again can only bring the KILL
    /// forward, or begins anew once the watcher has given up. The future, which need not be awaited, resolves when nothing
    /// of the job is alive, or with the pids of what could not be ended.
    pub fn stop(&self, grace: Duration) -> impl Future<Output = Vec<u32>> + use<> {
        let (survivors, answer) = oneshot::channel();
        // Errors mean that the watcher is gone, and with it the tree.
        let _ = self.0.stop.send(StopRequest { kill_at: Instant::now() + grace, survivors });
        async move { answer.await.unwrap_or_default() }
    }

    /// Waits until nothing more of the output will be stored.
    pub async fn all_stored(&self) {
        let mut record = self.0.record.clone();
        // An error means that the watcher is gone: then nothing more is stored.
        drop(record.wait_for(Record::has_all_output).await);
    }

    /// Held while the output is read, so that it is not removed meanwhile.
    pub fn reading(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.0.files.try_read().ok()
    }

    /// Waits until the output is not read any more.
    pub async fn unread(&self) -> RwLockWriteGuard<'_, ()> {
        self.0.files.write().await
    }

    /// Whether a reply has told of this job's end.
    pub fn is_end_told(&self) -> bool {
        self.0.end_told.load(Ordering::Relaxed)
    }

    /// A reply tells of its end.
    pub fn set_end_told(&self) {
        self.0.end_told.store(true, Ordering::Relaxed);
    }
}
