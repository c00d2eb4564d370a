//! The client's side: finds the daemon, or starts it, and carries lines. A client that is killed takes only this process
//! with it.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Request, Status};
use crate::config::{Action, Config};
use crate::process::local::{Place, Stream};
use crate::process::{is_alive, own, standard};
use crate::registry::connection::Connection;
use crate::{logging, startup};

/// How long the daemon may take to listen, and to answer the first line.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look whether it listens, or whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Serves one client by the daemon, until its end of input.
///
/// # Errors
///
/// What a server without `--keep` refuses as well; a daemon that cannot be started, or ends.
pub fn relay(config: &Config) -> Result<ExitCode> {
    startup::reset_inherited_state().context("signal handlers could not be installed")?;
    let _logs = logging::init(config)?;
    let place = Place::of_user().context("--keep: no place for the socket")?;
    let daemon = greet(&place, &Request::Serve(Box::new(Connection::of(config))))?;
    let input_ended = Arc::new(AtomicBool::new(false));
    let (mut input, mut output) = (standard::input()?, standard::output()?);
    let mut to_daemon = daemon.try_clone()?;
    spawn({
        let input_ended = input_ended.clone();
        move || {
            // An error means that the daemon has ended, which the other direction sees.
            drop(io::copy(&mut input, &mut to_daemon));
            input_ended.store(true, Ordering::Release);
            drop(to_daemon.shutdown(Shutdown::Write));
        }
    });
    let hung_up = daemon.try_clone()?;
    spawn(move || {
        standard::wait_for_hang_up();
        drop(hung_up.shutdown(Shutdown::Both));
    });
    // An error is the end as well.
    drop(io::copy(&mut BufReader::with_capacity(64 << 10, daemon), &mut output));
    ensure!(input_ended.load(Ordering::Acquire), "the background process that has the jobs ended");
    Ok(ExitCode::SUCCESS)
}

/// A connection on which the daemon has accepted the request. One that is just about to end may take a connection and not
/// answer: then another one is started.
fn greet(place: &Place, request: &Request) -> Result<Stream> {
    let began = Instant::now();
    loop {
        let mut daemon = place.connect().or_else(|_| start_once(place))?;
        match say(&mut daemon, request) {
            Ok(answer) if !answer.is_empty() => return Ok(daemon),
            _ if began.elapsed() < PATIENCE => sleep(LOOK_EVERY),
            Ok(_) => {
                bail!("the background process at {} does not answer", place.socket().display())
            }
            Err(error) => {
                let socket = place.socket();
                return Err(error).context(format!("{}: no answer", socket.display()));
            }
        }
    }
}

/// Sends a request and reads the line that answers it, and nothing beyond.
fn say(daemon: &mut Stream, request: &Request) -> Result<String> {
    daemon.set_read_timeout(Some(PATIENCE))?;
    daemon.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    // What comes behind the line is the client's.
    while daemon.read(&mut byte)? > 0 && byte != *b"\n" {
        answer.extend(byte);
    }
    daemon.set_read_timeout(None)?;
    Ok(String::from_utf8(answer)?)
}

/// Of clients that find no daemon at the same time, one starts it and the others wait for that.
fn start_once(place: &Place) -> Result<Stream> {
    let _lock = place.lock().context("--keep: the lock beside the socket")?;
    if let Ok(daemon) = place.connect() {
        return Ok(daemon);
    }
    own::start_in_background("--daemon").context("the background process could not be started")?;
    let began = Instant::now();
    loop {
        match place.connect() {
            Ok(daemon) => return Ok(daemon),
            Err(_) if began.elapsed() < PATIENCE => sleep(LOOK_EVERY),
            Err(error) => {
                let socket = place.socket();
                let what = "the background process did not come up; --log-file tells why";
                return Err(error).context(format!("{what} ({})", socket.display()));
            }
        }
    }
}

/// `daemon status` and `daemon stop`, for people. There being no daemon is no error.
///
/// # Errors
///
/// A daemon that does not answer, or does not end.
pub fn control(action: Action) -> Result<ExitCode> {
    let place = Place::of_user()?;
    let Ok(mut daemon) = place.connect() else {
        drop(writeln!(io::stdout(), "no background process is running"));
        return Ok(ExitCode::SUCCESS);
    };
    let stop = matches!(action, Action::Stop);
    let answer = say(&mut daemon, &Request::Status { stop })?;
    let status: Status = serde_json::from_str(&answer).context("it does not answer")?;
    let Status { pid, uptime_seconds, connections, running, finished } = status;
    drop(writeln!(
        io::stdout(),
        "process {pid}, up {uptime_seconds} s: {connections} connections, {running} running jobs, {finished} finished"
    ));
    if stop {
        let began = Instant::now();
        while is_alive(pid) {
            ensure!(began.elapsed() < PATIENCE, "process {pid} has not ended");
            sleep(LOOK_EVERY);
        }
        drop(writeln!(io::stdout(), "stopped, with all its jobs"));
    }
    Ok(ExitCode::SUCCESS)
}
