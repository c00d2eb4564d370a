//! A copy of what is known of a job, made for a reply.

use std::time::{Duration, Instant};

use super::{Finished, Job, JobState, Record};

/// An owned copy of a job's record, made for a reply.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) job: Job,
    pub(crate) record: Record,
    pub(super) taken: Instant,
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
        let end = self.finished().map_or(self.taken, |finished| finished.at.monotonic);
        end.saturating_duration_since(self.job.created().monotonic)
    }

    /// How long nothing has been written.
    pub(crate) fn silent(&self) -> Duration {
        self.taken.saturating_duration_since(
            self.record.last_output.unwrap_or(self.job.created().monotonic),
        )
    }
}
