//! The client's side: finds the daemon, or starts it, and carries lines. A client that is killed takes only this process
//! with it.

use std::io::ErrorKind::{ConnectionRefused, NotFound};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, split};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::io::SyncIoBridge;

use super::{Request, Status};
use crate::config::{Action, Command, Config};
use crate::process::local::{self, Place, ToDaemon};
use crate::process::{is_alive, own, standard};
use crate::registry::connection::Connection;
use crate::run::run_with;

/// How long the daemon may take to listen, to answer the first line, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look whether it listens, or whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Serves one client by the daemon, until its end of input; or does for a person what the command line says.
///
/// # Errors
///
/// What a server without `--keep` refuses as well; a daemon that cannot be started, does not answer, or ends.
pub fn run(config: Config) -> Result<()> {
    match config.command {
        Some(Command::Daemon { action }) => run_with(config, |_| control(action)),
        None => run_with(config, relay),
    }
}

async fn relay(config: Arc<Config>) -> Result<()> {
    let request = Request::Serve(Box::new(Connection::of(&config)));
    let (_, daemon) = ask(&request, true).await?.context("there is no background process")?;
    let (from_daemon, to_daemon) = split(daemon);
    let (mut from_daemon, mut to_daemon) =
        (SyncIoBridge::new(from_daemon), SyncIoBridge::new(to_daemon));
    let (mut input, mut output) = (standard::input()?, standard::output()?);
    let input = tokio::spawn(async move {
        let read = spawn_blocking(move || {
            // An error means that the daemon has ended, which the other direction sees.
            drop(io::copy(&mut input, &mut to_daemon));
            to_daemon.into_inner()
        });
        local::end(&mut read.await?).await
    });
    let output = spawn_blocking(move || io::copy(&mut from_daemon, &mut output));
    tokio::select! {
        // Answered, or else the end of the daemon. An error is the end as well.
        _ = output => ensure!(input.is_finished(), "the background process that has the jobs ended"),
        _ = spawn_blocking(standard::wait_for_hang_up) => {}
    }
    Ok(())
}

/// The daemon's answer to a request, and what it sends behind that. Where there is no daemon it is started, or there is no
/// answer.
async fn ask(request: &Request, starts: bool) -> Result<Option<(String, BufReader<ToDaemon>)>> {
    let place = Place::of_user().context("--keep: no place for the socket")?;
    let (mut turn, mut has_started) = (None, false);
    let began = Instant::now();
    loop {
        let failed = match place.connect().await {
            Ok(daemon) => match say(daemon, request).await {
                Ok(said) => return Ok(Some(said)),
                // It is just about to end, perhaps. Then another one is started.
                Err(error) => error,
            },
            // Something is there.
            Err(error) if !matches!(error.kind(), NotFound | ConnectionRefused) => error.into(),
            Err(_) if !starts => return Ok(None),
            // Of clients that find no daemon at the same time, one starts it and the others wait for that.
            Err(_) if turn.is_none() => {
                turn = Some(place.lock().context("--keep: the lock beside the socket")?);
                continue;
            }
            Err(error) => {
                if !has_started {
                    own::start_in_background("--daemon")
                        .context("the background process could not be started")?;
                    has_started = true;
                }
                error.into()
            }
        };
        if began.elapsed() > PATIENCE {
            let socket = place.socket();
            let what = "the background process does not answer; --log-file tells why";
            return Err(failed.context(format!("{what} ({})", socket.display())));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Sends a request and reads the line that answers it.
async fn say(daemon: ToDaemon, request: &Request) -> Result<(String, BufReader<ToDaemon>)> {
    let (mut daemon, mut answer) = (BufReader::new(daemon), String::new());
    let said = async {
        daemon.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes()).await?;
        daemon.read_line(&mut answer).await.map_err(anyhow::Error::from)
    };
    let length = timeout(PATIENCE, said).await??;
    ensure!(length > 0, "it has closed the connection");
    Ok((answer, daemon))
}

/// `daemon status` and `daemon stop`. There being no daemon is no error.
async fn control(action: Action) -> Result<()> {
    let stop = matches!(action, Action::Stop);
    let Some((answer, _)) = ask(&Request::Status { stop }, false).await? else {
        drop(writeln!(io::stdout(), "no background process is running"));
        return Ok(());
    };
    let (pid, status): Status = serde_json::from_str(&answer).context("it does not answer")?;
    drop(writeln!(io::stdout(), "process {pid}, {status}"));
    if stop {
        let began = Instant::now();
        while is_alive(pid) {
            ensure!(began.elapsed() < PATIENCE, "process {pid} has not ended");
            sleep(LOOK_EVERY).await;
        }
        drop(writeln!(io::stdout(), "stopped, with all its jobs"));
    }
    Ok(())
}
