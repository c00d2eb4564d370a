//! Standard input and output as a stream of messages: the server's front door.
//!
//! The SDK has a transport for standard streams. This one is ours because of what that one leaves to chance (all of it
//! measured with rmcp 3.9): it blocks a thread on a Unix socket, which is what Node gives its children, and then cannot
//! exit before the client does; it never answers a request that it cannot parse; and the memory it takes is up to the
//! client. From bytes to replies:
//!
//! ```text
//! Descriptor ─ Lines ─ text ─ message ─► Dispatch ─ handler ─ ReplySlot ─ reply ─► Outbox ─ Descriptor
//!  without     bounded  bytes   JSON to    first turn         at most 8    to        one task
//!  blocking             to JSON a request  at once            at a time    a line    writes
//!                               or refusal ───────────────────────────────────────────▲
//!                               or notification ─► SDK ─► progress ──────────────────────┘
//! ```
//!
//! - Every request that carries an id is answered once, by a handler or by a [`Refusal`]; a cancelled one not at all.
//! - The SDK says what a request means. Whose turn it is, is decided here, see [`dispatch`]; its own loop serves
//!   the notifications that are not about a request, and sends ours.
//! - Batches exist in one revision of the protocol only (2025-03-26). Their elements are served as if they had come alone,
//!   in every revision: that leaves no id without an answer.
//! - The handshake is not ours to enforce, and nothing that comes before or instead of it ends the connection: the SDK's
//!   `serve` insists on one, and ends when a client begins with anything else.
//! - While too much is unanswered or unread, requests are still read, up to the length of the longest line, and wait as
//!   text. So a client that writes thousands of calls before it reads the first reply does not block itself.
//! - The connection is over at the end of input, when nobody reads standard output any more, or when somebody else
//!   cancels the token. Either way the token is cancelled and no further message is received.

mod cost;
mod descriptor;
mod dispatch;
mod input;
mod lines;
mod message;
mod outbox;
mod place;
mod reply;
mod requests;
mod text;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

pub(crate) use descriptor::Descriptor;
use dispatch::Dispatch;
pub(crate) use dispatch::HearsCancellations;
use input::Input;
#[cfg(any(fuzzing, test))]
pub(crate) use input::fuzzing;
use message::{Incoming, Refusal};
pub(crate) use outbox::Outbox;
use reply::line;
use requests::Requests;
pub(crate) use requests::{Disconnected, ReplySlot};
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, JsonRpcMessage,
    JsonRpcRequest, RequestId, ServerJsonRpcMessage,
};
use rmcp::service::{RunningService, serve_directly};
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::{SetOnce, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The client at the other end of our standard streams.
pub(crate) struct Stdio {
    input: Input,
    requests: Arc<Requests>,
    /// Set when there is a server.
    dispatch: Arc<SetOnce<Dispatch>>,
    outbox: Arc<Outbox>,
    closing: CancellationToken,
}

impl Stdio {
    /// Opens the connection, within a runtime. `closing` is cancelled when it is over, and ends it when cancelled.
    pub(crate) fn open(closing: CancellationToken) -> io::Result<Self> {
        Self::over(io::stdin(), io::stdout(), closing)
    }

    fn over(input: impl AsFd, output: impl AsFd, closing: CancellationToken) -> io::Result<Self> {
        let input = Input::new(Descriptor::duplicate(input)?);
        let outbox = Arc::new(Outbox::new(Descriptor::duplicate(output)?));
        tokio::spawn({
            let (outbox, closing) = (outbox.clone(), closing.clone());
            async move {
                outbox.deliver().await;
                closing.cancel();
            }
        });
        Ok(Self {
            input,
            requests: Requests::new(outbox.clone()),
            dispatch: Arc::default(),
            outbox,
            closing,
        })
    }

    /// Has the server serve what comes, until the connection is over and everything is answered.
    pub(crate) fn serve<S: ServerHandler + HearsCancellations>(
        self,
        server: S,
    ) -> RunningService<RoleServer, Arc<S>> {
        let server = Arc::new(server);
        let dispatch = self.dispatch.clone();
        let conversation = serve_directly(server.clone(), self, None);
        // Nobody else sets it.
        drop(dispatch.set(Dispatch::new(server, conversation.peer().clone())));
        conversation
    }

    /// Where replies go, for whoever waits for the last of them.
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }

    /// The next message for the SDK that is already here. Requests are served on the way.
    fn next(&mut self, dispatch: &Dispatch) -> Option<ClientJsonRpcMessage> {
        while self.requests.has_room() {
            match self.input.next()? {
                Incoming::Message(JsonRpcMessage::Request(request)) => {
                    self.admit(request, dispatch)
                }
                Incoming::Message(message) => {
                    if let Some(request) = cancelled(&message) {
                        self.requests.cancel(request);
                        dispatch.cancelled(request);
                    } else {
                        return Some(message);
                    }
                }
                Incoming::Refused(refusal) => self.refuse(&refusal),
                Incoming::Ignored => {}
            }
        }
        None
    }

    fn admit(&self, request: JsonRpcRequest<ClientRequest>, dispatch: &Dispatch) {
        match self.requests.open(request.id.clone()) {
            Some(open) => dispatch.serve(request.request, open),
            None => {
                let id = request.id.into_json_value();
                let message = "Invalid request: a request with this id is still open";
                self.refuse(&Refusal::new(id, ErrorCode::INVALID_REQUEST, message));
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) {
        debug!(code = refusal.error.code.0, "refused a message");
        self.outbox.push(line(refusal), None, None);
    }
}

/// The request to which the client wants no reply any more, if that is what it says.
fn cancelled(message: &ClientJsonRpcMessage) -> Option<&RequestId> {
    let JsonRpcMessage::Notification(notification) = message else {
        return None;
    };
    let ClientNotification::CancelledNotification(cancelled) = &notification.notification else {
        return None;
    };
    cancelled.params.request_id.as_ref()
}

impl Transport<RoleServer> for Stdio {
    /// A reply that cannot be written is no concern of whoever gave it: the connection ends, and `closing` tells.
    type Error = Infallible;

    /// Takes the message at once, so that order is the order of calls, and waits until it is written, so that progress
    /// notifications do not pile up before a client that does not read.
    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let (sender, written) = oneshot::channel();
        self.outbox.push(line(&message), None, Some(sender));
        async move {
            // An error is how the line says that it is gone.
            let _ = written.await;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let dispatch = self.dispatch.clone();
        let dispatch = dispatch.wait().await;
        loop {
            // Lines that are already here would keep everybody else on this thread waiting.
            tokio::task::coop::consume_budget().await;
            // At the end of input the token is cancelled too, but what came before the end is served.
            if self.outbox.closed().is_cancelled()
                || (self.closing.is_cancelled() && !self.input.has_ended())
            {
                return None;
            }
            if let Some(message) = self.next(dispatch) {
                return Some(message);
            }
            let moved = self.outbox.moved.notified();
            let has_room = self.requests.has_room();
            if self.input.has_ended() && has_room {
                return None;
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled(), if !self.input.has_ended() => {}
                () = moved, if !has_room => {}
                () = self.input.fill(), if !self.input.has_ended() && (has_room || !self.input.is_full()) => {
                    if self.input.has_ended() {
                        self.closing.cancel();
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        if let Some(dispatch) = self.dispatch.get() {
            dispatch.drained().await;
        }
        self.outbox.flushed().await;
        Ok(())
    }
}
