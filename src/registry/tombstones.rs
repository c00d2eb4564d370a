//! The ids of jobs that are gone, to tell an expired job from one that never was.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

/// How many are remembered.
const REMEMBERED: usize = 10_000;

/// Why a job is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Expired,
    CleanedUp,
}

/// Each id that is gone, with its fate: the newest ones, whose number is bounded.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Oldest first; the same ids as in `fates`.
    order: VecDeque<Uuid>,
    fates: HashMap<Uuid, Fate>,
}

impl Tombstones {
    pub(super) fn fate(&self, id: Uuid) -> Option<Fate> {
        self.fates.get(&id).copied()
    }

    pub(super) fn bury(&mut self, id: Uuid, fate: Fate) {
        if self.fates.insert(id, fate).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.fates.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_no_more() {
        let mut gone = Tombstones::default();
        let ids: Vec<Uuid> = (0..=REMEMBERED).map(|_| Uuid::new_v4()).collect();
        for id in &ids {
            gone.bury(*id, Fate::Expired);
        }
        assert_eq!(gone.fate(ids[0]), None);
        assert_eq!(gone.fate(ids[1]), Some(Fate::Expired));
        assert_eq!(gone.fate(ids[2]), Some(Fate::Expired));
    }
}
