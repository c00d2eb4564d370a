//! The one task that owns a process, from spawn to its last byte.
//!
//! Until the command ends it reads both pipes, waits for the end, and hears requests to stop and the time limit. At the
//! end it reads what is in the pipes, and only then writes the exit into the record. After that it goes on reading for
//! as long as leftover processes write, and reaps the leader last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep_until;

use crate::capture::Capture;
use crate::job::{
    Captured, Cause, Exit, Finished, JobState, Moment, Record, StopRequest, Tree as TreeState,
    WatcherSide,
};
use crate::output::disk::Disk;
use crate::output::log::OutputLog;
use crate::process::spawn::Process;
use crate::process::tree::{Tree, TreeEvent};
use crate::watchdog::Registration;

/// How long after KILL a process may still be alive before it is named a survivor. Only one that the kernel cannot
/// interrupt, or that we may not signal, takes this long.
const SURVIVOR_AFTER: Duration = Duration::from_secs(2);

/// How often KILL is sent again while something is alive: a process may have forked in between.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// Everything a watcher needs. It knows nothing of the registry.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) process: Process,
    pub(crate) side: WatcherSide,
    pub(crate) stdout: OutputLog,
    pub(crate) stderr: OutputLog,
    pub(crate) disk: Disk,
    pub(crate) stdin_text: Option<String>,
    pub(crate) kill_at: Option<Instant>,
    pub(crate) stop_grace: Duration,
    /// The job's place among the running ones, given back when nothing of it is alive.
    pub(crate) slot: OwnedSemaphorePermit,
    pub(crate) registration: Registration,
    /// Told when the command has ended.
    pub(crate) ends: Arc<watch::Sender<u64>>,
    pub(crate) span: tracing::Span,
}

/// Watches a process to its end.
pub(crate) async fn watch(assignment: Assignment) {
    let Assignment {
        process,
        side,
        stdout,
        stderr,
        disk,
        stdin_text,
        kill_at,
        stop_grace,
        slot,
        registration,
        ends,
        span,
    } = assignment;
    let feeder = process
        .stdin
        .zip(stdin_text)
        .map(|(stdin, text)| tokio::spawn(feed(stdin, text)));
    let mut watcher = Watcher {
        tree: Some(process.tree),
        stdout: Capture::new(process.stdout, stdout, disk.clone()),
        stderr: Capture::new(process.stderr, stderr, disk.clone()),
        disk,
        record: side.record,
        ends,
        cause: Cause::Itself,
        ending: Ending::NotAsked,
        span,
    };
    watcher.run(side.stop, kill_at, stop_grace).await;
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    watcher.release().await;
    drop(registration);
    drop(slot);
    watcher.close().await;
}

/// Writes the text to the command's standard input and closes it. A command that does not read it to the end is no error.
async fn feed(mut stdin: tokio::process::ChildStdin, text: String) {
    use tokio::io::AsyncWriteExt;
    if let Err(error) = stdin.write_all(text.as_bytes()).await {
        tracing::debug!(%error, "the command did not read all of its standard input");
    }
}

struct Watcher {
    /// None once the leader is reaped, which is the last thing that happens.
    tree: Option<Tree>,
    stdout: Capture,
    stderr: Capture,
    disk: Disk,
    record: watch::Sender<Record>,
    ends: Arc<watch::Sender<u64>>,
    cause: Cause,
    ending: Ending,
    span: tracing::Span,
}

/// How far the ending of the tree has come.
#[derive(Clone, Copy, Debug)]
enum Ending {
    NotAsked,
    Terminating {
        kill_at: Instant,
    },
    Killing {
        again_at: Instant,
        give_up_at: Instant,
    },
    GaveUp,
}

impl Ending {
    fn next_step(self) -> Option<Instant> {
        match self {
            Self::NotAsked | Self::GaveUp => None,
            Self::Terminating { kill_at } => Some(kill_at),
            Self::Killing { again_at, .. } => Some(again_at),
        }
    }
}

