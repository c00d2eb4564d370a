//! The one task that owns a process, from spawn to its last byte.
//!
//! Until the command ends it reads both pipes, waits for the end, and hears requests to stop and the time limit. At the
//! end it reads what is in the pipes, and only then writes the exit into the record. After that it goes on reading for
//! as long as leftover processes write, and reaps the leader last.

mod capture;
mod stop;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use capture::CaptureThread;
use capture::{Both, Capture};
use stop::Stop;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::sleep_until;
use uuid::Uuid;

use crate::job::{Cause, Exit, Finished, Force, Moment, Record, StopRequest, WatcherSide};
use crate::output::log::OutputLog;
use crate::process::spawn::Process;
use crate::process::tree::Tree;

/// How long after the end of the command its pipes may take to close, and processes that are just going to be gone.
pub const SETTLE_WITHIN: Duration = Duration::from_millis(150);

/// Everything a watcher needs. It knows nothing of the registry.
#[derive(Debug)]
pub struct Assignment {
    pub process: Process,
    pub side: WatcherSide,
    pub capture: Arc<CaptureThread>,
    pub logs: Both<OutputLog>,
    pub stdin_text: String,
    pub keep_stdin_open: bool,
    pub kill_at: Option<Instant>,
    pub stop_grace: Duration,
    /// The job's place among the running ones, if it needs one, given back when nothing of it is alive.
    pub slot: Option<OwnedSemaphorePermit>,
    /// Told when there may be an end to report.
    pub ends: Arc<watch::Sender<u64>>,
    pub id: Uuid,
}

/// Watches a process to its end.
pub async fn watch(job: Assignment) {
    let process = job.process;
    let feed = |stdin| tokio::spawn(feed(stdin, job.stdin_text, job.keep_stdin_open));
    let feeder = process.stdin.map(feed);
    let [stdout, stderr] = job.logs;
    let mut watcher = Watcher {
        tree: Some(process.tree),
        capture: job.capture.attach(job.id, [(process.stdout, stdout), (process.stderr, stderr)]),
        record: job.side.record,
        ends: job.ends,
        cause: Cause::Itself,
        exited: None,
        stop: Stop::default(),
        force: Force::AfterGrace,
        id: job.id,
    };
    watcher.run(job.side.stop, job.kill_at, job.stop_grace).await;
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    watcher.release().await;
    drop(job.slot);
    watcher.close().await;
}

/// Writes the text to the command's standard input and closes it, unless it stays open. A command that does not read it to
/// the end is no error.
async fn feed(mut stdin: tokio::process::ChildStdin, text: String, stays_open: bool) {
    use tokio::io::AsyncWriteExt;
    if let Err(error) = stdin.write_all(text.as_bytes()).await {
        tracing::debug!(%error, "the command did not read all of its standard input");
    }
    if stays_open {
        // Until the watcher ends this task with the job.
        std::future::pending::<()>().await;
    }
}

struct Watcher {
    /// None once the leader is reaped, which is the last thing that happens.
    tree: Option<Tree>,
    capture: Capture,
    record: watch::Sender<Record>,
    /// Told when there may be an end to report.
    ends: Arc<watch::Sender<u64>>,
    cause: Cause,
    /// The command's own process has ended, and that is not told yet: a child that is just going, like a filter behind the
    /// command, gets a moment for that.
    exited: Option<(Exit, Moment)>,
    stop: Stop,
    /// Why its processes would be ended by force.
    force: Force,
    id: Uuid,
}

impl Watcher {
    async fn run(
        &mut self,
        mut requests: mpsc::UnboundedReceiver<StopRequest>,
        mut limit: Option<Instant>,
        grace: Duration,
    ) {
        loop {
            if self.has_settled() || self.settles_by().is_some_and(|at| Instant::now() >= at) {
                self.finish().await;
            }
            let is_over = !self.is_running() && self.leftovers().is_empty();
            if is_over && (self.capture.has_ended() || self.stop.next_kill.is_some()) {
                return;
            }
            let awaits_exit = self.is_running() && self.exited.is_none();
            let settles_by = self.settles_by();
            let Some(tree) = self.tree.as_mut() else {
                return;
            };
            tokio::select! {
                event = tree.next_event(awaits_exit) => match event {
                    Some(exit) => self.exited = Some((exit, Moment::now())),
                    None => self.note_leftovers().await,
                },
                Some(StopRequest { kill_at, survivors }) = requests.recv() => {
                    self.stop.waiting.push(survivors);
                    self.terminate(Cause::Stopped, kill_at);
                }
                () = at(limit) => {
                    limit = None;
                    self.terminate(Cause::TimeLimit, Instant::now() + grace);
                }
                () = at(self.stop.next_kill) => self.kill(),
                () = at(settles_by) => {}
                () = self.capture.changed() => self.note_output(),
            }
        }
    }

