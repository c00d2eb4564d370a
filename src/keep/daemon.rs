//! The background process: one registry, and a server for each connection. It ends when nothing needs it: no connection
//! is open, and no job runs or has a result.

use std::env::{set_current_dir, temp_dir};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rmcp::service::serve_directly;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy, duplex, split};
use tokio::join;
use tokio::time::{sleep, timeout};
use tokio_util::io::SyncIoBridge;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Request, Status};
use crate::config::Config;
use crate::process::local::{self, Place, ToClient};
use crate::process::own;
use crate::registry::ProcessRegistry;
use crate::registry::connection::Connection;
use crate::registry::sweeper::sweep;
use crate::run::{LAST_ANSWERS, close_on_signals, end, run_with};
use crate::server::Server;
use crate::transport::Stdio;

/// How long a connection may take to say what it wants.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(5);

/// How often to look whether anything still needs the daemon, while it has no connection.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The background process, and what each of its connections needs.
#[derive(Clone)]
struct Daemon {
    registry: ProcessRegistry,
    connections: TaskTracker,
    closing: CancellationToken,
}

/// Serves all clients of this user.
///
/// # Errors
///
/// A configuration that cannot be used, or a socket that cannot be opened.
pub fn run(config: Config) -> Result<()> {
    // The directory of the client that came first is not held: it may be unmounted, or under Windows removed.
    set_current_dir(temp_dir())?;
    run_with(config, serve)
}

async fn serve(config: Arc<Config>) -> Result<()> {
    let closing = CancellationToken::new();
    close_on_signals(&closing)?;
    let registry =
        ProcessRegistry::new(config, closing.clone()).context("jobs cannot be watched")?;
    let place = Place::of_user()?;
    let mut listener = place.listen().context("the socket could not be opened")?;
    tracing::info!(socket = %place.socket().display(), "daemon started");
    tokio::spawn(sweep(registry.clone()));
    let daemon = Daemon { registry, connections: TaskTracker::new(), closing };
    loop {
        tokio::select! {
            Ok(client) = listener.accept() => {
                daemon.connections.spawn(daemon.clone().receive(client));
            }
            () = sleep(LOOK_EVERY) => {
                if daemon.connections.is_empty() && daemon.registry.counts() == (0, 0) {
                    break;
                }
            }
            () = daemon.closing.cancelled() => break,
        }
    }
    // From now on the next client starts another daemon.
    drop(listener);
    daemon.closing.cancel();
    daemon.connections.close();
    let answered = timeout(LAST_ANSWERS, daemon.connections.wait()).await;
    end(&daemon.registry).await;
    tracing::info!(all_answered = answered.is_ok(), "daemon ended");
    Ok(())
}

impl Daemon {
    async fn receive(self, client: ToClient) {
        let mut client = BufReader::new(client);
        let served = match first_line(&mut client).await {
            Ok(Request::Serve(connection)) => self.converse(client, *connection).await,
            Ok(Request::Status { stop }) => self.tell_status(client, stop).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::warn!(%error, "a connection failed");
        }
    }

    async fn converse(
        &self,
        mut client: BufReader<ToClient>,
        connection: Connection,
    ) -> Result<()> {
        client.write_all(b"served\n").await?;
        let (input, mut output) = split(client);
        let (writer, mut written) = duplex(64 << 10);
        let closing = self.closing.child_token();
        // Threads have the lines, as those of standard input and output.
        let input = std::io::BufReader::new(SyncIoBridge::new(input));
        let lines = Stdio::over(input, SyncIoBridge::new(writer), closing.clone())?;
        // Over, it owns nothing any more: what the thread goes on writing to a client that has gone is an error then.
        let carry = async move {
            copy(&mut written, &mut output).await?;
            local::end(&mut output).await
        };
        let server = Server::new(self.registry.clone(), Arc::new(connection), closing);
        let (ended, carried) = join!(serve_directly(server, lines, None).waiting(), carry);
        tracing::debug!(?ended, ?carried, "a conversation ended");
        Ok(())
    }

    async fn tell_status(&self, mut client: BufReader<ToClient>, stop: bool) -> Result<()> {
        let (running, finished) = self.registry.counts();
        // This connection carries no client.
        let (age, connections) = (self.registry.age().as_secs(), self.connections.len() - 1);
        let jobs = format!("{running} running jobs, {finished} finished");
        let status: Status =
            (own::supervisor(), format!("up {age} s: {connections} connections, {jobs}"));
        client.write_all(format!("{}\n", serde_json::to_string(&status)?).as_bytes()).await?;
        if stop {
            self.closing.cancel();
        }
        Ok(())
    }
}

/// What a connection wants: its first line. The client sends no more before it is answered.
async fn first_line(client: &mut BufReader<ToClient>) -> Result<Request> {
    let mut line = String::new();
    timeout(FIRST_LINE_WITHIN, client.read_line(&mut line)).await.context("it says nothing")??;
    serde_json::from_str(&line).context("the first line says nothing")
}
