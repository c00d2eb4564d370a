//! What has happened that no reply has told of yet: it is told in the next one, once.
//!
//! A call that the client has cancelled tells nothing. Whether it was is decided when its reply is complete: the SDK cancels
//! a call's token after each normal reply as well, and a cancellation that crosses a reply on the way is not chased.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::job::Job;
use crate::registry::ProcessRegistry;

/// Jobs named in one reply as started.
const NAMED: usize = 20;

/// Jobs whose id no reply has told, each with the token of the execute call that was to tell it.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Vec<(Uuid, CancellationToken)>>);

/// What one reply tells for the first time.
#[derive(Debug, Default)]
pub struct News {
    /// The ids of jobs that were started.
    pub started: Vec<Uuid>,
    /// Jobs whose end is reported.
    pub ended: Vec<Job>,
}

impl News {
    /// A reply shows this job; if it has ended, that is news.
    pub fn note_end(&mut self, job: &Job, running: bool) {
        if !running {
            self.ended.push(job.clone());
        }
    }
}

impl Notices {
    /// A call has started this job. Its reply tells the id; once the call is cancelled, another reply has to.
    pub fn started(&self, id: Uuid, call: &CancellationToken) {
        self.lock().push((id, call.clone()));
    }

    /// The ids that a reply to come must name: the oldest of them, so that no reply grows without bound. Of jobs that are gone
    /// there is nothing to tell.
    pub fn untold_starts(&self, registry: &ProcessRegistry) -> Vec<Uuid> {
        let mut untold = self.lock();
        untold.retain(|(id, _)| registry.find(*id).is_some());
        let overdue = untold.iter().filter(|(_, call)| call.is_cancelled());
        overdue.map(|(id, _)| *id).take(NAMED).collect()
    }

    /// A reply with this news is complete, and its call has not been cancelled.
    pub fn told(&self, news: &News) {
        self.lock().retain(|(id, _)| !news.started.contains(id));
        news.ended.iter().for_each(Job::set_end_told);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Uuid, CancellationToken)>> {
        // Valid after a panic anywhere: nothing panics while it is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