impl Watcher {
    async fn run(
        &mut self,
        mut stop: watch::Receiver<Option<StopRequest>>,
        mut limit: Option<Instant>,
        grace: Duration,
    ) {
        loop {
            let running = self.is_running();
            let is_over = !running && self.leftovers().is_empty();
            if is_over && (self.streams_ended() || self.is_ending()) {
                return;
            }
            let Some(tree) = self.tree.as_mut() else {
                return;
            };
            tokio::select! {
                event = tree.next_event(running) => match event {
                    TreeEvent::Exited(exit) => self.finish(exit).await,
                    TreeEvent::LeftoversChanged => self.publish_leftovers(),
                },
                Ok(()) = stop.changed() => {
                    let request = *stop.borrow_and_update();
                    if let Some(StopRequest { kill_at, .. }) = request {
                        self.end_tree(Cause::Stopped, kill_at).await;
                    }
                }
                () = at(limit) => {
                    limit = None;
                    self.end_tree(Cause::TimeLimit, Instant::now() + grace).await;
                }
                () = at(self.ending.next_step()) => self.kill().await,
                () = self.stdout.step() => self.publish_output(),
                () = self.stderr.step() => self.publish_output(),
            }
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.record.borrow().state, JobState::Running)
    }

    fn streams_ended(&self) -> bool {
        self.stdout.has_ended() && self.stderr.has_ended()
    }

    fn is_ending(&self) -> bool {
        !matches!(self.ending, Ending::NotAsked)
    }

    /// The command's own process has ended: what it wrote is read to the last byte before anyone hears of it, unless the
    /// disk does not take it. Then the end is told first.
    async fn finish(&mut self, exit: Exit) {
        let at = Moment::now();
        self.drain().await;
        if let Some(tree) = &self.tree {
            tree.look().await;
        }
        let leftovers = self.leftovers();
        let finished = Finished {
            exit,
            cause: self.cause,
            at,
        };
        tracing::info!(parent: &self.span, state = finished.name(), exit = ?finished.exit, leftovers = leftovers.len(), "job finished");
        self.record.send_modify(|record| {
            copy_captured(record, &self.stdout, &self.stderr);
            record.leftovers = leftovers;
            record.state = JobState::Finished(finished);
        });
        self.ends.send_modify(|count| *count += 1);
    }

    /// Stores what is in the pipes, if the disk takes it in time.
    async fn drain(&mut self) {
        let drained = async { tokio::join!(self.stdout.drain(), self.stderr.drain()) };
        if self.disk.wait_for(drained).await.is_err() {
            tracing::warn!(parent: &self.span, "the disk does not take the job's output");
        }
    }

    fn leftovers(&self) -> Vec<u32> {
        let pids = self.tree.as_ref().map(Tree::leftovers).unwrap_or_default();
        pids.into_iter()
            .map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
            .collect()
    }

    fn publish_leftovers(&mut self) {
        let leftovers = self.leftovers();
        self.record.send_if_modified(|record| {
            let changed = record.leftovers != leftovers;
            record.leftovers = leftovers;
            changed
        });
    }

    fn publish_output(&mut self) {
        self.record.send_modify(|record| {
            if copy_captured(record, &self.stdout, &self.stderr) {
                record.last_output = Some(Instant::now());
            }
        });
    }

