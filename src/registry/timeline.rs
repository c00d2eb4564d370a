//! The jobs in the order in which things happened to them, beside the registry's map that finds them by id.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use uuid::Uuid;

use crate::job::Job;

/// How many ids of jobs that are gone are remembered, to tell an expired job from one that never was.
const DEPARTED_REMEMBERED: usize = 10_000;

/// The jobs in order, beside the map that finds them by id. Also a leaf lock.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    /// In order of start: jobs that had a live process when somebody last looked, those being cleaned up included.
    pub(crate) alive: Vec<Job>,
    /// In order of start: jobs whose command had not ended when somebody last looked.
    pub(crate) running: Vec<Job>,
    /// In order of their ends.
    pub(crate) finished: VecDeque<Job>,
    /// Finished jobs whose end no reply has told of.
    pub(crate) unreported: VecDeque<Job>,
    pub(crate) departed: VecDeque<Uuid>,
    pub(crate) fates: HashMap<Uuid, Fate>,
}

/// Why a job is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Expired,
    CleanedUp,
}

impl Chronicle {
    /// Moves the jobs that have ended since the last look to the finished ones.
    pub(crate) fn settle(&mut self) {
        self.alive.retain(Job::is_alive);
        let mut ended: Vec<(Instant, Job)> = Vec::new();
        self.running.retain(|job| match job.finished_at() {
            Some(at) => {
                ended.push((at, job.clone()));
                false
            }
            None => true,
        });
        ended.sort_by_key(|(at, _)| *at);
        for (_, job) in ended {
            self.unreported.push_back(job.clone());
            self.finished.push_back(job);
        }
    }

    /// Takes jobs out of the lists and remembers why they are gone.
    pub(crate) fn forget(&mut self, jobs: &[Job], fate: Fate) {
        let gone: HashSet<Uuid> = jobs.iter().map(Job::id).collect();
        self.running.retain(|job| !gone.contains(&job.id()));
        self.finished.retain(|job| !gone.contains(&job.id()));
        self.unreported.retain(|job| !gone.contains(&job.id()));
        for id in gone {
            self.departed.push_back(id);
            self.fates.insert(id, fate);
        }
        while self.departed.len() > DEPARTED_REMEMBERED
            && let Some(oldest) = self.departed.pop_front()
        {
            self.fates.remove(&oldest);
        }
    }

    /// A job is in the map again.
    pub(crate) fn reinstate(&mut self, job: &Job) {
        self.fates.remove(&job.id());
        self.departed.retain(|id| *id != job.id());
        self.running.push(job.clone());
        self.settle();
    }
}
