//! Which replies arrived, as far as a server can know: a call that its client has cancelled was not heard.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rmcp::model::RequestId;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::job::Job;
use crate::registry::ProcessRegistry;

/// A cancellation may cross its reply on the way, so this many replies are remembered.
const REMEMBERED: usize = 256;

/// For how long a reply and its cancellation may pass each other. One that comes later is of a client that cancels what it
/// was answered long ago, as some do with everything once they are interrupted.
const CROSSING: Duration = Duration::from_secs(10);

/// Jobs named in one reply as started.
const NAMED: usize = 20;

/// What was told in which reply.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<Sent>,
    /// Jobs whose id no reply has delivered, in the order in which they were started or became so.
    undelivered: Vec<Undelivered>,
}

/// A reply that is on its way or has arrived.
#[derive(Debug)]
struct Sent {
    request: RequestId,
    at: Instant,
    news: News,
}

/// A job whose id no reply has delivered.
#[derive(Debug)]
struct Undelivered {
    id: Uuid,
    /// Cancelled when the reply that was to deliver it will not.
    fails: CancellationToken,
}

impl Undelivered {
    /// Whether another reply has to deliver it.
    fn is_overdue(&self) -> bool {
        self.fails.is_cancelled()
    }
}

/// What one reply told for the first time.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    /// The ids of jobs that were started.
    pub(crate) started: Vec<Uuid>,
    /// Jobs whose end was reported.
    pub(crate) ended: Vec<Job>,
}

impl News {
    /// A reply shows this job; if it has ended, that is news.
    pub(crate) fn note_end(&mut self, job: &Job, running: bool) {
        if !running {
            self.ended.push(job.clone());
        }
    }
}

impl Deliveries {
    /// The call that has started this job is to deliver its id. Unless its reply is sent, another one has to from the moment
    /// on at which the client cancels it, or else the guard is dropped.
    pub(crate) fn started(&self, id: Uuid, cancelled: &CancellationToken) -> DropGuard {
        let fails = cancelled.child_token();
        let guard = fails.clone().drop_guard();
        self.lock().undelivered.push(Undelivered { id, fails });
        guard
    }

    /// The ids that a reply to come must name: the oldest of them, so that no reply grows without bound. Of jobs that are gone
    /// or whose id the client has used there is nothing to tell.
    pub(crate) fn undelivered(&self, registry: &ProcessRegistry) -> Vec<Uuid> {
        let overdue: Vec<Uuid> = {
            let state = self.lock();
            let jobs = state.undelivered.iter().filter(|job| job.is_overdue());
            jobs.map(|job| job.id).collect()
        };
        let is_news = |id: &Uuid| registry.find(*id).is_some_and(|job| !job.id_is_known());
        let (mut news, settled): (Vec<_>, Vec<_>) = overdue.into_iter().partition(is_news);
        if !settled.is_empty() {
            self.lock()
                .undelivered
                .retain(|job| !settled.contains(&job.id));
        }
        news.truncate(NAMED);
        news
    }

    /// A reply with this news is on its way.
    pub(crate) fn sent(&self, request: RequestId, news: News) {
        for job in &news.ended {
            job.report_end();
        }
        let mut state = self.lock();
        state
            .undelivered
            .retain(|job| !news.started.contains(&job.id));
        if state.recent.len() == REMEMBERED {
            state.recent.pop_front();
        }
        state.recent.push_back(Sent {
            request,
            at: Instant::now(),
            news,
        });
    }

    /// The client has cancelled this request. If its reply may not have been heard, what it told is news again.
    pub(crate) fn cancelled(&self, request: &RequestId, registry: &ProcessRegistry) {
        let mut state = self.lock();
        let found = state
            .recent
            .iter()
            .rposition(|sent| sent.request == *request);
        let Some(sent) = found.and_then(|index| state.recent.remove(index)) else {
            return;
        };
        if sent.at.elapsed() > CROSSING {
            return;
        }
        for id in sent.news.started {
            let fails = CancellationToken::new();
            fails.cancel();
            state.undelivered.push(Undelivered { id, fails });
        }
        drop(state);
        registry.retract_ends(&sent.news.ended);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Valid after a panic anywhere: nothing panics while it is being changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
