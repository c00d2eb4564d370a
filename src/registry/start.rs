//! How a job is started: all that has to be there first, and then, without a pause, its process and its watcher.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ProcessRegistry;
use crate::environment;
use crate::job::{Job, JobError, Moment};
use crate::output::log::OutputLog;
use crate::output::segments::StreamKind;
use crate::process::spawn::{Order, Variables, spawn};
use crate::watcher::{Assignment, CaptureThread, watch};

/// How many jobs a refusal for want of a slot names.
const OLDEST_NAMED: usize = 5;

/// What to start.
#[derive(Debug)]
pub struct Start {
    pub command: String,
    pub cwd: Option<String>,
    pub stdin: Option<String>,
    /// Standard input stays open, after the text, until the job ends.
    pub keep_stdin_open: bool,
    pub kill_after: Option<Duration>,
}

/// What has to be there before a process is started.
struct Prepared {
    slot: OwnedSemaphorePermit,
    cwd: PathBuf,
    environment: Arc<Variables>,
}

impl ProcessRegistry {
    /// Starts a command; it runs when this returns. Cancelled before that, none is started.
    pub async fn start(
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
        let prepared = self.prepare(start.cwd.as_deref(), cancelled).await?;
        if cancelled.is_cancelled() || self.shared.closing.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        self.launch(start, prepared)
    }

    async fn prepare(
        &self,
        cwd: Option<&str>,
        cancelled: &CancellationToken,
    ) -> Result<Prepared, JobError> {
        let slot = self.shared.slots.clone().try_acquire_owned().map_err(|_| self.busy())?;
        let cwd = self.working_directory().resolve(cwd).await?;
        let environment = tokio::select! {
            environment = self.login_environment() => environment,
            () = cancelled.cancelled() => return Err(JobError::Cancelled),
        };
        Ok(Prepared { slot, cwd, environment })
    }

    /// Nothing can be awaited in here, so that no process is ever without a watcher, and no job without an entry.
    fn launch(&self, start: Start, prepared: Prepared) -> Result<Job, JobError> {
        let Prepared { slot, cwd, environment } = prepared;
        let config = self.config();
        let id = Uuid::new_v4();
        let order = Order {
            job: id,
            shell: &config.shell,
            command: &start.command,
            cwd: &cwd,
            environment: &environment::of_jobs(&environment),
            with_stdin: start.stdin.is_some() || start.keep_stdin_open,
        };
        let capture = self.capture_thread().map_err(JobError::Resources)?;
        let created = Moment::now();
        let process = spawn(&order, &self.shared.reaper).map_err(|error| order.refused(error))?;
        let (job, side) = Job::new(id, &start.command, cwd, process.pid, created);
        let span = tracing::info_span!(parent: None, "job", ref_id = %id, pid = process.pid);
        tracing::info!(parent: &span, "job started");
        tracing::debug!(parent: &span, command = start.command);
        let open_log =
            |stream| OutputLog::new(self.store().clone(), id, stream, config.max_output_bytes);
        self.shared.watchers.spawn(watch(Assignment {
            process,
            side,
            capture,
            logs: [StreamKind::Stdout, StreamKind::Stderr].map(open_log),
            stdin_text: start.stdin.unwrap_or_default(),
            keep_stdin_open: start.keep_stdin_open,
            kill_at: start.kill_after.map(|after| created.monotonic + after),
            stop_grace: config.stop_grace_seconds,
            slot,
            ends: self.shared.ends.clone(),
            span,
        }));
        self.insert(&job);
        Ok(job)
    }

    /// Started with the first job.
    fn capture_thread(&self) -> io::Result<Arc<CaptureThread>> {
        let mut thread = self.shared.capture.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.as_ref().is_none_or(|thread| thread.has_failed()) {
            *thread = Some(Arc::new(CaptureThread::start()?));
        }
        thread.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn busy(&self) -> JobError {
        JobError::Busy {
            limit: self.config().max_running,
            oldest: self.by_age(Job::is_alive).into_iter().take(OLDEST_NAMED).collect(),
        }
    }

    async fn login_environment(&self) -> Arc<Variables> {
        if !self.config().login_env {
            return Arc::default();
        }
        let shared = &self.shared;
        let login = &shared.login;
        login.variables(&shared.reaper, &shared.closing, &shared.watchers).await
    }
}
