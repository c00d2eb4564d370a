//! `--check`: the set-up tried out for a person, by a job that runs through the registry in this process.
//!
//! No client is there, so standard output is for reading. The exit code says it all.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, DEFAULT_LOG};
use crate::format::{human_duration, thousands};
use crate::job::Record;
use crate::output::segments::streams;
use crate::process::login_env::user_shell;
use crate::registry::connection::Connection;
use crate::registry::{ProcessRegistry, Start};
use crate::run::{close_on_signals, end, run_with};
use crate::server::messages::job_error;

/// How long a step may take that does nearly nothing: longer than any profile of a login shell.
const PATIENCE: Duration = Duration::from_secs(30);

/// One line of the report. An error means that it is not read.
macro_rules! say {
    ($what:literal, $($found:tt)*) => {
        drop(writeln!(io::stdout(), "{:<12} {}", $what, format_args!($($found)*)))
    };
}

/// Tries everything and tells of it.
pub fn check(mut config: Config) -> ExitCode {
    if config.log == DEFAULT_LOG {
        // What is well is said here.
        "warn".clone_into(&mut config.log);
    }
    if let Err(error) = run_with(config, try_out) {
        say!("result", "FAILED: {error:#}");
        return ExitCode::FAILURE;
    }
    say!("result", "all is well");
    ExitCode::SUCCESS
}

async fn try_out(config: Arc<Config>) -> Result<()> {
    let closing = CancellationToken::new();
    close_on_signals(&closing)?;
    let connection = Arc::new(Connection::of(&config));
    let registry = ProcessRegistry::new(config, closing.clone())?;
    describe(registry.config(), &connection);
    let tried = tokio::select! {
        tried = try_job(&registry, &connection) => tried,
        () = closing.cancelled() => Err(anyhow!("interrupted")),
    };
    end(&registry).await;
    tried
}

fn describe(config: &Config, connection: &Connection) {
    let directory = &connection.directory;
    say!("version", "{}", env!("CARGO_PKG_VERSION"));
    say!("program", "{}", std::env::current_exe().unwrap_or_default().display());
    say!("shell", "{}", connection.shell);
    say!("directory", "{} ({})", directory.path.display(), directory.source);
    if config.login_env {
        let shell = user_shell(&connection.environment);
        say!("login shell", "{shell} is asked for its environment");
    }
    let (running, finished) = (config.max_running, config.max_finished);
    let kept = human_duration(config.retention_seconds);
    say!("limits", "{running} running and {finished} finished jobs, results kept {kept}");
    let bytes = [config.max_output_bytes, config.max_total_bytes].map(thousands);
    say!("", "{} bytes of output for each stream, {} in all", bytes[0], bytes[1]);
}

async fn try_job(registry: &ProcessRegistry, connection: &Arc<Connection>) -> Result<()> {
    let command = connection.shell.trial();
    let start = Start { command: command.to_owned(), ..Start::default() };
    let job = registry.start(start, connection, &CancellationToken::new()).await;
    let job = job.map_err(|error| anyhow!("{}", job_error(&error, registry.config())))?;
    let mut record = job.record();
    let has_written = |record: &Record| record.stdout.end > 0 || record.finished.is_some();
    let written = timeout(PATIENCE, record.wait_for(has_written)).await;
    drop(written.context("a command did not write anything")?);
    let snapshot = job.snapshot();
    if let Some(finished) = snapshot.finished() {
        bail!("the shell ended with {:?} instead of running `{command}`", finished.exit);
    }
    let took = snapshot.elapsed().as_millis();
    say!("job", "wrote its first line after {took} ms in {}", job.cwd().display());

    let began = Instant::now();
    let survivors = timeout(PATIENCE, job.stop(registry.config().stop_grace_seconds)).await;
    let survivors = survivors.context("a command could not be stopped")?;
    ensure!(survivors.is_empty(), "processes could not be stopped: {survivors:?}");
    say!("stop", "its processes ended {} ms after the request", began.elapsed().as_millis());

    timeout(PATIENCE, job.all_stored()).await.context("its output is not stored")?;
    let stopped = job.snapshot();
    if let Some(why) = &stopped.record.stdout.unstored {
        bail!("its output could not be stored: {why}");
    }
    // Where it really is: the place that is configured may not be to be had.
    let directory = registry.store().existing().context("its output is missing")?;
    say!("output", "{}", directory.path().parent().unwrap_or(directory.path()).display());
    let path = streams(&stopped, registry.store()).0.read(0, 64 << 10);
    say!("its PATH", "{}", String::from_utf8_lossy(&path).trim());
    Ok(())
}
