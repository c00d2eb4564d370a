//! What a job is: its identity, its state, how it ended, a copy of it for a reply. No I/O, nothing of the crate.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use uuid::Uuid;

/// One point in time on both clocks: the wall clock is for display only, every duration comes from the monotonic one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: DateTime<Utc>,
    pub(crate) monotonic: Instant,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            wall: Utc::now(),
            monotonic: Instant::now(),
        }
    }
}

/// A handle to one job. Clones are cheap and all look at the same record, which only the job's watcher writes.
#[derive(Clone, Debug)]
pub(crate) struct Job(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: Uuid,
    command: Box<str>,
    cwd: PathBuf,
    pid: u32,
    created: Moment,
    record: watch::Receiver<Record>,
    stop: watch::Sender<Option<StopRequest>>,
    /// Whether a reply has told of this job's end; see `Registry::unreported`.
    end_reported: AtomicBool,
}

/// What a job's watcher is born with to write the record and to hear requests.
#[derive(Debug)]
pub(crate) struct WatcherSide {
    pub(crate) record: watch::Sender<Record>,
    pub(crate) stop: watch::Receiver<Option<StopRequest>>,
}

impl Job {
    /// A job whose process has just been started, and the other side of it for the watcher.
    pub(crate) fn new(
        id: Uuid,
        command: &str,
        cwd: PathBuf,
        pid: u32,
        created: Moment,
    ) -> (Self, WatcherSide) {
        let (record, record_seen) = watch::channel(Record::default());
        let (stop, stop_seen) = watch::channel(None);
        let inner = Inner {
            id,
            command: command.into(),
            cwd,
            pid,
            created,
            record: record_seen,
            stop,
            end_reported: AtomicBool::new(false),
        };
        (
            Self(Arc::new(inner)),
            WatcherSide {
                record,
                stop: stop_seen,
            },
        )
    }

    pub(crate) fn id(&self) -> Uuid {
        self.0.id
    }

    pub(crate) fn command(&self) -> &str {
        &self.0.command
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid
    }

    pub(crate) fn created(&self) -> Moment {
        self.0.created
    }

    pub(crate) fn cwd(&self) -> &std::path::Path {
        &self.0.cwd
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.0.record.borrow().state, JobState::Running)
    }

    /// Whether any process of the job is alive.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.record.borrow().tree == Tree::Alive
    }

    /// When the command ended, if it has.
    pub(crate) fn finished_at(&self) -> Option<Instant> {
        match &self.0.record.borrow().state {
            JobState::Running => None,
            JobState::Finished(finished) => Some(finished.at.monotonic),
        }
    }

    /// When the command ended, if nothing of the job is alive any more and nothing of its output is under way: only such a
    /// job can be evicted.
    pub(crate) fn released_at(&self) -> Option<Instant> {
        let record = self.0.record.borrow();
        let is_released = record.tree == Tree::Gone && record.has_all_output();
        match &record.state {
            JobState::Finished(finished) if is_released => Some(finished.at.monotonic),
            _ => None,
        }
    }

    /// Bytes of output that this job has on disk.
    pub(crate) fn retained_bytes(&self) -> u64 {
        let record = self.0.record.borrow();
        record.stdout.retained() + record.stderr.retained()
    }

    /// The record, to wait on: it changes with every piece of output and with every change of state.
    pub(crate) fn record(&self) -> watch::Receiver<Record> {
        self.0.record.clone()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            job: self.clone(),
            record: self.0.record.borrow().clone(),
            taken: Instant::now(),
        }
    }

    /// Asks the watcher to end the whole tree. Asking again can only bring the KILL forward, unless the watcher has given
    /// up since: then it tries once more.
    pub(crate) fn request_stop(&self, grace: Duration) -> Attempt {
        let kill_at = Instant::now() + grace;
        let attempt = Attempt {
            given_up: self.0.record.borrow().given_up,
        };
        self.0.stop.send_if_modified(|request| match request {
            Some(earlier) if earlier.attempt == attempt && earlier.kill_at <= kill_at => false,
            _ => {
                *request = Some(StopRequest { kill_at, attempt });
                true
            }
        });
        attempt
    }

    /// Waits until nothing of the job is alive, or the watcher has given up on some of it in this attempt: their pids.
    pub(crate) async fn ended(&self, attempt: Attempt) -> Vec<u32> {
        let mut record = self.0.record.clone();
        let settled = record
            .wait_for(|record| record.tree != Tree::Alive || record.given_up > attempt.given_up)
            .await;
        settled
            .map(|record| record.survivors.clone())
            .unwrap_or_default()
    }

    /// Waits until nothing more of the output will be stored.
    pub(crate) async fn all_stored(&self) {
        let mut record = self.0.record.clone();
        // An error means that the watcher is gone: then nobody stores anything.
        drop(record.wait_for(Record::has_all_output).await);
    }

    pub(crate) fn end_reported(&self) -> bool {
        self.0.end_reported.load(Ordering::Relaxed)
    }

    pub(crate) fn set_end_reported(&self, reported: bool) {
        self.0.end_reported.store(reported, Ordering::Relaxed);
    }
}

