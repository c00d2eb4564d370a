//! From requests to their handlers and back.
//!
//! The SDK would do this too: with two tasks, two channels and five turns of its loop for each request, which took three
//! quarters of the time of a `ping`. Here a handler is given its first turn at once. Most answer within it and cost no
//! task; only one that has to wait gets one of its own. What a request means stays with the SDK.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::model::{
    ClientRequest, ErrorCode, ErrorData, GetMeta, JsonRpcMessage, RequestId, ServerResult,
};
use rmcp::service::{RequestContext, Service};
use rmcp::{Peer, RoleServer, ServerHandler};
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::reply;
use super::requests::OpenRequest;

type Outcome = Result<ServerResult, ErrorData>;

type Serve =
    dyn Fn(ClientRequest, RequestContext<RoleServer>) -> BoxFuture<'static, Outcome> + Send + Sync;

/// Hears which requests their client has cancelled, each before the request that was sent behind the cancellation is served:
/// the SDK tells of them when its loop comes to it, which may be later.
pub(crate) trait HearsCancellations: Send + Sync + 'static {
    /// The client wants no reply to this any more. It may have been sent.
    fn cancelled(&self, request: &RequestId);
}

/// Hands requests to the server.
pub(super) struct Dispatch {
    serve: Box<Serve>,
    server: Arc<dyn HearsCancellations>,
    peer: Peer<RoleServer>,
    /// Handlers that wait.
    waiting: TaskTracker,
}

impl Dispatch {
    pub(super) fn new(
        server: Arc<impl ServerHandler + HearsCancellations>,
        peer: Peer<RoleServer>,
    ) -> Self {
        let handler = server.clone();
        let serve = move |request, context| {
            let server = handler.clone();
            async move { server.handle_request(request, context).await }.boxed()
        };
        Self {
            serve: Box::new(serve),
            server,
            peer,
            waiting: TaskTracker::new(),
        }
    }

    /// Gives the handler its first turn, in which most answer, and if it has to wait a task of its own.
    pub(super) fn serve(&self, mut request: ClientRequest, open: OpenRequest) {
        let mut context = RequestContext::new(open.id().clone(), self.peer.clone());
        context.ct = open.cancelled().clone();
        context.meta = std::mem::take(request.get_meta_mut());
        context.extensions.insert(open.slot());
        // A handler that panics would leave its client waiting for ever.
        let mut handler = AssertUnwindSafe((self.serve)(request, context)).catch_unwind();
        match (&mut handler).now_or_never() {
            Some(outcome) => answer(open, outcome),
            None => {
                self.waiting
                    .spawn(async move { answer(open, handler.await) });
            }
        }
    }

    /// The client wants no reply to this any more.
    pub(super) fn cancelled(&self, request: &RequestId) {
        self.server.cancelled(request);
    }

    /// Waits until no handler waits any more.
    pub(super) async fn drained(&self) {
        self.waiting.close();
        self.waiting.wait().await;
    }
}

fn answer(open: OpenRequest, outcome: Result<Outcome, Box<dyn Any + Send>>) {
    let outcome = outcome.unwrap_or_else(|_| {
        let message = "Internal error: the handler panicked";
        Err(ErrorData::new(ErrorCode::INTERNAL_ERROR, message, None))
    });
    let line = match outcome {
        Ok(result) => reply::line_of_result(open.id(), result),
        Err(error) => {
            debug!(code = error.code.0, "answered with an error");
            reply::line(&JsonRpcMessage::<(), (), ()>::error(
                error,
                Some(open.id().clone()),
            ))
        }
    };
    open.answer(line);
}
