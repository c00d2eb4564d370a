//! Which jobs exist: start, get, list, remove, evict, shut down.

mod login_environment;
mod supervision;
pub(crate) mod sweeper;
mod timeline;
pub(crate) mod working_directory;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use login_environment::{LoginEnvironment, Means};
use supervision::Attendants;
use timeline::{Chronicle, Fate};
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;
use working_directory::Workplace;

use crate::config::Config;
use crate::job::{Job, JobError, Moment};
use crate::output::log::{self, OutputLog, StreamKind};
use crate::output::store::Store;
use crate::process::login::Variables;
use crate::process::spawn::{Order, spawn};
use crate::process::tree::end_strays;
use crate::watcher::{Assignment, watch};

/// How long after TERM a tree is killed when the server itself ends: clients give it two seconds in all.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// All jobs of this server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ProcessRegistry {
    /// A std mutex: each lock holds for a look-up or an insertion and is never held across an await, a spawn, a signal,
    /// a file operation or a log line.
    jobs: Arc<Mutex<HashMap<Uuid, Job>>>,
    chronicle: Arc<Mutex<Chronicle>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    workplace: Workplace,
    store: Arc<Store>,
    slots: Arc<Semaphore>,
    /// Present from the first job on.
    attendants: OnceCell<Attendants>,
    login: LoginEnvironment,
    ends: Arc<watch::Sender<u64>>,
    watchers: TaskTracker,
    closing: CancellationToken,
    started: Instant,
}

/// How many jobs a refusal for want of a slot names.
const OLDEST_NAMED: usize = 5;

/// What to start.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) command: String,
    pub(crate) cwd: Option<String>,
    pub(crate) stdin: Option<String>,
    pub(crate) kill_after: Option<Duration>,
}

