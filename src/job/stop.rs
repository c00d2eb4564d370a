//! How a job is asked to end, and to go.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Job, Tree};

impl Job {
    /// Asks the watcher to end the whole tree. Asking again can only bring the KILL forward, unless the watcher has given
    /// up since: then it tries once more.
    pub fn request_stop(&self, grace: Duration) -> Attempt {
        let kill_at = Instant::now() + grace;
        let attempt = Attempt { given_up: self.0.record.borrow().given_up };
        self.0.stop.send_if_modified(|request| match request {
            Some(earlier) if earlier.attempt == attempt && earlier.kill_at <= kill_at => false,
            _ => {
                *request = Some(StopRequest { kill_at, attempt });
                true
            }
        });
        attempt
    }

    /// Waits until nothing of the job is alive, or the watcher has given up on some of it in this attempt: their pids.
    pub async fn ended(&self, attempt: Attempt) -> Vec<u32> {
        let mut record = self.0.record.clone();
        let settled = record
            .wait_for(|record| record.tree != Tree::Alive || record.given_up > attempt.given_up)
            .await;
        settled.map(|record| record.survivors.clone()).unwrap_or_default()
    }

    /// Announces that this job will be taken away once nothing of it is alive.
    pub fn announce_removal(&self) -> Removal<'_> {
        self.0.removals.fetch_add(1, Ordering::Relaxed);
        Removal(self)
    }

    /// Whether a call is about to remove it.
    pub fn is_leaving(&self) -> bool {
        self.0.removals.load(Ordering::Relaxed) > 0
    }
}

/// The announcement that a job will be taken away; withdrawn when dropped.
#[derive(Debug)]
pub struct Removal<'a>(&'a Job);

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        self.0.0.removals.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request to end the whole tree: TERM now, KILL at `kill_at`.
#[derive(Clone, Copy, Debug)]
pub struct StopRequest {
    pub kill_at: Instant,
    attempt: Attempt,
}

/// One of the attempts to end a tree: how often the watcher had given up before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    given_up: u32,
}
