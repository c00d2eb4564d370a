//! What one call needs of its conversation: its patience, the news for its reply, the reply itself.

use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::{CallToolResult, ContentBlock};
use rmcp::service::RequestContext;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::deliveries::{Deliveries, News};
use super::wait::{Patience, Progress};
use super::wire::Reply;
use super::{hints, texts};
use crate::job::Job;
use crate::registry::ProcessRegistry;
use crate::transport::{Disconnected, ReplySlot};

/// Ids in `also_ended`.
const ALSO_ENDED: usize = 5;

/// Most replies fit in here, so that their text need not be moved while it is made.
const USUAL_REPLY_BYTES: usize = 4 << 10;

/// A reply and what it tells for the first time.
pub(crate) type Told<R> = (R, News);

/// One call under way.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    registry: &'a ProcessRegistry,
    deliveries: &'a Deliveries,
    closing: &'a CancellationToken,
    pub(crate) context: RequestContext<RoleServer>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        registry: &'a ProcessRegistry,
        deliveries: &'a Deliveries,
        closing: &'a CancellationToken,
        context: RequestContext<RoleServer>,
    ) -> Self {
        Self {
            registry,
            deliveries,
            closing,
            context,
        }
    }

    /// The longest wait of this client's calls.
    pub(crate) fn cap(&self) -> Duration {
        let client = self.context.client_info();
        self.registry
            .config()
            .wait_cap(client.as_ref().map(|client| client.name.as_str()))
    }

    pub(crate) fn wait(&self, seconds: f64) -> hints::Wait {
        hints::Wait {
            asked: Duration::from_secs_f64(seconds),
            cap: self.cap(),
        }
    }

    pub(crate) fn patience(&self, wait: hints::Wait) -> Patience {
        let progress = self.context.meta.get_progress_token();
        Patience {
            deadline: Instant::now() + wait.asked.min(wait.cap),
            cancelled: self.context.ct.clone(),
            closing: self.closing.clone(),
            progress: progress.map(|token| Progress {
                peer: self.context.peer.clone(),
                token,
            }),
        }
    }

    /// Waits for a place among the replies that are being made: a client that does not read must not fill the memory.
    /// The error says that nobody will read the reply: the call was cancelled, or the client is gone.
    pub(crate) async fn may_reply(&self) -> Result<(), String> {
        if self.context.ct.is_cancelled() {
            return Err(texts::nobody_reads().to_owned());
        }
        match self.context.extensions.get::<ReplySlot>() {
            Some(slot) => slot
                .acquire()
                .await
                .map_err(|Disconnected| texts::nobody_reads().to_owned()),
            None => Ok(()),
        }
    }

    /// `also_ended` and `also_started`: what else has happened that this client has not been told.
    pub(crate) fn side_news(&self, news: &mut News) -> (Vec<String>, Vec<String>) {
        let told: Vec<Uuid> = news.ended.iter().map(Job::id).collect();
        let mut ended = self.registry.unreported(ALSO_ENDED + told.len());
        ended.retain(|job| !told.contains(&job.id()));
        ended.truncate(ALSO_ENDED);
        let also_ended = ended.iter().map(|job| job.id().to_string()).collect();
        news.ended.extend(ended);
        let undelivered = self.deliveries.undelivered(self.registry);
        let also_started = undelivered.iter().map(Uuid::to_string).collect();
        news.started.extend(undelivered);
        (also_ended, also_started)
    }

    /// Serialises the reply, and notes what it tells, unless nobody will receive it.
    pub(crate) fn answer<R: Reply>(&self, outcome: Result<Told<R>, R>) -> CallToolResult {
        match outcome {
            Err(failure) => result(&failure, true),
            Ok((reply, news)) => {
                // Of a cancelled call nobody hears: what it would have told is still to be told.
                if !self.context.ct.is_cancelled() {
                    self.deliveries.sent(self.context.id.clone(), news);
                }
                result(&reply, reply.is_failure())
            }
        }
    }
}

/// The reply as one text, from which the transport also makes the structure.
pub(crate) fn result<R: Reply>(reply: &R, is_error: bool) -> CallToolResult {
    let mut json = Vec::with_capacity(USUAL_REPLY_BYTES);
    serde_json::to_writer(&mut json, reply).expect("replies have string keys and no failing parts");
    let text = String::from_utf8(json).expect("JSON is text");
    let content = vec![ContentBlock::text(text)];
    if is_error {
        CallToolResult::error(content)
    } else {
        CallToolResult::success(content)
    }
}
