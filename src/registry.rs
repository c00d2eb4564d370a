//! Which jobs exist: start, get, list, remove, evict, shut down.

pub mod connection;
mod evict;
mod login_env;
mod start;
pub mod sweeper;
pub mod working_dir;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use start::Start;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::blocking::lock;
use crate::config::Config;
use crate::job::{Job, JobError};
use crate::output::store::Store;
use crate::process::Usage;
use crate::process::reaper::Reaper;
use crate::process::tree::{end_strays, usage};
use crate::watcher::CaptureThread;

/// How long after TERM a tree is killed when the server itself ends: clients give it two seconds in all.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// How many removed ids are remembered.
const REMEMBERED: usize = 1000;

/// Why a job is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RemovalReason {
    Expired,
    CleanedUp,
}

/// All jobs of this server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ProcessRegistry {
    /// A std mutex: each lock holds for a look-up or an insertion and is never held across an await, a spawn, a signal,
    /// a file operation or a log line.
    jobs: Arc<Mutex<HashMap<Uuid, Job>>>,
    /// The ids of jobs that are gone, the newest ones, to tell an expired job from one that never was. A leaf lock too.
    removed: Arc<Mutex<VecDeque<(Uuid, RemovalReason)>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    store: Arc<Store>,
    slots: Arc<Semaphore>,
    reaper: Reaper,
    capture: Arc<CaptureThread>,
    ends: Arc<watch::Sender<u64>>,
    watchers: TaskTracker,
    closing: CancellationToken,
    started: Instant,
}

impl ProcessRegistry {
    /// An empty registry, within a runtime. No file and no process is created before the first job.
    pub fn new(config: Arc<Config>, closing: CancellationToken) -> io::Result<Self> {
        let shared = Shared {
            store: Arc::new(Store::new(
                config.output_dir.as_deref(),
                config.directory_id,
                config.max_total_bytes,
            )),
            slots: Arc::new(Semaphore::new(config.max_running.min(Semaphore::MAX_PERMITS))),
            reaper: Reaper::start()?,
            capture: Arc::new(CaptureThread::start()?),
            ends: Arc::new(watch::Sender::new(0)),
            watchers: TaskTracker::new(),
            closing,
            started: Instant::now(),
            config,
        };
        Ok(Self { jobs: Arc::default(), removed: Arc::default(), shared: Arc::new(shared) })
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    pub fn age(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Changes whenever there may be another end to tell of: a command has ended, or the tree of one that is being stopped.
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.shared.ends.subscribe()
    }

    /// The job with this id, if there is one.
    pub fn find(&self, id: Uuid) -> Option<Job> {
        lock(&self.jobs).get(&id).cloned()
    }

    /// The job with this id, or why there is none.
    pub fn get(&self, id: Uuid) -> Result<Job, JobError> {
        if let Some(job) = self.find(id) {
            return Ok(job);
        }
        let is_it = |(removed, _): &&(Uuid, RemovalReason)| *removed == id;
        let reason = lock(&self.removed).iter().find(is_it).map(|(_, reason)| *reason);
        Err(match reason {
            Some(RemovalReason::Expired) => JobError::Expired { id, age: self.age() },
            Some(RemovalReason::CleanedUp) => JobError::CleanedUp { id },
            None => JobError::Unknown { id, age: self.age(), known: self.known_ids() },
        })
    }

    /// Finds the orphans of jobs that are alive: nothing else tells when a process becomes one.
    pub fn look_for_orphans(&self) {
        if self.any(Job::is_alive) {
            self.shared.reaper.look();
        }
    }

    /// What the processes of the job use now, those among them that were orphans when these were last looked for.
    pub fn usage(&self, job: &Job) -> Usage {
        match job.is_alive() {
            true => usage(job.pid(), &self.shared.reaper.adopted_of(job.id())),
            false => Usage::default(),
        }
    }

    /// Every running job, oldest first, the newest finished ones, newest first, and how many more there are.
    pub fn list(&self, max_finished: usize) -> (Vec<Job>, Vec<Job>, usize) {
        let mut finished = self.finished();
        let omitted = finished.len().saturating_sub(max_finished);
        finished.drain(..omitted);
        finished.reverse();
        (self.by_age(Job::is_running), finished, omitted)
    }

    /// How many run, and how many have finished.
    pub fn counts(&self) -> (usize, usize) {
        let jobs = lock(&self.jobs);
        let running = jobs.values().filter(|job| job.is_running()).count();
        (running, jobs.len() - running)
    }

    /// Up to `max` finished jobs whose end no reply has told of, oldest first.
    pub fn unreported(&self, max: usize) -> Vec<Job> {
        let mut untold = self.select(|job| !job.is_end_told() && job.is_over());
        untold.sort_by_cached_key(Job::finished_at);
        untold.truncate(max);
        untold
    }

    /// Finished jobs in the order of their ends.
    fn finished(&self) -> Vec<Job> {
        let mut finished = self.select(|job| !job.is_running());
        finished.sort_by_cached_key(Job::finished_at);
        finished
    }

    /// Jobs of this kind in the order of their starts.
    fn by_age(&self, kind: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut jobs = self.select(kind);
        jobs.sort_by_key(|job| job.created().monotonic);
        jobs
    }

    fn any(&self, kind: impl Fn(&Job) -> bool) -> bool {
        lock(&self.jobs).values().any(kind)
    }

    fn select(&self, kind: impl Fn(&Job) -> bool) -> Vec<Job> {
        let jobs = lock(&self.jobs);
        jobs.values().filter(|job| kind(job)).cloned().collect()
    }

    /// Takes a job out that was cleaned up. False if another call has done so before; else its files are the caller's to
    /// discard.
    pub fn remove(&self, job: &Job) -> bool {
        self.take_out(job, RemovalReason::CleanedUp)
    }

    fn take_out(&self, job: &Job, reason: RemovalReason) -> bool {
        let was_there = lock(&self.jobs).remove(&job.id()).is_some();
        if was_there {
            let mut removed = lock(&self.removed);
            removed.push_back((job.id(), reason));
            let surplus = removed.len().saturating_sub(REMEMBERED);
            removed.drain(..surplus);
        }
        was_there
    }

    /// Ends every process of every job. Returns when the last watcher has seen the last of them go.
    pub async fn shut_down(&self) {
        self.shared.closing.cancel();
        self.shared.watchers.close();
        for job in self.select(Job::is_alive) {
            drop(job.stop(SHUTDOWN_GRACE));
        }
        let strays = end_strays(&self.shared.reaper, SHUTDOWN_GRACE);
        tokio::join!(self.shared.watchers.wait(), strays);
    }

    /// What is still alive of all jobs, by pid: for the log of a server that ends without having ended them.
    pub fn living(&self) -> Vec<u32> {
        let living = self.select(Job::is_alive).into_iter().map(|job| job.snapshot());
        let pids = living.flat_map(|snapshot| {
            let leader = snapshot.is_running().then(|| snapshot.job.pid());
            leader.into_iter().chain(snapshot.record.leftovers)
        });
        pids.collect()
    }

    fn known_ids(&self) -> Vec<Uuid> {
        let (running, finished, _) = self.list(3);
        running.iter().chain(&finished).take(3).map(Job::id).collect()
    }
}
