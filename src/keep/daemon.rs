//! The background process: one registry, and a server for each connection. It ends when nothing needs it: no connection
//! is open, and no job runs or has a result.

use std::env::{set_current_dir, temp_dir};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::path::absolute;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rmcp::service::serve_directly;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Request, Status};
use crate::blocking::run_blocking;
use crate::config::Config;
use crate::process::local::{Place, Stream};
use crate::process::own;
use crate::registry::ProcessRegistry;
use crate::registry::connection::Connection;
use crate::registry::sweeper::sweep;
use crate::run::{LAST_ANSWERS, close_on_signals, end, run_with};
use crate::server::Server;
use crate::transport::Stdio;

/// How long a connection may take to say what it wants, and how much that may be: an environment has a few megabytes at most.
const FIRST_LINE_WITHIN: Duration = Duration::from_secs(5);
const FIRST_LINE_BYTES: u64 = 16 << 20;

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
pub fn run(mut config: Config) -> Result<()> {
    // The directory of the client that came first is not held: it may be unmounted, or under Windows removed.
    for path in [&mut config.output_dir, &mut config.log_file].into_iter().flatten() {
        *path = absolute(&*path)?;
    }
    set_current_dir(temp_dir())?;
    run_with(config, serve)
}

/// Starts this program as the background process.
///
/// # Errors
///
/// The system starts no process.
pub fn start_again() -> Result<()> {
    own::start_in_background("--supervised=0")
        .context("the background process could not be started")
}

async fn serve(config: Arc<Config>) -> Result<()> {
    let closing = CancellationToken::new();
    close_on_signals(&closing)?;
    let registry = ProcessRegistry::new(config, closing.clone())
        .context("the end of child processes cannot be seen")?;
    let place = Place::of_user()?;
    let mut listener = place.listen().context("the socket could not be opened")?;
    tracing::info!(socket = %place.socket().display(), "daemon started");
    tokio::spawn(sweep(registry.clone()));
    let daemon = Daemon { registry, connections: TaskTracker::new(), closing };
    let mut looks = interval(LOOK_EVERY);
    // The first is at once, before any client can be there.
    looks.tick().await;
    loop {
        tokio::select! {
            Ok(stream) = listener.accept() => {
                looks.reset();
                daemon.connections.spawn(daemon.clone().receive(stream));
            }
            _ = looks.tick() => {
                if daemon.connections.is_empty() && daemon.jobs() == (0, 0) {
                    break;
                }
            }
            () = daemon.closing.cancelled() => break,
        }
    }
    // Before nothing accepts any more: the next client then starts another daemon, whose socket is left alone.
    place.remove();
    drop(listener);
    daemon.closing.cancel();
    daemon.connections.close();
    let answered = timeout(LAST_ANSWERS, daemon.connections.wait()).await;
    end(&daemon.registry).await;
    tracing::info!(all_answered = answered.is_ok(), "daemon ended");
    Ok(())
}

impl Daemon {
    async fn receive(self, stream: Stream) {
        let served = match first_line(&stream).await {
            Ok(Request::Serve(connection)) => self.converse(stream, *connection).await,
            Ok(Request::Status { stop }) => self.tell_status(stream, stop),
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            tracing::warn!(%error, "a connection failed");
        }
    }

    async fn converse(&self, mut stream: Stream, connection: Connection) -> Result<()> {
        stream.write_all(b"served\n")?;
        // Threads carry the lines, as those of standard input and output.
        let (input, output) = (BufReader::new(stream.try_clone()?), stream.try_clone()?);
        let closing = self.closing.child_token();
        let lines = Stdio::over(input, output, closing.clone())?;
        let server = Server::new(self.registry.clone(), Arc::new(connection), closing);
        let ended = serve_directly(server, lines, None).waiting().await;
        tracing::debug!(?ended, "a conversation ended");
        // The threads that carried the lines hold it open otherwise. An error means that the client has closed it.
        run_blocking(move || drop(stream.shutdown(Shutdown::Both))).await;
        Ok(())
    }

    /// How many run, and how many have finished.
    fn jobs(&self) -> (usize, usize) {
        let (running, finished, _) = self.registry.list(usize::MAX);
        (running.len(), finished.len())
    }

    fn tell_status(&self, mut stream: Stream, stop: bool) -> Result<()> {
        let (running, finished) = self.jobs();
        let status = Status {
            pid: own::supervisor(),
            uptime_seconds: self.registry.age().as_secs(),
            // This one carries no client.
            connections: self.connections.len() - 1,
            running,
            finished,
        };
        writeln!(stream, "{}", serde_json::to_string(&status)?)?;
        if stop {
            self.closing.cancel();
        }
        Ok(())
    }
}

/// What a connection wants: its first line, read on another thread, since a client may take its time.
async fn first_line(stream: &Stream) -> Result<Request> {
    let mut stream = stream.try_clone()?;
    stream.set_read_timeout(Some(FIRST_LINE_WITHIN))?;
    let read = run_blocking(move || {
        let mut line = String::new();
        // The client sends no more before it is answered.
        BufReader::new(&mut stream).take(FIRST_LINE_BYTES).read_line(&mut line)?;
        stream.set_read_timeout(None).map(|()| line)
    });
    let line = read.await.context("the thread that reads failed")??;
    serde_json::from_str(&line).context("the first line says nothing")
}
