//! The one task that owns a process, from spawn to its last byte.
//!
//! Until the command ends it reads both pipes, waits for the end, and hears requests to stop and the time limit. At the
//! end it reads what is in the pipes, and only then writes the exit into the record. After that it goes on reading for
//! as long as leftover processes write, and reaps the leader last.

mod capture;
mod recorder;
mod termination;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use capture::CaptureThread;
use capture::{Both, Capture};
use recorder::Recorder;
use termination::{Step, Termination};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep_until, timeout};

use crate::job::{Cause, Exit, Finished, Moment, StopRequest, WatcherSide};
use crate::output::log::OutputLog;
use crate::process::spawn::Process;
use crate::process::tree::{Tree, TreeEvent};

/// How long after the end of the command its pipes may take to close, and processes that are just going to be gone.
const SETTLE_WITHIN: Duration = Duration::from_millis(150);

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
    /// The job's place among the running ones, given back when nothing of it is alive.
    pub slot: OwnedSemaphorePermit,
    /// Told when there may be an end to report.
    pub ends: Arc<watch::Sender<u64>>,
    pub span: tracing::Span,
}

/// Watches a process to its end.
pub async fn watch(assignment: Assignment) {
    let Assignment {
        process,
        side,
        capture,
        logs,
        stdin_text,
        keep_stdin_open,
        kill_at,
        stop_grace,
        slot,
        ends,
        span,
    } = assignment;
    let feeder = process.stdin.map(|stdin| tokio::spawn(feed(stdin, stdin_text, keep_stdin_open)));
    let mut watcher = Watcher {
        tree: Some(process.tree),
        capture: capture.attach([process.stdout, process.stderr], logs),
        record: Recorder::new(side.record, ends),
        cause: Cause::Itself,
        termination: Termination::NotAsked,
        span,
    };
    watcher.run(side.stop, kill_at, stop_grace).await;
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    watcher.release().await;
    drop(slot);
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
    record: Recorder,
    cause: Cause,
    termination: Termination,
    span: tracing::Span,
}

impl Watcher {
    async fn run(
        &mut self,
        mut stop: watch::Receiver<Option<StopRequest>>,
        mut limit: Option<Instant>,
        grace: Duration,
    ) {
        loop {
            let running = self.record.is_running();
            let is_over = !running && self.leftovers().is_empty();
            if is_over && (self.capture.has_ended() || self.termination.was_asked()) {
                return;
            }
            let Some(tree) = self.tree.as_mut() else {
                return;
            };
            tokio::select! {
                event = tree.next_event(running) => match event {
                    TreeEvent::Exited(exit) => self.finish(exit).await,
                    TreeEvent::LeftoversChanged => self.note_leftovers().await,
                },
                Ok(()) = stop.changed() => {
                    let request = *stop.borrow_and_update();
                    if let Some(StopRequest { kill_at, .. }) = request {
                        self.terminate(Cause::Stopped, kill_at);
                    }
                }
                () = at(limit) => {
                    limit = None;
                    self.terminate(Cause::TimeLimit, Instant::now() + grace);
                }
                () = at(self.termination.next_step()) => self.kill(),
                () = self.capture.changed() => self.record.output(self.capture.captured()),
            }
        }
    }

    /// The command's own process has ended. A child that is just going, like a filter behind the command, gets a moment for
    /// that; where a process goes on holding the pipes, what is in there by then is read. Then the end is told.
    async fn finish(&mut self, exit: Exit) {
        let at = Moment::now();
        if timeout(SETTLE_WITHIN, settled(&mut self.capture, self.tree.as_mut())).await.is_err() {
            self.drain().await;
        }
        if let Some(tree) = &self.tree {
            tree.look();
        }
        let leftovers = self.leftovers();
        let finished = Finished { exit, cause: self.cause, at };
        tracing::info!(parent: &self.span, state = finished.name(), exit = ?finished.exit, leftovers = leftovers.len(), "job finished");
        self.record.finished(finished, leftovers, self.capture.captured());
    }

    /// Stores what is in the pipes, if the disk takes it in time.
    async fn drain(&mut self) {
        if !self.capture.drain().await {
            tracing::warn!(parent: &self.span, "the disk does not take the job's output");
        }
    }

    /// What those wrote that are gone is told before it is told that they are.
    async fn note_leftovers(&mut self) {
        let leftovers = self.leftovers();
        self.drain().await;
        self.record.output(self.capture.captured());
        self.record.leftovers(leftovers);
    }

    fn leftovers(&self) -> Vec<u32> {
        self.tree.as_ref().map(Tree::leftovers).unwrap_or_default()
    }

    /// Asks the whole tree to end with TERM, or brings the KILL forward if it was asked before.
    fn terminate(&mut self, cause: Cause, kill_at: Instant) {
        if !self.termination.ask(kill_at) {
            return;
        }
        self.record.termination_begins();
        let Some(tree) = &self.tree else { return };
        if self.record.is_running() && !tree.has_exited() {
            self.cause = cause;
        }
        tree.terminate();
        tracing::info!(parent: &self.span, ?cause, "ending the job's processes");
    }

    /// Ends what did not heed TERM, again and again until nothing is alive or hope is lost.
    fn kill(&mut self) {
        let Some(tree) = &self.tree else { return };
        match self.termination.step(Instant::now()) {
            Step::Kill => {
                self.record.kill_is_sent();
                tree.kill();
            }
            Step::CountSurvivors => {
                let survivors = tree.living();
                if !survivors.is_empty() {
                    tracing::warn!(parent: &self.span, ?survivors, "processes could not be ended");
                    self.termination.give_up();
                    self.record.gave_up_on(survivors);
                }
            }
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
        self.record.released(self.capture.captured());
    }

    /// Stores the last bytes however long it takes, and closes the record.
    async fn close(&mut self) {
        if !self.capture.has_ended() {
            self.capture.ended().await;
            self.record.output(self.capture.captured());
        }
    }
}

impl Drop for Watcher {
    /// A watcher that goes away before its process has ended has failed. No task would watch the process any more, so it
    /// is killed, and the record says that its end was not seen.
    fn drop(&mut self) {
        if let Some(tree) = self.tree.take() {
            tree.kill_group();
        }
        if self.record.abandoned() {
            tracing::error!(parent: &self.span, "the job's watcher failed");
        }
    }
}

/// Resolves when both pipes are closed and no process is left.
async fn settled(capture: &mut Capture, tree: Option<&mut Tree>) {
    capture.streams_ended().await;
    if let Some(tree) = tree {
        tree.look();
        while !tree.leftovers().is_empty() {
            tree.next_event(false).await;
        }
    }
}

/// Resolves at this time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
