//! The jobs in the order in which things happened to them, beside the registry's map that finds them by id.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::tombstones::{Fate, Tombstones};
use crate::job::Job;

/// The lists of jobs. Cheap to clone; all clones look at the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline(Arc<Mutex<Lists>>);

impl Timeline {
    /// The lists as they are now. A leaf lock: held for a look or a change, never across an await, a spawn, a signal, a
    /// file operation or a log line.
    pub(super) fn now(&self) -> MutexGuard<'_, Lists> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.settle();
        lists
    }
}

#[derive(Debug, Default)]
pub(super) struct Lists {
    /// In order of start: jobs that have a live process, those being cleaned up included.
    alive: Vec<Job>,
    /// In order of start: jobs whose command has not ended.
    running: Vec<Job>,
    /// In order of their ends.
    finished: VecDeque<Job>,
    /// Finished jobs whose end no reply has told of.
    unreported: VecDeque<Job>,
    gone: Tombstones,
}

impl Lists {
    /// Moves the jobs that have ended since the last look to the finished ones.
    fn settle(&mut self) {
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

    pub(super) fn alive(&self) -> &[Job] {
        &self.alive
    }

    pub(super) fn running(&self) -> &[Job] {
        &self.running
    }

    pub(super) fn finished(&self) -> &VecDeque<Job> {
        &self.finished
    }

    /// Why a job that was here is not any more, as far back as that is remembered.
    pub(super) fn fate(&self, id: Uuid) -> Option<Fate> {
        self.gone.fate(id)
    }

    /// A job has been started.
    pub(super) fn push(&mut self, job: &Job) {
        self.alive.push(job.clone());
        self.running.push(job.clone());
    }

    /// Up to `max` finished jobs whose end no reply has told of, oldest first.
    pub(super) fn unreported(&mut self, max: usize) -> Vec<Job> {
        while self.unreported.front().is_some_and(Job::is_end_told) {
            self.unreported.pop_front();
        }
        let untold = self.unreported.iter().filter(|job| !job.is_end_told());
        untold.take(max).cloned().collect()
    }

    /// Takes jobs out of the lists and remembers why they are gone. What is alive of them stays known.
    pub(super) fn forget(&mut self, jobs: &[Job], fate: Fate) {
        let gone: HashSet<Uuid> = jobs.iter().map(Job::id).collect();
        self.running.retain(|job| !gone.contains(&job.id()));
        self.finished.retain(|job| !gone.contains(&job.id()));
        self.unreported.retain(|job| !gone.contains(&job.id()));
        for id in gone {
            self.gone.bury(id, fate);
        }
    }
}
