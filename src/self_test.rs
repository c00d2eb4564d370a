//! `--check`: the set-up tried out for a person, by jobs that run through the registry in this process.
//!
//! No client is there, so standard output is for reading. The exit code says it all.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, DEFAULT_LOG};
use crate::format::{human_duration, thousands};
use crate::job::{Cause, Exit, Job, JobState, Record, Unstored};
use crate::process::{login, own};
use crate::registry::{ProcessRegistry, Start};
use crate::run::{close_on_signals, end, prepare};
use crate::server::texts::job_error;

/// How long a job may take that does nearly nothing: longer than any profile of a login shell.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tries everything and tells of it.
pub fn check(mut config: Config) -> ExitCode {
    if config.log == DEFAULT_LOG {
        // What is well is said here.
        "warn".clone_into(&mut config.log);
    }
    match try_out(config) {
        Ok(()) => {
            say("result", "all is well");
            ExitCode::SUCCESS
        }
        Err(error) => {
            say("result", format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn try_out(config: Config) -> Result<()> {
    let (_logs, runtime) = prepare(&config)?;
    let tried = runtime.block_on(async {
        let closing = CancellationToken::new();
        close_on_signals(&closing)?;
        let registry = ProcessRegistry::new(Arc::new(config), closing.clone());
        describe(&registry);
        let tried = tokio::select! {
            tried = try_jobs(&registry) => tried,
            () = closing.cancelled() => Err(anyhow!("interrupted")),
        };
        let began = Instant::now();
        end(&registry).await;
        say(
            "end",
            format!("nothing is left after {} ms", began.elapsed().as_millis()),
        );
        tried
    });
    runtime.shutdown_background();
    tried
}

fn describe(registry: &ProcessRegistry) {
    let (config, directory) = (registry.config(), registry.working_directory());
    say("version", env!("CARGO_PKG_VERSION"));
    if let Ok(program) = own::program() {
        say("program", program.display());
    }
    say("shell", &config.shell);
    say(
        "directory",
        format!("{} ({})", directory.path.display(), directory.source),
    );
    let login = match config.login_env {
        true => format!("{} is asked for its environment", login::shell()),
        false => "not asked (--login-env)".to_owned(),
    };
    say("login shell", login);
    let limits = format!(
        "{} running and {} finished jobs, results kept {}, {} bytes a stream and {} in all",
        config.max_running,
        config.max_finished,
        human_duration(config.retention_seconds),
        thousands(config.max_output_bytes),
        thousands(config.max_total_bytes),
    );
    say("limits", limits);
}

async fn try_jobs(registry: &ProcessRegistry) -> Result<()> {
    let job = start(registry, "echo \"$PATH\"; exit 7").await?;
    let mut record = job.record();
    let is_over =
        |record: &Record| record.has_all_output() && matches!(record.state, JobState::Finished(_));
    if timeout(PATIENCE, record.wait_for(is_over)).await.is_err() {
        bail!(
            "a short command did not end in {}",
            human_duration(PATIENCE)
        );
    }
    let snapshot = job.snapshot();
    let finished = snapshot.finished().context("a short command ran on")?;
    let (state, exit) = (finished.name(), &finished.exit);
    let took = snapshot.elapsed().as_millis();
    say(
        "job",
        format!(
            "{state} with {exit:?} after {took} ms in {}",
            job.cwd().display()
        ),
    );
    ensure!(*exit == Exit::Code(7), "exit 7 was reported as {exit:?}");
    match &snapshot.record.stdout.unstored {
        None => {}
        Some(Unstored::Failed(why)) => bail!("its output could not be stored: {why}"),
        Some(Unstored::StoreIsFull) => bail!("its output could not be stored: --max-total-bytes"),
    }
    let directory = registry
        .store()
        .existing()
        .context("its output is missing")?;
    let path = directory.path().join(format!("{}.stdout", job.id()));
    let output = std::fs::read_to_string(path).context("its output cannot be read")?;
    // Where it really is: the place that is configured may not be to be had.
    say(
        "output",
        directory
            .path()
            .parent()
            .unwrap_or(directory.path())
            .display(),
    );
    say("its PATH", output.trim());

    let job = start(registry, "sleep 600 & wait").await?;
    let began = Instant::now();
    let attempt = job.request_stop(registry.config().stop_grace_seconds);
    let survivors = timeout(PATIENCE, job.ended(attempt)).await;
    let survivors = survivors.context("a command could not be stopped")?;
    ensure!(
        survivors.is_empty(),
        "processes could not be stopped: {survivors:?}"
    );
    let cause = job.snapshot().finished().map(|finished| finished.cause);
    ensure!(
        cause == Some(Cause::Stopped),
        "a stopped command was reported as {cause:?}"
    );
    say(
        "stop",
        format!(
            "a command and its child ended {} ms after the request",
            began.elapsed().as_millis()
        ),
    );
    Ok(())
}

async fn start(registry: &ProcessRegistry, command: &str) -> Result<Job> {
    let start = Start {
        command: command.to_owned(),
        cwd: None,
        stdin: None,
        kill_after: None,
    };
    let job = registry.start(start, &CancellationToken::new()).await;
    job.map_err(|error| anyhow!("{}", job_error(&error)))
}

/// One line of the report. An error means that it is not read.
fn say(what: &str, found: impl Display) {
    drop(writeln!(io::stdout(), "{what:<12} {found}"));
}
