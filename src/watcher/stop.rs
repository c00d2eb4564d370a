//! The ending of a job's tree: TERM, the grace period, KILL again and again, and at last giving up. No signal is sent here:
//! this only says which one is due.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How long after KILL a process may still be alive before it is named a survivor. Only one that the kernel cannot
/// interrupt, or that we may not signal, takes this long.
const SURVIVOR_AFTER: Duration = Duration::from_secs(2);

/// How often KILL is sent again while something is alive: a process may have forked in between.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// How far the ending of a tree has come.
#[derive(Debug, Default)]
pub(super) struct Stop {
    /// None if no stop is under way: none was asked for, or the last one was given up.
    pub(super) next_kill: Option<Instant>,
    /// Known from the first KILL on.
    give_up_at: Option<Instant>,
    /// Who wants to know the survivors.
    pub(super) waiting: Vec<oneshot::Sender<Vec<u32>>>,
}

impl Stop {
    /// The tree is to end, by KILL from `kill_at` on. Whether TERM is due; if not, a stop is under way, and its KILL may
    /// have been brought forward.
    pub(super) fn ask(&mut self, kill_at: Instant) -> bool {
        let is_new = self.next_kill.is_none();
        self.next_kill = Some(self.next_kill.map_or(kill_at, |due| due.min(kill_at)));
        is_new
    }

    /// The time of the next KILL has come. False if it was sent often enough: what is alive now is a survivor.
    pub(super) fn kill_again(&mut self, now: Instant) -> bool {
        self.next_kill = Some(now + KILL_AGAIN);
        now < *self.give_up_at.get_or_insert(now + SURVIVOR_AFTER)
    }

    /// The tree is gone but for these. Asked again, the stop begins anew.
    pub(super) fn is_over(&mut self, survivors: &[u32]) {
        (self.next_kill, self.give_up_at) = (None, None);
        for caller in self.waiting.drain(..) {
            // An error means that the call was cancelled.
            let _ = caller.send(survivors.to_vec());
        }
    }
}
