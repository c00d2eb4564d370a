//! What one call needs of its conversation: its patience, the news for its reply, the reply itself.

use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hints;
use super::notices::{News, Notices};
use super::wait::{Patience, Progress};
use crate::job::Job;
use crate::registry::ProcessRegistry;
use crate::registry::connection::Connection;

/// Ids in `also_ended`.
const ALSO_ENDED: usize = 5;

/// A reply and what it tells for the first time.
pub type Told<R> = (R, News);

/// One call under way.
#[derive(Debug)]
pub struct Call<'a> {
    registry: &'a ProcessRegistry,
    connection: &'a Connection,
    notices: &'a Notices,
    closing: &'a CancellationToken,
    pub context: RequestContext<RoleServer>,
}

impl<'a> Call<'a> {
    pub fn new(
        registry: &'a ProcessRegistry,
        connection: &'a Connection,
        notices: &'a Notices,
        closing: &'a CancellationToken,
        context: RequestContext<RoleServer>,
    ) -> Self {
        Self { registry, connection, notices, closing, context }
    }

    /// The longest wait of this client's calls.
    pub fn cap(&self) -> Duration {
        let client = self.context.client_info();
        self.connection.wait_cap(client.as_ref().map(|client| client.name.as_str()))
    }

    pub fn wait(&self, seconds: f64) -> hints::Wait {
        hints::Wait { asked: Duration::from_secs_f64(seconds), cap: self.cap() }
    }

    pub fn patience(&self, wait: hints::Wait) -> Patience {
        let progress = self.context.meta.get_progress_token();
        Patience {
            deadline: Instant::now() + wait.asked.min(wait.cap),
            cancelled: self.context.ct.clone(),
            closing: self.closing.clone(),
            progress: progress.map(|token| Progress { peer: self.context.peer.clone(), token }),
        }
    }

    /// `also_ended` and `also_started`: what else has happened that this client has not been told.
    pub fn side_news(&self, news: &mut News) -> (Vec<String>, Vec<String>) {
        let told: Vec<Uuid> = news.ended.iter().map(Job::id).collect();
        let mut ended = self.registry.unreported(ALSO_ENDED + told.len());
        ended.retain(|job| !told.contains(&job.id()));
        ended.truncate(ALSO_ENDED);
        let also_ended = ended.iter().map(|job| job.id().to_string()).collect();
        news.ended.extend(ended);
        let untold = self.notices.untold_starts(self.registry);
        let also_started = untold.iter().map(Uuid::to_string).collect();
        news.started.extend(untold);
        (also_ended, also_started)
    }

    /// The result, and what it tells is told, unless the client has cancelled the call.
    pub fn answer<R: Serialize>(&self, outcome: Result<Told<R>, R>) -> CallToolResult {
        match outcome {
            Err(failure) => result(&failure, true),
            Ok((reply, news)) => {
                if !self.context.ct.is_cancelled() {
                    self.notices.told(&news);
                }
                result(&reply, false)
            }
        }
    }
}

/// The reply as structured content and as the same in text. One that says that it has no success is an error too.
pub fn result(reply: &impl Serialize, is_error: bool) -> CallToolResult {
    let json = serde_json::to_value(reply).expect("replies have string keys and no failing parts");
    if is_error || json.get("success") == Some(&Value::Bool(false)) {
        CallToolResult::structured_error(json)
    } else {
        CallToolResult::structured(json)
    }
}
