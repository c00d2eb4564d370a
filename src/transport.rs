//! Standard input and output as a transport of the SDK: one thread reads lines, one writes them.
//!
//! Plain blocking reads and writes work on pipes, sockets, files and terminals alike, and need no flag on descriptions that
//! the client and its other children share. Neither thread is ever waited for: the process ends by `exit`.
//!
//! The SDK's own transport for standard streams does not answer a request that it cannot read, and cannot end before the
//! client closes our input. What a line is answered with is decided in [`mod@decode`].

pub mod decode;

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::thread;

use decode::{decode, refusal_of_cut};
use memchr::memchr;
use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::process::standard;

/// The longest line that is read.
const MAX_LINE: usize = 16 << 20;

/// What is kept of each end of a line that is longer: clients write the id first or last.
const KEPT_END: usize = 4 << 10;

/// Messages that wait for the SDK, and messages that wait for the writing thread.
const QUEUED: usize = 16;

/// The client at the other end of our standard streams.
pub struct Stdio {
    input: mpsc::Receiver<ClientJsonRpcMessage>,
    /// Taken away when the SDK closes the transport.
    output: Option<mpsc::Sender<Vec<u8>>>,
    /// Resolves when the writing thread has ended.
    written: oneshot::Receiver<()>,
    closing: CancellationToken,
}

impl Stdio {
    /// Opens the connection. It is over at the end of input, when nothing can be written any more, and when `closing` is
    /// cancelled, which it is in each of these cases.
    pub fn open(closing: CancellationToken) -> io::Result<Self> {
        let hung_up = closing.clone();
        start_thread("hang-up", move || {
            // The end of input need not tell that the client is gone: another process may hold that open.
            standard::wait_for_hang_up();
            hung_up.cancel();
        })?;
        Self::over(BufReader::new(standard::input()?), standard::output()?, closing)
    }

    /// The same over other streams.
    pub fn over(
        mut from: impl BufRead + Send + 'static,
        mut to: impl Write + Send + 'static,
        closing: CancellationToken,
    ) -> io::Result<Self> {
        let (messages, input) = mpsc::channel(QUEUED);
        let (lines, mut outgoing) = mpsc::channel(QUEUED);
        let (writing, written) = oneshot::channel();
        let refusals = lines.downgrade();
        start_thread("input", move || {
            if let Err(error) = read(&mut from, &messages, &refusals) {
                debug!(%error, "the input failed");
            }
        })?;
        let closed = closing.clone();
        start_thread("output", move || {
            if let Err(error) = write(&mut outgoing, &mut to) {
                debug!(%error, "the output failed");
            }
            closed.cancel();
            drop(writing);
        })?;
        Ok(Self { input, output: Some(lines), written, closing })
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
            if let (Some(output), Ok(line)) = (output, serde_json::to_vec(&message)) {
                drop(output.send(line).await);
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
    refusals: &mpsc::WeakSender<Vec<u8>>,
) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(left_out) = next_line(input, &mut line)? {
        let decoded = match left_out {
            0 => decode(&line),
            _ => vec![Err(refusal_of_cut(&line))],
        };
        for decoded in decoded {
            let is_taken = match decoded {
                Ok(message) => messages.blocking_send(message).is_ok(),
                Err(refusal) => {
                    debug!(code = %refusal["error"]["code"], "refused a message");
                    let line = refusal.to_string().into_bytes();
                    refusals.upgrade().is_some_and(|output| output.blocking_send(line).is_ok())
                }
            };
            if !is_taken {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Replaces `line` by the next one, without its newline, which the last line may lack. `None` at the end of input; else how
/// many bytes were left out between the two ends of a line that is longer than [`MAX_LINE`].
pub fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
    // A new one, so that nothing of a long line is held on to.
    *line = Vec::new();
    let mut left_out = 0;
    loop {
        let chunk = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            chunk => chunk?,
        };
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then_some(left_out));
        }
        let newline = memchr(b'\n', chunk);
        let part = newline.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..part]);
        input.consume(part + usize::from(newline.is_some()));
        if line.len() > MAX_LINE {
            left_out += line.drain(KEPT_END..line.len() - KEPT_END).count();
        }
        if newline.is_some() {
            return Ok(Some(left_out));
        }
    }
}

/// Writes what is sent, a line each, until the connection is closed.
fn write(outgoing: &mut mpsc::Receiver<Vec<u8>>, output: &mut impl Write) -> io::Result<()> {
    while let Some(mut line) = outgoing.blocking_recv() {
        line.push(b'\n');
        output.write_all(&line)?;
    }
    Ok(())
}
