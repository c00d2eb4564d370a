//! A copy of what is known of a job, made for a reply.

use std::time::{Duration, Instant};

use super::{Finished, Job, Record};

/// An owned copy of a job's record, made for a reply.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub job: Job,
    pub record: Record,
    pub(super) taken: Instant,
}

impl Snapshot {
    pub fn finished(&self) -> Option<&Finished> {
        self.record.finished.as_ref()
    }

    pub fn is_running(&self) -> bool {
        self.finished().is_none()
    }

    /// From the start to the end of the command, or to now.
    pub fn elapsed(&self) -> Duration {
        let end = self.finished().map_or(self.taken, |finished| finished.at.monotonic);
        end.saturating_duration_since(self.job.created().monotonic)
    }

    /// How long nothing has been written.
    pub fn silent(&self) -> Duration {
        self.taken.saturating_duration_since(
            self.record.last_output.unwrap_or(self.job.created().monotonic),
        )
    }
}
