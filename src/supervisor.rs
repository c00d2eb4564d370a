//! The parent of the server, which ends what a killed server leaves behind.
//!
//! The process that the client starts does nothing but start the server, pass signals on and wait. On Linux it is a child
//! subreaper: when the server dies, however it dies, every process of its jobs becomes a child of this one, whatever it did
//! to its session, environment or title. On macOS they are those of the server's session. It ends them, removes the output
//! directory, and exits as the server did.
//!
//! If this process is killed instead, the server gets a SIGTERM (from the kernel, or on macOS from a thread of its own that
//! waits for this), and shuts down in order.

#![cfg(unix)]

use std::collections::HashSet;
use std::env::set_current_dir;
use std::iter::once;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use fork::{Fork, fork};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, setsid, wait};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use uuid::Uuid;

use crate::config::Config;
use crate::output::directory::{directory_name, remove_directory, roots};
use crate::process::system::{OwnChildren, with_descendants};
use crate::startup;

/// How long after TERM the processes that a dead server left get KILL.
const GRACE: Duration = Duration::from_millis(500);

/// How long KILL is repeated while some of them are alive: clients allow two seconds in all.
const KILL_FOR: Duration = Duration::from_millis(1500);

/// How long the removal of the output may take.
const REMOVE_FOR: Duration = Duration::from_millis(500);

/// How often to look whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs the server in a child, a copy of this process, and ends what it leaves. The exit code is the server's, or 128 and the
/// signal that killed it. No thread may have been started: the copy would lack it, and find its locks taken for ever.
///
/// # Errors
///
/// The server cannot be started, or in the child what the server fails with.
pub fn supervise(
    mut config: Config,
    serve: impl FnOnce(Config) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    startup::reset_inherited_state().context("signal handlers could not be installed")?;
    // `other & exec server` makes `other` a child of this process, but not a process of a job.
    let inherited = adopting()?.list().unwrap_or_default().into_iter().collect();
    let directory_id = Uuid::new_v4();
    config.supervisor = Some(std::process::id());
    config.directory_id = Some(directory_id);
    let server = match fork().context("the server could not be started")? {
        Fork::Child => {
            // A signal from a terminal to the group of this process is not for the server.
            let _ = setsid();
            return serve(config).map(|()| ExitCode::SUCCESS);
        }
        Fork::Parent(pid) => Pid::from_raw(pid).context("a fresh child has no pid")?,
    };
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD])
        .context("signal handlers could not be installed")?;
    let children = adopting()?;
    // The client sees the end of the server's streams when the server ends, and not only when this process does.
    release_standard_streams().context("the standard streams could not be released")?;
    if config.daemon > 0 {
        // The directory of the client that came first is not held.
        let _ = set_current_dir("/");
    }
    let status = wait_for(server, &mut signals);
    end_orphans(&children, server, &inherited);
    remove_output(roots(config.output_dir.as_deref()), directory_name(directory_id));
    Ok(exit_code(status))
}

fn adopting() -> anyhow::Result<OwnChildren> {
    OwnChildren::adopting().context("orphans cannot be adopted")
}

fn release_standard_streams() -> std::io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Passes signals on to the server and reaps what has ended, until the server has. None if its status is not to be had.
fn wait_for(server: Pid, signals: &mut Signals) -> Option<WaitStatus> {
    // It may have ended before there was a handler.
    for signal in once(SIGCHLD).chain(signals.forever()) {
        if signal != SIGCHLD {
            // The server is not reaped yet, so that the pid is its own.
            if let Some(signal) = Signal::from_named_raw(signal) {
                let _ = kill_process(server, signal);
                // A stopped one acts on it only once it continues.
                let _ = kill_process(server, Signal::CONT);
            }
            continue;
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == server => return Some(status),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return None,
            }
        }
    }
    None
}

/// TERM, a grace period, then KILL, to everything that became a child of this process and to its descendants.
fn end_orphans(children: &OwnChildren, server: Pid, inherited: &HashSet<Pid>) {
    let mut asked: HashSet<Pid> = HashSet::new();
    let started = Instant::now();
    loop {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        let mut orphans = children.left_by(server).unwrap_or_default();
        orphans.retain(|pid| !inherited.contains(pid));
        if orphans.is_empty() || started.elapsed() > GRACE + KILL_FOR {
            return;
        }
        for process in with_descendants(&orphans) {
            if started.elapsed() > GRACE {
                process.signal(Signal::KILL);
            } else if asked.insert(process.pid) {
                process.signal(Signal::TERM);
                // A stopped process acts on TERM only once it continues.
                process.signal(Signal::CONT);
            }
        }
        sleep(LOOK_EVERY);
    }
}

/// Removes the output directory, wherever it is. A disk that does not answer is not waited for: the next server sweeps it.
fn remove_output(roots: Vec<PathBuf>, name: String) {
    let (done, removed) = mpsc::channel::<()>();
    // Without a thread the channel closes at once, and the next server sweeps it.
    drop(std::thread::Builder::new().spawn(move || {
        roots.iter().for_each(|root| remove_directory(&root.join(&name)));
        drop(done);
    }));
    let _ = removed.recv_timeout(REMOVE_FOR);
}

fn exit_code(status: Option<WaitStatus>) -> ExitCode {
    let code = status.and_then(|status| {
        status.exit_status().or_else(|| Some(128 + status.terminating_signal()?))
    });
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