    fn is_running(&self) -> bool {
        self.record.borrow().finished.is_none()
    }

    /// When the end of an exited command is told at the latest.
    fn settles_by(&self) -> Option<Instant> {
        self.exited.as_ref().map(|(_, at)| at.monotonic + SETTLE_WITHIN)
    }

    /// Whether an exited command's pipes are closed and no process is left.
    fn has_settled(&self) -> bool {
        if self.exited.is_none() || !self.capture.has_ended() {
            return false;
        }
        self.tree.iter().for_each(Tree::look);
        self.leftovers().is_empty()
    }

    /// Tells the end. What is in the pipes by now is read before; a process that goes on holding them may write more.
    async fn finish(&mut self) {
        let Some((exit, at)) = self.exited.take() else { return };
        if !self.capture.has_ended() {
            self.capture.drain().await;
            self.tree.iter().for_each(Tree::look);
        }
        let leftovers = self.leftovers();
        let finished = Finished { exit, cause: self.cause, at };
        let (pid, state) = (self.tree.as_ref().map(Tree::pid), finished.name());
        let exit = &finished.exit;
        tracing::info!(ref_id = %self.id, pid, state, ?exit, leftovers = leftovers.len(), "job finished");
        self.record.send_modify(|record| {
            record.set_captured(self.capture.captured());
            record.leftovers = leftovers;
            record.finished = Some(finished);
        });
        self.tell_end();
    }

    fn tell_end(&self) {
        self.ends.send_modify(|count| *count += 1);
    }

    fn note_output(&self) {
        self.record.send_modify(|record| {
            if record.set_captured(self.capture.captured()) {
                record.last_output = Some(Instant::now());
            }
        });
    }

    /// What those wrote that are gone is told before it is told that they are.
    async fn note_leftovers(&mut self) {
        let leftovers = self.leftovers();
        self.capture.drain().await;
        self.note_output();
        self.record.send_modify(|record| record.leftovers = leftovers);
    }

    fn leftovers(&self) -> Vec<u32> {
        self.tree.as_ref().map(Tree::leftovers).unwrap_or_default()
    }

    /// Asks the whole tree to end with TERM, or brings the KILL forward if it was asked before.
    fn terminate(&mut self, cause: Cause, kill_at: Instant) {
        if !self.stop.ask(kill_at) {
            return;
        }
        self.record.send_modify(|record| record.is_stopping = true);
        let Some(tree) = &self.tree else { return };
        if self.is_running() && !tree.has_exited() {
            self.cause = cause;
        }
        if !tree.terminate() {
            self.force = Force::AtOnce;
            self.stop.ask(Instant::now());
        }
        tracing::info!(ref_id = %self.id, ?cause, "ending the job's processes");
    }

    /// Ends what did not heed TERM, again and again until nothing is alive or hope is lost.
    fn kill(&mut self) {
        let Some(tree) = &self.tree else { return };
        if self.stop.kill_again(Instant::now()) {
            self.record.send_if_modified(|record| record.force.replace(self.force).is_none());
            tree.kill();
            return;
        }
        let survivors = tree.living();
        if !survivors.is_empty() {
            tracing::warn!(ref_id = %self.id, ?survivors, "processes could not be ended");
            self.record.send_modify(|record| record.is_stopping = false);
            self.stop.is_over(&survivors);
            self.tell_end();
        }
    }

    /// Nothing of the job is alive: gives the pid back and says so, with the last bytes if the disk takes them.
    async fn release(&mut self) {
        // Only a process that is not the job's can still hold these pipes.
        if !self.capture.has_ended() {
            self.capture.close().await;
        }
        if let Some(tree) = self.tree.take() {
            tree.reap();
        }
        self.record.send_modify(|record| {
            record.set_captured(self.capture.captured());
            record.leftovers.clear();
            record.gone_at = Some(Instant::now());
        });
        self.stop.is_over(&[]);
        self.tell_end();
    }

    /// Stores the last bytes however long it takes, and closes the record.
    async fn close(&mut self) {
        if !self.capture.has_ended() {
            self.capture.ended().await;
            self.note_output();
        }
    }
}

impl Drop for Watcher {
    /// A watcher that goes away before its process has ended has failed. No task would watch the process any more, so it
    /// is killed, and the record says that its end was not seen.
    fn drop(&mut self) {
        let Some(tree) = self.tree.take() else { return };
        tree.kill();
        tracing::error!(ref_id = %self.id, "the job's watcher failed");
        self.record.send_modify(|record| {
            if record.finished.is_none() {
                let why = "the task that watched it failed; its processes were killed".to_owned();
                let (exit, at) = (Exit::Lost(why), Moment::now());
                record.finished = Some(Finished { exit, cause: Cause::Itself, at });
            }
            record.gone_at = Some(Instant::now());
        });
        self.tell_end();
    }
}

/// Resolves at this time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
