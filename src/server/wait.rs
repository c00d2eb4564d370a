//! Waiting for what happens to jobs: until it happens, time is up, the call is cancelled or the server closes.
//! A wait only looks at records, so nothing it does or leaves undone touches a job.

use std::time::{Duration, Instant};

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};
use tokio::time::{interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::job::{Job, Record};
use crate::registry::ProcessRegistry;

/// How often a waiting call says that it still waits.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How long and on what terms a call waits.
#[derive(Clone, Debug)]
pub struct Patience {
    pub deadline: Instant,
    pub cancelled: CancellationToken,
    pub closing: CancellationToken,
    /// Where to send word that the call still waits, if the client wants it.
    pub progress: Option<(Peer<RoleServer>, ProgressToken)>,
}

impl Patience {
    /// The event's value, or none if it did not come in time. An event that is already there is always seen.
    pub async fn until<T, S: Future<Output = String>>(
        &self,
        event: impl Future<Output = T>,
        status: impl Fn() -> S,
    ) -> Option<T> {
        tokio::pin!(event);
        let started = Instant::now();
        let mut ticks = interval_at((started + PROGRESS_EVERY).into(), PROGRESS_EVERY);
        loop {
            tokio::select! {
                biased;
                value = &mut event => return Some(value),
                () = self.cancelled.cancelled() => return None,
                () = self.closing.cancelled() => return None,
                () = sleep_until(self.deadline.into()) => return None,
                _ = ticks.tick(), if self.progress.is_some() => {
                    self.tell(started.elapsed(), status().await).await;
                }
            }
        }
    }

    async fn tell(&self, waited: Duration, message: String) {
        let Some((peer, token)) = &self.progress else {
            return;
        };
        let params = ProgressNotificationParam::new(token.clone(), waited.as_secs_f64())
            .with_message(message);
        if let Err(error) = peer.notify_progress(params).await {
            tracing::debug!(%error, "progress was not sent");
        }
    }
}

/// Resolves when the job's command has ended.
pub async fn for_end(job: &Job) {
    let mut record = job.record();
    // An error means that the watcher is gone, which has then left the record finished.
    drop(record.wait_for(Record::is_over).await);
}

/// Resolves when there is a job whose end no reply has told of, or none that could still end.
pub async fn for_any_end(registry: &ProcessRegistry) {
    let mut ends = registry.ends();
    loop {
        ends.borrow_and_update();
        let is_told = registry.unreported(1).is_empty();
        if !is_told || registry.list(0).0.is_empty() || ends.changed().await.is_err() {
            return;
        }
    }
}