    /// Asks the whole tree to end with TERM, or brings the KILL forward if it was asked before.
    async fn end_tree(&mut self, cause: Cause, kill_at: Instant) {
        match self.ending {
            Ending::Terminating { kill_at: earlier } => {
                self.ending = Ending::Terminating {
                    kill_at: kill_at.min(earlier),
                };
            }
            Ending::Killing { .. } => {}
            Ending::NotAsked | Ending::GaveUp => {
                self.ending = Ending::Terminating { kill_at };
                self.record.send_modify(|record| record.survivors.clear());
                let running = self.is_running();
                let Some(tree) = self.tree.as_mut() else {
                    return;
                };
                if running && !tree.has_exited() {
                    self.cause = cause;
                }
                tree.signal(Signal::TERM).await;
                // A stopped process hears TERM only once it goes on.
                tree.signal(Signal::CONT).await;
                tracing::info!(parent: &self.span, ?cause, "ending the job's processes");
            }
        }
    }

    /// Ends what did not heed TERM, again and again until nothing is alive or hope is lost.
    async fn kill(&mut self) {
        let Some(tree) = &self.tree else { return };
        let now = Instant::now();
        let give_up_at = match self.ending {
            Ending::Killing { give_up_at, .. } => give_up_at,
            _ => now + SURVIVOR_AFTER,
        };
        self.ending = Ending::Killing {
            again_at: now + KILL_AGAIN,
            give_up_at,
        };
        if now < give_up_at {
            tree.signal(Signal::KILL).await;
            return;
        }
        let members = tree.members().await;
        let survivors: Vec<u32> = match members.is_empty() {
            false => members
                .iter()
                .map(|member| member.pid.as_raw_nonzero().get().unsigned_abs())
                .collect(),
            // Out of descriptors, nobody can be looked at nor signalled. That they are there is known all the same.
            true => self.leftovers(),
        };
        if !survivors.is_empty() {
            tracing::warn!(parent: &self.span, ?survivors, "processes could not be ended");
            self.ending = Ending::GaveUp;
            self.record.send_modify(|record| {
                record.survivors = survivors;
                record.given_up += 1;
            });
        }
    }

    /// Nothing of the job is alive: gives the pid back and says so, with the last bytes if the disk takes them.
    async fn release(&mut self) {
        // Only a process that is not the job's can still hold these pipes.
        let closed = async { tokio::join!(self.stdout.finish(), self.stderr.finish()) };
        drop(self.disk.wait_for(closed).await);
        if let Some(tree) = self.tree.take() {
            tree.reap();
        }
        self.record.send_modify(|record| {
            copy_captured(record, &self.stdout, &self.stderr);
            record.leftovers.clear();
            record.survivors.clear();
            record.tree = TreeState::Gone;
        });
    }

    /// Stores the last bytes however long it takes, and closes the record.
    async fn close(&mut self) {
        if !self.streams_ended() {
            tokio::join!(self.stdout.finish(), self.stderr.finish());
            self.publish_output();
        }
    }
}

impl Drop for Watcher {
    /// A watcher that goes away before its process has ended has failed. Nobody would watch the process any more, so it
    /// is killed, and the record says that its end was not seen.
    fn drop(&mut self) {
        if let Some(tree) = self.tree.take() {
            tree.kill_group();
        }
        let finished = self.record.send_if_modified(|record| {
            let lost = matches!(record.state, JobState::Running);
            if lost {
                let exit = Exit::Lost(
                    "the task that watched it failed; its processes were killed".to_owned(),
                );
                record.state = JobState::Finished(Finished {
                    exit,
                    cause: Cause::Itself,
                    at: Moment::now(),
                });
            }
            record.tree = TreeState::Gone;
            lost
        });
        if finished {
            tracing::error!(parent: &self.span, "the job's watcher failed");
            self.ends.send_modify(|count| *count += 1);
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

/// Brings the record up to what the logs hold; whether there was anything new.
fn copy_captured(record: &mut Record, stdout: &Capture, stderr: &Capture) -> bool {
    let grew = |known: &Captured, now: &Captured| known.end != now.end;
    let (stdout, stderr) = (stdout.captured(), stderr.captured());
    let any = grew(&record.stdout, stdout) || grew(&record.stderr, stderr);
    record.stdout.clone_from(stdout);
    record.stderr.clone_from(stderr);
    any
}
