//! How a job is started: all that has to be there first, and then, without a pause, its process and its watcher.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ProcessRegistry;
use super::connection::Connection;
use crate::blocking::lock;
use crate::job::{Job, JobError, Moment};
use crate::output::log::OutputLog;
use crate::output::segments::{STDERR, STDOUT};
use crate::process::shell::Shell;
use crate::process::spawn::{Order, Variables, spawn};
use crate::watcher::{Assignment, watch};

/// How many jobs a refusal for want of a slot names.
const OLDEST_NAMED: usize = 5;

/// What to start.
#[derive(Debug, Default)]
pub struct Start {
    pub command: String,
    pub cwd: Option<String>,
    pub stdin: Option<String>,
    /// Standard input stays open, after the text, until the job ends.
    pub keep_stdin_open: bool,
    pub kill_after: Option<Duration>,
}

impl ProcessRegistry {
    /// Starts a command; it runs when this returns. Cancelled before that, none is started.
    pub async fn start(
        &self,
        start: Start,
        connection: &Arc<Connection>,
        cancelled: &CancellationToken,
    ) -> Result<Job, JobError> {
        if start.command.trim().is_empty() {
            return Err(JobError::EmptyCommand);
        }
        if start.command.contains('\0') {
            return Err(JobError::NulInCommand);
        }
        let slot = self.shared.slots.clone().try_acquire_owned().map_err(|_| self.busy())?;
        let cwd = connection.directory.resolve(start.cwd.as_deref(), connection.home()).await?;
        let environment = tokio::select! {
            environment = self.job_environment(connection) => environment,
            () = cancelled.cancelled() => return Err(JobError::Cancelled),
        };
        if cancelled.is_cancelled() || self.shared.closing.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        let job = self.launch(&connection.shell, start, cwd, &environment, Some(slot))?;
        lock(&self.jobs).insert(job.id(), job.clone());
        Ok(job)
    }

    /// Nothing can be awaited in here, so that no process is ever without a watcher.
    pub(super) fn launch(
        &self,
        shell: &Shell,
        start: Start,
        cwd: PathBuf,
        environment: &Variables,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<Job, JobError> {
        let config = self.config();
        let id = Uuid::new_v4();
        let order = Order {
            job: id,
            shell,
            command: &start.command,
            cwd: &cwd,
            environment,
            with_stdin: start.stdin.is_some() || start.keep_stdin_open,
        };
        let created = Moment::now();
        let process = spawn(&order, &self.shared.reaper).map_err(|error| order.refused(error))?;
        let pid = process.tree.pid();
        let (job, side) = Job::new(id, &start.command, cwd, pid, created);
        tracing::info!(ref_id = %id, pid, "job started");
        tracing::debug!(ref_id = %id, command = start.command);
        let open_log =
            |stream| OutputLog::new(self.store().clone(), id, stream, config.max_output_bytes);
        self.shared.watchers.spawn(watch(Assignment {
            process,
            side,
            capture: self.shared.capture.clone(),
            logs: [STDOUT, STDERR].map(open_log),
            stdin_text: start.stdin.unwrap_or_default(),
            keep_stdin_open: start.keep_stdin_open,
            kill_at: start.kill_after.map(|after| created.monotonic + after),
            stop_grace: config.stop_grace_seconds,
            slot,
            ends: self.shared.ends.clone(),
            id,
        }));
        Ok(job)
    }

    fn busy(&self) -> JobError {
        JobError::Busy {
            limit: self.config().max_running,
            oldest: self.by_age(Job::is_alive).into_iter().take(OLDEST_NAMED).collect(),
        }
    }
}
