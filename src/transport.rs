//! Standard input and output as a transport of the SDK: one thread reads lines, one writes them.
//!
//! Plain blocking reads and writes work on pipes, sockets, files and terminals alike, and need no flag on descriptions that
//! the client and its other children share. Neither thread is ever waited for: the process ends by `exit`.
//!
//! The SDK's own transport for standard streams does not answer a request that it cannot read, and cannot end before the
//! client closes our input. What a line is answered with is decided in [`decode`].

mod decode;

use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::io::{self, BufRead, ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;

#[cfg(any(fuzzing, test))]
pub use decode::decode;
#[cfg(not(any(fuzzing, test)))]
use decode::decode;
use decode::{Decoded, refusal_of_cut};
use memchr::memchr;
use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The longest line that is read.
const MAX_LINE: usize = 16 << 20;

/// What is kept of each end of a line that is longer: clients write the id first or last.
const KEPT_END: usize = 4 << 10;

/// Messages that wait for the SDK, and messages that wait for the writing thread.
const QUEUED: usize = 16;

/// Lines are written together up to this many bytes; larger buffers are given back afterwards.
const USUAL_BYTES: usize = 64 << 10;

/// The client at the other end of our standard streams.
pub struct Stdio {
    input: mpsc::Receiver<ClientJsonRpcMessage>,
    /// Taken away when the SDK closes the transport.
    output: Option<mpsc::Sender<Outgoing>>,
    /// Resolves when the writing thread has ended.
    written: oneshot::Receiver<()>,
    closing: CancellationToken,
}

/// One line of output.
#[derive(Serialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly always it is the large one"
)]
enum Outgoing {
    Message(ServerJsonRpcMessage),
    Refusal(Value),
}

impl Stdio {
    /// Opens the connection. It is over at the end of input, when nothing can be written any more, and when `closing` is
    /// cancelled, which it is in each of these cases.
    pub fn open(closing: CancellationToken) -> io::Result<Self> {
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let watched = output.try_clone()?;
        let (messages, input) = mpsc::channel(QUEUED);
        let (lines, mut outgoing) = mpsc::channel(QUEUED);
        let (writing, written) = oneshot::channel();
        let refusals = lines.downgrade();
        start_thread("input", move || {
            if let Err(error) = read(&mut io::stdin().lock(), &messages, &refusals) {
                debug!(%error, "standard input failed");
            }
        })?;
        let closed = closing.clone();
        start_thread("output", move || {
            if let Err(error) = write(&mut outgoing, &output) {
                debug!(%error, "standard output failed");
            }
            closed.cancel();
            drop(writing);
        })?;
        let hung_up = closing.clone();
        start_thread("hang-up", move || {
            await_hang_up(&watched);
            hung_up.cancel();
        })?;
        Ok(Self {
            input,
            output: Some(lines),
            written,
            closing,
        })
    }
}

impl Transport<RoleServer> for Stdio {
    /// What cannot be written is no error of the message: the connection ends.
    type Error = Infallible;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let output = self.output.clone();
        async move {
            if let Some(output) = output {
                drop(output.send(Outgoing::Message(message)).await);
            }
            Ok(())
        }
    }

    /// Everything that was read is served, whatever ends the connection. Waits end at once then: the SDK would give the calls
    /// under way five seconds, and clients give the server two.
    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let message = tokio::select! {
            biased;
            message = self.input.recv() => message,
            () = self.closing.cancelled() => {
                self.input.close();
                self.input.recv().await
            }
        };
        if message.is_none() {
            self.closing.cancel();
        }
        message
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        self.output = None;
        // An error is how the thread tells that it has ended.
        drop((&mut self.written).await);
        Ok(())
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}

/// Reads until the end of input, or until the SDK takes no more.
fn read(
    input: &mut impl BufRead,
    messages: &mpsc::Sender<ClientJsonRpcMessage>,
    refusals: &mpsc::WeakSender<Outgoing>,
) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(length) = next_line(input, &mut line)? {
        let decoded = match length {
            Length::Whole => decode(&line),
            Length::Cut => vec![refusal_of_cut(&line)],
        };
        for decoded in decoded {
            let taken = match (decoded, refusals.upgrade()) {
                (Decoded::Message(message), _) => messages.blocking_send(message).is_ok(),
                (Decoded::Refused(refusal), Some(output)) => {
                    debug!(code = %refusal["error"]["code"], "refused a message");
                    output.blocking_send(Outgoing::Refusal(refusal)).is_ok()
                }
                (Decoded::Refused(_), None) => false,
            };
            if !taken {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How much of a line was kept.
#[derive(Debug, PartialEq, Eq)]
pub enum Length {
    Whole,
    /// Its two ends: it is longer than [`MAX_LINE`].
    Cut,
}

/// Replaces `line` by the next one, without its newline; `None` at the end of input. The last line may lack the newline.
pub fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<Length>> {
    line.clear();
    line.shrink_to(USUAL_BYTES);
    let mut length = Length::Whole;
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                wait_for(io::stdin(), PollFlags::IN);
                continue;
            }
            chunk => chunk?,
        };
        let newline = memchr(b'\n', chunk);
        let is_end = chunk.is_empty();
        let part = newline.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..part]);
        input.consume(part + usize::from(newline.is_some()));
        if line.len() > MAX_LINE {
            line.drain(KEPT_END..line.len() - KEPT_END);
            length = Length::Cut;
        }
        if newline.is_some() || (is_end && !line.is_empty()) {
            return Ok(Some(length));
        }
        if is_end {
            return Ok(None);
        }
    }
}

/// Writes what is sent, a line each, until the connection is closed.
fn write(outgoing: &mut mpsc::Receiver<Outgoing>, output: &File) -> io::Result<()> {
    let mut lines = Vec::new();
    while let Some(first) = outgoing.blocking_recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            serde_json::to_writer(&mut lines, &message)?;
            lines.push(b'\n');
            next = (lines.len() < USUAL_BYTES)
                .then(|| outgoing.try_recv().ok())
                .flatten();
        }
        write_all(output, &lines)?;
        lines.clear();
        lines.shrink_to(USUAL_BYTES);
    }
    Ok(())
}

/// Writes all of it, also to a description that came with `O_NONBLOCK` set: then a write takes a part or nothing.
pub fn write_all(mut output: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for(output, PollFlags::OUT),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns when the other end of our output is gone. The end of input need not tell: another process may hold that open.
fn await_hang_up(output: &File) {
    wait_for(output, PollFlags::HUP);
}

/// Waits for one of these events, an error or a hang-up. A poll that fails is seen by the operation that is tried next.
fn wait_for(descriptor: impl AsFd, events: PollFlags) {
    let _ = retry_on_intr(|| poll(&mut [PollFd::new(&descriptor, events)], None));
}