/// A request to end the whole tree: TERM now, KILL at `kill_at`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopRequest {
    pub(crate) kill_at: Instant,
    attempt: Attempt,
}

/// One of the attempts to end a tree: how often the watcher had given up before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    given_up: u32,
}

/// What is known of a job's processes and output. Written by the watcher alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) state: JobState,
    pub(crate) tree: Tree,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
    pub(crate) last_output: Option<Instant>,
    /// Processes of the job that outlived their parent: while the command runs, those that do not descend from it;
    /// after its end, those that are left of the job.
    pub(crate) leftovers: Vec<u32>,
    /// Processes that did not end although they were sent KILL.
    pub(crate) survivors: Vec<u32>,
    /// How often the watcher has given up on some of them.
    pub(crate) given_up: u32,
}

impl Record {
    /// Whether both streams have ended and are stored as far as they will ever be.
    pub(crate) fn has_all_output(&self) -> bool {
        self.stdout.ended && self.stderr.ended
    }
}

/// Whether any process of the job is alive, its command included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tree {
    #[default]
    Alive,
    Gone,
}

/// Where the job's command stands. Leftover processes do not count: see `Record::leftovers`.
#[derive(Clone, Debug, Default)]
pub(crate) enum JobState {
    #[default]
    Running,
    Finished(Finished),
}

/// How and when the command ended. Never changes once it is there.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) exit: Exit,
    pub(crate) cause: Cause,
    pub(crate) at: Moment,
}

/// What the kernel said of the end of the command's own process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
    /// The kernel had no status, or the watcher failed: why.
    Lost(String),
}

/// Who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Itself,
    TimeLimit,
    Stopped,
}

impl Finished {
    /// The state's name in replies.
    pub(crate) fn name(&self) -> &'static str {
        match (&self.exit, self.cause) {
            (Exit::Lost(_), _) => "lost",
            (_, Cause::TimeLimit) => "timed_out",
            (_, Cause::Stopped) => "stopped",
            (Exit::Code(_), Cause::Itself) => "exited",
            (Exit::Signal(_), Cause::Itself) => "signaled",
        }
    }
}

/// What was captured of one stream: which of its bytes are on disk, by absolute offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    /// Byte ranges that are on disk, one for each segment file: ascending, disjoint, not empty.
    pub(crate) segments: Vec<Range<u64>>,
    /// Every byte that was ever read from the stream.
    pub(crate) end: u64,
    /// The stream has ended: nothing will be added.
    pub(crate) ended: bool,
    /// Why bytes were first not stored, apart from the bound of the stream itself.
    pub(crate) unstored: Option<Unstored>,
}

/// Why bytes were not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unstored {
    /// All jobs together have as much as `--max-total-bytes` allows.
    StoreIsFull,
    /// The file system refused: its words.
    Failed(Arc<str>),
}

impl Captured {
    pub(crate) fn retained(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.end - segment.start)
            .sum()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.end - self.retained()
    }
}

/// An owned copy of a job's record, made for a reply.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) job: Job,
    pub(crate) record: Record,
    taken: Instant,
}

impl Snapshot {
    pub(crate) fn finished(&self) -> Option<&Finished> {
        match &self.record.state {
            JobState::Running => None,
            JobState::Finished(finished) => Some(finished),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.finished().is_none()
    }

    /// From the start to the end of the command, or to now.
    pub(crate) fn elapsed(&self) -> Duration {
        let end = self
            .finished()
            .map_or(self.taken, |finished| finished.at.monotonic);
        end.saturating_duration_since(self.job.created().monotonic)
    }

    /// How long nothing has been written.
    pub(crate) fn silent(&self) -> Duration {
        self.taken.saturating_duration_since(
            self.record
                .last_output
                .unwrap_or(self.job.created().monotonic),
        )
    }
}

/// Why a job could not be started or found.
#[derive(Debug)]
pub(crate) enum JobError {
    EmptyCommand,
    NulInCommand,
    CommandTooLong {
        bytes: usize,
    },
    NoDirectory {
        path: PathBuf,
        error: io::Error,
    },
    NoShell {
        program: String,
        error: io::Error,
    },
    /// All slots are taken, the longest by these.
    Busy {
        limit: usize,
        oldest: Vec<Job>,
    },
    /// The system has no more processes, descriptors or memory to give.
    Resources(io::Error),
    /// The call was cancelled, or the server is shutting down, before anything was started.
    Cancelled,
    Unknown {
        id: Uuid,
        age: Duration,
        known: Vec<Uuid>,
    },
    Expired {
        id: Uuid,
    },
    CleanedUp {
        id: Uuid,
    },
}