impl ProcessRegistry {
    /// An empty registry: nothing is created before the first job.
    pub(crate) fn new(config: Arc<Config>, closing: CancellationToken) -> Self {
        let shared = Shared {
            workplace: Workplace::find(config.cwd.as_deref()),
            store: Arc::new(Store::new(
                config.output_dir.as_deref(),
                config.max_total_bytes,
            )),
            slots: Arc::new(Semaphore::new(
                config.max_running.min(Semaphore::MAX_PERMITS),
            )),
            attendants: OnceCell::new(),
            login: LoginEnvironment::default(),
            ends: Arc::new(watch::Sender::new(0)),
            watchers: TaskTracker::new(),
            closing,
            started: Instant::now(),
            config,
        };
        Self {
            jobs: Arc::default(),
            chronicle: Arc::default(),
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Where jobs run that name no directory.
    pub(crate) fn workplace(&self) -> &Workplace {
        &self.shared.workplace
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    pub(crate) fn age(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Changes whenever a job's command has ended.
    pub(crate) fn ends(&self) -> watch::Receiver<u64> {
        self.shared.ends.subscribe()
    }

    /// Starts a command; it runs when this returns. Cancelled before that, none is started.
    pub(crate) async fn start(
        &self,
        start: Start,
        cancelled: &CancellationToken,
    ) -> Result<Job, JobError> {
        if start.command.trim().is_empty() {
            return Err(JobError::EmptyCommand);
        }
        if start.command.contains('\0') {
            return Err(JobError::NulInCommand);
        }
        let config = self.config();
        let slot = self
            .shared
            .slots
            .clone()
            .try_acquire_owned()
            .map_err(|_| self.busy())?;
        let cwd = self.workplace().resolve(start.cwd.as_deref()).await?;
        let attendants = self.attendants().await.map_err(JobError::Resources)?;
        let environment = tokio::select! {
            environment = self.login_environment(attendants) => environment,
            () = cancelled.cancelled() => return Err(JobError::Cancelled),
        };
        if cancelled.is_cancelled() || self.shared.closing.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        let id = Uuid::new_v4();
        let with_stdin = start.stdin.is_some();
        let order = Order {
            job: id,
            shell: &config.shell,
            command: &start.command,
            cwd: &cwd,
            environment: &environment,
            with_stdin,
        };
        let registration = attendants.watchdog.register(id);
        let created = Moment::now();
        let process = spawn(&order, &attendants.orphans).map_err(|error| order.refused(error))?;
        registration.started(process.pid);
        let (job, side) = Job::new(id, &start.command, cwd, process.pid, created);
        let span = tracing::info_span!(parent: None, "job", ref_id = %id, pid = process.pid);
        tracing::info!(parent: &span, "job started");
        tracing::debug!(parent: &span, command = start.command);
        let open_log = |stream| {
            OutputLog::new(
                self.shared.store.clone(),
                id,
                stream,
                config.max_output_bytes,
            )
        };
        self.shared.watchers.spawn(watch(Assignment {
            process,
            side,
            stdout: open_log(StreamKind::Stdout),
            stderr: open_log(StreamKind::Stderr),
            disk: self.shared.store.disk().clone(),
            stdin_text: start.stdin,
            kill_at: start.kill_after.map(|after| created.monotonic + after),
            stop_grace: config.stop_grace_seconds,
            slot,
            registration,
            ends: self.shared.ends.clone(),
            span,
        }));
        self.lock().insert(id, job.clone());
        let mut chronicle = self.chronicle();
        chronicle.alive.push(job.clone());
        chronicle.running.push(job.clone());
        Ok(job)
    }

    /// The job with this id.
    pub(crate) fn get(&self, id: Uuid) -> Result<Job, JobError> {
        if let Some(job) = self.lock().get(&id) {
            return Ok(job.clone());
        }
        let fate = self.chronicle().fates.get(&id).copied();
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
    pub(crate) async fn look_for_orphans(&self) {
        if let Some(attendants) = self.shared.attendants.get()
            && self.any_is_alive()
        {
            attendants.orphans.look().await;
        }
    }

    fn any_is_alive(&self) -> bool {
        let mut chronicle = self.chronicle();
        chronicle.settle();
        !chronicle.alive.is_empty()
    }

    /// Every running job, oldest first, and the newest finished ones, newest first; and how many more there are.
    pub(crate) fn list(&self, max_finished: usize) -> (Vec<Job>, Vec<Job>, usize) {
        let mut chronicle = self.chronicle();
        chronicle.settle();
        let finished: Vec<Job> = chronicle
            .finished
            .iter()
            .rev()
            .take(max_finished)
            .cloned()
            .collect();
        let omitted = chronicle.finished.len() - finished.len();
        (chronicle.running.clone(), finished, omitted)
    }

    /// Up to `max` finished jobs whose end no reply has told of, oldest first.
    pub(crate) fn unreported(&self, max: usize) -> Vec<Job> {
        let mut chronicle = self.chronicle();
        chronicle.settle();
        while chronicle.unreported.front().is_some_and(Job::end_reported) {
            chronicle.unreported.pop_front();
        }
        chronicle
            .unreported
            .iter()
            .filter(|job| !job.end_reported())
            .take(max)
            .cloned()
            .collect()
    }

    /// The end of these jobs was told in a reply that nobody received.
    pub(crate) fn set_unreported(&self, jobs: &[Job]) {
        let mut chronicle = self.chronicle();
        for job in jobs {
            job.set_end_reported(false);
            if !chronicle
                .unreported
                .iter()
                .any(|other| other.id() == job.id())
            {
                chronicle.unreported.push_back(job.clone());
            }
        }
    }

    /// Takes a job out: nobody finds it any more. Its processes and files are the caller's to end and to discard.
    pub(crate) fn remove(&self, job: &Job) -> bool {
        let removed = self.lock().remove(&job.id()).is_some();
        if removed {
            let mut chronicle = self.chronicle();
            chronicle.settle();
            chronicle.forget(std::slice::from_ref(job), Fate::CleanedUp);
        }
        removed
    }

    /// Puts a job back whose processes could not be ended, so that ending them can be tried again.
    pub(crate) fn restore(&self, job: &Job) {
        self.chronicle().reinstate(job);
        self.lock().insert(job.id(), job.clone());
    }

    /// Removes the output files of a job that was taken out and has ended. If the disk hangs, that is done once it does
    /// not, and nobody waits for it.
    pub(crate) async fn discard(&self, job: Job) {
        if job.released_at().is_some() && job.retained_bytes() == 0 {
            return;
        }
        let store = self.shared.store.clone();
        let discarded = self.shared.watchers.spawn(async move {
            // What is still written must not come after the removal.
            job.all_stored().await;
            let disk = store.disk().clone();
            // Only a panic in there could fail it, and the directory goes with the server in any case.
            drop(disk.write(move || discard(&store, &job)).await);
        });
        drop(self.shared.store.disk().wait_for(discarded).await);
    }

    /// Whether more results are kept than `--max-finished` allows.
    pub(crate) fn has_too_many_finished(&self) -> bool {
        let mut chronicle = self.chronicle();
        chronicle.settle();
        chronicle.finished.len() > self.config().max_finished
    }

    /// Removes the results that have expired or that are more than the bounds allow, oldest first. A job of which
    /// something is alive stays.
    pub(crate) async fn evict(&self, now: Instant) {
        let config = self.config();
        let mut excess_bytes = self
            .shared
            .store
            .retained()
            .saturating_sub(self.shared.store.soft_limit());
        let evicted = {
            let mut chronicle = self.chronicle();
            chronicle.settle();
            let mut excess = chronicle.finished.len().saturating_sub(config.max_finished);
            let mut evicted = Vec::new();
            for job in &chronicle.finished {
                let Some(released) = job.released_at() else {
                    continue;
                };
                let expired = now.saturating_duration_since(released) >= config.retention_seconds;
                let bytes = job.retained_bytes();
                if expired || excess > 0 || (excess_bytes > 0 && bytes > 0) {
                    excess = excess.saturating_sub(1);
                    excess_bytes = excess_bytes.saturating_sub(bytes);
                    evicted.push(job.clone());
                } else if excess == 0 && excess_bytes == 0 {
                    break;
                }
            }
            chronicle.forget(&evicted, Fate::Expired);
            evicted
        };
        for job in evicted {
            self.lock().remove(&job.id());
            tracing::info!(ref_id = %job.id(), pid = job.pid(), "job evicted");
            self.discard(job).await;
        }
    }

    /// Ends every process of every job. Returns when the last watcher has seen the last of them go.
    pub(crate) async fn shut_down(&self) {
        self.shared.closing.cancel();
        self.shared.watchers.close();
        let alive = self.chronicle().alive.clone();
        for job in alive {
            job.request_stop(SHUTDOWN_GRACE);
        }
        let strays = async {
            if let Some(attendants) = self.shared.attendants.get() {
                end_strays(&attendants.orphans, SHUTDOWN_GRACE).await;
            }
        };
        tokio::join!(self.shared.watchers.wait(), strays);
    }

    /// What is still alive of all jobs, by pid: for the log of a server that ends without having ended them.
    pub(crate) fn living(&self) -> Vec<u32> {
        let mut chronicle = self.chronicle();
        chronicle.settle();
        let mut living: Vec<u32> = Vec::new();
        for job in &chronicle.alive {
            let snapshot = job.snapshot();
            living.extend(snapshot.is_running().then(|| job.pid()));
            living.extend(snapshot.record.leftovers);
        }
        living
    }

    /// The last thing: lets the watchdog go, which still ends whatever has not ended.
    pub(crate) async fn dismiss_watchdog(&self) {
        if let Some(attendants) = self.shared.attendants.get() {
            attendants.watchdog.dismiss().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Job>> {
        // The map is valid after a panic anywhere: nothing panics while it is being changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chronicle(&self) -> MutexGuard<'_, Chronicle> {
        self.chronicle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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

    fn busy(&self) -> JobError {
        let mut chronicle = self.chronicle();
        chronicle.settle();
        JobError::Busy {
            limit: self.config().max_running,
            oldest: chronicle.alive.iter().take(OLDEST_NAMED).cloned().collect(),
        }
    }

    /// What the first job brings about.
    async fn attendants(&self) -> io::Result<&Attendants> {
        let first_job = || async {
            let shared = &self.shared;
            Attendants::engage(
                self.chronicle.clone(),
                shared.store.clone(),
                &shared.watchers,
                shared.closing.clone(),
            )
        };
        self.shared.attendants.get_or_try_init(first_job).await
    }

    async fn login_environment(&self, attendants: &Attendants) -> Arc<Variables> {
        if !self.config().login_env {
            return Arc::default();
        }
        let means = Means {
            orphans: attendants.orphans.clone(),
            watchdog: attendants.watchdog.clone(),
            closing: self.shared.closing.clone(),
        };
        self.shared
            .login
            .variables(&means, &self.shared.watchers)
            .await
    }
}

fn discard(store: &Store, job: &Job) {
    let record = job.snapshot().record;
    let Some(directory) = store.existing() else {
        return;
    };
    for (stream, captured) in [
        (StreamKind::Stdout, &record.stdout),
        (StreamKind::Stderr, &record.stderr),
    ] {
        log::remove(store, &directory, job.id(), stream, captured);
    }
}
