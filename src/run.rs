//! The server from start to end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rmcp::service::serve_directly;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::blocking::run_blocking;
use crate::config::Config;
use crate::process::{signals, system};
use crate::registry::ProcessRegistry;
use crate::registry::connection::Connection;
use crate::registry::sweeper::sweep;
use crate::server::Server;
use crate::transport::Stdio;
use crate::{logging, startup};

/// How long calls under way have to be answered in all once the server closes.
pub const LAST_ANSWERS: Duration = Duration::from_millis(700);

/// How long the jobs' processes then have to end: with the time above, within the two seconds that clients allow.
const LAST_PROCESSES: Duration = Duration::from_millis(700);

/// How long the removal of files may take: what is left then is the supervisor's, and after it the next server's.
const LAST_FILES: Duration = Duration::from_millis(100);

/// Descriptors of the server itself, and of one running job: two pipes, two files, two pidfds.
const OWN_DESCRIPTORS: u64 = 64;
const DESCRIPTORS_PER_JOB: u64 = 6;

/// Threads for work that may block, started when they are needed. The lanes (writing, reading, searching, looking at
/// directories) may take sixteen of them for what hangs; the rest are for what does not.
const BLOCKING_THREADS: usize = 24;

/// Serves one client on standard input and output, until its end of input or a signal.
///
/// # Errors
///
/// A configuration that cannot be used, or standard streams that cannot be read or written. Nothing a client does is
/// an error here.
pub fn run(config: Config) -> anyhow::Result<()> {
    run_with(config, serve_client)
}

/// The same for whatever it is to serve, in a process without inherited state, with its logs and its runtime.
pub fn run_with<S: Future<Output = anyhow::Result<()>>>(
    config: Config,
    serve: impl FnOnce(Arc<Config>) -> S,
) -> anyhow::Result<()> {
    // The copy of a supervisor has nothing that its supervisor has given up.
    if config.supervisor.is_none() {
        startup::reset_inherited_state().context("signal handlers could not be installed")?;
    }
    let _logs = logging::init(&config)?;
    let descriptors = OWN_DESCRIPTORS + DESCRIPTORS_PER_JOB * config.max_running as u64;
    if let Err(error) = startup::raise_descriptor_limit(descriptors) {
        tracing::warn!(%error, "the limit on open descriptors could not be raised");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .context("the runtime could not be started")?;
    if let Some(supervisor) = config.supervisor {
        let parent_lives = system::end_with_parent(supervisor)
            .context("the end of the supervisor cannot be seen")?;
        if !parent_lives {
            return Ok(());
        }
    }
    let served = runtime.block_on(serve(Arc::new(config)));
    // A thread may hang in a read of a dead file system: it is not waited for.
    runtime.shutdown_background();
    served
}

async fn serve_client(config: Arc<Config>) -> anyhow::Result<()> {
    let closing = CancellationToken::new();
    close_on_signals(&closing)?;
    let connection = Arc::new(Connection::of(&config));
    let registry =
        ProcessRegistry::new(config, closing.clone()).context("jobs cannot be watched")?;
    log_start(&registry, &connection);
    let stdio = Stdio::open(closing.clone()).context("standard input or output cannot be used")?;
    tokio::spawn(sweep(registry.clone()));
    // Not `serve`, which ends when a client begins with anything but a handshake.
    let conversation =
        serve_directly(Server::new(registry.clone(), connection, closing.clone()), stdio, None);
    let last_answers = async {
        closing.cancelled().await;
        sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        end = conversation.waiting() => tracing::debug!(?end, "the conversation ended"),
        () = last_answers => {}
    }
    end(&registry).await;
    tracing::info!("server ended");
    Ok(())
}

/// Ends all jobs, then removes their output.
pub async fn end(registry: &ProcessRegistry) {
    if timeout(LAST_PROCESSES, registry.shut_down()).await.is_err() {
        let living = registry.living();
        tracing::warn!(?living, "some processes did not end in time");
    }
    if let Some(directory) = registry.store().existing() {
        let removed = run_blocking(move || directory.remove());
        if timeout(LAST_FILES, removed).await.is_err() {
            tracing::warn!("the output directory could not be removed in time");
        }
    }
}

/// The one line from which a person sees what was configured.
fn log_start(registry: &ProcessRegistry, connection: &Connection) {
    let config = registry.config();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        shell = %connection.shell,
        cwd = %connection.directory.path.display(),
        cwd_from = connection.directory.source,
        login_env = config.login_env,
        output_dir = %registry.store().root().display(),
        max_running = config.max_running,
        max_finished = config.max_finished,
        retention_seconds = config.retention_seconds.as_secs_f64(),
        max_output_bytes = config.max_output_bytes,
        max_total_bytes = config.max_total_bytes,
        "server started"
    );
}

/// The signals that end a server close this one in good order.
pub fn close_on_signals(closing: &CancellationToken) -> anyhow::Result<()> {
    let request = signals::end_request().context("signal handlers could not be installed")?;
    let closing = closing.clone();
    tokio::spawn(async move {
        let signal = request.await;
        tracing::info!(signal, "closing on a signal");
        closing.cancel();
    });
    Ok(())
}
