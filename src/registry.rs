//! Which jobs exist: start, get, list, remove, evict, shut down.

mod eviction;
pub mod login_env;
mod start;
pub(crate) mod sweeper;
mod timeline;
mod tombstones;
pub(crate) mod working_dir;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use login_env::LoginEnvironment;
pub(crate) use start::Start;
use timeline::Timeline;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombstones::Fate;
use uuid::Uuid;
use working_dir::WorkingDirectory;

use crate::config::Config;
use crate::job::{Job, JobError};
use crate::output::store::Store;
use crate::process::reaper::Reaper;
use crate::process::tree::end_strays;
use crate::watcher::CaptureThread;

/// How long after TERM a tree is killed when the server itself ends: clients give it two seconds in all.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// All jobs of this server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ProcessRegistry {
    /// A std mutex: each lock holds for a look-up or an insertion and is never held across an await, a spawn, a signal,
    /// a file operation or a log line.
    jobs: Arc<Mutex<HashMap<Uuid, Job>>>,
    timeline: Timeline,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    working_directory: WorkingDirectory,
    store: Arc<Store>,
    slots: Arc<Semaphore>,
    reaper: Reaper,
    capture: Mutex<Option<Arc<CaptureThread>>>,
    login: LoginEnvironment,
    ends: Arc<watch::Sender<u64>>,
    watchers: TaskTracker,
    closing: CancellationToken,
    started: Instant,
}

impl ProcessRegistry {
    /// An empty registry, within a runtime. No file and no process is created before the first job.
    pub fn new(config: Arc<Config>, closing: CancellationToken) -> io::Result<Self> {
        let shared = Shared {
            working_directory: WorkingDirectory::find(config.cwd.as_deref()),
            store: Arc::new(Store::new(
                config.output_dir.as_deref(),
                config
                    .supervised
                    .map(|supervision| supervision.directory_id),
                config.max_total_bytes,
            )),
            slots: Arc::new(Semaphore::new(
                config.max_running.min(Semaphore::MAX_PERMITS),
            )),
            reaper: Reaper::start()?,
            capture: Mutex::default(),
            login: LoginEnvironment::default(),
            ends: Arc::new(watch::Sender::new(0)),
            watchers: TaskTracker::new(),
            closing,
            started: Instant::now(),
            config,
        };
        Ok(Self {
            jobs: Arc::default(),
            timeline: Timeline::default(),
            shared: Arc::new(shared),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Where jobs run that name no directory.
    pub(crate) fn working_directory(&self) -> &WorkingDirectory {
        &self.shared.working_directory
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    pub(crate) fn age(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Changes whenever there may be another end to tell of: a job's command has ended.
    pub(crate) fn ends(&self) -> watch::Receiver<u64> {
        self.shared.ends.subscribe()
    }

    /// The job with this id, if there is one.
    pub(crate) fn find(&self, id: Uuid) -> Option<Job> {
        self.lock().get(&id).cloned()
    }

    /// The job with this id, or why there is none.
    pub(crate) fn get(&self, id: Uuid) -> Result<Job, JobError> {
        if let Some(job) = self.find(id) {
            return Ok(job);
        }
        let fate = self.timeline.now().fate(id);
        Err(match fate {
            Some(Fate::Expired) => JobError::Expired { id },
            Some(Fate::CleanedUp) => JobError::CleanedUp { id },
            None => JobError::Unknown {
                id,
                age: self.age(),
                known: self.known_ids(),
            },
        })
    }

    /// Brings the records of jobs that are alive up to date on orphans: nothing else tells when a process becomes one.
    pub(crate) fn look_for_orphans(&self) {
        if self.any_is_alive() {
            self.shared.reaper.look();
        }
    }

    fn any_is_alive(&self) -> bool {
        !self.timeline.now().alive().is_empty()
    }

    /// Every running job, oldest first, the newest finished ones, newest first, and how many more there are.
    pub(crate) fn list(&self, max_finished: usize) -> (Vec<Job>, Vec<Job>, usize) {
        let lists = self.timeline.now();
        let newest_first = lists.finished().iter().rev();
        let shown: Vec<_> = newest_first.take(max_finished).cloned().collect();
        let omitted = lists.finished().len() - shown.len();
        (lists.running().to_vec(), shown, omitted)
    }

    /// Up to `max` finished jobs whose end no reply has told of, oldest first.
    pub(crate) fn unreported(&self, max: usize) -> Vec<Job> {
        self.timeline.now().unreported(max)
    }

    fn insert(&self, job: &Job) {
        self.lock().insert(job.id(), job.clone());
        self.timeline.now().push(job);
    }

    /// Takes a job out that was cleaned up. Whether nobody has done so before: then its files are the caller's to discard.
    pub(crate) fn remove(&self, job: &Job) -> bool {
        !self.take_out(vec![job.clone()], Fate::CleanedUp).is_empty()
    }

    /// Takes jobs out that have ended, all before anybody else has a turn: nobody finds them any more. Returns those that
    /// nobody has taken out before: their files are the caller's to discard, and nobody else's.
    fn take_out(&self, mut jobs: Vec<Job>, fate: Fate) -> Vec<Job> {
        {
            let mut map = self.lock();
            jobs.retain(|job| map.remove(&job.id()).is_some());
        }
        self.timeline.now().forget(&jobs, fate);
        jobs
    }

    /// Ends every process of every job. Returns when the last watcher has seen the last of them go.
    pub(crate) async fn shut_down(&self) {
        self.shared.closing.cancel();
        self.shared.watchers.close();
        let alive = self.timeline.now().alive().to_vec();
        for job in alive {
            job.request_stop(SHUTDOWN_GRACE);
        }
        let strays = end_strays(&self.shared.reaper, SHUTDOWN_GRACE);
        tokio::join!(self.shared.watchers.wait(), strays);
    }

    /// What is still alive of all jobs, by pid: for the log of a server that ends without having ended them.
    pub(crate) fn living(&self) -> Vec<u32> {
        let mut living: Vec<u32> = Vec::new();
        for job in self.timeline.now().alive() {
            let snapshot = job.snapshot();
            living.extend(snapshot.is_running().then(|| job.pid()));
            living.extend(snapshot.record.leftovers);
        }
        living
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Job>> {
        // The map is valid after a panic anywhere: nothing panics while it is being changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_ids(&self) -> Vec<Uuid> {
        let (running, finished, _) = self.list(3);
        running
            .iter()
            .chain(&finished)
            .take(3)
            .map(Job::id)
            .collect()
    }
}
