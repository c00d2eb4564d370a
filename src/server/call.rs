//! What one call needs of its conversation: its patience, the news for its reply, the reply itself.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::FutureExt;
use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;
use serde_json::Value;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::wait::Patience;
use super::{Context, Server, hints, messages};
use crate::blocking::lock;
use crate::job::{Job, JobError};

/// The last line of defence: the server goes on, and the agent knows that it was not the command.
const PANICKED: &str = "the server failed at this call. Its jobs are unharmed; try again, and look at the server's log";

/// Ids in `also_started`, the oldest ones, so that no reply grows without bound.
const ALSO_STARTED: usize = 20;

/// Jobs whose id no reply has told, each with the token of the execute call that was to tell it.
pub type UntoldStarts = Mutex<Vec<(Uuid, CancellationToken)>>;

/// One call under way.
#[derive(Debug)]
pub struct Call<'a> {
    pub server: &'a Server,
    pub context: Context,
}

impl Call<'_> {
    /// The longest wait of this client's calls.
    pub fn cap(&self) -> Duration {
        let client = self.context.client_info();
        self.server.connection.wait_cap(client.as_ref().map(|client| client.name.as_str()))
    }

    pub fn explain(&self, error: &JobError) -> String {
        messages::job_error(error, self.server.registry.config())
    }

    pub fn wait(&self, seconds: Option<f64>) -> hints::Wait {
        let asked = Duration::from_secs_f64(seconds.unwrap_or_default());
        hints::Wait { asked, cap: self.cap() }
    }

    pub fn patience(&self, wait: hints::Wait) -> Patience {
        let progress = self.context.meta.get_progress_token();
        Patience {
            deadline: Instant::now() + wait.asked.min(wait.cap),
            cancelled: self.context.ct.clone(),
            closing: self.server.closing.clone(),
            progress: progress.map(|token| (self.context.peer.clone(), token)),
        }
    }

    /// `also_ended`, at most so many, and `also_started`: what else has happened that this client has not been told. It is
    /// told from now on, as are the job that was started and the ended jobs that the reply shows, unless the client has
    /// cancelled the call: the SDK cancels its token after each normal reply as well, and a cancellation that crosses a reply
    /// on the way is not chased.
    pub async fn news(
        &self,
        started: Option<Uuid>,
        ended: impl IntoIterator<Item = Job>,
        most: usize,
    ) -> (Vec<String>, Vec<String>) {
        if started.is_some() {
            // A cancellation that has come while the job was being started is taken note of first.
            yield_now().await;
        }
        if self.context.ct.is_cancelled() {
            // The SDK sends no reply.
            return Default::default();
        }
        let registry = &self.server.registry;
        ended.into_iter().for_each(|job| job.set_end_told());
        let others = registry.unreported(most);
        others.iter().for_each(Job::set_end_told);
        let also_ended = others.iter().map(|job| job.id().to_string()).collect();
        let mut untold = lock(&self.server.untold);
        // Of jobs that are gone there is nothing to tell.
        untold.retain(|(id, _)| Some(*id) != started && registry.find(*id).is_some());
        let overdue = untold.extract_if(.., |(_, call)| call.is_cancelled()).take(ALSO_STARTED);
        (also_ended, overdue.map(|(id, _)| id.to_string()).collect())
    }

    /// Does the work. What it fails with, a panic too, is answered in the tool's own shape.
    pub async fn answer<R: Serialize + From<String>>(
        &self,
        work: impl Future<Output = Result<R, R>>,
    ) -> CallToolResult {
        let outcome = AssertUnwindSafe(work).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(PANICKED.to_owned().into()));
        let is_error = outcome.is_err();
        let reply = outcome.unwrap_or_else(|failure| failure);
        let text = serde_json::to_string(&reply);
        let (Ok(json), Ok(text)) = (serde_json::to_value(&reply), text) else {
            unreachable!("replies have string keys and no failing parts")
        };
        // A reply that says that it has no success is an error too.
        let is_error = is_error || json.get("success") == Some(&Value::Bool(false));
        // As `CallToolResult::structured` does, which writes the text from the value, at twice the time.
        let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
        (result.structured_content, result.is_error) = (Some(json), Some(is_error));
        result
    }
}
