//! The only writer of a job's record; the watcher holds it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::capture::Both;
use crate::job::{Captured, Cause, Exit, Finished, JobState, Moment, Record, Tree};

/// The writing side of a job's record.
#[derive(Debug)]
pub(super) struct Recorder {
    record: watch::Sender<Record>,
    /// Told when there may be an end to report.
    ends: Arc<watch::Sender<u64>>,
}

impl Recorder {
    pub(super) fn new(record: watch::Sender<Record>, ends: Arc<watch::Sender<u64>>) -> Self {
        Self { record, ends }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.record.borrow().state, JobState::Running)
    }

    /// What has been captured so far.
    pub(super) fn output(&self, captured: Both<Captured>) {
        self.record.send_modify(|record| {
            if set_captured(record, captured) {
                record.last_output = Some(Instant::now());
            }
        });
    }

    pub(super) fn leftovers(&self, leftovers: Vec<u32>) {
        self.record.send_if_modified(|record| {
            let changed = record.leftovers != leftovers;
            record.leftovers = leftovers;
            changed
        });
    }

    /// The command has ended, and this is all that it wrote.
    pub(super) fn finished(
        &self,
        finished: Finished,
        leftovers: Vec<u32>,
        captured: Both<Captured>,
    ) {
        self.record.send_modify(|record| {
            set_captured(record, captured);
            record.leftovers = leftovers;
            record.state = JobState::Finished(finished);
        });
        self.tell_end();
    }

    /// The tree is being ended, once more if there were survivors.
    pub(super) fn termination_begins(&self) {
        self.record.send_modify(|record| {
            record.survivors.clear();
            record.is_stopping = true;
        });
    }

    /// TERM was not enough.
    pub(super) fn kill_is_sent(&self) {
        self.record.send_if_modified(|record| !std::mem::replace(&mut record.kill_sent, true));
    }

    /// These did not end although they were sent KILL.
    pub(super) fn gave_up_on(&self, survivors: Vec<u32>) {
        self.record.send_modify(|record| {
            record.survivors = survivors;
            record.given_up += 1;
            record.is_stopping = false;
        });
        self.tell_end();
    }

    /// Nothing of the job is alive, and nothing more will be captured.
    pub(super) fn released(&self, captured: Both<Captured>) {
        self.record.send_modify(|record| {
            set_captured(record, captured);
            record.leftovers.clear();
            record.survivors.clear();
            record.tree = Tree::Gone(Instant::now());
        });
        self.tell_end();
    }

    /// The watcher failed, and the process was killed. Whether its end was still awaited.
    pub(super) fn abandoned(&self) -> bool {
        let lost = self.record.send_if_modified(|record| {
            let lost = matches!(record.state, JobState::Running);
            if lost {
                let exit = Exit::Lost(
                    "the task that watched it failed; its processes were killed".to_owned(),
                );
                record.state =
                    JobState::Finished(Finished { exit, cause: Cause::Itself, at: Moment::now() });
            }
            record.tree = Tree::Gone(Instant::now());
            lost
        });
        if lost {
            self.tell_end();
        }
        lost
    }

    /// The command has ended, or, for one that is being stopped, its tree is gone or given up.
    fn tell_end(&self) {
        self.ends.send_modify(|count| *count += 1);
    }
}

/// Brings the record up to what the logs hold; whether there was anything new.
fn set_captured(record: &mut Record, captured: Both<Captured>) -> bool {
    let [stdout, stderr] = captured;
    let is_more = record.stdout.end != stdout.end || record.stderr.end != stderr.end;
    record.stdout = stdout;
    record.stderr = stderr;
    is_more
}
