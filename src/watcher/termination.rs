//! How far the ending of a tree has come: TERM, a grace, KILL again and again, and at last giving up. No signal is sent
//! here: this only says which one is due.

use std::time::{Duration, Instant};

/// How long after KILL a process may still be alive before it is named a survivor. Only one that the kernel cannot
/// interrupt, or that we may not signal, takes this long.
const SURVIVOR_AFTER: Duration = Duration::from_secs(2);

/// How often KILL is sent again while something is alive: a process may have forked in between.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// How far the ending of the tree has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Termination {
    NotAsked,
    Terminating { kill_at: Instant },
    Killing { again_at: Instant, give_up_at: Instant },
    GaveUp,
}

/// What is due when the time of the next step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Kill,
    /// KILL was sent often enough: a process that is alive now is a survivor.
    CountSurvivors,
}

impl Termination {
    pub(super) fn was_asked(self) -> bool {
        self != Self::NotAsked
    }

    /// When the next step is due, if one is.
    pub(super) fn next_step(self) -> Option<Instant> {
        match self {
            Self::NotAsked | Self::GaveUp => None,
            Self::Terminating { kill_at } => Some(kill_at),
            Self::Killing { again_at, .. } => Some(again_at),
        }
    }

    /// The tree is to end, by KILL from `kill_at` on. Whether TERM is due; if not, it was asked before, and the KILL may
    /// have been brought forward.
    pub(super) fn ask(&mut self, kill_at: Instant) -> bool {
        match self {
            Self::Terminating { kill_at: earlier } => {
                *earlier = kill_at.min(*earlier);
                false
            }
            Self::Killing { .. } => false,
            Self::NotAsked | Self::GaveUp => {
                *self = Self::Terminating { kill_at };
                true
            }
        }
    }

    /// The time of the next step has come.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        let give_up_at = match self {
            Self::Killing { give_up_at, .. } => *give_up_at,
            _ => now + SURVIVOR_AFTER,
        };
        *self = Self::Killing { again_at: now + KILL_AGAIN, give_up_at };
        if now < give_up_at { Step::Kill } else { Step::CountSurvivors }
    }

    /// Some did not end although they were sent KILL. Asked again, it begins anew.
    pub(super) fn give_up(&mut self) {
        *self = Self::GaveUp;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn asking_again_only_brings_the_kill_forward() {
        let now = Instant::now();
        let mut termination = Termination::NotAsked;
        assert!(!termination.was_asked() && termination.next_step().is_none());
        assert!(termination.ask(now + 3 * SECOND));
        assert!(!termination.ask(now + 9 * SECOND));
        assert_eq!(termination.next_step(), Some(now + 3 * SECOND));
        assert!(!termination.ask(now + SECOND));
        assert_eq!(termination.next_step(), Some(now + SECOND));
        assert_eq!(termination.step(now + SECOND), Step::Kill);
        assert!(!termination.ask(now + SECOND));
        assert_eq!(termination.next_step(), Some(now + SECOND + KILL_AGAIN));
    }

    #[test]
    fn kill_is_repeated_for_two_seconds_and_an_ending_given_up_can_begin_anew() {
        let mut now = Instant::now();
        let mut termination = Termination::NotAsked;
        termination.ask(now);
        let (first, mut kills) = (now, 0);
        while termination.step(now) == Step::Kill {
            kills += 1;
            now = termination.next_step().expect("there is always a next one");
        }
        assert_eq!(kills, 40);
        assert_eq!(now - first, SURVIVOR_AFTER);
        termination.give_up();
        assert_eq!(termination.next_step(), None);
        assert!(termination.was_asked());
        assert!(termination.ask(now + SECOND));
        assert_eq!(termination.step(now + SECOND), Step::Kill);
    }
}
